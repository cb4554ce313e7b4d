//! The layer: who we are.

use super::{CdnLoop, CdnLoopMember};
use crate::{error::ConfigError, headers::CdnInfo, store::Version};
use std::sync::Arc;
use tower_layer::Layer;

/// The default of [`CdnLoopLayer::max_length`].
const MAX_LENGTH: usize = 4096;

/// Appends our own member to `CDN-Loop` of each request, and answers one that has it already with a 508.
///
/// The member is a name and a random identifier of this layer and its clones (`edge.example.com; id=...`), so that
/// several proxies of one name in a row are no loop. A field that is longer than may be is taken for a loop, too:
/// see [`max_length`](Self::max_length).
///
/// The 508 says `Cache-Control: no-store`: caches neither store it nor share it with others that wait for the same.
///
/// In a cache, requests that have been through different numbers of proxies don't wait for each other's fetch: so in a ring with
/// viewers at every proxy none waits for itself, and each ends at once, after one passage by each. Those of edges in front of
/// one shield have been through as many, and wait for one. Beyond 16 proxies all wait for one: a longer ring may take the
/// cache's `fetch_timeout` to end.
///
/// Caches forward the field in every profile, and it is in no key; origins get it. A viewer's `Connection` doesn't take it away.
///
/// ```
/// use axum::{Router, body::Body, http::HeaderMap, routing::get};
/// use frontage::{CacheLayer, MemoryStore, cdn_loop::CdnLoopLayer};
/// use http::Request;
/// use tower::{Layer, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let origin = get(|headers: HeaderMap| async move { headers["cdn-loop"].to_str().unwrap().to_owned() });
/// let cached = CacheLayer::new(MemoryStore::new(1 << 20)).layer(Router::new().route("/", origin));
/// let edge = CdnLoopLayer::new("edge.example.com")?.layer(cached);
///
/// let response = edge.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
/// let seen = axum::body::to_bytes(Body::new(response.into_body()), 100).await?;
/// assert!(seen.starts_with(b"edge.example.com; id="));
///
/// let back = Request::get("/").header("cdn-loop", &*seen).body(Body::empty())?;
/// assert_eq!(edge.oneshot(back).await?.status(), 508);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct CdnLoopLayer {
    info: Arc<CdnInfo>,
    max_length: usize,
}

impl CdnLoopLayer {
    /// Under this name: a host, perhaps with a port, or any token (RFC 8586 section 2). Others see it.
    ///
    /// # Errors
    ///
    /// `cdn_loop`, when it is neither, or longer than 255 bytes.
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let id = u128::from_be_bytes(Version::random().0);
        let info = CdnInfo::new(name, id)
            .ok_or_else(|| ConfigError::new("cdn_loop", name, "a host or a token"))?;
        Ok(Self {
            info: Arc::new(info),
            max_length: MAX_LENGTH,
        })
    }

    /// How long the field may be on a request that comes in, all its lines together, in bytes. Default: 4,096, some hundred
    /// members.
    ///
    /// Say less where viewers come in, such as 2,048, or 0 if none of them is a CDN: each proxy adds its own member, and a
    /// viewer's field that is just short enough here would be too long for the next.
    #[must_use]
    pub fn max_length(mut self, bytes: usize) -> Self {
        self.max_length = bytes;
        self
    }

    /// The layer around a cache over `inner`, for both the same as above the cache: but the member is appended below it, so that
    /// hits don't pay for what no origin sees. A policy's key, `Vary` and `bypass_if` don't see our member then.
    ///
    /// ```
    /// use frontage::{CacheLayer, MemoryStore, cdn_loop::CdnLoopLayer};
    ///
    /// # fn edge<S>(origin: S) -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = CacheLayer::new(MemoryStore::new(1 << 20));
    /// let edge = CdnLoopLayer::new("edge.example.com")?.around(&cache, origin);
    /// # Ok(()) }
    /// ```
    pub fn around<L, S>(&self, cache: &L, inner: S) -> CdnLoop<L::Service>
    where
        L: Layer<CdnLoopMember<S>>,
    {
        let inner = CdnLoopMember::new(inner, self.info.clone());
        CdnLoop::above(cache.layer(inner), self.info.clone(), self.max_length)
    }
}

impl<S> Layer<S> for CdnLoopLayer {
    type Service = CdnLoop<S>;

    fn layer(&self, inner: S) -> CdnLoop<S> {
        CdnLoop::new(inner, self.info.clone(), self.max_length)
    }
}
