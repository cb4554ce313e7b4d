//! Every interleaving of those who invalidate, look up, fetch and wait. `.ci/run` says how to run them.
//!
//! tokio's `Notify` is one step here: its own interleavings are tokio's to test.

use super::*;
use crate::clock::ManualClock;
use loom::{
    future::block_on,
    sync::atomic::AtomicBool,
    thread::{self, JoinHandle},
};

const ADDRESS: &str = "h/a";

/// More than three preemptions find nothing here that three don't, and take minutes.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

fn invalidations() -> Arc<Invalidations> {
    Arc::new(Invalidations::new(Arc::new(ManualClock::at(7))))
}

fn path() -> Invalidation {
    Invalidation::path("/a").unwrap()
}

fn issues(all: &Arc<Invalidations>, what: Invalidation) -> JoinHandle<Issued> {
    let all = all.clone();
    thread::spawn(move || all.issue(&what))
}

/// An object as the store has it: fetched in an epoch, and stamped by whoever looks it up.
struct Stored {
    fetched: Epoch,
    stamp: AtomicU64,
}

impl Stored {
    fn new(all: &Invalidations) -> Arc<Self> {
        Arc::new(Self {
            fetched: all.epoch(),
            stamp: AtomicU64::new(0),
        })
    }

    /// As a hit does it.
    fn look_up(&self, all: &Invalidations) -> Standing {
        let stamp = self.stamp.load(Ordering::Relaxed);
        let (standing, new) = all.check(ADDRESS, "t", self.fetched, stamp);
        if new != stamp {
            self.stamp.store(new, Ordering::Relaxed);
        }
        standing
    }
}

fn looks_up(all: &Arc<Invalidations>, stored: &Arc<Stored>) -> JoinHandle<Standing> {
    let (all, stored) = (all.clone(), stored.clone());
    thread::spawn(move || stored.look_up(&all))
}

#[test]
fn what_is_issued_is_seen_by_each_look_up_after_it_whoever_stamped_the_object_meanwhile() {
    for what in [
        path(),
        Invalidation::everything(),
        Invalidation::tag("t").unwrap(),
        path().host("h").unwrap(),
    ] {
        model(move || {
            let all = invalidations();
            let stored = Stored::new(&all);
            let others = [looks_up(&all, &stored), looks_up(&all, &stored)];
            all.issue(&what);
            assert_eq!(stored.look_up(&all), Standing::Gone);
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(stored.look_up(&all), Standing::Gone);
        });
    }
}

#[test]
fn who_hears_that_it_was_issued_sees_it() {
    model(|| {
        let all = invalidations();
        let stored = Stored::new(&all);
        let is_issued = Arc::new(AtomicBool::new(false));
        let hears = thread::spawn({
            let (all, stored, is_issued) = (all.clone(), stored.clone(), is_issued.clone());
            move || {
                let heard = is_issued.load(Ordering::Acquire);
                (heard, stored.look_up(&all))
            }
        });
        all.issue(&path());
        is_issued.store(true, Ordering::Release);
        let (heard, standing) = hears.join().unwrap();
        assert!(!heard || standing == Standing::Gone);
    });
}

#[test]
fn what_is_soft_is_stale_since_it_was_issued_and_a_hard_one_is_not_forgotten_over_it() {
    model(|| {
        let all = invalidations();
        let stored = Stored::new(&all);
        let soft = issues(&all, path().soft());
        let looks = looks_up(&all, &stored);
        soft.join().unwrap();
        assert_eq!(stored.look_up(&all), Standing::Stale(7));
        looks.join().unwrap();
        assert_eq!(stored.look_up(&all), Standing::Stale(7));
        let looks = looks_up(&all, &stored);
        all.issue(&path());
        looks.join().unwrap();
        assert_eq!(stored.look_up(&all), Standing::Gone);
    });
}

