//! Invalidation: by path, by prefix, by tag, of everything; hard or soft.
//!
//! An [`Invalidator`] is a handle on a core's invalidations, made by [`CacheCore::invalidator`](crate::CacheCore::invalidator);
//! an [`Invalidation`] says what is meant.
//!
//! ```
//! use frontage::{CacheCore, MemoryStore, invalidation::Invalidation};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let core = CacheCore::new(MemoryStore::new(64 << 20));
//! let invalidator = core.invalidator();
//! invalidator.issue(&Invalidation::path("/images/*")?);
//! invalidator.issue(&Invalidation::tag("product:7")?.soft());
//! let issued = invalidator.issue(&Invalidation::everything());
//! invalidator.completed(&issued).await;
//! # Ok::<(), frontage::ConfigError>(()) }).unwrap();
//! ```
//!
//! # What it covers
//!
//! All that is stored under a covered address or with a covered tag: every variant, errors, what a `HEAD` finds. So is what is
//! being fetched: it reaches those who asked for it before, isn't stored (after a soft one: is stored as stale), and isn't
//! joined by those who ask after. Unsafe methods invalidate addresses of their host by the same means (RFC 9111 section 4.4); these
//! aren't passed on to subscribers, since anybody can send them.
//!
//! # What it costs
//!
//! Nothing is searched for: issuing takes as long as the pattern is long, however much is stored, and a hit costs the same with
//! 10,000 in force as with none. Each invalidation advances the core's epoch. An object knows the epoch in which its fetch began,
//! and is stamped with the one in which it was last checked; while that is the present one there is nothing to check. Else a
//! walk down a trie of prefixes, two look-ups of the address and one for each tag decide, and the object is stamped anew.
//!
//! Memory is bounded: 16,384 prefixes of 2 MiB together, 16,384 addresses and 16,384 tags are known exactly. The older ones fold, prefixes
//! into what they have in common, addresses and tags into a table of 65,536 places each: more is invalidated then, never less. All of
//! that takes some 11 MiB at most (a few more while something folds), and nothing while it isn't used.
//!
//! # Other processes
//!
//! What was issued is a line of text ([`Issued`]); another process [applies](Invalidator::apply) it, in any order and once or
//! more. A [`Subscription`] receives all that a core issues or applies. An epoch ends with its process, so a store that persists comes back
//! without its invalidations: what was issued and must outlive the process is to be kept by the application, and applied anew.

mod exact;
mod handle;
mod latest;
mod progress;
mod tags;
mod trie;
mod what;

pub use handle::Invalidator;
pub use progress::{Delivery, Subscription};
pub use what::{Invalidation, Issued};

pub(crate) use progress::Begun;
pub(crate) use tags::tags_of;

use crate::{
    clock::Clock,
    epoch::Epoch,
    sync::{Arc, AtomicU64, Mutex, Ordering, RwLock},
};
use exact::Exact;
use foldhash::quality::RandomState;
use latest::Latest;
use progress::{Progress, Subscriber};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::BuildHasher,
    sync::atomic::AtomicU64 as Counter,
};
use trie::Trie;
use what::Target;

/// How many invalidations of other sequences are remembered as applied.
const APPLIED: usize = 1 << 12;
/// A stamp is the core's mark (16 bits), the number of the epoch of the last check (47 bits), and 0; for a stale object, since
/// when it is, in milliseconds (47 bits), and 1.
const NUMBER_BITS: u32 = 47;
const STALE: u64 = 1;
const NUMBERS: u64 = (1 << NUMBER_BITS) - 1;

/// What is known of an object's invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not invalidated.
    Current,
    /// Invalidated softly: stale since that moment.
    Stale(u64),
    /// Invalidated.
    Gone,
}

/// The invalidations of a core.
pub(crate) struct Invalidations {
    sequence: u64,
    /// The stamp of what is checked now.
    present: AtomicU64,
    known: RwLock<Known>,
    issuing: Mutex<Issuing>,
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
}

struct Known {
    /// Full addresses, and paths of any host.
    exact: Exact,
    tags: Exact,
    /// Those of any host begin with a slash, others with the host.
    prefixes: Trie,
}

#[derive(Default)]
struct Issuing {
    /// Those of other sequences, and the numbers they have here.
    applied: HashMap<(u64, u64), u64>,
    in_order: VecDeque<(u64, u64)>,
    subscribers: Vec<Arc<Subscriber>>,
}

impl fmt::Debug for Invalidations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidations")
            .field("epoch", &self.number())
            .finish_non_exhaustive()
    }
}

