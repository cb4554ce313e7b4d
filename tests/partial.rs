//! What range requests bring is kept, and answers others (RFC 9111 sections 3.3 and 3.4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod common;

use common::*;
use frontage::{
    CachePolicy, RangeMiss,
    fill::Window,
    freshness::Forward,
    invalidation::{Invalidation, Invalidator},
    key::CacheKey,
    store::{Expected, Head, Part, Record, Store, StoreError, WriteRefused},
};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tower::{Layer, util::BoxCloneSyncService};

const BODY: &[u8; 40] = b"0123456789abcdefghijklmnopqrstuvwxyzABCD";

type Fields = &'static [(&'static str, &'static str)];

const TAGGED: Fields = &[("cache-control", "max-age=60"), ("etag", "\"a\"")];

/// An origin that knows one range.
fn origin(
    fields: Fields,
) -> impl Fn(Request<ReqBody>) -> std::future::Ready<http::Response<InnerBody>> + Clone {
    move |request: Request<ReqBody>| {
        let mut fields = fields.to_vec();
        let range = request
            .headers()
            .get("range")
            .map(|range| range.to_str().unwrap());
        let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")) else {
            return std::future::ready(response(&fields, &BODY[..]));
        };
        let (first, last) = range.split_once('-').unwrap();
        let (first, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => (first, last.min(39) + 1),
            (Ok(first), Err(_)) => (first, 40),
            (Err(_), last) => (40 - last.unwrap(), 40),
        };
        let content_range = format!("bytes {first}-{}/40", end - 1);
        fields.push(("content-range", &content_range));
        let mut answer = response(&fields, &BODY[first..end]);
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        std::future::ready(answer)
    }
}

async fn range(setup: &Setup, range: &str) -> Answer {
    ask(&setup.service, request("GET", "/a", &[("range", range)])).await
}

#[tokio::test]
async fn a_range_that_was_fetched_answers_those_within_it() {
    let setup = setup(origin(TAGGED));
    let first = range(&setup, "bytes=10-19").await;
    assert_eq!((first.status, &first.body[..]), (206, &BODY[10..20]));
    assert!(first.cache.is_stored());
    for (asked, bytes) in [
        ("bytes=10-19", 10..20),
        ("bytes=12-14", 12..15),
        ("bytes=19-19", 19..20),
    ] {
        let hit = range(&setup, asked).await;
        assert!(hit.cache.is_hit(), "{asked}");
        let content_range = format!("bytes {}-{}/40", bytes.start, bytes.end - 1);
        assert_eq!(hit.header("content-range"), Some(&*content_range));
        assert_eq!(hit.header("etag"), Some("\"a\""));
        assert_eq!((hit.status, &hit.body[..]), (206, &BODY[bytes]));
    }
    let beyond = range(&setup, "bytes=40-").await;
    assert_eq!((beyond.status, beyond.cache.is_hit()), (416, true));
    assert_eq!(setup.seen.count(), 1);
    let more = range(&setup, "bytes=15-25").await;
    assert_eq!(
        (more.cache.forward(), more.status),
        (Some(Forward::Partial), 206)
    );
    assert_eq!(setup.seen.count(), 2);
}

#[tokio::test]
async fn ranges_of_one_version_are_combined_and_make_the_whole() {
    let setup = setup(origin(TAGGED));
    for asked in ["bytes=0-9", "bytes=30-", "bytes=8-21"] {
        range(&setup, asked).await;
    }
    let several = range(&setup, "bytes=5-20").await;
    assert!(several.cache.is_hit());
    assert_eq!(several.body, BODY[5..21]);
    assert_eq!(setup.seen.count(), 3);
    let whole = ask(&setup.service, get("/a")).await;
    assert_eq!(
        (whole.cache.forward(), whole.status),
        (Some(Forward::Partial), 200)
    );
    assert_eq!((&whole.body[..], setup.seen.count()), (&BODY[..], 4));

    let setup = common::setup(origin(TAGGED));
    for asked in ["bytes=0-9", "bytes=30-", "bytes=8-31"] {
        range(&setup, asked).await;
    }
    let whole = ask(&setup.service, get("/a")).await;
    assert!(whole.cache.is_hit());
    assert_eq!((whole.status, &whole.body[..]), (200, &BODY[..]));
    assert_eq!(whole.header("content-length"), Some("40"));
    assert_eq!(
        (whole.header("content-range"), setup.seen.count()),
        (None, 3)
    );
}

#[tokio::test]
async fn that_there_is_no_such_thing_answers_other_ranges_and_the_whole() {
    let default: fn() -> CachePolicy = CachePolicy::default;
    for (policy_of, statuses) in [
        (default, &[404, 410][..]),
        (CachePolicy::caching_optimized, &[404]),
    ] {
        for &status in statuses {
            let setup = setup_with(policy(policy_of()), move |_| async move {
                let mut answer = response(&[("cache-control", "max-age=60")], "no");
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                answer
            });
            let first = range(&setup, "bytes=5-").await;
            assert!(first.cache.is_stored(), "{status}");
            for asked in [
                request("GET", "/a", &[("range", "bytes=5-")]),
                request("GET", "/a", &[("range", "bytes=0-1,9-")]),
                get("/a"),
            ] {
                let hit = ask(&setup.service, asked).await;
                assert!(hit.cache.is_hit(), "{status}");
                assert_eq!((hit.status, &hit.body[..]), (status, &b"no"[..]));
            }
            assert_eq!(setup.seen.count(), 1);
        }
    }
}

