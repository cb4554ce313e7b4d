//! Who signs what is sent is let in.

mod body;
mod future;
mod layer;
mod look_up;
mod service;
mod verifier;

pub use body::SigV4Body;
pub use future::RequireSigV4Future;
pub use layer::RequireSigV4Layer;
pub use look_up::{FoundCredentials, LookUpCredentials};
pub use service::RequireSigV4;
pub use verifier::SignedBy;

#[cfg(test)]
mod tests;
