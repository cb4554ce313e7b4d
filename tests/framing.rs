//! What goes over the wire: bodies that are cut short, and messages that follow each other on one connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use bytes::Bytes;
use frontage::{CacheLayer, MemoryStore};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use http::{HeaderMap, Method, Request, Response, Version, header};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
};
use support::{Body, Broken, Counter, NoBody, fed, full, text, until, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::{BoxError, Layer, Service, service_fn};

/// A server with a cache over `inner`.
struct Edge {
    address: SocketAddr,
    /// How many requests have had to wait for the inner service.
    waiting: Counter,
}

async fn edge<S, B>(inner: S) -> Edge
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let cache = CacheLayer::new(MemoryStore::new(16 << 20)).layer(inner);
    let waiting = Counter::default();
    let counter = waiting.clone();
    let service = service_fn(move |request| {
        let (mut cache, counter) = (cache.clone(), counter.clone());
        async move {
            let mut call = pin!(cache.call(request));
            let mut waits = false;
            poll_fn(|cx| {
                let polled = call.as_mut().poll(cx);
                if polled.is_pending() && !std::mem::replace(&mut waits, true) {
                    counter.add();
                }
                polled
            })
            .await
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // An error is what the viewer sees, too: the end of its connection.
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    Edge { address, waiting }
}

/// What an origin does on a connection, once it has read a request.
#[derive(Clone, Copy)]
enum Step {
    Write(&'static str),
    /// Until the test opens the gate.
    Wait,
}
use Step::{Wait, Write};

/// An origin that follows a script for each path, then closes the connection.
struct Scripted {
    asked: Counter,
    gate: Arc<Semaphore>,
    edge: Edge,
}

async fn scripted(script: fn(&str) -> &'static [Step]) -> Scripted {
    let (asked, gate) = (Counter::default(), Arc::new(Semaphore::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    let (counter, opened) = (asked.clone(), gate.clone());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (counter, opened) = (counter.clone(), opened.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await?);
                }
                let request = String::from_utf8(request).unwrap();
                counter.add();
                for step in script(request.split(' ').nth(1).unwrap()) {
                    match step {
                        Write(text) => stream.write_all(text.as_bytes()).await?,
                        Wait => opened.acquire().await.unwrap().forget(),
                    }
                }
                stream.shutdown().await
            });
        }
    });
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http::<Incoming>();
    let forward = service_fn(move |mut request: Request<Incoming>| {
        let uri = format!("http://{origin}{}", request.uri().path());
        *request.uri_mut() = uri.parse().unwrap();
        *request.version_mut() = Version::HTTP_11;
        client.request(request)
    });
    let edge = edge(forward).await;
    Scripted { asked, gate, edge }
}

/// A viewer that takes HTTP/1 by the letter.
struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length,
    Chunked,
    Close,
}

#[derive(Debug)]
struct Answer {
    start: String,
    fields: Vec<(String, String)>,
    framing: Framing,
    body: String,
    trailers: Vec<(String, String)>,
}

/// The connection ended inside a message. What came of its body.
#[derive(Debug, PartialEq, Eq)]
struct Cut(String);

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.fields.iter().filter(|(known, _)| known == name);
        let value = lines.next().map(|(_, value)| value.as_str());
        assert!(lines.next().is_none(), "{name} twice: {self:?}");
        value
    }

    fn is_hit(&self) -> bool {
        self.field("cache-status").unwrap().contains("; hit")
    }
}

