//! May a stored response be used for a request (RFC 9111 section 4)?

use super::{Freshness, FreshnessPolicy};
use crate::headers::{DeltaSeconds, RequestFacts};

/// Why a request goes to the origin: the values of RFC 9211's `fwd`.
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
    /// Nothing usable is stored, for another reason: invalidated, or known not to be stored.
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
    /// Use it if the origin confirms it.
    Revalidate(Forward),
    /// Fetch anew, without asking whether it changed: the request says `no-cache`. A reload by hand is meant to replace
    /// what is stored, also where its validator lies.
    Refetch(Forward),
}

/// Judges a stored response for a request.
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
            false => Verdict::Revalidate(Forward::Stale),
        };
    }
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
    let too_old = match asked.max_age {
        DeltaSeconds::Absent => false,
        // A response of age 0 satisfies `max-age=0` by the letter; a reload in a browser means: ask.
        DeltaSeconds::Seconds(seconds) => {
            seconds == 0 || stored.age(now) > seconds.saturating_mul(1000)
        }
        DeltaSeconds::Invalid => true,
    };
    let not_fresh_enough = match asked.min_fresh {
        DeltaSeconds::Absent => false,
        DeltaSeconds::Seconds(seconds) => {
            stored.ttl(now) < i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
        }
        DeltaSeconds::Invalid => true,
    };
    if fresh {
        return if too_old || not_fresh_enough {
            Verdict::Revalidate(Forward::Request)
        } else {
            Verdict::Fresh
        };
    }
    match asked.max_stale {
        Some(seconds) if !stored.never_stale && !too_old && !not_fresh_enough => {
            let stale_for = stored.ttl(now).unsigned_abs();
            if stale_for <= seconds.saturating_mul(1000) {
                Verdict::Stale
            } else {
                Verdict::Revalidate(Forward::Stale)
            }
        }
        _ => Verdict::Revalidate(Forward::Stale),
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
}
