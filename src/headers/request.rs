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
        let mut facts = Self::default();
        facts.read(headers);
        facts
    }

    /// Reads them into the default, and gives the fields that are looked at again.
    #[inline]
    pub(crate) fn read<'a>(&mut self, headers: &'a HeaderMap) -> Again<'a> {
        let mut again = Again::default();
        let mut several_codings = false;
        for (name, value) in headers {
            match *name {
                header::HOST => self.several_hosts |= again.host.replace(value).is_some(),
                header::ACCEPT_ENCODING => {
                    several_codings |= again.accept_encoding.replace(value).is_some();
                }
                header::RANGE => self.range = true,
                header::COOKIE => self.cookie = true,
                header::PRAGMA => self.pragma_no_cache |= has_no_cache(value),
                header::UPGRADE => self.upgrade = true,
                header::CONNECTION => self.connection |= names_fields(value),
                header::AUTHORIZATION => self.authorization = true,
                header::CACHE_CONTROL => {
                    self.cache_control = true;
                    self.directives.add_line(value.as_bytes());
                }
                header::IF_NONE_MATCH | header::IF_MODIFIED_SINCE => self.conditional = true,
                header::IF_MATCH | header::IF_UNMODIFIED_SINCE => self.precondition = true,
                _ => {}
            }
        }
        if several_codings {
            again.accept_encoding = None;
        }
        again
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

/// Fields that are looked at again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Again<'a> {
    /// The last line of `Host`.
    pub(crate) host: Option<&'a HeaderValue>,
    /// The line of `Accept-Encoding`, where there is just one.
    pub(crate) accept_encoding: Option<&'a HeaderValue>,
}

#[inline(never)]
fn has_no_cache(pragma: &HeaderValue) -> bool {
    super::members(pragma.as_bytes()).any(|member| member.eq_ignore_ascii_case(b"no-cache"))
}

#[inline(never)]
fn names_fields(connection: &HeaderValue) -> bool {
    super::members(connection.as_bytes()).any(|member| {
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
        let names = |value| names_fields(&HeaderValue::from_static(value));
        assert!(facts.connection && !names("close") && !names("KEEP-ALIVE, ,"));
        assert!(
            !facts.asks_to_reload(),
            "Pragma counts only without Cache-Control"
        );
        assert_eq!(RequestFacts::of(&HeaderMap::new()), RequestFacts::default());
    }

    #[test]
    fn a_field_of_one_line_is_given_and_of_several_hosts_the_last() {
        let mut headers = HeaderMap::new();
        let read = |headers: &HeaderMap| {
            let again = RequestFacts::default().read(headers);
            let text =
                |value: Option<&HeaderValue>| value.map(|value| value.to_str().unwrap().to_owned());
            (text(again.host), text(again.accept_encoding))
        };
        assert_eq!(read(&headers), (None, None));
        headers.insert("host", HeaderValue::from_static("a"));
        headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(read(&headers), (Some("a".into()), Some("gzip".into())));
        headers.append("host", HeaderValue::from_static("b"));
        headers.append("accept-encoding", HeaderValue::from_static("br"));
        assert_eq!(read(&headers), (Some("b".into()), None));
    }
}
