//! All in memory, under a hard cap.

use super::{
    BodySource, Expected, Head, Object, Part, Record, Store, StoreError, StoreWriter, Version,
    WriteRefused, Written,
    admission::Admission,
    heads::{Heads, Unpacked},
    ledger::{Charge, Ledger},
    packed::{self, Packed, is_name_of, name_of},
    record::{CHUNK_OVERHEAD, compact, size_of_fields},
};
use crate::{
    body::{Chunks, OpenBody},
    error::{BodyError, ConfigError},
    fill::{FillWriter, Gone, Window},
    headers::content_length,
    key::CacheKey,
};
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use quick_cache::{Equivalent, Lifecycle, OptionsBuilder, Weighter, sync::Cache};
use std::{
    fmt,
    future::{Ready, ready},
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

/// What an entry costs beside its key, head and body: its place in the table, its counters, the allocator's share.
const ENTRY_OVERHEAD: u64 = 400;
/// What an unpacked object costs beside its head: its place among these, the share of its values and its body in the packed one.
const UNPACKED_OVERHEAD: u64 = 160;
/// A body up to this is made one piece when it is complete: a server sends that at once, and waits behind each of several.
const JOINED_CHUNK: usize = 1 << 20;
/// Of a larger body, pieces smaller than this on average are joined to such.
const SMALL_CHUNK: usize = 4 << 10;

/// A [`Store`] in memory.
///
/// # Its cap
///
/// Everything counts: keys, heads, bodies, what a table needs beside them, bodies that are being
/// written, and evicted ones that someone still reads. The sum never exceeds the cap. When there is no room and nothing
/// can be evicted, a response is passed on without being stored.
///
/// Bodies that slow viewers still read count although they are evicted, so many such viewers can leave little room for the
/// store. The process needs more than the cap: the connections' buffers, and what the allocator keeps. An allocator that rounds up
/// to size classes, as jemalloc and mimalloc do, takes up to a quarter more for an object than is counted.
///
/// The largest body that is stored is an eighth of the cap, and at most 64 MiB
/// ([`MemoryStoreBuilder::max_object`] sets it), on any number of cores.
///
/// # Small objects
///
/// With a body of up to 16 KiB an object is packed, fields and body as one run of bytes: some 300 bytes more than these in all. One
/// that is hit gets its fields back as a map, which takes 1 to 2 KiB, and keeps them as long as there is room. When there is
/// none, such maps may take a sixteenth of the cap: the others are dropped before anything is evicted, those not hit
/// lately first. What can't be kept lasts as long as its response.
///
/// # Eviction
///
/// By [`quick_cache`], a variant of S3-FIFO that resists scans. Entries are evicted when room is needed, not before.
///
/// For a large object many small ones would have to go. So when there is no room without evicting, a response whose
/// `Content-Length` is more than four times the mean of what is stored is passed on, and stored when it is fetched again soon.
///
/// ```
/// use frontage::{CacheLayer, MemoryStore};
///
/// let store = MemoryStore::new(256 << 20);
/// let layer = CacheLayer::new(store.clone());
/// assert_eq!(store.usage().capacity, 256 << 20);
/// assert_eq!(store.usage().entries, 0);
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ledger: Arc<Ledger>,
    shards: Box<[Shard]>,
    admission: Admission,
    max_object: u64,
    heads: Arc<Heads>,
    /// Only one evicts at a time: two would evict for each other's need, too. Who holds it may lock a shard's `swapping`, then
    /// its table; the ring of the heads comes last.
    evicting: Mutex<()>,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: Arc<AtomicU64>,
}

struct Shard {
    table: Cache<Slot, Entry, EntryWeight, BuildHasherDefault<PassThrough>, OnEvict>,
    /// Makes compare and swap of an entry one step.
    swapping: Mutex<()>,
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} entries of {} bytes",
            self.table.len(),
            self.table.weight()
        )
    }
}

