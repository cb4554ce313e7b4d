//! What has been invalidated, without a walk on look-up.
//!
//! Each invalidation advances the epoch. An object knows the epoch at which its fetch began; while
//! that is the present one there is nothing to check. Otherwise the epoch at which its address was last
//! invalidated decides, which stands in one place of a table of fixed size: addresses that share a place share its
//! epoch, so that more is invalidated than asked for at times, and never less.

use crate::store::{Epoch, Head, Object};
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use std::{
    fmt,
    hash::BuildHasher,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// 512 KiB, made when the first invalidation comes.
const PLACES: usize = 1 << 16;

/// The epochs.
pub(crate) struct Invalidations {
    sequence: u64,
    epoch: AtomicU64,
    invalidating: Mutex<()>,
    hasher: RandomState,
    places: LazyLock<Box<[AtomicU64]>>,
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
            hasher,
            places: LazyLock::new(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect()),
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
        // The place first: who sees the new epoch must find it there.
        self.place(address).store(next, Ordering::Release);
        self.epoch.store(next, Ordering::Release);
    }

    /// Whether an object has been invalidated since its fetch began.
    pub(crate) fn covers(&self, object: &Object) -> bool {
        // The epoch before the place: the object may be stamped with it.
        let now = self.number();
        let checked = object.checked_epoch();
        if checked == now {
            return false;
        }
        let Head { epoch, address, .. } = object.head();
        let fetched = if epoch.sequence == self.sequence {
            epoch.number
        } else {
            0
        };
        if self.place(address).load(Ordering::Acquire) > fetched.max(checked) {
            return true;
        }
        object.checked_at(now);
        false
    }

    /// Whether an address has been invalidated since an epoch of this sequence.
    pub(crate) fn invalidated_since(&self, address: &str, epoch: Epoch) -> bool {
        self.place(address).load(Ordering::Acquire) > epoch.number
    }

    fn place(&self, address: &str) -> &AtomicU64 {
        // PLACES is a power of two that fits.
        let at = usize::try_from(self.hasher.hash_one(address) % PLACES as u64).unwrap_or(0);
        &self.places[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{body::Chunks, freshness::Freshness, store::BodySource};

    fn object(address: &str, epoch: Epoch) -> Object {
        let freshness = Freshness {
            received_at: 0,
            initial_age: 0,
            fresh_until: 0,
            always_validate: false,
            never_stale: false,
        };
        let head = Head {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            freshness,
            epoch,
            address: address.into(),
            upstream_status: None,
        };
        Object::new(head, BodySource::Memory(Chunks::new(Vec::new(), None)))
    }

    #[test]
    fn what_was_fetched_before_is_covered_and_what_is_fetched_after_is_not() {
        let invalidations = Invalidations::new();
        let (x, y) = (
            object("a/x", invalidations.epoch()),
            object("a/y", invalidations.epoch()),
        );
        assert!(!invalidations.covers(&x));
        invalidations.invalidate("a/x");
        assert!(invalidations.covers(&x) && !invalidations.covers(&y));
        assert!(invalidations.covers(&x), "and stays so");
        assert!(!invalidations.covers(&object("a/x", invalidations.epoch())));
    }

    #[test]
    fn an_object_of_another_process_is_checked_in_full() {
        let invalidations = Invalidations::new();
        let foreign = object(
            "a/x",
            Epoch {
                sequence: invalidations.sequence ^ 1,
                number: 1000,
            },
        );
        assert!(!invalidations.covers(&foreign));
        invalidations.invalidate("a/x");
        assert!(invalidations.covers(&foreign));
    }
}
