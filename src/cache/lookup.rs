//! Look up and judge: what is there for a request, and may it be used?

use super::{core::Shared, settings::Settings};
use crate::{
    freshness::{self, Forward, Freshness, Verdict},
    headers::RequestFacts,
    invalidation::Standing,
    key::{CacheKey, ListOrder, VariantKey},
    store::{Object, Part, Record, Store},
};
use http::HeaderMap;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A look-up under way: the index, then perhaps a variant.
pub(super) struct LookUp<St: Store> {
    get: St::Get,
    part: Part,
    /// The variant that is looked for; `None` while it is the index.
    variant: Option<VariantKey>,
    counted: bool,
}

/// What a look-up found.
pub(super) struct Looked {
    pub(super) object: Option<(Object, Part)>,
    /// Among variants, the request's own, stored or not.
    pub(super) variant: Option<VariantKey>,
    /// Why the request is forwarded if there is no object.
    forward: Forward,
}

impl Looked {
    const NOTHING: Self = Self {
        object: None,
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
        }
    }

    /// Another look for the same request.
    pub(super) fn again(store: &St, key: &CacheKey) -> Self {
        Self {
            get: store.peek(key, Part::Index),
            part: Part::Index,
            variant: None,
            counted: false,
        }
    }

    #[inline]
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        store: &St,
        key: &CacheKey,
        request: &HeaderMap,
        order: ListOrder,
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
                (Some(Record::Object(object)), variant) => Looked {
                    object: Some((object, self.part)),
                    variant,
                    ..Looked::NOTHING
                },
                (None, None) | (Some(Record::Variants(_)), Some(_)) => Looked::NOTHING,
                (None, variant) => Looked {
                    variant,
                    forward: Forward::VaryMiss,
                    ..Looked::NOTHING
                },
                (Some(Record::Variants(variants)), None) => match variants.select(request, order) {
                    Some(selected) => {
                        self.variant = Some(selected.key.clone());
                        self.part = Part::Variant(selected.id);
                        self.get = if self.counted {
                            store.get(key, self.part)
                        } else {
                            store.peek(key, self.part)
                        };
                        continue;
                    }
                    None => Looked {
                        variant: variants
                            .list
                            .first()
                            .map(|newest| VariantKey::of(&newest.fields, request, order)),
                        forward: Forward::VaryMiss,
                        ..Looked::NOTHING
                    },
                },
            });
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
        Standing::Stale | Standing::Gone => Freshness {
            fresh_until: stored.fresh_until.min(now),
            ..stored
        },
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
        Standing::Stale => {
            stale = Freshness {
                fresh_until: stored.fresh_until.min(now),
                ..*stored
            };
            &stale
        }
        Standing::Gone => return Verdict::Refetch(Forward::Miss),
    };
    freshness::assess(stored, facts, settings.policy.freshness(), now)
}

impl Looked {
    /// What there is for a request, by the verdict on the object, if there is one.
    pub(super) fn judged(self, verdict: Option<Verdict>) -> Found {
        match (self.object, verdict) {
            (Some((object, _)), Some(Verdict::Fresh | Verdict::Stale)) => Found::Usable(object),
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
