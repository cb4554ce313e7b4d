//! Where tasks come from.

use super::driven::{Driven, Task};
use std::future::Future;
use tokio::runtime::Handle;
use tracing::Instrument;

/// Spawns a task that carries the present span.
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task.in_current_span());
}

/// What is spawned only when its caller leaves it, or somebody else needs it.
pub(super) fn driven() -> Driven<impl Fn(Task) + Send + Sync + 'static> {
    let runtime = Handle::current();
    Driven::new(move |task| {
        runtime.spawn(task);
    })
}
