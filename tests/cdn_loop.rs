//! `CDN-Loop`: through caches of every profile to an origin, and back.

#![cfg(feature = "origin")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "origin/raw.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod raw;
mod support;

use frontage::{
    CacheLayer, CachePolicy, MemoryStore, OptionalBody, ResponseBody, cdn_loop::CdnLoopLayer,
    origin::Origin as HttpOrigin,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use raw::{OK, serve};
use support::*;
use tower::{
    Layer, Service, ServiceExt, limit::ConcurrencyLimitLayer, service_fn, util::BoxCloneService,
};

fn layer() -> CdnLoopLayer {
    CdnLoopLayer::new("edge").unwrap()
}

fn with_loop(line: &str) -> Request<NoBody> {
    let mut request = get("http://h/a");
    request
        .headers_mut()
        .insert("cdn-loop", line.parse().unwrap());
    request
}

/// The lines of the field in a head.
fn lines(head: &str) -> Vec<String> {
    let lines = head.lines().map(str::to_ascii_lowercase);
    lines
        .filter_map(|line| Some(line.strip_prefix("cdn-loop: ")?.to_owned()))
        .collect()
}

#[tokio::test]
async fn it_reaches_the_origin_in_every_profile_and_comes_back_as_a_508() {
    for policy in [
        CachePolicy::default(),
        CachePolicy::rfc9111(),
        CachePolicy::caching_optimized(),
        CachePolicy::caching_disabled(),
        CachePolicy::use_origin_cache_control_headers(),
    ] {
        let server = serve(|_, peer| peer.answer_all(OK)).await;
        let origin = HttpOrigin::url(&server.url()).unwrap().build().unwrap();
        let cache = CacheLayer::new(MemoryStore::new(1 << 20)).policy(policy.clone());
        // Two of one name in a row are no loop.
        let edge = layer().layer(layer().layer(cache.layer(origin)));
        let mut request = with_loop("other; x=\"");
        let named = "CDN-Loop, close".parse().unwrap();
        request.headers_mut().insert("connection", named);
        let response = within(edge.clone().oneshot(request)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response.into_body()).await.unwrap(), "ok");
        let heads = server.seen.heads();
        let [other, outer, inner] = &lines(&heads[0])[..] else {
            panic!("{policy:?}: {heads:?}");
        };
        assert_eq!(other, "other; x=\"");
        assert_ne!(outer, inner);
        for own in [outer, inner] {
            let response = within(edge.clone().oneshot(with_loop(own))).await.unwrap();
            assert_eq!(response.status(), 508);
            assert_eq!(response.headers()["content-length"], "0");
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert_eq!(text(response.into_body()).await.unwrap(), "");
        }
        assert_eq!(server.seen.heads().len(), 1);
    }
}

#[tokio::test]
async fn it_is_in_no_key() {
    let (origin, mut calls) = origin();
    for policy in [CachePolicy::default(), CachePolicy::caching_optimized()] {
        let cache = CacheLayer::new(MemoryStore::new(1 << 20)).policy(policy);
        let edge = layer().layer(cache.layer(origin.clone()));
        let asking = tokio::spawn(edge.clone().oneshot(with_loop("one")));
        calls.next().await.answer(fresh(full("answer")));
        let response = within(asking).await.unwrap().unwrap();
        text(response.into_body()).await.unwrap();
        let response = within(edge.oneshot(with_loop("two"))).await.unwrap();
        assert!(is_hit(&response));
    }
}

/// A proxy behind those that are tested, which answers all that it lets in.
async fn answer_as_the_next(next: &CdnLoopLayer, call: Call) -> u16 {
    let answer = service_fn(|_: Request<NoBody>| async { Ok::<_, Broken>(fresh(full("answer"))) });
    let request = call.request.clone();
    let response = within(next.layer(answer).oneshot(request)).await.unwrap();
    let status = response.status().as_u16();
    call.answer(response.map(BodyExt::boxed_unsync));
    status
}

