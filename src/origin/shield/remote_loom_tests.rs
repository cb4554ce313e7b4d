//! Every interleaving of those who ask a shield and find out how it is. `.ci/run` says how to run them.

use super::*;
use crate::sync::Arc;
use loom::{model, thread};

/// So long after the shield was first known.
fn at(health: &Health, millis: u64) -> Instant {
    health.since + Duration::from_millis(millis)
}

#[test]
fn one_that_is_down_is_tried_by_one_of_those_who_come_at_once() {
    model(|| {
        let health = Arc::new(Health::default());
        assert!(health.is_down(at(&health, 0)));
        let other = thread::spawn({
            let health = health.clone();
            move || health.may_be_asked(at(&health, 5_000))
        });
        let one = health.may_be_asked(at(&health, 5_000));
        assert!(one != other.join().unwrap());
        assert!(!health.may_be_asked(at(&health, 5_000)));
    });
}

#[test]
fn two_who_find_it_down_are_one_piece_of_news_and_two_who_find_it_up_another() {
    model(|| {
        let health = Arc::new(Health::default());
        let both = |found: fn(&Health) -> bool| {
            let other = thread::spawn({
                let health = health.clone();
                move || found(&health)
            });
            let one = found(&health);
            one != other.join().unwrap()
        };
        assert!(both(|health| health.is_down(at(health, 0))));
        assert!(!health.may_be_asked(at(&health, 4_999)));
        assert!(both(|health| health.is_up(at(health, 5_000))));
        assert!(health.may_be_asked(at(&health, 5_001)));
    });
}

#[test]
fn three_without_an_answer_take_it_down_and_one_of_them_says_so() {
    model(|| {
        let health = Arc::new(Health::default());
        assert!(!health.is_silent(at(&health, 0)));
        let other = thread::spawn({
            let health = health.clone();
            move || health.is_silent(at(&health, 0))
        });
        let one = health.is_silent(at(&health, 0));
        assert!(one != other.join().unwrap());
        assert!(!health.may_be_asked(at(&health, 4_999)));
    });
}

#[test]
fn an_answer_to_what_was_asked_before_does_not_raise_one_that_just_went_down() {
    model(|| {
        let health = Arc::new(Health::default());
        assert!(health.is_down(at(&health, 0)));
        let answered = thread::spawn({
            let health = health.clone();
            // Asked by the one that tried it.
            move || health.is_up(at(&health, 5_000))
        });
        let is_news = health.is_down(at(&health, 6_000));
        let was_up = answered.join().unwrap();
        assert_eq!(was_up, is_news, "up, and then down again");
        assert!(!health.may_be_asked(at(&health, 10_999)));
    });
}
