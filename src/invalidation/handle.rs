//! The handle.

use super::{Invalidation, Invalidations, Issued, Subscription};
use std::{fmt, pin::pin, sync::Arc};

/// Invalidates what a core has stored, and what it is fetching. Clones are cheap, and belong to the same core.
#[derive(Clone)]
pub struct Invalidator(Arc<Invalidations>);

impl fmt::Debug for Invalidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Invalidator").field(&self.0).finish()
    }
}

impl Invalidator {
    pub(crate) fn new(invalidations: Arc<Invalidations>) -> Self {
        Self(invalidations)
    }

    /// Invalidates. When this returns it is in force, for every request that comes after. It can't be taken back.
    pub fn issue(&self, what: &Invalidation) -> Issued {
        let issued = self.0.issue(what);
        tracing::debug!(%issued, "invalidated");
        issued
    }

    /// Puts into force what another core issued, in this process or another. `false` if it was in force already: one that this
    /// core issued, or one of the last 4,096 that it applied. The order doesn't matter.
    ///
    /// It counts from now on: what this core fetched before is covered, even if the other had issued it earlier.
    pub fn apply(&self, issued: &Issued) -> bool {
        let new = self.0.apply(issued);
        tracing::debug!(%issued, new, "applied");
        new
    }

    /// Whether it is [complete](Self::completed).
    #[must_use]
    pub fn is_complete(&self, issued: &Issued) -> bool {
        self.0.is_complete(self.0.number_of(issued))
    }

    /// Waits until an invalidation is complete: all fetches of this core that began before it have ended, bodies that are being stored included,
    /// and all subscribers have acknowledged it. From then on nothing that was fetched before reaches anybody new.
    ///
    /// As long as a body that is being stored stands still, it isn't: wrap it in a time-out where the inner service has none.
    ///
    /// For one that this core neither issued nor remembers to have applied, that is: all that it was fetching just now.
    pub async fn completed(&self, issued: &Issued) {
        let number = self.0.number_of(issued);
        loop {
            let mut changed = pin!(self.0.progress.changed.notified());
            changed.as_mut().enable();
            if self.0.is_complete(number) {
                return;
            }
            changed.await;
        }
    }

    /// Receives all that this core issues and applies from now on. An invalidation isn't complete before each
    /// subscriber has acknowledged it, or is dropped.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.0.subscribe()
    }
}
