//! Aligned blocks: which of them a range touches, and which bytes of each.

use super::{Spec, parse};
use crate::{
    conditional::same_strong_validator,
    headers::{content_length, content_range},
};
use http::{HeaderMap, HeaderValue, header};
use std::{num::NonZeroU64, ops::Range};

/// One of the blocks of equal size that a representation is cut into, from its beginning; the last may be shorter.
///
/// ```
/// use frontage::range::Block;
/// use std::num::NonZeroU64;
///
/// let size = NonZeroU64::new(1000).unwrap();
/// let block = Block::holding(size, 2345);
/// assert_eq!((block.number(), block.bytes(10_000), block.bytes(2500)), (2, 2000..3000, 2000..2500));
/// assert_eq!(block.range_header(), "bytes=2000-2999");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    size: NonZeroU64,
    number: u64,
}

impl Block {
    /// The block of this number; the first has number 0.
    #[must_use]
    pub fn new(size: NonZeroU64, number: u64) -> Self {
        Self { size, number }
    }

    /// The block in which a byte lies.
    #[must_use]
    pub fn holding(size: NonZeroU64, byte: u64) -> Self {
        Self::new(size, byte / size)
    }

    /// The block to be asked for first, for a request with these fields: the one in which its range begins; the first one where
    /// it wants the whole, or the last bytes of a length that isn't known yet, be it none of them (`bytes=-0`). `None` for several
    /// ranges.
    ///
    /// ```
    /// use frontage::range::Block;
    /// use std::num::NonZeroU64;
    ///
    /// let size = NonZeroU64::new(1000).unwrap();
    /// let mut request = http::HeaderMap::new();
    /// assert_eq!(Block::to_begin_with(&request, size), Some(Block::new(size, 0)));
    /// request.insert("range", "bytes=5000-".parse()?);
    /// assert_eq!(Block::to_begin_with(&request, size), Some(Block::new(size, 5)));
    /// request.insert("range", "bytes=0-1,5000-".parse()?);
    /// assert_eq!(Block::to_begin_with(&request, size), None);
    /// # Ok::<(), http::header::InvalidHeaderValue>(())
    /// ```
    #[must_use]
    pub fn to_begin_with(request: &HeaderMap, size: NonZeroU64) -> Option<Self> {
        let mut lines = request.get_all(header::RANGE).iter();
        let specs = match (lines.next(), lines.next()) {
            (None, _) => return Some(Self::new(size, 0)),
            (Some(line), None) => parse(line.as_bytes()),
            (Some(_), Some(_)) => return None,
        };
        match specs.as_deref() {
            // What can't be read is ignored.
            None => Some(Self::new(size, 0)),
            Some([Spec::From(first, _)]) => Some(Self::holding(size, *first)),
            Some([Spec::Suffix(_)]) => Some(Self::new(size, 0)),
            Some(_) => None,
        }
    }

    /// The size of the blocks that this is one of, in bytes.
    #[must_use]
    pub fn size(&self) -> NonZeroU64 {
        self.size
    }

    /// How many blocks come before this.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The one that comes next.
    #[must_use]
    pub fn next(&self) -> Self {
        Self::new(self.size, self.number.saturating_add(1))
    }

    /// The place of its first byte.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.number.saturating_mul(self.size.get())
    }

    /// Its bytes, of a representation of so many: none where that ends before.
    #[must_use]
    pub fn bytes(&self, length: u64) -> Range<u64> {
        let end = self.start().saturating_add(self.size.get());
        self.start().min(length)..end.min(length)
    }

    /// The `Range` that asks for it.
    #[must_use]
    pub fn range_header(&self) -> HeaderValue {
        let last = self.bytes(u64::MAX).end.saturating_sub(1);
        let text = format!("bytes={}-{}", self.start().min(last), last);
        // Digits, a dash and the unit make a value.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("bytes=0-0"))
    }

    /// The length of the whole, where a 206 with these fields is exactly this block (RFC 9110 section 14.4): of the whole size,
    /// but at the end; with a `Content-Length` that agrees, if there is one.
    #[must_use]
    pub fn length_of_whole(&self, response: &HeaderMap) -> Option<u64> {
        Piece::from(*self).length_of_whole(response)
    }
}

