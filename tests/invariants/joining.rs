//! Found by reading and by trying to break it: who may join whom, and what one request may do to others.

use crate::common::*;
use bytes::Bytes;
use frontage::{
    CachePolicy,
    key::{KeyPolicy, Query},
};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use tower::Service;

fn h<'a>(r: &'a Request<ReqBody>, n: &str) -> &'a str {
    r.headers().get(n).map_or("", |v| v.to_str().unwrap())
}

#[tokio::test]
async fn a_follower_gets_its_own_variant_also_when_the_leader_finds_one_stored() {
    let s = setup(|r: Request<ReqBody>| async move {
        response(
            &[("cache-control", "max-age=60"), ("vary", "accept-language")],
            Bytes::from(h(&r, "accept-language").to_owned()),
        )
    });
    let q = |l: &str| request("GET", "/a", &[("accept-language", l)]);
    let mut a = s.service.clone();
    let mut b = s.service.clone();
    let f2 = a.call(q("en"));
    let f3 = b.call(q("de"));
    assert_eq!(ask(&s.service, q("en")).await.body, b"en");
    for _ in 0..20 {
        tokio::task::yield_now().await
    }
    let (r2, r3) = tokio::join!(f2, f3);
    let b2 = r2.unwrap().into_body().collect().await.unwrap().to_bytes();
    let b3 = r3.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!((&b2[..], &b3[..]), (&b"en"[..], &b"de"[..]));
}

fn etagged() -> Setup {
    setup(|r: Request<ReqBody>| async move {
        let f = &[("cache-control", "max-age=60"), ("etag", "\"a\"")];
        if h(&r, "if-none-match") == "\"a\"" {
            response_with(304, f, response(&[], "").into_body())
        } else {
            response(f, "x")
        }
    })
}
#[tokio::test]
async fn a_requests_no_store_purges_nothing() {
    let s = etagged();
    ask(&s.service, get("/a")).await;
    assert!(ask(&s.service, get("/a")).await.cache.is_hit());
    let x = ask(
        &s.service,
        request("GET", "/a", &[("cache-control", "max-age=0, no-store")]),
    )
    .await;
    println!("{:?}", x.cache);
    assert!(ask(&s.service, get("/a")).await.cache.is_hit());
}
#[tokio::test]
async fn a_cookie_purges_nothing_when_it_revalidates() {
    let s = etagged();
    ask(&s.service, get("/a")).await;
    s.clock.advance(Duration::from_secs(61));
    ask(&s.service, request("GET", "/a", &[("cookie", "a=b")])).await;
    ask(&s.service, get("/a")).await;
    assert_eq!(
        s.seen
            .last()
            .headers
            .get("if-none-match")
            .map(|v| v.to_str().unwrap()),
        Some("\"a\"")
    );
}
#[tokio::test]
async fn a_304_brings_no_set_cookie_into_a_cloudfront_profile() {
    let s = setup_with(
        policy(CachePolicy::caching_optimized()),
        |r: Request<ReqBody>| async move {
            let f = &[
                ("cache-control", "max-age=60"),
                ("etag", "\"a\""),
                ("set-cookie", "id=alice"),
            ];
            if h(&r, "if-none-match") == "\"a\"" {
                response_with(304, f, response(&[], "").into_body())
            } else {
                response(f, "x")
            }
        },
    );
    assert_eq!(ask(&s.service, get("/a")).await.header("set-cookie"), None);
    s.clock.advance(Duration::from_secs(61));
    ask(&s.service, get("/a")).await;
    assert_eq!(ask(&s.service, get("/a")).await.header("set-cookie"), None);
}
async fn herd(first: Request<ReqBody>) -> usize {
    let s = setup(|r: Request<ReqBody>| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let f = &[("cache-control", "max-age=60"), ("etag", "\"a\"")];
        if !h(&r, "range").is_empty() {
            return response_with(
                206,
                &[
                    ("content-range", "bytes 0-0/2"),
                    ("cache-control", "max-age=60"),
                ],
                response(&[], "x").into_body(),
            );
        }
        if !h(&r, "if-none-match").is_empty() {
            return response_with(304, f, response(&[], "").into_body());
        }
        response(f, "x")
    });
    ask(&s.service, first).await;
    let before = s.seen.count();
    let all: Vec<_> = (0..10)
        .map(|_| {
            let v = s.service.clone();
            tokio::spawn(async move { ask(&v, get("/a")).await })
        })
        .collect();
    for t in all {
        t.await.unwrap();
    }
    s.seen.count() - before
}
#[tokio::test(start_paused = true)]
async fn a_range_of_what_is_not_stored_does_not_mark_its_key() {
    assert_eq!(
        herd(request("GET", "/a", &[("range", "bytes=0-0")])).await,
        1
    )
}
#[tokio::test(start_paused = true)]
async fn a_304_for_one_viewer_does_not_mark_its_key() {
    assert_eq!(
        herd(request(
            "GET",
            "/a",
            &[("cookie", "a=b"), ("if-none-match", "\"a\"")]
        ))
        .await,
        1
    )
}

