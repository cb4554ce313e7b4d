//! Shields as processes: servers on sockets, which can be killed.

use crate::support::*;
use bytes::Bytes;
use frontage::{CacheLayer, MemoryStore, cdn_loop::CdnLoopLayer, origin::OriginShieldLayer};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{Layer, Service, ServiceExt};

/// What the origin was asked for, and by which shield.
pub(crate) type Fetched = Arc<Mutex<Vec<(String, usize)>>>;

/// A shield's server: a task that takes all of its connections with it.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Process {
    /// Starts it at an address that may be of any port.
    pub(crate) async fn start(address: &str, number: usize, fetched: &Fetched) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve_all(listener, shield(number, fetched.clone())));
        Self { address, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it, in the middle of whatever it does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// Serves each connection by a clone of the service, for as long as it is polled.
pub(crate) async fn serve_all<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service.clone();
        let answer = service_fn(move |request| service.clone().oneshot(request));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

/// Says in each response which shield it is.
fn shield(
    number: usize,
    fetched: Fetched,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = impl Into<BoxError>>>,
    Error = Infallible,
    Future = impl Send,
> + Clone
+ Send
+ 'static {
    let origin = tower::service_fn(move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        fetched.lock().unwrap().push((path.clone(), number));
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            let mut response = Response::new(Full::<Bytes>::from(path.repeat(100)));
            let minute = HeaderValue::from_static("max-age=60");
            response.headers_mut().insert("cache-control", minute);
            Ok::<_, Infallible>(response)
        }
    });
    let layer = OriginShieldLayer::new(MemoryStore::new(16 << 20));
    let shielded = CdnLoopLayer::new("shield")
        .unwrap()
        .layer(layer.layer(origin));
    tower::util::MapResponse::new(shielded, move |mut response: Response<_>| {
        response.headers_mut().insert("x-shield", number.into());
        response
    })
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An origin that nobody should ask: it counts, and says that it is the origin.
pub(crate) async fn origin() -> (String, Counter) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Counter::default();
    let count = asked.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let count = count.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                count.add();
                let path = request.uri().path().to_owned();
                async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(path.repeat(100)))) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    (url, asked)
}

/// A cache that stores for a minute.
pub(crate) fn cache() -> CacheLayer {
    CacheLayer::new(MemoryStore::new(16 << 20))
}
