//! What newer editions of the public conformance suite ask, and it can't be had here: targeted cache control (RFC 9213),
//! `must-understand`, old and absurd ages, `no-store` beside an older answer, updates of `Date`, `immutable` (RFC 8246).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod common;

use common::*;
use frontage::{CachePolicy, freshness::Forward};
use http::{HeaderName, Request};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

type Fields = &'static [(&'static str, &'static str)];

/// How long an answer with these fields is used without asking the origin, in seconds; `None` where it isn't stored.
async fn used_for(policy: CachePolicy, fields: Fields) -> Option<u64> {
    let setup = setup_with(common::policy(policy), move |_| async move {
        response(fields, "body")
    });
    let first = ask(&setup.service, get("/a")).await;
    if !first.cache.is_stored() {
        return None;
    }
    for second in 0..200 {
        let answer = ask(&setup.service, get("/a")).await;
        if !answer.cache.is_hit() {
            return Some(second);
        }
        for (name, value) in fields.iter().filter(|(name, _)| *name != "age") {
            let kept: Vec<_> = answer.headers.get_all(*name).iter().collect();
            assert!(
                kept.iter().any(|kept| *kept == value),
                "{name} is kept for caches behind"
            );
        }
        setup.clock.advance(SECOND);
    }
    panic!("used for ever");
}

#[tokio::test]
async fn a_targeted_field_rules_in_place_of_cache_control_and_expires() {
    const CDN: &str = "cdn-cache-control";
    const CC: &str = "cache-control";
    let cases: &[(Fields, Option<u64>)] = &[
        // Precedence.
        (&[(CDN, "max-age=5"), (CC, "max-age=1")], Some(5)),
        (&[(CDN, "max-age=1"), (CC, "max-age=5")], Some(1)),
        (&[(CDN, "max-age=5"), (CC, "no-store")], Some(5)),
        (&[(CDN, "max-age=5"), (CC, "private")], Some(5)),
        (&[(CDN, "max-age=5"), (CC, "no-cache")], Some(5)),
        (&[(CDN, "max-age=5"), (CC, "s-maxage=1")], Some(5)),
        (&[(CDN, "max-age=5"), ("expires", DATE)], Some(5)),
        (&[(CDN, "max-age=5"), ("expires", "0")], Some(5)),
        (
            &[
                (CDN, "public"),
                ("expires", "Thu, 01 Jan 2026 00:00:05 GMT"),
            ],
            None,
        ),
        // Age.
        (&[(CDN, "max-age=5"), ("age", "2")], Some(3)),
        // What forbids.
        (&[(CDN, "no-store"), (CC, "max-age=5")], None),
        (&[(CDN, "private"), (CC, "max-age=5")], None),
        (&[(CDN, "max-age=5, no-store"), (CC, "max-age=5")], None),
        (
            &[(CDN, "no-cache"), (CC, "max-age=5"), ("etag", "\"a\"")],
            Some(0),
        ),
        (
            &[(CDN, "max-age=0"), (CC, "max-age=5"), ("etag", "\"a\"")],
            Some(0),
        ),
        // Extensions and parameters don't count.
        (&[(CDN, "max-age=5, foo"), (CC, "max-age=1")], Some(5)),
        (
            &[(CDN, "max-age=5;a=b, foo=(1 2)"), (CC, "max-age=1")],
            Some(5),
        ),
        // What is no Dictionary, or empty, is ignored.
        (&[(CDN, "max-age=5, &&&"), (CC, "max-age=2")], Some(2)),
        (&[(CDN, "MAX-AGE=5"), (CC, "max-age=2")], Some(2)),
        (&[(CDN, "max-age=\"5"), (CC, "max-age=2")], Some(2)),
        (&[(CDN, ""), (CC, "max-age=2")], Some(2)),
        (&[(CDN, ","), (CC, "no-store")], None),
        // The last of two counts, also over lines.
        (&[(CDN, "max-age=9, max-age=5"), (CC, "max-age=1")], Some(5)),
        (
            &[(CDN, "max-age=9"), (CDN, "max-age=5"), (CC, "max-age=1")],
            Some(5),
        ),
    ];
    for (fields, expected) in cases {
        for policy in [CachePolicy::default(), CachePolicy::rfc9111()] {
            assert_eq!(used_for(policy, fields).await, *expected, "{fields:?}");
        }
    }
}

