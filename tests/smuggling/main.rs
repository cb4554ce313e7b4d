//! Request smuggling, tried on the stack of the `reverse_proxy` example over raw sockets: what a viewer sends as one request
//! is refused, or reaches the origin as one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "../../examples/reverse_proxy/answer.rs"]
mod answer;
mod cases;
mod http2;
mod origin;
#[path = "../../examples/reverse_proxy/server.rs"]
mod server;
mod strict;
#[path = "../../examples/reverse_proxy/viewer.rs"]
mod viewer;

use cases::{Case, Then};
use frontage::{CacheLayer, MemoryStore, cdn_loop::CdnLoopLayer, origin::Origin};
use origin::{Event, Seen};
use std::{future::Future, net::SocketAddr, time::Duration};
use strict::{Problem, Reader};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use viewer::FromViewer;

/// Long enough on any machine: what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(10);

async fn within<T>(case: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(LIMIT, future).await;
    ended.unwrap_or_else(|_elapsed| panic!("{case}: it hangs"))
}

/// The example's server, the cache and an origin.
struct Stack {
    address: SocketAddr,
    seen: Seen,
    /// What `Host: h` is at the origin.
    host: String,
}

impl Stack {
    async fn start(forward_host: bool) -> Self {
        let (origin, seen) = origin::start().await;
        let service = Origin::url(&format!("http://{origin}"))
            .unwrap()
            .forward_host(forward_host)
            .build()
            .unwrap();
        let cache = CacheLayer::new(MemoryStore::new(16 << 20));
        let cdn_loop = CdnLoopLayer::new("frontage").unwrap();
        let cache_for =
            move |viewer| cdn_loop.around(&cache, FromViewer::new(service.clone(), viewer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server::serve(listener, cache_for, std::future::pending()));
        let host = match forward_host {
            true => "h".to_owned(),
            false => origin.to_string(),
        };
        Self {
            address,
            seen,
            host,
        }
    }

    async fn connect(&self) -> Reader<TcpStream> {
        Reader::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Asks on this connection, as it should be, and gets the answer to that.
    async fn asks(&self, connection: &mut Reader<TcpStream>, target: &str, case: &str) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let sent = connection.stream.write_all(request.as_bytes()).await;
        assert!(sent.is_ok(), "{case}: closed");
        let answer = within(case, connection.response()).await;
        let body = answer.expect(case).body;
        assert_eq!(body, format!("GET {target} {}", self.host), "{case}");
    }
}

/// Method, target and body of a request at the origin, or what else happened there.
fn told(event: &Event) -> String {
    match event {
        Event::Request(message) if message.body.is_empty() => message.begin(),
        Event::Request(message) => format!("{} {}", message.begin(), message.body),
        other => format!("{other:?}"),
    }
}

/// What a case is tried on: the host is forwarded or not, and the answer is stored before or not.
#[derive(Clone, Copy)]
struct On {
    forward_host: bool,
    is_stored: bool,
}

/// A case, while it is tried.
struct Trial {
    name: String,
    is_stored: bool,
    stack: Stack,
    /// How much the origin had seen before.
    before: usize,
}

impl Trial {
    async fn begin(name: &str, on: On) -> Self {
        let On {
            forward_host,
            is_stored,
        } = on;
        let name = format!("{name} (host forwarded: {forward_host}, stored before: {is_stored})");
        let stack = Stack::start(forward_host).await;
        if is_stored {
            let mut connection = stack.connect().await;
            stack.asks(&mut connection, "/attack", &name).await;
        }
        let before = stack.seen.events().len();
        Self {
            name,
            is_stored,
            stack,
            before,
        }
    }

    fn seen(&self) -> Vec<String> {
        let events = self.stack.seen.events();
        events[self.before..].iter().map(told).collect()
    }

    /// The origin got the request, whole, and then the others; or the answer came from the store.
    fn assert_reached(&self, method: &str, body: &str, others: &[&str]) {
        let attack = match body {
            "" => format!("{method} /attack"),
            body => format!("{method} /attack {body}"),
        };
        let seen = self.seen();
        let is_hit = self.is_stored && attack == "GET /attack";
        let expected = [&[attack.as_str()], others].concat();
        assert!(
            seen == expected || is_hit && seen == others,
            "{}: {seen:?}",
            self.name
        );
    }

    /// The origin got none, but perhaps the beginning of one.
    fn assert_refused(&self, may_begin: bool) {
        let seen = self.seen();
        let is_begun = |event: &String| may_begin && event.starts_with("Cut");
        assert!(
            seen.len() < 2 && seen.iter().all(is_begun),
            "{}: {seen:?}",
            self.name
        );
    }

