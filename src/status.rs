//! What the cache did, as a value and as header fields (RFC 9211).
//!
//! A [`CacheStatus`] is said in three places, and they agree: the field `Cache-Status`, an extension of the response, and the
//! event `answered` (`tracing`, level debug), which has the same text as `status`, and the `key`. There is one event for each answer, and
//! one for each refresh behind an answer.
//!
//! # Reasons, and what to do about them
//!
//! `fwd`, a [`Forward`]: why the request went to the inner service.
//!
//! | said | why | what to do |
//! |---|---|---|
//! | `fwd=bypass` | Not the cache's business: an upgrade, a body, two `Host` lines, `If-Match` or `If-Unmodified-Since`, no path, a fetch of this very cache, or what `bypass_if` names. | If it wasn't meant: look at [`bypass_if`](crate::CacheLayer::bypass_if), and at what the client sends. |
//! | `fwd=method` | Neither `GET` nor `HEAD`. | Nothing: an unsafe method that succeeds invalidates what is stored for its target. |
//! | `fwd=uri-miss` | Nothing is stored under the key. | If it repeats: the `detail` says why nothing is stored. If there is none, compare the keys ([`cache_status_key`](crate::CacheLayer::cache_status_key)), and see whether the store is too small ([`MemoryStore::usage`](crate::MemoryStore::usage)). |
//! | `fwd=vary-miss` | What is stored is for requests that `Vary` keeps apart from this one. | Name fewer fields in `Vary`, or fields of fewer values; raise [`max_variants`](crate::CacheCoreBuilder::max_variants). |
//! | `fwd=miss` | What is stored was invalidated: by an [`Invalidator`](crate::invalidation::Invalidator), hard, or by an unsafe method. | Nothing. A soft invalidation keeps it to be confirmed, and to stand in for an error. |
//! | `fwd=request` | What is stored is fresh, but the request asks for more: `no-cache`, `max-age`, `min-fresh`, `Pragma`. | If viewers may not: [`honor_request_directives(false)`](crate::CachePolicy::honor_request_directives). |
//! | `fwd=stale` | What is stored is stale, or must be confirmed at each use (`no-cache`). | Give it a longer `max-age`, or a `stale-while-revalidate` so that nobody waits; with a validator (`ETag`) it is confirmed in place of sent anew. |
//! | `fwd=partial` | Only a part of what was asked for is stored. | Nothing. |
//!
//! A stale answer without a word to the inner service is a hit; its `ttl` is then 0 or negative.
//!
//! | said | why | what to do |
//! |---|---|---|
//! | `hit` | What is stored is fresh; or it is stale, and the request allows that (`max-stale`). | If viewers may not: `honor_request_directives(false)`, or `must-revalidate` in the response. |
//!
//! `detail`, a [`Detail`]: what else there is to say. The first sixteen are rules by which nothing is stored, each a [`Refusal`].
//!
//! | said | why | what to do |
//! |---|---|---|
//! | `detail=disabled` | The policy stores nothing. | Choose another [`CachePolicy`](crate::CachePolicy). |
//! | `detail=method` | The answer to this method isn't stored: it isn't `GET`, nor a `POST` that says for how long. | Nothing. |
//! | `detail=request-no-store` | The request says `no-store`. | If viewers may not: `honor_request_directives(false)`. |
//! | `detail=authorization` | The request has `Authorization`, and the response doesn't say that others may have it. | If it is for all: `public` or `s-maxage` in the response. |
//! | `detail=cookie` | The request has `Cookie`, and the response doesn't say that others may have it. | The same; or don't send cookies for this path. [`rfc9111()`](crate::CachePolicy::rfc9111) gives cookies no meaning. |
//! | `detail=status` | This status isn't stored: 1xx, 304, an unknown one with `must-understand`, or one that CloudFront doesn't keep; or a 206 that nobody asked for, or whose `Content-Range` doesn't say which one range of how many bytes it is. | For errors: a lifetime in the response, or [`error_caching_min_ttl`](crate::CachePolicy::error_caching_min_ttl). |
//! | `detail=no-store` | The response says `no-store`. | Take it out if it isn't meant for this cache, or overrule it by `CDN-Cache-Control`. |
//! | `detail=private` | The response says `private`. | The same. |
//! | `detail=set-cookie` | The response has `Set-Cookie`. | Don't set cookies on what is for all, or say `no-cache="set-cookie"`: then it is stored without them. |
//! | `detail=vary-any` | The response has `Vary: *`. | Name the fields that count. |
//! | `detail=no-lifetime` | Nothing says for how long it may be used, and it can't be confirmed. | `max-age` or `s-maxage` in the response, a validator, or a default in the policy ([`ttl`](crate::CachePolicy::ttl)). |
//! | `detail=stale` | It is stale on arrival, and can't be confirmed. | Look at its `max-age`, `Expires`, `Age` and `Date`; give it a validator. |
//! | `detail=good-at-hand` | It is an error or a part, and a better response is stored that is still of use to others. | Nothing: a request insisted, and met an inner service in trouble, or asked for a part of what is there. |
//! | `detail=error` | It is an error, and this is an [origin shield](crate::origin::OriginShieldLayer): it shares errors with those who wait for them, and stores none. | Nothing: the caches above may store it. |
//! | `detail=stores-nothing` | This is a [`CoalesceLayer`](crate::CoalesceLayer), which shares an answer with those who wait for it, and stores none. | Nothing; a [`CacheLayer`](crate::CacheLayer) in its place stores. |
//! | `detail=block` | A block was asked for ([`BlockLayer`](crate::blocks::BlockLayer)), and what came isn't just that, or has no strong validator: it is fetched whole from now on. | A strong `ETag`; ranges exactly as they are asked for. |
//! | `detail=transfer-coding` | The body has a transfer coding, such as `gzip`, that the inner service didn't take off; it goes on with its `Transfer-Encoding`. | Have the inner service ask for none by `TE`, or take it off; an `Origin` answers with a 502. |
//! | `detail=no-room` | It is too large for the store, or the store is full of what is being written or sent. | A larger [`MemoryStore`](crate::MemoryStore), or a higher [`max_object`](crate::store::MemoryStoreBuilder::max_object). |
//! | `detail=uncacheable` | The last answer for the key wasn't stored: for two minutes requests don't wait for each other. | Look at the `detail` of the first one. |
//! | `detail=revalidated` | The inner service confirmed what is stored. | Nothing: that is what validators are for. |
//! | `detail=stale-while-revalidate` | It is stale, and refreshed behind this answer, if there is room for another fetch. | Nothing. If it repeats for one key: the refresh takes long. |
//! | `detail=stale-if-error` | It is stale, and stands in for an inner service that fails (`fwd-status`), failed a moment ago, or answered with a 304 of another version. | Mend the inner service. [`stale_retry`](crate::CachePolicy::stale_retry) says when it is asked again. |
//! | `detail=fetch-failed` | The inner service failed, panicked, took too long or answered with a 304 of another version, and nothing could stand in. | Mend it; a `stale-if-error` in its responses bridges the gap; [`fetch_timeout`](crate::CacheCoreBuilder::fetch_timeout) is the longest wait. |
//! | `detail=only-if-cached` | The request asks for a stored answer only, and there is none: a 504, and the inner service isn't asked. | Nothing. |
//! | `detail=origin-shield-hit` | An origin shield between this cache and the origin had it stored, and there is nothing else to say. | Nothing. |
//! | `detail=too-many-fetches` | As many fetches are under way as may be: this one runs alone and isn't stored; or, without `fwd`, it waited as long as it may, and is a 503 with `Retry-After`. | Raise [`max_fetches`](crate::CacheCoreBuilder::max_fetches), or find out why the inner service is slow. |

