//! Origin shields: one more cache, between all others and an origin.

mod layer;

pub use layer::OriginShieldLayer;
