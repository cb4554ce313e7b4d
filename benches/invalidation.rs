//! What invalidating costs, and what it costs a hit.
//!
//! ```text
//! cargo bench --bench invalidation                      # time, by criterion
//! cargo bench --bench invalidation -- --instructions    # instructions of a hit, by valgrind
//! ```
//!
//! # Figures
//!
//! Two cores, glibc's allocator, in the release profile of this package. Issuing with 100,000 objects stored (2026-11-21, other work beside it, times
//! vary by a third): a path 0.26 µs, a prefix 1.06 µs, a tag 0.31 µs, everything 0.21 µs. In instructions (2026-11-22):
//!
//! | in force | a hit, stamped | of none | at most | met | checked again |
//! |---|---|---|---|---|---|
//! | 0 | 2,587 | 1.000 | 1.05 | yes | 3,769 |
//! | 1 | 2,587 | 1.000 | 1.05 | yes | 3,769 |
//! | 10 | 2,587 | 1.000 | 1.05 | yes | 4,059 |
//! | 100 | 2,587 | 1.000 | 1.05 | yes | 4,080 |
//! | 1,000 | 2,586 | 1.000 | 1.05 | yes | 4,080 |
//! | 10,000 | 2,589 | 1.001 | 1.05 | yes | 4,133 |
//!
//! A stamped hit compares one number, whatever is in force. One that is checked again walks its own path through the trie of prefixes and
//! looks its tags up, so what it costs follows from its own length: 290 once there is a prefix to walk along, then no more.
//!
//! # How it is measured
//!
//! *Issuing*: a core whose store holds 100,000 objects; each call names another path, prefix or tag, so that what is remembered
//! is at its bound most of the time, and folding is part of the cost.
//!
//! *Hit*: `Service::call` and one poll, as in the bench `hit`, for an object with two tags, with so many invalidations in
//! force, a third each of paths, prefixes and tags, none of which covers it. *Stamped*: none is issued in between. *Checked
//! again*: one is issued before each, and its cost taken off. Each subject runs in a process of its own.

mod counted;

use bytes::Bytes;
use counted::{Bench, Failure, hit, instructions};
use criterion::Criterion;
use frontage::{
    Cache, CacheLayer, MemoryStore,
    invalidation::{Invalidation, Invalidator},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    process::ExitCode,
    task::{Context, Poll},
};
use tower::{Layer, Service, ServiceExt};

const OBJECTS: usize = 100_000;
const IN_FORCE: [usize; 6] = [0, 1, 10, 100, 1000, 10_000];
/// A hit may cost so much more with invalidations in force than with none.
const TOLERANCE: f64 = 1.05;

fn main() -> ExitCode {
    let bench = Bench {
        name: "invalidation",
        run,
        count,
        time,
    };
    bench.main()
}

/// Answers at once.
#[derive(Clone, Debug)]
struct Origin;

impl Service<Request<Empty<Bytes>>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Empty<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::new(Bytes::from_static(b"x")));
        let fields = [
            ("cache-control", "public, max-age=86400"),
            ("cache-tag", "product:1, news"),
            ("content-type", "text/plain"),
        ];
        for (name, value) in fields {
            let value = http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        ready(Ok(response))
    }
}

struct Edge {
    cache: Cache<Origin>,
    invalidator: Invalidator,
}

impl Edge {
    /// A cache that holds so many objects.
    fn new(objects: usize) -> Result<Self, Failure> {
        let layer = CacheLayer::new(MemoryStore::new(512 << 20)).status_extension(false);
        let edge = Self {
            invalidator: layer.core().invalidator(),
            cache: layer.layer(Origin),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            for number in 0..objects {
                let answer = edge.cache.clone().oneshot(request(number)?).await?;
                answer.into_body().collect().await?;
            }
            Ok::<_, Failure>(())
        })?;
        Ok(edge)
    }

    fn hit(&mut self, request: Request<Empty<Bytes>>) -> Result<(), Failure> {
        black_box(hit(&mut self.cache, request).ok_or("not a hit")?);
        Ok(())
    }
}

fn request(number: usize) -> Result<Request<Empty<Bytes>>, Failure> {
    let uri = format!("http://www.example.com/assets/{number}/main.js?v=20260101");
    Ok(Request::get(uri).body(Empty::new())?)
}

