//! One fetch per key: the table of what is in flight.
//!
//! [`Coalescer::join`] either makes the caller lead a new flight or follow the one under way. What a
//! flight lands with is up to the caller; this module knows neither HTTP nor tower.

mod flight;

pub(crate) use flight::{Follow, Lead};

use crate::sync::Arc;
use dashmap::{DashMap, mapref::entry::Entry};
use flight::Flight;
use foldhash::fast::RandomState;
use std::{
    hash::Hash,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Flights by key.
pub(crate) struct Coalescer<K, T> {
    flights: DashMap<K, Arc<Flight<T>>, RandomState>,
    count: AtomicUsize,
    limit: usize,
}

/// What a caller is to do.
pub(crate) enum Joined<K: Eq + Hash, T> {
    /// Fetch, and tell the others.
    Lead(Landing<K, T>),
    /// Wait.
    Follow(Follow<T>),
    /// Too many are in flight: go alone.
    Full,
}

impl<K: Eq + Hash + Clone, T> Coalescer<K, T> {
    /// A table of at most `limit` flights.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            flights: DashMap::with_hasher(RandomState::default()),
            count: AtomicUsize::new(0),
            limit,
        })
    }

    /// Joins the flight of `key`, or starts it. No lock of the table outlives the call.
    pub(crate) fn join(self: &Arc<Self>, key: &K) -> Joined<K, T> {
        if let Some(flight) = self.flights.get(key) {
            return Joined::Follow(flight.follow());
        }
        match self.flights.entry(key.clone()) {
            Entry::Occupied(flight) => Joined::Follow(flight.get().follow()),
            Entry::Vacant(place) => {
                let room = |count| (count < self.limit).then_some(count + 1);
                if self
                    .count
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
                    .is_err()
                {
                    return Joined::Full;
                }
                let lead = Lead::new();
                place.insert(lead.flight());
                Joined::Lead(Landing {
                    table: self.clone(),
                    key: key.clone(),
                    lead,
                    listed: true,
                })
            }
        }
    }

    /// Follows the flight of `key`, if there is one.
    pub(crate) fn follow(&self, key: &K) -> Option<Follow<T>> {
        self.flights.get(key).map(|flight| flight.follow())
    }

    /// How many are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// The leader's end of a flight in the table. Dropping it ends the flight, whoever drops it and why.
pub(crate) struct Landing<K: Eq + Hash, T> {
    table: Arc<Coalescer<K, T>>,
    key: K,
    lead: Lead<T>,
    listed: bool,
}

impl<K: Eq + Hash, T> Landing<K, T> {
    /// Gives each follower what `outcome` makes for it, also those who join later.
    pub(crate) fn land(&self, outcome: impl Fn() -> T + Send + 'static) {
        self.lead.land(outcome);
    }

    /// Takes the flight out of the table: whoever comes now leads anew.
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.listed, false) {
            self.table.flights.remove(&self.key);
            self.table.count.fetch_sub(1, Ordering::Relaxed);
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
mod tests {
    use super::*;
    use tokio_test::{assert_pending, assert_ready_eq, task::spawn};

    fn table(limit: usize) -> Arc<Coalescer<u8, u32>> {
        Coalescer::new(limit)
    }

    fn lead(table: &Arc<Coalescer<u8, u32>>) -> Landing<u8, u32> {
        match table.join(&1) {
            Joined::Lead(landing) => landing,
            _ => panic!("expected to lead"),
        }
    }

    fn follow(table: &Arc<Coalescer<u8, u32>>) -> Follow<u32> {
        match table.join(&1) {
            Joined::Follow(follow) => follow,
            _ => panic!("expected to follow"),
        }
    }

    #[test]
    fn the_first_leads_and_the_others_follow() {
        let table = table(10);
        let landing = lead(&table);
        let mut early = spawn(follow(&table));
        assert_pending!(early.poll());
        landing.land(|| 7);
        assert!(early.is_woken());
        assert_ready_eq!(early.poll(), Some(7));
        let mut late = spawn(follow(&table));
        assert_ready_eq!(late.poll(), Some(7));
        assert!(table.follow(&1).is_some() && table.follow(&2).is_none());
    }

    #[test]
    fn a_leader_that_is_dropped_leaves_nobody_waiting() {
        let table = table(10);
        let landing = lead(&table);
        let mut follower = spawn(follow(&table));
        assert_pending!(follower.poll());
        drop(landing);
        assert!(follower.is_woken());
        assert_ready_eq!(follower.poll(), None);
        drop(lead(&table));
        assert_eq!(table.in_flight(), 0);
    }

    #[test]
    fn a_follower_that_is_dropped_disturbs_nobody() {
        let table = table(10);
        let landing = lead(&table);
        let mut first = spawn(follow(&table));
        let mut second = spawn(follow(&table));
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        drop(first);
        landing.land(|| 1);
        assert_ready_eq!(second.poll(), Some(1));
    }

    #[test]
    fn a_closed_flight_is_not_joined_but_still_tells_its_followers() {
        let table = table(10);
        let mut landing = lead(&table);
        let mut follower = spawn(follow(&table));
        assert_pending!(follower.poll());
        landing.close();
        let again = lead(&table);
        landing.land(|| 3);
        assert_ready_eq!(follower.poll(), Some(3));
        drop(landing);
        assert!(
            table.follow(&1).is_some(),
            "the old flight's end must not take the new one out"
        );
        drop(again);
    }

    #[test]
    fn flights_are_bounded() {
        let table = table(1);
        let landing = lead(&table);
        assert!(matches!(table.join(&2), Joined::Full));
        drop(landing);
        assert!(matches!(table.join(&2), Joined::Lead(_)));
    }
}
