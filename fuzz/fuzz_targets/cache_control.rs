//! `Cache-Control`, one line of the input a field line.
#![no_main]

use frontage::headers::{RequestFacts, ResponseDirectives, members};
use frontage_fuzz::lines;
use http::{HeaderMap, HeaderValue, header::CACHE_CONTROL};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let headers = lines(&CACHE_CONTROL, text);
    let said = ResponseDirectives::of(&headers);
    let asked = RequestFacts::of(&headers);
    assert!(said.present && asked.cache_control);

    // Names of directives and of fields have no case, and numbers neither.
    let upper = map_lines(&headers, |line| line.to_ascii_uppercase());
    assert_eq!(ResponseDirectives::of(&upper), said);
    assert_eq!(RequestFacts::of(&upper), asked);

    // A member more in front changes nothing else.
    let strict = map_lines(&headers, |line| [b"no-store, ", line].concat());
    let mut expected = said.clone();
    expected.no_store = true;
    assert_eq!(ResponseDirectives::of(&strict), expected);
    let mut expected = asked;
    expected.directives.no_store = true;
    assert_eq!(RequestFacts::of(&strict), expected);

    let mut naive_no_store = false;
    for line in headers.get_all(CACHE_CONTROL) {
        naive_no_store |= check_members(line.as_bytes());
    }
    assert!(said.no_store || !naive_no_store);
    assert!(asked.directives.no_store || !naive_no_store);
});

/// Whether a line has a member `no-store` that no quoted string can hide.
fn check_members(line: &[u8]) -> bool {
    let found: Vec<&[u8]> = members(line).collect();
    for member in &found {
        assert!(!member.is_empty() && member.trim_ascii() == *member);
    }
    let rejoined = found.join(&b", "[..]);
    assert!(members(&rejoined).eq(found.iter().copied()));
    let is_no_store = |member: &[u8]| member.trim_ascii().eq_ignore_ascii_case(b"no-store");
    if let Some(quote) = line.iter().rposition(|byte| *byte == b'"') {
        // Behind the last quote there is nothing that could close a string.
        let behind = line[quote..].split(|byte| *byte == b',');
        return behind.skip(1).any(is_no_store);
    }
    let naive = line
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty());
    assert!(naive.eq(found.iter().copied()));
    found.into_iter().any(is_no_store)
}

fn map_lines(headers: &HeaderMap, change: impl Fn(&[u8]) -> Vec<u8>) -> HeaderMap {
    let mut changed = HeaderMap::new();
    for line in headers.get_all(CACHE_CONTROL) {
        let line = HeaderValue::from_bytes(&change(line.as_bytes())).expect("allowed bytes only");
        changed.append(CACHE_CONTROL, line);
    }
    changed
}
