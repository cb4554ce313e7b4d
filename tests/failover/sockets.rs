//! Groups of origins over real sockets, each of which fails in its way.

use crate::{
    NINE, answered_by, criteria,
    raw::{OK, Peer, Server, serve},
    support::{text, within},
};
use bytes::Bytes;
use frontage::origin::{
    AnsweredBy, Failover, Origin, OriginBody, OriginFailure, OriginGroup, OriginProtocolPolicy,
    OriginService,
};
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};
use tower::ServiceExt;

const MILLIS: Duration = Duration::from_millis(1);

type Group = Failover<OriginService, OriginService>;

fn group(primary: Origin, secondary: &str, codes: impl IntoIterator<Item = u16>) -> Group {
    let secondary = Origin::url(secondary).unwrap();
    OriginGroup::new(primary, secondary, criteria(codes))
        .build()
        .unwrap()
}

async fn ask<B>(group: &Group, request: Request<B>) -> Response<OriginBody>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    within(group.clone().oneshot(request)).await.unwrap()
}

fn request(method: &str) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(method).uri("/a");
    request.body(Empty::new()).unwrap()
}

fn failure(response: &Response<OriginBody>) -> Option<OriginFailure> {
    response.extensions().get().copied()
}

/// Answers all requests.
async fn sound() -> Server {
    serve(|_, peer| peer.answer_all(OK)).await
}

/// Reads the head, sends this, and ends or holds the connection.
async fn sends(answer: &'static str, holds: bool) -> Server {
    serve(move |_, mut peer| async move {
        peer.head().await;
        peer.send(answer).await;
        if holds {
            peer.head().await;
        }
    })
    .await
}

/// An address that nobody listens on.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A listener that accepts nothing, with connections that fill its backlog.
async fn black_hole() -> (TcpListener, Vec<TcpStream>) {
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

fn at(address: SocketAddr) -> Origin {
    Origin::url(&format!("http://{address}")).unwrap()
}

/// That of the nine codes, exactly these have the secondary asked for what this primary does.
async fn counts_as(primary: Origin, expected: OriginFailure, codes: &[u16]) {
    let secondary = sound().await;
    for listed in NINE {
        let group = group(primary.clone(), &secondary.url(), [listed]);
        let before = secondary.seen.connections();
        let response = ask(&group, request("GET")).await;
        if codes.contains(&listed) {
            assert_eq!(answered_by(&response), AnsweredBy::Secondary, "{listed}");
            assert_eq!(failure(&response), None);
            assert_eq!(text(response.into_body()).await.unwrap(), "ok");
        } else {
            assert_eq!(answered_by(&response), AnsweredBy::Primary, "{listed}");
            assert_eq!(failure(&response), Some(expected));
            assert_eq!(response.status(), expected.status());
            assert_eq!(secondary.seen.connections(), before);
        }
    }
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let group = group(primary.clone(), &secondary.url(), NINE);
        let before = secondary.seen.connections();
        let response = ask(&group, request(method)).await;
        assert_eq!(answered_by(&response), AnsweredBy::Primary, "{method}");
        assert_eq!(failure(&response), Some(expected), "{method}");
        assert_eq!(secondary.seen.connections(), before);
    }
}

#[tokio::test]
async fn no_connection_counts_as_503() {
    counts_as(at(nobody().await), OriginFailure::Connect, &[503]).await;
}

#[tokio::test]
async fn no_connection_in_time_counts_as_503_and_504() {
    let (listener, _held) = black_hole().await;
    let primary = at(listener.local_addr().unwrap())
        .connection_timeout(100 * MILLIS)
        .connection_attempts(1);
    counts_as(primary, OriginFailure::ConnectTimeout, &[503, 504]).await;
}

#[tokio::test]
async fn no_tls_counts_as_502_and_503() {
    let plain = serve(|_, mut peer| async move {
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        // A reset would take back what was sent.
        peer.body(1).await;
    })
    .await;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let primary = Origin::url(&format!("https://{}", plain.address))
        .unwrap()
        .tls_config(Arc::new(tls))
        .connection_attempts(1);
    counts_as(primary, OriginFailure::Tls, &[502, 503]).await;
}

#[tokio::test]
async fn no_address_counts_as_502_and_503() {
    // No resolver sends such a name anywhere.
    let primary = Origin::host("a".repeat(64))
        .http_port(80)
        .protocol_policy(OriginProtocolPolicy::HttpOnly);
    counts_as(primary, OriginFailure::Dns, &[502, 503]).await;
}

