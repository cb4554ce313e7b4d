//! One fetch per key: the table of what is in flight, and of what waits for room in it.
//!
//! [`Coalescer::join`] either makes the caller lead a new flight or follow the one under way; where too many are,
//! [`Coalescer::join_in_turn`] waits until one of them ends. What a flight lands with is up to the caller; this module knows
//! neither HTTP nor tower.

mod flight;

pub(crate) use flight::{Follow, Lead};

use crate::sync::{Arc, Entry, Map, Mutex};
use flight::Flight;
use foldhash::fast::RandomState;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::hash::Hash;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Flights by key.
pub(crate) struct Coalescer<K: Eq + Hash, T> {
    flights: Map<K, Listed<K, T>, RandomState>,
    room: Arc<Semaphore>,
    limit: usize,
}

struct Listed<K: Eq + Hash, T> {
    flight: Arc<Flight<T>>,
    /// While it waits for room.
    turn: Option<WeakShared<Turn<K, T>>>,
}

/// The one place in the queue for room of all who wait with one key, given up when the last of them leaves. Whoever takes what
/// it ends with leads the flight that the others follow.
type Turn<K, T> = BoxFuture<'static, Arc<Mutex<Option<Landing<K, T>>>>>;

/// What a caller is to do.
pub(crate) enum Joined<K: Eq + Hash, T> {
    /// Fetch, and tell the others.
    Lead(Landing<K, T>),
    /// Wait.
    Follow(Follow<T>),
    /// Too many are in flight: go alone, or wait for room.
    Full,
}

impl<K, T> Coalescer<K, T>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    /// A table of at most `limit` flights.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            flights: Map::with_hasher(RandomState::default()),
            room: Arc::new(Semaphore::new(limit)),
            limit,
        })
    }

    /// Joins the flight of `key`, or starts it. No lock of the table outlives the call.
    pub(crate) fn join(self: &Arc<Self>, key: &K) -> Joined<K, T> {
        if let Some(listed) = self.flights.get(key) {
            return listed.join();
        }
        match self.flights.entry(key.clone()) {
            Entry::Occupied(listed) => listed.get().join(),
            Entry::Vacant(place) => {
                let Ok(room) = self.room.clone().try_acquire_owned() else {
                    return Joined::Full;
                };
                let landing = self.landing(key, Some(room));
                place.insert(Listed {
                    flight: landing.lead.flight(),
                    turn: None,
                });
                Joined::Lead(landing)
            }
        }
    }

    /// For one who has followed a flight for long enough: leads another in its place, or follows that where somebody leads it
    /// already. Nobody is turned away for want of room: without this, each would go alone.
    pub(crate) fn relieve(self: &Arc<Self>, key: &K, tired: &Follow<T>) -> Joined<K, T> {
        let entry = self.flights.entry(key.clone());
        if let Entry::Occupied(listed) = &entry
            && !tired.waits_for(&listed.get().flight)
        {
            return listed.get().join();
        }
        let landing = self.landing(key, self.room.clone().try_acquire_owned().ok());
        entry.insert(Listed {
            flight: landing.lead.flight(),
            turn: None,
        });
        Joined::Lead(landing)
    }

    /// Joins once there is room: never [`Joined::Full`]. Room goes to keys in the order in which they came; one of those who
    /// wait with the key leads, and the others follow it from then on. Who drops this leaves the turn to the others.
    pub(crate) async fn join_in_turn(self: &Arc<Self>, key: &K) -> Joined<K, T> {
        let (turn, follow) = self.take_turn(key);
        let Some(turn) = turn else {
            return Joined::Follow(follow);
        };
        let landing = turn.await.lock().take();
        landing.map_or(Joined::Follow(follow), Joined::Lead)
    }

    /// Follows the flight of `key` from now on, so that its end isn't missed, and says what to wait for until it takes off.
    fn take_turn(self: &Arc<Self>, key: &K) -> (Option<Shared<Turn<K, T>>>, Follow<T>) {
        let entry = self.flights.entry(key.clone());
        if let Entry::Occupied(listed) = &entry {
            let Listed { flight, turn } = listed.get();
            match turn.as_ref().map(WeakShared::upgrade) {
                None => return (None, flight.follow()),
                Some(Some(turn)) => return (Some(turn), flight.follow()),
                // The last of those who waited leaves just now.
                Some(None) => {}
            }
        }
        let mut landing = self.landing(key, None);
        let flight = landing.lead.flight();
        let room = self.room.clone();
        let turn = async move {
            landing.room = room.acquire_owned().await.ok();
            // While those who wait still hold the turn: the key is never without either.
            landing.take_off();
            Arc::new(Mutex::new(Some(landing)))
        };
        let turn = turn.boxed().shared();
        let follow = flight.follow();
        entry.insert(Listed {
            flight,
            turn: turn.downgrade(),
        });
        (Some(turn), follow)
    }

    fn landing(self: &Arc<Self>, key: &K, room: Option<OwnedSemaphorePermit>) -> Landing<K, T> {
        Landing {
            table: self.clone(),
            key: key.clone(),
            lead: Lead::new(),
            room,
        }
    }

    /// Follows the flight of `key`, if there is one.
    pub(crate) fn follow(&self, key: &K) -> Option<Follow<T>> {
        match self.flights.get(key)?.join() {
            Joined::Follow(follow) => Some(follow),
            _ => None,
        }
    }

    /// How many are in flight. Room that is given counts, also before the one who waited for it has heard of it.
    pub(crate) fn in_flight(&self) -> usize {
        self.limit.saturating_sub(self.room.available_permits())
    }
}

impl<K: Eq + Hash, T> Listed<K, T> {
    fn join(&self) -> Joined<K, T> {
        match self.turn {
            None => Joined::Follow(self.flight.follow()),
            Some(_) => Joined::Full,
        }
    }
}

/// The leader's end of a flight in the table. Dropping it ends the flight, whoever drops it and why.
pub(crate) struct Landing<K: Eq + Hash, T> {
    table: Arc<Coalescer<K, T>>,
    key: K,
    lead: Lead<T>,
    room: Option<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash, T> Landing<K, T> {
    /// Gives each follower what `outcome` makes for it, also those who join later.
    pub(crate) fn land(&self, outcome: impl Fn() -> T + Send + 'static) {
        self.lead.land(outcome);
    }

    /// Takes the flight out of the table: whoever comes now leads anew, and there is room for another.
    pub(crate) fn close(&mut self) {
        // Another of this key may be there by now.
        self.table
            .flights
            .remove_if(&self.key, |_, listed| self.lead.leads(&listed.flight));
        self.room = None;
    }

    /// It waited for room, and has it.
    fn take_off(&self) {
        if let Some(mut listed) = self.table.flights.get_mut(&self.key) {
            listed.turn = None;
        }
    }
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        // Out of the table first: a follower that is told of the end must not find this flight again.
        self.close();
    }
}

#[cfg(all(test, frontage_loom))]
mod loom_tests;

#[cfg(all(test, not(frontage_loom)))]
mod tests;
