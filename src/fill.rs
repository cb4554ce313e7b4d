//! A body on its way: written once, read by many while it comes.
//!
//! A fill begins by *keeping* everything it is given, so that a reader may start at the beginning at
//! any time. It may turn to *passing*: then it holds a bounded window that moves with the slowest reader, and nobody
//! new may join once the beginning is gone.
//!
//! One reader that holds others up is cut off after `lag_timeout`; a sole reader is never.
//!
//! A reader of a range waits for the bytes of that range only. What comes before them passes it by: it neither wakes for
//! that nor holds a window up by not reading it. Behind its last byte it is gone, and its end is a clean one even when the
//! body is cut short later: all that its `Content-Range` promised has come, and it was never told more than the length
//! that the head announced. What is cut short before that ends with the error, and is refused to who asks later.

use crate::{
    error::BodyError,
    sync::{Arc, Mutex},
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// How a passing fill treats its readers.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// How many bytes the fastest reader may be ahead of the slowest.
    pub bytes: u64,
    /// For how long a reader may hold others up before it is cut off.
    pub lag_timeout: Duration,
}

/// Nobody reads any more, and nothing is kept: go no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

#[derive(Clone)]
enum End {
    Whole(Option<Arc<HeaderMap>>),
    Failed(BodyError),
}

struct Reader {
    /// The number of the next chunk: for one that is ahead, the next to be written.
    next: u64,
    /// The first byte it wants. While that isn't written yet, it is ahead.
    from: u64,
    waker: Option<Waker>,
    cut_off: bool,
}

struct Chunk {
    bytes: Bytes,
    /// How many bytes of the body there are up to its end.
    end: u64,
}

struct State {
    /// The number of `chunks[0]`.
    first: u64,
    chunks: VecDeque<Chunk>,
    /// Bytes in `chunks`.
    held: u64,
    /// Bytes written since the beginning.
    written: u64,
    passing: bool,
    end: Option<End>,
    readers: Vec<Option<Reader>>,
    /// Occupied places in `readers`.
    reading: usize,
    /// Readers that still need `chunks[0]`: the window can move only when there are none.
    at_first: usize,
    writer: Option<Waker>,
    /// The length that the head announced.
    announced: Option<u64>,
}

impl State {
    /// The number of the next chunk to be written.
    fn next_number(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    /// Gives a place to one who reads from the byte `from`, which lies in the chunk `next`.
    fn join(&mut self, from: u64, next: u64) -> usize {
        let reader = Some(Reader {
            next,
            from,
            waker: None,
            cut_off: false,
        });
        self.reading += 1;
        if next == self.first {
            self.at_first += 1;
        }
        // Looked for only where a place is known to be free.
        let free = match self.reading > self.readers.len() {
            true => None,
            false => self.readers.iter().position(Option::is_none),
        };
        match free.and_then(|place| Some((place, self.readers.get_mut(place)?))) {
            Some((place, free)) => {
                *free = reader;
                place
            }
            None => {
                self.readers.push(reader);
                self.readers.len() - 1
            }
        }
    }

    /// Takes a reader's place from it. The writer, who may now have room, is to be woken.
    fn leave(&mut self, place: usize) -> Option<Waker> {
        let reader = self.readers.get_mut(place)?.take()?;
        self.reading -= 1;
        if !reader.cut_off && reader.next == self.first {
            self.at_first -= 1;
        }
        self.trim();
        self.writer.take()
    }

    fn slowest(&self) -> Option<u64> {
        self.readers
            .iter()
            .flatten()
            .filter(|reader| !reader.cut_off)
            .map(|reader| reader.next)
            .min()
    }

    /// Drops what every reader has read. Without readers, keeps it: someone may still open one.
    fn trim(&mut self) {
        if !self.passing || self.at_first > 0 {
            return;
        }
        let Some(slowest) = self.slowest() else {
            return;
        };
        while self.first < slowest {
            let Some(chunk) = self.chunks.pop_front() else {
                break;
            };
            self.held -= chunk.bytes.len() as u64;
            self.first += 1;
        }
        self.at_first = self
            .readers
            .iter()
            .flatten()
            .filter(|reader| !reader.cut_off && reader.next == self.first)
            .count();
    }

    /// Whether a reader that has read all there is waits for the slowest.
    fn holds_others_up(&self) -> bool {
        let end = self.next_number();
        let mut live = self
            .readers
            .iter()
            .flatten()
            .filter(|reader| !reader.cut_off);
        live.any(|reader| reader.next == end) && self.slowest().is_some_and(|slowest| slowest < end)
    }

    fn wake_readers(&mut self) -> Vec<Waker> {
        self.readers
            .iter_mut()
            .flatten()
            .filter_map(|reader| reader.waker.take())
            .collect()
    }
}

/// The shared part of a fill.
pub(crate) struct Fill {
    state: Mutex<State>,
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fill").finish_non_exhaustive()
    }
}

