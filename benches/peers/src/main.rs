//! `frontage` beside its peers: what a hit costs, in-process and over sockets.
//!
//! ```text
//! apt-get install nginx-light varnish cmake valgrind
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- sockets
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- hits                   # time
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- hits --instructions    # by valgrind
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- misses
//! ```
//!
//! `sockets` builds `reverse_proxy` and the peer in `pingora/` (the first time takes minutes), and writes a plot to
//! `target/peers.svg`. Who is not installed is named; `--without nginx,varnish` goes on without. More: `--help`.
//!
//! # Over sockets
//!
//! The ratio to the ceiling (`hyper`, or `axum`) in requests per second of server CPU time, and those requests; p50, p99 and p99.9 at 1 KiB
//! in ms. 2026-11-22, a soak and other programs beside it (load 8), medians of 7 rounds of 0.5 s, 32 connections:
//!
//! | | 1 KiB | 32 KiB | 1 MiB | 10,000 keys of 1 KiB | latency |
//! |---|---|---|---|---|---|
//! | hyper | 1.00 · 170,057 | 1.00 · 145,161 | 1.00 · 6,004 | 1.00 · 169,058 | 0.34, 0.62, 1.36 |
//! | reverse_proxy | 0.88 · 147,749 | 0.92 · 126,196 | 0.92 · 5,391 | 0.78 · 131,237 | 0.36, 0.70, 3.15 |
//! | axum | 1.00 · 149,407 | 1.00 · 127,183 | 1.00 · 5,302 | 1.00 · 140,544 | 0.37, 0.73, 1.69 |
//! | frontage-axum | 0.95 · 131,535 | 0.85 · 109,379 | 1.10 · 5,799 | 0.84 · 118,102 | 0.39, 0.73, 1.30 |
//! | target: reverse_proxy | 0.94: missed | 0.97: missed | 0.97: missed | 0.90: missed | |
//! | target: frontage-axum | 0.97: missed | 0.97: missed | 0.97: met | 0.97: missed | |
//!
//! To be taken again on a quiet machine: the day before, with little beside it, they were 0.875, 0.883, 0.967 and 0.742, and 0.926, 1.078,
//! 0.974 and 0.802. The peers, 2026-11-21, other builds on both cores (load 12 to 17), medians of 9 rounds of 1 s (`reverse_proxy` had 0.85,
//! 0.81, 0.89 and 0.73 in that run):
//!
//! | | 1 KiB | 32 KiB | 1 MiB | 10,000 keys of 1 KiB | latency |
//! |---|---|---|---|---|---|
//! | nginx | 0.64 · 108,854 | 0.68 · 96,576 | 0.41 · 2,872 | 0.52 · 91,605 | 0.43, 6.42, 10.18 |
//! | varnish | 0.50 · 83,625 | 0.48 · 67,329 | 0.94 · 6,604 | 0.44 · 76,803 | 0.46, 5.97, 9.13 |
//! | pingora | 0.33 · 54,616 | 0.30 · 41,225 | 0.45 · 3,258 | 0.26 · 44,693 | 0.75, 7.80, 11.00 |
//! | http-cache-tower | 0.18 · 30,342 | 0.10 · 13,482 | 0.07 · 518 | 0.18 · 31,021 | 2.70, 10.66, 18.64 |
//! | http-cache-tower-axum | 0.22 · 28,504 | 0.11 · 12,981 | 0.10 · 685 | 0.19 · 27,888 | 3.07, 10.53, 14.82 |
//! | axum-response-cache | 0.96 · 133,618 | 0.96 · 115,543 | 1.03 · 7,222 | 0.86 · 127,849 | 0.39, 5.71, 8.70 |
//!
//! In user space a hit of 1 KiB takes `hyper` 13,404 instructions and `reverse_proxy` 16,836, the day before 18,355 (callgrind, by `peers
//! load`); `axum` 19,257 and `frontage-axum` 21,938 (2026-11-21). Of the 3,430 between the first two writing three more
//! fields takes 420, to see that there is no `CDN-Loop` 200, the check of the host 250, what the server does for upgrades, HTTP/2 and a
//! graceful end 400; the rest is the cache and moving requests and responses, net of the ceiling's making of its response.
//!
//! With 10,000 keys a hit takes as many instructions as with one (18,355 and 18,359): all heads stay unpacked, and the texts of `Age` and
//! `Cache-Status` are made before. What it takes is memory: in an L2 of 2 MiB (callgrind's `--cache-sim`, user space alone) 16.4 reads
//! miss for each hit and none with one key; 7.3 of them in the clone of the map of fields (104 bytes for each field), 2.2 where its
//! values are copied to the connection, 5 in the look-up, the object and its counters. The kernel's reading of the body comes on top.
//! Of code, a hit misses an L1 of 32 KiB 1,060 times, the ceiling 620 times; now 974. One code generation unit would save 460
//! instructions here, and 210 there; huge pages for the heap (`glibc.malloc.hugetlb=1`) showed nothing.
//!
//! What would be needed: a request takes the ceiling 5.9 µs, so 0.94 leaves 0.4 µs, some 1,600 instructions, where now are 3,430, and a hit by
//! itself, with what the ceiling takes to make its response off, has 2,000 (see `benches/hit.rs`). For many keys, fewer reads of cold
//! memory: a head that is written to the connection as it is stored, where hyper wants a map of fields, cloned for each answer.
//!
//! # In-process
//!
//! 2026-11-21; instructions and allocations are to be trusted, nanoseconds only beside each other:
//!
//! | body | subject | instructions | over the bare handler | allocations | ns |
//! |---|---|---|---|---|---|
//! | 1024 | axum | 7,860 | 0 | 15.0 | 1,032 |
//! | 1024 | frontage-axum | 9,844 | 1,984 | 15.0 | 1,505 |
//! | 1024 | http-cache-tower-axum | 203,589 | 195,730 | 296.1 | 59,040 |
//! | 1024 | axum-response-cache | 10,213 | 2,353 | 18.0 | 1,416 |
//! | 32768 | axum | 7,868 | 0 | 15.0 | 1,762 |
//! | 32768 | frontage-axum | 9,820 | 1,952 | 15.0 | 2,392 |
//! | 32768 | http-cache-tower-axum | 746,553 | 738,685 | 296.1 | 231,550 |
//! | 32768 | axum-response-cache | 10,190 | 2,322 | 18.0 | 2,361 |
//!
//! # Misses
//!
//! 2026-11-22, a soak and other programs beside it (load 8): to be taken again on a quiet machine. Medians of 7 rounds of 0.5 s, 32
//! connections, each request for a new key; the store of 64 MiB is full, and lets something go for each object. CPU time for a request, its
//! ratio to `plain-proxy`'s in the same round, and the first byte on one connection:
//!
//! | | CPU µs | × plain | target 1.15 | first byte p50, p99 in ms | target |
//! |---|---|---|---|---|---|
//! | 1 KiB: origin | 7.0 | 0.49 |  | 0.011, 0.024 |  |
//! | 1 KiB: plain-proxy | 14.2 | 1.00 |  | 0.029, 0.094 |  |
//! | 1 KiB: reverse_proxy | 38.3 | 2.65 | missed | 0.049, 0.144 | met, met |
//! | 32 KiB: origin | 10.6 | 0.41 |  | 0.013, 0.067 |  |
//! | 32 KiB: plain-proxy | 25.7 | 1.00 |  | 0.036, 0.120 |  |
//! | 32 KiB: reverse_proxy | 53.9 | 2.16 | missed | 0.085, 0.217 | met, met |
//!
//! The first byte comes in time; the CPU time misses its target by far. In user space a miss of 1 KiB takes `plain-proxy` 42,933
//! instructions and `reverse_proxy` 105,900 (callgrind, by `peers load --new`; 151,500 before its futures were made smaller, 118,600
//! before dates were stored as they came and bodies and addresses were written with less copying). Both make the same calls of the kernel,
//! two reads and two writes; while the store fills, glibc adds an `mprotect` for every fourth object.
//!
//! Where they go, of a profile: to the servers and clients of hyper, as in the plain proxy, some 40,000; the origin's client around
//! that (the request as the origin gets it, what another attempt would need, one connection for it) 11,000; the flight in its table and the
//! address by which it is invalidated 7,500; judging the answer (`Cache-Control`, dates, `Vary`) 5,100; the head that is stored, with
//! its places, 7,500; the answers for the leader and for whoever follows 6,800; packing, placing and letting go 11,000; `CDN-Loop`, the host
//! and the look-up 5,000; moving futures and heads, and tasks, the rest. glibc's allocator has some 16,000 of all of these: with jemalloc
//! preloaded the CPU time is a fifth less, with mimalloc a tenth (the plain proxy's stays), and it waits for memory more often than the
//! plain proxy (2.7 instructions a nanosecond in place of 3.8), whose few buffers stay in the processor's cache.
//!
//! What 1.15 would need is 6,400 instructions for all that a cache does for a miss; judging and packing alone take more. A leader that
//! drives its fetch itself until others need it, in place of a task, was tried: two polls of seven less, and no instruction.
//!
//! # How it is measured
//!
//! *Over sockets*: servers, load and origin are processes of their own on 127.0.0.1, all on one CPU, and each has one
//! worker (Varnish: a pool of threads). All run all the time; the load goes from one to the next, round by round, each
//! time beginning with another. A round is 0.2 s to warm up, and then the time that counts. Server CPU time is that of the server's
//! process and of those that come from it, from `/proc/PID/task/*/schedstat`, to the nanosecond; it has what the kernel
//! does for the server. A ratio is that of a round to the ceiling's in the same round; of these, as of all figures, the
//! median is printed. Latencies are those of a closed loop: mostly the time in which the other connections are answered.
//!
//! *The ceilings* answer from a constant, whatever the key: `hyper` by hyper's HTTP/1.1 server with the settings of
//! `reverse_proxy` (what this has for HTTP/2, upgrades and a graceful end is part of what it loses), `axum` by a handler. The
//! proxies stand in front of an origin, the layers in axum above that handler.
//!
//! *Objects* have 8 fields; a request has the six of a browser. Before it is measured, each subject is asked twice for every key: status, length, body and, of
//! proxies, `ETag` must be right, and the second time nobody else may have been asked; nor during a round. Each answer
//! under load must have the right status and length.
//!
//! *Peers*: nginx with `proxy_cache` in `/dev/shm`, sendfile, open files cached, no access log; Varnish with malloc storage and a log
//! that leaves out what a hit would write; pingora with its `MemCache` bounded by its LRU; http-cache-tower with moka (its other
//! managers store on disk, too, or serialise just the same) between hyper's server and hyper-util's client, and in axum; axum-response-cache with its
//! own map, which doesn't look at `Cache-Control`. `frontage-axum` and `reverse_proxy` write `Age`, `Cache-Status` and `X-Cache`, and have
//! no status extension.
//!
//! *In-process*: `Router::call` until the answer is there, and both are dropped; net of making the request.

