//! What is signed: a request in the one form that both sides agree on.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The hash of no payload, as a request without a body has it.
pub const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// In place of the payload's hash: the body isn't signed. S3 and MediaStore accept it.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

pub(crate) const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
pub(crate) const DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(crate) const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// A viewer's `Connection` can't take these out of the signature.
const SET_BY_SIGNING: [HeaderName; 3] = [CONTENT_SHA256, DATE, SECURITY_TOKEN];

/// How a service wants the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEncoding {
    /// URI-encoded once, and not normalised: `//` and `..` are part of the name of an object in S3.
    Once,
    /// Normalised (RFC 3986 section 5.2.4, and several slashes become one), and what stands on the wire is encoded once more:
    /// everything but S3.
    Twice,
}

/// A request in canonical form, and the names of the fields that are in it.
///
/// `Debug` shows the names only: the text holds the session token.
#[derive(Clone, PartialEq, Eq)]
pub struct CanonicalRequest {
    text: Zeroizing<Vec<u8>>,
    signed_headers: String,
}

impl CanonicalRequest {
    /// The canonical form of a request whose payload has this hash, in lower-case hex, or [`UNSIGNED_PAYLOAD`].
    ///
    /// Signed are the host, all `x-amz-*` fields, and those named by `also`. The host is what `Host` says, else the authority
    /// of the URI without its default port; where both are missing none is signed, and no service accepts that. Never signed,
    /// because they change on the way: `Authorization`, `Via`, the hop-by-hop fields, and what `Connection` names but for the
    /// fields that signing sets itself.
    #[must_use]
    pub fn of(
        parts: &Parts,
        payload: impl AsRef<[u8]>,
        path: PathEncoding,
        also: &[HeaderName],
    ) -> Self {
        let headers = &parts.headers;
        let of_connection = named_in_connection(headers);
        let mut names: Vec<&HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-amz-") || also.contains(name))
            .filter(|name| **name != header::HOST && !is_never_signed(name))
            .filter(|name| SET_BY_SIGNING.contains(name) || !of_connection.contains(name))
            .collect();
        if headers.contains_key(header::HOST) || parts.uri.host().is_some() {
            names.push(&header::HOST);
        }
        names.sort_unstable_by_key(|name| name.as_str());
        let fields = names
            .into_iter()
            .map(|name| (name, signed_value(headers, &parts.uri, name)))
            .collect();
        Self::written(&parts.method, &parts.uri, fields, payload.as_ref(), path)
    }

    /// The form that somebody else has signed: with exactly these fields, in the order in which they are named.
    ///
    /// A field that isn't there is signed as if it were empty: whoever checks a signature looks for it first.
    pub(crate) fn with_fields(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        names: &[HeaderName],
        payload: &[u8],
        path: PathEncoding,
    ) -> Self {
        let fields = names
            .iter()
            .map(|name| (name, signed_value(headers, uri, name)))
            .collect();
        Self::written(method, uri, fields, payload, path)
    }

    fn written(
        method: &Method,
        uri: &Uri,
        fields: Vec<(&HeaderName, Vec<u8>)>,
        payload: &[u8],
        path: PathEncoding,
    ) -> Self {
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let signed_headers = names.join(";");
        let mut text = Zeroizing::new(Vec::new());
        text.extend_from_slice(method.as_str().as_bytes());
        text.push(b'\n');
        text.extend_from_slice(canonical_path(uri.path(), path).as_bytes());
        text.push(b'\n');
        text.extend_from_slice(canonical_query(uri.query()).as_bytes());
        text.push(b'\n');
        for (name, value) in &fields {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(signed_headers.as_bytes());
        text.push(b'\n');
        text.extend_from_slice(payload);
        Self {
            text,
            signed_headers,
        }
    }

    /// The text. A session token is part of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The names of the signed fields, as `SignedHeaders` has them.
    #[must_use]
    pub fn signed_headers(&self) -> &str {
        &self.signed_headers
    }

    /// The text's SHA-256 in lower-case hex.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(&self.text))
    }
}

