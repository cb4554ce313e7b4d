//! What the server that took a request knows of its viewer, as extensions of the request.

use std::net::SocketAddr;

/// Where the request comes from: the other end of the viewer's connection.
///
/// Whoever accepts connections puts it into the request's extensions; `origin::Origin` appends it to `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewerAddress(pub SocketAddr);

/// Whether the viewer's connection is encrypted. Absent: the scheme of the request's URI says it, else it isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewerProtocol {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}
