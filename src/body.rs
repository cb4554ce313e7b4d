//! Response bodies: the inner service's own, or one that the cache holds.

use crate::{
    error::{BodyError, BoxError},
    fill::{Fill, FillReader},
    headers::remove_from_trailers,
};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A body that the cache holds, or is just fetching.
pub struct StoredBody(Stored);

// A body is moved from layer to layer with each hit: what is large and rare is boxed.

enum Stored {
    Empty,
    /// No body, whatever the header fields say of one: an answer to `HEAD`, or a 304.
    Absent,
    One(Bytes),
    Many(Box<Many>),
    Fill(FillReader),
    Joined(Box<Joined>),
    Boxed(Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>),
}

/// What is left to be read of a body of several pieces, or one with trailers.
struct Many {
    chunks: Chunks,
    at: usize,
    skip: usize,
    left: u64,
}

/// One behind the other, `left` bytes of the `length` in all still to come.
struct Joined {
    pieces: VecDeque<StoredBody>,
    length: u64,
    left: u64,
}

impl StoredBody {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self(Stored::Empty)
    }

    /// No body at all, as after a `HEAD`: its length is not 0, but unsaid, so that no server announces one.
    #[must_use]
    pub fn absent() -> Self {
        Self(Stored::Absent)
    }

    /// These bytes.
    pub(crate) fn bytes(bytes: Bytes) -> Self {
        Self(Stored::One(bytes))
    }

    /// The data of these bodies, one behind the other: `length` bytes in all, or it ends with an error. Trailers of theirs
    /// are left out.
    pub(crate) fn joined(pieces: VecDeque<Self>, length: u64) -> Self {
        Self(Stored::Joined(Box::new(Joined {
            pieces,
            length,
            left: length,
        })))
    }

    /// A body that a store reads from elsewhere than memory.
    pub fn boxed(body: impl Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self(Stored::Boxed(Box::pin(body)))
    }

    #[inline]
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Stored::Empty | Stored::Absent => Poll::Ready(None),
            Stored::One(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Stored::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Stored::Many(many) => Poll::Ready(many.next().map(Ok)),
            Stored::Fill(reader) => reader.poll_frame(cx),
            Stored::Joined(joined) => joined.poll_frame(cx),
            Stored::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Stored::Empty | Stored::Absent => true,
            Stored::One(bytes) => bytes.is_empty(),
            Stored::Many(many) => many.left == 0 && many.chunks.trailers.is_none(),
            Stored::Fill(reader) => reader.is_end_stream(),
            Stored::Joined(joined) => joined.left == 0,
            Stored::Boxed(body) => body.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Stored::Empty => SizeHint::with_exact(0),
            Stored::Absent => SizeHint::default(),
            Stored::One(bytes) => SizeHint::with_exact(bytes.len() as u64),
            // A body with trailers is framed in chunks, or they are lost.
            Stored::Many(many) if many.chunks.trailers.is_some() => SizeHint::default(),
            Stored::Many(many) => SizeHint::with_exact(many.left),
            Stored::Joined(joined) => SizeHint::with_exact(joined.left),
            Stored::Fill(reader) => reader
                .remaining()
                .map(SizeHint::with_exact)
                .unwrap_or_default(),
            Stored::Boxed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Stored::Empty => "empty",
            Stored::Absent => "absent",
            Stored::One(_) | Stored::Many(_) => "memory",
            Stored::Fill(_) => "fill",
            Stored::Joined(_) => "joined",
            Stored::Boxed(_) => "boxed",
        };
        f.debug_tuple("StoredBody").field(&kind).finish()
    }
}

