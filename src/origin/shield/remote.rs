//! Shields in other processes: who is asked for what, and who is down.

use crate::{
    failure::OriginFailure,
    rendezvous::Rendezvous,
    sync::{AtomicU32, AtomicU64, Ordering},
};
use std::time::Duration;
use tokio::time::Instant;

/// How long a shield that is down isn't asked; then one request tries it.
const RETRY: Duration = Duration::from_secs(5);

/// So many requests in a row that it takes and gives no answer to, whatever they ask for, say that it is down. Fewer may be the
/// fault of what they ask for.
const UNANSWERED: u32 = 3;

/// Shields, each with what it takes to ask it.
pub(in crate::origin) struct Shields<T> {
    rendezvous: Rendezvous,
    list: Box<[Shield<T>]>,
}

impl<T> Shields<T> {
    /// These, by their URLs.
    pub(in crate::origin) fn new(shields: Vec<(Box<str>, T)>) -> Self {
        Self {
            rendezvous: Rendezvous::new(shields.iter().map(|(url, _)| &**url)),
            list: shields
                .into_iter()
                .map(|(url, client)| Shield {
                    url,
                    client,
                    health: Health::default(),
                })
                .collect(),
        }
    }

    /// Those that may be asked for a key, one after the other: each is looked at when it is its turn.
    pub(in crate::origin) fn of(&self, key: &str) -> impl Iterator<Item = &Shield<T>> {
        let order = self.rendezvous.order(key.as_bytes()).into_iter();
        order
            .filter_map(|at| self.list.get(at))
            .filter(|shield| shield.health.may_be_asked(Instant::now()))
    }
}

pub(in crate::origin) struct Shield<T> {
    url: Box<str>,
    pub(in crate::origin) client: T,
    health: Health,
}

impl<T> Shield<T> {
    /// It answered a request that it was `asked` then. Who was warned is told by the same level.
    pub(in crate::origin) fn answered(&self, asked: Instant) {
        if self.health.is_up(asked) {
            tracing::warn!(shield = &*self.url, "an origin shield is back");
        }
    }

    /// It can't be reached.
    pub(in crate::origin) fn unreachable(&self, why: OriginFailure) {
        let is_news = self.health.is_down(Instant::now());
        self.failed(is_news, why);
    }

    /// It took a request, and gave no answer.
    pub(in crate::origin) fn unanswered(&self, why: OriginFailure) {
        let is_news = self.health.is_silent(Instant::now());
        self.failed(is_news, why);
    }

    /// Thousands of requests may find out at once.
    fn failed(&self, is_news: bool, why: OriginFailure) {
        let shield = &*self.url;
        // To this request the shield is the origin.
        let why = why.as_str().replace("origin", "shield");
        match is_news {
            true => tracing::warn!(shield, "an origin shield is down: {why}"),
            false => tracing::debug!(shield, "no answer of an origin shield: {why}"),
        }
    }
}

/// Whether a shield is down, and until when it is left alone.
struct Health {
    since: Instant,
    /// In milliseconds from then; 0: it is up.
    down_until: AtomicU64,
    /// Requests without an answer since the last with one.
    unanswered: AtomicU32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            down_until: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
        }
    }
}

impl Health {
    fn after_retry(&self, now: Instant) -> u64 {
        let until = now.saturating_duration_since(self.since) + RETRY;
        u64::try_from(until.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether it is up, or this is the one that tries it: nobody else does before `RETRY` is over again.
    fn may_be_asked(&self, now: Instant) -> bool {
        let until = self.down_until.load(Ordering::Relaxed);
        let passed = now.saturating_duration_since(self.since).as_millis();
        let claim = || {
            let next = self.after_retry(now);
            let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
            let claimed = self
                .down_until
                .compare_exchange(until, next, success, failure);
            claimed.is_ok()
        };
        until == 0 || (passed >= u128::from(until) && claim())
    }

    /// Gives whether that is news. What was asked before it went down says nothing of now.
    fn is_up(&self, asked: Instant) -> bool {
        if self.unanswered.load(Ordering::Relaxed) != 0 {
            self.unanswered.store(0, Ordering::Relaxed);
        }
        let trusted = self.after_retry(asked);
        let up = |until| (until != 0 && until <= trusted).then_some(0);
        // In one step, or it would raise one that goes down in between.
        self.down_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, up)
            .is_ok()
    }

    /// Gives whether that is news.
    fn is_down(&self, now: Instant) -> bool {
        let until = self.after_retry(now);
        self.down_until.swap(until, Ordering::Relaxed) == 0
    }

    /// Gives whether it is down by that, and that is news.
    fn is_silent(&self, now: Instant) -> bool {
        let before = self.unanswered.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1) >= UNANSWERED && self.is_down(now)
    }
}

