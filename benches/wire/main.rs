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
//! Milliseconds, 2026-11-20, two cores shared by all three processes:
//!
//! | | direct | through | target |
//! |---|---|---|---|
//! | slowest first byte of 1,000 cold clients, Content-Length | 24.9 | 26.7 | 40 ms later or 1.5 times: met |
//! | the same, chunked | 19.2 | 27.9 | the same: met |
//! | first byte of 10 MiB over 2 s | 0.24 | 0.70 | 2 ms later: met |
//! | delay of an event, median | 0.17 | 0.29 | 2 ms later: met |
//! | delay of an event, slowest of 40 | 0.53 | 0.38 | within the 50 ms between two: met |
//! | until the origin's stream ends behind its viewer | 0.17 | 0.18 | 100 ms later: met |
//!
//! Connections, 2026-11-21, with much other work on the two cores; two runs:
//!
//! | connections | requests per CPU second of the proxy | KiB for each |
//! |---|---|---|
//! | 1 | 118,812 and 128,854 | |
//! | 100 | 149,924 and 145,118 | 20 |
//! | 1,000 | 74,028 and 95,596 | 20 |
//! | 10,000 | 73,046 and 74,919 | 20 |
//!
//! Memory grows by the connection and no more. Why a request costs twice as much with 10,000 as with 100 was not looked into, and there was no
//! bare server beside it; requests per second differed threefold between the runs and are left out.
//!
//! # How it is measured
//!
//! Three processes on 127.0.0.1: the proxy, the origin (this program again) and the client. The client writes plain
//! HTTP/1.1 to a TCP stream and notes when the first byte of the *body* comes; that it all comes is checked, too.
//! Connections are open before the clock starts. Direct and through take turns, each round on a key of its own;
//! medians of five rounds.
//!
//! * *Cold clients*: all send at once; the origin holds back the last chunk until each has its first byte, and is asked
//!   once only. The figure is the slowest client's.
//! * *Connections*: each asks for the same hot object of 1 KiB again as soon as it has it, for 3 s; the middle of three rounds, each with
//!   a proxy of its own. The processor's time is the proxy's alone.
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
