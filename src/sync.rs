//! The one lock that flights and fills share between threads, so that loom can model it.

#[cfg(not(all(test, frontage_loom)))]
mod imp {
    use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};

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
    }

    pub(crate) use std::sync::Arc;
}

#[cfg(all(test, frontage_loom))]
mod imp {
    use loom::sync::{Mutex as LoomMutex, MutexGuard};

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(LoomMutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(LoomMutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    pub(crate) use std::sync::Arc;
}

pub(crate) use imp::{Arc, Mutex};
