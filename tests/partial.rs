//! What range requests bring is kept, and answers others (RFC 9111 sections 3.3 and 3.4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod common;

use common::*;
use frontage::{CachePolicy, RangeMiss, freshness::Forward};
use http::{Request, StatusCode};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

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
    use frontage::store::{Expected, Part, Record, Store};
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
    let part = Part::Extent {
        of: partial.id,
        start: 0,
    };
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
