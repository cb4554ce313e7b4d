//! The service.

use super::secrets::Secrets;
use crate::{guard::GuardFuture, optional_body::OptionalBody, ready::CallWhenReady};
use http::{HeaderName, Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service that [`RequireSecretHeaderLayer`](super::RequireSecretHeaderLayer) makes.
///
/// Always ready: who isn't let in neither waits for the inner service nor holds any of it. For who is, a clone is driven to
/// readiness.
#[derive(Clone, Debug)]
pub struct RequireSecretHeader<S> {
    inner: S,
    name: HeaderName,
    secrets: Arc<Secrets>,
}

impl<S> RequireSecretHeader<S> {
    pub(super) fn new(inner: S, name: HeaderName, secrets: Arc<Secrets>) -> Self {
        Self {
            inner,
            name,
            secrets,
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

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireSecretHeader<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<OptionalBody<ResBody>>;
    type Error = S::Error;
    type Future = GuardFuture<CallWhenReady<S, Request<ReqBody>>, ResBody>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        match self.secrets.check(request.headers(), &self.name) {
            Ok(matched) => {
                request.headers_mut().remove(&self.name);
                request.extensions_mut().insert(matched);
                GuardFuture::let_in(CallWhenReady::new(self.inner.clone(), request))
            }
            Err(reason) => GuardFuture::refused(&request, reason),
        }
    }
}
