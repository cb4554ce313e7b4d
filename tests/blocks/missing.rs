//! Objects that there aren't: one answer is for all their blocks.

use super::{origin::*, support::until};
use frontage::{CachePolicy, MemoryStore, status::Detail};
use futures_util::future::join_all;
use http::{HeaderValue, Response, StatusCode};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// With an origin that answers everything like this.
fn setup_with(policy: CachePolicy, code: u16, cache_control: &'static str) -> Setup {
    let setup = with(policy);
    setup.origin.spoil(move |_, response| {
        *response = Response::new(0..3);
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        let headers = response.headers_mut();
        headers.insert("cache-control", HeaderValue::from_static(cache_control));
        headers.insert("etag", HeaderValue::from_static("\"none\""));
    });
    setup
}

#[tokio::test]
async fn that_there_is_nothing_is_stored_for_all_blocks_at_once() {
    for code in [404, 410] {
        for first in ["bytes=5-", "bytes=9000-", "bytes=-5", "bytes=0-"] {
            let setup = setup_with(CachePolicy::default(), code, "max-age=60");
            let missing = setup.range(first).await;
            assert_eq!((missing.status, missing.body.len()), (code, 3));
            assert!(missing.cache.is_stored());
            for range in ["bytes=5-", "bytes=7000-", "bytes=-5", "bytes=99999999-"] {
                let missing = setup.range(range).await;
                assert_eq!((missing.status, missing.body.len()), (code, 3));
                assert!(missing.cache.is_hit(), "{range} after {first}");
            }
            assert_eq!(setup.whole().await.status, code);
            let head = setup.ask(request("HEAD", "/film", &[])).await;
            assert_eq!((head.status, head.cache.is_hit()), (code, true));
            assert_eq!(setup.origin.asked().len(), 1, "{first}");
        }
    }
}

#[tokio::test]
async fn a_hundred_cold_readers_of_nothing_cause_at_most_one_fetch_for_each_block() {
    let setup = setup_with(CachePolicy::default(), 404, "max-age=60");
    let ranges: Vec<String> = (0..100).map(|at| format!("bytes={}-", at * 400)).collect();
    for answer in join_all(ranges.iter().map(|range| setup.range(range))).await {
        assert_eq!((answer.status, answer.body.len()), (404, 3));
    }
    let fetches = setup.origin.asked().len();
    assert!(fetches <= 10, "{fetches}");
}

#[tokio::test]
async fn who_asks_for_what_is_missing_and_not_stored_waits_for_nobody() {
    let permits = Arc::new(Semaphore::new(1));
    let origin = Origin::new(LENGTH).held_by(&permits);
    let setup = Setup::new(origin, MemoryStore::new(4 << 20), CachePolicy::default());
    setup.origin.spoil(|_, response| {
        *response = Response::new(0..3);
        *response.status_mut() = StatusCode::NOT_FOUND;
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert("cache-control", no_store);
    });
    assert_eq!(setup.range("bytes=9000-").await.status, 404);
    let all_at_once = async {
        until(|| setup.origin.waiting.get() == 20).await;
        permits.add_permits(20);
    };
    let asking = join_all((0..20).map(|_| setup.range("bytes=9000-")));
    let (answers, ()) = tokio::join!(asking, all_at_once);
    assert!(answers.iter().all(|answer| answer.status == 404));
}

#[tokio::test]
async fn what_was_missing_goes_in_blocks_once_it_is_there() {
    for cache_control in ["max-age=60", "no-cache", "no-store"] {
        let setup = setup_with(CachePolicy::default(), 404, cache_control);
        for _ in 0..2 {
            assert_eq!(setup.range("bytes=9000-9009").await.status, 404);
        }
        setup.origin.mend();
        setup.origin.forget();
        setup.clock.advance(Duration::from_secs(61));
        let part = setup.range("bytes=9000-9009").await;
        part.assert_part(1, 9000..9010, LENGTH);
        assert_eq!(setup.origin.ranges(), [block(2)], "{cache_control}");
        setup.whole().await.assert_whole(1, LENGTH);
        assert_eq!(setup.origin.asked().len(), 11);
    }
}

#[tokio::test]
async fn what_is_stored_answers_before_the_news_that_it_is_gone() {
    let setup = setup();
    setup.range("bytes=0-9").await;
    setup.origin.spoil(|_, response| {
        *response = Response::new(0..3);
        *response.status_mut() = StatusCode::NOT_FOUND;
        let minute = HeaderValue::from_static("max-age=60");
        response.headers_mut().insert("cache-control", minute);
    });
    assert_eq!(setup.range("bytes=9000-").await.status, 404);
    setup.range("bytes=0-9").await.assert_part(1, 0..10, LENGTH);
    // Who comes to a block that is gone has the others forgotten.
    assert!(setup.whole().await.error.unwrap().is_changed());
    assert_eq!(setup.range("bytes=0-9").await.status, 404);
}

#[tokio::test]
async fn what_a_range_may_have_caused_is_of_its_block_only() {
    for code in [400, 403, 500, 503] {
        let setup = setup();
        setup.origin.spoil(move |parts, response| {
            let range = parts.headers.get("range");
            if range.is_some_and(|range| *range == block(1 << 40)) {
                *response = Response::new(0..3);
                *response.status_mut() = StatusCode::from_u16(code).unwrap();
                let minute = HeaderValue::from_static("max-age=60");
                response.headers_mut().insert("cache-control", minute);
            }
        });
        let odd = format!("bytes={}-", BLOCK << 40);
        assert_eq!(setup.range(&odd).await.status, code);
        let head = setup.ask(request("HEAD", "/film", &[])).await;
        assert_eq!(head.status, 200, "{code}");
        setup.whole().await.assert_whole(1, LENGTH);
    }
}

#[tokio::test]
async fn an_error_does_not_take_the_place_of_a_whole_that_may_stand_in_for_it() {
    let setup = with(CachePolicy::caching_optimized());
    setup.origin.ignore_ranges(true);
    setup.origin.field("cache-control", "max-age=60");
    setup.whole().await.assert_whole(1, LENGTH);
    setup.clock.advance(Duration::from_secs(700));
    setup.origin.spoil(|_, response| {
        *response = Response::new(0..0);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    });
    let stale = setup.range("bytes=9000-9009").await;
    stale.assert_part(1, 9000..9010, LENGTH);
    setup.origin.mend();
    setup.clock.advance(Duration::from_secs(700));
    let whole = setup.whole().await;
    whole.assert_whole(1, LENGTH);
    assert_eq!(whole.cache.detail(), Some(Detail::Revalidated));
}
