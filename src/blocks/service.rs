//! The service: which way a request goes, and the head of an answer that is put together.

use super::{
    BlocksFuture,
    body::{BlocksBody, Slice},
    reader::Reader,
    version::Version,
};
use crate::{
    body::{ResponseBody, StoredBody},
    cache::{Cache, CacheCore, cut},
    conditional::{self, Revalidation},
    error::BoxError,
    headers::{content_length, remove_hop_by_hop, remove_representation_metadata},
    optional_body::OptionalBody,
    range::{self, Block, Piece, Selected},
    ready::CallWhenReady,
    store::{MemoryStore, Store},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    request::Parts,
};
use http_body::Body;
use std::{
    fmt,
    num::NonZeroU64,
    ops::Range,
    task::{Context, Poll},
};
use tower_service::Service;

/// How many blocks are asked for before it is clear where an answer begins. More than three only where the object changes
/// meanwhile.
const MAX_BEGINNINGS: usize = 6;

/// The service that [`BlockLayer`](super::BlockLayer) makes.
///
/// Always ready, as the [`Cache`] in it.
pub struct Blocks<S, St = MemoryStore> {
    cache: Cache<S, St>,
    core: CacheCore<St>,
    size: NonZeroU64,
}

impl<S, St> Blocks<S, St> {
    pub(super) fn new(cache: Cache<S, St>, core: CacheCore<St>, size: NonZeroU64) -> Self {
        Self { cache, core, size }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.cache.get_ref()
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        self.cache.get_mut()
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.cache.into_inner()
    }
}

impl<S: Clone, St> Clone for Blocks<S, St> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            core: self.core.clone(),
            size: self.size,
        }
    }
}

impl<S: fmt::Debug, St> fmt::Debug for Blocks<S, St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks")
            .field("cache", &self.cache)
            .field("block_size", &self.size)
            .finish_non_exhaustive()
    }
}

impl<S, St, ReqBody, ResBody> Service<Request<ReqBody>> for Blocks<S, St>
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
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = BlocksFuture<CallWhenReady<S, Request<OptionalBody<ReqBody>>>, ResBody, S::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if self.cache.may_cut(&parts, &body) {
            // As the cache does: an origin further on won't see what `Connection` names.
            remove_hop_by_hop(&mut parts.headers);
            if Revalidation::is_by_date(&parts) {
                Revalidation::remove(&mut parts);
            }
            let begin = Piece::to_begin_with(&parts.headers, self.size);
            match (&parts.method, begin) {
                (&Method::GET, Some(begin)) => {
                    let assembling = self.clone().assemble(parts, begin);
                    return BlocksFuture::blocks(Box::pin(assembling));
                }
                (&Method::HEAD, _) if !conditional::has_conditions(&parts.headers) => {
                    let described = self.clone().describe(parts);
                    return BlocksFuture::blocks(Box::pin(described));
                }
                _ => {}
            }
        }
        let request = Request::from_parts(parts, OptionalBody::new(body));
        BlocksFuture::whole(self.cache.call(request))
    }
}

impl<S: Clone, St: Store> Blocks<S, St> {
    /// What a `HEAD` gets: from the first block, where the cache has no answer and that has.
    async fn describe<ReqBody, ResBody>(
        self,
        viewer: Parts,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error>
    where
        S: Service<Request<OptionalBody<ReqBody>>, Response = Response<ResBody>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Body + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        let reader = Reader::new(self.cache.clone(), self.core.clone(), &viewer);
        let looking = reader.look_up_whole(viewer);
        let whole = looking.await;
        if !whole.is_here() {
            let zero = Piece::Block(Block::new(self.size, 0));
            let looking = reader.look_up(zero);
            let looked = looking.await;
            let version = looked.here().and_then(|head| Version::of(zero, head));
            if let Some(version) = version {
                let response = as_whole(looked.answer().await?, version.length());
                return Ok(response.map(|_block| ResponseBody::stored(StoredBody::absent())));
            }
        }
        whole.answer().await
    }

