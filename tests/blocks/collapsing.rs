//! Blocks that several read, blocks that fail, and viewers that leave.

use super::{
    origin::*,
    support::{until, within},
};
use frontage::{CachePolicy, MemoryStore};
use futures_util::future::join_all;
use http::StatusCode;
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

pub(super) fn held() -> (Setup, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let origin = Origin::new(LENGTH).held_by(&permits);
    let setup = Setup::new(origin, MemoryStore::new(4 << 20), CachePolicy::default());
    (setup, permits)
}

#[tokio::test]
async fn fifty_readers_fetch_each_block_once() {
    let setup = setup();
    let answers = join_all((0..50).map(|_| setup.whole())).await;
    for answer in answers {
        answer.assert_whole(1, LENGTH);
    }
    let mut ranges = setup.origin.ranges();
    ranges.sort();
    ranges.dedup();
    assert_eq!((ranges.len(), setup.origin.asked().len()), (11, 11));
}

#[tokio::test]
async fn readers_of_different_ranges_share_blocks() {
    let setup = setup();
    let ranges: Vec<_> = (0..50_u64).map(|at| at * 300..at * 300 + 9000).collect();
    let answers = join_all(ranges.iter().map(|range| {
        let setup = &setup;
        async move {
            setup
                .range(&format!("bytes={}-{}", range.start, range.end - 1))
                .await
        }
    }));
    for (answer, range) in answers.await.into_iter().zip(&ranges) {
        answer.assert_part(1, range.clone(), LENGTH);
    }
    assert_eq!(setup.origin.asked().len(), 6, "{:?}", setup.origin.ranges());
}

