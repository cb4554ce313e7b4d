//! The service: what may go to the secondary.

use super::{FailoverCriteria, FailoverFuture, criteria::may_fail_over, future::Secondary};
use crate::optional_body::OptionalBody;
use http::{Request, Response};
use http_body::Body;
use std::task::{Context, Poll};
use tower_service::Service;

/// The service that [`FailoverLayer`](super::FailoverLayer) makes, of a primary and a secondary; what it does is said there.
///
/// Always ready: the services are cloned, and the clones driven to readiness, as a request needs them. Its error is the primary's for
/// what isn't [failed over](FailoverCriteria), or else the secondary's.
#[derive(Clone, Debug)]
pub struct Failover<P, S> {
    primary: P,
    secondary: S,
    criteria: FailoverCriteria,
}

impl<P, S> Failover<P, S> {
    pub(super) fn new(primary: P, secondary: S, criteria: FailoverCriteria) -> Self {
        Self {
            primary,
            secondary,
            criteria,
        }
    }

    /// The primary.
    pub fn get_ref(&self) -> &P {
        &self.primary
    }

    /// The primary.
    pub fn get_mut(&mut self) -> &mut P {
        &mut self.primary
    }

    /// The primary.
    pub fn into_inner(self) -> P {
        self.primary
    }
}

impl<P, S, ReqBody, ResBody> Service<Request<ReqBody>> for Failover<P, S>
where
    P: Service<Request<OptionalBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    S: Service<Request<OptionalBody<ReqBody>>, Response = Response<ResBody>, Error = P::Error>
        + Clone,
    ReqBody: Body,
{
    type Response = Response<ResBody>;
    type Error = P::Error;
    type Future = FailoverFuture<P, S, ReqBody>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let secondary = (may_fail_over(&parts.method) && body.is_end_stream()).then(|| Secondary {
            service: self.secondary.clone(),
            criteria: self.criteria,
            parts: parts.clone(),
        });
        let request = Request::from_parts(parts, OptionalBody::new(body));
        FailoverFuture::new(self.primary.clone(), request, secondary)
    }
}
