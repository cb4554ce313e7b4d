//! A fetch that several may share: a task of its own, which outlives the viewer that started it.

use super::{
    CacheCore,
    asked::Asked,
    carry::Sink,
    confirm::{Confirmed, confirm, described},
    flight::{FlightLanding, OnItsWay, Outcome, SharedAnswer},
    future::CallWhenReady,
    lookup::{Found, LookUp, times},
    nested::mark_led,
    respond::{self, Viewer},
    settings::Settings,
    spawn::spawn,
    stale::{StandIn, has_good},
    storing::{Storage, Storing, announced_length},
};
use crate::{
    body::ResponseBody,
    conditional,
    error::BoxError,
    forward,
    freshness::{self, Forward, Refusal},
    headers::{RequestFacts, remove_hop_by_hop},
    key::CacheKey,
    status::{CacheStatus, Detail},
    store::Store,
};
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body;
use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc};
use tokio::sync::oneshot;
use tower_service::Service;

/// A fetch to be started.
pub(super) struct Fetch<S, St, ReqBody> {
    pub(super) asked: Asked<St>,
    pub(super) inner: S,
    pub(super) body: ReqBody,
    pub(super) landing: FlightLanding,
    pub(super) found: Found,
}

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// Starts it; the leader's answer comes through what this gives.
pub(super) fn start<S, St, ReqBody, ResBody>(
    fetch: Fetch<S, St, ReqBody>,
) -> oneshot::Receiver<Answer<ResBody, S::Error>>
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
    let (answer, receiver) = oneshot::channel();
    let ended = Ended(fetch.asked.core.clone());
    spawn(async move {
        fetch.run(answer).await;
        drop(ended);
    });
    receiver
}

/// Makes room for another fetch, however this one ends.
struct Ended<St>(CacheCore<St>);

impl<St> Drop for Ended<St> {
    fn drop(&mut self) {
        self.0.shared().room.notify_one();
    }
}

/// The leader's request, without what went to the inner service.
struct Led<St> {
    core: CacheCore<St>,
    settings: Arc<Settings>,
    key: CacheKey,
    method: Method,
    facts: RequestFacts,
    conditions: HeaderMap,
    forward: Forward,
    /// What is there already, stale.
    stand_in: Option<StandIn>,
}

/// Those who wait: the followers, and the leader.
struct Waiting<B, E> {
    others: FlightLanding,
    leader: oneshot::Sender<Answer<B, E>>,
}

impl<B, E> Waiting<B, E> {
    /// Tells all. A leader's viewer may be gone by now.
    fn tell(mut self, outcome: impl Fn() -> Outcome + Send + 'static, leader: Answer<B, E>) {
        self.others.land(outcome);
        self.others.close();
        drop(self.leader.send(leader));
    }
}

impl<S, St, ReqBody, ResBody> Fetch<S, St, ReqBody>
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
    async fn run(self, leader: oneshot::Sender<Answer<ResBody, S::Error>>) {
        let Self {
            asked,
            inner,
            body,
            landing,
            mut found,
        } = self;
        let waiting = Waiting {
            others: landing,
            leader,
        };
        // Between the look-up and the flight, another may have ended.
        if !asked
            .settings
            .policy
            .freshness()
            .asks_to_reload(&asked.facts)
        {
            match asked
                .look_up(LookUp::again(&asked.core.shared().store, &asked.key))
                .await
                .0
            {
                Found::Usable(object) => {
                    let answer = asked.answer(&object, None);
                    return waiting.tell(|| Outcome::Again, Ok(answer));
                }
                Found::Validate(object, _, _) if asked.stands_in(&object) => {
                    let answer = asked.answer(&object, Some(Detail::StaleIfError));
                    return waiting.tell(|| Outcome::Again, Ok(answer));
                }
                stale @ (Found::Refresh(..) | Found::Validate(..)) => found = stale,
                Found::Nothing(_) => found = Found::Nothing(found.forward()),
            }
        }

        let forward = found.forward();
        let Asked {
            core,
            settings,
            mut parts,
            facts,
            key,
        } = asked;
        let conditions = respond::viewer_fields(&parts.headers);
        let storing = Storing::new(&core, &settings, key.clone(), &parts, &facts);
        let mut led = Led {
            core,
            settings,
            key,
            method: parts.method.clone(),
            facts,
            conditions,
            forward,
            stand_in: None,
        };
        let mut stored = None;
        match found {
            Found::Validate(object, part, _) | Found::Refresh(object, part) => {
                led.stand_in = Some(StandIn {
                    object: object.clone(),
                    forward,
                });
                if conditional::condition_on(&mut parts.headers, &object.head().headers) {
                    stored = Some((object, part));
                }
            }
            Found::Usable(_) | Found::Nothing(_) => {
                conditional::remove_conditions(&mut parts.headers)
            }
        }
        if led.settings.policy.is_cloudfront() {
            forward::restrict_request(&mut parts, led.settings.policy.key_policy());
        }

        // The whole is fetched, and the viewer's range cut from it.
        parts.headers.remove(header::RANGE);
        mark_led(&mut parts, &led.core);
        let call = AssertUnwindSafe(CallWhenReady::new(inner, Request::from_parts(parts, body)))
            .catch_unwind();
        let timeout = led.core.shared().limits.fetch_timeout;
        let answered = tokio::time::timeout(timeout, call).await;
        let failed = match &answered {
            Ok(Ok(Ok(response))) => {
                let is_failure = led
                    .settings
                    .policy
                    .freshness()
                    .is_failure(response.status());
                is_failure.then_some(Some(response.status()))
            }
            _ => Some(None),
        };
        match failed {
            None => led.core.shared().failing.lift(storing.key()),
            Some(failed) => {
                if let Some(answer) = led.stand_in(failed) {
                    // The others find it, too: it stands in until the origin is asked again.
                    return waiting.tell(|| Outcome::Again, Ok(answer));
                }
            }
        }
        match answered {
            Ok(Ok(Ok(response))) => match stored {
                Some((object, part)) if response.status() == StatusCode::NOT_MODIFIED => {
                    let confirmed =
                        confirm(&led.core, &storing, &object, part, response.headers()).await;
                    led.confirmed(waiting, confirmed);
                }
                _ => led.received(waiting, storing, response).await,
            },
            Ok(Ok(Err(error))) => {
                // Its type is the inner service's own: the leader gets the error, the others hear of it.
                tracing::warn!(key = %storing.key(), "the inner service failed");
                waiting.tell(|| Outcome::Failed(StatusCode::BAD_GATEWAY), Err(error));
            }
            Ok(Err(_panic)) => {
                tracing::error!(key = %storing.key(), "the inner service panicked");
                led.failed(waiting, StatusCode::INTERNAL_SERVER_ERROR);
            }
            Err(_elapsed) => {
                tracing::warn!(key = %storing.key(), ?timeout, "no head within fetch_timeout");
                led.failed(waiting, StatusCode::GATEWAY_TIMEOUT);
            }
        }
    }
}