#[tokio::test]
async fn which_fields_are_targeted_can_be_said() {
    const FIELDS: Fields = &[
        ("cdn-cache-control", "max-age=5"),
        ("mine-cache-control", "max-age=3"),
        ("cache-control", "max-age=1"),
    ];
    let name = HeaderName::from_static;
    let targets = |names: &[&'static str]| {
        CachePolicy::default().targeted_fields(names.iter().copied().map(name))
    };
    let (mine, cdn) = ("mine-cache-control", "cdn-cache-control");
    assert_eq!(used_for(targets(&[mine, cdn]), FIELDS).await, Some(3));
    assert_eq!(used_for(targets(&[cdn, mine]), FIELDS).await, Some(5));
    assert_eq!(used_for(targets(&["other", mine]), FIELDS).await, Some(3));
    assert_eq!(used_for(targets(&[]), FIELDS).await, Some(1));
    let cloudfront = CachePolicy::caching_optimized();
    assert_eq!(
        used_for(cloudfront, FIELDS).await,
        Some(1),
        "CloudFront knows none"
    );
}

#[tokio::test]
async fn must_understand_stores_what_is_understood() {
    const FIELDS: Fields = &[("cache-control", "max-age=5, no-store, must-understand")];
    for (status, stored) in [
        (200, true),
        (404, true),
        (299, false),
        (499, false),
        (599, false),
    ] {
        let setup = setup(move |_| async move {
            let mut answer = response(FIELDS, "body");
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            answer
        });
        let answer = ask(&setup.service, get("/a")).await;
        assert_eq!(answer.cache.is_stored(), stored, "{status}");
    }
    assert_eq!(
        used_for(
            CachePolicy::default(),
            &[("cache-control", "max-age=5, no-store")]
        )
        .await,
        None
    );
}

#[tokio::test]
async fn a_body_with_a_transfer_coding_that_is_left_on_goes_on_with_its_name_and_is_not_stored() {
    let setup = setup(|request| async move {
        let codings = match request.uri().path() {
            "/chunked" => "chunked",
            "/unknown" => "x-own",
            _ => "GZIP , chunked",
        };
        response(
            &[
                ("cache-control", "max-age=60"),
                ("transfer-encoding", codings),
            ],
            "body",
        )
    });
    for (fetched, detail) in [(1, "transfer-coding"), (2, "uncacheable")] {
        let answer = ask(&setup.service, get("/gzip")).await;
        assert_eq!(answer.headers["transfer-encoding"], "GZIP , chunked");
        assert!(!answer.cache.is_stored());
        assert_eq!(answer.cache.detail().unwrap().to_string(), detail);
        assert_eq!(setup.seen.count(), fetched);
    }
    for path in ["/chunked", "/unknown"] {
        let answer = ask(&setup.service, get(path)).await;
        assert!(answer.cache.is_stored());
        assert!(!answer.headers.contains_key("transfer-encoding"));
    }
}

