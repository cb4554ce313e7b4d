//! An extent of a response, from its storing to its place in the list of those that are kept.

use super::{
    core::Shared,
    index::{list_variant_in, remove_extent},
    lookup::standing,
};
use crate::{
    conditional::same_strong_validator,
    invalidation::Standing,
    key::{CacheKey, ListOrder},
    store::{
        Expected, Extent, Head, MAX_EXTENTS, Part, Partial, Record, Store, StoreError, Variant,
        Version,
    },
};
use http::HeaderMap;
use std::sync::Arc;

/// An extent that is being stored, to be listed at its end.
pub(super) struct Unlisted {
    /// What its response says it is; its body may be shorter.
    pub(super) extent: Extent,
    /// The length of the whole.
    pub(super) length: u64,
    /// The head of the whole.
    pub(super) head: Head,
    /// Where the whole varies: the requests that it is for, under an id of its own.
    pub(super) variant: Option<Variant>,
    /// The request's fields, and how they are compared: what they select may be another thing at the end.
    pub(super) request: HeaderMap,
    pub(super) order: ListOrder,
}

/// What is there where an extent belongs.
pub(super) struct Spot {
    index: Option<Record>,
    /// Of variants, the one that the request selects.
    variant: Option<Variant>,
    /// What the request selects, whether or not the extent's response varies.
    selected: Option<Record>,
}

/// Whether what is there isn't to give way to a part: it is fresh, or of its version, and not gone.
fn stands<St>(shared: &Shared<St>, there: &Head, standing: Standing, part: &Head) -> bool {
    let is_fresh = standing == Standing::Current && there.freshness.is_fresh(shared.clock.now());
    let is_of_its_version = same_strong_validator(&there.headers, &part.headers);
    standing != Standing::Gone && (is_fresh || is_of_its_version)
}

/// Parts have no stamp: whether they have been invalidated is looked up each time.
fn standing_of<St>(shared: &Shared<St>, head: &Head) -> Standing {
    let (address, tags) = (&head.address, &head.tags);
    shared.invalidations.check(address, tags, head.epoch, 0).0
}

/// What was invalidated stays gone, whatever its validator says.
pub(super) fn is_gone<St>(shared: &Shared<St>, head: &Head) -> bool {
    let (address, tags) = (&head.address, &head.tags);
    shared.invalidations.is_gone(address, tags, head.epoch)
}

impl Unlisted {
    pub(super) fn part(&self) -> Part {
        Part::Extent(self.extent.id)
    }

    /// Looks where it belongs, as things are now.
    pub(super) async fn spot<St: Store>(
        &self,
        store: &St,
        key: &CacheKey,
    ) -> Result<Spot, StoreError> {
        let index = store.peek(key, Part::Index).await?;
        let (variant, selected) = match &index {
            Some(Record::Variants(variants)) => match variants.select(&self.request, self.order) {
                Some(one) => {
                    let selected = store.peek(key, Part::Variant(one.id)).await?;
                    (Some(one.clone()), selected)
                }
                None => (None, None),
            },
            index => (None, index.clone()),
        };
        Ok(Spot {
            index,
            variant,
            selected,
        })
    }

    /// Whether it is of no use: what is there isn't to give way to it.
    pub(super) fn is_outdone<St>(&self, shared: &Shared<St>, spot: &Spot) -> bool {
        match &spot.selected {
            Some(Record::Object(whole)) => {
                stands(shared, whole.head(), standing(shared, whole), &self.head)
            }
            // Slower than parts of a later version.
            Some(Record::Partial(parts)) => {
                !self.is_of(parts)
                    && self.is_before(shared, parts)
                    && stands(
                        shared,
                        &parts.head,
                        standing_of(shared, &parts.head),
                        &self.head,
                    )
            }
            _ => false,
        }
    }

