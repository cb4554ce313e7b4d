//! How a hit's and an insert's cost grow: with the number of keys, with the fields, and with the evictions.
//!
//! ```text
//! cargo bench --bench growth                      # time and memory; ten million keys only where memory is free for them
//! cargo bench --bench growth -- --instructions    # instructions and allocations, by valgrind
//! ```
//!
//! # Figures
//!
//! Net of making the request, 2026-11-21, two cores, glibc's allocator, much other work beside it. The times are those of the
//! better of two runs, which differed by at most 13 %.
//!
//! | keys | a hit, instructions | ns | resident bytes for each |
//! |---|---|---|---|
//! | 10 | 3,583 | 540 | |
//! | 100 | 3,580 | | |
//! | 1,000 | 3,608 | 580 | |
//! | 10,000 | 4,303 | | |
//! | 100,000 | | 2,010 | 2,280 |
//!
//! A million and ten million were not measured: at 2,280 bytes, ten million don't fit here. The 700 instructions more at 10,000 keys
//! are the texts of `Cache-Status` and `Age` made anew (seen in the profile); a thread remembers 64 of them, and the keys
//! probably have more ages than that. The time grows where instructions don't: likely by what isn't in the processor's caches.
//!
//! | fields | a hit, instructions | allocations |
//! |---|---|---|
//! | 1 | 3,191 | 2 |
//! | 2 | 3,321 | 2 |
//! | 4 | 3,581 | 2 |
//! | 8 | 4,241 | 2 |
//! | 16 | 5,588 | 2 |
//! | 32 | 7,653 | 2 |
//! | 64 | 11,591 | 2 |
//!
//! By 120 to 170 for each field.
//!
//! | filled before | a miss and its insert, instructions |
//! |---|---|
//! | 0 % | 166,808 |
//! | 50 % | 166,660 |
//! | 100 % | 165,900 |
//! | 200 % | 167,920 |
//!
//! | entries | with room, µs | evicting, µs |
//! |---|---|---|
//! | 1,000 | 32.8 | 32.4 |
//! | 10,000 | 33.3 | 26.3 |
//! | 100,000 | 28.4 | 27.4 |
//!
//! Evicting costs nothing that can be seen beside a miss. Two thirds of a miss's instructions are copying, most of it where the fetch's
//! future is moved into its task; valgrind may count each byte of a long copy.
//!
//! The slowest insert once all were hit took 4 ms at each size: that is rather another process's turn than the eviction, so whether one
//! insert has to pass over all entries is not settled by it.
//!
//! # How it is measured
//!
//! Bodies of 64 bytes, four fields where their number isn't what grows. The keys are asked for without an order that a processor
//! could foresee. *Inserts*: of keys that are new, one after another, into a store that has room for 10,000; *filled before* is what
//! was inserted before in parts of that. *Slowest once all were hit*: what has been looked up is passed over twice before
//! it is evicted, so one insert may look at all entries. Each subject runs in a process of its own; a time is the least of 200 short runs.

mod counted;

use bytes::Bytes;
use counted::{Bench, Failure, allocations, hit, instructions};
use frontage::{Cache, CacheLayer, MemoryStore};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    process::{Command, ExitCode},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Runtime, time::Instant};
use tower::{Layer, Service, ServiceExt};

const KEYS: [u64; 7] = [10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];
/// Valgrind is fifty times slower: more would take an hour to fill.
const KEYS_COUNTED: usize = 4;
const FIELDS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Bytes: no key is begun with for which there may not be memory.
const MOST_FOR_EACH: u64 = 2500;
/// The fields where their number isn't what grows.
const FEW_FIELDS: usize = 4;
const BODY: Bytes = Bytes::from_static(&[b'x'; 64]);
/// How many entries a store holds that is written to.
const ENTRIES: [u64; 4] = [1000, 10_000, 100_000, 1_000_000];
const ENTRIES_COUNTED: u64 = 10_000;
/// What was inserted before, in hundredths of what the store holds.
const FILLED: [u64; 5] = [0, 50, 100, 200, 1000];

fn main() -> ExitCode {
    let bench = Bench {
        name: "growth",
        run,
        count,
        time,
    };
    bench.main()
}

/// Answers at once.
#[derive(Clone, Debug)]
struct Origin(HeaderMap);

