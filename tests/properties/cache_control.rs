//! What is read from `Cache-Control` or a targeted field and printed again means the same.

use super::{config, lines, mangled};
use frontage::headers::{
    DeltaSeconds, Qualified, RequestDirectives, RequestFacts, ResponseDirectives,
};
use http::{
    HeaderMap, HeaderName,
    header::{CACHE_CONTROL, CDN_CACHE_CONTROL, PRAGMA},
};
use proptest::prelude::*;

fn seconds() -> impl Strategy<Value = DeltaSeconds> {
    prop_oneof![
        2 => Just(DeltaSeconds::Absent),
        2 => (0..=3_153_600_000_u64).prop_map(DeltaSeconds::Seconds),
        1 => Just(DeltaSeconds::Seconds(0)),
        1 => Just(DeltaSeconds::Invalid),
    ]
}

fn qualified() -> impl Strategy<Value = Qualified> {
    let name = "[a-z!#$%&'*+.^_`|~0-9-]{1,12}";
    let names = prop::collection::vec(name, 1..4).prop_map(|names| {
        let names = names.iter().map(|name| HeaderName::try_from(name).unwrap());
        Qualified::Fields(names.collect())
    });
    prop_oneof![
        2 => Just(Qualified::Absent),
        1 => Just(Qualified::Whole),
        2 => names,
    ]
}

prop_compose! {
    /// Anything that a response can say.
    fn said()(
        flags: [bool; 6],
        (no_cache, private) in (qualified(), qualified()),
        (max_age, s_maxage) in (seconds(), seconds()),
        (stale_while_revalidate, stale_if_error) in (seconds(), seconds()),
    ) -> ResponseDirectives {
        let [no_store, public, must_revalidate, proxy_revalidate, must_understand, immutable] = flags;
        ResponseDirectives {
            no_store,
            no_cache,
            private,
            public,
            must_revalidate,
            proxy_revalidate,
            must_understand,
            immutable,
            max_age,
            s_maxage,
            stale_while_revalidate,
            stale_if_error,
            present: true,
        }
    }
}

prop_compose! {
    /// Anything that a request can ask.
    fn asked()(
        [no_store, no_cache, only_if_cached]: [bool; 3],
        (max_age, min_fresh, stale_if_error) in (seconds(), seconds(), seconds()),
        max_stale in prop_oneof![
            Just(None),
            Just(Some(u64::MAX)),
            (0..=3_153_600_000_u64).prop_map(Some),
        ],
    ) -> RequestDirectives {
        RequestDirectives { no_store, no_cache, only_if_cached, max_age, min_fresh, max_stale, stale_if_error }
    }
}

/// A directive in one of its spellings, some of them not those of a Structured Field.
fn member() -> impl Strategy<Value = String> {
    let name = prop::sample::select(
        &[
            "no-store",
            "no-cache",
            "private",
            "public",
            "must-revalidate",
            "proxy-revalidate",
            "must-understand",
            "immutable",
            "max-age",
            "s-maxage",
            "stale-while-revalidate",
            "stale-if-error",
            "min-fresh",
            "max-stale",
            "only-if-cached",
            "x-other",
        ][..],
    );
    let argument = prop_oneof![
        4 => Just(String::new()),
        4 => "=[0-9]{1,11}",
        1 => "=\"[0-9]{0,20}\"",
        1 => "=-?[0-9]{0,16}(\\.[0-9])?",
        2 => "=\"([a-z-]{1,4}(, ?)?){1,3}\"",
        1 => "=\"(\\\\[\\\\\"a0]|[a,0]){0,4}\"",
        1 => "=\\?[01]",
        1 => "= ?[a-z]{0,3}(;[a-z]=1)?",
    ];
    (name, argument).prop_map(|(name, argument)| format!("{name}{argument}"))
}

