//! Conditional requests (RFC 9110 section 13): the viewer's, answered here, and our own to the origin.

use crate::headers::{content_length, date_of, members, parse_http_date};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};

/// Whether a stored response answers a viewer's `If-None-Match` or `If-Modified-Since` with a 304
/// (RFC 9111 section 4.3.2).
///
/// `If-None-Match` beats `If-Modified-Since`; tags are compared weakly. Without a `Last-Modified`, `Date` counts, and
/// without that `received_at`. Only a 200 is answered so (RFC 9110 section 13.2.1).
///
/// ```
/// use frontage::conditional::is_not_modified;
/// use http::{HeaderMap, StatusCode};
///
/// let (mut request, mut stored) = (HeaderMap::new(), HeaderMap::new());
/// request.insert("if-none-match", "\"a\", W/\"b\"".parse()?);
/// stored.insert("etag", "\"b\"".parse()?);
/// assert!(is_not_modified(&request, StatusCode::OK, &stored, 0));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[must_use]
pub fn is_not_modified(
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    received_at: u64,
) -> bool {
    if status != StatusCode::OK {
        return false;
    }
    if request.contains_key(header::IF_NONE_MATCH) {
        let etag = opaque_tag(stored, &header::ETAG);
        return request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .flat_map(|line| members(line.as_bytes()))
            .any(|tag| tag == b"*" || Some(opaque(tag)) == etag);
    }
    let mut since = request.get_all(header::IF_MODIFIED_SINCE).iter();
    let (Some(since), None) = (since.next(), since.next()) else {
        return false;
    };
    let Some(since) = parse_http_date(since.as_bytes()) else {
        return false;
    };
    let date_of = |name| {
        stored
            .get(name)
            .and_then(|value: &HeaderValue| parse_http_date(value.as_bytes()))
    };
    let modified = date_of(header::LAST_MODIFIED)
        .or_else(|| date_of(header::DATE))
        .unwrap_or(received_at);
    modified <= since
}

/// Whether a 200 to a `HEAD` is about what is stored: its `ETag`, its `Last-Modified` and its `Content-Length`, those of them that
/// it has, are those of the stored response, whose body has `length` bytes (RFC 9111 section 4.3.5). Another status than 200
/// is stored for something else.
///
/// ```
/// use frontage::conditional::describes;
/// use http::{HeaderMap, StatusCode};
///
/// let (mut head, mut stored) = (HeaderMap::new(), HeaderMap::new());
/// stored.insert("etag", "\"a\"".parse()?);
/// assert!(describes(&head, StatusCode::OK, &stored, 5));
/// head.insert("content-length", "6".parse()?);
/// assert!(!describes(&head, StatusCode::OK, &stored, 5));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[must_use]
pub fn describes(head: &HeaderMap, status: StatusCode, stored: &HeaderMap, length: u64) -> bool {
    let agrees = |name: HeaderName| {
        !head.contains_key(&name) || head.get_all(&name).iter().eq(stored.get_all(&name))
    };
    let is_as_long =
        !head.contains_key(header::CONTENT_LENGTH) || content_length(head) == Some(length);
    status == StatusCode::OK && agrees(header::ETAG) && agrees(header::LAST_MODIFIED) && is_as_long
}

/// The entity tag in a field, without its weakness.
fn opaque_tag<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let tag = headers.get(name)?;
    Some(opaque(tag.as_bytes().trim_ascii()))
}

/// An entity tag without its weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether two responses share a strong validator, so that parts of them may be combined (RFC 9111 section 3.4): the same
/// strong entity tag, or without any tag the same `Last-Modified`, at least a second before either `Date` (RFC 9110
/// section 8.8.2.2).
#[must_use]
pub fn same_strong_validator(one: &HeaderMap, other: &HeaderMap) -> bool {
    let validator = strong_validator(one);
    validator.is_some() && validator == strong_validator(other)
}

/// What tells a version of a representation from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StrongValidator<'a> {
    /// `ETag`.
    Tag(&'a [u8]),
    /// `Last-Modified`, in milliseconds since the epoch.
    Date(u64),
}

/// The strong validator of a response: its tag, if there is one at all, or its date.
pub(crate) fn strong_validator(headers: &HeaderMap) -> Option<StrongValidator<'_>> {
    if headers.contains_key(header::ETAG) {
        let tag = only(headers, &header::ETAG).filter(|tag| is_strong_tag(tag));
        return tag.map(StrongValidator::Tag);
    }
    strong_date(headers).map(StrongValidator::Date)
}