#[tokio::test]
async fn what_only_a_range_may_be_refused_for_is_not_stored_for_the_whole() {
    for status in [301, 400, 403, 416, 503] {
        let setup = setup(move |request: Request<ReqBody>| async move {
            let mut answer = response(&[("cache-control", "max-age=60")], "answer");
            if request.headers().contains_key("range") {
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            }
            answer
        });
        for _ in 0..2 {
            let refused = range(&setup, "bytes=500-").await;
            assert_eq!(refused.status, status);
            assert!(!refused.cache.is_stored() && !refused.cache.is_hit());
            let why = refused.cache.detail().unwrap().to_string();
            assert_eq!((&*why, refused.cache.ttl()), ("status", None));
        }
        let whole = ask(&setup.service, get("/a")).await;
        assert_eq!((whole.status, &whole.body[..]), (200, &b"answer"[..]));
    }
}

#[tokio::test]
async fn a_part_is_never_taken_for_the_whole() {
    for asked in [
        get("/a"),
        request("HEAD", "/a", &[]),
        request("GET", "/a", &[("range", "bytes=-1")]),
        request("GET", "/a", &[("if-none-match", "\"a\"")]),
    ] {
        let setup = setup(origin(TAGGED));
        range(&setup, "bytes=0-38").await;
        let answer = ask(&setup.service, asked).await;
        assert!(!answer.cache.is_hit());
    }
}

#[tokio::test]
async fn parts_of_another_version_or_without_validator_are_not_combined() {
    for (one, other) in [
        (&[("etag", "\"a\"")][..], &[("etag", "\"b\"")][..]),
        (&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")]),
        (&[], &[]),
    ] {
        let second = Arc::new(AtomicBool::new(false));
        let setup = setup({
            let second = second.clone();
            move |request: Request<ReqBody>| {
                let fields = if second.load(Ordering::SeqCst) {
                    other
                } else {
                    one
                };
                let answer = origin(&[("cache-control", "max-age=60")])(request);
                async move {
                    let mut answer = answer.await;
                    for (name, value) in fields {
                        answer.headers_mut().insert(*name, value.parse().unwrap());
                    }
                    answer
                }
            }
        });
        range(&setup, "bytes=0-9").await;
        second.store(true, Ordering::SeqCst);
        range(&setup, "bytes=10-19").await;
        assert!(range(&setup, "bytes=12-13").await.cache.is_hit());
        assert!(!range(&setup, "bytes=5-15").await.cache.is_hit());
        assert!(
            !range(&setup, "bytes=1-2").await.cache.is_hit(),
            "the first is gone"
        );
    }
}

#[tokio::test]
async fn what_may_not_be_stored_whole_is_not_stored_in_part() {
    for fields in [
        &[("cache-control", "no-store"), ("etag", "\"a\"")][..],
        &[("cache-control", "private, max-age=60"), ("etag", "\"a\"")],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
        &[("etag", "\"a\"")],
    ] {
        let setup = setup(origin(fields));
        assert!(!range(&setup, "bytes=0-9").await.cache.is_stored() || fields.len() == 1);
        assert!(
            !range(&setup, "bytes=0-9").await.cache.is_hit(),
            "{fields:?}"
        );
    }
}

#[tokio::test]
async fn parts_go_stale_and_are_fetched_anew() {
    let setup = setup(origin(TAGGED));
    range(&setup, "bytes=0-9").await;
    setup.clock.advance(Duration::from_secs(60));
    let stale = range(&setup, "bytes=0-9").await;
    assert_eq!(stale.cache.forward(), Some(Forward::Stale));
    let asked = setup.seen.last();
    assert_eq!(asked.headers["range"], "bytes=0-9");
    assert!(
        !asked.headers.contains_key("if-none-match"),
        "a 304 confirms a whole"
    );
    assert!(range(&setup, "bytes=0-9").await.cache.is_hit());
}

#[tokio::test]
async fn a_stale_whole_is_confirmed_by_a_range_request() {
    let count = Arc::new(AtomicUsize::new(0));
    let setup = setup(move |request: Request<ReqBody>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut answer = response(TAGGED, &BODY[..]);
            if request.headers().contains_key("if-none-match") {
                answer = response_with(304, TAGGED, channel().1);
            }
            answer
        }
    });
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(Duration::from_secs(60));
    let confirmed = range(&setup, "bytes=1-2").await;
    assert_eq!((confirmed.status, &confirmed.body[..]), (206, &BODY[1..3]));
    assert_eq!(setup.seen.last().headers["range"], "bytes=1-2");
    assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
    // Its own condition on the range is the origin's to judge.
    setup.clock.advance(Duration::from_secs(60));
    let fields = [("range", "bytes=1-2"), ("if-range", "\"a\"")];
    ask(&setup.service, request("GET", "/a", &fields)).await;
    assert!(!setup.seen.last().headers.contains_key("if-none-match"));
}

