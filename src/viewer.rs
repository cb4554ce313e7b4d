//! What the server that took a request knows of its viewer, as extensions of the request.

use http::Extensions;
use std::net::SocketAddr;

/// Where the request comes from: the other end of the viewer's connection.
///
/// Whoever accepts connections puts it into the request's extensions. `origin::Origin` appends it to `X-Forwarded-For`, and
/// [`guard::RequirePrefixLayer`](crate::guard::RequirePrefixLayer) looks at it. Where it is missing, both take axum's
/// `ConnectInfo<SocketAddr>` (`into_make_service_with_connect_info`), with the feature `axum`. Without either, `Origin`
/// **removes** a viewer's `X-Forwarded-For`, and says so once (`tracing`, level `WARN`): an origin that believes the edge
/// would believe the viewer. Where a proxy in front is reached by a Unix socket, put the address here that it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewerAddress(pub SocketAddr);

/// The other end of the connection, from whoever knows it.
pub(crate) fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    if let Some(ViewerAddress(address)) = extensions.get() {
        return Some(*address);
    }
    #[cfg(feature = "axum")]
    if let Some(axum::extract::ConnectInfo(address)) = extensions.get() {
        return Some(*address);
    }
    None
}

/// Whether the viewer's connection is encrypted. Absent: the scheme of the request's URI says it, else it isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewerProtocol {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}
