//! The HTTP client to one origin.

mod connect;

use super::{
    OriginFailure,
    body::{RequestBody, ViewerBody},
};
use crate::error::ConfigError;
use connect::{ConnectError, Connector, Dialled, Uses};
use futures_util::future::{Either, select};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::capture_connection},
    rt::{TokioExecutor, TokioTimer},
};
use std::{error::Error, io, path::Path, pin::pin, sync::Arc, time::Duration};

/// Connections read in pieces of at most this, and so long may a head be.
const READ_BUFFER: usize = 64 << 10;

/// How connections are made and kept.
pub(super) struct Connecting {
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) keep_alive: Duration,
}

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

/// One client for each version of HTTP.
pub(super) struct Clients {
    http1: Client<Connector, RequestBody>,
    http2: Client<Connector, RequestBody>,
}

/// What a request that got no response leaves.
pub(super) struct Failed {
    pub(super) failure: OriginFailure,
    /// The connection had answered others before, and ended before a byte of this answer: the origin may never have seen the
    /// request.
    pub(super) on_reused: bool,
}

impl From<OriginFailure> for Failed {
    fn from(failure: OriginFailure) -> Self {
        Self {
            failure,
            on_reused: false,
        }
    }
}

impl Clients {
    pub(super) fn network(tls: rustls::ClientConfig, connecting: &Connecting) -> Self {
        Self {
            http1: client(connect::Way::network(tls.clone(), false), connecting, false),
            http2: client(connect::Way::network(tls, true), connecting, true),
        }
    }

    pub(super) fn new(way: Way, connecting: &Connecting) -> Self {
        Self {
            http1: client(way.0.clone(), connecting, false),
            http2: client(way.0, connecting, true),
        }
    }

    /// Sends a request, and waits for the head of the response: as long as it takes to connect, and `timeout` from then on.
    pub(super) async fn send(
        &self,
        mut request: Request<RequestBody>,
        http2: bool,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Failed> {
        let client = if http2 { &self.http2 } else { &self.http1 };
        if http2 {
            *request.version_mut() = http::Version::HTTP_2;
        }
        let progress = request.body().progress();
        let mut connected = capture_connection(&mut request);
        let mut call = pin!(client.request(request));
        let connecting = async {
            connected.wait_for_connection_metadata().await;
        };
        let answered = match select(call.as_mut(), pin!(connecting)).await {
            Either::Left((answered, _)) => answered,
            Either::Right(_) => progress
                .in_time(timeout, call.as_mut())
                .await
                .ok_or(OriginFailure::ResponseTimeout)?,
        };
        match answered {
            Ok(mut response) => {
                if let Some(uses) = response.extensions_mut().remove::<Uses>() {
                    uses.add();
                }
                Ok(response)
            }
            Err(error) => {
                let failed = failed(&error);
                tracing::warn!(
                    error = &error as &dyn Error,
                    "the origin failed: {}",
                    failed.failure
                );
                Err(failed)
            }
        }
    }
}

fn client(
    way: connect::Way,
    connecting: &Connecting,
    http2: bool,
) -> Client<Connector, RequestBody> {
    let connector = Connector {
        way,
        timeout: connecting.timeout,
        attempts: connecting.attempts,
    };
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(connecting.keep_alive)
        .retry_canceled_requests(false)
        .set_host(false)
        .http2_only(http2)
        .http2_adaptive_window(true)
        .http2_max_header_list_size(u32::try_from(READ_BUFFER).unwrap_or(u32::MAX))
        .http1_max_buf_size(READ_BUFFER)
        .build(connector)
}

fn failed(error: &ClientError) -> Failed {
    let mut failure = match error.is_connect() {
        true => OriginFailure::Connect,
        false => OriginFailure::Closed,
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return error.failure.into();
        }
        if error.is::<ViewerBody>() {
            return OriginFailure::RequestBody.into();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                failure = OriginFailure::HeaderTooBig;
            } else if error.is_parse() {
                failure = OriginFailure::InvalidResponse;
            } else if error.is_user() {
                failure = OriginFailure::RequestBody;
            }
        }
        cause = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    let uses = error.connect_info().and_then(|info| {
        let mut extensions = http::Extensions::new();
        info.get_extras(&mut extensions);
        extensions.remove::<Uses>()
    });
    Failed {
        failure,
        on_reused: failure == OriginFailure::Closed && uses.is_some_and(|uses| uses.any()),
    }
}

/// TLS 1.2 and 1.3 with a provider of our own, whatever the process has for a default. `needed`: the certificates that the
/// system trusts must be there.
pub(super) fn default_tls(needed: bool) -> Result<rustls::ClientConfig, ConfigError> {
    let mut roots = rustls::RootCertStore::empty();
    if needed {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let wanted = "given, since the system has no certificates that can be read";
            return Err(ConfigError::new("tls_config", "", wanted));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::new("tls_config", error, "versions that there are"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
