//! What it costs to put a whole together from blocks: a film of 1 GiB by `GET`, over loopback.
//!
//! ```text
//! cargo bench --bench blocks                  # 1 GiB, five rounds
//! cargo bench --bench blocks -- --mib 256     # a shorter one
//! ```
//!
//! # How it is measured
//!
//! One process has them all: an origin that sends what it has in memory, three edges over an `Origin` each, and the viewer, who counts the
//! bytes. *Plain*: the `Origin` alone. *Cache*: a `CacheLayer` with 64 MiB, for which the film is too large. *Blocks*: a
//! `BlockLayer` over the same, blocks of 1 MiB; before each round all is invalidated, so that each block is fetched and
//! stored. They take turns, and the medians are compared: blocks have at least 0.9 of the plain one's throughput.

#[path = "../tests/support/film.rs"]
mod film;

use bytes::Bytes;
use film::{Film, serve};
use frontage::{BlockLayer, CacheLayer, MemoryStore, invalidation::Invalidation, origin::Origin};
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use std::{error::Error, net::SocketAddr, process::ExitCode, time::Duration};
use tokio::{net::TcpStream, time::Instant};
use tower::Layer;

type Failure = Box<dyn Error>;

const ROUNDS: usize = 5;
const LEAST: f64 = 0.9;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blocks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--mib");
    let mib = match at {
        None => 1024,
        Some(at) => arguments.get(at + 1).ok_or("--mib NUMBER")?.parse()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(mib))
}

async fn measure(mib: u64) -> Result<(), Failure> {
    let film = Film::new(mib << 20);
    let origin = format!("http://{}", film.serve().await);
    let origin = || Origin::url(&origin)?.build();
    let store = || MemoryStore::new(64 << 20);
    let in_blocks = CacheLayer::new(store());
    let invalidator = in_blocks.core().invalidator();
    let edges = [
        ("plain", serve(origin()?).await),
        (
            "cache",
            serve(CacheLayer::new(store()).layer(origin()?)).await,
        ),
        (
            "blocks",
            serve(BlockLayer::new(in_blocks).layer(origin()?)).await,
        ),
    ];
    let mut took = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        invalidator.issue(&Invalidation::everything());
        for ((_, edge), took) in edges.iter().zip(&mut took) {
            let time = watch(*edge, mib << 20).await?;
            // The first one warms up.
            if round > 0 {
                took.push(time);
            }
        }
    }
    let throughput = took.map(|mut took| {
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or(Duration::MAX);
        mib as f64 / median.as_secs_f64()
    });
    let [plain, _, blocks] = throughput;
    println!("| | MiB/s | of the plain one |\n|---|---|---|");
    for ((name, _), throughput) in edges.iter().zip(throughput) {
        println!("| {name} | {throughput:.0} | {:.3} |", throughput / plain);
    }
    match blocks / plain >= LEAST {
        true => Ok(()),
        false => Err(format!("less than {LEAST} of the plain one").into()),
    }
}

/// Reads the whole film; how long that took.
async fn watch(edge: SocketAddr, length: u64) -> Result<Duration, Failure> {
    let stream = TcpStream::connect(edge).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/film")
        .header(header::HOST, "www.example.com")
        .body(Empty::<Bytes>::new())?;
    let began = Instant::now();
    let mut body = sender.send_request(request).await?.into_body();
    let mut came = 0;
    while let Some(frame) = body.frame().await {
        came += frame?.into_data().map_or(0, |data| data.len() as u64);
    }
    let took = began.elapsed();
    drop(sender);
    connection.await??;
    match came == length {
        true => Ok(took),
        false => Err(format!("{came} bytes of {length}").into()),
    }
}
