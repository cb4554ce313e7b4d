//! What the cache did, as a value and as header fields (RFC 9211).

use crate::freshness::{Forward, Refusal};
use http::{HeaderValue, StatusCode};
use std::{
    cell::RefCell,
    fmt::{self, Write},
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

    /// [`header_value`](Self::header_value) of a hit, as this thread made it last for the same second: many objects were
    /// stored for the same time, and a hot one is asked for many times in a second.
    pub(crate) fn hit_value(&self, product: &str) -> Option<HeaderValue> {
        const PLACES: usize = 64;
        thread_local! {
            static MADE: RefCell<[Option<(i64, HeaderValue)>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
        }
        let ttl = self.ttl()?;
        // Within the array by the remainder.
        let place = usize::try_from(ttl.rem_euclid(PLACES as i64)).ok()?;
        MADE.with_borrow_mut(|made| {
            let made = made.get_mut(place)?;
            if let Some((made_for, value)) = made
                && *made_for == ttl
                && is_of(value, product)
            {
                return Some(value.clone());
            }
            let value = self.header_value(None, product)?;
            *made = Some((ttl, value.clone()));
            Some(value)
        })
    }

    /// The member of `Cache-Status` that says this, behind those of the caches upstream.
    pub(crate) fn header_value(
        &self,
        upstream: Option<&HeaderValue>,
        product: &str,
    ) -> Option<HeaderValue> {
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
    pub(crate) fn x_cache(&self, status: StatusCode) -> XCache {
        if status.is_client_error() || status.is_server_error() {
            XCache::Error
        } else if self.hit || self.collapsed {
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

/// Whether a member of `Cache-Status` is this product's.
fn is_of(value: &HeaderValue, product: &str) -> bool {
    let rest = value.as_bytes().strip_prefix(product.as_bytes());
    rest.is_some_and(|rest| rest.starts_with(b";"))
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
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
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

const SMALL: usize = 10_000;

/// The numbers below 10,000, four digits each.
static FOUR_DIGITS: &str = {
    static DIGITS: [u8; 4 * SMALL] = four_digits();
    match std::str::from_utf8(&DIGITS) {
        Ok(digits) => digits,
        // Digits are UTF-8.
        Err(_) => "",
    }
};

const fn four_digits() -> [u8; 4 * SMALL] {
    let mut digits = [b'0'; 4 * SMALL];
    let mut at = 0;
    while at < digits.len() {
        let (number, place) = (at / 4, at % 4);
        let ten = match place {
            0 => number / 1000,
            1 => number / 100,
            2 => number / 10,
            _ => number,
        };
        // Below 10.
        digits[at] += (ten % 10) as u8;
        at += 1;
    }
    digits
}

/// The decimal digits of a number below 10,000.
pub(crate) fn small_decimal(number: u64) -> Option<&'static str> {
    let number = usize::try_from(number)
        .ok()
        .filter(|number| *number < SMALL)?;
    let zeros = usize::from(number < 10) + usize::from(number < 100) + usize::from(number < 1000);
    FOUR_DIGITS.get(4 * number + zeros..4 * number + 4)
}

/// The values of `X-Cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XCache {
    Hit,
    Miss,
    RefreshHit,
    Error,
}

/// The values of `X-Cache` for one product, made once.
#[derive(Clone, Debug)]
pub(crate) struct XCacheValues([HeaderValue; 4]);

impl XCacheValues {
    pub(crate) fn new(product: &str) -> Option<Self> {
        let value = |what: &str| HeaderValue::from_str(&format!("{what} from {product}")).ok();
        Some(Self([
            value("Hit")?,
            value("Miss")?,
            value("RefreshHit")?,
            value("Error")?,
        ]))
    }

    pub(crate) fn get(&self, what: XCache) -> HeaderValue {
        let [hit, miss, refresh_hit, error] = &self.0;
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

    #[test]
    fn the_field_is_as_rfc_9211_has_it() {
        let value = |status: CacheStatus| status.header_value(None, "frontage").unwrap();
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
            .header_value(Some(&upstream), "frontage")
            .unwrap();
        assert_eq!(both, "origin; hit, frontage; hit; ttl=1");
        let long = "x".repeat(200);
        assert_eq!(
            CacheStatus::hit(0).header_value(None, &long).unwrap(),
            format!("{long}; hit; ttl=0")
        );
    }

    #[test]
    fn values_made_before_are_given_again_for_the_same_second_and_product_only() {
        for _ in 0..2 {
            for (ttl, product) in [
                (5_000, "a"),
                (5_999, "a"),
                (69_000, "a"),
                (5_000, "ab"),
                (-5_000, "a"),
            ] {
                let status = CacheStatus::hit(ttl);
                assert_eq!(
                    status.hit_value(product),
                    status.header_value(None, product),
                    "{ttl} {product}"
                );
            }
        }
    }

    #[test]
    fn decimals() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
        for number in 0..10_001 {
            let expected = (number < 10_000).then(|| number.to_string());
            assert_eq!(small_decimal(number).map(str::to_owned), expected);
        }
    }
}
