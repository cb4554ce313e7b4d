//! On the way into the store: judge a response, open a writer, commit.

use super::{
    CacheCore,
    core::Shared,
    extent::Unlisted,
    index::{list_variant, remove_listed},
    own_fields,
    piece::tag_of_blocks,
    settings::Settings,
    spawn::spawn,
};
use crate::{
    body::{OpenBody, Taken, Tee},
    error::BodyError,
    forward,
    freshness::{self, Exchange, Freshness, Refusal, Storable},
    headers::{
        RequestFacts, content_length, date_of, http_date, is_transfer_coded, remove_hop_by_hop,
    },
    invalidation::{Begun, tags_of},
    key::{CacheKey, ListOrder, VariantKey, Vary},
    store::{
        Epoch, Expected, Head, Object, Part, Record, Store, StoreWriter, Variant, Version,
        WriteRefused, Written,
    },
};
use bytes::Bytes;
use http::{
    HeaderMap, Method, StatusCode,
    header::{self, Entry},
    request::Parts,
};
use std::{
    future::{Future, poll_fn},
    mem,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// What must be known of a request to store its answer.
pub(super) struct Storing<St> {
    core: CacheCore<St>,
    settings: Arc<Settings>,
    key: CacheKey,
    /// The key that it was asked for under, where that was another.
    pub(super) asked_under: Option<CacheKey>,
    method: Method,
    facts: RequestFacts,
    /// The request's fields: `Vary` selects by them.
    request: HeaderMap,
    address: Box<str>,
    pub(super) begun: Begun,
    requested_at: u64,
}

/// A response that may be stored.
pub(super) struct Accepted {
    pub(super) freshness: Freshness,
    /// It answers other requests without being confirmed first.
    pub(super) usable: bool,
    pub(super) without: Vec<http::HeaderName>,
}

impl<St: Store> Storing<St> {
    /// Taken just before the request goes out.
    pub(super) fn new(
        core: &CacheCore<St>,
        settings: &Arc<Settings>,
        key: CacheKey,
        parts: &Parts,
        facts: &RequestFacts,
        address: Box<str>,
    ) -> Self {
        let shared = core.shared();
        Self {
            core: core.clone(),
            settings: settings.clone(),
            key,
            asked_under: None,
            method: parts.method.clone(),
            facts: *facts,
            request: parts.headers.clone(),
            address,
            begun: shared.invalidations.begin(),
            requested_at: shared.clock.now(),
        }
    }

    /// For a `POST`, whose answer may be stored for a `GET`.
    pub(super) fn for_post(
        core: &CacheCore<St>,
        settings: &Arc<Settings>,
        parts: &Parts,
        facts: &RequestFacts,
    ) -> Box<dyn StoreAnswer> {
        let mut get = parts.clone();
        get.method = Method::GET;
        let key = settings
            .policy
            .key_policy()
            .key(&core.shared().namespace, &get);
        let address = settings.address(&get);
        let mut storing = Self::new(core, settings, key, &get, facts, address);
        storing.method = Method::POST;
        Box::new(storing)
    }

    pub(super) fn core(&self) -> &CacheCore<St> {
        &self.core
    }

    pub(super) fn shared(&self) -> &Shared<St> {
        self.core.shared()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn facts(&self) -> &RequestFacts {
        &self.facts
    }

    pub(super) fn key(&self) -> &CacheKey {
        &self.key
    }

    /// Stores it under another key.
    pub(super) fn rename(&mut self, key: CacheKey) {
        self.asked_under = Some(mem::replace(&mut self.key, key));
    }

    /// The epoch of invalidation at which the request went out.
    pub(super) fn epoch(&self) -> Epoch {
        self.begun.epoch()
    }

    /// When the request went out.
    pub(super) fn requested_at(&self) -> u64 {
        self.requested_at
    }

    /// The tags of a response, that of a block among them.
    pub(super) fn tags(&self, response: &HeaderMap) -> Box<str> {
        let said = self.said_tags(response);
        match tag_of_blocks(&self.key) {
            None => said,
            Some(tag) if said.is_empty() => tag.into(),
            Some(tag) => [&*said, &tag].join(",").into(),
        }
    }

    /// The tags that a response says it has.
    pub(super) fn said_tags(&self, response: &HeaderMap) -> Box<str> {
        let name = self.settings.policy.tagged_by();
        name.map_or_else(Box::default, |name| tags_of(response, name))
    }

    /// Whether a response was invalidated while it was on its way.
    pub(super) fn is_gone(&self, response: &HeaderMap) -> bool {
        let tags = self.tags(response);
        let invalidations = &self.shared().invalidations;
        invalidations.is_gone(&self.address, &tags, self.epoch())
    }

    /// The request's fields.
    pub(super) fn request(&self) -> &HeaderMap {
        &self.request
    }

    /// Judges a response by its fields without hop-by-hop ones. A `HEAD` is judged as the `GET` that it stands for.
    pub(super) fn judge(
        &self,
        status: StatusCode,
        response: &HeaderMap,
    ) -> Result<Accepted, Refusal> {
        let judged = freshness::storable(
            &self.exchange(self.requested_at, status, response),
            self.settings.policy.freshness(),
        );
        judged.map(Self::accept)
    }

    /// The times of a response for those who waited for it, who can have none that is fresher: as if it had taken no time to
    /// come, and whether or not it is one that is kept.
    pub(super) fn on_time(&self, status: StatusCode, response: &HeaderMap) -> Option<Freshness> {
        let now = self.shared().clock.now();
        let exchange = self.exchange(now, status, response);
        let shared = freshness::shareable(&exchange, self.settings.policy.freshness());
        let accepted = Self::accept(shared.ok()?);
        accepted.usable.then_some(accepted.freshness)
    }

    fn exchange<'a>(
        &'a self,
        requested_at: u64,
        status: StatusCode,
        response: &'a HeaderMap,
    ) -> Exchange<'a> {
        Exchange {
            method: if self.method == Method::HEAD {
                &Method::GET
            } else {
                &self.method
            },
            request: &self.facts,
            status: self.judged_as(status),
            response,
            requested_at,
            received_at: self.shared().clock.now(),
        }
    }

    fn accept(storable: Storable) -> Accepted {
        let Storable { freshness, without } = storable;
        Accepted {
            usable: freshness.is_usable(freshness.received_at),
            freshness,
            without,
        }
    }

    /// Removes from a response, once judged, what the policy keeps from viewers and store, and what its status can't have.
    pub(super) fn restrict(&self, response: &mut HeaderMap) {
        let policy = &self.settings.policy;
        if policy.is_cloudfront() {
            let heeds_any = policy.freshness().heeds_vary_any();
            forward::restrict_response(response, policy.key_policy(), heeds_any);
        }
    }

    /// Which requests a response is for, among those with this key.
    pub(super) fn variant_of(
        &self,
        response: &HeaderMap,
    ) -> Option<(Box<[http::HeaderName]>, VariantKey)> {
        if !self.settings.policy.freshness().vary_counts() {
            return None;
        }
        match Vary::of(response) {
            Vary::Fields(fields) => {
                let key = VariantKey::of(&fields, &self.request, self.list_order());
                Some((fields, key))
            }
            Vary::None | Vary::Any => None,
        }
    }

    /// The head under which a response is stored.
    pub(super) fn head(
        &self,
        status: StatusCode,
        response: &HeaderMap,
        accepted: &Accepted,
    ) -> Head {
        let (mut headers, upstream_status) = own_fields::with_places(response, &accepted.without);
        // RFC 9110 section 6.6.1: who keeps a response without a date gives it one.
        if let Entry::Vacant(date) = headers.entry(header::DATE)
            && let Some(received) = http_date(accepted.freshness.received_at)
        {
            date.insert(received);
        }
        Head {
            status,
            headers,
            freshness: accepted.freshness,
            epoch: self.epoch(),
            address: self.address.clone(),
            tags: self.tags(response),
            upstream_status,
        }
    }

    /// Puts an object that was stored at `from` where the requests are that its fields select now. `false` where the store
    /// didn't take it.
    pub(super) async fn place(&self, object: Object, from: Part, response: &HeaderMap) -> bool {
        let Shared { store, limits, .. } = self.shared();
        let variant = self.variant(response);
        let (part, expected) = match &variant {
            Some(variant) => (Part::Variant(variant.id), Expected::Nothing),
            None => (Part::Index, Expected::Anything),
        };
        let record = Some(Record::Object(object));
        let stored = store.swap(&self.key, part, expected, record).await;
        if let (Ok(true), Some(variant)) = (&stored, &variant) {
            list_variant(store, &self.key, variant, from, limits.max_variants).await;
        }
        stored.unwrap_or(false)
    }

    /// Says in the list of variants what `Date` one has now.
    pub(super) async fn redate(&self, part: Part, response: &HeaderMap) {
        let Shared { store, limits, .. } = self.shared();
        if let Part::Variant(id) = part
            && let Some(variant) = self.variant_under(id, response)
        {
            list_variant(store, &self.key, &variant, part, limits.max_variants).await;
        }
    }

    /// The times of an answer that was confirmed just now, and may not be stored.
    pub(super) fn validated(&self, response: &HeaderMap, old: Freshness) -> Freshness {
        let received_at = self.shared().clock.now();
        Freshness {
            received_at,
            initial_age: freshness::corrected_initial_age(response, self.requested_at, received_at),
            ..old
        }
    }

    /// A variant of its own for a response, where it varies.
    pub(super) fn variant(&self, response: &HeaderMap) -> Option<Variant> {
        self.variant_under(Version::random().id(), response)
    }

    /// A variant under this id for a response, where it varies.
    pub(super) fn variant_under(&self, id: u64, response: &HeaderMap) -> Option<Variant> {
        let (fields, key) = self.variant_of(response)?;
        let date = match date_of(response, &header::DATE) {
            Some(date) => date.unwrap_or(0),
            // It is stored with the date of its reception, in whole seconds as every `Date`.
            None => self.shared().clock.now() / 1000 * 1000,
        };
        Some(Variant {
            fields,
            key,
            id,
            date,
        })
    }

    /// Opens a writer.
    pub(super) fn open(
        &self,
        status: StatusCode,
        response: &HeaderMap,
        accepted: &Accepted,
    ) -> Result<Storage<St>, WriteRefused> {
        let variant = self.variant(response);
        let part = variant
            .as_ref()
            .map_or(Part::Index, |variant| Part::Variant(variant.id));
        let head = self.head(status, response, accepted);
        let announced = announced_length(status, response);
        self.open_at(part, head, variant, announced, accepted.usable, None)
    }

    pub(super) fn open_at(
        &self,
        part: Part,
        head: Head,
        variant: Option<Variant>,
        announced: Option<u64>,
        usable: bool,
        extent: Option<Unlisted>,
    ) -> Result<Storage<St>, WriteRefused> {
        let tags = head.tags.clone();
        let Shared { store, limits, .. } = self.shared();
        let writer = store.writer(&self.key, part, head, limits.window)?;
        Ok(Storage {
            core: self.core.clone(),
            key: self.key.clone(),
            writer,
            variant,
            begun: self.begun.clone(),
            address: self.address.clone(),
            tags,
            announced,
            written: 0,
            usable,
            extent: extent.map(Box::new),
        })
    }

    /// How the fields that `Vary` names are compared.
    pub(super) fn list_order(&self) -> ListOrder {
        self.settings.policy.freshness().list_order()
    }
}

