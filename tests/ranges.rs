//! Ranges of what is stored, through a whole cache: one, several, none that can be satisfied; RFC 9110 section 14
//! and CloudFront's rules.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod common;
#[path = "common/multipart.rs"]
mod multipart;

use bytes::Bytes;
use common::*;
use frontage::{CachePolicy, range::MAX_SPECS};
use http::Request;
use http_body_util::BodyExt;
use multipart::Part;
use std::time::Duration;

const FIELDS: &[(&str, &str)] = &[
    ("cache-control", "max-age=60"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-language", "en"),
    ("content-digest", "sha-256=:d2hvbGU=:"),
    ("content-length", "1000"),
    ("etag", "\"a\""),
    ("last-modified", "Wed, 31 Dec 2025 00:00:00 GMT"),
    ("content-location", "/b"),
];

fn thousand() -> Vec<u8> {
    (0..1000_u32)
        .map(|at| u8::try_from(at * 7 % 251).unwrap())
        .collect()
}

/// A cache that holds `/a`.
async fn holding(setup: Setup) -> Setup {
    let whole = ask(&setup.service, get("/a")).await;
    assert_eq!(whole.body, thousand());
    until(|| setup.store.usage().entries == 1).await;
    setup
}

async fn rfc() -> Setup {
    holding(setup(|_| async { response(FIELDS, thousand()) })).await
}

fn ranged(fields: &[(&str, &str)]) -> Request<ReqBody> {
    request("GET", "/a", fields)
}

fn parts(answer: &Answer) -> Vec<Part> {
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-range"), None);
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(&length[..]));
    multipart::parse(answer.header("content-type").unwrap(), &answer.body).unwrap()
}

fn part(range: std::ops::Range<usize>) -> Part {
    Part {
        content_type: Some("text/html; charset=utf-8".to_owned()),
        bytes: thousand()[range.clone()].to_vec(),
        range,
        of: 1000,
    }
}