impl Raw {
    async fn connect(edge: &Edge) -> Self {
        let stream = within(TcpStream::connect(edge.address)).await.unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    async fn send(&mut self, request: &str) {
        let request = format!("{request}\r\n\r\n")
            .replace('\n', "\r\n")
            .replace("\r\r", "\r");
        within(self.stream.write_all(request.as_bytes()))
            .await
            .unwrap();
    }

    /// Sends a request for `path` and takes the answer.
    async fn get(&mut self, path: &str, fields: &str) -> Answer {
        self.ask("GET", path, fields).await
    }

    /// Sends a request for what an [`application`] begins, and ends only once the head is here: its length isn't known before.
    async fn get_held(&mut self, path: &str, version: &str, gate: &Gate) -> Answer {
        self.send(&format!(
            "GET {path} {version}\nHost: edge\nTE: trailers\nX-Hold: 1"
        ))
        .await;
        self.head().await;
        gate.add_permits(1);
        self.answer("GET").await.unwrap()
    }

    /// Waits for the head of an answer.
    async fn head(&mut self) {
        while !self.buffer.windows(4).any(|four| four == b"\r\n\r\n") {
            assert!(self.more().await, "no head");
        }
    }

    async fn ask(&mut self, method: &str, path: &str, fields: &str) -> Answer {
        self.send(&format!("{method} {path} HTTP/1.1\nHost: edge{fields}"))
            .await;
        self.answer(method).await.unwrap()
    }

    /// More bytes; false at the end.
    async fn more(&mut self) -> bool {
        match within(self.stream.read_buf(&mut self.buffer)).await {
            Ok(count) => count > 0,
            // A reset is an end, too.
            Err(_) => false,
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// `length` bytes, appended to `body`.
    async fn take(&mut self, length: usize, body: &mut String) -> Result<(), Cut> {
        while self.buffer.len() < length {
            if !self.more().await {
                let rest = std::mem::take(&mut self.buffer);
                body.push_str(std::str::from_utf8(&rest).unwrap());
                return Err(Cut(std::mem::take(body)));
            }
        }
        let taken: Vec<u8> = self.buffer.drain(..length).collect();
        body.push_str(std::str::from_utf8(&taken).unwrap());
        Ok(())
    }

    /// Lines up to an empty one.
    async fn fields(&mut self) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(fields);
            }
            let (name, value) = line.split_once(':').expect("a field without a colon");
            assert!(!name.is_empty() && !name.contains(' '), "{line:?}");
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// The answer to a request with `method`.
    async fn answer(&mut self, method: &str) -> Result<Answer, Cut> {
        let cut = || Cut(String::new());
        let start = self.line().await.ok_or_else(cut)?;
        let status = start
            .strip_prefix("HTTP/1.")
            .expect("not a status line")
            .get(2..5)
            .unwrap();
        let mut answer = Answer {
            fields: self.fields().await.ok_or_else(cut)?,
            framing: Framing::None,
            body: String::new(),
            trailers: Vec::new(),
            start: start.clone(),
        };
        let length = answer
            .field("content-length")
            .map(|length| length.parse().unwrap());
        let coding = answer.field("transfer-encoding").map(str::to_owned);
        assert!(
            length.is_none() || coding.is_none(),
            "framed twice: {answer:?}"
        );
        if method == "HEAD" || status == "304" || status == "204" {
            return Ok(answer);
        }
        match (length, coding.as_deref()) {
            (Some(length), None) => {
                answer.framing = Framing::Length;
                self.take(length, &mut answer.body).await?;
            }
            (None, Some("chunked")) => {
                answer.framing = Framing::Chunked;
                loop {
                    let body = std::mem::take(&mut answer.body);
                    let Some(size) = self.line().await else {
                        return Err(Cut(body));
                    };
                    answer.body = body;
                    let size = usize::from_str_radix(&size, 16).expect("not a chunk's size");
                    if size == 0 {
                        break;
                    }
                    self.take(size, &mut answer.body).await?;
                    let end = self.line().await.ok_or_else(|| Cut(answer.body.clone()))?;
                    assert_eq!(end, "", "a chunk is longer than its size says");
                }
                answer.trailers = self
                    .fields()
                    .await
                    .ok_or_else(|| Cut(answer.body.clone()))?;
            }
            (None, None) => {
                let closes = answer.field("connection") == Some("close");
                assert!(
                    closes || start.starts_with("HTTP/1.0"),
                    "not framed: {answer:?}"
                );
                answer.framing = Framing::Close;
                while self.more().await {}
                let rest = std::mem::take(&mut self.buffer);
                answer.body = String::from_utf8(rest).unwrap();
            }
            (_, Some(other)) => panic!("transfer-encoding: {other}"),
        }
        Ok(answer)
    }

    /// Waits until the server has closed the connection, without another byte.
    async fn closed(mut self) {
        while self.more().await {}
        let rest = String::from_utf8_lossy(&self.buffer);
        assert!(rest.is_empty(), "stray bytes: {rest:?}");
    }
}

const SHORT_BY_LENGTH: &[Step] = &[
    Wait,
    Write("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\nhello"),
    Wait,
];
const SHORT_CHUNKED: &[Step] = &[
    Wait,
    Write(
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ),
    Wait,
];
/// Cut inside a chunk.
const SHORT_CHUNK: &[Step] = &[
    Wait,
    Write(
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\nf\r\nhello",
    ),
    Wait,
];
/// Cut by nonsense where a chunk should begin.
const BROKEN_CHUNK: &[Step] = &[
    Wait,
    Write(
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ),
    Wait,
    Write("nonsense\r\n0\r\n\r\n"),
];
const SHORT_NOT_STORED: &[Step] = &[
    Wait,
    Write(
        "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ),
    Wait,
];
/// Shared, but not stored.
const SHORT_FAILURE: &[Step] = &[
    Wait,
    Write("HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    Wait,
];

fn short(path: &str) -> &'static [Step] {
    match path {
        "/length" => SHORT_BY_LENGTH,
        "/chunked" => SHORT_CHUNKED,
        "/chunk" => SHORT_CHUNK,
        "/broken" => BROKEN_CHUNK,
        "/no-store" => SHORT_NOT_STORED,
        "/failure" => SHORT_FAILURE,
        other => panic!("{other}"),
    }
}

/// Three viewers of one body that is cut short: one leads, one waits for the head, one comes in mid-body.
async fn assert_all_see_the_cut(path: &str) {
    let Scripted { asked, gate, edge } = scripted(short).await;
    let request = format!("GET {path} HTTP/1.1\nHost: edge");
    let mut leader = Raw::connect(&edge).await;
    leader.send(&request).await;
    until(|| asked.get() == 1).await;
    let mut follower = Raw::connect(&edge).await;
    follower.send(&request).await;
    until(|| edge.waiting.get() == 2).await;
    gate.add_permits(1);
    for viewer in [&mut leader, &mut follower] {
        while !viewer.buffer.ends_with(b"hello") && !viewer.buffer.ends_with(b"hello\r\n") {
            assert!(viewer.more().await, "{path}: cut before the first bytes");
        }
    }
    let mut late = Raw::connect(&edge).await;
    late.send(&request).await;
    while !late.buffer.ends_with(b"hello") && !late.buffer.ends_with(b"hello\r\n") {
        assert!(late.more().await, "{path}: a late follower gets nothing");
    }
    assert_eq!(asked.get(), 1);
    gate.add_permits(1);
    for mut viewer in [leader, follower, late] {
        let cut = viewer.answer("GET").await.expect_err(path);
        assert_eq!(cut, Cut("hello".into()), "{path}");
        viewer.closed().await;
    }

    // Nothing of it is stored: the next one asks again.
    gate.add_permits(2);
    let mut next = Raw::connect(&edge).await;
    next.send(&request).await;
    next.answer("GET").await.expect_err(path);
    assert_eq!(asked.get(), 2, "{path}");
}

#[tokio::test]
async fn a_body_short_of_its_length_is_cut_for_all_who_read_it() {
    assert_all_see_the_cut("/length").await;
}

#[tokio::test]
async fn a_chunked_body_without_an_end_is_cut_for_all_who_read_it() {
    assert_all_see_the_cut("/chunked").await;
}

#[tokio::test]
async fn a_body_cut_inside_a_chunk_is_cut_for_all_who_read_it() {
    assert_all_see_the_cut("/chunk").await;
}

#[tokio::test]
async fn a_body_with_broken_chunks_is_cut_for_all_who_read_it() {
    assert_all_see_the_cut("/broken").await;
}

#[tokio::test]
async fn a_body_that_is_not_stored_is_cut_for_its_viewer() {
    let Scripted { asked, gate, edge } = scripted(short).await;
    // The second time its key is known to be uncacheable.
    for times in 1..=2 {
        gate.add_permits(2);
        let mut viewer = Raw::connect(&edge).await;
        viewer.send("GET /no-store HTTP/1.1\nHost: edge").await;
        assert_eq!(viewer.answer("GET").await.unwrap_err(), Cut("hello".into()));
        viewer.closed().await;
        assert_eq!(asked.get(), times);
    }
}

#[tokio::test]
async fn a_shared_failure_that_is_cut_is_cut_for_all() {
    let Scripted { asked, gate, edge } = scripted(short).await;
    let mut viewers = Vec::new();
    for number in 1..=3 {
        let mut viewer = Raw::connect(&edge).await;
        viewer.send("GET /failure HTTP/1.1\nHost: edge").await;
        until(|| edge.waiting.get() == number).await;
        viewers.push(viewer);
    }
    gate.add_permits(2);
    for mut viewer in viewers {
        assert_eq!(viewer.answer("GET").await.unwrap_err(), Cut("hello".into()));
        viewer.closed().await;
    }
    assert_eq!(asked.get(), 1);
}

#[tokio::test]
async fn curl_sees_an_incomplete_transfer() {
    let curl = |edge: &Edge, path: &str| {
        let mut curl = tokio::process::Command::new("curl");
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "--noproxy",
            "*",
            "--max-time",
            "20",
        ]);
        curl.arg(format!("http://{}{path}", edge.address));
        curl
    };
    let Scripted { asked, gate, edge } = scripted(short).await;
    for (path, times) in [("/length", 1), ("/chunked", 2)] {
        gate.add_permits(1);
        let mut leader = match curl(&edge, path).spawn() {
            Ok(leader) => leader,
            Err(error) if std::env::var("CI").as_deref() == Ok("true") => panic!("curl: {error}"),
            Err(error) => return println!("skipped, for curl does not start: {error}"),
        };
        until(|| asked.get() == times).await;
        let mut follower = Raw::connect(&edge).await;
        follower
            .send(&format!("GET {path} HTTP/1.1\nHost: {}", edge.address))
            .await;
        while !follower.buffer.windows(5).any(|five| five == b"hello") {
            assert!(follower.more().await);
        }
        gate.add_permits(1);
        // 18: the transfer ended before its end. 56: so it did, by a reset.
        let code = within(leader.wait()).await.unwrap().code();
        assert!(matches!(code, Some(18 | 56)), "{path}: {code:?}");
        follower.answer("GET").await.unwrap_err();
        assert_eq!(asked.get(), times);
    }
}

#[tokio::test]
async fn bytes_beyond_the_length_that_a_server_announces_are_not_the_bodys() {
    fn long(_path: &str) -> &'static [Step] {
        &[Write(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 5\r\n\r\nhello, world",
        )]
    }
    let Scripted { asked, edge, .. } = scripted(long).await;
    let mut viewer = Raw::connect(&edge).await;
    for hit in [false, true] {
        let answer = viewer.get("/", "").await;
        assert_eq!((answer.body.as_str(), answer.is_hit()), ("hello", hit));
    }
    assert_eq!(asked.get(), 1);
}

