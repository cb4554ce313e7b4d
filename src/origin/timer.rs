//! Waiting for an origin.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// A timer that goes from one use to the next: one that runs is put off without a lock.
#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    pub(super) fn poll_until(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep = match &mut self.0 {
            Some(sleep) => {
                if sleep.deadline() != until {
                    sleep.as_mut().reset(until);
                }
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(until))),
        };
        sleep.as_mut().poll(cx)
    }
}

/// `timeout` from `since`; what would be no instant any more is a year.
pub(super) fn later(since: Instant, timeout: Duration) -> Instant {
    since + timeout.min(Duration::from_secs(365 * 86_400))
}
