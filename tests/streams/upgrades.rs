//! Upgrades by the byte: those that are refused, and how joined connections end.

use super::*;
use crate::raw::{OK, Peer, Seen, Server, serve};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

const OPENING: &str = "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const GET: &str = "GET /after HTTP/1.1\r\nhost: h\r\n\r\n";

type Viewer = Peer<TcpStream>;

async fn connect(proxy: &Process) -> Viewer {
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    Peer::new(stream, Seen::default())
}

/// Opens a WebSocket.
async fn open(proxy: &Process) -> Viewer {
    let mut viewer = connect(proxy).await;
    viewer.send(OPENING).await;
    let head = within(viewer.head()).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    viewer
}

/// All that still comes.
async fn rest(peer: &mut Viewer) -> String {
    String::from_utf8(within(peer.body(usize::MAX)).await).unwrap()
}

/// An origin that accepts a WebSocket, then gives the connection to the test.
async fn given() -> (Server, tokio::sync::mpsc::UnboundedReceiver<Viewer>) {
    let (give, given) = tokio::sync::mpsc::unbounded_channel();
    let server = serve(move |_, mut peer| {
        let give = give.clone();
        async move {
            peer.head().await;
            peer.send(ACCEPTED).await;
            drop(give.send(peer));
        }
    })
    .await;
    (server, given)
}

#[tokio::test]
async fn a_refusal_is_an_answer_like_any_and_the_connection_goes_on() {
    const REFUSALS: [&str; 3] = [
        "HTTP/1.1 403 Forbidden\r\nx-why: no\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 426 Upgrade Required\r\nupgrade: other/1\r\nconnection: upgrade\r\n\
            content-length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nno",
    ];
    for refusal in REFUSALS {
        let server = serve(move |_, mut peer| async move {
            while let Some(head) = peer.head().await {
                let is_upgrade = head.contains("upgrade: websocket");
                peer.send(if is_upgrade { refusal } else { OK }).await;
            }
        })
        .await;
        let proxy = proxy(server.address).await;
        let mut viewer = connect(&proxy).await;
        for _ in 0..2 {
            viewer.send(OPENING).await;
            let head = within(viewer.head()).await.unwrap();
            assert!(head.starts_with(&refusal[..12]), "{head}");
            assert!(!head.contains("upgrade:"), "{head}");
            assert_eq!(within(viewer.body(2)).await, b"no");
            viewer.send(GET).await;
            let head = within(viewer.head()).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            assert_eq!(within(viewer.body(2)).await, b"ok");
        }
        let heads = server.seen.heads();
        let asked = |path| heads.iter().filter(|head| head.contains(path)).count();
        assert_eq!(asked("/chat"), 2, "nothing of it is stored");
        assert_eq!(server.seen.connections(), 1, "the origin's goes on, too");
    }
}

#[tokio::test]
async fn another_protocol_is_not_asked_for() {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    let proxy = proxy(server.address).await;
    let openings = [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
        "connection: upgrade\r\nupgrade: tls/1.0",
        "connection: upgrade\r\nupgrade: websockets\r\nsec-websocket-key: a",
        "connection: upgrade\r\nupgrade: websocket",
        "connection: close\r\nupgrade: websocket\r\nsec-websocket-key: a",
        "upgrade: websocket\r\nsec-websocket-key: a",
    ];
    for fields in openings {
        let mut viewer = connect(&proxy).await;
        let asking = format!("GET /a HTTP/1.1\r\nhost: h\r\n{fields}\r\n\r\n");
        viewer.send(asking).await;
        let head = within(viewer.head()).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{fields}: {head}");
        assert_eq!(within(viewer.body(2)).await, b"ok");
    }
    let mut viewer = connect(&proxy).await;
    viewer
        .send(
            OPENING
                .replacen("GET", "POST", 1)
                .replace("13\r\n", "13\r\ncontent-length: 0\r\n"),
        )
        .await;
    within(viewer.head()).await.unwrap();
    let heads = server.seen.heads();
    assert_eq!(heads.len(), openings.len() + 1);
    for head in heads {
        for name in ["\r\nupgrade:", "\r\nconnection:", "\r\nhttp2-settings:"] {
            assert!(!head.contains(name), "{head}");
        }
    }
}

#[tokio::test]
async fn what_is_not_the_protocol_that_was_asked_for_is_a_502() {
    let plain = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";
    let other =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\nxyz";
    let unnamed = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\nxyz";
    for (asked, answer) in [(plain, ACCEPTED), (OPENING, other), (OPENING, unnamed)] {
        let server = serve(move |_, peer| peer.answer_all(answer)).await;
        let proxy = proxy(server.address).await;
        let mut viewer = connect(&proxy).await;
        viewer.send(asked).await;
        let head = within(viewer.head()).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert!(!head.contains("upgrade"), "{head}");
    }
}

#[tokio::test]
async fn what_the_origin_says_of_its_connection_stays_there() {
    let server = serve(|_, peer| {
        let named = "connection: x-hop, Upgrade\r\nx-hop: 1\r\nkeep-alive: 5\r\nx-end: 2";
        let answer = ACCEPTED.replace("connection: Upgrade", named);
        async move { peer.answer_all(&answer).await }
    })
    .await;
    let proxy = proxy(server.address).await;
    let mut viewer = connect(&proxy).await;
    viewer.send(OPENING).await;
    let head = within(viewer.head()).await.unwrap().to_lowercase();
    for there in [
        "\r\nconnection: upgrade\r\n",
        "\r\nupgrade: websocket\r\n",
        "\r\nx-end: 2",
    ] {
        assert!(head.contains(there), "{head}");
    }
    assert!(
        !head.contains("x-hop") && !head.contains("keep-alive"),
        "{head}"
    );
}

