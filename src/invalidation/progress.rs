//! What an invalidation waits for until it is complete: fetches that began before it, and subscribers.

use super::what::{Invalidation, Issued};
use crate::{
    epoch::Epoch,
    sync::{Arc, Mutex},
};
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::Notify;

/// How many invalidations wait for one subscriber; more of them fold into one.
const WAITING: usize = 1024;

/// Fetches under way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// How many began in an epoch.
    fetches: Mutex<BTreeMap<u64, usize>>,
    /// Notified when something ended that an invalidation may wait for.
    pub(super) changed: Notify,
}

impl Progress {
    /// Begins a fetch in the epoch that `now` reads.
    pub(super) fn begin(self: &Arc<Self>, now: impl FnOnce() -> Epoch) -> Begun {
        let mut fetches = self.fetches.lock();
        // Read under the lock: who waits for the epochs before a later one must find it here.
        let epoch = now();
        *fetches.entry(epoch.number).or_default() += 1;
        Begun(Arc::new(Fetching {
            epoch,
            progress: self.clone(),
        }))
    }

    /// Whether all fetches have ended that began before this number.
    pub(super) fn is_past(&self, number: u64) -> bool {
        let fetches = self.fetches.lock();
        fetches.keys().next().is_none_or(|first| *first >= number)
    }
}

/// A fetch that began: it ends when the last clone of this is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Begun(Arc<Fetching>);

#[derive(Debug)]
struct Fetching {
    epoch: Epoch,
    progress: Arc<Progress>,
}

impl Begun {
    /// The epoch in which it began.
    pub(crate) fn epoch(&self) -> Epoch {
        self.0.epoch
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut fetches = self.progress.fetches.lock();
        if let Some(count) = fetches.get_mut(&self.epoch.number) {
            *count -= 1;
            if *count == 0 {
                fetches.remove(&self.epoch.number);
                drop(fetches);
                self.progress.changed.notify_waiters();
            }
        }
    }
}

/// One subscriber's queue.
#[derive(Debug)]
pub(super) struct Subscriber {
    state: Mutex<State>,
    more: Notify,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Taken and not acknowledged: the numbers that each covers.
    taken: Vec<(u64, u64)>,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    issued: Issued,
    covers: (u64, u64),
}

impl Subscriber {
    pub(super) fn new(progress: Arc<Progress>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            more: Notify::new(),
            progress,
        })
    }

    /// Adds what was issued, under this core's own number for it; `false` when the subscriber is gone.
    pub(super) fn push(&self, issued: &Issued, number: u64, name: impl FnOnce() -> u64) -> bool {
        {
            let mut state = self.state.lock();
            if state.closed {
                return false;
            }
            state.waiting.push_back(Waiting {
                issued: issued.clone(),
                covers: (number, number),
            });
            if state.waiting.len() > WAITING {
                fold(&mut state.waiting, name());
            }
        }
        self.more.notify_one();
        true
    }

    /// Whether it waits for, or holds, what has this number.
    pub(super) fn owes(&self, number: u64) -> bool {
        let state = self.state.lock();
        let waiting = state.waiting.iter().map(|waiting| waiting.covers);
        let mut covers = waiting.chain(state.taken.iter().copied());
        covers.any(|(first, last)| (first..=last).contains(&number))
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.more.notify_one();
    }
}

/// Puts one that covers everything in the place of all. It has a sequence of its own: who has applied one of them must
/// not take it for the same.
fn fold(waiting: &mut VecDeque<Waiting>, sequence: u64) {
    let (Some(first), Some(last)) = (waiting.front(), waiting.back()) else {
        return;
    };
    let covers = (first.covers.0, last.covers.1);
    let everything = Invalidation::everything();
    let what = match waiting.iter().all(|waiting| waiting.issued.what.soft) {
        true => everything.soft(),
        false => everything,
    };
    let issued = Issued {
        sequence,
        number: covers.1,
        what,
    };
    waiting.clear();
    waiting.push_back(Waiting { issued, covers });
}

/// Receives what a core invalidates, for a tier or another process: made by [`Invalidator::subscribe`](super::Invalidator::subscribe).
///
/// Nothing is lost. When more than 1,024 wait, they fold into one that covers everything.
#[derive(Debug)]
pub struct Subscription(pub(super) Arc<Subscriber>);

impl Subscription {
    /// The next one, in the order in which they were issued or applied. `None` once the core is gone.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            {
                let mut state = self.0.state.lock();
                if let Some(Waiting { issued, covers }) = state.waiting.pop_front() {
                    state.taken.push(covers);
                    return Some(Delivery {
                        issued,
                        covers,
                        subscriber: self.0.clone(),
                    });
                }
                if state.closed {
                    return None;
                }
            }
            self.0.more.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        {
            let mut state = self.0.state.lock();
            state.closed = true;
            state.waiting.clear();
        }
        self.0.progress.changed.notify_waiters();
    }
}

/// What a [`Subscription`] received. Dropping it acknowledges it: hold it until it has been passed on.
#[derive(Debug)]
pub struct Delivery {
    issued: Issued,
    covers: (u64, u64),
    subscriber: Arc<Subscriber>,
}

impl Delivery {
    /// What was issued.
    #[must_use]
    pub fn issued(&self) -> &Issued {
        &self.issued
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        {
            let mut state = self.subscriber.state.lock();
            if let Some(at) = state.taken.iter().position(|taken| *taken == self.covers) {
                state.taken.swap_remove(at);
            }
        }
        self.subscriber.progress.changed.notify_waiters();
    }
}