/// The length that a response's body must have. A 204 has none, whatever its fields say.
pub(super) fn announced_length(status: StatusCode, response: &HeaderMap) -> Option<u64> {
    content_length(response).filter(|_| status != StatusCode::NO_CONTENT)
}

/// A response on its way into the store.
pub(super) struct Storage<St: Store> {
    core: CacheCore<St>,
    key: CacheKey,
    writer: St::Writer,
    variant: Option<Variant>,
    begun: Begun,
    address: Box<str>,
    tags: Box<str>,
    announced: Option<u64>,
    written: u64,
    usable: bool,
    /// It is a part of a response, not the whole.
    extent: Option<Box<Unlisted>>,
}

impl<St: Store> Storage<St> {
    /// Takes a copy of what goes to its viewer inline, if there is room.
    pub(super) fn into_tee(self) -> Option<Box<dyn Tee>> {
        self.keeps()
            .then(|| Box::new(StoreTee(self)) as Box<dyn Tee>)
    }

    pub(super) fn opener(&self) -> Option<Arc<dyn OpenBody>> {
        self.writer.opener()
    }

    /// Whether what is written is kept, as far as is known.
    pub(super) fn keeps(&self) -> bool {
        self.writer.keeps()
    }

    pub(super) fn has_readers(&self) -> bool {
        self.writer.has_readers()
    }