#[tokio::test]
async fn a_body_longer_than_its_length_is_never_stored_and_leaves_no_stray_bytes() {
    let asked = Counter::default();
    let counter = asked.clone();
    // In one piece, and in two of which the first is as long as all should be.
    let inner = service_fn(move |request: Request<Incoming>| {
        counter.add();
        let pieces: &[&str] = match request.uri().path() {
            "/one" => &["hello, world"],
            _ => &["hello", ", world"],
        };
        let body = pieces_of(pieces);
        async {
            let response = Response::builder()
                .header("cache-control", "max-age=60")
                .header("content-length", "5");
            Ok::<_, Infallible>(response.body(body).unwrap())
        }
    });
    let edge = edge(inner).await;
    for path in ["/one", "/two"] {
        let before = asked.get();
        for times in 1..=2 {
            let mut viewer = Raw::connect(&edge).await;
            viewer
                .send(&format!(
                    "GET {path} HTTP/1.1\nHost: edge\nConnection: close"
                ))
                .await;
            match viewer.answer("GET").await {
                Ok(answer) => assert_eq!(answer.body, "hello"),
                Err(Cut(body)) => assert!("hello".starts_with(&body), "{body}"),
            }
            viewer.closed().await;
            assert_eq!(asked.get(), before + times, "{path} was stored");
        }
    }
}

