//! Ages and lifetimes (RFC 9111 section 4.2).

use crate::headers::{date_of, members};
use http::{HeaderMap, header};

/// The times of a stored response: all that is needed to say how old it is, and for how long it is
/// fresh. Milliseconds throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When the response was received.
    pub received_at: u64,
    /// Its age at that time (RFC 9111's `corrected_initial_age`).
    pub initial_age: u64,
    /// It is fresh before this time.
    pub fresh_until: u64,
    /// It is validated before each use, fresh or not (`no-cache`).
    pub always_validate: bool,
    /// It is never used stale (`must-revalidate`, `proxy-revalidate`, `s-maxage`, `no-cache`).
    pub never_stale: bool,
    /// While it is fresh, a reload (`max-age=0` in a request) doesn't have it validated (RFC 8246).
    pub immutable: bool,
    /// For how long after `fresh_until` it may be used stale while it is refreshed (RFC 5861 section 3).
    pub stale_while_revalidate: u64,
    /// For how long after `fresh_until` it may be used stale in place of an error (RFC 5861 section 4).
    pub stale_if_error: u64,
}

impl Freshness {
    /// Whether the origin doesn't forbid that it is used stale (RFC 9111 section 4.2.4).
    fn may_be_stale(&self) -> bool {
        !self.never_stale && !self.always_validate
    }

    /// How old the response is (RFC 9111 section 4.2.3). Never less than its initial age.
    #[inline]
    #[must_use]
    pub fn age(&self, now: u64) -> u64 {
        self.initial_age
            .saturating_add(now.saturating_sub(self.received_at))
    }

    /// Whether it was received after another. What came later than now says that the clock was set back, and no more.
    pub(crate) fn is_later_than(&self, other: &Self, now: u64) -> bool {
        other.received_at < self.received_at && self.received_at <= now
    }

    /// For how long it stays fresh; negative since it became stale.
    #[inline]
    #[must_use]
    pub fn ttl(&self, now: u64) -> i64 {
        // A clock that went back doesn't lengthen the lifetime.
        let now = now.max(self.received_at);
        let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        if self.fresh_until >= now {
            signed(self.fresh_until - now)
        } else {
            -signed(now - self.fresh_until)
        }
    }

    /// Whether it may be used at once, without a word to the origin or with one behind the answer.
    pub(crate) fn is_usable(&self, now: u64) -> bool {
        (self.is_fresh(now) && !self.always_validate)
            || self.is_usable_stale(self.stale_while_revalidate, now)
    }

    /// The same for what became stale at a moment, if it hadn't before.
    pub(crate) fn stale_since(&self, moment: u64) -> Self {
        Self {
            fresh_until: self.fresh_until.min(moment),
            ..*self
        }
    }

    /// Whether it has been stale for no longer than `window`, and may be used so at all.
    pub(super) fn is_usable_stale(&self, window: u64, now: u64) -> bool {
        let ttl = self.ttl(now);
        let is_allowed = window > 0 && self.may_be_stale();
        is_allowed && ttl <= 0 && ttl.unsigned_abs() <= window
    }

    /// Whether it is fresh, whatever else may forbid its use.
    #[inline]
    #[must_use]
    pub fn is_fresh(&self, now: u64) -> bool {
        now.max(self.received_at) < self.fresh_until
    }
}

/// The `Age` field in seconds: its first member, and nothing where that is no number (RFC 9111 section 5.1).
pub(super) fn age_value(headers: &HeaderMap) -> u64 {
    let Some(line) = headers.get(header::AGE) else {
        return 0;
    };
    let Some(first) = members(line.as_bytes()).next() else {
        return 0;
    };
    // `7200;foo=bar` names an age beyond doubt, and reading it keeps less.
    let digits = first
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = first.split_at(digits);
    if digits.is_empty() || !(rest.is_empty() || rest[0] == b';') {
        return 0;
    }
    digits.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// RFC 9111 section 4.2.3, in milliseconds. `Date` counts whole seconds, so the apparent age does, too.
pub(crate) fn corrected_initial_age(
    headers: &HeaderMap,
    requested_at: u64,
    received_at: u64,
) -> u64 {
    let apparent = match date_of(headers, &header::DATE) {
        Some(Some(date)) => (received_at / 1000 * 1000).saturating_sub(date),
        _ => 0,
    };
    let delay = received_at.saturating_sub(requested_at);
    let corrected = age_value(headers)
        .saturating_mul(1000)
        .saturating_add(delay);
    apparent.max(corrected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn age_is_its_first_member() {
        for (lines, expected) in [
            (&["30"][..], 30),
            (&["30, 40"], 30),
            (&["0", "7200"], 0),
            (&["7200", "0"], 7200),
            (&["7200;foo=bar"], 7200),
            (&["99999999999999999999999999"], u64::MAX),
            (&["abc"], 0),
            (&["-7200"], 0),
            (&["7200.0"], 0),
            (&[""], 0),
            (&[], 0),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::AGE, HeaderValue::from_static(line));
            }
            assert_eq!(age_value(&headers), expected, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::AGE, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(age_value(&headers), 0);
    }

    #[test]
    fn the_larger_of_apparent_and_corrected_age_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::DATE,
            HeaderValue::from_static("Thu, 01 Jan 1970 00:01:40 GMT"),
        );
        assert_eq!(corrected_initial_age(&headers, 100_000, 100_900), 900);
        assert_eq!(corrected_initial_age(&headers, 200_000, 200_500), 100_000);
        assert_eq!(
            corrected_initial_age(&headers, 0, 0),
            0,
            "a date in the future"
        );
        headers.insert(header::AGE, HeaderValue::from_static("500"));
        assert_eq!(corrected_initial_age(&headers, 200_000, 200_500), 500_500);
        headers.insert(header::DATE, HeaderValue::from_static("yesterday"));
        headers.insert(header::AGE, HeaderValue::from_static("x"));
        assert_eq!(
            corrected_initial_age(&headers, 5, 4),
            0,
            "a clock that stepped back"
        );
    }

    #[test]
    fn a_clock_that_steps_back_makes_nothing_younger_or_fresher() {
        let freshness = Freshness {
            received_at: 10_000,
            initial_age: 2_000,
            fresh_until: 15_000,
            always_validate: false,
            never_stale: false,
            immutable: false,
            stale_while_revalidate: 0,
            stale_if_error: 0,
        };
        assert_eq!(freshness.age(0), 2_000);
        assert_eq!(freshness.ttl(0), 5_000);
        assert_eq!(freshness.ttl(20_000), -5_000);
        assert_eq!(freshness.age(u64::MAX), u64::MAX - 8_000);
        assert!(freshness.is_fresh(14_999) && !freshness.is_fresh(15_000));
    }
}