impl Invalidations {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        static CORES: Counter = Counter::new(0);
        // Never 0, which is the stamp of what was never checked.
        let mark = CORES.fetch_add(1, Ordering::Relaxed) % 0xffff + 1;
        Self {
            sequence: random(),
            present: AtomicU64::new(mark << (NUMBER_BITS + 1) | 1 << 1),
            known: RwLock::new(Known::new()),
            issuing: Mutex::default(),
            progress: Arc::default(),
            clock,
        }
    }

    fn number(&self) -> u64 {
        number_of(self.present.load(Ordering::Acquire))
    }

    /// The number of the present epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch {
            sequence: self.sequence,
            number: self.number(),
        }
    }

    /// Begins a fetch, in the present epoch.
    pub(crate) fn begin(&self) -> Begun {
        self.progress.begin(|| self.epoch())
    }

    /// Checks an object by what it was stored with, and by its stamp. Gives its new stamp, too.
    #[inline]
    pub(crate) fn check(
        &self,
        address: &str,
        tags: &str,
        fetched: Epoch,
        stamp: u64,
    ) -> (Standing, u64) {
        // The epoch before what is known: what is invalidated in between is checked again.
        let present = self.present.load(Ordering::Acquire);
        match stamp == present {
            true => (Standing::Current, stamp),
            false => self.check_again(address, tags, fetched, stamp, present),
        }
    }

    #[cold]
    fn check_again(
        &self,
        address: &str,
        tags: &str,
        fetched: Epoch,
        stamp: u64,
        present: u64,
    ) -> (Standing, u64) {
        let of_this_core = stamp >> (NUMBER_BITS + 1) == present >> (NUMBER_BITS + 1);
        let (checked, stale_since) = match (of_this_core, stamp & STALE) {
            (false, _) => (0, None),
            (true, STALE) => (0, Some(number_of(stamp))),
            (true, _) => (number_of(stamp), None),
        };
        // What it was checked against can't outdate it, even if that was folded since.
        let since = self.number_here(fetched).max(checked);
        let latest = self.known.read().last(address, tags);
        if latest.hard > since {
            (Standing::Gone, stamp)
        } else if let Some(stale_since) = stale_since {
            (Standing::Stale(stale_since), stamp)
        } else if latest.soft.number > since {
            let mark = present >> (NUMBER_BITS + 1) << (NUMBER_BITS + 1);
            let issued = latest.soft.at & NUMBERS;
            (Standing::Stale(issued), mark | issued << 1 | STALE)
        } else {
            (Standing::Current, present)
        }
    }

    /// 0 for an epoch of another sequence, which says nothing here.
    fn number_here(&self, epoch: Epoch) -> u64 {
        match epoch.sequence == self.sequence {
            true => epoch.number,
            false => 0,
        }
    }

    /// Whether what was fetched in an epoch is gone by now.
    pub(crate) fn is_gone(&self, address: &str, tags: &str, fetched: Epoch) -> bool {
        fetched != self.epoch()
            && self.known.read().last(address, tags).hard > self.number_here(fetched)
    }

    /// The number of the epoch at which an address was last invalidated (or a later one), 0 for never: a fetch for it that
    /// begins now is not the one that began before.
    pub(crate) fn last(&self, address: &str) -> u64 {
        self.known.read().last(address, "").newest()
    }

    /// The same for tags.
    pub(crate) fn last_of_tags(&self, tags: &str) -> u64 {
        self.known.read().last_of_tags(tags).newest()
    }

    /// Whether an address has been invalidated since an epoch of this sequence.
    pub(crate) fn invalidated_since(&self, address: &str, epoch: Epoch) -> bool {
        self.last(address) > epoch.number
    }

    /// Invalidates what is stored, or being fetched, for this address.
    pub(crate) fn invalidate(&self, address: &str) {
        let _one = self.issuing.lock();
        self.advance(&Target::Exact(address.into()), false);
    }

    /// Invalidates what is stored, or being fetched, with this tag: unless that was done after the epoch `since`. Whether it was
    /// done now.
    pub(crate) fn invalidate_tag(&self, tag: &str, since: u64) -> bool {
        let _one = self.issuing.lock();
        let is_new = self.last_of_tags(tag) <= since;
        if is_new {
            self.advance(&Target::Tag(tag.into()), false);
        }
        is_new
    }

    /// Issues an invalidation of this core's own.
    fn issue(&self, what: &Invalidation) -> Issued {
        let mut issuing = self.issuing.lock();
        let number = self.invalidate_all_of(what);
        let issued = Issued {
            sequence: self.sequence,
            number,
            what: what.clone(),
        };
        issuing.publish(&issued, number);
        issued
    }

    /// Applies one that was issued elsewhere, if it is new here.
    fn apply(&self, issued: &Issued) -> bool {
        let id = (issued.sequence, issued.number);
        let mut issuing = self.issuing.lock();
        if issued.sequence == self.sequence || issuing.applied.contains_key(&id) {
            return false;
        }
        let number = self.invalidate_all_of(&issued.what);
        // What is forgotten here is applied again when it comes again: more is invalidated, not less.
        if issuing.in_order.len() >= APPLIED
            && let Some(oldest) = issuing.in_order.pop_front()
        {
            issuing.applied.remove(&oldest);
        }
        issuing.in_order.push_back(id);
        issuing.applied.insert(id, number);
        issuing.publish(issued, number);
        true
    }

    fn invalidate_all_of(&self, what: &Invalidation) -> u64 {
        if !what.covers_all() {
            return self.advance(&what.target, what.soft);
        }
        // What was known before says nothing more.
        let mut known = Known::new();
        let next = self.number() + 1;
        known.add(&what.target, Latest::hard(next));
        let old = std::mem::replace(&mut *self.known.write(), known);
        self.present.fetch_add(2, Ordering::Release);
        drop(old);
        next
    }

    /// Notes that something is invalidated, and begins the next epoch. To be called by one at a time.
    fn advance(&self, target: &Target, soft: bool) -> u64 {
        self.make_room(target);
        let next = self.number() + 1;
        let latest = match soft {
            true => Latest::soft(next, self.clock.now()),
            false => Latest::hard(next),
        };
        // What is known first: who sees the new epoch must find it there.
        self.known.write().add(target, latest);
        self.present.fetch_add(2, Ordering::Release);
        next
    }

    /// Folds what is full, beside those who read it.
    fn make_room(&self, target: &Target) {
        match target {
            Target::Exact(_) if self.known.read().exact.is_full() => {
                let folded = self.known.read().exact.folded();
                let old = std::mem::replace(&mut self.known.write().exact, folded);
                drop(old);
            }
            Target::Tag(_) if self.known.read().tags.is_full() => {
                let folded = self.known.read().tags.folded();
                let old = std::mem::replace(&mut self.known.write().tags, folded);
                drop(old);
            }
            Target::Prefix(_) if self.known.read().prefixes.is_full() => {
                let folded = self.known.read().prefixes.folded();
                let old = std::mem::replace(&mut self.known.write().prefixes, folded);
                drop(old);
            }
            _ => {}
        }
    }

    fn subscribe(&self) -> Subscription {
        let subscriber = Subscriber::new(self.progress.clone());
        self.issuing.lock().subscribers.push(subscriber.clone());
        Subscription(subscriber)
    }

    /// The number that an invalidation has here.
    fn number_of(&self, issued: &Issued) -> u64 {
        if issued.sequence == self.sequence {
            return issued.number;
        }
        let id = (issued.sequence, issued.number);
        let applied = self.issuing.lock().applied.get(&id).copied();
        applied.unwrap_or_else(|| self.number())
    }

    fn is_complete(&self, number: u64) -> bool {
        let owes = |subscriber: &Arc<Subscriber>| subscriber.owes(number);
        self.progress.is_past(number) && !self.issuing.lock().subscribers.iter().any(owes)
    }
}

