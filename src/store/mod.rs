//! Where responses are kept.
//!
//! A [`Store`] maps a [`CacheKey`] and a [`Part`] to a [`Record`]. It owns the bytes: a fill goes through
//! its [`StoreWriter`], which readers may follow while it writes, and becomes visible at a clean end only.
//! [`MemoryStore`] keeps all in memory, under a hard cap in bytes. [`DynStore`] chooses a store at run time.
//!
//! An error in a store is a miss and an event for `tracing`, never a failed request.

mod admission;
mod dynamic;
mod heads;
mod ledger;
mod memory;
mod names;
mod packed;
mod partial;
mod record;
mod wire;

pub use crate::epoch::Epoch;
pub use dynamic::DynStore;
pub use memory::{MemoryStore, MemoryStoreBuilder, MemoryWriter, Usage};
pub(crate) use partial::MAX_EXTENTS;
pub use partial::{Extent, Partial};
pub use record::{BodySource, Head, Object, ReadBody, Record, Variant, Variants, Version};
pub use wire::RecordError;

use crate::{
    body::OpenBody,
    error::{BodyError, BoxError},
    fill::Window,
    key::CacheKey,
};
use bytes::Bytes;
use http::HeaderMap;
use std::{
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

/// Which record of a key is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// What a look-up of the key finds first: the response, or the list of its variants.
    Index,
    /// One variant, named by the index.
    Variant(u64),
    /// Some bytes of a response that isn't there as a whole, named by a [`Partial`].
    Extent(u64),
}

/// Which record a [`swap`](Store::swap) expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there, or nothing.
    Anything,
    /// Nothing.
    Nothing,
    /// The record of this version.
    Version(Version),
}

impl Expected {
    /// What was found, and nothing else.
    pub(crate) fn just(found: Option<&Record>) -> Self {
        found.map_or(Self::Nothing, |record| Self::Version(record.version()))
    }
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
pub struct StoreError(#[source] BoxError);

impl StoreError {
    /// From whatever went wrong.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

/// Why a store doesn't take a body. The request is served all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteRefused {
    /// The body, by the length that its head announces, is larger than the store takes.
    TooLarge,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is kept.
    Kept,
    /// It was passed on to those who read; the body will not be stored.
    Passed,
    /// It was passed to nobody, for nobody reads: go no further.
    Gone,
}

/// Keeps records.
///
/// Clones share what is kept. All methods may be called from any thread.
pub trait Store: Clone + Send + Sync + 'static {
    /// Whether records outlive the process: their keys then need a namespace with a name
    /// ([`Namespace::named`](crate::key::Namespace::named)).
    const PERSISTS: bool;

    /// A look-up. It borrows neither the store nor the key, so that the cache's future can be named; `Unpin`, so that it
    /// is polled in place.
    type Get: Future<Output = Result<Option<Record>, StoreError>> + Send + Unpin + 'static;
    /// What a swap waits for.
    type Swap: Future<Output = Result<bool, StoreError>> + Send + 'static;
    /// What a fill goes through.
    type Writer: StoreWriter;

    /// The largest body that is stored, in bytes, where that is known. By default it isn't.
    fn max_object(&self) -> Option<u64> {
        None
    }

    /// Finds a record.
    fn get(&self, key: &CacheKey, part: Part) -> Self::Get;

    /// Finds a record for the cache's own book-keeping: not counted as a look-up, where the store counts them.
    fn peek(&self, key: &CacheKey, part: Part) -> Self::Get {
        self.get(key, part)
    }

    /// Begins to store an object. Dropping the writer before its commit leaves what was there.
    ///
    /// # Errors
    ///
    /// When the store can know at the head that it won't take it.
    fn writer(
        &self,
        key: &CacheKey,
        part: Part,
        head: Head,
        window: Window,
    ) -> Result<Self::Writer, WriteRefused>;

    /// Replaces a record (or removes it, with `None`), if what is there is what was expected.
    /// `false` when it isn't. An object is given with the body that the store holds already: only its head changes.
    fn swap(
        &self,
        key: &CacheKey,
        part: Part,
        expected: Expected,
        record: Option<Record>,
    ) -> Self::Swap;
}

/// Takes a body as it comes.
pub trait StoreWriter: Send + Unpin + 'static {
    /// What opens readers of what has been written, and waits with them for more; `None` for a store that can't
    /// read what isn't finished.
    fn opener(&self) -> Option<Arc<dyn OpenBody>>;

    /// Takes a chunk. Pending while the window is full; a chunk that was not taken is offered again.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Bytes,
    ) -> Poll<Result<Written, StoreError>>;

    /// The clean end: makes the object visible, and gives it. `None` when it was not kept.
    fn poll_commit(
        &mut self,
        cx: &mut Context<'_>,
        trailers: Option<&HeaderMap>,
    ) -> Poll<Result<Option<Object>, StoreError>>;

    /// The clean end of what isn't to be kept after all: readers see the end, nothing is stored, and what was there stays.
    fn discard(&mut self, trailers: Option<&HeaderMap>);

    /// The end before time: readers get `error`, nothing is stored.
    fn fail(&mut self, error: BodyError);

    /// Whether what is written is kept so far: where it isn't, the response isn't being stored.
    fn keeps(&self) -> bool;

    /// Whether someone reads.
    fn has_readers(&self) -> bool;

    /// Ready once what is written is only passed on, and nobody reads it any more.
    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index => f.write_str("index"),
            Self::Variant(id) => write!(f, "variant {id:016x}"),
            Self::Extent(id) => write!(f, "extent {id:016x}"),
        }
    }
}
