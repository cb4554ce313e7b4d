//! What is stored answers first, blocks or the whole, whatever is remembered of the object and whoever asks.

use super::origin::*;
use frontage::{CachePolicy, MemoryStore, key::KeyPolicy, status::Detail};
use futures_util::future::join_all;
use http::{Response, StatusCode, header};
use std::{sync::atomic::Ordering, time::Duration};

/// Longer than anything is remembered.
const LATER: Duration = Duration::from_secs(601);
const NONE: [&str; 0] = [];

/// Requests whose answers aren't stored, unless the origin lifts that; the last not even then.
const ONES_OWN: [(&str, &str); 3] = [
    ("cookie", "a=b"),
    ("authorization", "Basic YTpi"),
    ("cache-control", "no-store"),
];

/// With blocks that are fresh for a year, for all but those with credentials.
fn for_a_year() -> Setup {
    let setup = setup();
    setup.origin.field("cache-control", "max-age=31536000");
    setup
}

/// The origin answers requests for this block by something that isn't stored.
fn spoil_block(setup: &Setup, number: u64, how: fn(&mut Response<std::ops::Range<u64>>)) {
    setup.origin.spoil(move |parts, response| {
        if parts
            .headers
            .get("range")
            .is_some_and(|range| *range == block(number))
        {
            how(response);
        }
    });
}

const ODD: [fn(&mut Response<std::ops::Range<u64>>); 4] = [
    |response| {
        *response.status_mut() = StatusCode::FOUND;
        *response.body_mut() = 0..0;
        let headers = response.headers_mut();
        headers.clear();
        headers.insert(
            "cache-control",
            header::HeaderValue::from_static("no-store"),
        );
    },
    |response| {
        let cookie = header::HeaderValue::from_static("a=b");
        response.headers_mut().insert("set-cookie", cookie);
    },
    // Not the block.
    |response| {
        let headers = response.headers_mut();
        headers.remove("content-length");
        headers.insert(
            "content-range",
            header::HeaderValue::from_static("bytes 1-2/41060"),
        );
    },
    // The whole, for one viewer.
    |response| {
        *response.status_mut() = StatusCode::OK;
        *response.body_mut() = 0..LENGTH;
        let headers = response.headers_mut();
        headers.insert("content-length", LENGTH.into());
        headers.insert("cache-control", header::HeaderValue::from_static("private"));
        headers.remove("content-range");
    },
];

#[tokio::test]
async fn a_whole_that_is_fresh_answers_when_it_is_long_forgotten_that_there_are_no_blocks() {
    let setup = for_a_year();
    setup.origin.ignore_ranges(true);
    setup.whole().await.assert_whole(1, LENGTH);
    for _ in 0..3 {
        setup.clock.advance(LATER);
        let whole = setup.whole().await;
        whole.assert_whole(1, LENGTH);
        assert!(whole.cache.is_hit());
        setup
            .range("bytes=5000-5009")
            .await
            .assert_part(1, 5000..5010, LENGTH);
        setup
            .range("bytes=-9")
            .await
            .assert_part(1, LENGTH - 9..LENGTH, LENGTH);
        let same = setup.ask(asking(&[("if-none-match", "\"v1\"")])).await;
        assert_eq!(same.status, 304);
    }
    assert_eq!(setup.origin.ranges(), [block(0)]);
}

#[tokio::test]
async fn a_fresh_whole_without_validator_answers_too_and_a_stale_one_is_of_no_use() {
    let setup = for_a_year();
    setup.origin.ignore_ranges(true);
    setup.origin.field("etag", "");
    setup.whole().await.assert_whole(1, LENGTH);
    setup.clock.advance(LATER);
    assert!(setup.whole().await.cache.is_hit());
    assert_eq!(setup.origin.asked().len(), 1);
    // It can't be confirmed: the origin is asked whether it has blocks by now.
    setup.clock.advance(Duration::from_secs(31_536_000));
    setup.origin.ignore_ranges(false);
    setup.origin.field("etag", "\"v1\"");
    setup.range("bytes=0-1").await.assert_part(1, 0..2, LENGTH);
    assert_eq!(setup.origin.ranges()[1..], [block(0)]);
}

#[tokio::test]
async fn more_small_objects_than_are_remembered_are_fetched_once_each() {
    let origin = Origin::new(100);
    origin.ignore_ranges(true);
    let setup = Setup::new(origin, MemoryStore::new(256 << 20), CachePolicy::default());
    for _ in 0..2 {
        for number in 0..6000 {
            let page = request("GET", &format!("/{number}"), &[]);
            setup.ask(page).await.assert_whole(1, 100);
        }
        assert_eq!(setup.core.store().usage().entries, 6000);
    }
    assert_eq!(setup.origin.asked().len(), 6000);
}

