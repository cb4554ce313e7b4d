//! `If-None-Match` and `If-Modified-Since`, against lists of tags as they were before they were written down.
#![no_main]

use arbitrary::Arbitrary;
use frontage::conditional::{condition_on, is_not_modified, remove_conditions};
use frontage::headers::parse_http_date;
use frontage_fuzz::{Date, Value, value};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use libfuzzer_sys::fuzz_target;

/// An entity tag: weak or not, and what stands in the quotes.
#[derive(Arbitrary, Clone, Debug)]
struct Tag(bool, Vec<u8>);

impl Tag {
    /// What RFC 9110 section 8.8.3 allows, and no backslash: some read that as an escape.
    fn opaque(&self) -> Vec<u8> {
        let allowed = |byte: &u8| *byte > b' ' && !matches!(byte, b'"' | b'\\' | 127);
        self.1.iter().copied().filter(allowed).collect()
    }

    fn value(&self) -> Vec<u8> {
        let weak: &[u8] = if self.0 { b"W/" } else { b"" };
        [weak, b"\"", &self.opaque(), b"\""].concat()
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    ok: bool,
    etag: Option<Tag>,
    /// Lines of tags.
    none_match: Vec<Vec<Tag>>,
    star: bool,
    text: Option<Value>,
    since: Option<Date>,
    modified: Option<Date>,
    date: Option<Date>,
    received_at: u64,
}

fuzz_target!(|input: Input| {
    let status = if input.ok {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    let (mut request, mut stored) = (HeaderMap::new(), HeaderMap::new());
    for line in &input.none_match {
        let line = line
            .iter()
            .map(Tag::value)
            .collect::<Vec<_>>()
            .join(&b", "[..]);
        request.append(header::IF_NONE_MATCH, value(&line));
    }
    if input.star {
        request.append(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    if let Some(tag) = &input.etag {
        stored.insert(header::ETAG, value(&tag.value()));
    }
    if let Some(date) = &input.since {
        request.insert(header::IF_MODIFIED_SINCE, date.value());
    }
    for (name, date) in [
        (header::LAST_MODIFIED, &input.modified),
        (header::DATE, &input.date),
    ] {
        if let Some(date) = date {
            stored.insert(name, date.value());
        }
    }

    let not_modified = is_not_modified(&request, status, &stored, input.received_at);
    let expected = if !input.ok {
        false
    } else if input.star {
        true
    } else if !input.none_match.is_empty() {
        let tags = input.none_match.iter().flatten();
        let asked: Vec<_> = tags.map(Tag::opaque).collect();
        input
            .etag
            .as_ref()
            .is_some_and(|etag| asked.contains(&etag.opaque()))
    } else {
        let millis = |date: &Option<Date>| {
            date.as_ref()
                .and_then(|date| parse_http_date(date.value().as_bytes()))
        };
        let modified = millis(&input.modified).or(millis(&input.date));
        millis(&input.since).is_some_and(|since| modified.unwrap_or(input.received_at) <= since)
    };
    assert_eq!(not_modified, expected);

    if let Some(text) = &input.text {
        request.append(header::IF_NONE_MATCH, text.0.clone());
        request.append(header::IF_RANGE, text.0.clone());
        // More tags match more.
        let more = is_not_modified(&request, status, &stored, input.received_at);
        assert!(more || !not_modified || input.none_match.is_empty() && !input.star);
    }
    let conditional = condition_on(&mut request, &stored);
    assert!(!request.contains_key(header::IF_RANGE));
    assert_eq!(request.get(header::IF_NONE_MATCH), stored.get(header::ETAG));
    assert_eq!(conditional, !request.is_empty());
    // What is asked with its own validators is not modified.
    assert!(!conditional || is_not_modified(&request, StatusCode::OK, &stored, input.received_at));
    remove_conditions(&mut request);
    assert!(request.is_empty());
});
