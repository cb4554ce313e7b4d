//! What the cache says: the field, the extension and the event agree, and the key is said if asked.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod common;
#[path = "support/heard.rs"]
mod heard;

use common::*;
use frontage::{
    CacheCore, CacheLayer, CachePolicy, CacheStatus, MemoryStore,
    clock::ManualClock,
    freshness::Forward,
    invalidation::Invalidation,
    key::{CacheKey, Cookies, KeyPolicy},
    status::Detail,
};
use http::{HeaderName, Request, Response};
use std::{sync::Arc, time::Duration};
use tracing_subscriber::filter::LevelFilter;

const SECOND: Duration = Duration::from_secs(1);

/// Key and status of the answers since the last call.
fn answers() -> Vec<(Option<String>, String)> {
    heard::events()
        .iter()
        .filter_map(|line| line.split_once(": answered "))
        .map(|(_, fields)| {
            let (before, status) = fields.split_once("status=").unwrap();
            let key = before.strip_prefix("key=");
            (key.map(|key| key.trim_end().to_owned()), status.to_owned())
        })
        .collect()
}

fn layer(core: &CacheCore) -> CacheLayer {
    CacheLayer::with_core(core.clone())
}

fn core() -> (CacheCore, ManualClock) {
    heard::listen(LevelFilter::DEBUG);
    let clock = ManualClock::at(NOW);
    let core = CacheCore::builder(MemoryStore::new(8 << 20))
        .namespace("test")
        .clock(clock.clone())
        .build()
        .unwrap();
    (core, clock)
}

/// Answers by the path, so that each test of a request finds what it needs.
async fn origin(request: Request<ReqBody>) -> Response<InnerBody> {
    let asks_about = request.headers().contains_key("if-none-match");
    let fields: &[_] = match request.uri().path() {
        "/no-store" => &[("cache-control", "no-store")],
        "/swr" => &[("cache-control", "max-age=10, stale-while-revalidate=60")],
        "/dies" => &[("cache-control", "max-age=10, stale-if-error=60")],
        "/large" => &[
            ("cache-control", "max-age=60"),
            ("content-length", "99999999"),
        ],
        _ => &[("cache-control", "max-age=60"), ("etag", "\"a\"")],
    };
    match asks_about {
        true => response_with(304, fields, channel().1),
        false if request.headers().contains_key("x-fail") => response_with(503, &[], channel().1),
        false => response(fields, "body"),
    }
}

/// Asserts that field, extension and event say the same, and gives it.
fn agreed(answer: &Answer, key: Option<&str>) -> String {
    let said = answer.header("cache-status").unwrap().to_owned();
    assert_eq!(said, format!("frontage{}", answer.cache));
    let told = answers();
    let expected = (key.map(str::to_owned), said.clone());
    // A refresh behind the answer comes after it.
    assert_eq!(told.first(), Some(&expected), "{told:?}");
    said
}

