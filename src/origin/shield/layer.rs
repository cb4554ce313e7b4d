//! The layer: a cache of an origin's own.

use crate::{
    blocks::BlockLayer,
    cache::{Cache, CacheCore, CacheLayer},
    error::ConfigError,
    freshness::Keeps,
    policy::CachePolicy,
    store::{MemoryStore, Store},
};
use std::fmt;
use tower_layer::Layer;

/// Shields an origin: a second cache between any number of caches and the origin, so that what they all miss is fetched once
/// (CloudFront's Origin Shield).
///
/// It is put on an origin's service, and that is cloned to each cache in the process, or served to remote ones: then this
/// process is their shield (`Origin::shield` names it). The origin of a shield has no shields itself, one protocol, and time-outs
/// and attempts that end, together, before those who ask the shield give up. In an origin group each member has its own, below the
/// [`FailoverLayer`](crate::origin::FailoverLayer).
///
/// It is a [`Cache`] in all but this:
///
/// * Errors (a status of 400 or above) aren't stored in it, whatever they say. They are shared with those who wait for them, and the
///   caches above store them by their own policies.
/// * Its hits carry [`OriginShieldHit`](crate::status::OriginShieldHit), so that a cache above says where the answer came from:
///   [`CacheStatus::is_origin_shield_hit`](crate::CacheStatus::is_origin_shield_hit).
/// * In `Cache-Status` it is `frontage-shield`, and stands in front of the cache above it (RFC 9211 section 2); `X-Cache` is left to
///   that one.
///
/// Methods that aren't cached go through it, and so does gRPC, which is `POST`: to the origin each time, and untouched.
///
/// It must have a core of its own: a cache of the same core as one above it lets the requests of that pass. Keys are made by
/// its [`policy`](Self::policy); give it that of the caches above, where they all have the same. What is invalidated in one cache
/// isn't in another: the shield first, then those above it.
///
/// ```
/// use axum::{Router, body::Body, routing::get};
/// use frontage::{CacheLayer, CacheStatus, MemoryStore, origin::OriginShieldLayer};
/// use http::Request;
/// use tower::{Layer, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let origin: Router = Router::new().route("/", get(|| async { ([("cache-control", "max-age=60")], "answer") }));
/// let shielded = OriginShieldLayer::new(MemoryStore::new(64 << 20)).layer(origin);
/// let edge = || CacheLayer::new(MemoryStore::new(64 << 20)).layer(shielded.clone());
/// let ask = || Request::get("/").body(Body::empty()).unwrap();
///
/// let first = edge().oneshot(ask()).await?;
/// assert_eq!(first.headers().get_all("cache-status").iter().count(), 2);
/// axum::body::to_bytes(Body::new(first.into_body()), 100).await?;
/// let second = edge().oneshot(ask()).await?;
/// assert!(second.extensions().get::<CacheStatus>().unwrap().is_origin_shield_hit());
/// # Ok(()) }
/// ```
pub struct OriginShieldLayer<St = MemoryStore> {
    cache: CacheLayer<St>,
}

impl<St> Clone for OriginShieldLayer<St> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
        }
    }
}

impl<St> fmt::Debug for OriginShieldLayer<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginShieldLayer")
            .field("cache", &self.cache)
            .finish()
    }
}

impl<St: Store> OriginShieldLayer<St> {
    /// A shield of its own over `store`, with [`CachePolicy::default`]. The store must end with the process, as for
    /// [`CacheLayer::new`].
    #[must_use]
    pub fn new(store: St) -> Self {
        Self::with_core(CacheCore::new(store))
    }

    /// A shield over this core.
    #[must_use]
    pub fn with_core(core: CacheCore<St>) -> Self {
        Self {
            cache: CacheLayer::shield(core),
        }
    }

    /// Fetches and stores what is large in blocks.
    ///
    /// A shield of [`BlockLayer`]s has to, and in blocks of the same size: a range that is missing here is fetched for each that
    /// asks, a block once for all.
    ///
    /// ```
    /// use frontage::{BlockLayer, CacheLayer, MemoryStore, origin::OriginShieldLayer};
    ///
    /// let shield = OriginShieldLayer::new(MemoryStore::new(64 << 20)).in_blocks().block_size(2 << 20)?;
    /// let edge = BlockLayer::new(CacheLayer::new(MemoryStore::new(64 << 20))).block_size(2 << 20)?;
    /// # Ok::<(), frontage::ConfigError>(())
    /// ```
    #[must_use]
    pub fn in_blocks(self) -> BlockLayer<St> {
        BlockLayer::new(self.cache)
    }
}

impl<St> OriginShieldLayer<St> {
    /// The policy: key, lifetimes and what is forwarded. Errors aren't stored by any.
    #[must_use]
    pub fn policy(self, policy: CachePolicy) -> Self {
        Self {
            cache: self.cache.policy(policy.keeping(Keeps::NoErrors)),
        }
    }

    /// Whether responses carry `Cache-Status` (RFC 9211). Default: yes. Remote caches know the shield's hits by it.
    #[must_use]
    pub fn cache_status(self, on: bool) -> Self {
        Self {
            cache: self.cache.cache_status(on),
        }
    }

    /// The name in `Cache-Status`. Default: `frontage-shield`.
    ///
    /// # Errors
    ///
    /// Those of [`CacheLayer::product`].
    pub fn product(self, product: &str) -> Result<Self, ConfigError> {
        let cache = self.cache.product(product)?;
        Ok(Self { cache })
    }

    /// The state that its services share.
    #[must_use]
    pub fn core(&self) -> &CacheCore<St> {
        self.cache.core()
    }
}

impl<S, St> Layer<S> for OriginShieldLayer<St> {
    type Service = Cache<S, St>;

    fn layer(&self, origin: S) -> Self::Service {
        self.cache.layer(origin)
    }
}