#[tokio::test]
async fn several_ranges_come_as_one_body_of_parts() {
    let setup = rfc().await;
    setup.clock.advance(Duration::from_secs(7));
    let answer = ask(
        &setup.service,
        ranged(&[("range", "bytes=0-9, 500-599,-1")]),
    )
    .await;
    assert_eq!(
        parts(&answer),
        [part(0..10), part(500..600), part(999..1000)]
    );
    assert_eq!(answer.header("cache-status"), Some("frontage; hit; ttl=53"));
    assert_eq!(answer.header("age"), Some("7"));
    // What a 200 would have said of the representation (RFC 9110 section 15.3.7), but for its digest.
    for name in [
        "cache-control",
        "content-language",
        "etag",
        "last-modified",
        "content-location",
        "date",
    ] {
        assert!(answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.header("content-digest"), None);
    assert_eq!(setup.seen.count(), 1);

    // As it stands on the wire.
    let boundary = answer
        .header("content-type")
        .unwrap()
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut expected = Vec::new();
    for (at, (range, bytes)) in [
        ("0-9", 0..10),
        ("500-599", 500..600),
        ("999-999", 999..1000),
    ]
    .into_iter()
    .enumerate()
    {
        let open = if at == 0 { "" } else { "\r\n" };
        expected.extend_from_slice(
            format!(
                "{open}--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes {range}/1000\r\n\r\n"
            )
            .as_bytes(),
        );
        expected.extend_from_slice(&thousand()[bytes]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn every_answer_has_a_boundary_of_its_own() {
    let setup = rfc().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let answer = ask(&setup.service, ranged(&[("range", "bytes=0-9,500-599")])).await;
        assert!(seen.insert(answer.header("content-type").unwrap().to_owned()));
    }
}

#[tokio::test]
async fn the_length_of_several_parts_is_known_before_they_are_read() {
    let setup = rfc().await;
    let response = head(&setup.service, ranged(&[("range", "bytes=0-9,500-599")])).await;
    let announced = response.headers()["content-length"].to_str().unwrap();
    let announced: u64 = announced.parse().unwrap();
    let mut body = response.into_body();
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(announced));
    let mut read = 0;
    while let Some(piece) = piece(&mut body).await {
        read += piece.unwrap().len() as u64;
    }
    assert_eq!(read, announced);
    assert!(http_body::Body::is_end_stream(&body));
}

#[tokio::test]
async fn what_is_left_of_several_ranges_decides_the_answer() {
    let setup = rfc().await;
    for (range, content_range) in [
        ("bytes=0-9,20-29", "bytes 0-29/1000"),
        ("bytes=0-99,50-149", "bytes 0-149/1000"),
        ("bytes=5-9,1000-,2000-3000", "bytes 5-9/1000"),
        ("bytes=900-,0-999", "bytes 0-999/1000"),
    ] {
        let one = ask(&setup.service, ranged(&[("range", range)])).await;
        assert_eq!(
            (one.status, one.header("content-range")),
            (206, Some(content_range))
        );
        assert_eq!(one.header("content-type"), Some("text/html; charset=utf-8"));
        let (bytes, _) = multipart::content_range(content_range).unwrap();
        assert_eq!(one.body, &thousand()[bytes]);
    }
    let unordered = ask(&setup.service, ranged(&[("range", "bytes=-9,5-9")])).await;
    assert_eq!(parts(&unordered), [part(991..1000), part(5..10)]);
    let none = ask(&setup.service, ranged(&[("range", "bytes=1000-,2000-,-0")])).await;
    assert_eq!(
        (none.status, none.header("content-range")),
        (416, Some("bytes */1000"))
    );
    assert!(none.body.is_empty());
    for name in ["content-type", "etag", "cache-control", "content-digest"] {
        assert_eq!(none.header(name), None, "said of the whole");
    }
    let invalid = ask(&setup.service, ranged(&[("range", "bytes=0-9,9-0")])).await;
    assert_eq!((invalid.status, &invalid.body), (200, &thousand()));
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test]
async fn cloudfront_answers_ranges_out_of_order_with_the_whole() {
    let optimized = policy(CachePolicy::caching_optimized());
    let setup = holding(setup_with(optimized, |_| async {
        response(FIELDS, thousand())
    }))
    .await;
    let ascending = ask(
        &setup.service,
        ranged(&[("range", "bytes=100-200,300-400")]),
    )
    .await;
    assert_eq!(parts(&ascending), [part(100..201), part(300..401)]);
    assert!(ascending.cache.is_hit());
    for range in [
        "bytes=300-400,100-200",
        "bytes=100-200,150-250",
        "bytes=0-9,-5-9",
        "bytes=x",
    ] {
        let whole = ask(&setup.service, ranged(&[("range", range)])).await;
        assert_eq!((whole.status, &whole.body), (200, &thousand()), "{range}");
        assert_eq!(whole.header("content-range"), None);
        assert!(whole.cache.is_hit());
    }
    let beyond = ask(&setup.service, ranged(&[("range", "bytes=1000-")])).await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */1000"))
    );
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test]
async fn if_range_needs_the_very_same_representation() {
    let setup = rfc().await;
    for (condition, status) in [
        ("\"a\"", 206),
        ("\"b\"", 200),
        ("W/\"a\"", 200),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 206),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 200),
    ] {
        for range in ["bytes=0-9", "bytes=0-9,500-599"] {
            let fields = [("range", range), ("if-range", condition)];
            let answer = ask(&setup.service, ranged(&fields)).await;
            assert_eq!(answer.status, status, "{condition}");
        }
        let beyond = [("range", "bytes=1000-"), ("if-range", condition)];
        let status = if status == 206 { 416 } else { 200 };
        assert_eq!(ask(&setup.service, ranged(&beyond)).await.status, status);
    }
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test]
async fn a_tag_with_white_space_around_it_is_that_tag() {
    let fields: &[_] = &[("cache-control", "max-age=60"), ("etag", " \"a\"\t")];
    let setup = holding(setup(move |_| async move { response(fields, thousand()) })).await;
    let fields = [("range", "bytes=0-9"), ("if-range", "\"a\"")];
    assert_eq!(ask(&setup.service, ranged(&fields)).await.status, 206);
}

#[tokio::test]
async fn a_condition_that_holds_beats_a_range_and_head_knows_none() {
    let setup = rfc().await;
    let range = ("range", "bytes=0-9,500-599");
    let unchanged = ask(&setup.service, ranged(&[range, ("if-none-match", "\"a\"")])).await;
    assert_eq!(
        (unchanged.status, unchanged.header("content-range")),
        (304, None)
    );
    for range in ["bytes=0-9", "bytes=0-9,500-599", "bytes=1000-"] {
        let head = ask(&setup.service, request("HEAD", "/a", &[("range", range)])).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some("1000"));
        assert_eq!(head.header("content-range"), None);
        assert_eq!(
            head.header("content-type"),
            Some("text/html; charset=utf-8")
        );
    }
}

