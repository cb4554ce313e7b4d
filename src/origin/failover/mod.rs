//! Failover: a second service for what the first fails to answer.

mod criteria;
mod future;
#[cfg(feature = "origin")]
mod group;
mod layer;
mod service;

pub use criteria::FailoverCriteria;
pub use future::{AnsweredBy, FailoverFuture};
#[cfg(feature = "origin")]
pub use group::OriginGroup;
pub use layer::FailoverLayer;
pub use service::Failover;