#[tokio::test]
async fn no_answer_in_time_counts_as_504() {
    let silent = sends("", true).await;
    let primary = at(silent.address)
        .response_timeout(100 * MILLIS)
        .connection_attempts(1);
    counts_as(primary, OriginFailure::ResponseTimeout, &[504]).await;
    let primary = at(silent.address).response_completion_timeout(Some(100 * MILLIS));
    counts_as(primary, OriginFailure::CompletionTimeout, &[504]).await;
}

#[tokio::test]
async fn no_answer_or_none_that_can_be_read_counts_as_502() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    for (answer, expected) in [
        ("", OriginFailure::Closed),
        ("HTTP/1.1 200 OK\r\ncontent-le", OriginFailure::Closed),
        ("SSH-2.0-x\r\n\r\n", OriginFailure::InvalidResponse),
        (long.leak(), OriginFailure::HeaderTooBig),
    ] {
        let server = sends(answer, false).await;
        counts_as(at(server.address), expected, &[502]).await;
    }
}

#[tokio::test]
async fn what_no_origin_could_answer_is_never_the_secondarys() {
    let (primary, secondary) = (sound().await, sound().await);
    let group = group(at(primary.address), &secondary.url(), NINE);
    let request = Request::get("/").header("host", "a").header("host", "b");
    let response = ask(&group, request.body(Empty::<Bytes>::new()).unwrap()).await;
    assert_eq!(failure(&response), Some(OriginFailure::BadRequest));
    assert_eq!(answered_by(&response), AnsweredBy::Primary);
    assert_eq!(secondary.seen.connections(), 0);
}

