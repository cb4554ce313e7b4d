//! The service: a cache that stores nothing.

use super::no_store::NoStore;
use crate::{
    body::ResponseBody,
    cache::{Cache, CacheFuture},
    error::BoxError,
    ready::CallWhenReady,
};
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service that [`CoalesceLayer`](crate::CoalesceLayer) makes.
///
/// Always ready: the inner service is cloned, and the clone driven to readiness, when a request needs it.
pub struct Coalesce<S> {
    cache: Cache<S, NoStore>,
}

impl<S> Coalesce<S> {
    pub(super) fn new(cache: Cache<S, NoStore>) -> Self {
        Self { cache }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.cache.get_ref()
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        self.cache.get_mut()
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.cache.into_inner()
    }
}

impl<S: Clone> Clone for Coalesce<S> {
    fn clone(&self) -> Self {
        Self::new(self.cache.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for Coalesce<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalesce")
            .field("inner", self.get_ref())
            .finish_non_exhaustive()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Coalesce<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    ReqBody: Body + Send + 'static,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = CacheFuture<CallWhenReady<S, Request<ReqBody>>, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.cache.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        self.cache.call(request)
    }
}
