//! The future of a [`CdnLoop`](super::CdnLoop).

use crate::optional_body::OptionalBody;
use http::{HeaderValue, Response, StatusCode, header};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The future of a [`CdnLoop`](super::CdnLoop).
    pub struct CdnLoopFuture<F> {
        // None: it is refused.
        #[pin]
        inner: Option<F>,
    }
}

impl<F> CdnLoopFuture<F> {
    #[inline]
    pub(super) fn passing(inner: F) -> Self {
        Self { inner: Some(inner) }
    }

    pub(super) fn refused() -> Self {
        Self { inner: None }
    }
}

impl<F, B, E> Future for CdnLoopFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<OptionalBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => Poll::Ready(Ok(ready!(inner.poll(cx))?.map(OptionalBody::new))),
            None => Poll::Ready(Ok(refusal())),
        }
    }
}

impl<F> fmt::Debug for CdnLoopFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CdnLoopFuture")
            .field("is_refused", &self.inner.is_none())
            .finish()
    }
}

fn refusal<B>() -> Response<OptionalBody<B>> {
    let mut response = Response::new(OptionalBody::empty());
    *response.status_mut() = StatusCode::LOOP_DETECTED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    // It is about one request's field, which is in no key.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
