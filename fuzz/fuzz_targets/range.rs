//! `Range` and `If-Range`, against picking each byte by itself; and what stands around several parts.
#![no_main]

use arbitrary::Arbitrary;
use frontage::range::{MAX_SPECS, MIN_GAP, Multipart, RangeRules, Selected, select};
use frontage_fuzz::{Date, Value, value};
use http::{HeaderMap, header};
use libfuzzer_sys::fuzz_target;
use std::ops::Range;

#[derive(Arbitrary, Debug)]
enum Asked {
    Between(u64, u64),
    Near(u16, u8),
    From(u64),
    Suffix(u64),
    NearEnd(u16),
    Text(Value),
}

impl Asked {
    /// Its first and last byte, or how many of the last ones; `None` for what may be anything.
    fn numbers(&self) -> Option<(Option<u64>, Option<u64>)> {
        match *self {
            Self::Between(first, last) => Some((Some(first), Some(last))),
            Self::Near(first, more) => {
                let first = u64::from(first);
                Some((Some(first), Some(first + u64::from(more))))
            }
            Self::From(first) => Some((Some(first), None)),
            Self::Suffix(count) => Some((None, Some(count))),
            Self::NearEnd(count) => Some((None, Some(u64::from(count)))),
            Self::Text(_) => None,
        }
    }

