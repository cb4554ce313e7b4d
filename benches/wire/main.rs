//! When the first byte comes over real sockets: through the `reverse_proxy` example, beside the same client straight on
//! the origin.
//!
//! ```text
//! cargo build --release --example reverse_proxy && cargo bench --bench wire
//! cargo bench --bench wire -- --connections    # what 1 to 10,000 connections cost
//! ```
//!
//! # Figures
//!
//! Milliseconds, 2026-11-22, two cores shared by all three processes:
//!
//! | | direct | through | target |
//! |---|---|---|---|
//! | slowest first byte of 1,000 cold clients, Content-Length | 19.0 | 35.2 | 40 ms later or 1.5 times: met |
//! | the same, chunked | 25.5 | 29.0 | the same: met |
//! | first byte of 10 MiB over 2 s | 0.34 | 0.78 | 2 ms later: met |
//! | delay of an event, median | 0.16 | 0.32 | 2 ms later: met |
//! | delay of an event, slowest of 40 | 0.67 | 1.28 | within the 50 ms between two: met |
//! | until the origin's stream ends behind its viewer | 0.05 | 0.20 | 100 ms later: met |
//!
//! Connections, 2026-11-22, little else on the two cores; *ratio* is to the bare server in the same run:
//!
//! | connections | server | requests per second | per CPU second of the server | ratio | KiB for each |
//! |---|---|---|---|---|---|
//! | 1 | bare | 75,703 | 147,478 | 1.00 | |
//! | | reverse_proxy | 76,772 | 142,174 | 0.96 | |
//! | 100 | bare | 161,917 | 169,892 | 1.00 | 11.4 |
//! | | reverse_proxy | 137,559 | 131,896 | 0.78 | 21.9 |
//! | 1,000 | bare | 156,078 | 137,999 | 1.00 | 11.4 |
//! | | reverse_proxy | 130,550 | 109,642 | 0.79 | 22.0 |
//! | 10,000 | bare | 95,638 | 92,507 | 1.00 | 11.2 |
//! | | reverse_proxy | 96,024 | 82,921 | 0.90 | 22.1 |
//!
//! What grows is what a connection itself costs: the bare server, which has no cache, loses 46 % from 100 connections to 10,000, and the proxy
//! 37 %. Each connection's task, buffers and socket are used once in 10,000 requests, and are cold again by then: 110 MiB of them in
//! the bare server, and as much or more in the kernel. Memory grows by the connection and no more; the proxy's has twice the
//! bare server's: its server speaks HTTP/2, too, and it keeps a cache and an address for each.
//!
//! # How it is measured
//!
//! Three processes on 127.0.0.1: the proxy, the origin (this program again) and the client; for *connections* also the bare server, hyper's of
//! HTTP/1.1 with a constant answer (this program again; it has the system's allocator, the proxy jemalloc). The client writes plain
//! HTTP/1.1 to a TCP stream and notes when the first byte of the *body* comes; that it all comes is checked, too.
//! Connections are open before the clock starts. Direct and through take turns, each round on a key of its own;
//! medians of five rounds.
//!
//! * *Cold clients*: all send at once; the origin holds back the last chunk until each has its first byte, and is asked
//!   once only. The figure is the slowest client's.
//! * *Connections*: each asks for the same hot object of 1 KiB again as soon as it has it, for 3 s; the middle of three rounds, each with
//!   a server of its own, the bare one and the proxy in turn. The processor's time is the server's alone.
//! * *Dribbled*: 10 MiB in 160 pieces over 2 s.
//! * *Events*: each carries the time at which it was sent; the viewer leaves in mid-stream, and the origin notes when it
//!   sees that.

mod bare;
mod client;
mod connections;
mod origin;
mod processes;
mod report;
mod scenarios;

use processes::Server;
use report::Report;
use std::{error::Error, process::ExitCode};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let done = if has("--origin") {
        run(origin::serve())
    } else if has("--bare") {
        run(bare::serve())
    } else if has("--connections") {
        run(connections::bench())
    } else if has("--bench") {
        run(bench())
    } else {
        // `cargo test --all-targets` starts it, too.
        println!("nothing to test; to measure: cargo bench --bench wire");
        Ok(())
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wire: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(what)
}

async fn bench() -> Result<(), Failure> {
    processes::check_file_limit(scenarios::CLIENTS)?;
    let origin = Server::this("--origin").await?;
    let proxy = Server::proxy(origin.address, &["--memory", "256MiB"]).await?;
    let targets = scenarios::Targets {
        direct: origin.address,
        through: proxy.address,
    };
    let mut report = Report::new();
    scenarios::cold_clients(&targets, &mut report).await?;
    scenarios::dribbled(&targets, &mut report).await?;
    scenarios::events(&targets, &mut report).await?;
    report.finish()
}
