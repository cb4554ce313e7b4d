//! How a hit's and an insert's cost grow: with the number of keys, with the fields, and with the evictions.
//!
//! ```text
//! cargo bench --bench growth                      # time and memory; ten million keys only where memory is free for them
//! cargo bench --bench growth -- --instructions    # instructions and allocations, by valgrind
//! ```
//!
//! # Figures
//!
//! Net of making the request, 2026-11-22, two cores, glibc's allocator, the release profile of this package, little else to do:
//!
//! | keys | a hit, instructions | ns | the first of an object, instructions | ns | resident bytes for each | charged |
//! |---|---|---|---|---|---|---|
//! | 10 | 2,825 | 495 | | | | 477 |
//! | 100 | 2,820 | 525 | | | | 477 |
//! | 1,000 | 2,818 | 557 | | | 1,282 | 477 |
//! | 10,000 | 2,838 | 779 | 15,800 | | 556 | 477 |
//! | 100,000 | | 1,585 | | 3,244 | 485 | 477 |
//! | 1,000,000 | | 1,864 | | 3,718 | 483 | 477 |
//! | 10,000,000 | | 2,200 | | 10,796 | 481 | 477 |
//!
//! The instructions of a hit don't grow. The time grows by memory: 10,000 unpacked heads are 28 MB, beside 2 MiB of a core's own
//! cache, and 100,000 are 285 MB, beside 260 MiB that all cores share. From there on as many are hit, spread over all keys: what
//! grows is the table, by 18 % for ten times the keys. That these are cache misses follows from the sizes; it wasn't counted.
//!
//! The first hit of an object unpacks its head: a map of fields and their values are allocated and read. It is what a hit costs that
//! comes too seldom for its head to be kept. (That of ten million was measured while a build began; the day before it was 7,270.) Ten million
//! objects take 4.8 GB, and the store charges 1 % less than that. In a small store the
//! resident bytes are mostly those of the process.
//!
//! | stored over, seconds | a hit of one of 10,000, instructions |
//! |---|---|
//! | 1 | 2,805 |
//! | 60 | 2,851 |
//! | 1,000 | 3,982 |
//! | 10,000 | 4,052 |
//!
//! A thread remembers `Age` and `Cache-Status` of 64 ages; of more, they are made anew.
//!
//! | fields | a hit, instructions | allocations |
//! |---|---|---|
//! | 1 | 2,436 | 2 |
//! | 2 | 2,564 | 2 |
//! | 4 | 2,820 | 2 |
//! | 8 | 3,472 | 2 |
//! | 16 | 4,506 | 2 |
//! | 32 | 6,567 | 2 |
//! | 64 | 10,924 | 2 |
//!
//! By 128 to 163 for each field: its value is cloned with the map, and dropped.
//!
//! | filled before | a miss and its insert, instructions |
//! |---|---|
//! | 0 % | 54,345 |
//! | 50 % | 53,245 |
//! | 100 % | 54,567 |
//! | 200 % | 52,988 |
//!
//! | entries | with room, µs | evicting, µs | slowest of 1,000 once all were hit, µs |
//! |---|---|---|---|
//! | 1,000 | 12.1 | 11.9 | 51 |
//! | 10,000 | 8.6 | 8.2 | 73 |
//! | 100,000 | 10.0 | 8.6 | 82 |
//!
//! Evicting costs nothing that can be seen beside a miss. The slowest insert once all were hit grows by 60 % while the entries
//! grow a hundredfold: eviction looks at some, not at all.
//!
//! # How it is measured
//!
//! Bodies of 64 bytes, four fields where their number isn't what grows. The keys are asked for without an order that a processor
//! could foresee; where there are more than 100,000, so many are hit, again and again, for ten million unpacked heads would take 28 GB. The
//! clock stands still while they are stored: otherwise their ages would follow from how long that took. *Inserts*: of keys that are new, one
//! after another, into a store that has room for 10,000; *filled before* is what
//! was inserted before in parts of that. *Slowest once all were hit*: what has been looked up is passed over twice before
//! it is evicted, so one insert may look at all entries. Each subject runs in a process of its own; a time is the least of 100 or 400 short
//! runs. Filling ten million takes some minutes, and needs 6.3 GB free.