#[tokio::test]
async fn parts_are_kept_by_variant() {
    const VARIED: Fields = &[
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("vary", "accept-language"),
    ];
    let setup = setup(origin(VARIED));
    let ask_in = async |language: &str, asked: &str| {
        let fields = [("accept-language", language), ("range", asked)];
        ask(&setup.service, request("GET", "/a", &fields)).await
    };
    for language in ["en", "de"] {
        for asked in ["bytes=0-9", "bytes=10-19"] {
            assert!(!ask_in(language, asked).await.cache.is_hit());
        }
    }
    for language in ["en", "de"] {
        let hit = ask_in(language, "bytes=5-14").await;
        assert_eq!((hit.cache.is_hit(), &hit.body[..]), (true, &BODY[5..15]));
    }
    assert!(!ask_in("fr", "bytes=5-14").await.cache.is_hit());
}

#[tokio::test]
async fn a_whole_that_is_fresh_does_not_give_way_to_parts_and_a_200_to_a_range_is_kept() {
    // An origin that ignores ranges.
    let setup = setup(|_| async { response(TAGGED, &BODY[..]) });
    let whole = range(&setup, "bytes=0-9").await;
    assert_eq!((whole.status, whole.cache.is_stored()), (200, true));
    let part = range(&setup, "bytes=0-9").await;
    assert_eq!((part.status, part.cache.is_hit()), (206, true));

    let setup = common::setup(origin(TAGGED));
    ask(&setup.service, get("/a")).await;
    let reload = [("range", "bytes=0-9"), ("cache-control", "no-cache")];
    let part = ask(&setup.service, request("GET", "/a", &reload)).await;
    assert_eq!((part.status, part.cache.is_stored()), (206, false));
    assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
}

#[tokio::test]
async fn what_was_invalidated_neither_comes_back_with_another_part_nor_keeps_parts_out() {
    let setup = setup(origin(TAGGED));
    let invalidate = async || ask(&setup.service, request("DELETE", "/a", &[])).await;
    range(&setup, "bytes=0-9").await;
    invalidate().await;
    assert!(range(&setup, "bytes=10-19").await.cache.is_stored());
    assert!(range(&setup, "bytes=12-13").await.cache.is_hit());
    assert!(!range(&setup, "bytes=1-2").await.cache.is_hit());

    ask(&setup.service, get("/a")).await;
    invalidate().await;
    assert!(range(&setup, "bytes=0-9").await.cache.is_stored());
    assert!(range(&setup, "bytes=1-2").await.cache.is_hit());
    assert!(!ask(&setup.service, get("/a")).await.cache.is_hit());
}

#[tokio::test]
async fn a_whole_that_was_invalidated_softly_gives_way_to_parts_of_another_version_only() {
    const OTHER: Fields = &[("cache-control", "max-age=60"), ("etag", "\"b\"")];
    for (part, gives_way) in [(OTHER, true), (TAGGED, false)] {
        let core = frontage::CacheCore::new(frontage::MemoryStore::new(1 << 20));
        let invalidator = core.invalidator();
        let layer = frontage::CacheLayer::with_core(core);
        let service = cached(layer, &Seen::default(), move |request: Request<ReqBody>| {
            let is_range = request.headers().contains_key("range");
            origin(if is_range { part } else { TAGGED })(request)
        });
        ask(&service, get("/a")).await;
        // A condition of its own, so that it isn't asked whether the whole is still good.
        let asked = || {
            request(
                "GET",
                "/a",
                &[("range", "bytes=0-9"), ("if-range", "\"b\"")],
            )
        };
        invalidator.issue(&Invalidation::everything().soft());
        assert_eq!(ask(&service, asked()).await.cache.is_stored(), gives_way);
        assert_eq!(ask(&service, asked()).await.cache.is_hit(), gives_way);
        let stale = request(
            "GET",
            "/a",
            &[("cache-control", "max-stale, only-if-cached")],
        );
        assert_eq!(ask(&service, stale).await.cache.is_hit(), !gives_way);
    }
}

#[tokio::test]
async fn a_fresh_whole_does_not_give_way_to_parts_that_vary_otherwise() {
    const VARIED: Fields = &[
        ("cache-control", "max-age=60"),
        ("etag", "\"b\""),
        ("vary", "accept-language"),
    ];
    for (whole, part) in [(TAGGED, VARIED), (VARIED, TAGGED)] {
        let setup = setup(move |request: Request<ReqBody>| {
            let is_range = request.headers().contains_key("range");
            origin(if is_range { part } else { whole })(request)
        });
        ask(&setup.service, get("/a")).await;
        let reload = [("range", "bytes=0-9"), ("cache-control", "no-cache")];
        let part = ask(&setup.service, request("GET", "/a", &reload)).await;
        assert_eq!((part.status, part.cache.is_stored()), (206, false));
        assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
    }
}

