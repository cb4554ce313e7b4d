//! The authority and the address of a request in canonical form.

use http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};
use std::fmt::Write;

/// Gives the pieces of the authority in canonical form to `write`, in order: lower case, without the default port.
///
/// The URI's own authority (HTTP/2, absolute-form) beats `Host` (RFC 9112 section 3.2.2). Without
/// either there is none.
pub(super) fn authority(uri: &Uri, headers: &HeaderMap, mut write: impl FnMut(&[u8])) {
    let raw = match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => match headers.get(header::HOST) {
            Some(host) => host.as_bytes().trim_ascii(),
            None => return,
        },
    };
    let default_port: &[u8] = if uri.scheme_str() == Some("https") {
        b":443"
    } else {
        b":80"
    };
    // A host name has no case, what stands before an `@` may.
    let host_at = raw
        .iter()
        .rposition(|byte| *byte == b'@')
        .map_or(0, |at| at + 1);
    let (userinfo, host) = raw.split_at(host_at);
    write(userinfo);
    let host = host
        .strip_suffix(default_port)
        // An IPv6 address ends in a bracket; `::80` without one is no port.
        .filter(|bare| !bare.contains(&b':') || bare.ends_with(b"]"))
        .or_else(|| host.strip_suffix(b":"))
        .unwrap_or(host);
    let mut lower = [0_u8; 64];
    for chunk in host.chunks(lower.len()) {
        let lower = &mut lower[..chunk.len()];
        lower.copy_from_slice(chunk);
        lower.make_ascii_lowercase();
        write(lower);
    }
}

/// The authority where it is in canonical form already.
pub(super) fn simple_authority<'a>(
    uri: &'a Uri,
    host: Option<&'a http::HeaderValue>,
) -> Option<&'a [u8]> {
    let raw = match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => host?.as_bytes(),
    };
    is_surely_canonical(raw).then_some(raw)
}

/// Whether all bytes are of those that a host in canonical form nearly always has: `-`, `.`, digits and lower case.
#[inline]
fn is_surely_canonical(host: &[u8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = 0x80 * EACH;
    // Eight at a time: the high bit of a sum tells whether the byte is at least so much.
    let are_plain = |bytes: u64| {
        let at_least = |byte: u64| (bytes & !HIGH) + (0x80 - byte) * EACH;
        at_least(b'-'.into()) & !(at_least(b':'.into()) & !at_least(b'`'.into())) & !bytes & HIGH
            == HIGH
    };
    let (eights, rest) = host.as_chunks::<8>();
    if !eights
        .iter()
        .all(|eight| are_plain(u64::from_ne_bytes(*eight)))
    {
        return false;
    }
    match host.last_chunk::<8>() {
        Some(last) => are_plain(u64::from_ne_bytes(*last)),
        None => {
            let mut padded = [b'a'; 8];
            padded[..rest.len()].copy_from_slice(rest);
            are_plain(u64::from_ne_bytes(padded))
        }
    }
}

/// The canonical authority as text.
pub(super) fn authority_text(uri: &Uri, headers: &HeaderMap) -> String {
    let mut text = Vec::new();
    authority(uri, headers, |piece| text.extend_from_slice(piece));
    // A Host may be anything.
    String::from_utf8(text)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A host, perhaps with a port, in canonical form; `None` when it can't be one.
pub(crate) fn canonical_host(host: &str) -> Option<String> {
    let host: Authority = host.parse().ok()?;
    // An authority may be a port and nothing else, which would be an address of any host.
    if host.host().is_empty() || host.as_str().contains(['@', '*']) {
        return None;
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_str(host.as_str()).ok()?);
    Some(authority_text(&Uri::default(), &headers))
}

/// A path, perhaps with a query, in the form in which addresses are compared: what is unsafe by RFC 1738 section 2.2 is
/// percent-encoded, and the digits of an encoding are in upper case.
pub(crate) fn comparable(target: &str) -> String {
    let mut text = String::with_capacity(target.len());
    let mut rest = target.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'%' => {
                text.push('%');
                if let [high, low, behind @ ..] = rest
                    && high.is_ascii_hexdigit()
                    && low.is_ascii_hexdigit()
                {
                    text.extend([*high, *low].map(|digit| char::from(digit.to_ascii_uppercase())));
                    rest = behind;
                }
            }
            b'"' | b'#' | b'<' | b'>' | b'[' | b'\\' | b']' | b'^' | b'`' | b'{' | b'|' | b'}'
            | b'~' => {
                encode(&mut text, byte);
            }
            0x21..=0x7e => text.push(char::from(byte)),
            _ => encode(&mut text, byte),
        }
    }
    text
}

fn encode(text: &mut String, byte: u8) {
    // Writing to a string never fails.
    let _ok = write!(text, "%{byte:02X}");
}

/// The `Host` that a request should have by its URI, where it has another one: the URI's authority counts, and whoever
/// passes the request on must say so (RFC 9112 section 3.2.2).
pub(crate) fn corrected_host(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    let named = uri.authority()?;
    headers.get(header::HOST)?;
    let mut by_uri = Vec::new();
    authority(uri, headers, |piece| by_uri.extend_from_slice(piece));
    let mut by_host = Vec::new();
    let mut origin_form = http::uri::Parts::default();
    origin_form.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let origin_form = Uri::from_parts(origin_form).ok()?;
    authority(&origin_form, headers, |piece| {
        by_host.extend_from_slice(piece)
    });
    if by_uri == by_host {
        return None;
    }
    let host = named.as_str().rsplit('@').next().unwrap_or_default();
    HeaderValue::from_str(host).ok()
}

