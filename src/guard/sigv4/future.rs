//! The future of a [`RequireSigV4`](super::RequireSigV4).

use super::{SigV4Body, SignedBy, verifier::Denied};
use crate::{
    error::BoxError,
    guard::{
        SigV4Refusal,
        refusal::{log, refused},
    },
    optional_body::OptionalBody,
    ready::CallWhenReady,
    sigv4::Payload,
};
use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project! {
    /// The future of a [`RequireSigV4`](crate::guard::RequireSigV4).
    ///
    /// What can be refused by itself is; the rest waits in a box for its credentials, as look-ups are boxed.
    pub struct RequireSigV4Future<S, B, F> {
        #[pin]
        state: State<S, B, F>,
    }
}

type Proving = Pin<Box<dyn Future<Output = Result<(SignedBy, Payload), Denied>> + Send>>;

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        /// Waits for credentials, and holds nothing of the service: a stranger may have made up who it is.
        Proving { proving: Proving, inner: Option<(S, Request<B>)> },
        /// Let in.
        Calling { #[pin] call: F },
        /// Not let in.
        Denied { denied: Denied },
    }
}

impl<S, B, F> RequireSigV4Future<S, B, F> {
    pub(super) fn refused(request: &Request<B>, reason: SigV4Refusal) -> Self {
        log(request, &reason);
        let denied = Denied::Refused(reason);
        Self {
            state: State::Denied { denied },
        }
    }

    pub(super) fn proving(proving: Proving, service: S, request: Request<B>) -> Self {
        Self {
            state: State::Proving {
                proving,
                inner: Some((service, request)),
            },
        }
    }
}

type Call<S, B> = CallWhenReady<S, Request<SigV4Body<B>>>;

impl<S, B, ResBody> Future for RequireSigV4Future<S, B, Call<S, B>>
where
    S: Service<Request<SigV4Body<B>>, Response = Response<ResBody>>,
    B: Body,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<OptionalBody<ResBody>>, S::Error>;

    #[allow(
        clippy::expect_used,
        reason = "the state changes when the request is taken"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Proving { proving, inner } => {
                    match ready!(proving.as_mut().poll(cx)) {
                        Ok((signed_by, payload)) => {
                            let (service, mut request) = inner.take().expect("taken once");
                            request.extensions_mut().insert(signed_by);
                            let request = request.map(|body| SigV4Body::new(body, payload));
                            let call = CallWhenReady::new(service, request);
                            this.state.set(State::Calling { call });
                        }
                        Err(denied) => {
                            if let Some((_, request)) = inner {
                                log(request, denied.reason());
                            }
                            this.state.set(State::Denied { denied });
                        }
                    }
                }
                StateProjection::Calling { call } => {
                    let response = ready!(call.poll(cx))?;
                    return Poll::Ready(Ok(response.map(OptionalBody::new)));
                }
                StateProjection::Denied { denied } => {
                    return Poll::Ready(Ok(denied.clone().response()));
                }
            }
        }
    }
}

impl Denied {
    fn reason(&self) -> &(dyn Error + 'static) {
        match self {
            Self::Refused(reason) => reason,
            Self::NoCredentials(error) => error,
        }
    }

    fn response<B>(self) -> Response<OptionalBody<B>> {
        match self {
            Self::Refused(reason) => refused(StatusCode::FORBIDDEN, reason),
            Self::NoCredentials(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error),
        }
    }
}

impl<S, B, F> fmt::Debug for RequireSigV4Future<S, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Proving { .. } => "proving",
            State::Calling { .. } => "calling",
            State::Denied { .. } => "denied",
        };
        f.debug_tuple("RequireSigV4Future").field(&state).finish()
    }
}
