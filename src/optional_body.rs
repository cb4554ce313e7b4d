//! A body that may not be there.

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// Another's body, untouched; or none, where a layer answers or asks without it.
    ///
    /// ```
    /// use frontage::OptionalBody;
    /// use http_body::Body;
    ///
    /// assert!(OptionalBody::<String>::empty().is_end_stream());
    /// assert_eq!(OptionalBody::new("page".to_owned()).into_inner().as_deref(), Some("page"));
    /// ```
    #[derive(Clone, Debug)]
    pub struct OptionalBody<B> {
        #[pin]
        inner: Option<B>,
    }
}

impl<B> OptionalBody<B> {
    /// This body.
    #[inline]
    pub fn new(body: B) -> Self {
        Self { inner: Some(body) }
    }

    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self { inner: None }
    }

    /// The body, if it is there.
    pub fn into_inner(self) -> Option<B> {
        self.inner
    }
}

impl<B: Body> Body for OptionalBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
