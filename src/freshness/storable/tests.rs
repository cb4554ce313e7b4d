use super::*;
use crate::freshness::{Forward, Verdict, assess};
use std::time::Duration;

/// Thu, 01 Jan 2026 00:00:00 GMT.
const NOW: u64 = 1_767_225_600_000;
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

struct Case<'a> {
    method: Method,
    status: u16,
    request: &'a [(&'a str, &'a str)],
    response: &'a [(&'a str, &'a str)],
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            method: Method::GET,
            status: 200,
            request: &[],
            response: &[],
        }
    }
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

/// The lifetime in seconds, or why not.
fn judge(case: &Case<'_>, policy: &FreshnessPolicy) -> Result<u64, Refusal> {
    let exchange = Exchange {
        method: &case.method,
        request: &RequestFacts::of(&map(case.request)),
        status: StatusCode::from_u16(case.status).unwrap(),
        response: &map(case.response),
        requested_at: NOW,
        received_at: NOW,
    };
    storable(&exchange, policy).map(|stored| (stored.freshness.fresh_until - NOW) / 1000)
}

fn rfc(response: &[(&str, &str)]) -> Result<u64, Refusal> {
    judge(
        &Case {
            response,
            ..Case::default()
        },
        &FreshnessPolicy::rfc9111(),
    )
}

#[test]
fn lifetimes_in_order_of_precedence() {
    for (response, expected) in [
        (
            &[
                ("cache-control", "max-age=60, s-maxage=30"),
                ("expires", DATE),
            ][..],
            Ok(30),
        ),
        (&[("cache-control", "max-age=60"), ("expires", "0")], Ok(60)),
        (&[("cache-control", "max-age=60"), ("age", "20")], Ok(40)),
        (&[("cache-control", "max-age=60"), ("age", "x")], Ok(60)),
        (
            &[("expires", "Thu, 01 Jan 2026 00:01:00 GMT"), ("date", DATE)],
            Ok(60),
        ),
        (
            &[
                ("expires", "Thu, 01 Jan 2026 00:01:00 GMT"),
                ("date", "foo"),
            ],
            Ok(60),
        ),
        (
            &[
                ("expires", "Thu, 01 Jan 2026 00:01:00 GMT"),
                ("date", "Thu, 01 Jan 2026 00:00:50 GMT"),
            ],
            Ok(10),
        ),
        (
            &[
                ("expires", "Thu, 01 Jan 2026 00:01:00 GMT"),
                ("date", "Thu, 01 Jan 2026 00:02:00 GMT"),
            ],
            Err(Refusal::Stale),
        ),
        (&[("expires", "0")], Err(Refusal::Stale)),
        (&[("expires", "0"), ("etag", "\"a\"")], Ok(0)),
        (
            &[
                ("cache-control", "max-age=x"),
                ("expires", "Thu, 01 Jan 2026 00:01:00 GMT"),
            ],
            Err(Refusal::Stale),
        ),
        (
            &[("cache-control", "max-age=1, max-age=2")],
            Err(Refusal::Stale),
        ),
        (
            &[
                ("last-modified", "Wed, 31 Dec 2025 23:50:00 GMT"),
                ("date", DATE),
            ],
            Ok(60),
        ),
        (
            &[
                ("last-modified", "Fri, 02 Jan 2026 00:00:00 GMT"),
                ("date", DATE),
            ],
            Ok(0),
        ),
        (
            &[("cache-control", "max-age=99999999999999999999")],
            Ok(3_153_600_000),
        ),
        (&[], Err(Refusal::NoLifetime)),
    ] {
        assert_eq!(rfc(response), expected, "{response:?}");
    }
}

#[test]
fn what_comes_stale_has_been_so_since_its_age_says() {
    let response = map(&[
        ("cache-control", "max-age=10"),
        ("age", "30"),
        ("etag", "\"a\""),
    ]);
    let exchange = Exchange {
        method: &Method::GET,
        request: &RequestFacts::default(),
        status: StatusCode::OK,
        response: &response,
        requested_at: NOW,
        received_at: NOW,
    };
    let policy = FreshnessPolicy::rfc9111();
    let stored = storable(&exchange, &policy).unwrap().freshness;
    assert_eq!((stored.ttl(NOW), stored.age(NOW)), (-20_000, 30_000));
    let verdict = |max_stale: &str| {
        let request = RequestFacts::of(&map(&[("cache-control", max_stale)]));
        assess(&stored, &request, &policy, NOW)
    };
    assert_eq!(verdict("max-stale=20"), Verdict::Stale);
    assert_eq!(verdict("max-stale=19"), Verdict::Revalidate(Forward::Stale));
}

