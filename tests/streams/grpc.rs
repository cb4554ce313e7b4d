//! gRPC: calls that stream both ways between tonic's client and tonic's server, and what of them is on the wire.

use super::*;
use crate::support::Counter;
use bytes::{Buf, BufMut, Bytes};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, Request, Response, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Barrier, mpsc},
    time::Instant,
};
use tonic::{
    Code, Status, Streaming,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{MetadataMap, MetadataValue},
    server::StreamingService,
    transport::{
        Channel, Endpoint,
        server::{Server, TcpIncoming},
    },
};

/// A message is its bytes: what protobuf makes of them is no matter here.
#[derive(Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What the origin saw.
#[derive(Clone)]
struct Seen {
    calls: Counter,
    running: Counter,
    dripped: Counter,
    metadata: Arc<Mutex<MetadataMap>>,
    both: Arc<Barrier>,
}

/// Counts a call as running.
struct Running(Counter);

impl Running {
    fn new(running: &Counter) -> Self {
        running.add();
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.subtract();
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
type Questions = Pin<Box<dyn Stream<Item = Bytes> + Send>>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The methods of the origin.
#[derive(Clone)]
struct Methods(Seen);

impl tower::Service<Request<Body>> for Methods {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let seen = self.0.clone();
        Box::pin(async move {
            let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let mut grpc = tonic::server::Grpc::new(Plain).max_decoding_message_size(LARGE);
            Ok(grpc.streaming(Method { name, seen }, request).await)
        })
    }
}

struct Method {
    name: String,
    seen: Seen,
}

impl StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = Boxed<Result<tonic::Response<Answers>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let (name, seen) = (self.name.clone(), self.seen.clone());
        Box::pin(async move {
            seen.calls.add();
            let running = Running::new(&seen.running);
            let (metadata, _, asked) = request.into_parts();
            *seen.metadata.lock().unwrap() = metadata.clone();
            let answers: Answers = match name.as_str() {
                "Echo" => asked.boxed(),
                "Together" => {
                    seen.both.wait().await;
                    asked.boxed()
                }
                "Fail" => {
                    let mut with = MetadataMap::new();
                    with.insert("x-left", "7".parse().unwrap());
                    let status = Status::with_metadata(Code::DataLoss, FAILURE, with);
                    asked.take(3).chain(stream::iter([Err(status)])).boxed()
                }
                "Refuse" => return Err(Status::failed_precondition(FAILURE)),
                "Silent" => stream::pending().boxed(),
                "Headless" => std::future::pending().await,
                "Drip" => {
                    let dripped = seen.dripped.clone();
                    let drops = stream::repeat(()).take(1000).then(move |()| {
                        dripped.add();
                        tokio::task::yield_now()
                    });
                    let drops = drops.map(|()| Ok(Bytes::from_static(b"drop")));
                    drops.chain(stream::pending()).boxed()
                }
                "Flood" => stream::repeat_with(|| Ok(Bytes::from_static(&[b'x'; MIB]))).boxed(),
                _ => return Err(Status::unimplemented(name)),
            };
            let answers = answers.inspect(move |_| {
                let _until_it_ends = &running;
            });
            let mut response = tonic::Response::new(answers.boxed());
            for name in ["x-text", "x-raw-bin"] {
                copy(&metadata, response.metadata_mut(), name);
            }
            Ok(response)
        })
    }
}

fn copy(from: &MetadataMap, to: &mut MetadataMap, name: &'static str) {
    if name.ends_with("-bin") {
        for value in from.get_all_bin(name) {
            to.append_bin(name, value.clone());
        }
    } else {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

const FAILURE: &str = "100 % of it is gone: ü";
const FAILURE_ENCODED: &str = "100%20%25%20of%20it%20is%20gone:%20%C3%BC";
const LARGE: usize = 10 * MIB;

async fn origin() -> (SocketAddr, Seen) {
    origin_of(Server::builder()).await
}

async fn origin_of(server: Server) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen {
        calls: Counter::default(),
        running: Counter::default(),
        dripped: Counter::default(),
        metadata: Arc::default(),
        both: Arc::new(Barrier::new(2)),
    };
    let serving = server.serve_with_incoming(Methods(seen.clone()), TcpIncoming::from(listener));
    tokio::spawn(serving);
    (address, seen)
}

/// A viewer's connection.
async fn connect(proxy: &Process) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.address)).unwrap();
    within(endpoint.connect()).await.unwrap()
}

async fn start() -> (Process, Seen, Channel) {
    let (origin, seen) = origin().await;
    let proxy = proxy(origin).await;
    let channel = connect(&proxy).await;
    (proxy, seen, channel)
}

