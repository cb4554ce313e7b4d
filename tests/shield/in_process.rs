//! A shield that is cloned to each cache of a process.

use crate::*;
use frontage::{
    OptionalBody,
    origin::{AnsweredBy, FailoverCriteria, FailoverLayer, OriginFailure},
    status::{Detail, OriginShieldHit},
};
use http::StatusCode;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_cold_requests_at_eight_caches_are_one_and_all_stream() {
    let (shielded, mut calls) = shield();
    let edges: Vec<Edge> = (0..8).map(|_| edge(&shielded)).collect();
    let asked: Vec<_> = (0..1000)
        .map(|number| asking(&edges[number % 8], get("http://h/a")))
        .collect();
    let call = calls.next().await;
    let (feed, body) = fed();
    call.answer(fresh(body));
    let mut bodies = Vec::new();
    for asking in asked {
        bodies.push(answered(asking).await.into_body());
    }
    for part in ["one", "two"] {
        feed.send(part).await;
        for body in &mut bodies {
            assert_eq!(chunk(body).await.unwrap(), part);
        }
    }
    drop(feed);
    for body in bodies {
        assert_eq!(text(body).await.unwrap(), "");
    }
    calls.none().await;
}

#[tokio::test]
async fn a_cache_says_what_the_shield_had_and_stays_a_miss() {
    let (shielded, mut calls) = shield();
    let first = asking(&edge(&shielded), get("http://h/a"));
    calls.next().await.answer(fresh(full("answer")));
    let first = answered(first).await;
    assert!(!said(&first).is_origin_shield_hit());
    assert_eq!(
        cache_status(&first),
        "frontage-shield; fwd=uri-miss; ttl=60; stored, frontage; fwd=uri-miss; ttl=60; stored"
    );
    text(first.into_body()).await.unwrap();

    let second = edge(&shielded);
    let miss = head(&second, get("http://h/a")).await;
    assert!(said(&miss).is_origin_shield_hit() && !said(&miss).is_hit());
    assert_eq!(said(&miss).detail(), Some(Detail::OriginShieldHit));
    assert_eq!(
        cache_status(&miss),
        "frontage-shield; hit; ttl=60, frontage; fwd=uri-miss; ttl=60; stored; detail=origin-shield-hit"
    );
    assert_eq!(miss.headers()["x-cache"], "Miss from frontage");
    assert_eq!(miss.headers()["age"], "0");
    assert_eq!(text(miss.into_body()).await.unwrap(), "answer");

    let hit = head(&second, get("http://h/a")).await;
    assert!(said(&hit).is_hit() && !said(&hit).is_origin_shield_hit());
    assert_eq!(
        cache_status(&hit),
        "frontage-shield; hit; ttl=60, frontage; hit; ttl=60"
    );
    calls.none().await;
}

#[tokio::test(start_paused = true)]
async fn followers_and_those_who_run_alone_say_so_too() {
    let (origin, mut calls) = origin();
    let shielded = OriginShieldLayer::new(MemoryStore::new(16 << 20)).layer(origin);
    let warm = tokio::spawn(shielded.clone().oneshot(get("http://h/a")));
    let private_to_others = cacheable("max-age=60", full("answer"));
    calls.next().await.answer(private_to_others);
    let warm = within(warm).await.unwrap().unwrap();
    assert!(warm.extensions().get::<OriginShieldHit>().is_none());
    text(warm.into_body()).await.unwrap();

    // Held between the two, so that others join.
    let hold = tower::service_fn(move |request: Request<NoBody>| {
        let shielded = shielded.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            shielded.oneshot(request).await
        }
    });
    let edge = CacheLayer::new(MemoryStore::new(16 << 20)).layer(hold);
    let (leader, follower) = within(async {
        tokio::join!(
            edge.clone().oneshot(get("http://h/a")),
            edge.clone().oneshot(get("http://h/a"))
        )
    })
    .await;
    for (response, collapsed) in [(leader.unwrap(), false), (follower.unwrap(), true)] {
        assert_eq!(said(&response).is_collapsed(), collapsed);
        assert!(said(&response).is_origin_shield_hit());
        assert!(cache_status(&response).ends_with("; detail=origin-shield-hit"));
        text(response.into_body()).await.unwrap();
    }

    let other = CacheLayer::new(MemoryStore::new(16 << 20)).layer(edge.into_inner());
    let mut personal = get("http://h/a");
    personal
        .headers_mut()
        .insert("cookie", "a=b".parse().unwrap());
    let alone = within(other.oneshot(personal)).await.unwrap();
    assert!(said(&alone).is_origin_shield_hit());
    // Why it isn't stored is of more use.
    assert!(cache_status(&alone).ends_with("; detail=cookie"));
    calls.none().await;
}

#[tokio::test]
async fn a_shield_confirms_what_a_cache_has() {
    let (shielded, mut calls) = shield();
    let clock = clock();
    let edge = CacheLayer::with_core(core(&clock)).layer(shielded);
    let first = asking(&edge, get("http://h/a"));
    let mut response = fresh(full("answer"));
    response
        .headers_mut()
        .insert("etag", "\"v1\"".parse().unwrap());
    calls.next().await.answer(response);
    text(answered(first).await.into_body()).await.unwrap();

    // By its own clock the shield's is fresh.
    clock.advance(Duration::from_secs(61));
    let confirmed = head(&edge, get("http://h/a")).await;
    assert_eq!(said(&confirmed).detail(), Some(Detail::Revalidated));
    assert!(said(&confirmed).is_origin_shield_hit());
    assert_eq!(text(confirmed.into_body()).await.unwrap(), "answer");
    calls.none().await;
}

