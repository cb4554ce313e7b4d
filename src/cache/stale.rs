//! A stale response in place of one that can't be had (`stale-if-error`, RFC 5861 section 4).

use super::{
    CacheCore,
    lookup::{LookUp, Wanted, judge, times},
    respond::Viewer,
    settings::Settings,
    storing::Storing,
};
use crate::{
    freshness::{self, Verdict},
    headers::RequestFacts,
    store::{Object, Store},
};
use http::{Method, StatusCode};
use std::future::poll_fn;

/// Whether a stale object may be used in place of an error, now: within either window, and not once it is invalidated.
pub(super) fn may_stand_in<St: Store>(
    core: &CacheCore<St>,
    settings: &Settings,
    viewer: &Viewer<'_>,
    object: &Object,
    now: u64,
) -> bool {
    let policy = settings.policy.freshness();
    match judge(core.shared(), settings, viewer.facts, object, now) {
        Verdict::StaleWhileRevalidate => true,
        Verdict::Refetch(_) => false,
        Verdict::Fresh | Verdict::Stale | Verdict::Revalidate(_) => {
            let times = times(core.shared(), object, now);
            freshness::may_stand_in(&times, viewer.facts, policy, now)
        }
    }
}

/// Whether an error must not take the place of what is stored for requests like this: something good that others still get.
pub(super) async fn has_good<St: Store>(storing: &Storing<St>, error: StatusCode) -> bool {
    let (shared, settings, key) = (storing.shared(), storing.settings(), storing.key());
    let policy = settings.policy.freshness();
    if !policy.is_failure(error) {
        return false;
    }
    let mut look_up = LookUp::again(&shared.store, key);
    let wanted = Wanted {
        settings,
        method: &Method::GET,
        headers: storing.request(),
        accept_encoding: None,
    };
    poll_fn(|cx| look_up.poll(cx, &shared.store, key, wanted)).await;
    let Some(object) = look_up.object else {
        return false;
    };
    // As one without wishes of its own would get it.
    let (facts, now) = (RequestFacts::default(), shared.clock.now());
    let is_good = !policy.is_failure(object.head().status);
    is_good
        && match judge(shared, settings, &facts, &object, now) {
            Verdict::Fresh | Verdict::Stale | Verdict::StaleWhileRevalidate => true,
            Verdict::Revalidate(_) => {
                freshness::may_stand_in(&times(shared, &object, now), &facts, policy, now)
            }
            Verdict::Refetch(_) => false,
        }
}
