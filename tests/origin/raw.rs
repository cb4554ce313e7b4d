//! A server whose every byte the test writes.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What was seen of the clients.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many connections are not done with.
    pub(crate) fn open(&self) -> usize {
        self.connections() - self.ended.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Seen,
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Serves each connection by `serve`, which gets its number, too.
pub(crate) async fn serve<F, Fut>(serve: F) -> Server
where
    F: Fn(usize, Peer<TcpStream>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let server = Server {
        address,
        seen: seen.clone(),
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = seen.connections.fetch_add(1, Ordering::SeqCst);
            let serving = serve(number, Peer::new(stream, seen.clone()));
            let ended = seen.ended.clone();
            tokio::spawn(async move {
                serving.await;
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    server
}

/// One connection.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    seen: Seen,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S, seen: Seen) -> Self {
        Self {
            stream,
            seen,
            read: Vec::new(),
        }
    }

    /// The next head; `None` at the end.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                let head = String::from_utf8(head).unwrap();
                self.seen.heads.lock().unwrap().push(head.clone());
                return Some(head);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.read.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// So many bytes of a body.
    pub(crate) async fn body(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => self.read.extend_from_slice(&buffer[..read]),
            }
        }
        let length = length.min(self.read.len());
        self.read.drain(..length).collect()
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may be gone by now.
        let _sent = self.stream.write_all(bytes.as_ref()).await;
        let _flushed = self.stream.flush().await;
    }

    /// Answers each request with these bytes.
    pub(crate) async fn answer_all(mut self, answer: &str) {
        while self.head().await.is_some() {
            self.send(answer).await;
        }
    }
}

impl Peer<TcpStream> {
    /// Ends it with a reset.
    pub(crate) fn reset(self) {
        let socket = self.stream.into_std().unwrap();
        drop(socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO)));
    }
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
