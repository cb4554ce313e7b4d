//! What a store keeps.

use super::{heads::Unpacked, ledger::Charge, partial::Partial};
use crate::{
    body::{Chunks, StoredBody},
    epoch::Epoch,
    freshness::Freshness,
    key::{ListOrder, VariantKey},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    ops::Range,
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a piece of a body costs beside its bytes.
pub(super) const CHUNK_OVERHEAD: u64 = 128;

/// Names one commit: 128 random bits. What is replaced, updated or removed is named by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub [u8; 16]);

impl Version {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        // SipHash under keys from the system's randomness, over a counter: never the same twice.
        static KEYS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&KEYS.0.hash_one(count).to_be_bytes());
        bits[8..].copy_from_slice(&KEYS.1.hash_one(count).to_be_bytes());
        Self(bits)
    }

    /// A name made of half of the bits.
    pub(crate) fn id(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({:032x})", u128::from_be_bytes(self.0))
    }
}

/// A record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A complete response.
    Object(Object),
    /// The variants of a response that `Vary` selects from.
    Variants(Arc<Variants>),
    /// Parts of a response.
    Partial(Arc<Partial>),
}

impl Record {
    /// The version of the commit that wrote it.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Self::Object(object) => object.version(),
            Self::Variants(variants) => variants.version,
            Self::Partial(partial) => partial.version,
        }
    }
}

/// All of a stored response but its body.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The fields, without hop-by-hop ones, and with places for those that the cache adds.
    pub headers: HeaderMap,
    /// How old it is and for how long it is fresh.
    pub freshness: Freshness,
    /// The epoch of invalidation at which its fetch began.
    pub epoch: Epoch,
    /// Authority, path and query, by which it is invalidated.
    pub address: Box<str>,
    /// Its tags, by which it is invalidated, too: in lower case, with commas between them.
    pub tags: Box<str>,
    /// The upstream caches' `Cache-Status`.
    pub upstream_status: Option<HeaderValue>,
}

impl Head {
    /// Copies the fields out of the connection's buffers.
    pub(crate) fn compact(&mut self) {
        compact(&mut self.headers);
    }

    /// What it takes in memory, in bytes, roughly.
    pub(crate) fn size(&self) -> u64 {
        let upstream = self.upstream_status.as_ref().map_or(0, HeaderValue::len);
        let texts = self.address.len() + self.tags.len() + upstream;
        let besides = size_of::<Self>() - size_of::<HeaderMap>();
        size_of_fields(&self.headers) + (besides + texts) as u64
    }
}