#[tokio::test]
async fn a_part_that_is_cut_short_or_contradicts_itself_is_not_kept() {
    for (content_range, length, kept) in [
        ("bytes 0-9/40", "10", true),
        // It came whole, though shorter than it says: it is what it is.
        ("bytes 0-10/40", "10", true),
        ("bytes 0-8/40", "10", false),
        ("bytes 0-9/*", "10", false),
        ("bytes 0-9/9", "10", false),
        ("bytes 9-0/40", "10", false),
        ("bytes 0-9/40", "11", false),
    ] {
        let setup = setup(move |_| async move {
            let fields = [
                ("cache-control", "max-age=60"),
                ("content-range", content_range),
                ("content-length", length),
            ];
            let mut answer = response(&fields, &BODY[..10]);
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            answer
        });
        for _ in 0..2 {
            let asked = request("GET", "/a", &[("range", "bytes=0-9")]);
            drop(head(&setup.service, asked).await);
        }
        let mut answer = head(
            &setup.service,
            request("GET", "/a", &[("range", "bytes=2-3")]),
        )
        .await;
        while let Some(Ok(_)) = piece(answer.body_mut()).await {}
        let mut answer = head(
            &setup.service,
            request("GET", "/a", &[("range", "bytes=2-3")]),
        )
        .await;
        let hit = answer.headers()["x-cache"] == "Hit from frontage";
        assert_eq!(hit, kept, "{content_range} {length}");
        while let Some(Ok(_)) = piece(answer.body_mut()).await {}
    }
}

#[tokio::test]
async fn cloudfront_keeps_parts_too() {
    let setup = setup_with(policy(CachePolicy::caching_optimized()), origin(TAGGED));
    range(&setup, "bytes=0-19").await;
    let hit = range(&setup, "bytes=5-9").await;
    assert_eq!((hit.cache.is_hit(), hit.status), (true, 206));
    let unordered = range(&setup, "bytes=5-9,0-1").await;
    assert!(
        !unordered.cache.is_hit(),
        "the whole is asked for, and isn't there"
    );
}

#[tokio::test]
async fn parts_are_charged_and_bounded() {
    let setup = setup(origin(TAGGED));
    for at in 0..40 {
        range(&setup, &format!("bytes={at}-{at}")).await;
    }
    assert!(range(&setup, "bytes=0-39").await.cache.is_hit());
    let used = setup.store.usage();
    assert_eq!(used.entries, 41);
    assert!(used.used > 41 * 400);
    // One that holds them all takes their place.
    setup.clock.advance(Duration::from_secs(60));
    range(&setup, "bytes=0-38").await;
    assert_eq!(setup.store.usage().entries, 3);
}

#[tokio::test]
async fn a_part_that_is_too_large_for_the_store_is_known_at_its_head() {
    let store = frontage::MemoryStore::builder(1 << 20).max_object(10);
    let core = frontage::CacheCore::new(store.build().unwrap());
    let seen = Seen::default();
    let service = cached(frontage::CacheLayer::with_core(core), &seen, origin(TAGGED));
    for (asked, kept) in [("bytes=0-10", false), ("bytes=0-9", true)] {
        let asked = || request("GET", "/a", &[("range", asked)]);
        assert_eq!(ask(&service, asked()).await.cache.is_stored(), kept);
        assert_eq!(ask(&service, asked()).await.cache.is_hit(), kept);
    }
}

#[tokio::test]
async fn the_whole_that_replaces_parts_leaves_none_of_them() {
    for (part, whole, entries) in [
        (TAGGED, TAGGED, 1),
        (VARIED, VARIED, 2),
        (TAGGED, VARIED, 2),
        (VARIED, TAGGED, 1),
    ] {
        let setup = setup(move |request: Request<ReqBody>| {
            let is_range = request.headers().contains_key("range");
            origin(if is_range { part } else { whole })(request)
        });
        for at in 0..20 {
            range(&setup, &format!("bytes={at}-{at}")).await;
        }
        assert!(setup.store.usage().entries > 20);
        assert!(ask(&setup.service, get("/a")).await.cache.is_stored());
        assert_eq!(setup.store.usage().entries, entries, "{part:?} {whole:?}");
        assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
        assert!(range(&setup, "bytes=1-2").await.cache.is_hit());
    }
    // A variant that has to make room for another.
    let store = frontage::MemoryStore::new(1 << 20);
    let core = frontage::CacheCore::builder(store.clone()).max_variants(1);
    let layer = frontage::CacheLayer::with_core(core.build().unwrap());
    let service = cached(layer, &Seen::default(), origin(VARIED));
    read_eight(&service, &["en"]).await;
    assert_eq!(store.usage().entries, 8 + 2);
    let in_german = request("GET", "/a", &[("accept-language", "de")]);
    assert!(ask(&service, in_german).await.cache.is_stored());
    assert_eq!(store.usage().entries, 2);
}

