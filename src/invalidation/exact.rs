//! What was invalidated by its full name: addresses, tags.

use super::latest::Latest;
use foldhash::quality::RandomState;
use std::{collections::HashMap, hash::BuildHasher};

/// How many names are known exactly: some 1.3 MiB, since the table doubles.
pub(super) const EXACT: usize = 1 << 14;
/// Places for those that are not: 1.5 MiB, made when the first must move there.
const PLACES: usize = 1 << 16;

/// Names, and when each was last invalidated. The latest are known exactly. Older ones stand in a table of fixed size, where
/// those that share a place share its epoch, so that more is invalidated than was asked for at times, and never less.
#[derive(Clone)]
pub(super) struct Exact {
    /// By two hashes of the name, so that a long one takes no more: names that share both share their epoch.
    known: HashMap<(u64, u64), Latest, RandomState>,
    /// Empty until it is needed.
    places: Box<[Latest]>,
    hasher: RandomState,
    second: RandomState,
}

impl Exact {
    pub(super) fn new() -> Self {
        Self {
            known: HashMap::default(),
            places: Box::default(),
            hasher: RandomState::default(),
            second: RandomState::default(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= EXACT
    }

    pub(super) fn add(&mut self, name: &str, latest: Latest) {
        let known = self.known.entry(self.hashed(name)).or_default();
        *known = known.or(latest);
    }

    /// When a name was last invalidated, or later.
    pub(super) fn last(&self, name: &str) -> Latest {
        if self.known.is_empty() {
            return Latest::default();
        }
        let name = self.hashed(name);
        let exact = self.known.get(&name).copied().unwrap_or_default();
        match self.places.get(place(name)) {
            Some(place) => exact.or(*place),
            None => exact,
        }
    }

    fn hashed(&self, name: &str) -> (u64, u64) {
        (self.hasher.hash_one(name), self.second.hash_one(name))
    }

    /// The same with the older half of the names in the places.
    pub(super) fn folded(&self) -> Self {
        let mut numbers: Vec<u64> = self.known.values().map(|known| known.newest()).collect();
        if numbers.is_empty() {
            return self.clone();
        }
        let middle = numbers.len() / 2;
        let middle = *numbers.select_nth_unstable(middle).1;
        let mut places = self.places.clone();
        if places.is_empty() {
            places = vec![Latest::default(); PLACES].into();
        }
        let mut known = HashMap::with_hasher(self.known.hasher().clone());
        for (name, latest) in &self.known {
            if latest.newest() > middle {
                known.insert(*name, *latest);
            } else if let Some(place) = places.get_mut(place(*name)) {
                *place = place.or(*latest);
            }
        }
        Self {
            known,
            places,
            hasher: self.hasher.clone(),
            second: self.second.clone(),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

/// PLACES is a power of two that fits.
fn place(name: (u64, u64)) -> usize {
    usize::try_from(name.0 % PLACES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_turn(turn: usize) -> Latest {
        let number = turn as u64 + 1;
        match turn % 2 {
            0 => Latest::soft(number, 1000 + number),
            _ => Latest::hard(number),
        }
    }

    #[test]
    fn over_the_bound_more_is_invalidated_and_never_less() {
        let mut exact = Exact::new();
        let name = |number: usize| format!("a/{number}");
        for number in 0..3 * EXACT {
            if exact.is_full() {
                exact = exact.folded();
            }
            exact.add(&name(number), at_turn(number));
        }
        for number in 0..3 * EXACT {
            let latest = exact.last(&name(number));
            let least = at_turn(number);
            assert_eq!(latest.or(least), latest, "{number}");
        }
        assert!(exact.len() <= EXACT);
        let untouched = |number: &usize| exact.last(&format!("b/{number}")) == Latest::default();
        let spared = (0..1000).filter(untouched).count();
        assert!(spared > 400, "{spared} of 1000");
    }
}
