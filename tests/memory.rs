//! How much memory the `reverse_proxy` example takes while fifty viewers read slowly: measured from outside.
//!
//! Each case has a process of its own, since the kernel's high-water mark (`VmHWM`) can't be taken back. A debug build is as
//! fair as a release build: it is slower, not larger.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

#[path = "support/proxy.rs"]
mod process;
mod support;

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use process::Process;
use std::{net::SocketAddr, time::Duration};
use support::{Counter, NoBody, within};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Mutex, MutexGuard},
};

const MIB: u64 = 1 << 20;
const VIEWERS: usize = 50;

/// One case at a time: they share the machine's cores.
static TURN: Mutex<()> = Mutex::const_new(());

/// A proxy in a process of its own, and an origin in this one.
struct Proxy {
    process: Process,
    address: SocketAddr,
    /// Requests that reached the origin.
    asked: Counter,
    /// Resident before anything was asked of it.
    idle: u64,
    _turn: MutexGuard<'static, ()>,
}

async fn proxy(memory: &str) -> Proxy {
    let turn = TURN.lock().await;
    let (origin, asked) = origin().await;
    let process = Process::start(origin, &["--memory", memory]).await;
    let mut proxy = Proxy {
        address: process.address,
        process,
        asked,
        idle: 0,
        _turn: turn,
    };
    // Its threads have started once it has answered.
    assert!(!proxy.fetch("/sized/warm/1").await);
    proxy.asked.subtract();
    proxy.idle = proxy.memory("VmRSS");
    proxy
}

impl Proxy {
    /// A line of `/proc/PID/status`, in bytes.
    fn memory(&self, line: &str) -> u64 {
        self.process.memory(line)
    }

    /// Waits until it neither grows nor shrinks.
    async fn steady(&self) {
        let mut last = 0;
        let mut times = 0;
        for _ in 0..200 {
            let now = self.memory("VmRSS");
            times = if now.abs_diff(last) < 256 << 10 {
                times + 1
            } else {
                0
            };
            last = now;
            if times == 6 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("its memory did not come to rest");
    }

    /// Says how much it has grown at most, and asserts the bound.
    fn assert_grown_at_most(&self, bound: u64, case: &str) {
        let growth = self.memory("VmHWM") - self.idle;
        let [growth_mib, idle, now, bound_mib] =
            [growth, self.idle, self.memory("VmRSS"), bound].map(|bytes| bytes as f64 / MIB as f64);
        println!(
            "{case}: grew by {growth_mib:.1} MiB at most, of {bound_mib:.1} (idle {idle:.1}, at the end {now:.1})"
        );
        assert!(
            growth <= bound,
            "{case}: {growth_mib:.1} MiB > {bound_mib:.1} MiB"
        );
    }

    /// Fetches a body whole, as fast as it comes; whether it was a hit.
    async fn fetch(&self, path: &str) -> bool {
        let mut viewer = Viewer::ask(self.address, path, None).await;
        let length = path.rsplit('/').next().unwrap().parse().unwrap();
        viewer.read_at_least(length).await;
        viewer.head.contains("; hit")
    }

    /// Fetches `count` bodies, eight at a time; how many were hits.
    async fn fetch_all(&self, name: &str, count: usize, bytes: u64) -> usize {
        let fetches = stream::iter(0..count).map(|number| async move {
            self.fetch(&format!("/sized/{name}{number}/{bytes}")).await
        });
        let hits = fetches
            .buffer_unordered(8)
            .filter(|hit| std::future::ready(*hit));
        hits.count().await
    }
}

/// Answers `/sized/NAME/BYTES` and `/chunked/NAME/BYTES`.
async fn origin() -> (SocketAddr, Counter) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Counter::default();
    let counter = asked.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let counter = counter.clone();
            // An error: the proxy has left.
            tokio::spawn(async move { drop(answer(stream, counter).await) });
        }
    });
    (address, asked)
}

