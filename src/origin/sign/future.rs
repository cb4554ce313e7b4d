//! The future of a [`Sign`](super::Sign).

use super::SignError;
use crate::optional_body::OptionalBody;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project! {
    /// The future of a [`Sign`](crate::origin::Sign).
    ///
    /// What isn't to be signed drives the inner service in place; what is, is boxed, as providers of credentials are.
    pub struct SignFuture<S, B, F> {
        #[pin]
        state: State<S, B, F>,
    }
}

type Signing = Pin<Box<dyn Future<Output = Result<Parts, SignError>> + Send>>;

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        /// Waits for credentials; the service is ready, and waits, too.
        Signing { signing: Signing, service: S, body: Option<B> },
        /// On its way.
        Calling { #[pin] future: F },
    }
}

impl<S, B, F> SignFuture<S, B, F> {
    pub(super) fn calling(future: F) -> Self {
        Self {
            state: State::Calling { future },
        }
    }

    pub(super) fn signing(signing: Signing, service: S, body: B) -> Self {
        Self {
            state: State::Signing {
                signing,
                service,
                body: Some(body),
            },
        }
    }
}

impl<S, B, ResBody> Future for SignFuture<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<OptionalBody<ResBody>>, S::Error>;

    #[allow(
        clippy::expect_used,
        reason = "the state changes when the body is taken"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Signing {
                    signing,
                    service,
                    body,
                } => match ready!(signing.as_mut().poll(cx)) {
                    Ok(parts) => {
                        let body = body.take().expect("taken once");
                        let future = service.call(Request::from_parts(parts, body));
                        this.state.set(State::Calling { future });
                    }
                    Err(error) => return Poll::Ready(Ok(refusal(error))),
                },
                StateProjection::Calling { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(OptionalBody::new)));
                }
            }
        }
    }
}

fn refusal<B>(error: SignError) -> Response<OptionalBody<B>> {
    tracing::warn!(
        error = &error as &(dyn std::error::Error + 'static),
        "not signed, and not sent"
    );
    let mut response = Response::new(OptionalBody::empty());
    *response.status_mut() = error.status();
    response.extensions_mut().insert(error);
    response
}

impl<S, B, F> fmt::Debug for SignFuture<S, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Signing { .. } => "signing",
            State::Calling { .. } => "calling",
        };
        f.debug_tuple("SignFuture").field(&state).finish()
    }
}
