//! Errors of building, and of bodies. Running invents none: what goes wrong becomes a response.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A setting has a value that it can't have. The message names both.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value:?}, but must be {expected}")]
pub struct ConfigError {
    setting: &'static str,
    value: String,
    expected: Cow<'static, str>,
}

impl ConfigError {
    pub(crate) fn new(
        setting: &'static str,
        value: impl fmt::Display,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            setting,
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// The setting's name.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

/// A body ended before its time. Cloneable, since all who read one body get it.
///
/// The server that sends the body must abort the connection (hyper does): a body that is cut short never looks complete.
#[derive(Clone, Debug)]
pub struct BodyError(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Inner(Arc<dyn StdError + Send + Sync>),
    Truncated {
        expected: u64,
        got: u64,
    },
    Panicked,
    Abandoned,
    TooSlow,
    NotAsSigned,
    Changed,
    NoBlock,
    #[cfg_attr(not(feature = "origin"), allow(dead_code, reason = "made by origins"))]
    Stalled,
}

impl BodyError {
    pub(crate) fn inner(error: impl Into<BoxError>) -> Self {
        let error: BoxError = error.into();
        // An error of ours that went through another layer stays what it was.
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(error) => Self(Kind::Inner(error.into())),
        }
    }

    pub(crate) fn wrong_length(expected: u64, got: u64) -> Self {
        Self(Kind::Truncated { expected, got })
    }

    pub(crate) fn panicked() -> Self {
        Self(Kind::Panicked)
    }

    pub(crate) fn abandoned() -> Self {
        Self(Kind::Abandoned)
    }

    pub(crate) fn too_slow() -> Self {
        Self(Kind::TooSlow)
    }

    pub(crate) fn not_as_signed() -> Self {
        Self(Kind::NotAsSigned)
    }

    #[cfg_attr(not(feature = "origin"), allow(dead_code, reason = "made by origins"))]
    pub(crate) fn stalled() -> Self {
        Self(Kind::Stalled)
    }

    pub(crate) fn changed() -> Self {
        Self(Kind::Changed)
    }

    pub(crate) fn no_block() -> Self {
        Self(Kind::NoBlock)
    }

    /// Whether the object changed while it was read in [blocks](crate::blocks): what had come is of the old version, and is not
    /// followed by what is of the new one. Who asks again gets that.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        matches!(self.0, Kind::Changed)
    }

    /// Whether the origin sent nothing for longer than its response timeout, or all of it took longer than may be.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        matches!(self.0, Kind::Stalled)
    }

    /// Whether this reader was cut off because it held others up for longer than `lag_timeout`.
    #[must_use]
    pub fn is_too_slow(&self) -> bool {
        matches!(self.0, Kind::TooSlow)
    }

    /// Whether the body of a request isn't the one that was signed, which is known at its end.
    #[must_use]
    pub fn is_not_as_signed(&self) -> bool {
        matches!(self.0, Kind::NotAsSigned)
    }

    /// Whether the body's length was not what its `Content-Length` said.
    #[must_use]
    pub fn is_wrong_length(&self) -> bool {
        matches!(self.0, Kind::Truncated { .. })
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Inner(_) => f.write_str("the body of the inner service failed"),
            Kind::Truncated { expected, got } => {
                write!(
                    f,
                    "the body has {got} bytes, but its Content-Length says {expected}"
                )
            }
            Kind::Panicked => f.write_str("the inner service panicked"),
            Kind::Abandoned => f.write_str("the fetch was dropped before its end"),
            Kind::Changed => f.write_str("the object changed while it was read"),
            Kind::NoBlock => f.write_str("the origin failed to send the next block"),
            Kind::Stalled => f.write_str("the origin sent nothing more in time"),
            Kind::NotAsSigned => f.write_str("the body isn't the one that was signed"),
            Kind::TooSlow => f.write_str("read so slowly that it held others up"),
        }
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Kind::Inner(error) => Some(&**error),
            _ => None,
        }
    }
}
