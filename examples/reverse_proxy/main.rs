//! A caching reverse proxy: `frontage` in front of an HTTP origin.
//!
//! ```text
//! cargo run --release --example reverse_proxy -- --listen 127.0.0.1:8080 --origin http://127.0.0.1:9000
//! curl -i http://127.0.0.1:8080/
//! ```

mod arguments;

use arguments::Arguments;
use bytes::Bytes;
use frontage::{CacheLayer, MemoryStore, headers::remove_hop_by_hop};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::Authority};
use http_body::Body;
use http_body_util::{Either, Empty, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{convert::Infallible, error::Error, io::ErrorKind, process::ExitCode, time::Duration};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tower::{Layer, service_fn};

/// Connections read in pieces of at most this: hyper's own default grows to 400 KiB for each.
const READ_BUFFER: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

type OriginClient = Client<HttpConnector, Either<Incoming, Empty<Bytes>>>;
type OriginBody = Either<Incoming, Full<Bytes>>;

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

    let client = origin_client();
    let origin = arguments.origin;
    let forward = service_fn(move |request| forward(client.clone(), origin.clone(), request));
    let layer = CacheLayer::new(MemoryStore::new(arguments.memory)).policy(arguments.policy);
    let service = TowerToHyperService::new(layer.layer(forward));

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
        let stream = match accepted {
            Ok((stream, _peer)) => stream,
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
        let connection = server
            .serve_connection_with_upgrades(TokioIo::new(stream), service.clone())
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

fn origin_client() -> OriginClient {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(5))
        .http1_max_buf_size(READ_BUFFER)
        .build(connector)
}

/// Sends a request to the origin. What fails there becomes a 502 or a 504.
async fn forward(
    client: OriginClient,
    origin: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<OriginBody>, Infallible> {
    let Some(uri) = origin_uri(&origin, request.uri()) else {
        return Ok(failure(StatusCode::BAD_REQUEST));
    };
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_11;
    remove_hop_by_hop(request.headers_mut());
    let has_length = request.headers().contains_key(header::CONTENT_LENGTH);
    if !request.body().is_end_stream() && !has_length {
        // hyper sends a body of unknown length for a GET only when it is told to.
        request.headers_mut().insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    if let Ok(host) = HeaderValue::from_str(origin.as_str()) {
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(
        match tokio::time::timeout(RESPONSE_TIMEOUT, send(&client, request)).await {
            Ok(Ok(mut response)) => {
                remove_hop_by_hop(response.headers_mut());
                // A message of ours, whatever the origin speaks (RFC 9110 section 2.5).
                *response.version_mut() = http::Version::HTTP_11;
                response.map(Either::Left)
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn Error, "the origin failed");
                failure(if is_timeout(&error) {
                    StatusCode::GATEWAY_TIMEOUT
                } else {
                    StatusCode::BAD_GATEWAY
                })
            }
            Err(_elapsed) => {
                tracing::warn!("no response from the origin within {RESPONSE_TIMEOUT:?}");
                failure(StatusCode::GATEWAY_TIMEOUT)
            }
        },
    )
}

/// Sends a request, and once more if a pooled connection may have died under it: where that does no harm.
async fn send(
    client: &OriginClient,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    let again = (request.method().is_idempotent() && request.body().is_end_stream()).then(|| {
        let mut again = Request::new(Either::Right(Empty::new()));
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        again
    });
    match (client.request(request.map(Either::Left)).await, again) {
        (Err(error), Some(again)) if !error.is_connect() => {
            tracing::debug!(error = &error as &dyn Error, "trying once more");
            client.request(again).await
        }
        (result, _) => result,
    }
}

fn origin_uri(origin: &Authority, asked: &Uri) -> Option<Uri> {
    let target = asked.path_and_query().map_or("/", |target| target.as_str());
    Uri::builder()
        .scheme("http")
        .authority(origin.clone())
        .path_and_query(target)
        .build()
        .ok()
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error.kind() == ErrorKind::TimedOut
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn failure(status: StatusCode) -> Response<OriginBody> {
    let reason = status.canonical_reason().unwrap_or("the origin failed");
    let mut response = Response::new(Either::Right(Full::from(format!(
        "{}\n",
        reason.to_lowercase()
    ))));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
