//! What is asked: one hot key of each size, and many small ones on a Zipf curve.

use crate::{Failure, content::SIZES};
use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

const KEYS: usize = 10_000;
/// So many draws from the curve are repeated over and over.
const DRAWS: usize = 1 << 17;

/// Requests, and the order in which they come.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) length: usize,
    pub(crate) paths: Vec<String>,
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) order: Vec<u32>,
    /// What the one of ours that is measured must reach of the ceiling.
    pub(crate) target: f64,
}

impl Scenario {
    pub(crate) fn all() -> Result<Vec<Self>, Failure> {
        let [small, middle, large] = SIZES;
        let hot = |name, length, target| {
            let paths = vec![format!("/{length}/hot")];
            Self::new(name, length, paths, vec![0], target)
        };
        let keys = (0..KEYS).map(|key| format!("/{small}/{key}")).collect();
        Ok(vec![
            hot("1 KiB", small, 0.94),
            hot("32 KiB", middle, 0.97),
            hot("1 MiB", large, 0.97),
            Self::new("Zipf", small, keys, zipf(KEYS, DRAWS)?, 0.90),
        ])
    }

    fn new(
        name: &'static str,
        length: usize,
        paths: Vec<String>,
        order: Vec<u32>,
        target: f64,
    ) -> Self {
        Self {
            name,
            length,
            requests: paths.iter().map(|path| request(path)).collect(),
            paths,
            order,
            target,
        }
    }
}

/// Keys of one size that nobody has asked for yet.
pub(crate) struct NewKeys {
    pub(crate) length: usize,
    first: u64,
    asked: Cell<u64>,
}

impl NewKeys {
    /// Numbered from the clock: a process that ran before had others.
    pub(crate) fn new(length: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            length,
            first: now.unwrap_or_default().as_secs() % 1_000_000 * 1_000_000,
            asked: Cell::new(0),
        }
    }

    /// How many there were.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.get()
    }

    pub(crate) fn next(&self) -> Vec<u8> {
        let asked = self.asked.get();
        self.asked.set(asked + 1);
        request(&format!("/{}/new{:012}", self.length, self.first + asked))
    }
}

fn request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: www.example.com\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: */*\r\n\
         Accept-Language: en-GB,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Referer: https://www.example.com/\r\n\
         \r\n"
    )
    .into_bytes()
}

/// Draws of keys whose share falls as one over their rank, the same in each run.
fn zipf(keys: usize, draws: usize) -> Result<Vec<u32>, Failure> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let draw = |_| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = state as f64 / u64::MAX as f64 * sum;
        let key = sums.partition_point(|upto| *upto < at).min(keys - 1);
        Ok(u32::try_from(key)?)
    };
    (0..draws).map(draw).collect()
}
