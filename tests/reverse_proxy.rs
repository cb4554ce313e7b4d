//! The `reverse_proxy` example by its command line: what its flags do, and what passes through it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "support/proxy.rs"]
mod process;
#[path = "origin/raw.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod raw;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use process::Process;
use raw::{OK, Seen, Server, serve};
use std::{convert::Infallible, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};

struct Proxy(Process);

impl Proxy {
    async fn start(arguments: &str) -> Self {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        Self(Process::run(&arguments).await)
    }

    /// Status and body, and how long it took.
    async fn get(&self, path: &str) -> (u16, String, Duration) {
        self.get_of("www.example.com", path).await
    }

    async fn get_of(&self, host: &str, path: &str) -> (u16, String, Duration) {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::get(format!("http://{}{path}", self.0.address))
            .header("host", host)
            .header("x-forwarded-for", "192.0.2.1")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let start = Instant::now();
        let asking = tokio::time::timeout(Duration::from_secs(20), client.request(request));
        let response = asking.await.expect("it hangs").unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.into()).unwrap();
        (status, body, start.elapsed())
    }
}

/// Answers each request with this.
async fn answers(answer: &'static str) -> Server {
    serve(move |_, peer| peer.answer_all(answer)).await
}

const UNAVAILABLE: &str = "HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno";
const NOT_FOUND: &str = "HTTP/1.1 404 No\r\ncontent-length: 4\r\n\r\nnone";

#[tokio::test]
async fn an_origin_has_a_path_and_hears_where_the_request_comes_from() {
    let origin = answers(OK).await;
    let proxy = Proxy::start(&format!("--origin {}/base/", origin.url())).await;
    assert_eq!(proxy.get("/a?b").await.0, 200);
    let heads = origin.seen.heads();
    assert!(
        heads[0].starts_with("GET /base/a?b HTTP/1.1\r\n"),
        "{heads:?}"
    );
    let forwarded = "\r\nx-forwarded-for: 192.0.2.1,127.0.0.1\r\n";
    assert!(heads[0].contains(forwarded), "{heads:?}");
}

#[tokio::test]
async fn the_secondary_answers_what_is_listed() {
    for (primary, failover, body) in [
        (UNAVAILABLE, "", "ok"),
        (UNAVAILABLE, "--failover 404,500", "no"),
        (NOT_FOUND, "", "none"),
        (NOT_FOUND, "--failover 500,404", "ok"),
    ] {
        let (primary, secondary) = (answers(primary).await, answers(OK).await);
        let urls = format!("--origin {} --secondary {}", primary.url(), secondary.url());
        let proxy = Proxy::start(&format!("{urls}/copy {failover}")).await;
        assert_eq!(proxy.get("/a").await.1, body, "{failover}");
        let heads = secondary.seen.heads();
        let is_asked = heads.iter().any(|head| head.starts_with("GET /copy/a "));
        assert_eq!(is_asked, body == "ok", "{heads:?}");
    }
}

#[tokio::test]
async fn an_origin_may_be_silent_for_so_long_so_often() {
    let silent = || {
        serve(|_, mut peer| async move {
            peer.head().await;
            peer.head().await;
        })
    };
    let (primary, secondary) = (silent().await, silent().await);
    let urls = format!("--origin {} --secondary {}", primary.url(), secondary.url());
    let flags = "--response-timeout 0.3 --attempts 2 --connect-timeout 8";
    let proxy = Proxy::start(&format!("{urls} {flags}")).await;
    let (status, _, took) = proxy.get("/a").await;
    assert_eq!(status, 504);
    assert!(
        took >= Duration::from_millis(1_200) && took < Duration::from_secs(4),
        "{took:?}"
    );
    for origin in [primary, secondary] {
        assert_eq!(origin.seen.heads().len(), 2);
    }
}

#[tokio::test]
async fn what_would_be_one_fetch_too_many_is_shed_at_once() {
    let silent = serve(|_, mut peer| async move {
        peer.head().await;
        peer.head().await;
    });
    let origin = silent.await;
    let flags = "--max-fetches 1 --shed-after 0";
    let proxy = Proxy::start(&format!("--origin {} {flags}", origin.url())).await;
    let first = proxy.get("/a");
    let second = async {
        // The first is with the origin by then.
        while origin.seen.heads().is_empty() {
            tokio::task::yield_now().await;
        }
        proxy.get("/b").await
    };
    tokio::select! {
        first = first => panic!("the origin is silent: {first:?}"),
        (status, _, took) = second => {
            assert_eq!(status, 503);
            assert!(took < Duration::from_secs(4), "{took:?}");
        }
    }
    assert_eq!(origin.seen.heads().len(), 1);
}

