#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod body;
pub mod cache;
pub mod clock;
mod coalesce;
pub mod conditional;
pub mod error;
pub mod fill;
mod forward;
pub mod freshness;
pub mod headers;
mod invalidation;
pub mod key;
mod policy;
pub mod range;
pub mod status;
pub mod store;
mod sync;

pub use body::ResponseBody;
pub use cache::{Cache, CacheCore, CacheCoreBuilder, CacheLayer};
pub use error::{BodyError, ConfigError};
pub use policy::CachePolicy;
pub use status::CacheStatus;
pub use store::{MemoryStore, Store};
