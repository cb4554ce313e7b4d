//! Stale answers: while they are refreshed, in place of errors, and for how long (RFC 5861, RFC 9111 section 4.2.4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod common;

use common::*;
use frontage::{
    CacheCore, CacheLayer, CachePolicy, MemoryStore, cache::OverMaxFetches, clock::ManualClock,
    freshness::Forward, status::Detail,
};
use http::{Request, StatusCode};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

/// An origin whose status can be set, 0 for a panic; its answers count up.
fn origin(policy: CachePolicy, cache_control: &'static str) -> (Setup, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let count = Arc::new(AtomicUsize::new(0));
    let setup = setup_with(common::policy(policy), {
        let status = status.clone();
        move |_| {
            let status = status.load(Ordering::SeqCst);
            let count = count.fetch_add(1, Ordering::SeqCst);
            assert_ne!(status, 0, "the origin panics");
            async move {
                let fields = match status {
                    200 => &[("cache-control", cache_control)][..],
                    _ => &[],
                };
                let mut answer = response(fields, format!("{count}"));
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                answer
            }
        }
    });
    (setup, status)
}

async fn text(setup: &Setup) -> (u16, String) {
    let answer = ask(&setup.service, get("/a")).await;
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[tokio::test]
async fn a_stale_answer_comes_at_once_and_is_refreshed_behind() {
    let (setup, _) = origin(
        CachePolicy::default(),
        "max-age=10, stale-while-revalidate=30",
    );
    assert_eq!(text(&setup).await.1, "0");
    setup.clock.advance(10 * SECOND);
    let stale = ask(&setup.service, get("/a")).await;
    assert_eq!(stale.body, b"0");
    assert_eq!(
        stale.header("cache-status"),
        Some("frontage; hit; ttl=0; detail=stale-while-revalidate")
    );
    assert_eq!(stale.header("age"), Some("10"));
    assert_eq!(stale.header("x-cache"), Some("Hit from frontage"));
    until(|| setup.seen.count() == 2).await;
    until(|| setup.store.usage().entries == 1).await;
    tokio::task::yield_now().await;
    let fresh = ask(&setup.service, get("/a")).await;
    assert_eq!((fresh.body, fresh.cache.ttl()), (b"1".to_vec(), Some(10)));
    // At the very end of the window, and behind it.
    setup.clock.advance(40 * SECOND);
    assert_eq!(text(&setup).await.1, "1");
    until(|| setup.seen.count() == 3).await;
    tokio::task::yield_now().await;
    setup.clock.advance(40 * SECOND + Duration::from_millis(1));
    let late = ask(&setup.service, get("/a")).await;
    assert_eq!(late.cache.forward(), Some(Forward::Stale));
    assert_eq!((late.body, setup.seen.count()), (b"3".to_vec(), 4));
}

#[tokio::test]
async fn a_refresh_storm_is_one_request_and_nobody_waits_for_it() {
    let gate = Arc::new(Semaphore::new(1));
    let setup = setup({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                response(
                    &[("cache-control", "max-age=10, stale-while-revalidate=30")],
                    "body",
                )
            }
        }
    });
    ask(&setup.service, get("/a")).await;
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..10_000 {
        if number == 5_000 {
            setup.clock.advance(10 * SECOND);
        }
        let service = setup.service.clone();
        answers.spawn(async move { ask(&service, get("/a")).await });
    }
    while let Some(answer) = answers.join_next().await {
        let answer = answer.unwrap();
        assert!(answer.cache.is_hit() && answer.body == b"body");
    }
    assert_eq!(setup.seen.count(), 2, "the second is held still");
    gate.add_permits(1);
    until(|| setup.store.usage().entries == 1).await;
}

