//! Every interleaving of those who charge and release. `.ci/run` says how to run them.

use super::*;
use loom::thread;

/// More than three preemptions find nothing here that three don't, and take minutes.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// Charges so much, sees that the cap holds, and releases it again. Whether there was room.
fn charge_and_release(ledger: &Arc<Ledger>, bytes: u64) -> bool {
    let charge = ledger.reserve(bytes);
    assert!(ledger.used() <= ledger.cap());
    charge.is_some()
}

#[test]
fn never_more_is_charged_than_the_cap_and_nothing_is_left() {
    model(|| {
        let ledger = Ledger::new(3);
        let others = [2, 1].map(|bytes| {
            let ledger = ledger.clone();
            thread::spawn(move || charge_and_release(&ledger, bytes))
        });
        charge_and_release(&ledger, 2);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(ledger.used(), 0);
        assert!(ledger.reserve(3).is_some(), "all of it is free");
    });
}

#[test]
fn of_two_for_whom_there_is_room_once_one_gets_it() {
    model(|| {
        let ledger = Ledger::new(3);
        let other = thread::spawn({
            let ledger = ledger.clone();
            move || ledger.reserve(2)
        });
        let one = ledger.reserve(2);
        let other = other.join().unwrap();
        assert!(one.is_some() != other.is_some());
        assert_eq!((ledger.used(), ledger.missing(2)), (2, 1));
    });
}

#[test]
fn who_sees_what_was_released_has_room_for_it() {
    model(|| {
        let ledger = Ledger::new(2);
        let held = ledger.reserve(2).unwrap();
        let releases = thread::spawn(move || drop(held));
        if ledger.used() == 0 {
            assert!(ledger.reserve(2).is_some());
        }
        releases.join().unwrap();
        assert_eq!(ledger.used(), 0);
    });
}

#[test]
fn what_two_hold_is_released_once_by_the_last_of_them() {
    model(|| {
        let ledger = Ledger::new(4);
        let both = ledger.reserve(1).unwrap().and(ledger.reserve(2).unwrap());
        let bytes = both.copy(&[7; 2]);
        let reads = bytes.slice(1..);
        let releases = thread::spawn(move || drop(bytes));
        assert_eq!(ledger.used(), 3);
        assert!(ledger.reserve(2).is_none());
        releases.join().unwrap();
        assert_eq!(ledger.used(), 3);
        drop(reads);
        assert_eq!(ledger.used(), 0);
    });
}
