//! Which packed objects are unpacked: those that were asked for last, as far as there is room.

use super::{
    ledger::Charge,
    packed::Packed,
    record::{Object, WeakObject},
};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// How many that were hit are passed over before one is chosen all the same.
const MAX_SPARED: usize = 64;

/// The unpacked ones.
#[derive(Default)]
pub(super) struct Heads {
    ring: Mutex<Ring>,
    /// What they are charged.
    bytes: AtomicU64,
}

#[derive(Default)]
struct Ring {
    places: Vec<Option<Place>>,
    free: Vec<usize>,
    /// The place looked at last.
    hand: usize,
}

struct Place {
    object: WeakObject,
    was_hit: Arc<AtomicBool>,
}

/// What an object has that was unpacked, and is kept so.
pub(super) struct Unpacked {
    packed: Packed,
    hash: u64,
    heads: Arc<Heads>,
    at: usize,
    was_hit: Arc<AtomicBool>,
    charge: Charge,
}

impl fmt::Debug for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of unpacked heads", self.bytes())
    }
}

impl fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unpacked of {:?}", self.packed)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        self.heads
            .bytes
            .fetch_sub(self.charge.bytes(), Ordering::Relaxed);
        let mut ring = self.heads.ring.lock();
        if let Some(place) = ring.places.get_mut(self.at) {
            *place = None;
            ring.free.push(self.at);
        }
    }
}

impl Unpacked {
    /// What it is of, and the hash under which that is stored.
    pub(super) fn packed(&self) -> (&Packed, u64) {
        (&self.packed, self.hash)
    }

    #[inline]
    pub(super) fn set_hit(&self) {
        // Most are hit often: then nothing is written.
        if !self.was_hit.load(Ordering::Relaxed) {
            self.was_hit.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn cost(&self) -> u64 {
        self.charge.bytes()
    }
}

impl Heads {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes what `packed`, which is stored under `hash`, was unpacked to, and its charge.
    pub(super) fn enter(
        self: &Arc<Self>,
        packed: Packed,
        hash: u64,
        charge: Charge,
        object: impl FnOnce(Unpacked) -> Object,
    ) -> Object {
        self.bytes.fetch_add(charge.bytes(), Ordering::Relaxed);
        let was_hit = Arc::new(AtomicBool::new(false));
        let at = self.ring.lock().reserve();
        let object = object(Unpacked {
            packed,
            hash,
            heads: self.clone(),
            at,
            was_hit: was_hit.clone(),
            charge,
        });
        let place = Place {
            object: object.downgrade(),
            was_hit,
        };
        if let Some(reserved) = self.ring.lock().places.get_mut(at) {
            *reserved = Some(place);
        }
        object
    }

    /// One that wasn't hit since it was passed over last.
    pub(super) fn idle(&self) -> Option<Object> {
        let mut ring = self.ring.lock();
        let mut spared = 0;
        for _ in 0..ring.places.len() {
            ring.hand = (ring.hand + 1) % ring.places.len();
            let Some(Some(place)) = ring.places.get(ring.hand) else {
                continue;
            };
            if spared < MAX_SPARED && place.was_hit.swap(false, Ordering::Relaxed) {
                spared += 1;
                continue;
            }
            let object = place.object.clone();
            // Whoever drops the last holder locks the ring.
            drop(ring);
            return object.upgrade();
        }
        None
    }
}

impl Ring {
    fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Chunks;
    use crate::store::{BodySource, Head, Version, ledger::Ledger, packed};
    use http::HeaderMap;

    fn enter(heads: &Arc<Heads>, ledger: &Arc<Ledger>) -> Object {
        let packed = Packed::new(&[], ledger.reserve(packed::cost(0)).unwrap());
        let charge = ledger.reserve(1000).unwrap();
        heads.enter(packed, 7, charge, |unpacked| {
            let body = BodySource::Memory(Chunks::new(Vec::new(), None));
            Object::unpacked(
                Version::random(),
                Head::sample(HeaderMap::new()),
                body,
                unpacked,
            )
        })
    }

    #[test]
    fn one_that_was_hit_is_passed_over_once_and_one_that_is_gone_leaves_its_place() {
        let (heads, ledger) = (Arc::<Heads>::default(), Ledger::new(1 << 20));
        assert!(heads.idle().is_none());
        let objects: Vec<Object> = (0..3).map(|_| enter(&heads, &ledger)).collect();
        assert_eq!(heads.bytes(), 3000);
        let next = || {
            let idle = heads.idle().unwrap();
            objects.iter().position(|object| object.is(&idle)).unwrap()
        };
        objects[2].kept_unpacked().unwrap().set_hit();
        assert_eq!([next(), next(), next(), next()], [1, 0, 1, 2]);
        for object in &objects {
            object.kept_unpacked().unwrap().set_hit();
        }
        // Who all were hit are all passed over, and then one is taken that wasn't hit again.
        assert!(heads.idle().is_none());
        assert_eq!(next(), 0);
        let [first, second, third] = objects.try_into().unwrap();
        drop((first, third));
        assert_eq!(heads.bytes(), 1000);
        assert!(heads.idle().is_some_and(|idle| idle.is(&second)));
        let again = enter(&heads, &ledger);
        assert_eq!(
            heads.ring.lock().places.len(),
            3,
            "a free place is used again"
        );
        drop((second, again));
        assert_eq!((heads.bytes(), ledger.used()), (0, 0));
        assert!(heads.idle().is_none());
    }
}
