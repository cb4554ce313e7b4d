//! Invalidated prefixes, as a trie of bytes whose chains are one node.

use super::latest::Latest;
use std::cmp::Reverse;

/// How many prefixes are known exactly.
pub(super) const PREFIXES: usize = 1 << 14;
/// How long all of them together may be, in bytes.
pub(super) const BYTES: usize = 2 << 20;

/// Prefixes, and when each was last invalidated: some 4.5 MiB when it is full. Over its bounds the oldest ones fold into what
/// they have in common: more is invalidated, never less.
pub(super) struct Trie {
    /// The first is the root. Those that a hard invalidation above them outdates hang loose until [`folded`](Self::folded).
    nodes: Vec<Node>,
    /// Nodes that are a prefix of their own, and the prefixes' bytes, loose ones counted.
    prefixes: usize,
    bytes: usize,
    most_prefixes: usize,
    most_bytes: usize,
}

#[derive(Default)]
struct Node {
    /// What follows on the parent's prefix.
    label: Box<[u8]>,
    /// When all that begins with this was last invalidated.
    latest: Latest,
    /// By the first byte of their labels, in order.
    children: Vec<(u8, u32)>,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self::with_bounds(PREFIXES, BYTES)
    }

    fn with_bounds(most_prefixes: usize, most_bytes: usize) -> Self {
        Self {
            nodes: vec![Node::default()],
            prefixes: 0,
            bytes: 0,
            most_prefixes,
            most_bytes,
        }
    }

    /// Whether it must be [folded](Self::folded) before the next prefix.
    pub(super) fn is_full(&self) -> bool {
        self.prefixes >= self.most_prefixes || self.bytes >= self.most_bytes
    }

    /// When something was last invalidated by a prefix, or later: one walk.
    pub(super) fn last(&self, name: &[u8]) -> Latest {
        let mut latest = Latest::default();
        let mut rest = name;
        let mut node = self.nodes.first();
        while let Some(here) = node {
            latest = latest.or(here.latest);
            node = rest
                .first()
                .and_then(|byte| here.child(*byte).ok())
                .and_then(|(_, child)| self.nodes.get(child))
                .filter(|child| match rest.strip_prefix(&*child.label) {
                    Some(behind) => {
                        rest = behind;
                        true
                    }
                    None => false,
                });
        }
        latest
    }

    /// Notes that all that begins with `prefix` is invalidated.
    pub(super) fn add(&mut self, prefix: &[u8], latest: Latest) {
        let at = self.node_of(prefix);
        let node = &mut self.nodes[at];
        if node.latest == Latest::default() {
            self.prefixes += 1;
            self.bytes += prefix.len();
        }
        node.latest = node.latest.or(latest);
        if latest.newest() == latest.hard {
            // It is the latest: all below is covered by it.
            node.children = Vec::new();
        }
    }

    /// The node of a prefix, made if need be.
    fn node_of(&mut self, prefix: &[u8]) -> usize {
        let mut at = 0;
        let mut rest = prefix;
        while let Some(&byte) = rest.first() {
            let (place, child) = match self.nodes[at].child(byte) {
                Ok(found) => found,
                Err(place) => {
                    let leaf = self.push(rest.into());
                    self.nodes[at].children.insert(place, (byte, leaf));
                    return leaf as usize;
                }
            };
            let label = &self.nodes[child].label;
            let common = common(label, rest);
            if let Some((upper, lower)) = label.split_at_checked(common)
                && let Some(&next) = lower.first()
            {
                let (upper, lower): (Box<[u8]>, Box<[u8]>) = (upper.into(), lower.into());
                let middle = self.push(upper);
                let below = std::mem::replace(&mut self.nodes[at].children[place].1, middle);
                self.nodes[child].label = lower;
                self.nodes[middle as usize].children.push((next, below));
                at = middle as usize;
            } else {
                at = child;
            }
            rest = rest.get(common..).unwrap_or_default();
        }
        at
    }

    fn push(&mut self, label: Box<[u8]>) -> u32 {
        self.nodes.push(Node {
            label,
            ..Node::default()
        });
        // Far fewer than that: each prefix makes two at most.
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }

    /// All prefixes, in order.
    fn live(&self) -> Vec<(Vec<u8>, Latest)> {
        let mut live = Vec::new();
        let mut open: Vec<(usize, Vec<u8>)> = vec![(0, Vec::new())];
        while let Some((at, above)) = open.pop() {
            let node = &self.nodes[at];
            let mut prefix = above;
            prefix.extend_from_slice(&node.label);
            for (_, child) in node.children.iter().rev() {
                open.push((*child as usize, prefix.clone()));
            }
            if node.latest != Latest::default() {
                live.push((prefix, node.latest));
            }
        }
        live
    }

    /// The same without what hangs loose; if there is still much of it, with the older half folded.
    pub(super) fn folded(&self) -> Self {
        let mut live = self.live();
        loop {
            let bytes: usize = live.iter().map(|(prefix, _)| prefix.len()).sum();
            let much = live.len() > self.most_prefixes / 4 * 3 || bytes > self.most_bytes / 4 * 3;
            if !much || live.len() < 3 {
                break;
            }
            live = fold(live);
        }
        let mut trie = Self::with_bounds(self.most_prefixes, self.most_bytes);
        for (prefix, latest) in live {
            let at = trie.node_of(&prefix);
            let node = &mut trie.nodes[at];
            if node.latest == Latest::default() {
                trie.prefixes += 1;
                trie.bytes += prefix.len();
            }
            node.latest = node.latest.or(latest);
        }
        trie
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.prefixes
    }
}

