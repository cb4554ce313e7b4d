//! The layer: a cache's layer, and how large blocks are.

use super::Blocks;
use crate::{
    cache::CacheLayer,
    error::ConfigError,
    store::{MemoryStore, Store},
};
use std::{fmt, num::NonZeroU64};
use tower_layer::Layer;

const DEFAULT: NonZeroU64 = NonZeroU64::MIN.saturating_add((1 << 20) - 1);
const SMALLEST: NonZeroU64 = NonZeroU64::MIN.saturating_add((4 << 10) - 1);

/// Caches what is large in blocks: a [`CacheLayer`], and how large a block is.
///
/// It is cheap to clone and to apply; clones share everything. The service below it takes [`OptionalBody`](crate::OptionalBody)s, as
/// `OriginService` does. See the [module](crate::blocks) for what it does.
///
/// ```
/// use frontage::{BlockLayer, CacheLayer, MemoryStore};
///
/// let videos = BlockLayer::new(CacheLayer::new(MemoryStore::new(1 << 30))).block_size(4 << 20)?;
/// assert!(videos.block_size(1000).is_err());
/// # Ok::<(), frontage::ConfigError>(())
/// ```
pub struct BlockLayer<St = MemoryStore> {
    cache: CacheLayer<St>,
    size: NonZeroU64,
}

impl<St> Clone for BlockLayer<St> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            size: self.size,
        }
    }
}

impl<St> fmt::Debug for BlockLayer<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockLayer")
            .field("cache", &self.cache)
            .field("block_size", &self.size)
            .finish()
    }
}

impl<St: Store> BlockLayer<St> {
    /// Blocks of 1 MiB; or of as much as the store takes, where that is less.
    #[must_use]
    pub fn new(cache: CacheLayer<St>) -> Self {
        let most = cache.core().store().max_object().unwrap_or(u64::MAX);
        let size = NonZeroU64::new(most).map_or(SMALLEST, |most| most.clamp(SMALLEST, DEFAULT));
        Self { cache, size }
    }

    /// How large a block is, in bytes. Default: 1 MiB.
    ///
    /// A range costs the blocks that it touches, a block costs one request to the origin. One block is asked for ahead, so a cold reader
    /// gets about one block, and at most two, in the time that the origin takes to answer: with blocks of 1 MiB and 200 ms, 5 MiB in a second.
    /// Larger blocks read faster, smaller ones waste less where ranges are short. Blocks of one size are of no use to a layer with another
    /// over the same core.
    ///
    /// # Errors
    ///
    /// When it is less than 4 KiB, or more than the store takes as one body ([`Store::max_object`]).
    pub fn block_size(mut self, bytes: u64) -> Result<Self, ConfigError> {
        const SETTING: &str = "block_size";
        let size = NonZeroU64::new(bytes)
            .filter(|size| *size >= SMALLEST)
            .ok_or_else(|| ConfigError::new(SETTING, bytes, "at least 4096 bytes"))?;
        if let Some(most) = self.cache.core().store().max_object()
            && bytes > most
        {
            let expected = format!("at most {most} bytes, the largest body that the store takes");
            return Err(ConfigError::new(SETTING, bytes, expected));
        }
        self.size = size;
        Ok(self)
    }
}

impl<S, St> Layer<S> for BlockLayer<St> {
    type Service = Blocks<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        Blocks::new(
            self.cache.layer(inner),
            self.cache.core().clone(),
            self.size,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_no_larger_than_what_the_store_takes() {
        let layer = |store| BlockLayer::new(CacheLayer::new(store));
        let large = layer(MemoryStore::new(1 << 30));
        assert_eq!(large.size.get(), 1 << 20);
        assert!(large.clone().block_size(64 << 20).is_ok());
        for size in [0, 1, 4095, (64 << 20) + 1, u64::MAX] {
            let error = large.clone().block_size(size).unwrap_err();
            assert_eq!(error.setting(), "block_size", "{size}");
        }
        let named = |error: ConfigError, bytes: &str| {
            assert!(error.to_string().contains(bytes), "{error}");
        };
        named(large.clone().block_size(4095).unwrap_err(), "4096 bytes");
        let small = layer(MemoryStore::new(4 << 20));
        named(
            small.clone().block_size(1 << 20).unwrap_err(),
            "524288 bytes",
        );
        assert!(small.block_size(512 << 10).is_ok());
        assert_eq!(layer(MemoryStore::new(4 << 20)).size.get(), 512 << 10);
        assert_eq!(layer(MemoryStore::new(1 << 10)).size.get(), 4 << 10);
    }
}