#[tokio::test]
async fn a_status_of_the_primary_and_a_failure_with_the_same_status_are_two_things() {
    let secondary = sound().await;
    // No connection is a 502, and isn't failed over where 502 is listed; a 502 of its own is.
    let bad_gateway = sends(
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        true,
    )
    .await;
    let response = ask(
        &group(at(bad_gateway.address), &secondary.url(), [502]),
        request("GET"),
    )
    .await;
    assert_eq!(answered_by(&response), AnsweredBy::Secondary);
    let response = ask(
        &group(at(nobody().await), &secondary.url(), [502]),
        request("GET"),
    )
    .await;
    assert_eq!(answered_by(&response), AnsweredBy::Primary);
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn a_body_goes_to_the_primary_only() {
    let secondary = sound().await;
    let group = group(at(nobody().await), &secondary.url(), NINE);
    for method in ["GET", "POST"] {
        let request = Request::builder().method(method).uri("/");
        let response = ask(&group, request.body(Full::<Bytes>::from("body")).unwrap()).await;
        assert_eq!(failure(&response), Some(OriginFailure::Connect), "{method}");
    }
    assert_eq!(secondary.seen.connections(), 0);
}

#[tokio::test]
async fn when_both_fail_the_secondarys_failure_is_the_answer() {
    let silent = sends("", true).await;
    let secondary = Origin::url(&silent.url())
        .unwrap()
        .response_timeout(100 * MILLIS)
        .connection_attempts(1);
    let group = OriginGroup::new(at(nobody().await), secondary, criteria(NINE));
    let response = ask(&group.build().unwrap(), request("GET")).await;
    assert_eq!(failure(&response), Some(OriginFailure::ResponseTimeout));
    assert_eq!(answered_by(&response), AnsweredBy::Secondary);
    assert_eq!(silent.seen.heads().len(), 1);
}

#[tokio::test]
async fn a_primary_that_is_back_is_asked_by_the_next_request() {
    let secondary = sound().await;
    // No connection of this process to another address can take its port meanwhile.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let group = group(at(address), &secondary.url(), [503]);
    drop(listener);
    for _ in 0..3 {
        let response = ask(&group, request("GET")).await;
        assert_eq!(answered_by(&response), AnsweredBy::Secondary);
        let listener = TcpListener::bind(address).await.unwrap();
        let (response, ()) = tokio::join!(ask(&group, request("GET")), async {
            let (mut stream, _) = within(listener.accept()).await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        assert_eq!(answered_by(&response), AnsweredBy::Primary);
    }
}

#[tokio::test]
async fn the_failed_answer_holds_no_connection() {
    let (ended, end) = tokio::sync::watch::channel(false);
    let primary = serve(move |_, mut peer: Peer<TcpStream>| {
        let ended = ended.clone();
        async move {
            peer.head().await;
            peer.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 1000000000\r\n\r\n")
                .await;
            // More than nobody reads, until the other side lets go.
            while peer.stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            ended.send_replace(true);
        }
    })
    .await;
    let secondary = serve(move |_, mut peer| {
        let mut end = end.clone();
        async move {
            peer.head().await;
            end.wait_for(|ended| *ended).await.unwrap();
            peer.send(OK).await;
            peer.head().await;
        }
    })
    .await;
    let group = group(at(primary.address), &secondary.url(), [503]);
    let response = ask(&group, request("GET")).await;
    assert_eq!(answered_by(&response), AnsweredBy::Secondary);
    assert_eq!(text(response.into_body()).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_body_that_fails_is_the_viewers_to_see() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab";
    let (primary, secondary) = (sends(short, false).await, sound().await);
    let group = group(at(primary.address), &secondary.url(), NINE);
    let response = ask(&group, request("GET")).await;
    assert_eq!(response.status(), 200);
    text(response.into_body()).await.unwrap_err();
    assert_eq!(secondary.seen.connections(), 0);
}

#[tokio::test]
async fn each_member_is_asked_by_its_own_settings() {
    let failing = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
    let (first, second) = (sends(failing, true).await, sound().await);
    let primary = Origin::url(&format!("{}/one", first.url())).unwrap();
    let primary = primary.custom_header("x-origin-verify", "first").unwrap();
    let secondary = Origin::url(&format!("{}/two", second.url())).unwrap();
    let secondary = secondary.custom_header("x-other", "second").unwrap();
    let group = OriginGroup::new(primary, secondary, criteria([500]))
        .build()
        .unwrap();
    let request = Request::get("/a?b").header("range", "bytes=0-1");
    let response = ask(&group, request.body(Empty::<Bytes>::new()).unwrap()).await;
    assert_eq!(response.status(), 200);
    let head = |server: &Server| server.seen.heads().concat().to_ascii_lowercase();
    for (server, path, field, other) in [
        (&first, "/one/a?b", "x-origin-verify: first", "x-other"),
        (&second, "/two/a?b", "x-other: second", "x-origin-verify"),
    ] {
        let head = head(server);
        assert!(
            head.starts_with(&format!("get {path} http/1.1\r\n")),
            "{head}"
        );
        assert!(
            head.contains(&format!("host: {}\r\n", server.address)),
            "{head}"
        );
        assert!(head.contains(field) && !head.contains(other), "{head}");
        assert!(head.contains("range: bytes=0-1"), "{head}");
        assert_eq!(head.matches("via: ").count(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_dead_primary_costs_its_connection_timeout_and_little_more() {
    let (listener, _held) = black_hole().await;
    let secondary = sound().await;
    let primary = at(listener.local_addr().unwrap())
        .connection_timeout(Duration::from_secs(1))
        .connection_attempts(1);
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let group = group(primary.clone(), &secondary.url(), [503]);
        let start = Instant::now();
        let response = ask(&group, request("GET")).await;
        assert_eq!(text(response.into_body()).await.unwrap(), "ok");
        let took = start.elapsed();
        assert!(took >= 1_000 * MILLIS, "{took:?}");
        least = least.min(took);
    }
    // The best of three, since other tests run meanwhile.
    assert!(least <= 1_200 * MILLIS, "{least:?}");
}

#[tokio::test]
async fn a_websocket_opens_at_the_secondary() {
    let secondary = serve(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        assert!(head.contains("upgrade: websocket"), "{head}");
        peer.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello")
            .await;
        assert_eq!(peer.body(5).await, b"there");
        peer.send("!").await;
    })
    .await;
    let group = group(at(nobody().await), &secondary.url(), [503]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(group))
            .with_upgrades()
            .await
    });
    let mut viewer = TcpStream::connect(address).await.unwrap();
    viewer
        .write_all(
            b"GET /chat HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nthere",
        )
        .await
        .unwrap();
    let mut got = String::new();
    within(viewer.read_to_string(&mut got)).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 101 "), "{got}");
    assert!(got.ends_with("\r\n\r\nhello!"), "{got}");
}

#[test]
fn a_group_of_what_cant_be_built_isnt_built() {
    let good = || Origin::url("http://h").unwrap();
    let bad = || good().connection_attempts(0);
    for (primary, secondary) in [(good(), bad()), (bad(), good())] {
        let built = OriginGroup::new(primary, secondary, criteria([500])).build();
        assert_eq!(built.unwrap_err().setting(), "connection_attempts");
    }
}
