//! Origin access control: an origin that answers nobody but us, because we sign.

mod access_control;
mod credentials;
mod future;
mod host;
mod layer;
mod refreshing;
mod service;
mod signer;

pub use access_control::{OriginAccessControl, SigningBehavior};
pub use credentials::{Credentials, CredentialsError, ProvideCredentials, ProvidedCredentials};
pub use future::SignFuture;
pub use host::{S3Host, region_of_host};
pub use layer::SignLayer;
pub use refreshing::RefreshingCredentials;
pub use service::Sign;
pub(crate) use signer::is_name;
pub use signer::{SignError, Signer, SigningService};

#[cfg(test)]
mod tests;
