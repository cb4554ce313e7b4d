//! `CDN-Loop` (RFC 8586): a request that comes back ends.
//!
//! Two proxies whose configuration points at each other send a request round until something gives way. [`CdnLoopLayer`] says on
//! each request that it was here, and answers one that says so already with a 508 (Loop Detected).
//!
//! It is the outermost layer: a cache above it would hold a request that came back until its own first passage ends, which it
//! never does. [`CdnLoopLayer::around`] puts the half that hits needn't pay for below the cache.

mod future;
mod layer;
mod member;
mod service;

pub use future::CdnLoopFuture;
pub use layer::CdnLoopLayer;
pub use member::CdnLoopMember;
pub use service::CdnLoop;
