//! WebSockets: once both sides have changed the protocol, bytes go both ways.

use super::{
    OriginBody, OriginFailure,
    client::Answer,
    request::{names, upgrade_to_websocket},
    upload::Progress,
};
use crate::headers::remove_hop_by_hop;
use bytes::Bytes;
use futures_util::future::try_join;
use http::{Extensions, Response, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

const BUFFER: usize = 16 << 10;

/// The viewer's connection, for after the answer.
pub(super) fn viewer(extensions: &mut Extensions) -> Option<OnUpgrade> {
    extensions.remove()
}

/// The answer to the viewer; when it is sent, both connections are joined. Fails where the origin changes to a protocol
/// that it wasn't asked for.
pub(super) fn connect(
    mut response: Response<Answer>,
    viewer: OnUpgrade,
    idle: Duration,
) -> Result<Response<OriginBody>, OriginFailure> {
    if !names(response.headers(), header::UPGRADE, "websocket") {
        return Err(OriginFailure::InvalidResponse);
    }
    let origin = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        match try_join(viewer, origin).await {
            Ok((viewer, origin)) => exchange(viewer, origin, idle).await,
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    remove_hop_by_hop(response.headers_mut());
    upgrade_to_websocket(response.headers_mut());
    Ok(response.map(|_none| OriginBody::page(Bytes::new())))
}

async fn exchange(viewer: Upgraded, origin: Upgraded, idle: Duration) {
    let (from_viewer, to_viewer) = split(TokioIo::new(viewer));
    let (from_origin, to_origin) = split(TokioIo::new(origin));
    // CloudFront waits for the origin's bytes.
    let (progress, unseen) = (Progress::new(), Progress::unseen());
    let both = try_join(
        carry(from_viewer, to_origin, &unseen),
        carry(from_origin, to_viewer, &progress),
    );
    match progress.in_time(idle, both).await {
        Some(Ok(_)) => {}
        Some(Err(error)) => tracing::debug!(%error, "a WebSocket broke off"),
        None => tracing::debug!("a WebSocket was still for too long"),
    }
}

/// Carries bytes one way, and its end. Fails when there is nobody any more to read from, which ends the other way, too.
async fn carry<I>(
    mut from: ReadHalf<TokioIo<I>>,
    mut to: WriteHalf<TokioIo<I>>,
    progress: &Progress,
) -> io::Result<()>
where
    TokioIo<I>: AsyncRead + AsyncWrite,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        progress.made();
        let written = match buffer.get(..read) {
            Some(bytes) if read > 0 => write(&mut to, bytes).await,
            _ => to.shutdown().await,
        };
        progress.made();
        // Who takes no more may have said something before: it ends the other way when that is read.
        if read == 0 || written.is_err() {
            return Ok(());
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}
