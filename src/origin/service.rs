//! The service of an origin: the attempts, and what the viewer gets of them.

use super::{
    OriginBody, OriginFailure, RequestBody, Signer,
    client::{Answer, Clients, Sending},
    request::{self, Facts, Kind, Target},
    shield::{Shields, ask_shields},
    upgrade,
};
use crate::{
    conditional::{
        Revalidation, has_conditions, is_of_another_version_than_asked, remove_conditions,
    },
    error::BoxError,
    headers::{content_length, is_transfer_coded, remove_hop_by_hop},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};
use http_body::Body;
use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tower_service::Service as TowerService;

/// Asks an [`Origin`](super::Origin). Clones share its connections.
///
/// Always ready, and never an error: what fails becomes a response with the status that CloudFront gives, and an [`OriginFailure`] in
/// its extensions.
#[derive(Clone)]
pub struct OriginService(Arc<Shared>);

pub(super) struct Shared {
    pub(super) way: Way,
    pub(super) target: Target,
    pub(super) signer: Option<Signer>,
    pub(super) http2: bool,
    pub(super) attempts: u32,
    pub(super) max_response_head: usize,
    pub(super) response_timeout: Duration,
    pub(super) completion_timeout: Option<Duration>,
    pub(super) websocket_idle_timeout: Duration,
    pub(super) shields: Option<Shields<Self>>,
}

pub(super) enum Way {
    Http(Box<Clients>),
    Service(Arc<dyn InProcess>),
}

impl OriginService {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl fmt::Debug for OriginService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginService")
            .field("at", &self.0.at())
            .finish_non_exhaustive()
    }
}

impl<B> TowerService<Request<B>> for OriginService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<OriginBody>;
    type Error = Infallible;
    type Future = OriginFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> OriginFuture {
        let shared = self.0.clone();
        let mut request = request.map(RequestBody::new);
        OriginFuture(Box::pin(async move {
            let (is_head, version) = (*request.method() == Method::HEAD, request.version());
            let answered = shared.answer(&mut request).await;
            answered.unwrap_or_else(|failure| {
                tracing::warn!(origin = ?shared.at(), status = failure.status().as_u16(), "{failure}");
                page(failure, is_head, version)
            })
        }))
    }
}

/// The future of an [`OriginService`].
pub struct OriginFuture(Pin<Box<dyn Future<Output = Response<OriginBody>> + Send>>);

impl Future for OriginFuture {
    type Output = Result<Response<OriginBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for OriginFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginFuture").finish_non_exhaustive()
    }
}

impl Shared {
    fn at(&self) -> Option<&HeaderValue> {
        self.target.https.as_ref().or(self.target.http.as_ref())
    }

    // A future is moved as a whole, with all that it will ever hold: what is large is lent to those below, and what is rare
    // is boxed.

    async fn answer(
        &self,
        request: &mut Request<RequestBody>,
    ) -> Result<Response<OriginBody>, OriginFailure> {
        // Too far to be an instant: never.
        let deadline = self
            .completion_timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        let Some(at) = deadline else {
            return self.ask_for_usable(request, None).await;
        };
        let answering = Box::pin(self.ask_for_usable(request, deadline));
        tokio::time::timeout_at(at, answering)
            .await
            .unwrap_or(Err(OriginFailure::CompletionTimeout))
    }

    /// Asks for what whoever asks can use: a cache that revalidates gets the whole in place of a 304 of another version than
    /// it has.
    async fn ask_for_usable(
        &self,
        request: &mut Request<RequestBody>,
        deadline: Option<Instant>,
    ) -> Result<Response<OriginBody>, OriginFailure> {
        let is_revalidation = request.extensions().get::<Revalidation>().is_some()
            && request.body().is_empty()
            && !signs_conditions(request.headers());
        let asked = is_revalidation.then(|| {
            let (parts, body) = mem::take(request).into_parts();
            *request = Request::from_parts(parts.clone(), body);
            Box::new(parts)
        });
        let response = self.ask(request, deadline, self.attempts).await?;
        let is_304 = response.status() == StatusCode::NOT_MODIFIED;
        let useless = asked.filter(|asked| {
            is_304 && is_of_another_version_than_asked(response.headers(), &asked.headers)
        });
        let Some(mut again) = useless else {
            return Ok(response);
        };
        drop(response);
        tracing::debug!(origin = ?self.at(), "a 304 is of another version than was asked about: once more, for the whole");
        remove_conditions(&mut again.headers);
        *request = Request::from_parts(*again, RequestBody::empty());
        Box::pin(self.ask(request, deadline, 1)).await
    }

