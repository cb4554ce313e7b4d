//! Bodies of origins' responses.

use super::{
    client::Answer,
    timer::{Timer, later},
    upload::{BoxBody, InBytes},
};
use crate::{
    error::{BodyError, BoxError},
    headers::remove_from_trailers,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// The body of an origin's response.
// In a box: the body of each hit has room for it, and is moved from layer to layer.
pub struct OriginBody(Box<Reading>);

struct Reading {
    source: Source,
    /// How long it may stand still.
    timeout: Duration,
    /// When it must be complete.
    deadline: Option<Instant>,
    /// When it has stood still for too long.
    stalled: Option<Instant>,
}

enum Source {
    Client(Answer),
    Service(BoxBody, Timer),
    Page(Bytes),
    /// To be said once what came before is sent.
    Failed(BodyError),
    Ended,
}

impl OriginBody {
    pub(super) fn client(answer: Answer, timeout: Duration, deadline: Option<Instant>) -> Self {
        Self::of(Source::Client(answer), timeout, deadline)
    }

    pub(super) fn service<B>(body: B, timeout: Duration, deadline: Option<Instant>) -> Self
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let body = InBytes {
            body,
            trailers: true,
        };
        let source = Source::Service(Box::pin(body), Timer::default());
        Self::of(source, timeout, deadline)
    }

    pub(super) fn page(page: Bytes) -> Self {
        Self::of(Source::Page(page), Duration::MAX, None)
    }

    fn of(source: Source, timeout: Duration, deadline: Option<Instant>) -> Self {
        Self(Box::new(Reading {
            source,
            timeout,
            deadline,
            stalled: None,
        }))
    }
}

impl Reading {
    /// Waits for the timer while the origin sends nothing.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.source {
            Source::Client(answer) => answer.lease.timer(),
            Source::Service(_, timer) => timer,
            Source::Page(_) | Source::Failed(_) | Source::Ended => return Poll::Pending,
        };
        let stalled = self
            .stalled
            .get_or_insert_with(|| later(Instant::now(), self.timeout));
        let until = self
            .deadline
            .map_or(*stalled, |deadline| deadline.min(*stalled));
        timer.poll_until(cx, until)
    }
}

impl fmt::Debug for OriginBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.0.source {
            Source::Client(_) => "client",
            Source::Service(..) => "service",
            Source::Page(_) => "page",
            Source::Failed(_) => "failed",
            Source::Ended => "ended",
        };
        f.debug_tuple("OriginBody").field(&source).finish()
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self.0;
        let frame = match &mut this.source {
            Source::Client(answer) => {
                let body = Pin::new(&mut answer.body);
                body.poll_frame(cx).map_err(BodyError::inner)
            }
            Source::Service(body, _) => body.as_mut().poll_frame(cx).map_err(BodyError::inner),
            Source::Page(page) => {
                let page = mem::take(page);
                this.source = Source::Ended;
                let frame = (!page.is_empty()).then(|| Ok(Frame::data(page)));
                return Poll::Ready(frame);
            }
            Source::Failed(_) => {
                let failed = mem::replace(&mut this.source, Source::Ended);
                return Poll::Ready(match failed {
                    Source::Failed(error) => Some(Err(error)),
                    _ => None,
                });
            }
            Source::Ended => return Poll::Ready(None),
        };
        let is_late = this
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        let error = match frame {
            Poll::Ready(None) => {
                this.source = Source::Ended;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(mut frame))) if !is_late => {
                this.stalled = None;
                if let Some(trailers) = frame.trailers_mut() {
                    remove_from_trailers(trailers);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(error = cause, "the origin's body was cut off");
                error
            }
            Poll::Pending if this.poll_stalled(cx).is_pending() => return Poll::Pending,
            _ => {
                tracing::warn!("the origin's body stood still, or took too long: cut off");
                BodyError::stalled()
            }
        };
        // A server sends what it has when a body waits, the head of the response too; an error at once would take that along.
        this.source = Source::Failed(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        match &self.0.source {
            Source::Client(answer) => answer.body.is_end_stream(),
            Source::Service(body, _) => body.is_end_stream(),
            Source::Page(page) => page.is_empty(),
            Source::Failed(_) => false,
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0.source {
            Source::Client(answer) => answer.body.size_hint(),
            Source::Service(body, _) => body.size_hint(),
            Source::Page(page) => SizeHint::with_exact(page.len() as u64),
            Source::Failed(_) => SizeHint::default(),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}
