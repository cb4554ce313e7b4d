//! A film of 1 GiB behind an edge with 64 MiB, over real sockets; the edge in a process of its own, so that its memory can be measured.
//!
//! That process is this test binary once more, which runs `the_edge` only.

#![cfg(target_os = "linux")]

use super::{
    film::{Film, serve},
    support::{NoBody, within},
};
use bytes::Bytes;
use frontage::{BlockLayer, CacheLayer, MemoryStore, origin::Origin};
use futures_util::future::join_all;
use http::{Request, header};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    ops::Range,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::net::TcpStream;
use tower::Layer;

const MIB: u64 = 1 << 20;
const LENGTH: u64 = 1 << 30;
const ORIGIN: &str = "FRONTAGE_TEST_ORIGIN";

/// The edge. Nothing but where the test below starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge() {
    let Ok(origin) = std::env::var(ORIGIN) else {
        return;
    };
    let origin = Origin::url(&origin).unwrap().build().unwrap();
    let cache = CacheLayer::new(MemoryStore::new(64 * MIB));
    let address = serve(BlockLayer::new(cache).layer(origin)).await;
    println!("\nlistening on {address}");
    std::future::pending().await
}

struct Edge {
    process: Child,
    address: SocketAddr,
    /// Open for as long as it lives: what runs tests says on it after a minute that one takes long, and ends where it can't.
    _output: BufReader<ChildStdout>,
}

impl Edge {
    fn start(origin: SocketAddr) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "large::the_edge", "--nocapture"])
            .env(ORIGIN, format!("http://{origin}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let address = output
            .by_ref()
            .lines()
            .find_map(|line| Some(line.ok()?.strip_prefix("listening on ")?.to_owned()));
        let address = address.expect("it doesn't start").parse().unwrap();
        Self {
            process,
            address,
            _output: output,
        }
    }

    /// The most that was ever resident, in bytes.
    fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().split_whitespace().next().unwrap();
        kib.parse::<u64>().unwrap() << 10
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Numbers that look random, and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Mostly short ranges, some of several blocks.
    fn range(&mut self) -> Range<u64> {
        let longest =
            [1, 64 << 10, 300 << 10, MIB, 5 * MIB][usize::try_from(self.below(5)).unwrap()];
        let start = self.below(LENGTH);
        start..(start + 1 + self.below(longest)).min(LENGTH)
    }
}

async fn connect(address: SocketAddr) -> SendRequest<NoBody> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    // An error: a body was aborted.
    tokio::spawn(async move { drop(connection.await) });
    sender
}

/// The version of an answer; `None` where it was aborted. What there is of it must be right.
async fn read(film: &Film, sender: &mut SendRequest<NoBody>, range: Range<u64>) -> Option<u64> {
    let request = Request::get("/film")
        .header(header::HOST, "www.example.com")
        .header(
            header::RANGE,
            format!("bytes={}-{}", range.start, range.end - 1),
        )
        .body(NoBody::new())
        .unwrap();
    let response = within(sender.send_request(request)).await.unwrap();
    let (parts, mut body) = response.into_parts();
    assert_eq!(parts.status, 206);
    let content_range = format!("bytes {}-{}/{LENGTH}", range.start, range.end - 1);
    assert_eq!(parts.headers[header::CONTENT_RANGE], content_range);
    let version = match parts.headers[header::ETAG].to_str().unwrap() {
        "\"v1\"" => 1,
        "\"v2\"" => 2,
        other => panic!("{other}"),
    };
    let (mut got, mut came) = (Sha256::new(), 0);
    let is_whole = loop {
        match within(body.frame()).await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => {
                let data: Bytes = frame.into_data().unwrap();
                came += data.len() as u64;
                got.update(&data);
            }
        }
    };
    let (mut expected, mut at) = (Sha256::new(), range.start);
    while at < range.start + came {
        let page = film.page(version, at, range.start + came);
        at += page.len() as u64;
        expected.update(&page);
    }
    assert_eq!(
        got.finalize(),
        expected.finalize(),
        "{range:?} of version {version}"
    );
    assert!(!is_whole || came == range.end - range.start);
    is_whole.then_some(version)
}

/// 32 clients ask for these ranges; how many answers were of which version, the first for those that were aborted.
async fn ask_for_all(
    film: &Arc<Film>,
    edge: &Edge,
    ranges: &[Range<u64>],
    on_each: impl Fn(usize),
) -> [usize; 3] {
    let (next, counts) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 3]);
    let clients = (0..32).map(async |_| {
        let mut sender = connect(edge.address).await;
        loop {
            let at = next.fetch_add(1, Ordering::SeqCst);
            let Some(range) = ranges.get(at) else { return };
            on_each(at);
            let version = read(film, &mut sender, range.clone()).await;
            if version.is_none() {
                sender = connect(edge.address).await;
            }
            let count = usize::try_from(version.unwrap_or(0)).unwrap();
            counts[count].fetch_add(1, Ordering::SeqCst);
        }
    });
    join_all(clients).await;
    counts.map(AtomicUsize::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_ranges_of_a_film_of_a_gibibyte_cost_their_blocks_in_bounded_memory() {
    let film = Film::new(LENGTH);
    let edge = Edge::start(film.serve().await);
    let mut random = Random(0x0123_4567_89ab_cdef);
    let mut ranges = || (0..200).map(|_| random.range()).collect::<Vec<_>>();

    let first = ranges();
    assert_eq!(ask_for_all(&film, &edge, &first, |_| {}).await, [0, 200, 0]);
    let sent = film.sent.load(Ordering::SeqCst);
    let touched: u64 = first
        .iter()
        .map(|range| (range.end - 1) / MIB - range.start / MIB + 1)
        .sum();
    assert!(sent <= touched * MIB, "{sent} > {touched} MiB");
    let requests = film.requests.load(Ordering::SeqCst);
    assert!(requests <= touched, "{requests}");

    // The film changes in the middle, when blocks of many of these ranges are stored.
    let second = [&first[150..], &first[150..], &first[..], &ranges()[..50]].concat();
    let [aborted, old, new] = ask_for_all(&film, &edge, &second, |at| {
        if at == 80 {
            film.version.store(2, Ordering::SeqCst);
        }
    })
    .await;
    assert!(
        old >= 40 && new > 200,
        "{aborted} aborted, {old} old, {new} new"
    );

    let most = edge.memory();
    println!(
        "{sent} bytes from the origin for {touched} MiB of blocks; then {aborted} aborted, {old} old, {new} new; at most {} MiB resident",
        most / MIB
    );
    assert!(most < 200 * MIB);
}
