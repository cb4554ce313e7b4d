use super::*;
use crate::clock::ManualClock;
use std::time::Duration;

fn invalidations() -> Invalidations {
    Invalidations::new(Arc::new(ManualClock::at(NOW)))
}

const NOW: u64 = 1_700_000_000_000;

fn path(path: &str) -> Invalidation {
    Invalidation::path(path).unwrap()
}

fn tag(tag: &str) -> Invalidation {
    Invalidation::tag(tag).unwrap()
}

#[test]
fn what_was_fetched_before_is_covered_and_what_is_fetched_after_is_not() {
    let invalidations = invalidations();
    let before = invalidations.epoch();
    let (_, stamp) = invalidations.check("a/x", "", before, 0);
    invalidations.invalidate("a/x");
    let standing = |address, fetched, stamp| invalidations.check(address, "", fetched, stamp).0;
    assert_eq!(standing("a/x", before, stamp), Standing::Gone);
    assert_eq!(standing("a/x", before, 0), Standing::Gone, "and stays so");
    assert_eq!(standing("a/y", before, stamp), Standing::Current);
    assert_eq!(standing("b/x", before, stamp), Standing::Current);
    let after = invalidations.epoch();
    assert_eq!(standing("a/x", after, 0), Standing::Current);
}

#[test]
fn each_kind_covers_what_it_names() {
    let host = |what: Invalidation, host| what.host(host).unwrap();
    for (what, covered, others) in [
        (
            path("/a"),
            &["/a", "h/a", "i/a"][..],
            &["h/a?b", "h/a/", "h/A"][..],
        ),
        (path("/a*"), &["/a", "h/a?b", "h/a/c", "h/ab"], &["h/b/a"]),
        (path("/a/*"), &["h/a/"], &["h/a", "h/ab"]),
        // A prefix is one of what is compared, where it ends within an encoding, too.
        (path("/%*"), &["h/%7E", "h/%"], &["h/7E"]),
        (path("/a?b=1&c"), &["h/a?b=1&c"], &["h/a?c&b=1", "h/a"]),
        (host(path("/a"), "h"), &["h/a"], &["/a", "i/a", "h/a?b"]),
        (host(path("/a*"), "h"), &["h/a", "h/ab"], &["/a", "i/a"]),
        (
            host(Invalidation::everything(), "h"),
            &["h/", "h/a"],
            &["h:81/", "/"],
        ),
        (Invalidation::everything(), &["/", "h/a?b"], &[]),
    ] {
        for soft in [false, true] {
            let invalidations = invalidations();
            let before = invalidations.epoch();
            let (what, expected) = match soft {
                true => (what.clone().soft(), Standing::Stale(NOW)),
                false => (what.clone(), Standing::Gone),
            };
            invalidations.issue(&what);
            for address in covered {
                let (standing, _) = invalidations.check(address, "", before, 0);
                assert_eq!(standing, expected, "{what} of {address}");
                assert!(invalidations.invalidated_since(address, before));
                assert_eq!(invalidations.is_gone(address, "", before), !soft);
            }
            for address in others {
                let (standing, _) = invalidations.check(address, "", before, 0);
                assert_eq!(standing, Standing::Current, "{what} of {address}");
            }
        }
    }
}

#[test]
fn a_tag_covers_what_carries_it() {
    let invalidations = invalidations();
    let before = invalidations.epoch();
    invalidations.issue(&tag("News"));
    let standing = |tags| invalidations.check("h/a", tags, before, 0).0;
    assert_eq!(standing("a,news,b"), Standing::Gone);
    assert_eq!(standing("new,newss"), Standing::Current);
    assert_eq!(standing(""), Standing::Current);
    assert!(invalidations.last_of_tags("news") > before.number);
    assert_eq!(invalidations.last_of_tags("other"), 0);
}

#[test]
fn what_is_stale_stays_so_until_it_is_gone_or_fetched_anew() {
    let clock = ManualClock::at(NOW);
    let invalidations = Invalidations::new(Arc::new(clock.clone()));
    let before = invalidations.epoch();
    let check = |stamp| invalidations.check("h/a", "t", before, stamp);
    let (_, current) = check(0);
    invalidations.issue(&path("/a").soft());
    clock.advance(Duration::from_secs(1));
    let (standing, stamp) = check(current);
    assert_eq!(standing, Standing::Stale(NOW));
    assert_eq!(check(stamp), (standing, stamp), "when it is checked again");
    invalidations.issue(&path("/other"));
    assert_eq!(check(stamp), (standing, stamp), "in another epoch");
    invalidations.issue(&path("/a*").soft());
    assert_eq!(check(stamp), (standing, stamp), "since the first");
    assert_eq!(
        check(current).0,
        Standing::Stale(NOW + 1000),
        "not asked for between"
    );
    let after = invalidations.epoch();
    assert_eq!(
        invalidations.check("h/a", "t", after, 0).0,
        Standing::Current
    );
    invalidations.issue(&tag("t"));
    assert_eq!(check(stamp).0, Standing::Gone);
}

