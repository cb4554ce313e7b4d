//! `Range` and `If-Range`, against picking each byte by itself.
#![no_main]

use arbitrary::Arbitrary;
use frontage::range::{Selected, select};
use frontage_fuzz::{Date, Value, value};
use http::{HeaderMap, header};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Asked {
    Between(u64, u64),
    Near(u16, u8),
    From(u64),
    Suffix(u64),
    Text(Value),
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
    asked: Asked,
    condition: Condition,
    etag: Value,
    modified: Date,
    date: Date,
    length: u16,
    long: u64,
    zeros: u8,
}

fuzz_target!(|input: Input| {
    let zeros = "0".repeat(usize::from(input.zeros));
    let (text, first, last) = match &input.asked {
        Asked::Between(first, last) => (
            format!("{zeros}{first}-{zeros}{last}"),
            Some(*first),
            Some(*last),
        ),
        Asked::Near(first, count) => {
            let (first, last) = (u64::from(*first), u64::from(*first) + u64::from(*count));
            (format!("{first}-{last}"), Some(first), Some(last))
        }
        Asked::From(first) => (format!("{zeros}{first}-"), Some(*first), None),
        Asked::Suffix(count) => (format!("-{zeros}{count}"), None, Some(*count)),
        Asked::Text(_) => (String::new(), None, None),
    };
    let mut request = HeaderMap::new();
    match &input.asked {
        Asked::Text(value) => request.insert(header::RANGE, value.0.clone()),
        _ => request.insert(header::RANGE, value(format!("bytes={text}").as_bytes())),
    };
    let mut stored = HeaderMap::new();
    stored.insert(header::ETAG, input.etag.0.clone());
    stored.insert(header::LAST_MODIFIED, input.modified.value());
    stored.insert(header::DATE, input.date.value());

    let length = u64::from(input.length);
    let unconditional = select(&request, &stored, length);
    let picked: Option<Vec<u64>> = match (first, last) {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        (None, Some(count)) => Some((0..length).filter(|at| length - at <= count).collect()),
        (Some(first), last) => Some(
            (0..length)
                .filter(|at| *at >= first && last.is_none_or(|last| *at <= last))
                .collect(),
        ),
    };
    match (&unconditional, picked) {
        (Selected::Part(range), Some(picked)) => assert!(range.clone().eq(picked)),
        (Selected::Unsatisfiable, Some(picked)) => assert!(picked.is_empty()),
        (Selected::Whole, Some(picked)) => panic!("{picked:?} were asked for"),
        (_, None) if matches!(input.asked, Asked::Text(_)) => {}
        (selected, None) => assert_eq!(*selected, Selected::Whole),
    }
    if let Selected::Part(range) = select(&request, &stored, input.long) {
        assert!(range.start < range.end && range.end <= input.long);
    }

    let condition = match &input.condition {
        Condition::None => return,
        Condition::SameTag => input.etag.0.clone(),
        Condition::Text(value) => value.0.clone(),
        Condition::Date(date) => date.value(),
    };
    let strong = condition.as_bytes().starts_with(b"\"");
    request.insert(header::IF_RANGE, condition);
    let conditional = select(&request, &stored, length);
    assert!(conditional == Selected::Whole || conditional == unconditional);
    if matches!(input.condition, Condition::SameTag) && strong {
        assert_eq!(conditional, unconditional);
    }
});