fn pieces_of(pieces: &'static [&'static str]) -> Body {
    let pieces = pieces
        .iter()
        .map(|piece| Ok(http_body::Frame::data(Bytes::from_static(piece.as_bytes()))));
    StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()
}

/// Opens for the second halves of bodies that a request with `X-Hold` asks for.
type Gate = Arc<Semaphore>;

/// `0123456789`, in two halves.
fn halves(held: Option<Gate>) -> Body {
    let (first, second) = (pieces_of(&["01234"]), pieces_of(&["56789"]));
    let second = async move {
        if let Some(gate) = held {
            gate.acquire().await.unwrap().forget();
        }
        second.into_data_stream()
    };
    let halves = first.into_data_stream().chain(second.flatten_stream());
    StreamBody::new(halves.map_ok(http_body::Frame::data)).boxed_unsync()
}

/// What an application answers: `/sized`, `/unsized`, `/empty`, `/trailers`, and `/cut`.
async fn application() -> (Counter, Gate, Edge) {
    let (asked, gate) = (Counter::default(), Gate::new(Semaphore::new(0)));
    let (counter, closed) = (asked.clone(), gate.clone());
    let inner = service_fn(move |request: Request<Incoming>| {
        counter.add();
        let is_held = request.headers().contains_key("x-hold");
        let held = is_held.then(|| closed.clone());
        let response = Response::builder()
            .header("cache-control", "max-age=60")
            .header("content-type", "text/plain")
            .header("etag", "\"1\"");
        let response = match request.uri().path() {
            "/sized" => response
                .header("content-length", "10")
                .body(full("0123456789")),
            "/unsized" => response.body(halves(held)),
            "/empty" => response.body(full("")),
            "/trailers" => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", "45".parse().unwrap());
                let body = halves(held).with_trailers(async { Some(Ok::<_, Broken>(trailers)) });
                response
                    .header("trailer", "x-sum")
                    .body(body.boxed_unsync())
            }
            "/cut" => {
                let (feed, body) = fed();
                tokio::spawn(async {
                    feed.send("01234").await;
                    feed.fail(1).await;
                });
                response.body(body)
            }
            _ => response.status(404).body(full("none")),
        };
        async { Ok::<_, Infallible>(response.unwrap()) }
    });
    (asked, gate, edge(inner).await)
}

