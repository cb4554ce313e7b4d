//! Who knows a secret is let in.

mod layer;
mod secrets;
mod service;

pub use layer::RequireSecretHeaderLayer;
pub use secrets::{MatchedSecret, SecretHeaderRefusal};
pub use service::RequireSecretHeader;

#[cfg(test)]
mod tests;
