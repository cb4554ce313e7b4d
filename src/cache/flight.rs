//! What flights are called, and what their followers are told.

use super::{
    respond::{self, Viewer},
    settings::Settings,
};
use crate::{
    body::{OpenBody, ResponseBody, StoredBody},
    coalesce::Landing,
    conditional,
    epoch::Epoch,
    failure::OriginFailure,
    freshness::{Forward, Freshness},
    headers::{content_length, remove_representation_metadata},
    key::{CacheKey, VariantKey},
    range::{self, Selected},
    status::{CacheStatus, Detail},
};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use std::sync::Arc;

/// What is fetched once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    pub(super) key: CacheKey,
    /// A `HEAD` may follow a `GET`, a `GET` never a `HEAD`.
    pub(super) head: bool,
    /// Known once a response said what it varies by.
    pub(super) variant: Option<VariantKey>,
    /// When it was last invalidated: what is asked for after that isn't what was fetched before.
    pub(super) invalidated: u64,
    /// How many proxies the request has been through. Whoever waits for a fetch has been through as many as that: so none waits, round
    /// a ring of proxies, for itself.
    pub(super) hops: usize,
}

/// Beyond so many hops all wait for one fetch: a viewer may claim any number.
pub(super) const MOST_HOPS: usize = 16;

pub(super) type FlightLanding = Landing<FlightKey, Outcome>;

/// A body on its way, for one of those who share it.
pub(super) struct OnItsWay {
    /// All of it.
    pub(super) body: StoredBody,
    /// For who wants a part of it.
    pub(super) opener: Option<Arc<dyn OpenBody>>,
}

impl OnItsWay {
    /// An answer to `HEAD` has none.
    pub(super) fn absent() -> Self {
        Self {
            body: StoredBody::absent(),
            opener: None,
        }
    }

    /// A reader from the beginning, while that is there.
    pub(super) fn open(opener: &Arc<dyn OpenBody>) -> Option<Self> {
        Some(Self {
            body: opener.open()?,
            opener: Some(opener.clone()),
        })
    }
}

/// What the followers of a flight are told.
pub(super) enum Outcome {
    /// An answer whose body is on its way, and a reader of it; none for who comes after its beginning is gone.
    Shared(Arc<SharedAnswer>, Option<OnItsWay>),
    /// The answer can't be shared, and neither can the next.
    Uncacheable(Detail),
    /// The origin failed, by an answer that can't be shared.
    FailedAlone(Detail),
    /// What answers may be in the store now, for whom it is; or the answer was for the leader's request only.
    Again,
    /// The origin failed, and what is stored stale stands in where it may.
    StandIn,
    /// There was no answer.
    Failed(StatusCode),
}

/// The head of an answer that several get.
pub(super) struct SharedAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// What its body says to be long, where no field does: all are told, whether they come before or after its end.
    pub(super) length: Option<u64>,
    /// Fields that only the leader gets (`no-cache="..."`).
    pub(super) without: Vec<HeaderName>,
    pub(super) received_at: u64,
    /// Where it may be stored.
    pub(super) freshness: Option<Freshness>,
    /// Its times for those who waited for it, where it took so long that it is stale for all others.
    pub(super) on_time: Option<Freshness>,
    pub(super) stored: bool,
    pub(super) detail: Option<Detail>,
    /// An origin shield had it stored.
    pub(super) origin_shield_hit: bool,
    /// It stands in the place of an origin's answer.
    pub(super) failure: Option<OriginFailure>,
    /// Which requests it is for.
    pub(super) vary: Option<(Box<[HeaderName]>, VariantKey)>,
    /// When it was asked for, and its tags: those who ask after an invalidation aren't answered by it.
    pub(super) epoch: Epoch,
    pub(super) tags: Box<str>,
}

impl SharedAnswer {
    pub(super) fn status_for(&self, forward: Forward, now: u64) -> CacheStatus {
        CacheStatus {
            ttl: self.freshness.map(|freshness| freshness.ttl(now)),
            stored: self.stored,
            detail: self.detail,
            origin_shield_hit: self.origin_shield_hit,
            ..CacheStatus::forwarded(forward)
        }
    }

    /// The answer for a follower: without what was meant for the leader only.
    pub(super) fn for_follower<B>(
        &self,
        settings: &Settings,
        viewer: &Viewer<'_>,
        body: OnItsWay,
        status: CacheStatus,
        now: u64,
    ) -> Response<ResponseBody<B>> {
        let mut headers = self.headers.clone();
        for name in &self.without {
            headers.remove(name);
        }
        // Who comes late is told how old the head is.
        let age = self
            .freshness
            .map_or(0, |freshness| freshness.age(now) / 1000);
        if settings.age && age > 0 {
            headers.insert(header::AGE, age.into());
        }
        let mut response = self.respond(settings, viewer, headers, body, status);
        if let Some(failure) = self.failure {
            response.extensions_mut().insert(failure);
        }
        response
    }

    /// The answer for one of them: its own condition is answered here, and its own range cut.
    pub(super) fn respond<B>(
        &self,
        settings: &Settings,
        viewer: &Viewer<'_>,
        mut headers: HeaderMap,
        on_its_way: OnItsWay,
        mut status: CacheStatus,
    ) -> Response<ResponseBody<B>> {
        if let Some(length) = self.length {
            headers
                .entry(header::CONTENT_LENGTH)
                .or_insert_with(|| length.into());
        }
        let mut code = self.status;
        let OnItsWay { mut body, opener } = on_its_way;
        if viewer.facts.conditional
            && conditional::is_not_modified(viewer.headers, self.status, &headers, self.received_at)
        {
            status.forward_status = Some(self.status);
            code = StatusCode::NOT_MODIFIED;
            remove_representation_metadata(&mut headers);
            body = StoredBody::absent();
        } else if *viewer.method == Method::HEAD {
            body = StoredBody::absent();
        } else if viewer.facts.range
            && self.status == StatusCode::OK
            && let Some(opener) = opener
            && let Some(length) = content_length(&headers)
        {
            let rules = respond::range_rules(settings);
            let mut selected = range::select(viewer.headers, &headers, length, rules);
            if let Selected::Parts(parts) = &mut selected {
                // In the order in which they come.
                parts.sort_unstable_by_key(|part| part.start);
            }
            let cut = respond::cut(&mut headers, selected, length, |part| {
                opener.open_range(part)
            });
            if let Some((cut_code, part)) = cut {
                status.forward_status = Some(self.status);
                (code, body) = (cut_code, part);
            }
        }
        let mut response = Response::new(ResponseBody::stored(body));
        *response.status_mut() = code;
        *response.headers_mut() = headers;
        respond::annotate(settings, Some(viewer.key), &mut response, status);
        response
    }
}
