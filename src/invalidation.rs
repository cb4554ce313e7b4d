//! What has been invalidated, without a walk on look-up.
//!
//! Each invalidation advances the epoch. An object knows the epoch at which its fetch began; while that is the present
//! one there is nothing to check. Otherwise the epoch at which its address was last invalidated decides. The last 16,384
//! addresses are known exactly; older ones stand in a table of fixed size, where those that share a place share its epoch,
//! so that more is invalidated than was asked for at times, and never less.

use crate::epoch::Epoch;
use foldhash::quality::RandomState;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    fmt,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
};

/// How many addresses are known exactly.
const EXACT: usize = 1 << 14;
/// Places for those that are not: 512 KiB, made when the first must move there.
const PLACES: usize = 1 << 16;

/// The epochs.
pub(crate) struct Invalidations {
    sequence: u64,
    epoch: AtomicU64,
    invalidating: Mutex<()>,
    known: RwLock<Known>,
}

struct Known {
    /// By two hashes of the address, so that a long one takes no more: addresses that share both share their epoch.
    exact: HashMap<(u64, u64), u64, RandomState>,
    /// Empty until it is needed.
    places: Box<[u64]>,
    hasher: RandomState,
    second: RandomState,
}

impl fmt::Debug for Invalidations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidations")
            .field("epoch", &self.number())
            .finish_non_exhaustive()
    }
}

impl Invalidations {
    pub(crate) fn new() -> Self {
        let hasher = RandomState::default();
        Self {
            // As random as the hasher's seed.
            sequence: hasher.hash_one(0_u8),
            epoch: AtomicU64::new(1),
            invalidating: Mutex::new(()),
            known: RwLock::new(Known {
                exact: HashMap::default(),
                places: Box::default(),
                hasher,
                second: RandomState::default(),
            }),
        }
    }

    /// The present epoch, for what is fetched now.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch {
            sequence: self.sequence,
            number: self.number(),
        }
    }

    fn number(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Invalidates what is stored, or being fetched, for this address.
    pub(crate) fn invalidate(&self, address: &str) {
        let _one = self.invalidating.lock();
        let next = self.number() + 1;
        // The address first: who sees the new epoch must find it there.
        self.known.write().add(address, next);
        self.epoch.store(next, Ordering::Release);
    }

    /// Checks what was fetched for `address` in the epoch `fetched`, and was last checked at the epoch numbered `checked`.
    /// Gives the number that it is now checked at; `None` when it has been invalidated.
    pub(crate) fn check(&self, address: &str, fetched: Epoch, checked: u64) -> Option<u64> {
        // The epoch before the address: what is invalidated in between is checked again.
        let now = self.number();
        if checked == now {
            return Some(now);
        }
        let fetched = if fetched.sequence == self.sequence {
            fetched.number
        } else {
            0
        };
        (self.known.read().last(address) <= fetched.max(checked)).then_some(now)
    }

    /// The number of the epoch at which an address was last invalidated (or a later one), 0 for never: a fetch for it that
    /// begins now is not the one that began before.
    pub(crate) fn last(&self, address: &str) -> u64 {
        self.known.read().last(address)
    }

    /// Whether an address has been invalidated since an epoch of this sequence.
    pub(crate) fn invalidated_since(&self, address: &str, epoch: Epoch) -> bool {
        self.known.read().last(address) > epoch.number
    }
}

impl Known {
    fn add(&mut self, address: &str, epoch: u64) {
        if self.exact.len() >= EXACT {
            self.fold();
        }
        let name = self.name(address);
        self.exact.insert(name, epoch);
    }

    /// The epoch at which an address was last invalidated, or a later one; 0 for never.
    fn last(&self, address: &str) -> u64 {
        let name = self.name(address);
        let exact = self.exact.get(&name).copied().unwrap_or(0);
        if self.places.is_empty() {
            exact
        } else {
            exact.max(self.places[place(name)])
        }
    }

    fn name(&self, address: &str) -> (u64, u64) {
        (self.hasher.hash_one(address), self.second.hash_one(address))
    }

    /// Moves the older half to the places.
    fn fold(&mut self) {
        if self.places.is_empty() {
            self.places = vec![0; PLACES].into();
        }
        let mut epochs: Vec<u64> = self.exact.values().copied().collect();
        let middle = epochs.len() / 2;
        let (_, middle, _) = epochs.select_nth_unstable(middle);
        let middle = *middle;
        for (name, epoch) in self
            .exact
            .extract_if(|_, epoch| *epoch <= middle)
            .collect::<Vec<_>>()
        {
            let place = place(name);
            self.places[place] = self.places[place].max(epoch);
        }
    }
}

/// PLACES is a power of two that fits.
fn place(name: (u64, u64)) -> usize {
    usize::try_from(name.0 % PLACES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_before_is_covered_and_what_is_fetched_after_is_not() {
        let invalidations = Invalidations::new();
        let before = invalidations.epoch();
        let checked = invalidations.check("a/x", before, 0).unwrap();
        invalidations.invalidate("a/x");
        assert_eq!(invalidations.check("a/x", before, checked), None);
        assert_eq!(invalidations.check("a/x", before, 0), None, "and stays so");
        assert!(invalidations.check("a/y", before, checked).is_some());
        assert!(
            invalidations
                .check("a/x", invalidations.epoch(), 0)
                .is_some()
        );
    }

    #[test]
    fn what_another_process_fetched_is_checked_in_full() {
        let invalidations = Invalidations::new();
        let foreign = Epoch {
            sequence: invalidations.sequence ^ 1,
            number: 1000,
        };
        assert!(invalidations.check("a/x", foreign, 0).is_some());
        invalidations.invalidate("a/x");
        assert_eq!(invalidations.check("a/x", foreign, 0), None);
    }

    #[test]
    fn over_the_bound_more_is_invalidated_and_never_less() {
        let invalidations = Invalidations::new();
        let before = invalidations.epoch();
        for number in 0..3 * EXACT {
            invalidations.invalidate(&format!("a/{number}"));
        }
        let covered = |address: String| invalidations.check(&address, before, 0).is_none();
        assert!((0..3 * EXACT).all(|number| covered(format!("a/{number}"))));
        assert!(invalidations.known.read().exact.len() <= EXACT);
        let spared = (0..1000)
            .filter(|number| !covered(format!("b/{number}")))
            .count();
        assert!(spared > 400, "{spared} of 1000");
    }
}
