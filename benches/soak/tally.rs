//! What became of all requests.

use parking_lot::Mutex;
use std::sync::Arc;

/// What a request came to, if nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Came {
    Whole,
    Part,
    NotModified,
    Unsatisfiable,
    /// A 5xx, where the origin failed.
    Error,
    /// Cut off, and visibly so.
    Aborted,
    /// The viewer left in mid-body.
    Left,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) answers: u64,
    pub(crate) hits: u64,
    pub(crate) bytes: u64,
    /// By what they came to.
    pub(crate) came: [u64; 7],
    pub(crate) connections: u64,
    pub(crate) half_requests: u64,
    pub(crate) wrong: u64,
}

const SHOWN: u64 = 20;

/// The counts of all viewers.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Counts>>);

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().clone()
    }

    pub(crate) fn add(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock());
    }

    pub(crate) fn came(&self, came: Came, bytes: u64, is_hit: bool) {
        self.add(|counts| {
            counts.answers += 1;
            counts.hits += u64::from(is_hit);
            counts.bytes += bytes;
            counts.came[came as usize] += 1;
        });
    }

    /// Said at once: the rest goes on, so that one run shows more than one.
    pub(crate) fn wrong(&self, what: &str) {
        self.add(|counts| counts.wrong += 1);
        if self.counts().wrong <= SHOWN {
            eprintln!("WRONG: {what}");
        }
    }
}
