//! The cache key: two requests have the same one exactly where what the policy names is the same.
//!
//! What is the same is said here a second time, of the requests before they were written down.
#![no_main]

use arbitrary::Arbitrary;
use frontage::key::{AcceptEncoding, CacheKey, Cookies, KeyPolicy, Namespace, Query};
use frontage_fuzz::Value;
use http::{HeaderName, Request, Uri, header, request::Parts};
use libfuzzer_sys::fuzz_target;

const HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("a"),
    HeaderName::from_static("b"),
    header::ACCEPT_LANGUAGE,
];

#[derive(Arbitrary, Clone, Debug)]
enum Names {
    None,
    All,
    Only(Vec<String>),
    Except(Vec<String>),
}

impl Names {
    fn keep(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(names) => names.iter().any(|known| known == name),
            Self::Except(names) => !names.iter().any(|known| known == name),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Policy {
    authority: bool,
    query: Names,
    headers: [bool; 3],
    cookies: Names,
    gzip: bool,
    brotli: bool,
}

impl Policy {
    fn build(&self) -> KeyPolicy {
        let chosen = HEADERS.into_iter().zip(self.headers);
        KeyPolicy::new()
            .authority(self.authority)
            .query(match self.query.clone() {
                Names::None => Query::None,
                Names::All => Query::All,
                Names::Only(names) => Query::Only(names),
                Names::Except(names) => Query::Except(names),
            })
            .headers(chosen.filter(|(_, chosen)| *chosen).map(|(name, _)| name))
            .cookies(match self.cookies.clone() {
                Names::None => Cookies::None,
                Names::All => Cookies::All,
                Names::Only(names) => Cookies::Only(names),
                Names::Except(names) => Cookies::Except(names),
            })
            .accept_encoding(AcceptEncoding {
                gzip: self.gzip,
                brotli: self.brotli,
            })
    }
}

#[derive(Arbitrary, Clone, Debug)]
struct Host {
    upper: bool,
    name: Vec<u8>,
    v6: bool,
    port: Option<u16>,
}

impl Host {
    fn name(&self) -> String {
        if self.v6 {
            return "[FE80::80]".to_owned();
        }
        let letters = b"aBc-.8";
        let name = self.name.iter().take(300);
        let name: String = name
            .map(|byte| char::from(letters[usize::from(*byte) % letters.len()]))
            .collect();
        if self.upper {
            format!("h{name}").to_uppercase()
        } else {
            format!("h{name}")
        }
    }

    fn text(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.name()),
            None => self.name(),
        }
    }

