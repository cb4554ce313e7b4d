//! What runs.

use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};

#[cfg(feature = "origin")]
pub(crate) use std::sync::atomic::AtomicU32;

pub(crate) use dashmap::{DashMap as Map, mapref::entry::Entry};
pub(crate) use parking_lot::RwLock;
pub(crate) use std::sync::atomic::AtomicU64;

/// A mutex that a panic doesn't poison: what it guards is consistent whenever it is released.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(StdMutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(StdMutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
