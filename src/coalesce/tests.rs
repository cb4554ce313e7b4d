use super::*;
use futures_util::future::join_all;
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio_test::{
    assert_pending, assert_ready, assert_ready_eq,
    task::{Spawn, spawn},
};

fn table(limit: usize) -> Arc<Coalescer<u8, u32>> {
    Coalescer::new(limit)
}

fn lead(table: &Arc<Coalescer<u8, u32>>) -> Landing<u8, u32> {
    match table.join(&1) {
        Joined::Lead(landing) => landing,
        _ => panic!("expected to lead"),
    }
}

fn follow(table: &Arc<Coalescer<u8, u32>>) -> Follow<u32> {
    match table.join(&1) {
        Joined::Follow(follow) => follow,
        _ => panic!("expected to follow"),
    }
}

#[test]
fn the_first_leads_and_the_others_follow() {
    let table = table(10);
    let landing = lead(&table);
    let mut early = spawn(follow(&table));
    assert_pending!(early.poll());
    landing.land(|| 7);
    assert!(early.is_woken());
    assert_ready_eq!(early.poll(), Some(7));
    let mut late = spawn(follow(&table));
    assert_ready_eq!(late.poll(), Some(7));
    assert!(table.follow(&1).is_some() && table.follow(&2).is_none());
}

#[test]
fn a_leader_that_is_dropped_leaves_nobody_waiting() {
    let table = table(10);
    let landing = lead(&table);
    let mut follower = spawn(follow(&table));
    assert_pending!(follower.poll());
    drop(landing);
    assert!(follower.is_woken());
    assert_ready_eq!(follower.poll(), None);
    drop(lead(&table));
    assert_eq!(table.in_flight(), 0);
}

#[test]
fn one_of_those_who_wait_takes_the_lead_and_the_others_may_follow_both() {
    let table = table(1);
    let relieve = |follower: &Follow<u32>| match table.relieve(&1, follower) {
        Joined::Lead(landing) => Ok(landing),
        Joined::Follow(follow) => Err(follow),
        Joined::Full => panic!("relief takes no room"),
    };
    let first = lead(&table);
    let (one, mut two) = (follow(&table), spawn(follow(&table)));
    assert_pending!(two.poll());
    let second = relieve(&one).ok().unwrap();
    let mut later = spawn(relieve(&two).err().unwrap());
    let mut new = spawn(follow(&table));
    assert_pending!(later.poll());
    assert_pending!(new.poll());
    first.land(|| 1);
    assert_ready_eq!(two.poll(), Some(1));
    // The end of the first isn't that of the second.
    drop(first);
    assert!(table.follow(&1).is_some());
    second.land(|| 2);
    assert_ready_eq!(later.poll(), Some(2));
    assert_ready_eq!(new.poll(), Some(2));
    // Who comes when it has landed gets what it landed with.
    let mut landed = spawn(relieve(&new).err().unwrap());
    assert_ready_eq!(landed.poll(), Some(2));
    drop(second);
    assert!(table.follow(&1).is_none() && table.in_flight() == 0);
    let third = relieve(&one).ok().unwrap();
    assert_eq!(table.in_flight(), 1);
    drop(third);
}

#[test]
fn a_follower_that_is_dropped_disturbs_nobody() {
    let table = table(10);
    let landing = lead(&table);
    let mut first = spawn(follow(&table));
    let mut second = spawn(follow(&table));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(first);
    landing.land(|| 1);
    assert_ready_eq!(second.poll(), Some(1));
}

#[test]
fn a_closed_flight_is_not_joined_but_still_tells_its_followers() {
    let table = table(10);
    let mut landing = lead(&table);
    let mut follower = spawn(follow(&table));
    assert_pending!(follower.poll());
    landing.close();
    let again = lead(&table);
    landing.land(|| 3);
    assert_ready_eq!(follower.poll(), Some(3));
    drop(landing);
    assert!(
        table.follow(&1).is_some(),
        "the old flight's end must not take the new one out"
    );
    drop(again);
}

#[test]
fn flights_are_bounded() {
    let table = table(1);
    let landing = lead(&table);
    assert!(matches!(table.join(&2), Joined::Full));
    drop(landing);
    assert!(matches!(table.join(&2), Joined::Lead(_)));
}

type Table = Arc<Coalescer<u8, u32>>;

/// One who waits for room.
fn waits(table: &Table, key: u8) -> Spawn<impl Future<Output = Joined<u8, u32>> + use<>> {
    let table = table.clone();
    let mut waits = spawn(async move { table.join_in_turn(&key).await });
    assert!(waits.poll().is_pending());
    waits
}

fn leads(waits: &mut Spawn<impl Future<Output = Joined<u8, u32>>>) -> Landing<u8, u32> {
    match assert_ready!(waits.poll()) {
        Joined::Lead(landing) => landing,
        _ => panic!("expected to lead"),
    }
}

fn follows(waits: &mut Spawn<impl Future<Output = Joined<u8, u32>>>) -> Follow<u32> {
    match assert_ready!(waits.poll()) {
        Joined::Follow(follow) => follow,
        _ => panic!("expected to follow"),
    }
}

#[test]
fn those_who_wait_with_one_key_follow_the_one_of_them_that_leads() {
    let table = table(1);
    let under_way = lead(&table);
    let [mut first, mut second, mut third] = [(); 3].map(|()| waits(&table, 2));
    let mut other = waits(&table, 3);
    assert!(!first.is_woken() && !second.is_woken() && !third.is_woken());
    drop(under_way);
    assert!(first.is_woken() && second.is_woken() && third.is_woken());
    assert!(!other.is_woken(), "there is room for one");
    let landing = leads(&mut second);
    let mut early = spawn(follows(&mut first));
    assert_pending!(early.poll());
    assert!(matches!(table.join(&2), Joined::Follow(_)));
    assert!(table.follow(&2).is_some());
    landing.land(|| 7);
    assert_ready_eq!(early.poll(), Some(7));
    assert_eq!(table.in_flight(), 1);
    drop(landing);
    // The third hears of it only now that all is over.
    assert_ready_eq!(spawn(follows(&mut third)).poll(), Some(7));
    drop(leads(&mut other));
    assert_eq!((table.in_flight(), table.flights.len()), (0, 0));
}

