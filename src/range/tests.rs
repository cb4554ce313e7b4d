use super::*;
use http::HeaderValue;
use proptest::prelude::*;

fn selected(range: &str, length: u64, rules: RangeRules) -> Selected {
    let mut request = HeaderMap::new();
    request.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
    select(&request, &HeaderMap::new(), length, rules)
}

#[test]
fn one_range_is_cut() {
    use Selected::{Part, Unsatisfiable, Whole};
    for (range, length, expected) in [
        ("bytes=0-0", 10, Part(0..1)),
        ("bytes=2-", 10, Part(2..10)),
        ("BYTES= 2-5 ", 10, Part(2..6)),
        ("bytes=\t2-5", 10, Part(2..6)),
        ("bytes=2-99999999999999999999999", 10, Part(2..10)),
        ("bytes=2-18446744073709551615", 10, Part(2..10)),
        ("bytes=-3", 10, Part(7..10)),
        ("bytes=-30", 10, Part(0..10)),
        ("bytes=-0", 10, Unsatisfiable),
        ("bytes=10-", 10, Unsatisfiable),
        ("bytes=10-20", 10, Unsatisfiable),
        ("bytes=99999999999999999999999-", 10, Unsatisfiable),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=-0", 0, Unsatisfiable),
        ("bytes=-1", 0, Whole),
        ("bytes=5-2", 10, Whole),
        ("bytes=a-b", 10, Whole),
        ("bytes=+1-2", 10, Whole),
        ("bytes=1 -2", 10, Whole),
        ("bytes=1-2-3", 10, Whole),
        ("bytes=--1", 10, Whole),
        ("bytes=0x1-2", 10, Whole),
        ("bytes=-", 10, Whole),
        ("bytes=5", 10, Whole),
        ("bytes=", 10, Whole),
        ("bytes =0-1", 10, Whole),
        ("lines=0-1", 10, Whole),
        ("bytes", 10, Whole),
        ("", 10, Whole),
    ] {
        for rules in [RangeRules::Rfc, RangeRules::CloudFront] {
            assert_eq!(
                selected(range, length, rules),
                expected,
                "{range} of {length}"
            );
        }
    }
    let mut twice = HeaderMap::new();
    twice.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
    twice.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
    let none = HeaderMap::new();
    assert_eq!(select(&twice, &none, 10, RangeRules::Rfc), Whole);
    for value in [&b"bytes=\xff-"[..], b"bytes=\xc2\xa01-2"] {
        twice.insert(header::RANGE, HeaderValue::from_bytes(value).unwrap());
        assert_eq!(select(&twice, &none, 10, RangeRules::Rfc), Whole);
    }
}

#[test]
fn several_ranges_come_in_the_order_of_the_request_and_none_twice() {
    use Selected::{Part, Parts, Unsatisfiable, Whole};
    let parts = |parts: &[Range<u64>]| Parts(parts.to_vec());
    for (range, expected) in [
        ("bytes=0-0,500-", parts(&[0..1, 500..1000])),
        (
            "bytes=0-9,500-509,-10",
            parts(&[0..10, 500..510, 990..1000]),
        ),
        ("bytes= 500-509 ,\t0-9 ", parts(&[500..510, 0..10])),
        ("bytes=,0-9,,500-509,", parts(&[0..10, 500..510])),
        // Those that overlap, touch or nearly touch are one, in the place of the first.
        ("bytes=0-99,50-149", Part(0..150)),
        ("bytes=0-99,100-149", Part(0..150)),
        ("bytes=0-9,89-99", Part(0..100)),
        ("bytes=0-9,90-99", parts(&[0..10, 90..100])),
        (
            "bytes=500-509,900-909,0-9,505-600",
            parts(&[500..601, 900..910, 0..10]),
        ),
        ("bytes=0-,5-6,900-", Part(0..1000)),
        ("bytes=0-9,0-9,0-9", Part(0..10)),
        // What begins behind the end is left out.
        ("bytes=0-9,1000-", Part(0..10)),
        (
            "bytes=1000-,0-9,500-509,2000-2001",
            parts(&[0..10, 500..510]),
        ),
        ("bytes=0-9,-0", Part(0..10)),
        ("bytes=1000-,-0", Unsatisfiable),
        // One that is invalid makes all invalid.
        ("bytes=0-9,9-8", Whole),
        ("bytes=0-9,x", Whole),
        ("bytes=0-9,bytes=20-29", Whole),
        ("bytes=0-9;500-509", Whole),
        ("bytes=,", Whole),
    ] {
        assert_eq!(selected(range, 1000, RangeRules::Rfc), expected, "{range}");
    }
    assert_eq!(selected("bytes=5-,-1", 0, RangeRules::Rfc), Whole);
}

#[test]
fn cloudfront_sends_the_whole_where_ranges_overlap_or_do_not_ascend() {
    use Selected::{Part, Parts, Unsatisfiable, Whole};
    for (range, expected) in [
        ("bytes=100-200,300-400", Parts(vec![100..201, 300..401])),
        ("bytes=100-200,300-", Parts(vec![100..201, 300..1000])),
        ("bytes=100-200,-100", Parts(vec![100..201, 900..1000])),
        ("bytes=100-200,201-300", Part(100..301)),
        ("bytes=100-200,1000-", Part(100..201)),
        ("bytes=1000-1001,2000-", Unsatisfiable),
        ("bytes=300-400,100-200", Whole),
        ("bytes=100-200,150-250", Whole),
        ("bytes=100-200,200-250", Whole),
        ("bytes=100-200,-850", Whole),
        ("bytes=100-,300-400", Whole),
        ("bytes=-100,950-", Whole),
        ("bytes=2000-,100-200", Whole),
        ("bytes=100-200,-5-6", Whole),
    ] {
        assert_eq!(
            selected(range, 1000, RangeRules::CloudFront),
            expected,
            "{range}"
        );
    }
    // As they are written, not as they are cut.
    assert_eq!(
        selected("bytes=100-200,150-250", 120, RangeRules::CloudFront),
        Whole
    );
}