#[tokio::test(start_paused = true)]
async fn one_block_is_asked_for_ahead_and_only_by_who_has_read_one_to_its_end() {
    let (setup, permits) = held();
    permits.add_permits(1);
    let mut body = setup.head(asking(&[])).await.into_body();
    let first = within(body.frame())
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert_eq!(first.len() as u64, BLOCK);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(
        setup.origin.waiting.get(),
        0,
        "nothing ahead of who has begun"
    );

    // It goes on: the second block, and when that has come, one ahead.
    let next = tokio::spawn(async move { (within(body.frame()).await, body) });
    until(|| setup.origin.waiting.get() == 1).await;
    permits.add_permits(1);
    let (_second, body) = next.await.unwrap();
    until(|| setup.origin.waiting.get() == 1).await;
    permits.add_permits(1);
    until(|| setup.origin.asked().len() == 3).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(setup.origin.waiting.get(), 0, "one ahead, and no more");
    assert_eq!(setup.origin.ranges(), [block(0), block(1), block(2)]);
    drop(body);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_beyond_the_range() {
    let setup = setup();
    setup.range(&format!("bytes=0-{}", 3 * BLOCK - 1)).await;
    setup.range("bytes=0-100").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(setup.origin.ranges(), [block(0), block(1), block(2)]);
}

#[tokio::test]
async fn a_viewer_that_leaves_asks_for_no_more() {
    let (setup, permits) = held();
    permits.add_permits(2);
    let mut body = setup.head(asking(&[])).await.into_body();
    for _ in 0..2 {
        within(body.frame()).await.unwrap().unwrap();
    }
    drop(body);
    permits.add_permits(100);
    until(|| setup.origin.waiting.get() == 0 && setup.core.fetches() == 0).await;
    let asked = setup.origin.asked().len();
    assert!(asked <= 3, "{asked}");

    // One who leaves before the head, too.
    let (setup, permits) = held();
    let gone = tokio::time::timeout(Duration::from_millis(20), setup.whole());
    assert!(gone.await.is_err());
    permits.add_permits(100);
    until(|| setup.core.fetches() == 0 && setup.core.store().usage().entries == 1).await;
    assert_eq!(
        setup.origin.asked().len(),
        1,
        "what is stored is finished, no more"
    );
}

#[tokio::test]
async fn a_body_that_breaks_is_asked_for_once_more_and_goes_on_where_it_stopped() {
    let setup = setup();
    let failures = Arc::new(AtomicUsize::new(1));
    let left = failures.clone();
    setup.origin.spoil(move |parts, response| {
        let is_third = parts.headers["range"] == block(2);
        let take = |left: usize| left.checked_sub(1);
        if is_third
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        {
            response.body_mut().end = u64::MAX;
        }
    });
    setup.whole().await.assert_whole(1, LENGTH);
    assert_eq!(setup.origin.asked().len(), 12);
    assert_eq!(setup.core.store().usage().entries, 11);

    setup
        .core
        .invalidator()
        .issue(&frontage::invalidation::Invalidation::everything());
    failures.store(2, Ordering::SeqCst);
    let cut = setup.whole().await;
    assert!(cut.error.is_some_and(|error| !error.is_changed()));
    assert!(cut.body == content(1, 0..2 * BLOCK));
}

#[tokio::test]
async fn a_block_that_is_too_short_is_never_given_for_whole() {
    for announced in [true, false] {
        let setup = setup();
        setup.origin.spoil(move |parts, response| {
            if parts.headers["range"] == block(1) {
                response.body_mut().end -= 7;
                if !announced {
                    response.headers_mut().remove("content-length");
                }
            }
        });
        let cut = setup.whole().await;
        assert!(cut.error.is_some(), "announced: {announced}");
        assert!((cut.body.len() as u64) < 2 * BLOCK);
        assert!(cut.body == content(1, 0..cut.body.len() as u64));
        setup.origin.mend();
        setup.origin.forget();
        setup.whole().await.assert_whole(1, LENGTH);
        assert_eq!(setup.origin.ranges()[0], block(1), "it wasn't stored");
    }
}

#[tokio::test]
async fn a_block_that_fails_ends_the_body_and_forgets_nothing() {
    let setup = setup();
    setup.origin.spoil(|parts, response| {
        if parts.headers["range"] == block(3) {
            *response = http::Response::new(0..0);
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
    });
    let cut = setup.whole().await;
    assert!(cut.error.is_some_and(|error| !error.is_changed()));
    assert!(cut.body == content(1, 0..3 * BLOCK));
    let asked = setup.origin.asked().len();
    assert!(
        asked <= 6,
        "asked ahead, and once more when it was its turn: {asked}"
    );
    setup.origin.mend();
    setup.origin.forget();
    setup.whole().await.assert_whole(1, LENGTH);
    assert!(
        setup.origin.asked().len() <= 8,
        "those before it are still there"
    );
}

#[tokio::test]
async fn a_block_ahead_that_failed_is_asked_for_when_it_is_its_turn() {
    let setup = setup();
    let failures = Arc::new(AtomicUsize::new(1));
    let left = failures.clone();
    setup.origin.spoil(move |parts, response| {
        let take = |left: usize| left.checked_sub(1);
        if parts.headers["range"] == block(3)
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        {
            *response = http::Response::new(0..0);
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
    });
    setup.whole().await.assert_whole(1, LENGTH);
}

#[tokio::test]
async fn an_origin_that_gives_up_ranges_in_the_middle_ends_the_body() {
    let setup = setup();
    setup.range("bytes=0-1").await;
    setup.origin.ignore_ranges(true);
    let cut = setup.whole().await;
    assert!(cut.error.is_some() && cut.body == content(1, 0..BLOCK));
    setup.whole().await.assert_whole(1, LENGTH);
}

#[tokio::test]
async fn the_body_says_how_long_it_is() {
    let setup = setup();
    let mut body = setup
        .head(asking(&[("range", "bytes=100-9099")]))
        .await
        .into_body();
    assert_eq!(body.size_hint().exact(), Some(9000));
    within(body.frame()).await.unwrap().unwrap();
    assert_eq!(body.size_hint().exact(), Some(9000 - (BLOCK - 100)));
    while !body.is_end_stream() {
        within(body.frame()).await.unwrap().unwrap();
    }
    assert!(within(body.frame()).await.is_none());
}

#[tokio::test]
async fn blocks_of_an_origin_that_is_down_are_used_stale() {
    let setup = setup();
    setup
        .origin
        .field("cache-control", "max-age=60, stale-if-error=600");
    setup.whole().await;
    setup.clock.advance(Duration::from_secs(61));
    setup.origin.spoil(|_, response| {
        *response = http::Response::new(0..0);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    });
    setup.whole().await.assert_whole(1, LENGTH);
}