/// The invalidation of this number, which covers nothing that is stored.
fn unrelated(number: usize) -> Result<Invalidation, Failure> {
    Ok(match number % 3 {
        0 => Invalidation::path(&format!("/assets/{number}/other.js"))?,
        1 => Invalidation::path(&format!("/assets/{number}/x*"))?,
        _ => Invalidation::tag(&format!("product:{number}x"))?,
    })
}

fn time() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group(format!("issuing, with {OBJECTS} objects"));
    let edge = Edge::new(OBJECTS)?;
    for (at, name) in ["path", "prefix", "tag"].into_iter().enumerate() {
        let mut number = at;
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    number += 3;
                    unrelated(number)
                },
                |what| what.map(|what| edge.invalidator.issue(&what)),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    let everything = Invalidation::everything();
    group.bench_function("everything", |bencher| {
        bencher.iter(|| edge.invalidator.issue(&everything));
    });
    group.finish();
    let mut group = criterion.benchmark_group("a hit with so many in force");
    for in_force in IN_FORCE {
        let mut subject = Subject::new(What::Stamped, in_force)?;
        group.bench_function(in_force.to_string(), |bencher| {
            bencher.iter(|| subject.round());
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// What a round does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Makes the request.
    Request,
    /// A hit, too.
    Stamped,
    /// Makes the request, and issues an invalidation that is in force already.
    Issue,
    /// A hit after it.
    CheckedAgain,
}

impl What {
    const ALL: [Self; 4] = [
        Self::Request,
        Self::Stamped,
        Self::Issue,
        Self::CheckedAgain,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Stamped => "stamped",
            Self::Issue => "issue",
            Self::CheckedAgain => "checked-again",
        }
    }
}

struct Subject {
    what: What,
    edge: Edge,
    request: Request<Empty<Bytes>>,
    again: Invalidation,
}

impl Subject {
    fn new(what: What, in_force: usize) -> Result<Self, Failure> {
        let edge = Edge::new(1)?;
        for number in 0..in_force {
            edge.invalidator.issue(&unrelated(number)?);
        }
        let mut subject = Self {
            what,
            edge,
            request: request(0)?,
            again: unrelated(0)?,
        };
        subject.edge.hit(subject.request.clone())?;
        Ok(subject)
    }

    fn round(&mut self) -> Result<(), Failure> {
        let request = black_box(&self.request).clone();
        if matches!(self.what, What::Issue | What::CheckedAgain) {
            black_box(self.edge.invalidator.issue(&self.again));
        }
        match self.what {
            What::Request | What::Issue => {
                black_box(request);
                Ok(())
            }
            What::Stamped | What::CheckedAgain => self.edge.hit(request),
        }
    }
}

fn run(subject: &[String], rounds: u64) -> Result<(), Failure> {
    let [what, in_force] = subject else {
        return Err("WHAT IN_FORCE".into());
    };
    let what = What::ALL
        .into_iter()
        .find(|known| known.name() == what)
        .ok_or("no such subject")?;
    let mut subject = Subject::new(what, in_force.parse()?)?;
    for _ in 0..rounds {
        subject.round()?;
    }
    Ok(())
}

fn count() -> Result<(), Failure> {
    println!("| in force | a hit, stamped | of none | at most | met | checked again |");
    println!("|---|---|---|---|---|---|");
    let (mut none, mut all_met) = (None, true);
    for in_force in IN_FORCE {
        let stamped = cost(What::Stamped, in_force)? - cost(What::Request, in_force)?;
        let again = cost(What::CheckedAgain, in_force)? - cost(What::Issue, in_force)?;
        let ratio = stamped / *none.get_or_insert(stamped);
        let met = ratio <= TOLERANCE;
        all_met &= met;
        println!(
            "| {in_force} | {stamped:.0} | {ratio:.3} | {TOLERANCE:.2} | {} | {again:.0} |",
            if met { "yes" } else { "NO" },
        );
    }
    if all_met {
        Ok(())
    } else {
        Err("a target is missed".into())
    }
}

fn cost(what: What, in_force: usize) -> Result<f64, Failure> {
    instructions(&[what.name(), &in_force.to_string()])
}
