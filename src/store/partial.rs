//! Parts of a response: what a range request brought, kept until the whole comes.

use super::{BodySource, Head, Object, ReadBody, Version};
use crate::body::StoredBody;
use std::{fmt, ops::Range, sync::Arc};

/// How many extents of one response are kept; the oldest go.
pub(crate) const MAX_EXTENTS: usize = 64;

/// Parts of one version of a response.
#[derive(Clone, Debug)]
pub struct Partial {
    /// The version of the commit that wrote this.
    pub version: Version,
    /// The head of the whole, as a 200 would have it.
    pub head: Head,
    /// How many bytes the whole has.
    pub length: u64,
    /// Which bytes are there, the oldest extent first. They may overlap; none holds all of another.
    pub extents: Vec<Extent>,
}

/// Some bytes of a response, kept as a record of their own: one that is missing there was evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The record is under [`Part::Extent`](super::Part::Extent) of this.
    pub id: u64,
    /// Which bytes of the whole. Not empty.
    pub bytes: Range<u64>,
}

impl Extent {
    /// Whether all bytes of another are in this.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.bytes.start <= other.bytes.start && other.bytes.end <= self.bytes.end
    }
}

impl Partial {
    /// The extents that these ranges are made of; `None` where bytes are missing.
    #[must_use]
    pub fn covering(&self, ranges: &[Range<u64>]) -> Option<Vec<Extent>> {
        let mut needed: Vec<Extent> = Vec::new();
        for range in ranges {
            for extent in cover(&self.extents, |extent| &extent.bytes, range)? {
                if !needed.contains(extent) {
                    needed.push(extent.clone());
                }
            }
        }
        Some(needed)
    }

    /// This with another extent. Gives the ids of the extents that go: those that another holds, which may be the new one itself,
    /// and the oldest where there are too many.
    #[must_use]
    pub fn with(&self, extent: Extent) -> (Self, Vec<u64>) {
        let is_held = self.extents.iter().any(|old| old.holds(&extent));
        let (mut gone, mut extents) = (Vec::new(), Vec::new());
        for old in &self.extents {
            match extent.holds(old) && !is_held {
                true => gone.push(old.id),
                false => extents.push(old.clone()),
            }
        }
        match is_held {
            true => gone.push(extent.id),
            false => extents.push(extent),
        }
        let over = extents.len().saturating_sub(MAX_EXTENTS);
        gone.extend(extents.drain(..over).map(|old| old.id));
        let with = Self {
            version: Version::random(),
            head: self.head.clone(),
            length: self.length,
            extents,
        };
        (with, gone)
    }

    /// An object with these extents for a body: of the bytes that they cover only.
    pub(crate) fn assemble(&self, extents: Vec<(Range<u64>, BodySource)>) -> Object {
        let body = Arc::new(Assembled {
            length: self.length,
            extents,
        });
        Object::with_version(self.version, self.head.clone(), BodySource::Elsewhere(body))
    }
}

/// Of these extents, those that a range is made of, in order.
fn cover<'a, T>(
    extents: &'a [T],
    bytes: impl Fn(&T) -> &Range<u64>,
    range: &Range<u64>,
) -> Option<Vec<&'a T>> {
    let mut at = range.start;
    let mut covering = Vec::new();
    while at < range.end {
        let longest = extents
            .iter()
            .filter(|extent| bytes(extent).contains(&at))
            .max_by_key(|extent| bytes(extent).end)?;
        covering.push(longest);
        at = bytes(longest).end;
    }
    Some(covering)
}

/// A body of which parts are there.
struct Assembled {
    length: u64,
    extents: Vec<(Range<u64>, BodySource)>,
}

impl fmt::Debug for Assembled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents = self.extents.iter().map(|(extent, _)| extent);
        f.debug_list().entries(extents).finish()
    }
}