/// An origin that sends the first half of a body, and the rest when it is told to.
fn held(
    fields: Fields,
) -> (
    tokio::sync::watch::Sender<bool>,
    impl Fn(Request<ReqBody>) -> std::future::Ready<http::Response<InnerBody>> + Clone + Send + Sync,
) {
    let (go, gate) = tokio::sync::watch::channel(false);
    let handler = move |_| {
        let mut gate = gate.clone();
        let (mut sender, body) = channel();
        tokio::spawn(async move {
            sender.send_data(BODY[..20].into()).await.unwrap();
            gate.wait_for(|go| *go).await.unwrap();
            sender.send_data(BODY[20..].into()).await.unwrap();
        });
        std::future::ready(response_with(200, fields, body))
    };
    (go, handler)
}

const WHOLE: Fields = &[
    ("cache-control", "max-age=60"),
    ("etag", "\"a\""),
    ("content-length", "40"),
];

#[tokio::test]
async fn a_range_of_what_is_on_its_way_waits_for_its_own_bytes_only() {
    let (go, handler) = held(WHOLE);
    let setup = setup(handler);
    let leader = head(&setup.service, get("/a")).await;
    let early = range(&setup, "bytes=5-14").await;
    assert_eq!((early.status, &early.body[..]), (206, &BODY[5..15]));
    assert_eq!(early.header("content-range"), Some("bytes 5-14/40"));
    assert!(early.cache.is_collapsed());
    let several = range(&setup, "bytes=0-1,18-19").await;
    assert_eq!(several.status, 206);
    let mut late = head(
        &setup.service,
        request("GET", "/a", &[("range", "bytes=-4")]),
    )
    .await;
    assert_eq!(late.status(), 206);
    let beyond = range(&setup, "bytes=40-").await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */40"))
    );
    let changed = [("range", "bytes=0-1"), ("if-range", "\"b\"")];
    let whole = head(&setup.service, request("GET", "/a", &changed)).await;
    assert_eq!(whole.status(), 200);
    go.send_replace(true);
    assert_eq!(piece(late.body_mut()).await.unwrap().unwrap(), &BODY[36..]);
    assert!(piece(late.body_mut()).await.is_none());
    drop((leader, whole));
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test]
async fn the_whole_may_be_fetched_once_for_all_who_want_a_part() {
    let (go, handler) = held(WHOLE);
    let fetch_whole = CachePolicy::default().on_range_miss(RangeMiss::FetchWhole);
    let setup = setup_with(policy(fetch_whole), handler);
    let mut waiting = tokio::task::JoinSet::new();
    for at in 0..20 {
        let service = setup.service.clone();
        waiting.spawn(async move {
            let asked = format!("bytes={at}-{}", at + 19);
            (
                at,
                ask(&service, request("GET", "/a", &[("range", &asked)])).await,
            )
        });
    }
    until(|| setup.seen.count() == 1).await;
    go.send_replace(true);
    while let Some(answered) = waiting.join_next().await {
        let (at, answer) = answered.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (206, &BODY[at..at + 20]));
    }
    assert_eq!(setup.seen.count(), 1);
    assert!(!setup.seen.last().headers.contains_key("range"));
    let hit = ask(&setup.service, get("/a")).await;
    assert!(hit.cache.is_hit() && hit.body == BODY);
}

#[tokio::test]
async fn a_range_of_all_there_is_is_a_request_for_the_whole() {
    let (go, handler) = held(WHOLE);
    let setup = setup(handler);
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..20 {
        let service = setup.service.clone();
        let (fields, status): (&[(&str, &str)], _) = match number % 5 {
            4 => (&[], 200),
            1 => (&[("range", "Bytes=0-,")], 206),
            2 => (&[("range", "bytes=0-"), ("if-range", "\"a\"")], 206),
            3 => (&[("range", "bytes=0-"), ("if-range", "\"b\"")], 200),
            _ => (&[("range", "bytes=0-")], 206),
        };
        let asked = request("GET", "/a", fields);
        waiting.spawn(async move { (status, ask(&service, asked).await) });
    }
    until(|| setup.seen.count() == 1).await;
    go.send_replace(true);
    while let Some(answered) = waiting.join_next().await {
        let (status, answer) = answered.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (status, &BODY[..]));
        let content_range = (status == 206).then_some("bytes 0-39/40");
        assert_eq!(answer.header("content-range"), content_range);
    }
    assert_eq!(setup.seen.count(), 1);
    let seen = setup.seen.last().headers;
    assert!(!seen.contains_key("range") && !seen.contains_key("if-range"));
    assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
    // By anything else it is asked as it is.
    let others = ["bytes=00-,1-", "bytes=1-", "bytes=0-39", "lines=0-"];
    for (number, asked) in others.into_iter().enumerate() {
        let fields = [("range", asked), ("if-range", "\"a\"")];
        let uri = format!("/{number}");
        let answer = head(&setup.service, request("GET", &uri, &fields)).await;
        assert_eq!(setup.seen.last().headers["range"], asked);
        drop(answer);
    }
}