#[tokio::test]
async fn what_comes_along_with_a_head_is_not_lost() {
    let server = serve(|_, mut peer| async move {
        peer.head().await;
        peer.send(format!("{ACCEPTED}first")).await;
        let came = peer.body(5).await;
        peer.send(came).await;
    })
    .await;
    let proxy = proxy(server.address).await;
    let mut viewer = connect(&proxy).await;
    viewer.send(format!("{OPENING}early")).await;
    within(viewer.head()).await.unwrap();
    assert_eq!(rest(&mut viewer).await, "firstearly");
}

#[tokio::test]
async fn one_way_may_end_and_the_other_goes_on() {
    let (server, mut given) = given().await;
    let proxy = proxy(server.address).await;
    for is_viewers in [true, false] {
        let viewer = open(&proxy).await;
        let origin = within(given.recv()).await.unwrap();
        let (mut ending, mut going_on) = match is_viewers {
            true => (viewer, origin),
            false => (origin, viewer),
        };
        ending.send("last").await;
        ending.stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut going_on).await, "last");
        for _ in 0..3 {
            going_on.send("more ").await;
            assert_eq!(within(ending.body(5)).await, b"more ");
        }
        // Nothing ends by itself.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(proxy.connections(), 2);
        going_on.send("end").await;
        going_on.stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut ending).await, "end");
        until(|| proxy.connections() == 0).await;
    }
}

#[tokio::test]
async fn a_reset_of_one_side_ends_the_other_at_once() {
    let (server, mut given) = given().await;
    let proxy = proxy(server.address).await;
    for is_viewers in [true, false] {
        let viewer = open(&proxy).await;
        let origin = within(given.recv()).await.unwrap();
        let (mut resetting, mut other) = match is_viewers {
            true => (viewer, origin),
            false => (origin, viewer),
        };
        // Both have been heard.
        resetting.send("a").await;
        assert_eq!(within(other.body(1)).await, b"a");
        other.send("b").await;
        assert_eq!(within(resetting.body(1)).await, b"b");
        resetting.reset();
        let start = Instant::now();
        assert_eq!(rest(&mut other).await, "");
        assert!(start.elapsed() < Duration::from_secs(5));
        until(|| proxy.connections() == 0).await;
    }
}

/// It has closed with bytes unread, which resets the connection: as many servers do.
#[tokio::test]
async fn what_an_origin_says_last_arrives_though_it_no_longer_listens() {
    let (server, mut given) = given().await;
    let proxy = proxy(server.address).await;
    for _ in 0..20 {
        let mut viewer = open(&proxy).await;
        let mut origin = within(given.recv()).await.unwrap();
        viewer.send("a").await;
        assert_eq!(within(origin.body(1)).await, b"a");
        viewer.send("unread").await;
        origin.stream.readable().await.unwrap();
        origin.send("goodbye").await;
        drop(origin);
        viewer.send("more").await;
        assert_eq!(rest(&mut viewer).await, "goodbye");
    }
    until(|| proxy.connections() == 0).await;
}

#[tokio::test]
async fn a_process_that_dies_ends_all_its_connections() {
    let (server, mut given) = given().await;
    let proxy = proxy(server.address).await;
    let mut viewer = open(&proxy).await;
    let mut origin = within(given.recv()).await.unwrap();
    drop(proxy);
    assert_eq!(rest(&mut viewer).await, "");
    assert_eq!(rest(&mut origin).await, "");
}

#[tokio::test]
async fn who_does_not_read_holds_up_who_writes_and_the_proxy_keeps_nothing() {
    let (server, mut given) = given().await;
    let proxy = proxy(server.address).await;
    for is_viewers in [true, false] {
        let viewer = open(&proxy).await;
        let origin = within(given.recv()).await.unwrap();
        let idle = proxy.memory("VmRSS");
        let (mut reading, mut writing) = match is_viewers {
            true => (viewer, origin),
            false => (origin, viewer),
        };
        let piece: Vec<u8> = (0..251).cycle().take(251 << 10).collect();
        let mut written = 0;
        // As much as the kernels take.
        while let Ok(sent) = timeout(
            Duration::from_millis(500),
            writing.stream.write(&piece[written % 251..]),
        )
        .await
        {
            written += sent.unwrap();
            assert!(written < 200 * MIB, "nobody holds it up");
        }
        let ending = async { writing.stream.shutdown().await.unwrap() };
        let counting = async {
            let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
            loop {
                match reading.stream.read(&mut buffer).await.unwrap() {
                    0 => break read,
                    some => {
                        let expected = &piece[read % 251..][..some];
                        assert!(buffer[..some] == *expected, "after {read} bytes");
                        read += some;
                    }
                }
            }
        };
        let ((), read) = within(futures_util::future::join(ending, counting)).await;
        assert_eq!(read, written);
        let grown = proxy.memory("VmHWM").saturating_sub(idle);
        println!(
            "{written} bytes were on their way; the proxy grew by {} KiB",
            grown >> 10
        );
        assert!(grown <= MIB as u64, "the proxy grew by {grown} bytes");
    }
}
