//! Calling a clone of a service, once that is ready.

use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project! {
    /// Drives a service to readiness, then calls that very instance.
    pub struct CallWhenReady<S, R>
    where
        S: Service<R>,
    {
        #[pin]
        state: CallState<S, R, S::Future>,
    }
}

pin_project! {
    #[project = CallProjection]
    enum CallState<S, R, F> {
        Waiting { service: S, request: Option<R> },
        Calling { #[pin] future: F },
    }
}

impl<S: Service<R>, R> CallWhenReady<S, R> {
    pub(crate) fn new(service: S, request: R) -> Self {
        Self {
            state: CallState::Waiting {
                service,
                request: Some(request),
            },
        }
    }
}

impl<S: Service<R>, R> Future for CallWhenReady<S, R> {
    type Output = Result<S::Response, S::Error>;

    #[allow(
        clippy::expect_used,
        reason = "the state changes when the request is taken"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                CallProjection::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let future = service.call(request.take().expect("taken once"));
                    this.state.set(CallState::Calling { future });
                }
                CallProjection::Calling { future } => return future.poll(cx),
            }
        }
    }
}

impl<S: Service<R>, R> fmt::Debug for CallWhenReady<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallWhenReady").finish_non_exhaustive()
    }
}
