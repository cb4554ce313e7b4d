//! What a range request brought, on its way into the store (RFC 9111 sections 3.3 and 3.4).

use super::{
    core::Shared,
    lookup::standing,
    storing::{Storage, Storing, list_variant_in},
};
use crate::{
    body::Tee,
    conditional::same_strong_validator,
    freshness::Refusal,
    headers::{content_length, content_range},
    invalidation::Standing,
    key::{CacheKey, ListOrder},
    status::Detail,
    store::{
        Expected, Extent, Head, MAX_EXTENTS, Part, Partial, Record, Store, StoreError, Variant,
        Version,
    },
};
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;

/// An extent that is being stored, to be listed at its end.
pub(super) struct Unlisted {
    /// What its response says it is; its body may be shorter.
    extent: Extent,
    /// The length of the whole.
    length: u64,
    /// The head of the whole.
    head: Head,
    /// Where the whole varies: the requests that it is for, under an id of its own.
    variant: Option<Variant>,
    /// The request's fields, and how they are compared: what they select may be another thing at the end.
    request: HeaderMap,
    order: ListOrder,
}

/// What is there where an extent belongs.
struct Spot {
    index: Option<Record>,
    /// Of variants, the one that the request selects.
    variant: Option<Variant>,
    /// What the request selects, whether or not the extent's response varies.
    selected: Option<Record>,
}

impl<St: Store> Storing<St> {
    /// Takes a copy of a 206 with one range that goes to its viewer inline, if it may be stored: as a 200 might. Gives its
    /// `ttl`, too.
    ///
    /// # Errors
    ///
    /// Why it isn't stored. Nothing, where it was invalidated, or the store failed.
    pub(super) async fn tee_extent(
        &self,
        response: &HeaderMap,
    ) -> Result<(Box<dyn Tee>, i64), Option<Detail>> {
        let announced = content_length(response);
        let (bytes, length) = content_range(response)
            .filter(|(bytes, _)| announced.is_none_or(|said| said <= bytes.end - bytes.start))
            .ok_or(Detail::NotStored(Refusal::Status))?;
        let mut whole = response.clone();
        whole.remove(header::CONTENT_RANGE);
        whole.insert(header::CONTENT_LENGTH, length.into());
        let accepted = self
            .judge(StatusCode::OK, &whole)
            .map_err(Detail::NotStored)?;
        self.restrict(&mut whole);
        let announced = announced.unwrap_or(bytes.end - bytes.start);
        let unlisted = Unlisted {
            extent: Extent {
                id: Version::random().id(),
                bytes,
            },
            length,
            head: self.head(StatusCode::OK, &whole, &accepted),
            variant: self.variant(&whole),
            request: self.request().clone(),
            order: self.list_order(),
        };
        let (shared, key) = (self.shared(), self.key());
        let spot = unlisted.spot(&shared.store, key).await.map_err(|error| {
            tracing::warn!(%key, error = &error as &dyn std::error::Error, "look-up failed: the part isn't stored");
            None
        })?;
        if is_gone(shared, &unlisted.head) {
            return Err(None);
        }
        if unlisted.is_outdone(shared, &spot) {
            return Err(Some(Detail::NotStored(Refusal::GoodAtHand)));
        }
        // Its own head says what it is of, and how long: the fields are in the list.
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(header::CONTENT_LENGTH, announced.into());
        let head = Head {
            status: StatusCode::PARTIAL_CONTENT,
            headers,
            ..unlisted.head.clone()
        };
        self.open_at(
            unlisted.part(),
            head,
            None,
            Some(announced),
            accepted.usable,
            Some(unlisted),
        )
        .ok()
        .and_then(Storage::into_tee)
        .map(|tee| (tee, accepted.freshness.ttl(shared.clock.now())))
        .ok_or(Some(Detail::NoRoom))
    }
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
fn is_gone<St>(shared: &Shared<St>, head: &Head) -> bool {
    let (address, tags) = (&head.address, &head.tags);
    shared.invalidations.is_gone(address, tags, head.epoch)
}

impl Unlisted {
    pub(super) fn part(&self) -> Part {
        Part::Extent(self.extent.id)
    }

    /// Looks where it belongs, as things are now.
    async fn spot<St: Store>(&self, store: &St, key: &CacheKey) -> Result<Spot, StoreError> {
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
    fn is_outdone<St>(&self, shared: &Shared<St>, spot: &Spot) -> bool {
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

/// Removes the extents that a record listed, where it was one of parts: it has been replaced.
pub(super) async fn remove_extents<St: Store>(store: &St, key: &CacheKey, listed: Option<&Record>) {
    if let Some(Record::Partial(parts)) = listed {
        for extent in &parts.extents {
            remove_extent(store, key, extent.id).await;
        }
    }
}

/// What can't be removed is never found again, and is evicted some day.
async fn remove_extent<St: Store>(store: &St, key: &CacheKey, id: u64) {
    let part = Part::Extent(id);
    let _removed = store.swap(key, part, Expected::Anything, None).await;
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