#[tokio::test]
async fn field_extension_and_event_say_the_same() {
    let (core, clock) = core();
    let service = cached(layer(&core), &Seen::default(), origin);
    let none = &[][..];
    for (after, method, path, fields, expected) in [
        (0, "GET", "/a", none, "fwd=uri-miss; ttl=60; stored"),
        (7, "GET", "/a", none, "hit; ttl=53"),
        (0, "HEAD", "/a", none, "hit; ttl=53"),
        (0, "GET", "/a", &[("range", "bytes=0-1")], "hit; ttl=53"),
        (0, "GET", "/a", &[("if-none-match", "*")], "hit; ttl=53"),
        (
            60,
            "GET",
            "/a",
            &[("cache-control", "max-stale=10")],
            "hit; ttl=-7",
        ),
        (
            0,
            "GET",
            "/a",
            none,
            "fwd=stale; fwd-status=304; ttl=60; stored; detail=revalidated",
        ),
        (
            0,
            "GET",
            "/a",
            &[("cache-control", "no-cache")],
            "fwd=request; ttl=60; stored",
        ),
        (
            0,
            "GET",
            "/a",
            &[("cache-control", "max-age=0"), ("cookie", "a=b")],
            "fwd=request; fwd-status=304; ttl=60; detail=revalidated",
        ),
        (0, "POST", "/a", none, "fwd=method"),
        (0, "GET", "/a", &[("if-match", "*")], "fwd=bypass"),
        (
            0,
            "GET",
            "/b",
            &[("if-none-match", "\"a\"")],
            "fwd=uri-miss; fwd-status=200; ttl=60; stored",
        ),
        (0, "HEAD", "/c", none, "fwd=uri-miss; ttl=60"),
        (
            0,
            "GET",
            "/d",
            &[("range", "bytes=0-1")],
            "fwd=uri-miss; ttl=60; stored",
        ),
        (
            0,
            "GET",
            "/e",
            &[("cookie", "a=b")],
            "fwd=uri-miss; detail=cookie",
        ),
        (
            0,
            "GET",
            "/f",
            &[("cache-control", "only-if-cached")],
            "detail=only-if-cached",
        ),
        (0, "GET", "/no-store", none, "fwd=uri-miss; detail=no-store"),
        (
            0,
            "GET",
            "/no-store",
            none,
            "fwd=uri-miss; detail=uncacheable",
        ),
        (0, "GET", "/large", none, "fwd=uri-miss; detail=no-room"),
        (0, "GET", "/swr", none, "fwd=uri-miss; ttl=10; stored"),
        (
            15,
            "GET",
            "/swr",
            none,
            "hit; ttl=-5; detail=stale-while-revalidate",
        ),
        (0, "GET", "/swr", none, "hit; ttl=10"),
        (0, "GET", "/dies", none, "fwd=uri-miss; ttl=10; stored"),
        (
            15,
            "GET",
            "/dies",
            &[("x-fail", "1")],
            "fwd=stale; fwd-status=503; ttl=-5; detail=stale-if-error",
        ),
        (
            0,
            "GET",
            "/dies",
            none,
            "hit; ttl=-5; detail=stale-if-error",
        ),
    ] {
        clock.advance(after * SECOND);
        let answer = ask(&service, request(method, path, fields)).await;
        until(|| core.fetches() == 0).await;
        let has_key = !expected.starts_with("fwd=method") && !expected.starts_with("fwd=bypass");
        let key = has_key.then(|| format!("test GET {path}"));
        let said = agreed(&answer, key.as_deref());
        let case = format!("{method} {path} {fields:?}");
        assert_eq!(said, format!("frontage; {expected}"), "{case}");
    }
}

#[tokio::test]
async fn a_part_says_what_became_of_it() {
    let (core, _) = core();
    let parts = |request: Request<ReqBody>| async move {
        let (control, place) = match request.uri().path() {
            "/private" => ("private, max-age=60", "bytes 0-3/10"),
            "/no-store" => ("no-store", "bytes 0-3/10"),
            "/backwards" => ("max-age=60", "bytes 3-0/10"),
            "/unknown" => ("max-age=60", "bytes 0-3/*"),
            "/large" => ("max-age=60", "bytes 0-9999999/99999999"),
            _ => ("max-age=60", "bytes 0-3/10"),
        };
        let fields = [
            ("cache-control", control),
            ("content-range", place),
            ("etag", "\"a\""),
        ];
        let is_part = request.headers().contains_key("range");
        let mut answer = response(&fields, if is_part { "body" } else { "whole body" });
        match is_part {
            true => *answer.status_mut() = http::StatusCode::PARTIAL_CONTENT,
            false => drop(answer.headers_mut().remove("content-range")),
        }
        answer
    };
    let service = cached(layer(&core), &Seen::default(), parts);
    let range = ("range", "bytes=0-3");
    let reload = [range, ("cache-control", "no-cache")];
    let cookie = [range, ("cookie", "a=b")];
    for (path, fields, expected) in [
        ("/a", &[range][..], "fwd=uri-miss; ttl=60; stored"),
        ("/a", &[range], "hit; ttl=60"),
        ("/a", &reload, "fwd=request; ttl=60; stored"),
        ("/private", &[range], "fwd=uri-miss; detail=private"),
        ("/no-store", &[range], "fwd=uri-miss; detail=no-store"),
        ("/no-store", &[range], "fwd=uri-miss; detail=no-store"),
        ("/b", &cookie, "fwd=uri-miss; detail=cookie"),
        ("/backwards", &[range], "fwd=uri-miss; detail=status"),
        ("/unknown", &[range], "fwd=uri-miss; detail=status"),
        ("/large", &[range], "fwd=uri-miss; detail=no-room"),
        ("/whole", &[], "fwd=uri-miss; ttl=60; stored"),
        ("/whole", &reload, "fwd=request; detail=good-at-hand"),
    ] {
        let answer = ask(&service, request("GET", path, fields)).await;
        let said = agreed(&answer, Some(&format!("test GET {path}")));
        assert_eq!(said, format!("frontage; {expected}"), "{path} {fields:?}");
    }
}

