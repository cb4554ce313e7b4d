//! Asks the cache for one block after the other, in a viewer's name.

use super::{
    body::{Asking, NotRead, Source},
    version::Version,
};
use crate::{
    cache::{AskedFor, Cache, CacheCore, LookedUp, key_of},
    conditional::remove_conditions,
    error::BoxError,
    key::CacheKey,
    optional_body::OptionalBody,
    range::{Block, Piece},
    store::Store,
};
use http::{Method, Request, Response, header, request::Parts};
use http_body::Body;
use std::{future::Future, marker::PhantomData};
use tower_service::Service;

pub(super) struct Reader<S, St, ReqBody> {
    cache: Cache<S, St>,
    core: CacheCore<St>,
    /// The viewer's request, as a `GET` for no range and without conditions.
    request: Parts,
    /// Of the whole.
    key: CacheKey,
    /// The epoch of invalidation in which it began.
    since: u64,
    body: PhantomData<fn() -> ReqBody>,
}

impl<S, St, ReqBody> Reader<S, St, ReqBody>
where
    S: Clone,
    St: Store,
{
    pub(super) fn new(cache: Cache<S, St>, core: CacheCore<St>, viewer: &Parts) -> Self {
        let mut request = viewer.clone();
        request.method = Method::GET;
        remove_conditions(&mut request.headers);
        request.headers.remove(header::RANGE);
        let since = core.epoch();
        Self {
            key: cache.key(&request),
            cache,
            core,
            request,
            since,
            body: PhantomData,
        }
    }

    pub(super) fn key(&self) -> &CacheKey {
        &self.key
    }

    /// Looks up a piece.
    pub(super) fn look_up(
        &self,
        piece: Piece,
    ) -> impl Future<Output = LookedUp<S, St, ReqBody>> + use<S, St, ReqBody> {
        let key = key_of(piece, &self.key);
        self.cache.look_up(self.request.clone(), key)
    }

    /// Looks up the viewer's request as one for the whole.
    pub(super) fn look_up_whole(
        &self,
        viewer: Parts,
    ) -> impl Future<Output = LookedUp<S, St, ReqBody>> + use<S, St, ReqBody> {
        self.cache.look_up(viewer, self.key.clone())
    }

    /// The version of a piece that is stored, and of use as it is.
    async fn stored(&mut self, piece: Piece) -> Option<Version> {
        let looking = self.look_up(piece);
        Version::of(piece, looking.await.here()?)
    }

    /// Whether the first block answers before a piece that isn't stored: it is stored, and says where the last bytes lie, or that
    /// the object ends before this block; or the last bytes can't be asked for.
    pub(super) async fn begins_before(&mut self, piece: Piece, first: Piece) -> bool {
        let first = self.stored(first).await;
        match piece {
            Piece::Block(block) => first.is_some_and(|first| first.length() <= block.start()),
            Piece::Last(_) => first.is_some() || self.has_stored_only(piece),
        }
    }

    /// Whether all blocks of a version behind this piece are stored, to this place.
    pub(super) async fn has_stored(&mut self, version: &Version, piece: Piece, end: u64) -> bool {
        let Piece::Block(mut block) = piece else {
            return false;
        };
        loop {
            block = block.next();
            if block.start() >= end {
                return true;
            }
            let stored = self.stored(block.into()).await;
            if !stored.is_some_and(|stored| version.is(&stored)) {
                return false;
            }
        }
    }

    /// Whether it is to have of blocks what is stored, all that it wants or nothing, where it begins with this piece.
    pub(super) fn has_stored_only(&self, piece: Piece) -> bool {
        let headers = &self.request.headers;
        let key = key_of(piece, &self.key);
        self.cache.has_stored_blocks_only(headers, &self.key, &key)
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
        let mut parts = self.request.clone();
        parts.extensions.insert(AskedFor(block));
        let request = Request::from_parts(parts, OptionalBody::empty());
        let asking = self.cache.call(request);
        Box::pin(async { asking.await.ok() })
    }

    fn changed(&mut self) {
        self.core.changed(&self.key, self.since);
    }

    fn has_a_gap(&mut self) {
        self.core.has_a_gap(&self.key);
    }

    fn is_cut_off(&self, block: Block, reason: &NotRead) {
        tracing::warn!(
            key = %self.key,
            block = block.number(),
            code = reason.status.map(|status| status.as_u16()),
            error = &reason.error as &dyn std::error::Error,
            "a body is cut off: one of its blocks can't be had"
        );
    }
}
