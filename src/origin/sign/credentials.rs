//! Credentials, and who provides them.

use crate::error::BoxError;
use std::{env, error::Error as StdError, ffi::OsString, fmt, pin::Pin, sync::Arc};
use zeroize::Zeroizing;

/// An access key of AWS: whoever has it signs in its name.
///
/// Cheap to clone. The secret and the session token are overwritten when the last clone is dropped, and neither is in `Debug`.
/// It provides itself, for as long as the process runs; [`RefreshingCredentials`](super::RefreshingCredentials) are renewed.
///
/// ```
/// use frontage::origin::Credentials;
///
/// let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
/// let shown = format!("{credentials:?}");
/// assert!(shown.contains("AKIAIOSFODNN7EXAMPLE"));
/// assert!(!shown.contains("wJalr"));
/// ```
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
    expires_at: Option<u64>,
}

impl Credentials {
    /// Those of a user: no session token, no expiry.
    #[must_use]
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            access_key_id: access_key_id.into(),
            secret_access_key: Zeroizing::new(secret_access_key.into()),
            session_token: None,
            expires_at: None,
        }))
    }

    /// Temporary ones come with a session token.
    #[must_use]
    pub fn session_token(mut self, token: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).session_token = Some(Zeroizing::new(token.into()));
        self
    }

    /// When they expire, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_at(mut self, millis: u64) -> Self {
        Arc::make_mut(&mut self.0).expires_at = Some(millis);
        self
    }

    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where there is one, `AWS_SESSION_TOKEN` from the environment.
    ///
    /// # Errors
    ///
    /// When one of the first two is missing or empty, or one of the three isn't Unicode. The message names it.
    pub fn from_env() -> Result<Self, CredentialsError> {
        Self::from_variables(|name| env::var_os(name))
    }

    fn from_variables(read: impl Fn(&str) -> Option<OsString>) -> Result<Self, CredentialsError> {
        let optional = |name| {
            let value = read(name).unwrap_or_default();
            let value = value
                .into_string()
                .map_err(|_| CredentialsError(Kind::NotUnicode(name)))?;
            Ok((!value.is_empty()).then_some(value))
        };
        let required = |name| optional(name)?.ok_or(CredentialsError(Kind::Missing(name)));
        let credentials = Self::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
        );
        Ok(match optional("AWS_SESSION_TOKEN")? {
            Some(token) => credentials.session_token(token),
            None => credentials,
        })
    }

    /// The access key's id: its name, no secret.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.0.access_key_id
    }

    /// When they expire, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expiry(&self) -> Option<u64> {
        self.0.expires_at
    }

    pub(crate) fn secret(&self) -> &Zeroizing<String> {
        &self.0.secret_access_key
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.0.session_token.as_ref().map(|token| token.as_str())
    }

    /// Whether they have expired by `now`, in milliseconds since the Unix epoch.
    pub(crate) fn have_expired(&self, now: u64) -> bool {
        self.0.expires_at.is_some_and(|expiry| expiry <= now)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.0.access_key_id)
            .field("expires_at", &self.0.expires_at)
            .finish_non_exhaustive()
    }
}

/// What [`ProvideCredentials::provide`] returns.
pub type ProvidedCredentials<'a> =
    Pin<Box<dyn Future<Output = Result<Credentials, CredentialsError>> + Send + 'a>>;

/// Where credentials come from. [`Credentials`] provide themselves.
///
/// It is asked for every attempt to reach the origin. One that has to ask somebody else belongs into
/// [`RefreshingCredentials`](super::RefreshingCredentials).
///
/// ```
/// use frontage::origin::{Credentials, CredentialsError, ProvideCredentials, ProvidedCredentials};
///
/// #[derive(Debug)]
/// struct FromFile(std::path::PathBuf);
///
/// impl ProvideCredentials for FromFile {
///     fn provide(&self) -> ProvidedCredentials<'_> {
///         Box::pin(async {
///             let text = tokio::fs::read_to_string(&self.0).await.map_err(CredentialsError::new)?;
///             let (id, secret) = text.trim().split_once(':').ok_or(CredentialsError::new("no colon"))?;
///             Ok(Credentials::new(id, secret))
///         })
///     }
/// }
/// # tokio_test::block_on(async {
/// assert!(FromFile("/nowhere".into()).provide().await.is_err());
/// # });
/// ```
pub trait ProvideCredentials: fmt::Debug + Send + Sync + 'static {
    /// The credentials to sign with now.
    fn provide(&self) -> ProvidedCredentials<'_>;
}

impl ProvideCredentials for Credentials {
    fn provide(&self) -> ProvidedCredentials<'_> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}

impl<P: ProvideCredentials + ?Sized> ProvideCredentials for Arc<P> {
    fn provide(&self) -> ProvidedCredentials<'_> {
        (**self).provide()
    }
}

