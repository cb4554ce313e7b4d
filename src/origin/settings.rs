//! An origin: where it is, and how it is asked.

use super::{
    OriginAccessControl, OriginService, Signer, SigningBehavior, SigningService,
    client::{self, Clients},
    request::{OriginProtocolPolicy, Target, Via, host_of},
    service::{InProcess, Way},
    shield::Shields,
};
use crate::{
    clock::{Clock, SystemClock},
    error::{BoxError, ConfigError},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri,
    uri::{Authority, Scheme},
};
use http_body::Body;
use std::{fmt, mem, path::PathBuf, sync::Arc, time::Duration};
use tower_service::Service;

/// The longest name and value of a custom header, all of them together, and how many there may be.
const LONGEST_NAME: usize = 256;
const LONGEST_VALUE: usize = 1_783;
const LONGEST_HEADERS: usize = 10_240;
const MOST_HEADERS: usize = 30;
/// What the system takes (`sun_path` with its end).
const LONGEST_SOCKET_PATH: usize = 107;

/// How many shields there may be.
const MOST_SHIELDS: usize = 16;

/// Custom headers that CloudFront doesn't allow, and one that would hide a loop.
const FORBIDDEN: [&str; 23] = [
    "cache-control",
    "cdn-loop",
    "connection",
    "content-length",
    "cookie",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "request-range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];

/// What may be shown of a URL, or a host: what stands before an `@` may be a password.
fn without_user(url: &str) -> String {
    let Some((user, rest)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let mut schemes = ["http://", "https://"].into_iter();
    let scheme = schemes.find(|scheme| user.starts_with(scheme));
    format!("{}{rest}", scheme.unwrap_or_default())
}

/// Where an origin is, and how it is asked: [`build`](Self::build) makes the service of it.
///
/// The settings have CloudFront's names and defaults. [`cloudfront`](Self::cloudfront) has their ranges checked, too.
///
/// What a viewer says of itself, such as `X-Real-IP` and `X-Forwarded-Proto`, goes on as it is, as behind any proxy; CloudFront's
/// [policies](crate::CachePolicy) take it out of what may be cached. To `X-Forwarded-For` the viewer's address is appended; where nobody
/// knows it (see [`ViewerAddress`](crate::ViewerAddress)), the field is removed.
///
/// ```
/// use frontage::origin::Origin;
/// use std::time::Duration;
///
/// let origin = Origin::url("https://app.example.com/base")?
///     .custom_header("x-origin-verify", "a long secret")?
///     .response_timeout(Duration::from_secs(60));
/// # let _ = origin;
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Origin {
    at: At,
    protocol: OriginProtocolPolicy,
    http_port: Option<u16>,
    https_port: Option<u16>,
    path: Box<str>,
    custom_headers: HeaderMap,
    viewer_host: bool,
    cookies: bool,
    via: Option<Via>,
    connection_timeout: Duration,
    connection_attempts: u32,
    response_timeout: Duration,
    keep_alive_timeout: Duration,
    response_completion_timeout: Option<Duration>,
    websocket_idle_timeout: Duration,
    max_response_head: usize,
    http2: bool,
    tls: Option<Arc<rustls::ClientConfig>>,
    access_control: Option<OriginAccessControl>,
    signing: Option<(SigningService, Option<Box<str>>)>,
    clock: Arc<dyn Clock>,
    cloudfront: bool,
    /// By their URLs.
    shields: Vec<(Box<str>, Self)>,
    is_shield: bool,
}

#[derive(Clone)]
enum At {
    Host(Box<str>),
    Unix(PathBuf),
    Given(Box<str>, client::Way),
    Service(Arc<dyn InProcess>),
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.debug_tuple("Host").field(host).finish(),
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Self::Given(host, _) => f.debug_tuple("Given").field(host).finish(),
            Self::Service(_) => f.write_str("Service"),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Custom headers are often secrets.
        let names: Vec<&HeaderName> = self.custom_headers.keys().collect();
        f.debug_struct("Origin")
            .field("at", &self.at)
            .field("protocol", &self.protocol)
            .field("path", &self.path)
            .field("custom_headers", &names)
            .field(
                "shields",
                &self.shields.iter().map(|(url, _)| url).collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

impl Origin {
    fn new(at: At, protocol: OriginProtocolPolicy) -> Self {
        Self {
            at,
            protocol,
            http_port: None,
            https_port: None,
            path: Box::default(),
            custom_headers: HeaderMap::new(),
            viewer_host: false,
            cookies: true,
            via: Via::new("frontage"),
            connection_timeout: Duration::from_secs(10),
            connection_attempts: 3,
            response_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(5),
            response_completion_timeout: None,
            websocket_idle_timeout: Duration::from_secs(600),
            max_response_head: 32 << 10,
            http2: false,
            tls: None,
            access_control: None,
            signing: None,
            clock: Arc::new(SystemClock),
            cloudfront: false,
            shields: Vec::new(),
            is_shield: false,
        }
    }

    /// A server by its name or address, reached as [`protocol_policy`](Self::protocol_policy) says; by HTTPS if it doesn't.
    #[must_use]
    pub fn host(host: impl Into<Box<str>>) -> Self {
        Self::new(At::Host(host.into()), OriginProtocolPolicy::HttpsOnly)
    }

    /// A server by the URL of its root: the scheme says the protocol, and a path is the [`path`](Self::path).
    ///
    /// # Errors
    ///
    /// When it isn't `http://HOST[:PORT][/PATH]` or the same with `https`.
    pub fn url(url: &str) -> Result<Self, ConfigError> {
        let wanted = "http://HOST[:PORT][/PATH] or https, without user, query and fragment";
        let error = || ConfigError::new("url", without_user(url), wanted);
        if url.contains('#') {
            return Err(error());
        }
        let uri: Uri = url.parse().map_err(|_| error())?;
        let authority = uri.authority().ok_or_else(error)?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(error());
        }
        let port = authority.port_u16();
        if port.is_none() && authority.as_str() != authority.host() {
            return Err(error());
        }
        let origin = Self::host(authority.host());
        let mut origin = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => Self {
                http_port: port,
                ..origin.protocol_policy(OriginProtocolPolicy::HttpOnly)
            },
            Some(scheme) if *scheme == Scheme::HTTPS => Self {
                https_port: port,
                ..origin
            },
            _ => return Err(error()),
        };
        origin.path = uri.path().trim_end_matches('/').into();
        Ok(origin)
    }

    /// A bucket of Amazon S3, by its REST endpoint: the viewer's protocol is mirrored (with access control that signs always, it is
    /// HTTPS), cookies and the viewer's `Host` stay here.
    ///
    /// A bucket with a dot in its name has no certificate at this endpoint: by HTTPS it fails with [`OriginFailure::Tls`](super::OriginFailure::Tls).
    #[must_use]
    pub fn s3(bucket: &str, region: &str) -> Self {
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        let host = format!("{bucket}.s3.{region}.amazonaws.com{china}");
        let origin = Self::new(At::Host(host.into()), OriginProtocolPolicy::MatchViewer);
        Self {
            cookies: false,
            ..origin.signing(SigningService::S3, Some(region))
        }
    }

    /// A server on a Unix socket, reached by HTTP. `Host` is the viewer's.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(At::Unix(path.into()), OriginProtocolPolicy::HttpOnly).forward_host(true)
    }

    /// A service in this process, such as an axum router: an origin without an address, which nobody else can reach
    /// (CloudFront's VPC origins). `Host` is the viewer's.
    #[must_use]
    pub fn service<S, B>(service: S) -> Self
    where
        S: Service<Request<super::RequestBody>, Response = Response<B>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let service = super::service::Service(service);
        Self::new(
            At::Service(Arc::new(service)),
            OriginProtocolPolicy::HttpOnly,
        )
        .forward_host(true)
    }

    /// A server that a connector of one's own reaches, which does all that TLS takes, too. The name goes into `Host` and
    /// into the URI that it is called with.
    #[must_use]
    pub fn connector<C>(host: impl Into<Box<str>>, connector: C) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send,
    {
        let way = client::Way::given(connector);
        Self::new(At::Given(host.into(), way), OriginProtocolPolicy::HttpOnly)
    }

    /// By which protocol it is reached.
    #[must_use]
    pub fn protocol_policy(mut self, policy: OriginProtocolPolicy) -> Self {
        self.protocol = policy;
        self
    }

    /// The port for HTTP. Default: 80.
    #[must_use]
    pub fn http_port(mut self, port: u16) -> Self {
        self.http_port = Some(port);
        self
    }

    /// The port for HTTPS. Default: 443.
    #[must_use]
    pub fn https_port(mut self, port: u16) -> Self {
        self.https_port = Some(port);
        self
    }

    /// What stands in front of each path (`OriginPath`). Default: nothing.
    ///
    /// Paths go on as they are, as CloudFront's do: an origin that resolves `/../` in them lets viewers leave this path.
    ///
    /// # Errors
    ///
    /// Unless it is empty, or starts with `/`, doesn't end with one, and is a path.
    pub fn path(mut self, path: &str) -> Result<Self, ConfigError> {
        let is_path = path.is_empty()
            || (path.starts_with('/')
                && !path.ends_with('/')
                && !path.contains(['?', '#'])
                && path.parse::<Uri>().is_ok());
        if !is_path {
            return Err(ConfigError::new(
                "path",
                path,
                "empty, or a path that starts with '/' and doesn't end with one",
            ));
        }
        self.path = path.into();
        Ok(self)
    }

    /// A header that each request gets, in place of a viewer's of that name.
    ///
    /// # Errors
    ///
    /// For a name that CloudFront doesn't allow (such as `Host`, `Cookie`, `Range`, `Via`, `X-Amz-...`), for `CDN-Loop`, over 256
    /// characters of a name or 1,783 of a value, over 10,240 in all or 30 headers, and what can't be a header.
    pub fn custom_header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        let error = |expected| Err(ConfigError::new("custom_header", name, expected));
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            return error("a header's name");
        };
        let lower = parsed.as_str();
        if FORBIDDEN.contains(&lower) || lower.starts_with("x-amz-") || lower.starts_with("x-edge-")
        {
            return error("one that isn't reserved");
        }
        let Ok(mut parsed_value) = HeaderValue::from_str(value) else {
            return error("given with a value of visible ASCII");
        };
        parsed_value.set_sensitive(true);
        if name.len() > LONGEST_NAME || value.len() > LONGEST_VALUE {
            return error("at most 256 characters, and its value 1,783");
        }
        self.custom_headers.insert(parsed, parsed_value);
        let long: usize = self
            .custom_headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if self.custom_headers.len() > MOST_HEADERS || long > LONGEST_HEADERS {
            return error("one of at most 30, of 10,240 characters in all");
        }
        Ok(self)
    }

    /// Whether the viewer's `Host` goes on, in place of the origin's name. Default: no, but for services in the process and Unix
    /// sockets. The certificate is checked for the origin's name in either case.
    #[must_use]
    pub fn forward_host(mut self, forward: bool) -> Self {
        self.viewer_host = forward;
        self
    }

    /// The name in `Via` (RFC 9110 section 7.6.3); `None` for no such field. Default: `frontage`.
    ///
    /// # Errors
    ///
    /// When it can't stand in a header.
    pub fn via(mut self, name: Option<&str>) -> Result<Self, ConfigError> {
        self.via = match name {
            None => None,
            Some(name) => {
                let member = Some(name).filter(|name| !name.is_empty() && !name.contains(','));
                let wanted = "a name, perhaps with a comment";
                let error = || ConfigError::new("via", name, wanted);
                Some(member.and_then(Via::new).ok_or_else(error)?)
            }
        };
        Ok(self)
    }

    /// How long an attempt to connect may take: name, connection and TLS together (`ConnectionTimeout`). Default: 10 s.
    #[must_use]
    pub fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.connection_timeout = timeout;
        self
    }

    /// How often it is tried to connect, for any method; and how often a `GET` or `HEAD` without a body is tried that gets no
    /// answer in time (`ConnectionAttempts`). One attempt follows the other at once. Default: 3.
    ///
    /// Beyond that, a request whose kept connection ended before anything came is sent once more, over a new one: any if nothing
    /// of it was sent, else an idempotent one without a body. And where a cache revalidates, and gets a 304 of another version than it
    /// has, the whole is asked for, once.
    #[must_use]
    pub fn connection_attempts(mut self, attempts: u32) -> Self {
        self.connection_attempts = attempts;
        self
    }

    /// How long the origin may send nothing: before its answer begins, and between its parts (`OriginReadTimeout`). Over HTTP/2 the
    /// head is one part. Default: 30 s.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How long a connection that nobody uses is kept (`OriginKeepaliveTimeout`). Default: 5 s.
    #[must_use]
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.keep_alive_timeout = timeout;
        self
    }

    /// How long all may take together, from the first attempt to connect to the end of the body
    /// (`ResponseCompletionTimeout`). Default: `None`, for ever.
    #[must_use]
    pub fn response_completion_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.response_completion_timeout = timeout;
        self
    }

    /// How long the origin of a WebSocket may send nothing, whatever the viewer sends. Default: 10 minutes.
    #[must_use]
    pub fn websocket_idle_timeout(mut self, timeout: Duration) -> Self {
        self.websocket_idle_timeout = timeout;
        self
    }

    /// How long the head of a response may be, in bytes: names and values, and four for each field. At most 64 KiB are read, and at most
    /// 100 fields over HTTP/1.1. A longer one is a 502. Default: 32 KiB.
    #[must_use]
    pub fn max_response_head(mut self, bytes: usize) -> Self {
        self.max_response_head = bytes;
        self
    }

    /// Whether it is asked by HTTP/2, by prior knowledge where there is no TLS. Default: only gRPC is.
    #[must_use]
    pub fn http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// How TLS is done, in place of what suits most: TLS 1.2 and 1.3, and the certificates that the system trusts. Its ALPN
    /// protocols are set here.
    #[must_use]
    pub fn tls_config(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Origin access control: each attempt is signed, as the last thing before the wire. What a viewer says by `x-amz-...` isn't
    /// signed, and goes no further, but the hash of its payload, checksums and an object's own metadata (`x-amz-meta-...`).
    ///
    /// What is signed for is known of S3, Lambda function URLs, MediaStore and MediaPackage by the host's name;
    /// [`signing`](Self::signing) says it of others.
    #[must_use]
    pub fn access_control(mut self, access_control: OriginAccessControl) -> Self {
        self.access_control = Some(access_control);
        self
    }

    /// For which service and region requests are signed, where the host's name doesn't say it: a server that speaks S3's
    /// language, for example.
    ///
    /// ```
    /// use frontage::origin::{Credentials, Origin, OriginAccessControl, SigningService};
    ///
    /// // MinIO and its like: the bucket is the first segment of the path.
    /// let credentials = Credentials::new("id", "secret");
    /// let bucket = Origin::url("http://127.0.0.1:9000/assets")?
    ///     .signing(SigningService::S3, Some("us-east-1"))
    ///     .access_control(OriginAccessControl::always(credentials))
    ///     .build()?;
    /// # let _ = bucket;
    /// # Ok::<(), frontage::ConfigError>(())
    /// ```
    #[must_use]
    pub fn signing(mut self, service: SigningService, region: Option<&str>) -> Self {
        self.signing = Some((service, region.map(Into::into)));
        self
    }

    /// Where the date of signatures comes from. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Whether [`build`](Self::build) holds the settings to CloudFront's ranges. Default: no.
    #[must_use]
    pub fn cloudfront(mut self, cloudfront: bool) -> Self {
        self.cloudfront = cloudfront;
        self
    }

    /// Origin shields in other processes, by the URLs of their roots: each serves this origin through an
    /// [`OriginShieldLayer`](super::OriginShieldLayer), or is any other cache in front of it. Default: none; at most 16.
    ///
    /// * Requests go to a shield: each host, path and query to the same one, whoever asks, if all name the same URLs in whatever
    ///   order (rendezvous hashing). What no cache answers goes through it, so that it forgets what a `PUT` changes; WebSocket and
    ///   gRPC go to the origin.
    /// * A shield gets the viewer's request: with the viewer's `Host`, without the origin's path, custom headers, and signature.
    ///   That `Host`, name and port, is in its keys: what one cache fetched, another finds there if both are asked by one name.
    ///   The connection timeout, response timeout, keep-alive timeout, `Via` and the TLS configuration are this origin's. It is
    ///   asked by HTTP/1.1, once.
    /// * Where it can't be reached, the next one is asked, and when there is none left, the origin. When a shield goes, the keys of
    ///   the others stay with them.
    /// * Where it takes a `GET` or `HEAD` without a body and gives no answer (a time-out, an end before the head, no valid HTTP), it
    ///   may have asked the origin, so that is bounded: two shields may take a request so, then the origin is asked, once.
    ///   After a time-out one other way is tried: the next shield, or the origin where there is none. A request costs at most what
    ///   two shields do for it (each its own [`connection_attempts`](Self::connection_attempts)), and one more. What else a
    ///   shield took goes nowhere else: it is a 502 or 504.
    /// * What can't be reached isn't asked for 5 s; then one request in 5 s tries it, until it answers. The same holds for what
    ///   leaves three requests in a row without an answer, whatever they are for: one URL at which it fails takes no shield down.
    ///   A shield that takes longer than the response timeout gives no answer: let it ask the origin with a shorter one, or
    ///   fewer attempts, so that what is slow is a 504 of the shield, not the shield. That one is down, and that it is back, is
    ///   logged (`tracing`, level `WARN`).
    /// * Each answer of a shield is final, a 5xx, too: the origin's failure, or its own way to shed load. Behind a shield an
    ///   [origin group](super::OriginGroup) sees the status of that, 502 or 504, and not what failed. But for a 508 (Loop
    ///   Detected) to a `GET` or `HEAD`: then the origin is asked, once.
    /// * A shield isn't told by which protocol the viewer came: the origin's is fixed ([`protocol_policy`](Self::protocol_policy)),
    ///   here and there.
    /// * A hit in the shield is said: see [`OriginShieldHit`](crate::status::OriginShieldHit).
    ///
    /// A shield's own origin names no shields: where each of several names them all, itself too, what comes to the one whose it is
    /// goes round once more before the origin is asked, and what isn't a `GET` or `HEAD` ends with a 508.
    ///
    /// Shields and those who ask them need [`CdnLoopLayer`](crate::cdn_loop::CdnLoopLayer) where a mistake could send requests round.
    ///
    /// ```
    /// use frontage::origin::Origin;
    ///
    /// let shields = ["http://10.0.0.1:8080", "http://10.0.0.2:8080"];
    /// let origin = Origin::url("http://origin.example.com/site")?.shield(shields)?.build()?;
    /// # let _ = origin;
    /// # Ok::<(), frontage::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `shield`, with the URL, when it isn't `http://HOST[:PORT]` or the same with `https`, or is there twice; and for more than 16.
    pub fn shield<U: AsRef<str>>(
        mut self,
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Self, ConfigError> {
        let mut shields: Vec<(Box<str>, Self)> = Vec::new();
        for url in urls {
            let url = url.as_ref();
            let error = |expected| ConfigError::new("shield", without_user(url), expected);
            let wanted = "http://HOST[:PORT] or https, without user";
            let shield = Self::url(url).map_err(|_| error(wanted))?;
            if !shield.path.is_empty() {
                return Err(error(wanted));
            }
            shield.check().map_err(|_| error(wanted))?;
            let name = shield.name().ok_or_else(|| error(wanted))?;
            if shields.iter().any(|(other, _)| *other == name) {
                return Err(error("named once"));
            }
            if shields.len() >= MOST_SHIELDS {
                return Err(error("one of at most 16"));
            }
            shields.push((name, shield));
        }
        self.shields = shields;
        Ok(self)
    }

    /// The same for all who name this server.
    fn name(&self) -> Option<Box<str>> {
        let (http, https) = self.authorities().ok()?;
        let scheme = if https.is_some() { "https" } else { "http" };
        let authority = https.or(http)?;
        let name = format!("{scheme}://{authority}").to_ascii_lowercase();
        Some(name.into_boxed_str())
    }

    /// A shield, as this origin's settings have it.
    fn of_shield(&self, shield: Self) -> Self {
        Self {
            viewer_host: true,
            via: self.via.clone(),
            connection_timeout: self.connection_timeout,
            connection_attempts: 1,
            response_timeout: self.response_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            // It adds fields of its own.
            max_response_head: self.max_response_head.saturating_add(4 << 10),
            tls: self.tls.clone(),
            is_shield: true,
            ..shield
        }
    }

    /// Makes the service.
    ///
    /// # Errors
    ///
    /// Names the setting that can't be: a host that is none, a time-out of 0, no attempts, [shields](Self::shield) with
    /// [`MatchViewer`](OriginProtocolPolicy::MatchViewer); where [`cloudfront`](Self::cloudfront) is set, what is out of its ranges; and `tls_config` where there is none and the
    /// system's certificates can't be read.
    pub fn build(self) -> Result<OriginService, ConfigError> {
        Ok(OriginService::new(self.shared()?))
    }

    fn shared(mut self) -> Result<super::service::Shared, ConfigError> {
        self.check()?;
        if self.cloudfront {
            self.check_ranges()?;
        }
        let signer = self.signer()?;
        // A shield is asked by its own scheme, and doesn't know the viewer's: it would store a redirect to HTTPS for all.
        if !self.shields.is_empty() && self.protocol == OriginProtocolPolicy::MatchViewer {
            let wanted = "HttpOnly or HttpsOnly for an origin with shields";
            return Err(ConfigError::new("protocol_policy", "MatchViewer", wanted));
        }
        let mut shields = Vec::new();
        for (url, shield) in mem::take(&mut self.shields) {
            shields.push((url, self.of_shield(shield).shared()?));
        }
        let (http, https) = self.authorities()?;
        let (http, https) = (http.as_ref(), https.as_ref());
        let connecting = self.connecting();
        let way = match &self.at {
            At::Service(service) => Way::Service(service.clone()),
            At::Host(_) => {
                let tls = match &self.tls {
                    Some(tls) => (**tls).clone(),
                    None => client::default_tls(https.is_some())?,
                };
                Way::Http(Box::new(Clients::network(tls, http, https, &connecting)))
            }
            At::Unix(path) => {
                let way = client::Way::unix(path);
                Way::Http(Box::new(Clients::new(way, http, https, &connecting)))
            }
            At::Given(_, way) => Way::Http(Box::new(Clients::new(
                way.clone(),
                http,
                https,
                &connecting,
            ))),
        };
        let target = Target {
            http: http.and_then(|http| host_of(http, false)),
            https: https.and_then(|https| host_of(https, true)),
            protocol: self.protocol,
            path: self.path,
            viewer_host: self.viewer_host,
            cookies: self.cookies,
            custom_headers: self.custom_headers,
            via: self.via,
        };
        Ok(super::service::Shared {
            way,
            target,
            signer,
            http2: self.http2,
            attempts: self.connection_attempts,
            max_response_head: self.max_response_head,
            response_timeout: self.response_timeout,
            completion_timeout: self.response_completion_timeout,
            websocket_idle_timeout: self.websocket_idle_timeout,
            shields: (!shields.is_empty()).then(|| Shields::new(shields)),
        })
    }

    fn signer(&mut self) -> Result<Option<Signer>, ConfigError> {
        let Some(access_control) = self.access_control.take() else {
            return Ok(None);
        };
        let host = match &self.at {
            At::Host(host) | At::Given(host, _) => host,
            At::Unix(_) | At::Service(_) => {
                let wanted = "absent for what has no host's name";
                return Err(ConfigError::new("access_control", "", wanted));
            }
        };
        if self.viewer_host {
            let wanted = "false, since the origin's own host is signed";
            return Err(ConfigError::new("forward_host", "true", wanted));
        }
        let (service, region) = match self.signing.take() {
            Some(signing) => signing,
            None => (
                SigningService::of_host(host).ok_or_else(|| {
                    let wanted = "a host that says what it is, or one with `signing`";
                    ConfigError::new("access_control", without_user(host), wanted)
                })?,
                None,
            ),
        };
        let is_s3 = service == SigningService::S3;
        if is_s3
            && access_control.behavior() == SigningBehavior::Always
            && self.protocol == OriginProtocolPolicy::MatchViewer
        {
            self.protocol = OriginProtocolPolicy::HttpsOnly;
        }
        let signer = Signer::new(access_control, service, host, region.as_deref())?;
        Ok(Some(signer.clock(self.clock.clone())))
    }

    fn connecting(&self) -> client::Connecting {
        client::Connecting {
            timeout: self.connection_timeout,
            attempts: self.connection_attempts,
            keep_alive: self.keep_alive_timeout,
            is_shield: self.is_shield,
        }
    }

    fn authorities(&self) -> Result<(Option<Authority>, Option<Authority>), ConfigError> {
        let host = match &self.at {
            At::Host(host) | At::Given(host, _) => host,
            // Named for the client only: no viewer's Host, then this.
            At::Unix(_) => "localhost",
            At::Service(_) => return Ok((None, None)),
        };
        let wanted = "a name or an address, without a port";
        let error = || ConfigError::new("host", without_user(host), wanted);
        let with_port = |port: Option<u16>, default: u16| {
            let authority = format!("{host}:{}", port.unwrap_or(default));
            authority.parse::<Authority>().map_err(|_| error())
        };
        let bare: Authority = host.parse().map_err(|_| error())?;
        if bare.host() != host {
            return Err(error());
        }
        let is_needed = |unwanted| self.protocol != unwanted;
        let http = with_port(self.http_port, 80)?;
        let https = with_port(self.https_port, 443)?;
        Ok((
            is_needed(OriginProtocolPolicy::HttpsOnly).then_some(http),
            is_needed(OriginProtocolPolicy::HttpOnly).then_some(https),
        ))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let completion = self.response_completion_timeout;
        for (setting, duration) in [
            ("connection_timeout", self.connection_timeout),
            ("response_timeout", self.response_timeout),
            ("keep_alive_timeout", self.keep_alive_timeout),
            ("websocket_idle_timeout", self.websocket_idle_timeout),
            (
                "response_completion_timeout",
                completion.unwrap_or(Duration::MAX),
            ),
        ] {
            if duration.is_zero() {
                return Err(ConfigError::new(setting, "0 s", "longer than that"));
            }
        }
        if self.connection_attempts == 0 {
            return Err(ConfigError::new("connection_attempts", "0", "at least 1"));
        }
        if self.http_port == Some(0) || self.https_port == Some(0) {
            return Err(ConfigError::new("port", "0", "at least 1"));
        }
        let head = self.max_response_head;
        if !(1..=client::READ_BUFFER).contains(&head) {
            return Err(ConfigError::new(
                "max_response_head",
                head,
                "1 byte to 64 KiB",
            ));
        }
        self.check_place()
    }

    fn check_place(&self) -> Result<(), ConfigError> {
        match &self.at {
            At::Host(host) | At::Given(host, _) => {
                let name = host.strip_suffix('.').unwrap_or(host);
                match name.split('.').any(str::is_empty) {
                    true => Err(ConfigError::new(
                        "host",
                        without_user(host),
                        "a name without empty labels",
                    )),
                    false => Ok(()),
                }
            }
            At::Unix(path) => {
                let length = path.as_os_str().len();
                if !(1..=LONGEST_SOCKET_PATH).contains(&length) {
                    let shown = path.display();
                    return Err(ConfigError::new("unix", shown, "a path of 1 to 107 bytes"));
                }
                match self.protocol {
                    OriginProtocolPolicy::HttpOnly => Ok(()),
                    policy => {
                        let shown = format_args!("{policy:?}");
                        let wanted = "HttpOnly for a Unix socket";
                        Err(ConfigError::new("protocol_policy", shown, wanted))
                    }
                }
            }
            At::Service(_) => Ok(()),
        }
    }

    /// CloudFront's ranges (API reference, `Origin` and `CustomOriginConfig`).
    fn check_ranges(&self) -> Result<(), ConfigError> {
        let seconds = |setting, duration: Duration, most: u64, expected| {
            let is_whole = duration.subsec_nanos() == 0;
            match is_whole && (1..=most).contains(&duration.as_secs()) {
                true => Ok(()),
                false => Err(ConfigError::new(
                    setting,
                    format_args!("{duration:?}"),
                    expected,
                )),
            }
        };
        seconds(
            "connection_timeout",
            self.connection_timeout,
            10,
            "1 to 10 whole seconds",
        )?;
        seconds(
            "response_timeout",
            self.response_timeout,
            120,
            "1 to 120 whole seconds",
        )?;
        seconds(
            "keep_alive_timeout",
            self.keep_alive_timeout,
            300,
            "1 to 300 whole seconds",
        )?;
        if self.connection_attempts > 3 {
            let attempts = self.connection_attempts;
            return Err(ConfigError::new("connection_attempts", attempts, "1 to 3"));
        }
        if let Some(completion) = self.response_completion_timeout
            && completion < self.response_timeout
        {
            return Err(ConfigError::new(
                "response_completion_timeout",
                format_args!("{completion:?}"),
                "no shorter than response_timeout",
            ));
        }
        for (setting, port) in [
            ("http_port", self.http_port),
            ("https_port", self.https_port),
        ] {
            if let Some(port) = port
                && !matches!(port, 80 | 443 | 1024..)
            {
                return Err(ConfigError::new(setting, port, "80, 443, or 1024 to 65535"));
            }
        }
        if let At::Host(host) = &self.at
            && (host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok())
        {
            return Err(ConfigError::new("host", host, "a name, not an address"));
        }
        Ok(())
    }
}
