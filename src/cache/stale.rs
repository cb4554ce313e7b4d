//! A stale response in place of one that can't be had (`stale-if-error`, RFC 5861 section 4).

use super::{
    CacheCore,
    lookup::{LookUp, Wanted, judge, times},
    respond::{self, Viewer},
    settings::Settings,
};
use crate::{
    body::ResponseBody,
    freshness::{self, Forward, Verdict},
    headers::RequestFacts,
    key::CacheKey,
    status::{CacheStatus, Detail},
    store::{Object, Store},
};
use http::{HeaderMap, Method, Response, StatusCode};
use std::future::poll_fn;

/// What failed to be confirmed or replaced: the stale object at hand, and why it was to be.
pub(super) struct StandIn {
    pub(super) object: Object,
    pub(super) forward: Forward,
}

impl StandIn {
    /// The answer that it makes after a failure: with a status of the origin's, or without any. None where it may not be
    /// used. The origin isn't asked again at once in either case.
    pub(super) fn answer<St: Store, B>(
        &self,
        core: &CacheCore<St>,
        settings: &Settings,
        viewer: &Viewer<'_>,
        failed: Option<StatusCode>,
    ) -> Option<Response<ResponseBody<B>>> {
        let shared = core.shared();
        let (now, policy) = (shared.clock.now(), settings.policy.freshness());
        shared
            .failing
            .mark(viewer.key, now, policy.retry_after(failed));
        if !may_stand_in(core, settings, viewer, &self.object, now) {
            return None;
        }
        let status = CacheStatus {
            forward_status: failed,
            ttl: Some(times(shared, &self.object, now).ttl(now)),
            detail: Some(Detail::StaleIfError),
            ..CacheStatus::forwarded(self.forward)
        };
        tracing::warn!(key = %viewer.key, code = failed.map(|code| code.as_u16()), "the origin failed: a stale response stands in");
        Some(respond::stored(settings, viewer, &self.object, now, status))
    }
}

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
pub(super) async fn has_good<St: Store>(
    core: &CacheCore<St>,
    settings: &Settings,
    key: &CacheKey,
    request: &HeaderMap,
    error: StatusCode,
) -> bool {
    let (shared, policy) = (core.shared(), settings.policy.freshness());
    if !policy.is_failure(error) {
        return false;
    }
    let mut look_up = LookUp::again(&shared.store, key);
    let wanted = Wanted {
        settings,
        method: &Method::GET,
        headers: request,
    };
    let looked = poll_fn(|cx| look_up.poll(cx, &shared.store, key, wanted)).await;
    let Some((object, _)) = looked.object else {
        return false;
    };
    // As one without wishes of its own would get it.
    let (facts, now) = (RequestFacts::default(), shared.clock.now());
    let is_good = !policy.is_failure(object.head().status);
    is_good
        && match judge(shared, settings, &facts, &object, now) {
            Verdict::Fresh | Verdict::Stale | Verdict::StaleWhileRevalidate => true,
            Verdict::Revalidate(_) => {
                freshness::may_stand_in(&object.head().freshness, &facts, policy, now)
            }
            Verdict::Refetch(_) => false,
        }
}
