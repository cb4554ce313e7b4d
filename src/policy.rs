//! What a cache does with requests: their key, how long responses live, and what is forwarded.

use crate::{
    error::ConfigError,
    forward::Forwarding,
    freshness::{FreshnessPolicy, Keeps},
    key::{AcceptEncoding, Cookies, KeyPolicy, ListOrder, Query},
};
use http::{HeaderName, StatusCode, header};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(31_536_000);
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Lifetimes, a [`KeyPolicy`], and what is forwarded: one of the profiles, and changes to it.
///
/// | profile | rules | for |
/// |---|---|---|
/// | [`default`](Self::default) | RFC 9111, the safe choice wherever it leaves room | an application that is cached |
/// | [`rfc9111`](Self::rfc9111) | RFC 9111 to the letter | a proxy in front of well-behaved origins |
/// | [`caching_optimized`](Self::caching_optimized), [`caching_disabled`](Self::caching_disabled), [`use_origin_cache_control_headers`](Self::use_origin_cache_control_headers) | CloudFront's managed policies | what CloudFront would do |
///
/// # What the RFC profiles ask of an application
///
/// They forward a request whole. An application that answers differently for different values of a header must say so
/// in `Vary`, or one viewer's answer is stored for all: this holds for `X-Forwarded-Host`, `Accept-Language` and any
/// other. (Authorization and, in `default`, cookies need no `Vary`: answers to requests that carry them aren't stored,
/// unless they say `public` or `s-maxage`.)
///
/// Which errors are shared between those who wait for them is said under [Errors](crate::cache#errors).
///
/// # Several policies over one core
///
/// Layers over one [`CacheCore`](crate::CacheCore) find each other's responses where their keys are equal. Give such layers
/// policies that agree on what a response may depend on: an RFC profile keyed by the path alone forwards the whole request,
/// and a CloudFront profile over the same core would take its answers for such that depend on nothing else.
///
/// # What the CloudFront profiles share between viewers
///
/// They follow CloudFront to the letter. What isn't in the key isn't forwarded, so an answer can't depend on it, with the
/// exceptions of CloudFront's own table: `Host`, `Origin`, `Via`, `From`, `Date`, `Cache-Control`, `Pragma`, `Range`,
/// `X-Forwarded-For` and the conditional headers reach the service unkeyed. A service behind such a profile must not let a
/// cacheable answer depend on them; `Host` above all: key it where one cache serves several hosts. Also:
/// * a minimum TTL above 0 (`caching_optimized` has 1 s) overrides `private`, `no-store` and `no-cache`:
///   such an answer is shared for that time. [`honor_private`](Self::honor_private) restores the rule for `private`;
/// * with cookies in the key, `Set-Cookie` is stored and replayed to all who send the same cookies;
///   `Cache-Control: no-cache="Set-Cookie"` keeps it out;
/// * an answer to a request with `Authorization` in the key is stored.
#[derive(Clone, Debug)]
pub struct CachePolicy {
    key: KeyPolicy,
    freshness: FreshnessPolicy,
    forwarding: Forwarding,
    range_miss: RangeMiss,
    tag_header: Option<HeaderName>,
}

/// What a range of something that isn't stored costs the inner service.
///
/// A whole that is being fetched already has ranges cut from it, in either case. `bytes=0-` is a request for the whole by another
/// name, and is fetched as that, but in the CloudFront profiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RangeMiss {
    /// It is asked for the range. What comes as a 206 is kept, as a part: it answers the ranges within it, and together with
    /// others of the same version (RFC 9111 section 3.4). As CloudFront does it, and for what is large.
    #[default]
    Forward,
    /// It is asked for the whole, once for all who ask meanwhile, and each range is cut from it as it comes. For what is small
    /// or asked for again. Where the length isn't announced, the whole is sent.
    FetchWhole,
}

/// RFC 9111, and the safe choice wherever it leaves room: no heuristics; an answer with `Set-Cookie` isn't
/// stored; `Cookie` in a request counts like `Authorization`, with only `public` and `s-maxage` lifting the ban.
impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            key: KeyPolicy::new(),
            freshness: FreshnessPolicy::default(),
            forwarding: Forwarding::Whole,
            range_miss: RangeMiss::Forward,
            tag_header: Some(CACHE_TAG),
        }
    }
}

