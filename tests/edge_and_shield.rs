//! The example `edge_and_shield`: its numbers, while viewers ask and shields come and go.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "support/example.rs"]
mod example;
mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use std::{process::Stdio, time::Duration};
use support::within;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    task::JoinSet,
    time::Instant,
};

async fn command(arguments: &str) -> Command {
    let mut command = Command::new(example::binary("edge_and_shield").await);
    command
        .args(arguments.split_whitespace())
        .env("RUST_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

struct Network {
    process: Child,
    output: BufReader<ChildStdout>,
    client: Client<HttpConnector, Empty<Bytes>>,
    control: String,
}

/// What `/json` says.
#[derive(Debug, Deserialize)]
struct Table {
    edges: Vec<Row>,
    shields: Vec<Row>,
    origin: Origin,
    objects_asked: u64,
    origin_fetches: u64,
    fetches: Vec<Vec<u64>>,
    load: Load,
}

#[derive(Debug, Deserialize)]
struct Row {
    url: String,
    is_up: bool,
    requests: u64,
    hits: u64,
    shared: u64,
    shield: u64,
    origin: u64,
    errors: u64,
}

#[derive(Debug, Deserialize)]
struct Origin {
    url: String,
    requests: u64,
    confirmed: u64,
}

#[derive(Debug, Deserialize)]
struct Load {
    right: u64,
    failed: u64,
}

impl Network {
    async fn start(arguments: &str) -> Self {
        let mut command = command(&format!("{arguments} --control 127.0.0.1:0")).await;
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let control = within(async {
            let mut line = String::new();
            loop {
                line.clear();
                assert_ne!(
                    output.read_line(&mut line).await.unwrap(),
                    0,
                    "it has ended"
                );
                if let Some(url) = line.trim().strip_prefix("control on ") {
                    return url.to_owned();
                }
            }
        });
        let control = control.await;
        Self {
            process,
            output,
            client: Client::builder(TokioExecutor::new()).build_http(),
            control,
        }
    }

    async fn send(&self, method: &str, url: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(url);
        let request = request.body(Empty::new()).unwrap();
        let response = within(self.client.request(request)).await.unwrap();
        let status = response.status().as_u16();
        let body = within(response.into_body().collect()).await.unwrap();
        let body = String::from_utf8(body.to_bytes().into()).unwrap();
        (status, body)
    }

    async fn table(&self) -> Table {
        let (status, json) = self.send("GET", &format!("{}/json", self.control)).await;
        assert_eq!(status, 200);
        serde_json::from_str(&json).unwrap()
    }

    /// The first table of which it is so.
    async fn until(&self, is_so: impl Fn(&Table) -> bool) -> Table {
        let start = Instant::now();
        loop {
            let table = self.table().await;
            if is_so(&table) {
                return table;
            }
            assert!(start.elapsed() < support::LIMIT, "it never is: {table:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes a shield down or up.
    async fn shield(&self, number: usize, state: &str) {
        let url = format!("{}/shields/{number}/{state}", self.control);
        let said = format!("shield {number} is {state}\n");
        assert_eq!(self.send("POST", &url).await, (200, said));
    }

    /// Asks all edges for each of these objects at once, so many times, and wants the right answers.
    fn ask(&self, edges: &[Row], objects: &[usize], times: usize) -> JoinSet<()> {
        let mut viewers = JoinSet::new();
        for _ in 0..times {
            for object in objects {
                for edge in edges {
                    let url = format!("{}/objects/{object}", edge.url);
                    let line = format!("This is object {object}.\n");
                    let client = self.client.clone();
                    viewers.spawn(async move {
                        let response = client.get(url.parse().unwrap()).await.unwrap();
                        assert_eq!(response.status(), 200);
                        let body = response.into_body().collect().await.unwrap();
                        let body = String::from_utf8(body.to_bytes().into()).unwrap();
                        assert_eq!(body, line.repeat(8192_usize.div_ceil(line.len())));
                    });
                }
            }
        }
        viewers
    }

    /// Ends it as a user does, and gives the rest of what it printed.
    async fn end(mut self) -> String {
        let process = self.process.id().unwrap().to_string();
        let kill = Command::new("kill").arg(process).status().await;
        assert!(kill.unwrap().success());
        self.ended().await
    }

    async fn ended(&mut self) -> String {
        let mut rest = String::new();
        within(self.output.read_to_string(&mut rest)).await.unwrap();
        assert!(within(self.process.wait()).await.unwrap().success());
        rest
    }
}

impl Table {
    /// What holds as long as nothing is under way, and no shield was down.
    fn adds_up(&self) {
        for row in self.edges.iter().chain(&self.shields) {
            let answers = row.hits + row.shared + row.shield + row.origin;
            assert_eq!((row.errors, answers), (0, row.requests), "{self:?}");
        }
        let forwarded: u64 = self
            .edges
            .iter()
            .map(|edge| edge.shield + edge.origin)
            .sum();
        assert_eq!(sum(&self.shields, |shield| shield.requests), forwarded);
        let from_shields = sum(&self.edges, |edge| edge.shield);
        assert_eq!(sum(&self.shields, |shield| shield.hits), from_shields);
        let fetched = sum(&self.shields, |shield| shield.origin);
        assert_eq!(fetched, self.origin.requests, "{self:?}");
        assert_eq!(fetched, self.origin_fetches, "{self:?}");
        assert_eq!((self.origin.confirmed, self.load.failed), (0, 0));
    }

    fn has_no_error(&self) {
        assert_eq!(self.load.failed, 0, "{self:?}");
        assert_eq!(sum(&self.edges, |edge| edge.errors), 0, "{self:?}");
    }

    /// Which shield fetched each object, where each was fetched once.
    fn owners(&self) -> Vec<usize> {
        let owner = |fetches: &Vec<u64>| {
            assert_eq!(fetches.iter().sum::<u64>(), 1, "{self:?}");
            fetches.iter().position(|count| *count == 1).unwrap()
        };
        self.fetches.iter().map(owner).collect()
    }
}

fn sum(rows: &[Row], count: impl Fn(&Row) -> u64) -> u64 {
    rows.iter().map(count).sum()
}

#[tokio::test]
async fn an_object_that_all_edges_are_asked_for_at_once_is_fetched_once() {
    for shields in [1, 3] {
        let options = "--edges 8 --requests-per-second 0 --origin-delay 0.5";
        let network = Network::start(&format!("{options} --shields {shields}")).await;
        let edges = network.table().await.edges;
        assert_eq!(edges.len(), 8);
        within(network.ask(&edges, &[7], 40).join_all()).await;
        let table = network.table().await;
        table.adds_up();
        assert_eq!((table.origin_fetches, table.objects_asked), (1, 1));
        for edge in &table.edges {
            assert_eq!((edge.requests, edge.shield + edge.origin), (40, 1));
        }
        assert_eq!(sum(&table.shields, |shield| shield.requests), 8);
        network.end().await;
    }
}

#[tokio::test]
async fn a_load_costs_one_fetch_for_each_object_whatever_the_number_of_edges() {
    for (edges, shields) in [(1, 1), (8, 1), (8, 3)] {
        let options = "--requests-per-second 500 --objects 200 --duration 2";
        let options = format!("{options} --edges {edges} --shields {shields}");
        let mut network = Network::start(&options).await;
        let printed = within(network.ended()).await;
        let (_, table) = printed.split_once("\n\n").unwrap();
        let cells = |line: &str| -> Vec<u64> {
            let cells = line.get(9..).unwrap().split_whitespace();
            cells.filter_map(|cell| cell.parse().ok()).collect()
        };
        let sums = |name: &str| {
            let lines: Vec<_> = table
                .lines()
                .filter(|line| line.starts_with(name))
                .collect();
            let all = lines.iter().map(|line| cells(line));
            let all: Vec<u64> = all
                .reduce(|sums, line| sums.iter().zip(&line).map(|(a, b)| a + b).collect())
                .unwrap();
            (lines.len(), all)
        };
        let (many, edge) = sums("edge ");
        assert_eq!(many, edges, "{printed}");
        // Without the share of hits, which has a decimal point.
        let [requests, hits, shared, shield, origin, errors] = edge[..] else {
            panic!("{printed}");
        };
        assert!(requests > 300, "{printed}");
        assert_eq!(requests, hits + shared + shield + origin, "{printed}");
        let (many, below) = sums("shield ");
        assert_eq!((many, errors), (shields, 0), "{printed}");
        assert_eq!(below[..2], [shield + origin, shield], "{printed}");
        let (_, fetches) = sums("origin");
        let fetches = fetches[0];
        let summary = format!(
            "objects asked for {fetches}, origin fetches {fetches}, per object 1.00\n\
             the load's viewers: {requests} right answers, 0 failed\n"
        );
        assert!(table.ends_with(&summary), "{printed}");
    }
}

#[tokio::test]
async fn a_shield_goes_and_comes_back_under_load_and_takes_its_own_keys_alone() {
    // An edge has room for some ten objects: shields are always asked.
    let options = "--edges 8 --shields 3 --objects 60 --edge-memory 128KiB --origin-delay 0.05";
    let network = Network::start(&format!("{options} --requests-per-second 400")).await;
    let before = network.until(|table| table.objects_asked == 60).await;
    let before = network
        .until(|table| table.origin_fetches >= 60 && table.load.right > before.load.right)
        .await;
    let owners = before.owners();
    before.has_no_error();
    assert!((1..=3).all(|number| owners.contains(&number)), "{owners:?}");
    network.shield(2, "down").await;
    let down = network.table().await;
    assert!(!down.shields[1].is_up && down.shields[0].is_up);
    // The most popular ones may stay in all edges.
    let moving = network.until(|table| table.origin_fetches > 60).await;
    let without = network
        .until(|table| table.load.right > moving.load.right + 1000)
        .await;
    without.has_no_error();
    assert_eq!(without.shields[1].requests, down.shields[1].requests);
    for (fetches, owner) in without.fetches.iter().zip(&owners) {
        assert_eq!(fetches[*owner], 1, "{without:?}");
        let others: u64 = fetches.iter().sum::<u64>() - 1;
        assert!(others <= u64::from(*owner == 2), "{without:?}");
        assert_eq!(fetches[0], 0, "an edge asked the origin itself");
    }

    network.shield(2, "up").await;
    let back = network
        .until(|table| table.shields[1].hits > without.shields[1].hits + 20)
        .await;
    back.has_no_error();
    assert!(back.shields[1].is_up);
    for (fetches, owner) in back.fetches.iter().zip(&owners) {
        // What it had is gone with it.
        let most = if *owner == 2 { 3 } else { 1 };
        assert!(fetches.iter().sum::<u64>() <= most, "{back:?}");
        assert_eq!(fetches[0], 0, "{back:?}");
    }
    let printed = network.end().await;
    assert!(printed.ends_with(" 0 failed\n"), "{printed}");
}

#[tokio::test]
async fn who_waits_for_a_shield_that_is_killed_is_answered_by_another() {
    let options = "--edges 2 --shields 3 --objects 40 --origin-delay 3 --requests-per-second 0";
    let network = Network::start(options).await;
    let edges = network.table().await.edges;
    let objects: Vec<usize> = (1..=30).collect();
    let viewers = network.ask(&edges, &objects, 2);
    // Both edges wait for each object, and the origin for its delay.
    let waiting = network
        .until(|table| {
            table.origin.requests == 30 && sum(&table.shields, |shield| shield.requests) == 60
        })
        .await;
    network.shield(2, "down").await;
    within(viewers.join_all()).await;
    let table = network.table().await;
    table.has_no_error();
    assert_eq!(sum(&table.edges, |edge| edge.requests), 120);
    assert_eq!(table.shields[1].errors, waiting.shields[1].requests);
    assert_eq!(table.shields[1].requests, waiting.shields[1].requests);
    for (fetches, waiting) in table.fetches.iter().zip(&waiting.fetches) {
        let moved = fetches[1] + fetches[3] - waiting[1] - waiting[3];
        assert_eq!((fetches[0], fetches[2], moved), (0, waiting[2], waiting[2]));
    }

    network.shield(1, "down").await;
    network.shield(3, "down").await;
    within(network.ask(&edges, &[31], 1).join_all()).await;
    let table = network.table().await;
    table.has_no_error();
    assert_eq!(table.fetches[30], [2, 0, 0, 0], "each edge for itself");

    network.shield(3, "down").await;
    for (path, status) in [("9/down", 404), ("0/up", 404), ("1/off", 404)] {
        let url = format!("{}/shields/{path}", network.control);
        assert_eq!(network.send("POST", &url).await.0, status, "{path}");
    }
    let missing = format!("{}/objects/41", edges[0].url);
    assert_eq!(network.send("GET", &missing).await.0, 404);
    let (status, shown) = network.send("GET", &network.control).await;
    assert_eq!(status, 200);
    assert_eq!(shown.matches("  down\n").count(), 3, "{shown}");
    let direct = format!("{}/objects/1", table.origin.url);
    assert_eq!(network.send("GET", &direct).await.0, 200);
    network.end().await;
}

#[tokio::test]
async fn a_mistake_in_the_options_is_said() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().map(|address| (address, taken)).unwrap();
    for (arguments, code, message) in [
        ("--edges 9", 2, "--edges \"9\": must be 1 to 8\n"),
        ("--max-age", 2, "--max-age needs a value (see --help)\n"),
        ("--fast", 2, "unknown argument \"--fast\" (see --help)\n"),
        (
            &format!("--control {}", taken.0),
            1,
            &format!("--control {}: ", taken.0),
        ),
    ] {
        let mut command = command(arguments).await;
        let output = within(command.stderr(Stdio::piped()).output())
            .await
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with(&format!("edge_and_shield: {message}")),
            "{said}"
        );
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
    let help = within(command("--help").await.output()).await.unwrap();
    assert!(help.status.success());
    assert!(
        help.stdout
            .starts_with(b"Edges, origin shields and an origin")
    );
}
