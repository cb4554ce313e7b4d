//! The service.

use super::{RequireSigV4Future, SigV4Body, verifier::Verifier};
use crate::{error::BoxError, optional_body::OptionalBody, ready::CallWhenReady};
use http::{Request, Response};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service that [`RequireSigV4Layer`](super::RequireSigV4Layer) makes.
///
/// Always ready: who isn't let in neither waits for the inner service nor holds any of it. For who is, a clone is driven to
/// readiness.
#[derive(Clone, Debug)]
pub struct RequireSigV4<S> {
    inner: S,
    verifier: Arc<Verifier>,
}

impl<S> RequireSigV4<S> {
    pub(super) fn new(inner: S, verifier: Arc<Verifier>) -> Self {
        Self { inner, verifier }
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

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireSigV4<S>
where
    S: Service<Request<SigV4Body<ReqBody>>, Response = Response<ResBody>> + Clone,
    ReqBody: Body,
    ReqBody::Error: Into<BoxError>,
{
    type Response = Response<OptionalBody<ResBody>>;
    type Error = S::Error;
    type Future = RequireSigV4Future<S, ReqBody, CallWhenReady<S, Request<SigV4Body<ReqBody>>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let claim = match self.verifier.claim(&request) {
            Ok(claim) => claim,
            Err(reason) => return RequireSigV4Future::refused(&request, reason),
        };
        let verifier = self.verifier.clone();
        let proving = async move { verifier.prove(&claim).await };
        RequireSigV4Future::proving(Box::pin(proving), self.inner.clone(), request)
    }
}
