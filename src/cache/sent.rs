//! A request that goes on to the inner service, alone or for others, too: what its answer means beside what is stored.

use super::{
    CacheCore,
    asked::Asked,
    confirm::{confirm, described},
    core::Shared,
    lookup::{Found, times},
    respond::{self, Viewer},
    settings::Settings,
    stale::{has_good, may_stand_in},
    storing::{Accepted, Storing},
};
use crate::{
    body::ResponseBody,
    conditional::{self, Revalidation},
    freshness::{self, Forward, Freshness, Refusal},
    headers::{RequestFacts, is_transfer_coded, remove_hop_by_hop},
    status::{CacheStatus, Detail},
    store::{Expected, Object, Part, Store},
};
use http::{HeaderMap, Method, Response, StatusCode, header, request::Parts};
use http_body::Body;

/// What remains of the request, and what was there for it.
pub(super) struct Sent<St> {
    pub(super) storing: Storing<St>,
    pub(super) forward: Forward,
    /// Stale, or to be confirmed.
    there: Option<(Object, Part)>,
    /// A 304 means what is there.
    conditioned: bool,
}

impl<St: Store> Sent<St> {
    pub(super) fn new(asked: &Asked<St>, found: Found) -> Self {
        let Asked {
            core,
            settings,
            parts,
            facts,
            key,
            ..
        } = asked;
        let forward = found.forward();
        Self {
            storing: Storing::new(
                core,
                settings,
                key.clone(),
                parts,
                facts,
                asked.address().into(),
            ),
            forward,
            there: match found {
                Found::Validate(object, part, _) | Found::Refresh(object, part) => {
                    Some((object, part))
                }
                Found::Usable(_) | Found::Nothing(_) => None,
            },
            conditioned: false,
        }
    }

    pub(super) fn core(&self) -> &CacheCore<St> {
        self.storing.core()
    }

    pub(super) fn shared(&self) -> &Shared<St> {
        self.storing.shared()
    }

    pub(super) fn settings(&self) -> &Settings {
        self.storing.settings()
    }

