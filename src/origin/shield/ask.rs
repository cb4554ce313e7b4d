//! Asking shields in other processes: who comes next, and when it is enough.

use super::Shields;
use crate::{
    headers::says_hit,
    key::KeyPolicy,
    origin::{OriginBody, OriginFailure, RequestBody, service::Shared},
    status::OriginShieldHit,
};
use http::{Method, Request, Response, StatusCode};
use std::mem;
use tokio::time::Instant;

/// So many shields may take a request without an answer: each may have asked the origin as often as it does, and may still.
const MOST_TAKERS: u32 = 2;

/// Asks one shield after the other. Where none answers, the request is the origin's, and back in its place: for one attempt if it
/// may have been there already.
pub(in crate::origin) async fn ask_shields(
    shields: &Shields<Shared>,
    request: &mut Request<RequestBody>,
    deadline: Option<Instant>,
    attempts: &mut u32,
) -> Option<Result<Response<OriginBody>, OriginFailure>> {
    let is_repeatable = is_repeatable(request);
    let key = KeyPolicy::new().address(request.uri(), request.headers());
    let (parts, mut body) = mem::take(request).into_parts();
    let (mut takers, mut is_late) = (0, false);
    for shield in shields.of(&key) {
        let asked = Instant::now();
        let mut attempt = Request::from_parts(parts.clone(), mem::take(&mut body));
        let failure = match Box::pin(shield.client.ask(
            &mut attempt,
            deadline,
            shield.client.attempts,
        ))
        .await
        {
            // The way of the shields leads nowhere: one that asks itself, or a request as long as none may go on.
            Ok(response) if is_repeatable && response.status() == StatusCode::LOOP_DETECTED => {
                shield.answered(asked);
                tracing::debug!("an origin shield says that it is in a loop");
                takers += 1;
                break;
            }
            Ok(mut response) => {
                shield.answered(asked);
                if says_hit(response.headers()) {
                    response.extensions_mut().insert(OriginShieldHit);
                }
                return Some(Ok(response));
            }
            Err(failure) => failure,
        };
        match Meaning::of(failure) {
            Meaning::Unreachable => {
                shield.unreachable(failure);
                // It was not sent, or has no body.
                body = attempt.into_body();
            }
            Meaning::Unanswered => {
                shield.unanswered(failure);
                if !is_repeatable || is_late {
                    return Some(Err(failure));
                }
                // The origin may be what is slow: one other way is tried, and that is it.
                is_late = failure == OriginFailure::ResponseTimeout;
                takers += 1;
                if takers == MOST_TAKERS {
                    break;
                }
            }
            Meaning::Final => return Some(Err(failure)),
        }
    }
    *request = Request::from_parts(parts, body);
    if takers > 0 {
        *attempts = 1;
    }
    None
}

/// Whether it may be sent once more where nobody knows what became of it.
fn is_repeatable(request: &Request<RequestBody>) -> bool {
    let method = request.method();
    (*method == Method::GET || *method == Method::HEAD) && request.body().is_empty()
}

/// What a failure says of a shield.
enum Meaning {
    /// No request gets there.
    Unreachable,
    /// It took this one.
    Unanswered,
    /// It is not the shield's.
    Final,
}

impl Meaning {
    fn of(failure: OriginFailure) -> Self {
        match failure {
            OriginFailure::Dns
            | OriginFailure::Connect
            | OriginFailure::ConnectTimeout
            | OriginFailure::Tls => Self::Unreachable,
            OriginFailure::Closed
            | OriginFailure::InvalidResponse
            | OriginFailure::ResponseTimeout => Self::Unanswered,
            OriginFailure::BadRequest
            | OriginFailure::RequestBody
            | OriginFailure::RequestTimeout
            | OriginFailure::Credentials
            | OriginFailure::HeaderTooBig
            | OriginFailure::CompletionTimeout => Self::Final,
        }
    }
}