#[tokio::test]
async fn a_refresh_survives_its_viewer_and_asks_for_the_whole() {
    for (method, field) in [("GET", ("range", "bytes=0-1")), ("HEAD", ("accept", "*/*"))] {
        let setup = setup(|_| async {
            response(
                &[
                    ("cache-control", "max-age=10, stale-while-revalidate=30"),
                    ("etag", "\"a\""),
                ],
                "0123456789",
            )
        });
        ask(&setup.service, get("/a")).await;
        setup.clock.advance(11 * SECOND);
        let answer = head(&setup.service, request(method, "/a", &[field])).await;
        assert!(matches!(answer.status().as_u16(), 200 | 206));
        drop(answer);
        until(|| setup.seen.count() == 2).await;
        let asked = setup.seen.last();
        assert_eq!(asked.method, "GET");
        assert!(!asked.headers.contains_key("range"));
        assert_eq!(asked.headers["if-none-match"], "\"a\"");
        let mut now = ask(&setup.service, get("/a")).await;
        while now.cache.detail().is_some() {
            tokio::task::yield_now().await;
            now = ask(&setup.service, get("/a")).await;
        }
        assert_eq!((now.cache.ttl(), now.body.len()), (Some(10), 10));
        assert_eq!(setup.seen.count(), 2);
    }
}

#[tokio::test]
async fn a_refresh_that_fails_is_tried_again_once_in_a_while() {
    let (setup, status) = origin(
        CachePolicy::default(),
        "max-age=10, stale-while-revalidate=100",
    );
    text(&setup).await;
    setup.clock.advance(10 * SECOND);
    status.store(503, Ordering::SeqCst);
    for second in 0..30 {
        for _ in 0..3 {
            assert_eq!(text(&setup).await, (200, "0".into()));
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(setup.seen.count(), 2 + second / 10, "after {second} s");
        setup.clock.advance(SECOND);
    }
}

#[tokio::test]
async fn an_origin_that_dies_is_stood_in_for_exactly_the_window_and_probed_once_in_a_while() {
    for dead in [503, 500, 0] {
        let (setup, status) = origin(CachePolicy::default(), "max-age=10, stale-if-error=60");
        text(&setup).await;
        setup.clock.advance(10 * SECOND);
        status.store(dead, Ordering::SeqCst);
        for second in 0..=60 {
            for request in 0..3 {
                let answer = ask(&setup.service, get("/a")).await;
                assert_eq!((answer.status, &answer.body[..]), (200, &b"0"[..]));
                assert_eq!(answer.cache.detail(), Some(Detail::StaleIfError));
                let is_probe = second % 10 == 0 && request == 0;
                assert_eq!(answer.cache.is_hit(), !is_probe, "after {second} s");
                assert_eq!(answer.header("x-cache"), Some("Hit from frontage"));
                assert_eq!(answer.header("age"), Some(&*(10 + second).to_string()));
                if is_probe && dead != 0 {
                    let said = format!(
                        "frontage; fwd=stale; fwd-status={dead}; ttl=-{second}; detail=stale-if-error"
                    );
                    let said = said.replace("ttl=-0", "ttl=0");
                    assert_eq!(answer.header("cache-status"), Some(&*said));
                }
            }
            assert_eq!(setup.seen.count(), 2 + second / 10, "after {second} s");
            setup.clock.advance(SECOND);
        }
        let error = ask(&setup.service, get("/a")).await;
        assert_eq!(error.status, if dead == 0 { 500 } else { dead });
        status.store(200, Ordering::SeqCst);
        assert_eq!(text(&setup).await.0, 200);
    }
}

/// One request, also where a failing origin is asked again at once.
#[tokio::test]
async fn who_waits_for_a_fetch_that_fails_gets_the_stale_answer_too() {
    for retry in [10 * SECOND, Duration::ZERO] {
        let (sender, receiver) = tokio::sync::watch::channel(false);
        let count = Arc::new(AtomicUsize::new(0));
        let policy = CachePolicy::default().stale_retry(retry);
        let setup = setup_with(common::policy(policy), move |_| {
            let (mut receiver, count) = (receiver.clone(), count.clone());
            async move {
                if count.fetch_add(1, Ordering::SeqCst) == 0 {
                    return response(&[("cache-control", "max-age=10, stale-if-error=60")], "old");
                }
                receiver.wait_for(|go| *go).await.unwrap();
                response_with(503, &[], channel().1)
            }
        });
        ask(&setup.service, get("/a")).await;
        setup.clock.advance(11 * SECOND);
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let service = setup.service.clone();
            waiting.spawn(async move { ask(&service, get("/a")).await });
        }
        until(|| setup.seen.count() == 2).await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        sender.send_replace(true);
        while let Some(answer) = waiting.join_next().await {
            let answer = answer.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"old"[..]));
        }
        assert_eq!(setup.seen.count(), 2, "{retry:?}");
    }
}

