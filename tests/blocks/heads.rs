//! Which blocks are fetched for a request, and what its answer's head says.

use super::origin::*;
use frontage::{BlockLayer, CacheLayer, CachePolicy, MemoryStore, status::Detail};
use http::{Response, StatusCode};
use tower::{Layer, Service};

#[tokio::test]
async fn a_range_costs_the_blocks_that_it_touches() {
    let setup = setup();
    let part = setup.range("bytes=5000-5099").await;
    part.assert_part(1, 5000..5100, LENGTH);
    assert_eq!(part.field("accept-ranges"), Some("bytes"));
    assert!(part.cache.is_stored() && !part.cache.is_hit());
    assert_eq!(setup.origin.ranges(), [block(1)]);

    let over_the_edge = setup.range("bytes=8000-12400").await;
    over_the_edge.assert_part(1, 8000..12401, LENGTH);
    assert!(
        over_the_edge.cache.is_hit(),
        "what is said is of the first block"
    );
    assert_eq!(setup.origin.ranges()[1..], [block(2), block(3)]);

    setup
        .range("bytes=12288-12288")
        .await
        .assert_part(1, 12288..12289, LENGTH);
    assert_eq!(setup.origin.ranges().len(), 3);
}

#[tokio::test]
async fn the_whole_is_put_together_and_stored_block_by_block() {
    let setup = setup();
    let whole = setup.whole().await;
    whole.assert_whole(1, LENGTH);
    assert_eq!(whole.field("etag"), Some("\"v1\""));
    let all: Vec<String> = (0..11).map(block).collect();
    assert_eq!(setup.origin.ranges(), all);
    for asked in setup.origin.asked() {
        assert_eq!(
            (asked.field("if-match"), asked.field("if-range")),
            (None, None)
        );
    }

    let again = setup.whole().await;
    again.assert_whole(1, LENGTH);
    assert!(again.cache.is_hit() && again.field("age").is_some());
    setup
        .range("bytes=-101")
        .await
        .assert_part(1, LENGTH - 101..LENGTH, LENGTH);
    setup
        .range("bytes=4096-")
        .await
        .assert_part(1, 4096..LENGTH, LENGTH);
    assert_eq!(setup.origin.ranges().len(), 11, "nothing was fetched again");
    assert_eq!(setup.core.store().usage().entries, 11);
}

#[tokio::test]
async fn a_range_behind_the_end_costs_the_origin_at_most_the_first_block_besides() {
    let setup = setup();
    let beyond = format!("bytes={LENGTH}-");
    // Its block has bytes: that is known here, once the block is.
    let answer = setup.range(&beyond).await;
    assert_eq!(
        (answer.status, answer.field("content-range")),
        (416, Some("bytes */41060"))
    );
    assert_eq!(setup.origin.ranges(), [block(10)]);
    let answer = setup.range("bytes=99999999-").await;
    assert_eq!(
        (answer.status, answer.field("content-range")),
        (416, Some("bytes */41060"))
    );
    let first = [block(10), block(99_999_999 / BLOCK), block(0)];
    assert_eq!(setup.origin.ranges(), first);
    for from in [1_u64 << 20, 1 << 30, 1 << 50] {
        let answer = setup.range(&format!("bytes={from}-")).await;
        let said = (answer.status, answer.field("content-range"));
        assert_eq!(said, (416, Some("bytes */41060")));
    }
    assert_eq!(setup.origin.asked().len(), 3);
    setup.whole().await.assert_whole(1, LENGTH);
}

#[tokio::test]
async fn a_range_behind_the_end_of_what_is_not_stored_is_a_416_too() {
    let setup = setup();
    setup.origin.field("cache-control", "no-store");
    for _ in 0..3 {
        let answer = setup.range("bytes=99999999-").await;
        let said = (answer.status, answer.field("content-range"));
        assert_eq!(said, (416, Some("bytes */41060")));
    }
}