#[tokio::test]
async fn a_follower_and_a_refresh_have_events_of_their_own() {
    let (core, clock) = core();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let service = cached(layer(&core), &Seen::default(), {
        let gate = gate.clone();
        move |request| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                origin(request).await
            }
        }
    });
    let asked = || {
        let service = service.clone();
        tokio::spawn(async move { ask(&service, get("/swr")).await })
    };
    let leader = asked();
    until(|| core.fetches() == 1).await;
    let follower = asked();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    let (leader, follower) = (leader.await.unwrap(), follower.await.unwrap());
    let told = answers();
    for (answer, said) in [
        (leader, "frontage; fwd=uri-miss; ttl=10; stored"),
        (
            follower,
            "frontage; fwd=uri-miss; ttl=10; stored; collapsed",
        ),
    ] {
        assert_eq!(answer.header("cache-status"), Some(said));
        assert_eq!(said, format!("frontage{}", answer.cache));
        let count = told.iter().filter(|(_, answer)| answer == said).count();
        assert_eq!(count, 1, "{told:?}");
    }
    assert_eq!(told.len(), 2, "{told:?}");

    clock.advance(11 * SECOND);
    let stale = ask(&service, get("/swr")).await;
    let expected = "frontage; hit; ttl=-1; detail=stale-while-revalidate";
    assert_eq!(stale.header("cache-status"), Some(expected));
    gate.add_permits(1);
    until(|| core.fetches() == 0).await;
    let said: Vec<_> = answers().into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, [expected, "frontage; fwd=stale; ttl=10; stored"]);
}

#[tokio::test]
async fn what_is_invalidated_softly_is_not_said_to_be_fresh() {
    let (core, _) = core();
    let service = cached(layer(&core), &Seen::default(), origin);
    for (path, fields, expected) in [
        ("/a", &[("cache-control", "max-stale")][..], "hit; ttl=0"),
        ("/swr", &[], "hit; ttl=0; detail=stale-while-revalidate"),
        (
            "/dies",
            &[("x-fail", "1")],
            "fwd=stale; fwd-status=503; ttl=0; detail=stale-if-error",
        ),
        ("/dies", &[], "hit; ttl=0; detail=stale-if-error"),
    ] {
        if !fields.is_empty() || path == "/swr" {
            ask(&service, get(path)).await;
            let soft = Invalidation::path(path).unwrap().soft();
            core.invalidator().issue(&soft);
        }
        let answer = ask(&service, request("GET", path, fields)).await;
        let said = answer.header("cache-status").unwrap();
        assert_eq!(said, format!("frontage; {expected}"), "{path}");
        assert_eq!(answer.cache.ttl(), Some(0), "{path}");
    }
}

