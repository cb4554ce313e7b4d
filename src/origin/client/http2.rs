//! Connections of HTTP/2: one carries as many requests as the origin lets it, and then there is another.

use super::{
    connect::{Connecting, Connector, READ_BUFFER},
    failed::{Broken, Failed, failure},
};
use crate::origin::{
    OriginFailure,
    timer::{Timer, later},
    upload::RequestBody,
};
use futures_util::future::{Either, FutureExt, Shared, select};
use http::{Request, Response, Uri, Version, header};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::{
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// What an ended connection leaves to its requests arrives within this time.
const AFTERMATH: Duration = Duration::from_secs(1);

/// An origin sends so much of an answer that nobody reads.
const STREAM_WINDOW: u32 = 1 << 20;
/// More than all such answers, or they would hold up others. h2 ends a connection, too, on which small messages wait that
/// would fill half of it.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// So many requests are sent before the origin has said how many it takes: those above would be refused.
const FIRST: usize = 1;
/// So many it takes at least (RFC 9113 section 6.5.2): until it has said so, others wait for that on the same connection.
const PRESUMED: usize = 100;

pub(super) struct Http2 {
    connector: Connector,
    keep_alive: Duration,
    /// The first that has room is used, so that the last become idle.
    connections: Mutex<Vec<Opening>>,
}

/// Whoever needs a connection waits for the one that opens.
type Opening = Shared<Pin<Box<dyn Future<Output = Result<Arc<Connection>, OriginFailure>> + Send>>>;

struct Connection {
    sender: http2::SendRequest<RequestBody>,
    /// Its other end goes with the connection.
    closed: watch::Receiver<()>,
    /// It has answered before.
    used: AtomicBool,
    last_used: Mutex<Instant>,
    requests: AtomicUsize,
    /// So many requests the origin lets it carry at a time; [`FIRST`] before it has said so.
    most: Arc<AtomicUsize>,
}

impl Connection {
    fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.closed.has_changed().is_err()
    }

    fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        self.requests.load(Ordering::Relaxed) < self.most()
    }

    fn most(&self) -> usize {
        match self.most.load(Ordering::Relaxed) {
            0..=FIRST => PRESUMED,
            most => most,
        }
    }

    /// One request more, if there is room for it.
    fn lease(self: Arc<Self>) -> Option<Lease> {
        let most = self.most();
        let more = |requests| (requests < most).then_some(requests + 1);
        let leased = self
            .requests
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        leased.ok().map(|_| Lease {
            timer: Timer::default(),
            connection: self,
        })
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
        self.connection.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Http2 {
    pub(super) fn new(connector: Connector, connecting: &Connecting) -> Self {
        Self {
            connector,
            keep_alive: connecting.keep_alive,
            connections: Mutex::default(),
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
        self.address(request)?;
        let lease = self.lease(anew).await?;
        let connection = &lease.connection;
        let is_used = connection.is_used();
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
            Some(Some(Err(error))) => {
                let mut failed = Failed::of(error, request);
                failed.may_be_repeated = match failed.http2 {
                    Some(Broken::Stream) => false,
                    Some(Broken::Unprocessed) => true,
                    Some(Broken::Connection) | None => is_used && failed.is_closed(),
                };
                if failed.may_be_repeated {
                    self.forget(connection);
                }
                Err(failed)
            }
            Some(None) => Err(Failed {
                may_be_repeated: is_used,
                ..OriginFailure::Closed.into()
            }),
            None => {
                // Perhaps nothing comes over it any more, which no other request should find out.
                self.forget(connection);
                Err(progress.failure().into())
            }
        }
    }

    async fn lease(self: &Arc<Self>, anew: bool) -> Result<Lease, OriginFailure> {
        loop {
            // Others may have waited for the same, and filled it.
            let opened = self.connection(anew).await?;
            if let Some(lease) = opened.lease() {
                return Ok(lease);
            }
        }
    }

    fn connection(self: &Arc<Self>, anew: bool) -> Opening {
        let mut connections = self.connections.lock();
        connections.retain(|opening| match opening.peek() {
            None => true,
            Some(Ok(connection)) => !connection.is_closed(),
            Some(Err(_)) => false,
        });
        let is_usable = |opening: &&Opening| match opening.peek() {
            Some(Ok(connection)) => connection.has_room() && !(anew && connection.is_used()),
            _ => true,
        };
        if let Some(opening) = connections.iter().find(is_usable) {
            return opening.clone();
        }
        let opening = self.open();
        connections.push(opening.clone());
        opening
    }

    /// No other request uses it.
    fn forget(&self, connection: &Arc<Connection>) {
        let is_this = |opening: &Opening| matches!(opening.peek(), Some(Ok(held)) if Arc::ptr_eq(held, connection));
        let mut connections = self.connections.lock();
        let at = connections.iter().position(is_this);
        let forgotten = at.map(|at| connections.remove(at));
        drop(connections);
        drop(forgotten);
    }

    /// The whole URI, and what else is `Host` in it (RFC 9113 section 8.3.1).
    fn address(&self, request: &mut Request<RequestBody>) -> Result<(), OriginFailure> {
        *request.version_mut() = Version::HTTP_2;
        let mut uri = mem::take(request.uri_mut()).into_parts();
        let at = &self.connector.uri;
        uri.scheme = at.scheme().cloned();
        uri.authority = match request.headers_mut().remove(header::HOST) {
            Some(host) => {
                let authority = host.as_bytes().try_into();
                Some(authority.map_err(|_| OriginFailure::BadRequest)?)
            }
            // It has been here before, and came back.
            None => uri.authority.or_else(|| at.authority().cloned()),
        };
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| OriginFailure::BadRequest)?;
        Ok(())
    }

    fn open(self: &Arc<Self>) -> Opening {
        let connector = self.connector.clone();
        let this = Arc::downgrade(self);
        // A task of its own: whoever waits for it may leave.
        let opening = tokio::spawn(async move {
            let io = connector.connect().await?;
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_max_send_streams(FIRST)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(u32::try_from(READ_BUFFER).unwrap_or(u32::MAX))
                .handshake(TokioIo::new(io))
                .await
                .map_err(|error| failure(&error))?;
            let (open, closed) = watch::channel(());
            let most = Arc::new(AtomicUsize::new(FIRST));
            let allowed = most.clone();
            tokio::spawn(async move {
                let mut connection = connection;
                let ended = poll_fn(|cx| {
                    let ended = Pin::new(&mut connection).poll(cx);
                    allowed.store(connection.current_max_send_streams(), Ordering::Relaxed);
                    ended
                });
                if let Err(error) = ended.await {
                    tracing::debug!(%error, "a connection to the origin ended");
                }
                drop(open);
            });
            let connection = Arc::new(Connection {
                sender,
                closed,
                used: AtomicBool::new(false),
                last_used: Mutex::new(Instant::now()),
                requests: AtomicUsize::new(0),
                most,
            });
            tokio::spawn(Self::close_idle(this, Arc::downgrade(&connection)));
            Ok(connection)
        });
        let opening: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async move { opening.await.unwrap_or(Err(OriginFailure::Closed)) });
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
            until = later(*connection.last_used.lock(), this.keep_alive);
            let is_idle = connection.requests.load(Ordering::Relaxed) == 0;
            if connection.is_closed() || (is_idle && until <= Instant::now()) {
                return this.forget(&connection);
            }
            until = until.max(later(Instant::now(), this.keep_alive / 2));
        }
    }
}
