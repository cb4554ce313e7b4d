//! What becomes of a request that gets no response.

use crate::origin::{
    OriginFailure,
    upload::{RequestBody, ViewerBody},
};
use h2::Reason;
use http::Request;
use hyper::client::conn::TrySendError;
use std::{error::Error, io};

/// What a request that got no response leaves.
pub(in crate::origin) struct Failed {
    pub(in crate::origin) failure: OriginFailure,
    /// The connection had been kept, and ended before a byte of this answer; or the origin says that it has done nothing: it
    /// may never have seen the request.
    pub(in crate::origin) may_be_repeated: bool,
    /// Nothing of the request was sent, and it is back in its place.
    pub(in crate::origin) is_unsent: bool,
    pub(super) http2: Option<Broken>,
}

/// What an error of HTTP/2 ends.
#[derive(Clone, Copy)]
pub(super) enum Broken {
    /// One request; the origin has seen it.
    Stream,
    /// One request, which the origin has not processed (RFC 9113 section 8.7).
    Unprocessed,
    /// All requests.
    Connection,
}

impl From<OriginFailure> for Failed {
    fn from(failure: OriginFailure) -> Self {
        Self {
            failure,
            may_be_repeated: false,
            is_unsent: false,
            http2: None,
        }
    }
}

impl Failed {
    /// Puts the request in its place if it comes back.
    pub(super) fn of(
        mut error: TrySendError<Request<RequestBody>>,
        request: &mut Request<RequestBody>,
    ) -> Self {
        let unsent = error.take_message();
        let is_unsent = unsent.is_some();
        if let Some(unsent) = unsent {
            *request = unsent;
        }
        let error = error.into_error();
        let failure = failure(&error);
        tracing::debug!(error = &error as &dyn Error, "no answer: {failure}");
        Self {
            failure,
            may_be_repeated: false,
            is_unsent,
            http2: causes(&error).find_map(|cause| cause.downcast_ref().map(broken)),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.failure == OriginFailure::Closed
    }
}

/// What an error of hyper's means.
pub(super) fn failure(error: &hyper::Error) -> OriginFailure {
    let mut failure = OriginFailure::Closed;
    for cause in causes(error) {
        if cause.is::<ViewerBody>() {
            return OriginFailure::RequestBody;
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                failure = OriginFailure::HeaderTooBig;
            } else if error.is_parse() {
                failure = OriginFailure::InvalidResponse;
            }
        }
    }
    failure
}

fn broken(error: &h2::Error) -> Broken {
    if error.reason() == Some(Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR))
    {
        Broken::Unprocessed
    } else if error.is_reset() {
        Broken::Stream
    } else {
        Broken::Connection
    }
}

/// An error, what caused it, and so on.
fn causes(error: &hyper::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |error| cause(*error))
}

fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // An I/O error hides the one that it was made of.
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}