impl CachePolicy {
    /// A shared cache by RFC 9111, to the letter: heuristic freshness (10 % of the time since `Last-Modified`, for the
    /// statuses of RFC 9110 section 15.1), cookies have no meaning, `Set-Cookie` is stored like any field.
    #[must_use]
    pub fn rfc9111() -> Self {
        Self {
            freshness: FreshnessPolicy::rfc9111(),
            ..Self::default()
        }
    }

    /// CloudFront's managed policy `CachingOptimized`: TTLs 1 s, 1 day, 1 year; the path is the key, with
    /// `Accept-Encoding` normalised to gzip and Brotli; no header, cookie or query is forwarded.
    #[must_use]
    pub fn caching_optimized() -> Self {
        let key = KeyPolicy::cloudfront().accept_encoding(AcceptEncoding {
            gzip: true,
            brotli: true,
        });
        Self::cloudfront(key, Duration::from_secs(1), DAY, YEAR)
    }

    /// CloudFront's managed policy `CachingDisabled`: nothing is stored, nothing collapsed; no header,
    /// cookie or query is forwarded.
    #[must_use]
    pub fn caching_disabled() -> Self {
        Self::cloudfront(
            KeyPolicy::cloudfront(),
            Duration::ZERO,
            Duration::ZERO,
            Duration::ZERO,
        )
    }

    /// CloudFront's managed policy `UseOriginCacheControlHeaders`: TTLs 0, 0, 1 year; the key holds the path, `Host`,
    /// `Origin`, three method-override headers, all cookies, and `Accept-Encoding` normalised; no query is forwarded.
    ///
    /// Since cookies are in the key, requests aren't collapsed.
    #[must_use]
    pub fn use_origin_cache_control_headers() -> Self {
        let headers = [
            header::HOST,
            header::ORIGIN,
            http::HeaderName::from_static("x-http-method-override"),
            http::HeaderName::from_static("x-http-method"),
            http::HeaderName::from_static("x-method-override"),
        ];
        let key = KeyPolicy::cloudfront()
            .headers(headers)
            .cookies(Cookies::All)
            .query(Query::None)
            .accept_encoding(AcceptEncoding {
                gzip: true,
                brotli: true,
            });
        Self::cloudfront(key, Duration::ZERO, Duration::ZERO, YEAR)
    }

    fn cloudfront(key: KeyPolicy, min: Duration, default: Duration, max: Duration) -> Self {
        Self {
            key,
            freshness: FreshnessPolicy::cloudfront(min, default, max),
            forwarding: Forwarding::Keyed,
            range_miss: RangeMiss::Forward,
            tag_header: Some(CACHE_TAG),
        }
    }

    /// Which parts of a request make its key. In the CloudFront profiles also what is forwarded.
    #[must_use]
    pub fn key(mut self, key: KeyPolicy) -> Self {
        self.key = key;
        self
    }

    /// `MinTTL`, `DefaultTTL` and `MaxTTL`.
    ///
    /// In the RFC profiles the minimum and maximum bound what the response says, and the default is for
    /// responses that could be stored but don't say for how long; none of them makes a response storable that isn't.
    ///
    /// # Errors
    ///
    /// Unless minimum ≤ default ≤ maximum (CloudFront's `InvalidTTLOrder`). In the RFC profiles the default may be below
    /// the minimum.
    pub fn ttl(
        mut self,
        min: Duration,
        default: Duration,
        max: Duration,
    ) -> Result<Self, ConfigError> {
        let in_order = match self.forwarding {
            Forwarding::Keyed => min <= default && default <= max,
            Forwarding::Whole => min <= max && default <= max,
        };
        if !in_order {
            let ttls = format!(
                "min {} s, default {} s, max {} s",
                min.as_secs(),
                default.as_secs(),
                max.as_secs()
            );
            return Err(ConfigError::new(
                "ttl",
                ttls,
                "in order: minimum, default, maximum",
            ));
        }
        self.freshness.min_ttl = min;
        self.freshness.default_ttl = default;
        self.freshness.max_ttl = max;
        Ok(self)
    }

