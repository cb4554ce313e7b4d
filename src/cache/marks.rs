//! What is remembered of keys for a while: that their responses aren't stored, so that requests for them don't wait for each
//! other; that their origin failed, so that it isn't asked again at once; that they can't be fetched in blocks.

use crate::key::CacheKey;
use quick_cache::sync::Cache;

const KEYS: usize = 65_536;

/// How long a key is remembered as one whose responses aren't stored, in milliseconds.
pub(super) const UNCACHEABLE: u64 = 120_000;

/// The last 65,536 marked keys, or as many as it is made for. By hash: a collision costs some request its company, its question to
/// the origin, or its blocks, no more.
pub(super) struct Marks(Cache<u64, Marked>);

#[derive(Clone, Copy)]
struct Marked {
    since: u64,
    until: u64,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self::of(KEYS)
    }

    /// The last so many marked keys.
    pub(super) fn of(keys: usize) -> Self {
        Self(Cache::new(keys))
    }

    /// Marks a key for so many milliseconds.
    pub(super) fn mark(&self, key: &CacheKey, now: u64, millis: u64) {
        let marked = Marked {
            since: now,
            until: now.saturating_add(millis),
        };
        self.0.insert(key.hash64(), marked);
    }

    pub(super) fn lift(&self, key: &CacheKey) {
        self.0.remove(&key.hash64());
    }

    pub(super) fn is_marked(&self, key: &CacheKey, now: u64) -> bool {
        // A clock that stepped back ends the mark, too.
        self.0
            .get(&key.hash64())
            .is_some_and(|marked| (marked.since..marked.until).contains(&now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_lasts_as_long_as_it_says() {
        let (marks, key) = (Marks::new(), CacheKey::from_bytes(b"k"));
        marks.mark(&key, 1000, UNCACHEABLE);
        assert!(marks.is_marked(&key, 1000) && marks.is_marked(&key, 120_999));
        assert!(!marks.is_marked(&key, 121_000) && !marks.is_marked(&key, 999));
        marks.lift(&key);
        assert!(!marks.is_marked(&key, 1000));
    }
}