impl Joined {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while let Some(piece) = self.pieces.front_mut() {
            let frame = match ready!(piece.poll_frame(cx)) {
                None => {
                    self.pieces.pop_front();
                    continue;
                }
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    self.end();
                    return Poll::Ready(Some(Err(error)));
                }
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let more = data.len() as u64;
            let Some(rest) = self.left.checked_sub(more) else {
                let got = (self.length - self.left).saturating_add(more);
                self.end();
                return Poll::Ready(Some(Err(BodyError::wrong_length(self.length, got))));
            };
            self.left = rest;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match std::mem::take(&mut self.left) {
            0 => Poll::Ready(None),
            missing => {
                let error = BodyError::wrong_length(self.length, self.length - missing);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn end(&mut self) {
        self.pieces.clear();
        self.left = 0;
    }
}

/// Opens readers of a body, while it may still be on its way.
pub trait OpenBody: Send + Sync + 'static {
    /// A reader from its beginning; `None` when that is gone.
    fn open(&self) -> Option<StoredBody>;

    /// A reader of these bytes of it, which needn't have come yet: it gives them as soon as they come, passes over what
    /// lies before them, and ends behind the last of them, without trailers, whatever becomes of the rest of the body.
    /// When the body ends before `range` does, it ends with an error. So `range` should lie within the length that
    /// the head announced.
    ///
    /// Readers of several ranges that are read one after the other must be read in ascending order: while the body
    /// only passes through, one that isn't read holds up what comes behind its range.
    ///
    /// `None` when bytes of it are gone or will never come, and where ranges can't be read: by default they can't.
    fn open_range(&self, range: Range<u64>) -> Option<StoredBody> {
        let _ = range;
        None
    }
}

impl OpenBody for Arc<Fill> {
    fn open(&self) -> Option<StoredBody> {
        self.reader().map(|reader| StoredBody(Stored::Fill(reader)))
    }

