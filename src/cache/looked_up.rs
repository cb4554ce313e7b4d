//! A request that was looked up, and goes no further until it is decided what is asked for: for those who put blocks together.

use super::{
    Cache,
    asked::Asked,
    flow::{First, Flow},
    lookup::{Found, LookUp},
    service::correct_host,
};
use crate::{
    body::ResponseBody,
    conditional::condition_on,
    error::BoxError,
    headers::RequestFacts,
    key::{CacheKey, VariantKey},
    optional_body::OptionalBody,
    store::{Object, Store},
};
use http::{HeaderMap, Request, Response, request::Parts};
use http_body::Body;
use std::{future::Future, sync::OnceLock};
use tower_service::Service;

/// A request without a body, and what is there for it.
pub(crate) struct LookedUp<S, St, ReqBody> {
    flow: Flow<S, St, OptionalBody<ReqBody>>,
    found: Found,
    variant: Option<VariantKey>,
}

impl<S: Clone, St: Store> Cache<S, St> {
    /// Looks up what is there under a key.
    pub(crate) fn look_up<ReqBody>(
        &self,
        mut parts: Parts,
        key: CacheKey,
    ) -> impl Future<Output = LookedUp<S, St, ReqBody>> + use<S, St, ReqBody> {
        let facts = RequestFacts::of(&parts.headers);
        correct_host(&mut parts);
        let flow = Flow {
            asked: Asked {
                core: self.core().clone(),
                settings: self.settings().clone(),
                parts,
                facts,
                key,
                address: OnceLock::new(),
            },
            inner: self.get_ref().clone(),
            body: OptionalBody::empty(),
        };
        let look_up = LookUp::start(&self.core().shared().store, &flow.asked.key);
        flow.look_up(look_up)
    }
}

impl<S, St: Store, ReqBody> Flow<S, St, OptionalBody<ReqBody>> {
    async fn look_up(self, look_up: LookUp<St>) -> LookedUp<S, St, ReqBody> {
        // Of a service that needn't be `Sync` nothing is borrowed meanwhile.
        let Self { asked, inner, body } = self;
        let (found, variant) = asked.look_up(look_up).await;
        LookedUp {
            flow: Flow { asked, inner, body },
            found,
            variant,
        }
    }
}

impl<S, St: Store, ReqBody> LookedUp<S, St, ReqBody> {
    /// Whether what is stored answers it, without a word of the inner service's.
    pub(crate) fn is_here(&self) -> bool {
        self.flow.asked.is_at_hand(&self.found)
    }

    /// The fields of what answers it from the store.
    pub(crate) fn here(&self) -> Option<&HeaderMap> {
        let object = self.stored().filter(|_| self.is_here())?;
        Some(&object.head().headers)
    }

    /// When what is stored came, where that can be confirmed, and is worth it: not the news that there is nothing.
    pub(crate) fn confirmable_from(&self) -> Option<u64> {
        let head = self.stored()?.head();
        let can_be = head.status.is_success() && condition_on(&mut HeaderMap::new(), &head.headers);
        can_be.then_some(head.freshness.received_at)
    }

    fn stored(&self) -> Option<&Object> {
        match &self.found {
            Found::Usable(object) | Found::Refresh(object, _) | Found::Validate(object, _, _) => {
                Some(object)
            }
            Found::Nothing(_) => None,
        }
    }

    /// Lets it go on.
    pub(crate) async fn answer<ResBody>(self) -> Result<Response<ResponseBody<ResBody>>, S::Error>
    where
        S: Service<Request<OptionalBody<ReqBody>>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        self.flow.run(First::Found(self.found, self.variant)).await
    }
}
