//! Ages, lifetimes and the use of what is stored, over absurd numbers, too.

use super::{config, lines};
use frontage::{
    CachePolicy,
    freshness::{Exchange, Freshness, FreshnessPolicy, Verdict, assess, storable},
    headers::{RequestFacts, http_date},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use proptest::prelude::*;
use std::time::Duration;

/// Milliseconds: around a day in 2023, at the ends, anywhere.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => NOW..NOW + 86_400_000,
        1 => 0..10_000_u64,
        1 => (0..10_000_u64).prop_map(|back| u64::MAX - back),
        1 => any::<u64>(),
    ]
}

const NOW: u64 = 1_700_000_000_000;

/// Seconds as a field may have them: few, at the edges of what is kept, or more than fits anywhere.
fn seconds() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..200_u64).prop_map(|seconds| seconds.to_string()),
        2 => (3_153_599_900..3_153_600_100_u64).prop_map(|seconds| seconds.to_string()),
        1 => (u64::MAX / 1000 - 2..u64::MAX / 1000 + 2).prop_map(|seconds| seconds.to_string()),
        1 => any::<u64>().prop_map(|seconds| seconds.to_string()),
        1 => "[0-9]{1,40}",
        1 => "-?[0-9]{0,3}[.x]?",
    ]
}

fn cache_control(
    names: &'static [&'static str],
    bare: &'static [&'static str],
) -> BoxedStrategy<String> {
    let number = (prop::sample::select(names), seconds())
        .prop_map(|(name, seconds)| format!("{name}={seconds}"));
    let member = prop_oneof![
        4 => number,
        1 => prop::sample::select(bare).prop_map(str::to_owned),
    ];
    prop::collection::vec(member, 0..4)
        .prop_map(|members| members.join(", "))
        .boxed()
}

/// An HTTP date around `NOW`, far from it, or none.
fn date() -> impl Strategy<Value = String> {
    let at = |millis: u64| http_date(millis).unwrap().to_str().unwrap().to_owned();
    prop_oneof![
        8 => (NOW - 100_000_000..NOW + 200_000_000).prop_map(at),
        1 => (0..253_402_300_800_000_u64).prop_map(at),
        1 => Just("0".to_owned()),
    ]
}

/// A policy, with the longest lifetime it gives, and whether the age on arrival counts against that.
fn policy() -> impl Strategy<Value = (FreshnessPolicy, Duration, bool)> {
    let ttls = prop::array::uniform3(prop_oneof![
        Just(Duration::ZERO),
        (0..200_u64).prop_map(Duration::from_secs),
        any::<Duration>(),
    ]);
    (0..4, ttls, any::<bool>()).prop_map(|(profile, mut ttls, honor)| {
        ttls.sort();
        let [min, default, max] = ttls;
        let of = |policy: CachePolicy| policy.ttl(min, default, max).unwrap();
        let (policy, longest) = match profile {
            0 => (
                CachePolicy::rfc9111(),
                100 * Duration::from_secs(31_536_000),
            ),
            1 => (of(CachePolicy::rfc9111()), max),
            2 => (of(CachePolicy::default()), max),
            // Its errors have a minimum of their own.
            _ => (
                of(CachePolicy::caching_optimized()),
                max.max(Duration::from_secs(10)),
            ),
        };
        let policy = policy.honor_request_directives(honor);
        (policy.freshness().clone(), longest, profile < 3)
    })
}

fn response() -> impl Strategy<Value = HeaderMap> {
    let cache_control = cache_control(
        &[
            "max-age",
            "s-maxage",
            "stale-while-revalidate",
            "stale-if-error",
        ],
        &[
            "public",
            "no-cache",
            "must-revalidate",
            "private",
            "no-store",
            "must-understand",
            "immutable",
        ],
    );
    let field = prop_oneof![
        4 => cache_control.prop_map(|text| (header::CACHE_CONTROL, text)),
        2 => seconds().prop_map(|text| (header::AGE, text)),
        2 => date().prop_map(|text| (header::DATE, text)),
        1 => date().prop_map(|text| (header::EXPIRES, text)),
        1 => date().prop_map(|text| (header::LAST_MODIFIED, text)),
        1 => Just((header::ETAG, "\"a\"".to_owned())),
    ];
    prop::collection::vec(field, 1..5).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, text) in fields {
            headers.append(name, HeaderValue::try_from(text).unwrap());
        }
        headers
    })
}

fn request() -> impl Strategy<Value = RequestFacts> {
    cache_control(
        &["max-age", "min-fresh", "max-stale", "stale-if-error"],
        &["max-stale", "no-cache", "only-if-cached", "no-store"],
    )
    .prop_map(|text| match text.is_empty() {
        true => RequestFacts::default(),
        false => RequestFacts::of(&lines(&header::CACHE_CONTROL, &[text.into_bytes()])),
    })
}

