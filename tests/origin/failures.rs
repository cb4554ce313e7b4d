//! The spec's table of failures, each with a socket that fails in that way.

use super::*;
use crate::raw::{OK, Peer, Server, serve};
use http::StatusCode;
use http_body_util::Full;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::Instant,
};

/// What a failed request looks like: status, reason, a page of ours; and how long it took.
async fn fails(service: &OriginService, method: &str, expected: OriginFailure) -> Duration {
    let start = Instant::now();
    let response = ask(service, request(method, "/a", &[])).await;
    let took = start.elapsed();
    assert_eq!(failure(&response), Some(expected));
    assert_eq!(response.status(), expected.status());
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    let page = text(response).await.unwrap();
    assert_eq!(page.contains(&expected.to_string()), method != "HEAD");
    took
}

/// An address that nobody listens on.
async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A listener that accepts nothing, with connections that fill its backlog.
async fn black_hole() -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(connected) = tokio::time::timeout(200 * MILLIS, TcpStream::connect(address)).await
    {
        held.push(connected.unwrap());
        assert!(held.len() < 100, "the backlog doesn't fill");
    }
    (listener, held)
}

/// Reads the head, sends this, and holds the connection.
async fn sends(answer: impl Into<String>) -> Server {
    let answer = answer.into();
    serve(move |_, mut peer| {
        let answer = answer.clone();
        async move {
            peer.head().await;
            peer.send(answer).await;
            peer.head().await;
        }
    })
    .await
}