/// A listener that accepts nothing, with connections that fill its backlog.
async fn black_hole() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let wait = Duration::from_millis(200);
    while let Ok(connected) = tokio::time::timeout(wait, TcpStream::connect(address)).await {
        held.push(connected.unwrap());
        assert!(held.len() < 100, "the backlog doesn't fill");
    }
    (listener, held)
}

#[tokio::test]
async fn an_origin_behind_a_wall_costs_the_connect_timeout() {
    let (listener, _held) = black_hole().await;
    let address = listener.local_addr().unwrap();
    let flags = "--connect-timeout 0.5 --attempts 1 --response-timeout 8";
    let alone = Proxy::start(&format!("--origin http://{address} {flags}")).await;
    let (status, _, took) = alone.get("/a").await;
    assert_eq!(status, 504);
    assert!(
        took >= Duration::from_millis(500) && took < Duration::from_secs(2),
        "{took:?}"
    );

    let secondary = answers(OK).await;
    let urls = format!("--origin http://{address} --secondary {}", secondary.url());
    let both = Proxy::start(&format!("{urls} {flags}")).await;
    let (status, body, took) = both.get("/a").await;
    assert_eq!((status, body.as_str()), (200, "ok"));
    assert!(
        took >= Duration::from_millis(500) && took < Duration::from_secs(2),
        "{took:?}"
    );
}

