//! The service.

use super::{AdmittedAddress, PrefixRefusal, address::address_of, layer::Settings};
use crate::{guard::GuardFuture, optional_body::OptionalBody, ready::CallWhenReady};
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service that [`RequirePrefixLayer`](super::RequirePrefixLayer) makes.
///
/// Always ready: who isn't let in neither waits for the inner service nor holds any of it. For who is, a clone is driven to
/// readiness.
#[derive(Clone, Debug)]
pub struct RequirePrefix<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> RequirePrefix<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
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

    fn admit<B>(&self, request: &Request<B>) -> Result<AdmittedAddress, PrefixRefusal> {
        let Settings { prefixes, trusted } = &*self.settings;
        let address = address_of(request.extensions(), request.headers(), trusted)?;
        match prefixes.contain(address) {
            true => Ok(AdmittedAddress(address)),
            false => Err(PrefixRefusal::Elsewhere(address)),
        }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequirePrefix<S>
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
        match self.admit(&request) {
            Ok(address) => {
                request.extensions_mut().insert(address);
                GuardFuture::let_in(CallWhenReady::new(self.inner.clone(), request))
            }
            Err(reason) => GuardFuture::refused(&request, reason),
        }
    }
}
