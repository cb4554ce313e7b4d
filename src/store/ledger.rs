//! Counts every byte that a store is answerable for.

use crate::sync::{Arc, AtomicU64, Ordering};
use bytes::Bytes;
use std::fmt;

/// A cap and what is used of it. Never more is used than the cap.
pub(crate) struct Ledger {
    cap: u64,
    used: AtomicU64,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.used(), self.cap)
    }
}

impl Ledger {
    pub(crate) fn new(cap: u64) -> Arc<Self> {
        Arc::new(Self {
            cap,
            used: AtomicU64::new(0),
        })
    }

    pub(crate) fn cap(&self) -> u64 {
        self.cap
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Charges `bytes`, if there is room.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.cap)
            })
            .ok()?;
        Some(Charge {
            ledger: self.clone(),
            bytes,
        })
    }

    /// How many bytes are missing for `bytes` more.
    pub(crate) fn missing(&self, bytes: u64) -> u64 {
        self.used().saturating_add(bytes).saturating_sub(self.cap)
    }
}

/// Bytes that are charged, until this is dropped.
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Charge({} bytes)", self.bytes)
    }
}

impl Charge {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// This and another as one.
    pub(crate) fn and(mut self, mut other: Self) -> Self {
        self.bytes += std::mem::take(&mut other.bytes);
        self
    }

    /// A copy of `chunk` of its exact size.
    pub(crate) fn copy(self, chunk: &[u8]) -> Bytes {
        self.hold(chunk.into())
    }

    /// These bytes, charged until their last holder drops them: a viewer that still sends an evicted body counts.
    pub(crate) fn hold(self, bytes: Box<[u8]>) -> Bytes {
        struct Charged {
            bytes: Box<[u8]>,
            _charge: Charge,
        }
        impl AsRef<[u8]> for Charged {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        Bytes::from_owner(Charged {
            bytes,
            _charge: self,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(all(test, frontage_loom))]
#[path = "ledger_loom_tests.rs"]
mod loom_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_held_until_the_last_holder_drops() {
        let ledger = Ledger::new(100);
        let bytes = ledger.reserve(60).unwrap().copy(&[7; 50]);
        assert!(ledger.reserve(41).is_none());
        assert_eq!((ledger.used(), ledger.missing(41)), (60, 1));
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(ledger.used(), 60);
        drop(slice);
        assert_eq!(ledger.used(), 0);
        assert!(ledger.reserve(u64::MAX).is_none());
    }
}
