//! A caching reverse proxy: `frontage` in front of an HTTP origin.
//!
//! ```text
//! cargo run --release --example reverse_proxy -- --listen 127.0.0.1:8080 --origin http://127.0.0.1:9000
//! curl -i http://127.0.0.1:8080/
//! ```
//!
//! With a second origin, which answers what the first fails to:
//!
//! ```text
//! cargo run --release --example reverse_proxy -- --listen 127.0.0.1:8080 --origin http://127.0.0.1:9000 \
//!     --secondary http://127.0.0.1:9001 --failover 502,503,504 --connect-timeout 1 --attempts 1
//! ```
//!
//! With origin shields, which are such proxies themselves: what all edges miss is fetched from the origin once.
//!
//! ```text
//! cargo run --release --example reverse_proxy -- --listen 127.0.0.1:8081 --origin http://127.0.0.1:9000 --name shield
//! cargo run --release --example reverse_proxy -- --listen 127.0.0.1:8080 --origin http://127.0.0.1:9000 --shield http://127.0.0.1:8081
//! cargo run --release --example reverse_proxy -- --listen 127.0.0.1:8082 --origin http://127.0.0.1:9000 --shield http://127.0.0.1:8081
//! curl -i -H 'Host: www.example.com' http://127.0.0.1:8080/
//! curl -i -H 'Host: www.example.com' http://127.0.0.1:8082/
//! ```
//!
//! The second finds in the shield what the first made it fetch. That takes one `Host`, as a site's edges have: it goes on to the shield,
//! and is in the keys of all caches. Without `-H` each edge has its own, with its port.

mod answer;
mod arguments;
mod origins;
mod server;
mod viewer;

use arguments::Arguments;
use frontage::cdn_loop::CdnLoopLayer;
use std::{error::Error, process::ExitCode};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tracing_subscriber::EnvFilter;
use viewer::FromViewer;

// With glibc's a miss takes a third more CPU time (benches/peers).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = match Arguments::from_env() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("reverse_proxy: {message}");
            return ExitCode::from(2);
        }
    };
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reverse_proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| format!("--listen {}: {error}", arguments.listen))?;
    println!("listening on http://{}", listener.local_addr()?);

    // Above the cache, too, or a request that comes back would wait for itself in there.
    let cdn_loop = CdnLoopLayer::new("frontage")?;
    let cache_for = |address| {
        let origins = FromViewer::new(arguments.origins.clone(), address);
        cdn_loop.around(&arguments.cache, origins)
    };
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    server::serve(listener, cache_for, stop).await;
    Ok(())
}
