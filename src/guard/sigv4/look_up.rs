//! Whose signatures are accepted.

use crate::origin::{Credentials, CredentialsError};
use std::{fmt, future::ready, pin::Pin, sync::Arc};

/// What [`LookUpCredentials::look_up`] returns; `None` for an access key that nobody has.
pub type FoundCredentials<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Credentials>, CredentialsError>> + Send + 'a>>;

/// Finds the credentials of an access key. [`Credentials`] find themselves; a `Vec` of them holds several, for rotation or
/// for several senders.
///
/// It is asked for every request that is signed at all, for the right region, service and time, whoever sent it: one that
/// asks somebody else has to bound that, and to remember the answers. Who waits for it holds nothing of the inner service.
///
/// ```
/// use frontage::{guard::{FoundCredentials, LookUpCredentials}, origin::Credentials};
///
/// let both = vec![Credentials::new("NEW", "secret"), Credentials::new("OLD", "secret")];
/// # tokio_test::block_on(async {
/// assert!(both.look_up("OLD").await?.is_some());
/// assert!(both.look_up("OLDER").await?.is_none());
///
/// #[derive(Debug)]
/// struct Derived;
///
/// impl LookUpCredentials for Derived {
///     fn look_up<'a>(&'a self, access_key_id: &'a str) -> FoundCredentials<'a> {
///         Box::pin(async move {
///             let number = access_key_id.strip_prefix("TENANT-");
///             Ok(number.map(|number| Credentials::new(access_key_id, format!("secret of {number}"))))
///         })
///     }
/// }
/// assert!(Derived.look_up("TENANT-7").await?.is_some());
/// # Ok::<(), frontage::origin::CredentialsError>(())
/// # }).unwrap();
/// ```
pub trait LookUpCredentials: fmt::Debug + Send + Sync + 'static {
    /// The credentials of the access key with this id, which a stranger may have made up.
    ///
    /// With an error the request is answered with a 503.
    fn look_up<'a>(&'a self, access_key_id: &'a str) -> FoundCredentials<'a>;
}

impl LookUpCredentials for Credentials {
    fn look_up<'a>(&'a self, access_key_id: &'a str) -> FoundCredentials<'a> {
        let is_ours = self.access_key_id() == access_key_id;
        Box::pin(ready(Ok(is_ours.then(|| self.clone()))))
    }
}

impl LookUpCredentials for Vec<Credentials> {
    fn look_up<'a>(&'a self, access_key_id: &'a str) -> FoundCredentials<'a> {
        let mut all = self.iter();
        let found = all.find(|one| one.access_key_id() == access_key_id);
        Box::pin(ready(Ok(found.cloned())))
    }
}

impl<L: LookUpCredentials + ?Sized> LookUpCredentials for Arc<L> {
    fn look_up<'a>(&'a self, access_key_id: &'a str) -> FoundCredentials<'a> {
        (**self).look_up(access_key_id)
    }
}

impl<L: LookUpCredentials + ?Sized> LookUpCredentials for Box<L> {
    fn look_up<'a>(&'a self, access_key_id: &'a str) -> FoundCredentials<'a> {
        (**self).look_up(access_key_id)
    }
}
