//! The future of a [`Failover`](super::Failover): the primary, then perhaps the secondary.

use super::FailoverCriteria;
use crate::optional_body::OptionalBody;
use crate::ready::CallWhenReady;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// Which of two services answered: an extension of each response of a [`Failover`](super::Failover), for logs and tests. Of one
/// `Failover` above another, the outer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnsweredBy {
    /// The one that is asked first.
    Primary,
    /// The one that is asked when the primary failed.
    Secondary,
}

/// What it takes to ask the secondary.
pub(super) struct Secondary<S> {
    pub(super) service: S,
    pub(super) criteria: FailoverCriteria,
    /// The request, as the primary gets it.
    pub(super) parts: Parts,
}

pin_project! {
    /// The future of a [`Failover`](super::Failover).
    pub struct FailoverFuture<P, S, B>
    where
        P: Service<Request<OptionalBody<B>>>,
        S: Service<Request<OptionalBody<B>>>,
    {
        #[pin]
        state: State<P, S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<P, S, B>
    where
        P: Service<Request<OptionalBody<B>>>,
        S: Service<Request<OptionalBody<B>>>,
    {
        /// The primary is asked. Without a secondary, its answer is final.
        Primary {
            #[pin]
            call: CallWhenReady<P, Request<OptionalBody<B>>>,
            secondary: Option<Secondary<S>>,
        },
        /// The primary has failed, and the secondary is asked.
        Secondary { #[pin] call: CallWhenReady<S, Request<OptionalBody<B>>> },
    }
}

impl<P, S, B> FailoverFuture<P, S, B>
where
    P: Service<Request<OptionalBody<B>>>,
    S: Service<Request<OptionalBody<B>>>,
{
    pub(super) fn new(
        primary: P,
        request: Request<OptionalBody<B>>,
        secondary: Option<Secondary<S>>,
    ) -> Self {
        let call = CallWhenReady::new(primary, request);
        Self {
            state: State::Primary { call, secondary },
        }
    }
}

impl<P, S, B, ResBody> Future for FailoverFuture<P, S, B>
where
    P: Service<Request<OptionalBody<B>>, Response = Response<ResBody>>,
    S: Service<Request<OptionalBody<B>>, Response = Response<ResBody>, Error = P::Error>,
{
    type Output = Result<Response<ResBody>, P::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Primary { call, secondary } => {
                    let answer = ready!(call.poll(cx));
                    let failed = |secondary: &Secondary<S>| secondary.has_failed(&answer);
                    let Some(secondary) = secondary.take().filter(failed) else {
                        return Poll::Ready(answered_by(AnsweredBy::Primary, answer));
                    };
                    // The answer and the primary's future may hold what the secondary needs, such as a place in a limit.
                    drop(answer);
                    let call = secondary.ask();
                    this.state.set(State::Secondary { call });
                }
                StateProjection::Secondary { call } => {
                    let answer = ready!(call.poll(cx));
                    return Poll::Ready(answered_by(AnsweredBy::Secondary, answer));
                }
            }
        }
    }
}

impl<S> Secondary<S> {
    /// Whether the primary has, in a way that counts.
    fn has_failed<B, E>(&self, answer: &Result<Response<B>, E>) -> bool {
        match answer {
            Ok(response) => self
                .criteria
                .is_failure(response.status(), response.extensions()),
            Err(_) => self.criteria.is_error_a_failure(),
        }
    }

    fn ask<B>(self) -> CallWhenReady<S, Request<OptionalBody<B>>>
    where
        S: Service<Request<OptionalBody<B>>>,
    {
        // A query may hold a signature.
        tracing::debug!(
            path = self.parts.uri.path(),
            "the primary failed: asking the secondary"
        );
        let request = Request::from_parts(self.parts, OptionalBody::empty());
        CallWhenReady::new(self.service, request)
    }
}

fn answered_by<B, E>(
    who: AnsweredBy,
    mut answer: Result<Response<B>, E>,
) -> Result<Response<B>, E> {
    if let Ok(response) = &mut answer {
        response.extensions_mut().insert(who);
    }
    answer
}

impl<P, S, B> fmt::Debug for FailoverFuture<P, S, B>
where
    P: Service<Request<OptionalBody<B>>>,
    S: Service<Request<OptionalBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = match &self.state {
            State::Primary { .. } => "primary",
            State::Secondary { .. } => "secondary",
        };
        f.debug_tuple("FailoverFuture").field(&asked).finish()
    }
}