impl Service<Request<Empty<Bytes>>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Empty<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::new(BODY));
        *response.headers_mut() = self.0.clone();
        ready(Ok(response))
    }
}

/// So many fields, `Cache-Control` among them.
fn fields(count: usize) -> Result<HeaderMap, Failure> {
    let mut fields = HeaderMap::with_capacity(count);
    let cache_control = HeaderValue::from_static("public, max-age=86400");
    fields.insert(http::header::CACHE_CONTROL, cache_control);
    for number in 1..count {
        let name = HeaderName::try_from(format!("x-field-{number}"))?;
        fields.insert(name, HeaderValue::from_static("of twenty-four bytes ..."));
    }
    Ok(fields)
}

struct Edge {
    cache: Cache<Origin>,
    store: MemoryStore,
    runtime: Runtime,
}

impl Edge {
    fn new(capacity: u64, count: usize) -> Result<Self, Failure> {
        let store = MemoryStore::new(capacity);
        let layer = CacheLayer::new(store.clone()).status_extension(false);
        Ok(Self {
            cache: layer.layer(Origin(fields(count)?)),
            store,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }

    /// With room for so many, and with so many in it.
    fn holding(keys: u64, count: usize) -> Result<Self, Failure> {
        let each = 2000 + 300 * count as u64;
        let edge = Self::new((keys * each).max(64 << 20), count)?;
        edge.fetch(0..keys)?;
        let usage = edge.store.usage();
        if usage.entries as u64 != keys {
            return Err(format!("not all are kept: {usage:?}").into());
        }
        Ok(edge)
    }

    /// With room for so many and no more.
    fn of_entries(entries: u64) -> Result<Self, Failure> {
        let one = Self::holding(1, FEW_FIELDS)?.store.usage().used;
        Self::new(one * entries, FEW_FIELDS)
    }

    fn fetch(&self, keys: impl IntoIterator<Item = u64>) -> Result<(), Failure> {
        self.runtime.block_on(async {
            for key in keys {
                let answer = self.cache.clone().oneshot(request(key)?).await?;
                answer.into_body().collect().await?;
            }
            Ok(())
        })
    }

    fn hit(&mut self, request: Request<Empty<Bytes>>) -> Result<(), Failure> {
        black_box(hit(&mut self.cache, request).ok_or("not a hit")?);
        Ok(())
    }
}

fn request(key: u64) -> Result<Request<Empty<Bytes>>, Failure> {
    let uri = format!("http://www.example.com/assets/{key:08}/main.js?v=20260101");
    Ok(Request::get(uri).body(Empty::new())?)
}

/// Goes about the keys without an order that a processor could foresee.
struct Walk(u64);

impl Walk {
    fn next(&mut self, keys: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 32) % keys
    }
}

fn run(subject: &[String], rounds: u64) -> Result<(), Failure> {
    let [what, numbers @ ..] = subject else {
        return Err("WHAT NUMBER...".into());
    };
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|one| one.parse())
        .collect::<Result<_, _>>()?;
    let mut walk = Walk(1);
    match (what.as_str(), numbers.as_slice()) {
        ("request", [keys]) => {
            for _ in 0..rounds {
                black_box(request(walk.next(*keys))?);
            }
        }
        ("hit", [keys, count]) => {
            let mut edge = Edge::holding(*keys, usize::try_from(*count)?)?;
            // What the first hit of a thread and of an object does isn't what each does.
            (0..*keys).try_for_each(|key| edge.hit(request(key)?))?;
            for _ in 0..rounds {
                edge.hit(request(walk.next(*keys))?)?;
            }
        }
        ("insert", [filled]) => {
            let edge = Edge::of_entries(ENTRIES_COUNTED)?;
            let before = ENTRIES_COUNTED * filled / 100;
            edge.fetch(0..before)?;
            edge.fetch(before..before + rounds)?;
        }
        ("time-hit", [keys]) => time_of_hits(*keys)?,
        ("time-insert", [entries]) => time_of_inserts(*entries)?,
        _ => return Err("no such subject".into()),
    }
    Ok(())
}

