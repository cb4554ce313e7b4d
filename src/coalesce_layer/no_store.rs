//! A store that keeps nothing.

use crate::{
    body::OpenBody,
    error::BodyError,
    fill::Window,
    key::CacheKey,
    store::{
        Expected, Head, Object, Part, Record, Store, StoreError, StoreWriter, WriteRefused, Written,
    },
};
use bytes::Bytes;
use http::HeaderMap;
use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

#[derive(Clone, Copy, Debug)]
pub(super) struct NoStore;

/// There is none.
#[derive(Debug)]
pub(super) enum NoWriter {}

impl Store for NoStore {
    const PERSISTS: bool = false;
    type Get = Ready<Result<Option<Record>, StoreError>>;
    type Swap = Ready<Result<bool, StoreError>>;
    type Writer = NoWriter;

    fn get(&self, _key: &CacheKey, _part: Part) -> Self::Get {
        ready(Ok(None))
    }

    fn writer(
        &self,
        _key: &CacheKey,
        _part: Part,
        _head: Head,
        _window: Window,
    ) -> Result<NoWriter, WriteRefused> {
        Err(WriteRefused::TooLarge)
    }

    fn swap(
        &self,
        _key: &CacheKey,
        _part: Part,
        _expected: Expected,
        _record: Option<Record>,
    ) -> Self::Swap {
        ready(Ok(false))
    }
}

impl StoreWriter for NoWriter {
    fn opener(&self) -> Option<Arc<dyn OpenBody>> {
        match *self {}
    }

    fn poll_write(
        &mut self,
        _cx: &mut Context<'_>,
        _chunk: &Bytes,
    ) -> Poll<Result<Written, StoreError>> {
        match *self {}
    }

    fn poll_commit(
        &mut self,
        _cx: &mut Context<'_>,
        _trailers: Option<&HeaderMap>,
    ) -> Poll<Result<Option<Object>, StoreError>> {
        match *self {}
    }

    fn discard(&mut self, _trailers: Option<&HeaderMap>) {
        match *self {}
    }

    fn fail(&mut self, _error: BodyError) {
        match *self {}
    }

    fn keeps(&self) -> bool {
        match *self {}
    }

    fn has_readers(&self) -> bool {
        match *self {}
    }

    fn poll_abandoned(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        match *self {}
    }
}