#[test]
fn what_may_not_be_stored_says_why() {
    for (response, expected) in [
        (
            &[("cache-control", "no-store, max-age=60")][..],
            Refusal::NoStore,
        ),
        (
            &[("cache-control", "private, max-age=60")],
            Refusal::Private,
        ),
        (
            &[("cache-control", "max-age=60"), ("vary", "*")],
            Refusal::VaryAny,
        ),
        (&[("cache-control", "max-age=60, no-cache")], Refusal::Stale),
        (&[("cache-control", "max-age=0")], Refusal::Stale),
    ] {
        assert_eq!(rfc(response), Err(expected), "{response:?}");
    }
    for method in [Method::HEAD, Method::PUT, Method::OPTIONS, Method::POST] {
        let case = Case {
            method,
            response: &[],
            ..Case::default()
        };
        assert_eq!(
            judge(&case, &FreshnessPolicy::rfc9111()),
            Err(Refusal::Method)
        );
    }
}

#[test]
fn statuses_are_stored_as_the_rfc_says() {
    let fresh = &[("cache-control", "max-age=60")][..];
    let heuristic = &[
        ("last-modified", "Wed, 31 Dec 2025 23:50:00 GMT"),
        ("date", DATE),
    ][..];
    let policy = FreshnessPolicy::rfc9111();
    for status in [200, 203, 299, 301, 302, 307, 404, 410, 499, 500, 503, 599] {
        assert_eq!(
            judge(
                &Case {
                    status,
                    response: fresh,
                    ..Case::default()
                },
                &policy
            ),
            Ok(60),
            "{status}"
        );
    }
    for status in [206, 304] {
        assert_eq!(
            judge(
                &Case {
                    status,
                    response: fresh,
                    ..Case::default()
                },
                &policy
            ),
            Err(Refusal::Status)
        );
    }
    for (status, expected) in [
        (404, Ok(60)),
        (201, Err(Refusal::NoLifetime)),
        (403, Err(Refusal::NoLifetime)),
        (599, Err(Refusal::NoLifetime)),
    ] {
        assert_eq!(
            judge(
                &Case {
                    status,
                    response: heuristic,
                    ..Case::default()
                },
                &policy
            ),
            expected,
            "{status}"
        );
    }
    let understood = &[("cache-control", "max-age=60, must-understand, no-store")][..];
    assert_eq!(
        judge(
            &Case {
                status: 200,
                response: understood,
                ..Case::default()
            },
            &policy
        ),
        Ok(60)
    );
    assert_eq!(
        judge(
            &Case {
                status: 599,
                response: understood,
                ..Case::default()
            },
            &policy
        ),
        Err(Refusal::Status)
    );
}

#[test]
fn credentials_forbid_storing_unless_lifted() {
    let (auth, cookie) = (&[("authorization", "x")][..], &[("cookie", "a=b")][..]);
    let strict = FreshnessPolicy::default();
    let letter = FreshnessPolicy::rfc9111();
    for (policy, request, directives, expected) in [
        (&letter, auth, "max-age=60", Err(Refusal::Authorization)),
        (&letter, auth, "max-age=60, must-revalidate", Ok(60)),
        (&letter, cookie, "max-age=60", Ok(60)),
        (
            &strict,
            auth,
            "max-age=60, must-revalidate",
            Err(Refusal::Authorization),
        ),
        (&strict, auth, "max-age=60, public", Ok(60)),
        (&strict, cookie, "max-age=60", Err(Refusal::Cookie)),
        (
            &strict,
            cookie,
            "max-age=60, must-revalidate",
            Err(Refusal::Cookie),
        ),
        (&strict, cookie, "max-age=60, public", Ok(60)),
        (&strict, cookie, "s-maxage=60", Ok(60)),
        (
            &strict,
            &[("cache-control", "no-store")],
            "max-age=60",
            Err(Refusal::RequestNoStore),
        ),
    ] {
        let case = Case {
            request,
            response: &[("cache-control", directives)],
            ..Case::default()
        };
        assert_eq!(judge(&case, policy), expected, "{request:?} {directives}");
    }
}

#[test]
fn set_cookie_is_kept_out_by_default() {
    let response = &[("cache-control", "max-age=60"), ("set-cookie", "a=b")][..];
    let case = Case {
        response,
        ..Case::default()
    };
    assert_eq!(
        judge(&case, &FreshnessPolicy::default()),
        Err(Refusal::SetCookie)
    );
    assert_eq!(judge(&case, &FreshnessPolicy::rfc9111()), Ok(60));
    let stripped = &[
        ("cache-control", "max-age=60, no-cache=\"Set-Cookie\""),
        ("set-cookie", "a=b"),
    ][..];
    assert_eq!(
        judge(
            &Case {
                response: stripped,
                ..Case::default()
            },
            &FreshnessPolicy::default()
        ),
        Ok(60)
    );
}