#[tokio::test]
async fn a_stale_whole_is_confirmed_when_it_is_forgotten_that_there_are_no_blocks() {
    let setup = setup();
    setup.origin.ignore_ranges(true);
    setup.whole().await;
    setup.origin.forget();
    for _ in 0..2 {
        setup.clock.advance(LATER);
        let whole = setup.whole().await;
        whole.assert_whole(1, LENGTH);
        assert_eq!(whole.cache.detail(), Some(Detail::Revalidated));
    }
    let conditions = setup.origin.asked();
    let conditions = conditions.iter().map(|asked| asked.field("if-none-match"));
    assert_eq!(conditions.collect::<Vec<_>>(), [Some("\"v1\""); 2]);
}

#[tokio::test]
async fn one_odd_answer_takes_no_stored_block_out_of_use() {
    for odd in ODD {
        let setup = for_a_year();
        for number in [0, 1, 8] {
            setup.range(&block(number)).await;
        }
        spoil_block(&setup, 9, odd);
        let begins_there = format!("bytes={}-{}", 9 * BLOCK, 9 * BLOCK + 9);
        setup.range(&begins_there).await;
        let comes_there = format!("bytes={}-{}", 8 * BLOCK, 10 * BLOCK);
        setup.range(&comes_there).await;
        setup.origin.mend();
        setup.origin.forget();
        for range in [0..10, 5000..5010, 4000..5000, 8 * BLOCK..9 * BLOCK] {
            let asked = format!("bytes={}-{}", range.start, range.end - 1);
            let part = setup.range(&asked).await;
            part.assert_part(1, range, LENGTH);
            assert!(part.cache.is_hit());
        }
        assert_eq!(setup.origin.ranges(), NONE);
        // In the end the others are had in blocks, too.
        setup.clock.advance(LATER);
        setup.whole().await.assert_whole(1, LENGTH);
        let ranges = setup.origin.ranges();
        assert!(ranges.contains(&block(9)) && !ranges.contains(&"all".to_owned()));
    }
}

#[tokio::test]
async fn a_refused_answer_says_nothing_of_other_blocks() {
    for odd in &ODD[..2] {
        let setup = for_a_year();
        spoil_block(&setup, 9, *odd);
        let begins_there = format!("bytes={}-{}", 9 * BLOCK, 9 * BLOCK + 9);
        setup.range(&begins_there).await;
        setup.range(&begins_there).await;
        setup.range("bytes=5000-5009").await;
        setup.clock.advance(Duration::from_secs(120));
        let further = format!("bytes={}-{}", 9 * BLOCK + 50, 9 * BLOCK + 60);
        setup.range(&further).await;
        let ranges = setup.origin.ranges();
        assert_eq!(ranges, [&block(9)[..], &begins_there, &block(1), &block(9)]);
    }
}

#[tokio::test]
async fn an_origin_that_has_something_else_for_a_further_block_aborts_one_reader_only() {
    for odd in ODD {
        let setup = for_a_year();
        setup.range("bytes=0-1").await;
        spoil_block(&setup, 3, odd);
        let first = setup.whole().await;
        assert!(first.body == content(1, 0..first.body.len() as u64));
        setup.whole().await.assert_whole(1, LENGTH);
    }
}

#[tokio::test]
async fn who_asks_for_ones_own_answer_goes_in_no_blocks_that_are_not_stored() {
    for own in ONES_OWN {
        let setup = for_a_year();
        for _ in 0..2 {
            let whole = setup.ask(asking(&[own])).await;
            whole.assert_whole(1, LENGTH);
            assert!(!whole.cache.is_hit() && !whole.cache.is_stored());
            let part = setup
                .ask(asking(&[own, ("range", "bytes=5000-5009")]))
                .await;
            part.assert_part(1, 5000..5010, LENGTH);
        }
        let asked = ["all", "bytes=5000-5009"];
        assert_eq!(setup.origin.ranges(), [asked, asked].concat(), "{own:?}");
        assert_eq!(setup.core.store().usage().entries, 0);

        // Another has had some of them, and then all.
        setup.range("bytes=0-5000").await;
        setup.origin.forget();
        let part = asking(&[own, ("range", "bytes=4000-5009")]);
        let part = setup.ask(part).await;
        part.assert_part(1, 4000..5010, LENGTH);
        assert!(part.cache.is_hit());
        assert_eq!(setup.origin.ranges(), NONE);
        setup.ask(asking(&[own])).await.assert_whole(1, LENGTH);
        assert_eq!(setup.origin.ranges(), ["all"]);
        setup.whole().await;
        setup.origin.forget();
        setup.ask(asking(&[own])).await.assert_whole(1, LENGTH);
        assert_eq!(setup.origin.ranges(), NONE);
    }
}