impl Drop for Invalidations {
    fn drop(&mut self) {
        for subscriber in &self.issuing.get_mut().subscribers {
            subscriber.close();
        }
    }
}

impl Issuing {
    fn publish(&mut self, issued: &Issued, number: u64) {
        self.subscribers
            .retain(|subscriber| subscriber.push(issued, number, random));
    }
}

impl Known {
    fn new() -> Self {
        Self {
            exact: Exact::new(),
            tags: Exact::new(),
            prefixes: Trie::new(),
        }
    }

    fn add(&mut self, target: &Target, latest: Latest) {
        match target {
            Target::Exact(name) => self.exact.add(name, latest),
            Target::Prefix(prefix) => self.prefixes.add(prefix.as_bytes(), latest),
            Target::Tag(tag) => self.tags.add(tag, latest),
        }
    }

    fn last(&self, address: &str, tags: &str) -> Latest {
        // No authority has a slash in an address.
        let path = address
            .find('/')
            .and_then(|at| address.get(at..))
            .unwrap_or(address);
        let mut latest = self
            .last_of_tags(tags)
            .or(self.exact.last(path))
            .or(self.prefixes.last(path.as_bytes()));
        if path.len() < address.len() {
            latest = latest
                .or(self.exact.last(address))
                .or(self.prefixes.last(address.as_bytes()));
        }
        latest
    }

    fn last_of_tags(&self, tags: &str) -> Latest {
        // No tags are one that can't be.
        let each = tags.split(',').filter(|tag| !tag.is_empty());
        each.fold(Latest::default(), |latest, tag| {
            latest.or(self.tags.last(tag))
        })
    }
}

fn number_of(stamp: u64) -> u64 {
    (stamp >> 1) & NUMBERS
}

/// As random as a hasher's seed.
fn random() -> u64 {
    RandomState::default().hash_one(0_u8)
}

#[cfg(all(test, frontage_loom))]
mod loom_tests;

#[cfg(test)]
mod tests;