use crate::{
    error::ConfigError,
    freshness::{Forward, Refusal},
    key::CacheKey,
};
use http::{HeaderName, HeaderValue, StatusCode};
use std::{
    fmt::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

/// What the cache did with a request.
///
/// Every response that went through a [`Cache`](crate::Cache) carries it as an extension (unless
/// [`CacheLayer::status_extension`](crate::CacheLayer::status_extension) is off), and the same as `Cache-Status`. The
/// [module](self) says what each reason means, and what to do about it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use frontage::{CacheLayer, CacheStatus, MemoryStore};
/// use tower::ServiceExt;
///
/// let app = Router::new()
///     .route("/", get(|| async { ([("cache-control", "max-age=60")], "hello") }))
///     .layer(CacheLayer::new(MemoryStore::new(1 << 20)));
/// let ask = || Request::get("/").body(Body::empty()).unwrap();
/// let response = app.clone().oneshot(ask()).await?;
/// assert!(!response.extensions().get::<CacheStatus>().unwrap().is_hit());
/// axum::body::to_bytes(response.into_body(), 100).await?;
/// let response = app.oneshot(ask()).await?;
/// assert!(response.extensions().get::<CacheStatus>().unwrap().is_hit());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    pub(crate) hit: bool,
    pub(crate) forward: Option<Forward>,
    pub(crate) forward_status: Option<StatusCode>,
    pub(crate) stored: bool,
    pub(crate) collapsed: bool,
    /// Milliseconds.
    pub(crate) ttl: Option<i64>,
    pub(crate) detail: Option<Detail>,
    pub(crate) origin_shield_hit: bool,
}