/// How full a [`MemoryStore`] is, and what came of its look-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The cap in bytes.
    pub capacity: u64,
    /// Bytes in use, everything counted.
    pub used: u64,
    /// Records: responses, variants, parts of responses, and the lists of variants and of parts.
    pub entries: usize,
    /// Look-ups of a key that found something, fresh or not.
    pub hits: u64,
    /// Look-ups of a key that found nothing.
    pub misses: u64,
    /// Records that were evicted for want of room.
    pub evictions: u64,
}

/// Sets up a [`MemoryStore`].
#[derive(Clone, Debug)]
pub struct MemoryStoreBuilder {
    capacity: u64,
    max_object: Option<u64>,
}

impl MemoryStoreBuilder {
    /// The largest body that is stored, in bytes. Default: an eighth of the cap, at most 64 MiB.
    #[must_use]
    pub fn max_object(mut self, bytes: u64) -> Self {
        self.max_object = Some(bytes);
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// When the largest object is 0 or more than half of the cap.
    pub fn build(self) -> Result<MemoryStore, ConfigError> {
        let max_object = self
            .max_object
            .unwrap_or_else(|| default_max_object(self.capacity));
        if self.max_object.is_some() && (max_object == 0 || max_object > self.capacity / 2) {
            return Err(ConfigError::new(
                "max_object",
                max_object,
                "1 byte to half of the capacity",
            ));
        }
        Ok(MemoryStore::with_max_object(self.capacity, max_object))
    }
}

fn default_max_object(capacity: u64) -> u64 {
    (capacity / 8).min(64 << 20)
}

impl MemoryStore {
    /// A store of at most `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self::with_max_object(capacity, default_max_object(capacity))
    }

    /// For a store with other settings.
    #[must_use]
    pub fn builder(capacity: u64) -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            capacity,
            max_object: None,
        }
    }

    fn with_max_object(capacity: u64, max_object: u64) -> Self {
        // A shard must hold several of the largest objects: their number follows from that, never from the cores.
        let shards = (capacity / max_object.saturating_mul(8).max(1)).clamp(1, 64);
        // A full shard doesn't evict while the ledger has room, so each may hold twice its share.
        // What is looked up again lives in the "hot" 45 %, which is 90 % of the share.
        let share = (capacity / shards).saturating_mul(2).max(1);
        let evictions = Arc::new(AtomicU64::new(0));
        // Of a tenth of so many is remembered that they were evicted: they return as hot, and of more, most would be a scan's.
        let items = usize::try_from(share / 2 / 4096)
            .unwrap_or(usize::MAX)
            .clamp(1024, 1 << 20);
        let shards = (0..shards)
            .map(|_| {
                let mut options = OptionsBuilder::new();
                options
                    .shards(1)
                    .weight_capacity(share)
                    .estimated_items_capacity(items)
                    .hot_allocation(0.45)
                    .ghost_allocation(0.1);
                let table = match options.build() {
                    Ok(options) => Cache::with_options(
                        options,
                        EntryWeight,
                        BuildHasherDefault::default(),
                        OnEvict(evictions.clone()),
                    ),
                    // `build` fails without the three numbers set above, and only then.
                    Err(_) => Cache::with(
                        items,
                        share,
                        EntryWeight,
                        BuildHasherDefault::default(),
                        OnEvict(evictions.clone()),
                    ),
                };
                Shard {
                    table,
                    swapping: Mutex::new(()),
                }
            })
            .collect();
        Self(Arc::new(Inner {
            ledger: Ledger::new(capacity),
            shards,
            admission: Admission::new(capacity / 4096),
            max_object,
            heads: Arc::default(),
            evicting: Mutex::new(()),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions,
        }))
    }

    /// How full it is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let inner = &*self.0;
        Usage {
            capacity: inner.ledger.cap(),
            used: inner.ledger.used(),
            entries: inner.shards.iter().map(|shard| shard.table.len()).sum(),
            hits: inner.hits.load(Ordering::Relaxed),
            misses: inner.misses.load(Ordering::Relaxed),
            evictions: inner.evictions.load(Ordering::Relaxed),
        }
    }

    /// The largest body that is stored, in bytes.
    #[must_use]
    pub fn max_object(&self) -> u64 {
        self.0.max_object
    }
}

