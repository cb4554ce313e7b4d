//! What a layer is set to.

use crate::{policy::CachePolicy, status::XCacheValues};
use http::request::Parts;
use std::{fmt, sync::Arc};

type Predicate = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) policy: CachePolicy,
    pub(super) bypass_if: Option<Predicate>,
    pub(super) status_extension: bool,
    pub(super) cache_status: bool,
    pub(super) age: bool,
    /// `None`: no `X-Cache`.
    pub(super) x_cache: Option<XCacheValues>,
    pub(super) product: Box<str>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("policy", &self.policy)
            .field("bypass_if", &self.bypass_if.is_some())
            .field("status_extension", &self.status_extension)
            .field("cache_status", &self.cache_status)
            .field("age", &self.age)
            .field("x_cache", &self.x_cache.is_some())
            .field("product", &self.product)
            .finish()
    }
}