#[tokio::test]
async fn the_last_none_of_the_bytes_cost_the_first_block_and_once_it_is_stored_nothing() {
    let setup = setup();
    for _ in 0..3 {
        let answer = setup.range("bytes=-0").await;
        let said = (answer.status, answer.field("content-range"));
        assert_eq!(said, (416, Some("bytes */41060")));
    }
    assert_eq!(setup.origin.ranges(), [block(0)]);
    setup.whole().await.assert_whole(1, LENGTH);
    assert_eq!(setup.range("bytes=-0").await.status, 416);
    assert_eq!(setup.origin.asked().len(), 11);
}

#[tokio::test]
async fn x_cache_of_a_range_behind_the_end_says_that_it_is_an_error() {
    for ignores in [false, true] {
        let setup = setup();
        setup.origin.ignore_ranges(ignores);
        for range in ["bytes=99999999-", "bytes=99999999-", "bytes=-0"] {
            let answer = setup.range(range).await;
            let said = (answer.status, answer.field("x-cache"));
            assert_eq!(said, (416, Some("Error from frontage")), "{range}");
        }
        let part = setup.range("bytes=0-1").await;
        assert_eq!(part.field("x-cache"), Some("Hit from frontage"));
    }
    let cache = CacheLayer::new(MemoryStore::new(4 << 20)).x_cache(false);
    let layer = BlockLayer::new(cache).block_size(BLOCK).unwrap();
    let mut service = layer.layer(Origin::new(LENGTH));
    let beyond = asking(&[("range", "bytes=99999999-")]);
    let answer = service.call(beyond).await.unwrap();
    assert!(answer.status() == 416 && !answer.headers().contains_key("x-cache"));
}

#[tokio::test]
async fn conditions_of_the_viewer_are_answered_here() {
    for policy in [CachePolicy::default(), CachePolicy::caching_optimized()] {
        let setup = with(policy);
        let ask = async |name, value, range: &str| {
            let fields = [(name, value), ("range", range)];
            let fields = &fields[..if range.is_empty() { 1 } else { 2 }];
            setup.ask(asking(fields)).await
        };
        for range in ["", "bytes=9000-9001"] {
            let same = ask("if-none-match", "\"x\", W/\"v1\"", range).await;
            assert_eq!((same.status, same.body.len()), (304, 0));
            assert_eq!(
                (same.field("etag"), same.field("content-length")),
                (Some("\"v1\""), None)
            );
        }
        ask("if-none-match", "\"v0\"", "")
            .await
            .assert_whole(1, LENGTH);
        ask("if-none-match", "\"v0\"", "bytes=1-2")
            .await
            .assert_part(1, 1..3, LENGTH);
        ask("if-range", "\"v1\"", "bytes=9000-9001")
            .await
            .assert_part(1, 9000..9002, LENGTH);
        ask("if-range", "\"v0\"", "bytes=9000-9001")
            .await
            .assert_whole(1, LENGTH);
        // Behind the end, it is the first block that says whether the condition holds.
        ask("if-range", "\"v0\"", "bytes=999999-")
            .await
            .assert_whole(1, LENGTH);
        assert_eq!(ask("if-range", "\"v1\"", "bytes=999999-").await.status, 416);
        assert_eq!(
            ask("if-none-match", "\"v1\"", "bytes=999999-").await.status,
            304
        );
        let asked = setup.origin.asked();
        assert!(asked.iter().all(
            |asked| asked.field("if-none-match").is_none() && asked.field("if-range").is_none()
        ));
    }
}

#[tokio::test]
async fn what_is_no_part_of_the_whole_is_not_said_of_it() {
    let setup = setup();
    for name in ["content-digest", "content-md5"] {
        setup.origin.field(name, "of-the-block");
    }
    setup.origin.field("repr-digest", "of-the-whole");
    for answer in [setup.whole().await, setup.range("bytes=0-9").await] {
        assert_eq!(
            (answer.field("content-digest"), answer.field("content-md5")),
            (None, None)
        );
        assert_eq!(answer.field("repr-digest"), Some("of-the-whole"));
    }
}

