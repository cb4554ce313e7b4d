//! Connections of HTTP/1.1: each carries one request at a time, and is kept for the next.

use super::{
    arrivals::{Arrivals, Counted},
    connect::{Connecting, Connector, READ_BUFFER},
    failed::{Failed, failure},
};
use crate::origin::{
    OriginFailure,
    timer::{Timer, later},
    upload::RequestBody,
};
use futures_util::future::{Either, select};
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Poll, ready},
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

/// From so many that wait on, those that have left are looked for.
const FEW_WAITERS: usize = 64;

pub(super) struct Http1 {
    connector: Connector,
    keep_alive: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were kept.
    idle: VecDeque<Idle>,
    /// Those that connect, and take one that becomes idle before.
    waiters: VecDeque<oneshot::Sender<Lease>>,
    /// So many waiters are looked through for those that have left.
    many_waiters: usize,
    /// A task closes those that are idle for too long.
    is_closing: bool,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// An open connection.
struct Connection {
    sender: http1::SendRequest<RequestBody>,
    timer: Timer,
    arrivals: Arrivals,
    /// It has lain idle: it may have ended meanwhile.
    kept: bool,
}

/// A connection whose answer is being read; then it is kept for the next.
pub(in crate::origin) struct Lease {
    pub(in crate::origin) timer: Timer,
    connection: Option<Box<Connection>>,
    pool: Arc<Http1>,
}

impl Lease {
    fn into_connection(mut self) -> Option<Box<Connection>> {
        let mut connection = self.connection.take()?;
        connection.timer = mem::take(&mut self.timer);
        Some(connection)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.timer = mem::take(&mut self.timer);
            self.pool.keep(connection);
        }
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Box<Connection>, OriginFailure>> + Send>>;

impl Http1 {
    pub(super) fn new(connector: Connector, connecting: &Connecting) -> Self {
        Self {
            connector,
            keep_alive: connecting.keep_alive,
            state: Mutex::default(),
        }
    }

    /// Sends a request; `anew`: not over a connection that was kept.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: &mut Request<RequestBody>,
        timeout: Duration,
        anew: bool,
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        let kept = match anew {
            true => None,
            false => self.take(&mut self.state.lock()),
        };
        let connection = match kept {
            Some(kept) => kept,
            None if anew => self.open().await?,
            None => Box::pin(self.connection()).await?,
        };
        let (response, mut connection) = connection.send(request, timeout).await?;
        let timer = connection.as_mut().map(|kept| mem::take(&mut kept.timer));
        let lease = Lease {
            timer: timer.unwrap_or_default(),
            connection,
            pool: self.clone(),
        };
        Ok((response, lease))
    }

    /// One that was kept, or a new one: whichever there is first.
    async fn connection(self: &Arc<Self>) -> Result<Box<Connection>, OriginFailure> {
        let waiting = match self.take_or_wait() {
            Ok(connection) => return Ok(connection),
            Err(waiting) => waiting,
        };
        match select(self.open(), waiting).await {
            // One that is handed over just now is kept when it is dropped.
            Either::Left((opened, _)) => opened,
            Either::Right((Ok(lease), opening)) => {
                let pool = self.clone();
                tokio::spawn(async move {
                    if let Ok(connection) = opening.await {
                        pool.put(connection);
                    }
                });
                match lease.into_connection() {
                    Some(connection) => Ok(connection),
                    None => self.open().await,
                }
            }
            Either::Right((Err(_dropped), opening)) => opening.await,
        }
    }

