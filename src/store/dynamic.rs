//! A store chosen at run time.

use super::{
    Expected, Head, Object, Part, Record, Store, StoreError, StoreWriter, WriteRefused, Written,
};
use crate::{body::OpenBody, error::BodyError, fill::Window, key::CacheKey};
use bytes::Bytes;
use http::HeaderMap;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Any [`Store`], behind one type: for applications that choose at run time. A look-up costs a box.
///
/// It counts as one that persists, whatever is inside, and so needs a namespace with a name.
#[derive(Clone)]
pub struct DynStore(Arc<dyn AnyStore>);

impl DynStore {
    /// Wraps a store.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for DynStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynStore").finish_non_exhaustive()
    }
}

trait AnyStore: Send + Sync {
    fn max_object(&self) -> Option<u64>;
    fn get(&self, key: &CacheKey, part: Part) -> Boxed<Option<Record>>;
    fn peek(&self, key: &CacheKey, part: Part) -> Boxed<Option<Record>>;
    fn writer(
        &self,
        key: &CacheKey,
        part: Part,
        head: Head,
        window: Window,
    ) -> Result<Box<dyn StoreWriter>, WriteRefused>;
    fn swap(
        &self,
        key: &CacheKey,
        part: Part,
        expected: Expected,
        record: Option<Record>,
    ) -> Boxed<bool>;
}

impl<S: Store> AnyStore for S {
    fn max_object(&self) -> Option<u64> {
        Store::max_object(self)
    }

    fn get(&self, key: &CacheKey, part: Part) -> Boxed<Option<Record>> {
        Box::pin(Store::get(self, key, part))
    }

    fn peek(&self, key: &CacheKey, part: Part) -> Boxed<Option<Record>> {
        Box::pin(Store::peek(self, key, part))
    }

    fn writer(
        &self,
        key: &CacheKey,
        part: Part,
        head: Head,
        window: Window,
    ) -> Result<Box<dyn StoreWriter>, WriteRefused> {
        Ok(Box::new(Store::writer(self, key, part, head, window)?))
    }

    fn swap(
        &self,
        key: &CacheKey,
        part: Part,
        expected: Expected,
        record: Option<Record>,
    ) -> Boxed<bool> {
        Box::pin(Store::swap(self, key, part, expected, record))
    }
}

impl Store for DynStore {
    const PERSISTS: bool = true;

    type Get = Boxed<Option<Record>>;
    type Swap = Boxed<bool>;
    type Writer = Box<dyn StoreWriter>;

    fn max_object(&self) -> Option<u64> {
        self.0.max_object()
    }

    fn get(&self, key: &CacheKey, part: Part) -> Self::Get {
        self.0.get(key, part)
    }

    fn peek(&self, key: &CacheKey, part: Part) -> Self::Get {
        self.0.peek(key, part)
    }

    fn writer(
        &self,
        key: &CacheKey,
        part: Part,
        head: Head,
        window: Window,
    ) -> Result<Self::Writer, WriteRefused> {
        self.0.writer(key, part, head, window)
    }

    fn swap(
        &self,
        key: &CacheKey,
        part: Part,
        expected: Expected,
        record: Option<Record>,
    ) -> Self::Swap {
        self.0.swap(key, part, expected, record)
    }
}

impl StoreWriter for Box<dyn StoreWriter> {
    fn opener(&self) -> Option<Arc<dyn OpenBody>> {
        (**self).opener()
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Bytes,
    ) -> Poll<Result<Written, StoreError>> {
        (**self).poll_write(cx, chunk)
    }

    fn poll_commit(
        &mut self,
        cx: &mut Context<'_>,
        trailers: Option<&HeaderMap>,
    ) -> Poll<Result<Option<Object>, StoreError>> {
        (**self).poll_commit(cx, trailers)
    }

    fn discard(&mut self, trailers: Option<&HeaderMap>) {
        (**self).discard(trailers);
    }

    fn fail(&mut self, error: BodyError) {
        (**self).fail(error);
    }

    fn keeps(&self) -> bool {
        (**self).keeps()
    }

    fn has_readers(&self) -> bool {
        (**self).has_readers()
    }

    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_abandoned(cx)
    }
}
