//! `Range` and `If-Range` (RFC 9110 sections 13.1.5 and 14): the ranges that are cut out of a complete representation.
//!
//! # What a stranger can ask for
//!
//! A `Range` of more than [`MAX_SPECS`] specs is ignored, so that the whole is sent. Ranges that overlap, or that
//! less than [`MIN_GAP`] bytes lie between, become one. So however many there are, and in whatever order: no byte is sent
//! twice, and an answer is never longer than the whole and `MAX_SPECS` heads of parts. To read and sort them takes
//! one pass over the field and a sort of `MAX_SPECS` numbers.
//!
//! [`Block`] cuts a representation into blocks of equal size, which are fetched and stored one by one.

mod blocks;
mod if_range;
mod multipart;

pub use blocks::Block;
pub(crate) use blocks::{Piece, is_of_one_version};
pub use multipart::Multipart;
pub(crate) use multipart::content_range;

use http::{HeaderMap, StatusCode, header};
use std::ops::Range;

/// How many specs of a `Range` are read, empty ones included. With more, the field is ignored.
pub const MAX_SPECS: usize = 100;

/// Ranges with fewer bytes than this between them are sent as one: the head of another part
/// would be longer (RFC 9110 section 15.3.7.2 gives the number).
pub const MIN_GAP: u64 = 80;

/// What a request's `Range` selects of a representation of a given length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// Everything: no range, one that can't be read or has too many specs, or `If-Range` doesn't hold.
    Whole,
    /// These bytes: a 206.
    Part(Range<u64>),
    /// At least two ranges: a 206 as `multipart/byteranges`, see [`Multipart`]. They stand in the order of the request, are
    /// not empty, and [`MIN_GAP`] bytes or more lie between any two.
    Parts(Vec<Range<u64>>),
    /// Nothing: a 416.
    Unsatisfiable,
}

/// Whose rules tell which ranges are answered with the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RangeRules {
    /// RFC 9110's: ranges may overlap and stand in any order.
    #[default]
    Rfc,
    /// CloudFront's: of several ranges, each must begin behind the end of the one before it, as they are written;
    /// nothing comes behind one without an end. Else the whole is sent.
    CloudFront,
}

/// Selects what `request` asks for of a representation with the header fields `stored` and `length` bytes.
///
/// Under both rules, one spec that is no byte range makes the whole field invalid, and the whole is sent; ranges that begin
/// behind the end are left out; where none is left, the answer is a 416 (RFC 9110 section 14.2). The last bytes of nothing
/// are the whole: a `Content-Range` can't name them.
///
/// ```
/// use frontage::range::{RangeRules, Selected, select};
///
/// let stored = http::HeaderMap::new();
/// let mut request = http::HeaderMap::new();
/// request.insert("range", "bytes=-5".parse()?);
/// assert_eq!(select(&request, &stored, 100, RangeRules::Rfc), Selected::Part(95..100));
///
/// request.insert("range", "bytes=500-599, 0-99, 50-149".parse()?);
/// assert_eq!(select(&request, &stored, 1000, RangeRules::Rfc), Selected::Parts(vec![500..600, 0..150]));
/// assert_eq!(select(&request, &stored, 1000, RangeRules::CloudFront), Selected::Whole);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[must_use]
pub fn select(request: &HeaderMap, stored: &HeaderMap, length: u64, rules: RangeRules) -> Selected {
    let mut lines = request.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Selected::Whole;
    };
    let Some(specs) = parse(line.as_bytes()) else {
        return Selected::Whole;
    };
    if !if_range::holds(request, stored) {
        return Selected::Whole;
    }
    if rules == RangeRules::CloudFront && !is_ascending(&specs, length) {
        return Selected::Whole;
    }
    let parts: Vec<Range<u64>> = specs.iter().filter_map(|spec| spec.of(length)).collect();
    if parts.is_empty() {
        let last_of_nothing = length == 0
            && specs
                .iter()
                .any(|spec| matches!(spec, Spec::Suffix(count) if *count > 0));
        return match last_of_nothing {
            true => Selected::Whole,
            false => Selected::Unsatisfiable,
        };
    }
    let parts = coalesce(parts);
    match &parts[..] {
        [part] => Selected::Part(part.clone()),
        _ => Selected::Parts(parts),
    }
}

/// Whether a request asks for everything by a range, however long that is: `bytes=0-`.
pub(crate) fn is_of_all(request: &HeaderMap) -> bool {
    let mut lines = request.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return false;
    };
    matches!(
        parse(line.as_bytes()).as_deref(),
        Some([Spec::From(0, None)])
    )
}

/// Whether an answer to a request with `Range` may be owed to that: each but the whole, and the news that there is no such thing.
/// A stranger chooses the range, and an error that it provokes must not be one for all.
pub(crate) fn may_be_of_range(status: StatusCode) -> bool {
    !matches!(
        status,
        StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::GONE
    )
}

enum Spec {
    From(u64, Option<u64>),
    Suffix(u64),
}

impl Spec {
    /// The bytes that it names of so many; `None` where those are none.
    fn of(&self, length: u64) -> Option<Range<u64>> {
        let range = match *self {
            Self::From(first, None) => first..length,
            Self::From(first, Some(last)) => first..last.saturating_add(1).min(length),
            Self::Suffix(count) => length.saturating_sub(count)..length,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// One or several byte ranges; `None` for anything that isn't exactly that, and for too many.
fn parse(value: &[u8]) -> Option<Vec<Spec>> {
    let (unit, set) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = Vec::new();
    for (at, spec) in set.split(|byte| *byte == b',').enumerate() {
        if at >= MAX_SPECS {
            return None;
        }
        let spec = spec.trim_ascii();
        // RFC 9110 section 5.6.1.2: a list may have empty members.
        if !spec.is_empty() {
            specs.push(parse_spec(spec)?);
        }
    }
    (!specs.is_empty()).then_some(specs)
}

fn parse_spec(spec: &[u8]) -> Option<Spec> {
    let (first, last) = std::str::from_utf8(spec).ok()?.split_once('-')?;
    let number = |digits: &str| -> Option<u64> {
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // A position beyond any file is beyond this one.
        Some(digits.parse().unwrap_or(u64::MAX))
    };
    match (first, last) {
        ("", last) => Some(Spec::Suffix(number(last)?)),
        (first, "") => Some(Spec::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From(first, Some(last)))
        }
    }
}

fn is_ascending(specs: &[Spec], length: u64) -> bool {
    let mut free_from = 0;
    specs.iter().all(|spec| {
        let (first, end) = match *spec {
            Spec::From(first, last) => {
                (first, last.map_or(u64::MAX, |last| last.saturating_add(1)))
            }
            Spec::Suffix(count) => (length.saturating_sub(count), u64::MAX),
        };
        first >= std::mem::replace(&mut free_from, end)
    })
}

/// Makes one of those that overlap or nearly touch. What becomes of several stands where the first of them stood
/// (RFC 9110 section 15.3.7.2).
fn coalesce(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut parts: Vec<(usize, Range<u64>)> = parts.into_iter().enumerate().collect();
    parts.sort_unstable_by_key(|(_, part)| part.start);
    let mut apart: Vec<(usize, Range<u64>)> = Vec::with_capacity(parts.len());
    for (place, part) in parts {
        match apart.last_mut() {
            Some((earlier, last)) if part.start.saturating_sub(last.end) < MIN_GAP => {
                last.end = last.end.max(part.end);
                *earlier = place.min(*earlier);
            }
            _ => apart.push((place, part)),
        }
    }
    apart.sort_unstable_by_key(|(place, _)| *place);
    apart.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests;