fn big_error(gate: Arc<Semaphore>) -> Setup {
    setup(move |_r: Request<ReqBody>| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            let (mut tx, body) = channel();
            tokio::spawn(async move {
                for _ in 0..40 {
                    if tx.send_data(Bytes::from(vec![0; 32 << 10])).await.is_err() {
                        break;
                    }
                }
            });
            response_with(500, &[], body)
        }
    })
}
#[tokio::test(start_paused = true)]
async fn a_follower_that_left_before_the_head_holds_nobody_up() {
    let gate = Arc::new(Semaphore::new(0));
    let s = big_error(gate.clone());
    let v = s.service.clone();
    let lead = tokio::spawn(async move { head(&v, get("/a")).await });
    for _ in 0..10 {
        tokio::task::yield_now().await
    }
    let v = s.service.clone();
    let follow = tokio::spawn(async move { head(&v, get("/a")).await });
    for _ in 0..10 {
        tokio::task::yield_now().await
    }
    follow.abort();
    let _ = follow.await;
    gate.add_permits(1);
    let r = lead.await.unwrap();
    let start = tokio::time::Instant::now();
    r.into_body().collect().await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}
async fn two(s: &Setup, gate: &Semaphore) -> (CachedBody, CachedBody) {
    let v = s.service.clone();
    let a = tokio::spawn(async move { head(&v, get("/a")).await });
    for _ in 0..10 {
        tokio::task::yield_now().await
    }
    let v = s.service.clone();
    let b = tokio::spawn(async move { head(&v, get("/a")).await });
    for _ in 0..10 {
        tokio::task::yield_now().await
    }
    gate.add_permits(1);
    (a.await.unwrap().into_body(), b.await.unwrap().into_body())
}
#[tokio::test(start_paused = true)]
async fn readers_at_the_same_place_hold_nobody_up() {
    let gate = Arc::new(Semaphore::new(0));
    let s = big_error(gate.clone());
    let (a, b) = two(&s, &gate).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (a, b) = tokio::join!(a.collect(), b.collect());
    assert!(a.is_ok() || b.is_ok(), "{:?} {:?}", a.err(), b.err());
}
#[tokio::test(start_paused = true)]
async fn a_reader_that_was_cut_off_is_not_held_up() {
    let gate = Arc::new(Semaphore::new(0));
    let s = big_error(gate.clone());
    let (_a, mut b) = two(&s, &gate).await;
    for _ in 0..6 {
        piece(&mut b).await.unwrap().unwrap();
    }
    // a has been cut off by now, for it held b up
    tokio::time::sleep(Duration::from_secs(30)).await;
    b.collect().await.unwrap();
}
#[tokio::test]
async fn who_asks_after_an_invalidation_does_not_join_a_fetch_from_before() {
    let n = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let (n2, g2) = (n.clone(), gate.clone());
    let s = setup(move |r: Request<ReqBody>| {
        let (n, gate) = (n2.clone(), g2.clone());
        async move {
            if r.method() == "POST" {
                n.fetch_add(1, Ordering::SeqCst);
                return response(&[], "");
            }
            let version = n.load(Ordering::SeqCst);
            if version == 0 {
                gate.acquire().await.unwrap().forget();
            }
            response(
                &[("cache-control", "max-age=60")],
                Bytes::from(version.to_string()),
            )
        }
    });
    let v = s.service.clone();
    let old = tokio::spawn(async move { ask(&v, get("/a")).await });
    for _ in 0..10 {
        tokio::task::yield_now().await
    }
    ask(&s.service, request("POST", "/a", &[])).await;
    let v = s.service.clone();
    let new = tokio::spawn(async move { ask(&v, get("/a")).await });
    for _ in 0..10 {
        tokio::task::yield_now().await
    }
    gate.add_permits(1);
    old.await.unwrap();
    let new = new.await.unwrap();
    assert_eq!(String::from_utf8(new.body).unwrap(), "1", "{:?}", new.cache);
}
#[tokio::test]
async fn the_service_sees_the_host_that_its_answer_is_stored_under() {
    let s = setup(|r: Request<ReqBody>| async move {
        response(
            &[("cache-control", "max-age=60")],
            Bytes::from(h(&r, "host").to_owned()),
        )
    });
    ask(
        &s.service,
        request("GET", "http://site.com/", &[("host", "evil.com")]),
    )
    .await;
    assert_eq!(
        String::from_utf8(
            ask(&s.service, request("GET", "/", &[("host", "site.com")]))
                .await
                .body
        )
        .unwrap(),
        "site.com"
    );
}
#[tokio::test]
async fn a_post_invalidates_what_the_key_names() {
    let s = setup_with(
        |l| l.key(KeyPolicy::new().query(Query::None)),
        |_r: Request<ReqBody>| async move { response(&[("cache-control", "max-age=60")], "x") },
    );
    ask(&s.service, get("/a?utm=1")).await;
    assert!(ask(&s.service, get("/a")).await.cache.is_hit());
    ask(&s.service, request("POST", "/a", &[])).await;
    assert!(!ask(&s.service, get("/a")).await.cache.is_hit());
}
#[tokio::test]
async fn a_miss_keeps_the_exact_length() {
    let s = setup(|_r: Request<ReqBody>| async move {
        response(&[("cache-control", "max-age=60")], "hello")
    });
    let r: Response<CachedBody> = head(&s.service, get("/a")).await;
    assert_eq!(r.body().size_hint().exact(), Some(5));
}
#[tokio::test]
async fn a_late_follower_is_told_the_age_and_an_outdated_fetch_is_not_joined() {
    let (tx, body) = channel();
    let cell = Arc::new(std::sync::Mutex::new(Some(body)));
    let s = setup(move |_r: Request<ReqBody>| {
        let c = cell.clone();
        async move {
            match c.lock().unwrap().take() {
                Some(b) => response_with(200, &[("cache-control", "max-age=1")], b),
                None => response(&[("cache-control", "max-age=1")], "new"),
            }
        }
    });
    let _lead = head(&s.service, get("/a")).await;
    s.clock.advance(Duration::from_secs(100));
    let r = head(&s.service, get("/a")).await;
    println!("{:?}", r.headers());
    assert!(
        r.headers().contains_key("age") || s.seen.count() == 2,
        "{:?}",
        r.headers()
    );
    drop(tx);
}
#[tokio::test]
async fn a_204_has_no_body_whatever_its_length_says() {
    let s = setup(|_r: Request<ReqBody>| async move {
        response_with(
            204,
            &[("content-length", "5"), ("cache-control", "max-age=60")],
            response(&[], "").into_body(),
        )
    });
    let r = head(&s.service, get("/a")).await;
    println!("{:?}", r.headers());
    r.into_body().collect().await.unwrap();
}
#[tokio::test]
async fn stored_is_not_said_where_there_is_no_room() {
    let store = frontage::MemoryStore::new(600);
    let seen = Seen::default();
    let v = cached(
        frontage::CacheLayer::new(store),
        &seen,
        |_r: Request<ReqBody>| async move { response(&[("cache-control", "max-age=60")], "hello") },
    );
    let a = ask(&v, get("/a")).await;
    assert!(
        !a.cache.is_stored() || ask(&v, get("/a")).await.cache.is_hit(),
        "{:?}",
        a.cache
    );
}
#[tokio::test]
async fn a_reload_is_not_answered_from_the_store_because_its_leader_was() {
    let s =
        setup(
            |_r: Request<ReqBody>| async move { response(&[("cache-control", "max-age=60")], "x") },
        );
    let (mut a, mut b) = (s.service.clone(), s.service.clone());
    let f2 = a.call(get("/a"));
    let f3 = b.call(request("GET", "/a", &[("cache-control", "no-cache")]));
    ask(&s.service, get("/a")).await;
    for _ in 0..20 {
        tokio::task::yield_now().await
    }
    let (_r2, r3) = tokio::join!(f2, f3);
    assert_eq!(s.seen.count(), 2, "{:?}", r3.unwrap().headers());
}
#[tokio::test(start_paused = true)]
async fn a_confirmed_key_is_not_marked_any_more() {
    let n = Arc::new(AtomicUsize::new(0));
    let n2 = n.clone();
    let s = setup(move |r: Request<ReqBody>| {
        let n = n2.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let cc = if n.fetch_add(1, Ordering::SeqCst) == 0 {
                "no-cache"
            } else {
                "max-age=10"
            };
            let f = [("cache-control", cc), ("etag", "\"a\"")];
            if r.headers().contains_key("if-none-match") {
                response_with(304, &f, response(&[], "").into_body())
            } else {
                response(&f, "x")
            }
        }
    });
    ask(&s.service, get("/a")).await;
    ask(&s.service, get("/a")).await;
    s.clock.advance(Duration::from_secs(11));
    let before = s.seen.count();
    let all: Vec<_> = (0..10)
        .map(|_| {
            let v = s.service.clone();
            tokio::spawn(async move { ask(&v, get("/a")).await })
        })
        .collect();
    for t in all {
        t.await.unwrap();
    }
    assert_eq!(s.seen.count() - before, 1);
}
#[tokio::test]
async fn a_body_that_nobody_reads_is_dropped_also_after_followers_left() {
    let gate = Arc::new(Semaphore::new(0));
    let (g, (tx, body)) = (gate.clone(), channel());
    let cell = Arc::new(std::sync::Mutex::new(Some(body)));
    let s = setup(move |_r: Request<ReqBody>| {
        let (g, c) = (g.clone(), cell.clone());
        async move {
            g.acquire().await.unwrap().forget();
            let body = c.lock().unwrap().take().unwrap();
            response_with(503, &[], body)
        }
    });
    let v = s.service.clone();
    let lead = tokio::spawn(async move { head(&v, get("/a")).await });
    for _ in 0..10 {
        tokio::task::yield_now().await
    }
    let v = s.service.clone();
    let follow = tokio::spawn(async move { head(&v, get("/a")).await });
    for _ in 0..10 {
        tokio::task::yield_now().await
    }
    follow.abort();
    let _ = follow.await;
    gate.add_permits(1);
    drop(lead.await.unwrap());
    let mut tx = tx;
    for _ in 0..200 {
        tokio::task::yield_now().await
    }
    let _ = tx.send_data(Bytes::from_static(b"x")).await;
    for _ in 0..200 {
        tokio::task::yield_now().await
    }
    assert!(
        tx.send_data(Bytes::from_static(b"x")).await.is_err(),
        "the inner body is still read though nobody is left"
    );
}
#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_not_joined_for_ever() {
    let (tx, body) = channel();
    let cell = Arc::new(std::sync::Mutex::new(Some(body)));
    let s = setup(move |_r: Request<ReqBody>| {
        let c = cell.clone();
        async move {
            match c.lock().unwrap().take() {
                Some(b) => response_with(200, &[("cache-control", "max-age=60")], b),
                None => response(&[("cache-control", "max-age=60")], "new"),
            }
        }
    });
    let mut kept = vec![head(&s.service, get("/a")).await];
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        s.clock.advance(Duration::from_secs(3600));
        kept.push(head(&s.service, get("/a")).await);
        if kept.len() > 2 {
            kept.remove(0);
        }
    }
    assert!(s.seen.count() > 1, "ten hours of joining a dead body");
    drop(tx);
}