impl std::fmt::Debug for CanonicalRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CanonicalRequest")
            .field("signed_headers", &self.signed_headers)
            .finish_non_exhaustive()
    }
}

/// The path in the form in which it is signed. An empty one is `/`.
///
/// With [`PathEncoding::Once`] it is decoded and encoded again, since S3 does that: everything but letters, digits, `-`, `.`,
/// `_`, `~` and `/` is encoded, with upper-case digits. As in S3 a `+` is a space, and only `%2B` a plus.
///
/// ```
/// use frontage::sigv4::{PathEncoding, canonical_path};
///
/// assert_eq!(canonical_path("/a%20b//c=1+%2b", PathEncoding::Once), "/a%20b//c%3D1%20%2B");
/// assert_eq!(canonical_path("/a%20b//c/../d", PathEncoding::Twice), "/a%2520b/d");
/// ```
#[must_use]
pub fn canonical_path(path: &str, encoding: PathEncoding) -> String {
    let mut encoded = String::with_capacity(path.len());
    match encoding {
        PathEncoding::Once => encode(decode(path), true, &mut encoded),
        PathEncoding::Twice => encode(normalize(path).bytes(), true, &mut encoded),
    }
    if encoded.is_empty() {
        encoded.push('/');
    }
    encoded
}

/// The query in canonical form: each name and value decoded (`+` is a space, as AWS's SDKs have it) and encoded again, a `=`
/// even after a name without a value, sorted by encoded name, then by encoded value. Repeated parameters stay, empty pieces
/// between `&` go.
///
/// ```
/// use frontage::sigv4::canonical_query;
///
/// assert_eq!(canonical_query(Some("b=2&a=%7e&&B&b=1+/")), "B=&a=~&b=1%20%2F&b=2");
/// assert_eq!(canonical_query(None), "");
/// ```
#[must_use]
pub fn canonical_query(query: Option<&str>) -> String {
    let encoded = |text| {
        let mut encoded = String::new();
        encode(decode(text), false, &mut encoded);
        encoded
    };
    let mut parameters: Vec<(String, String)> = query
        .unwrap_or_default()
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    parameters.sort_unstable();
    let parameters: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parameters.join("&")
}

/// Whether a path is sent in the one form that has this signature: no other path with the same one stands for it.
pub(crate) fn is_path_as_signed(path: &str, encoding: PathEncoding) -> bool {
    match encoding {
        PathEncoding::Once => canonical_path(path, encoding) == path,
        PathEncoding::Twice => path == "/" || normalize(path) == path,
    }
}

/// What is signed of a field; of the host also where `Host` is missing.
fn signed_value(headers: &HeaderMap, uri: &Uri, name: &HeaderName) -> Vec<u8> {
    match *name == header::HOST && !headers.contains_key(name) {
        true => host_of(uri).unwrap_or_default(),
        false => canonical_value(headers, name),
    }
}

/// All lines of a field, trimmed, runs of spaces folded into one, joined by commas in their order.
pub(crate) fn canonical_value(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let lines: Vec<Vec<u8>> = headers.get_all(name).iter().map(folded).collect();
    lines.join(&b',')
}

fn folded(line: &HeaderValue) -> Vec<u8> {
    let mut line = line.as_bytes();
    // A parser takes tabs off both ends, too (RFC 9110 section 5.6.3): the server doesn't see them.
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    let mut folded = line.to_vec();
    folded.dedup_by(|next, before| (*next, *before) == (b' ', b' '));
    folded
}

/// Whether a field may be changed by who passes the request on, or is where the signature goes.
pub(crate) fn is_never_signed(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 11] = [
        header::AUTHORIZATION,
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        HeaderName::from_static("proxy-connection"),
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::VIA,
    ];
    NEVER.contains(name)
}

fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| crate::headers::members(line.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

/// The authority of a URI as `Host` has it.
pub(crate) fn host_of(uri: &Uri) -> Option<Vec<u8>> {
    let host = uri.host()?;
    let is_default = match uri.port_u16() {
        None => true,
        Some(443) => uri.scheme_str() == Some("https"),
        Some(80) => uri.scheme_str() == Some("http"),
        Some(_) => false,
    };
    Some(match uri.port() {
        Some(port) if !is_default => format!("{host}:{port}").into_bytes(),
        _ => host.as_bytes().to_vec(),
    })
}

/// Without empty segments and dot segments.
fn normalize(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut normal: String = kept.iter().flat_map(|segment| ["/", segment]).collect();
    // What ends in a dot segment names a directory.
    if ["/", "/.", "/.."].iter().any(|end| path.ends_with(end)) {
        normal.push('/');
    }
    normal
}

/// The bytes that a path or query stands for, `+` for a space. A `%` without two digits behind it is one.
fn decode(text: &str) -> impl Iterator<Item = u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (byte, behind) = match rest {
            [b'%', high, low, behind @ ..]
                if let (Some(high), Some(low)) = (digit(*high), digit(*low)) =>
            {
                (high * 16 + low, behind)
            }
            [b'+', behind @ ..] => (b' '.into(), behind),
            [byte, behind @ ..] => (u32::from(*byte), behind),
            [] => return None,
        };
        rest = behind;
        u8::try_from(byte).ok()
    })
}

