//! The body of what went through a [`Sign`](super::Sign).

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The body of a response that went through a [`Sign`](crate::origin::Sign): the inner service's own, untouched, or none
    /// where the request could not be signed.
    #[derive(Clone, Debug)]
    pub struct SignBody<B> {
        #[pin]
        inner: Option<B>,
    }
}

impl<B> SignBody<B> {
    pub(super) fn inner(body: B) -> Self {
        Self { inner: Some(body) }
    }

    pub(super) fn empty() -> Self {
        Self { inner: None }
    }

    /// The inner service's body; `None` where it was not called.
    pub fn into_inner(self) -> Option<B> {
        self.inner
    }
}

impl<B: Body> Body for SignBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
