//! The layer: the header's name and its values.

use super::{RequireSecretHeader, secrets::Secrets};
use crate::error::ConfigError;
use http::HeaderName;
use std::sync::Arc;
use tower_layer::Layer;

/// Lets in requests with one of the accepted values in a header, and answers others with a 403.
///
/// What the edge adds to its requests, as CloudFront does with an origin's custom headers: `Origin::custom_header`. The connection
/// must be encrypted, or whoever listens knows the secret.
///
/// Several values are accepted at once, for rotation: first the origin accepts the new one, too; then the edge sends it; once no
/// request says [`MatchedSecret`](super::MatchedSecret) of the old one, the origin drops that.
///
/// How long the comparison takes depends on the length of what was sent and on the number of values, and on nothing
/// else. The header is taken out of the request before the inner service sees it; a request with several lines of it is refused.
/// The reason is a [`SecretHeaderRefusal`](super::SecretHeaderRefusal).
///
/// ```
/// use frontage::guard::{MatchedSecret, RequireSecretHeaderLayer};
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio_test::block_on(async {
/// let guard = RequireSecretHeaderLayer::new("x-origin-verify", ["new: kTwfMfJsdbLfzgGB", "old: 9pTnxkzWm4aVtYQe"])?;
/// let app = guard.layer(service_fn(|request: Request<String>| async move {
///     assert!(request.headers().is_empty());
///     assert_eq!(request.extensions().get(), Some(&MatchedSecret(1)));
///     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
/// }));
///
/// let of_the_edge = Request::get("/").header("x-origin-verify", "old: 9pTnxkzWm4aVtYQe").body(String::new())?;
/// assert_eq!(app.clone().oneshot(of_the_edge).await?.status(), 200);
/// let of_somebody = Request::get("/").body(String::new())?;
/// assert_eq!(app.oneshot(of_somebody).await?.status(), 403);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RequireSecretHeaderLayer {
    name: HeaderName,
    secrets: Arc<Secrets>,
}

impl RequireSecretHeaderLayer {
    /// Lets in who sends one of `values` in the header `name`.
    ///
    /// What is kept of a value is its hash; the caller's own copies are the caller's to overwrite.
    ///
    /// # Errors
    ///
    /// When `name` can't be that of a header; when there is no value, or one is shorter than 16 bytes or can't be sent in
    /// a header as it is. No value is in the message.
    pub fn new<V: AsRef<[u8]>>(
        name: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, ConfigError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            ConfigError::new("secret_header_name", name, "one that a header can have")
        })?;
        Ok(Self {
            name,
            secrets: Arc::new(Secrets::new(values)?),
        })
    }
}

impl<S> Layer<S> for RequireSecretHeaderLayer {
    type Service = RequireSecretHeader<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireSecretHeader::new(inner, self.name.clone(), self.secrets.clone())
    }
}
