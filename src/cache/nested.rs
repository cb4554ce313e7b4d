//! One cache inside another of the same core.
//!
//! The inner one must not follow the flight that the outer one leads: both would wait for each other.

use super::CacheCore;
use http::request::Parts;
use std::sync::Arc;

/// The cores that lead a fetch for this request.
#[derive(Clone)]
struct LedBy(Arc<[usize]>);

/// Says on a request that goes to the inner service that this core leads the fetch.
pub(super) fn mark_led<St>(parts: &mut Parts, core: &CacheCore<St>) {
    let led: Arc<[usize]> = match parts.extensions.get::<LedBy>() {
        Some(LedBy(outer)) => outer.iter().copied().chain([core.identity()]).collect(),
        None => [core.identity()].into(),
    };
    parts.extensions.insert(LedBy(led));
}

/// Whether this core leads the fetch that this request is part of.
pub(super) fn is_led_by<St>(parts: &Parts, core: &CacheCore<St>) -> bool {
    parts
        .extensions
        .get::<LedBy>()
        .is_some_and(|LedBy(led)| led.contains(&core.identity()))
}
