//! Whether something new is worth what has to go for it.
//!
//! For one large object a hundred small ones may have to go, and most objects are never asked for again. So a full store
//! keeps a large one only when it is fetched for the second time. A hit costs nothing: what is remembered is fetches.

use parking_lot::Mutex;

/// What is larger than so many times the mean of what is stored is large.
const LARGE: u64 = 4;
/// A generation lasts for so many fetches for each entry; two are remembered.
const FETCHES: u64 = 2;
/// Of few entries more is remembered: they are soon replaced.
const MIN_FETCHES: u64 = 128;
/// Bits of a filter for each fetch in it: of what is new, it takes some 5 % for known.
const BITS: u64 = 8;

/// Remembers which large objects were fetched of late while the store was full.
#[derive(Debug)]
pub(super) struct Admission(Mutex<Fetched>);

/// Two generations of a Bloom filter.
#[derive(Debug)]
struct Fetched {
    young: Box<[u64]>,
    old: Box<[u64]>,
    /// Fetches since the young one is in use, and those of large objects among them.
    fetches: u64,
    large: u64,
}

impl Admission {
    /// For so many entries. Of more than that, less than intended is remembered.
    pub(super) fn new(entries: u64) -> Self {
        let bits = fetches_of(entries).saturating_mul(BITS);
        // 2 MiB for both.
        let words = usize::try_from(bits / 64).map_or(1 << 17, |words| words.min(1 << 17));
        let filter = || vec![0; words].into_boxed_slice();
        Self(Mutex::new(Fetched {
            young: filter(),
            old: filter(),
            fetches: 0,
            large: 0,
        }))
    }

    /// Notes the fetch of an object of `size` bytes, for which others would have to go from among `entries` that weigh
    /// `weight` together; and says whether to let them.
    pub(super) fn admits(&self, hash: u64, size: u64, weight: u64, entries: u64) -> bool {
        let mut fetched = self.0.lock();
        fetched.fetches += 1;
        let room = fetched.young.len() as u64 * 64 / BITS;
        if fetched.fetches > fetches_of(entries) || fetched.large >= room {
            fetched.begin_generation();
        }
        size.saturating_mul(entries) <= weight.saturating_mul(LARGE) || fetched.note(hash)
    }
}

fn fetches_of(entries: u64) -> u64 {
    entries.saturating_mul(FETCHES).max(MIN_FETCHES)
}

impl Fetched {
    fn begin_generation(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.fill(0);
        self.fetches = 1;
        self.large = 0;
    }

    /// Whether it was noted before.
    fn note(&mut self, hash: u64) -> bool {
        self.large += 1;
        let (mut in_young, mut in_old) = (true, true);
        let mut bits = hash;
        for _ in 0..3 {
            // A key's hash is a good one, but the table and the shards use its bits, too.
            bits = (bits ^ (bits >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let at = usize::try_from((bits >> 6) % self.young.len() as u64).unwrap_or(0);
            let bit = 1 << (bits & 63);
            in_old &= self.old[at] & bit != 0;
            in_young &= self.young[at] & bit != 0;
            self.young[at] |= bit;
        }
        in_young || in_old
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A store of 1,000 entries of 100 bytes.
    fn ask(admission: &Admission, hash: u64, size: u64) -> bool {
        admission.admits(hash, size, 100_000, 1000)
    }

    #[test]
    fn a_large_object_is_kept_at_its_second_fetch_and_a_small_one_at_its_first() {
        let admission = Admission::new(1000);
        assert!(ask(&admission, 1, 400));
        assert!(!ask(&admission, 2, 401));
        assert!(ask(&admission, 2, 401));
        assert!(!ask(&admission, 3, u64::MAX / 1000 + 1));
    }

    #[test]
    fn a_fetch_is_remembered_for_two_to_four_times_as_many_as_there_are_entries() {
        for before in [0, 500, 1999] {
            let admission = Admission::new(1000);
            let pass = |count: u64| (0..count).for_each(|_| assert!(ask(&admission, 0, 1)));
            pass(before);
            assert!(!ask(&admission, 7, 1000));
            pass(1999);
            assert!(ask(&admission, 7, 1000), "after {before}");
            pass(4001);
            assert!(!ask(&admission, 7, 1000), "after {before}");
        }
    }

    #[test]
    fn few_of_those_that_are_new_are_taken_for_known_however_many_there_are() {
        for entries in [1, 10, 1000, 100_000] {
            let admission = Admission::new(1000);
            let known = (0..100_000_u64)
                .filter(|number| {
                    let hash = number.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(17);
                    admission.admits(hash, 1000, entries * 100, entries)
                })
                .count();
            assert!(known < 10_000, "{known} with {entries} entries");
        }
    }

    proptest! {
        #[test]
        fn what_was_fetched_a_moment_ago_is_known(hashes in prop::collection::vec(any::<u64>(), 1..60)) {
            let admission = Admission::new(0);
            for hash in &hashes {
                ask(&admission, *hash, 1000);
            }
            for hash in &hashes {
                prop_assert!(ask(&admission, *hash, 1000));
            }
        }
    }
}
