//! The answer to who isn't let in.

use crate::{optional_body::OptionalBody, original_uri, sigv4::Authorization, viewer::peer};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use std::error::Error;

/// Logs who isn't let in, and why: no reason holds a secret. A query may, and isn't there.
pub(super) fn log<B>(request: &Request<B>, reason: &(dyn Error + 'static)) {
    let (uri, headers, extensions) = (request.uri(), request.headers(), request.extensions());
    tracing::info!(
        method = %request.method(),
        path = original_uri::as_sent(uri, extensions).path(),
        peer = peer(extensions).map(tracing::field::display),
        access_key_id = access_key_id(headers),
        reason,
        "request not let in"
    );
}

/// What the request says; nothing proves it.
fn access_key_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?;
    let authorization = Authorization::parse(value.as_bytes())?;
    Some(authorization.access_key_id().to_owned())
}

/// The answer with this status, and the reason as an extension.
pub(super) fn refused<B, R>(status: StatusCode, reason: R) -> Response<OptionalBody<B>>
where
    R: Error + Clone + Send + Sync + 'static,
{
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
