//! Rendezvous hashing: which of several servers a key belongs to, and who stands in for that.
//!
//! Each server has a score for each key, by a hash of both, and the highest wins. So all who know the same names agree, in
//! whatever order they list them; the keys are shared evenly; and when one goes, only its own keys go elsewhere.

use sha2::{Digest, Sha256};

/// Servers by their names, which are the same in every process that shares them.
#[derive(Debug)]
pub(crate) struct Rendezvous(Box<[u64]>);

impl Rendezvous {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let hashes = names.into_iter().map(|name| hash(name.as_bytes()));
        Self(hashes.collect())
    }

    /// The indices of all servers, the key's own first, then who stands in for it, and so on.
    pub(crate) fn order(&self, key: &[u8]) -> Vec<usize> {
        let key = hash(key);
        let scored = self.0.iter().enumerate();
        let mut scored: Vec<_> = scored.map(|(at, name)| (mix(key ^ name), at)).collect();
        scored.sort_unstable_by(|a, b| b.cmp(a));
        scored.into_iter().map(|(_, at)| at).collect()
    }
}

/// Alike in every process and version: others choose by it, too.
fn hash(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// A permutation of 64 bits in which each bit depends on all (SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The names in the order for a key.
    fn order<'a>(names: &[&'a str], key: &str) -> Vec<&'a str> {
        let order = Rendezvous::new(names.iter().copied()).order(key.as_bytes());
        order.into_iter().map(|at| names[at]).collect()
    }

    fn names() -> impl Strategy<Value = BTreeSet<String>> {
        prop::collection::btree_set("http://[a-z]{1,8}:[1-9][0-9]{0,3}", 1..12)
    }

    #[test]
    fn every_process_and_version_chooses_alike() {
        let names = ["http://a:80", "http://b:80", "http://c:80"];
        let firsts: String = (0..32)
            .map(|number| order(&names, &format!("h/{number}"))[0].replace("http://", ""))
            .map(|name| name.replace(":80", ""))
            .collect();
        assert_eq!(firsts, "abbccbccbbacbcacabccabbbaacbbcaa");
        assert!(order(&[], "h/a").is_empty());
    }

    #[test]
    fn shares_are_even() {
        for many in [2_usize, 3, 7, 16] {
            let names: Vec<String> = (0..many).map(|n| format!("http://shield-{n}:80")).collect();
            let rendezvous = Rendezvous::new(names.iter().map(String::as_str));
            let (mut own, mut second) = (vec![0_usize; many], vec![vec![0_usize; many]; many]);
            const KEYS: usize = 40_000;
            for key in 0..KEYS {
                let order = rendezvous.order(format!("example.com/images/{key}.jpg").as_bytes());
                own[order[0]] += 1;
                second[order[0]][order[1]] += 1;
            }
            let is_near = |count: usize, of: usize, parts: usize| {
                let even = of / parts;
                // Five standard deviations.
                count.abs_diff(even).pow(2) <= 25 * even
            };
            for (at, count) in own.iter().enumerate() {
                assert!(is_near(*count, KEYS, many), "{many}: {own:?}");
                // And what one leaves behind is shared evenly, too.
                for (other, taken) in second[at].iter().enumerate() {
                    let is_even = other == at || is_near(*taken, *count, many - 1);
                    assert!(is_even, "{many}: {second:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn without_one_all_others_stay_in_order(names in names(), key in ".{0,40}", gone: usize) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let gone = names[gone % names.len()];
            let left: Vec<&str> = names.iter().copied().filter(|name| *name != gone).collect();
            let mut expected = order(&names, &key);
            expected.retain(|name| *name != gone);
            prop_assert_eq!(order(&left, &key), expected);
        }

        #[test]
        fn the_order_in_which_they_are_listed_does_not_count(
            names in names(),
            key in ".{0,40}",
            turn: usize,
        ) {
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            let expected = order(&names, &key);
            let by = turn % names.len();
            names.rotate_left(by);
            prop_assert_eq!(order(&names, &key), expected.clone());
            names.reverse();
            prop_assert_eq!(order(&names, &key), expected.clone());
            let all: BTreeSet<_> = expected.into_iter().collect();
            prop_assert_eq!(all, names.into_iter().collect());
        }
    }
}
