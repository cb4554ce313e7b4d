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
use http::{HeaderMap, Method, header};
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

/// A look-up under way: the index, then perhaps a variant, then perhaps the parts of a response.
pub(super) struct LookUp<St: Store> {
    get: St::Get,
    part: Part,
    /// The variant that is looked for; `None` while it is the index.
    variant: Option<OwnVariant>,
    counted: bool,
    gathering: Option<Box<Gathering>>,
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
    variant: Option<OwnVariant>,
}

/// What a look-up found.
pub(super) struct Looked {
    pub(super) object: Option<(Object, Part)>,
    /// The object has parts of its body only.
    pub(super) is_partial: bool,
    /// Among variants, the request's own, stored or not.
    variant: Option<OwnVariant>,
    /// Why the request is forwarded if there is no object.
    forward: Forward,
}

impl Looked {
    const NOTHING: Self = Self {
        object: None,
        is_partial: false,
        variant: None,
        forward: Forward::UriMiss,
    };
}

impl<St: Store> LookUp<St> {
    /// A viewer's look-up.
    pub(super) fn start(store: &St, key: &CacheKey) -> Self {
        Self {
            get: store.get(key, Part::Index),
            part: Part::Index,
            variant: None,
            counted: true,
            gathering: None,
        }
    }

    /// Another look for the same request.
    pub(super) fn again(store: &St, key: &CacheKey) -> Self {
        Self {
            get: store.peek(key, Part::Index),
            part: Part::Index,
            variant: None,
            counted: false,
            gathering: None,
        }
    }

    #[inline]
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        store: &St,
        key: &CacheKey,
        wanted: Wanted<'_>,
    ) -> Poll<Looked> {
        loop {
            let record = match ready!(Pin::new(&mut self.get).poll(cx)) {
                Ok(record) => record,
                Err(error) => {
                    tracing::warn!(%key, error = &error as &dyn std::error::Error, "look-up failed: taken as a miss");
                    None
                }
            };
            return Poll::Ready(match (record, self.variant.take()) {
                (record, _) if self.gathering.is_some() => {
                    match self.gathered(store, key, wanted, record) {
                        Some(looked) => looked,
                        None => continue,
                    }
                }
                (Some(Record::Object(object)), variant) => Looked {
                    object: Some((object, self.part)),
                    variant,
                    ..Looked::NOTHING
                },
                (Some(Record::Partial(partial)), variant) => {
                    match self.gather(store, key, wanted, partial, variant) {
                        Some(looked) => looked,
                        None => continue,
                    }
                }
                (None, None) | (Some(Record::Variants(_)), Some(_)) => Looked::NOTHING,
                (None, variant) => Looked {
                    variant,
                    forward: Forward::VaryMiss,
                    ..Looked::NOTHING
                },
                (Some(Record::Variants(variants)), None) => {
                    match variants.select_at(wanted.headers, wanted.order()) {
                        Some((at, selected)) => {
                            self.part = Part::Variant(selected.id);
                            self.variant = Some(OwnVariant::Listed(variants, at));
                            self.get = if self.counted {
                                store.get(key, self.part)
                            } else {
                                store.peek(key, self.part)
                            };
                            continue;
                        }
                        None => Looked {
                            variant: variants.list.first().map(|newest| {
                                OwnVariant::Unlisted(VariantKey::of(
                                    &newest.fields,
                                    wanted.headers,
                                    wanted.order(),
                                ))
                            }),
                            forward: Forward::VaryMiss,
                            ..Looked::NOTHING
                        },
                    }
                }
            });
        }
    }

    /// Begins to gather what a partial response has of what is wanted. `None`: there is more to look up.
    #[inline(never)]
    fn gather(
        &mut self,
        store: &St,
        key: &CacheKey,
        wanted: Wanted<'_>,
        partial: Arc<Partial>,
        variant: Option<OwnVariant>,
    ) -> Option<Looked> {
        let Some(missing) = wanted.extents(&partial) else {
            return Some(Looked {
                variant,
                forward: Forward::Partial,
                ..Looked::NOTHING
            });
        };
        let gathering = Box::new(Gathering {
            partial,
            missing,
            there: Vec::new(),
            variant,
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
    ) -> Option<Looked> {
        let mut gathering = self.gathering.take()?;
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
                self.gather(store, key, wanted, Arc::new(partial), gathering.variant)
            }
        }
    }

    fn look_up_next(
        &mut self,
        store: &St,
        key: &CacheKey,
        gathering: Box<Gathering>,
    ) -> Option<Looked> {
        match gathering.missing.last() {
            Some(extent) => {
                self.get = store.get(key, Part::Extent(extent.id));
                self.gathering = Some(gathering);
                None
            }
            None => {
                let object = gathering.partial.assemble(gathering.there);
                Some(Looked {
                    object: Some((object, self.part)),
                    is_partial: true,
                    variant: gathering.variant,
                    ..Looked::NOTHING
                })
            }
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
#[inline]
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

impl Looked {
    /// The key of the request's own variant.
    pub(super) fn variant(&self) -> Option<VariantKey> {
        self.variant.as_ref().and_then(OwnVariant::key)
    }

    /// What there is for a request, by the verdict on the object, if there is one.
    pub(super) fn judged(self, verdict: Option<Verdict>) -> Found {
        match (self.object, verdict) {
            (Some((object, _)), Some(Verdict::Fresh | Verdict::Stale)) => Found::Usable(object),
            // A 304 would confirm a whole.
            (Some(_), Some(Verdict::StaleWhileRevalidate)) if self.is_partial => {
                Found::Nothing(Forward::Stale)
            }
            (Some(_), Some(Verdict::Revalidate(forward))) if self.is_partial => {
                Found::Nothing(forward)
            }
            (Some((object, part)), Some(Verdict::StaleWhileRevalidate)) => {
                Found::Refresh(object, part)
            }
            (Some((object, part)), Some(Verdict::Revalidate(forward))) => {
                Found::Validate(object, part, forward)
            }
            (_, Some(Verdict::Refetch(forward))) => Found::Nothing(forward),
            (_, None) | (None, _) => Found::Nothing(self.forward),
        }
    }
}
