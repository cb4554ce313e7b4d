//! Origins: where answers come from.
//!
//! An [`Origin`] says where that is and how it is asked; [`Origin::build`] makes a service of it, to be put below a
//! [`Cache`](crate::Cache).
//!
//! ```
//! use frontage::{CacheLayer, MemoryStore, origin::Origin};
//! use tower::Layer;
//!
//! let origin = Origin::url("http://127.0.0.1:9000")?.connection_attempts(2).build()?;
//! let edge = CacheLayer::new(MemoryStore::new(64 << 20)).layer(origin);
//! # let _ = edge;
//! # Ok::<(), frontage::ConfigError>(())
//! ```

mod body;
mod client;
mod failure;
mod request;
mod service;
mod settings;
mod upgrade;

pub use body::{OriginBody, RequestBody};
pub use failure::OriginFailure;
pub use request::OriginProtocolPolicy;
pub use service::{OriginFuture, OriginService};
pub use settings::Origin;