/// The value of a field that has one line, without the white space around it.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Some(line.as_bytes().trim_ascii()),
        _ => None,
    }
}

/// One quoted string, without a `W/` before it.
pub(crate) fn is_strong_tag(value: &[u8]) -> bool {
    matches!(value, [b'"', opaque @ .., b'"'] if !opaque.contains(&b'"'))
}

/// `Last-Modified`, where it is a strong validator: at least a second before `Date` (RFC 9110 section 8.8.2.2).
pub(crate) fn strong_date(headers: &HeaderMap) -> Option<u64> {
    let date = |name| date_of(headers, &name).flatten();
    let (modified, date) = (date(header::LAST_MODIFIED)?, date(header::DATE)?);
    (date >= modified.saturating_add(1000)).then_some(modified)
}

/// Whether there are conditions that a 304 may answer.
pub(crate) fn has_conditions(request: &HeaderMap) -> bool {
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
        .iter()
        .any(|name| request.contains_key(name))
}

/// Takes the viewer's conditions out of a request, so that the origin answers in full.
pub fn remove_conditions(request: &mut HeaderMap) {
    for name in [
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_RANGE,
    ] {
        request.remove(name);
    }
}

/// Replaces a request's conditions with the validators of a stored response (RFC 9111 section
/// 4.3.1). `false` where it has none: the request is then without conditions.
pub fn condition_on(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    remove_conditions(request);
    let mut conditional = false;
    if let Some(etag) = stored.get(header::ETAG) {
        request.insert(header::IF_NONE_MATCH, etag.clone());
        conditional = true;
    }
    if let Some(modified) = stored.get(header::LAST_MODIFIED)
        && date_of(stored, &header::LAST_MODIFIED).flatten().is_some()
    {
        request.insert(header::IF_MODIFIED_SINCE, modified.clone());
        conditional = true;
    }
    conditional
}

/// Whether a 304 is of another version than the stored response that was asked about: its `Last-Modified` is another, and so is its
/// `ETag`, or no tag is stored. It then updates nothing (RFC 9111 section 4.3.4).
///
/// Whoever has an older one answers so, for it wasn't modified since either. A 304 without validators is of what was asked about,
/// and so is one with another `ETag` only, although it should update nothing, either (section 4.3.4): many servers make tags
/// anew for the same bytes, and the public conformance suite expects it.
///
/// ```
/// use frontage::conditional::is_of_another_version;
/// use http::HeaderMap;
///
/// let (mut not_modified, mut stored) = (HeaderMap::new(), HeaderMap::new());
/// stored.insert("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT".parse()?);
/// assert!(!is_of_another_version(&not_modified, &stored));
/// not_modified.insert("last-modified", "Wed, 31 Dec 2025 00:00:00 GMT".parse()?);
/// assert!(is_of_another_version(&not_modified, &stored));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[must_use]
pub fn is_of_another_version(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    let known = (&header::ETAG, &header::LAST_MODIFIED);
    is_of_another(not_modified, stored, known)
}

/// In the extensions of a request whose conditions are those of a cache, which inserts it: a date among them, by which an older
/// version is taken for the same. An `Origin`, or another cache below, answers with the whole where a 304 would be of no use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revalidation;

impl Revalidation {
    /// Whether a cache's date is the only condition.
    pub(crate) fn is_by_date(request: &Parts) -> bool {
        !request.headers.contains_key(header::IF_NONE_MATCH)
            && request.extensions.get::<Self>().is_some()
    }

    /// Takes it out.
    pub(crate) fn remove(request: &mut Parts) {
        request.extensions.remove::<Self>();
        remove_conditions(&mut request.headers);
    }
}

/// Whether a 304 is of another version than a request was [conditioned on](condition_on).
#[cfg(any(feature = "origin", test))]
pub(crate) fn is_of_another_version_than_asked(
    not_modified: &HeaderMap,
    request: &HeaderMap,
) -> bool {
    let known = (&header::IF_NONE_MATCH, &header::IF_MODIFIED_SINCE);
    is_of_another(not_modified, request, known)
}

