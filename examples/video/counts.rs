//! What the cache said of each block, as the page shows it.
//!
//! No layer sees a block that is a hit: it comes from the cache, between the viewer and the origin. The event `answered` does.

use serde::Serialize;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// What became of a request for a block.
#[derive(Clone, Copy)]
enum Answer {
    /// It was there.
    Hit = 1,
    /// Another request was fetching it.
    Joined,
    /// The origin was asked.
    Miss,
}

impl Answer {
    /// What `Cache-Status` (RFC 9211) says.
    fn of(status: &str) -> Self {
        let says = |what: &str| status.split("; ").any(|said| said == what);
        match (says("hit"), says("collapsed")) {
            (true, _) => Self::Hit,
            (false, true) => Self::Joined,
            (false, false) => Self::Miss,
        }
    }
}

/// How often it was a hit, joined and a miss, and what it was last: their number, from 1.
type Block = [AtomicU64; 4];

/// Of every block how often it was asked for, and of the viewers' requests how many there were.
pub(crate) struct Counts {
    blocks: Box<[Block]>,
    requests: AtomicU64,
    /// Bytes of bodies that the server has taken to send.
    bytes: AtomicU64,
}

/// The counts of all, and of each block that was asked for.
#[derive(Serialize)]
pub(crate) struct Answers {
    hits: u64,
    joined: u64,
    misses: u64,
    /// Number, hits, joined, misses, and which of these three it was last: 1, 2 or 3.
    blocks: Vec<[u64; 5]>,
}

impl Counts {
    pub(crate) fn new(blocks: usize) -> Arc<Self> {
        Arc::new(Self {
            blocks: (0..blocks).map(|_| Block::default()).collect(),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    pub(crate) fn add_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn answers(&self) -> Answers {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let blocks: Vec<_> = (0..)
            .zip(self.blocks.iter().map(|block| block.each_ref().map(read)))
            .filter(|(_, [.., last])| *last != 0)
            .map(|(number, [hits, joined, misses, last])| [number, hits, joined, misses, last])
            .collect();
        let sum = |column: usize| blocks.iter().map(|block| block[column]).sum();
        Answers {
            hits: sum(1),
            joined: sum(2),
            misses: sum(3),
            blocks,
        }
    }

    /// Counts from zero again.
    pub(crate) fn reset(&self) {
        let all = self.blocks.iter().flatten();
        for count in all.chain([&self.requests, &self.bytes]) {
            count.store(0, Ordering::Relaxed);
        }
    }

    fn answered(&self, block: usize, answer: Answer) {
        let Some([counts @ .., last]) = self.blocks.get(block) else {
            return;
        };
        last.store(answer as u64, Ordering::Relaxed);
        if let Some(count) = counts.get(answer as usize - 1) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Hears the cache.
pub(crate) struct Listener(pub(crate) Arc<Counts>);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if let Said {
            is_answer: true,
            block: Some(block),
            answer: Some(answer),
        } = said
        {
            self.0.answered(block, answer);
        }
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    is_answer: bool,
    block: Option<usize>,
    answer: Option<Answer>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.is_answer = format!("{value:?}") == "answered",
            "key" => self.block = block_of(&format!("{value:?}")),
            "status" => self.answer = Some(Answer::of(&format!("{value:?}"))),
            _ => {}
        }
    }
}

/// The number of the block that a key names, as it is printed: `… block:7/1048576`.
fn block_of(key: &str) -> Option<usize> {
    let (_, block) = key.rsplit_once(" block:")?;
    let (number, _size) = block.split_once('/')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    #[test]
    fn what_the_cache_says_of_a_block_is_counted() {
        let counts = Counts::new(9);
        let listener = Listener(counts.clone());
        tracing::subscriber::with_default(Registry::default().with(listener), || {
            let say = |key: &str, status: &str| {
                let (key, status) = (tracing::field::display(key), format_args!("{status}"));
                tracing::debug!(key = Some(key), status = %status, "answered");
            };
            say(
                "#1 GET a/r.wav block:7/1048576",
                "frontage; fwd=uri-miss; stored",
            );
            say(
                "#1 GET a/r.wav block:7/1048576",
                "frontage; fwd=uri-miss; collapsed",
            );
            say("#1 GET a/r.wav block:7/1048576", "frontage; hit; ttl=9");
            say("#1 GET a/r.wav block:7/1048576", "frontage; hit; ttl=9");
            say(
                "#1 GET a/r.wav block:2/1048576",
                "frontage; fwd=stale; fwd-status=206",
            );
            say("#1 GET a/r.wav block:9/1048576", "frontage; hit");
            say("#1 GET a/r.wav", "frontage; hit");
            tracing::debug!(key = "k block:1/1", status = "hit", "stored");
        });
        let answers = counts.answers();
        assert_eq!(answers.blocks, [[2, 0, 0, 1, 3], [7, 2, 1, 1, 1]]);
        assert_eq!((answers.hits, answers.joined, answers.misses), (2, 1, 2));
        counts.reset();
        assert!(counts.answers().blocks.is_empty());
    }
}
