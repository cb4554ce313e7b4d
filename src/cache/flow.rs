//! A request that the store alone could not answer: alone, leading a fetch, or following one.

use super::{
    asked::Asked,
    confirm::{confirm, described},
    core::OverMaxFetches,
    fetch::{self, Fetch},
    flight::{FlightLanding, Outcome},
    future::CallWhenReady,
    lookup::{Found, LookUp, times},
    respond::{self, Viewer},
    stale::{StandIn, has_good},
    storing::Storing,
};
use crate::{
    body::ResponseBody,
    coalesce::Joined,
    conditional,
    error::BoxError,
    forward,
    freshness::{self, Forward, Refusal},
    headers::remove_hop_by_hop,
    key::VariantKey,
    policy::RangeMiss,
    status::{CacheStatus, Detail},
    store::Store,
};
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use std::{pin::pin, time::Duration};
use tower_service::Service;

/// How often a follower may find that another's fetch was not for it before it goes alone.
const MAX_FLIGHTS: usize = 4;

/// A request, and all that is needed to answer it.
pub(super) struct Flow<S, St, ReqBody> {
    pub(super) asked: Asked<St>,
    pub(super) inner: S,
    pub(super) body: ReqBody,
}

/// How far the look-up came before the request got here.
pub(super) enum First<St: Store> {
    LookUp(LookUp<St>),
    Found(Found, Option<VariantKey>),
}

