//! Viewers: bytes over a connection, read as the plan says, until they leave or the answer ends.

use super::{
    pipe::{Pipe, pipe},
    plan::{Ask, Leaves, Reads, Viewer},
    stack::{AnyService, serve},
    world::World,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

/// Who waits longer than this waits for ever.
const FOR_EVER: Duration = Duration::from_secs(900);

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As its head said.
    Whole,
    /// The connection ended before that.
    Cut,
    /// The viewer left.
    Left,
}

/// What a viewer got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) viewer: u64,
    pub(crate) ask: Ask,
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// Plays a viewer; gives what it got heads for.
pub(crate) async fn play(
    world: World,
    front: AnyService,
    buffer: usize,
    number: u64,
    viewer: Viewer,
) -> Vec<Got> {
    world.sleep_until(viewer.comes).await;
    let mut all = Vec::new();
    let mut kept = None;
    for (ask, at) in viewer.asks.into_iter().zip(0..) {
        sleep(Duration::from_millis(ask.pause)).await;
        let connection = kept.take().unwrap_or_else(|| {
            let (near, far) = pipe(buffer);
            serve(&world, &front, far);
            Connection {
                pipe: near,
                read: Vec::new(),
                taken: 0,
                drips: false,
            }
        });
        let id = number * 100 + at;
        let asking = connection.ask(id, &ask);
        let came = match ask.leaves {
            Leaves::After(millis) => timeout(Duration::from_millis(millis), asking).await.ok(),
            _ => match timeout(FOR_EVER, asking).await {
                Ok(came) => Some(came),
                Err(_elapsed) => {
                    world.wrong(format!("{id} waits for ever: {ask:?}"));
                    None
                }
            },
        };
        let Some(Came {
            got,
            end,
            kept: next,
            why,
        }) = came
        else {
            world.event(&format!("viewer {id} {} {} leaves", ask.method, ask.path));
            continue;
        };
        kept = next;
        if let Some(why) = why {
            world.wrong(format!("{id} {ask:?}: {why}"));
        }
        let Some((status, fields, body)) = got else {
            world.event(&format!(
                "viewer {id} {} {} has no answer, {end:?}",
                ask.method, ask.path
            ));
            continue;
        };
        world.event(&format!(
            "viewer {id} {} {} {:?} {status} {} {} {} bytes, {end:?}",
            ask.method,
            ask.path,
            ask.fields,
            super::origin::text(&fields, "x-serial"),
            super::origin::text(&fields, "cache-status"),
            body.len(),
        ));
        all.push(Got {
            viewer: id,
            ask,
            status,
            fields,
            body,
            end,
        });
    }
    if let Some(connection) = kept {
        connection.nothing_more(&world).await;
    }
    all
}

struct Connection {
    pipe: Pipe,
    /// Read, and not used yet.
    read: Vec<u8>,
    /// How much was read.
    taken: usize,
    /// What comes has no end that anybody waits for.
    drips: bool,
}

struct Came {
    got: Option<(u16, HeaderMap, Vec<u8>)>,
    end: End,
    kept: Option<Connection>,
    /// What is wrong with it as a message.
    why: Option<String>,
}

enum Step {
    More,
    End,
    Left,
}

