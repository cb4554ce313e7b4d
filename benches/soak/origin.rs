//! The origin: answers in time and whole, but for what a request asks it to break.
//!
//! | path | answer |
//! |---|---|
//! | `/object/NUMBER` | the [`Object`], now; ranges, conditions and `HEAD` count |
//! | `/hot` | 1 KiB that stays fresh |
//! | `/slow/NAME` | 1 KiB; 10 at a time take 0.1 s each, however many wait |
//! | `/most` | how many of `/slow` were asked for at the same time, at most, and how many in all |
//!
//! Nobody but the viewers is left to chance: the field `x-fault` says what goes wrong, in the words of [`FAULTS`].

use crate::{
    Failure,
    object::{Content, Object, STALL, now},
};
use bytes::Bytes;
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};

pub(crate) const FAULTS: [&str; 11] = [
    "reset",
    "close",
    "half-head",
    "reset-in-body",
    "close-in-body",
    "excess",
    "500",
    "503",
    "garbage",
    "stall",
    "stall-in-body",
];
/// Those that nobody notices but by the time.
pub(crate) const STALLS: [&str; 2] = ["stall", "stall-in-body"];
pub(crate) const SLOW_AT_A_TIME: usize = 10;
pub(crate) const SLOW: Duration = Duration::from_millis(100);
pub(crate) const SMALL: usize = 1 << 10;

const PIECE: u64 = 64 << 10;
const LAST: u64 = 1 << 10;
const EXCESS: &[u8] = b"HTTP/1.1 200 OK\r\nETag: \"0-0-0\"\r\nContent-Length: 5\r\n\r\nwrong";
const MAX_HEAD: usize = 64 << 10;

struct Slow {
    room: Semaphore,
    under_way: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let slow = Arc::new(Slow {
        room: Semaphore::new(SLOW_AT_A_TIME),
        under_way: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        all: AtomicUsize::new(0),
    });
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let slow = slow.clone();
        tokio::spawn(async move {
            // Who asked may be gone.
            drop(connection(stream, &slow).await);
        });
    }
}

/// What happens to a connection behind an answer.
enum Then {
    Goes,
    Ends,
    IsReset,
}

async fn connection(mut stream: TcpStream, slow: &Slow) -> Result<(), Failure> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if buffer.len() > MAX_HEAD || stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        buffer.drain(..end);
        let then = match head.split(' ').nth(1).unwrap_or_default() {
            "/hot" => small(&mut stream).await?,
            "/most" => {
                let (most, all) = (&slow.most, &slow.all);
                let said = [most, all].map(|count| count.load(Ordering::SeqCst).to_string());
                text(&mut stream, &said.join(" ")).await?
            }
            path if path.starts_with("/slow/") => {
                slow.all.fetch_add(1, Ordering::SeqCst);
                let under_way = slow.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                slow.most.fetch_max(under_way, Ordering::SeqCst);
                let permit = slow.room.acquire().await?;
                sleep(SLOW).await;
                drop(permit);
                let then = small(&mut stream).await;
                slow.under_way.fetch_sub(1, Ordering::SeqCst);
                then?
            }
            path => match path.strip_prefix("/object/").map(str::parse) {
                Some(Ok(number)) => object(&mut stream, Object::new(number), &head).await?,
                _ => return Err(format!("nobody should ask for {path}").into()),
            },
        };
        match then {
            Then::Goes if !head.contains("\r\nconnection: close\r\n") => {}
            Then::Goes | Then::Ends => return Ok(stream.shutdown().await?),
            Then::IsReset => {
                let socket = socket2::SockRef::from(&stream);
                return Ok(socket.set_linger(Some(Duration::ZERO))?);
            }
        }
    }
}

async fn small(stream: &mut TcpStream) -> Result<Then, Failure> {
    let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {SMALL}");
    let bytes = [head.as_bytes(), b"\r\n\r\n", &[b'.'; SMALL]].concat();
    stream.write_all(&bytes).await?;
    Ok(Then::Goes)
}

async fn text(stream: &mut TcpStream, text: &str) -> Result<Then, Failure> {
    let length = text.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}");
    stream.write_all(head.as_bytes()).await?;
    Ok(Then::Goes)
}