/// Copies fields out of the connection's buffers, the values into one allocation of their exact size.
pub(super) fn compact(fields: &mut HeaderMap) {
    let length = fields.values().map(HeaderValue::len).sum();
    let mut values = Vec::with_capacity(length);
    for value in fields.values() {
        values.extend_from_slice(value.as_bytes());
    }
    let mut values = Bytes::from(values);
    for value in fields.values_mut() {
        let bytes = values.split_to(value.len());
        // The bytes were a value before.
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(bytes) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
}

/// What fields take in memory, in bytes, roughly.
pub(super) fn size_of_fields(fields: &HeaderMap) -> u64 {
    let values: usize = fields.values().map(HeaderValue::len).sum();
    let names: usize = fields.keys().map(|name| name.as_str().len()).sum();
    // An entry of the map, and its share of the index.
    let table = fields.capacity() * (104 + 8);
    (size_of::<HeaderMap>() + values + names + table) as u64
}

/// A complete stored response. Clones share it.
#[derive(Clone, Debug)]
pub struct Object(Arc<ObjectParts>);

#[derive(Debug)]
struct ObjectParts {
    version: Version,
    head: Head,
    body: BodySource,
    /// What its last check for invalidation left: in this process only, 0 before.
    stamp: AtomicU64,
    /// What a store has of it, until the last holder drops it.
    stored: Stored,
}

/// What a store has of an object.
#[derive(Debug)]
enum Stored {
    Elsewhere,
    /// This is charged for it.
    Charged(Charge),
    /// It is packed, and this is its unpacked head.
    Unpacked(Unpacked),
}

/// Finds an object as long as someone holds it.
#[derive(Clone)]
pub(super) struct WeakObject(Weak<ObjectParts>);

impl WeakObject {
    pub(super) fn upgrade(&self) -> Option<Object> {
        self.0.upgrade().map(Object)
    }
}

impl Object {
    /// A new object.
    #[must_use]
    pub fn new(head: Head, body: BodySource) -> Self {
        Self::with_version(Version::random(), head, body)
    }

    pub(crate) fn with_version(version: Version, head: Head, body: BodySource) -> Self {
        Self::build(version, head, body, Stored::Elsewhere)
    }

    pub(super) fn charged(version: Version, head: Head, body: BodySource, charge: Charge) -> Self {
        Self::build(version, head, body, Stored::Charged(charge))
    }

    pub(super) fn unpacked(
        version: Version,
        head: Head,
        body: BodySource,
        unpacked: Unpacked,
    ) -> Self {
        Self::build(version, head, body, Stored::Unpacked(unpacked))
    }

    fn build(version: Version, head: Head, body: BodySource, stored: Stored) -> Self {
        Self(Arc::new(ObjectParts {
            version,
            head,
            body,
            stamp: AtomicU64::new(0),
            stored,
        }))
    }

    /// What it takes in memory beside its head's fields.
    pub(super) const BESIDES: u64 = (size_of::<ObjectParts>() + 2 * size_of::<usize>()) as u64;

    pub(super) fn downgrade(&self) -> WeakObject {
        WeakObject(Arc::downgrade(&self.0))
    }

    /// Whether it is this very one.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What it was unpacked from, if it is kept so.
    pub(super) fn kept_unpacked(&self) -> Option<&Unpacked> {
        match &self.0.stored {
            Stored::Unpacked(unpacked) => Some(unpacked),
            Stored::Elsewhere | Stored::Charged(_) => None,
        }
    }

    /// What is charged for it: with its body, unless that is elsewhere.
    pub(super) fn weight(&self) -> u64 {
        match &self.0.stored {
            Stored::Elsewhere => 0,
            Stored::Charged(charge) => charge.bytes().saturating_add(self.0.body.weight()),
            Stored::Unpacked(unpacked) => unpacked.packed().0.cost() + unpacked.cost(),
        }
    }

    /// The same body under another head: what a 304 makes of it.
    #[must_use]
    pub fn with_head(&self, head: Head) -> Self {
        Self::new(head, self.0.body.clone())
    }

    /// The version of the commit that wrote it.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &BodySource {
        &self.0.body
    }

    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        self.0.stamp.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stamp(&self, stamp: u64) {
        self.0.stamp.store(stamp, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Head {
    /// Of a 200 with these fields, received at 0 and fresh until 1,000.
    pub(crate) fn sample(headers: HeaderMap) -> Self {
        Self {
            status: StatusCode::OK,
            headers,
            freshness: Freshness {
                received_at: 0,
                initial_age: 0,
                fresh_until: 1000,
                always_validate: false,
                never_stale: false,
                immutable: false,
                stale_while_revalidate: 0,
                stale_if_error: 0,
            },
            epoch: Epoch {
                sequence: 0,
                number: 1,
            },
            address: "a/b".into(),
            tags: Box::default(),
            upstream_status: None,
        }
    }
}

/// Reads a complete body from elsewhere than memory.
pub trait ReadBody: Send + Sync + 'static {
    /// Its length in bytes.
    fn length(&self) -> u64;
    /// A reader of these bytes of it. Nothing is read before it is polled.
    fn read(&self, range: Range<u64>) -> StoredBody;
}

/// Where the body of an object is.
#[derive(Clone)]
pub enum BodySource {
    /// In memory.
    Memory(Chunks),
    /// Elsewhere.
    Elsewhere(Arc<dyn ReadBody>),
}

impl BodySource {
    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory(chunks) => chunks.length(),
            Self::Elsewhere(body) => body.length(),
        }
    }

    /// Whether its length may be announced: trailers need another framing.
    pub(crate) fn is_framed_by_length(&self) -> bool {
        match self {
            Self::Memory(chunks) => chunks.trailers().is_none(),
            Self::Elsewhere(_) => true,
        }
    }

    /// What is charged for it, of what is in memory.
    fn weight(&self) -> u64 {
        match self {
            Self::Memory(chunks) => chunks.length() + CHUNK_OVERHEAD * chunks.pieces().len() as u64,
            Self::Elsewhere(_) => 0,
        }
    }

    /// A reader of all of it.
    #[inline]
    pub(crate) fn read_whole(&self) -> StoredBody {
        match self {
            Self::Memory(chunks) => chunks.read_whole(),
            Self::Elsewhere(body) => body.read(0..body.length()),
        }
    }

    /// A reader of these bytes of it.
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> StoredBody {
        match self {
            Self::Memory(chunks) => chunks.read(range),
            Self::Elsewhere(body) => body.read(range),
        }
    }
}

