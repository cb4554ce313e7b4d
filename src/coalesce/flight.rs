//! One flight: a leader, those who wait for it, and what it lands with.

use crate::sync::{Arc, Mutex};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

type Outcome<T> = Box<dyn Fn() -> T + Send>;

enum State<T> {
    Flying {
        waiting: Vec<Waiting>,
    },
    /// Each who waited finds its own value in its place; who comes later gets one made.
    Landed {
        places: Vec<Option<T>>,
        outcome: Outcome<T>,
    },
    /// The leader is gone without a word.
    Lost,
}

/// A follower's place while the flight is on.
enum Waiting {
    For(Option<Waker>),
    /// It left: nothing is made for it, and the place may be taken again.
    Left,
}

/// The state that leader and followers share.
pub(crate) struct Flight<T> {
    state: Mutex<State<T>>,
}

impl<T> Flight<T> {
    /// Joins.
    pub(crate) fn follow(self: &Arc<Self>) -> Follow<T> {
        let place = match &mut *self.state.lock() {
            State::Flying { waiting } => {
                // The last places are looked at first: who leaves early came late.
                let free = waiting
                    .iter()
                    .rev()
                    .take(64)
                    .position(|place| matches!(place, Waiting::Left));
                match free {
                    Some(from_end) => {
                        let place = waiting.len() - 1 - from_end;
                        waiting[place] = Waiting::For(None);
                        Place::Waiting(place)
                    }
                    None => {
                        waiting.push(Waiting::For(None));
                        Place::Waiting(waiting.len() - 1)
                    }
                }
            }
            State::Landed { outcome, .. } => Place::Late(Some(outcome())),
            State::Lost => Place::Late(None),
        };
        Follow {
            flight: self.clone(),
            place,
        }
    }
}

/// The leader's end. Dropping it before [`land`](Self::land) loses the flight: all who wait are told.
pub(crate) struct Lead<T> {
    flight: Arc<Flight<T>>,
}

impl<T> Lead<T> {
    pub(crate) fn new() -> Self {
        Self {
            flight: Arc::new(Flight {
                state: Mutex::new(State::Flying {
                    waiting: Vec::new(),
                }),
            }),
        }
    }

    pub(crate) fn flight(&self) -> Arc<Flight<T>> {
        self.flight.clone()
    }

    pub(crate) fn leads(&self, flight: &Arc<Flight<T>>) -> bool {
        Arc::ptr_eq(&self.flight, flight)
    }

    /// Makes a value for each who waits, now: so that a reader of a moving window is there before the window moves.
    pub(crate) fn land(&self, outcome: impl Fn() -> T + Send + 'static) {
        self.end(|waiting| {
            let places = waiting
                .iter()
                .map(|place| matches!(place, Waiting::For(_)).then(&outcome))
                .collect();
            State::Landed {
                places,
                outcome: Box::new(outcome),
            }
        });
    }

    fn end(&self, end: impl FnOnce(&[Waiting]) -> State<T>) {
        let wakers = {
            let mut state = self.flight.state.lock();
            let State::Flying { waiting } = &mut *state else {
                return;
            };
            let waiting = std::mem::take(waiting);
            *state = end(&waiting);
            waiting
        };
        for place in wakers {
            if let Waiting::For(Some(waker)) = place {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        self.end(|_| State::Lost);
    }
}

enum Place<T> {
    Waiting(usize),
    Late(Option<T>),
    Taken,
}

/// Waits for the landing: `None` when the leader is gone without one.
pub(crate) struct Follow<T> {
    flight: Arc<Flight<T>>,
    place: Place<T>,
}

impl<T> Follow<T> {
    /// Whether this is the flight that it waits for, still on.
    pub(crate) fn waits_for(&self, flight: &Arc<Flight<T>>) -> bool {
        Arc::ptr_eq(&self.flight, flight) && matches!(*flight.state.lock(), State::Flying { .. })
    }
}

// Nothing in it is pinned.
impl<T> Unpin for Follow<T> {}

impl<T> Future for Follow<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let place = match &mut this.place {
            Place::Late(value) => {
                let value = value.take();
                this.place = Place::Taken;
                return Poll::Ready(value);
            }
            Place::Taken => return Poll::Ready(None),
            Place::Waiting(place) => *place,
        };
        let value = match &mut *this.flight.state.lock() {
            State::Flying { waiting } => {
                if let Some(waker) = waiting.get_mut(place) {
                    *waker = Waiting::For(Some(cx.waker().clone()));
                }
                return Poll::Pending;
            }
            State::Landed { places, .. } => places.get_mut(place).and_then(Option::take),
            State::Lost => None,
        };
        this.place = Place::Taken;
        Poll::Ready(value)
    }
}

impl<T> Drop for Follow<T> {
    fn drop(&mut self) {
        let Place::Waiting(place) = self.place else {
            return;
        };
        // Dropped outside the lock: a value may hold a reader, whose own drop takes other locks.
        let _unclaimed = match &mut *self.flight.state.lock() {
            State::Flying { waiting } => {
                if let Some(waker) = waiting.get_mut(place) {
                    *waker = Waiting::Left;
                }
                None
            }
            State::Landed { places, .. } => places.get_mut(place).and_then(Option::take),
            State::Lost => None,
        };
    }
}
