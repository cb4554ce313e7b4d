//! The settings of the evaluator.

use super::Refusal;
use crate::{
    headers::{RequestFacts, ResponseDirectives},
    key::ListOrder,
};
use http::{HeaderMap, HeaderName, StatusCode, header::CDN_CACHE_CONTROL};
use std::{collections::BTreeMap, time::Duration};

/// CloudFront's default.
const ERROR_CACHING_MIN_TTL: Duration = Duration::from_secs(10);
const YEAR: Duration = Duration::from_secs(31_536_000);

/// Whose rules decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// RFC 9111, as a shared cache.
    Rfc,
    /// CloudFront's table of TTLs.
    CloudFront,
}

/// What is stored of what may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// All.
    Everything,
    /// All but what has a status of 400 or above: an origin shield.
    NoErrors,
    /// Nothing: it is shared with those who wait for it, and no more.
    Nothing,
}

impl Keeps {
    /// Why a response that may be stored isn't all the same.
    pub(super) fn refuses(self, status: StatusCode) -> Option<Refusal> {
        let is_error = status.is_client_error() || status.is_server_error();
        match self {
            Self::Everything => None,
            Self::NoErrors => is_error.then_some(Refusal::Error),
            Self::Nothing => Some(Refusal::StoresNothing),
        }
    }
}

/// The settings of [`storable`](super::storable) and [`assess`](super::assess).
///
/// Made by the profiles of [`CachePolicy`](crate::CachePolicy); its setters change it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct FreshnessPolicy {
    pub(crate) rules: Rules,
    pub(crate) keeps: Keeps,
    pub(crate) min_ttl: Duration,
    pub(crate) default_ttl: Duration,
    pub(crate) max_ttl: Duration,
    /// 10 % of the time since `Last-Modified`, where nothing explicit is said.
    pub(crate) heuristic: bool,
    /// An answer with `Set-Cookie` may be stored.
    pub(crate) store_set_cookie: bool,
    /// `Cookie` in a request counts like `Authorization`, and only `public` and `s-maxage` lift the ban.
    pub(crate) cookies_are_credentials: bool,
    /// Whether the order of ranked members counts where `Vary` names their field.
    pub(crate) list_order: ListOrder,
    /// The request's `Cache-Control` and `Pragma` count.
    pub(crate) request_directives: bool,
    /// The fields that rule in place of `Cache-Control` and `Expires`, the first first (RFC 9213).
    pub(crate) targeted_fields: Vec<HeaderName>,
    /// `private` forbids storing whatever the minimum TTL says.
    pub(crate) honor_private: bool,
    /// For how long a response may be used stale while it is refreshed, where it doesn't say.
    pub(crate) stale_while_revalidate: Duration,
    /// For how long a response may be used stale in place of an error, where it doesn't say.
    pub(crate) stale_if_error: Duration,
    /// How long a failing origin isn't asked again where something stale stands in.
    pub(crate) stale_retry: Duration,
    /// How long an error is kept that CloudFront caches (`ErrorCachingMinTTL`), where `error_ttls` doesn't say.
    pub(crate) error_min_ttl: Duration,
    /// `ErrorCachingMinTTL` by status; in the RFC's rules the lifetime of errors that state none.
    pub(crate) error_ttls: BTreeMap<u16, Duration>,
}

impl FreshnessPolicy {
    /// RFC 9111 to the letter.
    #[must_use]
    pub fn rfc9111() -> Self {
        Self {
            rules: Rules::Rfc,
            keeps: Keeps::Everything,
            min_ttl: Duration::ZERO,
            default_ttl: Duration::ZERO,
            max_ttl: 100 * YEAR,
            heuristic: true,
            store_set_cookie: true,
            cookies_are_credentials: false,
            list_order: ListOrder::Insignificant,
            request_directives: true,
            targeted_fields: vec![CDN_CACHE_CONTROL],
            honor_private: true,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            stale_retry: ERROR_CACHING_MIN_TTL,
            error_min_ttl: Duration::ZERO,
            error_ttls: BTreeMap::new(),
        }
    }