#[tokio::test]
async fn a_viewers_long_field_spoils_no_other_viewers_answer() {
    for policy in [
        CachePolicy::default(),
        CachePolicy::rfc9111(),
        CachePolicy::caching_optimized(),
    ] {
        let (origin, mut calls) = origin();
        let cache = CacheLayer::new(MemoryStore::new(1 << 20)).policy(policy);
        let (edge, next) = (layer().layer(cache.layer(origin)), layer());
        // Short enough here, and too long for the next.
        let long = tokio::spawn(edge.clone().oneshot(with_loop(&"x".repeat(4_090))));
        let call = calls.next().await;
        let others: [_; 5] =
            std::array::from_fn(|_| tokio::spawn(edge.clone().oneshot(with_loop("other"))));
        calls.none().await;
        assert_eq!(answer_as_the_next(&next, call).await, 508);
        assert_eq!(within(long).await.unwrap().unwrap().status(), 508);
        for _ in &others {
            assert_eq!(answer_as_the_next(&next, calls.next().await).await, 200);
        }
        for other in others {
            let response = within(other).await.unwrap().unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(text(response.into_body()).await.unwrap(), "answer");
        }
        // Nor is the key one that isn't stored.
        assert!(is_hit(
            &within(edge.oneshot(get("http://h/a"))).await.unwrap()
        ));
    }
}

