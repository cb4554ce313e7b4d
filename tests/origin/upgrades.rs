//! WebSockets, and what else asks for another protocol.

use super::*;
use crate::raw::{OK, serve};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const OPENING: &str = "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A viewer's connection to a server in front of an origin.
async fn viewer(service: OriginService) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades()
            .await
    });
    TcpStream::connect(address).await.unwrap()
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn after_a_101_bytes_go_both_ways_and_so_does_the_end() {
    let server = serve(|_, mut peer| async move {
        let asked = peer.head().await.unwrap().to_ascii_lowercase();
        assert!(asked.contains("upgrade: websocket") && asked.contains("connection: upgrade"));
        assert!(
            asked.contains(
                "sec-websocket-key: dghliHnhbxbszsbub25jzq=="
                    .to_ascii_lowercase()
                    .as_str()
            )
        );
        peer.send(ACCEPTED).await;
        let (mut read, mut write) = peer.stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    })
    .await;
    let mut viewer = viewer(origin(&server.url()).build().unwrap()).await;
    viewer.write_all(OPENING.as_bytes()).await.unwrap();
    let answer = head(&mut viewer).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let sent: Vec<u8> = (0..(1 << 20))
        .map(|at: u32| at.to_le_bytes()[at as usize % 3])
        .collect();
    let (mut read, mut write) = viewer.split();
    let writing = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let reading = tokio::time::timeout(10_000 * MILLIS, read.read_to_end(&mut got));
    let ((), read) = tokio::join!(writing, reading);
    read.expect("it does not end").unwrap();
    assert!(got == sent);
}

#[tokio::test]
async fn a_websocket_that_is_still_for_too_long_is_closed() {
    let server = serve(|_, mut peer| async move {
        peer.head().await;
        peer.send(ACCEPTED).await;
        peer.head().await;
    })
    .await;
    let origin = origin(&server.url()).websocket_idle_timeout(300 * MILLIS);
    let mut viewer = viewer(origin.build().unwrap()).await;
    viewer.write_all(OPENING.as_bytes()).await.unwrap();
    head(&mut viewer).await;
    let start = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), viewer.read_to_end(&mut rest)).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))));
    assert!(start.elapsed() >= 250 * MILLIS);
}

#[tokio::test]
async fn a_websocket_is_still_when_its_origin_is_whatever_the_viewer_says() {
    for origin_speaks in [true, false] {
        let server = serve(move |_, mut peer| async move {
            peer.head().await;
            peer.send(ACCEPTED).await;
            for _ in 0..10 {
                tokio::time::sleep(100 * MILLIS).await;
                if origin_speaks {
                    peer.send("a").await;
                }
            }
        })
        .await;
        let origin = origin(&server.url()).websocket_idle_timeout(400 * MILLIS);
        let mut viewer = viewer(origin.build().unwrap()).await;
        viewer.write_all(OPENING.as_bytes()).await.unwrap();
        head(&mut viewer).await;
        let (mut read, mut write) = viewer.split();
        let speak = async {
            for _ in 0..10 {
                tokio::time::sleep(100 * MILLIS).await;
                if origin_speaks || write.write_all(b"a").await.is_err() {
                    return;
                }
            }
        };
        let mut came = Vec::new();
        let (_, _closed) = tokio::join!(speak, read.read_to_end(&mut came));
        let expected = if origin_speaks { "aaaaaaaaaa" } else { "" };
        assert_eq!(String::from_utf8(came).unwrap(), expected);
    }
}

#[tokio::test]
async fn an_origin_may_refuse_and_others_protocols_are_not_asked_for() {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    for opening in [
        OPENING.to_owned(),
        OPENING.replace("websocket\r\n", "h2c\r\n"),
        OPENING
            .replace("GET", "POST")
            .replace("\r\nhost", "\r\ncontent-length: 0\r\nhost"),
    ] {
        let mut viewer = viewer(origin(&server.url()).build().unwrap()).await;
        viewer.write_all(opening.as_bytes()).await.unwrap();
        assert!(head(&mut viewer).await.starts_with("HTTP/1.1 200 "));
    }
    let heads = server.seen.heads();
    assert!(heads[0].contains("upgrade: websocket"));
    assert!(!heads[1].contains("upgrade") && !heads[2].contains("upgrade"));
}

/// Without the viewer's connection there is nothing to join the origin's with.
#[tokio::test]
async fn a_101_that_nobody_can_take_is_a_502() {
    let server = serve(|_, mut peer| async move {
        peer.head().await;
        peer.send(ACCEPTED).await;
        peer.head().await;
    })
    .await;
    let service = origin(&server.url()).build().unwrap();
    let opening = request(
        "GET",
        "/chat",
        &[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "a"),
        ],
    );
    assert_eq!(
        failure(&ask(&service, opening).await),
        Some(OriginFailure::InvalidResponse)
    );
}
