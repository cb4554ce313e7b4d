//! The state that layers share.

use super::{
    flight::{FlightKey, Outcome},
    marks::{Marks, UNCACHEABLE},
};
use crate::{
    clock::{Clock, SystemClock},
    coalesce::Coalescer,
    error::ConfigError,
    fill::Window,
    invalidation::{Invalidations, Invalidator},
    key::{CacheKey, Namespace},
    store::{MemoryStore, Store},
};
use std::{fmt, sync::Arc, time::Duration};

/// How many objects are remembered by what their requests in blocks came to. Of one that is forgotten a block is asked for once
/// more, if nothing of it is stored.
const OBJECTS: usize = 4096;

/// The state of a cache: store, namespace, flights, marks, invalidations, limits and clock.
///
/// A [`CacheLayer`](crate::CacheLayer) is a core and a policy. Several layers with different policies may share one core: what
/// one stores, another finds, if their keys agree. Clones are the same core.
///
/// ```
/// use frontage::{CacheCore, CacheLayer, CachePolicy, MemoryStore};
/// use std::time::Duration;
///
/// let core = CacheCore::builder(MemoryStore::new(64 << 20)).fetch_timeout(Duration::from_secs(20)).build()?;
/// let pages = CacheLayer::with_core(core.clone());
/// let assets = CacheLayer::with_core(core).policy(CachePolicy::caching_optimized());
/// # Ok::<(), frontage::ConfigError>(())
/// ```
pub struct CacheCore<St = MemoryStore>(Arc<Shared<St>>);

impl<St> Clone for CacheCore<St> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<St> fmt::Debug for CacheCore<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheCore")
            .field("namespace", &self.0.namespace)
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

pub(super) struct Shared<St> {
    pub(super) store: St,
    pub(super) namespace: Namespace,
    pub(super) flights: Arc<Coalescer<FlightKey, Outcome>>,
    /// Keys whose responses are known not to be stored.
    pub(super) uncacheable: Marks,
    /// Keys of what is fetched whole, not in blocks; of a block, where a request would begin with it.
    pub(super) whole: Marks,
    /// Keys whose responses may be stored though their requests have credentials.
    pub(super) lifted: Marks,
    /// Keys whose origin answered with a 200 in place of a block.
    pub(super) rangeless: Marks,
    /// Keys of what changed while its blocks were read.
    pub(super) changing: Marks,
    /// The version of the blocks that came last, by hashes of the key and of what tells versions apart.
    pub(super) versions: quick_cache::sync::Cache<u64, u64>,
    /// Keys whose origin failed while something stale was at hand.
    pub(super) failing: Marks,
    pub(super) invalidations: Arc<Invalidations>,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) fetch_timeout: Duration,
    pub(super) collapse_timeout: Duration,
    pub(super) window: Window,
    pub(super) max_variants: usize,
    pub(super) over_max_fetches: OverMaxFetches,
}

impl<St> Shared<St> {
    pub(super) fn mark_uncacheable(&self, key: &CacheKey) {
        self.uncacheable.mark(key, self.clock.now(), UNCACHEABLE);
    }
}

impl<St> CacheCore<St> {
    pub(super) fn shared(&self) -> &Shared<St> {
        &self.0
    }

    /// Tells cores apart while they live.
    pub(super) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// How many fetches are under way that others may join.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.0.flights.in_flight()
    }

    /// A handle to invalidate what this core has stored or is fetching. See [`invalidation`](crate::invalidation).
    #[must_use]
    pub fn invalidator(&self) -> Invalidator {
        Invalidator::new(self.0.invalidations.clone())
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &St {
        &self.0.store
    }
}

impl<St: Store> CacheCore<St> {
    /// A core with the default limits, for a store that ends with the process.
    #[must_use]
    pub fn new(store: St) -> Self {
        const {
            assert!(
                !St::PERSISTS,
                "a store that persists needs a namespace: use CacheCore::builder"
            )
        };
        CacheCoreBuilder::new(store).finish(Namespace::unique())
    }

    /// Sets up a core.
    #[must_use]
    pub fn builder(store: St) -> CacheCoreBuilder<St> {
        CacheCoreBuilder::new(store)
    }
}

/// What becomes of a request that needs a fetch while as many as allowed are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverMaxFetches {
    /// It goes to the inner service alone, and its answer isn't stored.
    #[default]
    PassThrough,
    /// It waits for another fetch to end, for at most so long; then it gets a 503 with `Retry-After: 1`, or something stale
    /// that may stand in for that. So the refill after a large invalidation is held, too. First come, first served; those who wait for the same
    /// thing share one fetch. Zero: a 503 at once. What runs alone isn't counted and doesn't wait: ranges, requests with
    /// credentials, keys that are known not to be stored, and those who waited for another's fetch for `collapse_timeout`.
    Wait(Duration),
}

/// Sets up a [`CacheCore`].
#[derive(Debug)]
pub struct CacheCoreBuilder<St> {
    store: St,
    namespace: Option<String>,
    clock: Arc<dyn Clock>,
    fetch_timeout: Duration,
    collapse_timeout: Option<Duration>,
    is_patient: bool,
    lag_timeout: Duration,
    window: u64,
    max_fetches: usize,
    over_max_fetches: OverMaxFetches,
    max_variants: usize,
}

impl<St: Store> CacheCoreBuilder<St> {
    fn new(store: St) -> Self {
        Self {
            store,
            namespace: None,
            clock: Arc::new(SystemClock),
            fetch_timeout: Duration::from_secs(60),
            collapse_timeout: None,
            is_patient: false,
            lag_timeout: Duration::from_secs(10),
            window: 64 << 10,
            max_fetches: 1024,
            over_max_fetches: OverMaxFetches::PassThrough,
            max_variants: 64,
        }
    }

