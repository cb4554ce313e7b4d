//! Asks the cache for one block after the other, in a viewer's name.

use super::body::{Asking, Source};
use crate::{
    body::ResponseBody,
    cache::{AskedFor, Cache, CacheCore},
    conditional::remove_conditions,
    error::BoxError,
    key::CacheKey,
    optional_body::OptionalBody,
    range::Block,
    store::Store,
};
use http::{Request, Response, header, request::Parts};
use http_body::Body;
use std::marker::PhantomData;
use tower_service::Service;

pub(super) struct Reader<S, St, ReqBody> {
    cache: Cache<S, St>,
    core: CacheCore<St>,
    /// The viewer's request, for no range and without conditions.
    request: Parts,
    /// Of the whole.
    key: CacheKey,
    /// The epoch of invalidation in which it began.
    since: u64,
    body: PhantomData<fn() -> ReqBody>,
}

impl<S, St: Store, ReqBody> Reader<S, St, ReqBody> {
    pub(super) fn new(
        cache: Cache<S, St>,
        core: CacheCore<St>,
        viewer: &Parts,
        key: CacheKey,
    ) -> Self {
        let mut request = viewer.clone();
        remove_conditions(&mut request.headers);
        request.headers.remove(header::RANGE);
        let since = core.epoch();
        Self {
            cache,
            core,
            request,
            key,
            since,
            body: PhantomData,
        }
    }

    pub(super) fn key(&self) -> &CacheKey {
        &self.key
    }

    /// Asks for a block.
    pub(super) fn call<ResBody>(
        &mut self,
        block: Block,
    ) -> <Cache<S, St> as Service<Request<OptionalBody<ReqBody>>>>::Future
    where
        Cache<S, St>:
            Service<Request<OptionalBody<ReqBody>>, Response = Response<ResponseBody<ResBody>>>,
    {
        let mut parts = self.request.clone();
        parts.extensions.insert(AskedFor(block));
        self.cache
            .call(Request::from_parts(parts, OptionalBody::empty()))
    }
}

impl<S, St, ReqBody, ResBody> Source<ResBody> for Reader<S, St, ReqBody>
where
    S: Service<Request<OptionalBody<ReqBody>>, Response = Response<ResBody>>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: Body + Send + 'static,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    fn ask(&mut self, block: Block) -> Asking<ResBody> {
        let asking = self.call(block);
        Box::pin(async { asking.await.ok() })
    }

    fn changed(&mut self) {
        self.core.changed(&self.key, self.since);
    }
}
