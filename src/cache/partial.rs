//! What a range request brought, on its way into the store (RFC 9111 sections 3.3 and 3.4).

use super::{
    core::Shared,
    storing::{Accepted, Storage, Storing},
};
use crate::{
    body::Tee,
    conditional::same_strong_validator,
    headers::{content_length, content_range},
    store::{Expected, Head, Object, Part, Partial, Record, Store, Version},
};
use http::{HeaderMap, StatusCode, header};
use std::{ops::Range, sync::Arc};

/// An extent of a partial response that is being stored.
pub(super) struct Extent {
    /// Where the partial response is listed.
    place: Part,
    /// Names the extents of its version.
    of: u64,
    /// The bytes that the response says it has.
    bytes: Range<u64>,
    /// The length of the whole.
    length: u64,
    /// The head of the whole.
    head: Head,
}

impl<St: Store> Storing<St> {
    /// Takes a copy of a 206 with one range that goes to its viewer inline, if it may be stored: as a 200 might.
    pub(super) async fn tee_extent(&self, response: &HeaderMap) -> Option<Box<dyn Tee>> {
        let (bytes, length) = content_range(response)?;
        let announced = content_length(response);
        if announced.is_some_and(|announced| announced > bytes.end - bytes.start) {
            return None;
        }
        let mut whole = response.clone();
        whole.remove(header::CONTENT_RANGE);
        whole.insert(header::CONTENT_LENGTH, length.into());
        let accepted = self.judge(StatusCode::OK, &whole).ok()?;
        self.restrict(&mut whole);
        let extent = self.extent(&whole, &accepted, bytes, length).await?;
        let part = Part::Extent {
            of: extent.of,
            start: extent.bytes.start,
        };
        // Its own head says what it is of, no more: the fields are in the list.
        let head = Head {
            status: StatusCode::PARTIAL_CONTENT,
            headers: HeaderMap::new(),
            ..extent.head.clone()
        };
        let variant = match extent.place {
            Part::Variant(id) => self.variant_under(id, &whole),
            _ => None,
        };
        let announced = announced.or(Some(extent.bytes.end - extent.bytes.start));
        self.open_at(
            part,
            head,
            variant,
            announced,
            accepted.usable,
            Some(extent),
        )
        .ok()
        .and_then(Storage::into_tee)
    }

    /// Where it belongs: to what is there of the same version, or to a list of its own. `None` where the whole is there.
    async fn extent(
        &self,
        whole: &HeaderMap,
        accepted: &Accepted,
        bytes: Range<u64>,
        length: u64,
    ) -> Option<Extent> {
        let store = &self.shared().store;
        let index = store.peek(self.key(), Part::Index).await.ok()?;
        // What the request selects now, whether or not this response varies.
        let (from, there) = match index {
            Some(Record::Variants(variants)) => {
                let selected = variants.select(self.request(), self.list_order());
                match selected.map(|one| Part::Variant(one.id)) {
                    Some(from) => (Some(from), store.peek(self.key(), from).await.ok()?),
                    None => (None, None),
                }
            }
            index => (Some(Part::Index), index),
        };
        let new = Version::random().id();
        let place = match (self.variant_of(whole), from) {
            (None, _) => Part::Index,
            (Some(_), Some(Part::Variant(id))) => Part::Variant(id),
            (Some(_), _) => Part::Variant(new),
        };
        let head = self.head(StatusCode::OK, whole, accepted);
        let of = match there {
            Some(Record::Object(object)) if stands(self.shared(), &object, &head) => return None,
            Some(Record::Partial(partial))
                if from == Some(place)
                    && partial.length == length
                    && !is_gone(self.shared(), &partial.head)
                    && same_strong_validator(&partial.head.headers, &head.headers) =>
            {
                partial.id
            }
            _ => new,
        };
        Some(Extent {
            place,
            of,
            bytes,
            length,
            head,
        })
    }
}

/// Whether a complete object isn't to give way to parts: it is fresh, or of their version, and not invalidated.
fn stands<St>(shared: &Shared<St>, object: &Object, parts: &Head) -> bool {
    let head = object.head();
    let is_fresh = head.freshness.is_fresh(shared.clock.now());
    (is_fresh || same_strong_validator(&head.headers, &parts.headers)) && !is_gone(shared, head)
}

/// What was invalidated stays gone, whatever its validator says.
fn is_gone<St>(shared: &Shared<St>, head: &Head) -> bool {
    let (address, tags) = (&head.address, &head.tags);
    shared.invalidations.is_gone(address, tags, head.epoch)
}

impl Extent {
    /// Lists an extent that was stored; its body may be shorter than it said. `false` where it isn't listed, and is of no use.
    pub(super) async fn list<St: Store>(
        self,
        shared: &Shared<St>,
        key: &crate::key::CacheKey,
        stored: u64,
    ) -> bool {
        let store = &shared.store;
        let extent = self.bytes.start..self.bytes.start + stored;
        if stored == 0 || extent.end > self.bytes.end {
            return false;
        }
        for _ in 0..16 {
            let there = store.peek(key, self.place).await.unwrap_or_default();
            let expected = match &there {
                None => Expected::Nothing,
                Some(record) => Expected::Version(record.version()),
            };
            let (with, gone) = match &there {
                Some(Record::Object(object)) if stands(shared, object, &self.head) => return false,
                Some(Record::Partial(partial)) if partial.id == self.of => {
                    let (with, gone) = partial.with(self.head.clone(), extent.clone());
                    (
                        with,
                        gone.into_iter().map(|start| (self.of, start)).collect(),
                    )
                }
                there => {
                    let alone = Partial {
                        version: Version::random(),
                        head: self.head.clone(),
                        length: self.length,
                        id: self.of,
                        extents: vec![extent.clone()],
                    };
                    let gone: Vec<(u64, u64)> = match there {
                        Some(Record::Partial(old)) => {
                            let starts = old.extents.iter().map(|extent| extent.start);
                            starts.map(|start| (old.id, start)).collect()
                        }
                        _ => Vec::new(),
                    };
                    (alone, gone)
                }
            };
            let record = Some(Record::Partial(Arc::new(with)));
            match store.swap(key, self.place, expected, record).await {
                Ok(true) => {
                    for (of, start) in gone {
                        // What can't be removed is never found again, and is evicted some day.
                        let part = Part::Extent { of, start };
                        let _removed = store.swap(key, part, Expected::Anything, None).await;
                    }
                    return true;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%key, error = &error as &dyn std::error::Error, "the store did not take a part");
                    return false;
                }
            }
        }
        false
    }

    pub(super) fn part(&self) -> Part {
        Part::Extent {
            of: self.of,
            start: self.bytes.start,
        }
    }
}
