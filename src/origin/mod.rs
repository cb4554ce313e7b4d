//! The origin side: how a request reaches an origin, and what becomes of it there.
//!
//! Below a [`Cache`](crate::Cache) a stack has, from the outside in, whom to try, who signs, and the client. Signing comes last before the
//! wire: every attempt has its own host and its own date.
//!
//! With the feature `origin` there is a client, too: an `Origin` says where an origin is and how it is asked, and is built into a
//! service that never fails, but answers with the status that CloudFront gives and an [`OriginFailure`] in the extensions. Where a cache
//! of this process revalidates, and the 304 is of another version than it has, the whole is asked for at once; but not where a signature
//! from above covers the condition.

#[cfg(feature = "origin")]
mod body;
#[cfg(feature = "origin")]
mod client;
mod failover;
pub mod policy;
#[cfg(feature = "origin")]
mod request;
#[cfg(feature = "origin")]
mod service;
#[cfg(feature = "origin")]
mod settings;
mod shield;
mod sign;
#[cfg(feature = "origin")]
mod timer;
#[cfg(feature = "origin")]
mod upgrade;
#[cfg(feature = "origin")]
mod upload;

pub use crate::failure::OriginFailure;
#[cfg(feature = "origin")]
pub use failover::OriginGroup;
pub use failover::{AnsweredBy, Failover, FailoverCriteria, FailoverFuture, FailoverLayer};
pub use shield::OriginShieldLayer;
pub(crate) use sign::is_name;
pub use sign::{
    Credentials, CredentialsError, OriginAccessControl, ProvideCredentials, ProvidedCredentials,
    RefreshingCredentials, S3Host, Sign, SignError, SignFuture, SignLayer, Signer, SigningBehavior,
    SigningService, region_of_host,
};
#[cfg(feature = "origin")]
pub use {
    body::OriginBody,
    request::OriginProtocolPolicy,
    service::{OriginFuture, OriginService},
    settings::Origin,
    upload::RequestBody,
};
