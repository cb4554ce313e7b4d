//! `Vary`, and which requests match by it.
#![no_main]

use arbitrary::Arbitrary;
use frontage::{
    headers::members,
    key::{ListOrder, VariantKey, Vary},
};
use frontage_fuzz::Value;
use http::{HeaderMap, HeaderName, header};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Name {
    A,
    B,
    AcceptLanguage,
    AcceptEncoding,
}

impl Name {
    fn name(self) -> HeaderName {
        match self {
            Self::A => HeaderName::from_static("a"),
            Self::B => HeaderName::from_static("b"),
            Self::AcceptLanguage => header::ACCEPT_LANGUAGE,
            Self::AcceptEncoding => header::ACCEPT_ENCODING,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    vary: Vec<Value>,
    names: Vec<Name>,
    fields: Vec<(Name, Value)>,
    /// The other request: how many fields it shares, and the rest.
    shared: u8,
    others: Vec<(Name, Value)>,
}

fuzz_target!(|input: Input| {
    let mut response = HeaderMap::new();
    for line in &input.vary {
        response.append(header::VARY, line.0.clone());
    }
    check_vary(&response);

    let names: Vec<HeaderName> = input.names.iter().map(|name| name.name()).collect();
    let one = map(input.fields.iter());
    let shared = usize::from(input.shared).min(input.fields.len());
    let other = map(input.fields[..shared].iter().chain(&input.others));
    let (key, other_key) = (
        VariantKey::of(&names, &one, ListOrder::Significant),
        VariantKey::of(&names, &other, ListOrder::Significant),
    );
    assert_eq!(
        key == other_key,
        selecting(&names, &one) == selecting(&names, &other)
    );
    assert_eq!(VariantKey::from_bytes(key.as_bytes()), key);
});

fn map<'a>(fields: impl Iterator<Item = &'a (Name, Value)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.name(), value.0.clone());
    }
    headers
}

fn check_vary(response: &HeaderMap) {
    let lines = response.get_all(header::VARY).iter();
    // No name holds a quote, so that a quoted comma splits or not: it is `Any` either way.
    let members: Vec<&[u8]> = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
        .collect();
    let is_name = |member: &&[u8]| *member != b"*" && HeaderName::from_bytes(member).is_ok();
    match Vary::of(response) {
        Vary::None => assert!(members.is_empty()),
        Vary::Any => assert!(!members.iter().all(is_name)),
        Vary::Fields(fields) => {
            assert!(fields.is_sorted_by(|a, b| a.as_str() < b.as_str()));
            assert!(members.iter().all(is_name));
            for member in members {
                assert!(
                    fields
                        .iter()
                        .any(|name| member.eq_ignore_ascii_case(name.as_str().as_bytes()))
                );
            }
        }
    }
}

/// What selects, for each name: nothing, or its members in order, as one list of all lines.
fn selecting(names: &[HeaderName], request: &HeaderMap) -> Vec<Option<String>> {
    let selecting = names.iter().map(|name| {
        request.contains_key(name).then(|| {
            let lines = request.get_all(name).iter();
            let found: Vec<String> = lines
                .flat_map(|line| members(line.as_bytes()))
                .map(|member| member.escape_ascii().to_string())
                .collect();
            let list = found.join(",");
            match name {
                &header::ACCEPT_LANGUAGE | &header::ACCEPT_ENCODING => list.to_ascii_lowercase(),
                _ => list,
            }
        })
    });
    selecting.collect()
}
