//! The layer: whose signatures, for which service.

use super::{LookUpCredentials, RequireSigV4, verifier::Verifier};
use crate::{
    clock::{Clock, SystemClock},
    error::ConfigError,
    origin::{SigningService, is_name},
};
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// Five minutes, as AWS allows.
const MAX_SKEW: u64 = 300_000;

/// Lets in requests that are signed with AWS Signature Version 4, and answers others with a 403.
///
/// What [`SignLayer`](crate::origin::SignLayer) and AWS's SDKs sign in `Authorization`, for one region and one service. A
/// presigned URL isn't let in. What must be so:
///
/// * signed at most five minutes ago, or ahead ([`max_skew`](Self::max_skew)), by `x-amz-date`. Within that time, whoever
///   has a signed request can send it again: the connection must be encrypted;
/// * signed are the host and every `x-amz-*` field. The host is what `Host` says, else the target's authority
///   (`:authority` in HTTP/2); where both are there they must agree. Other fields may be changed on the way if they aren't signed;
/// * the path is sent as it is signed: for [`SigningService::S3`] encoded as [`canonical_path`](crate::sigv4::canonical_path)
///   does it, else without `//`, `/./` and `/../`. Other paths have the signature of one that is, and the router below would take
///   them for something else. What SigV4 leaves open in the query stays open: the order of parameters, `a` for
///   `a=`, and how a byte is encoded. A space may be `%20` or `+`, since AWS's SDKs sign both alike; a plus is `%2B`. So the inner
///   service has to read queries as forms are read: who sees a plus in `+` sees another value than the signed one;
/// * `x-amz-content-sha256` is the body's SHA-256 in hex, which is compared as the body streams through [`SigV4Body`](super::SigV4Body);
///   at once where there is none. The field may be missing where there is no body. `UNSIGNED-PAYLOAD` is refused unless
///   [allowed](Self::allow_unsigned_payload), `STREAMING-...` always;
/// * temporary credentials come with their session token, others without one.
///
/// The inner service finds [`SignedBy`](super::SignedBy) among the request's extensions; the fields of the signature stay. The
/// reason of a refusal is a [`SigV4Refusal`](super::super::SigV4Refusal); where the credentials can't be looked up, the answer is a 503
/// with the [`CredentialsError`](crate::origin::CredentialsError). `Authorization` may be 8 KiB long, and name 64 fields.
///
/// What `SignLayer` can't hash, it can't sign: with [`SigningService::Named`], as below, and for Lambda and MediaPackage, a request
/// with a body gets here only if the viewer sends its hash in `x-amz-content-sha256`; else the edge answers it with a 400. Where
/// viewers of a service of one's own send bodies without, both sides take [`SigningService::S3`], for which the signature leaves the
/// body out, and the guard [allows](Self::allow_unsigned_payload) that.
///
/// In axum the path is the one before a `nest` took its prefix off, with the feature `axum`; without it, put the layer outside.
///
/// ```
/// use frontage::{guard::RequireSigV4Layer, origin::{Credentials, OriginAccessControl, SignLayer, Signer, SigningService}};
/// use http::{Request, Response};
/// use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
///
/// # tokio_test::block_on(async {
/// let (service, host) = (SigningService::Named("my-app".into()), "origin.example");
/// let credentials = Credentials::new("EDGE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
///
/// // At the origin.
/// let guard = RequireSigV4Layer::new(credentials.clone(), service.clone(), "eu-west-1")?;
/// let app = guard.layer(service_fn(|_| async {
///     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
/// }));
/// // At the edge.
/// let signer = Signer::new(OriginAccessControl::always(credentials), service, host, Some("eu-west-1"))?;
/// let edge = ServiceBuilder::new().layer(SignLayer::new(signer)).service(app.clone());
///
/// let request = || Request::get("https://origin.example/").body(String::new());
/// assert_eq!(edge.oneshot(request()?).await?.status(), 200);
/// assert_eq!(app.oneshot(request()?).await?.status(), 403);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RequireSigV4Layer {
    verifier: Arc<Verifier>,
}

impl RequireSigV4Layer {
    /// Lets in who signs with one of these credentials for this service and region. The service says how the path is signed, too.
    ///
    /// # Errors
    ///
    /// For a region or a service's name that can't be one.
    pub fn new(
        credentials: impl LookUpCredentials,
        service: SigningService,
        region: &str,
    ) -> Result<Self, ConfigError> {
        for (setting, value) in [("region", region), ("service", service.name())] {
            if !is_name(value) {
                return Err(ConfigError::new(
                    setting,
                    value,
                    "letters, digits, `-` and `_`",
                ));
            }
        }
        Ok(Self {
            verifier: Arc::new(Verifier {
                credentials: Arc::new(credentials),
                service,
                region: region.to_owned(),
                takes_unsigned_payload: false,
                max_skew: MAX_SKEW,
                clock: Arc::new(SystemClock),
            }),
        })
    }

    /// Lets in requests whose body isn't signed (`UNSIGNED-PAYLOAD`), which anybody on the way can replace: only where the
    /// connection is encrypted up to here. [`SignLayer`](crate::origin::SignLayer) sends that for
    /// [`SigningService::S3`] and [`SigningService::MediaStore`], where there is a body and the viewer doesn't send its hash.
    /// Default: refused.
    #[must_use]
    pub fn allow_unsigned_payload(mut self) -> Self {
        Arc::make_mut(&mut self.verifier).takes_unsigned_payload = true;
        self
    }

    /// How far the moment of signing may be from now, before and behind, to the millisecond. Default: five minutes.
    #[must_use]
    pub fn max_skew(mut self, skew: Duration) -> Self {
        let millis = u64::try_from(skew.as_millis()).unwrap_or(u64::MAX);
        Arc::make_mut(&mut self.verifier).max_skew = millis;
        self
    }

    /// Where the wall time comes from. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        Arc::make_mut(&mut self.verifier).clock = Arc::new(clock);
        self
    }
}

impl<S> Layer<S> for RequireSigV4Layer {
    type Service = RequireSigV4<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireSigV4::new(inner, self.verifier.clone())
    }
}