impl Inner {
    fn shard(&self, hash: u64) -> &Shard {
        // The table uses other bits.
        let at = (hash >> 40) % self.shards.len() as u64;
        &self.shards[usize::try_from(at).unwrap_or(0)]
    }

    /// Whether an object of `size` bytes is worth what has to go for it, if anything has to.
    fn admits(&self, slot: &Slot, size: u64) -> bool {
        if self.ledger.missing(size) == 0 {
            return true;
        }
        let (weight, entries) = self.shards.iter().fold((0, 0), |(weight, entries), shard| {
            let (more, others) = (shard.table.weight(), shard.table.len() as u64);
            (weight + more, entries + others)
        });
        self.admission.admits(slot.hash, size, weight, entries)
            // What it replaces was worth its place.
            || self.shard(slot.hash).table.peek(slot).is_some()
    }

    /// Charges `bytes`, evicting for them if need be.
    fn reserve(&self, bytes: u64) -> Option<Charge> {
        self.ledger.reserve(bytes).or_else(|| self.evict_for(bytes))
    }

    #[cold]
    fn evict_for(&self, bytes: u64) -> Option<Charge> {
        if bytes > self.ledger.cap() {
            return None;
        }
        let _one = self.evicting.lock();
        loop {
            if let Some(charge) = self.ledger.reserve(bytes) {
                return Some(charge);
            }
            if self.heads.bytes() > self.heads_share() && self.pack_idle() {
                continue;
            }
            let shard = self
                .shards
                .iter()
                .max_by_key(|shard| shard.table.weight())?;
            let before = shard.table.len();
            if before == 0 {
                return None;
            }
            shard.evict(self.ledger.missing(bytes));
            if shard.table.len() >= before {
                // Others insert as fast as this evicts.
                return self.ledger.reserve(bytes);
            }
        }
    }

    /// What unpacked heads may take of a full store.
    fn heads_share(&self) -> u64 {
        self.ledger.cap() / 16
    }

    /// Takes the unpacked head from an object that has one and wasn't hit lately. Whether there was one.
    fn pack_idle(&self) -> bool {
        let Some(object) = self.heads.idle() else {
            return false;
        };
        let Some((packed, hash)) = object.kept_unpacked().map(Unpacked::packed) else {
            return false;
        };
        let is_it = |entry: &Entry| matches!(entry, Entry::Object(found) if found.is(&object));
        self.shard(hash)
            .replace(hash, packed, is_it, Entry::Packed(packed.clone()))
    }

    /// A packed object as it was, which is kept so if there is room.
    #[cold]
    fn unpack(&self, packed: &Packed, hash: u64) -> Option<Object> {
        let (version, head, body) = packed.unpack()?;
        let cost = head.size() + Object::BESIDES + UNPACKED_OVERHEAD;
        // quick_cache evicts what is heavier than what it keeps for those that are asked for again.
        let may_be_kept = packed.cost() + cost < self.shard(hash).table.capacity() / 4;
        let charge = match may_be_kept {
            true => self.room_for_head(cost),
            false => None,
        };
        let Some(charge) = charge else {
            return Some(Object::with_version(version, head, body));
        };
        let object = self.heads.enter(packed.clone(), hash, charge, |unpacked| {
            Object::unpacked(version, head, body, unpacked)
        });
        let is_it = |entry: &Entry| matches!(entry, Entry::Packed(found) if found.is(packed));
        self.shard(hash)
            .replace(hash, packed, is_it, Entry::Object(object.clone()));
        Some(object)
    }

    fn room_for_head(&self, bytes: u64) -> Option<Charge> {
        if self.heads.bytes() + bytes <= self.heads_share() {
            return self.reserve(bytes);
        }
        self.ledger.reserve(bytes).or_else(|| {
            self.pack_idle();
            self.ledger.reserve(bytes)
        })
    }
}

