//! Which parts of a request count.

use super::{CacheKey, Namespace, Part, normalize};
use crate::{headers::members, original_uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts};
use std::{borrow::Cow, fmt, sync::Arc};

/// Which query parameters count. The delimiter is `&` only; names and values are raw, and their order counts.
///
/// CloudFront's `QueryStringBehavior`. Unlike [`Query::All`], the others take a bare `?` for no query.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Query {
    /// None counts.
    None,
    /// The query string as it is.
    #[default]
    All,
    /// The parameters with these names, in the request's order.
    Only(Vec<String>),
    /// All but the parameters with these names.
    Except(Vec<String>),
}

impl Query {
    fn keeps(&self, parameter: &str) -> bool {
        let name = parameter
            .split_once('=')
            .map_or(parameter, |(name, _)| name);
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(names) => names.iter().any(|known| known == name),
            Self::Except(names) => !names.iter().any(|known| known == name),
        }
    }

    /// The parameters of `query` that count, in order.
    fn kept<'a>(&'a self, query: &'a str) -> impl Iterator<Item = &'a str> {
        query.split('&').filter(|parameter| self.keeps(parameter))
    }

    /// The query that an origin gets when only what counts is forwarded.
    pub(crate) fn forwarded<'a>(&self, query: Option<&'a str>) -> Option<Cow<'a, str>> {
        let query = query?;
        if *self == Self::All {
            return Some(Cow::Borrowed(query));
        }
        let kept = self.kept(query).collect::<Vec<_>>().join("&");
        (!kept.is_empty()).then_some(Cow::Owned(kept))
    }
}

/// Which cookies count, by name, with case. CloudFront's `CookieBehavior`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Cookies {
    /// None counts.
    #[default]
    None,
    /// All.
    All,
    /// Those with these names.
    Only(Vec<String>),
    /// All but those with these names.
    Except(Vec<String>),
}

impl Cookies {
    fn keeps(&self, name: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(names) => names.iter().any(|known| known.as_bytes() == name),
            Self::Except(names) => !names.iter().any(|known| known.as_bytes() == name),
        }
    }

    /// The `name=value` pairs that count, sorted by name, equal names in the request's order. A
    /// `Cookie` line with anything else in it doesn't count.
    pub(crate) fn kept<'a>(&self, headers: &'a HeaderMap) -> Vec<(&'a [u8], &'a [u8])> {
        if *self == Self::None {
            return Vec::new();
        }
        let mut kept = Vec::new();
        for line in headers.get_all(header::COOKIE) {
            let pairs: Option<Vec<_>> = line
                .as_bytes()
                .split(|byte| *byte == b';')
                .map(<[u8]>::trim_ascii)
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let at = pair.iter().position(|byte| *byte == b'=')?;
                    (at > 0).then(|| (&pair[..at], &pair[at + 1..]))
                })
                .collect();
            kept.extend(
                pairs
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|(name, _)| self.keeps(name)),
            );
        }
        kept.sort_by_key(|(name, _)| *name);
        kept
    }
}

/// Which content codings of `Accept-Encoding` count, normalised as CloudFront does
/// (`EnableAcceptEncodingGzip`, `EnableAcceptEncodingBrotli`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AcceptEncoding {
    /// `gzip` counts.
    pub gzip: bool,
    /// `br` counts.
    pub brotli: bool,
}

impl AcceptEncoding {
    /// What stands in the key, and in what is forwarded: `None` where the flags are off or the
    /// request has no `Accept-Encoding`, `identity` where it offers nothing that counts.
    #[inline]
    pub(crate) fn normalized(self, headers: &HeaderMap) -> Option<&'static str> {
        if !self.gzip && !self.brotli {
            return None;
        }
        self.offered(headers)
    }

    fn offered(self, headers: &HeaderMap) -> Option<&'static str> {
        if !headers.contains_key(header::ACCEPT_ENCODING) {
            return None;
        }
        let (mut gzip, mut brotli) = (false, false);
        for line in headers.get_all(header::ACCEPT_ENCODING) {
            for member in members(line.as_bytes()) {
                let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
                let coding = parts.next().unwrap_or_default();
                if parts.any(is_zero_weight) {
                    continue;
                }
                gzip |= coding.eq_ignore_ascii_case(b"gzip");
                brotli |= coding.eq_ignore_ascii_case(b"br");
            }
        }
        Some(match (gzip && self.gzip, brotli && self.brotli) {
            (true, true) => "br,gzip",
            (true, false) => "gzip",
            (false, true) => "br",
            (false, false) => "identity",
        })
    }
}

