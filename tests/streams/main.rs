//! What goes both ways at once, through the `reverse_proxy` example in a process of its own: WebSockets, and gRPC.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod grpc;
#[path = "../support/proxy.rs"]
mod process;
#[allow(dead_code, reason = "some is for other tests")]
#[path = "../origin/raw.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;
mod upgrades;
mod websocket;

use process::Process;
use support::{until, within};

const MIB: usize = 1 << 20;

/// A proxy in front of an origin, as it is before the first request.
async fn proxy(origin: std::net::SocketAddr) -> Process {
    Process::start(origin, &["--memory", "16MiB"]).await
}