    /// The name under which keys are kept in a store that others use, too, or that persists. Default: one that is unique in the process.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Where the wall time comes from. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long a shared fetch may take to the head of the response; then its viewers get a 504. Default: 60 s.
    #[must_use]
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// How long a request waits for another's fetch to reach its head (nginx's `proxy_cache_lock_timeout`). Then one of those who
    /// wait asks the inner service once more, which is logged, and the others wait for both; after four such times each goes alone.
    /// Who may not ask for others, as with credentials or for a range, goes alone at once. Let it be longer than the inner service
    /// may take. It is also how long a body may stand still before nobody else joins it. Default: 30 s.
    #[must_use]
    pub fn collapse_timeout(mut self, timeout: Duration) -> Self {
        self.collapse_timeout = Some(timeout);
        self
    }

    /// By default a request waits until the other's fetch ends, whatever that comes to.
    pub(crate) fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    fn waits_for(&self) -> Duration {
        self.collapse_timeout.unwrap_or(match self.is_patient {
            true => self.fetch_timeout.saturating_add(Duration::from_secs(1)),
            false => Duration::from_secs(30),
        })
    }

    /// How long one reader of a body that isn't stored may hold the others up before it is cut off. Default: 10 s.
    #[must_use]
    pub fn lag_timeout(mut self, timeout: Duration) -> Self {
        self.lag_timeout = timeout;
        self
    }

    /// How many bytes of a body that isn't stored are held for readers of different speed. Default: 64 KiB.
    #[must_use]
    pub fn window(mut self, bytes: u64) -> Self {
        self.window = bytes;
        self
    }

    /// How many fetches may be under way that others join. Default: 1,024. What becomes of further requests says
    /// [`over_max_fetches`](Self::over_max_fetches); refreshes behind a stale answer are left to a later one.
    #[must_use]
    pub fn max_fetches(mut self, fetches: usize) -> Self {
        self.max_fetches = fetches;
        self
    }

    /// What becomes of requests that need a fetch while [`max_fetches`](Self::max_fetches) are under way. Default:
    /// [`OverMaxFetches::PassThrough`].
    #[must_use]
    pub fn over_max_fetches(mut self, what: OverMaxFetches) -> Self {
        self.over_max_fetches = what;
        self
    }

    /// How many variants of one key are kept; the oldest go. Default: 64.
    #[must_use]
    pub fn max_variants(mut self, variants: usize) -> Self {
        self.max_variants = variants;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// When the store persists and there is no namespace, when the namespace can't be one, and when a limit is 0.
    pub fn build(self) -> Result<CacheCore<St>, ConfigError> {
        let namespace = match &self.namespace {
            Some(name) => Namespace::named(name)?,
            None if St::PERSISTS => {
                return Err(ConfigError::new(
                    "namespace",
                    "",
                    "a name, since the store persists",
                ));
            }
            None => Namespace::unique(),
        };
        for (setting, duration) in [
            ("fetch_timeout", self.fetch_timeout),
            ("collapse_timeout", self.waits_for()),
            ("lag_timeout", self.lag_timeout),
        ] {
            if duration.is_zero() {
                return Err(ConfigError::new(setting, "0 s", "longer than that"));
            }
        }
        for (setting, number) in [
            ("window", self.window),
            ("max_fetches", self.max_fetches as u64),
            ("max_variants", self.max_variants as u64),
        ] {
            if number == 0 {
                return Err(ConfigError::new(setting, "0", "at least 1"));
            }
        }
        Ok(self.finish(namespace))
    }

    pub(crate) fn finish(self, namespace: Namespace) -> CacheCore<St> {
        let collapse_timeout = self.waits_for();
        CacheCore(Arc::new(Shared {
            store: self.store,
            namespace,
            flights: Coalescer::new(self.max_fetches),
            uncacheable: Marks::new(),
            whole: Marks::of(OBJECTS),
            lifted: Marks::of(OBJECTS),
            rangeless: Marks::of(OBJECTS),
            changing: Marks::of(OBJECTS),
            versions: quick_cache::sync::Cache::new(OBJECTS),
            failing: Marks::new(),
            invalidations: Arc::new(Invalidations::new(self.clock.clone())),
            limits: Limits {
                fetch_timeout: self.fetch_timeout,
                collapse_timeout,
                window: Window {
                    bytes: self.window,
                    lag_timeout: self.lag_timeout,
                },
                max_variants: self.max_variants,
                over_max_fetches: self.over_max_fetches,
            },
            clock: self.clock,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DynStore;

    #[test]
    fn a_store_that_persists_needs_a_name() {
        let store = DynStore::new(MemoryStore::new(1 << 20));
        let error = CacheCore::builder(store.clone()).build().unwrap_err();
        assert_eq!(error.setting(), "namespace");
        assert!(CacheCore::builder(store).namespace("edge").build().is_ok());
    }

    #[test]
    fn limits_of_zero_are_named() {
        let builder = || CacheCore::builder(MemoryStore::new(1 << 20));
        assert_eq!(
            builder()
                .fetch_timeout(Duration::ZERO)
                .build()
                .unwrap_err()
                .setting(),
            "fetch_timeout"
        );
        assert_eq!(
            builder().max_variants(0).build().unwrap_err().setting(),
            "max_variants"
        );
        assert!(builder().build().is_ok());
    }
}
