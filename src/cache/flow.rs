//! A request that the store alone could not answer: alone, leading a fetch, or following one.

use super::{
    asked::Asked,
    core::OverMaxFetches,
    fetch::{self, Fetch},
    flight::{FlightLanding, Outcome},
    lookup::{Found, LookUp},
    piece::ask_for_block,
    respond,
    sent::Sent,
    wait::Waited,
};
use crate::{
    body::ResponseBody,
    coalesce::Joined,
    error::BoxError,
    forward,
    freshness::{Forward, Refusal},
    key::VariantKey,
    policy::RangeMiss,
    range,
    ready::CallWhenReady,
    status::{CacheStatus, Detail},
    store::Store,
};
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use std::{pin::pin, time::Duration};
use tokio::time::Instant;
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
    // What most requests don't come to is boxed: a future is moved as a whole, with all that it may ever hold.
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
        let mut just_failed = false;
        let mut uncacheable = None;
        let mut room_until = None;
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
            if let Some(answer) = self.asked.at_hand(&found, just_failed) {
                if matches!(found, Found::Refresh(..)) {
                    self.refresh(found, variant);
                }
                return Ok(answer);
            }
            let forward = found.forward();
            let policy = &self.asked.settings.policy;
            if policy.freshness().asks_only_if_cached(&self.asked.facts) {
                return Ok(respond::only_if_cached(
                    &self.asked.settings,
                    &self.asked.key,
                ));
            }
            if let Some(detail) = uncacheable {
                return Box::pin(self.alone(found, forward, Some(detail))).await;
            }
            if let Some(detail) = self.asked.must_go_alone() {
                return Box::pin(self.alone(found, forward, detail)).await;
            }
            let flights = &self.asked.core.shared().flights;
            let mut flight = self.asked.flight_key(variant.clone());
            flight.invalidated = flight.invalidated.max(overtaken);
            let is_head = self.asked.parts.method == Method::HEAD;
            // Cut from a whole that is on its way, but not worth fetching one.
            let only_follows = self.asked.facts.range
                && (is_head || self.asked.range_miss() == RangeMiss::Forward);
            let joined = match self.asked.follow_unnamed(&flight) {
                Some(follow) => Some(follow),
                None if is_head || only_follows => flights.follow(&flight),
                None => None,
            };
            let joined = joined.map(Joined::Follow);
            if joined.is_none() && only_follows {
                return Box::pin(self.alone(found, forward, None)).await;
            }
            let joined = match joined {
                Some(joined) => joined,
                None if policy.freshness().may_lead(&self.asked.facts) => {
                    flight.head = is_head;
                    flights.join(&flight)
                }
                None => match flights.follow(&flight) {
                    Some(follow) => Joined::Follow(follow),
                    None => return Box::pin(self.alone(found, forward, None)).await,
                },
            };
            let joined = match (joined, self.asked.core.shared().limits.over_max_fetches) {
                (Joined::Full, OverMaxFetches::Wait(limit)) => {
                    // Longer than a year would be no instant any more.
                    let limit = limit.min(Duration::from_secs(365 * 86_400));
                    let until = *room_until.get_or_insert_with(|| Instant::now() + limit);
                    Box::pin(self.asked.wait_for_room(&flight, until)).await
                }
                (joined, _) => joined,
            };
            let follow = match joined {
                Joined::Full => return Box::pin(self.over_max_fetches(found, forward)).await,
                Joined::Lead(landing) => return self.lead(landing, found).await,
                Joined::Follow(follow) => follow,
            };
            let may_lead = !only_follows && policy.freshness().may_lead(&self.asked.facts);
            flight.head = is_head;
            let waited = Box::pin(self.asked.wait(follow, &flight, &found, may_lead)).await;
            match waited {
                Waited::Lead(landing) => return self.lead(landing, found).await,
                Waited::Alone => {
                    if let Some(answer) = self.asked.at_hand(&found, true) {
                        return Ok(answer);
                    }
                    return Box::pin(self.alone(found, forward, None)).await;
                }
                Waited::Told(Some(Outcome::Shared(answer, body))) => {
                    if policy.freshness().is_failure(answer.status)
                        && let Some(stale) = self.asked.at_hand(&found, true)
                    {
                        return Ok(stale);
                    }
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
                            return Box::pin(self.alone(found, forward, None)).await;
                        }
                        (_, Some(body)) => return Ok(self.asked.share(&answer, body, forward)),
                        // Too late for its beginning.
                        (_, None) => return Box::pin(self.alone(found, forward, None)).await,
                    }
                }
                Waited::Told(Some(Outcome::Failed(status))) => {
                    if let Some(answer) = self.asked.at_hand(&found, true) {
                        return Ok(answer);
                    }
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
                Waited::Told(Some(Outcome::Again) | None) => {}
                Waited::Told(Some(Outcome::StandIn)) => just_failed = true,
                Waited::Told(Some(Outcome::Uncacheable(detail))) => uncacheable = Some(detail),
                Waited::Told(Some(Outcome::FailedAlone(detail))) => {
                    just_failed = true;
                    uncacheable = Some(detail);
                }
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
        Box::pin(self.alone(found, forward, None)).await
    }

    async fn over_max_fetches(
        self,
        found: Found,
        forward: Forward,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        match self.asked.core.shared().limits.over_max_fetches {
            OverMaxFetches::PassThrough => {
                let detail = Some(Detail::TooManyFetches);
                self.alone(found, forward, detail).await
            }
            OverMaxFetches::Wait(_) => {
                // An error of our own, for which something stale stands in as for one of the origin's.
                let stale = self.asked.at_hand(&found, true);
                Ok(stale.unwrap_or_else(|| respond::shed(&self.asked.settings, &self.asked.key)))
            }
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
        if policy.asks_only_if_cached(&asked.facts) || asked.is_failing() {
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
    fn lead(
        self,
        landing: FlightLanding,
        found: Found,
    ) -> impl Future<Output = Result<Response<ResponseBody<ResBody>>, S::Error>> {
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
        async move {
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
    }

    /// Runs inline, as if there were no cache; what may be stored is stored when it has ended whole.
    async fn alone(
        self,
        found: Found,
        forward: Forward,
        detail: impl Into<Option<Detail>>,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        let detail = detail.into();
        let Self { asked, inner, body } = self;
        let mut sent = Sent::new(&asked, found);
        sent.forward = forward;
        let Asked {
            core,
            settings,
            mut parts,
            facts,
            ..
        } = asked;
        // A range under a condition of its own goes out as it came.
        let own_condition = facts.conditional || parts.headers.contains_key(header::IF_RANGE);
        if !(facts.range && own_condition) {
            sent.condition(&mut parts);
        }
        if settings.policy.is_cloudfront() {
            forward::restrict_request(&mut parts, settings.policy.key_policy());
        }
        ask_for_block(sent.storing.key(), &mut parts.headers);
        let limit = core.shared().limits.fetch_timeout;
        let mut call = pin!(CallWhenReady::new(inner, Request::from_parts(parts, body)));
        // Only where something may stand in is there a reason not to wait for ever.
        let in_time = match sent.has_stale() {
            true => tokio::time::timeout(limit, call.as_mut()).await.ok(),
            false => Some(call.as_mut().await),
        };
        let code = match &in_time {
            Some(Ok(response)) => Some(response.status()),
            _ => None,
        };
        if let Some(answer) = sent.stand_in(code) {
            return Ok(answer);
        }
        let mut response = match in_time {
            Some(answered) => answered?,
            None => call.await?,
        };
        let code = response.status();
        let from_shield = respond::is_origin_shield_hit(&response);
        let confirmed = sent.confirmed(code, response.headers(), from_shield).await;
        if let Some((answer, _)) = confirmed {
            return Ok(answer);
        }
        sent.storing.came(code);
        let (mut fields, judged) = sent.judge(&mut response).await;
        let storing = &sent.storing;
        let may_store = *storing.method() == Method::GET
            && detail != Some(Detail::TooManyFetches)
            && !storing.is_gone(&fields);
        let mut status = CacheStatus {
            detail,
            ttl: judged
                .as_ref()
                .ok()
                .map(|accepted| accepted.freshness.ttl(core.shared().clock.now())),
            ..CacheStatus::forwarded(forward)
        };
        let mut tee = None;
        let is_part = may_store && facts.range && code == StatusCode::PARTIAL_CONTENT;
        if is_part {
            match storing.tee_extent(&fields).await {
                Ok((taken, ttl)) => (tee, status.ttl) = (Some(taken), Some(ttl)),
                Err(reason) => status.detail = status.detail.or(reason),
            }
        }
        storing.restrict(&mut fields);
        storing.restrict(response.headers_mut());
        match &judged {
            _ if is_part => {}
            Ok(_) if facts.range && range::may_be_of_range(code) => {
                status.ttl = None;
                status.detail = status.detail.or(Some(Detail::NotStored(Refusal::Status)));
            }
            // A range may be answered with the whole, or with the news that there is no such thing.
            Ok(accepted) if may_store => {
                tee = storing.tee(code, &fields, accepted);
                let refused = tee.is_none().then_some(Detail::NoRoom);
                status.detail = status.detail.or(refused);
            }
            Err(refusal) => {
                if sent.is_lasting(*refusal, &facts, code, &fields) {
                    storing.mark_uncacheable();
                }
                status.detail = status.detail.or(Some(Detail::NotStored(*refusal)));
            }
            Ok(_) => {}
        }
        let is_accepted = tee.is_some() || (judged.is_ok() && !is_part);
        if is_accepted && !settings.policy.freshness().may_lead(&facts) {
            storing.is_lifted();
        }
        status.stored = tee.is_some();
        if status.stored && status.detail == Some(Detail::Uncacheable) {
            status.detail = None;
        }
        let mut response = response.map(|body| match tee {
            Some(tee) => ResponseBody::teed(body, tee),
            None => ResponseBody::inner(body),
        });
        respond::annotate(&settings, Some(storing.key()), &mut response, status);
        Ok(response)
    }
}