/// Who leads says that nothing stale will do for it; that is its own wish.
#[tokio::test]
async fn who_follows_a_reload_that_fails_gets_the_stale_answer_too() {
    for reload in ["no-cache", "max-age=0"] {
        for (dead, cache_control) in [(503, "max-age=0"), (503, "no-store"), (0, "")] {
            let (sender, receiver) = tokio::sync::watch::channel(false);
            let count = Arc::new(AtomicUsize::new(0));
            let setup = setup(move |_| {
                let (mut receiver, count) = (receiver.clone(), count.clone());
                async move {
                    if count.fetch_add(1, Ordering::SeqCst) == 0 {
                        return response(
                            &[("cache-control", "max-age=10, stale-if-error=60")],
                            "old",
                        );
                    }
                    receiver.wait_for(|go| *go).await.unwrap();
                    assert_ne!(dead, 0, "the origin panics");
                    response_with(dead, &[("cache-control", cache_control)], channel().1)
                }
            });
            ask(&setup.service, get("/a")).await;
            setup.clock.advance(11 * SECOND);
            let asking = |fields: &'static [(&str, &str)]| {
                let service = setup.service.clone();
                tokio::spawn(async move { ask(&service, request("GET", "/a", fields)).await })
            };
            let leader = match reload {
                "no-cache" => asking(&[("cache-control", "no-cache")]),
                _ => asking(&[("cache-control", "max-age=0")]),
            };
            until(|| setup.seen.count() == 2).await;
            let followers: Vec<_> = (0..100).map(|_| asking(&[])).collect();
            for _ in 0..300 {
                tokio::task::yield_now().await;
            }
            sender.send_replace(true);
            assert!(leader.await.unwrap().status >= 500);
            for follower in followers {
                let answer = follower.await.unwrap();
                assert_eq!((answer.status, &answer.body[..]), (200, &b"old"[..]));
                assert_eq!(answer.cache.detail(), Some(Detail::StaleIfError));
            }
            assert_eq!(setup.seen.count(), 2, "{reload} {dead} {cache_control}");
            assert_eq!(
                text(&setup).await.0,
                200,
                "and the origin isn't asked at once"
            );
            assert_eq!(setup.seen.count(), 2);
        }
    }
}

#[tokio::test]
async fn what_is_shed_is_stood_in_for() {
    let clock = ManualClock::at(NOW);
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .clock(clock.clone())
        .max_fetches(1)
        .over_max_fetches(OverMaxFetches::Wait(Duration::ZERO))
        .build()
        .unwrap();
    let seen = Seen::default();
    let service = cached(CacheLayer::with_core(core), &seen, |request| async move {
        if request.uri().path() == "/held" {
            std::future::pending::<()>().await;
        }
        response(&[("cache-control", "max-age=10, stale-if-error=60")], "old")
    });
    ask(&service, get("/a")).await;
    clock.advance(11 * SECOND);
    let held = service.clone();
    let held = tokio::spawn(async move { ask(&held, get("/held")).await });
    until(|| seen.count() == 2).await;
    let stale = ask(&service, get("/a")).await;
    assert_eq!((stale.status, &stale.body[..]), (200, &b"old"[..]));
    assert_eq!(stale.cache.detail(), Some(Detail::StaleIfError));
    let shed = ask(&service, get("/b")).await;
    assert_eq!(shed.status, 503);
    assert_eq!(
        shed.header("cache-status"),
        Some("frontage; detail=too-many-fetches")
    );
    assert_eq!(seen.count(), 2);
    held.abort();
}

