//! What is logged on the thread of a test.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::{cell::RefCell, io, sync::Once};
use tracing_subscriber::filter::LevelFilter;

thread_local! {
    /// The events of this thread, one a line: each test has its own.
    static HEARD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Hear;

impl io::Write for Hear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HEARD.with_borrow_mut(|heard| heard.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hears all threads, from this level on: subscribers of single threads, set while others run, miss events now and then.
pub(crate) fn listen(level: LevelFilter) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(|| Hear)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// The events since it was asked last.
pub(crate) fn events() -> Vec<String> {
    let text = String::from_utf8(HEARD.take()).unwrap();
    text.lines().map(str::to_owned).collect()
}
