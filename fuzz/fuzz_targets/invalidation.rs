//! What invalidations cover, and nothing else, against a list that is searched; and how they are written.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use frontage::{
    CacheCore, CacheLayer, CachePolicy, CacheStatus, MemoryStore,
    clock::ManualClock,
    invalidation::{Invalidation, Issued},
};
use frontage_fuzz::{Value, block_on};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty, Full};
use libfuzzer_sys::fuzz_target;
use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

const TAG: HeaderName = HeaderName::from_static("x-tag");

/// A piece of a path or a query.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Piece {
    X,
    Upper,
    Slash,
    Question,
    Tilde,
    Encoded,
    EncodedLower,
    Percent,
}

impl Piece {
    fn text(self) -> &'static str {
        match self {
            Self::X => "x",
            Self::Upper => "X",
            Self::Slash => "/",
            Self::Question => "?",
            Self::Tilde => "~",
            Self::Encoded => "%7E",
            Self::EncodedLower => "%7e",
            Self::Percent => "%",
        }
    }

    /// As it is compared: a prefix may end within what was encoded.
    fn compared(self) -> &'static str {
        match self {
            Self::Tilde | Self::EncodedLower => Self::Encoded.text(),
            other => other.text(),
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
struct Target(Vec<Piece>);

impl Target {
    fn text(&self) -> String {
        let pieces = self.0.iter().take(8).map(|piece| piece.text());
        ["/"].into_iter().chain(pieces).collect()
    }

    fn compared(&self) -> String {
        let pieces = self.0.iter().take(8).map(|piece| piece.compared());
        ["/"].into_iter().chain(pieces).collect()
    }
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Host {
    None,
    H,
    I,
}

impl Host {
    fn text(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::H => Some("h.example"),
            Self::I => Some("i.example:8080"),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum What {
    Path(Target, Host),
    Prefix(Target, Host),
    Tag(u8),
    Everything,
}

impl What {
    fn build(&self) -> Invalidation {
        let (path, host) = match self {
            Self::Path(path, host) => (path.text(), *host),
            Self::Prefix(path, host) => (format!("{}*", path.text()), *host),
            Self::Tag(tag) => return Invalidation::tag(&format!("T{}", tag % 3)).expect("a tag"),
            Self::Everything => return Invalidation::everything(),
        };
        let path = Invalidation::path(&path).expect("a path");
        match host.text() {
            Some(host) => path.host(host).expect("a host"),
            None => path,
        }
    }

    fn covers(&self, host: Host, target: &str, tag: u8) -> bool {
        let fits = |asked: Host| asked == Host::None || asked == host;
        match self {
            Self::Path(path, asked) => fits(*asked) && path.compared() == target,
            Self::Prefix(path, asked) => fits(*asked) && target.starts_with(&path.compared()),
            Self::Tag(asked) => asked % 3 == tag % 3,
            Self::Everything => true,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Step {
    Get(Host, Target, u8),
    Issue(What, bool),
    /// The same, from another core.
    Apply(What, bool),
    /// What was changed, and what the answer names as changed, too.
    Post(Host, Target, Option<Value>),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    steps: Vec<Step>,
    text: &'a str,
}

/// Says what it is told to.
#[derive(Clone)]
struct Inner;

impl Service<Request<Empty<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::from("ok"));
        let headers = response.headers_mut();
        if let Some(Told(name, value)) = request.extensions().get() {
            headers.insert(name, value.clone());
        }
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=600"),
        );
        ready(Ok(response))
    }
}

#[derive(Clone)]
struct Told(HeaderName, HeaderValue);

/// Whether what is stored must be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Stored,
    Covered,
    /// An answer may have named it.
    Unknown,
}

fuzz_target!(|input: Input<'_>| {
    check_text(input.text);
    block_on(play(&input.steps));
});

fn check_text(text: &str) {
    if let Ok(issued) = text.parse::<Issued>() {
        assert_eq!(issued.to_string().parse(), Ok(issued));
    }
    if let Ok(path) = Invalidation::path(text) {
        let written = path.to_string();
        assert!(written.len() <= 4000 && written.is_ascii());
        assert_eq!(Invalidation::path(&written), Ok(path));
    }
    if let Ok(tag) = Invalidation::tag(text) {
        let written = tag.to_string();
        assert_eq!(Invalidation::tag(&written[1..]), Ok(tag));
    }
    if let Ok(host) = Invalidation::everything().host(text) {
        let written = host.to_string();
        let (host_text, path) = written.split_at(written.find('/').expect("a path"));
        let again = Invalidation::path(path).expect("a path").host(host_text);
        assert_eq!(again, Ok(host));
    }
}

async fn play(steps: &[Step]) {
    let core = |clock| {
        let core = CacheCore::builder(MemoryStore::new(8 << 20)).clock(clock);
        core.build().expect("a core")
    };
    let clock = ManualClock::at(1_000_000_000_000);
    let (here, there) = (core(clock.clone()), core(clock));
    let policy = CachePolicy::default().tag_header(Some(TAG));
    let layer = CacheLayer::with_core(here.clone()).policy(policy);
    let mut cache = layer.layer(Inner);
    let mut stored: HashMap<(Host, String), (Target, u8, State)> = HashMap::new();

    for step in steps.iter().take(40) {
        match step {
            Step::Get(host, target, tag) => {
                let key = (*host, target.text());
                let told = HeaderValue::try_from(format!("t{}", tag % 3)).expect("a tag");
                let Some(request) = request(Method::GET, *host, target, Some((TAG, told))) else {
                    continue;
                };
                let Ok(response) = cache.call(request).await;
                let status: &CacheStatus = response.extensions().get().expect("the cache's word");
                let is_hit = status.is_hit();
                let _read = response.into_body().collect().await;
                match stored.get(&key).map(|(_, _, state)| *state) {
                    Some(State::Stored) => assert!(is_hit, "{key:?} is not covered"),
                    Some(State::Covered) => assert!(!is_hit, "{key:?} is covered"),
                    None => assert!(!is_hit),
                    Some(State::Unknown) => {}
                }
                if !is_hit {
                    stored.insert(key, (target.clone(), *tag, State::Stored));
                } else if let Some((_, _, state)) = stored.get_mut(&key) {
                    *state = State::Stored;
                }
            }
            Step::Issue(what, is_soft) | Step::Apply(what, is_soft) => {
                let built = match is_soft {
                    true => what.build().soft(),
                    false => what.build(),
                };
                match step {
                    Step::Apply(..) => {
                        let issued = there.invalidator().issue(&built).to_string();
                        let issued: Issued = issued.parse().expect("what was written");
                        assert!(here.invalidator().apply(&issued));
                        assert!(!here.invalidator().apply(&issued));
                    }
                    _ => drop(here.invalidator().issue(&built)),
                }
                for ((host, _), (target, tag, state)) in &mut stored {
                    if what.covers(*host, &target.compared(), *tag) {
                        *state = State::Covered;
                    }
                }
            }
            Step::Post(host, target, location) => {
                let told = location
                    .as_ref()
                    .map(|location| (header::LOCATION, location.0.clone()));
                let is_told = told.is_some();
                let Some(request) = request(Method::POST, *host, target, told) else {
                    continue;
                };
                let Ok(_answer) = cache.call(request).await;
                for ((of, _), (stored, _, state)) in &mut stored {
                    // No host is one of its own.
                    let is_same = stored.compared() == target.compared();
                    if is_same && host == of {
                        *state = State::Covered;
                    } else if is_told && host == of {
                        // Never what belongs to another host.
                        *state = match state {
                            State::Covered => State::Covered,
                            _ => State::Unknown,
                        };
                    }
                }
            }
        }
    }
}

fn request(
    method: Method,
    host: Host,
    target: &Target,
    told: Option<(HeaderName, HeaderValue)>,
) -> Option<Request<Empty<Bytes>>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method;
    *request.uri_mut() = target.text().parse::<Uri>().ok()?;
    // The crate's user says what a path is: `//x` is one.
    request.uri().path_and_query()?;
    if let Some(host) = host.text() {
        let host = HeaderValue::from_static(host);
        request.headers_mut().insert(header::HOST, host);
    }
    if let Some((name, value)) = told {
        request.extensions_mut().insert(Told(name, value));
    }
    Some(request)
}
