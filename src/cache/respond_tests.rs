//! Any set of ranges over any split of a body, out of what is stored and out of what is on its way.

use super::*;
use crate::{
    CachePolicy,
    body::{Chunks, OpenBody},
    fill::{FillWriter, Gone, Window},
    store::{BodySource, Head},
};
use bytes::Bytes;
use http_body::Body;
use http_body_util::Empty;
use proptest::prelude::*;
use std::{pin::Pin, task::Poll, time::Duration};

#[path = "../../tests/common/multipart.rs"]
mod multipart;

type Answered = ResponseBody<Empty<Bytes>>;

/// The bytes of a body, none of which is like its neighbours.
fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at * 7 % 251).unwrap())
        .collect()
}

fn split(body: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(body);
    sizes.iter().map(|size| rest.split_to(*size)).collect()
}

fn fields(length: usize) -> HeaderMap {
    [
        (header::CONTENT_TYPE, "text/plain".parse().unwrap()),
        (header::CONTENT_LENGTH, length.into()),
        (header::ETAG, HeaderValue::from_static("\"a\"")),
        (
            header::HeaderName::from_static("content-digest"),
            HeaderValue::from_static("sha-256=:of the whole:"),
        ),
    ]
    .into_iter()
    .collect()
}

fn object(chunks: Vec<Bytes>, trailers: Option<HeaderMap>) -> Object {
    let chunks = Chunks::new(chunks, trailers);
    let mut head = Head::sample(fields(usize::try_from(chunks.length()).unwrap()));
    head.freshness.fresh_until = 60_000;
    Object::new(head, BodySource::Memory(chunks))
}

fn settings(rules: RangeRules) -> Settings {
    let policy = match rules {
        RangeRules::Rfc => CachePolicy::default(),
        RangeRules::CloudFront => CachePolicy::caching_optimized(),
    };
    Settings {
        policy,
        ..Settings::default()
    }
}

fn asks(range: &str) -> HeaderMap {
    [(header::RANGE, range.parse().unwrap())]
        .into_iter()
        .collect()
}

/// A set of specs as text, and what it names of a body of a given length, each.
#[derive(Clone, Copy, Debug)]
enum Spec {
    Between(usize, usize),
    From(usize),
    Last(usize),
}

impl Spec {
    fn text(self) -> String {
        match self {
            Self::Between(first, last) => format!("{first}-{last}"),
            Self::From(first) => format!("{first}-"),
            Self::Last(count) => format!("-{count}"),
        }
    }

    fn names(self, at: usize, length: usize) -> bool {
        match self {
            Self::Between(first, last) => (first..=last).contains(&at),
            Self::From(first) => first <= at,
            Self::Last(count) => length - at <= count,
        }
    }
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let spec = prop_oneof![
        4 => (0..900_usize, 0..60_usize).prop_map(|(first, more)| Spec::Between(first, first + more)),
        1 => (0..900_usize).prop_map(Spec::From),
        1 => (0..300_usize).prop_map(Spec::Last),
    ];
    prop::collection::vec(spec, 1..8).prop_flat_map(|specs| {
        any::<bool>().prop_map(move |sort| {
            let mut specs = specs.clone();
            if sort {
                specs.sort_by_key(|spec| match spec {
                    Spec::Between(first, _) | Spec::From(first) => *first,
                    Spec::Last(_) => usize::MAX,
                });
            }
            specs
        })
    })
}

fn range_of(specs: &[Spec]) -> String {
    let texts: Vec<String> = specs.iter().map(|spec| spec.text()).collect();
    format!("bytes={}", texts.join(","))
}

/// Checks an answer against the bytes that were asked for, one by one.
fn check(
    specs: &[Spec],
    whole: &[u8],
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), TestCaseError> {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap());
    let asked: Vec<usize> = (0..whole.len())
        .filter(|at| specs.iter().any(|spec| spec.names(*at, whole.len())))
        .collect();
    match status {
        StatusCode::OK => {
            prop_assert_eq!(body, whole);
            prop_assert_eq!(text(header::CONTENT_RANGE), None);
            return Ok(());
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            prop_assert!(asked.is_empty() && body.is_empty());
            let expected = format!("bytes */{}", whole.len());
            prop_assert_eq!(text(header::CONTENT_RANGE), Some(&expected[..]));
            return Ok(());
        }
        _ => prop_assert_eq!(status, StatusCode::PARTIAL_CONTENT),
    }
    prop_assert!(!headers.contains_key("content-digest"));
    prop_assert!(headers.contains_key(header::ETAG));
    let length = body.len().to_string();
    prop_assert_eq!(text(header::CONTENT_LENGTH), Some(&length[..]));
    let mut sent = Vec::new();
    let mut part = |range: Range<usize>, of, bytes: &[u8]| {
        prop_assert_eq!(of, whole.len());
        prop_assert_eq!(bytes, &whole[range.clone()]);
        sent.extend(range);
        Ok(())
    };
    if let Some(range) = text(header::CONTENT_RANGE) {
        let (range, of) = multipart::content_range(range).unwrap();
        prop_assert_eq!(text(header::CONTENT_TYPE), Some("text/plain"));
        part(range, of, body)?;
    } else {
        let parts = multipart::parse(text(header::CONTENT_TYPE).unwrap(), body).unwrap();
        prop_assert!(parts.len() >= 2 && parts.len() <= specs.len());
        for each in parts {
            prop_assert_eq!(each.content_type.as_deref(), Some("text/plain"));
            part(each.range, each.of, &each.bytes)?;
        }
    }
    sent.sort_unstable();
    prop_assert!(
        sent.windows(2).all(|pair| pair[0] < pair[1]),
        "a byte was sent twice"
    );
    prop_assert!(asked.iter().all(|at| sent.binary_search(at).is_ok()));
    Ok(())
}

