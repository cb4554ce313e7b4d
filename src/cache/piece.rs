//! Requests for one block of their target: what their key is, and what goes to the inner service.
//!
//! The key says which block it is, so that to the rest of the flow a block is a thing like any other: looked up, judged,
//! collapsed, confirmed, evicted and invalidated by what is there for this key.

use crate::{
    key::CacheKey,
    range::{Block, Piece},
};
use http::{Extensions, HeaderMap, header};
use sha2::{Digest, Sha256};
use std::{fmt::Write, num::NonZeroU64};

/// Asks the cache for a block: an extension of a request, which goes no further than that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedFor(pub(crate) Block);

impl AskedFor {
    /// Takes it out of a request, whose key becomes the block's.
    #[inline]
    pub(super) fn take(extensions: &mut Extensions, key: &mut CacheKey) {
        if !extensions.is_empty()
            && let Some(Self(block)) = extensions.remove()
        {
            *key = key_of(block.into(), key);
        }
    }
}

/// The key of a piece of what another names.
pub(crate) fn key_of(piece: Piece, whole: &CacheKey) -> CacheKey {
    match piece {
        Piece::Block(block) => whole.of_block(block.size().get(), block.number()),
        Piece::Last(count) => whole.of_block(0, count.get()),
    }
}

/// The piece that a key names.
pub(super) fn piece_of(key: &CacheKey) -> Option<Piece> {
    let (size, number) = key.block()?;
    match NonZeroU64::new(size) {
        Some(size) => Some(Block::new(size, number).into()),
        None => NonZeroU64::new(number).map(Piece::Last),
    }
}

/// Asks the inner service for the block that a key names, and nothing else.
pub(super) fn ask_for_block(key: &CacheKey, request: &mut HeaderMap) {
    if let Some(piece) = piece_of(key) {
        request.insert(header::RANGE, piece.range_header());
    }
}

/// The tag that all blocks of a key have, and nothing else: no tag of a response has a space.
pub(super) fn tag_of_blocks(key: &CacheKey) -> Option<String> {
    key.block()?;
    Some(tag_of(&key.without_block()?))
}

/// The same in every process, as the key is.
pub(super) fn tag_of(whole: &CacheKey) -> String {
    let mut tag = String::from(" blocks ");
    let digest = Sha256::digest(whole.as_bytes());
    for byte in digest.iter().take(16) {
        let _infallible = write!(tag, "{byte:02x}");
    }
    tag
}
