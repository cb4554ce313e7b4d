//! WebSockets: messages there and back, and how they are closed.

use super::*;
use futures_util::{SinkExt, StreamExt, future::join};
use std::net::SocketAddr;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        Error, Message, Utf8Bytes,
        client::IntoClientRequest,
        handshake::{
            derive_accept_key,
            server::{ErrorResponse, Request, Response},
        },
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// How a connection ended at the origin.
type Ends = mpsc::UnboundedReceiver<Option<CloseFrame>>;

/// Sends each message back. `leave` has it close; it speaks `chat` where that is asked for.
async fn echo() -> (SocketAddr, Ends) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ended, ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let ended = ended.clone();
            tokio::spawn(async move { ended.send(echo_all(stream).await) });
        }
    });
    (address, ends)
}

#[allow(clippy::result_large_err, reason = "the callback's type says so")]
fn choose(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if let Some(protocols) = request.headers().get("sec-websocket-protocol") {
        assert_eq!(protocols, "soap, chat");
        let chosen = "chat".parse().unwrap();
        response
            .headers_mut()
            .insert("sec-websocket-protocol", chosen);
    }
    Ok(response)
}

async fn echo_all(stream: TcpStream) -> Option<CloseFrame> {
    let mut socket = accept_hdr_async(stream, choose).await.unwrap();
    let mut end = None;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Close(frame) => end = frame,
            Message::Text(text) if text == "leave" => {
                let leaving = Message::Close(Some(close(CloseCode::Away, "for lunch")));
                socket.send(leaving).await.unwrap();
            }
            message if message.is_text() || message.is_binary() => {
                socket.send(message).await.unwrap();
            }
            _ => {}
        }
    }
    end
}

fn close(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    }
}

/// Opens one, and looks at the head.
async fn open(proxy: &Process) -> WebSocketStream<TcpStream> {
    let mut request = format!("ws://{}/chat?a=b", proxy.address)
        .into_client_request()
        .unwrap();
    let protocols = "soap, chat".parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocols);
    let key = headers["sec-websocket-key"].clone();
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (socket, response) = within(client_async(request, stream)).await.unwrap();
    assert_eq!(response.status(), 101);
    let headers = response.headers();
    let accept = derive_accept_key(key.as_bytes());
    assert_eq!(headers["sec-websocket-accept"], accept.as_str());
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    assert_eq!(
        headers["connection"].to_str().unwrap().to_lowercase(),
        "upgrade"
    );
    assert_eq!(headers["upgrade"], "websocket");
    socket
}

/// Letters that repeat after a prime number of them, so that none is taken for another.
fn letters() -> Vec<u8> {
    const PRIME: usize = 4_194_301;
    let mut state = 1_u32;
    let letters = (0..PRIME + LARGEST).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 24) as u8 % 26
    });
    let mut letters: Vec<u8> = letters.collect();
    letters.copy_within(..LARGEST, PRIME);
    letters
}

const LARGEST: usize = 3 * MIB;
const SIZES: [usize; 10] = [1, 125, 126, 65_535, 65_536, MIB + 7, 0, 17, 4096, LARGEST];

/// The messages of 100 MiB, of text and of bytes in turn.
fn messages(letters: &[u8]) -> impl Iterator<Item = Message> {
    let period = letters.len() - LARGEST;
    let (mut at, mut number) = (0, 0);
    std::iter::from_fn(move || {
        if at >= 100 * MIB {
            return None;
        }
        let size = SIZES[number % SIZES.len()];
        let letters = letters[at % period..][..size].to_vec();
        at += size;
        number += 1;
        Some(match number % 3 {
            0 => Message::text(String::from_utf8(letters).unwrap()),
            _ => Message::binary(letters),
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_mib_go_there_and_back_at_once_in_messages_of_all_sizes() {
    let (origin, mut ends) = echo().await;
    let proxy = proxy(origin).await;
    let (mut write, mut read) = open(&proxy).await.split();
    let idle = proxy.memory("VmRSS");
    let letters = letters();
    let writing = async {
        for message in messages(&letters) {
            write.send(message).await.unwrap();
        }
        let done = close(CloseCode::Library(4001), "that is all");
        write.send(Message::Close(Some(done))).await.unwrap();
    };
    let reading = async {
        let mut bytes = 0;
        for sent in messages(&letters) {
            let came = read.next().await.unwrap().unwrap();
            assert!(
                came == sent,
                "other than what was sent, after {bytes} bytes"
            );
            bytes += came.len();
        }
        assert!(bytes >= 100 * MIB);
        match read.next().await {
            Some(Ok(Message::Close(Some(frame)))) => frame,
            other => panic!("{other:?}"),
        }
    };
    let start = tokio::time::Instant::now();
    let ((), closed) = within(join(writing, reading)).await;
    let took = start.elapsed();
    assert_eq!(closed.code, CloseCode::Library(4001));
    let seen = within(ends.recv()).await.unwrap();
    assert_eq!(seen, Some(close(CloseCode::Library(4001), "that is all")));
    assert!(within(read.next()).await.is_none());
    drop((read, write));

    let grown = proxy.memory("VmHWM") - idle;
    println!(
        "200 MiB in {took:.1?}; the proxy grew by {} KiB",
        grown >> 10
    );
    assert!(grown <= 4 * MIB as u64, "the proxy grew by {grown} bytes");
    until(|| proxy.connections() == 0).await;
}

#[tokio::test]
async fn whoever_closes_the_other_sees_the_code_and_the_reason() {
    let (origin, mut ends) = echo().await;
    let proxy = proxy(origin).await;

    let mut viewer = open(&proxy).await;
    let done = close(CloseCode::Iana(3000), "done");
    viewer.close(Some(done.clone())).await.unwrap();
    assert_eq!(within(ends.recv()).await.unwrap(), Some(done.clone()));
    let echoed = within(viewer.next()).await.unwrap().unwrap();
    assert_eq!(echoed, Message::Close(Some(done)));
    assert!(within(viewer.next()).await.is_none());
    drop(viewer);

    let mut viewer = open(&proxy).await;
    viewer.send(Message::text("leave")).await.unwrap();
    let left = within(viewer.next()).await.unwrap().unwrap();
    let away = close(CloseCode::Away, "for lunch");
    assert_eq!(left, Message::Close(Some(away.clone())));
    // The answer to it goes back, and only then the origin ends the connection.
    match within(viewer.next()).await {
        None | Some(Err(Error::ConnectionClosed)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(within(ends.recv()).await.unwrap(), Some(away));
    drop(viewer);
    until(|| proxy.connections() == 0).await;
}

#[tokio::test]
async fn many_are_open_at_once_and_none_hears_another() {
    let (origin, _ends) = echo().await;
    let proxy = proxy(origin).await;
    let mut viewers = Vec::new();
    for _ in 0..50 {
        viewers.push(open(&proxy).await);
    }
    assert_eq!(proxy.connections(), 100);
    for (number, viewer) in viewers.iter_mut().enumerate() {
        viewer
            .send(Message::text(number.to_string()))
            .await
            .unwrap();
    }
    for (number, viewer) in viewers.iter_mut().enumerate() {
        let came = within(viewer.next()).await.unwrap().unwrap();
        assert_eq!(came, Message::text(number.to_string()));
    }
    drop(viewers);
    until(|| proxy.connections() == 0).await;
}
