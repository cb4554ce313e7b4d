//! A recording of half an hour, 303 MiB, in the browser: played and sought through blocks, and each block shows what the
//! cache said of it.
//!
//! ```text
//! cargo run --release --example video -- [--origin-delay MS] [--memory SIZE] [--block-size SIZE] [--minutes N] [--listen ADDR]
//! ```
//!
//! Then open <http://127.0.0.1:3000/> and press play. Click anywhere in the map of blocks to go there: it takes as long as the
//! origin does. Reload the page and go there again: now it's a hit. More than half of the recording doesn't fit into the
//! cache: who hears it all sees blocks evicted and fetched again.
//!
//! The cache is told to ignore what viewers say in `Cache-Control` (`CachePolicy::honor_request_directives(false)`): `no-cache`, as a
//! reload by hand sends it, is a hit where the block is stored, and `only-if-cached` fetches one that isn't. By default the one fetches,
//! and the other is a 504.
//!
//! The origin is a server of its own on another port; `frontage` asks it for a block at a time. Without a browser:
//!
//! ```text
//! curl -s -o /dev/null -D - -r 100000000-100000999 http://127.0.0.1:3000/recording.wav
//! curl -s http://127.0.0.1:3000/counts.json
//! ```

mod arguments;
mod counts;
mod origin;
mod page;
mod recording;
mod sound;

use arguments::Arguments;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{get, post},
};
use counts::{Counts, Listener};
use frontage::{CacheLayer, blocks::Blocks, origin::OriginService};
use http_body_util::BodyExt;
use origin::Origin;
use recording::Recording;
use std::{
    error::Error, future::Future, net::Ipv4Addr, num::NonZeroU64, process::ExitCode, sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tower::{Layer as _, ServiceExt};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt,
};

/// A player that is paused keeps its connection, and would keep the server.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// What viewers talk to.
struct Edge {
    /// The cache, in blocks, over the origin.
    service: Blocks<OriginService>,
    cache: CacheLayer,
    counts: Arc<Counts>,
    origin: Arc<Origin>,
    recording: Recording,
    block_size: NonZeroU64,
    origin_delay: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::from_env() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("video: {message}");
            return ExitCode::from(2);
        }
    };
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("video: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let blocks = arguments
        .recording
        .length()
        .div_ceil(arguments.block_size.get());
    let counts = Counts::new(usize::try_from(blocks)?);
    listen_to_the_cache(counts.clone());

    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| format!("--listen {}: {error}", arguments.listen))?;
    let origin = Origin::new(arguments.recording, arguments.origin_delay);
    let origin_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let origin_url = format!("http://{}", origin_listener.local_addr()?);
    let client = frontage::origin::Origin::url(&origin_url)?.build()?;
    let edge = Edge {
        service: arguments.blocks.layer(client),
        cache: arguments.cache,
        counts,
        origin: origin.clone(),
        recording: arguments.recording,
        block_size: arguments.block_size,
        origin_delay: arguments.origin_delay,
    };
    println!("listening on http://{}", listener.local_addr()?);
    println!("its origin is on {origin_url}");

    let server = axum::serve(listener, app(Arc::new(edge))).with_graceful_shutdown(stopped()?);
    let origin = axum::serve(origin_listener, origin.router());
    let stopped = stopped()?;
    tokio::select! {
        ended = server.into_future() => ended?,
        ended = origin.into_future() => ended?,
        () = async {
            stopped.await;
            tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
        } => {}
    }
    Ok(())
}

/// The page, what it asks for, and what it plays.
fn app(edge: Arc<Edge>) -> Router {
    Router::new()
        .route("/", get(page::html))
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::js))
        .route("/recording.json", get(page::recording))
        .route("/recording.wav", get(play))
        .route("/counts.json", get(page::counts))
        .route("/clear", post(page::clear))
        .with_state(edge)
}

async fn play(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    edge.counts.add_request();
    let Ok(response) = edge.service.clone().oneshot(request).await;
    let counts = edge.counts.clone();
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            counts.add_bytes(frame.data_ref().map_or(0, |data| data.len()));
            frame
        }))
    })
}

/// Events go to the standard error as `RUST_LOG` says, and, whatever it says, what the cache says of blocks to the counts.
fn listen_to_the_cache(counts: Arc<Counts>) {
    let shown = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("warn"));
    let answers = Targets::new().with_target("frontage", tracing::Level::DEBUG);
    tracing_subscriber::registry()
        .with(Listener(counts).with_filter(answers))
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_filter(shown),
        )
        .init();
}

/// Ends once the process is told to.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
}
