//! The layer, and the limits of what is under way.

use super::{Coalesce, no_store::NoStore};
use crate::{
    cache::{CacheCore, CacheCoreBuilder, CacheLayer, OverMaxFetches},
    error::ConfigError,
    key::{KeyPolicy, Namespace},
    policy::CachePolicy,
    status::Product,
};
use http::{header, request::Parts};
use std::{fmt, time::Duration};
use tower_layer::Layer;

/// Requests for the same thing at the same time are one at the service below, and all get its answer as it comes: without a
/// cache, for those who have none, or another.
///
/// Those who wait do so for as long as the one fetch may take to the head of its answer, 60 s unless
/// [`fetch_timeout`](CoalesceLayerBuilder::fetch_timeout) says otherwise; then all of them get a 504. For a service that is slower
/// than that, set it higher.
///
/// Shared is what a shared cache could store (RFC 9111 section 3), with those who asked before the head of the answer came (section
/// 4 allows no more); who asks later has it fetched anew. In particular:
///
/// * An answer that doesn't say how long it may be used is shared, too. One that says `private`, `no-store`, `no-cache` or
///   `max-age=0`, or sets a cookie, isn't: those who waited for it go on by themselves, and requests for that key don't wait for
///   each other for two minutes.
/// * Requests with `Cookie` or `Authorization` neither lead nor follow: without a word of the service's, nobody knows whether their
///   answer is theirs alone.
/// * `Vary` is observed: those who wait and ask for another variant are fetched for together.
/// * A 5xx is shared, unless it says otherwise, so that a dying service isn't hammered. A service that fails or panics is a 502 or
///   500 for all who wait, but for the one that led: it gets the error itself.
/// * A request that says what caches may do (`Cache-Control`, `Pragma`) is shared with those that say the same, and goes on with
///   that to the service, which may be a cache: this is none. So `only-if-cached` isn't answered with a 504 here.
/// * Conditions are answered here, by the whole that is fetched for all. A range is cut from a whole that is under way, and goes on
///   as it is where there is none; `bytes=0-` has the whole fetched, for all who ask for that by whatever name.
///
/// The fetch goes on when the one that led it leaves, as long as somebody reads. It holds a window of the body, which moves
/// with the slowest reader: one that is slow makes all others as slow, and is cut off when it has held them up for 10 s at a time
/// ([`lag_timeout`](CoalesceLayerBuilder::lag_timeout)). What else holds for a [`Cache`](crate::Cache), such
/// as what passes through, and that its extensions reach the leader alone, holds here: it is one that stores nothing.
///
/// `Cache-Status` says `collapsed` of those who shared; `Age` and `X-Cache` aren't written.
///
/// ```
/// use axum::{Router, routing::get};
/// use frontage::CoalesceLayer;
///
/// let app: Router = Router::new()
///     .route("/report", get(|| async { "expensive" }))
///     .layer(CoalesceLayer::new());
/// ```
#[derive(Clone)]
pub struct CoalesceLayer {
    cache: CacheLayer<NoStore>,
}

