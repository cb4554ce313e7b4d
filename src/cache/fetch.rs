//! A fetch that several may share: a task of its own, which outlives the viewer that started it.

use super::{
    asked::Asked,
    carry::Sink,
    flight::{FlightLanding, OnItsWay, Outcome, SharedAnswer},
    lookup::{Found, LookUp},
    nested::mark_led,
    piece::ask_for_block,
    respond,
    sent::Sent,
    spawn::spawn,
    storing::{Storage, announced_length},
};
use crate::{
    body::{ResponseBody, StoredBody},
    conditional,
    error::BoxError,
    forward,
    freshness::{self, Refusal},
    headers::{RequestFacts, content_length},
    range::{self, Selected},
    ready::CallWhenReady,
    status::{CacheStatus, Detail},
    store::Store,
};
use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use std::{future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc};
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
    // Boxed here, and what is long below: a large future would be copied several times on its way into a task.
    spawn(Box::pin(fetch.run(answer)));
    receiver
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
        let policy = asked.settings.policy.freshness();
        if !policy.asks_to_reload(&asked.facts) {
            let look_up = LookUp::again(&asked.core.shared().store, &asked.key);
            let there = asked.look_up(look_up).await.0;
            let is_settled = !matches!(there, Found::Refresh(..)) || asked.is_failing();
            if is_settled && let Some(answer) = asked.at_hand(&there, false) {
                return waiting.tell(|| Outcome::Again, Ok(answer));
            }
            found = match there {
                Found::Nothing(_) => Found::Nothing(found.forward()),
                there => there,
            };
        }

        let mut sent = Sent::new(&asked, found);
        let Asked {
            core,
            settings,
            mut parts,
            ..
        } = asked;
        if !sent.condition(&mut parts) {
            conditional::remove_conditions(&mut parts.headers);
        }
        if settings.policy.is_cloudfront() {
            forward::restrict_request(&mut parts, settings.policy.key_policy());
        }
        // The whole is fetched, and the viewer's range cut from it.
        parts.headers.remove(header::RANGE);
        ask_for_block(sent.storing.key(), &mut parts.headers);
        mark_led(&mut parts, &core);
        let call = AssertUnwindSafe(CallWhenReady::new(inner, Request::from_parts(parts, body)))
            .catch_unwind();
        let timeout = core.shared().limits.fetch_timeout;
        let answered = tokio::time::timeout(timeout, call).await;
        let code = match &answered {
            Ok(Ok(Ok(response))) => Some(response.status()),
            _ => None,
        };
        if let Some(answer) = sent.stand_in(code) {
            return waiting.tell(|| Outcome::StandIn, Ok(answer));
        }
        match answered {
            Ok(Ok(Ok(response))) => Box::pin(sent.received(waiting, response)).await,
            Ok(Ok(Err(error))) => {
                // Its type is the inner service's own: the leader gets the error, the others hear of it.
                tracing::warn!(key = %sent.storing.key(), "the inner service failed");
                waiting.tell(|| Outcome::Failed(StatusCode::BAD_GATEWAY), Err(error));
            }
            Ok(Err(_panic)) => {
                tracing::error!(key = %sent.storing.key(), "the inner service panicked");
                sent.failed(waiting, StatusCode::INTERNAL_SERVER_ERROR);
            }
            Err(_elapsed) => {
                tracing::warn!(key = %sent.storing.key(), ?timeout, "no head within fetch_timeout");
                sent.failed(waiting, StatusCode::GATEWAY_TIMEOUT);
            }
        }
    }
}

/// What those who wait get of the answer.
impl<St: Store> Sent<St> {
    fn failed<B, E>(self, waiting: Waiting<B, E>, code: StatusCode) {
        let status = CacheStatus::forwarded(self.forward);
        let (settings, key) = (self.settings(), self.storing.key());
        let answer = respond::failure(settings, key, code, status, Detail::FetchFailed);
        waiting.tell(move || Outcome::Failed(code), Ok(answer));
    }

