//! What a request is held to before the cache sees it (the cache mustn't answer what no server may), and what an origin
//! learns of who asked.

use frontage::{ViewerAddress, ViewerProtocol};
use http::{HeaderValue, Method, Request, Version, header, uri::Authority};
use std::{
    net::SocketAddr,
    task::{Context, Poll},
};
use tower::Service;

/// The origins, for the requests of one viewer: says where they come from. Stands below the cache, so that hits don't
/// pay for it.
#[derive(Clone, Debug)]
pub(crate) struct FromViewer<S> {
    origins: S,
    address: SocketAddr,
}

impl<S> FromViewer<S> {
    pub(crate) fn new(origins: S, address: SocketAddr) -> Self {
        Self { origins, address }
    }
}

impl<S, B> Service<Request<B>> for FromViewer<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.origins.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let extensions = request.extensions_mut();
        extensions.insert(ViewerAddress(self.address));
        extensions.insert(ViewerProtocol::Http);
        self.origins.call(request)
    }
}

/// Whether the request names one host (RFC 9112 section 3.2), and asks for no tunnel.
pub(crate) fn is_valid<B>(request: &Request<B>) -> bool {
    let authority = request.uri().authority();
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let has_host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
        // HTTP/2 has `:authority` in its place, and HTTP/1.0 knows none.
        (None, _) => match request.version() {
            Version::HTTP_11 => false,
            version => authority.is_some() || version < Version::HTTP_11,
        },
    };
    has_host && authority.is_none_or(is_named) && request.method() != Method::CONNECT
}

fn is_host(value: &HeaderValue) -> bool {
    is_plain(value.as_bytes()) || {
        let host = value.to_str().ok().map(str::parse);
        matches!(host, Some(Ok(host)) if is_named(&host))
    }
}

/// A name without a port, which most are: seen without parsing it.
fn is_plain(host: &[u8]) -> bool {
    /// Asked of each byte of each request's host.
    const IS_OF_NAME: [bool; 256] = {
        let mut is_of_name = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            is_of_name[byte] =
                matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_');
            byte += 1;
        }
        is_of_name
    };
    !host.is_empty() && host.iter().all(|byte| IS_OF_NAME[usize::from(*byte)])
}

/// A name or an address, perhaps with a port. RFC 3986 allows more, such as a comma and who the user is.
fn is_named(authority: &Authority) -> bool {
    let host = authority.host();
    let is_name = is_plain(host.as_bytes());
    let is_address = host.starts_with('[') && host.ends_with(']');
    let port = match authority.as_str().strip_prefix(host) {
        Some("") => Some(""),
        Some(port) => port.strip_prefix(':'),
        None => None,
    };
    let is_port = |digits: &str| {
        digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits.is_empty() || digits.parse::<u16>().is_ok())
    };
    (is_name || is_address) && port.is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn is_valid_with(request: http::request::Builder, hosts: &[&str]) -> bool {
        let request = hosts
            .iter()
            .fold(request, |request, host| request.header("host", *host));
        is_valid(&request.body(()).unwrap())
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "a",
            "A-1.b_c",
            "a:80",
            "a:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(is_valid_with(Request::get("/"), &[host]), "{host}");
        }
        for host in [
            "", " ", "a b", "a,b", "a, b", "u@a", "@a", "a/", "/a", "a?b", "a#b", "http://a",
            "a:x", "a:+1", "a:99999", "a:80:80", ":80", "[::1", "::1", "a%41", "a\tb", "*",
        ] {
            assert!(!is_valid_with(Request::get("/"), &[host]), "{host}");
        }
        let raw = HeaderValue::from_bytes(b"\xff").unwrap();
        assert!(!is_valid_with(Request::get("/").header("host", raw), &[]));
    }

    #[test]
    fn there_is_one_host_whatever_the_target_says() {
        for uri in ["/", "http://a/"] {
            assert!(is_valid_with(Request::get(uri), &["a"]));
            assert!(!is_valid_with(Request::get(uri), &[]));
            assert!(!is_valid_with(Request::get(uri), &["a", "a"]));
        }
        assert!(!is_valid_with(Request::get("http://u@a/"), &["a"]));
    }

    #[test]
    fn other_versions_may_do_without() {
        let version = |version| Request::get("/").version(version);
        assert!(is_valid_with(version(Version::HTTP_10), &[]));
        assert!(!is_valid_with(version(Version::HTTP_10), &["a", "b"]));
        assert!(!is_valid_with(version(Version::HTTP_2), &[]));
        assert!(is_valid_with(version(Version::HTTP_2), &["a"]));
        let named = Request::get("http://a/").version(Version::HTTP_2);
        assert!(is_valid_with(named, &[]));
    }

    #[test]
    fn tunnels_are_refused() {
        let tunnel = Request::builder().method("CONNECT").uri("a:80");
        assert!(!is_valid_with(tunnel, &["a"]));
    }
}
