//! Origins and objects that don't go in blocks: they are fetched whole, and remembered as such.

use super::origin::*;
use frontage::{CachePolicy, invalidation::Invalidation, status::Detail};
use futures_util::future::join_all;
use std::time::Duration;

const MEMORY: Duration = Duration::from_secs(601);

#[tokio::test]
async fn an_origin_that_ignores_ranges_is_served_whole_and_remembered() {
    let setup = setup();
    setup.origin.ignore_ranges(true);
    setup
        .range("bytes=5000-5099")
        .await
        .assert_part(1, 5000..5100, LENGTH);
    assert_eq!(setup.origin.ranges(), [block(1)]);
    let whole = setup.whole().await;
    whole.assert_whole(1, LENGTH);
    assert!(
        whole.cache.is_hit(),
        "the first answer was stored as the whole"
    );
    setup
        .range("bytes=9000-")
        .await
        .assert_part(1, 9000..LENGTH, LENGTH);
    assert_eq!(setup.origin.asked().len(), 1);

    // Once it is stale, it is confirmed or fetched whole, not in blocks.
    setup.clock.advance(Duration::from_secs(61));
    setup.origin.change(2, LENGTH);
    setup.whole().await.assert_whole(2, LENGTH);
    setup.clock.advance(Duration::from_secs(61));
    setup.origin.change(3, LENGTH);
    setup.range("bytes=0-9").await.assert_part(3, 0..10, LENGTH);
    assert_eq!(setup.origin.ranges()[1..], ["all", "all"]);

    // In the end, it may have learned it: what is stored as a whole stays that as long as it is confirmed.
    setup.clock.advance(MEMORY);
    setup.origin.ignore_ranges(false);
    setup.range("bytes=0-9").await.assert_part(3, 0..10, LENGTH);
    setup.clock.advance(MEMORY);
    setup.origin.change(4, LENGTH);
    setup.range("bytes=0-9").await.assert_part(4, 0..10, LENGTH);
    setup
        .range("bytes=5000-5009")
        .await
        .assert_part(4, 5000..5010, LENGTH);
    let asked = ["bytes=0-9", "bytes=0-9", &block(1)];
    assert_eq!(setup.origin.ranges()[3..], asked);
}

#[tokio::test]
async fn a_hundred_cold_readers_of_an_origin_that_ignores_ranges_cause_one_fetch() {
    for (range, fetches) in [("bytes=0-", 1), ("bytes=30000-30009", 1)] {
        let setup = setup();
        setup.origin.ignore_ranges(true);
        let answers = join_all((0..100).map(|_| setup.range(range))).await;
        for answer in answers {
            let from = if range == "bytes=0-" {
                0..LENGTH
            } else {
                30000..30010
            };
            answer.assert_part(1, from, LENGTH);
        }
        assert_eq!(setup.origin.asked().len(), fetches);
    }
    // Readers of different blocks: no more than there are blocks.
    let setup = setup();
    setup.origin.ignore_ranges(true);
    let ranges: Vec<String> = (0..100).map(|at| format!("bytes={}-", at * 400)).collect();
    let answers = join_all(ranges.iter().map(|range| setup.range(range))).await;
    for (at, answer) in (0..).zip(answers) {
        answer.assert_part(1, at * 400..LENGTH, LENGTH);
    }
    let fetches = setup.origin.asked().len();
    assert!(fetches <= 10, "{fetches}");
    setup.origin.forget();
    join_all(ranges.iter().map(|range| setup.range(range))).await;
    assert_eq!(setup.origin.asked().len(), 0);
}

#[tokio::test]
async fn what_can_not_be_told_from_other_versions_is_not_cut() {
    for etag in ["", "W/\"v1\"", "v1"] {
        let setup = setup();
        setup.origin.field("etag", etag);
        let answers = join_all((0..50).map(|_| setup.whole())).await;
        for answer in answers {
            answer.assert_whole(1, LENGTH);
        }
        let ranges = setup.origin.ranges();
        assert_eq!(ranges, [&block(0)[..], "all"], "{etag}");
        setup
            .range("bytes=-9")
            .await
            .assert_part(1, LENGTH - 9..LENGTH, LENGTH);
        assert_eq!(setup.origin.asked().len(), 2);
        setup.clock.advance(MEMORY);
        setup.core.invalidator().issue(&Invalidation::everything());
        setup.origin.field("etag", "\"v1\"");
        setup.range("bytes=0-1").await.assert_part(1, 0..2, LENGTH);
        assert_eq!(setup.origin.ranges()[2..], [block(0)]);
    }
}

#[tokio::test]
async fn who_waits_for_a_block_without_version_has_a_range_within_it_cut_from_that() {
    for etag in ["", "W/\"v1\""] {
        let setup = setup();
        setup.origin.field("etag", etag);
        let answers = join_all((0..60).map(|_| setup.range("bytes=5000-5099")));
        for answer in answers.await {
            answer.assert_part(1, 5000..5100, LENGTH);
        }
        assert_eq!(setup.origin.ranges(), [block(1)]);
        // That there are no blocks is remembered, and more than one makes no answer.
        let setup = with(CachePolicy::default());
        setup.origin.field("etag", etag);
        let answers = join_all((0..60).map(|_| setup.range("bytes=8191-8192")));
        for answer in answers.await {
            answer.assert_part(1, 8191..8193, LENGTH);
        }
        let ranges = setup.origin.ranges();
        assert_eq!(ranges[..2], [&block(1)[..], "bytes=8191-8192"]);
        assert!(!ranges.contains(&block(2)));
    }
    let setup = setup();
    setup.origin.field("etag", "W/\"v1\"");
    let fields = [("range", "bytes=0-9"), ("if-range", "W/\"v1\"")];
    setup.ask(asking(&fields)).await;
    // This origin doesn't know `If-Range`, whose weak validator never holds.
    assert_eq!(setup.origin.ranges(), [&block(0)[..], "bytes=0-9"]);
    let setup = with(CachePolicy::default());
    setup.origin.field("etag", "W/\"v1\"");
    let fields = [("range", "bytes=0-9"), ("if-none-match", "W/\"v1\"")];
    assert_eq!(setup.ask(asking(&fields)).await.status, 304);
}