#[test]
fn one_who_goes_as_room_comes_leaves_it_to_another_of_its_key() {
    let table = table(1);
    let under_way = lead(&table);
    let first = waits(&table, 2);
    let mut second = waits(&table, 2);
    drop(under_way);
    assert!(first.is_woken());
    drop(first);
    assert!(second.is_woken());
    drop(leads(&mut second));
    assert_eq!((table.in_flight(), table.flights.len()), (0, 0));
}

#[test]
fn the_last_of_a_key_who_goes_as_room_comes_leaves_it_to_another_key() {
    let table = table(1);
    let under_way = lead(&table);
    let first = waits(&table, 2);
    let mut other = waits(&table, 3);
    drop(under_way);
    assert!(first.is_woken() && !other.is_woken());
    drop(first);
    assert!(other.is_woken());
    drop(leads(&mut other));
    assert_eq!((table.in_flight(), table.flights.len()), (0, 0));
}

#[test]
fn who_goes_before_there_is_room_leaves_nothing_behind() {
    let table = table(1);
    let under_way = lead(&table);
    let (first, second) = (waits(&table, 2), waits(&table, 2));
    drop(first);
    assert_eq!(table.flights.len(), 2, "the second waits");
    drop(second);
    assert_eq!(table.flights.len(), 1);
    drop(under_way);
    assert_eq!(table.in_flight(), 0);
    assert!(matches!(table.join(&2), Joined::Lead(_)));
}

#[test]
fn a_key_keeps_its_turn_when_the_first_who_waits_with_it_goes() {
    let table = table(1);
    let under_way = lead(&table);
    let first = waits(&table, 2);
    let mut other = waits(&table, 3);
    let mut second = waits(&table, 2);
    drop(first);
    drop(under_way);
    assert!(second.is_woken() && !other.is_woken());
    drop(leads(&mut second));
    assert!(other.is_woken());
    drop(leads(&mut other));
}

#[test]
fn who_comes_as_room_comes_takes_it_from_nobody() {
    let table = table(1);
    let under_way = lead(&table);
    let mut waits = waits(&table, 2);
    drop(under_way);
    assert!(matches!(table.join(&3), Joined::Full));
    assert!(matches!(table.join(&2), Joined::Full));
    assert!(table.follow(&2).is_none(), "it hasn't taken off");
    assert_eq!(table.in_flight(), 1);
    drop(leads(&mut waits));
    assert!(matches!(table.join(&3), Joined::Lead(_)));
}

#[test]
fn where_there_is_room_or_a_flight_nobody_waits() {
    let table = table(1);
    let landing = leads(&mut spawn(table.join_in_turn(&1)));
    let mut follow = spawn(follows(&mut spawn(table.join_in_turn(&1))));
    landing.land(|| 7);
    assert_ready_eq!(follow.poll(), Some(7));
}

#[test]
fn a_flight_that_is_closed_makes_room_before_it_ends() {
    let table = table(1);
    let mut landing = lead(&table);
    let mut waits = waits(&table, 2);
    assert!(!waits.is_woken());
    landing.close();
    let next = leads(&mut waits);
    assert_eq!(table.in_flight(), 1);
    drop(landing);
    assert_eq!(table.in_flight(), 1, "room is given back once");
    drop(next);
    assert_eq!(table.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn however_those_who_wait_and_go_interleave_each_key_flies_once_and_all_room_comes_back() {
    const LIMIT: usize = 2;
    let table = table(LIMIT);
    let flying: Arc<[AtomicUsize; 3]> = Arc::default();
    let ask = |asker: usize| {
        let (table, flying) = (table.clone(), flying.clone());
        tokio::spawn(async move {
            for round in 0..10_000 {
                let key = (asker + round + round / 7) % flying.len();
                let number = key as u8;
                // Every other has the patience for one look only.
                let joined = match (asker + round) % 2 {
                    0 => table.join_in_turn(&number).now_or_never(),
                    _ => Some(table.join_in_turn(&number).await),
                };
                match joined {
                    Some(Joined::Lead(landing)) => {
                        assert_eq!(flying[key].fetch_add(1, Ordering::SeqCst), 0);
                        assert!(table.in_flight() <= LIMIT);
                        tokio::task::yield_now().await;
                        flying[key].fetch_sub(1, Ordering::SeqCst);
                        landing.land(|| 7);
                    }
                    Some(Joined::Follow(follow)) => assert_eq!(follow.await, Some(7)),
                    Some(Joined::Full) => panic!("it waits"),
                    None => {}
                }
            }
        })
    };
    let asked = join_all((0..8).map(ask));
    let limit = std::time::Duration::from_secs(60);
    for task in tokio::time::timeout(limit, asked).await.expect("it hangs") {
        task.unwrap();
    }
    assert_eq!((table.in_flight(), table.flights.len()), (0, 0));
}

#[test]
fn who_comes_as_the_last_of_its_key_goes_waits() {
    let table = table(1);
    let under_way = lead(&table);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for _ in 0..50_000 {
                    assert!(table.join_in_turn(&2).now_or_never().is_none());
                }
            });
        }
    });
    assert_eq!(table.flights.len(), 1);
    drop(under_way);
}
