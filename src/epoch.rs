//! When something was fetched, in the order of invalidations.

/// A point in the sequence of a cache's invalidations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Which sequence: each process has its own.
    pub sequence: u64,
    /// Its number there, counted from 1.
    pub number: u64,
}
