//! One hit through `CacheLayer`, in-process, beside the floor that it can't go under.
//!
//! ```text
//! cargo bench --bench hit                      # time, by criterion
//! cargo bench --bench hit -- --instructions    # instructions and allocations, by valgrind
//! ```
//!
//! # Figures
//!
//! Net of the request, 2026-11-22, in the release profile of this package (one code generation unit, fat LTO), with `CARGO_INCREMENTAL=0`:
//!
//! | allocator | fields | | instructions | with 64 KiB | of the floor | allocations | target |
//! |---|---|---|---|---|---|---|---|
//! | jemalloc, preloaded | 8 | floor | 1,677 | 1,673 | 1.00 | 2 | |
//! | | 8 | hit | 2,986 | 3,005 | 1.78 | 2 | 3,400 and 3: met |
//! | | 8 | hit with `Vary: Accept-Encoding` | 3,318 | 3,337 | 1.98 | 2 | 3,400 and 3: met |
//! | | 8 | hit with the status extension | 3,487 | 3,506 | 2.08 | 5 | |
//! | mimalloc, preloaded | 8 | floor | 1,598 | 1,598 | 1.00 | 2 | |
//! | | 8 | hit | 3,021 | 3,044 | 1.89 | 2 | 3,400 and 3: met |
//! | | 8 | hit with `Vary: Accept-Encoding` | 3,354 | 3,377 | 2.10 | 2 | 3,400 and 3: met |
//! | glibc | 8 | floor | 1,748 | 1,748 | 1.00 | 2 | |
//! | | 8 | hit | 3,405 | 3,212 | 1.95 | 2 | 3,400 and 3: met with 64 KiB, missed by 5 with 64 bytes |
//! | | 8 | hit with `Vary: Accept-Encoding` | 3,522 | 3,545 | 2.01 | 2 | 3,400 and 3: missed |
//! | | 8 | hit with the status extension | 4,089 | 3,896 | 2.34 | 5 | |
//! | | 20 | floor | 3,074 | 3,252 | 1.00 | 2 | |
//! | | 20 | hit | 4,522 | 4,398 | 1.47 | 2 | |
//! | | 20 | hit with `Vary: Accept-Encoding` | 4,855 | 4,923 | 1.58 | 2 | |
//! | | 20 | hit with the status extension | 5,206 | 5,082 | 1.69 | 5 | |
//!
//! Another allocator by `LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2` before the command. In Cargo's own release profile, with
//! glibc's, a hit takes 3,575 (3,350 with 64 KiB), with `Vary` 3,721.
//!
//! Nothing that the cache does depends on the body's size: the 190 between the bodies are glibc's. With the three places for the
//! cache's own fields a map's entries take 1,144 bytes, which is more than its per-thread cache holds (1,032): they are cut out
//! of whatever piece of the heap is free, and merged into it again, by 200 instructions at its end and 425 elsewhere. Which it is
//! hangs on what was allocated before.
//!
//! Of a hit, with glibc, cloning the stored fields and dropping them takes some 1,700, of which those are a part. The key takes 350 (writing
//! 240, hashing 55, copying 65), the look-up 300 (in the store 250), writing the three fields 260, the request's fields 165, the clock 100 (of
//! which it could save 90 without std), judging 30; the rest is making the response and moving request and response.
//!
//! `Vary` adds 333: 230 are a second look-up in the store, 100 the comparison of the line and the way between. For 3,400 with
//! `Vary` and glibc's allocator the second look-up would have to go. One look-up could do if the list of variants held its objects, but eviction
//! would not see that they are used, for `quick_cache` counts that in its own look-up alone: to be told so, it must look up.
//!
//! The figures are for an object that this thread answered with in the same second; the first time costs three allocations more.
//!
//! # How it is measured
//!
//! *Floor*: a `dashmap` get by a string as long as the cache's key, a clone of the stored fields, a response with the
//! stored bytes as body. *Hit*: `Service::call` of a `Cache` with the default policy and one poll of its future, by a
//! waker that does nothing; `Age`, `Cache-Status` and `X-Cache` are on. The request has six fields, the response is ten
//! minutes old and fresh for a day. Both drop request and response.
//!
//! Each subject runs in a process of its own. From its cost goes the cost of a round that only makes and drops the request. Valgrind's
//! clock is a system call, so the some 60 instructions of reading the time of day don't count here, but in the time.

mod counted;

use bytes::Bytes;
use counted::{Bench, Failure, allocations, hit, instructions};
use criterion::{BatchSize, Criterion};
use dashmap::DashMap;
use frontage::{Cache, CacheLayer, CacheStatus, MemoryStore};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    process::ExitCode,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tower::{Layer, Service, ServiceExt};

const FIELDS: [usize; 2] = [8, 20];
const BODIES: [usize; 2] = [64, 64 << 10];

fn main() -> ExitCode {
    let bench = Bench {
        name: "hit",
        run,
        count,
        time,
    };
    bench.main()
}

