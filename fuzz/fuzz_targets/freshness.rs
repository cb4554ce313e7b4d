//! Storing and reusing, with fields and times that nobody means well.
#![no_main]

use arbitrary::Arbitrary;
use frontage::{
    freshness::{
        Exchange, Freshness, FreshnessPolicy, Storable, Verdict, assess, is_shareable_error,
        may_stand_in, storable,
    },
    headers::{RequestFacts, ResponseDirectives},
};
use frontage_fuzz::{Date, Value, value};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// A `Cache-Control` member that the rules know, with any number.
#[derive(Arbitrary, Clone, Debug)]
enum Directive {
    Bare(u8),
    Number(u8, u64),
    Text(Value),
}

impl Directive {
    fn text(&self) -> Vec<u8> {
        const BARE: [&str; 10] = [
            "no-store",
            "no-cache",
            "private",
            "public",
            "must-revalidate",
            "proxy-revalidate",
            "must-understand",
            "max-stale",
            "no-cache=\"set-cookie\"",
            "private=\"x-a\"",
        ];
        const NUMBER: [&str; 4] = ["max-age", "s-maxage", "min-fresh", "max-stale"];
        match self {
            Self::Bare(at) => BARE[usize::from(*at) % BARE.len()].into(),
            Self::Number(at, number) => {
                let name = NUMBER[usize::from(*at) % NUMBER.len()];
                format!("{name}={number}").into_bytes()
            }
            Self::Text(value) => value.0.as_bytes().to_vec(),
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Field {
    CacheControl(Vec<Directive>),
    Age(u64),
    AgeText(Value),
    Date(Date),
    Expires(Date),
    LastModified(Date),
    Etag(Value),
    Vary(Value),
    SetCookie,
    Pragma(Value),
    Authorization,
    Cookie,
}

impl Field {
    fn add(&self, headers: &mut HeaderMap) {
        let (name, value): (HeaderName, _) = match self {
            Self::CacheControl(members) => {
                let members: Vec<_> = members.iter().map(Directive::text).collect();
                (header::CACHE_CONTROL, value(&members.join(&b", "[..])))
            }
            Self::Age(age) => (header::AGE, (*age).into()),
            Self::AgeText(text) => (header::AGE, text.0.clone()),
            Self::Date(date) => (header::DATE, date.value()),
            Self::Expires(date) => (header::EXPIRES, date.value()),
            Self::LastModified(date) => (header::LAST_MODIFIED, date.value()),
            Self::Etag(tag) => (header::ETAG, tag.0.clone()),
            Self::Vary(names) => (header::VARY, names.0.clone()),
            Self::SetCookie => (header::SET_COOKIE, value(b"a=b")),
            Self::Pragma(text) => (header::PRAGMA, text.0.clone()),
            Self::Authorization => (header::AUTHORIZATION, value(b"x")),
            Self::Cookie => (header::COOKIE, value(b"a=b")),
        };
        headers.append(name, value);
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Policy {
    Rfc,
    Default,
    CloudFront([Duration; 3]),
}

#[derive(Arbitrary, Debug)]
struct Input {
    policy: Policy,
    post: bool,
    status: u16,
    request: Vec<Field>,
    response: Vec<Field>,
    requested_at: u64,
    received_at: u64,
    later: u64,
    /// The request that comes later.
    next: Vec<Field>,
    /// Times and flags of a response that was stored otherwise.
    stored: ([u64; 5], [bool; 3]),
}

/// Minimum, default and maximum in an order that CloudFront takes.
fn sorted(mut ttls: [Duration; 3]) -> [Duration; 3] {
    ttls.sort();
    ttls
}

fn map(fields: &[Field]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields {
        field.add(&mut headers);
    }
    headers
}

fuzz_target!(|input: Input| {
    let policy = match input.policy {
        Policy::Rfc => FreshnessPolicy::rfc9111(),
        Policy::Default => FreshnessPolicy::default(),
        Policy::CloudFront(ttls) => {
            let [min, default, max] = sorted(ttls);
            FreshnessPolicy::cloudfront(min, default, max)
        }
    };
    let request = RequestFacts::of(&map(&input.request));
    let response = map(&input.response);
    let exchange = Exchange {
        method: if input.post {
            &Method::POST
        } else {
            &Method::GET
        },
        request: &request,
        status: StatusCode::from_u16(100 + input.status % 900).expect("three digits"),
        response: &response,
        requested_at: input.requested_at,
        received_at: input.received_at,
    };
    if is_shareable_error(&request, exchange.status, &response, &policy) {
        let said = ResponseDirectives::of(&response);
        assert!(exchange.status.is_server_error() && !said.no_store && !said.private.is_whole());
    }
    let next = RequestFacts::of(&map(&input.next));
    let later = input.received_at.saturating_add(input.later);
    if let Ok(stored) = storable(&exchange, &policy) {
        check_stored(&exchange, &stored, input.policy);
        check_reuse(&stored.freshness, &next, &policy, later);
        check_reuse(&stored.freshness, &next, &policy, input.later);
    }
    let (times, [always_validate, never_stale, immutable]) = input.stored;
    let [
        received_at,
        initial_age,
        fresh_until,
        stale_while_revalidate,
        stale_if_error,
    ] = times;
    let stored = Freshness {
        received_at,
        initial_age,
        fresh_until,
        always_validate,
        never_stale,
        immutable,
        stale_while_revalidate,
        stale_if_error,
    };
    check_reuse(&stored, &next, &policy, later);
});

/// What was fresh is so no longer than it says, and a second earlier it was fresh, too.
fn check_reuse(stored: &Freshness, next: &RequestFacts, policy: &FreshnessPolicy, now: u64) {
    let earlier = now.saturating_sub(1000);
    assert!(stored.age(earlier) <= stored.age(now));
    assert!(stored.age(now) >= stored.initial_age);
    assert!(stored.ttl(earlier) >= stored.ttl(now));
    assert_eq!(stored.is_fresh(now), stored.ttl(now) > 0);
    match assess(stored, next, policy, now) {
        Verdict::Fresh => {
            assert!(stored.is_fresh(now) && !stored.always_validate);
            assert_eq!(assess(stored, next, policy, earlier), Verdict::Fresh);
        }
        Verdict::Stale => {
            assert!(!stored.is_fresh(now) && !stored.never_stale && !stored.always_validate);
        }
        Verdict::StaleWhileRevalidate => {
            assert!(!stored.is_fresh(now) && !stored.never_stale && !stored.always_validate);
            assert!(stored.ttl(now).unsigned_abs() <= stored.stale_while_revalidate);
        }
        Verdict::Revalidate(_) | Verdict::Refetch(_) => {}
    }
    if may_stand_in(stored, next, policy, now) {
        assert!(!stored.is_fresh(now) && !stored.never_stale && !stored.always_validate);
    }
}

/// What may never be stored, whoever asks for it.
fn check_stored(exchange: &Exchange<'_>, stored: &Storable, policy: Policy) {
    let said = ResponseDirectives::of(exchange.response);
    assert!(!exchange.status.is_informational());
    if let Policy::CloudFront(ttls) = policy {
        let longest = u64::try_from(sorted(ttls)[2].as_millis()).unwrap_or(u64::MAX);
        // Errors have a minimum of their own, 10 s.
        let until = exchange.received_at.saturating_add(longest.max(10_000));
        assert!(stored.freshness.fresh_until <= until);
        return;
    }
    assert!(!said.no_store || said.must_understand);
    assert!(!said.private.is_whole());
    assert!(!exchange.request.directives.no_store);
    assert!(
        !exchange.request.authorization
            || said.public
            || said.s_maxage.is_present()
            || said.must_revalidate
    );
    if matches!(policy, Policy::Default) {
        assert!(!exchange.request.cookie || said.public || said.s_maxage.is_present());
    }
    assert!(
        exchange
            .response
            .get_all(header::VARY)
            .iter()
            .all(|line| line != "*")
    );
}
