//! A map-tile server: each tile is drawn on demand from the outlines of the world's countries,
//! and `frontage` in front of it sees to it that each is drawn once.
//!
//! ```text
//! cargo run --release --example tiles -- [--listen ADDR] [--memory SIZE]
//! ```
//!
//! Then open <http://127.0.0.1:3000/>, or ask for a tile twice:
//!
//! ```text
//! curl -s -o /dev/null -D - http://127.0.0.1:3000/tiles/ocean+land+borders/4/8/5.png
//! ```
//!
//! The path holds all that a tile needs: `/tiles/{layers}/{z}/{x}/{y}.png`, the layers joined by
//! `+` and drawn in that order. `/renders` tells how many tiles were really drawn: after a thousand
//! first requests for a tile at once, one.
//!
//! ```text
//! seq 1000 | xargs -P 1000 -I{} curl -s -o /dev/null http://127.0.0.1:3000/tiles/land/3/4/2.png
//! curl http://127.0.0.1:3000/renders
//! ```

mod address;
mod arguments;
mod clip;
mod geometry;
mod labels;
mod lettering;
mod page;
mod palette;
mod render;
mod tiles;
mod topology;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use frontage::{CacheLayer, MemoryStore};
use tokio::net::TcpListener;

use crate::arguments::{Arguments, Command};
use crate::tiles::Tiles;
use crate::world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Command::Serve(arguments)) => arguments,
        Ok(Command::Help) => {
            print!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("tiles: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tiles: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let tiles = Arc::new(Tiles::new(World::load()?));
    let listener = TcpListener::bind(arguments.listen.as_slice())
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen[0]))?;
    println!("listening on http://{}", listener.local_addr()?);

    axum::serve(listener, app(tiles, arguments.memory))
        .with_graceful_shutdown(asked_to_stop())
        .await?;
    Ok(())
}

/// The whole server. The cache is the one line that says `CacheLayer`.
fn app(tiles: Arc<Tiles>, memory: u64) -> Router {
    Router::new()
        .route("/", get(page::html))
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::js))
        .route("/tiles/{layers}/{z}/{x}/{y}", get(tiles::tile))
        .route("/renders", get(tiles::renders))
        .with_state(tiles)
        .layer(CacheLayer::new(MemoryStore::new(memory)))
}

/// Ends with the first ctrl-c or, where there are signals, SIGTERM.
async fn asked_to_stop() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler the signal kills the process anyway.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        };
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();

    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
}
