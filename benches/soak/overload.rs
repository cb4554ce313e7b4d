//! Load beyond what the origin can do, with shedding on: what is refused, how fast, and what hits notice of it.

use crate::{
    Failure,
    origin::{SLOW, SLOW_AT_A_TIME, SMALL},
    process::mib,
    processes::{Server, check_file_limit},
};
use parking_lot::Mutex;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// How many of the connections ask for what is stored; the others for what isn't.
const ASK_FOR_HITS: u64 = 100;
/// Between two questions for a hit, on one connection.
const BETWEEN_HITS: Duration = Duration::from_millis(100);
/// What a 503 says; the next question comes so much later.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_FETCHES: usize = 64;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
const SAMPLES: u32 = 20;
/// What the proxy may take more than with the same connections idle.
const ALLOWANCE: u64 = 32 << 20;
/// How much of their pace hits keep at least.
const KEPT: f64 = 0.9;
/// Waiting for the origin takes a multiple of that.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Latencies in microseconds.
#[derive(Default)]
struct Latencies(Mutex<Vec<u64>>);

impl Latencies {
    fn add(&self, since: Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.lock().push(micros);
    }

    fn take(&self) -> Taken {
        let mut sorted = std::mem::take(&mut *self.0.lock());
        sorted.sort_unstable();
        Taken(sorted)
    }
}

/// Sorted.
#[derive(Default)]
struct Taken(Vec<u64>);

impl Taken {
    fn add(&mut self, more: Self) {
        self.0.extend(more.0);
        self.0.sort_unstable();
    }

    fn count(&self) -> f64 {
        self.0.len() as f64
    }

    fn millis(&self, share: f64) -> f64 {
        let at = (self.0.len() as f64 * share) as usize;
        let last = self.0.len().saturating_sub(1);
        self.0.get(at.min(last)).copied().unwrap_or(0) as f64 / 1e3
    }
}

/// What all connections share.
struct Shared {
    is_overloaded: watch::Sender<bool>,
    next: AtomicU64,
    hits: Latencies,
    fetched: Latencies,
    refused: Latencies,
}

/// What was seen while the load was of one kind.
#[derive(Default)]
struct Phase {
    time: Duration,
    cpu: Duration,
    peak: u64,
    hits: Taken,
    fetched: Taken,
    refused: Taken,
}

pub(crate) async fn run(seconds: u64, connections: u64) -> Result<(), Failure> {
    check_file_limit(usize::try_from(connections)? + MAX_FETCHES)?;
    let origin = Server::this("--origin").await?;
    let most = MAX_FETCHES.to_string();
    let flags = [
        "--memory",
        "64MiB",
        "--max-fetches",
        &most,
        "--shed-after",
        "0",
    ];
    let proxy = Server::proxy(origin.address, &flags).await?;
    let shared = Arc::new(Shared {
        is_overloaded: watch::Sender::new(false),
        next: AtomicU64::new(0),
        hits: Latencies::default(),
        fetched: Latencies::default(),
        refused: Latencies::default(),
    });
    let mut load = JoinSet::new();
    for number in 0..connections {
        let mut kept = Kept::open(proxy.address).await?;
        kept.ask("/hot").await?;
        let shared = shared.clone();
        let lag = RETRY_AFTER.mul_f64(number as f64 / connections as f64);
        match number < ASK_FOR_HITS {
            true => load.spawn(async move { kept.hits(&shared).await }),
            false => load.spawn(async move { kept.misses(&shared, lag).await }),
        };
    }
    let idle = proxy.resident()?;
    let (mut quiet, mut overloaded) = (Phase::default(), Phase::default());
    for _ in 0..ROUNDS {
        for (phase, is_overloaded) in [(&mut quiet, false), (&mut overloaded, true)] {
            shared.is_overloaded.send_replace(is_overloaded);
            // What is under way when it changes counts for neither.
            sleep(2 * RETRY_AFTER).await;
            shared.take(&mut Phase::default());
            let measured = Duration::from_secs(seconds);
            phase.measure(&proxy, &shared, measured, &mut load).await?;
        }
    }
    let mut direct = Kept::open(origin.address).await?;
    let said = direct.ask("/most").await?.body;
    let (fetches, _all) = said.split_once(' ').ok_or("the origin says nothing")?;
    report(connections, idle, fetches.parse()?, &quiet, &overloaded)
}

impl Shared {
    fn take(&self, into: &mut Phase) {
        into.hits.add(self.hits.take());
        into.fetched.add(self.fetched.take());
        into.refused.add(self.refused.take());
    }
}

impl Phase {
    async fn measure(
        &mut self,
        proxy: &Server,
        shared: &Shared,
        time: Duration,
        load: &mut JoinSet<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let (cpu, began) = (proxy.cpu()?, Instant::now());
        while began.elapsed() < time {
            tokio::select! {
                Some(ended) = load.join_next() => ended??,
                () = sleep(time / SAMPLES) => {}
            }
            self.peak = self.peak.max(proxy.resident()?);
        }
        self.time += began.elapsed();
        self.cpu += proxy.cpu()?.saturating_sub(cpu);
        shared.take(self);
        Ok(())
    }