/// A call that runs.
struct Call {
    ask: mpsc::Sender<Bytes>,
    metadata: MetadataMap,
    answers: Streaming<Bytes>,
}

async fn call(channel: &Channel, method: &str) -> Result<Call, Status> {
    call_with(channel, method, |_| {}).await
}

async fn call_with(
    channel: &Channel,
    method: &str,
    with: impl FnOnce(&mut tonic::Request<Questions>),
) -> Result<Call, Status> {
    let (ask, mut asked) = mpsc::channel(1);
    let messages: Questions = stream::poll_fn(move |cx| asked.poll_recv(cx)).boxed();
    let mut request = tonic::Request::new(messages);
    with(&mut request);
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(LARGE);
    within(grpc.ready()).await.unwrap();
    let path = format!("/test.Streams/{method}");
    let calling = grpc.streaming(request, PathAndQuery::try_from(path).unwrap(), Plain);
    let (metadata, answers, _) = within(calling).await?.into_parts();
    Ok(Call {
        ask,
        metadata,
        answers,
    })
}

impl Call {
    async fn ask(&self, message: impl Into<Bytes>) {
        within(self.ask.send(message.into()))
            .await
            .expect("the call has ended");
    }

    async fn answer(&mut self) -> Result<Option<Bytes>, Status> {
        within(self.answers.message()).await
    }

    /// Asks, and waits for the answer.
    async fn echo(&mut self, message: impl Into<Bytes>) {
        let message = message.into();
        self.ask(message.clone()).await;
        let answer = self.answer().await.unwrap().expect("no answer");
        assert!(answer == message);
    }

    /// Says that there is no more to ask, and waits for the trailers.
    async fn end(self) -> Result<MetadataMap, Status> {
        let Self {
            ask, mut answers, ..
        } = self;
        drop(ask);
        assert_eq!(within(answers.message()).await?, None);
        Ok(within(answers.trailers()).await?.unwrap_or_default())
    }
}

#[tokio::test]
async fn each_answer_comes_before_the_next_question() {
    let (proxy, seen, channel) = start().await;
    let mut call = call(&channel, "Echo").await.unwrap();
    for number in 0..200 {
        call.echo(format!("question {number}")).await;
    }
    assert_eq!(seen.running.get(), 1);
    let trailers = call.end().await.unwrap();
    assert_eq!(trailers.get("grpc-status").unwrap(), "0");
    until(|| seen.running.get() == 0).await;
    // The one of the viewer, and the one to the origin.
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn metadata_goes_both_ways() {
    let (_proxy, seen, channel) = start().await;
    let raw = MetadataValue::from_bytes(&[0, 255, b',', 10]);
    let call = call_with(&channel, "Echo", |request| {
        let metadata = request.metadata_mut();
        metadata.append("x-text", "a, b".parse().unwrap());
        metadata.append("x-text", "c".parse().unwrap());
        metadata.insert_bin("x-raw-bin", raw.clone());
        metadata.insert("authorization", "Bearer secret".parse().unwrap());
    });
    let call = call.await.unwrap();
    let texts: Vec<_> = call.metadata.get_all("x-text").iter().collect();
    assert_eq!(texts, ["a, b", "c"]);
    assert_eq!(call.metadata.get_bin("x-raw-bin").unwrap(), &raw);
    let metadata = seen.metadata.lock().unwrap().clone();
    assert_eq!(metadata.get("authorization").unwrap(), "Bearer secret");
    assert_eq!(metadata.get("te").unwrap(), "trailers");
    assert_eq!(metadata.get("x-forwarded-for").unwrap(), "127.0.0.1");
    assert!(
        metadata
            .get("via")
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("2.0 ")
    );
    assert!(
        metadata
            .get("user-agent")
            .unwrap()
            .to_str()
            .unwrap()
            .contains("tonic")
    );
    call.end().await.unwrap();
}

#[tokio::test]
async fn a_status_comes_behind_the_answers_with_its_message_and_metadata() {
    let (_proxy, _seen, channel) = start().await;
    let mut call = call(&channel, "Fail").await.unwrap();
    for number in 0..3 {
        call.echo(format!("{number}")).await;
    }
    let status = call.answer().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, FAILURE));
    assert_eq!(status.metadata().get("x-left").unwrap(), "7");
}