impl Shard {
    /// Evicts entries of `bytes` or more: `quick_cache` evicts for what is inserted, so a pinned weight goes in and out.
    fn evict(&self, bytes: u64) {
        let capacity = self.table.capacity();
        let weight = capacity
            .saturating_sub(self.table.weight())
            .saturating_add(bytes.max(1))
            .min(capacity);
        self.table.insert(Slot::ballast(), Entry::Ballast(weight));
        self.table.remove(&Slot::ballast());
    }

    /// Puts another form of the same object in its place, where `is_it` is still so.
    fn replace(
        &self,
        hash: u64,
        packed: &Packed,
        is_it: impl FnOnce(&Entry) -> bool,
        entry: Entry,
    ) -> bool {
        let slot = Slot {
            hash,
            name: Name::Packed(packed.clone()),
        };
        let _one = self.swapping.lock();
        let is_there = self.table.peek(&slot).is_some_and(|found| is_it(&found));
        // Softly: this is no use of it.
        is_there && self.table.replace(slot, entry, true).is_ok()
    }
}

impl Store for MemoryStore {
    const PERSISTS: bool = false;

    type Get = Ready<Result<Option<Record>, StoreError>>;
    type Swap = Ready<Result<bool, StoreError>>;
    type Writer = MemoryWriter;

    fn max_object(&self) -> Option<u64> {
        Some(self.0.max_object)
    }