/// `q=0`, `q=0.0` and so on (RFC 9110 section 12.4.2).
fn is_zero_weight(parameter: &[u8]) -> bool {
    let Some((name, value)) = parameter.split_at_checked(2) else {
        return false;
    };
    name.eq_ignore_ascii_case(b"q=")
        && value.starts_with(b"0")
        && value[1..].iter().all(|byte| matches!(byte, b'.' | b'0'))
}

type UriFrom = Arc<dyn for<'a> Fn(&'a Parts) -> Cow<'a, Uri> + Send + Sync>;

/// Which parts of a request make its cache key.
///
/// The default is RFC 9111's: the authority, the path and the whole query, and whether the method is `GET` or
/// `HEAD` (which share a key) or another. [`KeyPolicy::cloudfront`] starts from CloudFront's default, the path alone.
///
/// ```
/// use frontage::key::{KeyPolicy, Namespace, Query};
///
/// let policy = KeyPolicy::new().query(Query::Only(vec!["page".into()]));
/// let namespace = Namespace::named("docs")?;
/// let key = |uri: &str| {
///     let (parts, ()) = http::Request::builder().uri(uri).body(()).unwrap().into_parts();
///     policy.key(&namespace, &parts)
/// };
/// assert_eq!(key("http://example.com/a?page=1&utm=x"), key("http://EXAMPLE.com:80/a?page=1"));
/// assert_ne!(key("http://example.com/a?page=1"), key("http://example.com/a?page=2"));
/// assert_eq!(key("http://example.com/a?page=1").to_string(), "docs GET example.com/a?page=1");
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct KeyPolicy {
    authority: bool,
    query: Query,
    headers: Vec<HeaderName>,
    cookies: Cookies,
    accept_encoding: AcceptEncoding,
    uri_from: Option<UriFrom>,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyPolicy {
    /// The authority, the path and the whole query.
    #[must_use]
    pub fn new() -> Self {
        Self {
            authority: true,
            query: Query::All,
            headers: Vec::new(),
            cookies: Cookies::None,
            accept_encoding: AcceptEncoding::default(),
            uri_from: None,
        }
    }

    /// The path alone, as CloudFront's default key has it (its distribution is our namespace).
    #[must_use]
    pub fn cloudfront() -> Self {
        Self {
            authority: false,
            query: Query::None,
            ..Self::new()
        }
    }

    /// Whether the authority (the URI's, else `Host`) counts.
    #[must_use]
    pub fn authority(mut self, counts: bool) -> Self {
        self.authority = counts;
        self
    }

    /// Which query parameters count.
    #[must_use]
    pub fn query(mut self, query: Query) -> Self {
        self.query = query;
        self
    }

    /// Which request headers count, by their exact value; lines of one name are joined by a comma. A header that is
    /// absent differs from one that is empty.
    ///
    /// `Cookie` has a setting of its own, [`cookies`](Self::cookies), and so has
    /// `Accept-Encoding`, [`accept_encoding`](Self::accept_encoding): they may be listed, and
    /// then count as they are.
    #[must_use]
    pub fn headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.headers = names.into_iter().collect();
        self.headers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        self.headers.dedup();
        self
    }

    /// Which cookies count.
    #[must_use]
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = cookies;
        self
    }

    /// Which content codings of `Accept-Encoding` count.
    #[must_use]
    pub fn accept_encoding(mut self, codings: AcceptEncoding) -> Self {
        self.accept_encoding = codings;
        self
    }

    /// Takes the URI from elsewhere than the request line, for instance from an extension that holds
    /// it as it was before a router stripped a prefix. With the feature `axum`, `OriginalUri` is used by default; without it:
    ///
    /// ```
    /// use axum::extract::OriginalUri;
    /// use frontage::key::KeyPolicy;
    /// use std::borrow::Cow;
    ///
    /// let key = KeyPolicy::new().uri_from(|parts| match parts.extensions.get() {
    ///     Some(OriginalUri(uri)) => Cow::Borrowed(uri),
    ///     None => Cow::Borrowed(&parts.uri),
    /// });
    /// ```
    #[must_use]
    pub fn uri_from(
        mut self,
        uri: impl for<'a> Fn(&'a Parts) -> Cow<'a, Uri> + Send + Sync + 'static,
    ) -> Self {
        self.uri_from = Some(Arc::new(uri));
        self
    }

    /// The URI that counts.
    pub(crate) fn uri<'a>(&self, parts: &'a Parts) -> Cow<'a, Uri> {
        match &self.uri_from {
            Some(uri_from) => uri_from(parts),
            None => Cow::Borrowed(original_uri::as_sent(&parts.uri, &parts.extensions)),
        }
    }

    /// The key of a request. `GET` and `HEAD` share one. Pure, and without heap for keys of up to 184 bytes
    /// (unless cookies count).
    #[must_use]
    pub fn key(&self, namespace: &Namespace, parts: &Parts) -> CacheKey {
        let mut key = CacheKey::empty();
        self.write_key(&mut key, namespace, parts, parts.headers.get(header::HOST));
        key
    }

    /// The same, into an empty one: it is large to be handed on.
    pub(crate) fn write_key(
        &self,
        key: &mut CacheKey,
        namespace: &Namespace,
        parts: &Parts,
        host: Option<&HeaderValue>,
    ) {
        let from_elsewhere;
        let uri = match &self.uri_from {
            Some(uri_from) => {
                from_elsewhere = uri_from(parts);
                &*from_elsewhere
            }
            None => original_uri::as_sent(&parts.uri, &parts.extensions),
        };
        self.write(key, namespace, parts, uri, host);
        key.finish();
    }

    /// Whether nothing but the authority, the path and the whole query counts.
    fn is_plain(&self) -> bool {
        self.query == Query::All
            && self.headers.is_empty()
            && self.cookies == Cookies::None
            && !(self.accept_encoding.gzip || self.accept_encoding.brotli)
    }

    #[inline]
    fn write(
        &self,
        key: &mut CacheKey,
        namespace: &Namespace,
        parts: &Parts,
        uri: &Uri,
        host: Option<&HeaderValue>,
    ) {
        let is_get = parts.method == Method::GET || parts.method == Method::HEAD;
        let authority = match self.authority {
            true => normalize::simple_authority(uri, host),
            false => Some(&b""[..]),
        };
        if let (true, Some(authority), true) = (is_get, authority, self.is_plain()) {
            let (path, query) = (uri.path().as_bytes(), uri.query().map(str::as_bytes));
            if key.plain(&namespace.get, authority, path, query) {
                return;
            }
        }
        self.write_parts(key, namespace, parts, uri, authority);
    }

    /// Of any method and policy, with the authority if that is known to be in canonical form.
    #[inline(never)]
    fn write_parts(
        &self,
        key: &mut CacheKey,
        namespace: &Namespace,
        parts: &Parts,
        uri: &Uri,
        authority: Option<&[u8]>,
    ) {
        if parts.method == Method::GET || parts.method == Method::HEAD {
            key.bytes(&namespace.get);
        } else {
            key.part(Part::NAMESPACE, namespace.as_bytes());
            key.part(Part::METHOD, parts.method.as_str().as_bytes());
        }
        match authority {
            Some(simple) => key.part(Part::AUTHORITY, simple),
            None => {
                let start = key.begin(Part::AUTHORITY);
                normalize::authority(uri, &parts.headers, |piece| key.bytes(piece));
                key.end(start);
            }
        }
        key.part(Part::PATH, uri.path().as_bytes());
        self.write_query(key, uri.query());
        for name in &self.headers {
            write_header(key, name, &parts.headers);
        }
        if self.cookies != Cookies::None {
            for (name, value) in self.cookies.kept(&parts.headers) {
                let start = key.begin(Part::COOKIE);
                key.bytes(name);
                key.bytes(b"=");
                key.bytes(value);
                key.end(start);
            }
        }
        if let Some(codings) = self.accept_encoding.normalized(&parts.headers) {
            // Nothing in common is the same as nothing asked, but for what is forwarded.
            if codings != "identity" {
                key.part(Part::ACCEPT_ENCODING, codings.as_bytes());
            }
        }
    }

    /// The address by which what a request names is invalidated: authority, path and query, as far as they count, and in the
    /// form in which they are compared. The first slash begins the path.
    pub(crate) fn address(&self, uri: &Uri, headers: &HeaderMap) -> Box<str> {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        self.address_of(&normalize::authority_text(uri, headers), target)
    }

    /// The address of what a response to a request names (`Location`), if that is on the same origin.
    pub(crate) fn address_of_reference(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        reference: &[u8],
    ) -> Option<Box<str>> {
        let authority = normalize::authority_text(uri, headers);
        let target = normalize::same_origin_target(uri, &authority, reference)?;
        Some(self.address_of(&authority, &target))
    }

    fn address_of(&self, authority: &str, target: &str) -> Box<str> {
        let authority = match authority {
            _ if !self.authority => "",
            // None is one of its own: an address without any is that of all hosts.
            "" => " ",
            authority => authority,
        };
        // A Host may be anything.
        let authority = authority.replace('/', "\\");
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, self.query.forwarded(Some(query))),
            None => (target, None),
        };
        match query {
            Some(query) => authority + &normalize::comparable(&format!("{path}?{query}")),
            None => authority + &normalize::comparable(path),
        }
        .into_boxed_str()
    }

    #[inline(always)]
    fn write_query(&self, key: &mut CacheKey, query: Option<&str>) {
        let Some(query) = query else { return };
        if self.query == Query::All {
            return key.part(Part::QUERY, query.as_bytes());
        }
        let mut kept = self.query.kept(query).peekable();
        if query.is_empty() || kept.peek().is_none() {
            return;
        }
        let start = key.begin(Part::QUERY);
        for (at, parameter) in kept.enumerate() {
            if at > 0 {
                key.bytes(b"&");
            }
            key.bytes(parameter.as_bytes());
        }
        key.end(start);
    }

    pub(crate) fn keyed_query(&self) -> &Query {
        &self.query
    }

    pub(crate) fn keyed_headers(&self) -> &[HeaderName] {
        &self.headers
    }

    pub(crate) fn keyed_cookies(&self) -> &Cookies {
        &self.cookies
    }

    pub(crate) fn keyed_codings(&self) -> AcceptEncoding {
        self.accept_encoding
    }
}

