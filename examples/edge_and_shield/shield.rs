//! A shield: a cache between all edges and the origin, which can be ended and started again.

use crate::{
    counts::{Counts, counted},
    origin::ASKED_BY,
    server::{self, Server},
    table::Row,
};
use frontage::{
    MemoryStore,
    cdn_loop::CdnLoopLayer,
    origin::{Origin, OriginService, OriginShieldLayer},
};
use http::Request;
use hyper::body::Incoming;
use std::{
    error::Error,
    io, mem,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Mutex, watch},
};
use tower::{Layer, ServiceExt, service_fn};

/// Room for all objects there can be.
const MEMORY: u64 = 256 << 20;
/// Less than an edge waits, or to that a slow origin would be a shield that is down.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const BACKLOG: u32 = 1024;

#[derive(Debug)]
pub(crate) struct Shield {
    number: usize,
    pub(crate) url: String,
    address: SocketAddr,
    origin: OriginService,
    once: CdnLoopLayer,
    counts: Arc<Counts>,
    place: Mutex<Place>,
    /// Changes while `place` is locked.
    is_up: AtomicBool,
}

#[derive(Debug)]
enum Place {
    Up {
        server: Server,
        /// Dropped to kill it.
        life: watch::Sender<()>,
    },
    /// Its port is kept for it, where that could be had.
    Down(Option<TcpSocket>),
}

impl Shield {
    /// The shield of this number, from 1.
    pub(crate) async fn start(number: usize, origin: &str) -> Result<Self, Box<dyn Error>> {
        let origin = Origin::url(origin)?
            .custom_header(ASKED_BY.as_str(), &number.to_string())?
            .connection_timeout(Duration::from_secs(1))
            .response_timeout(RESPONSE_TIMEOUT)
            .build()?;
        let listener = server::listen().await?;
        let mut shield = Self {
            number,
            url: server::url(&listener)?,
            address: listener.local_addr()?,
            origin,
            once: CdnLoopLayer::new("frontage-shield")?,
            counts: Arc::default(),
            place: Mutex::new(Place::Down(None)),
            is_up: AtomicBool::new(false),
        };
        shield.place = Mutex::new(shield.serve(listener));
        Ok(shield)
    }

    /// Starts it with nothing stored, as a process starts.
    fn serve(&self, listener: TcpListener) -> Place {
        let cache = OriginShieldLayer::new(MemoryStore::new(MEMORY)).layer(self.origin.clone());
        let cache = self.once.layer(cache);
        let (life, alive) = watch::channel(());
        let mortal = service_fn(move |request: Request<Incoming>| {
            let (cache, mut alive) = (cache.clone(), alive.clone());
            async move {
                tokio::select! {
                    response = cache.oneshot(request) => response.map_err(|never| match never {}),
                    _ = alive.changed() => Err(io::Error::other("the shield is down")),
                }
            }
        });
        let counts = self.counts.clone();
        let service = service_fn(move |request| counted(mortal.clone(), request, counts.clone()));
        let server = Server::start(listener, service);
        self.is_up.store(true, Ordering::Relaxed);
        Place::Up { server, life }
    }

    /// Ends it: who has no head of an answer yet gets none, and nobody can connect to it.
    pub(crate) async fn down(&self) {
        let mut place = self.place.lock().await;
        if matches!(*place, Place::Down(_)) {
            return;
        }
        if let Place::Up { server, life } = mem::replace(&mut *place, Place::Down(None)) {
            self.is_up.store(false, Ordering::Relaxed);
            drop(life);
            server.stop().await;
        }
        let port = keep(self.address);
        *place = Place::Down(
            port.inspect_err(|error| tracing::warn!(%error, "the port is not kept"))
                .ok(),
        );
    }

    pub(crate) async fn up(&self) -> io::Result<()> {
        let mut place = self.place.lock().await;
        let Place::Down(port) = &mut *place else {
            return Ok(());
        };
        let port = match port.take() {
            Some(port) => port,
            None => keep(self.address)?,
        };
        *place = self.serve(port.listen(BACKLOG)?);
        Ok(())
    }

    pub(crate) fn row(&self) -> Row {
        let is_up = self.is_up.load(Ordering::Relaxed);
        let name = format!("shield {}", self.number);
        self.counts.row(name, &self.url, is_up)
    }
}

/// Takes a port without listening: connections are refused, and no other socket gets it.
fn keep(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
