//! The example `video`, as a player sees it: what it gets, what that costs the origin, and what the page is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "support/example.rs"]
mod example;
mod support;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use std::{process::Stdio, time::Duration};
use support::within;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::Instant,
};

/// A minute: 11 blocks, the last of which isn't whole.
const LENGTH: usize = 44 + 60 * 176_400;

struct Video {
    process: Child,
    _output: Lines<BufReader<ChildStdout>>,
    client: Client<HttpConnector, Empty<Bytes>>,
    url: String,
    origin: String,
}

/// Starts it.
async fn video(arguments: &[&str]) -> Video {
    let mut process = Command::new(example::binary("video").await)
        .args(["--listen", "127.0.0.1:0", "--minutes", "1"])
        .args(arguments)
        .env("RUST_LOG", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut line = async || {
        let line = within(output.next_line()).await.unwrap();
        line.expect("it has ended")
    };
    let (listening, origin) = (line().await, line().await);
    Video {
        process,
        _output: output,
        client: Client::builder(TokioExecutor::new()).build_http(),
        url: listening.strip_prefix("listening on ").unwrap().to_owned(),
        origin: origin.strip_prefix("its origin is on ").unwrap().to_owned(),
    }
}

impl Video {
    async fn send(&self, method: &str, url: String, fields: &[(&str, &str)]) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).unwrap();
        let (head, body) = within(self.client.request(request))
            .await
            .unwrap()
            .into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        Response::from_parts(head, body)
    }

    /// Gets bytes of the recording, which must be those that the origin has.
    async fn play(&self, range: &str) -> HeaderMap {
        let response = self.range(&self.url, range).await;
        assert_eq!(response.status(), 206, "{range}");
        let exact = self.range(&self.origin, range).await;
        assert!(response.body() == exact.body(), "{range}: other bytes");
        let said = &response.headers()["content-range"];
        assert_eq!(said, &exact.headers()["content-range"], "{range}");
        response.headers().clone()
    }

    async fn range(&self, at: &str, range: &str) -> Response<Bytes> {
        let url = format!("{at}/recording.wav");
        self.send("GET", url, &[("range", range)]).await
    }

    /// What the page is told, once all that was asked for is stored.
    async fn counts(&self) -> Value {
        within(async {
            loop {
                let url = format!("{}/counts.json", self.url);
                let response = self.send("GET", url, &[]).await;
                assert_eq!(response.headers()["cache-control"], "no-store");
                let counts: Value = serde_json::from_slice(response.body()).unwrap();
                if counts["origin"]["underWay"] == 0 {
                    return counts;
                }
            }
        })
        .await
    }

    /// How often the origin was asked since the last time, and what each block got so far: number, hits, joined, misses, and
    /// which of these three it was last.
    async fn cost(&self, asked_before: &mut u64) -> (u64, Value) {
        let mut counts = self.counts().await;
        let asked = counts["origin"]["requests"].as_u64().unwrap();
        let since = asked - std::mem::replace(asked_before, asked);
        (since, counts["cache"]["blocks"].take())
    }
}

