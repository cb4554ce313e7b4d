//! Errors: shared by a shield, and not stored.

use crate::*;
use frontage::{CachePolicy, status::Detail};

fn error(status: u16, cache_control: &str) -> Response<Body> {
    let mut response = cacheable(cache_control, full("error"));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

#[tokio::test]
async fn they_are_shared_with_those_who_wait_and_stored_above_only() {
    for policy in [CachePolicy::default(), CachePolicy::caching_optimized()] {
        for status in [404, 503] {
            let (origin, mut calls) = origin();
            let shield = OriginShieldLayer::new(MemoryStore::new(16 << 20)).policy(policy.clone());
            let shielded = shield.layer(origin);
            let caching = CacheLayer::new(MemoryStore::new(16 << 20)).layer(shielded.clone());
            // Twice, since an error says nothing of the next answer.
            for round in 0..2 {
                let edges: Vec<Edge> = (0..8).map(|_| edge(&shielded)).collect();
                let asked: Vec<_> = edges
                    .iter()
                    .map(|edge| asking(edge, get("http://h/a")))
                    .collect();
                let call = calls.next().await;
                calls.none().await;
                call.answer(error(status, "max-age=60"));
                let mut collapsed = 0;
                for asked in asked {
                    let response = answered(asked).await;
                    assert_eq!(response.status(), status);
                    let said = cache_status(&response);
                    assert!(said.contains("; detail=error, frontage; "), "{said}");
                    assert!(said.ends_with("; stored"), "{said}");
                    collapsed += usize::from(said.contains("; collapsed"));
                    assert_eq!(text(response.into_body()).await.unwrap(), "error");
                }
                assert_eq!(collapsed, 7, "{status} {round}");
                for edge in &edges {
                    assert!(is_hit(&head(edge, get("http://h/a")).await));
                }
                calls.none().await;
            }
            let asked = asking(&caching, get("http://h/a"));
            calls.next().await.answer(fresh(full("back")));
            text(answered(asked).await.into_body()).await.unwrap();
            let response = head(&edge(&shielded), get("http://h/a")).await;
            assert!(said(&response).is_origin_shield_hit());
        }
    }
}

#[tokio::test]
async fn one_that_is_private_is_not_shared() {
    let (shielded, mut calls) = shield();
    let edges: Vec<Edge> = (0..4).map(|_| edge(&shielded)).collect();
    let asked: Vec<_> = edges
        .iter()
        .map(|edge| asking(edge, get("http://h/a")))
        .collect();
    calls.next().await.answer(error(404, "private, max-age=60"));
    // The others are at the origin together.
    let calls = [calls.next().await, calls.next().await, calls.next().await];
    for call in calls {
        call.answer(error(404, "private, max-age=60"));
    }
    for asked in asked {
        let response = answered(asked).await;
        assert_eq!(
            said(&response).detail().map(|detail| detail.to_string()),
            Some("private".into())
        );
    }
}

#[tokio::test]
async fn something_stale_in_the_shield_stands_in_for_one() {
    let clock = clock();
    let (origin, mut calls) = origin();
    let shielded = OriginShieldLayer::with_core(core(&clock)).layer(origin);
    let asked = asking(&edge(&shielded), get("http://h/a"));
    let stale = "max-age=10, stale-if-error=100";
    calls.next().await.answer(cacheable(stale, full("old")));
    text(answered(asked).await.into_body()).await.unwrap();
    clock.advance(std::time::Duration::from_secs(20));
    let asked = asking(&edge(&shielded), get("http://h/a"));
    calls.next().await.answer(error(503, "max-age=60"));
    let response = answered(asked).await;
    assert_eq!(response.status(), 200);
    assert!(cache_status(&response).contains("; detail=stale-if-error, frontage; "));
    assert_ne!(said(&response).detail(), Some(Detail::OriginShieldHit));
}