/// The one who writes a fill. Dropping it before [`finish`](Self::finish) fails the fill: no reader waits for ever.
pub(crate) struct FillWriter {
    fill: Arc<Fill>,
    window: Window,
    lag: Option<Pin<Box<tokio::time::Sleep>>>,
    ended: bool,
}

impl fmt::Debug for FillWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FillWriter")
            .field("window", &self.window)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl FillWriter {
    /// A fill that keeps what it is given.
    pub(crate) fn keeping(announced: Option<u64>, window: Window) -> Self {
        Self::new(announced, window, false)
    }

    /// A fill that only passes it on.
    pub(crate) fn passing(announced: Option<u64>, window: Window) -> Self {
        Self::new(announced, window, true)
    }

    fn new(announced: Option<u64>, window: Window, passing: bool) -> Self {
        let state = State {
            first: 0,
            chunks: VecDeque::new(),
            held: 0,
            written: 0,
            passing,
            end: None,
            readers: Vec::new(),
            reading: 0,
            at_first: 0,
            writer: None,
            announced,
        };
        Self {
            fill: Arc::new(Fill {
                state: Mutex::new(state),
            }),
            window,
            lag: None,
            ended: false,
        }
    }

    /// What opens readers.
    pub(crate) fn opener(&self) -> Arc<Fill> {
        self.fill.clone()
    }

    /// Ready when another chunk may be pushed: at once while keeping; while passing, once the slowest reader is near enough.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        loop {
            let held_up = {
                let mut state = self.fill.state.lock();
                if !state.passing {
                    return Poll::Ready(Ok(()));
                }
                if state.slowest().is_none() {
                    return Poll::Ready(Err(Gone));
                }
                state.trim();
                if state.held < self.window.bytes.max(1) {
                    self.lag = None;
                    return Poll::Ready(Ok(()));
                }
                state.writer = Some(cx.waker().clone());
                state.holds_others_up()
            };
            if !held_up {
                self.lag = None;
                return Poll::Pending;
            }
            let timeout = self.window.lag_timeout;
            let lag = self
                .lag
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
            if lag.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.lag = None;
            self.cut_off_slowest();
        }
    }

    fn cut_off_slowest(&self) {
        let wakers: Vec<Waker> = {
            let mut state = self.fill.state.lock();
            // It may have caught up between the time-out and now.
            if !state.holds_others_up() {
                return;
            }
            let Some(slowest) = state.slowest() else {
                return;
            };
            let behind = state
                .readers
                .iter_mut()
                .flatten()
                .filter(|reader| !reader.cut_off && reader.next == slowest);
            let mut wakers = Vec::new();
            let mut cut = 0;
            for reader in behind {
                reader.cut_off = true;
                wakers.extend(reader.waker.take());
                cut += 1;
            }
            if slowest == state.first {
                state.at_first -= cut;
            }
            tracing::debug!(readers = cut, "cut off readers that held others up");
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Adds a chunk. While passing, [`poll_room`](Self::poll_room) comes first.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        let wakers = {
            let mut state = self.fill.state.lock();
            let state = &mut *state;
            let number = state.next_number();
            state.held += chunk.len() as u64;
            state.written += chunk.len() as u64;
            state.chunks.push_back(Chunk {
                bytes: chunk,
                end: state.written,
            });
            let mut wakers = Vec::new();
            let mut passed_by = 0;
            for reader in state.readers.iter_mut().flatten() {
                if reader.from >= state.written {
                    reader.next = number + 1;
                    passed_by += 1;
                } else {
                    wakers.extend(reader.waker.take());
                }
            }
            if passed_by > 0 {
                if number == state.first {
                    state.at_first -= passed_by;
                }
                state.trim();
            }
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// From now on, keeps no more than the window.
    pub(crate) fn turn_to_passing(&mut self) {
        let mut state = self.fill.state.lock();
        state.passing = true;
        state.trim();
    }

    /// Whether someone reads.
    pub(crate) fn has_readers(&self) -> bool {
        self.fill.state.lock().slowest().is_some()
    }

    /// Ready once it passes only, and nobody reads.
    pub(crate) fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.fill.state.lock();
        if state.passing && state.slowest().is_none() {
            return Poll::Ready(());
        }
        match &mut state.writer {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The chunks kept so far.
    pub(crate) fn kept(&self) -> Vec<Bytes> {
        let state = self.fill.state.lock();
        let chunks = state.chunks.iter().map(|chunk| chunk.bytes.clone());
        chunks.collect()
    }

    /// The clean end.
    pub(crate) fn finish(&mut self, trailers: Option<HeaderMap>) {
        self.end(End::Whole(trailers.map(Arc::new)));
    }

    /// The end before time.
    pub(crate) fn fail(&mut self, error: BodyError) {
        self.end(End::Failed(error));
    }

    fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let wakers = {
            let mut state = self.fill.state.lock();
            state.end = Some(end);
            state.wake_readers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        self.end(End::Failed(BodyError::abandoned()));
    }
}

impl Fill {
    /// A reader from the beginning, while that is still here.
    pub(crate) fn reader(self: &Arc<Self>) -> Option<FillReader> {
        let mut state = self.state.lock();
        if state.first > 0 {
            return None;
        }
        let place = state.join(0, 0);
        Some(FillReader {
            fill: self.clone(),
            place: Some(place),
            at: 0,
            end: None,
            finished: false,
        })
    }

    /// A reader of a range that isn't empty, while all of it is here or may still come.
    pub(crate) fn range_reader(self: &Arc<Self>, range: Range<u64>) -> Option<FillReader> {
        let mut state = self.state.lock();
        match &state.end {
            Some(End::Failed(_)) => return None,
            Some(End::Whole(_)) if range.end > state.written => return None,
            Some(End::Whole(_)) | None => {}
        }
        if range.start < state.written - state.held {
            return None;
        }
        let before = state
            .chunks
            .partition_point(|chunk| chunk.end <= range.start);
        let next = state.first + before as u64;
        let place = state.join(range.start, next);
        Some(FillReader {
            fill: self.clone(),
            place: Some(place),
            at: range.start,
            end: Some(range.end),
            finished: false,
        })
    }
}

/// One who reads a fill from its beginning, or a range of it.
pub(crate) struct FillReader {
    fill: Arc<Fill>,
    /// Its place among the readers, until it leaves.
    place: Option<usize>,
    /// The next byte it gives.
    at: u64,
    /// Behind the last byte of its range. Without one it reads to the end, and the trailers.
    end: Option<u64>,
    finished: bool,
}

impl FillReader {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.finished {
            return Poll::Ready(None);
        }
        let (frame, writer) = {
            let mut state = self.fill.state.lock();
            let state = &mut *state;
            let place = self.place.and_then(|place| state.readers.get_mut(place));
            let Some(reader) = place.and_then(Option::as_mut) else {
                return Poll::Ready(None);
            };
            if reader.cut_off {
                self.finished = true;
                return Poll::Ready(Some(Err(BodyError::too_slow())));
            }
            let at = usize::try_from(reader.next - state.first).unwrap_or(usize::MAX);
            if let Some(chunk) = state.chunks.get(at) {
                let bytes = cut(chunk, self.at, self.end);
                if reader.next == state.first {
                    state.at_first -= 1;
                }
                reader.next += 1;
                self.at += bytes.len() as u64;
                let writer = match (self.end, self.place) {
                    (Some(end), Some(place)) if self.at >= end => {
                        self.finished = true;
                        self.place = None;
                        state.leave(place)
                    }
                    _ => {
                        state.trim();
                        state.writer.take()
                    }
                };
                (Some(Ok(Frame::data(bytes))), writer)
            } else {
                match &state.end {
                    None => {
                        match &mut reader.waker {
                            Some(waker) => waker.clone_from(cx.waker()),
                            none => *none = Some(cx.waker().clone()),
                        }
                        return Poll::Pending;
                    }
                    Some(end) => {
                        self.finished = true;
                        let frame = match end {
                            End::Failed(error) => Some(Err(error.clone())),
                            End::Whole(trailers) => match self.end {
                                Some(end) => Some(Err(BodyError::wrong_length(end, state.written))),
                                None => trailers
                                    .as_ref()
                                    .map(|trailers| Ok(Frame::trailers((**trailers).clone()))),
                            },
                        };
                        (frame, None)
                    }
                }
            }
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(frame)
    }

    /// What is still to come, where that may be announced: trailers need another framing.
    pub(crate) fn remaining(&self) -> Option<u64> {
        let end = self.end.or_else(|| {
            let state = self.fill.state.lock();
            match &state.end {
                Some(End::Whole(Some(_))) => None,
                Some(End::Whole(None)) => Some(state.written),
                Some(End::Failed(_)) | None => state.announced,
            }
        });
        end.map(|end| end.saturating_sub(self.at))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        if self.finished || self.end.is_some() {
            return self.finished;
        }
        let state = self.fill.state.lock();
        matches!(&state.end, Some(End::Whole(None)) if state.written == self.at)
    }
}

/// What a reader that wants the bytes from `at`, up to `end` at most, gets of the chunk in which `at` lies.
fn cut(chunk: &Chunk, at: u64, end: Option<u64>) -> Bytes {
    let begin = chunk.end - chunk.bytes.len() as u64;
    let end = end.map_or(chunk.end, |end| end.min(chunk.end));
    let within = |at: u64| usize::try_from(at.saturating_sub(begin)).unwrap_or(chunk.bytes.len());
    let range = within(at)..within(end);
    match range.len() == chunk.bytes.len() {
        true => chunk.bytes.clone(),
        false => chunk.bytes.slice(range),
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let writer = self.fill.state.lock().leave(place);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

#[cfg(all(test, frontage_loom))]
#[path = "fill_loom_tests.rs"]
mod loom_tests;

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
