//! The origin as a server whose every byte is written here, and as a service in the process.

use super::{
    origin::{Brain, Cut, Fate, Framing, POISON, Reply},
    pipe::{Pipe, pipe},
};
use bytes::Bytes;
use frontage::error::BoxError;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Sleep, sleep},
};
use tower::Service;

/// The body of any request or response here.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// What panics here panic with, past the hook.
pub(crate) struct OnPurpose;

fn panics() -> ! {
    std::panic::resume_unwind(Box::new(OnPurpose))
}

async fn pass(millis: u64) {
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}

/// Connects to the server.
#[derive(Clone)]
pub(crate) struct Dial(pub(crate) Brain);

impl Service<Uri> for Dial {
    type Response = TokioIo<Pipe>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Pipe>>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let brain = self.0.clone();
        Box::pin(async move {
            let (is_refused, after) = brain.connects();
            pass(after).await;
            if is_refused {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = pipe(brain.plan.buffer);
            tokio::spawn(serve(brain, far));
            Ok(near.io())
        })
    }
}

/// Serves a connection until either side ends it.
async fn serve(brain: Brain, mut connection: Pipe) {
    let mut read = Vec::new();
    while let Some((method, path, fields)) = next_request(&mut connection, &mut read).await {
        let reply = brain.answer(&method, &path, &fields);
        match send(&mut connection, reply).await {
            Ok(After::Next) => {}
            Ok(After::Reset) => return connection.reset(),
            // Or the other side is gone.
            Ok(After::End) | Err(_) => return,
        }
    }
}

enum After {
    Next,
    End,
    Reset,
}

async fn next_request(
    connection: &mut Pipe,
    read: &mut Vec<u8>,
) -> Option<(Method, String, HeaderMap)> {
    let mut buffer = [0; 2048];
    let end = loop {
        match read.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => match connection.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => read.extend_from_slice(&buffer[..count]),
            },
        }
    };
    let head: Vec<u8> = read.drain(..end).collect();
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let method = first.next()?.parse().unwrap();
    let path = first.next()?.to_owned();
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        fields.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    let length = super::origin::text(&fields, "content-length");
    let length = length.parse().unwrap_or(0);
    while read.len() < length {
        match connection.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
    read.drain(..length);
    Some((method, path, fields))
}

async fn send(connection: &mut Pipe, reply: Reply) -> io::Result<After> {
    pass(reply.head_after).await;
    let mut head = format!("HTTP/1.1 {} x\r\n", reply.status);
    for (name, value) in &reply.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match reply.framing {
        // Of an answer to `HEAD` and of a 304 it would be that of the body that isn't there.
        Framing::Length(0) if matches!(reply.status, 304) => {}
        Framing::Length(length) => head.push_str(&format!("content-length: {length}\r\n")),
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::Close => head.push_str("connection: close\r\n"),
    }
    head.push_str("\r\n");
    match reply.fate {
        Fate::Nothing => return Ok(After::Reset),
        Fate::HalfHead => {
            connection
                .write_all(&head.as_bytes()[..head.len() / 2])
                .await?;
            return Ok(After::End);
        }
        Fate::TooLong => {
            let all = [head.as_bytes(), &reply.body, POISON.as_bytes()].concat();
            connection.write_all(&all).await?;
            return Ok(After::Next);
        }
        _ => connection.write_all(head.as_bytes()).await?,
    }
    let upto = match reply.fate {
        Fate::At(at, _) => at,
        _ => reply.body.len(),
    };
    for piece in reply.body[..upto].chunks(reply.piece) {
        if reply.framing == Framing::Chunked {
            connection
                .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                .await?;
        }
        connection.write_all(piece).await?;
        if reply.framing == Framing::Chunked {
            connection.write_all(b"\r\n").await?;
        }
        pass(reply.pause).await;
    }
    Ok(match (reply.fate, reply.framing) {
        (Fate::At(_, Cut::Stall(millis)), _) => {
            pass(millis).await;
            After::End
        }
        (Fate::At(_, Cut::BadChunk), _) => {
            connection.write_all(b"zz\r\n").await?;
            // Whoever reads on anyway finds an end.
            connection.write_all(b"0\r\n\r\n").await?;
            After::End
        }
        (Fate::At(_, Cut::End), _) => After::End,
        (Fate::At(..), _) => After::Reset,
        (_, Framing::Chunked) => {
            connection.write_all(b"0\r\n\r\n").await?;
            After::Next
        }
        (_, Framing::Close) => After::End,
        _ => After::Next,
    })
}

/// The origin in the process.
#[derive(Clone)]
pub(crate) struct Handler(pub(crate) Brain);

impl<B: Body + Send + 'static> Service<Request<B>> for Handler {
    type Response = Response<AnyBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<AnyBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let reply = self
            .0
            .answer(&parts.method, parts.uri.path(), &parts.headers);
        Box::pin(async move {
            pass(reply.head_after).await;
            match reply.fate {
                Fate::Nothing => return Err("the origin fails".into()),
                Fate::HalfHead => panics(),
                _ => {}
            }
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(reply.status)?;
            for (name, value) in &reply.fields {
                response
                    .headers_mut()
                    .append(*name, HeaderValue::from_str(value)?);
            }
            if let Framing::Length(length) = reply.framing
                && reply.status != 304
            {
                response
                    .headers_mut()
                    .insert("content-length", length.into());
            }
            Ok(response.map(|()| {
                HandlerBody {
                    reply,
                    at: 0,
                    pausing: None,
                }
                .boxed_unsync()
            }))
        })
    }
}

struct HandlerBody {
    reply: Reply,
    at: usize,
    pausing: Option<Pin<Box<Sleep>>>,
}

impl Body for HandlerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(pausing) = &mut this.pausing {
            std::task::ready!(pausing.as_mut().poll(cx));
            this.pausing = None;
        }
        let whole = this.reply.body.len();
        let upto = match this.reply.fate {
            Fate::At(at, _) => at,
            _ => whole,
        };
        if this.at < upto {
            let end = upto.min(this.at + this.reply.piece);
            let piece = this.reply.body.slice(this.at..end);
            this.at = end;
            if this.reply.pause > 0 {
                let pause = Duration::from_millis(this.reply.pause);
                this.pausing = Some(Box::pin(sleep(pause)));
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match std::mem::replace(&mut this.reply.fate, Fate::Whole) {
            Fate::At(at, Cut::Stall(millis)) => {
                this.reply.fate = Fate::At(at, Cut::End);
                this.pausing = Some(Box::pin(sleep(Duration::from_millis(millis))));
                self.poll_frame(cx)
            }
            Fate::At(at, Cut::End) => {
                this.reply.fate = Fate::At(at, Cut::End);
                Poll::Ready(None)
            }
            Fate::At(_, Cut::Panic) => panics(),
            Fate::At(..) => {
                this.at = whole;
                Poll::Ready(Some(Err("the origin's body fails".into())))
            }
            Fate::TooLong => Poll::Ready(Some(Ok(Frame::data(POISON.into())))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reply.fate == Fate::Whole && self.at == self.reply.body.len()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.reply.framing, self.reply.fate) {
            (Framing::Length(_), Fate::Whole) => {
                SizeHint::with_exact((self.reply.body.len() - self.at) as u64)
            }
            _ => SizeHint::default(),
        }
    }
}