impl<P: ProvideCredentials + ?Sized> ProvideCredentials for Box<P> {
    fn provide(&self) -> ProvidedCredentials<'_> {
        (**self).provide()
    }
}

/// There are no credentials to sign with. Cloneable, since all who wait for them get it.
#[derive(Clone, Debug)]
pub struct CredentialsError(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Missing(&'static str),
    NotUnicode(&'static str),
    Provider(Arc<dyn StdError + Send + Sync>),
    TimedOut,
    Abandoned,
    Expired,
    Unusable(&'static str),
}

impl CredentialsError {
    /// What a provider failed with. The message of `error` must not hold a secret: it is logged.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(Kind::Provider(error.into().into()))
    }

    pub(super) fn timed_out() -> Self {
        Self(Kind::TimedOut)
    }

    pub(super) fn abandoned() -> Self {
        Self(Kind::Abandoned)
    }

    pub(super) fn expired() -> Self {
        Self(Kind::Expired)
    }

    pub(super) fn unusable(what: &'static str) -> Self {
        Self(Kind::Unusable(what))
    }

    /// Whether the provider didn't answer in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::TimedOut)
    }

    /// Whether what the provider gave had expired.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        matches!(self.0, Kind::Expired)
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Missing(name) => write!(f, "{name} is not set"),
            Kind::NotUnicode(name) => write!(f, "{name} is not Unicode"),
            Kind::Provider(_) => f.write_str("the provider of credentials failed"),
            Kind::TimedOut => f.write_str("the provider of credentials did not answer in time"),
            Kind::Abandoned => f.write_str("the provider of credentials panicked or was dropped"),
            Kind::Expired => f.write_str("the credentials have expired"),
            Kind::Unusable(what) => write!(f, "the {what} can't be sent in a header field"),
        }
    }
}

impl StdError for CredentialsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Kind::Provider(error) => Some(&**error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
        Credentials::from_variables(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).into())
        })
    }

    #[test]
    fn the_environment_needs_a_key_and_may_have_a_token() {
        let key = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let found = from(&key).unwrap();
        assert_eq!(found.access_key_id(), "id");
        assert_eq!(found.secret().as_str(), "s");
        assert_eq!((found.token(), found.expiry()), (None, None));

        let with_token = from(&[key[0], key[1], ("AWS_SESSION_TOKEN", "t")]).unwrap();
        assert_eq!(with_token.token(), Some("t"));
        let with_none = from(&[key[0], key[1], ("AWS_SESSION_TOKEN", "")]).unwrap();
        assert_eq!(with_none.token(), None);
    }

    #[test]
    fn a_missing_variable_is_named() {
        for (variables, message) in [
            (&[][..], "AWS_ACCESS_KEY_ID is not set"),
            (
                &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "s")],
                "AWS_ACCESS_KEY_ID is not set",
            ),
            (
                &[("AWS_ACCESS_KEY_ID", "id")],
                "AWS_SECRET_ACCESS_KEY is not set",
            ),
        ] {
            assert_eq!(from(variables).unwrap_err().to_string(), message);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_unicode_is_named_and_not_shown() {
        use std::os::unix::ffi::OsStringExt;
        let error = Credentials::from_variables(|_| Some(OsString::from_vec(b"hush\xff".into())))
            .unwrap_err();
        assert_eq!(error.to_string(), "AWS_ACCESS_KEY_ID is not Unicode");
        assert!(!format!("{error:?}").contains("hush"));
    }

    #[test]
    fn neither_secret_nor_token_is_in_debug() {
        let credentials = Credentials::new("id", "hush1")
            .session_token("hush2")
            .expires_at(7);
        let shown = format!("{credentials:?} {credentials:#?}");
        assert!(shown.contains("id") && shown.contains('7'));
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn they_have_expired_at_their_expiry() {
        let credentials = Credentials::new("id", "secret");
        assert!(!credentials.have_expired(u64::MAX));
        let credentials = credentials.expires_at(7);
        assert!(!credentials.have_expired(6) && credentials.have_expired(7));
    }

    #[test]
    fn boxes_and_arcs_provide_what_is_in_them() {
        let inner = Credentials::new("id", "secret");
        let boxed: Box<dyn ProvideCredentials> = Box::new(Arc::new(inner));
        let provided = tokio_test::block_on(boxed.provide()).unwrap();
        assert_eq!(provided.access_key_id(), "id");
    }

    #[test]
    fn the_source_of_a_providers_failure_is_kept() {
        let error = CredentialsError::new("no route");
        assert_eq!(error.clone().source().unwrap().to_string(), "no route");
        assert!(CredentialsError::timed_out().source().is_none());
    }
}