    fn open_range(&self, range: Range<u64>) -> Option<StoredBody> {
        if range.is_empty() {
            return Some(StoredBody::empty());
        }
        self.range_reader(range)
            .map(|reader| StoredBody(Stored::Fill(reader)))
    }
}

/// A complete body in memory: shared, never copied.
#[derive(Clone, Debug)]
pub struct Chunks {
    pieces: Pieces,
    length: u64,
    trailers: Option<Arc<HeaderMap>>,
}

#[derive(Clone, Debug)]
enum Pieces {
    One(Bytes),
    /// The pieces, and how many bytes there are up to the end of each.
    Many(Arc<[Bytes]>, Arc<[u64]>),
}

impl Chunks {
    /// The body that these chunks make.
    #[must_use]
    pub fn new(chunks: Vec<Bytes>, trailers: Option<HeaderMap>) -> Self {
        let mut length = 0;
        let pieces = match <[Bytes; 1]>::try_from(chunks) {
            Ok([one]) => {
                length = one.len() as u64;
                Pieces::One(one)
            }
            Err(many) => {
                let ends = many.iter().map(|chunk| {
                    length += chunk.len() as u64;
                    length
                });
                let ends = ends.collect();
                Pieces::Many(many.into(), ends)
            }
        };
        Self {
            pieces,
            length,
            trailers: trailers.map(Arc::new),
        }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The trailers that came behind it.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    pub(crate) fn pieces(&self) -> &[Bytes] {
        match &self.pieces {
            Pieces::One(one) => std::slice::from_ref(one),
            Pieces::Many(many, _) => many,
        }
    }

    /// The piece in which the byte `start` lies, and where in it.
    fn find(&self, start: u64) -> (usize, u64) {
        match &self.pieces {
            Pieces::One(_) => (0, start),
            Pieces::Many(_, ends) => {
                // Many ranges of a long body mustn't cost a walk each.
                let at = ends.partition_point(|end| *end <= start);
                let before = at.checked_sub(1).and_then(|before| ends.get(before));
                (at, start - before.copied().unwrap_or(0))
            }
        }
    }

    /// A reader of all of it, trailers included.
    #[inline]
    pub(crate) fn read_whole(&self) -> StoredBody {
        match &self.pieces {
            Pieces::One(one) if self.trailers.is_none() => StoredBody(Stored::One(one.clone())),
            _ => self.read(0..self.length),
        }
    }

    /// A reader of these bytes of it; trailers come with the end only.
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> StoredBody {
        let range = range.start.min(self.length)..range.end.min(self.length);
        let at_end = range.end == self.length;
        if self.trailers.is_none() || !at_end {
            if range.is_empty() {
                return StoredBody::empty();
            }
            if let Pieces::One(one) = &self.pieces {
                // Both bounds are within the length, which is a `usize`.
                let (Ok(start), Ok(end)) =
                    (usize::try_from(range.start), usize::try_from(range.end))
                else {
                    return StoredBody::empty();
                };
                return StoredBody(Stored::One(if range.start == 0 && at_end {
                    one.clone()
                } else {
                    one.slice(start..end)
                }));
            }
        }
        let mut chunks = self.clone();
        if !at_end {
            chunks.trailers = None;
        }
        let (at, skip) = chunks.find(range.start);
        let left = range.end - range.start.min(range.end);
        // `skip` is less than a piece, or 0.
        StoredBody(Stored::Many(Box::new(Many {
            chunks,
            at,
            skip: usize::try_from(skip).unwrap_or(0),
            left,
        })))
    }
}

impl Many {
    fn next(&mut self) -> Option<Frame<Bytes>> {
        while self.left > 0 {
            let piece = self.chunks.pieces().get(self.at)?;
            self.at += 1;
            let start = std::mem::take(&mut self.skip).min(piece.len());
            let end = usize::try_from(self.left).map_or(piece.len(), |left| {
                piece.len().min(start.saturating_add(left))
            });
            if start < end {
                let bytes = if end - start == piece.len() {
                    piece.clone()
                } else {
                    piece.slice(start..end)
                };
                self.left -= bytes.len() as u64;
                return Some(Frame::data(bytes));
            }
        }
        self.chunks
            .trailers
            .take()
            .map(|trailers| Frame::trailers((*trailers).clone()))
    }
}

/// What takes a copy of a body that runs to its viewer inline.
pub(crate) trait Tee: Send {
    /// Takes a chunk.
    fn poll_chunk(&mut self, cx: &mut Context<'_>, chunk: &Bytes) -> Poll<Taken>;
    /// The clean end.
    fn finish(self: Box<Self>, trailers: Option<HeaderMap>);
}

/// What a tee did with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It waits for more.
    More,
    /// That was all that the head announced: a server may not ask the body again.
    Complete,
    /// It takes no more.
    Refused,
}

pin_project! {
    /// The body of a response that went through a [`Cache`](crate::Cache).
    ///
    /// Either the inner service's own, untouched, or one that the cache holds. Its error is [`BodyError`].
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Inner { #[pin] body: B, poll: PollInner<B> },
        Teed { #[pin] body: B, poll: PollInner<B>, teeing: Box<Teeing> },
        Stored { body: StoredBody },
        Failed { error: Option<BodyError> },
    }
}

/// The other side of a body that is teed.
struct Teeing {
    tee: Option<Box<dyn Tee>>,
    pending: Option<Bytes>,
}

/// [`poll_inner`] for one type of body. Kept beside the body, so that `Body` is implemented without bounds on
/// the inner error: with them, a response can't be awaited in a spawned task (rust-lang/rust#110338).
type PollInner<B> =
    fn(Pin<&mut B>, &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl<B> ResponseBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    /// The inner service's body.
    pub(crate) fn inner(body: B) -> Self {
        Self {
            kind: Kind::Inner {
                body,
                poll: poll_inner,
            },
        }
    }

    /// The inner service's body, which `tee` gets a copy of.
    pub(crate) fn teed(body: B, tee: Box<dyn Tee>) -> Self {
        Self {
            kind: Kind::Teed {
                body,
                poll: poll_inner,
                teeing: Box::new(Teeing {
                    tee: Some(tee),
                    pending: None,
                }),
            },
        }
    }
}

impl<B> ResponseBody<B> {
    /// One that the cache holds.
    pub(crate) fn stored(body: StoredBody) -> Self {
        Self {
            kind: Kind::Stored { body },
        }
    }

    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::stored(StoredBody::empty())
    }
}

const _: () = assert!(size_of::<ResponseBody<Box<()>>>() <= 64);

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Inner { .. } => "inner",
            Kind::Teed { .. } => "inner, teed",
            Kind::Stored { .. } => "stored",
            Kind::Failed { .. } => "failed",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

impl<B: Body> Kind<B> {
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project() {
            KindProjection::Inner { body, poll } => poll(body, cx),
            KindProjection::Stored { body } => body.poll_frame(cx),
            KindProjection::Failed { error } => Poll::Ready(error.take().map(Err)),
            KindProjection::Teed {
                mut body,
                poll,
                teeing,
            } => {
                let Teeing { tee, pending } = &mut **teeing;
                let chunk = match pending.take() {
                    Some(chunk) => chunk,
                    None => match ready!(poll(body.as_mut(), cx)) {
                        None => {
                            if let Some(tee) = tee.take() {
                                tee.finish(None);
                            }
                            return Poll::Ready(None);
                        }
                        Some(Err(error)) => {
                            // Cut short: nothing is kept of it.
                            *tee = None;
                            return Poll::Ready(Some(Err(error)));
                        }
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(chunk) => chunk,
                            Err(mut frame) => {
                                if let (Some(trailers), Some(tee)) =
                                    (frame.trailers_mut(), tee.take())
                                {
                                    remove_from_trailers(trailers);
                                    tee.finish(Some(trailers.clone()));
                                }
                                return Poll::Ready(Some(Ok(frame)));
                            }
                        },
                    },
                };
                if let Some(open) = tee {
                    match open.poll_chunk(cx, &chunk) {
                        Poll::Pending => {
                            *pending = Some(chunk);
                            return Poll::Pending;
                        }
                        Poll::Ready(Taken::More) if !body.is_end_stream() => {}
                        Poll::Ready(Taken::More | Taken::Complete) => {
                            if let Some(tee) = tee.take() {
                                tee.finish(None);
                            }
                        }
                        Poll::Ready(Taken::Refused) => *tee = None,
                    }
                }
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
        }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        if let KindProjection::Failed { error } = this.kind.as_mut().project() {
            return Poll::Ready(error.take().map(Err));
        }
        match this.kind.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                // A server sends what it has when a body waits, the head of the response too; an error at once would take that along.
                this.kind.set(Kind::Failed { error: Some(error) });
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => frame,
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body, .. } => body.is_end_stream(),
            // The tee must see the end.
            Kind::Teed { body, teeing, .. } => {
                teeing.tee.is_none() && teeing.pending.is_none() && body.is_end_stream()
            }
            Kind::Stored { body } => body.is_end_stream(),
            Kind::Failed { error } => error.is_none(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body, .. } => body.size_hint(),
            Kind::Teed { body, teeing, .. } => {
                if teeing.pending.is_some() {
                    SizeHint::default()
                } else {
                    body.size_hint()
                }
            }
            Kind::Stored { body } => body.size_hint(),
            Kind::Failed { .. } => SizeHint::default(),
        }
    }
}