#[tokio::test]
async fn a_web_socket_passes() {
    const ACCEPTED: &str =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let origin = serve(|_, mut peer| async move {
        peer.head().await;
        peer.send(ACCEPTED).await;
        let (mut read, mut write) = peer.stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    })
    .await;
    let second = answers(OK).await;
    let urls = format!("--origin {} --secondary {}", origin.url(), second.url());
    let proxy = Proxy::start(&urls).await;
    let mut viewer = TcpStream::connect(proxy.0.address).await.unwrap();
    let opening = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n";
    viewer.write_all(opening.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(viewer.read_u8().await.unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        head.escape_ascii()
    );
    let sent = vec![b'x'; 1 << 20];
    let (mut read, mut write) = viewer.split();
    let writing = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let both = async { tokio::join!(writing, read.read_to_end(&mut got)) };
    let ((), read) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap();
    read.unwrap();
    assert!(got == sent);
}

/// Answers by HTTP/2 alone, with the message and a trailer.
async fn grpc() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request: Request<Incoming>| async move {
                let te = request.headers().get("te").cloned();
                assert_eq!(te.unwrap(), "trailers");
                let received = request.into_body().collect().await.unwrap().to_bytes();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let frames = [
                    Ok::<_, Infallible>(Frame::data(received)),
                    Ok(Frame::trailers(trailers)),
                ];
                let body = StreamBody::new(futures_util::stream::iter(frames));
                Ok::<_, Infallible>(Response::new(body))
            });
            let server = auto::Builder::new(TokioExecutor::new()).http2_only();
            tokio::spawn(async move {
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    address
}

#[tokio::test]
async fn grpc_passes_by_http_2_on_both_sides() {
    let origin = grpc().await;
    let proxy = Proxy::start(&format!("--origin http://{origin}")).await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    for _ in 0..2 {
        let request = Request::post(format!("http://{}/package.Service/Method", proxy.0.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::<Bytes>::from("message"))
            .unwrap();
        let asking = tokio::time::timeout(Duration::from_secs(20), client.request(request));
        let response = asking.await.expect("it hangs").unwrap();
        let whole = response.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(whole.to_bytes(), "message");
    }
}

#[tokio::test]
async fn a_shield_has_what_another_edge_fetched_and_is_done_without_when_it_is_gone() {
    let fresh = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nok";
    let origin = answers(fresh).await;
    let shield = Proxy::start(&format!("--origin {}", origin.url())).await;
    let flags = format!(
        "--origin {} --shield http://{}",
        origin.url(),
        shield.0.address
    );
    let edges = [Proxy::start(&flags).await, Proxy::start(&flags).await];
    for edge in &edges {
        assert_eq!(edge.get("/a").await.1, "ok");
    }
    assert_eq!(origin.seen.heads().len(), 1);
    drop(shield);
    assert_eq!(edges[0].get("/b").await.1, "ok");
    let heads = origin.seen.heads();
    assert!(heads[1].starts_with("GET /b "), "{heads:?}");
}

#[tokio::test]
async fn an_edge_and_a_shield_are_told_apart_by_their_names() {
    let fresh = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nok";
    let origin = answers(fresh).await;
    let shield = Proxy::start(&format!("--origin {} --name middle", origin.url())).await;
    let flags = format!(
        "--origin {} --shield http://{}",
        origin.url(),
        shield.0.address
    );
    let edge = Proxy::start(&flags).await;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let asked = client.request(
        Request::get(format!("http://{}/a", edge.0.address))
            .body(Empty::<Bytes>::new())
            .unwrap(),
    );
    let response = tokio::time::timeout(Duration::from_secs(20), asked).await;
    let response = response.expect("it hangs").unwrap();
    let said: Vec<_> = response.headers().get_all("cache-status").iter().collect();
    let said = said.iter().map(|line| line.to_str().unwrap());
    let said = said.collect::<Vec<_>>().join(", ");
    assert!(
        said.starts_with("middle; ") && said.contains(", frontage; "),
        "{said}"
    );
}

/// Passes each connection on to an address that is told later, and counts the requests.
async fn counted(to: tokio::sync::watch::Receiver<Option<SocketAddr>>) -> (SocketAddr, Seen) {
    let server = serve(move |_, mut peer| {
        let mut to = to.clone();
        async move {
            let address = to.wait_for(Option::is_some).await.unwrap().unwrap();
            let mut next = TcpStream::connect(address).await.unwrap();
            while let Some(head) = peer.head().await {
                next.write_all(head.as_bytes()).await.unwrap();
                let mut answer = vec![0; 4096];
                let read = next.read(&mut answer).await.unwrap();
                peer.send(&answer[..read]).await;
            }
        }
    })
    .await;
    (server.address, server.seen)
}

#[tokio::test]
async fn a_ring_of_two_ends_with_a_508() {
    for policy in ["default", "caching-optimized", "caching-disabled"] {
        let (tell, told) = tokio::sync::watch::channel(None);
        let (first_asks, by_first) = counted(told).await;
        let policy = format!("--policy {policy}");
        let first = Proxy::start(&format!("--origin http://{first_asks} {policy}")).await;
        let (_always, is_first) = tokio::sync::watch::channel(Some(first.0.address));
        let (second_asks, by_second) = counted(is_first).await;
        let second = Proxy::start(&format!("--origin http://{second_asks} {policy}")).await;
        tell.send_replace(Some(second.0.address));
        let asked = (0..20).map(|_| first.get("/a"));
        for (status, body, took) in futures_util::future::join_all(asked).await {
            assert_eq!((status, body.as_str()), (508, ""));
            assert!(took < Duration::from_secs(10), "{took:?}");
        }
        // Each passage of a viewer's request is one, or less where they are shared.
        let (out, back) = (by_first.heads().len(), by_second.heads().len());
        assert!((1..=20).contains(&out) && back <= out, "{out} {back}");
    }
}

#[tokio::test]
async fn a_ring_of_two_with_viewers_at_both_ends_at_once() {
    let ((tell_first, to_first), (tell_second, to_second)) = (
        tokio::sync::watch::channel(None),
        tokio::sync::watch::channel(None),
    );
    let ((first_asks, by_first), (second_asks, by_second)) =
        (counted(to_second).await, counted(to_first).await);
    let first = Proxy::start(&format!("--origin http://{first_asks}")).await;
    let second = Proxy::start(&format!("--origin http://{second_asks}")).await;
    // Each viewer asks for what the other proxy asks for, too: by the host that it puts in.
    let (of_first, of_second) = (second_asks.to_string(), first_asks.to_string());
    let asked = (0..40).map(|viewer| match viewer % 2 {
        0 => first.get_of(&of_first, "/a"),
        _ => second.get_of(&of_second, "/a"),
    });
    let answered = futures_util::future::join_all(asked);
    let opened = async {
        // Both have asked before either hears of the other.
        while by_first.connections() == 0 || by_second.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tell_first.send_replace(Some(first.0.address));
        tell_second.send_replace(Some(second.0.address));
    };
    for (status, body, took) in tokio::join!(answered, opened).0 {
        assert_eq!((status, body.as_str()), (508, ""));
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    let passages = by_first.heads().len() + by_second.heads().len();
    assert!((2..=80).contains(&passages), "{passages}");
}