    fn each_second(&self, what: &Taken) -> f64 {
        what.count() / self.time.as_secs_f64()
    }

    fn answers(&self) -> f64 {
        self.hits.count() + self.fetched.count() + self.refused.count()
    }
}

fn report(
    connections: u64,
    idle: u64,
    fetches: usize,
    quiet: &Phase,
    overloaded: &Phase,
) -> Result<(), Failure> {
    println!("| {connections} connections | the others idle | overloaded |\n|---|---|---|");
    let line = |what: &str, figure: &dyn Fn(&Phase) -> String| {
        println!("| {what} | {} | {} |", figure(quiet), figure(overloaded));
    };
    line("hits each second", &|phase| {
        format!("{:.0}", phase.each_second(&phase.hits))
    });
    line("the same, p50 and p99, ms", &|phase| both(&phase.hits));
    line("misses each second", &|phase| {
        format!(
            "{:.0}",
            phase.each_second(&phase.refused) + phase.each_second(&phase.fetched)
        )
    });
    line("of them fetched", &|phase| {
        format!("{:.0}", phase.each_second(&phase.fetched))
    });
    line("the same, p50 and p99, ms", &|phase| both(&phase.fetched));
    line("of them refused, p50 and p99, ms", &|phase| {
        both(&phase.refused)
    });
    line("the proxy's CPU, µs for each answer", &|phase| {
        format!("{:.0}", phase.cpu.as_secs_f64() * 1e6 / phase.answers())
    });
    line("resident at most, MiB", &|phase| {
        format!("{:.1}", mib(phase.peak))
    });
    let room = SLOW_AT_A_TIME as f64 / SLOW.as_secs_f64();
    println!(
        "\nThe origin can do {room:.0} a second, and was asked for {fetches} at a time at most."
    );
    println!(
        "Resident with all connections open, before: {:.1} MiB.",
        mib(idle)
    );
    let (kept, of) = (
        overloaded.each_second(&overloaded.hits),
        quiet.each_second(&quiet.hits),
    );
    let late = Duration::from_secs_f64(overloaded.refused.millis(0.5) / 1e3);
    for (is_so, wrong) in [
        (
            fetches <= MAX_FETCHES,
            "more is fetched at a time than may be",
        ),
        (overloaded.refused.count() > 0.0, "nothing was refused"),
        (late <= AT_ONCE, "it takes too long to refuse"),
        (
            overloaded.peak <= idle + ALLOWANCE,
            "it takes too much memory",
        ),
        (kept >= KEPT * of, "hits lose their pace"),
    ] {
        if !is_so {
            return Err(wrong.into());
        }
    }
    Ok(())
}

fn both(latencies: &Taken) -> String {
    match latencies.0.is_empty() {
        true => "-".to_owned(),
        false => format!(
            "{:.1}, {:.1}",
            latencies.millis(0.5),
            latencies.millis(0.99)
        ),
    }
}

/// A connection that stays open.
struct Kept {
    stream: TcpStream,
    server: SocketAddr,
    buffer: Vec<u8>,
}

struct Answered {
    status: u16,
    retry_after: Option<u64>,
    body: String,
}

impl Kept {
    async fn open(server: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            server,
            buffer: Vec::with_capacity(2 * SMALL),
        })
    }

    async fn hits(mut self, shared: &Shared) -> Result<(), Failure> {
        loop {
            let began = Instant::now();
            let answer = self.ask("/hot").await?;
            if answer.status != 200 {
                return Err(format!("a hit came as a {}", answer.status).into());
            }
            shared.hits.add(began);
            sleep(BETWEEN_HITS).await;
        }
    }

    /// `lag` keeps those that begin at once from coming back at once, second by second.
    async fn misses(mut self, shared: &Shared, lag: Duration) -> Result<(), Failure> {
        let mut changes = shared.is_overloaded.subscribe();
        loop {
            if !*changes.borrow_and_update() {
                changes.wait_for(|is_overloaded| *is_overloaded).await?;
                sleep(lag).await;
            }
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            let answer = self.ask(&format!("/slow/{number}")).await?;
            match (answer.status, answer.retry_after) {
                (200, _) => shared.fetched.add(began),
                (503, Some(seconds)) => {
                    shared.refused.add(began);
                    sleep(Duration::from_secs(seconds)).await;
                }
                (status, _) => return Err(format!("a miss came as a {status}").into()),
            }
        }
    }

    async fn ask(&mut self, path: &str) -> Result<Answered, Failure> {
        timeout(PATIENCE, self.answer(path)).await?
    }

    async fn answer(&mut self, path: &str) -> Result<Answered, Failure> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.server);
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let end = loop {
            self.more().await?;
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let length: usize = field("content-length: ").ok_or("no length")?.parse()?;
        while self.buffer.len() < end + length {
            self.more().await?;
        }
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        Ok(Answered {
            status,
            retry_after: field("retry-after: ").map(str::parse).transpose()?,
            body: String::from_utf8_lossy(&self.buffer[end..]).into_owned(),
        })
    }

    async fn more(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the connection ended before the answer".into()),
            _ => Ok(()),
        }
    }
}