/// An extension of responses: an origin shield answered from what it has stored, without the origin.
///
/// An [`OriginShieldLayer`](crate::origin::OriginShieldLayer) puts it on its hits, and an `Origin` with remote shields on theirs. A
/// cache above says so of what it fetched: [`CacheStatus::is_origin_shield_hit`]. It is CloudFront's `OriginShieldHit`, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginShieldHit;

/// Why it came so, where the parameters of RFC 9211 don't say. The [module](self) says what to do about each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// The response isn't stored.
    NotStored(Refusal),
    /// The response is too large for the store, or the store has no room.
    NoRoom,
    /// The key is remembered as one whose responses aren't stored.
    Uncacheable,
    /// The stored response was confirmed by the origin.
    Revalidated,
    /// The response is stale; it is used while it is refreshed.
    StaleWhileRevalidate,
    /// The response is stale; it stands in for an origin that fails, or failed a moment ago.
    StaleIfError,
    /// The inner service failed, panicked or took too long.
    FetchFailed,
    /// The request asks for a stored response only, and there is none.
    OnlyIfCached,
    /// Too many fetches are under way for another to be shared and stored.
    TooManyFetches,
    /// An origin shield answered from what it has stored.
    OriginShieldHit,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStored(refusal) => refusal.as_str(),
            Self::NoRoom => "no-room",
            Self::Uncacheable => "uncacheable",
            Self::Revalidated => "revalidated",
            Self::StaleWhileRevalidate => "stale-while-revalidate",
            Self::StaleIfError => "stale-if-error",
            Self::FetchFailed => "fetch-failed",
            Self::OnlyIfCached => "only-if-cached",
            Self::TooManyFetches => "too-many-fetches",
            Self::OriginShieldHit => "origin-shield-hit",
        })
    }
}

impl CacheStatus {
    pub(crate) fn hit(ttl: i64) -> Self {
        Self {
            hit: true,
            ttl: Some(ttl),
            ..Self::NEITHER
        }
    }

    pub(crate) fn forwarded(forward: Forward) -> Self {
        Self {
            forward: Some(forward),
            ..Self::NEITHER
        }
    }