#[tokio::test]
async fn an_inner_service_that_fails_is_stood_in_for() {
    let clock = ManualClock::at(NOW);
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .clock(clock.clone())
        .build()
        .unwrap();
    let fails = Arc::new(AtomicUsize::new(0));
    let inner = tower::service_fn({
        let fails = fails.clone();
        move |_: Request<ReqBody>| {
            let fails = fails.load(Ordering::SeqCst) > 0;
            async move {
                match fails {
                    true => Err("unreachable"),
                    false => Ok(response(&[("cache-control", "max-age=10")], "old")),
                }
            }
        }
    });
    let policy = CachePolicy::default().stale_if_error(60 * SECOND);
    let mut service = CacheLayer::with_core(core).policy(policy).layer(inner);
    let mut ask = async |fields| {
        let request = request("GET", "/a", fields);
        service.ready().await.unwrap().call(request).await
    };
    drop(ask(&[]).await.unwrap());
    let stored = ask(&[]).await.unwrap();
    assert_eq!(stored.headers()["x-cache"], "Hit from frontage");
    clock.advance(11 * SECOND);
    fails.store(1, Ordering::SeqCst);
    // With a cookie it goes alone; without, in a fetch of its own.
    for fields in [&[("cookie", "a=b")][..], &[]] {
        let stale = ask(fields).await.unwrap();
        assert_eq!(stale.status(), 200);
        clock.advance(10 * SECOND);
    }
    assert!(ask(&[("cache-control", "no-cache")]).await.is_err());
    clock.advance(60 * SECOND);
    assert!(ask(&[]).await.is_err());
}

#[tokio::test]
async fn what_forbids_stale_answers_is_obeyed() {
    for cache_control in [
        "max-age=10",
        "max-age=10, stale-if-error=0",
        "max-age=10, stale-if-error=60, must-revalidate",
        "max-age=10, stale-if-error=60, proxy-revalidate",
        "s-maxage=10, stale-if-error=60",
        "max-age=10, stale-if-error=x",
    ] {
        let policy = match cache_control {
            "max-age=10" => CachePolicy::default(),
            _ => CachePolicy::default().stale_if_error(60 * SECOND),
        };
        let (setup, status) = origin(policy, cache_control);
        text(&setup).await;
        setup.clock.advance(11 * SECOND);
        status.store(503, Ordering::SeqCst);
        assert_eq!(text(&setup).await.0, 503, "{cache_control}");
    }
}

#[tokio::test]
async fn what_was_invalidated_stands_in_for_nothing() {
    let (setup, status) = origin(CachePolicy::default(), "max-age=10, stale-if-error=60");
    text(&setup).await;
    setup.clock.advance(11 * SECOND);
    status.store(503, Ordering::SeqCst);
    assert_eq!(text(&setup).await.0, 200);
    status.store(200, Ordering::SeqCst);
    ask(&setup.service, request("DELETE", "/a", &[])).await;
    status.store(503, Ordering::SeqCst);
    assert_eq!(text(&setup).await.0, 503);
}

#[tokio::test]
async fn cloudfront_serves_what_expired_while_the_origin_fails() {
    let policy = || {
        CachePolicy::caching_optimized()
            .ttl(SECOND, 10 * SECOND, 100 * SECOND)
            .unwrap()
    };
    let (setup, status) = origin(policy(), "max-age=10");
    text(&setup).await;
    setup.clock.advance(10 * SECOND);
    status.store(404, Ordering::SeqCst);
    setup.clock.advance(SECOND);
    // A 4xx goes to the viewer, and is cached for its own time.
    assert_eq!(text(&setup).await.0, 404);

    let (setup, status) = origin(policy(), "max-age=10");
    text(&setup).await;
    setup.clock.advance(10 * SECOND);
    status.store(504, Ordering::SeqCst);
    // Up to the maximum TTL since it was stored, asked every 10 s.
    for second in 10..=100 {
        assert_eq!(text(&setup).await, (200, "0".into()), "after {second} s");
        assert_eq!(setup.seen.count(), 1 + second / 10);
        setup.clock.advance(SECOND);
    }
    assert_eq!(text(&setup).await.0, 504);

    let (setup, status) = origin(policy(), "max-age=10, stale-if-error=0");
    text(&setup).await;
    setup.clock.advance(10 * SECOND);
    status.store(504, Ordering::SeqCst);
    assert_eq!(text(&setup).await.0, 504);
}

#[tokio::test]
async fn errors_are_kept_as_long_as_the_policy_says() {
    let five = Duration::from_secs(5);
    let status = |status: u16| StatusCode::from_u16(status).unwrap();
    for policy in [
        CachePolicy::default()
            .error_caching_min_ttl(status(503), five)
            .unwrap(),
        CachePolicy::caching_optimized()
            .error_caching_min_ttl(status(503), five)
            .unwrap(),
    ] {
        let (setup, now) = origin(policy, "x=y");
        now.store(503, Ordering::SeqCst);
        for second in 0..10 {
            assert_eq!(text(&setup).await, (503, (second / 5).to_string()));
            setup.clock.advance(SECOND);
        }
    }
    for refused in [200, 304, 416] {
        let error = CachePolicy::default()
            .error_caching_min_ttl(status(refused), five)
            .unwrap_err();
        assert_eq!(error.setting(), "error_caching_min_ttl");
        assert!(error.to_string().contains(&refused.to_string()), "{error}");
    }
}