impl<S, St, ReqBody, ResBody> Flow<S, St, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: Send + 'static,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    pub(super) async fn run(
        self,
        first: First<St>,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        let (mut found, mut variant) = match first {
            First::Found(found, variant) => (found, variant),
            First::LookUp(look_up) => self.asked.look_up(look_up).await,
        };
        let came = self.asked.core.shared().clock.now();
        let came_at = self.asked.core.shared().invalidations.epoch().number;
        let mut overtaken = 0;
        for _ in 0..MAX_FLIGHTS {
            // What only its own viewer may get refreshes nothing for others.
            if let Found::Refresh(object, part) = found {
                let may_lead = self
                    .asked
                    .settings
                    .policy
                    .freshness()
                    .may_lead(&self.asked.facts);
                found = match may_lead {
                    true => Found::Refresh(object, part),
                    false => Found::Validate(object, part, Forward::Stale),
                };
            }
            let forward = found.forward();
            match &found {
                Found::Usable(object) => {
                    return Ok(self.asked.answer(object, None));
                }
                Found::Refresh(object, _) => {
                    let detail = Some(Detail::StaleWhileRevalidate);
                    let answer = self.asked.answer(object, detail);
                    self.refresh(found, variant);
                    return Ok(answer);
                }
                Found::Validate(object, _, _) if self.asked.stands_in(object) => {
                    return Ok(self.asked.answer(object, Some(Detail::StaleIfError)));
                }
                Found::Validate(..) | Found::Nothing(_) => {}
            }
            let policy = &self.asked.settings.policy;
            if policy.freshness().asks_only_if_cached(&self.asked.facts) {
                return Ok(respond::only_if_cached(
                    &self.asked.settings,
                    &self.asked.key,
                ));
            }
            if let Some(detail) = self.asked.must_go_alone() {
                return self.alone(found, forward, detail).await;
            }
            let flights = &self.asked.core.shared().flights;
            let mut flight = self.asked.flight_key(variant.clone());
            flight.invalidated = flight.invalidated.max(overtaken);
            let is_head = self.asked.parts.method == Method::HEAD;
            // Cut from a whole that is on its way, but not worth fetching one.
            let only_follows =
                self.asked.facts.range && (is_head || policy.range_miss() == RangeMiss::Forward);
            let joined = match is_head || only_follows {
                true => flights.follow(&flight).map(Joined::Follow),
                false => None,
            };
            if joined.is_none() && only_follows {
                return self.alone(found, forward, None).await;
            }
            let joined = match joined {
                Some(joined) => joined,
                None if policy.freshness().may_lead(&self.asked.facts) => {
                    flight.head = is_head;
                    flights.join(&flight)
                }
                None => match flights.follow(&flight) {
                    Some(follow) => Joined::Follow(follow),
                    None => return self.alone(found, forward, None).await,
                },
            };
            let joined = match (joined, self.asked.core.shared().limits.over_max_fetches) {
                (Joined::Full, OverMaxFetches::Wait(limit)) => {
                    self.asked.wait_for_room(&flight, limit).await
                }
                (joined, _) => joined,
            };
            let follow = match joined {
                Joined::Full => return self.over_max_fetches(found, forward).await,
                Joined::Lead(landing) => return self.lead(landing, found).await,
                Joined::Follow(follow) => follow,
            };
            let limit: Duration = self.asked.core.shared().limits.collapse_timeout;
            match tokio::time::timeout(limit, follow).await {
                Err(_elapsed) => {
                    if let Found::Validate(object, _, _) = &found
                        && self.asked.may_stand_in(object)
                    {
                        return Ok(self.asked.answer(object, Some(Detail::StaleIfError)));
                    }
                    return self.alone(found, forward, None).await;
                }
                Ok(Some(Outcome::Shared(answer, body))) => {
                    if let Some(epoch) = self.asked.overtaken(&answer, came_at) {
                        // Fetched anew, together with those that came after the invalidation, too.
                        overtaken = epoch;
                        continue;
                    }
                    let own = answer.vary.as_ref().map(|(fields, key)| {
                        let order = self.asked.settings.policy.freshness().list_order();
                        let own = VariantKey::of(fields, &self.asked.parts.headers, order);
                        (own, key)
                    });
                    match (own, body) {
                        (Some((own, key)), _) if own != *key => {
                            // Another variant: fetched together with those that ask for the same.
                            variant = Some(own);
                            found = Found::Nothing(Forward::VaryMiss);
                            continue;
                        }
                        _ if self.asked.is_not_for_this(&answer, came) => {
                            return self.alone(found, forward, None).await;
                        }
                        (_, Some(body)) => return Ok(self.asked.share(&answer, body, forward)),
                        // Too late for its beginning.
                        (_, None) => return self.alone(found, forward, None).await,
                    }
                }
                Ok(Some(Outcome::Uncacheable(detail))) => {
                    let (found, _) = self
                        .asked
                        .look_up(LookUp::again(
                            &self.asked.core.shared().store,
                            &self.asked.key,
                        ))
                        .await;
                    return self.alone(found, forward, Some(detail)).await;
                }
                Ok(Some(Outcome::Failed(status))) => {
                    let said = CacheStatus {
                        collapsed: true,
                        ..CacheStatus::forwarded(forward)
                    };
                    return Ok(respond::failure(
                        &self.asked.settings,
                        &self.asked.key,
                        status,
                        said,
                        Detail::FetchFailed,
                    ));
                }
                // What answers is in the store now, or the answer was for the leader alone, or the leader is gone.
                Ok(Some(Outcome::Again) | None) => {}
            }
            (found, variant) = self
                .asked
                .look_up(LookUp::again(
                    &self.asked.core.shared().store,
                    &self.asked.key,
                ))
                .await;
        }
        let forward = found.forward();
        self.alone(found, forward, None).await
    }

    async fn over_max_fetches(
        self,
        found: Found,
        forward: Forward,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        let detail = Detail::TooManyFetches;
        match self.asked.core.shared().limits.over_max_fetches {
            OverMaxFetches::PassThrough => self.alone(found, forward, Some(detail)).await,
            OverMaxFetches::Wait(_) => Ok(respond::failure(
                &self.asked.settings,
                &self.asked.key,
                StatusCode::SERVICE_UNAVAILABLE,
                CacheStatus::forwarded(forward),
                detail,
            )),
        }
    }

    /// Fetches in a task of its own, and waits for nothing: unless another does it, or the origin failed a moment ago.
    fn refresh(self, found: Found, variant: Option<VariantKey>) {
        let Self {
            mut asked,
            inner,
            body,
        } = self;
        let shared = asked.core.shared();
        let policy = asked.settings.policy.freshness();
        if policy.asks_only_if_cached(&asked.facts)
            || shared.failing.is_marked(&asked.key, shared.clock.now())
        {
            return;
        }
        let flight = asked.flight_key(variant);
        let Joined::Lead(landing) = shared.flights.join(&flight) else {
            return;
        };
        asked.ask_for_the_whole();
        drop(fetch::start(Fetch {
            asked,
            inner,
            body,
            landing,
            found,
        }));
    }

    /// Fetches in a task of its own, and waits for its head.
    async fn lead(
        self,
        landing: FlightLanding,
        found: Found,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        let Self { asked, inner, body } = self;
        let (settings, key) = (asked.settings.clone(), asked.key.clone());
        let status = CacheStatus::forwarded(found.forward());
        let answer = fetch::start(Fetch {
            asked,
            inner,
            body,
            landing,
            found,
        });
        match answer.await {
            Ok(answer) => answer,
            // The task is gone: the runtime is shutting down.
            Err(_gone) => Ok(respond::failure(
                &settings,
                &key,
                StatusCode::INTERNAL_SERVER_ERROR,
                status,
                Detail::FetchFailed,
            )),
        }
    }

    /// Runs inline, as if there were no cache; what may be stored is stored when it has ended whole.
    async fn alone(
        self,
        found: Found,
        forward: Forward,
        detail: impl Into<Option<Detail>>,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        let detail = detail.into();
        let Self {
            asked:
                Asked {
                    core,
                    settings,
                    mut parts,
                    facts,
                    key,
                },
            inner,
            body,
        } = self;
        let viewer_method = parts.method.clone();
        let storing = Storing::new(&core, &settings, key, &parts, &facts);
        let mut stored = None;
        let mut stand_in = None;
        if let Found::Validate(object, part, _) | Found::Refresh(object, part) = found {
            stand_in = Some(StandIn {
                object: object.clone(),
                forward,
            });
            // A range under a condition of its own goes out as it came.
            let own_condition = facts.conditional || parts.headers.contains_key(header::IF_RANGE);
            if !(facts.range && own_condition)
                && conditional::condition_on(&mut parts.headers, &object.head().headers)
            {
                stored = Some((object, part));
            }
        }
        if settings.policy.is_cloudfront() {
            forward::restrict_request(&mut parts, settings.policy.key_policy());
        }
        let limit = core.shared().limits.fetch_timeout;
        let mut call = pin!(CallWhenReady::new(inner, Request::from_parts(parts, body)));
        // Only where something stands in is there a reason not to wait for ever.
        let in_time = match &stand_in {
            Some(_) => tokio::time::timeout(limit, call.as_mut()).await.ok(),
            None => Some(call.as_mut().await),
        };
        let viewer = Viewer {
            key: storing.key(),
            method: &viewer_method,
            headers: storing.request(),
            facts: &facts,
        };
        let failed = match &in_time {
            None | Some(Err(_)) => Some(None),
            Some(Ok(response)) => {
                let is_failure = settings.policy.freshness().is_failure(response.status());
                is_failure.then_some(Some(response.status()))
            }
        };
        if let (Some(failed), Some(stand_in)) = (failed, &stand_in)
            && let Some(answer) = stand_in.answer(&core, &settings, &viewer, failed)
        {
            return Ok(answer);
        }
        let mut response = match in_time {
            Some(answered) => answered?,
            None => call.await?,
        };
        if failed.is_none() {
            core.shared().failing.lift(storing.key());
        }

        let mut status = CacheStatus {
            detail,
            ..CacheStatus::forwarded(forward)
        };
        if let Some((object, part)) = stored
            && response.status() == StatusCode::NOT_MODIFIED
        {
            let confirmed = confirm(&core, &storing, &object, part, response.headers()).await;
            status.forward_status = Some(StatusCode::NOT_MODIFIED);
            status.stored = confirmed.stored;
            status.detail = Some(Detail::Revalidated);
            let now = core.shared().clock.now();
            status.ttl = Some(times(core.shared(), &confirmed.object, now).ttl(now));
            return Ok(respond::stored(
                &settings,
                &viewer,
                &confirmed.object,
                now,
                status,
            ));
        }

        let mut fields = response.headers().clone();
        remove_hop_by_hop(&mut fields);
        if viewer_method == Method::HEAD && response.status() == StatusCode::OK {
            described(&core, &settings, &storing, &fields).await;
        }
        let code = response.status();
        let mut judged = storing.judge(code, &fields);
        if judged.is_ok()
            && has_good(&core, &settings, storing.key(), storing.request(), code).await
        {
            judged = Err(Refusal::GoodAtHand);
        }
        let may_store = viewer_method == Method::GET && detail != Some(Detail::TooManyFetches);
        let is_part = facts.range && response.status() == StatusCode::PARTIAL_CONTENT;
        let mut tee = None;
        if may_store && is_part {
            tee = storing.tee_extent(&fields).await;
        }
        storing.restrict(&mut fields);
        storing.restrict(response.headers_mut());
        let shared = core.shared();
        status.ttl = judged
            .as_ref()
            .ok()
            .map(|accepted| accepted.freshness.ttl(shared.clock.now()));
        match &judged {
            _ if tee.is_some() => {}
            // A range may be answered with the whole.
            Ok(accepted) if may_store && (!facts.range || response.status() == StatusCode::OK) => {
                tee = storing.tee(response.status(), &fields, accepted);
                let refused = tee.is_none().then_some(Detail::NoRoom);
                status.detail = status.detail.or(refused);
            }
            Err(refusal) => {
                if freshness::is_lasting(*refusal, &facts, response.status()) {
                    shared.mark_uncacheable(storing.key());
                }
                status.detail = status.detail.or(Some(Detail::NotStored(*refusal)));
            }
            Ok(_) => {}
        }
        status.stored = tee.is_some();
        let mut response = response.map(|body| match tee {
            Some(tee) => ResponseBody::teed(body, tee),
            None => ResponseBody::inner(body),
        });
        respond::annotate(&settings, Some(storing.key()), &mut response, status);
        Ok(response)
    }
}
