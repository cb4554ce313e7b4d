//! The future of a guard that decides by what is there already.

use super::refusal::{log, refused};
use crate::optional_body::OptionalBody;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The future of [`RequireSecretHeader`](super::RequireSecretHeader) and [`RequirePrefix`](super::RequirePrefix).
    pub struct GuardFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B> {
        LetIn { #[pin] future: F },
        Refused { response: Option<Response<OptionalBody<B>>> },
    }
}

impl<F, B> GuardFuture<F, B> {
    pub(super) fn let_in(future: F) -> Self {
        Self {
            state: State::LetIn { future },
        }
    }

    pub(super) fn refused<R>(request: &Request<impl Sized>, reason: R) -> Self
    where
        R: Error + Clone + Send + Sync + 'static,
    {
        log(request, &reason);
        Self {
            state: State::Refused {
                response: Some(refused(StatusCode::FORBIDDEN, reason)),
            },
        }
    }
}

impl<F, B, E> Future for GuardFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<OptionalBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::LetIn { future } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(response.map(OptionalBody::new)))
            }
            StateProjection::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // Polled after it was ready.
                None => Poll::Pending,
            },
        }
    }
}

impl<F, B> fmt::Debug for GuardFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::LetIn { .. } => "let in",
            State::Refused { .. } => "refused",
        };
        f.debug_tuple("GuardFuture").field(&state).finish()
    }
}
