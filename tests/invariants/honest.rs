//! 9. Honest. And how the pieces of HTTP behave in the whole.

use crate::common::*;
use bytes::Bytes;
use frontage::{
    CachePolicy,
    freshness::{Forward, Refusal},
    status::Detail,
};
use http::Request;
use std::time::Duration;

const FRESH: &[(&str, &str)] = &[
    ("cache-control", "max-age=60"),
    ("etag", "\"a\""),
    ("content-length", "10"),
];

fn digits() -> Setup {
    setup(|_| async { response(FRESH, "0123456789") })
}

#[tokio::test]
async fn honest_status_field_and_extension_agree_with_what_happened() {
    let setup = digits();
    let miss = ask(&setup.service, get("/a")).await;
    assert_eq!(miss.cache.forward(), Some(Forward::UriMiss));
    assert!(miss.cache.is_stored() && !miss.cache.is_hit());
    assert_eq!(
        miss.header("cache-status"),
        Some("frontage; fwd=uri-miss; ttl=60; stored")
    );
    assert_eq!(
        (miss.header("x-cache"), miss.header("age")),
        (Some("Miss from frontage"), None)
    );

    setup.clock.advance(Duration::from_secs(7));
    let hit = ask(&setup.service, get("/a")).await;
    assert_eq!(hit.header("cache-status"), Some("frontage; hit; ttl=53"));
    assert_eq!(
        (hit.header("x-cache"), hit.header("age")),
        (Some("Hit from frontage"), Some("7"))
    );
    assert_eq!(hit.cache.ttl(), Some(53));

    setup.clock.advance(Duration::from_secs(60));
    let stale = ask(&setup.service, get("/a")).await;
    assert_eq!(stale.cache.forward(), Some(Forward::Stale));
    assert_eq!(setup.seen.count(), 2);

    let posted = ask(&setup.service, request("POST", "/a", &[])).await;
    assert_eq!(posted.header("cache-status"), Some("frontage; fwd=method"));
}

#[tokio::test]
async fn honest_about_why_nothing_is_stored() {
    for (fields, refusal) in [
        (&[("cache-control", "no-store")][..], Refusal::NoStore),
        (&[("cache-control", "private")], Refusal::Private),
        (
            &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
            Refusal::SetCookie,
        ),
        (
            &[("cache-control", "max-age=60"), ("vary", "*")],
            Refusal::VaryAny,
        ),
        (&[], Refusal::NoLifetime),
        (&[("cache-control", "max-age=nonsense")], Refusal::Stale),
        (&[("expires", "nonsense")], Refusal::Stale),
    ] {
        let setup = setup(move |_| async move { response(fields, "answer") });
        let answer = ask(&setup.service, get("/a")).await;
        assert_eq!(
            answer.cache.detail(),
            Some(Detail::NotStored(refusal)),
            "{fields:?}"
        );
        assert!(!answer.cache.is_stored());
        assert_eq!(setup.store.usage().entries, 0);
        assert_eq!(
            ask(&setup.service, get("/a")).await.cache.detail(),
            Some(Detail::Uncacheable)
        );
    }
}

#[tokio::test]
async fn what_the_cache_says_can_be_turned_off_and_renamed() {
    let quiet = setup_with(
        |layer| {
            layer
                .cache_status(false)
                .x_cache(false)
                .status_extension(false)
        },
        |_| async { response(FRESH, "0123456789") },
    );
    for _ in 0..2 {
        let response = head(&quiet.service, get("/a")).await;
        let names: Vec<_> = response
            .headers()
            .keys()
            .map(|name| name.as_str())
            .collect();
        assert!(
            !names.contains(&"cache-status") && !names.contains(&"x-cache"),
            "{names:?}"
        );
        assert!(response.extensions().is_empty());
        http_body_util::BodyExt::collect(response.into_body())
            .await
            .unwrap();
    }
    let renamed = setup_with(
        |layer| layer.product("cloudfront").unwrap(),
        |_| async { response(FRESH, "0123456789") },
    );
    ask(&renamed.service, get("/a")).await;
    let hit = ask(&renamed.service, get("/a")).await;
    assert_eq!(hit.header("x-cache"), Some("Hit from cloudfront"));
    assert_eq!(hit.header("cache-status"), Some("cloudfront; hit; ttl=60"));
    let layer = frontage::CacheLayer::new(frontage::MemoryStore::new(1));
    assert!(
        layer
            .product("no token")
            .unwrap_err()
            .to_string()
            .contains("no token")
    );
}

