//! What the rules ask of a request's header fields, found in one pass.

use super::RequestDirectives;
use http::{HeaderMap, HeaderValue, header};

/// What a request's header fields mean for a cache.
///
/// ```
/// use frontage::headers::RequestFacts;
///
/// let request = http::Request::builder().header("Pragma", "no-cache").header("Cookie", "a=b").body(())?;
/// let facts = RequestFacts::of(request.headers());
/// assert!(facts.cookie && facts.asks_to_reload());
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a field of the request, present or not"
)]
pub struct RequestFacts {
    /// `Cache-Control`.
    pub directives: RequestDirectives,
    /// There is a `Cache-Control` field.
    pub cache_control: bool,
    /// `Pragma: no-cache` (RFC 9111 section 5.4).
    pub pragma_no_cache: bool,
    /// `Authorization` is there.
    pub authorization: bool,
    /// `Cookie` is there.
    pub cookie: bool,
    /// `Range` is there.
    pub range: bool,
    /// `If-None-Match` or `If-Modified-Since` is there.
    pub conditional: bool,
    /// `If-Match` or `If-Unmodified-Since` is there: conditions for the origin (RFC 9111 section 4.3.2).
    pub precondition: bool,
    /// `Upgrade` is there.
    pub upgrade: bool,
    /// `Connection` names more than what becomes of the connection: fields that go no further (RFC 9110 section 7.6.1).
    pub connection: bool,
    /// There is more than one `Host` line.
    pub several_hosts: bool,
}

impl RequestFacts {
    /// Reads them.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        Self::with_host(headers).0
    }

    /// Reads them, and finds `Host`.
    #[must_use]
    pub(crate) fn with_host(headers: &HeaderMap) -> (Self, Option<&HeaderValue>) {
        let mut facts = Self::default();
        let mut host = None;
        let mut hosts = 0_u8;
        for (name, value) in headers {
            match *name {
                header::HOST => {
                    hosts = hosts.saturating_add(1);
                    host = Some(value);
                }
                header::RANGE => facts.range = true,
                header::COOKIE => facts.cookie = true,
                header::PRAGMA => {
                    facts.pragma_no_cache |= super::members(value.as_bytes())
                        .any(|member| member.eq_ignore_ascii_case(b"no-cache"));
                }
                header::UPGRADE => facts.upgrade = true,
                header::CONNECTION => facts.connection |= names_fields(value.as_bytes()),
                header::AUTHORIZATION => facts.authorization = true,
                header::CACHE_CONTROL => {
                    facts.cache_control = true;
                    facts.directives.add_line(value.as_bytes());
                }
                header::IF_NONE_MATCH | header::IF_MODIFIED_SINCE => facts.conditional = true,
                header::IF_MATCH | header::IF_UNMODIFIED_SINCE => facts.precondition = true,
                _ => {}
            }
        }
        facts.several_hosts = hosts > 1;
        (facts, host)
    }

    /// Whether the request asks for an answer from the origin: `no-cache`, or `Pragma: no-cache`
    /// where there is no `Cache-Control` (RFC 9111 section 5.4).
    #[must_use]
    pub fn asks_to_reload(&self) -> bool {
        self.directives.no_cache || (self.pragma_no_cache && !self.cache_control)
    }

    /// Whether the request carries something that may make its answer one person's.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.authorization || self.cookie
    }
}

fn names_fields(connection: &[u8]) -> bool {
    super::members(connection).any(|member| {
        !(member.eq_ignore_ascii_case(b"keep-alive") || member.eq_ignore_ascii_case(b"close"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found() {
        let request = http::Request::builder()
            .header("host", "a")
            .header("host", "a")
            .header("range", "bytes=0-")
            .header("cookie", "a=b")
            .header("authorization", "x")
            .header("upgrade", "websocket")
            .header("connection", "Keep-Alive")
            .header("connection", "close, x-hop")
            .header("if-none-match", "*")
            .header("if-match", "*")
            .header("cache-control", "max-age=1")
            .header("pragma", "x, No-Cache")
            .body(())
            .unwrap();
        let facts = RequestFacts::of(request.headers());
        assert!(facts.several_hosts && facts.range && facts.cookie && facts.authorization);
        assert!(facts.upgrade && facts.conditional && facts.precondition && facts.pragma_no_cache);
        assert!(facts.connection && !names_fields(b"close") && !names_fields(b"KEEP-ALIVE, ,"));
        assert!(
            !facts.asks_to_reload(),
            "Pragma counts only without Cache-Control"
        );
        assert_eq!(RequestFacts::of(&HeaderMap::new()), RequestFacts::default());
    }
}