#[tokio::test]
async fn old_and_absurd_ages() {
    let cases: &[(Fields, Option<u64>)] = &[
        (&[("cache-control", "max-age=5"), ("age", "4")], Some(1)),
        (&[("cache-control", "max-age=5"), ("age", "5")], None),
        (
            &[("cache-control", "max-age=5"), ("age", "2147483648")],
            None,
        ),
        (
            &[
                ("cache-control", "max-age=5"),
                ("age", "99999999999999999999"),
            ],
            None,
        ),
        (&[("cache-control", "max-age=5"), ("age", "-4")], Some(5)),
        (&[("cache-control", "max-age=5"), ("age", "4.5")], Some(5)),
        (&[("cache-control", "max-age=5"), ("age", "4, 1")], Some(1)),
        (
            &[
                ("cache-control", "max-age=5"),
                ("date", "Wed, 31 Dec 2025 23:59:58 GMT"),
            ],
            Some(3),
        ),
        (
            &[
                ("cache-control", "max-age=5"),
                ("date", "Wed, 31 Dec 2025 23:00:00 GMT"),
            ],
            None,
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(
            used_for(CachePolicy::rfc9111(), fields).await,
            *expected,
            "{fields:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_not_to_be_stored_leaves_an_older_one() {
    let count = Arc::new(AtomicUsize::new(0));
    let setup = setup(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            match first {
                true => response(&[("cache-control", "max-age=60")], "old"),
                false => response(&[("cache-control", "no-store")], "new"),
            }
        }
    });
    ask(&setup.service, get("/a")).await;
    let reload = request("GET", "/a", &[("cache-control", "no-cache")]);
    assert_eq!(ask(&setup.service, reload).await.body, b"new");
    let kept = ask(&setup.service, get("/a")).await;
    assert_eq!((kept.body, kept.cache.is_hit()), (b"old".to_vec(), true));
}

#[tokio::test]
async fn a_304_updates_the_date_and_the_lifetime() {
    let setup = setup(|request: Request<ReqBody>| async move {
        let etag = ("etag", "\"a\"");
        match request.headers().contains_key("if-none-match") {
            false => response(
                &[("cache-control", "max-age=1"), ("date", DATE), etag],
                "body",
            ),
            true => {
                let fields = [
                    ("cache-control", "max-age=9"),
                    ("date", "Thu, 01 Jan 2026 00:00:02 GMT"),
                    etag,
                ];
                let mut answer = response(&fields, "");
                *answer.status_mut() = http::StatusCode::NOT_MODIFIED;
                answer
            }
        }
    });
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(2 * SECOND);
    let confirmed = ask(&setup.service, get("/a")).await;
    assert_eq!(
        confirmed.header("date"),
        Some("Thu, 01 Jan 2026 00:00:02 GMT")
    );
    assert_eq!(confirmed.header("age"), Some("0"));
    setup.clock.advance(8 * SECOND);
    let hit = ask(&setup.service, get("/a")).await;
    assert!(hit.cache.is_hit());
    assert_eq!(
        (hit.header("age"), &hit.body[..]),
        (Some("8"), &b"body"[..])
    );
}

#[tokio::test]
async fn a_304_of_another_last_modified_updates_nothing_and_the_whole_is_asked_for_next() {
    const OLD: &str = "Wed, 31 Dec 2025 00:00:00 GMT";
    const OLDER: &str = "Tue, 30 Dec 2025 00:00:00 GMT";
    const TAG: (&str, &str) = ("etag", "\"a\"");
    const AS_BEFORE: &str = "Wednesday, 31-Dec-25 00:00:00 GMT";
    for (tag, said, confirms) in [
        (None, Some(OLDER), false),
        (None, Some(DATE), false),
        (None, Some(OLD), true),
        (None, Some(AS_BEFORE), true),
        (None, None, true),
        // The tag says which one it is.
        (Some(TAG), Some(DATE), true),
    ] {
        let setup = setup(move |request: Request<ReqBody>| async move {
            let asks = request.headers().contains_key("if-modified-since");
            let modified = ("last-modified", if asks { said } else { Some(OLD) });
            let modified = Some(modified).and_then(|(name, value)| Some((name, value?)));
            let cache_control = ("cache-control", "max-age=60, stale-if-error=60");
            let fields: Vec<_> = [Some(cache_control), tag, modified]
                .into_iter()
                .flatten()
                .collect();
            let mut answer = response(&fields, if asks { "" } else { "body" });
            if asks {
                *answer.status_mut() = http::StatusCode::NOT_MODIFIED;
            }
            answer
        });
        ask(&setup.service, get("/a")).await;
        setup.clock.advance(61 * SECOND);
        let answer = ask(&setup.service, get("/a")).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"body"[..]));
        assert_eq!(answer.cache.is_stored(), confirms, "{tag:?} {said:?}");
        let next = ask(&setup.service, get("/a")).await;
        assert_eq!(next.cache.is_hit(), confirms, "{tag:?} {said:?}");
        assert_eq!(next.body, b"body");
        let cache_status = answer.header("cache-status").unwrap();
        assert_eq!(cache_status.contains("revalidated"), confirms);
        if !confirms {
            assert!(cache_status.contains("stale-if-error"), "{cache_status}");
            assert_eq!(answer.header("last-modified"), Some(OLD), "{said:?}");
            assert_eq!(answer.header("age"), Some("61"), "{said:?}");
            let asked = setup.seen.last().headers;
            assert!(!asked.contains_key("if-modified-since"), "{said:?}");
        }
    }
}