/// What a round does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Makes the request, which each of the others does, too.
    Request,
    Floor,
    Hit,
    /// One of the fields is `Vary: Accept-Encoding`.
    HitVary,
    /// With the status extension.
    HitWithStatus,
}

impl What {
    const ALL: [Self; 5] = [
        Self::Request,
        Self::Floor,
        Self::Hit,
        Self::HitVary,
        Self::HitWithStatus,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Floor => "floor",
            Self::Hit => "hit",
            Self::HitVary => "hit-vary",
            Self::HitWithStatus => "hit-with-status",
        }
    }
}

/// All that a round needs.
struct Subject {
    what: What,
    request: Request<Empty<Bytes>>,
    table: DashMap<String, Stored>,
    cache: Cache<Origin>,
}

struct Stored {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The floor's key: as long as the cache's, which holds the namespace, the method and its parts' lengths, too.
const KEY: &str = "#00000001 GET . www.example.com ./assets/app/main.3f9c2b7a.js ?v=20260101 ....";

impl Subject {
    fn new(what: What, fields: usize, body: usize) -> Result<Self, Failure> {
        let request = Request::get("/assets/app/main.3f9c2b7a.js?v=20260101")
            .header(header::HOST, "www.example.com")
            .header(
                header::USER_AGENT,
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            )
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_LANGUAGE, "en-GB,en;q=0.5")
            .header(header::ACCEPT_ENCODING, "gzip, deflate, br, zstd")
            .header(header::REFERER, "https://www.example.com/")
            .body(Empty::new())?;
        let origin = Origin {
            headers: origin_fields(what, fields, body)?,
            body: Bytes::from(vec![b'x'; body]),
        };
        let table = DashMap::new();
        table.insert(
            KEY.to_owned(),
            Stored {
                status: StatusCode::OK,
                headers: origin.headers.clone(),
                body: origin.body.clone(),
            },
        );
        let store = MemoryStore::new(16 << 20);
        let cache = CacheLayer::new(store)
            .status_extension(what == What::HitWithStatus)
            .layer(origin);
        let mut subject = Self {
            what,
            request,
            table,
            cache,
        };
        subject.fill(fields, body)?;
        Ok(subject)
    }

    /// Has the response stored, and checks that the next request is a hit with all that belongs to one.
    fn fill(&mut self, fields: usize, body: usize) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let first = self.cache.clone().oneshot(self.request.clone()).await?;
            first.into_body().collect().await?;
            let second = self.cache.clone().oneshot(self.request.clone()).await?;
            let is_hit = second
                .headers()
                .get("x-cache")
                .is_some_and(|value| value == "Hit from frontage");
            let has_status = second
                .extensions()
                .get::<CacheStatus>()
                .is_some_and(CacheStatus::is_hit);
            let names = second.headers().keys_len();
            let bytes = second.into_body().collect().await?.to_bytes();
            if !is_hit
                || has_status != (self.what == What::HitWithStatus)
                || names != fields + 3
                || bytes.len() != body
            {
                return Err("the second request was not answered as it should".into());
            }
            Ok(())
        })
    }

    fn round(&mut self, request: Request<Empty<Bytes>>) {
        match self.what {
            What::Request => drop(black_box(request)),
            What::Floor => {
                drop(black_box(request));
                black_box(self.floor());
            }
            What::Hit | What::HitVary | What::HitWithStatus => {
                black_box(hit(&mut self.cache, request));
            }
        }
    }

    fn floor(&self) -> Option<Response<Full<Bytes>>> {
        let stored = self.table.get(black_box(KEY))?;
        let mut response = Response::new(Full::new(stored.body.clone()));
        *response.status_mut() = stored.status;
        *response.headers_mut() = stored.headers.clone();
        Some(response)
    }
}

/// Answers at once, always the same.
#[derive(Clone, Debug)]
struct Origin {
    headers: HeaderMap,
    body: Bytes,
}

impl Service<Request<Empty<Bytes>>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Empty<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.headers_mut() = self.headers.clone();
        ready(Ok(response))
    }
}