    /// Another viewer is none the wiser, and nothing has come since.
    async fn end(self, may_begin: bool) {
        let known = self.seen();
        let mut connection = self.stack.connect().await;
        for target in ["/attack", "/other", "/attack"] {
            self.stack.asks(&mut connection, target, &self.name).await;
        }
        for event in self.seen().split_off(known.len()) {
            let is_others = ["GET /attack", "GET /other"].contains(&event.as_str());
            let is_begun = may_begin && event.starts_with("Cut");
            assert!(is_others || is_begun, "{}: {event}", self.name);
        }
    }
}

async fn try_case(case: &Case, on: On) {
    let trial = Trial::begin(case.name, on).await;
    let (stack, name) = (&trial.stack, &trial.name);
    let mut viewer = stack.connect().await;
    viewer.stream.write_all(case.sent).await.unwrap();
    let answer = within(name, viewer.response()).await;
    match (case.then, answer) {
        (Then::Refused | Then::Cut, Ok(answer)) => {
            assert_eq!(answer.start.get(8..10), Some(" 4"), "{name}: {answer:?}");
        }
        // Where the head of the answer was on its way.
        (Then::Cut, Err(Problem::End)) => {}
        (_, answer) => {
            let expected = format!("{} /attack {}", case.method(), stack.host);
            assert_eq!(answer.expect(name).body, expected, "{name}");
        }
    }
    match case.then {
        Then::Passed(body) => {
            stack.asks(&mut viewer, "/after", name).await;
            trial.assert_reached(case.method(), body, &["GET /after"]);
        }
        Then::Last(body) => {
            assert_eq!(within(name, viewer.rest()).await, "", "{name}");
            trial.assert_reached(case.method(), body, &[]);
        }
        Then::Refused | Then::Cut => {
            assert_eq!(within(name, viewer.rest()).await, "", "{name}");
            trial.assert_refused(case.then == Then::Cut);
        }
    }
    trial.end(case.then == Then::Cut).await;
}

/// Tries all at once, each on all.
async fn try_all<C, F>(cases: &'static [C], try_case: impl Fn(&'static C, On) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut trying = tokio::task::JoinSet::new();
    for case in cases {
        for (forward_host, is_stored) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let on = On {
                forward_host,
                is_stored,
            };
            trying.spawn(try_case(case, on));
        }
    }
    let mut failed = 0;
    while let Some(tried) = trying.join_next().await {
        failed += usize::from(tried.is_err());
    }
    assert_eq!(failed, 0, "of {}", 4 * cases.len());
}

#[tokio::test]
async fn of_two_framings_one_counts_and_nothing_is_read_behind_it() {
    try_all(cases::BOTH, try_case).await;
}

#[tokio::test]
async fn a_transfer_coding_is_chunked_and_nothing_else() {
    try_all(cases::CODINGS, try_case).await;
}

#[tokio::test]
async fn a_length_is_one_number() {
    try_all(cases::LENGTHS, try_case).await;
}

#[tokio::test]
async fn a_field_that_connection_names_takes_no_framing_along() {
    try_all(cases::NOMINATED, try_case).await;
}

#[tokio::test]
async fn a_request_has_one_host() {
    try_all(cases::HOSTS, try_case).await;
}

#[tokio::test]
async fn a_head_is_written_anew_or_refused() {
    try_all(cases::HEADS, try_case).await;
}

#[tokio::test]
async fn chunks_are_written_anew_or_cut_off() {
    try_all(cases::CHUNKS, try_case).await;
}

#[tokio::test]
async fn what_waits_to_be_continued_is_one_request_too() {
    try_all(cases::EXPECTED, try_case).await;
}

/// The origin answers once it has the head: what then comes of the body is no request.
#[tokio::test]
async fn a_body_that_comes_behind_its_answer_is_no_request() {
    const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunked = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for (framing, body) in [
        (format!("Content-Length: {}", SMUGGLED.len()), SMUGGLED),
        ("Transfer-Encoding: chunked".to_owned(), &chunked),
    ] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let stack = Stack::start(false).await;
            let mut viewer = stack.connect().await;
            let head = format!("POST /early HTTP/1.1\r\nHost: h\r\n{expect}{framing}\r\n\r\n");
            viewer.stream.write_all(head.as_bytes()).await.unwrap();
            let name = &format!("{framing} {expect}");
            let early = within(name, viewer.response()).await.expect(name);
            assert_eq!(early.body, format!("POST /early {}", stack.host), "{name}");
            let rest = format!("{body}GET /after HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            // The connection may be closed by now.
            let _sent = viewer.stream.write_all(rest.as_bytes()).await;
            match within(name, viewer.response()).await {
                Ok(after) => assert_eq!(after.body, format!("GET /after {}", stack.host), "{name}"),
                Err(problem) => assert!(
                    matches!(problem, Problem::End | Problem::Cut),
                    "{name}: {problem:?}"
                ),
            }
            let mut other = stack.connect().await;
            stack.asks(&mut other, "/other", name).await;
            let whole = format!("POST /early {SMUGGLED}");
            for event in stack.seen.events().iter().map(told) {
                let is_right = event == whole
                    || event == "GET /after"
                    || event == "GET /other"
                    || event.starts_with("Cut");
                assert!(is_right, "{name}: {event}");
            }
        }
    }
}