    /// Neither a hit nor forwarded: a response of the cache's own.
    pub(crate) const NEITHER: Self = Self {
        hit: false,
        forward: None,
        forward_status: None,
        stored: false,
        collapsed: false,
        ttl: None,
        detail: None,
        origin_shield_hit: false,
    };

    /// Whether a stored response answered without the inner service.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.hit
    }

    /// Why the request went to the inner service, if it did.
    #[must_use]
    pub fn forward(&self) -> Option<Forward> {
        self.forward
    }

    /// The status that came back from the inner service, where it isn't that of the response.
    #[must_use]
    pub fn forward_status(&self) -> Option<StatusCode> {
        self.forward_status
    }

    /// Whether the response is being stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// Whether another request's fetch answered this one, too.
    #[must_use]
    pub fn is_collapsed(&self) -> bool {
        self.collapsed
    }

    /// For how many more seconds the response is fresh; negative since it became stale.
    #[must_use]
    pub fn ttl(&self) -> Option<i64> {
        self.ttl.map(|millis| millis.div_euclid(1000))
    }

    /// Why it came so.
    #[must_use]
    pub fn detail(&self) -> Option<Detail> {
        let shield = self.origin_shield_hit.then_some(Detail::OriginShieldHit);
        self.detail.or(shield)
    }

    /// Whether the request was forwarded, and an origin shield answered it from what it has stored: CloudFront's
    /// `OriginShieldHit`. [`detail`](Self::detail) says so where there is nothing else to say.
    #[must_use]
    pub fn is_origin_shield_hit(&self) -> bool {
        self.origin_shield_hit
    }

    /// The member of `Cache-Status` that says this, behind those of the caches upstream, and with the key if it is to be said.
    pub(crate) fn header_value(
        &self,
        upstream: Option<&HeaderValue>,
        product: &Product,
        key: Option<&CacheKey>,
    ) -> Option<HeaderValue> {
        let product = &*product.name;
        if upstream.is_none() && key.is_none() {
            let mut text = Text {
                bytes: [0; 160],
                len: 0,
            };
            if text.push(product.as_bytes()) && self.write(&mut text) {
                return HeaderValue::from_bytes(&text.bytes[..text.len]).ok();
            }
        }
        // Rare, and of any length.
        let mut long = Vec::new();
        if let Some(upstream) = upstream {
            long.extend_from_slice(upstream.as_bytes());
            long.extend_from_slice(b", ");
        }
        long.extend_from_slice(format!("{product}{self}").as_bytes());
        if let Some(key) = key {
            long.extend_from_slice(key_parameter(key).as_bytes());
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(long)).ok()
    }

    /// A hit, of which there is nothing else to say.
    #[inline]
    pub(crate) fn is_plain_hit(&self) -> bool {
        self.hit
            && self.forward.is_none()
            && !self.collapsed
            && !self.stored
            && self.forward_status.is_none()
            && self.detail.is_none()
            && !self.origin_shield_hit
    }

    /// Formatting without `format!`: this is on the hit's path.
    fn write(&self, text: &mut Text) -> bool {
        if self.is_plain_hit() {
            return match self.ttl() {
                Some(ttl) => text.push(b"; hit; ttl=") && text.number(ttl),
                None => text.push(b"; hit"),
            };
        }
        write!(text, "{self}").is_ok()
    }

    /// What `X-Cache` says, without the product.
    #[inline]
    pub(crate) fn x_cache(&self, status: StatusCode) -> XCache {
        if status.is_client_error() || status.is_server_error() {
            XCache::Error
        } else if self.hit || self.collapsed || self.detail == Some(Detail::StaleIfError) {
            XCache::Hit
        } else if self.detail == Some(Detail::Revalidated) {
            XCache::RefreshHit
        } else {
            XCache::Miss
        }
    }
}

