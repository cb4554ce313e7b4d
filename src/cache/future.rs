//! The future of a [`Cache`](super::Cache).

use super::passing::Passing;
use crate::{body::ResponseBody, error::BoxError};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The future of a [`Cache`](crate::Cache).
    ///
    /// A hit is ready when it is made, without a box. Everything else is boxed: a future is moved as a whole, for a hit too.
    pub struct CacheFuture<F, B, E> {
        state: State<F, B, E>,
    }
}

/// [`Passing::finish`] for one type of body: see `PollInner` in [`body`](crate::body).
type Finish<B> = fn(Passing, Response<B>) -> Response<ResponseBody<B>>;

type Fetching<B, E> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, E>> + Send>>;

enum State<F, B, E> {
    /// Answered from the store.
    Hit(Option<Response<ResponseBody<B>>>),
    /// On its way through the inner service, untouched.
    Pass(Pin<Box<Pass<F, B>>>),
    /// To be fetched: alone, or together with others.
    Fetch(Fetching<B, E>),
}

pin_project! {
    struct Pass<F, B> {
        #[pin]
        inner: F,
        passing: Option<Passing>,
        finish: Finish<B>,
    }
}

impl<F, B, E> CacheFuture<F, B, E> {
    #[inline]
    pub(super) fn hit(response: Response<ResponseBody<B>>) -> Self {
        Self {
            state: State::Hit(Some(response)),
        }
    }

    pub(super) fn pass(inner: F, passing: Passing) -> Self
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        Self {
            state: State::Pass(Box::pin(Pass {
                inner,
                passing: Some(passing),
                finish: Passing::finish,
            })),
        }
    }

    pub(super) fn fetch(fetching: Fetching<B, E>) -> Self {
        Self {
            state: State::Fetch(fetching),
        }
    }
}

impl<F, B, E> Future for CacheFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state {
            State::Hit(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // Polled after it was ready.
                None => Poll::Pending,
            },
            State::Pass(pass) => {
                let pass = pass.as_mut().project();
                let response = ready!(pass.inner.poll(cx))?;
                match pass.passing.take() {
                    Some(passing) => Poll::Ready(Ok((pass.finish)(passing, response))),
                    None => Poll::Pending,
                }
            }
            State::Fetch(fetching) => fetching.as_mut().poll(cx),
        }
    }
}

impl<F, B, E> fmt::Debug for CacheFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Hit(_) => "hit",
            State::Pass(_) => "pass",
            State::Fetch(_) => "fetch",
        };
        f.debug_tuple("CacheFuture").field(&state).finish()
    }
}