#[test]
fn of_two_that_are_issued_at_once_both_hold() {
    model(|| {
        let all = invalidations();
        let stored = Stored::new(&all);
        let other = issues(&all, Invalidation::everything());
        let issued = all.issue(&Invalidation::path("/b").unwrap());
        let other = other.join().unwrap();
        assert_ne!(issued.number(), other.number());
        let fetched = stored.fetched;
        assert_eq!(all.check("h/b", "", fetched, 0).0, Standing::Gone);
        assert_eq!(stored.look_up(&all), Standing::Gone);
    });
}

#[test]
fn of_two_who_invalidate_a_tag_unless_it_was_done_one_does() {
    model(|| {
        let all = invalidations();
        let other = thread::spawn({
            let all = all.clone();
            move || all.invalidate_tag("t", 0)
        });
        let one = all.invalidate_tag("t", 0);
        assert!(one != other.join().unwrap());
    });
}

#[test]
fn when_it_is_complete_no_fetch_from_before_is_under_way_and_nobody_waits_for_longer() {
    model(|| {
        let all = invalidations();
        // Each by the number of its epoch; 0 while none is under way.
        let under_way = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let fetches = [0, 1].map(|at| {
            let (all, under_way) = (all.clone(), under_way.clone());
            thread::spawn(move || {
                let begun = all.begin();
                under_way[at].store(begun.epoch().number, Ordering::SeqCst);
                under_way[at].store(0, Ordering::SeqCst);
                drop(begun);
            })
        });
        let issued = all.issue(&path());
        block_on(Invalidator::new(all.clone()).completed(&issued));
        for number in &*under_way {
            let number = number.load(Ordering::SeqCst);
            assert!(number == 0 || number >= issued.number());
        }
        for fetch in fetches {
            fetch.join().unwrap();
        }
    });
}

#[test]
fn a_fetch_that_does_not_see_it_is_waited_for() {
    model(|| {
        let all = invalidations();
        let begins = thread::spawn({
            let all = all.clone();
            move || all.begin()
        });
        let issued = all.issue(&path());
        let begun = begins.join().unwrap();
        let is_complete = all.is_complete(issued.number());
        assert_eq!(is_complete, begun.epoch().number >= issued.number());
        drop(begun);
        assert!(all.is_complete(issued.number()));
    });
}

#[test]
fn a_subscriber_gets_each_and_it_is_complete_when_that_is_acknowledged() {
    model(|| {
        let all = invalidations();
        let mut subscription = all.subscribe();
        let passed_on = Arc::new(AtomicU64::new(0));
        let passes_on = thread::spawn({
            let passed_on = passed_on.clone();
            move || {
                for _ in 0..2 {
                    let delivery = block_on(subscription.next()).unwrap();
                    let number = delivery.issued().number();
                    assert!(passed_on.swap(number, Ordering::SeqCst) < number);
                    drop(delivery);
                }
            }
        });
        let other = issues(&all, Invalidation::path("/b").unwrap());
        let issued = all.issue(&path());
        block_on(Invalidator::new(all.clone()).completed(&issued));
        assert!(passed_on.load(Ordering::SeqCst) >= issued.number());
        other.join().unwrap();
        passes_on.join().unwrap();
    });
}

#[test]
fn a_subscriber_that_goes_holds_nothing_up() {
    model(|| {
        let all = invalidations();
        let subscription = all.subscribe();
        let goes = thread::spawn(move || drop(subscription));
        let issued = all.issue(&path());
        block_on(Invalidator::new(all.clone()).completed(&issued));
        goes.join().unwrap();
    });
}

#[test]
fn a_subscriber_of_a_core_that_goes_gets_what_was_issued_and_then_the_end() {
    model(|| {
        let all = invalidations();
        let mut subscription = all.subscribe();
        let receives = thread::spawn(move || {
            let first = block_on(subscription.next()).map(|delivery| delivery.issued().number());
            let end = block_on(subscription.next());
            (first, end.is_none())
        });
        let issued = all.issue(&path());
        drop(all);
        assert_eq!(receives.join().unwrap(), (Some(issued.number()), true));
    });
}