    fn open(&self) -> Opening {
        let connector = self.connector.clone();
        Box::pin(async move {
            let arrivals = Arrivals::new();
            let io = TokioIo::new(Counted {
                io: connector.connect().await?,
                arrivals: arrivals.clone(),
            });
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(READ_BUFFER)
                .handshake(io)
                .await
                .map_err(|error| failure(&error))?;
            tokio::spawn(async move {
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "a connection to the origin ended");
                }
            });
            Ok(Box::new(Connection {
                sender,
                timer: Timer::default(),
                arrivals,
                kept: false,
            }))
        })
    }

    fn take(&self, state: &mut State) -> Option<Box<Connection>> {
        // The newest is the likeliest to be open still.
        while let Some(idle) = state.idle.pop_back() {
            if idle.since.elapsed() < self.keep_alive && idle.connection.sender.is_ready() {
                return Some(idle.connection);
            }
        }
        None
    }

    fn take_or_wait(&self) -> Result<Box<Connection>, oneshot::Receiver<Lease>> {
        let mut state = self.state.lock();
        if let Some(connection) = self.take(&mut state) {
            return Ok(connection);
        }
        if state.waiters.len() >= state.many_waiters.max(FEW_WAITERS) {
            state.waiters.retain(|waiter| !waiter.is_closed());
            state.many_waiters = 2 * state.waiters.len();
        }
        let (waiter, waiting) = oneshot::channel();
        state.waiters.push_back(waiter);
        Err(waiting)
    }

    /// Keeps a connection as soon as it has done with its request.
    fn keep(self: &Arc<Self>, mut connection: Box<Connection>) {
        if connection.sender.is_ready() {
            return self.put(connection);
        }
        let (false, Ok(runtime)) = (connection.sender.is_closed(), Handle::try_current()) else {
            return;
        };
        let pool = Arc::downgrade(self);
        let patience = self.keep_alive;
        runtime.spawn(async move {
            // What is left of the answer is read and dropped, or too much for that.
            let ready = poll_fn(|cx| connection.sender.poll_ready(cx));
            let ready = tokio::time::timeout(patience, ready).await;
            if let (Ok(Ok(())), Some(pool)) = (ready, pool.upgrade()) {
                pool.put(connection);
            }
        });
    }

    fn put(self: &Arc<Self>, mut connection: Box<Connection>) {
        connection.kept = true;
        let mut state = self.state.lock();
        while let Some(waiter) = state.waiters.pop_front() {
            let lease = Lease {
                timer: mem::take(&mut connection.timer),
                connection: Some(connection),
                pool: self.clone(),
            };
            match waiter.send(lease).map_err(Lease::into_connection) {
                Err(Some(returned)) => connection = returned,
                Ok(()) | Err(None) => return,
            }
        }
        let since = Instant::now();
        state.idle.push_back(Idle { connection, since });
        let (false, Ok(runtime)) = (state.is_closing, Handle::try_current()) else {
            return;
        };
        state.is_closing = true;
        // A runtime that is ending drops the task at once, which takes the lock.
        drop(state);
        let closing = Closing(Arc::downgrade(self));
        runtime.spawn(closing.run(self.keep_alive));
    }
}

/// The task that closes those that are idle for too long. It may end with its runtime: then another does that.
struct Closing(Weak<Http1>);

impl Closing {
    async fn run(mut self, keep_alive: Duration) {
        let mut until = later(Instant::now(), keep_alive);
        loop {
            tokio::time::sleep_until(until).await;
            let Some(pool) = self.0.upgrade() else {
                return;
            };
            let mut state = pool.state.lock();
            let is_over = |idle: &Idle| idle.since.elapsed() >= keep_alive;
            let fresh = state.idle.partition_point(is_over);
            let over = state.idle.drain(..fresh).collect::<Vec<_>>();
            match state.idle.front() {
                Some(oldest) => until = later(oldest.since, keep_alive),
                None => {
                    state.is_closing = false;
                    self.0 = Weak::new();
                    return;
                }
            }
            drop(state);
            drop(over);
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.state.lock().is_closing = false;
        }
    }
}

/// How waiting for an answer ends.
enum Came<A> {
    Answer(A),
    Closed,
    Late,
}

impl Connection {
    /// Sends a request, and waits for the head of the response: no longer than `timeout` after something moved.
    async fn send(
        mut self: Box<Self>,
        request: &mut Request<RequestBody>,
        timeout: Duration,
    ) -> Result<(Response<Incoming>, Option<Box<Self>>), Failed> {
        let (sent, arrived) = (request.body().progress(), self.arrivals.clone());
        let (late, before) = (sent.clone(), arrived.count());
        let mut since = Instant::now();
        let mut answering = pin!(self.sender.try_send_request(mem::take(request)));
        let came = poll_fn(|cx| {
            if let Poll::Ready(answered) = answering.as_mut().poll(cx) {
                return Poll::Ready(Came::Answer(answered));
            }
            if let Poll::Ready(Err(_closed)) = self.sender.poll_ready(cx) {
                return Poll::Ready(Came::Closed);
            }
            loop {
                ready!(self.timer.poll_until(cx, later(since, timeout)));
                match sent.last().max(arrived.progress.last()) {
                    Some(moved) if moved > since => since = moved,
                    _ => return Poll::Ready(Came::Late),
                }
            }
        });
        let came = came.await;
        let was_kept = self.kept;
        let (answered, connection) = match came {
            Came::Answer(answered) => (answered, Some(self)),
            Came::Late => return Err(late.failure().into()),
            Came::Closed => {
                // A request that was handed over as the connection ended comes back when there is no sender any more.
                drop(self);
                let answered = tokio::time::timeout_at(later(since, timeout), answering).await;
                (answered.map_err(|_| OriginFailure::ResponseTimeout)?, None)
            }
        };
        match answered {
            Ok(response) => Ok((response, connection)),
            Err(error) => {
                let mut failed = Failed::of(error, request);
                let nothing_came = arrived.count() == before;
                failed.may_be_repeated = was_kept && failed.is_closed() && nothing_came;
                Err(failed)
            }
        }
    }
}
