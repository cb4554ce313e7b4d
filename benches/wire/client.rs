//! The client: plain HTTP/1.1 on a TCP stream.

use crate::Failure;
use bytes::{Buf, Bytes, BytesMut};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

const READ: usize = 64 << 10;

/// A connection on which nothing was asked yet.
pub(crate) struct Connection {
    stream: TcpStream,
    server: SocketAddr,
}

/// The body of an answer, as it comes.
pub(crate) struct Body {
    stream: TcpStream,
    buffer: BytesMut,
    framing: Framing,
}

enum Framing {
    Length { left: u64 },
    Chunked { left: u64 },
    Ended,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, server })
    }

    /// Asks, and waits for the head of the answer. The server is to close the connection behind it.
    pub(crate) async fn get(mut self, path: &str) -> Result<Body, Failure> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.server
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut buffer = BytesMut::with_capacity(READ);
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            fill(&mut self.stream, &mut buffer).await?;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        buffer.advance(end + 4);
        if !head.starts_with("http/1.1 200") {
            return Err(format!("{path} was answered by {head:?}").into());
        }
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let framing = match (field("content-length: "), field("transfer-encoding: ")) {
            (Some(length), None) => Framing::Length {
                left: length.parse()?,
            },
            (None, Some("chunked")) => Framing::Chunked { left: 0 },
            _ => return Err(format!("{path} was answered by {head:?}").into()),
        };
        Ok(Body {
            stream: self.stream,
            buffer,
            framing,
        })
    }
}

impl Body {
    /// What has come of the body since; `None` at its end.
    pub(crate) async fn data(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match &mut self.framing {
                Framing::Ended | Framing::Length { left: 0 } => return Ok(None),
                Framing::Length { left } | Framing::Chunked { left }
                    if *left > 0 && !self.buffer.is_empty() =>
                {
                    let length = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(self.buffer.len());
                    *left -= length as u64;
                    return Ok(Some(self.buffer.split_to(length).freeze()));
                }
                Framing::Chunked { left: 0 } => {
                    // Behind a chunk's data stands a line end, too.
                    while self.buffer.starts_with(b"\r\n") {
                        self.buffer.advance(2);
                    }
                    if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                        let size =
                            u64::from_str_radix(std::str::from_utf8(&self.buffer[..at])?, 16)?;
                        self.buffer.advance(at + 2);
                        self.framing = match size {
                            0 => Framing::Ended,
                            left => Framing::Chunked { left },
                        };
                        continue;
                    }
                }
                Framing::Length { .. } | Framing::Chunked { .. } => {}
            }
            fill(&mut self.stream, &mut self.buffer).await?;
        }
    }

    /// When the first byte came, and how many came with it.
    pub(crate) async fn first(&mut self) -> Result<(Instant, u64), Failure> {
        let data = self.data().await?.ok_or("the body is empty")?;
        Ok((Instant::now(), data.len() as u64))
    }

    /// How many bytes come until the end.
    pub(crate) async fn rest(mut self) -> Result<u64, Failure> {
        let mut bytes = 0;
        while let Some(data) = self.data().await? {
            bytes += data.len() as u64;
        }
        Ok(bytes)
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<(), Failure> {
    buffer.reserve(READ);
    match stream.read_buf(buffer).await? {
        0 => Err("the connection ended before the answer".into()),
        _ => Ok(()),
    }
}

/// Asks for something small, and gives it as text.
pub(crate) async fn ask(server: SocketAddr, path: &str) -> Result<String, Failure> {
    let mut body = Connection::open(server).await?.get(path).await?;
    let mut text = Vec::new();
    while let Some(data) = body.data().await? {
        text.extend_from_slice(&data);
    }
    Ok(String::from_utf8(text)?)
}
