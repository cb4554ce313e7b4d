//! `Range` and `If-Range` (RFC 9110 sections 13.1.5 and 14): one range out of a complete response.

use crate::headers::parse_http_date;
use http::{HeaderMap, header};
use std::ops::Range;

/// What a request's `Range` selects of a response of a given length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// Everything: no range, one that can't be read, more than one, or `If-Range` doesn't hold.
    Whole,
    /// These bytes: a 206.
    Part(Range<u64>),
    /// Nothing: a 416.
    Unsatisfiable,
}

/// Selects what `request` asks for of a stored response with the header fields `stored` and `length` bytes.
///
/// ```
/// use frontage::range::{Selected, select};
///
/// let mut request = http::HeaderMap::new();
/// request.insert("range", "bytes=-5".parse()?);
/// assert_eq!(select(&request, &http::HeaderMap::new(), 100), Selected::Part(95..100));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[must_use]
pub fn select(request: &HeaderMap, stored: &HeaderMap, length: u64) -> Selected {
    let mut lines = request.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Selected::Whole;
    };
    let Some(spec) = parse(line.as_bytes()) else {
        return Selected::Whole;
    };
    if !if_range_holds(request, stored) {
        return Selected::Whole;
    }
    match spec {
        Spec::From(first, _) if first >= length => Selected::Unsatisfiable,
        Spec::From(first, None) => Selected::Part(first..length),
        Spec::From(first, Some(last)) => Selected::Part(first..last.saturating_add(1).min(length)),
        Spec::Suffix(0) => Selected::Unsatisfiable,
        Spec::Suffix(_) if length == 0 => Selected::Unsatisfiable,
        Spec::Suffix(count) => Selected::Part(length.saturating_sub(count)..length),
    }
}

enum Spec {
    From(u64, Option<u64>),
    Suffix(u64),
}

/// One byte range; `None` for anything that isn't exactly that.
fn parse(value: &[u8]) -> Option<Spec> {
    let (unit, spec) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let spec = std::str::from_utf8(spec).ok()?.trim();
    let (first, last) = spec.split_once('-')?;
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

/// Strong comparison for an entity tag; for a date, the very `Last-Modified`, if that is a strong
/// validator: at least a second before `Date` (RFC 9110 section 8.8.2.2).
fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(condition) = request.get(header::IF_RANGE) else {
        return true;
    };
    let condition = condition.as_bytes();
    if condition.starts_with(b"\"") {
        return stored
            .get(header::ETAG)
            .is_some_and(|etag| etag.as_bytes() == condition);
    }
    let date_of = |name| {
        stored
            .get(name)
            .and_then(|value: &http::HeaderValue| parse_http_date(value.as_bytes()))
    };
    match (
        parse_http_date(condition),
        date_of(header::LAST_MODIFIED),
        date_of(header::DATE),
    ) {
        (Some(asked), Some(modified), Some(date)) => {
            asked == modified && date >= modified.saturating_add(1000)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn selected(range: &'static str, length: u64) -> Selected {
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, HeaderValue::from_static(range));
        select(&request, &HeaderMap::new(), length)
    }

    #[test]
    fn one_range_is_cut() {
        use Selected::{Part, Unsatisfiable, Whole};
        for (range, length, expected) in [
            ("bytes=0-0", 10, Part(0..1)),
            ("bytes=2-", 10, Part(2..10)),
            ("BYTES= 2-5 ", 10, Part(2..6)),
            ("bytes=2-99999999999999999999999", 10, Part(2..10)),
            ("bytes=-3", 10, Part(7..10)),
            ("bytes=-30", 10, Part(0..10)),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Unsatisfiable),
            ("bytes=5-2", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=-", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("bytes", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(selected(range, length), expected, "{range} of {length}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        twice.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(select(&twice, &HeaderMap::new(), 10), Whole);
        twice.insert(
            header::RANGE,
            HeaderValue::from_bytes(b"bytes=\xff-").unwrap(),
        );
        assert_eq!(select(&twice, &HeaderMap::new(), 10), Whole);
    }

    #[test]
    fn if_range_compares_strongly() {
        let (old, new) = (
            "Thu, 01 Jan 2026 00:00:00 GMT",
            "Thu, 01 Jan 2026 00:00:01 GMT",
        );
        for (condition, etag, modified, holds) in [
            ("\"a\"", "\"a\"", new, true),
            ("\"a\"", "\"b\"", new, false),
            ("W/\"a\"", "W/\"a\"", new, false),
            (old, "\"a\"", old, true),
            (new, "\"a\"", new, false),
            (new, "\"a\"", old, false),
            ("junk", "\"a\"", old, false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
            request.insert(header::IF_RANGE, HeaderValue::from_static(condition));
            let mut stored = HeaderMap::new();
            stored.insert(header::ETAG, HeaderValue::from_static(etag));
            stored.insert(header::LAST_MODIFIED, HeaderValue::from_static(modified));
            stored.insert(header::DATE, HeaderValue::from_static(new));
            let expected = if holds {
                Selected::Part(0..2)
            } else {
                Selected::Whole
            };
            assert_eq!(
                select(&request, &stored, 10),
                expected,
                "{condition} {etag} {modified}"
            );
        }
    }
}