#[tokio::test]
async fn everything_else_goes_to_the_cache_as_it_is() {
    let setup = setup();
    let head = setup.ask(request("HEAD", "/film", &[])).await;
    assert_eq!(head.field("content-length"), Some("41060"));
    for fields in [
        &[("range", "bytes=0-1,5000-5001")][..],
        &[("if-match", "\"v1\"")],
        &[("upgrade", "x"), ("connection", "upgrade")],
    ] {
        setup.ask(asking(fields)).await;
    }
    let post = setup.ask(request("POST", "/film", &[])).await;
    assert_eq!(post.status, 200);
    let ranges = setup.origin.ranges();
    assert_eq!(ranges, ["all", "bytes=0-1,5000-5001", "all", "all", "all"]);
    assert_eq!(setup.origin.asked()[4].method, "POST");
}

#[tokio::test]
async fn a_head_is_that_of_the_first_block_where_that_is_stored() {
    let setup = setup();
    setup.range("bytes=9000-9001").await;
    let head = async |fields: &[(&str, &str)]| setup.ask(request("HEAD", "/film", fields)).await;
    let forwarded = head(&[]).await;
    assert_eq!(forwarded.status, 200, "another block doesn't do");
    assert_eq!(setup.origin.asked().len(), 2);
    setup.range("bytes=0-1").await;
    setup.origin.forget();
    let fields = [
        &[][..],
        &[("cache-control", "only-if-cached")],
        &[("range", "bytes=5-9")],
        &[("cookie", "a=b")],
    ];
    for fields in fields {
        let head = head(fields).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{fields:?}");
        assert!(head.cache.is_hit(), "{fields:?}");
        let said = ["content-length", "etag", "content-range", "accept-ranges"];
        let said = said.map(|name| head.field(name));
        assert_eq!(said, [Some("41060"), Some("\"v1\""), None, Some("bytes")]);
        assert!(head.field("age").is_some());
    }
    assert_eq!(setup.origin.asked().len(), 0);

    // Nor does one that can't be used without a question.
    assert_eq!(head(&[("cache-control", "no-cache")]).await.status, 200);
    assert_eq!(head(&[("if-none-match", "\"v1\"")]).await.status, 304);
    setup.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(head(&[]).await.field("content-length"), Some("41060"));
    let cached = head(&[("cache-control", "only-if-cached")]).await;
    assert_eq!(cached.status, 504);
    let asked = setup.origin.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|asked| asked.method == "HEAD"));
}

#[tokio::test]
async fn a_head_of_a_whole_that_is_stored_is_the_whole_s() {
    let setup = setup();
    setup.range("bytes=0-1").await;
    setup.origin.ignore_ranges(true);
    setup.origin.change(2, LENGTH + 1);
    setup.range("bytes=9000-").await;
    let head = setup.ask(request("HEAD", "/film", &[])).await;
    assert!(head.cache.is_hit());
    assert_eq!(head.field("content-length"), Some("41061"));
}

#[tokio::test]
async fn a_small_object_is_one_block() {
    let setup = setup();
    setup.origin.change(1, 10);
    setup.whole().await.assert_whole(1, 10);
    setup.range("bytes=3-").await.assert_part(1, 3..10, 10);
    setup.range("bytes=-4").await.assert_part(1, 6..10, 10);
    assert_eq!(setup.origin.ranges(), [block(0)]);
}

#[tokio::test]
async fn exact_blocks_have_no_empty_one_behind_them() {
    let setup = setup();
    setup.origin.change(1, 2 * BLOCK);
    setup.whole().await.assert_whole(1, 2 * BLOCK);
    assert_eq!(setup.origin.ranges(), [block(0), block(1)]);
}

