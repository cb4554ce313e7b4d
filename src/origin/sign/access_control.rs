//! Which requests to an origin are signed, and with whose credentials.

use super::credentials::ProvideCredentials;
use std::sync::Arc;

/// Which requests are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningBehavior {
    /// All. The viewer's `Authorization` is overwritten. Recommended.
    Always,
    /// None: access control is off, and requests pass as they are.
    Never,
    /// Those without an `Authorization` of the viewer's. One that is there passes as it is, with all `X-Amz-*` fields that
    /// belong to it.
    NoOverride,
}

/// Access control of an origin, signed with SigV4: the origin answers whoever has these credentials, and nobody else.
///
/// What kind of origin it is decides the service: see [`Signer`](super::Signer).
///
/// ```
/// use frontage::origin::{Credentials, OriginAccessControl, SigningBehavior};
///
/// let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
/// let access_control = OriginAccessControl::always(credentials);
/// assert_eq!(access_control.behavior(), SigningBehavior::Always);
/// ```
#[derive(Clone, Debug)]
pub struct OriginAccessControl {
    behavior: SigningBehavior,
    credentials: Arc<dyn ProvideCredentials>,
}

impl OriginAccessControl {
    /// Signs with what `credentials` provides. With [`SigningBehavior::Never`] they aren't asked for.
    #[must_use]
    pub fn new(behavior: SigningBehavior, credentials: impl ProvideCredentials) -> Self {
        Self {
            behavior,
            credentials: Arc::new(credentials),
        }
    }

    /// Signs every request: [`SigningBehavior::Always`].
    #[must_use]
    pub fn always(credentials: impl ProvideCredentials) -> Self {
        Self::new(SigningBehavior::Always, credentials)
    }

    /// Signs what the viewer didn't: [`SigningBehavior::NoOverride`].
    #[must_use]
    pub fn no_override(credentials: impl ProvideCredentials) -> Self {
        Self::new(SigningBehavior::NoOverride, credentials)
    }

    /// Which requests are signed.
    #[must_use]
    pub fn behavior(&self) -> SigningBehavior {
        self.behavior
    }

    pub(super) fn credentials(&self) -> &dyn ProvideCredentials {
        &*self.credentials
    }
}
