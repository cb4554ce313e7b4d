//! Why an origin gave no answer.

use http::StatusCode;
use std::fmt;

/// Why an origin gave no answer: an extension of the response that stands in its place.
///
/// ```
/// use frontage::origin::OriginFailure;
///
/// assert_eq!(OriginFailure::Connect.status(), 502);
/// assert_eq!(OriginFailure::ConnectTimeout.status(), 504);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OriginFailure {
    /// The request can't be passed on: a second `Host`, lengths that contradict each other, a transfer coding that isn't
    /// `chunked`, a method for proxies. 400, and the end of the viewer's connection.
    BadRequest,
    /// The viewer's body ended before its time, or was longer or shorter than it said. 400.
    RequestBody,
    /// The viewer sent nothing more of its body within the response timeout. 408.
    RequestTimeout,
    /// There are no credentials to sign with. 502.
    Credentials,
    /// The name doesn't resolve. 502.
    Dns,
    /// No attempt brought a connection: refused, unreachable, reset. 502.
    Connect,
    /// No attempt brought a connection in time. 504.
    ConnectTimeout,
    /// The TLS handshake failed: the certificate's name, dates or issuer, or no common version or cipher. 502.
    Tls,
    /// The connection ended before the head of a response. 502.
    Closed,
    /// What came is no HTTP response, not one to this request, or one whose body has a transfer coding that nobody asked for. 502.
    InvalidResponse,
    /// The head of the response is larger than may be. 502.
    HeaderTooBig,
    /// No first byte within the response timeout. 504.
    ResponseTimeout,
    /// The response completion timeout was over before the head. 504.
    CompletionTimeout,
}

impl OriginFailure {
    /// The status that the viewer gets.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::RequestBody => StatusCode::BAD_REQUEST,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ConnectTimeout | Self::ResponseTimeout | Self::CompletionTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Credentials
            | Self::Dns
            | Self::Connect
            | Self::Tls
            | Self::Closed
            | Self::InvalidResponse
            | Self::HeaderTooBig => StatusCode::BAD_GATEWAY,
        }
    }

    /// The name in CloudFront's logs (`x-edge-detailed-result-type`).
    #[must_use]
    pub fn detailed_result_type(self) -> &'static str {
        match self {
            Self::BadRequest | Self::RequestBody | Self::RequestTimeout => "ClientCommError",
            Self::Dns => "OriginDnsError",
            Self::Connect | Self::Tls | Self::Credentials => "OriginConnectError",
            Self::ConnectTimeout | Self::ResponseTimeout | Self::CompletionTimeout => {
                "OriginCommError"
            }
            Self::Closed => "OriginReadError",
            Self::InvalidResponse => "OriginInvalidResponseError",
            Self::HeaderTooBig => "OriginHeaderTooBigError",
        }
    }

    /// What went wrong, in a sentence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "the request can't be passed on",
            Self::RequestBody => "the request's body failed",
            Self::RequestTimeout => "the request's body did not come in time",
            Self::Credentials => "there are no credentials to sign the request with",
            Self::Dns => "the origin's name doesn't resolve",
            Self::Connect => "no connection to the origin",
            Self::ConnectTimeout => "no connection to the origin in time",
            Self::Tls => "the TLS handshake with the origin failed",
            Self::Closed => "the origin closed the connection without an answer",
            Self::InvalidResponse => "the origin's answer is not valid",
            Self::HeaderTooBig => "the head of the origin's answer is too large",
            Self::ResponseTimeout => "the origin did not answer in time",
            Self::CompletionTimeout => "the origin's answer was not complete in time",
        }
    }
}

impl fmt::Display for OriginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for OriginFailure {}
