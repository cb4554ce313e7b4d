//! The layer: from where.

use super::{RequirePrefix, prefixes::Prefixes};
use crate::error::ConfigError;
use std::sync::Arc;
use tower_layer::Layer;

/// Lets in requests from given address prefixes, and answers others with a 403.
///
/// The address is the peer's: what whoever accepts connections put into the request's extensions as
/// [`ViewerAddress`](crate::ViewerAddress), else, with the feature `axum`, as `ConnectInfo<SocketAddr>`
/// (`into_make_service_with_connect_info`). Where neither is there, nobody is let in. The edge's
/// `Origin` knows its viewers in the same way. An IPv4 address that is mapped into
/// IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
///
/// Behind proxies of one's own the peer is always one of them: with [`trusted_proxies`](Self::trusted_proxies), and only from those, the
/// address is read off `X-Forwarded-For`. `Forwarded` (RFC 7239) isn't read.
///
/// The inner service finds the address as [`AdmittedAddress`](super::AdmittedAddress); neither `ViewerAddress` nor any header is
/// changed. The reason of a refusal is a [`PrefixRefusal`](super::PrefixRefusal).
///
/// ```
/// use frontage::{ViewerAddress, guard::RequirePrefixLayer};
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio_test::block_on(async {
/// let guard = RequirePrefixLayer::new(["198.51.100.0/24", "2001:db8::/32"])?.trusted_proxies(["10.0.0.0/8"])?;
/// let app = guard.layer(service_fn(|_| async {
///     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
/// }));
/// for (peer, forwarded_for, status) in [
///     ("198.51.100.7:999", "", 200),
///     ("203.0.113.7:999", "198.51.100.7", 403),
///     ("10.0.0.1:999", "203.0.113.9, 198.51.100.7", 200),
///     ("10.0.0.1:999", "198.51.100.7, 203.0.113.9", 403),
/// ] {
///     let request = Request::get("/")
///         .extension(ViewerAddress(peer.parse()?))
///         .header("x-forwarded-for", forwarded_for)
///         .body(String::new())?;
///     assert_eq!(app.clone().oneshot(request).await?.status(), status);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RequirePrefixLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) prefixes: Prefixes,
    pub(super) trusted: Prefixes,
}

impl RequirePrefixLayer {
    /// Lets in who comes from one of these prefixes, such as `10.0.0.0/8`, `2001:db8::/32` or a single address. `::/0` doesn't
    /// hold IPv4, and `0.0.0.0/0` no IPv6.
    ///
    /// # Errors
    ///
    /// When there is none, or one can't be read, or has bits behind its length (`10.0.0.1/8`).
    pub fn new<P: AsRef<str>>(prefixes: impl IntoIterator<Item = P>) -> Result<Self, ConfigError> {
        Ok(Self {
            settings: Arc::new(Settings {
                prefixes: Prefixes::parse("prefixes", prefixes)?,
                trusted: Prefixes::default(),
            }),
        })
    }

    /// Believes what peers from these prefixes say in `X-Forwarded-For`: read from its right end, the first address that
    /// is none of them is the one that must be in the layer's prefixes; where all are, the leftmost. A trusted proxy that
    /// sends no such field speaks for itself; one that sends something else than an address there, or nothing, isn't let in.
    /// Default: nobody is believed.
    ///
    /// Every proxy in the list must append to the field, or replace it; one that passes it on untouched lets everybody in.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn trusted_proxies<P: AsRef<str>>(
        mut self,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Result<Self, ConfigError> {
        let trusted = Prefixes::parse("trusted_proxies", prefixes)?;
        Arc::make_mut(&mut self.settings).trusted = trusted;
        Ok(self)
    }
}

impl<S> Layer<S> for RequirePrefixLayer {
    type Service = RequirePrefix<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequirePrefix::new(inner, self.settings.clone())
    }
}