/// The parameters, each with its `; ` in front.
impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hit {
            f.write_str("; hit")?;
        }
        if let Some(forward) = self.forward {
            write!(f, "; fwd={}", forward.as_str())?;
        }
        if let Some(status) = self.forward_status {
            write!(f, "; fwd-status={}", status.as_u16())?;
        }
        if let Some(ttl) = self.ttl() {
            write!(f, "; ttl={ttl}")?;
        }
        if self.stored {
            f.write_str("; stored")?;
        }
        if self.collapsed {
            f.write_str("; collapsed")?;
        }
        if let Some(detail) = self.detail() {
            write!(f, "; detail={detail}")?;
        }
        Ok(())
    }
}

/// The `key` parameter (RFC 9211 section 2.8), with its `; ` in front.
fn key_parameter(key: &CacheKey) -> String {
    let mut quoted = Quoted(String::from("; key=\""));
    let fits = write!(quoted, "{key}").is_ok();
    quoted.0.push_str(if fits { "\"" } else { "...\"" });
    quoted.0
}

/// How many bytes of a key are said.
const MAX_KEY: usize = 1024;

/// An sf-string (RFC 8941 section 3.3.3) as it grows, up to [`MAX_KEY`] bytes. A key prints as ASCII alone.
struct Quoted(String);

impl Write for Quoted {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if self.0.len() >= MAX_KEY {
                return Err(fmt::Error);
            }
            if matches!(char, '"' | '\\') {
                self.0.push('\\');
            }
            self.0.push(char);
        }
        Ok(())
    }
}

struct Text {
    bytes: [u8; 160],
    len: usize,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) -> bool {
        let end = self.len + bytes.len();
        let Some(room) = self.bytes.get_mut(self.len..end) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.len = end;
        true
    }

    fn number(&mut self, number: i64) -> bool {
        (number >= 0 || self.push(b"-")) && self.push(decimal(number.unsigned_abs(), &mut [0; 20]))
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.push(text.as_bytes()) {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// The decimal digits of a number.
pub(crate) fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        // Below 10.
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// The values of `X-Cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XCache {
    Hit,
    Miss,
    RefreshHit,
    Error,
}

/// The name that `Cache-Status` and `X-Cache` speak of.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    name: Box<str>,
    /// Tells it from others without comparing names.
    id: u64,
    x_cache: [HeaderValue; 4],
}

impl Default for Product {
    fn default() -> Self {
        Self {
            name: "frontage".into(),
            id: 0,
            x_cache: [
                HeaderValue::from_static("Hit from frontage"),
                HeaderValue::from_static("Miss from frontage"),
                HeaderValue::from_static("RefreshHit from frontage"),
                HeaderValue::from_static("Error from frontage"),
            ],
        }
    }
}