#![allow(
    clippy::disallowed_methods,
    reason = "the crate's rule; here real time is what is measured"
)]

mod arguments;
mod content;
#[path = "../../counted/mod.rs"]
#[allow(
    dead_code,
    reason = "it is the crate's benchmarks', which need more of it"
)]
mod counted;
mod hits;
mod load;
mod misses;
mod plain_proxy;
mod plot;
mod processes;
mod report;
mod scenarios;
mod serve;
mod sockets;
mod subjects;
mod viewer;

use arguments::{Arguments, USAGE};
use load::{Load, Requests, Until};
use std::{error::Error, process::ExitCode};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (what, rest) = match arguments.split_first() {
        Some((what, rest)) => (what.as_str(), rest),
        None => ("--help", &[][..]),
    };
    let done = match what {
        "sockets" => Arguments::parse(rest).and_then(|arguments| sockets::run(&arguments)),
        "misses" => Arguments::parse(rest).and_then(|arguments| misses::run(&arguments)),
        "hits" if rest.is_empty() => hits::time(),
        "hits" if rest == ["--instructions"] => hits::count(),
        "load" => load(rest),
        "serve" => serve::main(rest),
        // valgrind has this program do that.
        "--run" => hits::run(rest),
        "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown arguments (see --help): {}", arguments.join(" ")).into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load(arguments: &[String]) -> Result<(), Failure> {
    let (is_new, arguments) = match arguments {
        [first, rest @ ..] if first == "--new" => (true, rest),
        _ => (false, arguments),
    };
    let [server, size, count] = arguments else {
        return Err("peers load [--new] ADDR SIZE COUNT".into());
    };
    let scenarios = scenarios::Scenario::all()?;
    let scenario = scenarios
        .iter()
        .find(|scenario| scenario.name == size || scenario.length.to_string() == *size);
    let scenario =
        scenario.ok_or("there are objects of 1024, 32768 and 1048576 bytes, and Zipf")?;
    let length = scenario.length;
    let keys = scenarios::NewKeys::new(length);
    let load = Load {
        server: server.parse()?,
        connections: 32,
        requests: match is_new {
            true => Requests::New(&keys),
            false => Requests::of(scenario),
        },
        length,
    };
    load.run(Until::Answers(count.parse()?), || Ok(()))?;
    Ok(())
}