#[tokio::test]
async fn caches_upstream_keep_their_word() {
    let setup = setup(|_| async {
        let fields = [
            ("cache-control", "max-age=60"),
            ("cache-status", "origin; hit"),
            ("age", "10"),
            ("x-cache", "Hit from elsewhere"),
        ];
        response(&fields, "answer")
    });
    let miss = ask(&setup.service, get("/a")).await;
    let said: Vec<_> = miss.headers.get_all("cache-status").iter().collect();
    assert_eq!(
        said,
        ["origin; hit", "frontage; fwd=uri-miss; ttl=50; stored"]
    );
    assert_eq!(
        (miss.header("age"), miss.header("x-cache")),
        (Some("10"), Some("Miss from frontage"))
    );
    let hit = ask(&setup.service, get("/a")).await;
    assert_eq!(
        hit.header("cache-status"),
        Some("origin; hit, frontage; hit; ttl=50")
    );
    assert_eq!(
        (hit.header("age"), hit.header("x-cache")),
        (Some("10"), Some("Hit from frontage"))
    );
}

#[tokio::test]
async fn a_response_without_a_date_is_given_that_of_its_reception() {
    let setup = digits();
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(Duration::from_secs(7));
    let hit = ask(&setup.service, get("/a")).await;
    assert_eq!(hit.header("date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
}

#[tokio::test]
async fn head_is_answered_from_a_stored_get_and_stores_nothing_itself() {
    let setup = setup(|request: Request<ReqBody>| async move {
        let body = if request.method() == "HEAD" {
            ""
        } else {
            "0123456789"
        };
        response(&[("cache-control", "max-age=60")], body)
    });
    let head_miss = ask(&setup.service, request("HEAD", "/a", &[])).await;
    assert_eq!(setup.seen.last().method, "HEAD");
    assert!(head_miss.body.is_empty() && !head_miss.cache.is_stored());
    assert_eq!(setup.store.usage().entries, 0);
    assert_eq!(ask(&setup.service, get("/a")).await.body, b"0123456789");
    let hit = ask(&setup.service, request("HEAD", "/a", &[])).await;
    assert!(hit.cache.is_hit() && hit.body.is_empty());
    assert_eq!(hit.header("content-length"), Some("10"));
}

#[tokio::test]
async fn head_never_announces_a_length_that_a_get_would_not_have() {
    let setup = setup(|_| async { response(&[("cache-control", "max-age=60")], "0123456789") });
    let length_of = |response: &http::Response<CachedBody>| {
        (
            response.headers().get("content-length").cloned(),
            http_body::Body::size_hint(response.body()).exact(),
        )
    };
    let ask_head = || request("HEAD", "/a", &[("if-none-match", "\"x\"")]);
    // Neither led nor followed: what isn't known isn't said.
    let open = head(&setup.service, get("/a")).await;
    assert_eq!(length_of(&head(&setup.service, ask_head()).await).1, None);
    http_body_util::BodyExt::collect(open.into_body())
        .await
        .unwrap();
    until(|| setup.store.usage().entries == 1).await;
    let hit = head(&setup.service, ask_head()).await;
    assert_eq!(length_of(&hit), (Some("10".parse().unwrap()), None));
}

#[tokio::test]
async fn ranges_are_cut_from_what_is_stored_and_asked_for_as_they_come() {
    let setup = digits();
    let range = |value| request("GET", "/a", &[("range", value)]);
    ask(&setup.service, range("bytes=0-1")).await;
    assert_eq!(setup.seen.last().headers["range"], "bytes=0-1");
    ask(&setup.service, range("bytes=0-1")).await;
    assert_eq!(setup.seen.count(), 1, "the whole that came is stored");

    let part = ask(&setup.service, range("bytes=2-4")).await;
    assert_eq!((part.status, &part.body[..]), (206, &b"234"[..]));
    assert_eq!(
        (part.header("content-range"), part.header("content-length")),
        (Some("bytes 2-4/10"), Some("3"))
    );
    let nothing = ask(&setup.service, range("bytes=10-")).await;
    assert_eq!(
        (nothing.status, nothing.header("content-range")),
        (416, Some("bytes */10"))
    );
    assert!(
        nothing.body.is_empty()
            && nothing
                .header("content-length")
                .is_none_or(|length| length == "0")
    );
    let changed = request(
        "GET",
        "/a",
        &[("range", "bytes=2-4"), ("if-range", "\"old\"")],
    );
    assert_eq!(ask(&setup.service, changed).await.status, 200);
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test]
async fn conditions_are_answered_here_and_never_taken_for_the_stored_ones() {
    let setup = setup(|request: Request<ReqBody>| async move {
        // Confirms whatever it is asked about.
        match request.headers().contains_key("if-none-match") {
            true => response_with(304, &[], channel().1),
            false => response(FRESH, "0123456789"),
        }
    });
    let condition = |tag| request("GET", "/a", &[("if-none-match", tag)]);
    // On a miss the whole is fetched, and the condition answered here.
    let miss = ask(&setup.service, condition("\"a\"")).await;
    assert!(!setup.seen.last().headers.contains_key("if-none-match"));
    assert_eq!(
        (
            miss.status,
            miss.cache.forward_status().map(|status| status.as_u16())
        ),
        (304, Some(200))
    );
    until(|| setup.store.usage().entries == 1).await;
    assert_eq!(ask(&setup.service, condition("W/\"a\"")).await.status, 304);
    let other = ask(&setup.service, condition("\"other\"")).await;
    assert_eq!((other.status, &other.body[..]), (200, &b"0123456789"[..]));
    assert_eq!(setup.seen.count(), 1);
    // When it is stale, ours goes out in place of the viewer's.
    setup.clock.advance(Duration::from_secs(61));
    let stale = ask(&setup.service, condition("\"other\"")).await;
    assert_eq!(setup.seen.last().headers["if-none-match"], "\"a\"");
    assert_eq!((stale.status, &stale.body[..]), (200, &b"0123456789"[..]));
    assert_eq!(stale.header("x-cache"), Some("RefreshHit from frontage"));
}

#[tokio::test]
async fn in_the_cloudfront_profiles_the_viewers_conditions_are_forwarded() {
    let setup = setup_with(
        policy(CachePolicy::caching_optimized()),
        |request: Request<ReqBody>| async move {
            match request.headers().contains_key("if-none-match") {
                true => response_with(304, &[], channel().1),
                false => response(FRESH, "0123456789"),
            }
        },
    );
    assert_eq!(
        ask(
            &setup.service,
            request("GET", "/a", &[("if-none-match", "\"x\"")])
        )
        .await
        .status,
        304
    );
    assert_eq!(setup.seen.last().headers["if-none-match"], "\"x\"");
    assert_eq!(
        setup.store.usage().entries,
        0,
        "a 304 for a viewer's own condition is no proof of anything"
    );
    assert_eq!(ask(&setup.service, get("/a")).await.body, b"0123456789");
}

#[tokio::test]
async fn a_304_updates_what_is_stored() {
    let setup = setup(|request: Request<ReqBody>| async move {
        match request.headers().contains_key("if-none-match") {
            true => response_with(
                304,
                &[("cache-control", "max-age=600"), ("x-new", "1")],
                channel().1,
            ),
            false => response(FRESH, "0123456789"),
        }
    });
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(Duration::from_secs(61));
    let confirmed = ask(&setup.service, get("/a")).await;
    assert_eq!(
        confirmed.header("cache-status"),
        Some("frontage; fwd=stale; fwd-status=304; ttl=600; stored; detail=revalidated")
    );
    assert_eq!(
        (confirmed.header("x-new"), confirmed.header("cache-control")),
        (Some("1"), Some("max-age=600"))
    );
    setup.clock.advance(Duration::from_secs(500));
    let hit = ask(&setup.service, get("/a")).await;
    assert!(hit.cache.is_hit());
    assert_eq!(
        (hit.header("x-new"), &hit.body[..]),
        (Some("1"), &b"0123456789"[..])
    );
}

#[tokio::test]
async fn unsafe_methods_invalidate_their_target_and_what_they_name() {
    let setup = setup(|request: Request<ReqBody>| async move {
        let fields = [
            ("cache-control", "max-age=60"),
            ("location", "/b"),
            ("content-location", "http://h/c"),
        ];
        let status = if request.headers().contains_key("x-fail") {
            500
        } else {
            200
        };
        let body = http_body_util::BodyExt::boxed_unsync(http_body_util::BodyExt::map_err(
            http_body_util::Full::new(Bytes::from("answer")),
            |never| match never {},
        ));
        response_with(status, &fields, body)
    });
    let fill = async || {
        for path in [
            "http://h/a",
            "http://h/b",
            "http://h/c",
            "http://h/d",
            "http://other/a",
        ] {
            ask(&setup.service, get(path)).await;
        }
    };
    let hits = async || {
        let mut hits = String::new();
        for path in [
            "http://h/a",
            "http://h/b",
            "http://h/c",
            "http://h/d",
            "http://other/a",
        ] {
            let only = request("GET", path, &[("cache-control", "only-if-cached")]);
            hits.push(if ask(&setup.service, only).await.cache.is_hit() {
                'h'
            } else {
                '-'
            });
        }
        hits
    };
    fill().await;
    ask(
        &setup.service,
        request("POST", "http://h/a", &[("x-fail", "1")]),
    )
    .await;
    assert_eq!(hits().await, "hhhhh", "a failure changes nothing");
    ask(&setup.service, request("OPTIONS", "http://h/a", &[])).await;
    assert_eq!(hits().await, "hhhhh", "a safe method changes nothing");
    ask(&setup.service, request("PUT", "http://h/a", &[])).await;
    assert_eq!(hits().await, "---hh");
    fill().await;
    assert_eq!(hits().await, "hhhhh");
}

#[tokio::test]
async fn a_fetch_that_began_before_an_invalidation_is_delivered_but_not_used_again() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let handler_gate = gate.clone();
    let setup = setup(move |request: Request<ReqBody>| {
        let gate = handler_gate.clone();
        async move {
            if request.method() == "GET" {
                gate.acquire().await.unwrap().forget();
            }
            response(&[("cache-control", "max-age=60")], "answer")
        }
    });
    let service = setup.service.clone();
    let fetch = tokio::spawn(async move { ask(&service, get("/a")).await });
    until(|| setup.seen.count() == 1).await;
    ask(&setup.service, request("DELETE", "/a", &[])).await;
    gate.add_permits(2);
    assert_eq!(fetch.await.unwrap().body, b"answer");
    assert!(!ask(&setup.service, get("/a")).await.cache.is_hit());
    assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
}

#[tokio::test]
async fn an_answer_to_a_post_that_names_its_target_answers_a_get() {
    let setup = setup(|request: Request<ReqBody>| async move {
        let fields = [
            ("cache-control", "max-age=60"),
            ("content-location", request.uri().path()),
        ];
        response(&fields, "posted")
    });
    assert!(
        ask(&setup.service, request("POST", "/a", &[]))
            .await
            .cache
            .is_stored()
    );
    let hit = ask(&setup.service, get("/a")).await;
    assert!(hit.cache.is_hit());
    assert_eq!(hit.body, b"posted");
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test]
async fn only_if_cached_is_answered_here() {
    let setup = digits();
    let only = || request("GET", "/a", &[("cache-control", "only-if-cached")]);
    assert_eq!(ask(&setup.service, only()).await.status, 504);
    assert_eq!(setup.seen.count(), 0);
    ask(&setup.service, get("/a")).await;
    assert_eq!(ask(&setup.service, only()).await.status, 200);
}

#[tokio::test]
async fn what_is_bypassed_is_untouched() {
    let setup = setup_with(
        |layer| layer.bypass_if(|parts| parts.uri.path().starts_with("/live")),
        |_| async { response(FRESH, "0123456789") },
    );
    for request in [
        || get("/live"),
        || {
            request(
                "GET",
                "/a",
                &[("upgrade", "websocket"), ("connection", "upgrade")],
            )
        },
        || request("GET", "/a", &[("if-match", "\"a\"")]),
    ] {
        for _ in 0..2 {
            assert_eq!(
                ask(&setup.service, request()).await.cache.forward(),
                Some(Forward::Bypass)
            );
        }
        assert_eq!(setup.seen.last().headers, *request().headers());
    }
    assert_eq!(setup.store.usage().entries, 0);
}

#[tokio::test]
async fn odd_header_fields_never_hurt() {
    let odd: &[&[u8]] = &[
        b"\xff\xfe",
        b"",
        b",,,",
        b"\"",
        b"max-age=\"",
        b"99999999999999999999999999",
        b"-1",
        b"*",
        b"W/",
    ];
    let names = [
        "cache-control",
        "expires",
        "age",
        "date",
        "vary",
        "etag",
        "last-modified",
        "content-length",
        "connection",
    ];
    for name in names {
        for value in odd {
            let setup = setup(move |_| async move {
                let mut response = response(&[("etag", "\"a\"")], "answer");
                response
                    .headers_mut()
                    .insert(name, http::HeaderValue::from_bytes(value).unwrap());
                response
            });
            let mut odd_request = get("/a");
            for name in [
                "cache-control",
                "pragma",
                "if-none-match",
                "if-modified-since",
                "if-range",
                "range",
                "host",
                "accept-encoding",
                "cookie",
            ] {
                odd_request
                    .headers_mut()
                    .insert(name, http::HeaderValue::from_bytes(value).unwrap());
            }
            for request in [get("/a"), odd_request, get("/a")] {
                let answer = head(&setup.service, request).await;
                assert!(
                    answer.status().as_u16() < 500,
                    "{name}: {}",
                    value.escape_ascii()
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_said_is_of_this_second_and_of_this_layer() {
    let core = frontage::CacheCore::builder(frontage::MemoryStore::new(1 << 20));
    let clock = frontage::clock::ManualClock::at(NOW);
    let core = core.clock(clock.clone()).build().unwrap();
    let seen = Seen::default();
    let handler =
        |_| async { response(&[("cache-control", "max-age=60"), ("x-own", "1")], "answer") };
    let layer = frontage::CacheLayer::with_core(core.clone());
    let plain = cached(layer.clone(), &seen, handler);
    let renamed = cached(layer.clone().product("other").unwrap(), &seen, handler);
    let quiet = cached(layer.x_cache(false).age(false), &seen, handler);
    ask(&plain, get("/a")).await;
    for second in 0..5 {
        for _ in 0..4 {
            let hit = ask(&plain, get("/a")).await;
            let status = format!("frontage; hit; ttl={}", 60 - second);
            assert_eq!(
                (hit.header("cache-status"), hit.header("age")),
                (Some(&status[..]), Some(&second.to_string()[..]))
            );
            assert_eq!(hit.header("x-own"), Some("1"));
            let other = ask(&renamed, get("/a")).await;
            assert_eq!(other.header("x-cache"), Some("Hit from other"));
            let quiet = ask(&quiet, get("/a")).await;
            assert!(quiet.header("x-cache").is_none() && quiet.header("age").is_none());
            let head = ask(&plain, request("HEAD", "/a", &[])).await;
            assert_eq!(
                (head.header("content-length"), &head.body[..]),
                (Some("6"), &b""[..])
            );
            let part = ask(&plain, request("GET", "/a", &[("range", "bytes=0-1")])).await;
            assert_eq!(
                (part.status, part.header("content-length")),
                (206, Some("2"))
            );
        }
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(seen.count(), 1);
}
