//! A body that is put together from blocks.

use super::version::Version;
use crate::{body::ResponseBody, error::BodyError, range::Block};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::{
    future::{Future, ready},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// An answer for a block; `None` where the inner service failed.
pub(super) type Asking<B> = Pin<Box<dyn Future<Output = Option<Response<ResponseBody<B>>>> + Send>>;

/// Where blocks come from.
pub(super) trait Source<B>: Send {
    /// Asks for a block.
    fn ask(&mut self, block: Block) -> Asking<B>;
    /// Says that blocks of several versions are there.
    fn changed(&mut self);
    /// Says that something else came in place of a block.
    fn has_a_gap(&mut self);
    /// Says that a viewer gets no more, for want of a block.
    fn is_cut_off(&self, block: Block, reason: &NotRead);
}

/// Why a block isn't read.
pub(super) struct NotRead {
    pub(super) error: BodyError,
    /// The status that came in place of a block.
    pub(super) status: Option<StatusCode>,
    /// It may well be over the next time.
    may_help: bool,
}

/// Some bytes of a body.
pub(super) struct Slice<B> {
    body: Pin<Box<ResponseBody<B>>>,
    /// The place of the next byte that comes.
    next: u64,
    /// The places of those that are still wanted.
    wanted: Range<u64>,
}

impl<B: Body> Slice<B> {
    /// The bytes in these places, of a body that begins at `start`, which lies before them.
    pub(super) fn new(body: ResponseBody<B>, start: u64, wanted: Range<u64>) -> Self {
        Self {
            body: Box::pin(body),
            next: start,
            wanted,
        }
    }

    /// The next of them; `None` at their end, an error where the body ends before.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        while !self.wanted.is_empty() {
            let frame = match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let error = BodyError::wrong_length(self.wanted.end, self.next);
                    return Poll::Ready(Some(Err(error)));
                }
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let came = self.next..self.next.saturating_add(data.len() as u64);
            self.next = came.end;
            let used = came.start.max(self.wanted.start)..came.end.min(self.wanted.end);
            if used.is_empty() {
                continue;
            }
            self.wanted.start = used.end;
            // Both lie within the chunk.
            let within =
                |place: u64| usize::try_from(place.saturating_sub(came.start)).unwrap_or(0);
            return Poll::Ready(Some(Ok(data.slice(within(used.start)..within(used.end)))));
        }
        Poll::Ready(None)
    }
}

impl<B: Body> Body for Slice<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let data = ready!(self.poll_data(cx));
        if let Some(Err(_)) = &data {
            self.wanted.start = self.wanted.end;
        }
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.wanted.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.wanted.end.saturating_sub(self.wanted.start))
    }
}

enum State<B> {
    Asking(Asking<B>),
    Reading(Slice<B>),
}

/// The block that comes next, asked for before it is its turn.
enum Ahead<B> {
    Asked(Asking<B>),
    Here(Option<Response<ResponseBody<B>>>),
}

/// Bytes of one version, one block after the other.
pub(super) struct BlocksBody<B> {
    source: Box<dyn Source<B>>,
    version: Version,
    /// The places of the bytes that are still to come.
    wanted: Range<u64>,
    /// The block in which the first of them lies.
    block: Block,
    state: State<B>,
    ahead: Option<Ahead<B>>,
    /// This block was asked for before it was its turn.
    was_ahead: bool,
    /// It has been asked for twice.
    again: bool,
}

/// Nothing in it is pinned in place.
impl<B> Unpin for BlocksBody<B> {}

