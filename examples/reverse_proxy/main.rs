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

mod arguments;
mod origins;
mod viewer;

use arguments::Arguments;
use bytes::Bytes;
use frontage::{CacheLayer, MemoryStore, ViewerAddress, ViewerProtocol};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{error::Error, net::SocketAddr, process::ExitCode, time::Duration};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tower::{Layer, Service, service_fn};

/// Connections read in pieces of at most this: hyper's own default grows to 400 KiB for each.
const READ_BUFFER: usize = 64 << 10;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
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

    let layer = CacheLayer::new(MemoryStore::new(arguments.memory)).policy(arguments.policy);
    let cache = layer.layer(arguments.origins);

    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(READ_BUFFER);
    server.http2().timer(TokioTimer::new());
    let shutdown = GracefulShutdown::new();
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the viewer was gone already: others may come.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        // Small writes, such as the events of a stream, are sent at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set_nodelay failed");
        }
        let cache = cache.clone();
        let service = service_fn(move |request| answer(cache.clone(), address, request));
        let service = TowerToHyperService::new(service);
        let connection = server
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = shutdown.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &*error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, shutdown.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections were still busy after {SHUTDOWN_TIMEOUT:?}");
    }
    Ok(())
}

/// Lets the cache answer, and says where the request comes from; unless it is one that nobody may answer.
async fn answer<S, B>(
    mut cache: S,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Either<B, Empty<Bytes>>>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    let (mut parts, body) = request.into_parts();
    if !viewer::is_valid(&parts) {
        let mut refusal = Response::new(Either::Right(Empty::new()));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    }
    parts.extensions.insert(ViewerAddress(address));
    parts.extensions.insert(ViewerProtocol::Http);
    // A cache is always ready.
    let response = cache.call(Request::from_parts(parts, body)).await?;
    Ok(response.map(Either::Left))
}