#[tokio::test]
async fn a_range_of_all_there_is_gets_what_can_be_had_of_what_is_not_shared() {
    const PRIVATE: Fields = &[("cache-control", "private"), ("etag", "\"a\"")];
    let setup = setup(origin(PRIVATE));
    for forwarded in [None, Some("bytes=0-")] {
        let answer = range(&setup, "bytes=0-").await;
        assert_eq!((answer.status, &answer.body[..]), (206, &BODY[..]));
        assert_eq!(answer.header("content-range"), Some("bytes 0-39/40"));
        let range = setup.seen.last().headers.get("range").cloned();
        assert_eq!(
            range.as_ref().map(|range| range.as_bytes()),
            forwarded.map(str::as_bytes)
        );
    }
    // Nobody knows how long it will be.
    for fields in [TAGGED, PRIVATE] {
        let (go, handler) = held(fields);
        go.send_replace(true);
        let answer = range(&common::setup(handler), "bytes=0-").await;
        assert_eq!((answer.status, &answer.body[..]), (200, &BODY[..]));
    }
}

#[tokio::test]
async fn in_the_cloudfront_profiles_every_range_is_forwarded() {
    let setup = setup_with(policy(CachePolicy::caching_optimized()), origin(TAGGED));
    let answer = range(&setup, "bytes=0-").await;
    assert_eq!((answer.status, &answer.body[..]), (206, &BODY[..]));
    assert_eq!(setup.seen.last().headers["range"], "bytes=0-");
}

#[tokio::test]
async fn without_a_length_a_range_of_what_is_on_its_way_gets_the_whole() {
    let (go, handler) = held(TAGGED);
    let setup = setup(handler);
    let leader = head(&setup.service, get("/a")).await;
    go.send_replace(true);
    let answer = range(&setup, "bytes=5-14").await;
    assert!(matches!(
        (answer.status, answer.body.len()),
        (200, 40) | (206, 10)
    ));
    drop(leader);
}

#[tokio::test]
async fn a_part_that_was_evicted_does_not_hide_those_that_are_there() {
    let policy = frontage::key::KeyPolicy::new();
    let store = frontage::MemoryStore::new(1 << 20);
    let core = frontage::CacheCore::builder(store.clone())
        .namespace("n")
        .build()
        .unwrap();
    let seen = Seen::default();
    let service = cached(frontage::CacheLayer::with_core(core), &seen, origin(TAGGED));
    let range = async |asked: &str| ask(&service, request("GET", "/a", &[("range", asked)])).await;
    range("bytes=0-19").await;
    let namespace = frontage::key::Namespace::named("n").unwrap();
    let key = policy.key(&namespace, &get("/a").into_parts().0);
    let Some(Record::Partial(partial)) = store.get(&key, Part::Index).await.unwrap() else {
        panic!("no parts");
    };
    let part = Part::Extent(partial.extents[0].id);
    assert!(
        store
            .swap(&key, part, Expected::Anything, None)
            .await
            .unwrap()
    );
    assert!(!range("bytes=5-9").await.cache.is_hit());
    assert!(range("bytes=5-9").await.cache.is_hit());
    assert!(!range("bytes=5-10").await.cache.is_hit());
}

#[tokio::test]
async fn cloudfront_keeps_no_part_that_varies_by_anything() {
    const VARIED: Fields = &[
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("vary", "*"),
    ];
    let policy_of = CachePolicy::use_origin_cache_control_headers;
    let setup = setup_with(policy(policy_of()), origin(VARIED));
    assert!(!range(&setup, "bytes=0-9").await.cache.is_stored());
    assert!(!range(&setup, "bytes=0-9").await.cache.is_hit());
}

const VARIED: Fields = &[
    ("cache-control", "max-age=60"),
    ("etag", "\"a\""),
    ("vary", "accept-language"),
];

/// Asks for a range, and reads no further than the head: what is stored of it is stored when it is read.
async fn begin(setup: &Setup, range: &str) -> http::Response<CachedBody> {
    head(&setup.service, request("GET", "/a", &[("range", range)])).await
}

async fn read(response: http::Response<CachedBody>) {
    let body = response.into_body().collect();
    tokio::time::timeout(LIMIT, body).await.unwrap().unwrap();
}

#[tokio::test]
async fn parts_that_are_fetched_at_once_all_count() {
    for fields in [TAGGED, VARIED] {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let setup = setup(origin(fields));
            let mut begun = Vec::new();
            for asked in ["bytes=0-19", "bytes=20-29", "bytes=30-39"] {
                begun.push(Some(begin(&setup, asked).await));
            }
            for at in order {
                read(begun[at].take().unwrap()).await;
            }
            let spanning = range(&setup, "bytes=5-35").await;
            assert!(spanning.cache.is_hit(), "{fields:?} {order:?}");
            assert_eq!(spanning.body, BODY[5..36]);
            let whole = ask(&setup.service, get("/a")).await;
            assert!(whole.cache.is_hit() && whole.body == BODY);
            assert_eq!(setup.seen.count(), 3);
            let lists = if fields == VARIED { 2 } else { 1 };
            assert_eq!(setup.store.usage().entries, 3 + lists);
        }
    }
}