impl<B> BlocksBody<B>
where
    B: Body + Send + 'static,
{
    /// The bytes in these places, the first of which lie in `block`, whose body came.
    pub(super) fn new(
        source: Box<dyn Source<B>>,
        version: Version,
        block: Block,
        body: ResponseBody<B>,
        wanted: Range<u64>,
    ) -> Self {
        let own = block.bytes(version.length());
        let first = wanted.start..wanted.end.min(own.end);
        Self {
            source,
            version,
            wanted,
            block,
            state: State::Reading(Slice::new(body, own.start, first)),
            ahead: None,
            was_ahead: false,
            again: false,
        }
    }

    /// Goes on to the next block.
    fn go_on(&mut self) {
        self.block = self.block.next();
        self.again = false;
        self.was_ahead = self.ahead.is_some();
        self.state = State::Asking(match self.ahead.take() {
            Some(Ahead::Asked(asking)) => asking,
            Some(Ahead::Here(response)) => Box::pin(ready(response)),
            None => self.source.ask(self.block),
        });
    }

    /// Reads the block, if it is the one that was asked for.
    fn read(&mut self, response: Option<Response<ResponseBody<B>>>) -> Result<(), NotRead> {
        let Some(response) = response else {
            return Err(NotRead {
                error: BodyError::no_block(),
                status: None,
                may_help: true,
            });
        };
        let status = response.status();
        let no_block = || NotRead {
            error: BodyError::no_block(),
            status: Some(status),
            may_help: self.was_ahead || status.is_server_error(),
        };
        let is_other = match status {
            StatusCode::PARTIAL_CONTENT => {
                let Some(version) = Version::of(self.block, response.headers()) else {
                    self.source.has_a_gap();
                    return Err(no_block());
                };
                !self.version.is(&version)
            }
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::RANGE_NOT_SATISFIABLE => true,
            other => {
                // An error may be over the next time.
                if other.is_success() || other.is_redirection() {
                    self.source.has_a_gap();
                }
                return Err(no_block());
            }
        };
        if is_other {
            self.source.changed();
            return Err(NotRead {
                error: BodyError::changed(),
                status: Some(status),
                may_help: true,
            });
        }
        let own = self.block.bytes(self.version.length());
        let wanted = self.wanted.start..self.wanted.end.min(own.end);
        self.state = State::Reading(Slice::new(response.into_body(), own.start, wanted));
        let next = self.block.next();
        if !self.again && self.ahead.is_none() && next.start() < self.wanted.end {
            self.ahead = Some(Ahead::Asked(self.source.ask(next)));
        }
        Ok(())
    }

    /// Asks for the block a second time, where that may help.
    fn ask_again(&mut self, reason: NotRead) -> Result<(), BodyError> {
        if self.again || !reason.may_help {
            self.source.is_cut_off(self.block, &reason);
            // Its end, whoever asks again.
            self.wanted.start = self.wanted.end;
            self.ahead = None;
            return Err(reason.error);
        }
        tracing::debug!(
            block = self.block.number(),
            code = reason.status.map(|status| status.as_u16()),
            error = &reason.error as &dyn std::error::Error,
            "a block is asked for again"
        );
        self.again = true;
        self.state = State::Asking(self.source.ask(self.block));
        Ok(())
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        while !self.wanted.is_empty() {
            match &mut self.state {
                State::Asking(asking) => {
                    let response = ready!(asking.as_mut().poll(cx));
                    if let Err(reason) = self.read(response)
                        && let Err(error) = self.ask_again(reason)
                    {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                State::Reading(slice) => {
                    if let Some(Ahead::Asked(asking)) = &mut self.ahead
                        && let Poll::Ready(response) = asking.as_mut().poll(cx)
                    {
                        self.ahead = Some(Ahead::Here(response));
                    }
                    match ready!(slice.poll_data(cx)) {
                        Some(Ok(data)) => {
                            self.wanted.start = self.wanted.start.saturating_add(data.len() as u64);
                            return Poll::Ready(Some(Ok(data)));
                        }
                        Some(Err(error)) => {
                            let reason = NotRead {
                                error,
                                status: None,
                                may_help: true,
                            };
                            if let Err(error) = self.ask_again(reason) {
                                return Poll::Ready(Some(Err(error)));
                            }
                        }
                        None => self.go_on(),
                    }
                }
            }
        }
        Poll::Ready(None)
    }
}

impl<B> Body for BlocksBody<B>
where
    B: Body + Send + 'static,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_data(cx)
            .map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.wanted.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.wanted.end.saturating_sub(self.wanted.start))
    }
}
