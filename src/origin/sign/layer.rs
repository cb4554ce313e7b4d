//! The layer: a signer.

use super::{Sign, Signer};
use tower_layer::Layer;

/// Signs requests on their way to the service below it.
///
/// It belongs right above the client: below whatever sets the host, the path or header fields, and below what makes several
/// attempts, so that each is signed anew. Hop-by-hop fields are to be gone by then; `Host` is the origin's.
///
/// A request that can't be signed doesn't reach the service below. It is answered with the status of the
/// [`SignError`](super::SignError), which is an extension of the response, and an empty body.
///
/// Bodies stream, so their hash isn't known here. For [`SigningService::S3`](super::SigningService::S3) and
/// [`MediaStore`](super::SigningService::MediaStore) they are left out of the signature; for all others, those with a
/// [`Named`](super::SigningService::Named) service, too, the viewer must send the hash in `x-amz-content-sha256`: without it each `POST`
/// or `PUT` with a body is answered with a 400.
///
/// ```
/// use frontage::origin::{Credentials, OriginAccessControl, SignLayer, Signer, SigningService};
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio_test::block_on(async {
/// let host = "assets.s3.eu-west-1.amazonaws.com";
/// let access_control = OriginAccessControl::always(Credentials::new("id", "secret"));
/// let signer = Signer::new(access_control, SigningService::S3, host, None)?;
///
/// let client = service_fn(|request: Request<String>| async move {
///     assert!(request.headers().contains_key("authorization"));
///     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
/// });
/// let signed = SignLayer::new(signer).layer(client);
/// let request = Request::get(format!("https://{host}/logo.svg")).body(String::new())?;
/// assert_eq!(signed.oneshot(request).await?.status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SignLayer {
    signer: Signer,
}

impl SignLayer {
    /// Signs with `signer`.
    #[must_use]
    pub fn new(signer: Signer) -> Self {
        Self { signer }
    }
}

impl<S> Layer<S> for SignLayer {
    type Service = Sign<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Sign::new(inner, self.signer.clone())
    }
}
