//! The future of [`Blocks`](super::Blocks).

use crate::{body::ResponseBody, cache::CacheFuture};
use http::Response;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pub(super) type Assembling<B, E> =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, E>> + Send>>;

pin_project! {
    /// The future of [`Blocks`](super::Blocks): what goes in blocks is boxed, the rest is the cache's own.
    pub struct BlocksFuture<F, B, E> {
        #[pin]
        state: State<F, B, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B, E> {
        Whole { #[pin] cache: CacheFuture<F, B, E> },
        Blocks { assembling: Assembling<B, E> },
    }
}

impl<F, B, E> BlocksFuture<F, B, E> {
    pub(super) fn whole(cache: CacheFuture<F, B, E>) -> Self {
        Self {
            state: State::Whole { cache },
        }
    }

    pub(super) fn blocks(assembling: Assembling<B, E>) -> Self {
        Self {
            state: State::Blocks { assembling },
        }
    }
}

impl<F, B, E> Future for BlocksFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Whole { cache } => cache.poll(cx),
            StateProjection::Blocks { assembling } => assembling.as_mut().poll(cx),
        }
    }
}

impl<F, B, E> fmt::Debug for BlocksFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Whole { .. } => "whole",
            State::Blocks { .. } => "blocks",
        };
        f.debug_tuple("BlocksFuture").field(&state).finish()
    }
}