    /// Whether the request's own `Cache-Control` and `Pragma` count: a reload by hand then reaches the inner service
    /// (RFC 9111 section 5.2.1). Default: yes in the RFC profiles, no in CloudFront's.
    #[must_use]
    pub fn honor_request_directives(mut self, honor: bool) -> Self {
        self.freshness.request_directives = honor;
        self
    }

    /// The response fields that rule in place of `Cache-Control` and `Expires`, the first that is there and valid (RFC 9213,
    /// targeted cache control). Default: `CDN-Cache-Control`; in the CloudFront profiles none.
    ///
    /// They are passed on, for caches behind this one. `Surrogate-Control` has another syntax: don't name it here.
    #[must_use]
    pub fn targeted_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.freshness.targeted_fields = names.into_iter().collect();
        self
    }

    /// Whether the order of members counts in request fields that rank them (`Accept-Language` and such), where `Vary` names
    /// one of these: `en, de` and `de, en` then select different variants. Default: it does, since many servers break ties by
    /// it; in [`rfc9111`](Self::rfc9111) it doesn't, as RFC 9111 section 4.1 allows.
    #[must_use]
    pub fn list_order(mut self, order: ListOrder) -> Self {
        self.freshness.list_order = order;
        self
    }

    /// Whether `private` forbids storing whatever the minimum TTL says. Default: yes in the RFC profiles,
    /// no in CloudFront's.
    #[must_use]
    pub fn honor_private(mut self, honor: bool) -> Self {
        self.freshness.honor_private = honor;
        self
    }

    /// For how long a stale response is used while it is refreshed in the background, where the response itself doesn't say
    /// (`stale-while-revalidate`, RFC 5861 section 3). Default: 0.
    ///
    /// One refresh per key runs at a time, and it outlives the viewer. `must-revalidate`, `proxy-revalidate`, `s-maxage`
    /// and `no-cache` forbid it (RFC 9111 section 4.2.4; in the CloudFront profiles `s-maxage` doesn't).
    #[must_use]
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.freshness.stale_while_revalidate = window;
        self
    }

    /// For how long a stale response is used in place of an error, where the response itself doesn't say
    /// (`stale-if-error`, RFC 5861 section 4). Default: 0; in the CloudFront profiles up to the maximum TTL, as CloudFront
    /// does it. A response turns it off with `stale-if-error=0`.
    ///
    /// An error is a 500, 502, 503 or 504 (in the CloudFront profiles any 5xx), an error of the inner service, a panic, or no
    /// head within `fetch_timeout`. What forbids
    /// [`stale_while_revalidate`](Self::stale_while_revalidate) forbids this, too. The origin isn't asked again before
    /// [`stale_retry`](Self::stale_retry) is over; then one request asks it.
    #[must_use]
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.freshness.stale_if_error = window;
        self
    }

    /// In the RFC profiles, how long a failed origin isn't asked again for a key where a stale response is at hand.
    /// Default: 10 s. In the CloudFront profiles the
    /// [`error_caching_min_ttl`](Self::error_caching_min_ttl) of the status rules.
    #[must_use]
    pub fn stale_retry(mut self, after: Duration) -> Self {
        self.freshness.stale_retry = after;
        self
    }

    /// How long an error is kept (negative caching): CloudFront's `ErrorCachingMinTTL` of one status.
    ///
    /// In the CloudFront profiles it holds for the errors that CloudFront caches (404, 414, 500 to 504; 400, 403, 405, 412
    /// and 415 where they have a `max-age`), and is the least time that they are kept; default 10 s. In the RFC profiles
    /// it is the lifetime of responses with this status that don't state one, also where RFC 9111 section 3 would not have
    /// them stored; default: none. What says `no-store` or `private` isn't stored there.
    ///
    /// # Errors
    ///
    /// Unless the status is a 4xx or 5xx that CloudFront can be told about: not 416, which is never kept.
    pub fn error_caching_min_ttl(
        mut self,
        status: StatusCode,
        ttl: Duration,
    ) -> Result<Self, ConfigError> {
        let is_error = status.is_client_error() || status.is_server_error();
        if !is_error || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(ConfigError::new(
                "error_caching_min_ttl",
                status,
                "a status of 400 to 599, but 416",
            ));
        }
        self.freshness.error_ttls.insert(status.as_u16(), ttl);
        Ok(self)
    }

    /// The response field whose members are the response's tags, by which it can be
    /// [invalidated](crate::invalidation::Invalidation::tag). Default: `Cache-Tag`; `None` for no tags.
    ///
    /// A comma-separated list; white space around a tag doesn't count, nor does case. What isn't 1 to 256 visible ASCII
    /// characters is left out, and so is what comes after the fiftieth. The field reaches viewers as it is. What is stored already keeps
    /// the tags that it was stored with.
    ///
    /// ```
    /// use frontage::CachePolicy;
    /// use http::HeaderName;
    ///
    /// let policy = CachePolicy::default().tag_header(Some(HeaderName::from_static("x-amz-meta-cache-tag")));
    /// ```
    #[must_use]
    pub fn tag_header(mut self, name: Option<HeaderName>) -> Self {
        self.tag_header = name;
        self
    }

    /// The tags of a response.
    pub(crate) fn tagged_by(&self) -> Option<&HeaderName> {
        self.tag_header.as_ref()
    }

    /// What is fetched for a range of something that isn't stored. Default: [`RangeMiss::Forward`].
    #[must_use]
    pub fn on_range_miss(mut self, what: RangeMiss) -> Self {
        self.range_miss = what;
        self
    }

    pub(crate) fn range_miss(&self) -> RangeMiss {
        self.range_miss
    }

    /// For those who share what nobody stores.
    pub(crate) fn coalescing() -> Self {
        Self {
            freshness: FreshnessPolicy::coalescing(),
            ..Self::default()
        }
    }

    /// The same, of which only so much is stored.
    pub(crate) fn keeping(mut self, keeps: Keeps) -> Self {
        self.freshness.keeps = keeps;
        self
    }

    /// How keys are made.
    #[must_use]
    pub fn key_policy(&self) -> &KeyPolicy {
        &self.key
    }

    /// How lifetimes are found.
    #[must_use]
    pub fn freshness(&self) -> &FreshnessPolicy {
        &self.freshness
    }

    pub(crate) fn is_cloudfront(&self) -> bool {
        self.forwarding == Forwarding::Keyed
    }

    /// Whether concurrent requests for one key may share a fetch. CloudFront doesn't where caching is
    /// disabled, nor where cookies are forwarded.
    pub(crate) fn collapses(&self) -> bool {
        let forwards_cookies = *self.key.keyed_cookies() != Cookies::None;
        !(self.freshness.is_disabled() || (self.is_cloudfront() && forwards_cookies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_out_of_order_are_named() {
        let seconds = Duration::from_secs;
        let error = CachePolicy::caching_optimized()
            .ttl(seconds(5), seconds(3), seconds(9))
            .unwrap_err();
        assert_eq!(error.setting(), "ttl");
        assert!(
            error.to_string().contains("min 5 s, default 3 s, max 9 s"),
            "{error}"
        );
        assert!(
            CachePolicy::default()
                .ttl(seconds(5), seconds(0), seconds(9))
                .is_ok()
        );
        assert!(
            CachePolicy::default()
                .ttl(seconds(5), seconds(0), seconds(4))
                .is_err()
        );
    }

    #[test]
    fn collapsing_is_off_where_cloudfront_has_it_off() {
        assert!(CachePolicy::caching_optimized().collapses());
        assert!(!CachePolicy::caching_disabled().collapses());
        assert!(!CachePolicy::use_origin_cache_control_headers().collapses());
        assert!(
            CachePolicy::default()
                .key(KeyPolicy::new().cookies(Cookies::All))
                .collapses()
        );
    }
}
