//! The table.

use crate::Failure;
use std::time::Duration;

/// Prints a line for each figure as it comes.
pub(crate) struct Report {
    all_met: bool,
}

/// How long it may take through the proxy.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// So much longer than direct.
    Later(Duration),
    /// So much longer than direct, or half as long again, whichever is larger.
    LaterOrHalfAgain(Duration),
    /// So long, whatever it takes direct.
    Within(Duration),
}

impl Limit {
    fn allows(self, direct: Duration, through: Duration) -> bool {
        through
            <= match self {
                Self::Later(by) => direct + by,
                Self::LaterOrHalfAgain(by) => (direct + by).max(direct + direct / 2),
                Self::Within(limit) => limit,
            }
    }

    fn text(self) -> String {
        match self {
            Self::Later(by) => format!("{by:?} later"),
            Self::LaterOrHalfAgain(by) => format!("{by:?} later or 1.5 times"),
            Self::Within(limit) => format!("within {limit:?}"),
        }
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        println!("| ms | direct | through | difference | target | met |");
        println!("|---|---|---|---|---|---|");
        Self { all_met: true }
    }

    pub(crate) fn line(&mut self, what: &str, direct: Duration, through: Duration, limit: Limit) {
        let met = limit.allows(direct, through);
        self.all_met &= met;
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        println!(
            "| {what} | {:.2} | {:.2} | {:+.2} | {} | {} |",
            millis(direct),
            millis(through),
            millis(through) - millis(direct),
            limit.text(),
            if met { "yes" } else { "NO" },
        );
    }

    pub(crate) fn finish(self) -> Result<(), Failure> {
        if self.all_met {
            Ok(())
        } else {
            Err("a target is missed".into())
        }
    }
}

/// The middle one.
pub(crate) fn median(mut figures: Vec<Duration>) -> Duration {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
