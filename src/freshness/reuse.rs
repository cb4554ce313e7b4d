//! May a stored response be used for a request (RFC 9111 section 4)?

use super::{Freshness, FreshnessPolicy};
use crate::headers::{DeltaSeconds, RequestDirectives, RequestFacts};

/// Why a request goes to the origin: the values of RFC 9211's `fwd`. [`status`](crate::status) says what to do about each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Forward {
    /// The cache was told not to handle this request.
    Bypass,
    /// The method isn't one that is cached.
    Method,
    /// Nothing is stored under the key.
    UriMiss,
    /// Something is stored, but for requests that `Vary` keeps apart from this one.
    VaryMiss,
    /// What is stored was invalidated.
    Miss,
    /// What is stored would be fresh, but the request asks for more.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is only a part of what was asked for.
    Partial,
}

impl Forward {
    /// The token of RFC 9211 section 2.2.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// What may be done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Use it.
    Fresh,
    /// Use it, though it is stale: the request allows it (`max-stale`).
    Stale,
    /// Use it, though it is stale, and refresh it in the background (`stale-while-revalidate`, RFC 5861 section 3).
    StaleWhileRevalidate,
    /// Use it if the origin confirms it.
    Revalidate(Forward),
    /// Fetch anew, without asking whether it changed: the request says `no-cache`. A reload by hand is meant to replace
    /// what is stored, also where its validator lies.
    Refetch(Forward),
}

/// Judges a stored response for a request.
#[inline]
#[must_use]
pub fn assess(
    stored: &Freshness,
    request: &RequestFacts,
    policy: &FreshnessPolicy,
    now: u64,
) -> Verdict {
    let fresh = stored.is_fresh(now);
    if !policy.request_directives || !(request.cache_control || request.pragma_no_cache) {
        return match fresh && !stored.always_validate {
            true => Verdict::Fresh,
            false if stored.is_usable_stale(stored.stale_while_revalidate, now) => {
                Verdict::StaleWhileRevalidate
            }
            false => Verdict::Revalidate(Forward::Stale),
        };
    }
    assess_as_asked(stored, request, fresh, now)
}

/// For a request that says what it wants.
#[inline(never)]
fn assess_as_asked(stored: &Freshness, request: &RequestFacts, fresh: bool, now: u64) -> Verdict {
    let asked = &request.directives;
    if request.asks_to_reload() {
        return Verdict::Refetch(if fresh {
            Forward::Request
        } else {
            Forward::Stale
        });
    }
    if stored.always_validate {
        return Verdict::Revalidate(Forward::Stale);
    }
    let satisfies = is_young_enough(stored, asked, now) && is_fresh_enough(stored, asked, now);
    match (fresh, satisfies) {
        (true, true) => return Verdict::Fresh,
        (true, false) => return Verdict::Revalidate(Forward::Request),
        (false, _) => {}
    }
    let stale_for = stored.ttl(now).unsigned_abs();
    match asked.max_stale {
        _ if !satisfies => Verdict::Revalidate(Forward::Stale),
        _ if stored.is_usable_stale(stored.stale_while_revalidate, now) => {
            Verdict::StaleWhileRevalidate
        }
        Some(seconds) if !stored.never_stale && stale_for <= seconds.saturating_mul(1000) => {
            Verdict::Stale
        }
        _ => Verdict::Revalidate(Forward::Stale),
    }
}

/// Whether a stale response may be used in place of an answer that can't be had: the origin, or the request, allows it
/// (`stale-if-error`, RFC 5861 section 4), and nothing forbids it (RFC 9111 section 4.2.4).
#[must_use]
pub fn may_stand_in(
    stored: &Freshness,
    request: &RequestFacts,
    policy: &FreshnessPolicy,
    now: u64,
) -> bool {
    let mut window = stored.stale_if_error;
    if policy.request_directives {
        let asked = &request.directives;
        let satisfies = is_young_enough(stored, asked, now) && is_fresh_enough(stored, asked, now);
        if request.asks_to_reload() || !satisfies {
            return false;
        }
        let asked = asked.stale_if_error.seconds().unwrap_or(0);
        window = window.max(asked.saturating_mul(1000));
    }
    stored.is_usable_stale(window, now)
}