impl fmt::Debug for KeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPolicy")
            .field("authority", &self.authority)
            .field("query", &self.query)
            .field("headers", &self.headers)
            .field("cookies", &self.cookies)
            .field("accept_encoding", &self.accept_encoding)
            .field("uri_from", &self.uri_from.is_some())
            .finish()
    }
}

fn write_header(key: &mut CacheKey, name: &HeaderName, headers: &HeaderMap) {
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let Some(first) = lines.next() else { return };
    let start = key.begin(Part::HEADER);
    key.bytes(name.as_str().as_bytes());
    // A field name holds no colon, so the value starts at the first.
    key.bytes(b":");
    key.bytes(first);
    for line in lines {
        key.bytes(b",");
        key.bytes(line);
    }
    key.end(start);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn uri_key(policy: &KeyPolicy, uri: &str) -> CacheKey {
        policy.key(&namespace(), &parts(Request::builder().uri(uri)))
    }

    fn header_key(policy: &KeyPolicy, fields: &[(&str, &str)]) -> CacheKey {
        let request = fields
            .iter()
            .fold(Request::builder(), |request, (name, value)| {
                request.header(*name, *value)
            });
        policy.key(&namespace(), &parts(request))
    }

    fn namespace() -> Namespace {
        Namespace::named("n").unwrap()
    }

    #[test]
    fn get_and_head_share_a_key_and_other_methods_do_not() {
        let policy = KeyPolicy::new();
        let key =
            |method: &str| policy.key(&namespace(), &parts(Request::builder().method(method)));
        assert_eq!(key("GET"), key("HEAD"));
        assert_ne!(key("GET"), key("OPTIONS"));
    }

    #[test]
    fn the_parts_of_a_key_never_run_into_each_other() {
        let policy = KeyPolicy::new();
        assert_ne!(uri_key(&policy, "/a?b"), uri_key(&policy, "/a%3Fb"));
        assert_ne!(
            uri_key(&policy, "http://a/b/c"),
            uri_key(&policy, "http://a.b/c")
        );
        assert_ne!(uri_key(&policy, "/a"), uri_key(&policy, "/a?"));
        assert_ne!(uri_key(&policy, "/a"), uri_key(&policy, "/A"));
        let headers =
            KeyPolicy::new().headers([HeaderName::from_static("a"), HeaderName::from_static("b")]);
        assert_ne!(
            header_key(&headers, &[("a", "1"), ("b", "2")]),
            header_key(&headers, &[("a", "2"), ("b", "1")])
        );
        assert_ne!(
            header_key(&headers, &[("a", "")]),
            header_key(&headers, &[])
        );
        assert_ne!(
            header_key(&headers, &[("a", "x")]),
            header_key(&headers, &[("b", "x")])
        );
        assert_eq!(
            header_key(&headers, &[("a", "1"), ("b", "2")]),
            header_key(&headers, &[("b", "2"), ("A", "1")])
        );
    }

    #[test]
    fn namespaces_are_kept_apart() {
        let request = parts(Request::builder().uri("/a"));
        let policy = KeyPolicy::new();
        assert_ne!(
            policy.key(&Namespace::unique(), &request),
            policy.key(&Namespace::unique(), &request)
        );
    }

    #[test]
    fn query_parameters_are_chosen_raw_and_in_order() {
        let only = KeyPolicy::new().query(Query::Only(vec!["a".into(), "b".into()]));
        assert_eq!(uri_key(&only, "/?a=1&x=2&b=3"), uri_key(&only, "/?a=1&b=3"));
        assert_ne!(uri_key(&only, "/?a=1&b=3"), uri_key(&only, "/?b=3&a=1"));
        assert_ne!(uri_key(&only, "/?a"), uri_key(&only, "/?a="));
        assert_ne!(uri_key(&only, "/?a=1"), uri_key(&only, "/?a=1&a=1"));
        assert_eq!(uri_key(&only, "/?A=1"), uri_key(&only, "/"));
        assert_eq!(uri_key(&only, "/?x=1;a=2"), uri_key(&only, "/"));
        let except = KeyPolicy::new().query(Query::Except(vec!["x".into()]));
        assert_eq!(uri_key(&except, "/?x=1&a=2"), uri_key(&except, "/?a=2"));
        assert_eq!(uri_key(&except, "/?"), uri_key(&except, "/"));
        let none = KeyPolicy::cloudfront();
        assert_eq!(uri_key(&none, "http://a/?x=1"), uri_key(&none, "http://b/"));
    }

    #[test]
    fn cookies_are_chosen_by_name_and_sorted() {
        let only = KeyPolicy::new().cookies(Cookies::Only(vec!["a".into(), "b".into()]));
        assert_eq!(
            header_key(&only, &[("cookie", "b=2; a=1; c=3")]),
            header_key(&only, &[("cookie", "a=1"), ("cookie", "b=2")])
        );
        assert_ne!(
            header_key(&only, &[("cookie", "a=1")]),
            header_key(&only, &[("cookie", "a=2")])
        );
        assert_ne!(
            header_key(&only, &[("cookie", "a=1")]),
            header_key(&only, &[("cookie", "A=1")])
        );
        assert_eq!(
            header_key(&only, &[("cookie", "a=1; nonsense")]),
            header_key(&only, &[])
        );
        let except = KeyPolicy::new().cookies(Cookies::Except(vec!["a".into()]));
        assert_eq!(
            header_key(&except, &[("cookie", "a=1; b=2")]),
            header_key(&except, &[("cookie", "b=2")])
        );
        let all = KeyPolicy::new().cookies(Cookies::All);
        assert_ne!(
            header_key(&all, &[("cookie", "a=1; a=2")]),
            header_key(&all, &[("cookie", "a=2; a=1")])
        );
        assert_ne!(
            header_key(&all, &[("cookie", "a=b=c")]),
            header_key(&all, &[("cookie", "a=b")])
        );
    }

    #[test]
    fn accept_encoding_is_normalised() {
        let both = AcceptEncoding {
            gzip: true,
            brotli: true,
        };
        let gzip = AcceptEncoding {
            gzip: true,
            brotli: false,
        };
        let off = AcceptEncoding::default();
        for (codings, value, expected) in [
            (both, Some("gzip, deflate, br"), Some("br,gzip")),
            (both, Some("GZIP;q=0.5"), Some("gzip")),
            (both, Some("gzip;q=0, br;q=0.000"), Some("identity")),
            (both, Some("gzip; q=0.001"), Some("gzip")),
            (both, Some("*"), Some("identity")),
            (both, Some(""), Some("identity")),
            (both, None, None),
            (gzip, Some("br"), Some("identity")),
            (gzip, Some("br, gzip"), Some("gzip")),
            (off, Some("gzip"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(
                codings.normalized(&headers),
                expected,
                "{codings:?} {value:?}"
            );
        }
    }

    #[test]
    fn every_form_of_uri_has_a_key() {
        let policy = KeyPolicy::new();
        for uri in [
            "*",
            "/",
            "//",
            "/%ff",
            "example.com:443",
            "http://[::1]:80/a?b",
            "http://u:p@h/",
        ] {
            assert!(
                uri_key(&policy, uri).to_string().starts_with("n GET"),
                "{uri}"
            );
        }
        assert_eq!(uri_key(&policy, "http://h"), uri_key(&policy, "http://h/"));
    }

    #[test]
    fn the_uri_may_come_from_an_extension() {
        let policy = KeyPolicy::new().uri_from(|parts| {
            parts
                .extensions
                .get::<Uri>()
                .map_or(Cow::Borrowed(&parts.uri), Cow::Borrowed)
        });
        let stripped = parts(
            Request::builder()
                .uri("/a")
                .extension("/x/a".parse::<Uri>().unwrap()),
        );
        assert_eq!(
            policy.key(&namespace(), &stripped),
            uri_key(&policy, "/x/a")
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let policy = KeyPolicy::new()
            .headers([header::AUTHORIZATION])
            .cookies(Cookies::All);
        let printed = header_key(
            &policy,
            &[("authorization", "hunter2"), ("cookie", "id=hunter3")],
        )
        .to_string();
        assert!(!printed.contains("hunter"), "{printed}");
        assert!(
            printed.contains("authorization:#") && printed.contains("cookie:id=#"),
            "{printed}"
        );
    }

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        let policy = KeyPolicy::new().headers([header::ACCEPT]);
        let request = parts(
            Request::builder()
                .uri("/a")
                .header("accept", HeaderValue::from_bytes(b"\xff\"").unwrap()),
        );
        assert_eq!(
            policy.key(&namespace(), &request).to_string(),
            r#"n GET /a accept:\xff\""#
        );
    }
}
