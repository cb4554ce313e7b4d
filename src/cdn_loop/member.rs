//! The half that may stand below a cache: says that the request was here.

use crate::headers::{CDN_LOOP, CdnInfo};
use http::Request;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service below the cache that [`CdnLoopLayer::around`](super::CdnLoopLayer::around) puts itself around. It is ready when
/// the inner service is.
#[derive(Clone, Debug)]
pub struct CdnLoopMember<S> {
    inner: S,
    info: Arc<CdnInfo>,
}

impl<S> CdnLoopMember<S> {
    pub(super) fn new(inner: S, info: Arc<CdnInfo>) -> Self {
        Self { inner, info }
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

impl<S, B> Service<Request<B>> for CdnLoopMember<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        append(&self.info, &mut request);
        self.inner.call(request)
    }
}

pub(super) fn append<B>(info: &CdnInfo, request: &mut Request<B>) {
    let member = info.member().clone();
    request.headers_mut().append(CDN_LOOP, member);
}