#[tokio::test]
async fn what_may_not_be_stale_is_a_502_where_a_304_is_of_another_version_and_then_fetched() {
    for cache_control in [
        "max-age=60",
        "max-age=59, stale-if-error=1",
        "max-age=60, stale-if-error=60, must-revalidate",
        "no-cache, stale-if-error=60",
    ] {
        let setup = setup(move |request: Request<ReqBody>| async move {
            let asks = request.headers().contains_key("if-modified-since");
            let modified = match asks {
                true => "Tue, 30 Dec 2025 00:00:00 GMT",
                false => "Wed, 31 Dec 2025 00:00:00 GMT",
            };
            let fields = [
                ("cache-control", cache_control),
                ("last-modified", modified),
            ];
            let mut answer = response(&fields, if asks { "" } else { "body" });
            if asks {
                *answer.status_mut() = http::StatusCode::NOT_MODIFIED;
            }
            answer
        });
        ask(&setup.service, get("/a")).await;
        setup.clock.advance(61 * SECOND);
        assert_eq!(ask(&setup.service, get("/a")).await.status, 502);
        let next = ask(&setup.service, get("/a")).await;
        assert_eq!((next.status, &next.body[..]), (200, &b"body"[..]));
        assert!(next.cache.is_stored());
    }
}

/// An origin whose 304 is of an older version than what it answers in full.
fn with_304_of_an_older_one() -> Setup {
    setup(|request: Request<ReqBody>| async move {
        let asks = request.headers().contains_key("if-modified-since");
        let modified = match asks {
            true => "Tue, 30 Dec 2025 00:00:00 GMT",
            false => "Wed, 31 Dec 2025 00:00:00 GMT",
        };
        let fields = [("cache-control", "max-age=60"), ("last-modified", modified)];
        let mut answer = response(&fields, if asks { "" } else { "body" });
        if asks {
            *answer.status_mut() = http::StatusCode::NOT_MODIFIED;
        }
        answer
    })
}

#[tokio::test]
async fn what_is_fresh_answers_a_reload_whose_304_is_of_another_version() {
    for (credentials, stays) in [(&[][..], false), (&[("authorization", "alice")], true)] {
        let setup = with_304_of_an_older_one();
        ask(&setup.service, get("/a")).await;
        let mut reload = request("GET", "/a", credentials);
        let max_age = http::HeaderValue::from_static("max-age=0");
        reload.headers_mut().insert("cache-control", max_age);
        let answer = ask(&setup.service, reload).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"body"[..]));
        assert_eq!(
            answer.header("cache-status"),
            Some("frontage; fwd=request; fwd-status=304; ttl=60")
        );
        assert_eq!(setup.seen.count(), 2);
        let next = ask(&setup.service, get("/a")).await;
        assert_eq!(next.cache.is_hit(), stays, "what is fresh is others'");
    }
}

#[tokio::test]
async fn a_304_of_another_last_modified_for_one_with_credentials_purges_nothing() {
    let setup = setup(|request: Request<ReqBody>| async move {
        let modified = match request.headers().contains_key("authorization") {
            true => "Tue, 30 Dec 2025 00:00:00 GMT",
            false => "Wed, 31 Dec 2025 00:00:00 GMT",
        };
        let asks = request.headers().contains_key("if-modified-since");
        let cache_control = ("cache-control", "max-age=60, stale-if-error=60");
        let fields = [cache_control, ("last-modified", modified)];
        let mut answer = response(&fields, if asks { "" } else { "body" });
        if asks {
            *answer.status_mut() = http::StatusCode::NOT_MODIFIED;
        }
        answer
    });
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(61 * SECOND);
    let alice = request("GET", "/a", &[("authorization", "alice")]);
    assert_eq!(ask(&setup.service, alice).await.body, b"body");
    let next = ask(&setup.service, get("/a")).await;
    let asked = setup.seen.last().headers;
    assert!(asked.contains_key("if-modified-since"));
    assert!(next.cache.is_stored());
}