    fn get(&self, key: &CacheKey, part: Part) -> Self::Get {
        let wanted = Wanted::new(key, part);
        let hash = wanted.hash;
        let found = match self.0.shard(hash).table.get(&wanted) {
            Some(Entry::Object(object)) => {
                if let Some(unpacked) = object.kept_unpacked() {
                    unpacked.set_hit();
                }
                Some(Record::Object(object))
            }
            Some(Entry::Packed(packed)) => self.0.unpack(&packed, hash).map(Record::Object),
            Some(Entry::Other(other)) => Some(other.record.clone()),
            Some(Entry::Ballast(_)) | None => None,
        };
        if part == Part::Index {
            let counter = if found.is_some() {
                &self.0.hits
            } else {
                &self.0.misses
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        ready(Ok(found))
    }

    fn peek(&self, key: &CacheKey, part: Part) -> Self::Get {
        let wanted = Wanted::new(key, part);
        let found = self.0.shard(wanted.hash).table.peek(&wanted);
        ready(Ok(match found {
            Some(Entry::Object(object)) => Some(Record::Object(object)),
            Some(Entry::Packed(packed)) => packed.unpack().map(|(version, head, body)| {
                Record::Object(Object::with_version(version, head, body))
            }),
            Some(Entry::Other(other)) => Some(other.record.clone()),
            Some(Entry::Ballast(_)) | None => None,
        }))
    }

    fn writer(
        &self,
        key: &CacheKey,
        part: Part,
        mut head: Head,
        window: Window,
    ) -> Result<MemoryWriter, WriteRefused> {
        let announced = content_length(&head.headers);
        if announced.is_some_and(|length| length > self.0.max_object) {
            return Err(WriteRefused::TooLarge);
        }
        // What is going to be packed is copied then.
        if !announced.is_some_and(packed::may_pack) {
            head.compact();
        }
        let slot = Slot::of(key, part);
        let size = slot.size() + head.size() + ENTRY_OVERHEAD;
        let whole = size.saturating_add(announced.unwrap_or(0));
        let charge = match self.0.admits(&slot, whole) {
            true => self.0.reserve(size),
            false => None,
        };
        let fill = match charge {
            Some(_) => FillWriter::keeping(announced, window),
            None => FillWriter::passing(announced, window),
        };
        Ok(MemoryWriter {
            store: self.clone(),
            kept: charge.map(|charge| Kept { slot, head, charge }),
            body: 0,
            fill,
        })
    }

    fn swap(
        &self,
        key: &CacheKey,
        part: Part,
        expected: Expected,
        record: Option<Record>,
    ) -> Self::Swap {
        let mut slot = Slot::of(key, part);
        let entry = match record {
            None => None,
            // Reserved before the lock: it may evict.
            Some(record) => match self.entry_of(&mut slot, record) {
                Some(entry) => Some(entry),
                None => return ready(Ok(false)),
            },
        };
        let shard = self.0.shard(slot.hash);
        let _one = shard.swapping.lock();
        let found = shard.table.peek(&slot).and_then(|entry| entry.version());
        let matches = match expected {
            Expected::Anything => true,
            Expected::Nothing => found.is_none(),
            Expected::Version(version) => found == Some(version),
        };
        if matches {
            match entry {
                Some(entry) => shard.table.insert(slot, entry),
                None => drop(shard.table.remove(&slot)),
            }
        }
        ready(Ok(matches))
    }
}

impl MemoryStore {
    fn entry_of(&self, slot: &mut Slot, record: Record) -> Option<Entry> {
        let (head, besides) = match record {
            Record::Object(object) => return self.entry_of_object(slot, &object),
            Record::Partial(partial) => {
                let mut partial = Arc::unwrap_or_clone(partial);
                partial.head.compact();
                let list = size_of_val(partial.extents.as_slice()) as u64;
                let size = partial.head.size() + list;
                (Record::Partial(Arc::new(partial)), size)
            }
            Record::Variants(variants) => {
                let list = variants.list.iter();
                let size: usize = list.map(|one| 144 + one.key.size()).sum();
                (Record::Variants(variants), size as u64)
            }
        };
        let charge = self.0.reserve(slot.size() + ENTRY_OVERHEAD + besides)?;
        Some(Entry::Other(Arc::new(Other {
            record: head,
            charge,
        })))
    }

    fn entry_of_object(&self, slot: &mut Slot, object: &Object) -> Option<Entry> {
        let (version, head, body) = (object.version(), object.head(), object.body());
        if let Some(bytes) = packed::pack(slot.name(), version, head, body) {
            let charge = self.0.reserve(packed::cost(bytes.len()))?;
            return Some(slot.take(Packed::new(&bytes, charge)));
        }
        let mut head = head.clone();
        head.compact();
        let size = head.size() + ENTRY_OVERHEAD + size_of_trailers(body);
        let charge = self.0.reserve(slot.size() + size)?;
        let object = Object::charged(version, head, body.clone(), charge);
        Some(Entry::Object(object))
    }
}

impl MemoryStore {
    /// Makes a complete object visible.
    fn insert(&self, kept: Kept, chunks: Vec<Bytes>, trailers: Option<HeaderMap>) -> Object {
        let Kept {
            mut slot,
            mut head,
            charge,
        } = kept;
        let version = Version::random();
        let body = |chunks| BodySource::Memory(Chunks::new(chunks, trailers.clone()));
        let as_it_came = body(chunks.clone());
        let packed = packed::pack(slot.name(), version, &head, &as_it_came);
        let packed = packed.and_then(|bytes| {
            let charge = self.0.reserve(packed::cost(bytes.len()))?;
            Some(slot.take(Packed::new(&bytes, charge)))
        });
        let body = match packed {
            Some(_) => as_it_came,
            None => {
                head.compact();
                body(self.joined(chunks))
            }
        };
        let object = Object::charged(version, head, body, charge);
        let entry = packed.unwrap_or_else(|| Entry::Object(object.clone()));
        let shard = self.0.shard(slot.hash);
        let _one = shard.swapping.lock();
        shard.table.insert(slot, entry);
        object
    }

    /// The chunks of a body in their final form, if there is room for the copy.
    fn joined(&self, chunks: Vec<Bytes>) -> Vec<Bytes> {
        let length: usize = chunks.iter().map(Bytes::len).sum();
        let are_large = length > JOINED_CHUNK && length / chunks.len() >= SMALL_CHUNK;
        if chunks.len() < 2 || are_large {
            return chunks;
        }
        let mut joined = Vec::with_capacity(length.div_ceil(JOINED_CHUNK));
        let (mut buffer, mut left) = (Vec::new(), length);
        for chunk in &chunks {
            if buffer.is_empty() {
                buffer.reserve_exact(left.min(JOINED_CHUNK).max(chunk.len()));
            }
            buffer.extend_from_slice(chunk);
            left -= chunk.len();
            if buffer.len() < JOINED_CHUNK && left > 0 {
                continue;
            }
            let Some(charge) = self.0.reserve(buffer.len() as u64 + CHUNK_OVERHEAD) else {
                return chunks;
            };
            joined.push(charge.hold(std::mem::take(&mut buffer).into_boxed_slice()));
        }
        joined
    }
}

fn size_of_trailers(body: &BodySource) -> u64 {
    match body {
        BodySource::Memory(chunks) => chunks.trailers().map_or(0, size_of_fields),
        BodySource::Elsewhere(_) => 0,
    }
}

/// What the writer keeps, as long as there is room.
#[derive(Debug)]
struct Kept {
    slot: Slot,
    head: Head,
    charge: Charge,
}

/// Takes a body into a [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryWriter {
    store: MemoryStore,
    kept: Option<Kept>,
    body: u64,
    fill: FillWriter,
}

impl MemoryWriter {
    fn keep(&mut self, chunk: &Bytes) -> bool {
        if self.kept.is_none() {
            return false;
        }
        let length = chunk.len() as u64;
        let charge = match self.body.checked_add(length) {
            Some(body) if body <= self.store.0.max_object => {
                self.store.0.reserve(length + CHUNK_OVERHEAD)
            }
            _ => None,
        };
        let Some(charge) = charge else {
            tracing::debug!(
                written = self.body,
                "the body is too large to store, or there is no room: passing it on"
            );
            self.kept = None;
            self.fill.turn_to_passing();
            return false;
        };
        self.body += length;
        self.fill.push(charge.copy(chunk));
        true
    }

