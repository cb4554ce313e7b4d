//! An inner service that tests hold in their hands, and a cache over it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use bytes::Bytes;
use frontage::{
    CacheCore, CacheLayer, CachePolicy, CacheStatus, MemoryStore, ResponseBody, clock::ManualClock,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full, channel::Channel, combinators::UnsyncBoxBody};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type InnerBody = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type ReqBody = Empty<Bytes>;
pub(crate) type InnerFuture =
    Pin<Box<dyn Future<Output = Result<Response<InnerBody>, Infallible>> + Send>>;
pub(crate) type CachedBody = ResponseBody<InnerBody>;
pub(crate) type Cached = BoxCloneSyncService<Request<ReqBody>, Response<CachedBody>, Infallible>;

/// A moment in 2026, in milliseconds.
pub(crate) const NOW: u64 = 1_767_225_600_000;

/// Long enough for any machine; only a test that fails waits for it.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What the inner service saw.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<http::request::Parts>>>);

impl Seen {
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> http::request::Parts {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

/// A cache over a handler.
pub(crate) struct Setup {
    pub(crate) service: Cached,
    pub(crate) seen: Seen,
    pub(crate) clock: ManualClock,
    pub(crate) store: MemoryStore,
}

pub(crate) fn setup<F, Fut>(handler: F) -> Setup
where
    F: Fn(Request<ReqBody>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<InnerBody>> + Send + 'static,
{
    setup_with(|layer| layer, handler)
}

pub(crate) fn setup_with<F, Fut>(
    configure: impl FnOnce(CacheLayer<MemoryStore>) -> CacheLayer<MemoryStore>,
    handler: F,
) -> Setup
where
    F: Fn(Request<ReqBody>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<InnerBody>> + Send + 'static,
{
    let store = MemoryStore::new(64 << 20);
    let clock = ManualClock::at(NOW);
    let core = CacheCore::builder(store.clone())
        .clock(clock.clone())
        .build()
        .unwrap();
    let seen = Seen::default();
    let service = cached(configure(CacheLayer::with_core(core)), &seen, handler);
    Setup {
        service,
        seen,
        clock,
        store,
    }
}

pub(crate) fn cached<F, Fut>(layer: CacheLayer<MemoryStore>, seen: &Seen, handler: F) -> Cached
where
    F: Fn(Request<ReqBody>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<InnerBody>> + Send + 'static,
{
    let seen = seen.clone();
    let inner = tower::service_fn(move |request: Request<ReqBody>| {
        let (parts, body) = request.into_parts();
        seen.0.lock().unwrap().push(parts.clone());
        let response = handler(Request::from_parts(parts, body));
        let future: InnerFuture = Box::pin(async move { Ok(response.await) });
        future
    });
    BoxCloneSyncService::new(layer.layer(inner))
}

pub(crate) fn policy(
    policy: CachePolicy,
) -> impl FnOnce(CacheLayer<MemoryStore>) -> CacheLayer<MemoryStore> {
    move |layer| layer.policy(policy)
}

pub(crate) fn get(uri: &str) -> Request<ReqBody> {
    request("GET", uri, &[])
}

pub(crate) fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<ReqBody> {
    let request = Request::builder().method(method).uri(uri);
    fields
        .iter()
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(Empty::new())
        .unwrap()
}

pub(crate) fn response(fields: &[(&str, &str)], body: impl Into<Bytes>) -> Response<InnerBody> {
    response_with(
        200,
        fields,
        Full::new(body.into())
            .map_err(|never| match never {})
            .boxed_unsync(),
    )
}

pub(crate) fn response_with(
    status: u16,
    fields: &[(&str, &str)],
    body: InnerBody,
) -> Response<InnerBody> {
    let response = Response::builder().status(status);
    fields
        .iter()
        .fold(response, |response, (name, value)| {
            response.header(*name, *value)
        })
        .body(body)
        .unwrap()
}

/// A body that the test feeds.
pub(crate) fn channel() -> (http_body_util::channel::Sender<Bytes, BoxError>, InnerBody) {
    let (sender, body) = Channel::new(64);
    (sender, body.boxed_unsync())
}

/// Sends a request, and waits for the head.
pub(crate) async fn head(service: &Cached, request: Request<ReqBody>) -> Response<CachedBody> {
    let mut service = service.clone();
    let answer = async move { service.ready().await.unwrap().call(request).await.unwrap() };
    tokio::time::timeout(LIMIT, answer).await.expect("no head")
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) cache: CacheStatus,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends a request, and reads the answer to its end.
pub(crate) async fn ask(service: &Cached, request: Request<ReqBody>) -> Answer {
    let (parts, body) = head(service, request).await.into_parts();
    let body = tokio::time::timeout(LIMIT, body.collect())
        .await
        .expect("no end")
        .expect("cut short");
    Answer {
        status: parts.status.as_u16(),
        cache: *parts.extensions.get().unwrap(),
        headers: parts.headers,
        body: body.to_bytes().to_vec(),
    }
}

/// The next piece of a body.
pub(crate) async fn piece(body: &mut CachedBody) -> Option<Result<Bytes, frontage::BodyError>> {
    let frame = tokio::time::timeout(LIMIT, body.frame())
        .await
        .expect("nothing came");
    frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Waits until `done`: for what happens in a task, where there is nothing to wait on.
pub(crate) async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, wait)
        .await
        .expect("never happened");
}
