//! The layer: a core and a policy.

use super::{Cache, CacheCore, settings::Settings};
use crate::{
    error::ConfigError,
    key::KeyPolicy,
    policy::CachePolicy,
    status::Product,
    store::{MemoryStore, Store},
};
use http::request::Parts;
use std::{fmt, sync::Arc};
use tower_layer::Layer;

/// Caches the responses of the service below it.
///
/// It is cheap to clone and to apply; clones share everything. See the [module](crate::cache) for what it does, and in which
/// order layers are stacked.
///
/// ```
/// use axum::{Router, routing::get};
/// use frontage::{CacheLayer, MemoryStore};
///
/// let app: Router = Router::new()
///     .route("/report", get(|| async { ([("cache-control", "public, max-age=60")], "expensive") }))
///     .layer(CacheLayer::new(MemoryStore::new(256 << 20)));
/// ```
pub struct CacheLayer<St = MemoryStore> {
    core: CacheCore<St>,
    settings: Arc<Settings>,
}

impl<St> Clone for CacheLayer<St> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<St> fmt::Debug for CacheLayer<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("core", &self.core)
            .field("settings", &self.settings)
            .finish()
    }
}

impl<St: Store> CacheLayer<St> {
    /// A cache of its own over `store`, with [`CachePolicy::default`].
    ///
    /// The store must end with the process (one that persists is refused at compile time: its keys need a
    /// [name](super::CacheCoreBuilder::namespace)). Two layers made by `new` over clones of one store never mix.
    #[must_use]
    pub fn new(store: St) -> Self {
        Self::with_core(CacheCore::new(store))
    }

    /// A layer over a core that others may share.
    #[must_use]
    pub fn with_core(core: CacheCore<St>) -> Self {
        Self {
            core,
            settings: Arc::new(Settings::default()),
        }
    }
}

impl<St> CacheLayer<St> {
    /// An origin shield's layer.
    pub(crate) fn shield(core: CacheCore<St>) -> Self {
        Self {
            core,
            settings: Arc::new(Settings::shield()),
        }
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    /// The policy: key, lifetimes and what is forwarded.
    #[must_use]
    pub fn policy(self, policy: CachePolicy) -> Self {
        self.set(|settings| settings.policy = policy)
    }

    /// Only the policy's key.
    #[must_use]
    pub fn key(self, key: KeyPolicy) -> Self {
        self.set(|settings| settings.policy = settings.policy.clone().key(key))
    }

    /// Requests for which `predicate` is true go to the inner service as if there were no cache.
    #[must_use]
    pub fn bypass_if(self, predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.bypass_if = Some(Arc::new(predicate)))
    }

    /// Whether responses carry a [`CacheStatus`](crate::CacheStatus) as an extension. Default: yes; it costs three allocations.
    #[must_use]
    pub fn status_extension(self, on: bool) -> Self {
        self.set(|settings| settings.status_extension = on)
    }

    /// Whether responses carry `Cache-Status` (RFC 9211). Default: yes.
    #[must_use]
    pub fn cache_status(self, on: bool) -> Self {
        self.set(|settings| settings.cache_status = on)
    }

    /// Whether `Cache-Status` names the key under which the answer was looked for (its `key` parameter, RFC 9211 section 2.8):
    /// what [`CacheKey`](crate::key::CacheKey) prints, the values of cookies and of fields that may hold secrets as hashes, cut
    /// after 1,024 bytes. The key itself is an extension of the response then, too, where [`CacheStatus`](crate::CacheStatus)
    /// is. Default: no.
    ///
    /// Hits, misses, shared answers and what is fetched alone have a key. What passes through without a look-up has none:
    /// other methods than `GET` and `HEAD`, and what says `fwd=bypass`.
    ///
    /// It helps to find out why two requests don't share an answer. It shows viewers what the policy keys on, which helps those who look
    /// for something to poison, too (RFC 9211 section 6); and it makes a hit slower.
    #[must_use]
    pub fn cache_status_key(self, on: bool) -> Self {
        self.set(|settings| settings.cache_status_key = on)
    }

    /// Whether responses from the store carry `Age`. Default: yes, and RFC 9111 section 4 demands it.
    #[must_use]
    pub fn age(self, on: bool) -> Self {
        self.set(|settings| settings.age = on)
    }

    /// Whether responses carry `X-Cache`, as CloudFront's do. Default: yes.
    #[must_use]
    pub fn x_cache(self, on: bool) -> Self {
        self.set(|settings| settings.x_cache = on)
    }

    /// The name in `Cache-Status` and `X-Cache`. Default: `frontage`.
    ///
    /// # Errors
    ///
    /// Unless it is a token (RFC 9110 section 5.6.2) that starts with a letter, as `Cache-Status` needs it.
    pub fn product(self, product: &str) -> Result<Self, ConfigError> {
        let product = Product::new(product)?;
        Ok(self.set(|settings| settings.product = product))
    }

    pub(crate) fn named(self, product: Product) -> Self {
        self.set(|settings| settings.product = product)
    }

    /// The state that this layer's services share.
    #[must_use]
    pub fn core(&self) -> &CacheCore<St> {
        &self.core
    }
}

impl<S, St> Layer<S> for CacheLayer<St> {
    type Service = Cache<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache::new(inner, self.core.clone(), self.settings.clone())
    }
}