impl CoalesceLayer {
    /// With the default limits, and the key of [`KeyPolicy::new`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_core(Self::builder().core.finish(Namespace::unique()))
    }

    /// Sets the limits.
    #[must_use]
    pub fn builder() -> CoalesceLayerBuilder {
        CoalesceLayerBuilder {
            core: CacheCore::builder(NoStore).patient(),
        }
    }

    fn with_core(core: CacheCore<NoStore>) -> Self {
        let cache = CacheLayer::with_core(core)
            .policy(CachePolicy::coalescing())
            .x_cache(false)
            .named(Product::new("frontage-coalesce").unwrap_or_default());
        Self { cache }.key(KeyPolicy::new()).bypass_if(|_| false)
    }

    fn map(self, set: impl FnOnce(CacheLayer<NoStore>) -> CacheLayer<NoStore>) -> Self {
        Self {
            cache: set(self.cache),
        }
    }

    /// Which parts of a request make it the same as another. `Cache-Control` and `Pragma` count in any case.
    #[must_use]
    pub fn key(self, key: KeyPolicy) -> Self {
        let names = key.keyed_headers().to_vec();
        let asked_of_caches = [header::CACHE_CONTROL, header::PRAGMA];
        let key = key.headers(names.into_iter().chain(asked_of_caches));
        self.map(|cache| cache.key(key))
    }

    /// Requests for which `predicate` is true go to the inner service by themselves, as those with `Cookie` and `Authorization` do.
    #[must_use]
    pub fn bypass_if(self, predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        let bypasses = move |parts: &Parts| {
            parts.headers.contains_key(header::COOKIE)
                || parts.headers.contains_key(header::AUTHORIZATION)
                || predicate(parts)
        };
        self.map(|cache| cache.bypass_if(bypasses))
    }

    /// Whether responses carry a [`CacheStatus`](crate::CacheStatus) as an extension. Default: yes.
    #[must_use]
    pub fn status_extension(self, on: bool) -> Self {
        self.map(|cache| cache.status_extension(on))
    }

    /// Whether responses carry `Cache-Status` (RFC 9211). Default: yes.
    #[must_use]
    pub fn cache_status(self, on: bool) -> Self {
        self.map(|cache| cache.cache_status(on))
    }

    /// The name in `Cache-Status`. Default: `frontage-coalesce`.
    ///
    /// # Errors
    ///
    /// Those of [`CacheLayer::product`].
    pub fn product(self, product: &str) -> Result<Self, ConfigError> {
        let cache = self.cache.product(product)?;
        Ok(Self { cache })
    }

    /// How many fetches are under way that others may join.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.cache.core().fetches()
    }
}

impl Default for CoalesceLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CoalesceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for CoalesceLayer {
    type Service = Coalesce<S>;

    fn layer(&self, inner: S) -> Coalesce<S> {
        Coalesce::new(self.cache.layer(inner))
    }
}

/// Sets up a [`CoalesceLayer`]. The limits and their defaults are those of a [`CacheCoreBuilder`], but that of
/// [`collapse_timeout`](Self::collapse_timeout).
///
/// ```
/// use frontage::CoalesceLayer;
/// use std::time::Duration;
///
/// let layer = CoalesceLayer::builder().collapse_timeout(Duration::from_secs(5)).build()?;
/// let error = CoalesceLayer::builder().window(0).build().unwrap_err();
/// assert_eq!(error.setting(), "window");
/// # let _ = layer;
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct CoalesceLayerBuilder {
    core: CacheCoreBuilder<NoStore>,
}

impl CoalesceLayerBuilder {
    fn map(self, set: impl FnOnce(CacheCoreBuilder<NoStore>) -> CacheCoreBuilder<NoStore>) -> Self {
        Self {
            core: set(self.core),
        }
    }

    /// How long a shared fetch may take to the head of the response; then its viewers get a 504. Default: 60 s.
    #[must_use]
    pub fn fetch_timeout(self, timeout: Duration) -> Self {
        self.map(|core| core.fetch_timeout(timeout))
    }

    /// How long a request waits for another's fetch to reach its head. Then one of those who wait asks the service once more, for
    /// all of them, which is logged. Default: until that fetch ends, a second longer than [`fetch_timeout`](Self::fetch_timeout).
    #[must_use]
    pub fn collapse_timeout(self, timeout: Duration) -> Self {
        self.map(|core| core.collapse_timeout(timeout))
    }

    /// How long one reader may hold the others up before it is cut off. Default: 10 s.
    #[must_use]
    pub fn lag_timeout(self, timeout: Duration) -> Self {
        self.map(|core| core.lag_timeout(timeout))
    }

    /// How many bytes of a body are held for readers of different speed. Default: 64 KiB.
    #[must_use]
    pub fn window(self, bytes: u64) -> Self {
        self.map(|core| core.window(bytes))
    }

    /// How many fetches may be under way that others join. Default: 1,024.
    #[must_use]
    pub fn max_fetches(self, fetches: usize) -> Self {
        self.map(|core| core.max_fetches(fetches))
    }

    /// What becomes of requests over [`max_fetches`](Self::max_fetches). Default: [`OverMaxFetches::PassThrough`].
    #[must_use]
    pub fn over_max_fetches(self, what: OverMaxFetches) -> Self {
        self.map(|core| core.over_max_fetches(what))
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// When a limit is 0.
    pub fn build(self) -> Result<CoalesceLayer, ConfigError> {
        Ok(CoalesceLayer::with_core(self.core.build()?))
    }
}
