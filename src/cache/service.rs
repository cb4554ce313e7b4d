//! The service: what can be answered at once, and where everything else goes.

use super::{
    CacheCore, CacheFuture,
    asked::Asked,
    flow::{First, Flow},
    lookup::{LookUp, Wanted, judge, times},
    nested::is_led_by,
    passing::Passing,
    piece::AskedFor,
    respond::{self, Viewer},
    settings::Settings,
};
use crate::{
    body::ResponseBody,
    conditional::Revalidation,
    error::BoxError,
    freshness::{Forward, Verdict},
    headers::{RequestFacts, remove_hop_by_hop},
    key::{CacheKey, corrected_host},
    ready::CallWhenReady,
    status::CacheStatus,
    store::{MemoryStore, Store},
};
use http::{Method, Request, Response, header, request::Parts};
use http_body::Body;
use std::{
    fmt,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};
use tower_service::Service;

/// The service that [`CacheLayer`](crate::CacheLayer) makes.
///
/// Always ready: the inner service is cloned, and the clone driven to readiness, when a request needs it.
pub struct Cache<S, St = MemoryStore> {
    inner: S,
    core: CacheCore<St>,
    settings: Arc<Settings>,
}

impl<S, St> Cache<S, St> {
    pub(super) fn new(inner: S, core: CacheCore<St>, settings: Arc<Settings>) -> Self {
        Self {
            inner,
            core,
            settings,
        }
    }

    pub(super) fn core(&self) -> &CacheCore<St> {
        &self.core
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, St> Clone for Cache<S, St> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            core: self.core.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<S: fmt::Debug, St> fmt::Debug for Cache<S, St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("inner", &self.inner)
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

impl<S, St, ReqBody, ResBody> Service<Request<ReqBody>> for Cache<S, St>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: Body + Send + 'static,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = CacheFuture<CallWhenReady<S, Request<ReqBody>>, ResBody, S::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let mut facts = RequestFacts::default();
        let again = facts.read(&parts.headers);
        if let Some(forward) = self.bypass(&parts, &facts, &body) {
            if !facts.several_hosts {
                correct_host(&mut parts);
            }
            let passing = Passing::new(&self.core, &self.settings, &parts, &facts, forward);
            let request = Request::from_parts(parts, body);
            return CacheFuture::pass(CallWhenReady::new(self.inner.clone(), request), passing);
        }
        if facts.connection {
            // An origin further on won't see what it names: that must not name, or tell apart, what is stored.
            remove_hop_by_hop(&mut parts.headers);
            return self.call(Request::from_parts(parts, body));
        }
        if facts.conditional && Revalidation::is_by_date(&parts) {
            // A cache around this one asks: what this one has may be another version, and goes no further than this process.
            Revalidation::remove(&mut parts);
            return self.call(Request::from_parts(parts, body));
        }

        let core = self.core.shared();
        let mut key = CacheKey::empty();
        let key_policy = self.settings.policy.key_policy();
        key_policy.write_key(&mut key, &core.namespace, &parts, again.host);
        AskedFor::take(&mut parts.extensions, &mut key);
        let mut look_up = LookUp::start(&core.store, &key);
        // In memory it is ready at once, and a hit is answered here.
        let looked = look_up.poll(
            &mut Context::from_waker(Waker::noop()),
            &core.store,
            &key,
            Wanted {
                settings: &self.settings,
                method: &parts.method,
                headers: &parts.headers,
                accept_encoding: again.accept_encoding,
            },
        );
        let first = match looked {
            Poll::Pending => First::LookUp(look_up),
            Poll::Ready(()) => {
                let now = core.clock.now();
                let verdict = look_up
                    .object
                    .as_ref()
                    .map(|object| judge(core, &self.settings, &facts, object, now));
                if let (Some(object), Some(Verdict::Fresh | Verdict::Stale)) =
                    (&look_up.object, verdict)
                {
                    let viewer = Viewer {
                        key: &key,
                        method: &parts.method,
                        headers: &parts.headers,
                        facts: &facts,
                    };
                    let ttl = match verdict {
                        Some(Verdict::Fresh) => object.head().freshness.ttl(now),
                        _ => times(core, object, now).ttl(now),
                    };
                    let status = CacheStatus::hit(ttl);
                    let settings = &*self.settings;
                    return CacheFuture::hit(respond::stored_here(
                        settings, &viewer, object, now, status,
                    ));
                }
                let variant = look_up.variant();
                First::Found(look_up.judged(verdict), variant)
            }
        };
        correct_host(&mut parts);
        let asked = Asked {
            core: self.core.clone(),
            settings: self.settings.clone(),
            parts,
            facts,
            key,
            address: OnceLock::new(),
        };
        let flow = Flow {
            asked,
            inner: self.inner.clone(),
            body,
        };
        CacheFuture::fetch(Box::pin(flow.run(first)))
    }
}

/// Who answers must see the host that the answer is stored under, or invalidates: of a `POST`, too.
pub(super) fn correct_host(parts: &mut Parts) {
    if let Some(host) = corrected_host(&parts.uri, &parts.headers) {
        parts.headers.insert(header::HOST, host);
    }
}

impl<S, St: Store> Cache<S, St> {
    /// Whether the cache has nothing to do with a request.
    pub(super) fn passes_through<B: Body>(&self, parts: &Parts, body: &B) -> bool {
        let facts = RequestFacts::of(&parts.headers);
        self.bypass(parts, &facts, body).is_some()
    }

    /// Why the cache has nothing to do with a request.
    fn bypass<B: Body>(&self, parts: &Parts, facts: &RequestFacts, body: &B) -> Option<Forward> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Some(Forward::Method);
        }
        let bypass = facts.upgrade
            || is_led_by(parts, &self.core)
            || facts.several_hosts
            || facts.precondition
            || !body.is_end_stream()
            || !parts.uri.path().starts_with('/')
            || self
                .settings
                .bypass_if
                .as_ref()
                .is_some_and(|bypass_if| bypass_if(parts));
        bypass.then_some(Forward::Bypass)
    }
}
