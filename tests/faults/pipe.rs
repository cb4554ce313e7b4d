//! Connections in memory: small buffers, and ends that are clean or not.

use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// One end of a connection.
pub(crate) struct Pipe {
    io: DuplexStream,
    is_reset: Arc<AtomicBool>,
}

pub(crate) fn pipe(buffer: usize) -> (Pipe, Pipe) {
    let (near, far) = tokio::io::duplex(buffer);
    let is_reset = Arc::<AtomicBool>::default();
    let end = |io| Pipe {
        io,
        is_reset: is_reset.clone(),
    };
    (end(near), end(far))
}

impl Pipe {
    /// Ends it with an error for the other side, once that has read what came before.
    pub(crate) fn reset(self) {
        self.is_reset.store(true, Ordering::SeqCst);
    }

    /// For hyper.
    pub(crate) fn io(self) -> TokioIo<Self> {
        TokioIo::new(self)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let is_end = buffer.filled().len() == before && buffer.remaining() > 0;
        Poll::Ready(match is_end && self.is_reset.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        })
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