impl Node {
    /// The place and the index of the child that begins with a byte, or the place where it would be.
    fn child(&self, byte: u8) -> Result<(usize, usize), usize> {
        let place = self.children.binary_search_by_key(&byte, |child| child.0)?;
        Ok((place, self.children[place].1 as usize))
    }
}

/// Folds the older half of at least two prefixes, given in order, into an eighth of their number: those that have most in
/// common first.
fn fold(live: Vec<(Vec<u8>, Latest)>) -> Vec<(Vec<u8>, Latest)> {
    let mut numbers: Vec<u64> = live.iter().map(|(_, latest)| latest.newest()).collect();
    let middle = numbers.len() / 2;
    let middle = *numbers.select_nth_unstable(middle).1;
    let (old, mut kept): (Vec<_>, Vec<_>) = live
        .into_iter()
        .partition(|(_, latest)| latest.newest() <= middle);
    // Between the groups is where neighbours have least in common.
    let mut gaps: Vec<(usize, usize)> = old
        .windows(2)
        .enumerate()
        .map(|(at, pair)| (common(&pair[0].0, &pair[1].0), at + 1))
        .collect();
    gaps.sort_by_key(|(common, _)| *common);
    gaps.truncate((old.len() / 8).max(1) - 1);
    let mut starts: Vec<usize> = gaps.into_iter().map(|(_, at)| at).chain([0]).collect();
    starts.sort_by_key(|at| Reverse(*at));
    let mut old = old;
    for start in starts {
        let mut group = old.split_off(start).into_iter();
        let Some(mut folded) = group.next() else {
            continue;
        };
        for (prefix, latest) in group {
            folded.0.truncate(common(&folded.0, &prefix));
            folded.1 = folded.1.or(latest);
        }
        kept.push(folded);
    }
    kept
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A short text of few letters, so that many have something in common.
    fn text() -> impl Strategy<Value = String> {
        any::<u16>().prop_map(|bits| {
            let letters = (0..bits % 8).map(|at| match bits >> (3 + at) & 3 {
                0 => '/',
                1 => 'b',
                _ => 'a',
            });
            letters.collect()
        })
    }

    /// Prefixes, and whether each is invalidated softly.
    fn prefixes(most: usize) -> impl Strategy<Value = Vec<(String, bool)>> {
        prop::collection::vec((text(), any::<bool>()), 0..most)
    }

    fn at_turn(turn: usize, soft: bool) -> Latest {
        let number = turn as u64 + 1;
        match soft {
            true => Latest::soft(number, 1000 + number),
            false => Latest::hard(number),
        }
    }

    /// What a list of patterns would say.
    fn naive(prefixes: &[(String, bool)], name: &str) -> Latest {
        let covering = prefixes.iter().enumerate();
        covering
            .filter(|(_, (prefix, _))| name.starts_with(prefix))
            .map(|(at, (_, soft))| at_turn(at, *soft))
            .fold(Latest::default(), Latest::or)
    }

    fn filled(mut trie: Trie, prefixes: &[(String, bool)]) -> Trie {
        for (at, (prefix, soft)) in prefixes.iter().enumerate() {
            if trie.is_full() {
                trie = trie.folded();
            }
            trie.add(prefix.as_bytes(), at_turn(at, *soft));
        }
        trie
    }

    /// What both say that matters: a soft one that is older than a hard one changes nothing.
    fn said(latest: Latest) -> (u64, Option<u64>) {
        let soft = Some(latest.soft.number).filter(|soft| *soft > latest.hard);
        (latest.hard, soft)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn under_the_bound_it_says_what_a_list_says(
            prefixes in prefixes(40),
            names in prop::collection::vec(text(), 10),
        ) {
            let trie = filled(Trie::new(), &prefixes);
            let again = trie.folded();
            for name in names {
                let expected = said(naive(&prefixes, &name));
                prop_assert_eq!(said(trie.last(name.as_bytes())), expected, "{}", &name);
                prop_assert_eq!(said(again.last(name.as_bytes())), expected, "{}", &name);
            }
        }

        #[test]
        fn over_the_bound_it_never_says_less(
            prefixes in prefixes(80),
            names in prop::collection::vec(text(), 10),
            most in 3_usize..20,
        ) {
            let trie = filled(Trie::with_bounds(most, 40), &prefixes);
            prop_assert!(trie.len() <= most);
            for name in names {
                let least = naive(&prefixes, &name);
                let latest = trie.last(name.as_bytes());
                prop_assert!(latest.hard >= least.hard, "{}", &name);
                prop_assert!(latest.newest() >= least.newest(), "{}", &name);
            }
        }
    }

    #[test]
    fn the_oldest_fold_into_what_they_have_in_common() {
        let mut trie = Trie::with_bounds(32, 1 << 10);
        for number in 1..=32_u64 {
            let folder = if number % 2 == 0 { "/even" } else { "/odd" };
            let prefix = format!("{folder}/{number}/");
            trie.add(prefix.as_bytes(), Latest::hard(number));
        }
        assert!(trie.is_full());
        let trie = trie.folded();
        assert_eq!(trie.last(b"/even/3/").hard, 16);
        assert_eq!(trie.last(b"/odd/2/").hard, 17);
        assert_eq!(trie.last(b"/odd/31/x").hard, 31);
        assert_eq!(trie.last(b"/other").hard, 0);
    }

    #[test]
    fn what_a_hard_one_covers_takes_no_room_after_a_fold() {
        let mut trie = Trie::new();
        for number in 1..=1000 {
            trie.add(format!("/a/{number}").as_bytes(), Latest::hard(number));
        }
        trie.add(b"/a/", Latest::soft(1001, 0));
        assert_eq!(trie.folded().len(), 1001, "a soft one doesn't cover it");
        trie.add(b"/a/", Latest::hard(1002));
        assert_eq!(trie.folded().len(), 1);
    }

    #[test]
    fn long_ones_are_bounded_too() {
        let mut trie = Trie::new();
        for number in 0..3000_u64 {
            if trie.is_full() {
                trie = trie.folded();
            }
            let long = number.to_string().repeat(1000);
            trie.add(long.as_bytes(), Latest::hard(number + 1));
            assert!(trie.bytes < BYTES + long.len());
            let labels: usize = trie.nodes.iter().map(|node| node.label.len()).sum();
            assert!(labels <= trie.bytes, "{labels}");
        }
    }
}