#[test]
fn too_many_specs_are_ignored_and_the_rest_cost_little() {
    let specs = |count: usize| {
        let specs: Vec<String> = (0..count)
            .map(|at| format!("{0}-{0}", (at * 7919) % 100_000 * 100))
            .collect();
        format!("bytes={}", specs.join(","))
    };
    let Selected::Parts(parts) = selected(&specs(MAX_SPECS), 10_000_000, RangeRules::Rfc) else {
        panic!("{MAX_SPECS} are read");
    };
    assert_eq!(parts.len(), MAX_SPECS);
    for range in [
        specs(MAX_SPECS + 1),
        specs(5000),
        format!("bytes=0-0{}", ",".repeat(MAX_SPECS)),
    ] {
        assert_eq!(
            selected(&range, 10_000_000, RangeRules::Rfc),
            Selected::Whole
        );
    }
    // The attack on Apache: thousands that overlap.
    let overlapping: Vec<String> = (0..MAX_SPECS).map(|at| format!("{at}-")).collect();
    let overlapping = format!("bytes={}", overlapping.join(","));
    assert_eq!(
        selected(&overlapping, 10_000, RangeRules::Rfc),
        Selected::Part(0..10_000)
    );
}

#[test]
fn if_range_decides_between_the_part_and_the_whole() {
    let mut request = HeaderMap::new();
    request.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
    let mut stored = HeaderMap::new();
    stored.insert(header::ETAG, HeaderValue::from_static("\"a\""));
    for (condition, expected) in [
        ("\"a\"", Selected::Part(0..2)),
        ("\"b\"", Selected::Whole),
        ("W/\"a\"", Selected::Whole),
    ] {
        request.insert(header::IF_RANGE, HeaderValue::from_static(condition));
        assert_eq!(
            select(&request, &stored, 10, RangeRules::Rfc),
            expected,
            "{condition}"
        );
    }
    // A range that couldn't be satisfied asks for the whole of what has changed.
    request.insert(header::RANGE, HeaderValue::from_static("bytes=10-"));
    assert_eq!(
        select(&request, &stored, 10, RangeRules::Rfc),
        Selected::Whole
    );
}

/// A spec, and the bytes that it names.
fn specs() -> impl Strategy<Value = Vec<(String, Range<u64>)>> {
    let near = prop_oneof![0..400_u64, 0..2000_u64, Just(u64::MAX)];
    let spec = (near.clone(), near, 0..4).prop_map(|(a, b, kind)| match kind {
        0 => (format!("{a}-"), a..u64::MAX),
        1 => (format!("-{a}"), u64::MAX - a..u64::MAX),
        _ => {
            let (first, last) = (a.min(b), a.max(b));
            (format!("{first}-{last}"), first..last.saturating_add(1))
        }
    });
    prop::collection::vec(spec, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_is_selected_holds_what_was_asked_for_and_little_more(specs in specs(), length in 0..2000_u64) {
        let texts: Vec<&str> = specs.iter().map(|(text, _)| &text[..]).collect();
        let asked: Vec<bool> = (0..length)
            .map(|at| specs.iter().any(|(text, range)| match text.starts_with('-') {
                true => length - at <= u64::MAX - range.start,
                false => range.contains(&at),
            }))
            .collect();
        let parts = match selected(&format!("bytes={}", texts.join(", ")), length, RangeRules::Rfc) {
            Selected::Whole => {
                prop_assert!(length == 0);
                vec![]
            }
            Selected::Unsatisfiable => vec![],
            Selected::Part(part) => vec![part],
            Selected::Parts(parts) => {
                prop_assert!(parts.len() >= 2);
                parts
            }
        };
        let mut sent = vec![false; asked.len()];
        for part in &parts {
            prop_assert!(!part.is_empty() && part.end <= length);
            for at in part.clone() {
                let at = usize::try_from(at).unwrap();
                prop_assert!(!sent[at], "sent twice");
                sent[at] = true;
            }
            // Both ends of a part were asked for.
            prop_assert!(asked[usize::try_from(part.start).unwrap()]);
            prop_assert!(asked[usize::try_from(part.end).unwrap() - 1]);
        }
        // Between what was asked for, only gaps too short for a head.
        let mut gap = 0;
        for (asked, sent) in asked.iter().zip(&sent) {
            prop_assert!(*sent || !*asked);
            gap = if *sent && !*asked { gap + 1 } else { 0 };
            prop_assert!(gap < MIN_GAP);
        }
        let mut ascending = parts.clone();
        ascending.sort_by_key(|part| part.start);
        for (one, other) in ascending.iter().zip(ascending.iter().skip(1)) {
            prop_assert!(other.start - one.end >= MIN_GAP);
        }
        // The order is that of the first spec of each.
        let places: Vec<usize> = parts
            .iter()
            .map(|part| specs.iter().position(|(text, range)| {
                let start = match text.starts_with('-') {
                    true => length.saturating_sub(u64::MAX - range.start),
                    false => range.start,
                };
                part.contains(&start) && *text != "-0"
            }).unwrap())
            .collect();
        prop_assert!(places.is_sorted(), "{places:?}");
    }
}