    /// Whether it is of the same version of the response as these parts.
    fn is_of(&self, parts: &Partial) -> bool {
        parts.length == self.length
            && same_strong_validator(&parts.head.headers, &self.head.headers)
    }

    /// Whether its head came before theirs.
    fn is_before<St>(&self, shared: &Shared<St>, parts: &Partial) -> bool {
        let (theirs, own) = (&parts.head.freshness, &self.head.freshness);
        theirs.is_later_than(own, shared.clock.now())
    }

    /// Lists it, with so many bytes stored of it. `false` where it isn't listed, and is of no use.
    pub(super) async fn list<St: Store>(
        mut self,
        shared: &Shared<St>,
        key: &CacheKey,
        stored: u64,
    ) -> Result<bool, StoreError> {
        let end = self.extent.bytes.start.saturating_add(stored);
        if stored == 0 || end > self.extent.bytes.end {
            return Ok(false);
        }
        self.extent.bytes.end = end;
        // Each time that this fails another was listed: after so many it would have been the oldest.
        for _ in 0..MAX_EXTENTS {
            // Others may have been listed since its head came, and the whole stored.
            let spot = self.spot(&shared.store, key).await?;
            if is_gone(shared, &self.head) || self.is_outdone(shared, &spot) {
                return Ok(false);
            }
            if self.list_in(shared, key, spot).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lists it, if what is there is this. One step makes it visible: the swap of the index.
    async fn list_in<St: Store>(
        &self,
        shared: &Shared<St>,
        key: &CacheKey,
        spot: Spot,
    ) -> Result<bool, StoreError> {
        let store = &shared.store;
        let (mut head, mut variant) = (&self.head, &self.variant);
        let (mut extents, mut gone) = (Vec::new(), Vec::new());
        match &spot.selected {
            Some(Record::Partial(parts))
                if self.is_of(parts)
                    && self.variant.is_some() == spot.variant.is_some()
                    && !is_gone(shared, &parts.head) =>
            {
                for extent in &parts.extents {
                    // One that was evicted must not keep out what it held.
                    if !extent.holds(&self.extent) || is_there(store, key, extent).await? {
                        extents.push(extent.clone());
                    }
                }
                if self.is_before(shared, parts) {
                    (head, variant) = (&parts.head, &spot.variant);
                }
            }
            Some(Record::Partial(parts)) => gone.extend(parts.extents.iter().map(|old| old.id)),
            _ => {}
        }
        let old = Partial {
            version: Version::random(),
            head: head.clone(),
            length: self.length,
            extents,
        };
        let (with, without) = old.with(self.extent.clone());
        gone.extend(without);
        let record = Some(Record::Partial(Arc::new(with)));
        let listed = match (variant, &self.variant) {
            (Some(variant), Some(Variant { id, .. })) => {
                let variant = Variant {
                    id: *id,
                    ..variant.clone()
                };
                let place = Part::Variant(*id);
                let from = spot
                    .variant
                    .map_or(Part::Index, |old| Part::Variant(old.id));
                let max = shared.limits.max_variants;
                let is_placed = store.swap(key, place, Expected::Anything, record).await?;
                let listed = is_placed
                    && list_variant_in(store, key, spot.index, &variant, from, max).await?;
                let left = if listed { from } else { place };
                if left != Part::Index {
                    let _removed = store.swap(key, left, Expected::Anything, None).await;
                }
                listed
            }
            _ => {
                let expected = Expected::just(spot.index.as_ref());
                store.swap(key, Part::Index, expected, record).await?
            }
        };
        if listed {
            for id in gone {
                remove_extent(store, key, id).await;
            }
        }
        Ok(listed)
    }
}

/// Whether an extent has not been evicted.
async fn is_there<St: Store>(
    store: &St,
    key: &CacheKey,
    extent: &Extent,
) -> Result<bool, StoreError> {
    let there = store.peek(key, Part::Extent(extent.id)).await?;
    Ok(there.is_some())
}