#[tokio::test]
async fn an_error_is_not_shared_with_or_by_those_who_carry_credentials() {
    for (first, second) in [
        (("cookie", "alice"), ("cookie", "bob")),
        (("x-nobody", "-"), ("cookie", "bob")),
        (("x-nobody", "-"), ("authorization", "bob")),
    ] {
        let gate = Arc::new(Semaphore::new(0));
        let handler_gate = gate.clone();
        let setup = setup_with(
            policy(CachePolicy::rfc9111()),
            move |request: Request<ReqBody>| {
                let gate = handler_gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    let who = format!("{}{}", h(&request, "cookie"), h(&request, "authorization"));
                    response_with(500, &[], response(&[], who).into_body())
                }
            },
        );
        let ask_as = |who| {
            let service = setup.service.clone();
            tokio::spawn(async move { ask(&service, request("GET", "/a", &[who])).await })
        };
        let alice = ask_as(first);
        until(|| setup.seen.count() == 1).await;
        let bob = ask_as(second);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        alice.await.unwrap();
        assert_eq!(bob.await.unwrap().body, b"bob", "{first:?}");
    }
}

#[tokio::test]
async fn a_cache_inside_another_of_the_same_core_does_not_wait_for_it() {
    use tower::Layer;
    let layer = frontage::CacheLayer::new(frontage::MemoryStore::new(1 << 20));
    let inner = tower::service_fn(|_: Request<ReqBody>| {
        std::future::ready(Ok::<_, std::convert::Infallible>(response(
            &[("cache-control", "max-age=60")],
            "answer",
        )))
    });
    let mut twice = layer.layer(layer.layer(inner));
    let answer = tokio::time::timeout(Duration::from_secs(5), twice.call(get("/a"))).await;
    let body = answer
        .expect("they wait for each other")
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(body.to_bytes(), "answer");
}
