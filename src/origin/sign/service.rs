//! The service.

use super::{SignFuture, Signer};
use crate::optional_body::OptionalBody;
use http::{Request, Response};
use http_body::Body;
use std::{
    mem,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service that [`SignLayer`](super::SignLayer) makes.
///
/// Ready when the inner service is; that very instance gets the request.
#[derive(Clone, Debug)]
pub struct Sign<S> {
    inner: S,
    signer: Signer,
}

impl<S> Sign<S> {
    pub(super) fn new(inner: S, signer: Signer) -> Self {
        Self { inner, signer }
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

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Sign<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ReqBody: Body,
{
    type Response = Response<OptionalBody<ResBody>>;
    type Error = S::Error;
    type Future = SignFuture<S, ReqBody, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if !self.signer.signs(&parts) {
            return SignFuture::calling(self.inner.call(Request::from_parts(parts, body)));
        }
        let clone = self.inner.clone();
        // The one that is ready is to be called, and the clone isn't.
        let ready = mem::replace(&mut self.inner, clone);
        let signer = self.signer.clone();
        let has_body = !body.is_end_stream();
        let signing = async move {
            signer.sign(&mut parts, has_body).await?;
            Ok(parts)
        };
        SignFuture::signing(Box::pin(signing), ready, body)
    }
}