#[cfg(all(test, frontage_loom))]
#[path = "remote_loom_tests.rs"]
mod loom_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn shields() -> Shields<usize> {
        let urls = ["http://a:80", "http://b:80", "http://c:80"];
        let list = urls.iter().enumerate();
        Shields::new(list.map(|(at, url)| ((*url).into(), at)).collect())
    }

    fn order(shields: &Shields<usize>, key: &str) -> Vec<usize> {
        shields.of(key).map(|shield| shield.client).collect()
    }

    #[test]
    fn one_that_is_down_is_tried_by_one_request_in_each_five_seconds() {
        let health = Health::default();
        let at = |millis| health.since + Duration::from_millis(millis);
        assert!(health.may_be_asked(at(0)) && health.may_be_asked(at(0)));
        assert!(!health.is_up(at(0)), "no news");
        assert!(health.is_down(at(1_000)));
        assert!(!health.may_be_asked(at(1_000)) && !health.may_be_asked(at(5_999)));
        assert!(health.may_be_asked(at(6_000)));
        // The one that tries it may have gone.
        assert!(!health.may_be_asked(at(6_000)) && !health.may_be_asked(at(10_999)));
        assert!(health.may_be_asked(at(11_000)));
        assert!(health.is_up(at(11_000)) && !health.is_up(at(11_000)));
        assert!(health.may_be_asked(at(11_001)) && health.may_be_asked(at(11_001)));
    }

    #[test]
    fn a_thousand_that_find_it_down_are_one_piece_of_news() {
        let health = Health::default();
        let at = |millis| health.since + Duration::from_millis(millis);
        let news = (0..1_000).filter(|_| health.is_down(at(1_000))).count();
        assert_eq!(news, 1);
        // Nor are those answered since that it was asked before.
        assert!(!health.is_up(at(999)) && !health.may_be_asked(at(5_999)));
        assert!(!health.is_down(at(2_000)));
        // It is tried in vain, and then not.
        assert!(health.may_be_asked(at(7_000)) && !health.is_down(at(7_001)));
        assert!(health.may_be_asked(at(12_001)) && health.is_up(at(12_001)));
        assert!(health.is_down(at(12_002)));
    }

    #[test]
    fn three_in_a_row_without_an_answer_take_it_down() {
        let health = Health::default();
        let at = |millis| health.since + Duration::from_millis(millis);
        for _ in 0..100 {
            assert!(!health.is_silent(at(0)) && !health.is_silent(at(0)));
            assert!(health.may_be_asked(at(0)) && !health.is_up(at(0)));
        }
        assert!(!health.is_silent(at(0)) && !health.is_silent(at(0)));
        assert!(health.is_silent(at(0)) && !health.is_silent(at(1)));
        assert!(!health.may_be_asked(at(5_000)));
        // One more is enough for one that is tried.
        assert!(health.may_be_asked(at(5_001)) && !health.is_silent(at(5_002)));
        assert!(!health.may_be_asked(at(10_001)));
        assert!(health.may_be_asked(at(10_002)) && health.is_up(at(10_002)));
        assert!(!health.is_silent(at(10_003)) && health.may_be_asked(at(10_003)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_stands_in_for_one_that_is_down() {
        let shields = shields();
        let all = order(&shields, "h/a");
        assert_eq!(all.len(), 3);
        let first = shields.of("h/a").next().unwrap();
        first.unreachable(OriginFailure::Connect);
        assert_eq!(order(&shields, "h/a"), all[1..]);
        for shield in shields.of("h/a") {
            shield.unreachable(OriginFailure::Tls);
        }
        assert!(order(&shields, "h/a").is_empty());
        tokio::time::advance(RETRY).await;
        // Each is tried by one.
        assert_eq!(order(&shields, "h/a"), all);
        assert!(order(&shields, "h/a").is_empty());
        first.answered(Instant::now());
        assert_eq!(order(&shields, "h/a"), all[..1]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_reached_is_not_tried() {
        let shields = shields();
        for shield in &shields.list {
            shield.health.down_until.store(1, Ordering::Relaxed);
        }
        tokio::time::advance(Duration::from_millis(5)).await;
        // The first answers.
        assert!(shields.of("h/a").next().is_some());
        let tried = |shield: &&Shield<usize>| shield.health.down_until.load(Ordering::Relaxed) != 1;
        assert_eq!(shields.list.iter().filter(tried).count(), 1);
    }
}