    pub(super) fn viewer(&self) -> Viewer<'_> {
        Viewer {
            key: self.storing.key(),
            method: self.storing.method(),
            headers: self.storing.request(),
            facts: self.storing.facts(),
        }
    }

    /// Whether something stale is there, which may stand in for an answer that doesn't come.
    pub(super) fn has_stale(&self) -> bool {
        self.there.is_some()
    }

    /// Asks the inner service whether what is there is still good. `false` where that can't be asked.
    pub(super) fn condition(&mut self, request: &mut Parts) -> bool {
        self.conditioned = self.there.as_ref().is_some_and(|(object, _)| {
            conditional::condition_on(&mut request.headers, &object.head().headers)
        });
        if request.headers.contains_key(header::IF_MODIFIED_SINCE) && self.conditioned {
            request.extensions.insert(Revalidation);
        }
        self.conditioned
    }

    /// The stale answer that stands in after a failure: a status of the origin's, or none at all. After one, the origin isn't
    /// asked again at once by those whom something stale will do. `None` where there is no
    /// failure, or nothing that may be used so.
    pub(super) fn stand_in<B>(
        &self,
        answered: Option<StatusCode>,
    ) -> Option<Response<ResponseBody<B>>> {
        let (shared, key, settings) = (self.shared(), self.storing.key(), self.settings());
        let policy = settings.policy.freshness();
        if answered.is_some_and(|code| !policy.is_failure(code)) {
            shared.failing.lift(key);
            return None;
        }
        let now = shared.clock.now();
        shared.failing.mark(key, now, policy.retry_after(answered));
        let (object, _) = self.there.as_ref()?;
        if !may_stand_in(self.core(), settings, &self.viewer(), object, now) {
            return None;
        }
        let status = CacheStatus {
            forward_status: answered,
            ttl: Some(times(shared, object, now).ttl(now)),
            detail: Some(Detail::StaleIfError),
            ..CacheStatus::forwarded(self.forward)
        };
        tracing::warn!(%key, code = answered.map(|code| code.as_u16()), "the origin failed: a stale response stands in");
        Some(respond::stored(
            settings,
            &self.viewer(),
            object,
            now,
            status,
        ))
    }

    /// The answer that a 304 confirms, and whether others may have it, too. `None` where this isn't one.
    pub(super) async fn confirmed<B>(
        &self,
        code: StatusCode,
        fields: &HeaderMap,
        origin_shield_hit: bool,
    ) -> Option<(Response<ResponseBody<B>>, bool)> {
        let (object, part) = self.there.as_ref().filter(|_| self.conditioned)?;
        if code != StatusCode::NOT_MODIFIED {
            return None;
        }
        let confirmed = Box::pin(confirm(&self.storing, object, *part, fields)).await;
        let now = self.shared().clock.now();
        let times = times(self.shared(), &confirmed.object, now);
        let mut status = CacheStatus {
            forward_status: Some(StatusCode::NOT_MODIFIED),
            ttl: Some(times.ttl(now)),
            stored: confirmed.stored,
            origin_shield_hit,
            ..CacheStatus::forwarded(self.forward)
        };
        let (settings, viewer) = (self.settings(), self.viewer());
        let may_stand_in = || may_stand_in(self.core(), settings, &viewer, &confirmed.object, now);
        status.detail = match confirmed.is_other {
            false => Some(Detail::Revalidated),
            true if times.is_fresh(now) && !times.always_validate => None,
            true if may_stand_in() => Some(Detail::StaleIfError),
            true => {
                // Of no use to anybody then, whoever it was that asked.
                let expected = Expected::Version(object.version());
                let store = &self.shared().store;
                let _removed = store.swap(self.storing.key(), *part, expected, None).await;
                status.ttl = None;
                let (key, code) = (self.storing.key(), StatusCode::BAD_GATEWAY);
                let answer = respond::failure(settings, key, code, status, Detail::FetchFailed);
                return Some((answer, confirmed.shareable));
            }
        };
        let answer = respond::stored(settings, &viewer, &confirmed.object, now, status);
        Some((answer, confirmed.shareable))
    }

    /// Whether the next answer for the key won't be stored either, by what the inner service was asked.
    pub(super) fn is_lasting(
        &self,
        refusal: Refusal,
        asked: &RequestFacts,
        code: StatusCode,
        fields: &HeaderMap,
    ) -> bool {
        freshness::is_lasting(refusal, asked, self.storing.judged_as(code))
            && self.on_time(refusal, code, fields).is_none()
    }

    /// The times, for those who waited for it, of a response that isn't stored only because it took so long to come, or is one
    /// that isn't kept here.
    pub(super) fn on_time(
        &self,
        refusal: Refusal,
        code: StatusCode,
        fields: &HeaderMap,
    ) -> Option<Freshness> {
        let may_share = matches!(
            refusal,
            Refusal::Stale | Refusal::Error | Refusal::StoresNothing
        );
        may_share.then(|| self.storing.on_time(code, fields))?
    }

    /// The end-to-end fields of a response, and whether it may be stored. (A shared borrow would ask the body to be `Sync`.)
    pub(super) async fn judge<B: Body>(
        &mut self,
        response: &mut Response<B>,
    ) -> (HeaderMap, Result<Accepted, Refusal>) {
        let code = response.status();
        let mut fields = response.headers().clone();
        remove_hop_by_hop(&mut fields);
        if *self.storing.method() != Method::HEAD && is_transfer_coded(response.headers()) {
            for line in response.headers().get_all(header::TRANSFER_ENCODING) {
                fields.append(header::TRANSFER_ENCODING, line.clone());
            }
            return (fields, Err(Refusal::TransferCoding));
        }
        if *self.storing.method() == Method::HEAD {
            // A body that axum has yet to drop still tells its length.
            if let Some(length) = response.body().size_hint().exact()
                && !response.body().is_end_stream()
            {
                let length = length.into();
                fields.entry(header::CONTENT_LENGTH).or_insert(length);
            }
            if code == StatusCode::OK {
                Box::pin(described(&self.storing, &fields)).await;
            }
        }
        let mut judged = self.storing.judge(code, &fields);
        if judged.is_ok() && has_good(&self.storing, code).await {
            judged = Err(Refusal::GoodAtHand);
        }
        let judged = self.storing.as_block(code, &mut fields, judged);
        (fields, judged)
    }
}