    pub(super) async fn ask(
        &self,
        request: &mut Request<RequestBody>,
        deadline: Option<Instant>,
        mut attempts: u32,
    ) -> Result<Response<OriginBody>, OriginFailure> {
        let facts = Facts::of(request)?;
        request.body_mut().expect(facts.length)?;
        if let Some(shields) = &self.shields
            && facts.kind == Kind::Plain
        {
            let asked = Box::pin(ask_shields(shields, request, deadline, &mut attempts)).await;
            if let Some(answer) = asked {
                return answer;
            }
        }
        let viewer = match facts.kind {
            Kind::WebSocket => upgrade::viewer(request.extensions_mut()),
            Kind::Plain | Kind::Grpc => None,
        };
        let https = self.target.rewrite(request, facts)?;
        let clients = match &self.way {
            Way::Http(clients) => clients,
            Way::Service(service) => {
                let request = mem::take(request);
                return Box::pin(self.in_process(&**service, request, viewer, deadline)).await;
            }
        };
        let sending = Sending {
            https,
            http2: (self.http2 && facts.kind != Kind::WebSocket) || facts.kind == Kind::Grpc,
            timeout: self.response_timeout,
            anew: false,
        };
        let asked = Asked::of(request);
        let response = self.send(clients, request, sending, attempts).await?;
        if head_length(response.headers()) > self.max_response_head {
            return Err(OriginFailure::HeaderTooBig);
        }
        let mut response = match (response.status(), viewer) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(viewer)) => {
                let idle = self.websocket_idle_timeout;
                return upgrade::connect(response, viewer, idle);
            }
            (StatusCode::SWITCHING_PROTOCOLS, _) => return Err(OriginFailure::InvalidResponse),
            _ => response.map(|answer| OriginBody::client(answer, self.response_timeout, deadline)),
        };
        finish(&mut response, asked)?;
        Ok(response)
    }

    /// Tries as often as the method and the way of failing allow.
    async fn send(
        &self,
        clients: &Clients,
        request: &mut Request<RequestBody>,
        mut sending: Sending,
        mut attempts: u32,
    ) -> Result<Response<Answer>, OriginFailure> {
        let has_body = !request.body().is_empty();
        let has_length = request.headers().contains_key(header::CONTENT_LENGTH)
            || request.body().size_hint().exact().is_some();
        if !sending.http2 && !has_length {
            // hyper sends a body of unknown length with a GET only when it is told to.
            let chunked = HeaderValue::from_static("chunked");
            request
                .headers_mut()
                .insert(header::TRANSFER_ENCODING, chunked);
        }
        let may_replay = !has_body && request.method().is_idempotent();
        let replay = may_replay.then(|| Replay::of(request));
        self.sign(request).await?;
        loop {
            let failed = match clients.send(request, sending).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            // Once, and then over a new connection.
            let again = failed.may_be_repeated && !mem::replace(&mut sending.anew, true);
            attempts = attempts.saturating_sub(u32::from(!again));
            match &replay {
                _ if again && failed.is_unsent => {}
                Some(replay) if again || replay.is_worth(failed.failure, attempts) => {
                    *request = replay.request();
                    self.sign(request).await?;
                }
                _ => return Err(failed.failure),
            }
            tracing::debug!(failure = %failed.failure, "trying once more");
        }
    }

    /// Each attempt has a date of its own.
    async fn sign(&self, request: &mut Request<RequestBody>) -> Result<(), OriginFailure> {
        match &self.signer {
            None => Ok(()),
            Some(signer) => Box::pin(sign(signer, request)).await,
        }
    }

    async fn in_process(
        &self,
        service: &dyn InProcess,
        mut request: Request<RequestBody>,
        viewer: Option<hyper::upgrade::OnUpgrade>,
        deadline: Option<Instant>,
    ) -> Result<Response<OriginBody>, OriginFailure> {
        let upgrades = viewer.is_some();
        if let Some(viewer) = viewer {
            // It upgrades the viewer's connection itself.
            request.extensions_mut().insert(viewer);
        }
        let asked = Asked::of(&request);
        let progress = request.body().progress();
        let answering = service.call(request, self.response_timeout, deadline);
        let mut response = progress
            .in_time(self.response_timeout, answering)
            .await
            .ok_or_else(|| progress.failure())??;
        match response.status() == StatusCode::SWITCHING_PROTOCOLS {
            true if !upgrades => return Err(OriginFailure::InvalidResponse),
            true => {}
            false => finish(&mut response, asked)?,
        }
        Ok(response)
    }
}

async fn sign(signer: &Signer, request: &mut Request<RequestBody>) -> Result<(), OriginFailure> {
    let (mut parts, body) = mem::take(request).into_parts();
    let mut signed = Ok(());
    if signer.signs(&parts) {
        request::remove_amz(&mut parts.headers);
        signed = signer.sign(&mut parts, !body.is_empty()).await;
    }
    *request = Request::from_parts(parts, body);
    signed.map_err(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a request could not be signed"
        );
        match error.credentials() {
            Some(_) => OriginFailure::Credentials,
            None => OriginFailure::BadRequest,
        }
    })
}