#[tokio::test]
async fn a_shorter_part_never_costs_a_longer_one() {
    for (long, short) in [
        ("bytes=0-29", "bytes=0-9"),
        ("bytes=10-39", "bytes=30-"),
        ("bytes=10-29", "bytes=15-19"),
    ] {
        for [first, second] in [[long, short], [short, long]] {
            let setup = setup(origin(TAGGED));
            // At once.
            let begun = [begin(&setup, first).await, begin(&setup, second).await];
            for one in begun {
                read(one).await;
            }
            assert!(range(&setup, long).await.cache.is_hit());
            assert_eq!(
                setup.store.usage().entries,
                2,
                "the shorter one is of no use"
            );
            // After it.
            let reload = [("range", short), ("cache-control", "no-cache")];
            setup.clock.advance(Duration::from_secs(30));
            ask(&setup.service, request("GET", "/a", &reload)).await;
            assert_eq!(setup.seen.count(), 3);
            setup.clock.advance(Duration::from_secs(50));
            let hit = range(&setup, long).await;
            assert!(hit.cache.is_hit(), "its head is that of the last");
            assert_eq!(hit.header("age"), Some("50"));
            assert_eq!(setup.store.usage().entries, 2);
        }
    }
}

#[tokio::test]
async fn a_part_that_ends_after_a_fresh_whole_does_not_take_its_place() {
    for (part, whole) in [
        (TAGGED, TAGGED),
        (VARIED, VARIED),
        (TAGGED, VARIED),
        (VARIED, TAGGED),
    ] {
        for others in [false, true] {
            let setup = setup(move |request: Request<ReqBody>| {
                let is_range = request.headers().contains_key("range");
                origin(if is_range { part } else { whole })(request)
            });
            let in_german = || request("GET", "/a", &[("accept-language", "de")]);
            if others {
                ask(&setup.service, in_german()).await;
            }
            let reload = [("range", "bytes=0-9"), ("cache-control", "no-cache")];
            let slow = head(&setup.service, request("GET", "/a", &reload)).await;
            ask(&setup.service, get("/a")).await;
            read(slow).await;
            let seen = setup.seen.count();
            assert!(
                ask(&setup.service, get("/a")).await.cache.is_hit(),
                "{part:?} {whole:?}"
            );
            if others {
                assert!(ask(&setup.service, in_german()).await.cache.is_hit());
            }
            assert_eq!(setup.seen.count(), seen);
        }
    }
}

#[tokio::test]
async fn of_parts_that_are_fetched_at_once_the_last_head_counts() {
    for fields in [TAGGED, VARIED] {
        let setup = setup(origin(fields));
        let slow = begin(&setup, "bytes=0-9").await;
        setup.clock.advance(Duration::from_secs(30));
        range(&setup, "bytes=10-19").await;
        setup.clock.advance(Duration::from_secs(20));
        read(slow).await;
        setup.clock.advance(Duration::from_secs(20));
        let hit = range(&setup, "bytes=0-19").await;
        assert!(hit.cache.is_hit());
        assert_eq!(hit.header("age"), Some("40"));
    }
    // Of two versions, the one that came last, as long as it is fresh.
    for (waits, last) in [(0, true), (20, false)] {
        let count = Arc::new(AtomicUsize::new(0));
        let setup = setup(move |request: Request<ReqBody>| {
            let other: Fields = &[("cache-control", "max-age=10"), ("etag", "\"b\"")];
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            origin(if first { TAGGED } else { other })(request)
        });
        let slow = begin(&setup, "bytes=0-9").await;
        setup.clock.advance(Duration::from_secs(1));
        range(&setup, "bytes=10-19").await;
        setup.clock.advance(Duration::from_secs(waits));
        read(slow).await;
        let kept = if last { "bytes=10-19" } else { "bytes=0-9" };
        assert!(range(&setup, kept).await.cache.is_hit());
    }
}

#[tokio::test]
async fn a_part_from_before_an_invalidation_is_not_combined_with_one_from_after() {
    let setup = setup(origin(TAGGED));
    let slow = begin(&setup, "bytes=0-9").await;
    let late = begin(&setup, "bytes=30-39").await;
    ask(&setup.service, request("DELETE", "/a", &[])).await;
    let after = begin(&setup, "bytes=10-19").await;
    read(slow).await;
    assert!(!range(&setup, "bytes=1-2").await.cache.is_hit());
    read(after).await;
    read(late).await;
    assert!(range(&setup, "bytes=1-2").await.cache.is_hit());
    assert!(range(&setup, "bytes=12-13").await.cache.is_hit());
    assert!(!range(&setup, "bytes=30-31").await.cache.is_hit());
}

