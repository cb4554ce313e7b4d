//! How a connection's requests are answered: by the cache, but for those that nobody may answer.

use crate::viewer;
use frontage::OptionalBody;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};
use tower::Service;

/// The cache for one connection, as hyper's service. hyper-util's adapter clones the service for each request and
/// moves the request once more; a hit is so cheap that it shows.
pub(crate) struct Answering<S> {
    /// A connection is one task: nobody else borrows it.
    cache: RefCell<S>,
}

impl<S> Answering<S> {
    pub(crate) fn new(cache: S) -> Self {
        Self {
            cache: RefCell::new(cache),
        }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Answering<S>
where
    S: Service<Request<Incoming>, Response = Response<OptionalBody<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if !viewer::is_valid(&request) {
            return Answer::Refused {
                version: request.version(),
            };
        }
        // A cache is always ready.
        let cached = self.cache.borrow_mut().call(request);
        Answer::Cached { cached }
    }
}

pin_project! {
    /// What the cache says, or a refusal.
    #[project = AnswerProjection]
    pub(crate) enum Answer<F> {
        Cached { #[pin] cached: F },
        Refused { version: Version },
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<OptionalBody<B>>, E>>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnswerProjection::Cached { cached } => cached.poll(cx),
            AnswerProjection::Refused { version } => Poll::Ready(Ok(refusal(*version))),
        }
    }
}

/// The end of the connection, too: who knows what would follow.
fn refusal<B>(version: Version) -> Response<OptionalBody<B>> {
    let mut response = Response::new(OptionalBody::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
