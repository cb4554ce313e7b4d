//! The service: what can be answered at once, and where everything else goes.

use super::{
    CacheCore, CacheFuture,
    flow::{Asked, First, Flow},
    future::CallWhenReady,
    layer::Settings,
    lookup::{Found, LookUp, judge},
    respond::{self, Viewer},
    storing::Storing,
};
use crate::{
    body::ResponseBody,
    error::BoxError,
    freshness::Forward,
    headers::RequestFacts,
    key::{address, same_origin_address},
    status::CacheStatus,
    store::{MemoryStore, Store},
};
use http::{HeaderMap, Method, Request, Response, header, request::Parts};
use http_body::Body;
use std::{
    fmt,
    sync::Arc,
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
        let (parts, body) = request.into_parts();
        let facts = RequestFacts::of(&parts.headers);
        if let Some(forward) = self.bypass(&parts, &facts, &body) {
            let passing = self.passing(&parts, &facts, forward);
            let request = Request::from_parts(parts, body);
            return CacheFuture::pass(CallWhenReady::new(self.inner.clone(), request), passing);
        }

        let core = self.core.shared();
        let key = self
            .settings
            .policy
            .key_policy()
            .key(&core.namespace, &parts);
        let mut look_up = LookUp::start(&core.store, &key);
        // In memory it is ready at once, and a hit is answered here.
        let looked = look_up.poll(
            &mut Context::from_waker(Waker::noop()),
            &core.store,
            &key,
            &parts.headers,
        );
        let first = match looked {
            Poll::Pending => First::LookUp(look_up),
            Poll::Ready(looked) => {
                let now = core.clock.now();
                let variant = looked.variant.clone();
                match judge(core, &self.settings, &facts, looked, now) {
                    Found::Usable(object) => {
                        let viewer = Viewer {
                            method: &parts.method,
                            headers: &parts.headers,
                            facts: &facts,
                        };
                        let status = CacheStatus::hit(0);
                        tracing::debug!(%key, "hit");
                        return CacheFuture::hit(respond::stored(
                            &self.settings,
                            &viewer,
                            &object,
                            now,
                            status,
                        ));
                    }
                    found => First::Found(found, variant),
                }
            }
        };
        let asked = Asked {
            core: self.core.clone(),
            settings: self.settings.clone(),
            parts,
            facts,
            key,
        };
        let flow = Flow {
            asked,
            inner: self.inner.clone(),
            body,
        };
        CacheFuture::fetch(Box::pin(flow.run(first)))
    }
}

impl<S, St: Store> Cache<S, St> {
    /// Why the cache has nothing to do with a request.
    fn bypass<B: Body>(&self, parts: &Parts, facts: &RequestFacts, body: &B) -> Option<Forward> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Some(Forward::Method);
        }
        let bypass = facts.upgrade
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

    /// What is to be done when the answer to a request that passes through has come.
    fn passing(&self, parts: &Parts, facts: &RequestFacts, forward: Forward) -> Passing {
        let policy = &self.settings.policy;
        let is_safe = parts.method.is_safe();
        let after = (forward == Forward::Method
            && !is_safe
            && policy.freshness().unsafe_methods_invalidate())
        .then(|| {
            let uri = policy.key_policy().uri(parts).into_owned();
            let invalidate = {
                let core = self.core.clone();
                Box::new(move |address: &str| core.shared().invalidations.invalidate(address))
            };
            let store = (parts.method == Method::POST)
                .then(|| Storing::for_post(&self.core, &self.settings, parts, facts));
            let target = address(&uri, &parts.headers);
            let host = parts.headers.get(header::HOST).cloned();
            Box::new(AfterUnsafe {
                uri,
                host,
                target,
                invalidate,
                store,
            })
        });
        Passing {
            settings: self.settings.clone(),
            status: CacheStatus::forwarded(forward),
            after,
        }
    }
}

/// A request that passes through: what is said of it, and what follows from its success.
pub(super) struct Passing {
    settings: Arc<Settings>,
    status: CacheStatus,
    after: Option<Box<AfterUnsafe>>,
}

struct AfterUnsafe {
    uri: http::Uri,
    host: Option<http::HeaderValue>,
    target: Box<str>,
    invalidate: Box<dyn Fn(&str) + Send + Sync>,
    store: Option<Box<dyn super::storing::StoreAnswer>>,
}

impl Passing {
    pub(super) fn finish<B>(mut self, response: Response<B>) -> Response<ResponseBody<B>>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let mut tee = None;
        if let Some(after) = self.after.take()
            && (response.status().is_success() || response.status().is_redirection())
        {
            tee = after.apply(&response);
        }
        self.status.stored = tee.is_some();
        let mut response = response.map(|body| match tee {
            Some(tee) => ResponseBody::teed(body, tee),
            None => ResponseBody::inner(body),
        });
        respond::annotate(&self.settings, &mut response, self.status);
        response
    }
}

impl AfterUnsafe {
    /// RFC 9111 section 4.4: invalidates the target, and what `Location` and `Content-Location` name on the same origin.
    /// RFC 9110 section 9.3.3: an answer to a `POST` that says that it represents the target itself answers a later `GET`.
    fn apply<B>(self, response: &Response<B>) -> Option<Box<dyn crate::body::Tee>> {
        let mut host = HeaderMap::new();
        host.extend(self.host.map(|value| (header::HOST, value)));
        let resolve = |name| {
            let reference: Option<&http::HeaderValue> = response.headers().get(name);
            same_origin_address(&self.uri, &host, reference?.as_bytes())
        };
        let content_location = resolve(header::CONTENT_LOCATION);
        let represents_target = content_location.as_ref() == Some(&self.target);
        let store = self
            .store
            .filter(|store| represents_target && !store.is_overtaken());
        for address in [
            Some(self.target),
            resolve(header::LOCATION),
            content_location,
        ]
        .into_iter()
        .flatten()
        {
            tracing::debug!(%address, "invalidated");
            (self.invalidate)(&address);
        }
        store?.begin(response.status(), response.headers())
    }
}