    fn text(&self, zeros: &str) -> Vec<u8> {
        let number =
            |number: Option<u64>| number.map_or(String::new(), |it| format!("{zeros}{it}"));
        match (self, self.numbers()) {
            (Self::Text(value), _) => value.0.as_bytes().to_vec(),
            (_, Some((first, last))) => format!("{}-{}", number(first), number(last)).into_bytes(),
            (_, None) => Vec::new(),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Condition {
    None,
    /// The very tag of what is stored.
    SameTag,
    Text(Value),
    Date(Date),
}

#[derive(Arbitrary, Debug)]
struct Input {
    asked: Vec<Asked>,
    condition: Condition,
    content_type: Option<Value>,
    etag: Value,
    modified: Date,
    date: Date,
    length: u16,
    long: u64,
    zeros: u8,
    boundary: u128,
}

/// The parts in the order of the bytes, checked for what must hold of any.
fn parts(selected: &Selected, length: u64) -> Vec<Range<u64>> {
    let mut parts = match selected {
        Selected::Whole | Selected::Unsatisfiable => vec![],
        Selected::Part(part) => vec![part.clone()],
        Selected::Parts(parts) => {
            assert!((2..=MAX_SPECS).contains(&parts.len()));
            parts.clone()
        }
    };
    parts.sort_by_key(|part| part.start);
    for part in &parts {
        assert!(part.start < part.end && part.end <= length);
    }
    for pair in parts.windows(2) {
        assert!(pair[1].start - pair[0].end >= MIN_GAP);
    }
    parts
}

/// Whether each begins behind the one before, as they are written.
fn is_ascending(numbers: &[(Option<u64>, Option<u64>)], length: u64) -> bool {
    let mut next = 0_u128;
    numbers.iter().all(|(first, last)| {
        let (first, end) = match (first, last) {
            (Some(first), Some(last)) => (*first, u128::from(*last) + 1),
            (Some(first), None) => (*first, u128::from(u64::MAX)),
            (None, count) => (
                length.saturating_sub(count.unwrap_or(0)),
                u128::from(u64::MAX),
            ),
        };
        let behind = u128::from(first) >= next;
        // What ends with the last number there is goes on for ever.
        next = end.min(u128::from(u64::MAX));
        behind
    })
}

fuzz_target!(|input: Input| {
    let zeros = "0".repeat(usize::from(input.zeros));
    let texts: Vec<Vec<u8>> = input.asked.iter().map(|asked| asked.text(&zeros)).collect();
    let mut request = HeaderMap::new();
    let range = [&b"bytes="[..], &texts.join(&b","[..])].concat();
    request.insert(header::RANGE, value(&range));
    let mut stored = HeaderMap::new();
    stored.insert(header::ETAG, input.etag.0.clone());
    stored.insert(header::LAST_MODIFIED, input.modified.value());
    stored.insert(header::DATE, input.date.value());

    let length = u64::from(input.length);
    let unconditional = select(&request, &stored, length, RangeRules::Rfc);
    let cloudfront = select(&request, &stored, length, RangeRules::CloudFront);
    assert!(cloudfront == Selected::Whole || cloudfront == unconditional);
    let served = parts(&unconditional, length);
    parts(
        &select(&request, &stored, input.long, RangeRules::Rfc),
        input.long,
    );

    let numbers: Option<Vec<_>> = input.asked.iter().map(Asked::numbers).collect();
    if let Some(numbers) = numbers {
        let is_valid = |(first, last): &(Option<u64>, Option<u64>)| {
            first.is_none() || last.is_none() || first <= last
        };
        let read =
            !numbers.is_empty() && numbers.len() <= MAX_SPECS && numbers.iter().all(is_valid);
        if read {
            let asked: Vec<bool> = (0..length)
                .map(|at| {
                    numbers.iter().any(|(first, last)| match first {
                        Some(first) => at >= *first && last.is_none_or(|last| at <= last),
                        None => last.is_some_and(|count| length - at <= count),
                    })
                })
                .collect();
            match &unconditional {
                Selected::Whole => assert!(length == 0, "not all was asked for"),
                Selected::Unsatisfiable => assert!(!asked.contains(&true)),
                Selected::Part(_) | Selected::Parts(_) => {
                    // Each part begins and ends with what was asked for, and nothing is missing.
                    let (mut at, mut gap) = (0, 0);
                    for part in &served {
                        assert!(!asked[at..part.start as usize].contains(&true));
                        assert!(asked[part.start as usize] && asked[part.end as usize - 1]);
                        for asked in &asked[part.start as usize..part.end as usize] {
                            gap = if *asked { 0 } else { gap + 1 };
                            assert!(gap < MIN_GAP);
                        }
                        at = part.end as usize;
                    }
                    assert!(!asked[at..].contains(&true));
                }
            }
            let whole = !is_ascending(&numbers, length) || unconditional == Selected::Whole;
            assert_eq!(cloudfront == Selected::Whole, whole);
        } else {
            assert_eq!(unconditional, Selected::Whole);
        }
    }

    if let Selected::Parts(parts) = &unconditional {
        let content_type = input.content_type.as_ref().map(|value| &value.0);
        let framing = Multipart::new(input.boundary, content_type, parts, length);
        assert_eq!(framing.heads().len(), parts.len());
        let heads: usize = framing.heads().iter().map(|head| head.len()).sum();
        let bytes: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let all = heads as u64 + framing.end().len() as u64 + bytes;
        assert_eq!(framing.content_length(), all);
        for head in framing.heads() {
            assert!(head.ends_with(b"\r\n\r\n"));
            let lines = head.split(|byte| *byte == b'\n').count();
            assert!(lines <= 6, "a field breaks no line");
        }
        let content_type = value(framing.content_type().as_bytes());
        assert!(content_type.as_bytes().len() < 80);
    }

    let condition = match &input.condition {
        Condition::None => return,
        Condition::SameTag => input.etag.0.clone(),
        Condition::Text(value) => value.0.clone(),
        Condition::Date(date) => date.value(),
    };
    let tag = condition.as_bytes().trim_ascii().to_vec();
    let is_strong = tag.len() >= 2
        && tag.starts_with(b"\"")
        && tag.iter().filter(|it| **it == b'"').count() == 2;
    let is_strong = is_strong && tag.ends_with(b"\"");
    request.insert(header::IF_RANGE, condition);
    let conditional = select(&request, &stored, length, RangeRules::Rfc);
    assert!(conditional == Selected::Whole || conditional == unconditional);
    if is_strong {
        let same = tag == input.etag.0.as_bytes().trim_ascii();
        assert!(conditional == if same { unconditional } else { Selected::Whole });
    } else if tag.starts_with(b"\"") || tag.starts_with(b"W/") {
        assert_eq!(conditional, Selected::Whole);
    }
});
