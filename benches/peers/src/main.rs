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
//! in ms. 2026-11-22, a machine with nothing else to do, all in one run, medians of 7 rounds of 0.5 s, 32 connections:
//!
//! | | 1 KiB | 32 KiB | 1 MiB | 10,000 keys of 1 KiB | latency |
//! |---|---|---|---|---|---|
//! | hyper | 1.00 · 163,086 | 1.00 · 148,252 | 1.00 · 6,674 | 1.00 · 187,473 | 0.33, 0.67, 0.84 |
//! | reverse_proxy | 0.88 · 147,953 | 0.90 · 123,997 | 0.96 · 6,299 | 0.82 · 153,408 | 0.35, 0.70, 0.86 |
//! | nginx | 0.61 · 93,781 | 0.65 · 99,657 | 0.43 · 2,885 | 0.54 · 100,292 | 0.54, 0.93, 2.15 |
//! | varnish | 0.44 · 70,775 | 0.47 · 70,157 | 1.13 · 7,135 | 0.46 · 84,978 | 0.57, 1.13, 2.39 |
//! | pingora | 0.33 · 54,963 | 0.32 · 38,073 | 0.57 · 3,753 | 0.29 · 55,392 | 0.73, 1.40, 2.75 |
//! | http-cache-tower | 0.19 · 31,860 | 0.10 · 14,535 | 0.08 · 533 | 0.20 · 37,041 | 1.13, 2.26, 3.83 |
//! | axum | 1.00 · 138,242 | 1.00 · 135,699 | 1.00 · 6,101 | 1.00 · 167,549 | 0.37, 0.74, 0.89 |
//! | frontage-axum | 0.90 · 127,019 | 0.94 · 130,844 | 1.02 · 6,551 | 0.85 · 141,774 | 0.38, 0.77, 0.93 |
//! | http-cache-tower-axum | 0.20 · 27,016 | 0.10 · 13,677 | 0.11 · 737 | 0.20 · 34,137 | 1.34, 2.54, 3.60 |
//! | axum-response-cache | 0.84 · 119,711 | 0.93 · 122,805 | 1.01 · 6,113 | 0.87 · 144,664 | 0.47, 0.81, 0.99 |
//! | target: reverse_proxy | 0.94: missed | 0.97: missed | 0.97: missed | 0.90: missed | |
//! | target: frontage-axum | 0.97: missed | 0.97: missed | 0.97: met | 0.97: missed | |
//!
//! A second run, without the peers, of 11 rounds: `reverse_proxy` 0.88, 0.79, 1.02, 0.81; `frontage-axum` 0.95, 0.94, 0.99, 0.85. So a figure is
//! to be trusted to some 0.03, at 32 KiB and above to less.
//!
//! Both packages are built with one code generation unit and fat LTO, which gains the ceiling 5 % and `reverse_proxy` 4 %. `reverse_proxy`
//! has jemalloc (of a hit 2 to 3 %), as its own source says; the ceilings and the layers in axum have the system's allocator, with which a
//! ceiling is as fast as with another.
//!
//! In user space a hit of 1 KiB takes `hyper` 12,599 instructions and `reverse_proxy` 15,288 (18,355 the day before; callgrind, by `peers
//! load`). Of the 2,690 between, `frontage` itself has 1,360, copies 440, the clone of the fields (three more than the ceiling's) 180; what the
//! server does for upgrades, HTTP/2 and a graceful end some 400, writing three more fields the rest.
//!
//! With 10,000 keys a hit takes as many instructions as with one: all heads stay unpacked, and the texts of `Age` and
//! `Cache-Status` are made before. What it takes is memory: in an L2 of 2 MiB (callgrind's `--cache-sim`, user space alone) 16.4 reads
//! miss for each hit and none with one key; 7.3 of them in the clone of the map of fields (104 bytes for each field), 2.2 where its
//! values are copied to the connection, 5 in the look-up, the object and its counters. The kernel's reading of the body comes on top.
//! Huge pages for the heap (`glibc.malloc.hugetlb=1`) showed nothing.
//!
//! What would be needed: a request takes the ceiling 5.4 µs, so 0.94 leaves 0.34 µs, some 1,300 instructions, where now are 2,690, and where
//! the layer alone, with what the ceiling takes to make its response off, has 1,400 (see `benches/hit.rs`): a server without a graceful end,
//! HTTP/2 and upgrades, and no `Age`, `Cache-Status` and `X-Cache`, would come near. For many keys, fewer reads of cold
//! memory: a head that is written to the connection as it is stored, where hyper wants a map of fields, cloned for each answer.
//!
//! # In-process
//!
//! 2026-11-22, with the system's allocator; time (`peers hits`) is noise where others use the machine, and is left out:
//!
//! | body | subject | instructions | over the bare handler | allocations |
//! |---|---|---|---|---|
//! | 1024 | axum | 7,097 | 0 | 15.0 |
//! | 1024 | frontage-axum | 8,579 | 1,482 | 15.0 |
//! | 1024 | http-cache-tower-axum | 186,913 | 179,816 | 296.1 |
//! | 1024 | axum-response-cache | 9,125 | 2,028 | 18.0 |
//! | 32768 | axum | 7,104 | 0 | 15.0 |
//! | 32768 | frontage-axum | 8,578 | 1,474 | 15.0 |
//! | 32768 | http-cache-tower-axum | 666,063 | 658,959 | 296.1 |
//! | 32768 | axum-response-cache | 9,101 | 1,997 | 18.0 |
//!
//! # Misses
//!
//! 2026-11-22, a machine with nothing else to do. Medians of 9 rounds of 0.5 s, 32
//! connections, each request for a new key; the store of 64 MiB is full, and lets something go for each object. CPU time for a request, its
//! ratio to `plain-proxy`'s in the same round, and the first byte on one connection:
//!
//! | | CPU µs | × plain | target 1.15 | first byte p50, p99 in ms | target |
//! |---|---|---|---|---|---|
//! | 1 KiB: origin | 6.5 | 0.50 |  | 0.011, 0.021 |  |
//! | 1 KiB: plain-proxy | 13.0 | 1.00 |  | 0.027, 0.080 |  |
//! | 1 KiB: reverse_proxy | 25.4 | 1.97 | missed | 0.038, 0.111 | met, met |
//! | 32 KiB: origin | 7.5 | 0.40 |  | 0.012, 0.042 |  |
//! | 32 KiB: plain-proxy | 18.7 | 1.00 |  | 0.031, 0.084 |  |
//! | 32 KiB: reverse_proxy | 35.9 | 1.89 | missed | 0.044, 0.141 | met, met |
//!
//! The first byte comes in time; the CPU time misses its target by far. It was 2.65 and 2.16 with glibc's allocator and without LTO: side by
//! side at 1 KiB, 2.66; 2.44 with LTO; 1.83 with jemalloc, too (mimalloc 1.76, but it does less well on hits and memory). glibc's
//! takes few instructions more: it walks free lists in memory that is cold, since a store gives back what is old. (The plain proxy has
//! glibc's; another gains it 2 to 6 %.)
//!
//! In user space a miss of 1 KiB takes `plain-proxy` 42,933 instructions and `reverse_proxy` some 87,000 (callgrind, by `peers load --new`;
//! 151,500 before its futures were made smaller, 118,600 before dates were stored as they came and bodies and addresses were written with
//! less copying, 105,900 before LTO and jemalloc). Both make the same calls of the kernel, two reads and two writes.
//!
//! Where they go, of a profile: to the servers and clients of hyper, as in the plain proxy, some 40,000; the origin's client around
//! that (the request as the origin gets it, what another attempt would need, one connection for it) 10,000; the flight in its table and the
//! address by which it is invalidated 6,000; the head that is stored, with its places, and judging it (`Cache-Control`, dates, `Vary`) 9,800;
//! the answers for the leader and for whoever follows 5,600; packing, placing and letting go 7,000; `CDN-Loop`, the host
//! and the look-up 4,000; moving futures and heads, and tasks, the rest: 235 copies take 10,100 of all these, maps of fields some 8,000.
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