#[tokio::test]
async fn an_empty_object_is_served_though_its_server_finds_no_first_byte() {
    let setup = setup();
    setup.origin.change(1, 0);
    let whole = setup.whole().await;
    whole.assert_whole(1, 0);
    assert_eq!(setup.origin.ranges(), [&block(0)[..], "all"]);
    assert!(setup.whole().await.cache.is_hit(), "stored as a whole");
    assert_eq!(setup.range("bytes=0-9").await.status, 416);
    assert_eq!(setup.origin.asked().len(), 2);
}

#[tokio::test]
async fn errors_to_the_first_block_reach_the_viewer() {
    let setup = setup();
    for code in [403, 404, 503] {
        setup.origin.spoil(move |_, response| {
            *response = Response::new(0..3);
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
        });
        for answer in [setup.whole().await, setup.range("bytes=9000-").await] {
            assert_eq!((answer.status, answer.body.len()), (code, 3));
        }
    }
    setup.origin.mend();
    setup.whole().await.assert_whole(1, LENGTH);
    let broken = asking(&[
        ("x-break", "1"),
        ("range", "bytes=0-1"),
        ("cache-control", "no-cache"),
    ]);
    let failed = setup.service.clone().call(broken).await;
    assert_eq!(
        failed.unwrap_err().0,
        2,
        "the error is the inner service's own"
    );
}

#[tokio::test]
async fn blocks_are_of_the_variant_that_a_request_selects() {
    let setup = setup();
    setup.origin.field("vary", "accept-language");
    for language in ["en", "de", "en"] {
        let answer = setup.ask(asking(&[
            ("accept-language", language),
            ("range", "bytes=4000-5000"),
        ]));
        answer.await.assert_part(1, 4000..5001, LENGTH);
    }
    let languages: Vec<String> = setup
        .origin
        .asked()
        .iter()
        .map(|asked| asked.field("accept-language").unwrap().to_owned())
        .collect();
    assert_eq!(languages, ["en", "en", "de", "de"]);
}

#[tokio::test]
async fn a_stale_block_is_confirmed_by_its_own_validator() {
    let setup = setup();
    setup.range("bytes=0-5000").await;
    setup.clock.advance(std::time::Duration::from_secs(61));
    setup.origin.forget();
    let confirmed = setup.range("bytes=0-5000").await;
    confirmed.assert_part(1, 0..5001, LENGTH);
    assert_eq!(confirmed.cache.detail(), Some(Detail::Revalidated));
    let asked = setup.origin.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|asked| asked.field("if-none-match") == Some("\"v1\""))
    );
    assert!(setup.range("bytes=0-5000").await.cache.is_hit());
}

#[tokio::test]
async fn cloudfront_profiles_go_in_blocks_too() {
    let setup = with(CachePolicy::caching_optimized());
    setup
        .range("bytes=4000-5000")
        .await
        .assert_part(1, 4000..5001, LENGTH);
    setup.whole().await.assert_whole(1, LENGTH);
    assert_eq!(setup.origin.ranges().len(), 11);
    // What isn't stored at all isn't cut up.
    let disabled = with(CachePolicy::caching_disabled());
    disabled
        .range("bytes=4000-5000")
        .await
        .assert_part(1, 4000..5001, LENGTH);
    assert_eq!(disabled.origin.ranges(), ["bytes=4000-5000"]);
}

#[tokio::test]
async fn a_store_without_room_passes_blocks_on() {
    let store = MemoryStore::new(64 << 10);
    let setup = Setup::new(Origin::new(LENGTH), store, CachePolicy::default());
    for _ in 0..3 {
        setup.whole().await.assert_whole(1, LENGTH);
    }
    let held: Vec<_> = futures_util::future::join_all((0..11).map(|number| {
        let range = format!("bytes={}-", number * BLOCK);
        let setup = &setup;
        async move { setup.head(asking(&[("range", &range)])).await }
    }))
    .await;
    setup.whole().await.assert_whole(1, LENGTH);
    drop(held);
    assert!(setup.core.store().usage().used <= 64 << 10);
}