#[tokio::test]
async fn what_all_may_have_goes_in_blocks_for_those_with_credentials_too() {
    for own in &ONES_OWN[..2] {
        let setup = setup();
        let part = asking(&[*own, ("range", "bytes=0-9")]);
        setup.ask(part).await.assert_part(1, 0..10, LENGTH);
        assert_eq!(setup.origin.ranges(), ["bytes=0-9"], "that isn't known yet");
        setup.origin.forget();
        for _ in 0..2 {
            setup.ask(asking(&[*own])).await.assert_whole(1, LENGTH);
        }
        let all: Vec<String> = (0..11).map(block).collect();
        assert_eq!(setup.origin.ranges(), all);
        assert!(setup.whole().await.cache.is_hit());

        // But not for who wants nothing stored.
        let other = request("GET", "/other", &[ONES_OWN[2]]);
        setup
            .ask(request("GET", "/other", &[*own, ("range", "bytes=0-9")]))
            .await;
        setup.origin.forget();
        setup.ask(other).await.assert_whole(1, LENGTH);
        assert_eq!(setup.origin.ranges(), ["all"]);
    }
}

#[tokio::test]
async fn only_if_cached_is_answered_where_all_of_it_is_stored() {
    let setup = setup();
    let only = ("cache-control", "only-if-cached");
    setup.range("bytes=0-5000").await;
    setup.origin.forget();
    setup
        .ask(asking(&[only, ("range", "bytes=4000-8191")]))
        .await
        .assert_part(1, 4000..8192, LENGTH);
    for range in ["bytes=0-", "bytes=4000-8192", "bytes=9000-9001", "bytes=-1"] {
        let missing = setup.ask(asking(&[only, ("range", range)])).await;
        let said = (missing.status, missing.cache.detail());
        assert!(
            matches!(said, (504, Some(Detail::OnlyIfCached)) | (206, None)),
            "{range}"
        );
        assert!(missing.error.is_none());
    }
    assert_eq!(setup.ask(asking(&[only])).await.status, 504);
    assert_eq!(setup.origin.ranges(), NONE);
    setup.whole().await;
    setup.origin.forget();
    setup.ask(asking(&[only])).await.assert_whole(1, LENGTH);
    setup
        .ask(asking(&[only, ("range", "bytes=-5000")]))
        .await
        .assert_part(1, LENGTH - 5000..LENGTH, LENGTH);
    // All of them fresh: the first is confirmed, the others aren't.
    setup.clock.advance(Duration::from_secs(61));
    setup.range("bytes=0-1").await;
    assert_eq!(setup.ask(asking(&[only])).await.status, 504);
    setup.whole().await;
    // Of one version: one block is newer.
    setup.origin.change(2, LENGTH);
    setup
        .ask(asking(&[
            ("range", "bytes=0-1"),
            ("cache-control", "no-cache"),
        ]))
        .await
        .assert_part(2, 0..2, LENGTH);
    assert_eq!(setup.ask(asking(&[only])).await.status, 504);
}

#[tokio::test]
async fn blocks_are_the_same_whatever_range_is_in_the_key() {
    let by_range = || {
        let key = KeyPolicy::new().headers([header::RANGE]);
        with(CachePolicy::default().key(key))
    };
    let setup = by_range();
    setup.origin.ignore_ranges(true);
    for range in ["bytes=0-9", "bytes=0-10", "bytes=9000-9001"] {
        assert_eq!(setup.range(range).await.status, 206);
    }
    assert_eq!(setup.origin.ranges(), [block(0)]);

    // What changed is noticed for all blocks.
    let setup = by_range();
    setup.range("bytes=0-20000").await;
    setup.origin.change(2, LENGTH);
    assert!(
        setup
            .range("bytes=16000-30000")
            .await
            .error
            .is_some_and(|error| error.is_changed())
    );
    setup.range("bytes=0-9").await.assert_part(2, 0..10, LENGTH);
}

#[tokio::test]
async fn the_last_bytes_of_an_unknown_length_cost_no_more_than_themselves() {
    let setup = setup();
    let answers = join_all((0..50).map(|_| setup.range("bytes=-50"))).await;
    for answer in answers {
        answer.assert_part(1, LENGTH - 50..LENGTH, LENGTH);
    }
    assert_eq!(setup.origin.ranges(), ["bytes=-50"]);
    assert_eq!(setup.origin.sent.load(Ordering::Relaxed), 50);
    assert!(setup.range("bytes=-50").await.cache.is_hit());
    // More than a block: the last byte says where they lie.
    setup
        .range("bytes=-5000")
        .await
        .assert_part(1, LENGTH - 5000..LENGTH, LENGTH);
    let asked = setup.origin.ranges();
    assert_eq!(
        asked[1..],
        ["bytes=-1".to_owned(), block(8), block(9), block(10)]
    );
    setup
        .range("bytes=-999999")
        .await
        .assert_part(1, 0..LENGTH, LENGTH);
}

