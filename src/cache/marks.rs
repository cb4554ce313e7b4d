//! Keys whose responses are known not to be stored: requests for them don't wait for each other.

use crate::key::CacheKey;
use quick_cache::sync::Cache;

const KEYS: usize = 65_536;
const MILLIS: u64 = 120_000;

/// The last 65,536 such keys, each for 120 seconds. By hash: a collision costs some request its company, no more.
pub(super) struct Marks(Cache<u64, u64>);

impl Marks {
    pub(super) fn new() -> Self {
        Self(Cache::new(KEYS))
    }

    pub(super) fn mark(&self, key: &CacheKey, now: u64) {
        self.0.insert(key.hash64(), now);
    }

    pub(super) fn lift(&self, key: &CacheKey) {
        self.0.remove(&key.hash64());
    }

    pub(super) fn is_marked(&self, key: &CacheKey, now: u64) -> bool {
        // A clock that stepped back ends the mark, too.
        self.0
            .get(&key.hash64())
            .is_some_and(|since| (since..since.saturating_add(MILLIS)).contains(&now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_lasts_two_minutes() {
        let (marks, key) = (Marks::new(), CacheKey::from_bytes(b"k"));
        marks.mark(&key, 1000);
        assert!(marks.is_marked(&key, 1000) && marks.is_marked(&key, 120_999));
        assert!(!marks.is_marked(&key, 121_000) && !marks.is_marked(&key, 999));
        marks.lift(&key);
        assert!(!marks.is_marked(&key, 1000));
    }
}
