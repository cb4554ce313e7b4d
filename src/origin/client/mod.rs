//! The HTTP client to one origin: hyper's connections, and those that are kept.
//!
//! The pool is our own, since hyper-util's client tells neither whether a connection was kept nor when it was connected, loses a
//! request that it hands to a connection as that ends, and costs more than all else that an origin does.

mod arrivals;
mod connect;
mod continues;
mod failed;
mod http1;
mod http2;
mod tls;

pub(super) use connect::{Connecting, READ_BUFFER};
pub(super) use failed::Failed;
pub(super) use tls::default_tls;

use super::{OriginFailure, timer::Timer, upload::RequestBody};
use connect::{Connector, Dialled, Network};
use continues::Continues;
use http::{
    Request, Response, Uri,
    uri::{self, Authority, PathAndQuery, Scheme},
};
use http1::Http1;
use http2::Http2;
use hyper::body::Incoming;
use std::{path::Path, sync::Arc, time::Duration};

/// How a connection is made.
#[derive(Clone)]
pub(super) struct Way(connect::Way);

impl Way {
    pub(super) fn unix(path: &Path) -> Self {
        Self(connect::Way::Unix(path.into()))
    }

    pub(super) fn given<C>(connector: C) -> Self
    where
        Dialled<C>: connect::Dial + 'static,
    {
        Self(connect::Way::Given(Arc::new(Dialled(connector))))
    }
}

/// The connections of an origin: by HTTP and HTTPS, where it is reached so.
pub(super) struct Clients {
    http: Option<Client>,
    https: Option<Client>,
}

/// The connections of one scheme: of each version of HTTP.
struct Client {
    http1: Arc<Http1>,
    http2: Arc<Http2>,
}

/// How a request is sent.
#[derive(Clone, Copy)]
pub(super) struct Sending {
    pub(super) https: bool,
    pub(super) http2: bool,
    /// To the head of the response.
    pub(super) timeout: Duration,
    /// Not over a connection that has answered others.
    pub(super) anew: bool,
}

/// An answer's body, and the connection that it comes over.
pub(super) struct Answer {
    pub(super) body: Incoming,
    pub(super) lease: Lease,
}

/// A connection in use.
pub(super) enum Lease {
    Http1(http1::Lease),
    Http2(http2::Lease),
}

impl Lease {
    pub(super) fn timer(&mut self) -> &mut Timer {
        match self {
            Self::Http1(lease) => &mut lease.timer,
            Self::Http2(lease) => &mut lease.timer,
        }
    }
}

impl Clients {
    /// For those of the authorities that there are.
    pub(super) fn network(
        tls: rustls::ClientConfig,
        http: Option<&Authority>,
        https: Option<&Authority>,
        connecting: &Connecting,
    ) -> Self {
        let ways = [
            connect::Way::Network(Network::new(tls.clone(), false)),
            connect::Way::Network(Network::new(tls, true)),
        ];
        Self::over(&ways, http, https, connecting)
    }

    pub(super) fn new(
        way: Way,
        http: Option<&Authority>,
        https: Option<&Authority>,
        connecting: &Connecting,
    ) -> Self {
        Self::over(&[way.0.clone(), way.0], http, https, connecting)
    }

    fn over(
        ways: &[connect::Way; 2],
        http: Option<&Authority>,
        https: Option<&Authority>,
        connecting: &Connecting,
    ) -> Self {
        let client = |scheme, authority| Client::new(ways, scheme, authority, connecting);
        Self {
            http: http.and_then(|authority| client(Scheme::HTTP, authority)),
            https: https.and_then(|authority| client(Scheme::HTTPS, authority)),
        }
    }

    /// Sends a request, taking it from its place, and waits for the head of the response: as long as it takes to connect,
    /// and so long from then on.
    pub(super) async fn send(
        &self,
        request: &mut Request<RequestBody>,
        sending: Sending,
    ) -> Result<Response<Answer>, Failed> {
        let client = match sending.https {
            true => &self.https,
            false => &self.http,
        };
        let client = client.as_ref().ok_or(OriginFailure::BadRequest)?;
        let continues = Continues::of(request);
        let (response, lease) = if sending.http2 {
            let answered = client.http2.send(request, sending.timeout, sending.anew);
            let (response, lease) = Box::pin(answered).await?;
            (response, Lease::Http2(lease))
        } else {
            let answered = client.http1.send(request, sending.timeout, sending.anew);
            let (response, lease) = answered.await?;
            (response, Lease::Http1(lease))
        };
        match continues.are_several() {
            true => Err(OriginFailure::InvalidResponse.into()),
            false => Ok(response.map(|body| Answer { body, lease })),
        }
    }
}

impl Client {
    fn new(
        [http1, http2]: &[connect::Way; 2],
        scheme: Scheme,
        authority: &Authority,
        connecting: &Connecting,
    ) -> Option<Self> {
        let mut uri = uri::Parts::default();
        uri.scheme = Some(scheme);
        uri.authority = Some(authority.clone());
        uri.path_and_query = Some(PathAndQuery::from_static("/"));
        let uri = Uri::from_parts(uri).ok()?;
        let connector = |way: &connect::Way| Connector {
            way: way.clone(),
            uri: uri.clone(),
            timeout: connecting.timeout,
            attempts: connecting.attempts,
            is_shield: connecting.is_shield,
        };
        Some(Self {
            http1: Arc::new(Http1::new(connector(http1), connecting)),
            http2: Arc::new(Http2::new(connector(http2), connecting)),
        })
    }
}
