//! A fetch that several may share: a task of its own, which outlives the viewer that started it.

use super::{
    CacheCore,
    core::FlightKey,
    flow::{Asked, Flow},
    future::CallWhenReady,
    layer::Settings,
    lookup::{Found, LookUp},
    respond::{self, Viewer},
    storing::{Storage, Storing},
};
use crate::{
    body::{ResponseBody, StoredBody, poll_inner},
    coalesce::Landing,
    conditional,
    error::{BodyError, BoxError},
    fill::{FillWriter, Gone, OpenBody, Window},
    forward,
    freshness::{self, Forward},
    headers::{
        APPENDED_SLOTS, RequestFacts, content_length, merge_not_modified, remove_hop_by_hop,
    },
    key::VariantKey,
    status::{CacheStatus, Detail},
    store::{Expected, Head, Object, Part, Record, Store, Written},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body::Body;
use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::oneshot;
use tower_service::Service;
use tracing::Instrument;

/// Spawns a task that carries the present span: the one place that does.
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task.in_current_span());
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
    status: StatusCode,
    headers: HeaderMap,
    /// Fields that only the leader gets (`no-cache="..."`).
    without: Vec<HeaderName>,
    received_at: u64,
    ttl: Option<i64>,
    stored: bool,
    detail: Option<Detail>,
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
    fn respond<B>(
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
            crate::headers::remove_representation_metadata(&mut headers);
            body = StoredBody::empty();
        } else if *viewer.method == Method::HEAD {
            body = StoredBody::empty();
        }
        let mut response = Response::new(ResponseBody::stored(body));
        *response.status_mut() = code;
        *response.headers_mut() = headers;
        respond::annotate(settings, &mut response, status);
        response
    }
}

/// What a 304 made of a stored object.
pub(super) struct Confirmed {
    pub(super) object: Object,
    pub(super) stored: bool,
    /// Others may use it, too.
    shareable: bool,
}

/// Merges a 304 into the object that it confirms, and stores the result (RFC 9111 sections 3.2 and 4.3.4).
pub(super) async fn confirm<St: Store>(
    core: &CacheCore<St>,
    storing: &Storing<St>,
    object: &Object,
    part: Part,
    not_modified: &HeaderMap,
) -> Confirmed {
    let old = object.head();
    let mut fields = old.headers.clone();
    for name in APPENDED_SLOTS {
        fields.remove(name);
    }
    merge_not_modified(&mut fields, not_modified.clone());
    let store = &core.shared().store;
    let key = storing.key();
    match storing.judge(old.status, &fields) {
        Ok(accepted) => {
            let mut head = storing.head(old.status, &fields, &accepted);
            head.upstream_status = head.upstream_status.or_else(|| old.upstream_status.clone());
            let shareable = accepted.usable;
            if !shareable {
                let shared = core.shared();
                shared.marks.mark(key, shared.clock.now());
            }
            let confirmed = object.with_head(head);
            let expected = Expected::Version(object.version());
            let stored = store
                .swap(key, part, expected, Some(Record::Object(confirmed.clone())))
                .await;
            Confirmed {
                object: confirmed,
                stored: stored.unwrap_or(false),
                shareable,
            }
        }
        Err(refusal) => {
            // It may not be kept any longer, but this answer is confirmed.
            tracing::debug!(%key, reason = refusal.as_str(), "a 304 forbids what was stored");
            let _removed = store
                .swap(key, part, Expected::Version(object.version()), None)
                .await;
            let (headers, upstream_status) = respond::fields_to_store(&fields, &[]);
            let head = Head {
                headers,
                upstream_status,
                ..old.clone()
            };
            Confirmed {
                object: object.with_head(head),
                stored: false,
                shareable: false,
            }
        }
    }
}

/// A fetch to be started.
pub(super) struct Fetch<S, St, ReqBody> {
    pub(super) flow: Flow<S, St, ReqBody>,
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
    spawn(fetch.run(answer));
    receiver
}