/// A frame of the inner service, its data as `Bytes` (no copy where it is that already).
pub(crate) fn poll_inner<B>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let frame = ready!(body.poll_frame(cx));
    Poll::Ready(frame.map(|result| match result {
        Ok(frame) => Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
        Err(error) => Err(BodyError::inner(error)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn collect(body: StoredBody) -> Vec<u8> {
        let body: ResponseBody<http_body_util::Empty<Bytes>> = ResponseBody::stored(body);
        let collected = tokio_test::block_on(body.collect()).unwrap();
        collected.to_bytes().to_vec()
    }

    #[test]
    fn any_range_of_any_split_is_the_slice() {
        let whole: Vec<u8> = (0..40).collect();
        for sizes in [&[40][..], &[1, 39], &[10, 10, 20], &[0, 40, 0], &[39, 0, 1]] {
            let mut rest = &whole[..];
            let chunks = sizes.iter().map(|size| {
                let (chunk, behind) = rest.split_at(*size);
                rest = behind;
                Bytes::copy_from_slice(chunk)
            });
            let chunks = Chunks::new(chunks.collect(), None);
            for start in 0..=40_u64 {
                for end in start..=41 {
                    let expected = &whole
                        [usize::try_from(start).unwrap()..usize::try_from(end.min(40)).unwrap()];
                    let reader = chunks.read(start..end);
                    assert_eq!(reader.size_hint().exact(), Some(expected.len() as u64));
                    assert_eq!(collect(reader), expected, "{sizes:?} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn the_whole_is_the_range_of_all() {
        let chunk = Bytes::from_static;
        for (chunks, whole) in [
            (vec![], ""),
            (vec![chunk(b"")], ""),
            (vec![chunk(b"abc")], "abc"),
            (vec![chunk(b"ab"), chunk(b"c")], "abc"),
        ] {
            for trailers in [None, Some(HeaderMap::new())] {
                let chunks = Chunks::new(chunks.clone(), trailers);
                let (all, range) = (chunks.read_whole(), chunks.read(0..chunks.length()));
                assert_eq!(all.size_hint().exact(), range.size_hint().exact());
                assert_eq!(all.is_end_stream(), range.is_end_stream());
                assert_eq!(collect(all), whole.as_bytes());
            }
        }
    }

    /// What a body gives: the bytes, and whether its end was a clean one.
    fn read(body: StoredBody) -> (Vec<u8>, bool) {
        let mut body: ResponseBody<http_body_util::Empty<Bytes>> = ResponseBody::stored(body);
        let mut read = Vec::new();
        tokio_test::block_on(async {
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => read.extend_from_slice(&frame.into_data().unwrap()),
                    Err(_) => {
                        assert!(body.frame().await.is_none());
                        return (read, false);
                    }
                }
            }
            (read, true)
        })
    }

    #[test]
    fn joined_bodies_are_one_of_exactly_the_length_that_was_said() {
        let trailers = Some(HeaderMap::new());
        let chunks = Chunks::new(vec![Bytes::from_static(b"abc")], trailers);
        let pieces = || {
            let head = StoredBody::bytes(Bytes::from_static(b"<"));
            VecDeque::from([
                head,
                chunks.read(1..3),
                StoredBody::empty(),
                chunks.read(0..1),
            ])
        };
        let joined = StoredBody::joined(pieces(), 4);
        assert_eq!(joined.size_hint().exact(), Some(4));
        assert!(!joined.is_end_stream());
        assert_eq!(read(joined), (b"<bca".to_vec(), true));
        assert!(StoredBody::joined(VecDeque::new(), 0).is_end_stream());
        assert_eq!(
            read(StoredBody::joined(pieces(), 5)),
            (b"<bca".to_vec(), false),
            "a byte short is no clean end"
        );
        assert_eq!(
            read(StoredBody::joined(pieces(), 3)),
            (b"<bc".to_vec(), false),
            "nothing beyond what was said"
        );
    }

    #[test]
    fn a_piece_that_fails_ends_what_is_joined() {
        let mut writer = crate::fill::FillWriter::keeping(
            Some(3),
            crate::fill::Window {
                bytes: 1,
                lag_timeout: std::time::Duration::from_secs(1),
            },
        );
        let fill = writer.opener();
        let pieces = [fill.open_range(0..1), fill.open_range(1..3)];
        let behind = StoredBody::bytes(Bytes::from_static(b"behind"));
        let pieces = pieces.into_iter().flatten().chain([behind]).collect();
        writer.push(Bytes::from_static(b"ab"));
        drop(writer);
        assert_eq!(read(StoredBody::joined(pieces, 9)), (b"ab".to_vec(), false));
        assert!(
            fill.open_range(2..2)
                .is_some_and(|empty| empty.is_end_stream())
        );
        assert!(fill.open_range(0..1).is_none());
    }

    #[tokio::test]
    async fn trailers_come_with_the_end() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let chunks = Chunks::new(vec![Bytes::from_static(b"abc")], Some(trailers.clone()));
        let body: ResponseBody<http_body_util::Empty<Bytes>> =
            ResponseBody::stored(chunks.read(0..3));
        assert!(body.size_hint().exact().is_none());
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        let part: ResponseBody<http_body_util::Empty<Bytes>> =
            ResponseBody::stored(chunks.read(0..2));
        assert_eq!(part.collect().await.unwrap().trailers(), None);
    }
}