#[tokio::test]
async fn an_error_fetched_behind_replaces_nothing_that_is_still_used() {
    let fails = Arc::new(AtomicUsize::new(0));
    let setup = setup({
        let fails = fails.clone();
        move |_| {
            let fails = fails.load(Ordering::SeqCst) > 0;
            async move {
                let fields = [("cache-control", "max-age=10, stale-while-revalidate=60")];
                let mut answer = response(&fields, "body");
                if fails {
                    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                answer
            }
        }
    });
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(11 * SECOND);
    fails.store(1, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(ask(&setup.service, get("/a")).await.status, 200);
        until(|| setup.seen.count() == 2).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_origin_that_recovered_is_asked_again_at_once() {
    // A reload leads a fetch; one with a cookie goes alone.
    for reload in [
        &[("cache-control", "no-cache")][..],
        &[("cache-control", "no-cache"), ("cookie", "a=b")],
    ] {
        let cache_control = "public, max-age=1, stale-if-error=60";
        let (setup, status) = origin(CachePolicy::default(), cache_control);
        text(&setup).await;
        setup.clock.advance(2 * SECOND);
        status.store(503, Ordering::SeqCst);
        assert_eq!(text(&setup).await, (200, "0".into()));
        status.store(200, Ordering::SeqCst);
        let reloaded = ask(&setup.service, request("GET", "/a", reload)).await;
        assert_eq!(reloaded.body, b"2");
        setup.clock.advance(2 * SECOND);
        assert_eq!(text(&setup).await, (200, "3".into()));
    }
}

#[tokio::test]
async fn what_is_invalidated_meanwhile_stands_in_for_nothing() {
    let (sender, receiver) = tokio::sync::watch::channel(true);
    let setup = setup(move |request: Request<ReqBody>| {
        let mut receiver = receiver.clone();
        async move {
            if request.method() == "DELETE" {
                return response(&[], "");
            }
            let first = *receiver.borrow();
            if first {
                return response(&[("cache-control", "max-age=10, stale-if-error=60")], "old");
            }
            receiver.wait_for(|go| *go).await.unwrap();
            let mut answer = response(&[], "error");
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer
        }
    });
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(11 * SECOND);
    sender.send_replace(false);
    let service = setup.service.clone();
    let waiting = tokio::spawn(async move { ask(&service, get("/a")).await });
    until(|| setup.seen.count() == 2).await;
    ask(&setup.service, request("DELETE", "/a", &[])).await;
    sender.send_replace(true);
    assert_eq!(waiting.await.unwrap().status, 503);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_hangs_is_stood_in_for_too() {
    let clock = ManualClock::at(NOW);
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .clock(clock.clone())
        .collapse_timeout(3 * SECOND)
        .fetch_timeout(6 * SECOND)
        .build()
        .unwrap();
    let seen = Seen::default();
    let first = Arc::new(AtomicUsize::new(0));
    let service = cached(CacheLayer::with_core(core), &seen, move |_| {
        let is_first = first.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if !is_first {
                std::future::pending::<()>().await;
            }
            response(&[("cache-control", "max-age=10, stale-if-error=60")], "old")
        }
    });
    ask(&service, get("/a")).await;
    clock.advance(11 * SECOND);
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..20 {
        let service = service.clone();
        // Some go alone.
        let fields: &[(&str, &str)] = if number % 10 == 9 {
            &[("cookie", "a=b")]
        } else {
            &[]
        };
        let asked = request("GET", "/a", fields);
        waiting.spawn(async move { ask(&service, asked).await });
    }
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"old"[..]));
        assert_eq!(answer.cache.detail(), Some(Detail::StaleIfError));
    }
    assert!(seen.count() <= 4, "{}", seen.count());
}

