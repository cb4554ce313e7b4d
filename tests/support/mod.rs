//! An origin held by the test, bodies fed by the test, and what else the files in `tests/` share.

#![allow(dead_code, reason = "no file needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

use bytes::Bytes;
use frontage::CacheStatus;
use futures_util::stream::poll_fn;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tower::Service;

/// A request's body here: none.
pub(crate) type NoBody = Empty<Bytes>;
/// A response's body here: any.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;
type Frame = http_body::Frame<Bytes>;

/// Long enough on any machine: what takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Waits for what must happen.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it hangs")
}

/// Lets other tasks run until `is_so`.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The error of a body, and of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) u32);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken, number {}", self.0)
    }
}

impl std::error::Error for Broken {}

pub(crate) fn get(uri: &str) -> Request<NoBody> {
    Request::get(uri).body(Empty::new()).unwrap()
}

/// A body that is all there.
pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A response that may be stored for a minute.
pub(crate) fn fresh(body: Body) -> Response<Body> {
    cacheable("public, max-age=60", body)
}

/// A response with this `Cache-Control`.
pub(crate) fn cacheable(cache_control: &str, body: Body) -> Response<Body> {
    Response::builder()
        .header("cache-control", cache_control)
        .body(body)
        .unwrap()
}

/// Feeds a body. Dropping it ends the body cleanly.
pub(crate) struct Feed(mpsc::Sender<Result<Frame, Broken>>);

/// A body that comes as the test sends it.
pub(crate) fn fed() -> (Feed, Body) {
    let (sender, mut receiver) = mpsc::channel(64);
    let frames = poll_fn(move |cx| receiver.poll_recv(cx));
    (Feed(sender), StreamBody::new(frames).boxed_unsync())
}

impl Feed {
    pub(crate) async fn send(&self, text: &'static str) {
        let frame = Frame::data(Bytes::from_static(text.as_bytes()));
        within(self.0.send(Ok(frame))).await.expect("nobody reads");
    }

    pub(crate) async fn trailers(self, trailers: HeaderMap) {
        within(self.0.send(Ok(Frame::trailers(trailers))))
            .await
            .expect("nobody reads");
    }

    pub(crate) async fn fail(self, number: u32) {
        within(self.0.send(Err(Broken(number))))
            .await
            .expect("nobody reads");
    }

    /// Waits until the body is dropped.
    pub(crate) async fn dropped(&self) {
        within(self.0.closed()).await;
    }
}

/// The next chunk of a body, as text.
pub(crate) async fn chunk<B>(body: &mut B) -> Result<String, B::Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let frame = within(body.frame()).await.expect("the body has ended")?;
    let data = frame.into_data().unwrap_or_default();
    Ok(String::from_utf8(data.to_vec()).unwrap())
}

/// A whole body, as text.
pub(crate) async fn text<B>(body: B) -> Result<String, B::Error>
where
    B: http_body::Body<Data = Bytes>,
{
    let collected = within(body.collect()).await?;
    Ok(String::from_utf8(collected.to_bytes().to_vec()).unwrap())
}

/// What the cache says of a response.
pub(crate) fn said<B>(response: &Response<B>) -> CacheStatus {
    *response
        .extensions()
        .get::<CacheStatus>()
        .expect("no CacheStatus")
}

pub(crate) fn is_hit<B>(response: &Response<B>) -> bool {
    said(response).is_hit()
}

/// Asserts that a response is the cache's own, of this status.
pub(crate) fn assert_failed<B>(response: &Response<B>, status: StatusCode) {
    assert_eq!(response.status(), status);
    assert_eq!(
        said(response).detail(),
        Some(frontage::status::Detail::FetchFailed)
    );
}

/// A request that reached the origin, and waits there for what the test answers.
pub(crate) struct Call {
    pub(crate) request: Request<NoBody>,
    answer: oneshot::Sender<Result<Response<Body>, Broken>>,
}

impl Call {
    pub(crate) fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// Answers. Whoever asked may be gone.
    pub(crate) fn answer(self, response: Response<Body>) {
        drop(self.answer.send(Ok(response)));
    }

    pub(crate) fn fail(self, number: u32) {
        drop(self.answer.send(Err(Broken(number))));
    }

    /// Waits until the origin's future is dropped.
    pub(crate) async fn dropped(&mut self) {
        within(self.answer.closed()).await;
    }
}

/// A service that hands each request to the test. It panics when the test drops the call without an answer.
#[derive(Clone, Debug)]
pub(crate) struct Origin(mpsc::UnboundedSender<Call>);

/// The test's end of an [`Origin`].
pub(crate) struct Calls(mpsc::UnboundedReceiver<Call>);

pub(crate) fn origin() -> (Origin, Calls) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Origin(sender), Calls(receiver))
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.request).finish()
    }
}

impl Calls {
    /// The next request at the origin.
    pub(crate) async fn next(&mut self) -> Call {
        within(self.0.recv()).await.expect("the origin is gone")
    }

    /// Asserts that the origin was not asked. What could ask it has had its turn by now.
    pub(crate) async fn none(&mut self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        if let Ok(call) = self.0.try_recv() {
            panic!("the origin was asked for {}", call.request.uri());
        }
    }
}

impl Service<Request<NoBody>> for Origin {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Broken>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<NoBody>) -> Self::Future {
        let (answer, answered) = oneshot::channel();
        let call = Call { request, answer };
        self.0.send(call).expect("the test is over");
        Box::pin(async { answered.await.expect("the origin panics") })
    }
}

/// Counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

impl Counter {
    /// Adds one; gives how many there were.
    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