#[tokio::test]
async fn who_refuses_is_a_502() {
    let service = origin(&format!("http://{}", nobody().await))
        .build()
        .unwrap();
    for method in ["GET", "HEAD", "POST"] {
        let took = fails(&service, method, OriginFailure::Connect).await;
        assert!(took < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn attempts_to_connect_are_counted_for_every_method() {
    for (attempts, method) in [(1, "GET"), (3, "GET"), (3, "POST"), (5, "DELETE")] {
        let count = Arc::new(AtomicUsize::new(0));
        let connector = tower::service_fn({
            let count = count.clone();
            move |_: http::Uri| {
                count.fetch_add(1, Ordering::SeqCst);
                async { Err::<hyper_util::rt::TokioIo<TcpStream>, _>(std::io::Error::other("no")) }
            }
        });
        let service = Origin::connector("h", connector)
            .connection_attempts(attempts)
            .build()
            .unwrap();
        fails(&service, method, OriginFailure::Connect).await;
        assert_eq!(count.load(Ordering::SeqCst), attempts as usize);
    }
}

#[tokio::test]
async fn who_is_behind_a_wall_is_a_504_after_each_attempt_had_its_time() {
    let (listener, _held) = black_hole().await;
    let address = listener.local_addr().unwrap();
    for attempts in [1, 3] {
        let service = origin(&format!("http://{address}"))
            .connection_timeout(300 * MILLIS)
            .connection_attempts(attempts)
            .build()
            .unwrap();
        let took = fails(&service, "GET", OriginFailure::ConnectTimeout).await;
        let least = 300 * MILLIS * attempts;
        assert!(
            took >= least && took < least + Duration::from_secs(2),
            "{took:?}"
        );
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_a_502() {
    // No resolver sends such a name anywhere.
    let service = Origin::host("a".repeat(64))
        .http_port(80)
        .protocol_policy(frontage::origin::OriginProtocolPolicy::HttpOnly);
    fails(&service.build().unwrap(), "GET", OriginFailure::Dns).await;
}

#[tokio::test]
async fn a_connection_that_ends_before_its_answer_is_a_502_and_isnt_tried_again() {
    type End = fn(Peer<TcpStream>);
    let resets: End = Peer::reset;
    let closes: End = drop;
    for (sent, end) in [
        ("", resets),
        ("", closes),
        ("HTTP/1.1 200 OK\r\ncontent-le", resets),
        ("HTTP/1.1 200 OK\r\ncontent-le", closes),
        ("HTTP/1.1 100 Continue\r\n\r\n", closes),
    ] {
        for method in ["GET", "POST"] {
            let server = serve(move |_, mut peer| async move {
                peer.head().await;
                peer.send(sent).await;
                end(peer);
            })
            .await;
            let service = origin(&server.url()).build().unwrap();
            fails(&service, method, OriginFailure::Closed).await;
            assert_eq!(server.seen.connections(), 1, "{sent:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_502() {
    let long = |length| format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(length));
    let (long, longer) = (long(33_000), long(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    for (answer, expected) in [
        (
            "SSH-2.0-OpenSSH_9.9\r\n\r\n",
            OriginFailure::InvalidResponse,
        ),
        ("HTTP/1.1 2x0 OK\r\n\r\n", OriginFailure::InvalidResponse),
        (
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            OriginFailure::InvalidResponse,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            OriginFailure::InvalidResponse,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            OriginFailure::InvalidResponse,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            OriginFailure::InvalidResponse,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nx",
            OriginFailure::InvalidResponse,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx",
            OriginFailure::InvalidResponse,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: X-Compress;a=b\r\n\r\nx",
            OriginFailure::InvalidResponse,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: deflate\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            OriginFailure::InvalidResponse,
        ),
        (&long, OriginFailure::HeaderTooBig),
        (&longer, OriginFailure::HeaderTooBig),
        (&many, OriginFailure::HeaderTooBig),
    ] {
        let server = sends(answer).await;
        let service = origin(&server.url()).build().unwrap();
        fails(&service, "GET", expected).await;
        assert_eq!(server.seen.connections(), 1);
    }
}

#[tokio::test]
async fn a_transfer_coding_that_is_left_on_a_body_is_a_502_and_without_a_body_nothing() {
    let coded = |status| move || async move { (status, [("transfer-encoding", "gzip")], "coded") };
    let app = axum::Router::new()
        .route("/a", axum::routing::get(coded(StatusCode::OK)))
        .route("/304", axum::routing::get(coded(StatusCode::NOT_MODIFIED)));
    let in_process = Origin::service(app).build().unwrap();
    fails(&in_process, "GET", OriginFailure::InvalidResponse).await;
    let server = sends("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n").await;
    let over_http = origin(&server.url()).build().unwrap();
    let server =
        sends("HTTP/1.1 304 Not Modified\r\ntransfer-encoding: gzip, chunked\r\n\r\n").await;
    let confirming = origin(&server.url()).build().unwrap();
    for (service, method, path, expected) in [
        (&in_process, "HEAD", "/a", 200),
        (&in_process, "GET", "/304", 304),
        (&over_http, "HEAD", "/a", 200),
        (&confirming, "GET", "/a", 304),
    ] {
        let condition = ("if-none-match", "\"a\"");
        let answer = ask(service, request(method, path, &[condition])).await;
        assert_eq!(answer.status(), expected, "{method} {path}");
        assert!(!answer.headers().contains_key("transfer-encoding"));
    }
}

#[tokio::test]
async fn a_304_to_a_question_without_conditions_is_a_502() {
    let app = axum::Router::new().fallback(|| async { StatusCode::NOT_MODIFIED });
    let in_process = Origin::service(app).build().unwrap();
    let server = serve(|_, peer| peer.answer_all("HTTP/1.1 304 Not Modified\r\n\r\n")).await;
    let over_http = origin(&server.url()).build().unwrap();
    for service in [&in_process, &over_http] {
        fails(service, "GET", OriginFailure::InvalidResponse).await;
        fails(service, "HEAD", OriginFailure::InvalidResponse).await;
        for (method, condition) in [
            ("GET", ("if-none-match", "\"a\"")),
            (
                "HEAD",
                ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ),
            // What those mean by it is theirs.
            ("POST", ("x", "y")),
        ] {
            let answer = ask(service, request(method, "/a", &[condition])).await;
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{method}");
        }
    }
}

#[tokio::test]
async fn no_first_byte_is_a_504_and_only_get_and_head_are_tried_again() {
    for (method, tries) in [
        ("GET", 3),
        ("HEAD", 3),
        ("POST", 1),
        ("PUT", 1),
        ("OPTIONS", 1),
        ("DELETE", 1),
    ] {
        let server = sends("").await;
        let service = origin(&server.url())
            .response_timeout(200 * MILLIS)
            .build()
            .unwrap();
        let took = fails(&service, method, OriginFailure::ResponseTimeout).await;
        assert_eq!(server.seen.heads().len(), tries as usize, "{method}");
        let least = 200 * MILLIS * tries;
        assert!(
            took >= least && took < least + Duration::from_secs(2),
            "{took:?}"
        );
    }
}

#[tokio::test]
async fn a_second_try_is_answered() {
    let server = serve(|number, mut peer| async move {
        peer.head().await;
        if number == 1 {
            peer.send(OK).await;
        }
        peer.head().await;
    })
    .await;
    let service = origin(&server.url())
        .response_timeout(200 * MILLIS)
        .build()
        .unwrap();
    let response = ask(&service, get("/")).await;
    assert_eq!(text(response).await.unwrap(), "ok");
    assert_eq!(server.seen.connections(), 2);
}

#[tokio::test]
async fn an_upload_that_goes_on_is_not_too_late() {
    let server = serve(|_, mut peer| async move {
        peer.head().await;
        peer.body(6).await;
        peer.send(OK).await;
        peer.head().await;
    })
    .await;
    let reads = tower::service_fn(
        |request: Request<frontage::origin::RequestBody>| async move {
            let body = request.into_body().collect().await?.to_bytes();
            assert_eq!(body.len(), 6);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::new(Full::<Bytes>::from(
                "ok",
            )))
        },
    );
    for origin in [origin(&server.url()), Origin::service(reads)] {
        let service = origin.response_timeout(500 * MILLIS).build().unwrap();
        let (mut feed, body) = http_body_util::channel::Channel::<Bytes>::new(1);
        let request = Request::post("/")
            .header("content-length", "6")
            .body(body)
            .unwrap();
        let slow = async move {
            for _ in 0..6 {
                tokio::time::sleep(200 * MILLIS).await;
                feed.send_data(Bytes::from_static(b"x")).await.unwrap();
            }
        };
        let (response, ()) = tokio::join!(ask(&service, request), slow);
        assert_eq!(text(response).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_or_stands_still_is_aborted() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab";
    for (resets, holds) in [(true, false), (false, false), (false, true)] {
        let server = serve(move |_, mut peer| async move {
            peer.head().await;
            peer.send(HEAD).await;
            match (resets, holds) {
                (true, _) => {
                    tokio::time::sleep(100 * MILLIS).await;
                    peer.reset();
                }
                (_, true) => drop(peer.head().await),
                _ => {}
            }
        })
        .await;
        let service = origin(&server.url())
            .response_timeout(500 * MILLIS)
            .build()
            .unwrap();
        let response = ask(&service, get("/")).await;
        assert_eq!(response.status(), 200);
        let error = text(response).await.unwrap_err();
        assert_eq!(error.is_stalled(), holds, "{error:?}");
        assert_eq!(server.seen.connections(), 1);
    }
}

#[tokio::test]
async fn all_of_it_may_take_only_so_long() {
    let server = serve(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        if head.starts_with("GET /body") {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                .await;
            for _ in 0..100 {
                tokio::time::sleep(50 * MILLIS).await;
                peer.send("x").await;
            }
        }
        peer.head().await;
    })
    .await;
    let service = origin(&server.url())
        .response_completion_timeout(Some(400 * MILLIS))
        .build()
        .unwrap();
    let took = fails(&service, "GET", OriginFailure::CompletionTimeout).await;
    assert!(took >= 400 * MILLIS && took < Duration::from_secs(3));
    let start = Instant::now();
    let response = ask(&service, get("/body")).await;
    assert!(text(response).await.unwrap_err().is_stalled());
    assert!(start.elapsed() >= 400 * MILLIS && start.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_viewers_body_that_fails_is_a_400() {
    let server = serve(|_, mut peer| async move {
        peer.head().await;
        peer.body(100).await;
    })
    .await;
    let service = origin(&server.url()).build().unwrap();
    let (mut feed, body) = http_body_util::channel::Channel::<Bytes, std::io::Error>::new(1);
    let request = Request::post("/")
        .header("content-length", "6")
        .body(body)
        .unwrap();
    let broken = async {
        feed.send_data(Bytes::from_static(b"x")).await.unwrap();
        feed.abort(std::io::Error::other("gone"));
    };
    let (response, ()) = tokio::join!(ask(&service, request), broken);
    assert_eq!(failure(&response), Some(OriginFailure::RequestBody));
    for length in ["2", "6"] {
        let other = Request::post("/").header("content-length", length);
        let response = ask(&service, other.body(Full::from("abc")).unwrap()).await;
        assert_eq!(
            failure(&response),
            Some(OriginFailure::RequestBody),
            "{length}"
        );
    }
}

#[tokio::test]
async fn interim_answers_are_swallowed() {
    let server = sends(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let service = origin(&server.url()).build().unwrap();
    let response = ask(&service, get("/")).await;
    assert!(!response.headers().contains_key("link"));
    assert_eq!(text(response).await.unwrap(), "ok");
}

#[tokio::test]
async fn an_origin_may_ask_for_a_body_once() {
    for (times, expected) in [(1, None), (2, Some(OriginFailure::InvalidResponse))] {
        let server = serve(move |_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 100 Continue\r\n\r\n".repeat(times))
                .await;
            peer.body(5).await;
            peer.send(OK).await;
            peer.head().await;
        })
        .await;
        let service = origin(&server.url()).build().unwrap();
        let upload = Request::post("/")
            .body(http_body_util::Full::from("hello"))
            .unwrap();
        assert_eq!(failure(&ask(&service, upload).await), expected);
    }
}

#[tokio::test]
async fn a_head_that_comes_in_pieces_is_in_time_as_long_as_they_come() {
    let server = serve(|_, mut peer| async move {
        peer.head().await;
        for piece in [
            "HTTP/1.1 200 OK\r\n",
            "x-a: b\r\n",
            "x-c: d\r\n",
            "content-length: 2\r\n",
            "\r\nok",
        ] {
            tokio::time::sleep(200 * MILLIS).await;
            peer.send(piece).await;
        }
        peer.head().await;
    })
    .await;
    let service = origin(&server.url())
        .response_timeout(600 * MILLIS)
        .build()
        .unwrap();
    assert_eq!(text(ask(&service, get("/")).await).await.unwrap(), "ok");
    assert_eq!(server.seen.heads().len(), 1);
}

#[tokio::test]
async fn a_service_that_changes_the_protocol_unasked_is_a_502() {
    let changes = tower::service_fn(|_: Request<frontage::origin::RequestBody>| async {
        let response = Response::builder().status(101).header("upgrade", "x");
        Ok::<_, std::convert::Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let service = Origin::service(changes).build().unwrap();
    let response = ask(&service, get("/")).await;
    assert_eq!(failure(&response), Some(OriginFailure::InvalidResponse));
}

#[tokio::test]
async fn a_viewer_that_sends_nothing_more_is_a_408_and_not_the_origins_fault() {
    let server = serve(|_, mut peer| async move {
        peer.head().await;
        peer.body(6).await;
    })
    .await;
    let service = origin(&server.url())
        .response_timeout(300 * MILLIS)
        .build()
        .unwrap();
    let (mut feed, body) = http_body_util::channel::Channel::<Bytes>::new(1);
    feed.send_data(Bytes::from_static(b"x")).await.unwrap();
    let request = Request::post("/").header("content-length", "6").body(body);
    let response = ask(&service, request.unwrap()).await;
    assert_eq!(failure(&response), Some(OriginFailure::RequestTimeout));
    assert_eq!(response.status(), 408);
    drop(feed);
}

/// Serves one viewer by hyper, who gets all up to the end.
async fn viewer_of<S, B>(service: S) -> String
where
    S: tower::Service<Request<hyper::body::Incoming>, Response = Response<B>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    let (mut viewer, far) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move {
        let service = hyper_util::service::TowerToHyperService::new(service);
        hyper::server::conn::http1::Builder::new()
            .serve_connection(hyper_util::rt::TokioIo::new(far), service)
            .await
    });
    let asked = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut viewer, asked)
        .await
        .unwrap();
    let mut came = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut viewer, &mut came);
    let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
    read.expect("it does not end").unwrap();
    String::from_utf8(came).unwrap()
}

/// hyper drops what it has not sent yet, the head of the response too, when a body fails.
#[tokio::test]
async fn what_came_before_a_body_was_cut_off_reaches_the_viewer() {
    #[derive(Clone)]
    struct Cut;
    impl<B> tower::Service<Request<B>> for Cut {
        type Response = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<B>) -> Self::Future {
            let frames = [
                Ok(http_body::Frame::data(Bytes::from("hello"))),
                Err(std::io::Error::other("cut")),
            ];
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            std::future::ready(Ok(Response::new(body.boxed_unsync())))
        }
    }
    let store = frontage::MemoryStore::new(1 << 20);
    let cached = tower::Layer::layer(&frontage::CacheLayer::new(store), Cut);
    let cuts = tower::service_fn(|request: Request<frontage::origin::RequestBody>| {
        tower::Service::call(&mut Cut, request)
    });
    let origin = Origin::service(cuts).build().unwrap();
    for came in [viewer_of(origin).await, viewer_of(cached).await] {
        assert!(came.starts_with("HTTP/1.1 200 OK\r\n"), "{came:?}");
        assert!(came.contains("hello"), "{came:?}");
    }
}
