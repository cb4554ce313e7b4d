//! One version: blocks of two are never put together.

use super::{
    collapsing::held,
    origin::*,
    support::{until, within},
};
use frontage::{CachePolicy, MemoryStore, ResponseBody, invalidation::Invalidation};
use http_body_util::BodyExt;
use std::time::Duration;

/// Reads so many bytes of a body.
async fn read(body: &mut ResponseBody<Body>, bytes: u64) -> Vec<u8> {
    let mut read = Vec::new();
    while (read.len() as u64) < bytes {
        let frame = within(body.frame()).await.unwrap().unwrap();
        read.extend_from_slice(&frame.into_data().unwrap());
    }
    read
}

#[tokio::test]
async fn a_reader_in_the_middle_is_aborted_and_the_next_gets_the_new_version() {
    let setup = setup();
    setup.range("bytes=20000-20001").await;
    let mut body = setup.head(asking(&[])).await.into_body();
    let mut got = read(&mut body, BLOCK).await;
    // One more may be here already, as the one ahead.
    setup.origin.change(2, LENGTH);
    let error = loop {
        match within(body.frame()).await.expect("a clean end") {
            Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => break error,
        }
    };
    assert!(error.is_changed(), "{error}");
    assert!(within(body.frame()).await.is_none());
    assert!(got.len() as u64 <= 3 * BLOCK && got == content(1, 0..got.len() as u64));

    // Nothing old is left, in no block.
    setup
        .range("bytes=20000-20001")
        .await
        .assert_part(2, 20000..20002, LENGTH);
    setup.whole().await.assert_whole(2, LENGTH);
    assert!(setup.whole().await.cache.is_hit());
}

#[tokio::test]
async fn an_old_block_in_the_way_of_a_new_version_is_fetched_anew_without_an_abort() {
    let setup = setup();
    setup.whole().await.assert_whole(1, LENGTH);
    setup.origin.change(2, LENGTH);
    // Only the first block is new.
    setup.range("bytes=0-1").await.assert_part(1, 0..2, LENGTH);
    setup
        .ask(asking(&[
            ("range", "bytes=0-1"),
            ("cache-control", "no-cache"),
        ]))
        .await
        .assert_part(2, 0..2, LENGTH);
    setup.origin.forget();
    setup.whole().await.assert_whole(2, LENGTH);
    // The others were forgotten when it came.
    assert_eq!(setup.origin.ranges()[..2], [block(1), block(2)]);
    setup.whole().await.assert_whole(2, LENGTH);
    assert_eq!(setup.origin.asked().len(), 10);
}

#[tokio::test]
async fn a_block_that_tells_of_a_change_is_stored_unless_it_was_invalidated_on_its_way() {
    for invalidated in [false, true] {
        let (setup, permits) = held();
        permits.add_permits(1);
        setup.range("bytes=0-1").await.assert_part(1, 0..2, LENGTH);
        setup.origin.change(2, LENGTH);
        let second = async {
            until(|| setup.origin.waiting.get() == 1).await;
            if invalidated {
                let what = Invalidation::path("/film").unwrap();
                setup.core.invalidator().issue(&what);
            }
            permits.add_permits(100);
        };
        let (answer, ()) = tokio::join!(setup.range("bytes=5000-5001"), second);
        answer.assert_part(2, 5000..5002, LENGTH);
        setup.origin.forget();
        setup.whole().await.assert_whole(2, LENGTH);
        let blocks = setup.origin.ranges();
        assert_eq!(blocks.contains(&block(1)), invalidated, "{blocks:?}");
        assert!(blocks.contains(&block(0)), "it is of the old version");
    }
}

#[tokio::test]
async fn variants_are_no_versions_of_each_other() {
    let setup = setup();
    setup.origin.spoil(|request, response| {
        let tag = match request.headers.get("x-tone") {
            Some(_) => "\"low\"",
            None => "\"high\"",
        };
        response.headers_mut().insert("etag", tag.parse().unwrap());
        let vary = "x-tone".parse().unwrap();
        response.headers_mut().insert("vary", vary);
    });
    for block in 0..4 {
        let range = format!("bytes={}-{}", block * BLOCK, block * BLOCK + 1);
        for fields in [
            &[("range", &range[..])][..],
            &[("range", &range), ("x-tone", "low")],
        ] {
            let answer = setup.ask(asking(fields)).await;
            assert!(!answer.cache.is_hit() && answer.status == 206);
            assert!(setup.ask(asking(fields)).await.cache.is_hit(), "{block}");
        }
    }
    assert_eq!(setup.origin.asked().len(), 8);
}

#[tokio::test]
async fn another_length_is_another_version_whatever_the_validator_says() {
    let setup = setup();
    setup.range("bytes=0-1").await;
    setup.origin.change(1, LENGTH + 1);
    let cut = setup.whole().await;
    assert!(cut.error.unwrap().is_changed());
    assert_eq!(cut.body.len() as u64, BLOCK);
    setup.whole().await.assert_whole(1, LENGTH + 1);
}

#[tokio::test]
async fn an_object_that_shrank_or_went_away_is_another_version() {
    for length in [5000, 100] {
        let setup = setup();
        setup.range("bytes=0-5000").await;
        setup.origin.change(2, length);
        let cut = setup.whole().await;
        assert!(cut.error.unwrap().is_changed());
        assert!(cut.body == content(1, 0..2 * BLOCK));
        setup.whole().await.assert_whole(2, length);
    }
    let setup = setup();
    setup.range("bytes=0-5000").await;
    setup.origin.spoil(|_, response| {
        *response = http::Response::new(0..0);
        *response.status_mut() = http::StatusCode::GONE;
    });
    assert!(setup.whole().await.error.unwrap().is_changed());
    assert_eq!(setup.whole().await.status, 410);
}