#[tokio::test]
async fn who_may_refresh_nothing_for_others_gets_a_current_answer() {
    let (setup, _) = origin(
        CachePolicy::default(),
        "max-age=10, stale-while-revalidate=30",
    );
    text(&setup).await;
    setup.clock.advance(11 * SECOND);
    let cookie = [("cookie", "a=b")];
    let answer = ask(&setup.service, request("GET", "/a", &cookie)).await;
    assert_eq!((&answer.body[..], setup.seen.count()), (&b"1"[..], 2));
    // It isn't stored: the next without a cookie has the old one refreshed.
    assert_eq!(text(&setup).await.1, "0");
    until(|| setup.seen.count() == 3).await;
}

#[tokio::test]
async fn an_error_to_one_who_insists_does_not_take_the_place_of_what_others_get() {
    for reload in [
        &[("cache-control", "no-cache")][..],
        &[("cache-control", "max-age=0")],
        &[("cache-control", "no-cache"), ("cookie", "a=b")],
    ] {
        let fails = Arc::new(AtomicUsize::new(0));
        let setup = setup({
            let fails = fails.clone();
            move |_| {
                let fails = fails.load(Ordering::SeqCst) > 0;
                async move {
                    let mut answer = response(&[("cache-control", "public, max-age=60")], "body");
                    if fails {
                        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    answer
                }
            }
        });
        ask(&setup.service, get("/a")).await;
        fails.store(1, Ordering::SeqCst);
        let insisted = ask(&setup.service, request("GET", "/a", reload)).await;
        assert_eq!((insisted.status, insisted.cache.is_stored()), (503, false));
        let others = ask(&setup.service, get("/a")).await;
        assert_eq!((others.status, others.cache.is_hit()), (200, true));
        // Nothing good is at hand any more: an error that says for how long is kept.
        setup.clock.advance(61 * SECOND);
        ask(&setup.service, get("/a")).await;
        let kept = ask(&setup.service, get("/a")).await;
        assert_eq!((kept.status, kept.cache.is_hit()), (503, true));
    }
}

/// An origin that takes 1.2 s for each answer, all of which it lets go at once.
fn slow(cache_control: &'static str) -> (Setup, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let count = Arc::new(AtomicUsize::new(0));
    let setup = setup({
        let gate = gate.clone();
        move |_| {
            let (gate, number) = (gate.clone(), count.fetch_add(1, Ordering::SeqCst));
            async move {
                gate.acquire().await.unwrap().forget();
                response(&[("cache-control", cache_control)], format!("{number}"))
            }
        }
    });
    (setup, gate)
}

const SLOW: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn what_comes_so_late_that_it_is_stale_is_kept_for_its_windows() {
    for (cache_control, detail) in [
        (
            "max-age=1, stale-while-revalidate=30",
            Detail::StaleWhileRevalidate,
        ),
        (
            "max-age=0, stale-while-revalidate=30",
            Detail::StaleWhileRevalidate,
        ),
    ] {
        let (setup, gate) = slow(cache_control);
        let service = setup.service.clone();
        let first = tokio::spawn(async move { ask(&service, get("/a")).await });
        until(|| setup.seen.count() == 1).await;
        setup.clock.advance(SLOW);
        gate.add_permits(1);
        assert!(first.await.unwrap().cache.is_stored());
        let stale = ask(&setup.service, get("/a")).await;
        assert_eq!(
            (&stale.body[..], stale.cache.detail()),
            (&b"0"[..], Some(detail))
        );
        gate.add_permits(1);
        until(|| setup.seen.count() == 2).await;
    }
}

/// Those who waited for it can have none that is fresher; it isn't kept, and says nothing against the next.
#[tokio::test]
async fn what_comes_so_late_that_it_is_stale_answers_those_who_waited() {
    let (setup, gate) = slow("max-age=1");
    for round in 0..3 {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let service = setup.service.clone();
            asking.spawn(async move { ask(&service, get("/a")).await });
        }
        until(|| setup.seen.count() == round + 1).await;
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
        setup.clock.advance(SLOW);
        gate.add_permits(1);
        while let Some(answer) = asking.join_next().await {
            let answer = answer.unwrap();
            assert_eq!(answer.body, format!("{round}").into_bytes());
            assert!(!answer.cache.is_stored());
        }
        assert_eq!(setup.seen.count(), round + 1, "one request each time");
    }
}