#[tokio::test]
async fn a_refused_call_tells_why_and_the_connection_goes_on() {
    let (_proxy, seen, channel) = start().await;
    for (method, code, message) in [
        ("Refuse", Code::FailedPrecondition, FAILURE),
        ("None", Code::Unimplemented, "None"),
    ] {
        for _ in 0..3 {
            let status = call(&channel, method).await.err().unwrap();
            assert_eq!((status.code(), status.message()), (code, message));
        }
    }
    call(&channel, "Echo")
        .await
        .unwrap()
        .echo("still here")
        .await;
    assert_eq!(seen.calls.get(), 7);
}

/// A viewer that shows what is on the wire.
async fn raw(proxy: &Process) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = within(handshake).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn raw_call(
    viewer: &mut http2::SendRequest<Full<Bytes>>,
    method: &str,
    fields: &[(&str, &str)],
    messages: &[&str],
) -> Response<Incoming> {
    let mut body = Vec::new();
    for message in messages {
        body.put_u8(0);
        body.put_u32(message.len() as u32);
        body.put_slice(message.as_bytes());
    }
    let mut request = Request::post(format!("http://proxy/test.Streams/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    within(viewer.send_request(request)).await.unwrap()
}

fn assert_status(fields: &HeaderMap, status: &str, message: Option<&str>) {
    let field = |name| fields.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(field("grpc-status"), Some(status));
    assert_eq!(field("grpc-message"), message);
}

#[tokio::test]
async fn on_the_wire_the_status_is_in_the_trailers_or_in_the_only_head() {
    let (origin, _seen) = origin().await;
    let proxy = proxy(origin).await;
    let mut viewer = raw(&proxy).await;

    let whole = raw_call(&mut viewer, "Echo", &[], &["one", "two"]).await;
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers()["content-type"], "application/grpc");
    assert!(!whole.headers().contains_key("grpc-status"));
    let said = whole.headers()["cache-status"].to_str().unwrap();
    assert!(said.contains("fwd=") && !said.contains("stored"), "{said}");
    let body = within(whole.into_body().collect()).await.unwrap();
    assert_status(body.trailers().unwrap(), "0", None);
    assert_eq!(body.to_bytes(), "\0\0\0\0\x03one\0\0\0\0\x03two");

    let failed = raw_call(&mut viewer, "Fail", &[], &["1", "2", "3", "4"]).await;
    assert!(!failed.headers().contains_key("grpc-status"));
    let body = within(failed.into_body().collect()).await.unwrap();
    assert_status(body.trailers().unwrap(), "15", Some(FAILURE_ENCODED));
    assert_eq!(body.trailers().unwrap()["x-left"], "7");

    let refused = raw_call(&mut viewer, "Refuse", &[], &["1"]).await;
    assert_eq!(refused.status(), 200);
    assert_status(refused.headers(), "9", Some(FAILURE_ENCODED));
    // The head ends the stream.
    assert!(hyper::body::Body::is_end_stream(refused.body()));
}

#[tokio::test]
async fn a_call_that_the_viewer_gives_up_ends_at_the_origin() {
    let (_proxy, seen, channel) = start().await;
    // Before a head, in the midst of it, and when all has been asked.
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, "Headless").await.map(|_| ()) }
    });
    until(|| seen.running.get() == 1).await;
    waiting.abort();
    until(|| seen.running.get() == 0).await;

    let mut asking = call(&channel, "Echo").await.unwrap();
    asking.echo("a").await;
    assert_eq!(seen.running.get(), 1);
    drop(asking);
    until(|| seen.running.get() == 0).await;

    let Call { ask, answers, .. } = call(&channel, "Silent").await.unwrap();
    drop(ask);
    assert_eq!(seen.running.get(), 1);
    drop(answers);
    until(|| seen.running.get() == 0).await;

    // What the origin sends without end it sends no more.
    let mut flooded = call(&channel, "Flood").await.unwrap();
    flooded.answer().await.unwrap();
    drop(flooded);
    until(|| seen.running.get() == 0).await;
    // Others go on.
    call(&channel, "Echo").await.unwrap().echo("b").await;
}