    /// CloudFront's rules with these TTLs.
    #[must_use]
    pub fn cloudfront(min: Duration, default: Duration, max: Duration) -> Self {
        Self {
            rules: Rules::CloudFront,
            keeps: Keeps::Everything,
            min_ttl: min,
            default_ttl: default,
            max_ttl: max,
            heuristic: false,
            store_set_cookie: true,
            cookies_are_credentials: false,
            list_order: ListOrder::Significant,
            request_directives: false,
            targeted_fields: Vec::new(),
            honor_private: false,
            stale_while_revalidate: Duration::ZERO,
            // As far as the maximum TTL, which bounds every window.
            stale_if_error: Duration::MAX,
            stale_retry: ERROR_CACHING_MIN_TTL,
            error_min_ttl: ERROR_CACHING_MIN_TTL,
            error_ttls: BTreeMap::new(),
        }
    }

    /// What may be shared by those who wait for it, where nothing is stored: what could be stored by the default, and what says
    /// nothing of how long it may be used. What a request asks of caches is left to them.
    pub(crate) fn coalescing() -> Self {
        Self {
            keeps: Keeps::Nothing,
            default_ttl: YEAR,
            request_directives: false,
            ..Self::default()
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

    /// Whether a request forbids that its answer is stored, and that counts.
    pub(crate) fn asks_not_to_store(&self, request: &RequestFacts) -> bool {
        self.request_directives && request.directives.no_store
    }

    /// Whether a request asks for an answer from the origin, and that counts.
    pub(crate) fn asks_to_reload(&self, request: &RequestFacts) -> bool {
        self.request_directives && request.asks_to_reload()
    }

    /// Whether a request asks for a stored answer or none, and that counts.
    pub(crate) fn asks_only_if_cached(&self, request: &RequestFacts) -> bool {
        self.request_directives && request.directives.only_if_cached
    }

    /// Whether an answer to a `HEAD` updates what is stored for a `GET` (RFC 9111 section 4.3.5).
    pub(crate) fn heads_update(&self) -> bool {
        self.rules == Rules::Rfc
    }

    /// Whether an answer to an unsafe method invalidates what is stored for its target (RFC 9111 section 4.4).
    pub(crate) fn unsafe_methods_invalidate(&self) -> bool {
        self.rules == Rules::Rfc
    }

    /// How the fields that `Vary` names are compared.
    pub(crate) fn list_order(&self) -> ListOrder {
        self.list_order
    }

    /// Whether the answer may depend on what `Vary` names. CloudFront looks at its key only.
    pub(crate) fn vary_counts(&self) -> bool {
        self.rules == Rules::Rfc
    }

    /// Whether `Vary: *` keeps a response from being stored. CloudFront's minimum TTL overrides it.
    pub(crate) fn heeds_vary_any(&self) -> bool {
        self.rules == Rules::Rfc || self.min_ttl.is_zero()
    }

    /// What a response says, and whether a targeted field says it: `Expires` then doesn't count.
    pub(super) fn directives(&self, response: &HeaderMap) -> (ResponseDirectives, bool) {
        ResponseDirectives::selected(response, &self.targeted_fields)
    }

    /// Whether an answer is an error that something stale may stand in for (RFC 5861 section 4; CloudFront: any 5xx).
    pub(crate) fn is_failure(&self, status: StatusCode) -> bool {
        match self.rules {
            Rules::Rfc => matches!(status.as_u16(), 500 | 502..=504),
            Rules::CloudFront => status.is_server_error(),
        }
    }

    /// How long a failed origin isn't asked again where something stale stands in, in milliseconds. Without a status: it
    /// couldn't be reached.
    pub(crate) fn retry_after(&self, status: Option<StatusCode>) -> u64 {
        let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
        match self.rules {
            Rules::Rfc => millis(self.stale_retry),
            Rules::CloudFront => millis(self.error_min_ttl(status)),
        }
    }

    /// `ErrorCachingMinTTL` of a status.
    pub(super) fn error_min_ttl(&self, status: StatusCode) -> Duration {
        let set = self.error_ttls.get(&status.as_u16()).copied();
        set.unwrap_or(self.error_min_ttl)
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
            list_order: ListOrder::Significant,
            ..Self::rfc9111()
        }
    }
}

/// Milliseconds, saturating.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