#[test]
fn default_has_no_heuristics() {
    let modified = &[
        ("last-modified", "Wed, 31 Dec 2025 23:50:00 GMT"),
        ("date", DATE),
    ][..];
    assert_eq!(
        judge(
            &Case {
                response: modified,
                ..Case::default()
            },
            &FreshnessPolicy::default()
        ),
        Ok(0)
    );
    assert_eq!(
        judge(&Case::default(), &FreshnessPolicy::default()),
        Err(Refusal::NoLifetime)
    );
}

fn cloudfront(min: u64, default: u64, max: u64) -> FreshnessPolicy {
    FreshnessPolicy::cloudfront(
        Duration::from_secs(min),
        Duration::from_secs(default),
        Duration::from_secs(max),
    )
}

#[test]
fn cloudfront_ttl_table() {
    let zero = cloudfront(0, 100, 1000);
    let floor = cloudfront(50, 100, 1000);
    let etag = ("etag", "\"a\"");
    for (response, with_zero, with_floor) in [
        (&[("cache-control", "max-age=10")][..], Ok(10), Ok(50)),
        (&[("cache-control", "max-age=5000")], Ok(1000), Ok(1000)),
        (
            &[("cache-control", "max-age=10, s-maxage=70")],
            Ok(70),
            Ok(70),
        ),
        (
            &[("cache-control", "max-age=70"), ("age", "60")],
            Ok(70),
            Ok(70),
        ),
        (
            &[("expires", "Thu, 01 Jan 2026 00:01:00 GMT")],
            Ok(60),
            Ok(60),
        ),
        (&[("expires", "never"), etag], Ok(0), Ok(50)),
        (&[("cache-control", "max-age=x")], Ok(100), Ok(100)),
        (&[], Ok(100), Ok(100)),
        (
            &[("cache-control", "no-store, max-age=70")],
            Err(Refusal::NoStore),
            Ok(50),
        ),
        (
            &[("cache-control", "private, max-age=70")],
            Err(Refusal::Private),
            Ok(50),
        ),
        (
            &[("cache-control", "no-cache, max-age=70"), etag],
            Ok(0),
            Ok(50),
        ),
        (
            &[("cache-control", "no-cache")],
            Err(Refusal::Stale),
            Ok(50),
        ),
        (&[("vary", "*")], Err(Refusal::VaryAny), Ok(100)),
        (&[("set-cookie", "a=b")], Ok(100), Ok(100)),
    ] {
        let case = Case {
            response,
            ..Case::default()
        };
        assert_eq!(judge(&case, &zero), with_zero, "min 0: {response:?}");
        assert_eq!(judge(&case, &floor), with_floor, "min 50: {response:?}");
    }
}

#[test]
fn honor_private_beats_the_minimum_ttl() {
    let policy = FreshnessPolicy {
        honor_private: true,
        ..cloudfront(50, 100, 1000)
    };
    let case = Case {
        response: &[("cache-control", "private")],
        ..Case::default()
    };
    assert_eq!(judge(&case, &policy), Err(Refusal::Private));
}

#[test]
fn cloudfront_caches_the_errors_it_lists() {
    let policy = cloudfront(0, 100, 1000);
    for (status, directives, expected) in [
        (404, "", Ok(10)),
        (404, "max-age=60", Ok(60)),
        (404, "max-age=5", Ok(10)),
        (503, "no-store", Ok(10)),
        (503, "max-age=5000", Ok(1000)),
        (400, "", Err(Refusal::Status)),
        (403, "max-age=5", Ok(10)),
        (416, "max-age=60", Err(Refusal::Status)),
        (410, "max-age=60", Err(Refusal::Status)),
        (429, "", Err(Refusal::Status)),
        (307, "", Err(Refusal::Status)),
        (307, "max-age=60", Ok(60)),
        (302, "", Ok(100)),
        (206, "max-age=60", Err(Refusal::Status)),
    ] {
        let response = [("cache-control", directives)];
        let response = if directives.is_empty() {
            &[][..]
        } else {
            &response[..]
        };
        assert_eq!(
            judge(
                &Case {
                    status,
                    response,
                    ..Case::default()
                },
                &policy
            ),
            expected,
            "{status} {directives}"
        );
    }
    assert_eq!(
        judge(
            &Case {
                status: 404,
                ..Case::default()
            },
            &cloudfront(0, 0, 0)
        ),
        Err(Refusal::Disabled)
    );
}

#[test]
fn named_fields_are_left_out() {
    let exchange = Exchange {
        method: &Method::GET,
        request: &RequestFacts::default(),
        status: StatusCode::OK,
        response: &map(&[(
            "cache-control",
            "max-age=60, no-cache=\"a, b\", private=\"c\"",
        )]),
        requested_at: NOW,
        received_at: NOW,
    };
    let stored = storable(&exchange, &FreshnessPolicy::default()).unwrap();
    assert_eq!(stored.without, ["a", "b", "c"]);
    assert!(!stored.freshness.always_validate);
}

