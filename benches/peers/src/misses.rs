//! What a miss costs: `reverse_proxy` beside a proxy without a cache, and the first byte beside the origin's own.

use crate::{
    Failure,
    arguments::Arguments,
    load::{Load, Requests, Until},
    processes::{Guard, Server},
    report::median,
    scenarios::NewKeys,
    sockets::{WARM_UP, pin},
    subjects::{self, Subject},
    viewer::Viewer,
};
use std::time::{Duration, Instant};

/// So little that the store is soon full, and something has to go for each object.
const STORE: u64 = 64 << 20;
/// So many bytes, twice the store, are fetched before anything is measured.
const FILL: u64 = 2 * STORE;
/// What an object takes beside its body, at least.
const HEAD: u64 = 512;
/// First bytes in a round, from each.
const FIRST_BYTES: usize = 300;
const SIZES: [(&str, usize); 2] = [("1 KiB", 1 << 10), ("32 KiB", 32 << 10)];
/// How much more CPU time than the plain proxy's a miss may take.
const CPU_TARGET: f64 = 1.15;
/// Milliseconds after the origin's, or so many times that, the first byte may come.
const FIRST_BYTE_TARGET: (f64, f64) = (1.0, 1.5);

/// Who is asked, and what came of it.
struct Asked {
    name: &'static str,
    server: Server,
    /// Microseconds of CPU time for each request, round by round; none for the origin.
    cpu: Vec<f64>,
    /// Milliseconds to the first byte: p50 and p99, round by round.
    first_byte: Vec<[f64; 2]>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    Subject::ReverseProxy.build()?;
    let _guard = Guard::new()?;
    pin(arguments.cpu)?;
    println!(
        "| | CPU µs | × plain | target {CPU_TARGET} | first byte p50, p99 in ms | target |\n|---|---|---|---|---|---|"
    );
    for (name, length) in SIZES {
        let origin = subjects::start_origin()?;
        let proxy = |subject: Subject| {
            let server = subject.start(origin.address, STORE)?;
            Ok::<_, Failure>(Asked::new(subject.name(), server))
        };
        let mut all = [
            Asked::new("origin", origin),
            proxy(Subject::PlainProxy)?,
            proxy(Subject::ReverseProxy)?,
        ];
        let keys = NewKeys::new(length);
        let mut counter = Viewer::new(origin.address)?;
        let fill = usize::try_from(FILL / (length as u64 + HEAD))?;
        for asked in all.iter().skip(1) {
            asked.load(&keys, arguments, Until::Answers(fill))?;
        }
        for round in 0..arguments.rounds {
            for at in 0..all.len() {
                // Nobody always comes behind the same one.
                let at = (at + round) % all.len();
                if let Some(asked) = all.get_mut(at) {
                    asked.measure(&keys, arguments)?;
                }
            }
            eprintln!("{name}: round {} of {}", round + 1, arguments.rounds);
        }
        if counter.asked()? != keys.asked() {
            return Err("not all were misses".into());
        }
        let [_, _, ours] = &all;
        ours.must_store(&keys, &mut counter)?;
        print(name, &all);
    }
    Ok(())
}

impl Asked {
    fn new(name: &'static str, server: Server) -> Self {
        Self {
            name,
            server,
            cpu: Vec::new(),
            first_byte: Vec::new(),
        }
    }

    /// How many answers, and the server's CPU time for them.
    fn load(
        &self,
        keys: &NewKeys,
        arguments: &Arguments,
        until: Until,
    ) -> Result<(usize, Duration), Failure> {
        let load = Load {
            server: self.server.address,
            connections: arguments.connections,
            requests: Requests::New(keys),
            length: keys.length,
        };
        let seen = load.run(until, || self.server.cpu_time())?;
        let [start, end] = seen.probes;
        Ok((seen.latencies.len(), end.saturating_sub(start)))
    }

    fn measure(&mut self, keys: &NewKeys, arguments: &Arguments) -> Result<(), Failure> {
        let until = Until::Time {
            warm_up: WARM_UP,
            measured: arguments.time,
        };
        let (answers, time) = self.load(keys, arguments, until)?;
        self.cpu.push(time.as_secs_f64() * 1e6 / answers as f64);
        let mut viewer = Viewer::new(self.server.address)?;
        let mut took = Vec::with_capacity(FIRST_BYTES);
        for _ in 0..FIRST_BYTES {
            let request = keys.next();
            let sent = Instant::now();
            let came = viewer.ask_and_time(&request)?;
            took.push(came.duration_since(sent).as_secs_f64() * 1e3);
        }
        took.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| {
            let at = (FIRST_BYTES as f64 * share) as usize;
            took.get(at).copied().unwrap_or(f64::NAN)
        };
        self.first_byte.push([at(0.5), at(0.99)]);
        Ok(())
    }

    /// What was asked for last is answered without the origin.
    fn must_store(&self, keys: &NewKeys, counter: &mut Viewer) -> Result<(), Failure> {
        let mut viewer = Viewer::new(self.server.address)?;
        let last = keys.next();
        viewer.ask(&last)?;
        let before = counter.asked()?;
        viewer.ask(&last)?;
        match counter.asked()? == before {
            true => Ok(()),
            false => Err(format!("{} doesn't store", self.name).into()),
        }
    }

    fn first_byte(&self, at: usize) -> f64 {
        let rounds = self.first_byte.iter();
        median(rounds.filter_map(|round| round.get(at).copied()).collect())
    }
}

fn print(size: &str, all: &[Asked; 3]) {
    let [origin, plain, _] = all;
    for asked in all {
        let pairs = asked.cpu.iter().zip(&plain.cpu);
        let ratio = median(pairs.map(|(own, plain)| own / plain).collect());
        let said = |is_met: bool| if is_met { "met" } else { "missed" };
        let (more, times) = FIRST_BYTE_TARGET;
        let in_time = |at| {
            let direct = origin.first_byte(at);
            asked.first_byte(at) <= (direct + more).max(direct * times)
        };
        let (cpu_said, first_said) = match asked.name == Subject::ReverseProxy.name() {
            true => (
                said(ratio <= CPU_TARGET),
                format!("{}, {}", said(in_time(0)), said(in_time(1))),
            ),
            false => ("", String::new()),
        };
        println!(
            "| {size}: {} | {:.1} | {ratio:.2} | {cpu_said} | {:.3}, {:.3} | {first_said} |",
            asked.name,
            median(asked.cpu.clone()),
            asked.first_byte(0),
            asked.first_byte(1),
        );
    }
}
