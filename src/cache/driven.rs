//! A task that its caller drives in place, until the caller leaves or somebody else needs it.

use crate::sync::{Arc, Mutex};
use futures_util::future::BoxFuture;
use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tracing::instrument::Instrumented;

/// With the span that it carries.
pub(super) type Task = Instrumented<BoxFuture<'static, ()>>;

enum Stage {
    /// Driven by the caller, who is woken by this.
    Here(Task, Option<Waker>),
    /// The caller has it in hand: to be put here, or polled just now.
    InHand,
    /// The caller has it in hand, and is to give it away.
    Needed,
    /// Over, or given away.
    Gone,
}

/// The caller's end. Who drops it gives the task away.
pub(super) struct Driven<G: Fn(Task)> {
    shared: Arc<Shared<G>>,
}

struct Shared<G> {
    stage: Mutex<Stage>,
    give_away: G,
}

impl<G: Fn(Task)> Shared<G> {
    /// Gives the task away, now or as soon as the caller has done with it.
    fn release(&self) {
        let (task, waker) = {
            let mut stage = self.stage.lock();
            match mem::replace(&mut *stage, Stage::Gone) {
                Stage::Here(task, waker) => (task, waker),
                Stage::InHand | Stage::Needed => {
                    *stage = Stage::Needed;
                    return;
                }
                Stage::Gone => return,
            }
        };
        (self.give_away)(task);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the task is here, and not needed elsewhere by now.
    fn put(&self, task: Task, waker: Option<Waker>) -> bool {
        {
            let mut stage = self.stage.lock();
            if let Stage::InHand = *stage {
                *stage = Stage::Here(task, waker);
                return true;
            }
            *stage = Stage::Gone;
        }
        (self.give_away)(task);
        false
    }
}

impl<G: Fn(Task) + Send + Sync + 'static> Driven<G> {
    /// Of a task that is still to be [put](Self::put) here.
    pub(super) fn new(give_away: G) -> Self {
        let stage = Mutex::new(Stage::InHand);
        Self {
            shared: Arc::new(Shared { stage, give_away }),
        }
    }

    /// What gives the task away, from wherever.
    pub(super) fn releaser(&self) -> impl FnOnce() + Send + use<G> {
        // Weak: what the task holds may hold this.
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                shared.release();
            }
        }
    }

    /// Puts the task here, unless somebody needs it by now.
    pub(super) fn put(&self, task: Task) {
        self.shared.put(task, None);
    }

    /// Polls the task, and tells whether it is still here and not over: if so, the caller is woken for it, or when it goes.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> bool {
        let mut task = {
            let mut stage = self.shared.stage.lock();
            match mem::replace(&mut *stage, Stage::InHand) {
                Stage::Here(task, _) => task,
                other => {
                    *stage = other;
                    return false;
                }
            }
        };
        // Should it panic, it is gone with that.
        match Pin::new(&mut task).poll(cx) {
            Poll::Pending => self.shared.put(task, Some(cx.waker().clone())),
            Poll::Ready(()) => {
                *self.shared.stage.lock() = Stage::Gone;
                false
            }
        }
    }
}

impl<G: Fn(Task)> Drop for Driven<G> {
    fn drop(&mut self) {
        self.shared.release();
    }
}

#[cfg(all(test, frontage_loom))]
#[path = "driven_loom_tests.rs"]
mod loom_tests;
