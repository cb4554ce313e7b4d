//! What loom models in its place.

use loom::sync::{
    Mutex as LoomMutex, MutexGuard, RwLock as LoomRwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash},
    ops::{Deref, DerefMut},
};

#[cfg(feature = "origin")]
pub(crate) use loom::sync::atomic::AtomicU32;

pub(crate) use loom::sync::atomic::AtomicU64;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(LoomMutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(LoomMutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap()
    }
}

#[derive(Debug)]
pub(crate) struct RwLock<T>(LoomRwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(LoomRwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap()
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap()
    }
}

/// A `DashMap` of one shard: it is locked as long as there is a reference into it.
pub(crate) struct Map<K, V, S>(Mutex<HashMap<K, V, S>>);

impl<K: Eq + Hash, V, S: BuildHasher> Map<K, V, S> {
    pub(crate) fn with_hasher(hasher: S) -> Self {
        Self(Mutex::new(HashMap::with_hasher(hasher)))
    }

    pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V, S> {
        let table = self.0.lock();
        let is_there = table.contains_key(&key);
        let place = Place { table, key };
        match is_there {
            true => Entry::Occupied(place),
            false => Entry::Vacant(place),
        }
    }

    pub(crate) fn get<'a>(&'a self, key: &'a K) -> Option<Place<'a, K, V, S, &'a K>> {
        let table = self.0.lock();
        table.contains_key(key).then_some(Place { table, key })
    }

    pub(crate) fn get_mut<'a>(&'a self, key: &'a K) -> Option<Place<'a, K, V, S, &'a K>> {
        self.get(key)
    }

    pub(crate) fn remove_if(&self, key: &K, condition: impl FnOnce(&K, &V) -> bool) {
        let mut table = self.0.lock();
        if table.get(key).is_some_and(|value| condition(key, value)) {
            table.remove(key);
        }
    }
}

pub(crate) enum Entry<'a, K, V, S> {
    Occupied(Place<'a, K, V, S, K>),
    Vacant(Place<'a, K, V, S, K>),
}

impl<K: Eq + Hash, V, S: BuildHasher> Entry<'_, K, V, S> {
    pub(crate) fn insert(self, value: V) {
        let (Self::Occupied(place) | Self::Vacant(place)) = self;
        place.insert(value);
    }
}

/// The place of a key in a locked table.
pub(crate) struct Place<'a, K, V, S, B> {
    table: MutexGuard<'a, HashMap<K, V, S>>,
    key: B,
}

impl<K: Eq + Hash, V, S: BuildHasher> Place<'_, K, V, S, K> {
    pub(crate) fn get(&self) -> &V {
        self
    }

    pub(crate) fn insert(mut self, value: V) {
        self.table.insert(self.key, value);
    }
}

/// Of one that is occupied.
impl<K: Eq + Hash, V, S: BuildHasher, B: Borrow<K>> Deref for Place<'_, K, V, S, B> {
    type Target = V;

    fn deref(&self) -> &V {
        self.table.get(self.key.borrow()).unwrap()
    }
}

impl<K: Eq + Hash, V, S: BuildHasher, B: Borrow<K>> DerefMut for Place<'_, K, V, S, B> {
    fn deref_mut(&mut self) -> &mut V {
        self.table.get_mut(self.key.borrow()).unwrap()
    }
}