impl fmt::Debug for BodySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self {
            Self::Memory(_) => "memory",
            Self::Elsewhere(_) => "elsewhere",
        };
        write!(f, "{} bytes in {place}", self.length())
    }
}

/// The variants of one key, the newest by `Date` first (RFC 9111 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variants {
    /// The version of the commit that wrote this list.
    pub version: Version,
    /// The variants.
    pub list: Vec<Variant>,
}

/// One variant: the requests that select it, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The fields that `Vary` names.
    pub fields: Box<[HeaderName]>,
    /// The values that a request must have for them.
    pub key: VariantKey,
    /// The object is under [`Part::Variant`](super::Part::Variant) of this.
    pub id: u64,
    /// The response's `Date`, in milliseconds since the epoch.
    pub date: u64,
}

impl Variants {
    /// The variant that a request with these fields selects: of several, the newest.
    #[must_use]
    pub fn select(&self, request: &HeaderMap, order: ListOrder) -> Option<&Variant> {
        self.select_at(request, order).map(|(_, variant)| variant)
    }

    /// The same, and where it stands.
    pub(crate) fn select_at(
        &self,
        request: &HeaderMap,
        order: ListOrder,
    ) -> Option<(usize, &Variant)> {
        let variants = || self.list.iter().enumerate();
        // Of those with the same fields, nearly always all, no two have the same key: so the first line that fits will do.
        let (_, first) = variants().next()?;
        let mut alike = variants().take_while(|(_, one)| one.fields == first.fields);
        if let Some(found) = alike.find(|(_, one)| one.key.has_line_of(&one.fields, request)) {
            return Some(found);
        }
        let mut last: Option<(&[HeaderName], VariantKey)> = None;
        variants().find(|(_, variant)| {
            if last
                .as_ref()
                .is_none_or(|(fields, _)| **fields != *variant.fields)
            {
                let key = VariantKey::of(&variant.fields, request, order);
                last = Some((&variant.fields, key));
            }
            last.as_ref().is_some_and(|(_, key)| *key == variant.key)
        })
    }

    /// The variant that this line of a request selects, which has no other of the name: if no field but this counts, and a
    /// response was stored for just this line. What this finds, [`select_at`](Self::select_at) finds, too.
    #[inline]
    pub(crate) fn select_by_line(
        &self,
        name: &HeaderName,
        line: &HeaderValue,
    ) -> Option<(usize, &Variant)> {
        let by_this = |one: &Variant| matches!(&*one.fields, [only] if only == name);
        let mut alike = self.list.iter().take_while(|one| by_this(one)).enumerate();
        alike.find(|(_, one)| one.key.has_line(line.as_bytes()))
    }