fn encode(bytes: impl Iterator<Item = u8>, keep_slashes: bool, encoded: &mut String) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            b'/' if keep_slashes => encoded.push('/'),
            _ => {
                encoded.push('%');
                for half in [byte >> 4, byte & 15] {
                    let digit = char::from_digit(half.into(), 16).unwrap_or_default();
                    encoded.push(digit.to_ascii_uppercase());
                }
            }
        }
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn text(request: http::request::Builder, also: &[HeaderName]) -> String {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let canonical = CanonicalRequest::of(&parts, EMPTY_PAYLOAD, PathEncoding::Once, also);
        String::from_utf8(canonical.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_hash_of_nothing_is_that() {
        assert_eq!(hex(&Sha256::digest(b"")), EMPTY_PAYLOAD);
    }

    #[test]
    fn every_byte_of_a_path_is_encoded_once_or_twice() {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        for byte in 0..=255_u8 {
            let wire = format!("/%{byte:02x}");
            let once = match byte {
                b'/' => "//".to_owned(),
                byte if unreserved(byte) => format!("/{}", char::from(byte)),
                byte => format!("/%{byte:02X}"),
            };
            assert_eq!(canonical_path(&wire, PathEncoding::Once), once);
            let twice = format!("/%25{byte:02x}");
            assert_eq!(canonical_path(&wire, PathEncoding::Twice), twice);
        }
        for byte in b'!'..=b'~' {
            let wire = format!("/a{}", char::from(byte));
            let expected = match byte {
                b'/' => "/a/".to_owned(),
                byte if unreserved(byte) => wire.clone(),
                byte => format!("/a%{byte:02X}"),
            };
            assert_eq!(canonical_path(&wire, PathEncoding::Twice), expected);
            let expected = if byte == b'+' { "/a%20" } else { &expected };
            assert_eq!(canonical_path(&wire, PathEncoding::Once), expected);
        }
    }

    #[test]
    fn a_path_in_the_form_of_s3_stays_as_it_is() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//a/./../b/", "//a/./../b/"),
            ("/a%20b", "/a%20b"),
            ("/%e2%82%ac/\u{20ac}", "/%E2%82%AC/%E2%82%AC"),
            ("/100%", "/100%25"),
            ("/%4", "/%254"),
            ("/%zz%4g", "/%25zz%254g"),
            ("/%%41", "/%25A"),
            ("/%+1", "/%25%201"),
            ("/%2525", "/%2525"),
        ] {
            let once = canonical_path(path, PathEncoding::Once);
            assert_eq!(once, expected, "{path}");
            assert_eq!(canonical_path(&once, PathEncoding::Once), once, "{path}");
        }
    }

    #[test]
    fn dot_segments_and_empty_ones_go_where_paths_are_normalised() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a/./", "/a/"),
            ("/a//b///c", "/a/b/c"),
            ("/a/..b/c..", "/a/..b/c.."),
            ("/a/%2e%2e/b", "/a/%252e%252e/b"),
        ] {
            assert_eq!(
                canonical_path(path, PathEncoding::Twice),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn a_query_is_sorted_by_what_is_encoded() {
        for (query, expected) in [
            ("", ""),
            ("a", "a="),
            ("a=", "a="),
            ("=", "="),
            ("=a", "=a"),
            ("a=b=c", "a=b%3Dc"),
            ("&&a&&", "a="),
            ("b&a=2&a=1&a", "a=&a=1&a=2&b="),
            // `a-` and `a` differ in length only: the `=` between name and value is no part of the order.
            ("a-=1&a=2", "a=2&a-=1"),
            // A `{` is behind a `z`, but its code is before.
            ("z&%7B&{", "%7B=&%7B=&z="),
            ("a=+%2b%20", "a=%20%2B%20"),
            ("k=/?:@", "k=%2F%3F%3A%40"),
            ("%ff=%FE", "%FF=%FE"),
            ("%=%4&%zz", "%25=%254&%25zz="),
        ] {
            assert_eq!(canonical_query(Some(query)), expected, "{query}");
        }
    }

    #[test]
    fn values_are_trimmed_folded_and_joined_in_order() {
        let request = Request::get("http://a/")
            .header("x-amz-meta-b", "  two   spaces \t inside  ")
            .header("x-amz-meta-a", "\t last , ")
            .header("x-amz-meta-b", "")
            .header("x-amz-meta-b", "\"quoted   too\"");
        assert_eq!(
            text(request, &[]),
            format!(
                "GET\n/\n\nhost:a\nx-amz-meta-a:last ,\nx-amz-meta-b:two spaces \t inside,,\"quoted too\"\n\n\
                 host;x-amz-meta-a;x-amz-meta-b\n{EMPTY_PAYLOAD}"
            )
        );
    }

    #[test]
    fn only_what_stays_as_it_is_on_the_way_is_signed() {
        let request = Request::put("/")
            .header("host", "h")
            .header("range", "bytes=0-1")
            .header("user-agent", "x")
            .header("x-amzn-trace-id", "x")
            .header("via", "1.1 x")
            .header("te", "trailers")
            .header("authorization", "x")
            .header("connection", "X-Amz-Hop, close, x-amz-date")
            .header("x-amz-hop", "x")
            .header("x-amz-date", "d")
            .header("x-amz-kept", "x");
        let also = [
            header::RANGE,
            header::VIA,
            header::TE,
            header::AUTHORIZATION,
            header::CONNECTION,
            header::HOST,
            header::IF_MATCH,
        ];
        assert_eq!(
            text(request, &also),
            format!(
                "PUT\n/\n\nhost:h\nrange:bytes=0-1\nx-amz-date:d\nx-amz-kept:x\n\n\
                 host;range;x-amz-date;x-amz-kept\n{EMPTY_PAYLOAD}"
            )
        );
    }

    #[test]
    fn the_host_is_what_the_server_will_see() {
        for (uri, host, expected) in [
            ("https://a.b:443/", None, Some("a.b")),
            ("http://a.b:80/", None, Some("a.b")),
            ("http://a.b:443/", None, Some("a.b:443")),
            ("https://a.b:80/", None, Some("a.b:80")),
            ("http://user@a.b:8080/", None, Some("a.b:8080")),
            ("http://[::1]:90/", None, Some("[::1]:90")),
            ("http://a.b:8080/", Some("c"), Some("c")),
            ("/", Some(" c:80 "), Some("c:80")),
            ("/", None, None),
        ] {
            let mut request = Request::get(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let text = text(request, &[]);
            let found = text.lines().find_map(|line| line.strip_prefix("host:"));
            assert_eq!(found, expected, "{uri} {host:?}");
        }
    }

    #[test]
    fn the_text_is_not_in_debug() {
        let request = Request::get("http://a/").header("x-amz-security-token", "secret");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let canonical = CanonicalRequest::of(&parts, "", PathEncoding::Once, &[]);
        let shown = format!("{canonical:?}");
        assert!(shown.contains("host;x-amz-security-token"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
