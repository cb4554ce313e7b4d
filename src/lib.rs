#![doc = include_str!("../README.md")]
//!
//! # How it is built
//!
//! The house has floors, and a module looks only at floors below its own:
//!
//! | floor | modules | what lives there |
//! |---|---|---|
//! | 4 the viewer's side, the origin's side | [`cdn_loop`]; [`guard`] over [`origin`] over [`blocks`] | what a request is held to before all else; large objects in blocks; how it reaches an origin: whom to try, who signs, the client; and, at the origin itself, whom it lets in |
//! | 3 the hall | `coalesce_layer`, which stores nothing, over [`cache`] | the layer: key, look-up, freshness, collapse, fetch, store, respond; nothing but the flow |
//! | 2b machinery | [`store`], `coalesce`, [`invalidation`] | stateful parts behind small traits; no HTTP policy |
//! | 2a | [`body`] over [`fill`], [`clock`], [`status`], `epoch`, `failure`, `ready`, `optional_body` | what the machinery is made of |
//! | 1 pure rules | `policy` over `forward`, [`freshness`], [`range`] and [`conditional`], over [`key`] and [`sigv4`], over [`headers`], `original_uri`, `rendezvous`, `viewer` and [`error`] | functions from values to values: no I/O, no async, no clock, no locks |
//!
//! A rule is changed on floor 1; floor 3 knows none. Time reaches floor 1 as an argument.
//!
//! # What must hold
//!
//! 1. *Once.* While an answer that several requests may share is being fetched, the inner service sees one request for it; in
//!    a chain of proxies one for each length of the way that they came, or a ring would wait for itself.
//! 2. *As it arrives.* A follower gets bytes as soon as the leader has them; one copy in memory serves all.
//! 3. *Whole or nothing.* A body that ends early is never stored, and its readers see an aborted body. (An HTTP/1.0 viewer of
//!    a body without length can't see the difference.)
//! 4. *Bounded.* Nothing grows with traffic without a bound that has a documented default.
//! 5. *Nobody waits on the lost.* A leader whose viewer leaves, whose service panics or takes too long leaves no follower hanging.
//! 6. *Nothing private* is shared, in `default()` and `rfc9111()`; [`CachePolicy`] says what CloudFront's profiles share.
//! 7. *One name, one thing.* Two requests that differ in anything that the policy keys on never share an entry.
//! 8. *Cheap.* A hit in memory: no boxed future, nothing to wait for, no lock held while a body is sent, no copy of the body.
//! 9. *Honest.* What the cache did can be read off the response, and agrees with what it did.
//!
//! Each has tests of its name in `tests/invariants`. What strangers may try against them, and what stands against that, is said in
//! [`threats`].

pub mod blocks;
pub mod body;
pub mod cache;
pub mod cdn_loop;
pub mod clock;
mod coalesce;
mod coalesce_layer;
pub mod conditional;
mod epoch;
pub mod error;
mod failure;
pub mod fill;
mod forward;
pub mod freshness;
pub mod guard;
pub mod headers;
pub mod invalidation;
pub mod key;
mod optional_body;
pub mod origin;
mod original_uri;
mod policy;
pub mod range;
mod ready;
#[cfg(feature = "origin")]
mod rendezvous;
pub mod sigv4;
pub mod status;
pub mod store;
mod sync;
#[doc = include_str!("threats.md")]
pub mod threats {}
mod viewer;

pub use blocks::BlockLayer;
pub use body::ResponseBody;
pub use cache::{Cache, CacheCore, CacheCoreBuilder, CacheLayer, OverMaxFetches};
pub use coalesce_layer::{Coalesce, CoalesceLayer, CoalesceLayerBuilder};
pub use error::{BodyError, ConfigError};
pub use optional_body::OptionalBody;
pub use policy::{CachePolicy, RangeMiss};
pub use status::CacheStatus;
pub use store::{MemoryStore, Store};
pub use viewer::{ViewerAddress, ViewerProtocol};