async fn object(stream: &mut TcpStream, object: Object, head: &str) -> Result<Then, Failure> {
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(known, value)| (known == name).then_some(value))
    };
    let fault = field("x-fault").unwrap_or_default();
    match fault {
        "stall" => sleep(STALL).await,
        "reset" => return Ok(Then::IsReset),
        "close" => return Ok(Then::Ends),
        "garbage" => {
            stream.write_all(b"\0\x01 this is no HTTP\r\n\r\n").await?;
            return Ok(Then::Ends);
        }
        "half-head" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-").await?;
            return Ok(Then::IsReset);
        }
        "500" | "503" => {
            let head = format!("HTTP/1.1 {fault} No\r\nContent-Length: 2\r\n\r\nno");
            stream.write_all(head.as_bytes()).await?;
            return Ok(Then::Goes);
        }
        _ => {}
    }
    let content = object.content(field("x-variant"));
    let etag = content.etag();
    let vary = if object.varies() {
        "Vary: X-Variant\r\n"
    } else {
        ""
    };
    let fields = format!(
        "Date: {}\r\nETag: {etag}\r\nCache-Control: {}\r\n{vary}",
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(now())),
        object.lifetime().cache_control,
    );
    if field("if-none-match").is_some_and(|known| known.contains(&etag)) {
        let head = format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).await?;
        return Ok(Then::Goes);
    }
    let size = object.size();
    let is_for_this = field("if-range").is_none_or(|known| known == etag);
    let range = field("range").filter(|_| is_for_this);
    let (status, range) = match range.map(|range| selected(range, size)) {
        None => ("200 OK".to_owned(), 0..size),
        Some(Some(part)) => (
            format!(
                "206 Partial Content\r\nContent-Range: bytes {}-{}/{size}",
                part.start,
                part.end - 1
            ),
            part,
        ),
        Some(None) => (
            format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{size}"),
            0..0,
        ),
    };
    let is_chunked = object.is_chunked() && status.starts_with("200");
    let framing = match is_chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", range.end - range.start),
    };
    let answer = format!("HTTP/1.1 {status}\r\n{fields}{framing}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    if head.starts_with("head ") {
        return Ok(Then::Goes);
    }
    body(stream, content, range, is_chunked, fault).await
}

/// The part that a range asks for; `None` where there is no such part.
pub(crate) fn selected(range: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => first..size.min(last.saturating_add(1)),
        (Ok(first), Err(_)) => first..size,
        (Err(_), Ok(length)) => size.saturating_sub(length)..size,
        (Err(_), Err(_)) => return None,
    };
    (part.start < part.end).then_some(part)
}

async fn body(
    stream: &mut TcpStream,
    content: Content,
    range: Range<u64>,
    is_chunked: bool,
    fault: &str,
) -> Result<Then, Failure> {
    let middle = range.start.midpoint(range.end);
    let mut at = range.start;
    // The last bytes go out with what stands behind them.
    let last = range.end.saturating_sub(LAST).max(middle);
    for end in [middle, last] {
        while at < end {
            let next = end.min(at + PIECE);
            let piece = framed(content.bytes(at..next), is_chunked);
            stream.write_all(&piece).await?;
            at = next;
        }
        if end == middle {
            match fault {
                "reset-in-body" => return Ok(Then::IsReset),
                "close-in-body" => return Ok(Then::Ends),
                "stall-in-body" => sleep(STALL).await,
                _ => {}
            }
        }
    }
    let mut end = framed(content.bytes(at..range.end), is_chunked);
    if is_chunked {
        end.extend_from_slice(b"0\r\n\r\n");
    }
    if fault == "excess" && !end.is_empty() {
        // Nobody asked for it: whose connection's next request gets it was fooled. Sent any later, it would be the answer to
        // that request for everybody.
        end.extend_from_slice(EXCESS);
    }
    stream.write_all(&end).await?;
    Ok(Then::Goes)
}

/// As a chunk, or as it is.
fn framed(data: Bytes, is_chunked: bool) -> Vec<u8> {
    match is_chunked && !data.is_empty() {
        true => [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat(),
        false => data.to_vec(),
    }
}
