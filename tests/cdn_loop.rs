//! `CDN-Loop`: through caches of every profile to an origin, and back.

#![cfg(feature = "origin")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "origin/raw.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod raw;
mod support;

use frontage::{
    CacheLayer, CachePolicy, MemoryStore, cdn_loop::CdnLoopLayer, origin::Origin as HttpOrigin,
};
use http::Request;
use raw::{OK, serve};
use support::*;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimitLayer};

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
