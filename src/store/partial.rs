//! Parts of a response: what a range request brought, kept until the whole comes.

use super::{BodySource, Head, Object, ReadBody, Version};
use crate::body::StoredBody;
use std::{fmt, ops::Range, sync::Arc};

/// How many extents of one response are kept; the oldest go.
pub(crate) const MAX_EXTENTS: usize = 64;

/// Parts of one version of a response. Each extent is a record of its own, under
/// [`Part::Extent`](super::Part::Extent): one that is missing there was evicted.
#[derive(Clone, Debug)]
pub struct Partial {
    /// The version of the commit that wrote this.
    pub version: Version,
    /// The head of the whole, as a 200 would have it.
    pub head: Head,
    /// How many bytes the whole has.
    pub length: u64,
    /// Names the extents: they are of one version of the response, and of no other.
    pub id: u64,
    /// Which bytes are there, the oldest extent first. They may overlap.
    pub extents: Vec<Range<u64>>,
}

impl Partial {
    /// The extents that these ranges are made of; `None` where bytes are missing.
    #[must_use]
    pub fn covering(&self, ranges: &[Range<u64>]) -> Option<Vec<Range<u64>>> {
        let mut needed: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            for extent in cover(&self.extents, range)? {
                if !needed.contains(&extent) {
                    needed.push(extent);
                }
            }
        }
        Some(needed)
    }

    /// This with another extent, and with the head that came with it. Gives the beginnings of those that had to go.
    #[must_use]
    pub fn with(&self, head: Head, extent: Range<u64>) -> (Self, Vec<u64>) {
        let within = |old: &Range<u64>| extent.start <= old.start && old.end <= extent.end;
        let (within, mut extents): (Vec<_>, Vec<_>) =
            self.extents.iter().cloned().partition(within);
        extents.retain(|old| old.start != extent.start);
        let over = (extents.len() + 1).saturating_sub(MAX_EXTENTS);
        let over: Vec<_> = extents.drain(..over).collect();
        let gone = within.into_iter().chain(over).map(|old| old.start);
        let gone = gone.filter(|start| *start != extent.start).collect();
        extents.push(extent);
        let with = Self {
            version: Version::random(),
            head,
            length: self.length,
            id: self.id,
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
fn cover(extents: &[Range<u64>], range: &Range<u64>) -> Option<Vec<Range<u64>>> {
    let mut at = range.start;
    let mut covering = Vec::new();
    while at < range.end {
        let longest = extents
            .iter()
            .filter(|extent| extent.contains(&at))
            .max_by_key(|extent| extent.end)?;
        covering.push(longest.clone());
        at = longest.end;
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
        let extents: Vec<_> = self
            .extents
            .iter()
            .map(|(extent, _)| extent.clone())
            .collect();
        let covering = cover(&extents, &range).unwrap_or_default();
        let mut at = range.start;
        let mut pieces = std::collections::VecDeque::with_capacity(covering.len());
        for extent in covering {
            let found = self.extents.iter().find(|(known, _)| *known == extent);
            let Some((_, body)) = found else { break };
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
    use crate::{
        body::{Chunks, ResponseBody},
        epoch::Epoch,
        freshness::Freshness,
    };
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    fn head() -> Head {
        Head {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            freshness: Freshness {
                received_at: 0,
                initial_age: 0,
                fresh_until: 1000,
                always_validate: false,
                never_stale: false,
                immutable: false,
                stale_while_revalidate: 0,
                stale_if_error: 0,
            },
            epoch: Epoch {
                sequence: 1,
                number: 1,
            },
            address: "a/b".into(),
            tags: "".into(),
            upstream_status: None,
        }
    }

    fn partial(length: u64) -> Partial {
        Partial {
            version: Version::random(),
            head: head(),
            length,
            id: 7,
            extents: Vec::new(),
        }
    }

    #[test]
    fn extents_are_bounded_and_those_within_a_new_one_go() {
        let mut parts = partial(10_000);
        for at in 0..MAX_EXTENTS as u64 + 2 {
            let (with, gone) = parts.with(head(), 10 * at..10 * at + 5);
            let dropped = at.checked_sub(MAX_EXTENTS as u64).map(|at| 10 * at);
            assert_eq!(gone, Vec::from_iter(dropped));
            parts = with;
        }
        assert_eq!(parts.extents.len(), MAX_EXTENTS);
        let (with, gone) = parts.with(head(), 100..130);
        assert_eq!(gone, [110, 120], "100 is written anew");
        assert_eq!(with.extents.len(), MAX_EXTENTS - 2);
        let wanted = std::slice::from_ref(&with.extents[with.extents.len() - 1]);
        assert_eq!(with.covering(wanted).as_deref(), Some(wanted));
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
            for (start, length) in extents {
                parts = parts.with(head(), start..start + length).0;
            }
            let range = range.0..(range.0 + range.1).min(80);
            let has = |at: &u64| parts.extents.iter().any(|extent| extent.contains(at));
            let is_there = range.clone().all(|at| has(&at));
            let covering = parts.covering(std::slice::from_ref(&range));
            prop_assert_eq!(covering.is_some(), is_there);
            let object = parts.assemble(
                covering
                    .unwrap_or_default()
                    .into_iter()
                    .map(|extent| {
                        let chunks = Chunks::new(vec![slice(&extent)], None);
                        (extent, BodySource::Memory(chunks))
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
