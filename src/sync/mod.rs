//! What threads share is locked and counted with these, so that loom can model it. `.ci/run` says how.
//!
//! | structure | what its `loom_tests` claim, however threads interleave |
//! |---|---|
//! | `fill` | each reader sees each byte and how it ends; nobody waits for who is gone; a window stays within its bounds |
//! | `coalesce::flight` | each follower gets a value of its own, or learns that there is none |
//! | `coalesce` | one leads; of those who take over from one that is stuck, one; all room comes back, and nothing stays in the table |
//! | `invalidation` | what was issued before a look-up is seen by it, whatever was stamped meanwhile; it is complete when it says so, and nobody waits for longer |
//! | `store::ledger` | never more than the cap, and nothing left at the end |
//! | `origin::shield` | one request tries a shield that is down; what is found once is news once; an old answer raises nothing that went down since |
//!
//! Not modelled: plain values under one lock, of which no step needs two turns (an origin's connections, credentials that are renewed,
//! the key of the day); the places of unpacked heads, of which one that is reserved is nobody else's until it
//! is taken; a library's tables (marks, a store's shards); counters by which nothing is decided but a time-out; and the queue for room, which is tokio's and `futures`'.

#[cfg(not(all(test, frontage_loom)))]
#[path = "real.rs"]
mod imp;

#[cfg(all(test, frontage_loom))]
#[path = "modelled.rs"]
mod imp;

#[cfg(feature = "origin")]
pub(crate) use imp::AtomicU32;
pub(crate) use imp::{AtomicU64, Entry, Map, Mutex, RwLock};
pub(crate) use std::sync::{Arc, atomic::Ordering};