impl Product {
    pub(crate) fn new(name: &str) -> Result<Self, ConfigError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let wanted = "a token of at most 64 bytes that starts with a letter";
        let error = || ConfigError::new("product", name, wanted);
        let is_token = HeaderName::from_bytes(name.as_bytes()).is_ok()
            && name.starts_with(|first: char| first.is_ascii_alphabetic());
        if !is_token || name.len() > 64 {
            return Err(error());
        }
        let x_cache =
            |what: &str| HeaderValue::try_from(format!("{what} from {name}")).map_err(|_| error());
        Ok(Self {
            name: name.into(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            x_cache: [
                x_cache("Hit")?,
                x_cache("Miss")?,
                x_cache("RefreshHit")?,
                x_cache("Error")?,
            ],
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    #[inline]
    pub(crate) fn x_cache(&self, what: XCache) -> HeaderValue {
        let [hit, miss, refresh_hit, error] = &self.x_cache;
        match what {
            XCache::Hit => hit,
            XCache::Miss => miss,
            XCache::RefreshHit => refresh_hit,
            XCache::Error => error,
        }
        .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(name: &str) -> Product {
        Product {
            name: name.into(),
            ..Product::default()
        }
    }

    #[test]
    fn the_field_is_as_rfc_9211_has_it() {
        let value = |status: CacheStatus| {
            status
                .header_value(None, &product("frontage"), None)
                .unwrap()
        };
        assert_eq!(value(CacheStatus::hit(376_999)), "frontage; hit; ttl=376");
        assert_eq!(value(CacheStatus::hit(-1)), "frontage; hit; ttl=-1");
        let mut status = CacheStatus::forwarded(Forward::Stale);
        status.forward_status = Some(StatusCode::NOT_MODIFIED);
        status.ttl = Some(60_000);
        status.stored = true;
        status.collapsed = true;
        status.detail = Some(Detail::NotStored(Refusal::NoStore));
        let text =
            "frontage; fwd=stale; fwd-status=304; ttl=60; stored; collapsed; detail=no-store";
        assert_eq!(value(status), text);
        let upstream = HeaderValue::from_static("origin; hit");
        let both = CacheStatus::hit(1000)
            .header_value(Some(&upstream), &product("frontage"), None)
            .unwrap();
        assert_eq!(both, "origin; hit, frontage; hit; ttl=1");
        let long = "x".repeat(200);
        assert_eq!(
            CacheStatus::hit(0)
                .header_value(None, &product(&long), None)
                .unwrap(),
            format!("{long}; hit; ttl=0")
        );
    }

    /// Every part of a key that a byte can stand in: each has it three times.
    fn key_with(byte: u8) -> CacheKey {
        let part = |tag: u8| [tag, 0, 0, 0, 3, byte, byte, byte];
        CacheKey::from_bytes(&[3, 4, 5, 6, 7].map(part).concat())
    }

    /// What an sf-string says (RFC 8941 section 4.2.5).
    fn unquoted(quoted: &str) -> String {
        let inner = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let mut chars = inner.unwrap().chars();
        let mut said = String::new();
        while let Some(char) = chars.next() {
            assert!(matches!(char, ' '..='~') && char != '"', "{quoted}");
            said.push(match char {
                '\\' => chars
                    .next()
                    .filter(|next| matches!(next, '"' | '\\'))
                    .unwrap(),
                _ => char,
            });
        }
        said
    }

    #[test]
    fn the_key_is_an_sf_string_whatever_is_in_it() {
        for byte in 0..=255 {
            let key = key_with(byte);
            let value = CacheStatus::hit(0).header_value(None, &product("a"), Some(&key));
            let value = value.unwrap();
            let said = value.to_str().unwrap();
            let quoted = said.strip_prefix("a; hit; ttl=0; key=").unwrap();
            assert_eq!(unquoted(quoted), key.to_string());
        }
        let upstream = HeaderValue::from_static("origin; hit");
        let key = CacheKey::from_bytes(&[4, 0, 0, 0, 2, b'/', b'"']);
        let both = CacheStatus::hit(0).header_value(Some(&upstream), &product("a"), Some(&key));
        let expected = r#"origin; hit, a; hit; ttl=0; key="/\\\"""#;
        assert_eq!(both.unwrap(), expected);
    }

    #[test]
    fn a_long_key_is_cut() {
        let key = |length: usize, byte| {
            let mut part = vec![4];
            part.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
            part.extend(std::iter::repeat_n(byte, length));
            key_parameter(&CacheKey::from_bytes(&part))
        };
        let fits = MAX_KEY - "; key=\"".len();
        assert_eq!(key(fits, b'x'), format!("; key=\"{}\"", "x".repeat(fits)));
        assert_eq!(
            key(fits + 1, b'x'),
            format!("; key=\"{}...\"", "x".repeat(fits))
        );
        for byte in [b'x', b'"', 0] {
            let said = key(60_000, byte);
            assert!(said.len() < MAX_KEY + 10 && said.ends_with("...\""));
            assert!(!unquoted(&said["; key=".len()..]).is_empty());
        }
    }

    /// Each `Forward`, from none: a new one doesn't compile until it is listed.
    fn next_forward(after: Option<Forward>) -> Option<Forward> {
        use Forward::{Bypass, Method, Miss, Partial, Request, Stale, UriMiss, VaryMiss};
        match after {
            None => Some(Bypass),
            Some(Bypass) => Some(Method),
            Some(Method) => Some(UriMiss),
            Some(UriMiss) => Some(VaryMiss),
            Some(VaryMiss) => Some(Miss),
            Some(Miss) => Some(Request),
            Some(Request) => Some(Stale),
            Some(Stale) => Some(Partial),
            Some(Partial) => None,
        }
    }

    /// Each `Refusal`, likewise.
    fn next_refusal(after: Option<Refusal>) -> Option<Refusal> {
        use Refusal::{
            Authorization, Block, Cookie, Disabled, Error, GoodAtHand, Method, NoLifetime, NoStore,
            Private, RequestNoStore, SetCookie, Stale, Status, StoresNothing, TransferCoding,
            VaryAny,
        };
        match after {
            None => Some(Disabled),
            Some(Disabled) => Some(Method),
            Some(Method) => Some(RequestNoStore),
            Some(RequestNoStore) => Some(Authorization),
            Some(Authorization) => Some(Cookie),
            Some(Cookie) => Some(Status),
            Some(Status) => Some(NoStore),
            Some(NoStore) => Some(Private),
            Some(Private) => Some(SetCookie),
            Some(SetCookie) => Some(VaryAny),
            Some(VaryAny) => Some(NoLifetime),
            Some(NoLifetime) => Some(Stale),
            Some(Stale) => Some(GoodAtHand),
            Some(GoodAtHand) => Some(Error),
            Some(Error) => Some(StoresNothing),
            Some(StoresNothing) => Some(Block),
            Some(Block) => Some(TransferCoding),
            Some(TransferCoding) => None,
        }
    }

    /// Each `Detail`, likewise.
    fn next_detail(after: Option<Detail>) -> Option<Detail> {
        use Detail::{
            FetchFailed, NoRoom, NotStored, OnlyIfCached, OriginShieldHit, Revalidated,
            StaleIfError, StaleWhileRevalidate, TooManyFetches, Uncacheable,
        };
        match after {
            None => next_refusal(None).map(NotStored),
            Some(NotStored(refusal)) => Some(next_refusal(Some(refusal)).map_or(NoRoom, NotStored)),
            Some(NoRoom) => Some(Uncacheable),
            Some(Uncacheable) => Some(Revalidated),
            Some(Revalidated) => Some(StaleWhileRevalidate),
            Some(StaleWhileRevalidate) => Some(StaleIfError),
            Some(StaleIfError) => Some(FetchFailed),
            Some(FetchFailed) => Some(OnlyIfCached),
            Some(OnlyIfCached) => Some(TooManyFetches),
            Some(TooManyFetches) => Some(OriginShieldHit),
            Some(OriginShieldHit) => None,
        }
    }

    #[test]
    fn every_reason_is_in_the_table_once_with_what_to_do_about_it() {
        let forwards = std::iter::successors(next_forward(None), |last| next_forward(Some(*last)));
        let details = std::iter::successors(next_detail(None), |last| next_detail(Some(*last)));
        let mut expected: Vec<String> = forwards
            .map(|forward| format!("fwd={}", forward.as_str()))
            .chain(details.map(|detail| format!("detail={detail}")))
            .chain(["hit".to_owned()])
            .collect();
        let rows = include_str!("status.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"));
        let mut told: Vec<String> = rows
            .map(|row| {
                let (said, rest) = row.split_once("` | ").unwrap();
                let (why, to_do) = rest.split_once(" | ").unwrap();
                assert!(why.ends_with('.') && to_do.ends_with(". |"), "{row}");
                said.to_owned()
            })
            .collect();
        expected.sort();
        told.sort();
        assert_eq!(told, expected);
    }

    #[test]
    fn decimals() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