#[tokio::test]
async fn where_viewers_come_in_it_may_be_shorter_than_further_on() {
    let inner = service_fn(|request: Request<NoBody>| async move {
        let fields = request.headers().get_all("cdn-loop").iter().count();
        Ok::<_, Broken>(fresh(full(fields.to_string())))
    });
    let status = async |max_length, line: &str| {
        let edge = layer().max_length(max_length);
        let proxy = edge.layer(layer().layer(inner));
        within(proxy.oneshot(with_loop(line)))
            .await
            .unwrap()
            .status()
    };
    for (max_length, length, expected) in [
        (2_048, 2_048, 200),
        (2_048, 2_049, 508),
        (4_096, 4_000, 200),
        // The next refuses it.
        (4_096, 4_096, 508),
        (0, 1, 508),
    ] {
        let line = "x".repeat(length);
        assert_eq!(
            status(max_length, &line).await,
            expected,
            "{max_length} {length}"
        );
    }
    let none = layer().max_length(0).layer(inner);
    let response = within(none.oneshot(get("http://h/a"))).await.unwrap();
    assert_eq!(response.status(), 200);
    // All lines count.
    let mut two = with_loop("12345");
    two.headers_mut()
        .append("cdn-loop", "67890".parse().unwrap());
    for (max_length, expected) in [(10, 200), (9, 508)] {
        let edge = layer().max_length(max_length).layer(inner);
        let response = within(edge.oneshot(two.clone())).await.unwrap();
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn a_request_that_comes_back_ends_while_its_first_passage_is_under_way() {
    let (origin, mut calls) = origin();
    let cache = CacheLayer::new(MemoryStore::new(1 << 20));
    let edge = layer().layer(cache.layer(origin));
    let first = tokio::spawn(edge.clone().oneshot(get("http://h/a")));
    let call = calls.next().await;
    let mut back = get("http://h/a");
    *back.headers_mut() = call.request.headers().clone();
    let back = within(edge.oneshot(back)).await.unwrap();
    assert_eq!(back.status(), 508);
    call.answer(fresh(full("answer")));
    assert_eq!(within(first).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn around_a_cache_it_is_to_both_sides_as_above_it() {
    for policy in [CachePolicy::default(), CachePolicy::caching_optimized()] {
        let (origin, mut calls) = origin();
        let edge = edge_with(policy, origin, true);
        let mut request = with_loop("other");
        let named = "CDN-Loop, close".parse().unwrap();
        request.headers_mut().insert("connection", named);
        let first = tokio::spawn(edge.clone().oneshot(request));
        let call = calls.next().await;
        let lines: Vec<_> = call.request.headers().get_all("cdn-loop").iter().collect();
        let [other, own] = lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!(other, "other");
        for line in [own.to_str().unwrap(), &"x".repeat(4_097)] {
            let response = within(edge.clone().oneshot(with_loop(line))).await.unwrap();
            assert_eq!(response.status(), 508);
        }
        call.answer(fresh(full("answer")));
        assert_eq!(within(first).await.unwrap().unwrap().status(), 200);
        let response = within(edge.oneshot(get("http://h/a"))).await.unwrap();
        assert!(is_hit(&response));
        calls.none().await;
    }
}

/// Passes on to `next` what comes out of one of a ring, from this call on; each passage counts.
async fn pass_on(first: Call, mut calls: Calls, next: Edge, passages: Counter) {
    let mut call = first;
    loop {
        passages.add();
        let answering = next.clone().oneshot(call.request.clone());
        tokio::spawn(async move {
            let response = answering.await.unwrap();
            call.answer(response.map(|body| body.map_err(|_| Broken(0)).boxed_unsync()));
        });
        call = calls.next().await;
    }
}

type Answer = Response<OptionalBody<ResponseBody<Body>>>;
type Edge = BoxCloneService<Request<NoBody>, Answer, Broken>;

/// The whole layer above the cache, or half of it below.
fn edge_with(policy: CachePolicy, origin: Origin, is_around: bool) -> Edge {
    let cache = CacheLayer::new(MemoryStore::new(1 << 20)).policy(policy);
    match is_around {
        true => BoxCloneService::new(layer().around(&cache, origin)),
        false => BoxCloneService::new(layer().layer(cache.layer(origin))),
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_with_viewers_all_around_ends_at_once() {
    const VIEWERS: usize = 20;
    for (policy, is_around) in [
        (CachePolicy::default(), false),
        (CachePolicy::default(), true),
        (CachePolicy::rfc9111(), false),
        (CachePolicy::caching_optimized(), false),
        (CachePolicy::caching_optimized(), true),
    ] {
        for nodes in 2..=4 {
            let (ring, mut calls): (Vec<Edge>, Vec<Calls>) = (0..nodes)
                .map(|_| {
                    let (origin, calls) = origin();
                    (edge_with(policy.clone(), origin, is_around), calls)
                })
                .unzip();
            let asking: Vec<_> = (0..VIEWERS * nodes)
                .map(|viewer| tokio::spawn(ring[viewer % nodes].clone().oneshot(get("http://h/a"))))
                .collect();
            // Each leads a fetch before anything comes to it from the one before.
            let mut first = Vec::new();
            for calls in &mut calls {
                first.push(calls.next().await);
                calls.none().await;
            }
            let (start, passages) = (tokio::time::Instant::now(), Counter::default());
            for (at, (first, calls)) in first.into_iter().zip(calls).enumerate() {
                let next = ring[(at + 1) % nodes].clone();
                tokio::spawn(pass_on(first, calls, next, passages.clone()));
            }
            for asking in asking {
                assert_eq!(within(asking).await.unwrap().unwrap().status(), 508);
            }
            assert!(start.elapsed().as_secs() < 1, "{:?}", start.elapsed());
            // Each viewer's request is passed on by each at most once.
            let most = VIEWERS * nodes * nodes;
            assert!(passages.get() <= most, "{} of {most}", passages.get());
        }
    }
}

#[tokio::test]
async fn edges_that_miss_the_same_still_wait_for_one_fetch_of_the_next() {
    let (origin, mut calls) = origin();
    let shield = layer().layer(CacheLayer::new(MemoryStore::new(1 << 20)).layer(origin));
    let asking: Vec<_> = (0..8)
        .map(|_| tokio::spawn(layer().layer(shield.clone()).oneshot(get("http://h/a"))))
        .collect();
    let call = calls.next().await;
    calls.none().await;
    call.answer(fresh(full("answer")));
    for asking in asking {
        let response = within(asking).await.unwrap().unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), "answer");
    }
    calls.none().await;
}

#[tokio::test]
async fn so_many_members_part_no_more_requests_than_that() {
    let (origin, mut calls) = origin();
    let edge = layer().layer(CacheLayer::new(MemoryStore::new(1 << 20)).layer(origin));
    let asking: Vec<_> = (0..200)
        .map(|members| {
            let line = vec!["a"; members].join(",");
            tokio::spawn(edge.clone().oneshot(with_loop(&line)))
        })
        .collect();
    let mut fetches = Vec::new();
    for _ in 0..15 {
        fetches.push(calls.next().await);
    }
    calls.none().await;
    for fetch in fetches {
        fetch.answer(fresh(full("answer")));
    }
    for asking in asking {
        assert_eq!(within(asking).await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn it_calls_the_instance_that_was_ready_and_leaves_errors_alone() {
    let (origin, mut calls) = origin();
    let mut edge = layer().layer(ConcurrencyLimitLayer::new(1).layer(origin));
    for number in 0..3 {
        let ready = within(edge.ready()).await.unwrap();
        let asking = tokio::spawn(ready.call(get("http://h/a")));
        calls.next().await.fail(number);
        let error = within(asking).await.unwrap().unwrap_err();
        assert_eq!(error, Broken(number));
    }
}

#[test]
fn a_name_that_is_none_is_named() {
    let error = CdnLoopLayer::new("a b").unwrap_err();
    assert_eq!(error.setting(), "cdn_loop");
    assert!(error.to_string().contains("\"a b\""), "{error}");
}
