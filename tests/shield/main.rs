//! Origin shields: between many caches and an origin, in the process and in others.

#![cfg(feature = "origin")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod errors;
#[path = "../support/heard.rs"]
mod heard;
mod in_process;
mod log;
mod process;
mod remote;

#[allow(dead_code, reason = "made for more than is used here")]
#[path = "../origin/raw.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use frontage::{
    Cache, CacheCore, CacheLayer, MemoryStore, ResponseBody, clock::ManualClock,
    origin::OriginShieldLayer,
};
use http::{Request, Response};
use support::*;
use tower::{Layer, ServiceExt};

type Shielded = Cache<Origin>;
type Edge = Cache<Shielded>;
type EdgeBody = ResponseBody<ResponseBody<Body>>;

/// A core of its own, where time stands still until the clock is set.
fn core(clock: &ManualClock) -> CacheCore {
    let core = CacheCore::builder(MemoryStore::new(16 << 20)).clock(clock.clone());
    core.build().unwrap()
}

fn clock() -> ManualClock {
    ManualClock::at(1_767_225_600_000)
}

/// A shield over the test's origin.
fn shield() -> (Shielded, Calls) {
    let (origin, calls) = origin();
    let shield = OriginShieldLayer::with_core(core(&clock()));
    (shield.layer(origin), calls)
}

/// One more cache in front of it.
fn edge(shielded: &Shielded) -> Edge {
    CacheLayer::with_core(core(&clock())).layer(shielded.clone())
}

async fn head(edge: &Edge, request: Request<NoBody>) -> Response<EdgeBody> {
    within(edge.clone().oneshot(request)).await.unwrap()
}

/// Sends a request in a task of its own.
fn asking(
    edge: &Edge,
    request: Request<NoBody>,
) -> tokio::task::JoinHandle<Result<Response<EdgeBody>, Broken>> {
    tokio::spawn(edge.clone().oneshot(request))
}

/// Waits for the answer to it.
async fn answered(
    asking: tokio::task::JoinHandle<Result<Response<EdgeBody>, Broken>>,
) -> Response<EdgeBody> {
    within(asking).await.unwrap().unwrap()
}

/// All lines of `Cache-Status`, as one.
fn cache_status<B>(response: &Response<B>) -> String {
    let lines = response.headers().get_all("cache-status").iter();
    let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap()).collect();
    lines.join(", ")
}