    async fn assemble<ReqBody, ResBody>(
        self,
        viewer: Parts,
        begin: Piece,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error>
    where
        S: Service<Request<OptionalBody<ReqBody>>, Response = Response<ResBody>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Body + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        let rules = self.cache.range_rules();
        let mut reader = Reader::new(self.cache.clone(), self.core.clone(), &viewer);
        let zero = Piece::Block(Block::new(self.size, 0));
        let mut piece = begin;
        for _ in 0..MAX_BEGINNINGS {
            let looking = reader.look_up(piece);
            let looked = looking.await;
            if !looked.is_here() {
                if piece != zero && reader.begins_before(piece, zero).await {
                    piece = zero;
                    continue;
                }
                let looking = reader.look_up_whole(viewer.clone());
                let whole = looking.await;
                let (stale, stale_whole) = (looked.confirmable_from(), whole.confirmable_from());
                let is_whole = whole.is_here()
                    || stale_whole > stale
                    || (stale.is_none() && reader.has_stored_only(piece));
                if is_whole {
                    let response = whole.answer().await?;
                    return Ok(self.cut_from_whole(response, &viewer.headers));
                }
            }
            let response = looked.answer().await?;
            let now = self.core.now();
            match response.status() {
                StatusCode::PARTIAL_CONTENT => {
                    let version = match (Version::of(piece, response.headers()), piece) {
                        (Some(version), _) => version,
                        (None, Piece::Last(_)) => {
                            piece = zero;
                            continue;
                        }
                        (None, Piece::Block(block)) => {
                            self.core.can_not_be_cut(reader.key());
                            match self.cut_from_block(response, block, &viewer.headers) {
                                Some(response) => return Ok(response),
                                None => break,
                            }
                        }
                    };
                    let length = version.length();
                    let response = as_whole(response, length);
                    let stored = response.headers();
                    if conditional::is_not_modified(&viewer.headers, StatusCode::OK, stored, now) {
                        return Ok(not_modified(response));
                    }
                    let selected = range::select(&viewer.headers, stored, length, rules);
                    let wanted = match &selected {
                        Selected::Part(part) => part.clone(),
                        Selected::Unsatisfiable => 0..0,
                        Selected::Whole | Selected::Parts(_) => 0..length,
                    };
                    let own = piece.bytes(length);
                    if !wanted.is_empty() && !own.contains(&wanted.start) {
                        piece = Block::holding(self.size, wanted.start).into();
                        continue;
                    }
                    if wanted.end > own.end
                        && reader.has_stored_only(piece)
                        && !reader.has_stored(&version, piece, wanted.end).await
                    {
                        break;
                    }
                    return Ok(self.answer(
                        response,
                        selected,
                        length,
                        |body, bytes| match piece {
                            Piece::Block(block) => {
                                let source = Box::new(reader);
                                let blocks = BlocksBody::new(source, version, block, body, bytes);
                                StoredBody::boxed(blocks)
                            }
                            Piece::Last(_) => StoredBody::boxed(Slice::new(body, own.start, bytes)),
                        },
                    ));
                }
                StatusCode::OK => return Ok(self.cut_from_whole(response, &viewer.headers)),
                StatusCode::RANGE_NOT_SATISFIABLE if piece == zero => {
                    self.core.can_not_be_cut(reader.key());
                    break;
                }
                // The conditions come first (RFC 9110 section 13.2.2): they are answered by the first block. It says, too, whether there
                // are any last bytes; and, once it is stored, to all where the object ends.
                StatusCode::RANGE_NOT_SATISFIABLE => piece = zero,
                _ => return Ok(response),
            }
        }
        let looking = reader.look_up_whole(viewer.clone());
        let response = looking.await.answer().await?;
        Ok(self.cut_from_whole(response, &viewer.headers))
    }
}

/// Makes the head of a block that of the whole.
fn as_whole<B>(mut response: Response<B>, length: u64) -> Response<B> {
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    // Of the block only.
    for name in [
        header::CONTENT_RANGE,
        header::TRAILER,
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
    ] {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn not_modified<B>(response: Response<ResponseBody<B>>) -> Response<ResponseBody<B>> {
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    remove_representation_metadata(&mut parts.headers);
    Response::from_parts(parts, ResponseBody::stored(StoredBody::absent()))
}

impl<S, St: Store> Blocks<S, St> {
    /// An answer with what is selected, of a whole of `length` bytes with this head.
    fn answer<B>(
        &self,
        response: Response<ResponseBody<B>>,
        selected: Selected,
        length: u64,
        read: impl FnOnce(ResponseBody<B>, Range<u64>) -> StoredBody,
    ) -> Response<ResponseBody<B>> {
        let (mut parts, body) = response.into_parts();
        let mut unread = Some((body, read));
        let mut read = |bytes| {
            let (body, read) = unread.take()?;
            Some(read(body, bytes))
        };
        let body = match cut(&mut parts.headers, selected, length, &mut read) {
            Some((status, body)) => {
                parts.status = status;
                if status == StatusCode::RANGE_NOT_SATISFIABLE {
                    self.cache.tell_of_error(&mut parts.headers);
                }
                Some(body)
            }
            None => read(0..length),
        };
        Response::from_parts(
            parts,
            body.map_or_else(ResponseBody::empty, ResponseBody::stored),
        )
    }

    /// The answer where all that is wanted lies in a block that can't be told from those of other versions.
    fn cut_from_block<B>(
        &self,
        response: Response<ResponseBody<B>>,
        block: Block,
        viewer: &HeaderMap,
    ) -> Option<Response<ResponseBody<B>>>
    where
        B: Body + Send + 'static,
    {
        let length = block.length_of_whole(response.headers())?;
        let own = block.bytes(length);
        let response = as_whole(response, length);
        let headers = response.headers();
        if conditional::is_not_modified(viewer, StatusCode::OK, headers, self.core.now()) {
            return Some(not_modified(response));
        }
        let selected = range::select(viewer, headers, length, self.cache.range_rules());
        let lies_in_it = matches!(&selected, Selected::Part(part) if own.start <= part.start && part.end <= own.end);
        lies_in_it.then(|| {
            self.answer(response, selected, length, |body, bytes| {
                StoredBody::boxed(Slice::new(body, own.start, bytes))
            })
        })
    }

    /// The answer where the whole came, if it did.
    fn cut_from_whole<B>(
        &self,
        response: Response<ResponseBody<B>>,
        viewer: &HeaderMap,
    ) -> Response<ResponseBody<B>>
    where
        B: Body + Send + 'static,
    {
        if response.status() != StatusCode::OK {
            return response;
        }
        let headers = response.headers();
        if conditional::is_not_modified(viewer, StatusCode::OK, headers, self.core.now()) {
            return not_modified(response);
        }
        let Some(length) = content_length(headers) else {
            return response;
        };
        match range::select(viewer, headers, length, self.cache.range_rules()) {
            Selected::Whole => response,
            selected => self.answer(response, selected, length, |body, bytes| {
                StoredBody::boxed(Slice::new(body, 0, bytes))
            }),
        }
    }
}