mod counted;

use bytes::Bytes;
use counted::{Bench, Failure, allocations, hit, instructions, instructions_between};
use frontage::{
    Cache, CacheCore, CacheLayer, MemoryStore,
    clock::{Clock, ManualClock, SystemClock},
};
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
/// Filling 10,000 varies by millions.
const MANY_ROUNDS: [u64; 2] = [1000, 81_000];
const FIRST_ROUNDS: [u64; 2] = [1000, 9000];
/// So many keys are hit again and again: what each takes once it is unpacked, ten million couldn't have.
const HOT: u64 = 100_000;
/// How many seconds the objects were stored over.
const AGES: [u64; 4] = [1, 60, 1000, 10_000];
const FIELDS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Bytes: no number of keys is begun with for which there may not be memory.
const MOST_FOR_EACH: u64 = 600;
const MOST_FOR_HOT: u64 = 3000;
/// The fields where their number isn't what grows.
const FEW_FIELDS: usize = 4;
const BODY: Bytes = Bytes::from_static(&[b'x'; 64]);
/// How many entries a store holds that is written to.
const ENTRIES: [u64; 4] = [1000, 10_000, 100_000, 1_000_000];
const ENTRIES_COUNTED: u64 = 10_000;
/// What was inserted before, in hundredths of what the store holds.
const FILLED: [u64; 4] = [0, 50, 100, 200];

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

/// Costs what the system's does, and goes on when it is told to: ages don't follow from how long filling took.
#[derive(Clone, Debug)]
struct Still(ManualClock);

impl Clock for Still {
    fn now(&self) -> u64 {
        black_box(SystemClock.now());
        self.0.now()
    }
}

struct Edge {
    cache: Cache<Origin>,
    store: MemoryStore,
    clock: Still,
    runtime: Runtime,
}