/// Resolves a reference as `Location` and `Content-Location` hold it (RFC 3986 section 5) against the target of a
/// request whose authority is `base`: path and query, `None` unless it stays on the same authority.
pub(super) fn same_origin_target(target: &Uri, base: &str, reference: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(reference).ok()?;
    let text = text.split('#').next().unwrap_or_default();
    // What stands in a path or a query is no scheme.
    let scheme_end = text
        .find(['/', '?'])
        .and_then(|end| text[..end].strip_suffix(':').map(str::len));
    let (scheme, rest) = match scheme_end {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => ("http", text),
    };
    let path = if let Some(rest) = rest.strip_prefix("//") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (named, path) = rest.split_at(end);
        let named: Authority = named.parse().ok()?;
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(named)
            .path_and_query("/")
            .build()
            .ok()?;
        if authority_text(&uri, &HeaderMap::new()) != base {
            return None;
        }
        match path.is_empty() || path.starts_with('?') {
            true => format!("/{path}"),
            false => path.to_owned(),
        }
    } else if scheme_end.is_some() {
        return None;
    } else if text.starts_with('/') {
        text.to_owned()
    } else if let Some(query) = text.strip_prefix('?') {
        format!("{}?{query}", target.path())
    } else if text.is_empty() {
        target
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned()
    } else {
        let folder = target
            .path()
            .rfind('/')
            .map_or("/", |at| &target.path()[..=at]);
        format!("{folder}{text}")
    };
    Some(without_dot_segments(&path))
}

/// RFC 3986 section 5.2.4, for a path with an optional query.
fn without_dot_segments(target: &str) -> String {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    if !path.contains("/.") {
        return target.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    let mut plain = format!("/{}", kept.join("/"));
    if let Some(query) = query {
        plain.push('?');
        plain.push_str(query);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_that_canonical_form_may_change_is_taken_as_it_is() {
        assert!(is_surely_canonical(b"") && is_surely_canonical(b"www.ex-4mple.com"));
        for length in 1..20 {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut host = vec![b'a'; length];
                    host[at] = byte;
                    let is_usual = matches!(byte, b'-' | b'.' | b'/' | b'0'..=b'9' | b'`'..=0x7f);
                    assert_eq!(
                        is_surely_canonical(&host),
                        is_usual,
                        "{byte:#x} at {at} of {length}"
                    );
                }
            }
        }
    }

    fn canonical(uri: &str, host: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, host.parse().unwrap());
        }
        let mut out = Vec::new();
        authority(&uri.parse().unwrap(), &headers, |piece| {
            out.extend_from_slice(piece)
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_authority_is_canonical() {
        for (uri, host, expected) in [
            ("/a", Some("Example.COM"), "example.com"),
            ("/a", Some("example.com:80"), "example.com"),
            ("/a", Some("example.com:"), "example.com"),
            ("/a", Some("example.com:8080"), "example.com:8080"),
            ("/a", Some("example.com:443"), "example.com:443"),
            ("/a", Some("[::1]:80"), "[::1]"),
            ("/a", Some("[::80]"), "[::80]"),
            ("/a", Some("::80"), "::80"),
            ("/a", None, ""),
            ("http://Other.org/a", Some("example.com"), "other.org"),
            ("https://other.org:443/a", None, "other.org"),
            ("https://other.org:80/a", None, "other.org:80"),
            ("http://User@Other.org/a", None, "User@other.org"),
        ] {
            assert_eq!(canonical(uri, host), expected, "{uri} {host:?}");
        }
        let long = "A".repeat(200);
        assert_eq!(canonical("/", Some(&long)), "a".repeat(200));
    }

    #[test]
    fn references_are_resolved_on_the_same_origin_only() {
        let target: Uri = "http://example.com/a/b?q".parse().unwrap();
        for (reference, expected) in [
            ("/x", Some("/x")),
            ("x", Some("/a/x")),
            ("../x?y", Some("/x?y")),
            ("./", Some("/a/")),
            ("..", Some("/")),
            ("?z", Some("/a/b?z")),
            ("", Some("/a/b?q")),
            ("/x#f", Some("/x")),
            ("/x?u=http://other.com/y", Some("/x?u=http://other.com/y")),
            ("x?u=http://other.com/y", Some("/a/x?u=http://other.com/y")),
            ("http://EXAMPLE.com:80/x", Some("/x")),
            ("//example.com", Some("/")),
            ("http://example.com?q", Some("/?q")),
            ("http://other.com/x", None),
            ("http://example.com:81/x", None),
            ("mailto:/x", None),
            ("//", None),
        ] {
            let resolved = same_origin_target(&target, "example.com", reference.as_bytes());
            assert_eq!(resolved.as_deref(), expected, "{reference}");
        }
        assert_eq!(same_origin_target(&target, "example.com", b"\xff"), None);
    }

    #[test]
    fn a_host_that_contradicts_the_uri_is_corrected() {
        for (uri, host, corrected) in [
            ("http://a/", Some("b"), Some("a")),
            ("http://u@A:81/", Some("b"), Some("A:81")),
            ("http://a/", Some("A:80"), None),
            ("http://a/", None, None),
            ("/", Some("b"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, host.parse().unwrap());
            }
            let host = corrected_host(&uri.parse().unwrap(), &headers);
            assert_eq!(
                host.as_ref().map(|host| host.to_str().unwrap()),
                corrected,
                "{uri} {host:?}"
            );
        }
    }
}
