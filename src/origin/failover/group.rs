//! Two origins, of which one stands in for the other.

use super::{Failover, FailoverCriteria};
use crate::{
    error::ConfigError,
    origin::{Origin, OriginService},
};
use http::Method;

/// Two origins that have the same to offer (CloudFront's `OriginGroup`): the secondary is asked for what the primary fails to
/// answer. Each has settings of its own: time-outs, attempts, path, custom headers, access control.
///
/// [`build`](Self::build) makes a [`Failover`] of them. [`FailoverLayer`](super::FailoverLayer) says what that does, and
/// [`FailoverCriteria`] what a failure is.
///
/// ```
/// use frontage::{
///     CacheLayer, MemoryStore,
///     origin::{FailoverCriteria, Origin, OriginGroup},
/// };
/// use std::time::Duration;
/// use tower::Layer;
///
/// let primary = Origin::url("http://assets.example.com")?
///     .connection_timeout(Duration::from_secs(1))
///     .connection_attempts(1);
/// let replica = Origin::url("http://replica.example.com/copy")?;
/// let criteria = FailoverCriteria::new([500, 502, 503, 504])?;
///
/// let assets = OriginGroup::new(primary, replica, criteria).build()?;
/// let edge = CacheLayer::new(MemoryStore::new(64 << 20)).layer(assets);
/// # let _ = edge;
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OriginGroup {
    primary: Origin,
    secondary: Origin,
    criteria: FailoverCriteria,
}

impl OriginGroup {
    /// The secondary is asked by these criteria.
    #[must_use]
    pub fn new(primary: Origin, secondary: Origin, criteria: FailoverCriteria) -> Self {
        Self {
            primary,
            secondary,
            criteria,
        }
    }

    /// Makes the service.
    ///
    /// # Errors
    ///
    /// Those of [`Origin::build`], the primary's first.
    pub fn build(self) -> Result<Failover<OriginService, OriginService>, ConfigError> {
        let primary = self.primary.build()?;
        let secondary = self.secondary.build()?;
        Ok(Failover::new(primary, secondary, self.criteria))
    }

    /// CloudFront's rule for a behavior that points at a group: it fails over only where `OPTIONS` is among the behavior's
    /// cached methods. Nothing here depends on it; whoever wants to be held to CloudFront asks, with an error or a warning to follow.
    ///
    /// ```
    /// use frontage::origin::OriginGroup;
    /// use http::Method;
    ///
    /// assert!(OriginGroup::check_cached_methods(&[Method::GET, Method::HEAD, Method::OPTIONS]).is_ok());
    /// let error = OriginGroup::check_cached_methods(&[Method::GET, Method::HEAD]).unwrap_err();
    /// assert_eq!(error.setting(), "cached_methods");
    /// ```
    ///
    /// # Errors
    ///
    /// `cached_methods`, when `OPTIONS` isn't among them.
    pub fn check_cached_methods(methods: &[Method]) -> Result<(), ConfigError> {
        if methods.contains(&Method::OPTIONS) {
            return Ok(());
        }
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let expected = "such that OPTIONS is among them, for an origin group";
        Err(ConfigError::new(
            "cached_methods",
            names.join(", "),
            expected,
        ))
    }
}