#[tokio::test]
async fn the_last_bytes_are_of_the_version_that_has_them() {
    let setup = setup();
    setup.range("bytes=0-1").await;
    setup.origin.change(2, LENGTH + BLOCK);
    // The first block says how long the old one was.
    setup.range("bytes=-100").await.assert_part(
        2,
        LENGTH + BLOCK - 100..LENGTH + BLOCK,
        LENGTH + BLOCK,
    );
}

#[tokio::test]
async fn what_changes_again_at_once_is_fetched_whole() {
    let setup = setup();
    for version in 2..4 {
        setup.range("bytes=0-1").await;
        setup.origin.change(version, LENGTH);
        assert!(setup.whole().await.error.is_some());
    }
    setup.origin.forget();
    setup.whole().await.assert_whole(3, LENGTH);
    assert_eq!(setup.origin.ranges(), ["all"]);
    // It stays whole as long as it is stored, and is cut again once it is forgotten why not.
    setup.clock.advance(Duration::from_secs(601));
    setup.whole().await.assert_whole(3, LENGTH);
    assert_eq!(setup.origin.asked().len(), 2);
    let everything = Invalidation::everything();
    setup.core.invalidator().issue(&everything);
    setup.whole().await.assert_whole(3, LENGTH);
    assert_eq!(setup.origin.asked().len(), 13);
}

#[tokio::test]
async fn readers_of_the_old_version_leave_the_new_one_alone() {
    let setup = setup();
    let mut old = Vec::new();
    for _ in 0..8 {
        let mut body = setup.head(asking(&[])).await.into_body();
        read(&mut body, BLOCK).await;
        old.push(body);
    }
    setup.origin.change(2, LENGTH);
    let mut aborted = 0;
    for body in old {
        let answer = within(body.collect()).await;
        aborted += usize::from(answer.is_err_and(|error| error.is_changed()));
        setup.origin.forget();
        setup.whole().await.assert_whole(2, LENGTH);
        let fetched = setup.origin.asked().len();
        assert!(
            aborted == 1 || fetched == 0,
            "the {aborted}. cost {fetched}"
        );
    }
    assert_eq!(aborted, 8);
}

#[tokio::test]
async fn invalidation_covers_all_blocks_and_a_reader_goes_on_where_nothing_changed() {
    let by_tag = || Invalidation::tag("films").unwrap();
    let by_path = || Invalidation::path("/film").unwrap();
    for what in [by_tag(), by_path(), Invalidation::everything()] {
        let setup = setup();
        setup.origin.field("cache-tag", "films");
        setup.whole().await.assert_whole(1, LENGTH);
        let mut body = setup.head(asking(&[])).await.into_body();
        let first = read(&mut body, BLOCK).await;
        setup.core.invalidator().issue(&what);
        setup.origin.forget();
        let rest = within(body.collect()).await.unwrap().to_bytes();
        assert!([first, rest.to_vec()].concat() == content(1, 0..LENGTH));
        assert!(setup.origin.asked().len() >= 9, "the old ones aren't used");
        assert!(
            setup
                .origin
                .asked()
                .iter()
                .all(|asked| asked.field("if-none-match").is_none())
        );
        setup.origin.change(2, LENGTH);
        setup.core.invalidator().issue(&what);
        setup.whole().await.assert_whole(2, LENGTH);
    }
}

#[tokio::test]
async fn an_unsafe_method_invalidates_all_blocks() {
    let setup = setup();
    setup.whole().await;
    setup.origin.change(2, LENGTH);
    setup.ask(request("POST", "/film", &[])).await;
    setup.whole().await.assert_whole(2, LENGTH);
}

#[tokio::test]
async fn a_block_that_was_evicted_is_fetched_again_alone() {
    let mut fetched = Vec::new();
    for kib in (40..112).step_by(4) {
        let store = MemoryStore::new(kib << 10);
        let setup = Setup::new(Origin::new(LENGTH), store, CachePolicy::default());
        setup.whole().await.assert_whole(1, LENGTH);
        // Some are asked for again and again; and another takes some of the room.
        for number in [0, 1, 2, 3].repeat(3) {
            let range = block(number);
            let again = request("GET", "/film", &[("range", &range)]);
            setup.ask(again).await;
        }
        for number in 0..8 {
            let range = block(number);
            let other = request("GET", "/other", &[("range", &range)]);
            setup.ask(other).await;
        }
        setup.origin.forget();
        setup.whole().await.assert_whole(1, LENGTH);
        fetched.push(setup.origin.asked().len());
    }
    let some = fetched.iter().filter(|fetched| (1..11).contains(*fetched));
    assert!(some.count() > 2, "{fetched:?}");
}

#[tokio::test]
async fn a_soft_invalidation_has_each_block_confirmed() {
    let setup = setup();
    setup.whole().await;
    setup.origin.forget();
    setup
        .core
        .invalidator()
        .issue(&Invalidation::everything().soft());
    setup.whole().await.assert_whole(1, LENGTH);
    let asked = setup.origin.asked();
    assert_eq!(asked.len(), 11);
    assert!(
        asked
            .iter()
            .all(|asked| asked.field("if-none-match") == Some("\"v1\""))
    );
}