#[tokio::test]
async fn the_last_bytes_of_nothing_are_the_whole() {
    let setup = setup(|_| async { response(&[("cache-control", "max-age=60")], "") });
    ask(&setup.service, get("/a")).await;
    until(|| setup.store.usage().entries == 1).await;
    let last = ask(&setup.service, ranged(&[("range", "bytes=-5")])).await;
    assert_eq!((last.status, last.body.len()), (200, 0));
    let first = ask(&setup.service, ranged(&[("range", "bytes=0-")])).await;
    assert_eq!(
        (first.status, first.header("content-range")),
        (416, Some("bytes */0"))
    );
}

/// CVE-2011-3192: a few hundred bytes that made a server of that time send, and hold, a thousand times the whole.
#[tokio::test]
async fn thousands_of_ranges_never_make_an_answer_much_longer_than_the_whole() {
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let setup = setup(move |_| {
        let body = body.clone();
        async {
            response(
                &[
                    ("cache-control", "max-age=60"),
                    ("content-type", "text/plain"),
                ],
                body,
            )
        }
    });
    ask(&setup.service, get("/a")).await;
    until(|| setup.store.usage().entries == 1).await;
    let list = |count: usize, spec: &dyn Fn(usize) -> String| {
        let specs: Vec<String> = (0..count).map(spec).collect();
        format!("bytes={}", specs.join(","))
    };
    for count in [MAX_SPECS, 5000] {
        for range in [
            list(count, &|at| format!("5-{at}{at}")),
            list(count, &|at| format!("{at}-")),
            list(count, &|_| "0-".to_owned()),
            list(count, &|at| format!("-{}", at + 1)),
            list(count, &|at| format!("{0}-{0}", at * 2)),
            list(count, &|at| format!("{0}-{0}", (count - at) * 200)),
            list(count, &|at| format!("{}-{}", at * 200, at * 200 + 119)),
        ] {
            let answer = ask(&setup.service, ranged(&[("range", &range)])).await;
            assert!(
                answer.body.len() <= (1 << 20) + MAX_SPECS * 160,
                "{}",
                answer.body.len()
            );
            if answer
                .header("content-type")
                .unwrap()
                .starts_with("multipart/")
            {
                let parts = multipart::parse(answer.header("content-type").unwrap(), &answer.body);
                assert!(parts.unwrap().len() <= MAX_SPECS);
            }
        }
    }
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test]
async fn trailers_that_frame_or_set_cookies_are_neither_handed_on_nor_stored() {
    let setup = setup(|request| async move {
        let (mut sender, body) = channel();
        sender.send_data(thousand().into()).await.unwrap();
        let trailers = [
            "x-sum",
            "content-length",
            "connection",
            "set-cookie",
            "cache-control",
        ];
        let trailers = trailers.map(|name| (name.parse().unwrap(), "1".parse().unwrap()));
        sender
            .send_trailers(trailers.into_iter().collect())
            .await
            .unwrap();
        let control = match request.method().as_str() {
            // An answer that is stored behind its viewer, as it goes by.
            "POST" => "max-age=60, public",
            _ => "max-age=60",
        };
        let location = [("cache-control", control), ("content-location", "/posted")];
        response_with(200, &location, body)
    });
    for (method, path) in [
        ("GET", "/a"),
        ("GET", "/a"),
        ("POST", "/posted"),
        ("GET", "/posted"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(ReqBody::new()).unwrap();
        let response = head(&setup.service, request).await;
        let whole = response.into_body().collect().await.unwrap();
        let names: Vec<_> = whole.trailers().unwrap().keys().collect();
        assert_eq!(names, ["x-sum"], "{method} {path}");
        until(|| setup.store.usage().entries > 0).await;
    }
}

#[tokio::test]
async fn trailers_of_the_whole_do_not_come_between_the_parts() {
    let setup = setup(|_| async {
        let (mut sender, body) = channel();
        sender.send_data(thousand().into()).await.unwrap();
        let trailers = [("x-sum".parse().unwrap(), "1".parse().unwrap())];
        sender
            .send_trailers(trailers.into_iter().collect())
            .await
            .unwrap();
        response_with(200, &[("cache-control", "max-age=60")], body)
    });
    ask(&setup.service, get("/a")).await;
    until(|| setup.store.usage().entries == 1).await;
    let response = head(&setup.service, ranged(&[("range", "bytes=-9,0-9")])).await;
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers(), None);
    let content_type = head.headers["content-type"].to_str().unwrap();
    let parts = multipart::parse(content_type, &collected.to_bytes()).unwrap();
    let ranges: Vec<_> = parts.iter().map(|part| part.range.clone()).collect();
    assert_eq!(ranges, [991..1000, 0..10]);
    assert_eq!(parts[0].content_type, None);
}