#[tokio::test]
async fn the_last_bytes_of_a_known_length_come_of_its_blocks() {
    let setup = setup();
    setup.range("bytes=0-1").await;
    setup
        .range("bytes=-50")
        .await
        .assert_part(1, LENGTH - 50..LENGTH, LENGTH);
    assert_eq!(setup.origin.ranges(), [block(0), block(10)]);
}

#[tokio::test]
async fn the_last_bytes_are_gone_with_the_blocks_of_their_version() {
    let setup = setup();
    setup.range("bytes=-50").await;
    setup.range("bytes=4096-4097").await;
    setup.origin.change(2, LENGTH);
    assert!(setup.range("bytes=4096-9000").await.error.is_some());
    setup
        .range("bytes=-50")
        .await
        .assert_part(2, LENGTH - 50..LENGTH, LENGTH);
}

#[tokio::test]
async fn an_origin_may_know_ranges_but_not_from_the_end() {
    let setup = setup();
    setup.origin.field("cache-control", "public, max-age=60");
    setup.origin.spoil(|parts, response| {
        if parts
            .headers
            .get("range")
            .is_some_and(|range| range.as_bytes().starts_with(b"bytes=-"))
        {
            *response.status_mut() = StatusCode::OK;
            *response.body_mut() = 0..LENGTH;
            let headers = response.headers_mut();
            headers.insert("content-length", LENGTH.into());
            headers.remove("content-range");
            // Too much to be stored, or why ask for the end?
            headers.insert("cache-control", header::HeaderValue::from_static("private"));
        }
    });
    for _ in 0..2 {
        setup
            .range("bytes=-50")
            .await
            .assert_part(1, LENGTH - 50..LENGTH, LENGTH);
    }
    assert_eq!(
        setup.origin.ranges(),
        ["bytes=-50", &block(0)[..], &block(10)]
    );
    setup.range("bytes=5000-5001").await;
    assert_eq!(setup.origin.ranges()[3..], [block(1)]);
}

#[tokio::test]
async fn what_lies_behind_the_end_of_a_stored_object_is_not_asked_for() {
    let setup = setup();
    setup.range("bytes=0-1").await;
    setup.origin.forget();
    for from in [LENGTH, LENGTH + BLOCK, 1 << 50] {
        let answer = setup.range(&format!("bytes={from}-")).await;
        let said = (answer.status, answer.field("content-range"));
        assert_eq!(said, (416, Some("bytes */41060")));
    }
    // That the block holds its first byte is known once it is here.
    assert_eq!(setup.origin.ranges(), [block(10)]);
    assert_eq!(setup.range("bytes=0-1").await.cache.forward(), None);
}

#[tokio::test]
async fn a_stale_block_is_confirmed_for_those_too_who_get_stored_blocks_only() {
    let setup = setup();
    setup.origin.field("cache-control", "max-age=60");
    setup.range("bytes=0-1").await;
    setup.clock.advance(Duration::from_secs(61));
    for own in ONES_OWN {
        let part = asking(&[own, ("range", "bytes=0-9")]);
        setup.ask(part).await.assert_part(1, 0..10, LENGTH);
    }
    let confirmed = setup.origin.asked().split_off(1);
    assert_eq!(confirmed.len(), 3);
    for asked in confirmed {
        let said = (asked.field("range"), asked.field("if-none-match"));
        assert_eq!(said, (Some(&block(0)[..]), Some("\"v1\"")));
    }
}

#[tokio::test]
async fn blocks_that_are_used_while_they_are_refreshed_are_stored_for_those_who_may_refresh_them() {
    let setup = setup();
    let lifetime = "max-age=60, stale-while-revalidate=600";
    setup.origin.field("cache-control", lifetime);
    setup.whole().await;
    setup.clock.advance(Duration::from_secs(61));
    setup.origin.forget();
    setup
        .ask(asking(&[ONES_OWN[0]]))
        .await
        .assert_whole(1, LENGTH);
    assert_eq!(setup.origin.ranges(), [&block(0)[..], "all"]);
    setup
        .ask(asking(&[("cache-control", "only-if-cached")]))
        .await
        .assert_whole(1, LENGTH);
}