#[tokio::test]
async fn a_304_of_another_last_modified_is_got_once_with_credentials_too() {
    let setup = with_304_of_an_older_one();
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(61 * SECOND);
    let alice = || request("GET", "/a", &[("authorization", "alice")]);
    assert_eq!(ask(&setup.service, alice()).await.status, 502);
    assert_eq!(ask(&setup.service, alice()).await.body, b"body");
}

#[tokio::test]
async fn those_who_wait_for_a_304_of_another_last_modified_get_the_whole_by_one_more_fetch() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let setup = setup({
        let gate = gate.clone();
        move |request: Request<ReqBody>| {
            let gate = gate.clone();
            async move {
                let asks = request.headers().contains_key("if-modified-since");
                let modified = match asks {
                    true => "Tue, 30 Dec 2025 00:00:00 GMT",
                    false => "Wed, 31 Dec 2025 00:00:00 GMT",
                };
                let cache_control = ("cache-control", "max-age=60, stale-if-error=60");
                let fields = [cache_control, ("last-modified", modified)];
                let mut answer = response(&fields, "body");
                if asks {
                    gate.acquire().await.unwrap().forget();
                    answer = response(&fields, "");
                    *answer.status_mut() = http::StatusCode::NOT_MODIFIED;
                }
                answer
            }
        }
    });
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(61 * SECOND);
    let asking = (0..10).map(|_| ask(&setup.service, get("/a")));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(asking), async {
        until(|| setup.seen.count() == 2).await;
        gate.add_permits(1);
    });
    assert!(answers.iter().all(|answer| answer.body == b"body"));
    assert_eq!(setup.seen.count(), 3);
}

#[tokio::test]
async fn a_browsers_reload_does_not_ask_for_what_is_immutable() {
    for (cache_control, asked) in [("max-age=60, immutable", 1), ("max-age=60", 2)] {
        let setup = setup(move |_| async move {
            response(
                &[("cache-control", cache_control), ("etag", "\"a\"")],
                "body",
            )
        });
        ask(&setup.service, get("/a")).await;
        ask(
            &setup.service,
            request("GET", "/a", &[("cache-control", "max-age=0")]),
        )
        .await;
        assert_eq!(setup.seen.count(), asked, "{cache_control}");
        ask(
            &setup.service,
            request("GET", "/a", &[("cache-control", "no-cache")]),
        )
        .await;
        assert_eq!(setup.seen.count(), asked + 1);
    }
}

/// An origin that answers a `GET` with the first fields and a body of four bytes, and a `HEAD` with the others, always in full.
fn with_heads(policy: CachePolicy, gets: Fields, status: u16, heads: Fields) -> Setup {
    setup_with(common::policy(policy), move |request| async move {
        match request.method() == "HEAD" {
            true => response_with(status, heads, channel().1),
            false => response(gets, "body"),
        }
    })
}

/// Asks for the head, from the origin.
fn reload_head(fields: &[(&str, &str)]) -> Request<ReqBody> {
    let mut request = request("HEAD", "/a", fields);
    let no_cache = http::HeaderValue::from_static("no-cache");
    request.headers_mut().insert("cache-control", no_cache);
    request
}

