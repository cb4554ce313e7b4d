//! Collapsing without a cache: the cache's own flow, over a store that keeps nothing.

mod layer;
mod no_store;
mod service;

pub use layer::{CoalesceLayer, CoalesceLayerBuilder};
pub use service::Coalesce;