fn line() -> impl Strategy<Value = String> {
    prop::collection::vec(
        (member(), prop::sample::select(&[", ", ",", " ,\t"][..])),
        0..5,
    )
    .prop_map(|members| {
        let line: Vec<String> = members
            .into_iter()
            .map(|(member, separator)| format!("{separator}{member}"))
            .collect();
        line.concat()
            .trim_start_matches([',', ' ', '\t'])
            .to_owned()
    })
}

fn field() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line = prop_oneof![2 => line().prop_map(String::into_bytes), 1 => mangled(line())];
    prop::collection::vec(line, 0..3)
}

fn one(name: &HeaderName, value: &str) -> HeaderMap {
    lines(name, &[value.as_bytes().to_vec()])
}

fn assert_printed_means_the_same(said: &ResponseDirectives) -> Result<(), TestCaseError> {
    let printed = said.to_string();
    let expected = ResponseDirectives {
        present: true,
        ..said.clone()
    };
    let read = ResponseDirectives::of(&one(&CACHE_CONTROL, &printed));
    prop_assert_eq!(&read, &expected, "{}", &printed);
    let read =
        ResponseDirectives::of_targeted(&one(&CDN_CACHE_CONTROL, &printed), &CDN_CACHE_CONTROL);
    // An empty field is to be ignored (RFC 9213 section 2.1).
    let expected = (!printed.is_empty()).then_some(expected);
    prop_assert_eq!(&read, &expected, "{}", &printed);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_can_be_said_can_be_printed(said in said()) {
        assert_printed_means_the_same(&said)?;
    }

    #[test]
    fn what_can_be_asked_can_be_printed(asked in asked()) {
        let read = RequestFacts::of(&one(&CACHE_CONTROL, &asked.to_string()));
        prop_assert_eq!(read.directives, asked);
    }

    #[test]
    fn what_was_read_from_cache_control_is_printed_with_its_meaning(field in field()) {
        let headers = lines(&CACHE_CONTROL, &field);
        let said = ResponseDirectives::of(&headers);
        prop_assert_eq!(said.present, !field.is_empty());
        assert_printed_means_the_same(&said)?;

        let asked = RequestFacts::of(&headers).directives;
        let read = RequestFacts::of(&one(&CACHE_CONTROL, &asked.to_string())).directives;
        prop_assert_eq!(read, asked);
    }

    #[test]
    fn what_was_read_from_a_targeted_field_is_printed_with_its_meaning(field in field()) {
        let headers = lines(&CDN_CACHE_CONTROL, &field);
        let joined = field.join(&b", "[..]);
        let is_dictionary = sfv::Parser::new(&lines(&PRAGMA, &[joined])[PRAGMA])
            .parse::<sfv::Dictionary>()
            .is_ok_and(|dictionary| !dictionary.is_empty());
        let said = ResponseDirectives::of_targeted(&headers, &CDN_CACHE_CONTROL);
        prop_assert_eq!(said.is_some(), is_dictionary);
        if let Some(said) = said {
            prop_assert!(said.present);
            assert_printed_means_the_same(&said)?;
        }
    }

    /// The rule of precedence (RFC 9213 section 2.2), said a second time.
    #[test]
    fn the_first_valid_target_rules(fields in prop::collection::vec((0..4_usize, field()), 0..4)) {
        let names = ["own-cache-control", "cdn-cache-control", "cache-control", "x"];
        let names = names.map(HeaderName::from_static);
        let mut headers = HeaderMap::new();
        for (at, field) in &fields {
            for (_, line) in &lines(&names[*at], field) {
                headers.append(&names[*at], line.clone());
            }
        }
        let expected = match (
            ResponseDirectives::of_targeted(&headers, &names[0]),
            ResponseDirectives::of_targeted(&headers, &names[1]),
        ) {
            (Some(own), _) => (own, true),
            (None, Some(cdn)) => (cdn, true),
            (None, None) => (ResponseDirectives::of(&headers), false),
        };
        prop_assert_eq!(ResponseDirectives::selected(&headers, &names[..2]), expected);
    }
}