/// The first of the fields that a static file usually has, their values slices of one buffer as hyper reads them.
fn origin_fields(what: What, count: usize, body: usize) -> Result<HeaderMap, Failure> {
    let length = body.to_string();
    let date = httpdate::fmt_http_date(ten_minutes_ago());
    let fields = [
        ("content-type", "text/javascript; charset=utf-8"),
        ("content-length", &length),
        ("cache-control", "public, max-age=86400"),
        ("etag", "\"3f9c2b7a-1a2b3c\""),
        ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("date", &date),
        ("server", "nginx"),
        match what {
            What::HitVary => ("vary", "Accept-Encoding"),
            _ => ("accept-ranges", "bytes"),
        },
        (
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        (
            "content-security-policy",
            "default-src 'self'; img-src 'self' data:",
        ),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("access-control-allow-origin", "*"),
        ("alt-svc", "h3=\":443\"; ma=86400"),
        ("link", "</assets/app/main.css>; rel=preload; as=style"),
        ("permissions-policy", "geolocation=(), camera=()"),
        ("timing-allow-origin", "*"),
        ("x-request-id", "6f1f2a9e-6b8f-4f0a-9a55-3a0f0f2b7c11"),
        ("x-served-by", "web-17"),
    ];
    let buffer = Bytes::from(fields.map(|(_, value)| value).concat());
    let mut headers = HeaderMap::with_capacity(count);
    let mut at = 0;
    for (name, value) in fields.into_iter().take(count) {
        let value = buffer.slice(at..at + value.len());
        at += value.len();
        headers.insert(
            HeaderName::try_from(name)?,
            HeaderValue::from_maybe_shared(value)?,
        );
    }
    Ok(headers)
}

/// So that `Age` has three digits.
#[allow(clippy::disallowed_methods, reason = "it stands in for an origin")]
fn ten_minutes_ago() -> SystemTime {
    SystemTime::now() - Duration::from_secs(600)
}

/// What criterion measures: the cost of a round but for making its request.
fn time() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    for fields in FIELDS {
        for body in BODIES {
            let mut group = criterion.benchmark_group(format!("{fields} fields, {body} bytes"));
            for what in What::ALL {
                let mut subject = Subject::new(what, fields, body)?;
                let request = subject.request.clone();
                group.bench_function(what.name(), |bencher| {
                    bencher.iter_batched(
                        || request.clone(),
                        |request| subject.round(request),
                        BatchSize::SmallInput,
                    );
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
    Ok(())
}

fn run(subject: &[String], rounds: u64) -> Result<(), Failure> {
    let [what, fields, body] = subject else {
        return Err("WHAT FIELDS BODY".into());
    };
    let what = What::ALL
        .into_iter()
        .find(|known| known.name() == what)
        .ok_or("no such subject")?;
    let mut subject = Subject::new(what, fields.parse()?, body.parse()?)?;
    for _ in 0..rounds {
        let request = black_box(&subject.request).clone();
        subject.round(request);
    }
    Ok(())
}

/// What a round costs.
#[derive(Clone, Copy)]
struct Cost {
    instructions: f64,
    allocations: f64,
}

impl Cost {
    fn net_of(self, other: Self) -> Self {
        Self {
            instructions: self.instructions - other.instructions,
            allocations: self.allocations - other.allocations,
        }
    }
}

/// The targets for eight fields, instructions and allocations.
fn target(what: What, fields: usize) -> Option<(f64, f64)> {
    match what {
        What::Hit | What::HitVary if fields == 8 => Some((3400.0, 3.0)),
        _ => None,
    }
}

/// A large body may cost so much more than a small one: the allocator finds its heap in another state.
const BODY_TOLERANCE: f64 = 1.05;

fn count() -> Result<(), Failure> {
    println!(
        "| fields | body | subject | instructions | of the floor | allocations | target | met |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut all_met = true;
    for fields in FIELDS {
        let mut of_small_body = None;
        for body in BODIES {
            let request = cost(What::Request, fields, body)?;
            let floor = cost(What::Floor, fields, body)?.net_of(request);
            let hit = cost(What::Hit, fields, body)?.net_of(request);
            let vary = cost(What::HitVary, fields, body)?.net_of(request);
            let with_status = cost(What::HitWithStatus, fields, body)?.net_of(request);
            for (what, cost) in [
                (What::Floor, floor),
                (What::Hit, hit),
                (What::HitVary, vary),
                (What::HitWithStatus, with_status),
            ] {
                let ratio = cost.instructions / floor.instructions;
                let (target, met) = match target(what, fields) {
                    None => (String::new(), ""),
                    Some((instructions, allocations)) => {
                        let met =
                            cost.instructions <= instructions && cost.allocations <= allocations;
                        all_met &= met;
                        (
                            format!("{instructions:.0}, {allocations:.0}"),
                            if met { "yes" } else { "NO" },
                        )
                    }
                };
                println!(
                    "| {fields} | {body} | {} | {:.0} | {ratio:.2} | {:.2} | {target} | {met} |",
                    what.name(),
                    cost.instructions,
                    cost.allocations,
                );
            }
            let small = *of_small_body.get_or_insert(hit.instructions);
            if hit.instructions > small * BODY_TOLERANCE {
                println!(
                    "a hit depends on the body's size: {small:.0} instructions become {:.0}",
                    hit.instructions
                );
                all_met = false;
            }
        }
    }
    if all_met {
        Ok(())
    } else {
        Err("a target is missed".into())
    }
}

fn cost(what: What, fields: usize, body: usize) -> Result<Cost, Failure> {
    let subject = [what.name(), &fields.to_string(), &body.to_string()];
    Ok(Cost {
        instructions: instructions(&subject)?,
        allocations: allocations(&subject)?,
    })
}