prop_compose! {
    /// Anything that a store may hold.
    fn times()(
        received_at in time(),
        // Often as small as what a request may ask.
        initial_age in prop_oneof![2 => 0..200_000_u64, 1 => time()],
        fresh_until in time(),
        (stale_while_revalidate, stale_if_error) in (time(), time()),
        [always_validate, never_stale, immutable]: [bool; 3],
    ) -> Freshness {
        Freshness {
            received_at,
            initial_age,
            fresh_until,
            always_validate,
            never_stale,
            immutable,
            stale_while_revalidate,
            stale_if_error,
        }
    }
}

/// A moment for something that was received at `received_at`: around its end, around now, or any.
fn moment(stored: &Freshness, at: u64, kind: u8, back: u16) -> u64 {
    let near = |moment: u64| {
        moment
            .saturating_add(1000)
            .saturating_sub(u64::from(back) % 2000)
    };
    match kind % 4 {
        0 => near(stored.fresh_until),
        1 => near(stored.received_at),
        2 => stored.received_at.saturating_add(u64::from(back) * 10),
        _ => at,
    }
}

/// Age and lifetime as numbers without bounds have them, cut to what their types hold.
fn check_times(stored: &Freshness, now: u64, later: u64) -> Result<(), TestCaseError> {
    let wide = |millis: u64| i128::from(millis);
    let elapsed = (wide(now) - wide(stored.received_at)).max(0);
    let age = (wide(stored.initial_age) + elapsed).min(wide(u64::MAX));
    prop_assert_eq!(wide(stored.age(now)), age);
    let left = wide(stored.fresh_until) - wide(stored.received_at) - elapsed;
    let bound = i128::from(i64::MAX);
    prop_assert_eq!(i128::from(stored.ttl(now)), left.clamp(-bound, bound));
    prop_assert_eq!(stored.is_fresh(now), left > 0);

    prop_assert!(stored.age(now) >= stored.initial_age);
    prop_assert!(stored.age(later) >= stored.age(now));
    prop_assert!(stored.ttl(later) <= stored.ttl(now));
    prop_assert!(stored.is_fresh(now) || !stored.is_fresh(later));
    Ok(())
}

/// Fresh now: then a second earlier, too. Not before it was received: nobody could ask then.
fn check_use(
    stored: &Freshness,
    asked: &RequestFacts,
    policy: &FreshnessPolicy,
    now: u64,
) -> Result<(), TestCaseError> {
    match assess(stored, asked, policy, now) {
        Verdict::Fresh => {
            prop_assert!(stored.is_fresh(now) && !stored.always_validate);
            let earlier = now.saturating_sub(1000).max(stored.received_at);
            prop_assert_eq!(assess(stored, asked, policy, earlier), Verdict::Fresh);
        }
        Verdict::Stale => {
            prop_assert!(!stored.is_fresh(now) && !stored.never_stale && !stored.always_validate);
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn age_and_lifetime_never_wrap_nor_run_backwards(
        stored in times(),
        (at, kind, back) in (time(), any::<u8>(), any::<u16>()),
        step in time(),
    ) {
        let now = moment(&stored, at, kind, back);
        check_times(&stored, now, now.saturating_add(step))?;
        check_times(&stored, now, now.saturating_add(1))?;
    }

    #[test]
    fn what_is_fresh_was_fresh_a_second_earlier(
        stored in times(),
        (at, kind, back) in (time(), any::<u8>(), any::<u16>()),
        asked in request(),
        (policy, ..) in policy(),
    ) {
        check_use(&stored, &asked, &policy, moment(&stored, at, kind, back))?;
    }

    #[test]
    fn what_was_judged_storable_and_is_fresh_was_fresh_a_second_earlier(
        response in response(),
        (policy, longest, age_counts) in policy(),
        status in prop::sample::select(&[200_u16, 203, 301, 302, 404, 500, 599][..]),
        (received_at, delay) in (time(), 0..5_000_u64),
        (at, kind, back) in (time(), any::<u8>(), any::<u16>()),
        asked in request(),
    ) {
        let exchange = Exchange {
            method: &Method::GET,
            request: &RequestFacts::default(),
            status: StatusCode::from_u16(status).unwrap(),
            response: &response,
            // At times the clock was set back in between.
            requested_at: received_at.saturating_sub(delay).saturating_add(1_000),
            received_at,
        };
        let Ok(stored) = storable(&exchange, &policy) else { return Ok(()) };
        let stored = stored.freshness;
        prop_assert_eq!(stored.received_at, received_at);
        let mut until = u128::from(stored.fresh_until);
        if age_counts && stored.fresh_until > 0 {
            until += u128::from(stored.initial_age);
        }
        let lifetime = until.saturating_sub(u128::from(received_at));
        prop_assert!(lifetime <= longest.as_millis());
        // The first `Age` counts in full, however long it is.
        let age = response.get(header::AGE).map_or("", |age| age.to_str().unwrap());
        if !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit()) {
            let millis = age.parse().unwrap_or(u64::MAX).saturating_mul(1000);
            prop_assert!(stored.initial_age >= millis);
        }
        let now = moment(&stored, at, kind, back);
        check_times(&stored, now, now.saturating_add(1_000))?;
        check_use(&stored, &asked, &policy, now)?;
    }
}
