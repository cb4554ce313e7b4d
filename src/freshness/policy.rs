//! The settings of the evaluator.

use crate::headers::RequestFacts;
use std::time::Duration;

const YEAR: Duration = Duration::from_secs(31_536_000);

/// Whose rules decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// RFC 9111, as a shared cache.
    Rfc,
    /// CloudFront's table of TTLs.
    CloudFront,
}

/// The settings of [`storable`](super::storable) and [`assess`](super::assess).
///
/// Made by the profiles of [`CachePolicy`](crate::CachePolicy); its setters change it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct FreshnessPolicy {
    pub(crate) rules: Rules,
    pub(crate) min_ttl: Duration,
    pub(crate) default_ttl: Duration,
    pub(crate) max_ttl: Duration,
    /// 10 % of the time since `Last-Modified`, where nothing explicit is said.
    pub(crate) heuristic: bool,
    /// An answer with `Set-Cookie` may be stored.
    pub(crate) store_set_cookie: bool,
    /// `Cookie` in a request counts like `Authorization`, and only `public` and `s-maxage` lift the ban.
    pub(crate) cookies_are_credentials: bool,
    /// The request's `Cache-Control` and `Pragma` count.
    pub(crate) request_directives: bool,
    /// `private` forbids storing whatever the minimum TTL says.
    pub(crate) honor_private: bool,
    /// How long an error is kept that CloudFront caches (`ErrorCachingMinTTL`).
    pub(crate) error_min_ttl: Duration,
}

impl FreshnessPolicy {
    /// RFC 9111 to the letter.
    #[must_use]
    pub fn rfc9111() -> Self {
        Self {
            rules: Rules::Rfc,
            min_ttl: Duration::ZERO,
            default_ttl: Duration::ZERO,
            max_ttl: 100 * YEAR,
            heuristic: true,
            store_set_cookie: true,
            cookies_are_credentials: false,
            request_directives: true,
            honor_private: true,
            error_min_ttl: Duration::ZERO,
        }
    }

    /// CloudFront's rules with these TTLs.
    #[must_use]
    pub fn cloudfront(min: Duration, default: Duration, max: Duration) -> Self {
        Self {
            rules: Rules::CloudFront,
            min_ttl: min,
            default_ttl: default,
            max_ttl: max,
            heuristic: false,
            store_set_cookie: true,
            cookies_are_credentials: false,
            request_directives: false,
            honor_private: false,
            error_min_ttl: Duration::from_secs(10),
        }
    }

    /// Whether a request may lead a fetch that others join: not where its answer may well be its own only.
    pub(crate) fn may_lead(&self, request: &RequestFacts) -> bool {
        match self.rules {
            Rules::CloudFront => true,
            Rules::Rfc => {
                !(request.authorization
                    || (request.cookie && self.cookies_are_credentials)
                    || (request.directives.no_store && self.request_directives))
            }
        }
    }

    /// Whether a request asks for an answer from the origin, and that counts.
    pub(crate) fn asks_to_reload(&self, request: &RequestFacts) -> bool {
        self.request_directives && request.asks_to_reload()
    }

    /// Whether a request asks for a stored answer or none, and that counts.
    pub(crate) fn asks_only_if_cached(&self, request: &RequestFacts) -> bool {
        self.request_directives && request.directives.only_if_cached
    }

    /// Whether an answer to an unsafe method invalidates what is stored for its target (RFC 9111 section 4.4).
    pub(crate) fn unsafe_methods_invalidate(&self) -> bool {
        self.rules == Rules::Rfc
    }

    /// Whether the answer may depend on what `Vary` names. CloudFront looks at its key only.
    pub(crate) fn vary_counts(&self) -> bool {
        self.rules == Rules::Rfc
    }

    /// Whether nothing is ever stored, nor collapsed: CloudFront's `CachingDisabled`.
    pub(crate) fn is_disabled(&self) -> bool {
        self.rules == Rules::CloudFront && self.max_ttl.is_zero()
    }
}

/// RFC 9111, and the safe choice wherever it leaves room: no heuristics, nothing with `Set-Cookie`, and cookies in a
/// request count as credentials.
impl Default for FreshnessPolicy {
    fn default() -> Self {
        Self {
            heuristic: false,
            store_set_cookie: false,
            cookies_are_credentials: true,
            ..Self::rfc9111()
        }
    }
}

/// Milliseconds, saturating.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
