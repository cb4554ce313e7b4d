//! Which fields are kept, and how a 304 updates them.

use super::cdn_loop::CDN_LOOP;
use http::{HeaderMap, HeaderName, header};
use std::ops::Range;

/// `X-Cache`, which CloudFront and others send.
pub const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// `Cache-Status` (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The fields that a cache adds to a response: a stored map holds a place for each.
pub const APPENDED_SLOTS: [HeaderName; 3] = [header::AGE, CACHE_STATUS, X_CACHE];

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATION_INFO,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What isn't sent in trailers (RFC 9110 section 6.5.1), beside what belongs to a connection: framing, routing, what steers requests or
/// caches, authentication, cookies, the content's format.
const NOT_IN_TRAILERS: [HeaderName; 29] = [
    header::AGE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::EXPIRES,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::PRAGMA,
    header::RANGE,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::TRAILER,
    header::VARY,
    header::WARNING,
    header::WWW_AUTHENTICATE,
    CDN_LOOP,
];

/// Removes from trailers what they must not have: passed on, it would frame a message twice, or be a cookie for everybody.
pub(crate) fn remove_from_trailers(trailers: &mut HeaderMap) {
    for name in NOT_IN_TRAILERS.iter().chain(&HOP_BY_HOP) {
        trailers.remove(name);
    }
}

/// Whether a message's body has a transfer coding that hyper doesn't take off: one that IANA lists beside `chunked` (RFC 9112 section 7).
/// Nobody asked for it by `TE`, and who gets the body without the field doesn't know of it. An answer to `HEAD` and a 304 have no body.
pub(crate) fn is_transfer_coded(headers: &HeaderMap) -> bool {
    const CODINGS: [&str; 5] = ["compress", "deflate", "gzip", "x-compress", "x-gzip"];
    let lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut codings = lines.flat_map(|line| super::members(line.as_bytes()));
    codings.any(|coding| {
        let name = coding.split(|byte| *byte == b';').next();
        let name = name.unwrap_or_default().trim_ascii_end();
        let is_called = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
        CODINGS.iter().any(is_called)
    })
}

/// Removes what belongs to one connection only: the fields of RFC 9110 section 7.6.1, those named in
/// `Connection` (but for `Host`, without which it is another request, and `CDN-Loop`, RFC 8586), and those of a proxy's own authentication (RFC 9111 section 3.1).
///
/// `Trailer` stays: the trailers are forwarded and stored, too.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none: one look at each name costs less than one for each of these.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // RFC 9112 section 6.3: it overrides a Content-Length, which must not be passed on.
        headers.remove(header::CONTENT_LENGTH);
    }
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|line| super::members(line.as_bytes()))
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            // Whoever could remove `CDN-Loop` could send a request round and round (RFC 8586 section 2).
            .filter(|name| *name != header::HOST && *name != CDN_LOOP)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The `Content-Length`, where it is one valid number (RFC 9110 section 8.6; equal repeats count as one).
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut length = None;
    for line in headers.get_all(header::CONTENT_LENGTH) {
        for member in line.as_bytes().split(|byte| *byte == b',') {
            let member = std::str::from_utf8(member.trim_ascii()).ok()?;
            if !member.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let this = member.parse().ok()?;
            if *length.get_or_insert(this) != this {
                return None;
            }
        }
    }
    length
}

/// The bytes that a `Content-Range` says a response has, and the length of the whole (RFC 9110 section 14.4). `None` for
/// another unit, an unknown length, several lines, and what isn't valid.
#[must_use]
pub fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let mut lines = headers.get_all(header::CONTENT_RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let line = std::str::from_utf8(line.as_bytes()).ok()?;
    let (unit, rest) = line.trim().split_once(' ')?;
    let (bytes, length) = rest.split_once('/')?;
    let (first, last) = bytes.split_once('-')?;
    let number = |digits: &str| -> Option<u64> {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let (first, last, length) = (number(first)?, number(last)?, number(length)?);
    let is_valid = unit.eq_ignore_ascii_case("bytes") && first <= last && last < length;
    is_valid.then(|| (first..last + 1, length))
}

/// Updates the fields of a stored response with those of a 304 (RFC 9111 section 3.2): every field
/// of the 304 replaces all lines of its name, except those that describe the stored bytes.
pub fn merge_not_modified(stored: &mut HeaderMap, mut update: HeaderMap) {
    remove_hop_by_hop(&mut update);
    for name in [
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        CONTENT_MD5,
        header::ETAG,
    ] {
        update.remove(name);
    }
    // `HeaderMap::extend` replaces: the first value of a name drops the old lines, the rest are appended.
    stored.extend(update);
}

/// Removes what a 304 should not repeat: what describes a body that isn't sent (RFC 9110 section 15.4.5).
pub fn remove_representation_metadata(headers: &mut HeaderMap) {
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
    ] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn content_ranges_are_valid_or_nothing() {
        for (value, expected) in [
            ("bytes 0-4/10", Some((0..5, 10))),
            ("Bytes 4-9/10", Some((4..10, 10))),
            (" bytes 0-0/1 ", Some((0..1, 1))),
            ("bytes 4-10/10", None),
            ("bytes 5-4/10", None),
            ("bytes */10", None),
            ("bytes 0-4/*", None),
            ("bytes 0-4", None),
            ("bytes=0-4/10", None),
            ("bytes +0-4/10", None),
            ("bytes 0-4/18446744073709551616", None),
            ("items 0-4/10", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, value.parse().unwrap());
            assert_eq!(content_range(&headers), expected, "{value}");
            headers.append(header::CONTENT_RANGE, value.parse().unwrap());
            assert_eq!(content_range(&headers), None, "twice");
        }
        assert_eq!(content_range(&HeaderMap::new()), None);
    }

    #[test]
    fn hop_by_hop_fields_and_those_named_in_connection_go() {
        let mut headers = map(&[
            ("connection", "a, \"b"),
            ("connection", "close, X-C, CDN-Loop, host"),
            ("host", "h"),
            ("a", "1"),
            ("x-c", "1"),
            ("keep-alive", "x"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("upgrade", "h2c"),
            ("proxy-connection", "x"),
            ("trailer", "x-sum"),
            ("cdn-loop", "edge"),
            ("d", "1"),
        ]);
        remove_hop_by_hop(&mut headers);
        let kept = [
            ("host", "h"),
            ("trailer", "x-sum"),
            ("cdn-loop", "edge"),
            ("d", "1"),
        ];
        assert_eq!(headers, map(&kept));
    }

    #[test]
    fn a_304_replaces_whole_fields_but_not_what_describes_the_bytes() {
        let mut stored = map(&[
            ("set-cookie", "a=1"),
            ("set-cookie", "b=1"),
            ("content-length", "5"),
            ("etag", "\"a\""),
            ("x-kept", "1"),
        ]);
        merge_not_modified(
            &mut stored,
            map(&[
                ("set-cookie", "c=2"),
                ("set-cookie", "d=2"),
                ("content-length", "0"),
                ("etag", "\"b\""),
                ("content-encoding", "gzip"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
            ]),
        );
        assert_eq!(
            stored,
            map(&[
                ("set-cookie", "c=2"),
                ("set-cookie", "d=2"),
                ("content-length", "5"),
                ("etag", "\"a\""),
                ("x-kept", "1"),
            ])
        );
    }
}