    /// A head came: may it be stored, may it be shared?
    async fn received<B, E>(mut self, mut waiting: Waiting<B, E>, mut response: Response<B>)
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let code = response.status();
        let from_shield = respond::is_origin_shield_hit(&response);
        let confirmed = self.confirmed(code, response.headers(), from_shield).await;
        if let Some((answer, shareable)) = confirmed {
            // Stored by now: each finds it, if it is for it.
            let outcome = move || match shareable {
                true => Outcome::Again,
                false => Outcome::Uncacheable(Detail::Uncacheable),
            };
            return waiting.tell(outcome, Ok(answer));
        }
        self.storing.came(code);
        let (mut fields, judged) = self.judge(&mut response).await;
        let (storing, policy) = (&self.storing, self.settings().policy.freshness());
        storing.restrict(&mut fields);
        storing.restrict(response.headers_mut());
        let mut answer = SharedAnswer {
            status: code,
            received_at: self.shared().clock.now(),
            freshness: None,
            on_time: None,
            stored: false,
            detail: None,
            origin_shield_hit: from_shield,
            failure: response.extensions().get().copied(),
            vary: storing.variant_of(&fields),
            epoch: storing.epoch(),
            tags: storing.tags(&fields),
            length: length_of(storing.method(), &response),
            without: match &judged {
                Ok(accepted) => accepted.without.clone(),
                Err(_) => freshness::fields_of_one_viewer(&fields, policy),
            },
            headers: fields,
        };
        let is_head = *storing.method() == Method::HEAD;
        let accepted = match judged {
            Ok(accepted) => accepted,
            // Those who wait have what they want cut from it, or ask anew, for the whole.
            Err(Refusal::Block) => {
                answer.detail = Some(Detail::NotStored(Refusal::Block));
                return Box::pin(self.carry(waiting, None, answer, response)).await;
            }
            Err(refusal)
                if !is_head
                    && freshness::is_shareable_error(
                        storing.facts(),
                        code,
                        &answer.headers,
                        policy,
                    ) =>
            {
                answer.detail = Some(Detail::NotStored(refusal));
                return Box::pin(self.carry(waiting, None, answer, response)).await;
            }
            Err(refusal) => {
                answer.on_time = self.on_time(refusal, code, &answer.headers);
                if answer.on_time.is_none() {
                    return self.hand_over(waiting, response, Detail::NotStored(refusal));
                }
                answer.detail = Some(Detail::NotStored(refusal));
                if is_head {
                    return self.tell_head(waiting, answer, response, true);
                }
                return Box::pin(self.carry(waiting, None, answer, response)).await;
            }
        };
        answer.freshness = Some(accepted.freshness);
        let usable = accepted.usable;
        if is_head {
            return self.tell_head(waiting, answer, response, usable);
        }
        let Ok(storage) = storing.open(code, &answer.headers, &accepted) else {
            return self.hand_over(waiting, response, Detail::NoRoom);
        };
        if !usable {
            answer.on_time = storing.on_time(code, &answer.headers);
        }
        if !usable && answer.on_time.is_none() {
            // Stored, to be confirmed at each use: whoever waits has to ask, too.
            waiting
                .others
                .land(|| Outcome::Uncacheable(Detail::Uncacheable));
            waiting.others.close();
            self.shared().mark_uncacheable(storing.key());
        }
        let keeps = storage.keeps();
        let storage = Some(storage).filter(|_| keeps && !storing.is_gone(&answer.headers));
        answer.stored = storage.is_some();
        if !keeps {
            answer.detail = Some(Detail::NoRoom);
        }
        Box::pin(self.carry(waiting, storage, answer, response)).await;
    }

    /// The answer to a `HEAD`: nothing to store, and nothing to wait for.
    fn tell_head<B, E>(
        &self,
        waiting: Waiting<B, E>,
        answer: SharedAnswer,
        response: Response<B>,
        usable: bool,
    ) {
        let answer = Arc::new(answer);
        let to_leader = self.answer(&answer, response.map(|_none| OnItsWay::absent()));
        let outcome = move || match usable {
            true => Outcome::Shared(answer.clone(), Some(OnItsWay::absent())),
            false => Outcome::Uncacheable(Detail::Uncacheable),
        };
        waiting.tell(outcome, Ok(to_leader));
    }

    /// The answer isn't stored: the leader gets it as it is, body and all, and the task ends here.
    fn hand_over<B, E>(self, waiting: Waiting<B, E>, response: Response<B>, detail: Detail)
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (again, lasting) = match detail {
            Detail::NotStored(refusal) => {
                // The whole was asked for.
                let asked = RequestFacts {
                    range: false,
                    ..*self.storing.facts()
                };
                let (code, fields) = (response.status(), response.headers());
                let lasting = self.is_lasting(refusal, &asked, code, fields);
                (refusal.is_of_request(), lasting)
            }
            _ => (false, true),
        };
        if lasting {
            self.storing.mark_uncacheable();
        }
        let policy = self.settings().policy.freshness();
        let is_failure = policy.is_failure(response.status());
        let code = response.status();
        let response = self.as_range(response);
        let mut response = response.map(ResponseBody::inner);
        let status = CacheStatus {
            detail: Some(detail),
            forward_status: Some(code).filter(|code| *code != response.status()),
            ..CacheStatus::forwarded(self.forward)
        };
        let key = Some(self.storing.key());
        respond::annotate(self.settings(), key, &mut response, status);
        let outcome = move || {
            if again {
                Outcome::Again
            } else if is_failure {
                Outcome::FailedAlone(detail)
            } else {
                Outcome::Uncacheable(detail)
            }
        };
        waiting.tell(outcome, Ok(response));
    }

    /// Names a whole as the range that the leader asked for, where that is all of it.
    fn as_range<B: Body>(&self, mut response: Response<B>) -> Response<B> {
        let viewer = self.viewer();
        let fields = response.headers();
        if viewer.facts.range
            && *viewer.method == Method::GET
            && response.status() == StatusCode::OK
            && !fields.contains_key(header::TRANSFER_ENCODING)
            && let Some(length) =
                content_length(fields).or_else(|| length_of(viewer.method, &response))
        {
            let rules = respond::range_rules(self.settings());
            let selected = range::select(viewer.headers, fields, length, rules);
            let is_all = selected == Selected::Part(0..length);
            let selected = if is_all { selected } else { Selected::Whole };
            let same_body = |_| Some(StoredBody::absent());
            if let Some((code, _)) =
                respond::cut(response.headers_mut(), selected, length, same_body)
            {
                *response.status_mut() = code;
            }
        }
        response
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
            self.settings(),
            &viewer,
            answer.headers.clone(),
            body,
            answer.status_for(self.forward, self.shared().clock.now()),
        );
        let ours = std::mem::replace(own.extensions_mut(), parts.extensions);
        own.extensions_mut().extend(ours);
        own
    }

    /// Gives everybody a reader, then carries the body to them, and to the store.
    fn carry<B, E>(
        &self,
        waiting: Waiting<B, E>,
        storage: Option<Storage<St>>,
        answer: SharedAnswer,
        response: Response<B>,
    ) -> impl Future<Output = ()> + use<St, B, E>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let limits = &self.shared().limits;
        let mut sink = Sink::new(
            storage,
            announced_length(answer.status, &answer.headers).or(answer.length),
            limits.window,
        );
        let (parts, body) = response.into_parts();
        let opener = sink.opener();
        let for_leader = OnItsWay::open(&opener).unwrap_or_else(OnItsWay::absent);
        let is_late = answer.on_time.is_some();
        let answer = Arc::new(answer);
        let to_leader = self.answer(&answer, Response::from_parts(parts, for_leader));
        let Waiting { mut others, leader } = waiting;
        // Each who waits gets its reader now, before a window moves.
        others.land(move || Outcome::Shared(answer.clone(), OnItsWay::open(&opener)));
        if !sink.stores() || is_late {
            others.close();
        }
        drop(leader.send(Ok(to_leader)));
        let stall = limits.collapse_timeout;
        async move {
            sink.carry(pin!(body), &mut others, stall).await;
            // In this order: whoever finds nothing stored mustn't find this flight, either.
            drop(others);
            drop(sink);
        }
    }
}

/// How long a body says that it is, where that may be told: trailers need another framing, and an answer to `HEAD` has no body.
fn length_of<B: Body>(method: &Method, response: &Response<B>) -> Option<u64> {
    let has_content = !matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    let may_tell =
        *method != Method::HEAD && has_content && !response.headers().contains_key(header::TRAILER);
    response.body().size_hint().exact().filter(|_| may_tell)
}