async fn answer(stream: TcpStream, asked: Counter) -> std::io::Result<()> {
    const PIECE: &[u8] = &[b'x'; 32 << 10];
    let mut stream = BufReader::new(stream);
    loop {
        let mut path = String::new();
        let mut line = String::new();
        while line != "\r\n" {
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        asked.add();
        let (kind, length) = path[1..].split_once('/').unwrap();
        let length: usize = length.rsplit('/').next().unwrap().parse().unwrap();
        let is_chunked = kind == "chunked";
        let framing = if is_chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {length}")
        };
        let head = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut left = length;
        while left > 0 {
            let piece = &PIECE[..left.min(PIECE.len())];
            if is_chunked {
                stream
                    .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                    .await?;
            }
            stream.write_all(piece).await?;
            if is_chunked {
                stream.write_all(b"\r\n").await?;
            }
            left -= piece.len();
        }
        if is_chunked {
            stream.write_all(b"0\r\n\r\n").await?;
        }
        stream.flush().await?;
    }
}

/// Reads as much as the test says.
struct Viewer {
    stream: TcpStream,
    head: String,
    /// Bytes behind the head, with the framing of chunks.
    read: u64,
}

impl Viewer {
    /// Asks, and reads no further than the head. `pipe` is how many bytes its socket takes.
    async fn ask(proxy: SocketAddr, path: &str, pipe: Option<u32>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = pipe {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let mut stream = within(socket.connect(proxy)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {proxy}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Self {
            stream,
            head,
            read: 0,
        }
    }

    /// Reads until there were at least so many bytes of the body.
    async fn read_at_least(&mut self, bytes: u64) {
        let mut buffer = vec![0; 64 << 10];
        while self.read < bytes {
            let count = within(self.stream.read(&mut buffer)).await.unwrap();
            assert!(count > 0, "cut after {} of {bytes} bytes", self.read);
            self.read += count as u64;
        }
    }
}

/// Fifty viewers of fifty bodies of 100 MiB, which read together, stop together, and leave before the end.
async fn fifty_slow_viewers(kind: &str, full_before: bool) {
    let proxy = proxy("64MiB").await;
    let mut case = format!("fifty slow viewers of 100 MiB, {kind}");
    if full_before {
        proxy.fetch_all("before", 80, MIB).await;
        let resident = proxy.memory("VmRSS") / MIB;
        case += &format!(", beside a full store ({resident} MiB resident)");
    }
    let asked = proxy.asked.get();
    let address = proxy.address;
    let viewers = (0..VIEWERS).map(|number| async move {
        let path = format!("/{kind}/{number}/{}", 100 * MIB);
        Viewer::ask(address, &path, Some(64 << 10)).await
    });
    let mut viewers = join_all(viewers).await;
    assert_eq!(proxy.asked.get() - asked, VIEWERS, "each must have its own");
    // All pipes are full.
    proxy.steady().await;
    // In lockstep, far beyond what the store could take of each.
    for bytes in [1, 2, 3, 4].map(|mib| mib * MIB) {
        join_all(viewers.iter_mut().map(|viewer| viewer.read_at_least(bytes))).await;
    }
    proxy.steady().await;
    // A few run ahead, beyond the largest object that is stored.
    let ahead = viewers.iter_mut().take(5);
    join_all(ahead.map(|viewer| viewer.read_at_least(12 * MIB))).await;
    proxy.steady().await;
    proxy.assert_grown_at_most(128 * MIB, &case);
}

#[tokio::test]
async fn fifty_slow_viewers_of_large_bodies_with_a_length() {
    fifty_slow_viewers("sized", false).await;
}

#[tokio::test]
async fn fifty_slow_viewers_of_large_chunked_bodies() {
    fifty_slow_viewers("chunked", false).await;
}

#[tokio::test]
async fn fifty_slow_viewers_of_large_bodies_with_a_length_beside_a_full_store() {
    fifty_slow_viewers("sized", true).await;
}

#[tokio::test]
async fn fifty_slow_viewers_of_large_chunked_bodies_beside_a_full_store() {
    fifty_slow_viewers("chunked", true).await;
}

/// A viewer over HTTP/2 takes no more than its window, whatever the kernel would.
async fn ask_over_http2(
    proxy: SocketAddr,
    path: &str,
) -> (http2::SendRequest<NoBody>, Response<Incoming>) {
    let stream = within(TcpStream::connect(proxy)).await.unwrap();
    let mut client = http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(64 << 10);
    let (mut sender, connection) = within(client.handshake(TokioIo::new(stream)))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{proxy}{path}"))
        .body(Empty::new())
        .unwrap();
    let response = within(sender.send_request(request)).await.unwrap();
    (sender, response)
}

/// How many bytes wait in the kernel on the proxy's side (`tx_queue` in `/proc/net/tcp`).
fn in_the_kernel(proxy: SocketAddr) -> u64 {
    let port = format!(":{:04X}", proxy.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queued = sockets.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_proxys = words.next()?.ends_with(&port);
        let queue = words.nth(2)?.split(':').next()?;
        is_proxys.then(|| u64::from_str_radix(queue, 16).ok())?
    });
    queued.sum()
}

/// Fills the store with others than the fifty that are being read.
async fn evict(proxy: &Proxy) {
    // Twice what the store holds, and each of them is asked for again.
    for _ in 0..2 {
        proxy.fetch_all("new", 128, MIB).await;
    }
    let kernel = in_the_kernel(proxy.address) / MIB;
    println!("of {VIEWERS} MiB that are being read, {kernel} wait in the kernel");
}

async fn assert_evicted(proxy: &Proxy) {
    let hits = proxy.fetch_all("old", VIEWERS, MIB).await;
    assert!(hits < VIEWERS / 2, "{hits} of {VIEWERS} were not evicted");
}

#[tokio::test]
async fn fifty_slow_readers_of_stored_objects_that_others_evict() {
    let proxy = proxy("64MiB").await;
    assert_eq!(proxy.fetch_all("old", VIEWERS, MIB).await, 0);
    let mut viewers = Vec::new();
    for number in 0..VIEWERS {
        let path = format!("/sized/old{number}/{MIB}");
        let viewer = Viewer::ask(proxy.address, &path, Some(4 << 10)).await;
        assert!(viewer.head.contains("; hit"), "{path}: {}", viewer.head);
        viewers.push(viewer);
    }
    evict(&proxy).await;
    // What was evicted is still read to its end.
    join_all(viewers.iter_mut().map(|viewer| viewer.read_at_least(MIB))).await;
    proxy.assert_grown_at_most(128 * MIB, "fifty slow readers of evicted objects of 1 MiB");
    assert_evicted(&proxy).await;
}

/// The kernel takes most of a body of 1 MiB from the proxy. Over HTTP/2 it can't: the proxy holds all fifty.
#[tokio::test]
async fn fifty_slow_readers_over_http_2_of_stored_objects_that_others_evict() {
    let proxy = proxy("64MiB").await;
    assert_eq!(proxy.fetch_all("old", VIEWERS, MIB).await, 0);
    let mut viewers = Vec::new();
    for number in 0..VIEWERS {
        let path = format!("/sized/old{number}/{MIB}");
        let (sender, response) = ask_over_http2(proxy.address, &path).await;
        let said = response.headers()["cache-status"].to_str().unwrap();
        assert!(said.contains("; hit"), "{path}: {said}");
        viewers.push((sender, response.into_body()));
    }
    evict(&proxy).await;
    for (_sender, body) in viewers {
        let whole: Bytes = within(body.collect()).await.unwrap().to_bytes();
        assert_eq!(whole.len() as u64, MIB);
    }
    let case = "fifty slow readers of evicted objects of 1 MiB, HTTP/2";
    proxy.assert_grown_at_most(128 * MIB, case);
    assert_evicted(&proxy).await;
}

#[tokio::test]
async fn fifty_bodies_filled_eight_at_a_time_are_stored_in_little_more_than_their_bytes() {
    let proxy = proxy("128MiB").await;
    assert_eq!(proxy.fetch_all("body", VIEWERS, MIB).await, 0);
    assert_eq!(
        proxy.fetch_all("body", VIEWERS, MIB).await,
        VIEWERS,
        "all must be hits"
    );
    assert_eq!(proxy.asked.get(), VIEWERS);
    let bytes = VIEWERS as u64 * MIB;
    proxy.assert_grown_at_most(bytes + bytes / 4, "fifty stored bodies of 1 MiB");
}
