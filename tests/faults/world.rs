//! What all sides of a run share: the time, and what happened.

use super::origin::Sent;
use frontage::clock::Clock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// When a run begins by the wall clock: a moment in 2026, in milliseconds.
pub(crate) const START: u64 = 1_767_225_600_000;

/// A point in a run: moments of the same time have an order all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) number: u64,
    /// Milliseconds from the beginning, whatever the wall clock does.
    pub(crate) at: u64,
    /// What the wall clock shows.
    pub(crate) wall: u64,
}

/// A request below a cache.
#[derive(Clone, Debug)]
pub(crate) struct Below {
    /// 0 below the cache that viewers ask.
    pub(crate) level: usize,
    /// By whom it was asked for: the request of a viewer.
    pub(crate) asker: Option<u64>,
    /// It is a fetch of its own, which others may join.
    pub(crate) is_led: bool,
    /// It says who asks, as the profile sees it.
    pub(crate) has_credentials: bool,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) language: String,
    pub(crate) range: String,
    pub(crate) cache_control: String,
    pub(crate) begun: Moment,
    /// When its head came, or it was given up.
    pub(crate) ended: Option<Moment>,
    /// Of its answer.
    pub(crate) serial: Option<u64>,
    pub(crate) age: u64,
    pub(crate) date: Option<u64>,
}

/// A request above a cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Above {
    pub(crate) begun: Moment,
    /// When its head went out.
    pub(crate) answered: Option<Moment>,
}

#[derive(Default)]
pub(crate) struct Record {
    numbers: u64,
    /// By serial numbers.
    pub(crate) sent: BTreeMap<u64, Sent>,
    pub(crate) below: Vec<Below>,
    /// By the number of the viewer's request.
    pub(crate) above: BTreeMap<u64, Above>,
    /// The wall clock stepped.
    pub(crate) steps: Vec<Moment>,
    /// What was invalidated by hand: a path, or everything.
    pub(crate) invalidated: Vec<(Moment, Option<String>)>,
    /// The same, softly.
    pub(crate) invalidated_softly: Vec<(Moment, String)>,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    /// All that happened, in order: two runs of a seed have the same.
    pub(crate) events: Vec<String>,
}

/// The shared part.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    start: Instant,
    /// How far the wall clock is off.
    offset: Mutex<i64>,
    record: Mutex<Record>,
}

impl World {
    /// Within a runtime.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            offset: Mutex::new(0),
            record: Mutex::default(),
        }))
    }

    /// Milliseconds from the beginning.
    pub(crate) fn at(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap()
    }

    pub(crate) async fn sleep_until(&self, at: u64) {
        tokio::time::sleep_until(self.0.start + Duration::from_millis(at)).await;
    }

    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut Record) -> T) -> T {
        what(&mut self.0.record.lock().unwrap())
    }

    pub(crate) fn moment(&self) -> Moment {
        let (at, wall) = (self.at(), self.now());
        self.with(|record| {
            record.numbers += 1;
            Moment {
                number: record.numbers,
                at,
                wall,
            }
        })
    }

    pub(crate) fn step(&self, by: i64) {
        *self.0.offset.lock().unwrap() += by;
        let moment = self.moment();
        self.with(|record| record.steps.push(moment));
    }

    pub(crate) fn event(&self, what: &str) {
        let line = format!("{} {what}", self.at());
        self.with(|record| record.events.push(line));
    }

    pub(crate) fn wrong(&self, what: String) {
        self.with(|record| record.wrong.push(what));
    }

    pub(crate) fn clock(&self) -> WallClock {
        WallClock(self.clone())
    }

    fn now(&self) -> u64 {
        (START + self.at()).saturating_add_signed(*self.0.offset.lock().unwrap())
    }
}

/// The wall clock, which goes on by itself and steps.
#[derive(Clone)]
pub(crate) struct WallClock(World);

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WallClock")
    }
}

impl Clock for WallClock {
    fn now(&self) -> u64 {
        self.0.now()
    }
}

impl Record {
    /// The least that the wall clock showed between two moments.
    pub(crate) fn least_wall(&self, from: Moment, to: Moment) -> u64 {
        let stepped = self.steps.iter();
        let between = stepped.filter(|step| (from.number..to.number).contains(&step.number));
        let walls = between.map(|step| step.wall);
        walls.chain([from.wall, to.wall]).min().unwrap_or(0)
    }
}
