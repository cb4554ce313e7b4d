//! A viewer's connection.

use crate::{
    Failure,
    ask::{Answer, Ask},
    object::now,
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Uri, header};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::TcpSocket,
    task::JoinSet,
    time::{Instant, timeout},
};

/// No answer takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// The proxy ends a connection on which no request came for 30 s since it wrote the last answer. Who reads that slowly, or gets its turn
/// late, comes later.
const IDLE: Duration = Duration::from_secs(25);
/// What a slow reader takes at once.
const SIP: usize = 8 << 10;

pub(crate) struct Connection {
    proxy: SocketAddr,
    sender: Sender,
    asked_at: Instant,
    /// Ends with the connection, and the connection with it.
    _driver: JoinSet<()>,
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// What a connection is to be like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Http1,
    /// HTTP/1.1 that takes little at once.
    Narrow,
    Http2,
}

impl Connection {
    pub(crate) async fn open(proxy: SocketAddr, kind: Kind) -> Result<Self, Failure> {
        let socket = TcpSocket::new_v4()?;
        if kind == Kind::Narrow {
            socket.set_recv_buffer_size(SIP as u32)?;
        }
        let stream = socket.connect(proxy).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        let mut driver = JoinSet::new();
        // Why a connection ended is seen in the answers.
        let sender = if kind == Kind::Http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            driver.spawn(async move { drop(connection.await) });
            Sender::Http2(sender)
        } else {
            let mut builder = http1::Builder::new();
            if kind == Kind::Narrow {
                builder.max_buf_size(SIP);
            }
            let (sender, connection) = builder.handshake(io).await?;
            driver.spawn(async move { drop(connection.await) });
            Sender::Http1(sender)
        };
        Ok(Self {
            proxy,
            sender,
            asked_at: Instant::now(),
            _driver: driver,
        })
    }

    /// Asks: at the same time where the protocol can, else one after another.
    pub(crate) async fn answers(&mut self, asks: &[Ask]) -> Vec<Result<Answer, Failure>> {
        let proxy = self.proxy;
        match &mut self.sender {
            Sender::Http1(sender) => {
                let mut answers = Vec::with_capacity(asks.len());
                for ask in asks {
                    let is_idle = self.asked_at.elapsed() > IDLE;
                    self.asked_at = Instant::now();
                    answers.push(in_time(ask, http1(sender, proxy, ask, is_idle)).await);
                }
                answers
            }
            Sender::Http2(sender) => {
                let answers = asks
                    .iter()
                    .map(|ask| in_time(ask, http2(sender.clone(), proxy, ask)));
                join_all(answers).await
            }
        }
    }
}

async fn in_time(
    ask: &Ask,
    answer: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    let answer = match timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err("no end within a minute".into()),
    };
    answer.map_err(|error| format!("{error}: {ask:?}").into())
}

async fn http1(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    proxy: SocketAddr,
    ask: &Ask,
    is_idle: bool,
) -> Result<Answer, Failure> {
    match sender.ready().await {
        Err(_ended) if is_idle => return Ok(Answer::aborted()),
        ready => ready?,
    }
    let mut request = ask.request(proxy)?;
    *request.uri_mut() = Uri::try_from(ask.object.path())?;
    let asked_at = now();
    ask.judge(sender.send_request(request).await?, asked_at)
        .await
}

async fn http2(
    mut sender: http2::SendRequest<Empty<Bytes>>,
    proxy: SocketAddr,
    ask: &Ask,
) -> Result<Answer, Failure> {
    sender.ready().await?;
    let mut request = ask.request(proxy)?;
    request.headers_mut().remove(header::HOST);
    let asked_at = now();
    match sender.send_request(request).await {
        Ok(response) => ask.judge(response, asked_at).await,
        // A stream that is reset may take its head with it.
        Err(_reset) if ask.object.is_faulty() => Ok(Answer::aborted()),
        Err(error) => Err(error.into()),
    }
}