    pub(super) fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.writer.poll_abandoned(cx)
    }

    pub(super) fn fail(&mut self, error: BodyError) {
        self.writer.fail(error);
    }

    /// Takes a chunk. An error of the store is an event, and the end of storing.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &Bytes) -> Poll<Written> {
        let written = ready!(self.writer.poll_write(cx, chunk));
        self.written += chunk.len() as u64;
        Poll::Ready(written.unwrap_or_else(|error| {
            tracing::warn!(key = %self.key, error = &error as &dyn std::error::Error, "writing to the store failed");
            Written::Gone
        }))
    }

    /// How much has come of what the head announced.
    fn length(&self) -> Length {
        match self.announced {
            None => Length::Unknown,
            Some(announced) if self.written < announced => Length::Short,
            Some(announced) if self.written > announced => Length::Over,
            Some(_) => Length::Exact,
        }
    }

    /// Makes it visible, unless it has been invalidated since it was asked for: the object first, then its place in the index.
    pub(super) async fn commit(&mut self, trailers: Option<HeaderMap>) -> Option<Object> {
        let invalidations = &self.core.shared().invalidations;
        if invalidations.is_gone(&self.address, &self.tags, self.begun.epoch()) {
            tracing::debug!(key = %self.key, "invalidated before its end: not stored");
            self.writer.discard(trailers.as_ref());
            return None;
        }
        // Of a variant, the list tells what it replaces.
        let replaced = match self.variant.is_none() && self.extent.is_none() {
            true => {
                let index = self.core.shared().store.peek(&self.key, Part::Index);
                index.await.unwrap_or_default()
            }
            false => None,
        };
        let committed = poll_fn(|cx| self.writer.poll_commit(cx, trailers.as_ref())).await;
        let object = match committed {
            Ok(object) => object?,
            Err(error) => {
                tracing::warn!(key = %self.key, error = &error as &dyn std::error::Error, "the store did not commit");
                return None;
            }
        };
        let shared = self.core.shared();
        remove_listed(&shared.store, &self.key, replaced.as_ref()).await;
        if let Some(extent) = self.extent.take() {
            let (part, stored) = (extent.part(), object.body().length());
            let listed = Box::pin(extent.list(shared, &self.key, stored)).await;
            if !listed.unwrap_or_else(|error| {
                tracing::warn!(key = %self.key, error = &error as &dyn std::error::Error, "the store did not take a part");
                false
            }) {
                let expected = Expected::Version(object.version());
                let _removed = shared.store.swap(&self.key, part, expected, None).await;
                return None;
            }
        }
        if let Some(variant) = &self.variant {
            Box::pin(list_variant(
                &shared.store,
                &self.key,
                variant,
                Part::Index,
                shared.limits.max_variants,
            ))
            .await;
        }
        if self.usable {
            shared.uncacheable.lift(&self.key);
        }
        tracing::debug!(key = %self.key, bytes = object.body().length(), "stored");
        Some(object)
    }
}

