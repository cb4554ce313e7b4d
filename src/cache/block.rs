//! Requests for one block of their target: what their key is, what goes to the inner service, and what its answer means.
//!
//! The key says which block it is, so that to the rest of the flow a block is a thing like any other: looked up, judged,
//! collapsed, confirmed, evicted and invalidated by what is there for this key.

use super::{
    Cache, CacheCore,
    core::Shared,
    respond::range_rules,
    storing::{Accepted, Storing},
};
use crate::{
    freshness::Refusal,
    key::CacheKey,
    range::{Block, RangeRules, is_of_one_version},
    store::Store,
};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use http_body::Body;
use sha2::{Digest, Sha256};
use std::{fmt::Write, num::NonZeroU64};

/// How long a key is remembered as one that is fetched whole, in milliseconds.
const WHOLE: u64 = 600_000;
/// How soon, in milliseconds, an object that changed may change again before it is fetched whole: parts of it would hardly
/// ever fit together.
const CHANGING: u64 = 30_000;

/// Asks the cache for a block: an extension of a request, which goes no further than that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedFor(pub(crate) Block);

impl AskedFor {
    /// Takes it out of a request, whose key becomes the block's.
    #[inline]
    pub(super) fn take(parts: &mut Parts, key: &mut CacheKey) {
        if let Some(Self(block)) = parts.extensions.remove() {
            *key = key.of_block(block.size().get(), block.number());
        }
    }
}

/// The block that a key names.
pub(super) fn block_of(key: &CacheKey) -> Option<Block> {
    let (size, number) = key.block()?;
    Some(Block::new(NonZeroU64::new(size)?, number))
}

/// Asks the inner service for the block that a key names, and nothing else.
pub(super) fn ask_for_block(key: &CacheKey, request: &mut HeaderMap) {
    if let Some(block) = block_of(key) {
        request.insert(header::RANGE, block.range_header());
    }
}

/// The tag that all blocks of a key have, and nothing else: no tag of a response has a space.
pub(super) fn tag_of_blocks(key: &CacheKey) -> Option<String> {
    key.block()?;
    Some(tag_of(&key.without_block()?))
}

/// The same in every process, as the key is.
fn tag_of(whole: &CacheKey) -> String {
    let mut tag = String::from(" blocks ");
    let digest = Sha256::digest(whole.as_bytes());
    for byte in digest.iter().take(16) {
        let _infallible = write!(tag, "{byte:02x}");
    }
    tag
}

impl<St> Shared<St> {
    /// Remembers that what a key names can't be fetched in blocks.
    fn fetch_whole(&self, whole: &CacheKey) {
        self.whole.mark(whole, self.clock.now(), WHOLE);
    }

    /// Whether the origin of what a key names is known to ignore ranges.
    pub(super) fn ignores_ranges(&self, key: &CacheKey) -> bool {
        self.rangeless.is_marked(key, self.clock.now())
    }
}

impl<St: Store> Storing<St> {
    /// The status as which an answer is judged: a block is a thing of its own.
    pub(super) fn judged_as(&self, status: StatusCode) -> StatusCode {
        match status == StatusCode::PARTIAL_CONTENT && self.key().block().is_some() {
            true => StatusCode::OK,
            false => status,
        }
    }

    /// A 200 in place of a block is the whole, and is stored and told of as that. Its origin ignores ranges.
    pub(super) fn came(&mut self, status: StatusCode) {
        if status == StatusCode::OK
            && let Some(whole) = self.key().without_block()
        {
            let shared = self.shared();
            shared.rangeless.mark(&whole, shared.clock.now(), WHOLE);
            shared.fetch_whole(&whole);
            self.rename(whole);
        }
    }

    /// A 206 is stored in place of a block only where it is just that, of a version that can be told from others.
    pub(super) fn as_block(
        &self,
        status: StatusCode,
        response: &mut HeaderMap,
        judged: Result<Accepted, Refusal>,
    ) -> Result<Accepted, Refusal> {
        let block = match block_of(self.key()) {
            Some(block) if status == StatusCode::PARTIAL_CONTENT => block,
            _ => return judged,
        };
        let accepted = judged?;
        match block.length_of_whole(response) {
            Some(length) if is_of_one_version(response) => {
                let bytes = block.bytes(length);
                response.insert(header::CONTENT_LENGTH, (bytes.end - bytes.start).into());
                Ok(accepted)
            }
            _ => {
                if let Some(whole) = self.key().without_block() {
                    self.shared().fetch_whole(&whole);
                }
                // What may be shared tells it to all who wait.
                Err(match accepted.usable {
                    true => Refusal::Block,
                    false => Refusal::Status,
                })
            }
        }
    }

    /// Remembers that answers for the key aren't stored: then there are no blocks to be kept, either.
    pub(super) fn mark_uncacheable(&self) {
        self.shared().mark_uncacheable(self.key());
        if let Some(whole) = self.key().without_block() {
            self.shared().fetch_whole(&whole);
        }
    }
}

/// For those who put blocks together.
impl<S, St: Store> Cache<S, St> {
    /// The key of what a request is for, where that may be fetched in blocks.
    pub(crate) fn key_for_blocks<B: Body>(&self, parts: &Parts, body: &B) -> Option<CacheKey> {
        let shared = self.core().shared();
        let policy = &self.settings().policy;
        let passes = parts.method != Method::GET
            || policy.freshness().is_disabled()
            || self.passes_through(parts, body);
        if passes {
            return None;
        }
        let key = policy.key_policy().key(&shared.namespace, parts);
        let is_whole = shared.whole.is_marked(&key, shared.clock.now());
        (!is_whole).then_some(key)
    }

    /// The rules for ranges.
    pub(crate) fn range_rules(&self) -> RangeRules {
        range_rules(self.settings())
    }
}

impl<St: Store> CacheCore<St> {
    /// Milliseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        self.shared().clock.now()
    }

    /// The number of the present epoch of invalidation.
    pub(crate) fn epoch(&self) -> u64 {
        self.shared().invalidations.epoch().number
    }

    /// Remembers that what a key names can't be fetched in blocks.
    pub(crate) fn can_not_be_cut(&self, whole: &CacheKey) {
        tracing::debug!(key = %whole, "fetched whole from now on, not in blocks");
        self.shared().fetch_whole(whole);
    }

    /// What a key names has changed: no block of it that was asked for before now is used any more. Nothing, where that has
    /// been noticed after the epoch `since`.
    pub(crate) fn changed(&self, whole: &CacheKey, since: u64) {
        let shared = self.shared();
        let tag = tag_of(whole);
        if !shared.invalidations.invalidate_tag(&tag, since) {
            return;
        }
        tracing::debug!(key = %whole, "it changed: none of its blocks is used any more");
        let now = shared.clock.now();
        if shared.changing.is_marked(whole, now) {
            self.can_not_be_cut(whole);
        }
        shared.changing.mark(whole, now, CHANGING);
    }
}