impl<St: Store> Led<St> {
    /// The stale answer after a failure, if there is one that may be used.
    fn stand_in<B>(&self, failed: Option<StatusCode>) -> Option<Response<ResponseBody<B>>> {
        let stand_in = self.stand_in.as_ref()?;
        stand_in.answer(&self.core, &self.settings, &self.viewer(), failed)
    }

    fn viewer(&self) -> Viewer<'_> {
        Viewer {
            key: &self.key,
            method: &self.method,
            headers: &self.conditions,
            facts: &self.facts,
        }
    }

    fn failed<B, E>(self, waiting: Waiting<B, E>, code: StatusCode) {
        let status = CacheStatus::forwarded(self.forward);
        let answer = respond::failure(&self.settings, &self.key, code, status, Detail::FetchFailed);
        waiting.tell(move || Outcome::Failed(code), Ok(answer));
    }

    fn confirmed<B, E>(self, waiting: Waiting<B, E>, confirmed: Confirmed) {
        let now = self.core.shared().clock.now();
        let status = CacheStatus {
            forward_status: Some(StatusCode::NOT_MODIFIED),
            ttl: Some(times(self.core.shared(), &confirmed.object, now).ttl(now)),
            stored: confirmed.stored,
            detail: Some(Detail::Revalidated),
            ..CacheStatus::forwarded(self.forward)
        };
        let viewer = self.viewer();
        let answer = respond::stored(&self.settings, &viewer, &confirmed.object, now, status);
        let shareable = confirmed.shareable;
        // Stored by now: each finds it, if it is for it.
        let outcome = move || match shareable {
            true => Outcome::Again,
            false => Outcome::Uncacheable(Detail::Uncacheable),
        };
        waiting.tell(outcome, Ok(answer));
    }

    /// A head came: may it be stored, may it be shared?
    async fn received<B, E>(
        self,
        mut waiting: Waiting<B, E>,
        storing: Storing<St>,
        mut response: Response<B>,
    ) where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let code = response.status();
        let mut fields = response.headers().clone();
        remove_hop_by_hop(&mut fields);
        if self.method == Method::HEAD && code == StatusCode::OK {
            described(&self.core, &self.settings, &storing, &fields).await;
        }
        let mut judged = storing.judge(code, &fields);
        if judged.is_ok()
            && has_good(
                &self.core,
                &self.settings,
                storing.key(),
                storing.request(),
                code,
            )
            .await
        {
            judged = Err(Refusal::GoodAtHand);
        }
        storing.restrict(&mut fields);
        storing.restrict(response.headers_mut());
        let now = self.core.shared().clock.now();
        let mut answer = SharedAnswer {
            status: code,
            received_at: now,
            freshness: None,
            stored: false,
            detail: None,
            vary: storing.variant_of(&fields),
            epoch: storing.epoch(),
            tags: storing.tags(&fields),
            without: freshness::fields_of_one_viewer(&fields, self.settings.policy.freshness()),
            headers: fields,
        };
        let accepted = match judged {
            Ok(accepted) => accepted,
            Err(refusal)
                if self.method == Method::GET
                    && freshness::is_shareable_error(
                        &self.facts,
                        code,
                        &answer.headers,
                        self.settings.policy.freshness(),
                    ) =>
            {
                answer.detail = Some(Detail::NotStored(refusal));
                return self.carry(waiting, None, answer, response).await;
            }
            Err(refusal) => {
                return self.hand_over(waiting, &storing, response, Detail::NotStored(refusal));
            }
        };
        answer.freshness = Some(accepted.freshness);
        let usable = accepted.usable;
        if self.method == Method::HEAD {
            // Nothing to store, and nothing to wait for. A body that axum has yet to drop still tells its length.
            if let Some(length) = response.body().size_hint().exact()
                && !response.body().is_end_stream()
            {
                answer
                    .headers
                    .entry(header::CONTENT_LENGTH)
                    .or_insert_with(|| length.into());
            }
            let answer = Arc::new(answer);
            let to_leader = self.answer(&answer, response.map(|_none| OnItsWay::absent()));
            let outcome = move || match usable {
                true => Outcome::Shared(answer.clone(), Some(OnItsWay::absent())),
                false => Outcome::Uncacheable(Detail::Uncacheable),
            };
            return waiting.tell(outcome, Ok(to_leader));
        }
        let Ok(storage) = storing.open(code, &answer.headers, &accepted) else {
            return self.hand_over(waiting, &storing, response, Detail::NoRoom);
        };
        if !usable {
            // Stored, to be confirmed at each use: whoever waits has to ask, too.
            waiting
                .others
                .land(|| Outcome::Uncacheable(Detail::Uncacheable));
            waiting.others.close();
            self.core.shared().mark_uncacheable(storing.key());
        }
        let storage = Some(storage).filter(Storage::keeps);
        answer.stored = storage.is_some();
        if storage.is_none() {
            answer.detail = Some(Detail::NoRoom);
        }
        self.carry(waiting, storage, answer, response).await;
    }

    /// The answer isn't stored: the leader gets it as it is, body and all, and the task ends here.
    fn hand_over<B, E>(
        self,
        waiting: Waiting<B, E>,
        storing: &Storing<St>,
        response: Response<B>,
        detail: Detail,
    ) where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (again, lasting) = match detail {
            Detail::NotStored(refusal) => (
                refusal.is_of_request(),
                freshness::is_lasting(refusal, &self.facts, response.status()),
            ),
            _ => (false, true),
        };
        if lasting {
            self.core.shared().mark_uncacheable(storing.key());
        }
        let mut response = response.map(ResponseBody::inner);
        let status = CacheStatus {
            detail: Some(detail),
            ..CacheStatus::forwarded(self.forward)
        };
        respond::annotate(&self.settings, Some(&self.key), &mut response, status);
        let outcome = move || {
            if again {
                Outcome::Again
            } else {
                Outcome::Uncacheable(detail)
            }
        };
        waiting.tell(outcome, Ok(response));
    }

    /// The leader's answer: the shared one, with what only the leader gets of the inner service's response.
    fn answer<B>(
        &self,
        answer: &SharedAnswer,
        response: Response<OnItsWay>,
    ) -> Response<ResponseBody<B>> {
        let (parts, body) = response.into_parts();
        let viewer = self.viewer();
        let mut own = answer.respond(
            &self.settings,
            &viewer,
            answer.headers.clone(),
            body,
            answer.status_for(self.forward, self.core.shared().clock.now()),
        );
        let ours = std::mem::replace(own.extensions_mut(), parts.extensions);
        own.extensions_mut().extend(ours);
        own
    }

    /// Gives everybody a reader, then carries the body to them, and to the store.
    async fn carry<B, E>(
        self,
        waiting: Waiting<B, E>,
        storage: Option<Storage<St>>,
        answer: SharedAnswer,
        response: Response<B>,
    ) where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let limits = &self.core.shared().limits;
        let sink = Sink::new(
            storage,
            announced_length(answer.status, &answer.headers),
            limits.window,
        );
        let (parts, body) = response.into_parts();
        let opener = sink.opener();
        let for_leader = OnItsWay::open(&opener).unwrap_or_else(OnItsWay::absent);
        let answer = Arc::new(answer);
        let to_leader = self.answer(&answer, Response::from_parts(parts, for_leader));
        let Waiting { mut others, leader } = waiting;
        // Each who waits gets its reader now, before a window moves.
        others.land(move || Outcome::Shared(answer.clone(), OnItsWay::open(&opener)));
        if !sink.stores() {
            others.close();
        }
        drop(leader.send(Ok(to_leader)));
        let stall = limits.collapse_timeout;
        sink.carry(pin!(body), others, stall).await;
    }
}