/// What is asked for of a representation at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Block(Block),
    /// So many of its last bytes, while it isn't known how long it is.
    Last(NonZeroU64),
}

impl Piece {
    /// The piece to begin with, as [`Block::to_begin_with`]; but the last bytes are asked for as such. Where they are more than a
    /// block, the very last will do, which tells where the others lie.
    pub(crate) fn to_begin_with(request: &HeaderMap, size: NonZeroU64) -> Option<Self> {
        let begin = Block::to_begin_with(request, size)?;
        let specs = request
            .get(header::RANGE)
            .and_then(|line| parse(line.as_bytes()));
        Some(match specs.as_deref() {
            Some([Spec::Suffix(count @ 1..)]) => {
                let count = NonZeroU64::new(*count).filter(|count| *count <= size);
                Self::Last(count.unwrap_or(NonZeroU64::MIN))
            }
            _ => Self::Block(begin),
        })
    }

    /// Its bytes, of a representation of so many.
    pub(crate) fn bytes(self, length: u64) -> Range<u64> {
        match self {
            Self::Block(block) => block.bytes(length),
            Self::Last(count) => length.saturating_sub(count.get())..length,
        }
    }

    /// The `Range` that asks for it.
    pub(crate) fn range_header(self) -> HeaderValue {
        match self {
            Self::Block(block) => block.range_header(),
            // Digits, a dash and the unit make a value.
            Self::Last(count) => HeaderValue::from_str(&format!("bytes=-{count}"))
                .unwrap_or(HeaderValue::from_static("bytes=-1")),
        }
    }

    /// The length of the whole, where a 206 with these fields is exactly this: as [`Block::length_of_whole`].
    pub(crate) fn length_of_whole(self, response: &HeaderMap) -> Option<u64> {
        let (bytes, length) = content_range(response)?;
        let announced = response.contains_key(header::CONTENT_LENGTH);
        let agrees = !announced || content_length(response) == Some(bytes.end - bytes.start);
        (agrees && bytes == self.bytes(length)).then_some(length)
    }
}

impl From<Block> for Piece {
    fn from(block: Block) -> Self {
        Self::Block(block)
    }
}