#[tokio::test]
async fn a_head_that_agrees_freshens_what_is_stored() {
    const MODIFIED: (&str, &str) = ("last-modified", "Mon, 01 Dec 2025 00:00:00 GMT");
    const NEW: (&str, &str) = ("cache-control", "public, max-age=60");
    let cases: [(Fields, Fields); 4] = [
        (&[("cache-control", "max-age=10")], &[NEW, ("x-new", "1")]),
        (
            &[("cache-control", "max-age=10"), ("x-new", "0")],
            &[NEW, ("x-new", "1"), ("content-length", "4")],
        ),
        (
            &[("cache-control", "max-age=10"), ("etag", "\"a\"")],
            &[NEW, ("x-new", "1"), ("etag", "\"a\"")],
        ),
        (
            &[("cache-control", "max-age=10"), ("etag", "\"a\""), MODIFIED],
            &[NEW, ("x-new", "1"), MODIFIED],
        ),
    ];
    for (gets, heads) in cases {
        for policy in [CachePolicy::default(), CachePolicy::rfc9111()] {
            // Led, and alone.
            for credentials in [&[][..], &[("authorization", "alice")]] {
                let setup = with_heads(policy.clone(), gets, 200, heads);
                ask(&setup.service, get("/a")).await;
                setup.clock.advance(11 * SECOND);
                let head = ask(&setup.service, request("HEAD", "/a", credentials)).await;
                assert_eq!(
                    (head.status, setup.seen.last().method.as_str()),
                    (200, "HEAD")
                );
                setup.clock.advance(SECOND);
                let hit = ask(&setup.service, get("/a")).await;
                assert_eq!(hit.header("cache-status"), Some("frontage; hit; ttl=59"));
                assert_eq!(hit.header("x-new"), Some("1"), "{gets:?} {heads:?}");
                assert_eq!(
                    (&hit.body[..], hit.header("age")),
                    (&b"body"[..], Some("1"))
                );
                assert_eq!(setup.seen.count(), 2);
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_disagrees_makes_what_is_stored_stale() {
    const KEPT: Fields = &[
        ("cache-control", "max-age=60, stale-if-error=60"),
        ("etag", "\"a\""),
        ("last-modified", "Mon, 01 Dec 2025 00:00:00 GMT"),
    ];
    let cases: [Fields; 4] = [
        &[("cache-control", "public, max-age=60"), ("etag", "\"b\"")],
        &[
            ("cache-control", "public"),
            ("etag", "\"a\""),
            ("last-modified", DATE),
        ],
        &[("cache-control", "public"), ("content-length", "5")],
        &[("cache-control", "no-store"), ("etag", "\"b\"")],
    ];
    for heads in cases {
        for credentials in [&[][..], &[("authorization", "alice")]] {
            let setup = with_heads(CachePolicy::rfc9111(), KEPT, 200, heads);
            ask(&setup.service, get("/a")).await;
            setup.clock.advance(SECOND);
            assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
            ask(&setup.service, reload_head(credentials)).await;
            let only = request("GET", "/a", &[("cache-control", "max-stale")]);
            let stale = ask(&setup.service, only).await;
            assert_eq!(stale.cache.ttl(), Some(0), "kept, but stale: {heads:?}");
            assert!(stale.cache.is_hit());
            let anew = ask(&setup.service, get("/a")).await;
            assert_eq!(anew.cache.forward(), Some(Forward::Stale), "{heads:?}");
            assert_eq!(setup.seen.last().headers["if-none-match"], "\"a\"");
        }
    }
}

/// A handler in the process answers a `HEAD` like a `GET`, and who is around it drops the body.
#[tokio::test]
async fn a_head_may_tell_its_length_by_a_body() {
    for credentials in [&[][..], &[("authorization", "alice")]] {
        let setup = setup_with(
            common::policy(CachePolicy::rfc9111()),
            |request| async move {
                let body = match request.method() == "HEAD" {
                    true => "longer",
                    false => "body",
                };
                response(&[("cache-control", "public, max-age=60")], body)
            },
        );
        ask(&setup.service, get("/a")).await;
        ask(&setup.service, reload_head(credentials)).await;
        let anew = ask(&setup.service, get("/a")).await;
        assert_eq!(anew.cache.forward(), Some(Forward::Stale));
    }
}

#[tokio::test]
async fn a_head_that_forbids_to_store_removes_what_it_describes() {
    let setup = with_heads(
        CachePolicy::default(),
        &[("cache-control", "max-age=60"), ("etag", "\"a\"")],
        200,
        &[("cache-control", "no-store"), ("etag", "\"a\"")],
    );
    ask(&setup.service, get("/a")).await;
    ask(&setup.service, reload_head(&[])).await;
    assert_eq!(setup.store.usage().entries, 0);
}

#[tokio::test]
async fn a_head_leaves_alone_what_it_says_nothing_of() {
    const KEPT: Fields = &[("cache-control", "max-age=60"), ("etag", "\"a\"")];
    const OTHER: Fields = &[("cache-control", "max-age=60"), ("etag", "\"b\"")];
    for (policy, status, fields) in [
        // Not a 200.
        (CachePolicy::default(), 404, &[][..]),
        (CachePolicy::default(), 304, &[]),
        // Somebody's own.
        (CachePolicy::default(), 200, &[("cookie", "id=alice")]),
        (CachePolicy::rfc9111(), 200, &[("authorization", "alice")]),
    ] {
        let setup = with_heads(policy, KEPT, status, OTHER);
        ask(&setup.service, get("/a")).await;
        ask(&setup.service, reload_head(fields)).await;
        assert_eq!(setup.seen.last().method, "HEAD", "{status} {fields:?}");
        let hit = ask(&setup.service, get("/a")).await;
        assert_eq!(hit.header("cache-status"), Some("frontage; hit; ttl=60"));
    }
}

#[tokio::test]
async fn in_the_cloudfront_profiles_a_head_updates_nothing() {
    const FIELDS: Fields = &[("cache-control", "max-age=60")];
    let setup = with_heads(CachePolicy::caching_optimized(), FIELDS, 200, FIELDS);
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(61 * SECOND);
    ask(&setup.service, request("HEAD", "/a", &[])).await;
    assert_eq!(setup.seen.last().method, "HEAD");
    let stale = ask(&setup.service, get("/a")).await;
    assert_eq!(stale.cache.forward(), Some(Forward::Stale));
}

#[tokio::test]
async fn a_head_says_nothing_of_what_came_after_it_went_out() {
    for (later, expected) in [(Duration::ZERO, false), (Duration::from_millis(1), true)] {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let setup = setup({
            let gate = gate.clone();
            move |request| {
                let gate = gate.clone();
                async move {
                    if request.method() == "HEAD" {
                        gate.acquire().await.unwrap().forget();
                        let fields = [("cache-control", "max-age=60"), ("etag", "\"old\"")];
                        return response_with(200, &fields, channel().1);
                    }
                    response(
                        &[("cache-control", "max-age=60"), ("etag", "\"new\"")],
                        "new",
                    )
                }
            }
        });
        let service = setup.service.clone();
        let head = tokio::spawn(async move { ask(&service, request("HEAD", "/a", &[])).await });
        until(|| setup.seen.count() == 1).await;
        setup.clock.advance(later);
        ask(&setup.service, get("/a")).await;
        until(|| setup.store.usage().entries == 1).await;
        gate.add_permits(1);
        head.await.unwrap();
        let cache = ask(&setup.service, get("/a")).await.cache;
        assert_eq!(cache.is_hit(), expected, "{later:?}");
    }
}

#[tokio::test]
async fn a_head_is_about_the_variant_that_it_asks_for() {
    let setup = setup(|request| async move {
        let fields = [
            ("cache-control", "max-age=60"),
            ("vary", "accept-language"),
            ("x-method", request.method().as_str()),
            (
                "content-length",
                if request.method() == "HEAD" { "9" } else { "4" },
            ),
        ];
        match request.method() == "HEAD" {
            true => response_with(200, &fields, channel().1),
            false => response(&fields, "body"),
        }
    });
    let language = |language| [("accept-language", language)];
    for asked in ["en", "de"] {
        ask(&setup.service, request("GET", "/a", &language(asked))).await;
    }
    ask(&setup.service, reload_head(&language("en"))).await;
    for (asked, is_hit) in [("en", false), ("de", true)] {
        let answer = ask(&setup.service, request("GET", "/a", &language(asked))).await;
        assert_eq!(answer.cache.is_hit(), is_hit, "{asked}");
    }
}

#[tokio::test]
async fn an_answer_on_its_way_is_for_those_whose_directives_it_satisfies() {
    for (fields, shared) in [
        (&[][..], true),
        (&[("cache-control", "max-age=100")], true),
        (&[("cache-control", "max-age=30")], false),
        (&[("cache-control", "max-age=0")], false),
        (&[("cache-control", "no-cache")], false),
        (&[("cache-control", "min-fresh=600")], false),
    ] {
        let setup = setup(|_| async {
            let (sender, body) = channel();
            // Open as long as the test runs.
            std::mem::forget(sender);
            response_with(200, &[("cache-control", "max-age=600")], body)
        });
        let leader = head(&setup.service, get("/a")).await;
        setup.clock.advance(Duration::from_secs(60));
        let follower = head(&setup.service, request("GET", "/a", fields)).await;
        let count = if shared { 1 } else { 2 };
        assert_eq!(setup.seen.count(), count, "{fields:?}");
        drop((leader, follower));
    }
}