#[test]
fn how_long_a_response_may_be_used_stale() {
    let minute = Duration::from_secs(60);
    let rfc = FreshnessPolicy {
        stale_if_error: minute,
        ..FreshnessPolicy::rfc9111()
    };
    let cloudfront = FreshnessPolicy::cloudfront(Duration::ZERO, minute, 10 * minute);
    for (cache_control, policy, status, expected) in [
        ("max-age=10", &rfc, 200, (0, 60)),
        ("max-age=10, stale-if-error=5", &rfc, 200, (0, 5)),
        ("max-age=10, stale-if-error=0", &rfc, 200, (0, 0)),
        ("max-age=10, stale-if-error=x", &rfc, 200, (0, 0)),
        ("max-age=10, stale-while-revalidate=7", &rfc, 200, (7, 60)),
        (
            "max-age=10, stale-while-revalidate=7, must-revalidate",
            &rfc,
            200,
            (0, 0),
        ),
        (
            "max-age=10, stale-while-revalidate=7, proxy-revalidate",
            &rfc,
            200,
            (0, 0),
        ),
        ("s-maxage=10, stale-while-revalidate=7", &rfc, 200, (0, 0)),
        (
            "max-age=10, no-cache, stale-while-revalidate=7",
            &rfc,
            200,
            (0, 0),
        ),
        ("max-age=10, stale-while-revalidate=7", &rfc, 503, (0, 0)),
        ("max-age=10, stale-while-revalidate=7", &rfc, 404, (7, 60)),
        // Up to the maximum TTL since it was stored.
        ("max-age=10", &cloudfront, 200, (0, 590)),
        ("max-age=9999", &cloudfront, 200, (0, 0)),
        (
            "max-age=10, stale-if-error=20, stale-while-revalidate=9999",
            &cloudfront,
            200,
            (590, 20),
        ),
        ("s-maxage=10", &cloudfront, 200, (0, 590)),
        ("max-age=10, must-revalidate", &cloudfront, 200, (0, 0)),
        ("max-age=10", &cloudfront, 404, (0, 0)),
    ] {
        let exchange = Exchange {
            method: &Method::GET,
            request: &RequestFacts::default(),
            status: StatusCode::from_u16(status).unwrap(),
            response: &map(&[("cache-control", cache_control), ("etag", "\"a\"")]),
            requested_at: NOW,
            received_at: NOW,
        };
        let stored = storable(&exchange, policy).unwrap().freshness;
        let windows = (
            stored.stale_while_revalidate / 1000,
            stored.stale_if_error / 1000,
        );
        assert_eq!(windows, expected, "{cache_control} {status}");
    }
}

#[test]
fn an_s_maxage_that_allows_nothing_lifts_no_ban() {
    let policy = FreshnessPolicy {
        min_ttl: Duration::from_secs(60),
        ..FreshnessPolicy::default()
    };
    for (field, refusal) in [
        ("authorization", Refusal::Authorization),
        ("cookie", Refusal::Cookie),
    ] {
        for (cache_control, expected) in [
            ("s-maxage=x", Err(refusal)),
            ("s-maxage=0", Err(refusal)),
            ("s-maxage=1", Ok(60)),
            ("public, s-maxage=0", Ok(60)),
        ] {
            let case = Case {
                request: &[(field, "a=b")],
                response: &[("cache-control", cache_control)],
                ..Case::default()
            };
            assert_eq!(judge(&case, &policy), expected, "{cache_control} {field}");
        }
    }
}

#[test]
fn a_shield_keeps_no_error_and_shares_what_it_would_have_kept() {
    let shield = |policy: &FreshnessPolicy| FreshnessPolicy {
        keeps: crate::freshness::Keeps::NoErrors,
        ..policy.clone()
    };
    let mut response = HeaderMap::new();
    response.insert("cache-control", "max-age=60".parse().unwrap());
    for policy in [FreshnessPolicy::default(), cloudfront(1, 60, 100)] {
        for status in 200..600 {
            let exchange = Exchange {
                method: &Method::GET,
                request: &RequestFacts::default(),
                status: StatusCode::from_u16(status).unwrap(),
                response: &response,
                requested_at: 0,
                received_at: 0,
            };
            let usual = storable(&exchange, &policy);
            let expected = match &usual {
                Ok(_) if status >= 400 => Err(Refusal::Error),
                usual => usual.clone(),
            };
            assert_eq!(storable(&exchange, &shield(&policy)), expected, "{status}");
            assert_eq!(shareable(&exchange, &shield(&policy)), usual, "{status}");
            assert!(!is_lasting(
                Refusal::Error,
                exchange.request,
                exchange.status
            ));
        }
    }
}
