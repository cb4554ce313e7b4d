//! Every interleaving of a leader and its followers. `.ci/run` says how to run them.

use super::{Lead, flight::Flight};
use crate::sync::Arc;
use loom::{
    future::block_on,
    thread::{self, JoinHandle},
};

/// More than three preemptions find nothing here that three don't, and take minutes.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// Joins the flight and waits for it, on a thread of its own.
fn follow(flight: Arc<Flight<u32>>) -> JoinHandle<Option<u32>> {
    thread::spawn(move || block_on(flight.follow()))
}

#[test]
fn one_who_joins_while_it_lands_gets_a_value() {
    model(|| {
        let lead = Lead::new();
        let follower = follow(lead.flight());
        lead.land(|| 7);
        drop(lead);
        assert_eq!(follower.join().unwrap(), Some(7));
    });
}

#[test]
fn one_who_joins_while_the_leader_goes_is_told() {
    model(|| {
        let lead = Lead::<u32>::new();
        let follower = follow(lead.flight());
        drop(lead);
        assert_eq!(follower.join().unwrap(), None);
    });
}

#[test]
fn two_followers_each_get_a_value_of_their_own() {
    model(|| {
        let lead = Lead::new();
        let followers = [follow(lead.flight()), follow(lead.flight())];
        lead.land(|| 7);
        for follower in followers {
            assert_eq!(follower.join().unwrap(), Some(7));
        }
    });
}

#[test]
fn two_followers_are_both_told_that_the_leader_is_gone() {
    model(|| {
        let lead = Lead::<u32>::new();
        // In before the leader can go: both wait in the list.
        let followers = [(); 2].map(|()| {
            let follow = lead.flight().follow();
            thread::spawn(move || block_on(follow))
        });
        drop(lead);
        for follower in followers {
            assert_eq!(follower.join().unwrap(), None);
        }
    });
}

#[test]
fn one_who_goes_while_it_lands_takes_nothing_from_another_and_leaks_nothing() {
    model(|| {
        let value = Arc::new(());
        let lead = Lead::new();
        let (stays, goes) = (lead.flight().follow(), lead.flight().follow());
        let stays = thread::spawn(move || block_on(stays));
        let goes = thread::spawn(move || drop(goes));
        lead.land({
            let value = value.clone();
            move || value.clone()
        });
        goes.join().unwrap();
        assert!(stays.join().unwrap().is_some());
        // Ours, and the one in the flight's closure: what was made for the one who went is gone, too.
        assert_eq!(Arc::strong_count(&value), 2);
        drop(lead);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn one_who_joins_in_the_place_of_one_who_went_is_told() {
    model(|| {
        let lead = Lead::new();
        let goes = lead.flight().follow();
        let goes = thread::spawn(move || drop(goes));
        let joins = follow(lead.flight());
        let stays = follow(lead.flight());
        lead.land(|| 7);
        goes.join().unwrap();
        assert_eq!(joins.join().unwrap(), Some(7));
        assert_eq!(stays.join().unwrap(), Some(7));
    });
}

#[test]
fn one_who_goes_on_elsewhere_is_woken_there() {
    model(|| {
        let lead = Lead::new();
        let mut follow = lead.flight().follow();
        // Polled once by a task that then passes it on, as `select` and a join of tasks do.
        let polled = block_on(std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut follow).poll(cx).is_pending())
        }));
        assert!(polled);
        let follower = thread::spawn(move || block_on(follow));
        lead.land(|| 7);
        assert_eq!(follower.join().unwrap(), Some(7));
    });
}
