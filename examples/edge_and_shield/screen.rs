//! Where the table is shown: in one place of a terminal, or a line each second.

use crate::network::Network;
use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(250);
const LINE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    /// Lines of the table, above the cursor.
    drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        Self {
            is_terminal: io::stdout().is_terminal() && !is_dumb,
            drawn: 0,
        }
    }

    /// Shows the network for ever, or as long as somebody reads.
    pub(crate) async fn live(&mut self, network: &Network) -> io::Result<()> {
        let mut turns = interval(if self.is_terminal { FRAME } else { LINE });
        turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let start = turns.tick().await;
        loop {
            if self.is_terminal {
                self.draw(&network.table().to_string())?;
                turns.tick().await;
            } else {
                let now = turns.tick().await;
                let line = network.table().line(seconds(start, now));
                self.print(&format!("{line}\n"))?;
            }
        }
    }

    /// Shows the last table.
    pub(crate) fn last(&mut self, network: &Network) -> io::Result<()> {
        self.draw(&network.table().to_string())
    }

    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes())?;
        output.flush()
    }

    fn draw(&mut self, table: &str) -> io::Result<()> {
        if !self.is_terminal {
            return self.print(&format!("\n{table}"));
        }
        // In one piece, or it flickers.
        self.print(&frame(table, self.drawn))?;
        self.drawn = table.lines().count();
        Ok(())
    }
}

fn seconds(start: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(start).as_secs()
}

/// Draws over what has so many lines above the cursor.
fn frame(table: &str, drawn: usize) -> String {
    let mut frame = String::from("\r");
    // Writing to a string doesn't fail.
    if drawn > 0 {
        let _ = write!(frame, "\x1b[{drawn}A");
    }
    for line in table.lines() {
        frame.push_str(line);
        frame.push_str("\x1b[K\n");
    }
    frame.push_str("\x1b[J");
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_drawn_over_the_last_one() {
        assert_eq!(frame("a\nb\n", 0), "\ra\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(frame("c\n", 2), "\r\x1b[2Ac\x1b[K\n\x1b[J");
    }
}