/// The request's `max-age`.
fn is_young_enough(stored: &Freshness, asked: &RequestDirectives, now: u64) -> bool {
    match asked.max_age {
        DeltaSeconds::Absent => true,
        // A response of age 0 satisfies `max-age=0` by the letter; a reload in a browser means: ask. Not where the origin
        // said that there is nothing to ask (RFC 8246 section 2).
        DeltaSeconds::Seconds(0) => stored.immutable && stored.is_fresh(now),
        DeltaSeconds::Seconds(seconds) => stored.age(now) <= seconds.saturating_mul(1000),
        DeltaSeconds::Invalid => false,
    }
}

/// The request's `min-fresh`.
fn is_fresh_enough(stored: &Freshness, asked: &RequestDirectives, now: u64) -> bool {
    match asked.min_fresh {
        DeltaSeconds::Absent => true,
        DeltaSeconds::Seconds(seconds) => {
            stored.ttl(now) >= i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
        }
        DeltaSeconds::Invalid => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    const STORED: Freshness = Freshness {
        received_at: 100_000,
        initial_age: 10_000,
        fresh_until: 150_000,
        always_validate: false,
        never_stale: false,
        immutable: false,
        stale_while_revalidate: 0,
        stale_if_error: 0,
    };

    fn verdict(stored: &Freshness, cache_control: &str, now: u64) -> Verdict {
        let mut headers = HeaderMap::new();
        if !cache_control.is_empty() {
            headers.insert("cache-control", cache_control.parse().unwrap());
        }
        assess(
            stored,
            &RequestFacts::of(&headers),
            &FreshnessPolicy::rfc9111(),
            now,
        )
    }

    #[test]
    fn request_directives_decide() {
        use Forward::{Request, Stale};
        use Verdict::{Fresh, Refetch, Revalidate};
        for (cache_control, now, expected) in [
            ("", 149_999, Fresh),
            ("", 150_000, Revalidate(Stale)),
            ("nothing-to-see-here", 149_999, Fresh),
            ("no-cache", 100_000, Refetch(Request)),
            ("no-cache", 200_000, Refetch(Stale)),
            ("max-age=0", 100_000, Revalidate(Request)),
            ("max-age=10", 100_000, Fresh),
            ("max-age=9", 100_000, Revalidate(Request)),
            ("max-age=x", 100_000, Revalidate(Request)),
            ("min-fresh=50", 100_000, Fresh),
            ("min-fresh=51", 100_000, Revalidate(Request)),
            (
                "min-fresh=99999999999999999999",
                100_000,
                Revalidate(Request),
            ),
            ("max-stale", u64::MAX / 4, Verdict::Stale),
            ("max-stale=10", 160_000, Verdict::Stale),
            ("max-stale=10", 160_001, Revalidate(Stale)),
            ("max-stale=10, max-age=60", 160_000, Revalidate(Stale)),
            ("max-stale=x", 160_000, Revalidate(Stale)),
        ] {
            assert_eq!(
                verdict(&STORED, cache_control, now),
                expected,
                "{cache_control} at {now}"
            );
        }
    }

    #[test]
    fn what_must_be_validated_is() {
        let never_stale = Freshness {
            never_stale: true,
            ..STORED
        };
        assert_eq!(
            verdict(&never_stale, "max-stale", 160_000),
            Verdict::Revalidate(Forward::Stale)
        );
        let always = Freshness {
            always_validate: true,
            ..STORED
        };
        assert_eq!(
            verdict(&always, "", 100_000),
            Verdict::Revalidate(Forward::Stale)
        );
        assert_eq!(
            verdict(&always, "max-stale", 100_000),
            Verdict::Revalidate(Forward::Stale)
        );
    }

    #[test]
    fn cloudfront_ignores_what_the_request_asks() {
        let hour = std::time::Duration::from_secs(3600);
        let policy = FreshnessPolicy::cloudfront(hour, hour, hour);
        let mut headers = HeaderMap::new();
        headers.insert("cache-control", "no-cache, max-age=0".parse().unwrap());
        headers.insert("pragma", "no-cache".parse().unwrap());
        assert_eq!(
            assess(&STORED, &RequestFacts::of(&headers), &policy, 100_000),
            Verdict::Fresh
        );
    }

    #[test]
    fn pragma_alone_reloads() {
        let mut headers = HeaderMap::new();
        headers.insert("pragma", "no-cache".parse().unwrap());
        let facts = RequestFacts::of(&headers);
        let verdict = assess(&STORED, &facts, &FreshnessPolicy::default(), 100_000);
        assert_eq!(verdict, Verdict::Refetch(Forward::Request));
    }

    #[test]
    fn a_stale_response_is_used_while_it_is_refreshed() {
        use Verdict::{Fresh, Refetch, Revalidate, StaleWhileRevalidate};
        let stored = Freshness {
            stale_while_revalidate: 30_000,
            ..STORED
        };
        for (cache_control, now, expected) in [
            ("", 149_999, Fresh),
            ("", 150_000, StaleWhileRevalidate),
            ("", 180_000, StaleWhileRevalidate),
            ("", 180_001, Revalidate(Forward::Stale)),
            ("max-age=1000", 180_000, StaleWhileRevalidate),
            ("max-age=1000", 180_001, Revalidate(Forward::Stale)),
            ("max-age=60", 160_001, Revalidate(Forward::Stale)),
            ("min-fresh=0", 150_000, StaleWhileRevalidate),
            ("min-fresh=0", 150_001, Revalidate(Forward::Stale)),
            ("max-stale=60", 180_000, StaleWhileRevalidate),
            ("max-stale=60", 180_001, Verdict::Stale),
            ("no-cache", 160_000, Refetch(Forward::Stale)),
        ] {
            let found = verdict(&stored, cache_control, now);
            assert_eq!(found, expected, "{cache_control} at {now}");
        }
    }

    #[test]
    fn a_stale_response_stands_in_for_an_error_within_its_window() {
        let stored = Freshness {
            stale_if_error: 30_000,
            ..STORED
        };
        let must_revalidate = Freshness {
            never_stale: true,
            ..stored
        };
        let no_cache = Freshness {
            always_validate: true,
            ..stored
        };
        for (stored, cache_control, now, expected) in [
            (stored, "", 150_000, true),
            (stored, "", 180_000, true),
            (stored, "", 180_001, false),
            (stored, "no-cache", 160_000, false),
            (stored, "max-age=0", 160_000, false),
            (stored, "max-age=1000", 160_000, true),
            (stored, "min-fresh=1", 160_000, false),
            (stored, "stale-if-error=0", 180_000, true),
            (stored, "stale-if-error=60", 210_000, true),
            (stored, "stale-if-error=60", 210_001, false),
            (STORED, "", 150_000, false),
            (STORED, "stale-if-error=x", 150_000, false),
            (STORED, "stale-if-error=60", 150_001, true),
            (must_revalidate, "stale-if-error=60", 160_000, false),
            (no_cache, "", 160_000, false),
        ] {
            let mut headers = HeaderMap::new();
            if !cache_control.is_empty() {
                headers.insert("cache-control", cache_control.parse().unwrap());
            }
            let facts = RequestFacts::of(&headers);
            let stands_in = may_stand_in(&stored, &facts, &FreshnessPolicy::rfc9111(), now);
            assert_eq!(stands_in, expected, "{cache_control} at {now}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            "cache-control",
            "no-cache, stale-if-error=60".parse().unwrap(),
        );
        let facts = RequestFacts::of(&headers);
        let hour = std::time::Duration::from_secs(3600);
        let cloudfront = FreshnessPolicy::cloudfront(hour, hour, hour);
        assert!(may_stand_in(&stored, &facts, &cloudfront, 180_000));
        assert!(!may_stand_in(&stored, &facts, &cloudfront, 180_001));
    }

    #[test]
    fn a_reload_does_not_validate_what_is_immutable_while_it_is_fresh() {
        let stored = Freshness {
            immutable: true,
            ..STORED
        };
        use Verdict::{Fresh, Refetch, Revalidate};
        for (cache_control, now, expected) in [
            ("max-age=0", 149_999, Fresh),
            ("max-age=0", 150_000, Revalidate(Forward::Stale)),
            ("max-age=9", 100_000, Revalidate(Forward::Request)),
            ("max-age=x", 100_000, Revalidate(Forward::Request)),
            ("no-cache", 100_000, Refetch(Forward::Request)),
        ] {
            let found = verdict(&stored, cache_control, now);
            assert_eq!(found, expected, "{cache_control} at {now}");
        }
    }
}