const IF_NONE_MATCH: &str = "\nIf-None-Match: \"1\"";
const RANGE: &str = "\nRange: bytes=2-4";
const BEYOND: &str = "\nRange: bytes=10-";

#[tokio::test]
async fn messages_follow_each_other_on_one_connection() {
    let (asked, gate, edge) = application().await;
    let mut viewer = Raw::connect(&edge).await;
    for (path, cold) in [("/sized", Framing::Length), ("/unsized", Framing::Chunked)] {
        let miss = match cold {
            Framing::Chunked => viewer.get_held(path, "HTTP/1.1", &gate).await,
            _ => viewer.get(path, "").await,
        };
        assert_eq!(miss.start, "HTTP/1.1 200 OK");
        assert_eq!((miss.body.as_str(), miss.framing), ("0123456789", cold));
        assert!(!miss.is_hit());
        // Twice, so that each follows each.
        for _ in 0..2 {
            let hit = viewer.get(path, "").await;
            assert_eq!(hit.start, "HTTP/1.1 200 OK");
            assert_eq!(
                (hit.body.as_str(), hit.framing),
                ("0123456789", Framing::Length)
            );
            assert!(hit.is_hit() && hit.field("age").is_some());

            let head = viewer.ask("HEAD", path, "").await;
            assert_eq!(head.start, "HTTP/1.1 200 OK");
            assert!(head.is_hit() && head.field("transfer-encoding").is_none());
            assert!(
                matches!(head.field("content-length"), Some("10") | None),
                "{head:?}"
            );

            let unchanged = viewer.get(path, IF_NONE_MATCH).await;
            assert_eq!(unchanged.start, "HTTP/1.1 304 Not Modified");
            assert_eq!(unchanged.field("etag"), Some("\"1\""));
            let length = unchanged.field("content-length");
            assert!(matches!(length, Some("10") | None), "{unchanged:?}");
            assert_eq!(unchanged.field("transfer-encoding"), None);

            let part = viewer.get(path, RANGE).await;
            assert_eq!(part.start, "HTTP/1.1 206 Partial Content");
            assert_eq!((part.body.as_str(), part.framing), ("234", Framing::Length));
            assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));

            let beyond = viewer.get(path, BEYOND).await;
            assert_eq!(beyond.start, "HTTP/1.1 416 Range Not Satisfiable");
            assert_eq!(
                (beyond.body.as_str(), beyond.framing),
                ("", Framing::Length)
            );
            assert_eq!(beyond.field("content-range"), Some("bytes */10"));

            let conditional_head = viewer.ask("HEAD", path, IF_NONE_MATCH).await;
            assert_eq!(conditional_head.start, "HTTP/1.1 304 Not Modified");
        }
    }
    for _ in 0..2 {
        let empty = viewer.get("/empty", "").await;
        assert_eq!((empty.body.as_str(), empty.framing), ("", Framing::Length));
        let none = viewer.get("/none", "").await;
        assert_eq!(
            (none.start.as_str(), none.body.as_str()),
            ("HTTP/1.1 404 Not Found", "none")
        );
    }
    assert_eq!(asked.get(), 4);
    let last = viewer.get("/sized", "\nConnection: close").await;
    assert_eq!(last.body, "0123456789");
    viewer.closed().await;
}

