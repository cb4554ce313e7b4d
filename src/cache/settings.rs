//! What a layer is set to.

use crate::{freshness::Keeps, policy::CachePolicy, status::Product};
use http::request::Parts;
use std::{fmt, sync::Arc};

type Predicate = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) policy: CachePolicy,
    pub(super) bypass_if: Option<Predicate>,
    pub(super) status_extension: bool,
    pub(super) cache_status: bool,
    pub(super) cache_status_key: bool,
    pub(super) age: bool,
    pub(super) x_cache: bool,
    pub(super) product: Product,
    /// It is an origin shield.
    pub(super) is_shield: bool,
}

impl Settings {
    /// By what a request's target is invalidated.
    pub(super) fn address(&self, parts: &Parts) -> Box<str> {
        let key = self.policy.key_policy();
        key.address(&key.uri(parts), &parts.headers)
    }

    /// An origin shield's, of this policy but for errors, which it doesn't store.
    pub(super) fn shield() -> Self {
        Self {
            policy: CachePolicy::default().keeping(Keeps::NoErrors),
            x_cache: false,
            product: Product::new("frontage-shield").unwrap_or_default(),
            is_shield: true,
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: CachePolicy::default(),
            bypass_if: None,
            status_extension: true,
            cache_status: true,
            cache_status_key: false,
            age: true,
            x_cache: true,
            product: Product::default(),
            is_shield: false,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("policy", &self.policy)
            .field("bypass_if", &self.bypass_if.is_some())
            .field("status_extension", &self.status_extension)
            .field("cache_status", &self.cache_status)
            .field("cache_status_key", &self.cache_status_key)
            .field("age", &self.age)
            .field("x_cache", &self.x_cache)
            .field("product", &self.product.name())
            .field("is_shield", &self.is_shield)
            .finish()
    }
}