#[test]
fn what_is_stamped_is_not_looked_for() {
    let invalidations = invalidations();
    let before = invalidations.epoch();
    let (_, stamp) = invalidations.check("h/a", "", before, 0);
    // Known, but of no epoch yet: only who looks finds it.
    let target = Target::Exact("/a".into());
    let mut known = invalidations.known.write();
    known.add(&target, Latest::hard(before.number + 1));
    // The check would wait for the lock.
    assert_eq!(
        invalidations.check("h/a", "", before, stamp),
        (Standing::Current, stamp)
    );
}

#[test]
fn what_another_process_or_core_fetched_is_checked_in_full() {
    let (invalidations, other) = (invalidations(), invalidations());
    let foreign = Epoch {
        number: 1000,
        ..other.epoch()
    };
    let (standing, _) = invalidations.check("a/x", "", foreign, 0);
    assert_eq!(standing, Standing::Current);
    invalidations.invalidate("a/x");
    other.invalidate("a/y");
    let (_, stamp_of_other) = other.check("a/x", "", foreign, 0);
    let (standing, _) = invalidations.check("a/x", "", foreign, stamp_of_other);
    assert_eq!(standing, Standing::Gone);
    assert!(invalidations.is_gone("a/x", "", foreign));
}

#[test]
fn over_the_bounds_more_is_invalidated_and_never_less() {
    let invalidations = invalidations();
    let before = invalidations.epoch();
    let most = exact::EXACT + 10;
    for number in 0..most {
        invalidations.issue(&path(&format!("/exact/{number}")));
        invalidations.issue(&path(&format!("/prefix/{number}/*")));
        invalidations.issue(&tag(&format!("tag{number}")));
    }
    let gone = |address: &str, tags: &str| {
        invalidations.check(address, tags, before, 0).0 == Standing::Gone
    };
    for number in 0..most {
        assert!(gone(&format!("h/exact/{number}"), ""));
        assert!(gone(&format!("h/prefix/{number}/x"), ""));
        assert!(gone("h/other", &format!("x,tag{number}")));
    }
    let spared = (0..1000)
        .filter(|number| !gone(&format!("h/elsewhere/{number}"), &format!("tags{number}")))
        .count();
    assert!(spared > 400, "{spared} of 1000");
    let known = invalidations.known.read();
    assert!(known.exact.len() < exact::EXACT && known.tags.len() < exact::EXACT);
}

#[test]
fn what_was_checked_is_not_outdated_by_what_folds_later() {
    let invalidations = invalidations();
    let before = invalidations.epoch();
    let most = trie::PREFIXES;
    let issue = |number: usize| invalidations.issue(&path(&format!("/prefix/{number}/*")));
    (0..most).for_each(|number| drop(issue(number)));
    let addresses = (0..most).map(|number| format!("h/prefix/{number}x"));
    let checked: Vec<_> = addresses
        .map(|address| {
            let (standing, stamp) = invalidations.check(&address, "", before, 0);
            assert_eq!(standing, Standing::Current);
            (address, stamp)
        })
        .collect();
    issue(most);
    let mut by_folding = 0;
    for (address, stamp) in checked {
        let standing = |stamp| invalidations.check(&address, "", before, stamp).0;
        by_folding += usize::from(standing(0) == Standing::Gone);
        assert_eq!(standing(stamp), Standing::Current, "{address}");
    }
    assert!(by_folding > 0);
}

#[test]
fn everything_leaves_nothing_else_to_remember() {
    let invalidations = invalidations();
    let before = invalidations.epoch();
    for number in 0..100 {
        invalidations.issue(&path(&format!("/{number}")));
        invalidations.issue(&tag(&number.to_string()));
    }
    let middle = invalidations.epoch();
    invalidations.issue(&Invalidation::everything());
    assert_eq!(invalidations.known.read().exact.len(), 0);
    for (fetched, expected) in [
        (before, Standing::Gone),
        (middle, Standing::Gone),
        (invalidations.epoch(), Standing::Current),
    ] {
        assert_eq!(
            invalidations.check("h/1", "1", fetched, 0).0,
            expected,
            "{fetched:?}"
        );
    }
}