enum Length {
    Unknown,
    Exact,
    Short,
    Over,
}

/// Takes a copy of what a viewer gets inline.
struct StoreTee<St: Store>(Storage<St>);

impl<St: Store> Tee for StoreTee<St> {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, chunk: &Bytes) -> Poll<Taken> {
        Poll::Ready(match ready!(self.0.poll_write(cx, chunk)) {
            Written::Kept => match self.0.length() {
                Length::Unknown | Length::Short => Taken::More,
                Length::Exact => Taken::Complete,
                Length::Over => Taken::Refused,
            },
            Written::Passed | Written::Gone => Taken::Refused,
        })
    }

    fn finish(mut self: Box<Self>, trailers: Option<HeaderMap>) {
        if matches!(self.0.length(), Length::Short | Length::Over) {
            return;
        }
        // In memory it is done at once; a viewer doesn't wait for a store that does I/O.
        let mut commit = Box::pin(async move { self.0.commit(trailers).await });
        if commit
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {
            spawn(async move {
                commit.await;
            });
        }
    }
}

impl<St: Store> Storing<St> {
    /// Takes a copy of an answer that goes to its viewer inline, if it may be stored and there is room.
    pub(super) fn tee(
        &self,
        status: StatusCode,
        response: &HeaderMap,
        accepted: &Accepted,
    ) -> Option<Box<dyn Tee>> {
        self.open(status, response, accepted).ok()?.into_tee()
    }
}

/// Stores the answer to a request of which no more is known than this.
pub(super) trait StoreAnswer: Send + Sync {
    /// Whether its target was invalidated since the request went out.
    fn is_overtaken(&self) -> bool;
    /// Begins, after the request's own invalidation of its target.
    fn begin(self: Box<Self>, status: StatusCode, response: &HeaderMap) -> Option<Box<dyn Tee>>;
}

impl<St: Store> StoreAnswer for Storing<St> {
    fn is_overtaken(&self) -> bool {
        self.shared()
            .invalidations
            .invalidated_since(&self.address, self.epoch())
    }

    fn begin(
        mut self: Box<Self>,
        status: StatusCode,
        response: &HeaderMap,
    ) -> Option<Box<dyn Tee>> {
        self.begun = self.shared().invalidations.begin();
        if is_transfer_coded(response) {
            return None;
        }
        let mut fields = response.clone();
        remove_hop_by_hop(&mut fields);
        let accepted = self.judge(status, &fields).ok()?;
        self.tee(status, &fields, &accepted)
    }
}
