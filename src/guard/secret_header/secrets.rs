//! The accepted values, and the comparison.

use crate::error::ConfigError;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

/// The shortest secret, in bytes: what is shorter can be guessed.
const SHORTEST: usize = 16;

/// Which of the accepted values a request had, counted from 0 in the order in which they were given: an extension of the request
/// that is let in, which tells whether an old value is still in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatchedSecret(pub u32);

/// Why a request wasn't let in: an extension of the 403 that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretHeaderRefusal {
    /// The header isn't there.
    #[error("the secret header is missing")]
    Missing,
    /// It is there more than once.
    #[error("there are several lines of the secret header")]
    Several,
    /// None of the accepted values.
    #[error("the secret header has none of the accepted values")]
    Wrong,
}

/// Hashes of the accepted values, overwritten when dropped.
pub(super) struct Secrets(Vec<Zeroizing<[u8; 32]>>);

impl Secrets {
    pub(super) fn new<V: AsRef<[u8]>>(
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, ConfigError> {
        let mut hashes = Vec::new();
        for value in values {
            let value = value.as_ref();
            let refused = |expected| {
                let shown = format!("{} bytes, not shown", value.len());
                Err(ConfigError::new("secret_header_values", shown, expected))
            };
            if value.len() < SHORTEST {
                return refused("at least 16 bytes long each");
            }
            // A parser takes white space off both ends, so that it could never be matched.
            if HeaderValue::from_bytes(value).is_err() || value.trim_ascii() != value {
                return refused("such that each can be sent in a header as it is");
            }
            hashes.push(hash(value));
        }
        if hashes.is_empty() {
            return Err(ConfigError::new("secret_header_values", "", "at least one"));
        }
        Ok(Self(hashes))
    }

    /// Whether a request has one of them.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
    ) -> Result<MatchedSecret, SecretHeaderRefusal> {
        let mut lines = headers.get_all(name).iter();
        let sent = lines.next().ok_or(SecretHeaderRefusal::Missing)?;
        if lines.next().is_some() {
            return Err(SecretHeaderRefusal::Several);
        }
        self.matched(sent.as_bytes())
            .ok_or(SecretHeaderRefusal::Wrong)
    }

    /// In constant time: hashes are of one length, `subtle` looks at every byte of each, the loop has no early exit, and
    /// nothing branches before its end. So the time tells neither which value was close, nor how far it was right, nor its length.
    fn matched(&self, sent: &[u8]) -> Option<MatchedSecret> {
        let sent = hash(sent);
        let mut is_one = Choice::from(0);
        let mut which = 0_u32;
        for (number, accepted) in (0_u32..).zip(&self.0) {
            let is_this = accepted.ct_eq(&*sent);
            which.conditional_assign(&number, is_this);
            is_one |= is_this;
        }
        bool::from(is_one).then_some(MatchedSecret(which))
    }
}

fn hash(value: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(Sha256::digest(value).into())
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}
