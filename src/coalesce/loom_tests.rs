//! Every interleaving of a leader and its followers. `.ci/run` says how to run them.

use super::{Coalescer, Joined, Lead, flight::Flight};
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

type Table = Arc<Coalescer<u8, u32>>;

/// What came of joining: a lead is landed with its number at once, a follower waits.
fn fly(joined: Joined<u8, u32>, lands_with: u32) -> Flown {
    match joined {
        Joined::Lead(landing) => {
            landing.land(move || lands_with);
            Flown::Led
        }
        Joined::Follow(follow) => Flown::Followed(block_on(follow)),
        Joined::Full => Flown::TurnedAway,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flown {
    Led,
    Followed(Option<u32>),
    TurnedAway,
}

fn flies(table: &Table, lands_with: u32) -> JoinHandle<Flown> {
    let table = table.clone();
    thread::spawn(move || fly(table.join(&1), lands_with))
}

fn assert_empty(table: &Table) {
    assert!(table.follow(&1).is_none(), "nothing stays in the table");
    assert_eq!(table.in_flight(), 0, "all room is back");
}

#[test]
fn who_joins_leads_or_gets_what_the_leader_landed_with() {
    model(|| {
        let table = Coalescer::new(1);
        let others = [flies(&table, 1), flies(&table, 2)];
        let flown = [fly(table.join(&1), 0)]
            .into_iter()
            .chain(others.map(|other| other.join().unwrap()));
        let flown: Vec<Flown> = flown.collect();
        assert!(flown.contains(&Flown::Led));
        for (at, one) in flown.iter().enumerate() {
            match one {
                Flown::Led => {}
                Flown::Followed(Some(led)) => {
                    assert!(at != *led as usize && flown[*led as usize] == Flown::Led);
                }
                Flown::Followed(None) => panic!("a leader that lands is not lost"),
                // There is one key only: whoever finds no room finds the flight.
                Flown::TurnedAway => panic!("no room, and no flight"),
            }
        }
        assert_empty(&table);
    });
}

#[test]
fn while_one_leads_nobody_else_does() {
    model(|| {
        let table = Coalescer::new(9);
        let Joined::Lead(landing) = table.join(&1) else {
            panic!("the first leads");
        };
        let others = [flies(&table, 1), flies(&table, 2)];
        landing.land(|| 0);
        for other in others {
            assert_eq!(other.join().unwrap(), Flown::Followed(Some(0)));
        }
        drop(landing);
        assert_empty(&table);
    });
}

#[test]
fn who_comes_as_a_flight_is_closed_follows_it_or_leads_anew() {
    model(|| {
        let table = Coalescer::new(9);
        let Joined::Lead(mut landing) = table.join(&1) else {
            panic!("the first leads");
        };
        let other = flies(&table, 1);
        landing.close();
        landing.land(|| 0);
        drop(landing);
        let other = other.join().unwrap();
        assert!(matches!(other, Flown::Led | Flown::Followed(Some(0))));
        assert_empty(&table);
    });
}

#[test]
fn who_follows_one_that_goes_without_a_word_is_told_when_it_is_out_of_the_table() {
    model(|| {
        let table = Coalescer::<u8, u32>::new(9);
        let Joined::Lead(landing) = table.join(&1) else {
            panic!("the first leads");
        };
        let other = thread::spawn({
            let table = table.clone();
            move || match fly(table.join(&1), 1) {
                // Once more, and it leads: it doesn't find the same again.
                Flown::Followed(None) => fly(table.join(&1), 2),
                led => led,
            }
        });
        drop(landing);
        assert_eq!(other.join().unwrap(), Flown::Led);
        assert_empty(&table);
    });
}

#[test]
fn of_two_who_have_waited_for_long_enough_one_takes_the_lead_and_nobody_waits_for_ever() {
    model(|| {
        let table = Coalescer::new(1);
        let Joined::Lead(stuck) = table.join(&1) else {
            panic!("the first leads");
        };
        let follows = [(); 2].map(|()| match table.join(&1) {
            Joined::Follow(follow) => follow,
            _ => panic!("the others follow"),
        });
        let tired = follows.map(|follow| {
            let table = table.clone();
            thread::spawn(move || {
                let flown = fly(table.relieve(&1, &follow), 1);
                // It may still land.
                (flown, block_on(follow))
            })
        });
        stuck.land(|| 0);
        drop(stuck);
        for tired in tired {
            let (flown, first) = tired.join().unwrap();
            assert_eq!(
                first,
                Some(0),
                "the first reaches those who wait for it still"
            );
            assert!(flown == Flown::Led || matches!(flown, Flown::Followed(Some(_))));
        }
        assert_empty(&table);
    });
}

#[test]
fn while_one_leads_in_the_place_of_another_the_next_who_is_tired_follows() {
    model(|| {
        let table = Coalescer::<u8, u32>::new(9);
        let Joined::Lead(stuck) = table.join(&1) else {
            panic!("the first leads");
        };
        let follows = [(); 2].map(|()| match table.join(&1) {
            Joined::Follow(follow) => follow,
            _ => panic!("the others follow"),
        });
        let tired = follows.map(|follow| {
            let table = table.clone();
            thread::spawn(move || table.relieve(&1, &follow))
        });
        let joined = tired.map(|tired| tired.join().unwrap());
        let leads = joined.iter().filter(|it| matches!(it, Joined::Lead(_)));
        assert_eq!(leads.count(), 1);
        // The end of the first isn't the end of the other.
        drop(stuck);
        assert!(table.follow(&1).is_some());
        drop(joined);
        assert_empty(&table);
    });
}
