//! Requests for one block of their target: what the inner service's answer means, and what is remembered of it.

use super::{
    Cache, CacheCore,
    core::Shared,
    marks::UNCACHEABLE,
    piece::{piece_of, tag_of},
    respond::range_rules,
    storing::{Accepted, Storing},
};
use crate::{
    conditional::strong_validator,
    freshness::Refusal,
    headers::{RequestFacts, X_CACHE},
    key::{CacheKey, hash_of},
    range::{Piece, RangeRules, is_of_one_version, may_be_of_range},
    status::XCache,
    store::Store,
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body::Body;
use std::iter;

/// How long is remembered what the requests for an object came to, in milliseconds.
const WHOLE: u64 = 600_000;
/// How soon, in milliseconds, an object that changed may change again before it is fetched whole: parts of it would hardly
/// ever fit together.
const CHANGING: u64 = 30_000;

impl<St> Shared<St> {
    /// Remembers that what a key names can't be fetched in blocks.
    fn fetch_whole(&self, whole: &CacheKey) {
        tracing::debug!(key = %whole, "fetched whole from now on, not in blocks");
        self.whole.mark(whole, self.clock.now(), WHOLE);
    }

    /// What a key names has changed: no block of it that was asked for before now is used any more. Nothing, and `false`, where that
    /// has been noticed after the epoch `since`.
    fn changed(&self, whole: &CacheKey, since: u64) -> bool {
        let tag = tag_of(whole);
        if !self.invalidations.invalidate_tag(&tag, since) {
            return false;
        }
        tracing::debug!(key = %whole, "it changed: none of its blocks is used any more");
        let now = self.clock.now();
        if self.changing.is_marked(whole, now) {
            self.fetch_whole(whole);
        }
        self.changing.mark(whole, now, CHANGING);
        true
    }

    /// Remembers for a while that no request is to begin with the piece that a key names.
    fn not_to_begin_with(&self, piece: &CacheKey) {
        self.whole.mark(piece, self.clock.now(), UNCACHEABLE);
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

    /// What is of the whole, not of a block, is stored and told of as that. A 200 in place of a block: its origin ignores ranges;
    /// or, where it was asked for the last bytes, such ranges. And the news that there is no such thing.
    pub(super) fn came(&mut self, status: StatusCode) {
        if !may_be_of_range(status)
            && let Some(whole) = self.key().without_block()
        {
            let shared = self.shared();
            match piece_of(self.key()) {
                _ if status != StatusCode::OK => {}
                Some(Piece::Last(_)) => shared.not_to_begin_with(self.key()),
                _ => {
                    shared.rangeless.mark(&whole, shared.clock.now(), WHOLE);
                    shared.fetch_whole(&whole);
                }
            }
            self.rename(whole);
        }
    }

    /// A 206 is stored in place of a block only where it is just that, of a version that can be told from others.
    pub(super) fn as_block(
        &mut self,
        status: StatusCode,
        response: &mut HeaderMap,
        judged: Result<Accepted, Refusal>,
    ) -> Result<Accepted, Refusal> {
        let piece = match piece_of(self.key()) {
            Some(piece) if status == StatusCode::PARTIAL_CONTENT => piece,
            _ => return judged,
        };
        let accepted = judged?;
        match piece.length_of_whole(response) {
            Some(length) if is_of_one_version(response) => {
                let bytes = piece.bytes(length);
                response.insert(header::CONTENT_LENGTH, (bytes.end - bytes.start).into());
                self.is_of(response, length);
                Ok(accepted)
            }
            _ => {
                self.is_not(piece);
                // What may be shared tells it to all who wait.
                Err(match accepted.usable {
                    true => Refusal::Block,
                    false => Refusal::Status,
                })
            }
        }
    }

    /// A piece of an object of this length came. Blocks of another version are forgotten here already, not by a reader who
    /// would have to be cut off: one of a cache above this one reads one block a request, and never meets two.
    fn is_of(&mut self, response: &HeaderMap, length: u64) {
        let (Some(whole), Some(validator)) =
            (self.key().without_block(), strong_validator(response))
        else {
            return;
        };
        // Each variant has a version of its own.
        if self.variant_of(response).is_some() {
            return;
        }
        let shared = self.shared();
        let (version, since) = (hash_of(&(validator, length)), self.epoch().number);
        match shared.versions.get(&whole.hash64()) {
            Some(known) if known == version => {}
            None => shared.versions.insert(whole.hash64(), version),
            // One that was asked for before the change was noticed tells nothing.
            Some(_) if !shared.changed(&whole, since) => {}
            Some(_) => {
                shared.versions.insert(whole.hash64(), version);
                // It is of the new version itself; but what else was invalidated meanwhile may well concern it.
                let begun = shared.invalidations.begin();
                if begun.epoch().number == since.saturating_add(1) {
                    self.begun = begun;
                }
            }
        }
    }

    /// What came isn't the piece that was asked for.
    fn is_not(&self, piece: Piece) {
        match (piece, self.key().without_block()) {
            (Piece::Block(_), Some(whole)) => self.shared().fetch_whole(&whole),
            _ => self.shared().not_to_begin_with(self.key()),
        }
    }

    /// Remembers that answers for the key aren't stored. Of a block that says nothing of others, which may be stored.
    pub(super) fn mark_uncacheable(&self) {
        for key in iter::once(self.key()).chain(&self.asked_under) {
            self.shared().mark_uncacheable(key);
        }
        if self.key().block().is_some() {
            self.shared().not_to_begin_with(self.key());
        }
    }

    /// Remembers that an answer may be stored, whatever credentials its request has.
    pub(super) fn is_lifted(&self) {
        let shared = self.shared();
        let whole = self.key().without_block();
        let key = whole.as_ref().unwrap_or(self.key());
        shared.lifted.mark(key, shared.clock.now(), WHOLE);
    }
}

/// For those who put blocks together.
impl<S, St: Store> Cache<S, St> {
    /// Whether a request, a `GET` or `HEAD`, may be answered from blocks.
    pub(crate) fn may_cut<B: Body>(&self, parts: &Parts, body: &B) -> bool {
        !self.settings().policy.freshness().is_disabled() && !self.passes_through(parts, body)
    }

    /// The key of what a request is for.
    pub(crate) fn key(&self, parts: &Parts) -> CacheKey {
        let key_policy = self.settings().policy.key_policy();
        key_policy.key(&self.core().shared().namespace, parts)
    }

    /// Whether a request is to have of blocks what is stored, all of it or nothing, and none asked for: where its answer may well
    /// be its own only, and where it is known that this piece can't be had, or none.
    pub(crate) fn has_stored_blocks_only(
        &self,
        request: &HeaderMap,
        whole: &CacheKey,
        piece: &CacheKey,
    ) -> bool {
        let shared = self.core().shared();
        let (policy, now) = (self.settings().policy.freshness(), shared.clock.now());
        let facts = RequestFacts::of(request);
        policy.asks_only_if_cached(&facts)
            || policy.asks_not_to_store(&facts)
            || (!policy.may_lead(&facts) && !shared.lifted.is_marked(whole, now))
            || shared.whole.is_marked(whole, now)
            || shared.whole.is_marked(piece, now)
    }

    /// Has `X-Cache` say that an answer is an error, which was none when the cache gave it.
    pub(crate) fn tell_of_error(&self, response: &mut HeaderMap) {
        let settings = self.settings();
        if settings.x_cache {
            response.insert(X_CACHE, settings.product.x_cache(XCache::Error));
        }
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
        self.shared().fetch_whole(whole);
    }

    /// Remembers for a while that what a key names can't be fetched in blocks: one of them is none.
    pub(crate) fn has_a_gap(&self, whole: &CacheKey) {
        let shared = self.shared();
        if !shared.whole.is_marked(whole, shared.clock.now()) {
            shared.not_to_begin_with(whole);
        }
    }

    /// What a key names has changed.
    pub(crate) fn changed(&self, whole: &CacheKey, since: u64) {
        self.shared().changed(whole, since);
    }
}
