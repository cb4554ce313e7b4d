//! What becomes of a request that gets no response.

use crate::origin::{
    OriginFailure,
    upload::{RequestBody, ViewerBody},
};
use http::Request;
use hyper::client::conn::TrySendError;
use std::{error::Error, io};

/// What a request that got no response leaves.
pub(in crate::origin) struct Failed {
    pub(in crate::origin) failure: OriginFailure,
    /// The connection had answered others before, and ended before a byte of this answer: the origin may never have seen the
    /// request.
    pub(in crate::origin) on_used: bool,
    /// The origin has seen nothing of the request, which is back in its place.
    pub(in crate::origin) is_unsent: bool,
}

impl From<OriginFailure> for Failed {
    fn from(failure: OriginFailure) -> Self {
        Self {
            failure,
            on_used: false,
            is_unsent: false,
        }
    }
}

impl Failed {
    /// Puts the request in its place if it comes back.
    pub(super) fn of(
        mut error: TrySendError<Request<RequestBody>>,
        on_used: bool,
        request: &mut Request<RequestBody>,
    ) -> Self {
        let unsent = error.take_message();
        let is_unsent = unsent.is_some();
        if let Some(unsent) = unsent {
            *request = unsent;
        }
        let error = error.into_error();
        let failure = failure(&error);
        tracing::warn!(error = &error as &dyn Error, "the origin failed: {failure}");
        Self {
            failure,
            on_used: on_used && failure == OriginFailure::Closed,
            is_unsent,
        }
    }
}

/// What an error of hyper's means.
pub(super) fn failure(error: &hyper::Error) -> OriginFailure {
    let mut failure = OriginFailure::Closed;
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<ViewerBody>() {
            return OriginFailure::RequestBody;
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                failure = OriginFailure::HeaderTooBig;
            } else if error.is_parse() {
                failure = OriginFailure::InvalidResponse;
            } else if error.is_user() {
                failure = OriginFailure::RequestBody;
            }
        }
        cause = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    failure
}
