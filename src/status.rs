//! What the cache did, as a value and as header fields (RFC 9211).

use crate::{
    error::ConfigError,
    freshness::{Forward, Refusal},
};
use http::{HeaderName, HeaderValue, StatusCode};
use std::{
    fmt::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

/// What the cache did with a request.
///
/// Every response that went through a [`Cache`](crate::Cache) carries it as an extension (unless
/// [`CacheLayer::status_extension`](crate::CacheLayer::status_extension) is off), and the same as `Cache-Status`.
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
}

/// Why it came so, where the parameters of RFC 9211 don't say.
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

    const NEITHER: Self = Self {
        hit: false,
        forward: None,
        forward_status: None,
        stored: false,
        collapsed: false,
        ttl: None,
        detail: None,
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
        self.detail
    }

    /// The member of `Cache-Status` that says this, behind those of the caches upstream.
    pub(crate) fn header_value(
        &self,
        upstream: Option<&HeaderValue>,
        product: &Product,
    ) -> Option<HeaderValue> {
        let product = &*product.name;
        let mut text = Text {
            bytes: [0; 160],
            len: 0,
        };
        let written = match upstream {
            // Rare, and of any length.
            Some(upstream) => {
                let mut long = Vec::from(upstream.as_bytes());
                long.extend_from_slice(format!(", {product}{self}").as_bytes());
                return HeaderValue::from_maybe_shared(bytes::Bytes::from(long)).ok();
            }
            None => text.push(product.as_bytes()) && self.write(&mut text),
        };
        if written {
            HeaderValue::from_bytes(&text.bytes[..text.len]).ok()
        } else {
            HeaderValue::from_str(&format!("{product}{self}")).ok()
        }
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
        if let Some(detail) = self.detail {
            write!(f, "; detail={detail}")?;
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
        let value = |status: CacheStatus| status.header_value(None, &product("frontage")).unwrap();
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
            .header_value(Some(&upstream), &product("frontage"))
            .unwrap();
        assert_eq!(both, "origin; hit, frontage; hit; ttl=1");
        let long = "x".repeat(200);
        assert_eq!(
            CacheStatus::hit(0)
                .header_value(None, &product(&long))
                .unwrap(),
            format!("{long}; hit; ttl=0")
        );
    }

    #[test]
    fn decimals() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