/// Whether a response with these fields can be told from other versions, so that parts of it may be put together: it has a strong
/// validator (RFC 9110 section 8.8.1).
pub(crate) fn is_of_one_version(response: &HeaderMap) -> bool {
    same_strong_validator(response, response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::{RangeRules, Selected, select};
    use proptest::prelude::*;

    fn size(bytes: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes).unwrap()
    }

    fn asking(range: &str) -> HeaderMap {
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
        request
    }

    #[test]
    fn the_block_to_begin_with_is_the_one_in_which_the_range_begins() {
        for (range, expected) in [
            ("bytes=0-", Some(0)),
            ("bytes=99-100", Some(0)),
            ("bytes=100-", Some(1)),
            ("bytes=, 250-260 ,", Some(2)),
            ("bytes=-1", Some(0)),
            ("bytes=-0", Some(0)),
            ("bytes=0-1,2-3", None),
            ("bytes=5-2", Some(0)),
            ("lines=500-", Some(0)),
            ("bytes=18446744073709551615-", Some(u64::MAX / 100)),
        ] {
            let block = Block::to_begin_with(&asking(range), size(100));
            assert_eq!(block.map(|block| block.number()), expected, "{range}");
        }
        let mut twice = asking("bytes=0-1");
        twice.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(Block::to_begin_with(&twice, size(100)), None);
    }

    #[test]
    fn the_last_bytes_are_asked_for_as_such_or_by_the_very_last() {
        for (range, expected, content_range) in [
            ("bytes=-1", "bytes=-1", "bytes 249-249/250"),
            ("bytes=-100", "bytes=-100", "bytes 150-249/250"),
            ("bytes=-100", "bytes=-100", "bytes 0-49/50"),
            ("bytes=-101", "bytes=-1", "bytes 249-249/250"),
            ("bytes=150-", "bytes=100-199", "bytes 100-199/250"),
        ] {
            let piece = Piece::to_begin_with(&asking(range), size(100)).unwrap();
            assert_eq!(piece.range_header(), expected);
            let mut response = HeaderMap::new();
            response.insert(header::CONTENT_RANGE, content_range.parse().unwrap());
            let (bytes, length) = super::content_range(&response).unwrap();
            assert_eq!(piece.length_of_whole(&response), Some(length), "{range}");
            assert_eq!(piece.bytes(length), bytes);
            let longer = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, length + 1);
            response.insert(header::CONTENT_RANGE, longer.parse().unwrap());
            let is_last = expected.starts_with("bytes=-");
            assert_eq!(piece.length_of_whole(&response).is_none(), is_last);
        }
        let of_nothing = Piece::to_begin_with(&asking("bytes=-0"), size(100));
        assert_eq!(of_nothing, Some(Block::new(size(100), 0).into()));
    }

    #[test]
    fn only_the_whole_block_is_the_block() {
        for (number, content_range, content_length, expected) in [
            (0, "bytes 0-99/1000", Some("100"), Some(1000)),
            (0, "bytes 0-99/1000", None, Some(1000)),
            (9, "bytes 900-949/950", Some("50"), Some(950)),
            (9, "bytes 900-999/1000", Some("100"), Some(1000)),
            (0, "bytes 0-0/1", Some("1"), Some(1)),
            (0, "bytes 0-98/1000", Some("99"), None),
            (0, "bytes 0-100/1000", Some("101"), None),
            (0, "bytes 1-99/1000", Some("99"), None),
            (1, "bytes 0-99/1000", Some("100"), None),
            (0, "bytes 0-99/1000", Some("99"), None),
            (0, "bytes 0-99/1000", Some("x"), None),
            (0, "bytes 0-99/*", Some("100"), None),
            (0, "bytes */1000", None, None),
            (0, "lines 0-99/1000", None, None),
        ] {
            let mut response = HeaderMap::new();
            response.insert(header::CONTENT_RANGE, content_range.parse().unwrap());
            if let Some(length) = content_length {
                response.insert(header::CONTENT_LENGTH, length.parse().unwrap());
            }
            let length = Block::new(size(100), number).length_of_whole(&response);
            assert_eq!(length, expected, "{number} {content_range}");
        }
        let none = HeaderMap::new();
        assert_eq!(Block::new(size(100), 0).length_of_whole(&none), None);
    }

    #[test]
    fn no_number_is_too_large() {
        for (bytes, number) in [(1, u64::MAX), (u64::MAX, 1), (u64::MAX, u64::MAX), (7, 0)] {
            let block = Block::new(size(bytes), number);
            assert!(block.bytes(100).end <= 100 && block.next().number() >= number);
            let header = block.range_header();
            let text = header.to_str().unwrap().strip_prefix("bytes=").unwrap();
            let (first, last) = text.split_once('-').unwrap();
            let [first, last]: [u64; 2] = [first, last].map(|number| number.parse().unwrap());
            assert!(first <= last, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn blocks_follow_each_other_without_gap_or_overlap(
            bytes in 1_u64..500,
            length in 1_u64..5_000,
            range in (0_u64..6_000, 0_u64..6_000),
        ) {
            let request = asking(&format!("bytes={}-{}", range.0, range.0 + range.1));
            let selected = select(&request, &HeaderMap::new(), length, RangeRules::Rfc);
            let Selected::Part(part) = selected else {
                prop_assert_eq!(selected, Selected::Unsatisfiable);
                return Ok(());
            };
            let mut block = Block::to_begin_with(&request, size(bytes)).unwrap();
            prop_assert_eq!(block, Block::holding(size(bytes), part.start));
            prop_assert!(block.bytes(length).contains(&part.start));
            let mut at = part.start;
            while at < part.end {
                let own = block.bytes(length);
                prop_assert!(own.contains(&at) && own.end - own.start <= bytes);
                at = own.end.min(part.end);
                prop_assert_eq!(block.next().start().min(length), own.end);
                // What the block's own request would select is the block.
                let mut own_request = HeaderMap::new();
                own_request.insert(header::RANGE, block.range_header());
                let own_part = select(&own_request, &HeaderMap::new(), length, RangeRules::Rfc);
                prop_assert_eq!(own_part, Selected::Part(own));
                block = block.next();
            }
            prop_assert_eq!(at, part.end);
        }
    }
}
