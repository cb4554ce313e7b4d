//! The service: has the request been here?

use super::{CdnLoopFuture, member::append};
use crate::{
    headers::{CDN_LOOP, CdnInfo, length_of_cdn_loop},
    optional_body::OptionalBody,
};
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service that [`CdnLoopLayer`](super::CdnLoopLayer) makes. It is ready when the inner service is.
#[derive(Clone, Debug)]
pub struct CdnLoop<S> {
    inner: S,
    info: Arc<CdnInfo>,
    max_length: usize,
    /// Or one below does.
    appends: bool,
}

impl<S> CdnLoop<S> {
    pub(super) fn new(inner: S, info: Arc<CdnInfo>, max_length: usize) -> Self {
        Self {
            inner,
            info,
            max_length,
            appends: true,
        }
    }

    /// Above a [`CdnLoopMember`](super::CdnLoopMember).
    pub(super) fn above(inner: S, info: Arc<CdnInfo>, max_length: usize) -> Self {
        Self {
            appends: false,
            ..Self::new(inner, info, max_length)
        }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> CdnLoop<S> {
    fn is_refused<B>(&self, request: &Request<B>) -> bool {
        let is_loop = self.info.is_loop(request.headers());
        if is_loop {
            tracing::warn!(uri = %request.uri(), "a request came back: the configuration is a loop");
        }
        let length = length_of_cdn_loop(request.headers());
        let is_too_long = length > self.max_length;
        if is_too_long && !is_loop {
            tracing::info!(uri = %request.uri(), length, "a request whose CDN-Loop is too long");
        }
        is_loop || is_too_long
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CdnLoop<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<OptionalBody<ResBody>>;
    type Error = S::Error;
    type Future = CdnLoopFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        // Most come straight from a viewer, and have no such field.
        if request.headers().contains_key(CDN_LOOP) && self.is_refused(&request) {
            return CdnLoopFuture::refused();
        }
        if self.appends {
            append(&self.info, &mut request);
        }
        CdnLoopFuture::passing(self.inner.call(request))
    }
}