/// The leader's request, without what went to the inner service.
struct Led<St> {
    core: CacheCore<St>,
    settings: Arc<Settings>,
    method: Method,
    facts: RequestFacts,
    conditions: HeaderMap,
    forward: Forward,
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
            flow,
            landing,
            mut found,
        } = self;
        let waiting = Waiting {
            others: landing,
            leader,
        };
        // Between the look-up and the flight, another may have ended.
        let asked = &flow.asked;
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
                    let status = CacheStatus::hit(0);
                    let answer = asked.answer(&object, status);
                    return waiting
                        .tell(move || Outcome::Object(object.clone(), status), Ok(answer));
                }
                validate @ Found::Validate(..) => found = validate,
                Found::Nothing(_) => found = Found::Nothing(found.forward()),
            }
        }

        let forward = found.forward();
        let Flow {
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
        } = flow;
        let conditions = super::flow::viewer_fields(&parts.headers);
        let storing = Storing::new(&core, &settings, key, &parts, &facts);
        let led = Led {
            core,
            settings,
            method: parts.method.clone(),
            facts,
            conditions,
            forward,
        };
        let mut stored = None;
        match found {
            Found::Validate(object, part, _) => {
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

        let call = AssertUnwindSafe(CallWhenReady::new(inner, Request::from_parts(parts, body)))
            .catch_unwind();
        let timeout = led.core.shared().limits.fetch_timeout;
        match tokio::time::timeout(timeout, call).await {
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
    fn failed<B, E>(self, waiting: Waiting<B, E>, code: StatusCode) {
        let status = CacheStatus::forwarded(self.forward);
        let answer = respond::failure(&self.settings, code, status, Detail::FetchFailed);
        waiting.tell(move || Outcome::Failed(code), Ok(answer));
    }

    fn confirmed<B, E>(self, waiting: Waiting<B, E>, confirmed: Confirmed) {
        let status = CacheStatus {
            forward_status: Some(StatusCode::NOT_MODIFIED),
            stored: confirmed.stored,
            detail: Some(Detail::Revalidated),
            ..CacheStatus::forwarded(self.forward)
        };
        let now = self.core.shared().clock.now();
        let viewer = Viewer {
            method: &self.method,
            headers: &self.conditions,
            facts: &self.facts,
        };
        let answer = respond::stored(&self.settings, &viewer, &confirmed.object, now, status);
        let Confirmed {
            object, shareable, ..
        } = confirmed;
        let for_others = CacheStatus {
            collapsed: true,
            ..status
        };
        let outcome = move || match shareable {
            true => Outcome::Object(object.clone(), for_others),
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
        let judged = storing.judge(code, &fields);
        let policy = &self.settings.policy;
        if policy.is_cloudfront() {
            forward::restrict_response(&mut fields, policy.key_policy());
            forward::restrict_response(response.headers_mut(), policy.key_policy());
        }
        let now = self.core.shared().clock.now();
        let mut answer = SharedAnswer {
            status: code,
            received_at: now,
            ttl: None,
            stored: false,
            detail: None,
            vary: storing.variant_of(&fields),
            without: freshness::fields_of_one_viewer(&fields),
            headers: fields,
        };
        let accepted = match judged {
            Ok(accepted) => accepted,
            Err(refusal) if freshness::is_shareable_error(code, &answer.headers) => {
                answer.detail = Some(Detail::NotStored(refusal));
                return self.carry(waiting, None, answer, response).await;
            }
            Err(refusal) => {
                return self.hand_over(waiting, &storing, response, Detail::NotStored(refusal));
            }
        };
        answer.ttl = Some(accepted.freshness.ttl(now));
        let usable = accepted.usable;
        if self.method == Method::HEAD {
            // Nothing to store, and nothing to wait for.
            let answer = Arc::new(answer);
            let to_leader = self.answer(&answer, response.map(|_none| StoredBody::empty()));
            let outcome = move || match usable {
                true => Outcome::Shared(answer.clone(), Some(StoredBody::empty())),
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
            self.core.shared().marks.mark(storing.key(), now);
        }
        answer.stored = true;
        self.carry(waiting, Some(storage), answer, response).await;
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
        let again = matches!(detail, Detail::NotStored(refusal) if refusal.is_of_request());
        if !again {
            let shared = self.core.shared();
            shared.marks.mark(storing.key(), shared.clock.now());
        }
        tracing::debug!(key = %storing.key(), reason = %detail, "not stored");
        let mut response = response.map(ResponseBody::inner);
        let status = CacheStatus {
            detail: Some(detail),
            ..CacheStatus::forwarded(self.forward)
        };
        respond::annotate(&self.settings, &mut response, status);
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
        response: Response<StoredBody>,
    ) -> Response<ResponseBody<B>> {
        let (parts, body) = response.into_parts();
        let viewer = Viewer {
            method: &self.method,
            headers: &self.conditions,
            facts: &self.facts,
        };
        let mut own = answer.respond(
            &self.settings,
            &viewer,
            answer.headers.clone(),
            body,
            answer.status_for(self.forward),
        );
        let ours = std::mem::replace(own.extensions_mut(), parts.extensions);
        own.extensions_mut().extend(ours);
        *own.version_mut() = parts.version;
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
        let sink = Sink::new(storage, content_length(&answer.headers), limits.window);
        let (parts, body) = response.into_parts();
        let opener = sink.opener();
        let for_leader = opener.open().unwrap_or_else(StoredBody::empty);
        let answer = Arc::new(answer);
        let to_leader = self.answer(&answer, Response::from_parts(parts, for_leader));
        let Waiting { mut others, leader } = waiting;
        // Each who waits gets its reader now, before a window moves.
        others.land(move || Outcome::Shared(answer.clone(), opener.open()));
        if sink.storage.is_none() {
            others.close();
        }
        drop(leader.send(Ok(to_leader)));
        let fetch_timeout = limits.fetch_timeout;
        sink.carry(pin!(body), others, fetch_timeout).await;
    }
}

/// Where a body goes: to the store, to those who read, or both.
struct Sink<St: Store> {
    storage: Option<Storage<St>>,
    /// Feeds those who read when the store can't.
    passing: Option<FillWriter>,
    announced: Option<u64>,
    written: u64,
}

impl<St: Store> Sink<St> {
    fn new(storage: Option<Storage<St>>, announced: Option<u64>, window: Window) -> Self {
        let passing = match storage.as_ref().and_then(Storage::opener) {
            Some(_) => None,
            None => Some(FillWriter::passing(announced, window)),
        };
        Self {
            storage,
            passing,
            announced,
            written: 0,
        }
    }

    fn opener(&self) -> Arc<dyn OpenBody> {
        match (
            &self.passing,
            self.storage.as_ref().and_then(Storage::opener),
        ) {
            (Some(passing), _) => Arc::new(passing.opener()),
            (None, Some(opener)) => opener,
            (None, None) => Arc::new(NoReaders),
        }
    }

    fn has_readers(&self) -> bool {
        self.passing.as_ref().is_some_and(FillWriter::has_readers)
            || self.storage.as_ref().is_some_and(Storage::has_readers)
    }

    /// Ready when nobody reads and nothing is stored.
    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(storage) = &mut self.storage {
            return storage.poll_abandoned(cx);
        }
        match &mut self.passing {
            Some(passing) => passing.poll_abandoned(cx),
            None => Poll::Ready(()),
        }
    }

    async fn carry<B>(mut self, mut body: Pin<&mut B>, mut others: FlightLanding, stall: Duration)
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        loop {
            let next = poll_fn(|cx| {
                // A panic in a body is its own end only.
                let polled = catch_unwind(AssertUnwindSafe(|| poll_inner(body.as_mut(), cx)));
                match polled {
                    Ok(Poll::Ready(frame)) => Poll::Ready(Some(frame)),
                    Err(_panic) => Poll::Ready(Some(Some(Err(BodyError::panicked())))),
                    Ok(Poll::Pending) => self.poll_abandoned(cx).map(|()| None),
                }
            });
            let frame = match tokio::time::timeout(stall, next).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(_elapsed) if self.has_readers() => continue,
                // Nobody waits for it, and it stands still.
                Err(_elapsed) => return,
            };
            let frame = match frame {
                None => return self.finish(None).await,
                Some(Err(error)) => return self.fail(&error),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(chunk) => {
                    self.written += chunk.len() as u64;
                    if let Some(announced) =
                        self.announced.filter(|announced| self.written > *announced)
                    {
                        let error = BodyError::wrong_length(announced, self.written);
                        return self.fail(&error);
                    }
                    match self.write(&chunk).await {
                        Written::Kept => {}
                        Written::Passed => others.close(),
                        Written::Gone => return,
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return self.finish(Some(trailers)).await;
                    }
                }
            }
        }
    }

    async fn write(&mut self, chunk: &Bytes) -> Written {
        if let Some(passing) = &mut self.passing {
            match poll_fn(|cx| passing.poll_room(cx)).await {
                Ok(()) => passing.push(chunk.clone()),
                Err(Gone) if self.storage.is_none() => return Written::Gone,
                Err(Gone) => {}
            }
        }
        let Some(storage) = &mut self.storage else {
            return Written::Passed;
        };
        let written = poll_fn(|cx| storage.poll_write(cx, chunk)).await;
        if written == Written::Gone && self.passing.as_ref().is_some_and(FillWriter::has_readers) {
            // The store gave up; those who read don't.
            self.storage = None;
            return Written::Passed;
        }
        written
    }

    async fn finish(mut self, trailers: Option<HeaderMap>) {
        if let Some(announced) = self
            .announced
            .filter(|announced| self.written != *announced)
        {
            let error = BodyError::wrong_length(announced, self.written);
            return self.fail(&error);
        }
        if let Some(passing) = &mut self.passing {
            passing.finish(trailers.clone());
        }
        if let Some(storage) = self.storage.take() {
            storage.commit(trailers).await;
        }
    }

    fn fail(mut self, error: &BodyError) {
        tracing::debug!(
            error = error as &dyn std::error::Error,
            "a body was cut short"
        );
        if let Some(passing) = &mut self.passing {
            passing.fail(error.clone());
        }
        if let Some(storage) = &mut self.storage {
            storage.fail(error.clone());
        }
    }
}

/// Neither a store that can be read nor a window: no body has this.
struct NoReaders;

impl OpenBody for NoReaders {
    fn open(&self) -> Option<StoredBody> {
        None
    }
}
