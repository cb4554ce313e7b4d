//! Who comes from known addresses is let in.

mod address;
mod layer;
mod prefixes;
mod service;

pub use address::{AdmittedAddress, PrefixRefusal};
pub use layer::RequirePrefixLayer;
pub use service::RequirePrefix;

#[cfg(test)]
mod tests;