#[tokio::test]
async fn a_seek_costs_the_blocks_it_touches_once_and_the_page_is_told_which() {
    let mut video = video(&["--origin-delay", "0"]).await;
    let asked = &mut 0;

    // Each time the origin is asked once more, for what is right.
    let head = video.play("bytes=0-999").await;
    assert_eq!(head["content-type"], "audio/wav");
    assert_eq!(video.cost(asked).await, (2, json!([[0, 0, 0, 1, 3]])));

    // Into the middle: within a block, and over the edge of one.
    video.play("bytes=5000000-5099999").await;
    assert_eq!(
        video.cost(asked).await,
        (2, json!([[0, 0, 0, 1, 3], [4, 0, 0, 1, 3]]))
    );
    video.play("bytes=8388000-8389000").await;
    let touched = json!([
        [0, 0, 0, 1, 3],
        [4, 0, 0, 1, 3],
        [7, 0, 0, 1, 3],
        [8, 0, 0, 1, 3]
    ]);
    assert_eq!(video.cost(asked).await, (3, touched));

    // Back, to other bytes of these blocks.
    video.play("bytes=4200000-5242879").await;
    video.play("bytes=7340032-9437183").await;
    let hits = json!([
        [0, 0, 0, 1, 3],
        [4, 1, 0, 1, 1],
        [7, 1, 0, 1, 1],
        [8, 1, 0, 1, 1]
    ]);
    assert_eq!(video.cost(asked).await, (2, hits));

    let whole = video
        .send("GET", format!("{}/recording.wav", video.url), &[])
        .await;
    assert_eq!((whole.status().as_u16(), whole.body().len()), (200, LENGTH));
    let exact = video
        .send("GET", format!("{}/recording.wav", video.origin), &[])
        .await;
    assert!(whole.body() == exact.body(), "other bytes");
    let counts = video.counts().await;
    let cache = &counts["cache"];
    assert_eq!(cache["blocks"].as_array().unwrap().len(), 11);
    assert_eq!(
        [&cache["hits"], &cache["joined"], &cache["misses"]],
        [&json!(7), &json!(0), &json!(11)]
    );
    assert_eq!(counts["viewer"]["requests"], 6);

    let cleared = video
        .send("POST", format!("{}/clear", video.url), &[])
        .await;
    assert_eq!(cleared.status(), 204);
    video.play("bytes=0-999").await;
    assert_eq!(video.cost(&mut 0).await, (2, json!([[0, 0, 0, 1, 3]])));

    let process = video.process.id().unwrap().to_string();
    let kill = Command::new("kill").arg(process).status().await;
    assert!(kill.unwrap().success());
    assert!(within(video.process.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_cold_block_takes_as_long_as_the_origin_and_a_warm_one_does_not() {
    const DELAY: Duration = Duration::from_millis(1500);
    let video = video(&["--origin-delay", "1500"]).await;
    let took = async || {
        let begun = Instant::now();
        // As a browser that reloads: the cache stays warm.
        let fields = [
            ("range", "bytes=3000000-3000999"),
            ("cache-control", "no-cache"),
        ];
        let url = format!("{}/recording.wav", video.url);
        let response = video.send("GET", url, &fields).await;
        assert_eq!(response.body().len(), 1000);
        begun.elapsed()
    };
    let (cold, warm) = (took().await, took().await);
    assert!(cold >= DELAY && warm < DELAY, "{cold:?}, {warm:?}");
    let facts = video
        .send("GET", format!("{}/recording.json", video.url), &[])
        .await;
    let facts: Value = serde_json::from_slice(facts.body()).unwrap();
    assert_eq!(
        (&facts["originDelay"], &facts["blocks"]),
        (&json!(1500), &json!(11))
    );
}

#[tokio::test]
async fn what_the_memory_does_not_hold_is_fetched_again() {
    let video = video(&[
        "--origin-delay",
        "0",
        "--memory",
        "2MiB",
        "--block-size",
        "128KiB",
    ])
    .await;
    let asked = &mut 0;
    video.range(&video.url, "bytes=0-5242879").await;
    assert_eq!(video.cost(asked).await.0, 40);
    video.range(&video.url, "bytes=0-5242879").await;
    let (fetched, blocks) = video.cost(asked).await;
    // At most 16 are there.
    assert!((24..=40).contains(&fetched), "{fetched}");
    let twice = blocks.as_array().unwrap().iter();
    let twice = twice.filter(|block| block[3] == 2).count() as u64;
    assert_eq!(twice, fetched);
    let memory = video.counts().await["memory"].take();
    assert!(memory["used"].as_u64() <= memory["capacity"].as_u64());
    assert!(memory["evictions"].as_u64() >= Some(24), "{memory}");
}

#[tokio::test]
async fn bad_options_end_it_with_what_is_wrong() {
    for (flag, value) in [
        ("--memory", "much"),
        ("--block-size", "3000"),
        ("--origin-delay", "-1"),
        ("--minutes", "0"),
        ("--listen", "here"),
        ("--speed", "2"),
    ] {
        let output = Command::new(example::binary("video").await)
            .args([flag, value])
            .output();
        let output = within(output).await.unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            message.starts_with("video: ") && message.contains(flag),
            "{message}"
        );
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{flag}"
        );
    }
}
