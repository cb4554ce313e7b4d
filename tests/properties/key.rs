//! Two requests have one key exactly where the policy says that they are the same: said here a second time, of the pieces
//! that the requests are written from.

use super::config;
use frontage::key::{AcceptEncoding, CacheKey, Cookies, KeyPolicy, Namespace, Query};
use http::{HeaderName, Request, request::Parts};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
};

type Words = &'static [&'static str];

const PATHS: Words = &["/", "/a", "/A", "/a/", "/a%2F", "/b;a=1", "//a"];
const PARAMETERS: Words = &[
    "a=1", "a=2", "b=1", "a", "", "ab=1", "A=1", "a=1=2", "=1", "b",
];
const NAMES: Words = &["a", "b", "ab", "A", ""];
const FIELDS: Words = &["x-a", "x-b", "accept-language", "cookie", "accept-encoding"];
const VALUES: Words = &["", "1", "2", "1,2", "1, 2", "x-b:1"];
const PAIRS: Words = &["a=1", "a=2", "b=1", "A=1", "a=b=c", "a=", "ab=1"];
const CODINGS: Words = &["gzip", "GZip", "br", "BR", "deflate", "x-gzip", "*"];

#[derive(Clone, Debug)]
enum Names {
    None,
    All,
    Only(Vec<&'static str>),
    Except(Vec<&'static str>),
}

impl Names {
    fn keep(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(names) => names.contains(&name),
            Self::Except(names) => !names.contains(&name),
        }
    }
}

fn names() -> impl Strategy<Value = Names> {
    let some = || subsequence(NAMES, 0..4);
    prop_oneof![
        Just(Names::None),
        Just(Names::All),
        some().prop_map(Names::Only),
        some().prop_map(Names::Except),
    ]
}

#[derive(Clone, Debug)]
struct Policy {
    authority: bool,
    query: Names,
    headers: Vec<&'static str>,
    cookies: Names,
    gzip: bool,
    brotli: bool,
}

prop_compose! {
    fn policy()(
        [authority, gzip, brotli]: [bool; 3],
        (query, cookies) in (names(), names()),
        headers in subsequence(FIELDS, 0..4).prop_shuffle(),
    ) -> Policy {
        Policy { authority, query, headers, cookies, gzip, brotli }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().copied().map(str::to_owned).collect()
}

impl Policy {
    fn build(&self) -> KeyPolicy {
        let (gzip, brotli) = (self.gzip, self.brotli);
        KeyPolicy::new()
            .authority(self.authority)
            .query(match &self.query {
                Names::None => Query::None,
                Names::All => Query::All,
                Names::Only(names) => Query::Only(owned(names)),
                Names::Except(names) => Query::Except(owned(names)),
            })
            .headers(self.headers.iter().copied().map(HeaderName::from_static))
            .cookies(match &self.cookies {
                Names::None => Cookies::None,
                Names::All => Cookies::All,
                Names::Only(names) => Cookies::Only(owned(names)),
                Names::Except(names) => Cookies::Except(owned(names)),
            })
            .accept_encoding(AcceptEncoding { gzip, brotli })
    }
}

#[derive(Clone, Debug)]
struct Host {
    user: &'static str,
    name: &'static str,
    port: &'static str,
}

impl Host {
    fn text(&self) -> String {
        format!("{}{}{}", self.user, self.name, self.port)
    }

    /// Without case and without the default port; what stands before `@` has a case.
    fn counts(&self, default_port: &str) -> String {
        let port = match self.port {
            ":" => "",
            port if port == default_port => "",
            port => port,
        };
        format!("{}{}{port}", self.user, self.name.to_lowercase())
    }
}

fn host() -> impl Strategy<Value = Host> {
    (
        select(&["", "", "", "u@", "U@"][..]),
        select(&["a", "A", "a.b", "[::1]", "[::80]"][..]),
        select(&["", "", ":", ":80", ":443", ":8080"][..]),
    )
        .prop_map(|(user, name, port)| Host { user, name, port })
}

/// A cookie line; `broken` is a piece that is no pair.
#[derive(Clone, Debug)]
struct Line {
    pairs: Vec<&'static str>,
    separator: &'static str,
    broken: Option<&'static str>,
}

impl Line {
    fn text(&self) -> String {
        let pieces: Vec<&str> = self.pairs.iter().copied().chain(self.broken).collect();
        pieces.join(self.separator)
    }
}

fn line() -> impl Strategy<Value = Line> {
    (
        prop::collection::vec(select(PAIRS), 0..4),
        select(&["; ", ";", " ;; "][..]),
        prop_oneof![4 => Just(None), 1 => select(&["a", "=1"][..]).prop_map(Some)],
    )
        .prop_map(|(pairs, separator, broken)| Line {
            pairs,
            separator,
            broken,
        })
}

#[derive(Clone, Debug)]
struct Coding {
    name: &'static str,
    weight: &'static str,
    refused: bool,
}

fn coding() -> impl Strategy<Value = Coding> {
    let weight = select(
        &[
            ("", false),
            (";q=1", false),
            ("; q=0.001", false),
            (";q=0", true),
            (" ; Q=0.00", true),
        ][..],
    );
    (select(CODINGS), weight).prop_map(|(name, (weight, refused))| Coding {
        name,
        weight,
        refused,
    })
}

#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    /// Of an absolute-form target, with whether its scheme is https.
    authority: Option<(Host, bool)>,
    host: Option<Host>,
    path: &'static str,
    query: Option<Vec<&'static str>>,
    fields: Vec<(&'static str, &'static str)>,
    cookies: Vec<Line>,
    codings: Vec<Vec<Coding>>,
}

prop_compose! {
    fn asked()(
        method in select(&["GET", "GET", "HEAD", "POST", "OPTIONS"][..]),
        authority in prop::option::of((host(), any::<bool>())),
        host in prop::option::of(host()),
        path in select(PATHS),
        query in prop::option::of(prop::collection::vec(select(PARAMETERS), 0..4)),
        fields in prop::collection::vec((select(&FIELDS[..3]), select(VALUES)), 0..4),
        cookies in prop::collection::vec(line(), 0..3),
        codings in prop::collection::vec(prop::collection::vec(coding(), 0..3), 0..3),
    ) -> Asked {
        Asked { method, authority, host, path, query, fields, cookies, codings }
    }
}

impl Asked {
    fn parts(&self) -> Parts {
        let mut target = self.path.to_owned();
        if let Some(query) = &self.query {
            target = format!("{target}?{}", query.join("&"));
        }
        if let Some((host, https)) = &self.authority {
            let scheme = if *https { "https" } else { "http" };
            target = format!("{scheme}://{}{target}", host.text());
        }
        let mut request = Request::builder().method(self.method).uri(target);
        if let Some(host) = &self.host {
            request = request.header("host", host.text());
        }
        for (name, value) in self.lines() {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let cookies = self.cookies.iter().map(|line| ("cookie", line.text()));
        let codings = self.codings.iter().map(|line| {
            let line: Vec<_> = line
                .iter()
                .map(|coding| format!("{}{}", coding.name, coding.weight))
                .collect();
            ("accept-encoding", line.join(", "))
        });
        fields.chain(cookies).chain(codings).collect()
    }

    /// What counts of it: nothing but strings.
    fn counts(&self, policy: &Policy) -> [Vec<String>; 7] {
        let method = if self.method == "HEAD" {
            "GET"
        } else {
            self.method
        };
        let authority = match (&self.authority, &self.host) {
            _ if !policy.authority => String::new(),
            (Some((host, true)), _) => host.counts(":443"),
            (Some((host, false)), _) | (None, Some(host)) => host.counts(":80"),
            (None, None) => String::new(),
        };
        let name = |text: &'static str| text.split('=').next().unwrap();
        let query = match (&self.query, &policy.query) {
            (None, _) => vec![],
            (Some(query), Names::All) => vec![query.join("&")],
            // A bare `?`.
            (Some(query), _) if query.join("&").is_empty() => vec![],
            (Some(query), names) => query
                .iter()
                .filter(|pair| names.keep(name(pair)))
                .map(|pair| (*pair).to_owned())
                .collect(),
        };
        let lines = self.lines();
        let mut listed = policy.headers.clone();
        listed.sort_unstable();
        let headers = listed.into_iter().filter_map(|listed| {
            let of_name = lines.iter().filter(|(name, _)| *name == listed);
            let values: Vec<&str> = of_name.map(|(_, value)| value.as_str()).collect();
            (!values.is_empty()).then(|| format!("{listed}={}", values.join(",")))
        });
        let whole = self.cookies.iter().filter(|line| line.broken.is_none());
        let mut cookies: Vec<&str> = whole
            .flat_map(|line| line.pairs.iter().copied())
            .filter(|pair| policy.cookies.keep(name(pair)))
            .collect();
        cookies.sort_by_key(|pair| name(pair));
        let offers = |wanted: &str| {
            let mut codings = self.codings.iter().flatten();
            codings.any(|coding| coding.name.to_lowercase() == wanted && !coding.refused)
        };
        let mut codings = vec![];
        if policy.brotli && offers("br") {
            codings.push("br".to_owned());
        }
        if policy.gzip && offers("gzip") {
            codings.push("gzip".to_owned());
        }
        [
            vec![method.to_owned()],
            vec![authority],
            vec![self.path.to_owned()],
            query,
            headers.collect(),
            owned(&cookies),
            codings,
        ]
    }

    /// Takes one part of another request.
    fn take(&mut self, part: u8, other: &Self) {
        match part {
            0 => self.method = other.method,
            1 => self.authority.clone_from(&other.authority),
            2 => self.host.clone_from(&other.host),
            3 => self.path = other.path,
            4 => self.query.clone_from(&other.query),
            5 => self.fields.clone_from(&other.fields),
            6 => self.cookies.clone_from(&other.cookies),
            7 => self.codings.clone_from(&other.codings),
            // The same in another order, or not.
            8 => self.cookies.reverse(),
            9 => self.fields.reverse(),
            10 => self.codings.reverse(),
            _ => {
                if let Some(query) = &mut self.query {
                    query.reverse();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn keys_are_equal_exactly_where_what_counts_is(
        policy in policy(),
        first in asked(),
        other in asked(),
        // Most pairs differ in one thing.
        parts in prop_oneof![
            5 => prop::collection::vec(0..12_u8, 1),
            2 => prop::collection::vec(0..12_u8, 2..4),
            1 => Just((0..8).collect()),
        ],
    ) {
        let mut second = first.clone();
        for part in parts {
            second.take(part, &other);
        }
        let namespace = Namespace::named("n").unwrap();
        let built = policy.build();
        let key = built.key(&namespace, &first.parts());
        let other_key = built.key(&namespace, &second.parts());
        let (counts, other_counts) = (first.counts(&policy), second.counts(&policy));
        prop_assert_eq!(key == other_key, counts == other_counts, "{:?} and {:?}", counts, other_counts);
        prop_assert_eq!(key.as_bytes() == other_key.as_bytes(), key == other_key);
        prop_assert_eq!(CacheKey::from_bytes(key.as_bytes()), key);
    }
}
