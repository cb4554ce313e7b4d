//! The connection of HTTP/2: one carries all requests.

use super::{
    connect::{Connecting, Connector, READ_BUFFER},
    failed::{Failed, failure},
};
use crate::origin::{
    OriginFailure,
    timer::{Timer, later},
    upload::RequestBody,
};
use futures_util::future::{Either, FutureExt, Shared, select};
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use std::{
    future::Future,
    mem,
    pin::{Pin, pin},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// What an ended connection leaves to its requests arrives within this time.
const AFTERMATH: Duration = Duration::from_secs(1);

pub(super) struct Http2 {
    connector: Connector,
    keep_alive: Duration,
    opening: Mutex<Option<Opening>>,
}

/// Whoever needs the connection waits for the one that opens.
type Opening = Shared<Pin<Box<dyn Future<Output = Result<Arc<Connection>, OriginFailure>> + Send>>>;

struct Connection {
    sender: http2::SendRequest<RequestBody>,
    /// Its other end goes with the connection.
    closed: watch::Receiver<()>,
    /// It has answered before.
    used: AtomicBool,
    last_used: Mutex<Instant>,
}

impl Connection {
    fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.closed.has_changed().is_err()
    }

    fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

/// A connection one of whose answers is being read.
pub(in crate::origin) struct Lease {
    pub(in crate::origin) timer: Timer,
    connection: Arc<Connection>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.connection.last_used.lock() = Instant::now();
    }
}

impl Http2 {
    pub(super) fn new(connector: Connector, connecting: &Connecting) -> Self {
        Self {
            connector,
            keep_alive: connecting.keep_alive,
            opening: Mutex::default(),
        }
    }

    /// Sends a request, and waits for the head of the response: no longer than `timeout` after something moved. `anew`: not
    /// over a connection that has answered.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: &mut Request<RequestBody>,
        timeout: Duration,
        anew: bool,
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        let lease = Lease {
            timer: Timer::default(),
            connection: self.connection(anew).await?,
        };
        let connection = &lease.connection;
        let on_used = connection.is_used();
        let progress = request.body().progress();
        let mut answering = pin!(
            connection
                .sender
                .clone()
                .try_send_request(mem::take(request))
        );
        let mut closed = connection.closed.clone();
        let answered = progress.in_time(timeout, async {
            match select(answering.as_mut(), pin!(closed.changed())).await {
                Either::Left((answered, _)) => Some(answered),
                // One that was handed over as the connection ended may never come back.
                Either::Right((_, answering)) => {
                    tokio::time::timeout(AFTERMATH, answering).await.ok()
                }
            }
        });
        match answered.await {
            Some(Some(Ok(response))) => {
                connection.used.store(true, Ordering::Relaxed);
                Ok((response, lease))
            }
            Some(Some(Err(error))) => Err(Failed::of(error, on_used, request)),
            Some(None) => Err(Failed {
                failure: OriginFailure::Closed,
                on_used,
                is_unsent: false,
            }),
            None => Err(OriginFailure::ResponseTimeout.into()),
        }
    }

    async fn connection(self: &Arc<Self>, anew: bool) -> Result<Arc<Connection>, OriginFailure> {
        let opening = {
            let mut slot = self.opening.lock();
            let is_usable = |opening: &&Opening| match opening.peek() {
                None => true,
                Some(Ok(connection)) if anew => !connection.is_closed() && !connection.is_used(),
                Some(Ok(connection)) => !connection.is_closed(),
                Some(Err(_)) => false,
            };
            match slot.as_ref().filter(is_usable) {
                Some(opening) => opening.clone(),
                None => slot.insert(self.open()).clone(),
            }
        };
        opening.await
    }

    fn open(self: &Arc<Self>) -> Opening {
        let connector = self.connector.clone();
        let this = Arc::downgrade(self);
        let opening: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            let io = connector.connect().await?;
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .adaptive_window(true)
                .max_header_list_size(u32::try_from(READ_BUFFER).unwrap_or(u32::MAX))
                .handshake(io)
                .await
                .map_err(|error| failure(&error))?;
            let (open, closed) = watch::channel(());
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the origin ended");
                }
                drop(open);
            });
            let connection = Arc::new(Connection {
                sender,
                closed,
                used: AtomicBool::new(false),
                last_used: Mutex::new(Instant::now()),
            });
            tokio::spawn(Self::close_idle(this, Arc::downgrade(&connection)));
            Ok(connection)
        });
        opening.shared()
    }

    /// Drops a connection that nobody has used for so long.
    async fn close_idle(this: Weak<Self>, connection: Weak<Connection>) {
        let mut until = Instant::now();
        loop {
            tokio::time::sleep_until(until).await;
            let (Some(this), Some(connection)) = (this.upgrade(), connection.upgrade()) else {
                return;
            };
            let mut slot = this.opening.lock();
            until = later(*connection.last_used.lock(), this.keep_alive);
            // The slot's, and ours.
            let is_idle = Arc::strong_count(&connection) <= 2;
            if connection.is_closed() || (is_idle && until <= Instant::now()) {
                let is_this = |opening: &mut Opening| matches!(opening.peek(), Some(Ok(held)) if Arc::ptr_eq(held, &connection));
                let dropped = slot.take_if(is_this);
                drop(slot);
                drop(dropped);
                return;
            }
            until = until.max(later(Instant::now(), this.keep_alive / 2));
        }
    }
}