#[tokio::test]
async fn a_cold_head_and_a_cold_condition_leave_the_connection_in_order() {
    let (_, _gate, edge) = application().await;
    let mut viewer = Raw::connect(&edge).await;
    for path in ["/sized?1", "/unsized?1"] {
        let head = viewer.ask("HEAD", path, "").await;
        assert_eq!(
            (head.start.as_str(), head.is_hit()),
            ("HTTP/1.1 200 OK", false)
        );
        assert!(
            matches!(head.field("content-length"), Some("10") | None),
            "{head:?}"
        );
        let get = viewer.get(path, "").await;
        assert_eq!((get.body.as_str(), get.is_hit()), ("0123456789", false));
    }
    for path in ["/sized?2", "/unsized?2"] {
        let unchanged = viewer.get(path, IF_NONE_MATCH).await;
        assert_eq!(unchanged.start, "HTTP/1.1 304 Not Modified");
        // The whole was fetched for it.
        let get = viewer.get(path, "").await;
        assert_eq!(get.body, "0123456789");
    }
    let part = viewer.get("/sized?3", RANGE).await;
    assert_eq!(part.body, "0123456789", "the application knows no ranges");
    viewer
        .send("GET /sized?2 HTTP/1.1\nHost: edge\nConnection: close")
        .await;
    assert!(viewer.answer("GET").await.unwrap().is_hit());
    viewer.closed().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_, gate, edge) = application().await;
    let mut viewer = Raw::connect(&edge).await;
    viewer.get("/sized", "").await;
    let get = "GET /sized HTTP/1.1\nHost: edge";
    let head = "HEAD /sized HTTP/1.1\nHost: edge";
    let miss = "GET /unsized HTTP/1.1\nHost: edge\nX-Hold: 1";
    viewer
        .send(&format!(
            "{get}\n\n{head}\n\n{get}{RANGE}\n\n{miss}\n\n{get}{IF_NONE_MATCH}\n\n{get}"
        ))
        .await;
    assert_eq!(viewer.answer("GET").await.unwrap().body, "0123456789");
    viewer.answer("HEAD").await.unwrap();
    assert_eq!(viewer.answer("GET").await.unwrap().body, "234");
    until(|| edge.waiting.get() == 2).await;
    viewer.head().await;
    gate.add_permits(1);
    let miss = viewer.answer("GET").await.unwrap();
    assert_eq!(
        (miss.body.as_str(), miss.framing),
        ("0123456789", Framing::Chunked)
    );
    viewer.answer("GET").await.unwrap();
    assert_eq!(viewer.answer("GET").await.unwrap().body, "0123456789");
}

