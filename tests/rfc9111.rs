//! What newer editions of the public conformance suite ask, and it can't be had here: targeted cache control (RFC 9213),
//! `must-understand`, old and absurd ages, `no-store` beside an older answer, updates of `Date`, `immutable` (RFC 8246).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod common;

use common::*;
use frontage::CachePolicy;
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
