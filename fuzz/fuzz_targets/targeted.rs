//! A targeted field (RFC 9213), one line of the input a field line.
#![no_main]

use frontage::headers::{DeltaSeconds, Qualified, ResponseDirectives};
use frontage_fuzz::lines;
use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, CDN_CACHE_CONTROL},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let headers = lines(&CDN_CACHE_CONTROL, text);
    let said = read(&headers);
    let joined = joined(&headers);

    // Lines are one field, and spaces around it mean nothing.
    assert_eq!(read_line(&[b"  ", &joined[..], b" "].concat()), said);

    // An error at either end is one of the whole field.
    for broken in [[b"&,", &joined[..]].concat(), [&joined[..], b",&"].concat()] {
        assert_eq!(read_line(&broken), None);
    }

    // What a later member of the same name replaces doesn't count, and what is unknown neither.
    let reset = b", no-store=?0, private=?0;a=1, b=(), max-age=1, x=%\"%c3%a9\"";
    let longer = read_line(&[&joined[..], reset].concat());
    let expected = said.clone().map(|said| ResponseDirectives {
        no_store: false,
        private: Qualified::Absent,
        max_age: DeltaSeconds::Seconds(1),
        ..said
    });
    if let Some(expected) = &expected {
        assert_eq!(longer.as_ref(), Some(expected));
    } else {
        assert_eq!(longer, None);
    }

    // It rules if it can be read, and else `Cache-Control` does.
    let mut both = headers.clone();
    both.insert(CACHE_CONTROL, HeaderValue::from_static("s-maxage=7"));
    let (selected, targeted) = ResponseDirectives::selected(&both, &[CDN_CACHE_CONTROL]);
    assert_eq!(targeted, said.is_some());
    assert_eq!(
        selected,
        said.clone()
            .unwrap_or_else(|| ResponseDirectives::of(&both))
    );

    // What is printed means the same, here and in `Cache-Control`.
    if let Some(said) = said {
        let printed = said.to_string();
        if !printed.is_empty() {
            assert_eq!(read_line(printed.as_bytes()).as_ref(), Some(&said));
        }
        let untargeted = lines(&CACHE_CONTROL, printed.as_bytes());
        assert_eq!(ResponseDirectives::of(&untargeted), said);
    }
});

fn read(headers: &HeaderMap) -> Option<ResponseDirectives> {
    ResponseDirectives::of_targeted(headers, &CDN_CACHE_CONTROL)
}

fn read_line(line: &[u8]) -> Option<ResponseDirectives> {
    read(&lines(&CDN_CACHE_CONTROL, line))
}

fn joined(headers: &HeaderMap) -> Vec<u8> {
    let lines: Vec<&[u8]> = headers
        .get_all(CDN_CACHE_CONTROL)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    lines.join(&b", "[..])
}