#[tokio::test]
async fn the_key_is_said_if_asked() {
    let (core, _) = core();
    let key = KeyPolicy::new()
        .cookies(Cookies::Only(["id".to_owned()].into()))
        .headers([HeaderName::from_static("x-secret")]);
    let policy = CachePolicy::rfc9111().key(key);
    let layer = layer(&core).policy(policy).cache_status_key(true);
    let service = cached(layer.clone(), &Seen::default(), origin);
    let fields = [
        ("host", "example.com"),
        ("cookie", "id=alice"),
        ("x-secret", "hush"),
    ];
    let ask_for = async |service: &Cached, method, path| {
        let response = head(service, request(method, path, &fields)).await;
        let key = response.extensions().get::<CacheKey>().cloned();
        let status = *response.extensions().get::<CacheStatus>().unwrap();
        let said = response.headers()["cache-status"].to_str().unwrap();
        let (before, said) = match said.split_once("; key=") {
            Some((before, said)) => (before.to_owned(), Some(said.to_owned())),
            None => (said.to_owned(), None),
        };
        assert_eq!(before, format!("frontage{status}"));
        drop(http_body_util::BodyExt::collect(response.into_body()).await);
        (status, said, key)
    };
    for (method, path, status) in [
        ("GET", "/a\"c", "; fwd=uri-miss; ttl=60; stored"),
        ("GET", "/a\"c", "; hit; ttl=60"),
        ("HEAD", "/a\"c", "; hit; ttl=60"),
        ("GET", "/no-store", "; fwd=uri-miss; detail=no-store"),
        ("GET", "/no-store", "; fwd=uri-miss; detail=uncacheable"),
    ] {
        let (said, text, key) = ask_for(&service, method, path).await;
        assert_eq!(said.to_string(), status);
        let (text, key) = (text.unwrap(), key.unwrap());
        let expected = key.to_string().replace('\\', r"\\").replace('"', "\\\"");
        assert_eq!(text, format!("\"{expected}\""));
        assert!(
            text.contains("example.com") && text.contains("cookie:id="),
            "{text}"
        );
        assert!(!text.contains("alice") && !text.contains("hush"), "{text}");
    }
    // What passes through has none.
    let (status, said, key) = ask_for(&service, "POST", "/a").await;
    assert_eq!(status.forward(), Some(Forward::Method));
    assert!(said.is_none() && key.is_none());

    // What isn't said isn't said here either.
    for (layer, field, extension) in [
        (layer.clone().cache_status_key(false), false, false),
        (layer.clone().cache_status(false), false, true),
        (layer.clone().status_extension(false), true, false),
        (layer.x_cache(false), true, true),
    ] {
        let service = cached(layer, &Seen::default(), origin);
        for path in ["/a\"c", "/no-store"] {
            let response = head(&service, request("GET", path, &fields)).await;
            let said = response.headers().get("cache-status");
            let said = said.is_some_and(|said| said.to_str().unwrap().contains("; key="));
            let key = response.extensions().get::<CacheKey>();
            assert_eq!((said, key.is_some()), (field, extension), "{path}");
        }
    }
}

#[tokio::test]
async fn a_shared_answer_and_a_failure_have_the_key_too() {
    let (core, _) = core();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let service = cached(layer(&core).cache_status_key(true), &Seen::default(), {
        let gate = gate.clone();
        move |request: Request<ReqBody>| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                assert_ne!(request.uri(), "/panics");
                origin(request).await
            }
        }
    });
    for (path, said) in [
        ("/a", "frontage; fwd=uri-miss; ttl=60; stored; collapsed"),
        (
            "/panics",
            "frontage; fwd=uri-miss; collapsed; detail=fetch-failed",
        ),
    ] {
        let asked = || {
            let service = service.clone();
            tokio::spawn(async move { ask(&service, get(path)).await })
        };
        let leader = asked();
        until(|| core.fetches() == 1).await;
        let follower = asked();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        let expected = format!("{said}; key=\"test GET {path}\"");
        let follower = follower.await.unwrap();
        assert_eq!(follower.header("cache-status"), Some(&*expected));
        let expected = expected.replace("; collapsed", "");
        let leader = leader.await.unwrap();
        assert_eq!(leader.header("cache-status"), Some(&*expected));
        until(|| core.fetches() == 0).await;
    }
    let only = request("GET", "/b", &[("cache-control", "only-if-cached")]);
    let answer = ask(&service, only).await;
    assert_eq!(answer.cache.detail(), Some(Detail::OnlyIfCached));
    assert_eq!(
        (answer.cache.is_hit(), answer.cache.forward()),
        (false, None)
    );
    assert!(
        answer
            .header("cache-status")
            .unwrap()
            .ends_with("; key=\"test GET /b\"")
    );
}
