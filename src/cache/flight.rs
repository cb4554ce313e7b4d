//! What flights are called, and what their followers are told.

use super::{
    respond::{self, Viewer},
    settings::Settings,
};
use crate::{
    body::{ResponseBody, StoredBody},
    coalesce::Landing,
    conditional,
    freshness::Forward,
    headers::remove_representation_metadata,
    key::{CacheKey, VariantKey},
    status::{CacheStatus, Detail},
    store::Object,
};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use std::sync::Arc;

/// What is fetched once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    pub(super) key: CacheKey,
    /// A `HEAD` may follow a `GET`, a `GET` never a `HEAD`.
    pub(super) head: bool,
    /// Known once a response said what it varies by.
    pub(super) variant: Option<VariantKey>,
}

pub(super) type FlightLanding = Landing<FlightKey, Outcome>;

/// What the followers of a flight are told.
pub(super) enum Outcome {
    /// An answer whose body is on its way, and a reader of it; none for who comes after its beginning is gone.
    Shared(Arc<SharedAnswer>, Option<StoredBody>),
    /// A stored object, found or confirmed.
    Object(Object, CacheStatus),
    /// The answer can't be shared, and neither can the next.
    Uncacheable(Detail),
    /// The answer was for the leader's request only: somebody else may lead.
    Again,
    /// There was no answer.
    Failed(StatusCode),
}

/// The head of an answer that several get.
pub(super) struct SharedAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Fields that only the leader gets (`no-cache="..."`).
    pub(super) without: Vec<HeaderName>,
    pub(super) received_at: u64,
    pub(super) ttl: Option<i64>,
    pub(super) stored: bool,
    pub(super) detail: Option<Detail>,
    /// Which requests it is for.
    pub(super) vary: Option<(Box<[HeaderName]>, VariantKey)>,
}

impl SharedAnswer {
    pub(super) fn status_for(&self, forward: Forward) -> CacheStatus {
        CacheStatus {
            ttl: self.ttl,
            stored: self.stored,
            detail: self.detail,
            ..CacheStatus::forwarded(forward)
        }
    }

    /// The answer for a follower: without what was meant for the leader only.
    pub(super) fn for_follower<B>(
        &self,
        settings: &Settings,
        viewer: &Viewer<'_>,
        body: StoredBody,
        status: CacheStatus,
    ) -> Response<ResponseBody<B>> {
        let mut headers = self.headers.clone();
        for name in &self.without {
            headers.remove(name);
        }
        self.respond(settings, viewer, headers, body, status)
    }

    /// The answer for one of them: its own condition is answered here.
    pub(super) fn respond<B>(
        &self,
        settings: &Settings,
        viewer: &Viewer<'_>,
        mut headers: HeaderMap,
        mut body: StoredBody,
        mut status: CacheStatus,
    ) -> Response<ResponseBody<B>> {
        let mut code = self.status;
        if viewer.facts.conditional
            && conditional::is_not_modified(viewer.headers, self.status, &headers, self.received_at)
        {
            status.forward_status = Some(self.status);
            code = StatusCode::NOT_MODIFIED;
            remove_representation_metadata(&mut headers);
            body = StoredBody::absent();
        } else if *viewer.method == Method::HEAD {
            body = StoredBody::absent();
        }
        let mut response = Response::new(ResponseBody::stored(body));
        *response.status_mut() = code;
        *response.headers_mut() = headers;
        respond::annotate(settings, &mut response, status);
        response
    }
}
