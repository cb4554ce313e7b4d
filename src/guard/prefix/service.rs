//! The service.

use super::{AdmittedAddress, PrefixRefusal, address::address_of, layer::Settings};
use crate::{guard::GuardFuture, optional_body::OptionalBody};
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service that [`RequirePrefixLayer`](super::RequirePrefixLayer) makes.
///
/// Ready when the inner service is; that very instance gets the request.
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
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<OptionalBody<ResBody>>;
    type Error = S::Error;
    type Future = GuardFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        match self.admit(&request) {
            Ok(address) => {
                request.extensions_mut().insert(address);
                GuardFuture::let_in(self.inner.call(request))
            }
            Err(reason) => GuardFuture::refused(reason),
        }
    }
}