impl Connection {
    async fn ask(mut self, id: u64, ask: &Ask) -> Came {
        self.taken = 0;
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: site.test\r\nx-viewer: {id}\r\n",
            ask.method, ask.path
        );
        for (name, value) in &ask.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = if ask.method == "POST" { "abc" } else { "" };
        if !body.is_empty() {
            head.push_str("content-length: 3\r\n");
        }
        let request = format!("{head}\r\n{body}");
        let half = &request.as_bytes()[..request.len() / 2];
        match ask.leaves {
            Leaves::HalfAsked => {
                let _sent = self.pipe.write_all(half).await;
                return Came::nothing(End::Left);
            }
            Leaves::Stuck => {
                let _sent = self.pipe.write_all(half).await;
                // The server ends it.
                while let Ok(1..) = self.pipe.read(&mut [0; 100]).await {}
                return Came::nothing(End::Cut);
            }
            _ => {}
        }
        if self.pipe.write_all(request.as_bytes()).await.is_err() {
            return Came::nothing(End::Cut);
        }
        let at = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            match self.more(ask).await {
                Step::More => {}
                Step::End if !self.read.is_empty() => return Came::wrong("half of a head"),
                Step::End => return Came::nothing(End::Cut),
                Step::Left => return Came::nothing(End::Left),
            }
        };
        let head: Vec<u8> = self.read.drain(..at + 4).collect();
        let Some((status, fields)) = parse_head(&head) else {
            let head = String::from_utf8_lossy(&head);
            return Came::wrong(&format!("no head: {head:?}"));
        };
        self.drips = fields.contains_key("x-drips");
        let length = super::origin::text(&fields, "content-length").parse::<usize>();
        let is_chunked = fields.contains_key("transfer-encoding");
        let mut body = Vec::new();
        let end = if ask.method == "HEAD" || matches!(status, 204 | 304) {
            End::Whole
        } else if is_chunked {
            match self.chunks(ask, &mut body).await {
                Ok(end) => end,
                Err(why) => return Came::wrong(&why),
            }
        } else if let Ok(length) = length {
            self.upto(ask, length, &mut body).await
        } else {
            return Came::wrong(&format!("no framing: {status} {fields:?}"));
        };
        let is_kept = end == End::Whole && super::origin::text(&fields, "connection") != "close";
        Came {
            got: Some((status, fields, body)),
            end,
            kept: is_kept.then_some(self),
            why: None,
        }
    }

    /// Reads on.
    async fn more(&mut self, ask: &Ask) -> Step {
        let mut room = match ask.reads {
            Reads::Fast => 8192,
            Reads::Slowly(bytes, millis) => {
                sleep(Duration::from_millis(millis)).await;
                // After some bytes one by one, by as many.
                match self.taken {
                    0..30 => bytes,
                    _ => bytes.max(400),
                }
            }
        };
        if let Leaves::AtByte(at) = ask.leaves {
            room = room.min(at - self.taken);
            if room == 0 {
                return Step::Left;
            }
        }
        if self.drips && self.taken > 600 {
            return Step::Left;
        }
        let mut buffer = [0; 8192];
        match self.pipe.read(&mut buffer[..room]).await {
            Ok(0) | Err(_) => Step::End,
            Ok(count) => {
                self.taken += count;
                self.read.extend_from_slice(&buffer[..count]);
                Step::More
            }
        }
    }

    async fn upto(&mut self, ask: &Ask, length: usize, body: &mut Vec<u8>) -> End {
        loop {
            let take = self.read.len().min(length - body.len());
            body.extend(self.read.drain(..take));
            if body.len() == length {
                return End::Whole;
            }
            match self.more(ask).await {
                Step::More => {}
                Step::End => return End::Cut,
                Step::Left => return End::Left,
            }
        }
    }

    async fn chunks(&mut self, ask: &Ask, body: &mut Vec<u8>) -> Result<End, String> {
        loop {
            let line = loop {
                if let Some(at) = self.read.windows(2).position(|two| two == b"\r\n") {
                    break at;
                }
                match self.more(ask).await {
                    Step::More => {}
                    Step::End => return Ok(End::Cut),
                    Step::Left => return Ok(End::Left),
                }
            };
            let line: Vec<u8> = self.read.drain(..line + 2).collect();
            let size = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(size.trim(), 16);
            let size = size.map_err(|_| format!("no chunk: {line:?}"))?;
            let mut chunk = Vec::new();
            let end = self.upto(ask, size + 2, &mut chunk).await;
            chunk.truncate(size);
            body.append(&mut chunk);
            if end != End::Whole || size == 0 {
                return Ok(end);
            }
        }
    }

    /// Nothing comes that wasn't asked for.
    async fn nothing_more(mut self, world: &World) {
        let mut rest = std::mem::take(&mut self.read);
        let reading = self.pipe.read_buf(&mut rest);
        drop(timeout(Duration::from_millis(1), reading).await);
        if !rest.is_empty() {
            let rest = String::from_utf8_lossy(&rest);
            world.wrong(format!("unasked: {rest:?}"));
        }
    }
}

impl Came {
    fn nothing(end: End) -> Self {
        Self {
            got: None,
            end,
            kept: None,
            why: None,
        }
    }

    fn wrong(why: &str) -> Self {
        Self {
            why: Some(why.to_owned()),
            ..Self::nothing(End::Cut)
        }
    }
}

fn parse_head(head: &[u8]) -> Option<(u16, HeaderMap)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?;
    let status = status.split(' ').next()?.parse().ok()?;
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        fields.append(
            name.parse::<HeaderName>().ok()?,
            HeaderValue::from_str(value.trim()).ok()?,
        );
    }
    Some((status, fields))
}