    /// Without case and without the scheme's port.
    fn canonical(&self, default_port: u16) -> (String, Option<u16>) {
        (
            self.name().to_lowercase(),
            self.port.filter(|port| *port != default_port),
        )
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Coding {
    Gzip,
    Brotli,
    Other,
}

#[derive(Arbitrary, Clone, Debug)]
struct Asked {
    method: u8,
    https: bool,
    authority: Option<Host>,
    host: Option<Host>,
    path: Vec<u8>,
    query: Option<Vec<(String, Option<String>)>>,
    headers: Vec<(u8, Value)>,
    cookies: Vec<Vec<(String, String)>>,
    broken_cookies: Option<Value>,
    codings: Option<Vec<(Coding, bool)>>,
}

/// Only what a path may hold as it is.
fn path(bytes: &[u8]) -> String {
    let allowed = bytes
        .iter()
        .copied()
        .filter(|byte| byte.is_ascii_alphanumeric() || b"/.%:@!$&'()*+,;=-_~".contains(byte));
    std::iter::once(b'/')
        .chain(allowed)
        .map(char::from)
        .collect()
}

/// Only what a parameter's name or value may hold in a query.
fn word(text: &str) -> String {
    let allowed =
        |byte: &char| byte.is_ascii_alphanumeric() || "/?.%:@!$'()*+,;-_~".contains(*byte);
    text.chars().filter(allowed).collect()
}

/// Only what a cookie may hold.
fn crumb(text: &str) -> String {
    let allowed = |byte: &char| byte.is_ascii_graphic() && !";=".contains(*byte);
    text.chars().filter(allowed).collect()
}

impl Asked {
    fn method(&self) -> &'static str {
        ["GET", "HEAD", "POST", "OPTIONS"][usize::from(self.method % 4)]
    }

    fn parameters(&self) -> Option<Vec<(String, Option<String>)>> {
        let parameters = self.query.as_ref()?.iter();
        let clean = parameters.map(|(name, value)| (word(name), value.as_deref().map(word)));
        Some(clean.collect())
    }

    fn query(&self) -> Option<String> {
        Some(written(&self.parameters()?))
    }

    fn parts(&self) -> Option<Parts> {
        let mut target = path(&self.path);
        if let Some(query) = self.query() {
            target = format!("{target}?{query}");
        }
        if let Some(authority) = &self.authority {
            let scheme = if self.https { "https" } else { "http" };
            target = format!("{scheme}://{}{target}", authority.text());
        }
        // Too long, for instance.
        let uri: Uri = target.parse().ok()?;
        let mut request = Request::builder().method(self.method()).uri(uri);
        if let Some(host) = &self.host {
            request = request.header(header::HOST, host.text());
        }
        for (name, value) in &self.headers {
            request = request.header(&HEADERS[usize::from(*name) % 3], value.0.clone());
        }
        for line in &self.cookies {
            let pairs: Vec<_> = line
                .iter()
                .map(|(name, value)| format!("{}={}", crumb_name(name), crumb(value)))
                .collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        if let Some(line) = self.broken_cookies.as_ref().and_then(broken) {
            request = request.header(header::COOKIE, line);
        }
        if let Some(codings) = &self.codings {
            let codings = codings.iter().map(|(coding, refused)| {
                let name = match coding {
                    Coding::Gzip => "GZip",
                    Coding::Brotli => "br",
                    Coding::Other => "zstd",
                };
                format!("{name};q=0{}", if *refused { ".0" } else { ".5" })
            });
            request = request.header(
                header::ACCEPT_ENCODING,
                codings.collect::<Vec<_>>().join(", "),
            );
        }
        Some(request.body(()).ok()?.into_parts().0)
    }

    /// What counts of it, as values.
    fn counts(&self, policy: &Policy) -> impl PartialEq + std::fmt::Debug + use<> {
        let method = match self.method() {
            "HEAD" => "GET",
            method => method,
        };
        let authority = if !policy.authority {
            None
        } else if let Some(authority) = &self.authority {
            Some(authority.canonical(if self.https { 443 } else { 80 }))
        } else {
            self.host.as_ref().map(|host| host.canonical(80))
        };
        let query = match policy.query {
            Names::All => self.query().map(|query| vec![(query, None)]),
            // No parameter that counts, or an empty query, is no query.
            _ => self
                .parameters()
                .filter(|parameters| !written(parameters).is_empty())
                .map(|mut parameters| {
                    parameters.retain(|(name, _)| policy.query.keep(name));
                    parameters
                })
                .filter(|kept| !kept.is_empty()),
        };
        let headers: Vec<Option<Vec<u8>>> = HEADERS
            .iter()
            .enumerate()
            .filter(|(at, _)| policy.headers[*at])
            .map(|(at, _)| {
                let lines: Vec<&[u8]> = self
                    .headers
                    .iter()
                    .filter(|(name, _)| usize::from(*name) % 3 == at)
                    .map(|(_, value)| value.0.as_bytes())
                    .collect();
                (!lines.is_empty()).then(|| lines.join(&b","[..]))
            })
            .collect();
        let mut cookies: Vec<(String, String)> = self
            .cookies
            .iter()
            .flatten()
            .map(|(name, value)| (crumb_name(name), crumb(value)))
            .filter(|(name, _)| policy.cookies.keep(name))
            .collect();
        cookies.sort_by(|a, b| a.0.cmp(&b.0));
        let accepts = |wanted: fn(&Coding) -> bool| {
            self.codings
                .iter()
                .flatten()
                .any(|(coding, refused)| wanted(coding) && !refused)
        };
        (
            (method, authority, path(&self.path), query, headers),
            cookies,
            policy.gzip && accepts(|coding| matches!(coding, Coding::Gzip)),
            policy.brotli && accepts(|coding| matches!(coding, Coding::Brotli)),
        )
    }
}

fn written(parameters: &[(String, Option<String>)]) -> String {
    let parameters = parameters.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    });
    parameters.collect::<Vec<_>>().join("&")
}

fn crumb_name(text: &str) -> String {
    format!("c{}", crumb(text))
}

/// A line with a part that is no pair: it doesn't count, whatever else is in it.
fn broken(line: &Value) -> Option<Vec<u8>> {
    let mut line = line.0.as_bytes().to_vec();
    line.extend_from_slice(b"; c=1; no pair");
    Some(line)
}

/// Two requests: the second takes some of its parts from the first, or few would ever be the same.
#[derive(Arbitrary, Debug)]
struct Input {
    policy: Policy,
    first: Asked,
    second: Asked,
    same: u16,
}

fuzz_target!(|input: Input| {
    let Input {
        policy,
        first,
        mut second,
        same,
    } = input;
    let is_same = |bit: u16| same & (1 << bit) != 0;
    if is_same(0) {
        second.method = first.method;
    }
    if is_same(1) {
        second.authority.clone_from(&first.authority);
    }
    if is_same(2) {
        second.host.clone_from(&first.host);
    }
    if is_same(3) {
        second.path.clone_from(&first.path);
    }
    if is_same(4) {
        second.query.clone_from(&first.query);
    }
    if is_same(5) {
        second.headers.clone_from(&first.headers);
    }
    if is_same(6) {
        second.cookies.clone_from(&first.cookies);
    }
    if is_same(7) {
        second.codings.clone_from(&first.codings);
    }
    // The same host in other words.
    for host in [&mut second.authority, &mut second.host]
        .into_iter()
        .flatten()
    {
        host.upper ^= is_same(8);
        if is_same(9) {
            host.port = match host.port {
                None => Some(if second.https { 443 } else { 80 }),
                Some(_) => None,
            };
        }
    }
    let (Some(one), Some(other)) = (first.parts(), second.parts()) else {
        return;
    };
    let namespace = Namespace::named("fuzz").expect("a valid name");
    let built = policy.build();
    let (key, other_key) = (built.key(&namespace, &one), built.key(&namespace, &other));
    assert_eq!(
        key == other_key,
        first.counts(&policy) == second.counts(&policy)
    );
    assert_eq!(key.as_bytes() == other_key.as_bytes(), key == other_key);
    assert_ne!(key, built.key(&Namespace::unique(), &one));

    let again = CacheKey::from_bytes(key.as_bytes());
    assert_eq!((&again, again.hash64()), (&key, key.hash64()));
    assert!(!key.to_string().contains(|letter: char| letter.is_control()));
});