/// `known` holds the tag and the date of a version in fields of these names.
fn is_of_another(
    not_modified: &HeaderMap,
    known: &HeaderMap,
    (tag, date): (&HeaderName, &HeaderName),
) -> bool {
    let said_date = date_of(not_modified, &header::LAST_MODIFIED).flatten();
    let is_another_date = match (said_date, date_of(known, date).flatten()) {
        (Some(said), Some(known)) => said != known,
        _ => false,
    };
    let said_tag = opaque_tag(not_modified, &header::ETAG);
    is_another_date
        && match opaque_tag(known, tag) {
            Some(known) => said_tag.is_some_and(|said| said != known),
            None => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
    const NEW: &str = "Thu, 01 Jan 2026 00:00:01 GMT";

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn not_modified(
        request: &[(&'static str, &'static str)],
        stored: &[(&'static str, &'static str)],
    ) -> bool {
        is_not_modified(
            &map(request),
            StatusCode::OK,
            &map(stored),
            1_767_225_600_000,
        )
    }

    #[test]
    fn a_304_is_of_another_version_by_its_date_and_its_tag_if_one_is_stored() {
        let modified = |date| ("last-modified", date);
        for (said, stored, expected) in [
            (&[modified(NEW)][..], &[modified(OLD)][..], true),
            (&[modified(OLD)], &[modified(NEW)], true),
            (&[modified(OLD)], &[modified(OLD)], false),
            (
                &[modified("Thursday, 01-Jan-26 00:00:00 GMT")],
                &[modified(OLD)],
                false,
            ),
            // Of a date that can't be read, or isn't said once, nothing follows.
            (&[modified("yesterday")], &[modified(OLD)], false),
            (&[modified(NEW)], &[modified("yesterday")], false),
            (&[], &[modified(OLD)], false),
            (&[modified(NEW)], &[], false),
            (
                &[modified(NEW)],
                &[modified(OLD), ("etag", "W/\"a\"")],
                false,
            ),
            (&[modified(NEW)], &[modified(OLD), ("etag", "")], false),
            (&[modified(NEW), ("etag", "\"b\"")], &[modified(OLD)], true),
            (
                &[modified(NEW), ("etag", "\"b\"")],
                &[modified(OLD), ("etag", "\"a\"")],
                true,
            ),
            (
                &[modified(NEW), ("etag", "W/\"a\"")],
                &[modified(OLD), ("etag", "\"a\"")],
                false,
            ),
            (
                &[modified(OLD), ("etag", "\"b\"")],
                &[modified(OLD), ("etag", "\"a\"")],
                false,
            ),
            (&[modified(NEW)], &[modified(OLD), modified(NEW)], false),
            (&[modified(NEW), modified(OLD)], &[modified(OLD)], false),
        ] {
            let (said, stored) = (map(said), map(stored));
            let found = is_of_another_version(&said, &stored);
            assert_eq!(found, expected, "{said:?} {stored:?}");
            let mut asked = HeaderMap::new();
            condition_on(&mut asked, &stored);
            let found = is_of_another_version_than_asked(&said, &asked);
            assert_eq!(found, expected, "{said:?} {stored:?}");
        }
    }

    #[test]
    fn tags_are_compared_weakly() {
        for (condition, etag, expected) in [
            ("\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("\"a\"", "W/\"a\"", true),
            ("\"x\", \"a\"", "\"a\"", true),
            ("\"x,\", \"a\"", "\"x,\"", true),
            ("*", "\"a\"", true),
            ("\"b\"", "\"a\"", false),
            ("a", "\"a\"", false),
            ("", "\"a\"", false),
            ("\"a", "\"a\"", false),
        ] {
            assert_eq!(
                not_modified(&[("if-none-match", condition)], &[("etag", etag)]),
                expected,
                "{condition} {etag}"
            );
        }
        assert!(!not_modified(&[("if-none-match", "\"a\"")], &[]));
        let mut binary = HeaderMap::new();
        binary.insert(
            header::IF_NONE_MATCH,
            HeaderValue::from_bytes(b"\"\xfc\"").unwrap(),
        );
        let mut stored = HeaderMap::new();
        stored.insert(header::ETAG, HeaderValue::from_bytes(b"\"\xfc\"").unwrap());
        assert!(is_not_modified(&binary, StatusCode::OK, &stored, 0));
    }

    #[test]
    fn tags_beat_dates() {
        let request = [("if-none-match", "\"b\""), ("if-modified-since", NEW)];
        assert!(!not_modified(
            &request,
            &[("etag", "\"a\""), ("last-modified", OLD)]
        ));
    }

    #[test]
    fn dates_fall_back_to_date_and_to_reception() {
        for (since, stored, expected) in [
            (OLD, &[("last-modified", OLD)][..], true),
            (NEW, &[("last-modified", OLD)], true),
            (OLD, &[("last-modified", NEW)], false),
            (OLD, &[("date", NEW)], false),
            (NEW, &[("date", NEW)], true),
            (OLD, &[], true),
            ("Wed, 31 Dec 2025 00:00:00 GMT", &[], false),
            ("junk", &[("last-modified", OLD)], false),
            (
                "Thursday, 01-Jan-26 00:00:00 GMT",
                &[("last-modified", OLD)],
                true,
            ),
        ] {
            assert_eq!(
                not_modified(&[("if-modified-since", since)], stored),
                expected,
                "{since} {stored:?}"
            );
        }
    }

    #[test]
    fn only_a_200_is_answered_so() {
        let (request, stored) = (map(&[("if-none-match", "*")]), map(&[("etag", "\"a\"")]));
        assert!(!is_not_modified(
            &request,
            StatusCode::NOT_FOUND,
            &stored,
            0
        ));
    }

    #[test]
    fn a_head_describes_what_it_does_not_contradict() {
        let stored = [("etag", "\"a\""), ("last-modified", OLD)];
        for (head, stored, length, expected) in [
            (&[][..], &stored[..], 5, true),
            (&[("etag", "\"a\"")], &stored, 5, true),
            (&[("etag", "\"b\"")], &stored, 5, false),
            (&[("etag", "W/\"a\"")], &stored, 5, false),
            (&[("etag", "\"a\""), ("etag", "\"b\"")], &stored, 5, false),
            (&[("etag", "\"a\"")], &[], 5, false),
            (&[("last-modified", OLD)], &stored, 5, true),
            (&[("last-modified", NEW)], &stored, 5, false),
            (&[("last-modified", OLD)], &[], 5, false),
            (&[("content-length", "5")], &stored, 5, true),
            (
                &[("content-length", "5"), ("content-length", "5")],
                &[],
                5,
                true,
            ),
            (&[("content-length", "0")], &stored, 5, false),
            (&[("content-length", "five")], &stored, 5, false),
            (
                &[("content-length", "5")],
                &[("content-length", "5")],
                6,
                false,
            ),
            (
                &[("etag", "\"a\""), ("last-modified", NEW)],
                &stored,
                5,
                false,
            ),
        ] {
            let (head, stored) = (map(head), map(stored));
            let found = describes(&head, StatusCode::OK, &stored, length);
            assert_eq!(found, expected, "{head:?} {stored:?}");
            assert!(!describes(&head, StatusCode::NOT_FOUND, &stored, length));
        }
    }

    #[test]
    fn our_condition_replaces_the_viewers() {
        let mut request = map(&[
            ("if-none-match", "\"mine\""),
            ("if-modified-since", OLD),
            ("if-range", "\"x\""),
        ]);
        assert!(condition_on(
            &mut request,
            &map(&[("etag", "W/\"a\""), ("last-modified", "junk")])
        ));
        assert_eq!(request, map(&[("if-none-match", "W/\"a\"")]));
        assert!(!condition_on(&mut request, &map(&[])));
        assert!(request.is_empty());
    }

    #[test]
    fn parts_share_a_strong_validator_or_are_not_combined() {
        let late = ("date", "Thu, 01 Jan 2026 00:01:00 GMT");
        for (one, other, expected) in [
            (&[("etag", "\"a\"")][..], &[("etag", "\"a\"")][..], true),
            (&[("etag", "\"a\"")], &[("etag", "\"b\"")], false),
            (&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")], false),
            (&[("etag", "a")], &[("etag", "a")], false),
            (&[("etag", "\"")], &[("etag", "\"")], false),
            (&[("etag", "\"a\"")], &[("last-modified", OLD), late], false),
            (
                &[("last-modified", OLD), late],
                &[("last-modified", OLD), late],
                true,
            ),
            (
                &[("last-modified", OLD), late],
                &[("last-modified", NEW), late],
                false,
            ),
            (
                &[("last-modified", OLD), ("date", OLD)],
                &[("last-modified", OLD), late],
                false,
            ),
            (&[("last-modified", OLD)], &[("last-modified", OLD)], false),
            (&[], &[], false),
        ] {
            assert_eq!(
                same_strong_validator(&map(one), &map(other)),
                expected,
                "{one:?} {other:?}"
            );
            assert_eq!(same_strong_validator(&map(other), &map(one)), expected);
        }
    }
}
