//! Look up and judge: what is there for a request, and may it be used?

use super::{core::Shared, respond::range_rules, settings::Settings};
use crate::{
    freshness::{self, Forward, Freshness, Verdict},
    headers::RequestFacts,
    invalidation::Standing,
    key::{CacheKey, ListOrder, VariantKey},
    range::{self, Selected},
    store::{BodySource, Extent, Object, Part, Partial, Record, Store, Variants},
};
use http::{HeaderMap, HeaderValue, Method, header};
use std::{
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What a look-up is for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) settings: &'a Settings,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    /// The line of `Accept-Encoding` among them, where it is known to be the only one.
    pub(super) accept_encoding: Option<&'a HeaderValue>,
}

impl Wanted<'_> {
    /// How the fields that `Vary` names are compared.
    fn order(self) -> ListOrder {
        self.settings.policy.freshness().list_order()
    }

    /// The extents of a partial response that it takes to answer; `None` where there is too little.
    fn extents(self, partial: &Partial) -> Option<Vec<Extent>> {
        let whole = 0..partial.length;
        let (method, headers) = (self.method, self.headers);
        let stored = &partial.head.headers;
        let selected = match *method == Method::GET && headers.contains_key(header::RANGE) {
            true => range::select(headers, stored, partial.length, range_rules(self.settings)),
            false => Selected::Whole,
        };
        match selected {
            Selected::Whole => partial.covering(&[whole]),
            Selected::Part(part) => partial.covering(&[part]),
            Selected::Parts(parts) => partial.covering(&parts),
            Selected::Unsatisfiable => Some(Vec::new()),
        }
    }
}

/// A look-up: of the index, then perhaps of a variant, then perhaps of the parts of a response. What it found stays in it.
pub(super) struct LookUp<St: Store> {
    get: St::Get,
    counted: bool,
    /// What is looked for, and then which part the object is.
    pub(super) part: Part,
    /// Among variants, the request's own, stored or not; `None` while it is the index that is looked for.
    variant: Option<OwnVariant>,
    gathering: Option<Box<Gathering>>,
    pub(super) object: Option<Object>,
    /// The object has parts of its body only.
    pub(super) is_partial: bool,
    /// Why the request is forwarded if there is no object.
    forward: Forward,
}

/// The variant that a request selects.
#[derive(Clone)]
enum OwnVariant {
    /// This one of those that are listed. A hit needn't know its key.
    Listed(Arc<Variants>, usize),
    /// One with this key, which isn't listed.
    Unlisted(VariantKey),
}

impl OwnVariant {
    fn key(&self) -> Option<VariantKey> {
        match self {
            Self::Listed(variants, at) => variants.list.get(*at).map(|one| one.key.clone()),
            Self::Unlisted(key) => Some(key.clone()),
        }
    }
}

/// The extents of a partial response, one looked up after the other.
struct Gathering {
    partial: Arc<Partial>,
    /// Still to be looked up, the next last.
    missing: Vec<Extent>,
    there: Vec<(Range<u64>, BodySource)>,
}

impl<St: Store> LookUp<St> {
    /// A viewer's look-up.
    pub(super) fn start(store: &St, key: &CacheKey) -> Self {
        Self::begun(store.get(key, Part::Index), true)
    }

    /// Another look for the same request.
    pub(super) fn again(store: &St, key: &CacheKey) -> Self {
        Self::begun(store.peek(key, Part::Index), false)
    }

    #[inline]
    fn begun(get: St::Get, counted: bool) -> Self {
        Self {
            get,
            counted,
            part: Part::Index,
            variant: None,
            gathering: None,
            object: None,
            is_partial: false,
            forward: Forward::UriMiss,
        }
    }