fn poll(body: &mut Answered, cx: &mut std::task::Context<'_>) -> Poll<Option<Bytes>> {
    let frame = Pin::new(body).poll_frame(cx);
    frame.map(|frame| Some(frame?.unwrap().into_data().unwrap_or_default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn any_ranges_of_what_is_stored_are_the_slices(
        sizes in prop::collection::vec(0..150_usize, 0..12),
        specs in specs(),
        cloudfront in any::<bool>(),
        trailers in any::<bool>(),
    ) {
        let whole = bytes(sizes.iter().sum());
        let rules = if cloudfront { RangeRules::CloudFront } else { RangeRules::Rfc };
        let object = object(split(&whole, &sizes), trailers.then(HeaderMap::new));
        let request = asks(&range_of(&specs));
        let viewer = Viewer {
            key: &CacheKey::from_bytes(b""),
            method: &Method::GET,
            headers: &request,
            facts: &RequestFacts::of(&request),
        };
        let response: Response<Answered> =
            stored(&settings(rules), &viewer, &object, 0, CacheStatus::hit(60_000));
        let (parts, mut body) = response.into_parts();
        let exact = body.size_hint().exact();
        let mut read = Vec::new();
        let mut task = tokio_test::task::spawn(());
        while let Poll::Ready(Some(data)) = task.enter(|cx, _| poll(&mut body, cx)) {
            read.extend_from_slice(&data);
        }
        prop_assert!(trailers || exact == Some(read.len() as u64));
        check(&specs, &whole, parts.status, &parts.headers, &read)?;
        if !cloudfront {
            prop_assert!(parts.status != StatusCode::OK || whole.is_empty());
        }
    }

    #[test]
    fn any_ranges_of_a_body_on_its_way_are_the_slices(
        sizes in prop::collection::vec(1..150_usize, 1..12),
        specs in specs(),
        before in 0..12_usize,
        passing in any::<bool>(),
    ) {
        // A passing window may want a timer.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let whole = bytes(sizes.iter().sum());
        let length = whole.len() as u64;
        let mut chunks = split(&whole, &sizes).into_iter();
        let window = Window { bytes: 1, lag_timeout: Duration::from_secs(3600) };
        let mut writer = FillWriter::keeping(Some(length), window);
        for chunk in chunks.by_ref().take(before) {
            writer.push(chunk);
        }
        let mut headers = fields(whole.len());
        let mut selected = range::select(&asks(&range_of(&specs)), &headers, length, RangeRules::Rfc);
        if let Selected::Parts(parts) = &mut selected {
            parts.sort_unstable_by_key(|part| part.start);
        }
        let opener = writer.opener();
        let (status, body) = cut(&mut headers, selected, length, |part| opener.open_range(part)).unwrap();
        if passing {
            writer.turn_to_passing();
        }
        let mut body = Answered::stored(body);
        prop_assert!(body.size_hint().exact().is_some());
        let (mut reading, mut writing) = (tokio_test::task::spawn(()), tokio_test::task::spawn(()));
        let mut read = Vec::new();
        loop {
            match reading.enter(|cx, _| poll(&mut body, cx)) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(data)) => read.extend_from_slice(&data),
                Poll::Pending => {
                    let room = writing.enter(|cx, _| writer.poll_room(cx));
                    prop_assert_eq!(room, Poll::Ready(Ok(())), "it holds itself up");
                    writer.push(chunks.next().unwrap());
                }
            }
        }
        check(&specs, &whole, status, &headers, &read)?;
        let last = specs.iter().any(|spec| spec.names(whole.len() - 1, whole.len()));
        if passing && !last {
            // Nobody waits for the rest.
            prop_assert_eq!(writing.enter(|cx, _| writer.poll_room(cx)), Poll::Ready(Err(Gone)));
        }
    }
}

#[test]
fn a_part_that_can_not_be_read_leaves_the_fields_as_they_were() {
    let whole = fields(1000);
    for selected in [
        Selected::Part(1..2),
        Selected::Parts(vec![1..2, 500..600]),
        Selected::Parts(vec![500..600, 1..2]),
        Selected::Whole,
    ] {
        let mut headers = whole.clone();
        let read = |part: Range<u64>| (part.start == 500).then(StoredBody::empty);
        assert!(cut(&mut headers, selected, 1000, read).is_none());
        assert_eq!(headers, whole);
    }
}

#[test]
fn a_range_that_the_whole_was_said_to_be_is_not_said_of_its_parts() {
    let mut headers = fields(1000);
    set(&mut headers, header::CONTENT_RANGE, "bytes 0-999/1000");
    let parts = Selected::Parts(vec![1..2, 500..600]);
    let (status, _) = cut(&mut headers, parts, 1000, |_| Some(StoredBody::empty())).unwrap();
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert!(!headers.contains_key(header::CONTENT_RANGE));
}