fn count() -> Result<(), Failure> {
    println!("| keys | a hit, instructions |\n|---|---|");
    for keys in KEYS.iter().take(KEYS_COUNTED) {
        let keys = keys.to_string();
        let making = instructions(&["request", &keys])?;
        let cost = instructions(&["hit", &keys, &FEW_FIELDS.to_string()])? - making;
        println!("| {keys} | {cost:.0} |");
    }
    println!("\n| fields | a hit, instructions | allocations |\n|---|---|---|");
    let making = ["request", "1"];
    let (made, allocated) = (instructions(&making)?, allocations(&making)?);
    for count in FIELDS {
        let subject = ["hit", "1", &count.to_string()];
        let (cost, allocates) = (instructions(&subject)?, allocations(&subject)?);
        println!(
            "| {count} | {:.0} | {:.1} |",
            cost - made,
            allocates - allocated
        );
    }
    println!("\n| filled before | a miss and its insert, instructions |\n|---|---|");
    let made = instructions(&["request", &ENTRIES_COUNTED.to_string()])?;
    for filled in FILLED {
        let cost = instructions(&["insert", &filled.to_string()])? - made;
        println!("| {filled} % | {cost:.0} |");
    }
    Ok(())
}

fn time() -> Result<(), Failure> {
    println!("| keys | a hit, ns | resident bytes for each | charged |\n|---|---|---|---|");
    for keys in KEYS {
        if available()? < keys * MOST_FOR_EACH {
            println!("| {keys} | too little memory is free | | |");
            continue;
        }
        child("time-hit", keys)?;
    }
    println!(
        "\n| entries | a miss and its insert with room, µs | evicting | slowest of 1,000 once all were hit |\n|---|---|---|---|"
    );
    for entries in ENTRIES {
        child("time-insert", entries)?;
    }
    Ok(())
}

/// In a process of its own, as large as what it holds.
fn child(what: &str, number: u64) -> Result<(), Failure> {
    let status = Command::new(std::env::current_exe()?)
        .args(["--run", what, &number.to_string(), "0"])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{what} {number}: {status}").into())
    }
}

/// Short enough that some run without another process between.
const HITS: u64 = 2000;
const SAMPLES: usize = 200;

fn time_of_hits(keys: u64) -> Result<(), Failure> {
    let before = resident()?;
    let mut edge = Edge::holding(keys, FEW_FIELDS)?;
    let bytes = resident()?.saturating_sub(before) / keys;
    let mut walk = Walk(1);
    let mut making = Vec::new();
    let mut hitting = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        for _ in 0..HITS {
            black_box(request(walk.next(keys))?);
        }
        making.push(started.elapsed());
        let started = Instant::now();
        for _ in 0..HITS {
            edge.hit(request(walk.next(keys))?)?;
        }
        hitting.push(started.elapsed());
    }
    let least = |times: Vec<Duration>| times.into_iter().min().unwrap_or_default();
    let cost = least(hitting).saturating_sub(least(making)).as_nanos() / u128::from(HITS);
    let charged = edge.store.usage().used / keys;
    println!("| {keys} | {cost} | {bytes} | {charged} |");
    Ok(())
}

fn time_of_inserts(entries: u64) -> Result<(), Failure> {
    let edge = Edge::of_entries(entries)?;
    let mut next = 0;
    let mut insert = |edge: &Edge, count: u64| {
        let started = Instant::now();
        edge.fetch(next..next + count)?;
        next += count;
        Ok::<_, Failure>(started.elapsed())
    };
    let with_room = insert(&edge, entries)?;
    insert(&edge, entries)?;
    let evicting = insert(&edge, entries)?;
    // What came first is there still, for it is hot; twice, for so often a hit counts.
    for _ in 0..2 {
        edge.fetch(0..entries * 9 / 10)?;
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..1000 {
        slowest = slowest.max(insert(&edge, 1)?);
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let each = |time| micros(time) / entries as f64;
    println!(
        "| {entries} | {:.1} | {:.1} | {:.0} µs |",
        each(with_room),
        each(evicting),
        micros(slowest)
    );
    Ok(())
}

/// What this process has in memory, in bytes.
fn resident() -> Result<u64, Failure> {
    number_in("/proc/self/status", "VmRSS:")
}

fn available() -> Result<u64, Failure> {
    number_in("/proc/meminfo", "MemAvailable:")
}

/// In bytes; there, it is in KiB.
fn number_in(file: &str, name: &str) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(1024 * kilobytes.ok_or("no such line")?.parse::<u64>()?)
}