#[tokio::test]
async fn a_viewer_that_is_gone_ends_its_calls_and_no_others() {
    let (proxy, seen, channel) = start().await;
    let mut other = call(&channel, "Echo").await.unwrap();
    let mut viewer = raw(&proxy).await;
    let _answer = raw_call(&mut viewer, "Silent", &[], &[]).await;
    let leaving = tokio::spawn({
        let proxy = proxy.address;
        async move {
            let endpoint = Endpoint::from_shared(format!("http://{proxy}")).unwrap();
            let channel = endpoint.connect().await.unwrap();
            let _call = call(&channel, "Silent").await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    until(|| seen.running.get() == 3).await;
    leaving.abort();
    until(|| seen.running.get() == 2).await;
    other.echo("still here").await;
}

#[tokio::test]
async fn a_deadline_reaches_the_origin_which_keeps_it() {
    let (proxy, seen, channel) = start().await;
    let call = call_with(&channel, "Echo", |request| {
        request.set_timeout(Duration::from_secs(20));
    });
    call.await.unwrap().end().await.unwrap();
    let metadata = seen.metadata.lock().unwrap().clone();
    assert_eq!(metadata.get("grpc-timeout").unwrap(), "20000000u");

    let mut viewer = raw(&proxy).await;
    let start = Instant::now();
    let late = raw_call(&mut viewer, "Headless", &[("grpc-timeout", "300m")], &[]).await;
    let timed_out = late.headers()["grpc-status"].to_str().unwrap();
    // tonic says CANCELLED, others DEADLINE_EXCEEDED.
    assert!(matches!(timed_out, "1" | "4"), "{timed_out}");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(start.elapsed() < Duration::from_secs(10));
    until(|| seen.running.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_10_mib_pass_in_both_directions() {
    let (proxy, _seen, channel) = start().await;
    let mut call = call(&channel, "Echo").await.unwrap();
    call.echo("small").await;
    let idle = proxy.memory("VmRSS");
    let letters: Vec<u8> = (0..251).cycle().take(LARGE).collect();
    for _ in 0..3 {
        call.echo(letters.clone()).await;
    }
    call.end().await.unwrap();
    let grown = proxy.memory("VmHWM").saturating_sub(idle);
    println!("the proxy grew by {} KiB", grown >> 10);
    assert!(grown <= 16 * MIB as u64, "the proxy grew by {grown} bytes");
}

#[tokio::test]
async fn calls_that_are_alike_run_each_for_itself_and_nothing_of_them_is_stored() {
    let (_proxy, seen, channel) = start().await;
    // The origin answers neither before both are there.
    let together = || async {
        let mut call = call(&channel, "Together").await.unwrap();
        call.echo("the same").await;
        call.end().await.unwrap();
    };
    for calls in [2, 4] {
        tokio::join!(together(), together());
        assert_eq!(seen.calls.get(), calls);
    }
}

#[tokio::test]
async fn viewers_that_read_nothing_hold_up_no_other() {
    let (proxy, seen, channel) = start().await;
    call(&channel, "Echo").await.unwrap().end().await.unwrap();
    let idle = proxy.memory("VmRSS");
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(call(&channel, "Flood").await.unwrap());
    }
    let mut other = call(&connect(&proxy).await, "Echo").await.unwrap();
    let letters: Vec<u8> = (0..251).cycle().take(MIB).collect();
    for _ in 0..20 {
        other.echo(letters.clone()).await;
    }
    other.end().await.unwrap();
    assert_eq!(seen.running.get(), unread.len());
    let grown = proxy.memory("VmHWM").saturating_sub(idle);
    println!("the proxy grew by {} KiB", grown >> 10);
    assert!(grown <= 24 * MIB as u64, "the proxy grew by {grown} bytes");
}

/// h2 takes many small messages that wait for an attack.
#[tokio::test]
async fn small_messages_that_nobody_reads_do_not_end_the_calls_of_others() {
    let (proxy, seen, channel) = start().await;
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(call(&channel, "Drip").await.unwrap());
    }
    let mut other = call(&connect(&proxy).await, "Echo").await.unwrap();
    until(|| seen.dripped.get() == 8 * 1000).await;
    for _ in 0..20 {
        other.echo("a").await;
    }
    other.end().await.unwrap();
    for mut call in unread {
        for _ in 0..1000 {
            assert_eq!(call.answer().await.unwrap().unwrap(), "drop");
        }
    }
}

#[tokio::test]
async fn more_calls_run_at_once_than_the_origin_takes_over_one_connection() {
    let (origin, seen) = origin_of(Server::builder().max_concurrent_streams(20)).await;
    let proxy = proxy(origin).await;
    let channel = connect(&proxy).await;
    let mut calls = Vec::new();
    for _ in 0..150 {
        calls.push(call(&channel, "Echo").await.unwrap());
    }
    assert_eq!(seen.running.get(), calls.len());
    assert_eq!(proxy.connections(), 1 + 8);
    for call in &mut calls {
        call.echo("a").await;
    }
    for call in calls {
        call.end().await.unwrap();
    }
    until(|| seen.running.get() == 0).await;
}