    /// Ready once all that there is has been found.
    #[inline]
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        store: &St,
        key: &CacheKey,
        wanted: Wanted<'_>,
    ) -> Poll<()> {
        loop {
            let record = match ready!(Pin::new(&mut self.get).poll(cx)) {
                Ok(record) => record,
                Err(error) => {
                    tracing::warn!(%key, error = &error as &dyn std::error::Error, "look-up failed: taken as a miss");
                    None
                }
            };
            let is_done = match record {
                record if self.gathering.is_some() => self.gathered(store, key, wanted, record),
                Some(Record::Object(object)) => {
                    self.object = Some(object);
                    true
                }
                Some(Record::Variants(variants)) if self.variant.is_none() => {
                    self.select(store, key, wanted, variants)
                }
                Some(Record::Partial(partial)) => self.gather(store, key, wanted, partial),
                Some(Record::Variants(_)) => {
                    self.variant = None;
                    true
                }
                None => {
                    if self.variant.is_some() {
                        self.forward = Forward::VaryMiss;
                    }
                    true
                }
            };
            if is_done {
                return Poll::Ready(());
            }
        }
    }

    /// Begins to look for the variant that the request selects. Whether there is nothing more to look up.
    #[inline]
    fn select(
        &mut self,
        store: &St,
        key: &CacheKey,
        wanted: Wanted<'_>,
        variants: Arc<Variants>,
    ) -> bool {
        let at_once = wanted
            .accept_encoding
            .and_then(|line| variants.select_by_line(&header::ACCEPT_ENCODING, line));
        match at_once.or_else(|| variants.select_at(wanted.headers, wanted.order())) {
            Some((at, selected)) => {
                self.part = Part::Variant(selected.id);
                self.variant = Some(OwnVariant::Listed(variants, at));
                self.get = if self.counted {
                    store.get(key, self.part)
                } else {
                    store.peek(key, self.part)
                };
                false
            }
            None => {
                self.variant = variants.list.first().map(|newest| {
                    OwnVariant::Unlisted(VariantKey::of(
                        &newest.fields,
                        wanted.headers,
                        wanted.order(),
                    ))
                });
                self.forward = Forward::VaryMiss;
                true
            }
        }
    }

    /// Begins to gather what a partial response has of what is wanted. Whether there is nothing more to look up.
    #[inline(never)]
    fn gather(
        &mut self,
        store: &St,
        key: &CacheKey,
        wanted: Wanted<'_>,
        partial: Arc<Partial>,
    ) -> bool {
        let Some(missing) = wanted.extents(&partial) else {
            self.forward = Forward::Partial;
            return true;
        };
        let gathering = Box::new(Gathering {
            partial,
            missing,
            there: Vec::new(),
        });
        self.look_up_next(store, key, gathering)
    }

    /// Takes an extent that was looked up.
    #[inline(never)]
    fn gathered(
        &mut self,
        store: &St,
        key: &CacheKey,
        wanted: Wanted<'_>,
        record: Option<Record>,
    ) -> bool {
        let Some(mut gathering) = self.gathering.take() else {
            return true;
        };
        match (record, gathering.missing.pop()) {
            (Some(Record::Object(object)), Some(extent))
                if object.body().length() == extent.bytes.end - extent.bytes.start =>
            {
                gathering.there.push((extent.bytes, object.body().clone()));
                self.look_up_next(store, key, gathering)
            }
            // It was evicted, or another holds its bytes by now: perhaps the others suffice.
            (_, extent) => {
                let mut partial = Partial::clone(&gathering.partial);
                partial
                    .extents
                    .retain(|other| Some(other) != extent.as_ref());
                self.gather(store, key, wanted, Arc::new(partial))
            }
        }
    }

    fn look_up_next(&mut self, store: &St, key: &CacheKey, gathering: Box<Gathering>) -> bool {
        match gathering.missing.last() {
            Some(extent) => {
                self.get = store.get(key, Part::Extent(extent.id));
                self.gathering = Some(gathering);
                false
            }
            None => {
                self.object = Some(gathering.partial.assemble(gathering.there));
                self.is_partial = true;
                true
            }
        }
    }

    /// The key of the request's own variant.
    pub(super) fn variant(&self) -> Option<VariantKey> {
        self.variant.as_ref().and_then(OwnVariant::key)
    }

    /// What there is for a request, by the verdict on the object, if there is one.
    pub(super) fn judged(self, verdict: Option<Verdict>) -> Found {
        let part = self.part;
        match (self.object, verdict) {
            (Some(object), Some(Verdict::Fresh | Verdict::Stale)) => Found::Usable(object),
            // A 304 would confirm a whole.
            (Some(_), Some(Verdict::StaleWhileRevalidate)) if self.is_partial => {
                Found::Nothing(Forward::Stale)
            }
            (Some(_), Some(Verdict::Revalidate(forward))) if self.is_partial => {
                Found::Nothing(forward)
            }
            (Some(object), Some(Verdict::StaleWhileRevalidate)) => Found::Refresh(object, part),
            (Some(object), Some(Verdict::Revalidate(forward))) => {
                Found::Validate(object, part, forward)
            }
            (_, Some(Verdict::Refetch(forward))) => Found::Nothing(forward),
            (_, None) | (None, _) => Found::Nothing(self.forward),
        }
    }
}

/// What there is for a request.
pub(super) enum Found {
    /// This, to be used as it is.
    Usable(Object),
    /// This, though it is stale; it is to be refreshed meanwhile.
    Refresh(Object, Part),
    /// This, if the origin confirms it.
    Validate(Object, Part, Forward),
    /// Nothing that helps.
    Nothing(Forward),
}

impl Found {
    pub(super) fn forward(&self) -> Forward {
        match self {
            Self::Usable(_) => Forward::Request,
            Self::Refresh(..) => Forward::Stale,
            Self::Validate(_, _, forward) | Self::Nothing(forward) => *forward,
        }
    }
}

/// Whether a stored object has been invalidated.
#[inline]
pub(super) fn standing<St>(core: &Shared<St>, object: &Object) -> Standing {
    let (head, seen) = (object.head(), object.stamp());
    let (standing, stamp) = core
        .invalidations
        .check(&head.address, &head.tags, head.epoch, seen);
    if stamp != seen {
        object.set_stamp(stamp);
    }
    standing
}

/// The times of a stored object: once invalidated, it is stale.
pub(super) fn times<St>(core: &Shared<St>, object: &Object, now: u64) -> Freshness {
    let stored = object.head().freshness;
    match standing(core, object) {
        Standing::Current => stored,
        Standing::Stale(since) => stored.stale_since(since.min(now)),
        Standing::Gone => stored.stale_since(now),
    }
}

/// May a stored object be used, here and now?
#[inline(always)]
pub(super) fn judge<St>(
    core: &Shared<St>,
    settings: &Settings,
    facts: &RequestFacts,
    object: &Object,
    now: u64,
) -> Verdict {
    let stored = &object.head().freshness;
    let stale;
    let stored = match standing(core, object) {
        Standing::Current => stored,
        // Stale by now, even if the clock was set back.
        Standing::Stale(since) => {
            stale = stored.stale_since(since.min(now));
            &stale
        }
        Standing::Gone => return Verdict::Refetch(Forward::Miss),
    };
    freshness::assess(stored, facts, settings.policy.freshness(), now)
}