    /// This list with `variant` in its place: it replaces the one with the same fields and values, and what is over
    /// `limit` is left out, the oldest first, but never `variant` itself. Gives the ids of those that went.
    #[must_use]
    pub fn with(&self, variant: Variant, limit: usize) -> (Self, Vec<u64>) {
        let (mut list, same): (Vec<_>, Vec<_>) = self.list.iter().cloned().partition(|old| {
            old.id != variant.id && (old.fields != variant.fields || old.key != variant.key)
        });
        let over = list.split_off(list.len().min(limit.max(1) - 1));
        let gone = same.into_iter().chain(over).map(|old| old.id);
        let gone = gone.filter(|id| *id != variant.id).collect();
        let place = list.iter().position(|old| old.date <= variant.date);
        list.insert(place.unwrap_or(list.len()), variant);
        (
            Self {
                version: Version::random(),
                list,
            },
            gone,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(value: &str, id: u64) -> Variant {
        let fields: Box<[HeaderName]> = [HeaderName::from_static("a")].into();
        let mut request = HeaderMap::new();
        request.insert("a", value.parse().unwrap());
        Variant {
            key: VariantKey::of(&fields, &request, ListOrder::Significant),
            fields,
            id,
            date: id,
        }
    }

    #[test]
    fn versions_differ() {
        assert_ne!(Version::random(), Version::random());
    }

    #[test]
    fn variants_are_bounded_and_replaced() {
        let none = Variants {
            version: Version::random(),
            list: Vec::new(),
        };
        let (one, gone) = none.with(variant("x", 1), 2);
        assert_eq!((one.list.len(), gone), (1, vec![]));
        let (two, gone) = one.with(variant("y", 2), 2);
        assert_eq!((two.list.len(), gone), (2, vec![]));
        let (replaced, gone) = two.with(variant("x", 3), 2);
        assert_eq!((replaced.list.len(), gone), (2, vec![1]));
        let (full, gone) = replaced.with(variant("z", 4), 2);
        assert_eq!((full.list.len(), gone), (2, vec![2]));
        let mut request = HeaderMap::new();
        request.insert("a", "x".parse().unwrap());
        assert_eq!(
            full.select(&request, ListOrder::Significant)
                .map(|variant| variant.id),
            Some(3)
        );
        request.insert("a", "y".parse().unwrap());
        assert_eq!(full.select(&request, ListOrder::Significant), None);
    }

    #[test]
    fn a_line_selects_only_among_variants_of_its_own_name_alone_and_as_it_was() {
        let (a, b) = (HeaderName::from_static("a"), HeaderName::from_static("b"));
        let variant_of = |fields: &[&HeaderName], line: &'static str, id| {
            let fields: Box<[HeaderName]> = fields.iter().map(|name| (*name).clone()).collect();
            let mut request = HeaderMap::new();
            request.insert("a", HeaderValue::from_static(line));
            Variant {
                key: VariantKey::of(&fields, &request, ListOrder::Significant),
                fields,
                id,
                date: id,
            }
        };
        let of_a = variant_of(&[&a], "x", 1);
        let other_of_a = variant_of(&[&a], "y", 2);
        let of_b = variant_of(&[&b], "", 3);
        let of_both = variant_of(&[&a, &b], "x", 4);
        for (list, line, expected) in [
            (vec![&other_of_a, &of_a], "x", Some((1, 1))),
            (vec![&other_of_a, &of_a], "x ", None),
            (vec![&other_of_a, &of_a], "", None),
            (vec![&of_b, &of_a], "x", None),
            (vec![&of_both, &of_a], "x", None),
            (vec![&of_a, &of_both], "x", Some((0, 1))),
            (vec![], "x", None),
        ] {
            let variants = Variants {
                version: Version::random(),
                list: list.into_iter().cloned().collect(),
            };
            let line = HeaderValue::from_static(line);
            let found = variants.select_by_line(&a, &line);
            assert_eq!(found.map(|(at, one)| (at, one.id)), expected, "{line:?}");
            let mut request = HeaderMap::new();
            request.insert(&a, line);
            let selected = variants.select_at(&request, ListOrder::Significant);
            assert!(found.is_none() || found == selected);
        }
    }

    #[test]
    fn the_newest_by_date_comes_first_and_the_limit_takes_the_oldest() {
        let mut list = Variants {
            version: Version::random(),
            list: Vec::new(),
        };
        for (value, id) in [("b", 2), ("d", 4), ("a", 1), ("c", 3)] {
            list = list.with(variant(value, id), 9).0;
        }
        let ids = |list: &Variants| list.list.iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!(ids(&list), [4, 3, 2, 1]);
        let (short, gone) = list.with(variant("x", 0), 3);
        assert_eq!((ids(&short), gone), (vec![4, 3, 0], vec![2, 1]));
        let again = Variant {
            date: 9,
            ..variant("b", 2)
        };
        let (dated, gone) = list.with(again, 9);
        assert_eq!((ids(&dated), gone), (vec![2, 4, 3, 1], vec![]));
    }
}
