//! Origin shields: one more cache, between all others and an origin, in this process or another.

#[cfg(feature = "origin")]
mod ask;
mod layer;
#[cfg(feature = "origin")]
mod remote;

pub use layer::OriginShieldLayer;
#[cfg(feature = "origin")]
pub(super) use {ask::ask_shields, remote::Shields};