    /// Without room for the trailers, nothing is kept: a body that came with them isn't stored without.
    fn charge_for(&mut self, trailers: &HeaderMap) {
        let Some(kept) = self.kept.take() else {
            return;
        };
        if let Some(charge) = self.store.0.reserve(size_of_fields(trailers)) {
            let charge = kept.charge.and(charge);
            self.kept = Some(Kept { charge, ..kept });
        }
    }
}

impl StoreWriter for MemoryWriter {
    fn opener(&self) -> Option<Arc<dyn OpenBody>> {
        Some(Arc::new(self.fill.opener()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Bytes,
    ) -> Poll<Result<Written, StoreError>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(Written::Kept));
        }
        if self.keep(chunk) {
            return Poll::Ready(Ok(Written::Kept));
        }
        match ready!(self.fill.poll_room(cx)) {
            Ok(()) => {
                self.fill.push(chunk.clone());
                Poll::Ready(Ok(Written::Passed))
            }
            Err(Gone) => Poll::Ready(Ok(Written::Gone)),
        }
    }

    fn poll_commit(
        &mut self,
        _cx: &mut Context<'_>,
        trailers: Option<&HeaderMap>,
    ) -> Poll<Result<Option<Object>, StoreError>> {
        let mut trailers = trailers.cloned();
        if let Some(trailers) = &mut trailers {
            compact(trailers);
            self.charge_for(trailers);
        }
        let object = self.kept.take().map(|kept| {
            let chunks = self.fill.kept();
            self.store.insert(kept, chunks, trailers.clone())
        });
        // Readers see the end only once the object is there: who comes now finds it.
        self.fill.finish(trailers);
        Poll::Ready(Ok(object))
    }

    fn discard(&mut self, trailers: Option<&HeaderMap>) {
        self.kept = None;
        self.fill.finish(trailers.cloned());
    }

    fn fail(&mut self, error: BodyError) {
        self.kept = None;
        self.fill.fail(error);
    }

    fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    fn has_readers(&self) -> bool {
        self.fill.has_readers()
    }

    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.fill.poll_abandoned(cx)
    }
}

/// What an entry is stored under.
#[derive(Clone, Debug)]
struct Slot {
    hash: u64,
    name: Name,
}

#[derive(Clone, Debug)]
enum Name {
    /// Exactly as long as it is.
    Own(Box<[u8]>),
    /// In the entry itself.
    Packed(Packed),
}

impl Slot {
    fn of(key: &CacheKey, part: Part) -> Self {
        Self {
            hash: spread(key.hash64(), part),
            name: Name::Own(name_of(key, part)),
        }
    }

    /// Nothing else has an empty name.
    fn ballast() -> Self {
        Self {
            hash: 0,
            name: Name::Own(Box::default()),
        }
    }

    #[inline]
    fn name(&self) -> &[u8] {
        match &self.name {
            Name::Own(name) => name,
            Name::Packed(packed) => packed.name(),
        }
    }

    /// The entry of an object packed under this name.
    fn take(&mut self, packed: Packed) -> Entry {
        self.name = Name::Packed(packed.clone());
        Entry::Packed(packed)
    }

    fn size(&self) -> u64 {
        self.name().len() as u64
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name() == other.name()
    }
}

impl Eq for Slot {}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A key to look up, borrowed.
struct Wanted<'a> {
    hash: u64,
    key: &'a CacheKey,
    part: Part,
}

impl<'a> Wanted<'a> {
    #[inline]
    fn new(key: &'a CacheKey, part: Part) -> Self {
        Self {
            hash: spread(key.hash64(), part),
            key,
            part,
        }
    }
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Slot> for Wanted<'_> {
    fn equivalent(&self, slot: &Slot) -> bool {
        slot.hash == self.hash && is_name_of(slot.name(), self.key, self.part)
    }
}

/// Sends the parts of one key to different places.
fn spread(hash: u64, part: Part) -> u64 {
    match part {
        Part::Index => hash,
        Part::Variant(id) | Part::Extent(id) => hash ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

/// A key's hash is a good one already.
#[derive(Clone, Default)]
struct PassThrough(u64);

impl Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Clone, Debug)]
enum Entry {
    /// A small object that nobody asked for lately.
    Packed(Packed),
    Object(Object),
    Other(Arc<Other>),
    /// A pinned weight, for nothing.
    Ballast(u64),
}

/// A record without a body.
#[derive(Debug)]
struct Other {
    record: Record,
    charge: Charge,
}

// There is one of each for every object, however small.
const _: () = assert!(size_of::<Slot>() == 24 && size_of::<Entry>() == 16);

impl Entry {
    fn version(&self) -> Option<Version> {
        match self {
            Self::Packed(packed) => packed.version(),
            Self::Object(object) => Some(object.version()),
            Self::Other(other) => Some(other.record.version()),
            Self::Ballast(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
struct EntryWeight;

impl Weighter<Slot, Entry> for EntryWeight {
    fn weight(&self, _slot: &Slot, entry: &Entry) -> u64 {
        let weight = match entry {
            Entry::Packed(packed) => packed.cost(),
            Entry::Object(object) => object.weight(),
            Entry::Other(other) => other.charge.bytes(),
            Entry::Ballast(weight) => *weight,
        };
        weight.max(1)
    }
}

#[derive(Clone, Debug)]
struct OnEvict(Arc<AtomicU64>);

impl Lifecycle<Slot, Entry> for OnEvict {
    /// Dropped after the shard's lock.
    type RequestState = Vec<Entry>;

    fn is_pinned(&self, _slot: &Slot, entry: &Entry) -> bool {
        matches!(entry, Entry::Ballast(_))
    }

    /// Unlike `on_evict`, not called for what is replaced.
    fn before_evict(&self, _evicted: &mut Vec<Entry>, _slot: &Slot, _entry: &mut Entry) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn on_evict(&self, evicted: &mut Vec<Entry>, _slot: Slot, entry: Entry) {
        evicted.push(entry);
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
