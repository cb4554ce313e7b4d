//! Bodies to and from origins.

use super::{
    OriginFailure,
    client::Answer,
    timer::{Timer, later},
};
use crate::error::{BodyError, BoxError};
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    mem,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
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

type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

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
            progress: Progress(None),
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
        let frame = ready!(body.as_mut().poll_frame(cx));
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
    struct InBytes<B> {
        #[pin]
        body: B,
        trailers: bool,
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
            let frame = match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            };
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

/// When a body last moved: an upload that goes on isn't an origin that doesn't answer.
#[derive(Clone)]
pub(super) struct Progress(Option<Arc<(Instant, AtomicU64)>>);

impl Progress {
    fn new() -> Self {
        Self(Some(Arc::new((Instant::now(), AtomicU64::new(0)))))
    }

    fn made(&self) {
        if let Some((since, millis)) = self.0.as_deref() {
            let passed = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            millis.store(passed, Ordering::Relaxed);
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

    /// The last time, if there was one.
    pub(super) fn last(&self) -> Option<Instant> {
        let (since, millis) = self.0.as_deref()?;
        since.checked_add(Duration::from_millis(millis.load(Ordering::Relaxed)))
    }
}

/// The body of an origin's response.
pub struct OriginBody {
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
        Self {
            source,
            timeout,
            deadline,
            stalled: None,
        }
    }

    /// Waits for the timer while the origin sends nothing.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.source {
            Source::Client(answer) => answer.lease.timer(),
            Source::Service(_, timer) => timer,
            Source::Page(_) | Source::Ended => return Poll::Pending,
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
        let source = match &self.source {
            Source::Client(_) => "client",
            Source::Service(..) => "service",
            Source::Page(_) => "page",
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
        let this = &mut *self;
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
            Source::Ended => return Poll::Ready(None),
        };
        let is_late = this
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        match frame {
            Poll::Ready(frame) if !is_late || !matches!(frame, Some(Ok(_))) => {
                this.stalled = None;
                if !matches!(frame, Some(Ok(_))) {
                    this.source = Source::Ended;
                }
                Poll::Ready(frame)
            }
            Poll::Pending if this.poll_stalled(cx).is_pending() => Poll::Pending,
            _ => {
                this.source = Source::Ended;
                tracing::warn!("the origin's body stood still, or took too long: cut off");
                Poll::Ready(Some(Err(BodyError::stalled())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Client(answer) => answer.body.is_end_stream(),
            Source::Service(body, _) => body.is_end_stream(),
            Source::Page(page) => page.is_empty(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Client(answer) => answer.body.size_hint(),
            Source::Service(body, _) => body.size_hint(),
            Source::Page(page) => SizeHint::with_exact(page.len() as u64),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}