#[tokio::test]
async fn last_modified_will_do_where_it_is_strong() {
    for (date, blocks) in [
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 00:00:01 GMT", 11),
    ] {
        let setup = setup();
        setup.origin.field("etag", "");
        setup
            .origin
            .field("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
        setup.origin.field("date", date);
        setup.whole().await.assert_whole(1, LENGTH);
        let asked = setup.origin.asked().len();
        assert_eq!(asked, blocks.max(2), "{date}");
    }
}

#[tokio::test]
async fn what_is_not_the_block_is_not_taken_for_it() {
    for content_range in [
        "bytes 4097-8191/41060",
        "bytes 4096-8190/41060",
        "bytes 0-4095/41060",
        "bytes 4096-8191/*",
        "bytes 4096-8191/4097",
        "bytes 4096-8191/8191",
        "",
    ] {
        let setup = setup();
        setup.origin.spoil(move |_, response| {
            if response.status() == 206 {
                let headers = response.headers_mut();
                headers.remove("content-range");
                if !content_range.is_empty() {
                    headers.insert("content-range", content_range.parse().unwrap());
                }
                headers.remove("content-length");
            }
        });
        let answer = setup.ask(asking(&[("range", "bytes=5000-5009")])).await;
        // Its own 206 is passed on as it is: that is the origin's affair.
        assert_eq!(answer.status, 206, "{content_range}");
        assert_eq!(
            setup.origin.ranges(),
            [block(1), "bytes=5000-5009".to_owned()]
        );
        setup.whole().await.assert_whole(1, LENGTH);
        assert_eq!(setup.origin.ranges()[2..], ["all"]);
    }
}

#[tokio::test]
async fn what_is_never_stored_is_fetched_as_if_there_were_no_blocks() {
    let setup = setup();
    setup.origin.field("cache-control", "no-store");
    let first = setup.whole().await;
    first.assert_whole(1, LENGTH);
    assert_eq!(setup.origin.ranges(), [&block(0)[..], "all"]);
    assert!(matches!(first.cache.detail(), Some(Detail::NotStored(_))));
    setup.origin.forget();
    setup.whole().await.assert_whole(1, LENGTH);
    setup
        .range("bytes=5000-5009")
        .await
        .assert_part(1, 5000..5010, LENGTH);
    // That the first block isn't stored says nothing of the second.
    setup
        .range("bytes=5000-5009")
        .await
        .assert_part(1, 5000..5010, LENGTH);
    let asked = ["all", &block(1), "bytes=5000-5009"];
    assert_eq!(setup.origin.ranges(), asked);
}

#[tokio::test]
async fn what_is_confirmed_at_each_use_stays_in_blocks() {
    let setup = setup();
    setup.origin.field("cache-control", "no-cache");
    for _ in 0..3 {
        setup
            .range("bytes=5000-9000")
            .await
            .assert_part(1, 5000..9001, LENGTH);
    }
    let confirmed = setup.origin.asked().split_off(2);
    assert_eq!(confirmed.len(), 4);
    assert!(
        confirmed
            .iter()
            .all(|asked| asked.field("if-none-match").is_some())
    );
    assert_eq!(
        setup.origin.sent.load(std::sync::atomic::Ordering::Relaxed),
        2 * BLOCK
    );
}

#[tokio::test]
async fn an_origin_may_ignore_ranges_of_what_is_not_stored() {
    let setup = with(CachePolicy::default());
    setup.origin.ignore_ranges(true);
    setup.origin.field("cache-control", "private");
    for _ in 0..2 {
        setup.whole().await.assert_whole(1, LENGTH);
    }
    // Each asks for itself; what it wanted is cut from what comes.
    for cache_control in ["private", "no-cache", ""] {
        let setup = with(CachePolicy::default());
        setup.origin.ignore_ranges(true);
        setup.origin.field("cache-control", cache_control);
        for _ in 0..2 {
            let ranges: Vec<u64> = (0..40).map(|at| at * 1000).collect();
            let answers = join_all(ranges.iter().map(|from| {
                let (setup, to) = (&setup, from + 9);
                async move { setup.range(&format!("bytes={from}-{to}")).await }
            }));
            for (from, answer) in ranges.iter().zip(answers.await) {
                answer.assert_part(1, *from..*from + 10, LENGTH);
            }
        }
        let beyond = setup.range("bytes=99999999-").await;
        let said = (beyond.status, beyond.field("content-range"));
        assert_eq!(said, (416, Some("bytes */41060")));
        let changed = [("range", "bytes=0-9"), ("if-range", "\"v0\"")];
        setup.ask(asking(&changed)).await.assert_whole(1, LENGTH);
        let same = [("range", "bytes=0-9"), ("if-range", "\"v1\"")];
        let part = setup.ask(asking(&same)).await;
        part.assert_part(1, 0..10, LENGTH);
    }
}