#[tokio::test]
async fn a_part_whose_tag_was_invalidated_does_not_come_back_with_one_without() {
    const IN_GROUP: Fields = &[
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("cache-tag", "x"),
    ];
    let core = frontage::CacheCore::new(frontage::MemoryStore::new(1 << 20));
    let invalidator = core.invalidator();
    let seen = Seen::default();
    let service = cached(
        frontage::CacheLayer::with_core(core),
        &seen,
        |request: Request<ReqBody>| {
            let is_first = request.headers()["range"] == "bytes=0-9";
            origin(if is_first { IN_GROUP } else { TAGGED })(request)
        },
    );
    let asked = |range| request("GET", "/a", &[("range", range)]);
    ask(&service, asked("bytes=0-9")).await;
    let slow = head(&service, asked("bytes=10-19")).await;
    invalidator.issue(&Invalidation::tag("x").unwrap());
    read(slow).await;
    assert!(ask(&service, asked("bytes=12-13")).await.cache.is_hit());
    assert!(!ask(&service, asked("bytes=5-14")).await.cache.is_hit());
}

/// A store in memory that lets others run before each of its answers.
#[derive(Clone)]
struct Waiting(frontage::MemoryStore);

fn later<T: Send + 'static>(
    now: impl FnOnce() -> T + Send + 'static,
) -> Pin<Box<dyn Future<Output = T> + Send>> {
    Box::pin(async {
        tokio::task::yield_now().await;
        now()
    })
}

impl Store for Waiting {
    const PERSISTS: bool = false;
    type Get = Pin<Box<dyn Future<Output = Result<Option<Record>, StoreError>> + Send>>;
    type Swap = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send>>;
    type Writer = frontage::store::MemoryWriter;

    fn get(&self, key: &CacheKey, part: Part) -> Self::Get {
        let (store, key) = (self.0.clone(), key.clone());
        later(move || store.get(&key, part).into_inner())
    }

    fn writer(
        &self,
        key: &CacheKey,
        part: Part,
        head: Head,
        window: Window,
    ) -> Result<Self::Writer, WriteRefused> {
        self.0.writer(key, part, head, window)
    }

    fn swap(
        &self,
        key: &CacheKey,
        part: Part,
        expected: Expected,
        record: Option<Record>,
    ) -> Self::Swap {
        let (store, key) = (self.0.clone(), key.clone());
        later(move || store.swap(&key, part, expected, record).into_inner())
    }
}

/// A cache over such a store, in which each part is listed by a task of its own.
fn waiting(fields: Fields) -> (Cached, frontage::MemoryStore, Invalidator) {
    let store = frontage::MemoryStore::new(1 << 20);
    let core = frontage::CacheCore::new(Waiting(store.clone()));
    let invalidator = core.invalidator();
    let inner = tower::service_fn(move |request| {
        let answer = origin(fields)(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let layer = frontage::CacheLayer::with_core(core);
    (
        BoxCloneSyncService::new(layer.layer(inner)),
        store,
        invalidator,
    )
}

/// Reads eight parts in each language to their ends, which make the whole.
async fn read_eight(service: &Cached, languages: &[&str]) {
    let mut begun = Vec::new();
    for at in 0..8 {
        for language in languages {
            let asked = format!("bytes={}-{}", 5 * at, 5 * at + 4);
            let fields = [("range", &*asked), ("accept-language", language)];
            begun.push(head(service, request("GET", "/a", &fields)).await);
        }
    }
    for one in begun {
        read(one).await;
    }
}

async fn is_stored(service: &Cached, language: &str, range: &str) -> bool {
    let fields = [
        ("range", range),
        ("accept-language", language),
        ("cache-control", "only-if-cached"),
    ];
    ask(service, request("GET", "/a", &fields))
        .await
        .cache
        .is_hit()
}

#[tokio::test]
async fn parts_that_are_listed_at_once_all_count() {
    for (fields, languages, entries) in [
        (TAGGED, &["en"][..], 8 + 1),
        (VARIED, &["en"], 8 + 2),
        (VARIED, &["en", "de"], 16 + 3),
    ] {
        let (service, store, _) = waiting(fields);
        read_eight(&service, languages).await;
        let listed = async {
            for language in languages {
                while !is_stored(&service, language, "bytes=0-39").await {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::time::timeout(LIMIT, listed).await.expect("not all");
        until(|| store.usage().entries == entries).await;
    }
}

#[tokio::test]
async fn of_parts_that_cannot_be_combined_and_are_listed_at_once_one_counts() {
    const VARIED: Fields = &[("cache-control", "max-age=60"), ("vary", "accept-language")];
    for (fields, lists) in [(&VARIED[..1], 1), (VARIED, 2)] {
        let (service, store, _) = waiting(fields);
        read_eight(&service, &["en"]).await;
        until(|| store.usage().entries == 1 + lists).await;
        let mut stored = 0;
        for at in 0..8 {
            let asked = format!("bytes={}-{}", 5 * at, 5 * at + 4);
            stored += usize::from(is_stored(&service, "en", &asked).await);
        }
        assert_eq!(stored, 1);
    }
}

#[tokio::test]
async fn a_part_that_is_invalidated_while_it_is_listed_is_removed() {
    let (service, store, invalidator) = waiting(TAGGED);
    read_eight(&service, &["en"]).await;
    assert_eq!(store.usage().entries, 8, "none is listed yet");
    invalidator.issue(&Invalidation::everything());
    until(|| store.usage().entries == 0).await;
}
