//! Bodies on their way to origins.

use super::{OriginFailure, timer::later};
use crate::{error::BoxError, headers::remove_from_trailers};
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

/// A viewer's body on its way to an origin: without trailers, which CloudFront drops, too.
pub struct RequestBody {
    body: Option<BoxBody>,
    progress: Progress,
    /// How much is still to come, where that was said.
    left: Option<u64>,
}

pub(super) type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

impl RequestBody {
    /// This body, or nothing where it is known to be empty.
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        match body.is_end_stream() {
            true => Self::empty(),
            false => Self {
                body: Some(Box::pin(InBytes {
                    body,
                    trailers: false,
                })),
                progress: Progress::new(),
                left: None,
            },
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            body: None,
            progress: Progress::unseen(),
            left: None,
        }
    }

    /// Holds it to the length that was said.
    pub(super) fn expect(&mut self, length: Option<u64>) -> Result<(), OriginFailure> {
        self.left = length;
        match (&self.body, length) {
            (None, Some(1..)) => Err(OriginFailure::RequestBody),
            _ => Ok(()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.body.is_none()
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl RequestBody {
    fn fail(&mut self, why: &'static str) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.body = None;
        Poll::Ready(Some(Err(Box::new(ViewerBody(why.into())))))
    }
}

impl Default for RequestBody {
    /// No body.
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("is_empty", &self.is_empty())
            .finish_non_exhaustive()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = body.as_mut().poll_frame(cx);
        self.progress.waits_for_viewer(polled.is_pending());
        let frame = ready!(polled);
        self.progress.made();
        let more = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            _ => 0,
        };
        self.left = match self.left.map(|left| left.checked_sub(more)) {
            Some(None) => return self.fail("is longer than it said"),
            Some(Some(1..)) if frame.is_none() => return self.fail("is shorter than it said"),
            left => left.flatten(),
        };
        if frame.is_none() {
            self.body = None;
        }
        Poll::Ready(
            frame.map(|frame| frame.map_err(|error| Box::new(ViewerBody(error)) as BoxError)),
        )
    }

    fn is_end_stream(&self) -> bool {
        let is_complete = self.left.is_none_or(|left| left == 0);
        let is_at_end = |body: &BoxBody| is_complete && body.is_end_stream();
        self.body.as_ref().is_none_or(is_at_end)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.body, self.left) {
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(body), None) => body.size_hint(),
            (None, _) => SizeHint::with_exact(0),
        }
    }
}

/// The viewer's body failed, not the origin.
#[derive(Debug)]
pub(super) struct ViewerBody(BoxError);

impl fmt::Display for ViewerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OriginFailure::RequestBody.fmt(f)
    }
}

impl std::error::Error for ViewerBody {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

pin_project! {
    /// A body in `Bytes`, with its trailers or without.
    pub(super) struct InBytes<B> {
        #[pin]
        pub(super) body: B,
        pub(super) trailers: bool,
    }
}

impl<B> Body for InBytes<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            let mut frame = match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            };
            if let Some(trailers) = frame.trailers_mut() {
                remove_from_trailers(trailers);
            }
            if frame.is_data() || *this.trailers {
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// When a body, or a WebSocket, last moved: an upload that goes on isn't an origin that doesn't answer.
#[derive(Clone)]
pub(super) struct Progress(Option<Arc<Moved>>);

struct Moved {
    began: Instant,
    /// Milliseconds from then on.
    last: AtomicU64,
    waits_for_viewer: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Some(Arc::new(Moved {
            began: Instant::now(),
            last: AtomicU64::new(0),
            waits_for_viewer: AtomicBool::new(false),
        })))
    }

    /// Of what doesn't count.
    pub(super) fn unseen() -> Self {
        Self(None)
    }

    pub(super) fn made(&self) {
        if let Some(moved) = self.0.as_deref() {
            let passed = u64::try_from(moved.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            moved.last.store(passed, Ordering::Relaxed);
        }
    }

    /// What comes, if no more than `timeout` passes in which nothing moves.
    pub(super) async fn in_time<F: Future>(
        &self,
        timeout: Duration,
        answer: F,
    ) -> Option<F::Output> {
        let mut answer = pin!(answer);
        let mut since = Instant::now();
        loop {
            match tokio::time::timeout_at(later(since, timeout), answer.as_mut()).await {
                Ok(answer) => return Some(answer),
                Err(_elapsed) => since = self.last().filter(|moved| *moved > since)?,
            }
        }
    }

    fn waits_for_viewer(&self, waits: bool) {
        if let Some(moved) = self.0.as_deref() {
            moved.waits_for_viewer.store(waits, Ordering::Relaxed);
        }
    }

    /// Whose fault it is that nothing moves.
    pub(super) fn failure(&self) -> OriginFailure {
        let waits = |moved: &Moved| moved.waits_for_viewer.load(Ordering::Relaxed);
        match self.0.as_deref().is_some_and(waits) {
            true => OriginFailure::RequestTimeout,
            false => OriginFailure::ResponseTimeout,
        }
    }

    /// The last time, if there was one.
    pub(super) fn last(&self) -> Option<Instant> {
        let moved = self.0.as_deref()?;
        let passed = Duration::from_millis(moved.last.load(Ordering::Relaxed));
        moved.began.checked_add(passed)
    }
}
