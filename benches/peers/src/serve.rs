//! Those among the subjects that this program is itself: `peers serve WHAT [ORIGIN]`.

use crate::{Failure, content::Content, plain_proxy};
use axum::{
    Router,
    body::Body,
    error_handling::HandleErrorLayer,
    extract::State,
    http::{Request, Response, StatusCode, Uri, uri},
    routing::get,
    serve::ListenerExt,
};
use bytes::Bytes;
use frontage::{CacheLayer, MemoryStore};
use http_body_util::Full;
use http_cache::MokaManager;
use http_cache_tower::HttpCacheLayer;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, util::MapRequestLayer};

pub(crate) const MEMORY: u64 = 256 << 20;
const DAY: Duration = Duration::from_secs(86_400);

/// `reverse_proxy`'s settings.
const READ_BUFFER: usize = 64 << 10;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until it is killed; the address is printed.
pub(crate) fn main(arguments: &[String]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["hyper"] => hyper(listener).await,
            ["plain-proxy", origin] => plain_proxy::serve(listener, origin.parse()?).await,
            ["http-cache-tower", origin] => http_cache_tower(listener, origin.parse()?).await,
            ["origin"] => Ok(axum::serve(listener, origin(Arc::new(Content::new()?))).await?),
            [what] => {
                let app = app(what, Arc::new(Content::new()?))?;
                // As in `reverse_proxy`.
                let listener = listener.tap_io(|stream| {
                    if let Err(error) = stream.set_nodelay(true) {
                        eprintln!("set_nodelay failed: {error}");
                    }
                });
                Ok(axum::serve(listener, app).await?)
            }
            _ => Err("peers serve WHAT [ORIGIN]".into()),
        }
    })
}

/// The ceiling: answers from a constant.
async fn hyper(listener: TcpListener) -> Result<(), Failure> {
    let content = Arc::new(Content::new()?);
    let service = service_fn(move |request: Request<Incoming>| {
        let response = content.of(request.uri().path());
        let response = response.map(|constant| constant.response::<Full<Bytes>>());
        std::future::ready(Ok::<_, Infallible>(response.unwrap_or_else(not_found)))
    });
    accept(listener, service).await
}

/// The layer between hyper's server and hyper-util's client.
async fn http_cache_tower(listener: TcpListener, origin: SocketAddr) -> Result<(), Failure> {
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(HttpConnector::new());
    let service = ServiceBuilder::new()
        .layer(MapRequestLayer::new(move |request: Request<Incoming>| {
            absolute(request, &origin.to_string())
        }))
        .layer(HttpCacheLayer::new(moka()))
        .service(client);
    accept(listener, TowerToHyperService::new(service)).await
}

pub(crate) async fn accept<S, B>(listener: TcpListener, service: S) -> Result<(), Failure>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Failure>,
    B: http_body::Body<Error: Into<Failure>> + Send + 'static,
    B::Data: Send,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(READ_BUFFER)
            .serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            // The load leaves when a round ends.
            drop(connection.await);
        });
    }
}

/// axum's subjects: a handler that answers from a constant, bare or below a layer.
pub(crate) fn app(what: &str, content: Arc<Content>) -> Result<Router, Failure> {
    let asked = Arc::new(AtomicU64::new(0));
    let bare = Router::new()
        .route("/{*path}", get(constant))
        .with_state((content, asked.clone()));
    let app = match what {
        "axum" => bare,
        "frontage-axum" => {
            let store = MemoryStore::new(MEMORY);
            bare.layer(CacheLayer::new(store).status_extension(false))
        }
        "http-cache-tower-axum" => bare.layer(
            ServiceBuilder::new()
                .layer(HandleErrorLayer::new(bad_gateway))
                .layer(MapRequestLayer::new(|request| absolute(request, "peers")))
                .layer(HttpCacheLayer::new(moka())),
        ),
        "axum-response-cache" => bare.layer(axum_response_cache::CacheLayer::with_lifespan(DAY)),
        _ => return Err(format!("{what:?} is none of the subjects").into()),
    };
    Ok(app.route("/asked", get(async move || count(&asked))))
}

type Shared = (Arc<Content>, Arc<AtomicU64>);

async fn constant(State((content, asked)): State<Shared>, uri: Uri) -> Response<Body> {
    asked.fetch_add(1, Ordering::Relaxed);
    match content.of(uri.path()) {
        Some(constant) => constant.response(),
        None => not_found(),
    }
}

/// What the proxies ask. It says how often, too.
fn origin(content: Arc<Content>) -> Router {
    let asked = Arc::new(AtomicU64::new(0));
    Router::new()
        .route("/{*path}", get(object))
        .with_state((content, asked.clone()))
        .route("/asked", get(async move || count(&asked)))
}

async fn object(State((content, asked)): State<Shared>, uri: Uri) -> Response<Body> {
    asked.fetch_add(1, Ordering::Relaxed);
    let constant = content.of(uri.path());
    constant
        .and_then(|constant| constant.response_to(uri.path()))
        .unwrap_or_else(not_found)
}

fn count(asked: &AtomicU64) -> String {
    asked.load(Ordering::Relaxed).to_string()
}

/// Room for all keys: its own default is 42 entries.
fn moka() -> MokaManager {
    MokaManager::new(moka::future::Cache::new(100_000))
}

/// It was made for clients: it has no key for a target without a host.
fn absolute<B>(mut request: Request<B>, authority: &str) -> Request<B> {
    let target = request.uri().path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(uri::Scheme::HTTP)
        .authority(authority)
        .path_and_query(target.unwrap_or_else(|| uri::PathAndQuery::from_static("/")))
        .build();
    if let Ok(uri) = uri {
        *request.uri_mut() = uri;
    }
    request
}

async fn bad_gateway(_error: http_cache_tower::HttpCacheError) -> StatusCode {
    StatusCode::BAD_GATEWAY
}

fn not_found<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
