//! What of a request reaches the origin, and of a response its viewer, in the CloudFront profiles.
//!
//! What is not in the key is not forwarded on a cacheable request: CloudFront's defence against poisoned caches. Only what
//! is removed is decided here; what is set or appended (`Host`, `Via`, ...) is the origin's matter.

use crate::{
    headers::CDN_LOOP,
    key::{Cookies, KeyPolicy, Vary},
    original_uri,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts, uri::PathAndQuery};

/// How much of a request is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarding {
    /// All of it.
    Whole,
    /// What the key holds, and what CloudFront's table of default headers allows.
    Keyed,
}

/// Headers that CloudFront forwards by default on `GET` and `HEAD`, listed or not. It sets `Host` to the origin's name, which
/// only the origin side knows: here it passes. `User-Agent` it replaces: the viewer's doesn't pass. `CDN-Loop` must pass
/// (RFC 8586 section 2).
const FORWARDED_BY_DEFAULT: [HeaderName; 22] = [
    header::CACHE_CONTROL,
    CDN_LOOP,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::DATE,
    header::FROM,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::MAX_FORWARDS,
    header::ORIGIN,
    header::PRAGMA,
    header::RANGE,
    header::TRANSFER_ENCODING,
    header::VIA,
    header::WARNING,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("request-range"),
    HeaderName::from_static("x-forwarded-for"),
];

/// Headers that never reach the origin, listed or not.
const NEVER_FORWARDED: [HeaderName; 12] = [
    header::CONNECTION,
    header::EXPECT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-amz-cf-id"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// Removes from a cacheable request what may not reach the origin.
pub(crate) fn restrict_request(parts: &mut Parts, key: &KeyPolicy) {
    let cookie = cookie_value(key.keyed_cookies(), &parts.headers);
    let codings = key.keyed_codings();
    let accept_encoding = codings.normalized(&parts.headers);
    let raw_accept_encoding =
        !codings.gzip && !codings.brotli && key.keyed_headers().contains(&header::ACCEPT_ENCODING);

    let removed: Vec<HeaderName> = parts
        .headers
        .keys()
        .filter(|name| match **name {
            header::COOKIE => true,
            header::ACCEPT_ENCODING => !raw_accept_encoding,
            ref name => {
                NEVER_FORWARDED.contains(name)
                    || name.as_str().starts_with("x-edge-")
                    || name.as_str().starts_with("cloudfront-")
                    || !(FORWARDED_BY_DEFAULT.contains(name) || key.keyed_headers().contains(name))
            }
        })
        .cloned()
        .collect();
    for name in removed {
        parts.headers.remove(name);
    }
    if let Some(cookie) = cookie {
        parts.headers.insert(header::COOKIE, cookie);
    }
    if let Some(codings) = accept_encoding {
        parts
            .headers
            .insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings));
    }
    restrict_query(&mut parts.uri, key);
    original_uri::change(&mut parts.extensions, |uri| restrict_query(uri, key));
}

fn cookie_value(cookies: &Cookies, headers: &HeaderMap) -> Option<HeaderValue> {
    let kept = cookies.kept(headers);
    if kept.is_empty() {
        return None;
    }
    let pairs: Vec<Vec<u8>> = kept
        .iter()
        .map(|(name, value)| [name, &b"="[..], value].concat())
        .collect();
    HeaderValue::from_bytes(&pairs.join(&b"; "[..])).ok()
}

