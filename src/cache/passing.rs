//! Requests that pass through to the inner service, and what follows from their success.

use super::{
    CacheCore, respond,
    settings::Settings,
    storing::{StoreAnswer, Storing},
};
use crate::{
    body::{ResponseBody, Tee},
    error::BoxError,
    freshness::Forward,
    headers::RequestFacts,
    status::CacheStatus,
    store::Store,
};
use http::{HeaderMap, Method, Response, header, request::Parts};
use http_body::Body;
use std::sync::Arc;

/// A request that passes through: what is said of it, and what follows from its success.
pub(super) struct Passing {
    settings: Arc<Settings>,
    status: CacheStatus,
    after: Option<Box<AfterUnsafe>>,
}

struct AfterUnsafe {
    settings: Arc<Settings>,
    uri: http::Uri,
    host: Option<http::HeaderValue>,
    target: Box<str>,
    invalidate: Box<dyn Fn(&str) + Send + Sync>,
    store: Option<Box<dyn StoreAnswer>>,
}

impl Passing {
    /// What is to be done when the answer to a request that passes through has come.
    pub(super) fn new<St: Store>(
        core: &CacheCore<St>,
        settings: &Arc<Settings>,
        parts: &Parts,
        facts: &RequestFacts,
        forward: Forward,
    ) -> Passing {
        let policy = &settings.policy;
        let is_safe = parts.method.is_safe();
        let after = (forward == Forward::Method
            && !is_safe
            && policy.freshness().unsafe_methods_invalidate())
        .then(|| {
            let uri = policy.key_policy().uri(parts).into_owned();
            let invalidate = {
                let core = core.clone();
                Box::new(move |address: &str| core.shared().invalidations.invalidate(address))
            };
            // Who answers doesn't see all that it would be stored under.
            let store = (parts.method == Method::POST && !facts.connection)
                .then(|| Storing::for_post(core, settings, parts, facts));
            let target = policy.key_policy().address(&uri, &parts.headers);
            let host = parts.headers.get(header::HOST).cloned();
            Box::new(AfterUnsafe {
                settings: settings.clone(),
                uri,
                host,
                target,
                invalidate,
                store,
            })
        });
        Passing {
            settings: settings.clone(),
            status: CacheStatus::forwarded(forward),
            after,
        }
    }

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
        respond::annotate(&self.settings, None, &mut response, self.status);
        response
    }
}

impl AfterUnsafe {
    /// RFC 9111 section 4.4: invalidates the target, and what `Location` and `Content-Location` name on the same origin.
    /// RFC 9110 section 9.3.3: an answer to a `POST` that says that it represents the target itself answers a later `GET`.
    fn apply<B>(self, response: &Response<B>) -> Option<Box<dyn Tee>> {
        let mut host = HeaderMap::new();
        host.extend(self.host.map(|value| (header::HOST, value)));
        let resolve = |name| {
            let reference: Option<&http::HeaderValue> = response.headers().get(name);
            let key = self.settings.policy.key_policy();
            key.address_of_reference(&self.uri, &host, reference?.as_bytes())
        };
        let content_location = resolve(header::CONTENT_LOCATION);
        let represents_target =
            response.status().is_success() && content_location.as_ref() == Some(&self.target);
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
