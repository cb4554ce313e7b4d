//! HTTP/1.1 by the letter of its grammar: what is lenient nowhere else is a fault here.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads messages off a connection.
pub(crate) struct Reader<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The connection ended where a message may begin.
    End,
    /// It ended within one.
    Cut,
    /// This isn't in the grammar.
    Fault(String),
}

fn fault<T>(what: &str, line: &[u8]) -> Result<T, Problem> {
    Err(Problem::Fault(format!("{what}: {}", line.escape_ascii())))
}

fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

impl Message {
    /// The lines of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.fields.iter().filter(|(known, _)| known == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// Method and target, or version and status.
    pub(crate) fn begin(&self) -> String {
        let words: Vec<&str> = self.start.split(' ').collect();
        words[..2].join(" ")
    }

    fn check_request_line(&self) -> Result<(), Problem> {
        let words: Vec<&str> = self.start.split(' ').collect();
        match words[..] {
            [method, target, "HTTP/1.1"]
                if is_token(method)
                    && target.starts_with('/')
                    && target.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Ok(())
            }
            _ => fault("not a request line", self.start.as_bytes()),
        }
    }

    fn check_hosts(&self) -> Result<(), Problem> {
        match self.all("host")[..] {
            [host] if !host.is_empty() && !host.contains([' ', ',', '/', '@', '\t']) => Ok(()),
            _ => fault("not one host", format!("{:?}", self.fields).as_bytes()),
        }
    }
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(crate) fn new(stream: S) -> Self {
        let buffer = Vec::new();
        Self { stream, buffer }
    }

    /// More bytes; false at the end.
    async fn more(&mut self) -> bool {
        // A reset is an end, too.
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    async fn line(&mut self) -> Result<String, Problem> {
        let end = loop {
            match self.buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => break end,
                None if self.more().await => {}
                None if self.buffer.is_empty() => return Err(Problem::End),
                None => return Err(Problem::Cut),
            }
        };
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        let Some(text) = line.strip_suffix(b"\r\n") else {
            return fault("a bare LF", &line);
        };
        match text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
            true => Ok(String::from_utf8(text.to_vec()).unwrap()),
            false => fault("not visible", &line),
        }
    }

    async fn inner_line(&mut self) -> Result<String, Problem> {
        self.line().await.map_err(|problem| match problem {
            Problem::End => Problem::Cut,
            other => other,
        })
    }

    async fn fields(&mut self) -> Result<Vec<(String, String)>, Problem> {
        let mut fields = Vec::new();
        loop {
            let line = self.inner_line().await?;
            match line.split_once(':') {
                Some((name, value)) if is_token(name) => {
                    fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                _ if line.is_empty() => return Ok(fields),
                _ => return fault("not a field", line.as_bytes()),
            }
        }
    }

    async fn head(&mut self) -> Result<Message, Problem> {
        Ok(Message {
            start: self.line().await?,
            fields: self.fields().await?,
            body: String::new(),
        })
    }

    /// A request, without its body.
    pub(crate) async fn request(&mut self) -> Result<Message, Problem> {
        let message = self.head().await?;
        message.check_request_line()?;
        message.check_hosts()?;
        Ok(message)
    }

    /// A response; interim ones are skipped.
    pub(crate) async fn response(&mut self) -> Result<Message, Problem> {
        loop {
            let mut message = self.head().await?;
            match message.start.get(..10) {
                Some("HTTP/1.1 1") => {}
                Some(start) if start.starts_with("HTTP/1.") => {
                    self.body(&mut message).await?;
                    return Ok(message);
                }
                _ => return fault("not a status line", message.start.as_bytes()),
            }
        }
    }

    /// The body, by the one field that frames it.
    pub(crate) async fn body(&mut self, message: &mut Message) -> Result<(), Problem> {
        let lengths = message.all("content-length");
        let codings = message.all("transfer-encoding");
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(()),
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                let length = length.parse().unwrap();
                message.body = self.take(length).await?;
                Ok(())
            }
            ([], ["chunked"]) => {
                message.body = self.chunks().await?;
                Ok(())
            }
            _ => fault("framing", format!("{:?}", message.fields).as_bytes()),
        }
    }

    async fn chunks(&mut self) -> Result<String, Problem> {
        let mut body = String::new();
        loop {
            let head = self.inner_line().await?;
            let is_hex = !head.is_empty() && head.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = match usize::from_str_radix(&head, 16) {
                Ok(size) if is_hex => size,
                _ => return fault("not a chunk's size", head.as_bytes()),
            };
            if size == 0 {
                break;
            }
            body += &self.take(size).await?;
            let end = self.inner_line().await?;
            if !end.is_empty() {
                return fault("behind a chunk", end.as_bytes());
            }
        }
        match self.fields().await? {
            trailers if trailers.is_empty() => Ok(body),
            trailers => fault("trailers", format!("{trailers:?}").as_bytes()),
        }
    }

    async fn take(&mut self, length: usize) -> Result<String, Problem> {
        while self.buffer.len() < length {
            if !self.more().await {
                return Err(Problem::Cut);
            }
        }
        let taken = self.buffer.drain(..length).collect();
        Ok(String::from_utf8(taken).unwrap())
    }

    /// Waits for the end; what came before it.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}
