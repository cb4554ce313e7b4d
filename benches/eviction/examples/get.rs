//! Look-ups that hit, so many of them in one of the libraries, to be counted by valgrind:
//!
//! ```text
//! cargo build --release --example get
//! for n in 100000 300000; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/get moka $n 2>&1 | grep Collected
//! done
//! ```
//!
//! The slope is what a look-up costs. Instructions, 2026-11-21: quick_cache 104, foyer's S3-FIFO 316, its LRU 454, its LFU 858,
//! moka 932.

use foyer_memory::{CacheBuilder, EvictionConfig, LfuConfig, LruConfig, S3FifoConfig};
use std::{hint::black_box, process::ExitCode, sync::Arc};

const KEYS: u64 = 1000;
const CAPACITY: u64 = 10 * KEYS;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, count] = arguments.as_slice() else {
        eprintln!("get LIBRARY COUNT");
        return ExitCode::FAILURE;
    };
    let count = count.parse().unwrap_or_default();
    match library.as_str() {
        "quick_cache" => {
            let cache = quick_cache::sync::Cache::new(CAPACITY as usize);
            (0..KEYS).for_each(|key| cache.insert(key, Arc::new(key)));
            ask(count, |key| cache.get(&key).is_some());
        }
        "moka" => {
            let cache = moka::sync::Cache::new(CAPACITY);
            (0..KEYS).for_each(|key| cache.insert(key, Arc::new(key)));
            cache.run_pending_tasks();
            ask(count, |key| cache.get(&key).is_some());
        }
        "s3-fifo" => foyer(count, S3FifoConfig::default().into()),
        "lfu" => foyer(count, LfuConfig::default().into()),
        "lru" => foyer(count, LruConfig::default().into()),
        _ => {
            eprintln!("quick_cache, moka, s3-fifo, lfu or lru");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn foyer(count: u64, eviction: EvictionConfig) {
    let cache: foyer_memory::Cache<u64, Arc<u64>> = CacheBuilder::new(CAPACITY as usize)
        .with_eviction_config(eviction)
        .build();
    (0..KEYS).for_each(|key| drop(cache.insert(key, Arc::new(key))));
    ask(count, |key| cache.get(&key).is_some());
}

fn ask(count: u64, get: impl Fn(u64) -> bool) {
    for number in 0..count {
        black_box(get(black_box(number % KEYS)));
    }
}