impl ReadBody for Assembled {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> StoredBody {
        let covering = cover(&self.extents, |(extent, _)| extent, &range).unwrap_or_default();
        let mut at = range.start;
        let mut pieces = std::collections::VecDeque::with_capacity(covering.len());
        for (extent, body) in covering {
            let end = extent.end.min(range.end);
            pieces.push_back(body.read(at - extent.start..end - extent.start));
            at = end;
        }
        // What isn't there ends with an error, never as if it were.
        StoredBody::joined(pieces, range.end.saturating_sub(range.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Chunks, ResponseBody};
    use bytes::Bytes;
    use http::HeaderMap;
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    fn partial(length: u64) -> Partial {
        Partial {
            version: Version::random(),
            head: Head::sample(HeaderMap::new()),
            length,
            extents: Vec::new(),
        }
    }

    fn extent(id: u64, bytes: Range<u64>) -> Extent {
        Extent { id, bytes }
    }

    #[test]
    fn extents_are_bounded_and_those_within_a_new_one_go() {
        let mut parts = partial(10_000);
        for at in 0..MAX_EXTENTS as u64 + 2 {
            let (with, gone) = parts.with(extent(at, 10 * at..10 * at + 5));
            let dropped = at.checked_sub(MAX_EXTENTS as u64);
            assert_eq!(gone, Vec::from_iter(dropped));
            parts = with;
        }
        assert_eq!(parts.extents.len(), MAX_EXTENTS);
        let (with, gone) = parts.with(extent(100, 100..130));
        assert_eq!(gone, [10, 11, 12]);
        assert_eq!(with.extents.len(), MAX_EXTENTS - 2);
        let newest = with.extents.last().unwrap();
        let covering = with.covering(std::slice::from_ref(&newest.bytes));
        assert_eq!(covering.as_deref(), Some(std::slice::from_ref(newest)));
    }

    #[test]
    fn what_an_older_extent_holds_is_not_added() {
        let (one, _) = partial(100).with(extent(1, 10..30));
        for within in [10..30, 10..20, 20..30, 15..16] {
            let (with, gone) = one.with(extent(2, within));
            assert_eq!((with.extents, gone), (one.extents.clone(), vec![2]));
        }
        let (two, gone) = one.with(extent(2, 10..31));
        assert_eq!((two.extents, gone), (vec![extent(2, 10..31)], vec![1]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_is_covered_is_read_and_nothing_else(
            extents in prop::collection::vec((0_u64..60, 1_u64..20), 0..8),
            range in (0_u64..60, 1_u64..60),
        ) {
            let whole: Vec<u8> = (0..80).collect();
            let slice = |range: &Range<u64>| {
                Bytes::copy_from_slice(&whole[range.start as usize..range.end as usize])
            };
            let mut parts = partial(80);
            for (id, (start, length)) in extents.into_iter().enumerate() {
                parts = parts.with(extent(id as u64, start..start + length)).0;
            }
            let range = range.0..(range.0 + range.1).min(80);
            let has = |at: &u64| parts.extents.iter().any(|extent| extent.bytes.contains(at));
            let is_there = range.clone().all(|at| has(&at));
            let covering = parts.covering(std::slice::from_ref(&range));
            prop_assert_eq!(covering.is_some(), is_there);
            let object = parts.assemble(
                covering
                    .unwrap_or_default()
                    .into_iter()
                    .map(|Extent { bytes, .. }| {
                        let chunks = Chunks::new(vec![slice(&bytes)], None);
                        (bytes, BodySource::Memory(chunks))
                    })
                    .collect(),
            );
            prop_assert_eq!(object.body().length(), 80);
            let body: ResponseBody<http_body_util::Empty<Bytes>> =
                ResponseBody::stored(object.body().read(range.clone()));
            match tokio_test::block_on(body.collect()) {
                Ok(read) => {
                    prop_assert!(is_there);
                    prop_assert_eq!(read.to_bytes(), slice(&range));
                }
                Err(_) => prop_assert!(!is_there),
            }
        }
    }
}
