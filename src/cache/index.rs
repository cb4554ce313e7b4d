//! What the records of a key list: its variants, and the extents of each.

use crate::{
    key::CacheKey,
    store::{Expected, Part, Record, Store, StoreError, Variant, Variants, Version},
};
use std::sync::Arc;

/// Puts a variant into the index, and removes those that had to make room. Others may do the same at the same time.
/// What stood at `from` doesn't stand there any longer.
pub(super) async fn list_variant<St: Store>(
    store: &St,
    key: &CacheKey,
    variant: &Variant,
    from: Part,
    limit: usize,
) {
    for _ in 0..16 {
        let found = store.peek(key, Part::Index).await.unwrap_or_default();
        match list_variant_in(store, key, found, variant, from, limit).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%key, error = &error as &dyn std::error::Error, "the store did not take a variant");
                return;
            }
        }
    }
}

/// The same, if this is what is in the index. `false` where it isn't any longer.
pub(super) async fn list_variant_in<St: Store>(
    store: &St,
    key: &CacheKey,
    found: Option<Record>,
    variant: &Variant,
    from: Part,
    limit: usize,
) -> Result<bool, StoreError> {
    let expected = Expected::just(found.as_ref());
    let mut old = match &found {
        Some(Record::Variants(variants)) => Variants::clone(variants),
        _ => Variants {
            version: Version::random(),
            list: Vec::new(),
        },
    };
    old.list.retain(|other| from != Part::Variant(other.id));
    let (variants, gone) = old.with(variant.clone(), limit);
    let record = Some(Record::Variants(Arc::new(variants)));
    let listed = store.swap(key, Part::Index, expected, record).await?;
    if listed {
        remove_extents(store, key, found.as_ref()).await;
        for id in gone {
            remove_variant(store, key, id).await;
        }
    }
    Ok(listed)
}

/// Removes what a record listed that has been replaced: nobody finds it any more.
pub(super) async fn remove_listed<St: Store>(
    store: &St,
    key: &CacheKey,
    replaced: Option<&Record>,
) {
    match replaced {
        Some(Record::Variants(variants)) => {
            for variant in &variants.list {
                remove_variant(store, key, variant.id).await;
            }
        }
        replaced => remove_extents(store, key, replaced).await,
    }
}

/// What can't be removed is never found again, and is evicted some day.
async fn remove_variant<St: Store>(store: &St, key: &CacheKey, id: u64) {
    let part = Part::Variant(id);
    let variant = store.peek(key, part).await.unwrap_or_default();
    let _removed = store.swap(key, part, Expected::Anything, None).await;
    remove_extents(store, key, variant.as_ref()).await;
}

/// Removes the extents that a record listed, where it was one of parts: it has been replaced.
async fn remove_extents<St: Store>(store: &St, key: &CacheKey, listed: Option<&Record>) {
    if let Some(Record::Partial(parts)) = listed {
        for extent in &parts.extents {
            remove_extent(store, key, extent.id).await;
        }
    }
}

/// What can't be removed is never found again, and is evicted some day.
pub(super) async fn remove_extent<St: Store>(store: &St, key: &CacheKey, id: u64) {
    let part = Part::Extent(id);
    let _removed = store.swap(key, part, Expected::Anything, None).await;
}
