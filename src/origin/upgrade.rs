//! WebSockets: once both sides have changed the protocol, bytes go both ways.

use super::{OriginBody, client::Answer, timer::later};
use bytes::Bytes;
use futures_util::future::{Either, join, select, try_join};
use http::{Extensions, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::{pin::pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::watch,
    time::Instant,
};

const BUFFER: usize = 16 << 10;

/// The viewer's connection, for after the answer.
pub(super) fn viewer(extensions: &mut Extensions) -> Option<OnUpgrade> {
    extensions.remove()
}

/// The answer to the viewer; when it is sent, both connections are joined.
pub(super) fn connect(
    mut response: Response<Answer>,
    viewer: OnUpgrade,
    idle: Duration,
) -> Response<OriginBody> {
    let origin = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        match try_join(viewer, origin).await {
            Ok((viewer, origin)) => exchange(viewer, origin, idle).await,
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    response.map(|_none| OriginBody::page(Bytes::new()))
}

async fn exchange(viewer: Upgraded, origin: Upgraded, idle: Duration) {
    let (from_viewer, to_viewer) = split(TokioIo::new(viewer));
    let (from_origin, to_origin) = split(TokioIo::new(origin));
    let (moved, still) = watch::channel(Instant::now());
    let both = join(
        carry(from_viewer, to_origin, &moved),
        carry(from_origin, to_viewer, &moved),
    );
    if let Either::Right(_) = select(pin!(both), pin!(is_idle(still, idle))).await {
        tracing::debug!("a WebSocket was still for too long");
    }
}

/// Carries bytes one way, and its end.
async fn carry<I>(
    mut from: ReadHalf<TokioIo<I>>,
    mut to: WriteHalf<TokioIo<I>>,
    moved: &watch::Sender<Instant>,
) -> std::io::Result<()>
where
    TokioIo<I>: AsyncRead + AsyncWrite,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        moved.send_replace(Instant::now());
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

/// Ends when nothing has moved for so long.
async fn is_idle(moved: watch::Receiver<Instant>, idle: Duration) {
    loop {
        let until = later(*moved.borrow(), idle);
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}