#[tokio::test]
async fn what_is_not_cached_passes_each_time_and_invalidates() {
    let (shielded, mut calls) = shield();
    let edge = edge(&shielded);
    let first = asking(&edge, get("http://h/a"));
    calls.next().await.answer(fresh(full("old")));
    text(answered(first).await.into_body()).await.unwrap();
    for (method, content_type) in [("PUT", "text/plain"), ("POST", "application/grpc")] {
        for _ in 0..2 {
            let mut request = get("http://h/a");
            *request.method_mut() = method.parse().unwrap();
            request
                .headers_mut()
                .insert("content-type", content_type.parse().unwrap());
            let passing = asking(&edge, request);
            let call = calls.next().await;
            assert_eq!(call.request.headers()["content-type"], content_type);
            let (feed, body) = fed();
            call.answer(fresh(body));
            let mut body = answered(passing).await.into_body();
            feed.send("message").await;
            assert_eq!(chunk(&mut body).await.unwrap(), "message");
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            feed.trailers(trailers.clone()).await;
            let frame = within(http_body_util::BodyExt::frame(&mut body)).await;
            assert_eq!(frame.unwrap().unwrap().into_trailers().unwrap(), trailers);
        }
    }
    // In both.
    let again = asking(&edge, get("http://h/a"));
    calls.next().await.answer(fresh(full("new")));
    assert_eq!(
        text(answered(again).await.into_body()).await.unwrap(),
        "new"
    );
}

#[tokio::test]
async fn a_shield_of_the_same_core_is_none() {
    let (origin, mut calls) = origin();
    let core = CacheCore::new(MemoryStore::new(16 << 20));
    let shielded = OriginShieldLayer::with_core(core.clone()).layer(origin);
    let edge = CacheLayer::with_core(core).layer(shielded);
    let asked = asking(&edge, get("http://h/a"));
    calls.next().await.answer(fresh(full("answer")));
    let response = answered(asked).await;
    assert!(cache_status(&response).starts_with("frontage-shield; fwd=bypass, "));
}

#[tokio::test(start_paused = true)]
async fn its_name_and_its_field_can_be_set() {
    let (origin, mut calls) = origin();
    let layer = OriginShieldLayer::new(MemoryStore::new(1 << 20));
    let error = layer.clone().product("a b").unwrap_err().to_string();
    assert!(
        error.contains("product") && error.contains("a b"),
        "{error}"
    );
    let named = layer
        .clone()
        .product("middle")
        .unwrap()
        .layer(origin.clone());
    let silent = layer.cache_status(false).layer(origin);
    for (shielded, expected) in [(named, "middle; fwd=uri-miss"), (silent, "frontage; fwd")] {
        let asked = asking(&edge(&shielded), get("http://h/a"));
        calls
            .next()
            .await
            .answer(cacheable("no-store", full("answer")));
        let response = answered(asked).await;
        assert!(cache_status(&response).starts_with(expected));
    }
}

/// Answers each `GET` after a while with this status, and `OriginFailure::Connect` where it is a 502.
fn member(
    status: u16,
    seen: Counter,
) -> impl tower::Service<
    Request<OptionalBody<NoBody>>,
    Response = Response<Body>,
    Error = Broken,
    Future = impl Send,
> + Clone
+ Send
+ 'static {
    tower::service_fn(move |_: Request<OptionalBody<NoBody>>| {
        seen.add();
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut response = fresh(full("answer"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if status == 502 {
                response.extensions_mut().insert(OriginFailure::Connect);
            }
            Ok(response)
        }
    })
}

#[tokio::test]
async fn each_member_of_a_group_has_a_shield_of_its_own() {
    // No connection counts where 503 is listed, whatever the status of its page.
    for (codes, answered_by) in [([503], AnsweredBy::Secondary), ([502], AnsweredBy::Primary)] {
        let seen = [Counter::default(), Counter::default()];
        let shield = || OriginShieldLayer::new(MemoryStore::new(16 << 20));
        let primary = shield().layer(member(502, seen[0].clone()));
        let secondary = shield().layer(member(200, seen[1].clone()));
        let failover = FailoverLayer::new(secondary, FailoverCriteria::new(codes).unwrap());
        let group = failover.layer(primary);
        let edge = || CacheLayer::new(MemoryStore::new(16 << 20)).layer(group.clone());
        let asked = (0..8).map(|_| edge().oneshot(get("http://h/a")));
        for response in within(futures_util::future::join_all(asked)).await {
            let response = response.unwrap();
            assert_eq!(response.extensions().get(), Some(&answered_by));
        }
        let fetched = usize::from(answered_by == AnsweredBy::Secondary);
        assert_eq!((seen[0].get(), seen[1].get()), (1, fetched));
        // The secondary's answer is there by now, in its own shield alone.
        let later = within(edge().oneshot(get("http://h/a"))).await.unwrap();
        assert_eq!(said(&later).is_origin_shield_hit(), fetched == 1);
        assert_eq!((seen[0].get(), seen[1].get()), (2, fetched));
    }
}