fn restrict_query(uri: &mut Uri, key: &KeyPolicy) {
    let Some(query) = uri.query() else { return };
    let forwarded = key.keyed_query().forwarded(Some(query));
    if forwarded.as_deref() == Some(query) {
        return;
    }
    let target = match forwarded {
        Some(query) => format!("{}?{query}", uri.path()),
        None => uri.path().to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    // Parts of a valid URI are one.
    if let Ok(target) = target.parse::<PathAndQuery>() {
        parts.path_and_query = Some(target);
        if let Ok(restricted) = Uri::from_parts(parts) {
            *uri = restricted;
        }
    }
}

/// Removes from a response what CloudFront keeps from viewers and store: `Set-Cookie` where no cookies are forwarded, and
/// of `Vary` what isn't forwarded. `Vary: *` stays where it keeps a response from being stored: caches above this one don't store it either.
pub(crate) fn restrict_response(headers: &mut HeaderMap, key: &KeyPolicy, heeds_any: bool) {
    if *key.keyed_cookies() == Cookies::None {
        headers.remove(header::SET_COOKIE);
    }
    let is_for_one = heeds_any && Vary::of(headers) == Vary::Any;
    if is_for_one || !headers.contains_key(header::VARY) {
        return;
    }
    let kept: Vec<&[u8]> = headers
        .get_all(header::VARY)
        .iter()
        .flat_map(|line| crate::headers::members(line.as_bytes()))
        .filter(|member| {
            HeaderName::from_bytes(member).is_ok_and(|name| {
                name == header::ACCEPT_ENCODING
                    || name == header::COOKIE
                    || key.keyed_headers().contains(&name)
            })
        })
        .collect();
    match HeaderValue::from_bytes(&kept.join(&b", "[..])) {
        Ok(vary) if !kept.is_empty() => headers.insert(header::VARY, vary),
        _ => headers.remove(header::VARY),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{AcceptEncoding, Query};
    use http::Request;

    fn restricted(key: &KeyPolicy, uri: &str, fields: &[(&str, &str)]) -> (String, Vec<String>) {
        let request = fields
            .iter()
            .fold(Request::builder().uri(uri), |request, (name, value)| {
                request.header(*name, *value)
            });
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        restrict_request(&mut parts, key);
        let mut fields: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        fields.sort();
        (parts.uri.to_string(), fields)
    }

    #[test]
    fn only_what_is_keyed_or_allowed_is_forwarded() {
        let key = KeyPolicy::cloudfront()
            .headers([
                HeaderName::from_static("x-kept"),
                header::ACCEPT_LANGUAGE,
                HeaderName::from_static("x-edge-a"),
            ])
            .cookies(Cookies::Only(vec!["b".into(), "a".into()]))
            .query(Query::Only(vec!["page".into()]))
            .accept_encoding(AcceptEncoding {
                gzip: true,
                brotli: true,
            });
        let (uri, fields) = restricted(
            &key,
            "/x%20y?utm=1&page=2&id=3",
            &[
                ("host", "h"),
                ("cookie", "c=3; b=2; a=1"),
                ("accept", "text/html"),
                ("accept-language", "en"),
                ("accept-encoding", "deflate, gzip"),
                ("authorization", "secret"),
                ("x-kept", "1"),
                ("x-other", "1"),
                ("x-edge-a", "1"),
                ("x-forwarded-host", "evil"),
                ("x-forwarded-proto", "https"),
                ("cloudfront-viewer-country", "XX"),
                ("cache-control", "no-cache"),
                ("cdn-loop", "edge"),
                ("referer", "r"),
                ("range", "bytes=0-1"),
                ("te", "trailers"),
            ],
        );
        assert_eq!(uri, "/x%20y?page=2");
        assert_eq!(
            fields,
            [
                "accept-encoding: gzip",
                "accept-language: en",
                "cache-control: no-cache",
                "cdn-loop: edge",
                "cookie: a=1; b=2",
                "host: h",
                "range: bytes=0-1",
                "x-kept: 1",
            ]
        );
    }

    #[test]
    fn nothing_is_forwarded_that_is_not_listed() {
        let (uri, fields) = restricted(
            &KeyPolicy::cloudfront(),
            "http://h/a?b",
            &[("cookie", "a=1; b=2"), ("accept-encoding", "gzip")],
        );
        assert_eq!((uri.as_str(), fields.len()), ("http://h/a", 0));
    }

    /// Or a service below a `nest` would read what no key holds.
    #[cfg(feature = "axum")]
    #[test]
    fn the_uri_before_a_prefix_was_taken_off_is_restricted_too() {
        use axum::extract::OriginalUri;
        let original = OriginalUri(Uri::from_static("/nest/a?page=2&evil"));
        let request = Request::get("/a?page=2&evil").extension(original);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let key = KeyPolicy::cloudfront().query(Query::Only(vec!["page".into()]));
        restrict_request(&mut parts, &key);
        assert_eq!(parts.uri, "/a?page=2");
        let OriginalUri(original) = parts.extensions.get().unwrap();
        assert_eq!(*original, "/nest/a?page=2");
    }

    #[test]
    fn responses_lose_set_cookie_and_foreign_vary() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=b"));
        headers.append("vary", HeaderValue::from_static("Accept-Encoding, X-Other"));
        headers.append("vary", HeaderValue::from_static("x-kept, *"));
        let key = KeyPolicy::cloudfront().headers([HeaderName::from_static("x-kept")]);
        restrict_response(&mut headers, &key, false);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["vary"], "Accept-Encoding, x-kept");
        restrict_response(&mut headers, &KeyPolicy::cloudfront(), true);
        assert_eq!(headers["vary"], "Accept-Encoding");
        headers.insert("vary", HeaderValue::from_static("*"));
        headers.insert("set-cookie", HeaderValue::from_static("a=b"));
        let cookies = KeyPolicy::cloudfront().cookies(Cookies::All);
        restrict_response(&mut headers, &cookies, true);
        assert_eq!(headers["vary"], "*");
        restrict_response(&mut headers, &cookies, false);
        assert!(!headers.contains_key("vary") && headers.contains_key("set-cookie"));
    }
}
