//! How an origin is reached: the attempts, the time for each, and what became of them.

use crate::{error::BoxError, origin::OriginFailure};
use http::{Uri, uri::Scheme};
use hyper::rt::{Read, Write};
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        dns::{GaiAddrs, GaiResolver, Name},
    },
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower_service::Service;

/// Connections read in pieces of at most this, and so long may a head be.
pub(in crate::origin) const READ_BUFFER: usize = 64 << 10;

/// How connections are made and kept.
pub(in crate::origin) struct Connecting {
    pub(in crate::origin) timeout: Duration,
    pub(in crate::origin) attempts: u32,
    pub(in crate::origin) keep_alive: Duration,
    /// Somebody else says once that it is down.
    pub(in crate::origin) is_shield: bool,
}

/// Connects to one origin.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) way: Way,
    /// The scheme and the authority.
    pub(super) uri: Uri,
    /// For an attempt: name, connection and TLS together.
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) is_shield: bool,
}

#[derive(Clone)]
pub(super) enum Way {
    Network(Network),
    Unix(Arc<Path>),
    Given(Arc<dyn Dial>),
}

/// TCP, and TLS over it.
#[derive(Clone)]
pub(super) struct Network {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
    http2: bool,
}

impl Network {
    pub(super) fn new(mut tls: rustls::ClientConfig, http2: bool) -> Self {
        tls.alpn_protocols = match http2 {
            true => vec![b"h2".to_vec()],
            false => Vec::new(),
        };
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Self {
            tcp,
            tls: TlsConnector::from(Arc::new(tls)),
            http2,
        }
    }

    async fn connect(&mut self, uri: Uri) -> Result<Io, ConnectError> {
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().unwrap_or_default();
        // An IPv6 address.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        let connecting = async {
            std::future::poll_fn(|cx| self.tcp.poll_ready(cx)).await?;
            self.tcp.call(uri).await
        };
        let tcp = connecting.await.map_err(ConnectError::of)?;
        if !is_https {
            return Ok(Io::Tcp(tcp.into_inner()));
        }
        let name = name.map_err(ConnectError::tls)?;
        let tls = self.tls.connect(name, tcp.into_inner());
        let tls = tls.await.map_err(ConnectError::tls)?;
        if self.http2 && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectError::tls("the origin does not speak HTTP/2 (ALPN)"));
        }
        Ok(Io::Tls(Box::new(tls)))
    }
}

impl Way {
    async fn connect(&mut self, uri: Uri) -> Result<Io, ConnectError> {
        match self {
            Self::Network(network) => network.connect(uri).await,
            Self::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Io::Unix(stream)),
                Err(error) => Err(ConnectError::of(error)),
            },
            Self::Given(dial) => match dial.dial(uri).await {
                Ok(given) => Ok(Io::Given(TokioIo::new(given))),
                Err(error) => Err(ConnectError::of(error)),
            },
        }
    }
}

impl Connector {
    pub(super) async fn connect(mut self) -> Result<Io, OriginFailure> {
        let mut attempt = 1;
        loop {
            let connecting = self.way.connect(self.uri.clone());
            let error = match tokio::time::timeout(self.timeout, connecting).await {
                Ok(Ok(io)) => return Ok(io),
                Ok(Err(error)) => error,
                Err(elapsed) => ConnectError {
                    failure: OriginFailure::ConnectTimeout,
                    source: elapsed.into(),
                },
            };
            let (host, why) = (self.uri.host(), &error as &dyn Error);
            let is_last = attempt >= self.attempts;
            // One warning says why; that others came before it, its number.
            match (self.is_shield, is_last) {
                (true, _) => {
                    tracing::debug!(host, error = why, "no connection to an origin shield")
                }
                (false, false) => tracing::debug!(host, attempt, error = why, "no connection yet"),
                (false, true) => {
                    tracing::warn!(host, attempt, error = why, "no connection to the origin");
                }
            }
            if is_last {
                return Err(error.failure);
            }
            attempt += 1;
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
struct ConnectError {
    failure: OriginFailure,
    source: BoxError,
}

impl ConnectError {
    /// Whatever breaks off a handshake, an end of the connection, too.
    fn tls(source: impl Into<BoxError>) -> Self {
        Self {
            failure: OriginFailure::Tls,
            source: source.into(),
        }
    }

    fn of(source: impl Into<BoxError>) -> Self {
        let source = source.into();
        let mut failure = OriginFailure::Connect;
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*source);
        while let Some(error) = cause {
            if error.is::<Unresolved>() {
                failure = OriginFailure::Dns;
            } else if error.is::<rustls::Error>() {
                failure = OriginFailure::Tls;
            }
            cause = match error.downcast_ref::<io::Error>() {
                Some(io) if io.kind() == io::ErrorKind::TimedOut => {
                    failure = OriginFailure::ConnectTimeout;
                    None
                }
                // An I/O error hides the one that it was made of.
                Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
                None => error.source(),
            };
        }
        Self { failure, source }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The system's resolver, whose errors can be told from others.
#[derive(Clone)]
pub(super) struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, Unresolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move { resolving.await.map_err(Unresolved) })
    }
}

/// The name has no address.
#[derive(Debug)]
pub(super) struct Unresolved(io::Error);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name doesn't resolve")
    }
}

impl Error for Unresolved {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// A connector that was given.
pub(in crate::origin) trait Dial: Send + Sync {
    fn dial(&self, uri: Uri) -> Dialling;
}

type Dialling = Pin<Box<dyn Future<Output = Result<Box<dyn GivenIo>, BoxError>> + Send>>;

/// A connection that was given.
pub(in crate::origin) trait GivenIo: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> GivenIo for T {}

/// [`Dial`] of a service.
pub(in crate::origin) struct Dialled<C>(pub(super) C);

impl<C> Dial for Dialled<C>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Read + Write + Send + Unpin + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
{
    fn dial(&self, uri: Uri) -> Dialling {
        let mut connector = self.0.clone();
        Box::pin(async move {
            std::future::poll_fn(|cx| connector.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            let io = connector.call(uri).await.map_err(Into::into)?;
            Ok(Box::new(io) as Box<dyn GivenIo>)
        })
    }
}

/// A connection to an origin.
pub(super) enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
    Given(TokioIo<Box<dyn GivenIo>>),
}

/// Calls a method of whatever connection it is.
macro_rules! io {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Io::Tcp($io) => $call,
            Io::Tls($io) => $call,
            Io::Unix($io) => $call,
            Io::Given($io) => $call,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        io!(self, io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        io!(self, io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io!(self, io => Pin::new(io).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
            Io::Unix(io) => io.is_write_vectored(),
            Io::Given(io) => io.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        io!(self, io => Pin::new(io).poll_write_vectored(cx, slices))
    }
}
