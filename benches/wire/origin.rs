//! The origin: a few paths that answer slowly, each in its own way, and a few to steer it by.
//!
//! | path | answer |
//! |---|---|
//! | `/held/length/NAME`, `/held/chunked/NAME` | all but the last chunk, and that once the name is released |
//! | `/release/NAME` | releases it |
//! | `/fetches/NAME` | how often the name was asked for |
//! | `/fixed/NAME` | 1 KiB at once |
//! | `/dribbled/NAME` | 10 MiB over 2 s |
//! | `/events/NAME` | an event stream without end; each event is the time in microseconds |
//! | `/left/NAME` | when the viewer of that stream left |

use crate::Failure;
use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    time::{Instant, MissedTickBehavior, interval, interval_at, timeout},
};

pub(crate) const HELD_CHUNK: usize = 8 << 10;
pub(crate) const FIXED: usize = 1 << 10;
pub(crate) const DRIBBLED: usize = 10 << 20;
pub(crate) const EVENT_PERIOD: Duration = Duration::from_millis(50);
const PIECES: u32 = 160;
const DRIBBLE_TIME: Duration = Duration::from_secs(2);
/// Nothing is held for longer: no client is kept waiting by a mistake.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_EVENTS: usize = 1000;

/// What is known of the names, by kind and name.
type Signals = Arc<Mutex<HashMap<String, watch::Sender<u64>>>>;

pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let signals = Signals::default();
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let signals = signals.clone();
        tokio::spawn(async move {
            // A viewer that leaves is no failure here.
            drop(connection(stream, &signals).await);
        });
    }
}

async fn connection(mut stream: TcpStream, signals: &Signals) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        buffer.drain(..end);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        answer(&mut stream, &path, signals).await?;
        if head.contains("\r\nconnection: close\r\n") {
            return stream.shutdown().await;
        }
    }
}

async fn answer(stream: &mut TcpStream, path: &str, signals: &Signals) -> io::Result<()> {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (kind, name) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    match kind {
        "held" => held(stream, name, signals).await,
        "release" => {
            signal(signals, "released", name).await.send_replace(1);
            text(stream, "released").await
        }
        "fetches" => {
            let fetches = *signal(signals, "fetches", name).await.borrow();
            text(stream, &fetches.to_string()).await
        }
        "fixed" => fixed(stream).await,
        "dribbled" => dribbled(stream).await,
        "events" => {
            let left = events(stream).await;
            signal(signals, "left", name).await.send_replace(now());
            left
        }
        "left" => {
            let mut left = signal(signals, "left", name).await.subscribe();
            let when = match timeout(PATIENCE, left.wait_for(|when| *when > 0)).await {
                Ok(Ok(when)) => *when,
                Ok(Err(_)) | Err(_) => 0,
            };
            text(stream, &when.to_string()).await
        }
        _ => {
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                .await
        }
    }
}

async fn signal(signals: &Signals, kind: &str, name: &str) -> watch::Sender<u64> {
    signals
        .lock()
        .await
        .entry(format!("{kind} {name}"))
        .or_default()
        .clone()
}

async fn text(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await
}

async fn held(stream: &mut TcpStream, name: &str, signals: &Signals) -> io::Result<()> {
    signal(signals, "fetches", name)
        .await
        .send_modify(|fetches| *fetches += 1);
    let chunk = "x".repeat(HELD_CHUNK);
    let (framing, first, last) = if name.starts_with("chunked/") {
        let chunk = format!("{HELD_CHUNK:x}\r\n{chunk}\r\n");
        (
            "Transfer-Encoding: chunked".to_owned(),
            chunk.clone(),
            chunk + "0\r\n\r\n",
        )
    } else {
        (
            format!("Content-Length: {}", 2 * HELD_CHUNK),
            chunk.clone(),
            chunk,
        )
    };
    let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n{framing}\r\n\r\n");
    stream.write_all((head + &first).as_bytes()).await?;
    let mut released = signal(signals, "released", name).await.subscribe();
    drop(timeout(PATIENCE, released.wait_for(|released| *released > 0)).await);
    stream.write_all(last.as_bytes()).await
}

async fn fixed(stream: &mut TcpStream) -> io::Result<()> {
    let body = "x".repeat(FIXED);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {FIXED}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await
}

async fn dribbled(stream: &mut TcpStream) -> io::Result<()> {
    let piece = vec![b'x'; DRIBBLED / PIECES as usize];
    let head = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {DRIBBLED}\r\n\r\n"
    );
    // The first piece comes with the head: a timer's first tick may be a millisecond late.
    stream
        .write_all(&[head.as_bytes(), &piece].concat())
        .await?;
    let period = DRIBBLE_TIME / PIECES;
    let mut ticks = interval_at(Instant::now() + period, period);
    for _ in 1..PIECES {
        ticks.tick().await;
        stream.write_all(&piece).await?;
    }
    Ok(())
}

async fn events(stream: &mut TcpStream) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut ticks = interval(EVENT_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ignored = [0; 64];
    for _ in 0..MAX_EVENTS {
        tokio::select! {
            read = stream.read(&mut ignored) => if read? == 0 {
                return Ok(());
            },
            _ = ticks.tick() => {
                let event = format!("data: {}\n\n", now());
                stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
            }
        }
    }
    stream.write_all(b"0\r\n\r\n").await
}

/// Microseconds since the Unix epoch: the processes share this clock.
#[allow(
    clippy::disallowed_methods,
    reason = "it is compared between processes"
)]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
