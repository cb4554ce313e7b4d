//! The body of a request that may be sent twice.

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The body that the services of a [`Failover`](super::Failover) get: the viewer's, which only the primary sees; or none,
    /// for the secondary, which is asked only where the viewer's had none.
    pub struct FailoverBody<B> {
        #[pin]
        viewer: Option<B>,
    }
}

impl<B> FailoverBody<B> {
    pub(super) fn viewer(body: B) -> Self {
        Self { viewer: Some(body) }
    }

    pub(super) fn empty() -> Self {
        Self { viewer: None }
    }
}

impl<B> fmt::Debug for FailoverBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match &self.viewer {
            Some(_) => "viewer",
            None => "empty",
        };
        f.debug_tuple("FailoverBody").field(&whose).finish()
    }
}

impl<B: Body> Body for FailoverBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().viewer.as_pin_mut() {
            Some(body) => body.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.viewer.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.viewer {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