#[tokio::test]
async fn a_viewer_of_http_1_0_gets_no_chunks() {
    let (_, gate, edge) = application().await;
    for path in ["/sized", "/unsized"] {
        for hit in [false, true] {
            let mut viewer = Raw::connect(&edge).await;
            let cold_and_unsized = path == "/unsized" && !hit;
            let answer = if cold_and_unsized {
                viewer.get_held(path, "HTTP/1.0", &gate).await
            } else {
                viewer
                    .send(&format!("GET {path} HTTP/1.0\nHost: edge"))
                    .await;
                viewer.answer("GET").await.unwrap()
            };
            assert_eq!(answer.start, "HTTP/1.0 200 OK");
            assert_eq!((answer.body.as_str(), answer.is_hit()), ("0123456789", hit));
            let framing = if cold_and_unsized {
                Framing::Close
            } else {
                Framing::Length
            };
            assert_eq!(answer.framing, framing);
            viewer.closed().await;
        }
    }
    // It may ask to keep the connection.
    let mut viewer = Raw::connect(&edge).await;
    let keep = "HTTP/1.0\nHost: edge\nConnection: keep-alive";
    for method in ["GET", "HEAD", "GET"] {
        viewer.send(&format!("{method} /unsized {keep}")).await;
        assert!(viewer.answer(method).await.unwrap().is_hit());
    }
    // A body that is cut shows by its length; where it has none, it can't be seen.
    let mut viewer = Raw::connect(&edge).await;
    viewer.send("GET /cut HTTP/1.0\nHost: edge").await;
    let answer = viewer.answer("GET").await.unwrap();
    assert!("01234".starts_with(&answer.body), "{answer:?}");
    assert_eq!(answer.framing, Framing::Close);
}

#[tokio::test]
async fn trailers_are_stored_and_replayed_over_http_1() {
    let (asked, gate, edge) = application().await;
    let mut viewer = Raw::connect(&edge).await;
    for hit in [false, true, true] {
        let answer = match hit {
            false => viewer.get_held("/trailers", "HTTP/1.1", &gate).await,
            true => viewer.get("/trailers", "\nTE: trailers").await,
        };
        assert_eq!((answer.body.as_str(), answer.is_hit()), ("0123456789", hit));
        assert_trailed(&answer);
    }
    assert_eq!(asked.get(), 1);
    // A part has none.
    let part = viewer.get("/trailers", RANGE).await;
    assert_eq!((part.body.as_str(), part.trailers.len()), ("234", 0));
    let head = viewer.ask("HEAD", "/trailers", "").await;
    assert!(head.is_hit());
    assert_eq!(viewer.get("/sized", "").await.body, "0123456789");
}

fn assert_trailed(answer: &Answer) {
    assert_eq!(answer.framing, Framing::Chunked);
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "45".to_owned())]);
}