/// What it takes to send a request without a body once more: a clone would cost more.
struct Replay {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Replay {
    fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers().iter();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: headers
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }

    fn request(&self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        request
    }

    /// After a time-out: `GET` and `HEAD`, as long as there are attempts.
    fn is_worth(&self, failure: OriginFailure, attempts: u32) -> bool {
        failure == OriginFailure::ResponseTimeout
            && (self.method == Method::GET || self.method == Method::HEAD)
            && attempts > 0
    }
}

/// Whether a signature from above covers the conditions, which then must go on as they are.
fn signs_conditions(headers: &HeaderMap) -> bool {
    let name = header::IF_MODIFIED_SINCE;
    let name = name.as_str().as_bytes();
    let is_named = |value: &HeaderValue| value.as_bytes().windows(name.len()).any(|at| at == name);
    headers.get(header::AUTHORIZATION).is_some_and(is_named)
}

/// How long the fields of a head are, as HTTP/1.1 writes them.
fn head_length(headers: &HeaderMap) -> usize {
    let each = headers.iter();
    each.map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// What a request says of the answers that there may be.
#[derive(Clone, Copy)]
struct Asked {
    is_head: bool,
    /// A 304 would be an answer to something else.
    has_no_conditions: bool,
}

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        let is_head = *request.method() == Method::HEAD;
        let is_get = is_head || *request.method() == Method::GET;
        Self {
            is_head,
            has_no_conditions: is_get && !has_conditions(request.headers()),
        }
    }
}

/// What belongs to the connection with the origin ends here.
fn finish<B>(response: &mut Response<B>, asked: Asked) -> Result<(), OriginFailure> {
    let is_304 = response.status() == StatusCode::NOT_MODIFIED;
    if is_304 && asked.has_no_conditions {
        return Err(OriginFailure::InvalidResponse);
    }
    let has_body = !asked.is_head && !is_304;
    let headers = response.headers_mut();
    if has_body && is_transfer_coded(headers) {
        return Err(OriginFailure::InvalidResponse);
    }
    remove_hop_by_hop(headers);
    // Where there is no body, as in an answer to HEAD, nobody has read it: of two lengths the viewer would choose one.
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let (line, more) = (lines.next(), lines.next());
    // So many digits fit: of more, or of anything else, it is read.
    let is_number = |line: &HeaderValue| {
        (1..20).contains(&line.len()) && line.as_bytes().iter().all(u8::is_ascii_digit)
    };
    if line.is_some_and(|line| more.is_some() || !is_number(line)) {
        // One that is said several times is said once (RFC 9110 section 8.6).
        match content_length(headers) {
            Some(length) => headers.insert(header::CONTENT_LENGTH, length.into()),
            None => headers.remove(header::CONTENT_LENGTH),
        };
    }
    // A message of ours, whatever the origin speaks (RFC 9110 section 2.5).
    *response.version_mut() = Version::HTTP_11;
    Ok(())
}

/// The page that stands in the place of an answer, of this version.
fn page(failure: OriginFailure, is_head: bool, version: Version) -> Response<OriginBody> {
    let status = failure.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let page = format!(
        "<!DOCTYPE html>\n<title>{code} {title}</title>\n<h1>{code} {title}</h1>\n<p>{failure}.</p>\n",
        code = status.as_u16(),
    );
    let length = page.len();
    let body = match is_head {
        true => OriginBody::page(bytes::Bytes::new()),
        false => OriginBody::page(page.into()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CONTENT_LENGTH, length.into());
    if failure == OriginFailure::BadRequest && version < Version::HTTP_2 {
        // Where such a request ends, others may see it otherwise (RFC 9112 section 6.1).
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.extensions_mut().insert(failure);
    response
}

/// A service in this process.
pub(super) trait InProcess: Send + Sync {
    fn call(
        &self,
        request: Request<RequestBody>,
        timeout: Duration,
        deadline: Option<Instant>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<OriginBody>, OriginFailure>> + Send>>;
}

pub(super) struct Service<S>(pub(super) S);

impl<S, B> InProcess for Service<S>
where
    S: TowerService<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn call(
        &self,
        request: Request<RequestBody>,
        timeout: Duration,
        deadline: Option<Instant>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<OriginBody>, OriginFailure>> + Send>> {
        let mut service = self.0.clone();
        Box::pin(async move {
            let answered = async {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(request).await
            };
            match answered.await {
                Ok(response) => {
                    Ok(response.map(|body| OriginBody::service(body, timeout, deadline)))
                }
                Err(error) => {
                    let error: BoxError = error.into();
                    tracing::warn!(error = &*error, "the service of an origin failed");
                    Err(OriginFailure::Closed)
                }
            }
        })
    }
}
