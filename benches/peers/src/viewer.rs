//! A viewer that looks closely: fills a cache, and checks what it answers with.

use crate::Failure;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that stays open.
pub(crate) struct Viewer {
    stream: BufReader<TcpStream>,
}

/// What came.
pub(crate) struct Answer {
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Viewer {
    pub(crate) fn new(server: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        Ok(self.ask_in_time(request)?.0)
    }

    /// When the first byte of the answer was there.
    pub(crate) fn ask_and_time(&mut self, request: &[u8]) -> Result<Instant, Failure> {
        Ok(self.ask_in_time(request)?.1)
    }

    fn ask_in_time(&mut self, request: &[u8]) -> Result<(Answer, Instant), Failure> {
        self.stream.get_mut().write_all(request)?;
        self.stream.fill_buf()?;
        let came = Instant::now();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(format!("a head that ends early: {head:?}").into());
            }
        }
        head.make_ascii_lowercase();
        let length = field(&head, "content-length").and_then(|value| value.parse().ok());
        let length = length.ok_or_else(|| format!("an answer without a length: {head}"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((Answer { head, body }, came))
    }

    /// How often the origin, or the handler, was asked.
    pub(crate) fn asked(&mut self) -> Result<u64, Failure> {
        let answer = self.ask(b"GET /asked HTTP/1.1\r\nHost: peers\r\n\r\n")?;
        Ok(std::str::from_utf8(&answer.body)?.parse()?)
    }
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines();
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found == name).then(|| value.trim())
    })
}