#[tokio::test]
async fn trailers_that_are_there_before_the_head_is_sent_are_not_lost() {
    let (_, _gate, edge) = application().await;
    let mut viewer = Raw::connect(&edge).await;
    let answer = viewer.get("/trailers", "\nTE: trailers").await;
    assert_eq!(
        (answer.body.as_str(), answer.is_hit()),
        ("0123456789", false)
    );
    assert_trailed(&answer);
}

struct Http2(hyper::client::conn::http2::SendRequest<NoBody>);

impl Http2 {
    async fn connect(edge: &Edge) -> Self {
        let stream = within(TcpStream::connect(edge.address)).await.unwrap();
        let io = TokioIo::new(stream);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = within(handshake).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://edge{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).unwrap();
        within(self.0.send_request(request)).await.unwrap()
    }

    async fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Response<Incoming> {
        self.ask(Method::GET, path, fields).await
    }
}

fn is_hit<B>(response: &Response<B>) -> bool {
    response.headers()["cache-status"]
        .to_str()
        .unwrap()
        .contains("; hit")
}

fn length<B>(response: &Response<B>) -> Option<&str> {
    response
        .headers()
        .get(header::CONTENT_LENGTH)
        .map(|length| length.to_str().unwrap())
}

#[tokio::test]
async fn over_http_2_each_kind_of_answer_is_whole() {
    let (asked, _gate, edge) = application().await;
    let mut viewer = Http2::connect(&edge).await;
    for path in ["/sized", "/unsized"] {
        for hit in [false, true, true] {
            let response = viewer.get(path, &[]).await;
            assert_eq!(
                (response.version(), is_hit(&response)),
                (Version::HTTP_2, hit)
            );
            assert_eq!(text(response.into_body()).await.unwrap(), "0123456789");
        }
        let head = viewer.ask(Method::HEAD, path, &[]).await;
        assert!(
            is_hit(&head) && matches!(length(&head), Some("10") | None),
            "{head:?}"
        );
        assert_eq!(text(head.into_body()).await.unwrap(), "");

        let unchanged = viewer.get(path, &[("if-none-match", "\"1\"")]).await;
        assert_eq!(unchanged.status(), 304);
        assert!(
            matches!(length(&unchanged), Some("10") | None),
            "{unchanged:?}"
        );
        assert_eq!(text(unchanged.into_body()).await.unwrap(), "");

        let part = viewer.get(path, &[("range", "bytes=2-4")]).await;
        assert_eq!((part.status().as_u16(), length(&part)), (206, Some("3")));
        assert_eq!(text(part.into_body()).await.unwrap(), "234");

        let beyond = viewer.get(path, &[("range", "bytes=10-")]).await;
        assert_eq!(beyond.status(), 416);
        assert_eq!(text(beyond.into_body()).await.unwrap(), "");
    }
    assert_eq!(asked.get(), 2);
}

#[tokio::test]
async fn trailers_are_stored_and_replayed_over_http_2() {
    let (asked, _gate, edge) = application().await;
    let mut viewer = Http2::connect(&edge).await;
    for hit in [false, true, true] {
        let response = viewer.get("/trailers", &[("te", "trailers")]).await;
        assert_eq!(is_hit(&response), hit);
        let collected = within(response.into_body().collect()).await.unwrap();
        assert_eq!(collected.trailers().unwrap()["x-sum"], "45");
        assert_eq!(collected.to_bytes(), "0123456789");
    }
    assert_eq!(asked.get(), 1);
}

#[tokio::test]
async fn over_http_2_a_body_that_is_cut_is_reset_and_the_connection_lives() {
    let (asked, _gate, edge) = application().await;
    let mut viewer = Http2::connect(&edge).await;
    for times in 1..=2 {
        let response = viewer.get("/cut", &[]).await;
        text(response.into_body()).await.expect_err("a clean end");
        assert_eq!(asked.get(), times);
    }
    let response = viewer.get("/sized", &[]).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "0123456789");
}
