//! Where tasks come from.

use std::future::Future;
use tracing::Instrument;

/// Spawns a task that carries the present span: the one place that does.
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task.in_current_span());
}