#[test]
fn applying_is_idempotent_in_any_order_and_passed_on() {
    let cores = [(); 2].map(|()| Arc::new(invalidations()));
    let [here, there] = &cores;
    let before = there.epoch();
    let (first, second) = (here.issue(&path("/a")), here.issue(&tag("t").soft()));
    let mut subscription = there.subscribe();
    assert!(there.apply(&second) && there.apply(&first));
    let after = there.epoch();
    assert!(!there.apply(&first) && !there.apply(&second));
    assert_eq!(there.epoch(), after, "nothing more is covered");
    assert!(!here.apply(&first), "its own");
    assert_eq!(there.check("h/a", "", before, 0).0, Standing::Gone);
    assert_eq!(there.check("h/b", "t", before, 0).0, Standing::Stale(NOW));
    assert_eq!(there.check("h/a", "t", after, 0).0, Standing::Current);
    for expected in [&second, &first] {
        let mut next = tokio_test::task::spawn(subscription.next());
        let delivery = tokio_test::assert_ready!(next.poll()).unwrap();
        assert_eq!(delivery.issued(), expected);
    }
}

#[test]
fn what_was_applied_is_remembered_within_bounds() {
    let (here, there) = (invalidations(), invalidations());
    for number in 0..2 * APPLIED {
        let issued = here.issue(&path(&format!("/{number}")));
        assert!(there.apply(&issued));
    }
    let issuing = there.issuing.lock();
    assert_eq!(
        (issuing.applied.len(), issuing.in_order.len()),
        (APPLIED, APPLIED)
    );
}

#[test]
fn it_is_complete_when_fetches_and_subscribers_are_done() {
    let invalidations = Arc::new(invalidations());
    let invalidator = Invalidator::new(invalidations.clone());
    let (before, copy) = (invalidations.begin(), invalidations.begin());
    let copies = (copy.clone(), copy);
    let mut subscription = invalidator.subscribe();
    let issued = invalidator.issue(&path("/a"));
    let after = invalidations.begin();
    let mut completed = tokio_test::task::spawn(invalidator.completed(&issued));
    tokio_test::assert_pending!(completed.poll());
    drop((before, copies.0));
    tokio_test::assert_pending!(completed.poll());
    drop(copies.1);
    assert!(!invalidator.is_complete(&issued), "a subscriber owes it");
    let delivery = {
        let mut next = tokio_test::task::spawn(subscription.next());
        tokio_test::assert_ready!(next.poll()).unwrap()
    };
    assert!(!invalidator.is_complete(&issued), "it still does");
    tokio_test::assert_pending!(completed.poll());
    drop(delivery);
    assert!(completed.is_woken() && invalidator.is_complete(&issued));
    tokio_test::assert_ready!(completed.poll());
    drop(after);

    let issued = invalidator.issue(&tag("b"));
    let mut completed = tokio_test::task::spawn(invalidator.completed(&issued));
    tokio_test::assert_pending!(completed.poll());
    drop(subscription);
    assert!(completed.is_woken());
    tokio_test::assert_ready!(completed.poll());
}

#[test]
fn a_subscriber_that_lags_hears_of_everything_at_once() {
    let invalidations = Arc::new(invalidations());
    let invalidator = Invalidator::new(invalidations.clone());
    let mut subscription = invalidator.subscribe();
    let first = invalidator.issue(&path("/a").soft());
    let mut last = first.clone();
    for _ in 0..1024 {
        last = invalidator.issue(&path("/a").soft());
    }
    let mut take = || {
        let mut next = tokio_test::task::spawn(subscription.next());
        tokio_test::assert_ready!(next.poll())
    };
    let delivery = take().unwrap();
    assert_eq!(
        delivery.issued().to_string().split_once(' ').unwrap().1,
        "soft /*"
    );
    assert_ne!(delivery.issued().sequence(), first.sequence());
    assert!(!invalidator.is_complete(&first) && !invalidator.is_complete(&last));
    drop(delivery);
    assert!(invalidator.is_complete(&first) && invalidator.is_complete(&last));
    drop((invalidator, invalidations));
    assert!(take().is_none(), "the core is gone");
}