impl Edge {
    fn new(capacity: u64, count: usize) -> Result<Self, Failure> {
        let store = MemoryStore::new(capacity);
        let clock = Still(ManualClock::at(SystemClock.now()));
        let core = CacheCore::builder(store.clone()).namespace("growth");
        let core = core.clock(clock.clone()).build()?;
        let layer = CacheLayer::with_core(core).status_extension(false);
        Ok(Self {
            cache: layer.layer(Origin(fields(count)?)),
            store,
            clock,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }

    /// With room for so many, and with so many in it.
    fn holding(keys: u64, count: usize) -> Result<Self, Failure> {
        Self::holding_of_ages(keys, count, 1)
    }

    /// The same, stored over so many seconds.
    fn holding_of_ages(keys: u64, count: usize, ages: u64) -> Result<Self, Failure> {
        let packed = 700 + 60 * count as u64;
        let unpacked = 2000 + 300 * count as u64;
        let capacity = keys * packed + keys.min(HOT) * unpacked;
        let edge = Self::new(capacity.max(64 << 20), count)?;
        for age in 0..ages {
            edge.fetch(keys * age / ages..keys * (age + 1) / ages)?;
            edge.clock.0.advance(Duration::from_secs(1));
        }
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

/// The keys, in an order that a processor couldn't foresee: their number is a power of ten, with which the factor shares nothing.
fn shuffled(number: u64, keys: u64) -> u64 {
    number * 736_338_717 % keys
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
        ("hit", [keys, count, ages]) => {
            let mut edge = Edge::holding_of_ages(*keys, usize::try_from(*count)?, *ages)?;
            // What the first hit of a thread and of an object does isn't what each does.
            (0..*keys).try_for_each(|key| edge.hit(request(key)?))?;
            for _ in 0..rounds {
                edge.hit(request(walk.next(*keys))?)?;
            }
        }
        ("first-hit", [keys]) => {
            let mut edge = Edge::holding(*keys, FEW_FIELDS)?;
            for number in 0..rounds {
                edge.hit(request(shuffled(number, *keys))?)?;
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
    let few = FEW_FIELDS.to_string();
    println!("| keys | a hit, instructions | the first of an object |\n|---|---|---|");
    for number in KEYS.into_iter().take(KEYS_COUNTED) {
        let keys = number.to_string();
        let making = instructions(&["request", &keys])?;
        let cost = instructions_between(&["hit", &keys, &few, "1"], MANY_ROUNDS)? - making;
        let first = match number >= FIRST_ROUNDS[1] {
            true => {
                let cost = instructions_between(&["first-hit", &keys], FIRST_ROUNDS)?;
                format!("{:.0}", cost - making)
            }
            false => String::new(),
        };
        println!("| {keys} | {cost:.0} | {first} |");
    }
    println!("\n| stored over, seconds | a hit of one of 10,000, instructions |\n|---|---|");
    let making = instructions(&["request", "10000"])?;
    for ages in AGES {
        let subject = ["hit", "10000", &few, &ages.to_string()];
        let cost = instructions_between(&subject, MANY_ROUNDS)? - making;
        println!("| {ages} | {cost:.0} |");
    }
    println!("\n| fields | a hit, instructions | allocations |\n|---|---|---|");
    let making = ["request", "1"];
    let (made, allocated) = (instructions(&making)?, allocations(&making)?);
    for count in FIELDS {
        let subject = ["hit", "1", &count.to_string(), "1"];
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
    println!("| keys | a hit, ns | the first of an object | resident bytes for each | charged |");
    println!("|---|---|---|---|---|");
    for keys in KEYS {
        if available()? < keys * MOST_FOR_EACH + keys.min(HOT) * MOST_FOR_HOT {
            println!("| {keys} | too little memory is free | | | |");
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
const HITS: u64 = 1000;
const SAMPLES: u64 = 400;

fn time_of_hits(keys: u64) -> Result<(), Failure> {
    let before = resident()?;
    let mut edge = Edge::holding(keys, FEW_FIELDS)?;
    let bytes = resident()?.saturating_sub(before) / keys;
    let charged = edge.store.usage().used / keys;
    let hot = keys.min(HOT);
    let mut next = 0;
    // In small stores there are too few of them.
    let first = match keys >= HOT {
        true => {
            let cost = least_time(&mut edge, hot / HITS, || {
                next += 1;
                shuffled(next - 1, keys)
            })?;
            cost.to_string()
        }
        false => String::new(),
    };
    for number in next..hot {
        edge.hit(request(shuffled(number, keys))?)?;
    }
    let mut walk = Walk(1);
    let cost = least_time(&mut edge, SAMPLES, || shuffled(walk.next(hot), keys))?;
    println!("| {keys} | {cost} | {first} | {bytes} | {charged} |");
    Ok(())
}

/// Nanoseconds of a hit, net of making its request: the least of so many samples.
fn least_time(
    edge: &mut Edge,
    samples: u64,
    mut next: impl FnMut() -> u64,
) -> Result<u128, Failure> {
    let mut least = [Duration::MAX; 2];
    for _ in 0..samples {
        let keys: Vec<u64> = (0..HITS).map(|_| next()).collect();
        let started = Instant::now();
        for key in &keys {
            black_box(request(*key)?);
        }
        least[0] = least[0].min(started.elapsed());
        let started = Instant::now();
        for key in &keys {
            edge.hit(request(*key)?)?;
        }
        least[1] = least[1].min(started.elapsed());
    }
    Ok(least[1].saturating_sub(least[0]).as_nanos() / u128::from(HITS))
}

/// Another process's turn falls into some of them, what the eviction does into each.
const GOES: usize = 5;

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
    let mut least = Duration::MAX;
    for _ in 0..GOES {
        // What came first is there still, for it is hot; twice, for so often a hit counts.
        for _ in 0..2 {
            edge.fetch(0..entries * 9 / 10)?;
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..1000 {
            slowest = slowest.max(insert(&edge, 1)?);
        }
        least = least.min(slowest);
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let each = |time| micros(time) / entries as f64;
    println!(
        "| {entries} | {:.1} | {:.1} | {:.0} µs |",
        each(with_room),
        each(evicting),
        micros(least)
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
