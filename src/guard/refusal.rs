//! The answer to who isn't let in.

use crate::optional_body::OptionalBody;
use http::{HeaderValue, Response, StatusCode, header};
use std::error::Error;

/// The answer with this status, and the reason as an extension. Logs it: no reason holds a secret.
pub(super) fn refused<B, R>(status: StatusCode, reason: R) -> Response<OptionalBody<B>>
where
    R: Error + Clone + Send + Sync + 'static,
{
    tracing::info!(
        reason = &reason as &(dyn Error + 'static),
        "request not let in"
    );
    let mut response = Response::new(OptionalBody::empty());
    *response.status_mut() = status;
    // It is about who asks, and no key of a cache knows that.
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response.extensions_mut().insert(reason);
    response
}
