//! What is measured.

use crate::{
    Failure,
    client::{self, Connection},
    origin::{self, DRIBBLED, EVENT_PERIOD, HELD_CHUNK},
    report::{Limit, Report, median},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{Barrier, mpsc},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

pub(crate) const CLIENTS: usize = 1000;
const ROUNDS: usize = 5;
const EVENTS: usize = 40;
/// No step takes nearly so long: a mistake ends the bench.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a server is given to accept the connections that were opened.
const SETTLE: Duration = Duration::from_millis(100);

/// Whom the client asks.
pub(crate) struct Targets {
    pub(crate) direct: SocketAddr,
    pub(crate) through: SocketAddr,
}

impl Targets {
    fn each(&self) -> [(&'static str, SocketAddr); 2] {
        [("direct", self.direct), ("through", self.through)]
    }
}

pub(crate) async fn cold_clients(targets: &Targets, report: &mut Report) -> Result<(), Failure> {
    for framing in ["length", "chunked"] {
        let mut slowest = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            for ((way, server), slowest) in targets.each().into_iter().zip(&mut slowest) {
                let name = format!("{framing}/{way}-{round}");
                let took =
                    timeout(PATIENCE, slowest_of_cold(server, targets.direct, &name)).await??;
                slowest.push(took);
                let fetches = client::ask(targets.direct, &format!("/fetches/{name}")).await?;
                if way == "through" && fetches != "1" {
                    return Err(format!("the origin was asked {fetches} times for {name}").into());
                }
            }
        }
        let [direct, through] = slowest.map(median);
        let what = format!("slowest first byte of {CLIENTS} cold clients, {framing}");
        report.line(
            &what,
            direct,
            through,
            Limit::LaterOrHalfAgain(Duration::from_millis(40)),
        );
    }
    Ok(())
}

/// Has all clients ask for one name at once, and gives how long the last of them waited for its first byte.
async fn slowest_of_cold(
    server: SocketAddr,
    origin: SocketAddr,
    name: &str,
) -> Result<Duration, Failure> {
    let path: Arc<str> = format!("/held/{name}").into();
    let mut connections = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        connections.push(Connection::open(server).await?);
    }
    sleep(SETTLE).await;

    let start = Arc::new(Barrier::new(CLIENTS + 1));
    let (came, mut first_bytes) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for connection in connections {
        let (path, start, came) = (path.clone(), start.clone(), came.clone());
        clients.spawn(async move {
            start.wait().await;
            let mut body = connection.get(&path).await?;
            let (when, bytes) = body.first().await?;
            came.send(when)?;
            Ok::<_, Failure>(bytes + body.rest().await?)
        });
    }
    // A client that fails drops its sender: the loop below then ends early.
    drop(came);
    let started = Instant::now();
    start.wait().await;
    let mut last = started;
    let mut count = 0;
    while count < CLIENTS {
        tokio::select! {
            Some(when) = first_bytes.recv() => {
                last = last.max(when);
                count += 1;
            }
            // Nobody ends before the release, unless something failed.
            Some(ended) = clients.join_next() => {
                ended??;
                return Err("an answer ended while the origin held it back".into());
            }
        }
    }
    client::ask(origin, &format!("/release/{name}")).await?;
    while let Some(ended) = clients.join_next().await {
        expect_length(ended??, 2 * HELD_CHUNK)?;
    }
    Ok(last - started)
}

pub(crate) async fn dribbled(targets: &Targets, report: &mut Report) -> Result<(), Failure> {
    let mut firsts = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for ((way, server), firsts) in targets.each().into_iter().zip(&mut firsts) {
            let path = format!("/dribbled/{way}-{round}");
            firsts.push(timeout(PATIENCE, first_of_dribbled(server, &path)).await??);
        }
    }
    let [direct, through] = firsts.map(median);
    report.line(
        "first byte of 10 MiB over 2 s",
        direct,
        through,
        Limit::Later(Duration::from_millis(2)),
    );
    Ok(())
}

async fn first_of_dribbled(server: SocketAddr, path: &str) -> Result<Duration, Failure> {
    let connection = Connection::open(server).await?;
    sleep(SETTLE).await;
    let started = Instant::now();
    let mut body = connection.get(path).await?;
    let (when, bytes) = body.first().await?;
    expect_length(bytes + body.rest().await?, DRIBBLED)?;
    Ok(when - started)
}

fn expect_length(bytes: u64, expected: usize) -> Result<(), Failure> {
    if bytes == expected as u64 {
        Ok(())
    } else {
        Err(format!("{bytes} bytes came in place of {expected}").into())
    }
}

/// How late the events of a stream came, and how long the origin took to see that its viewer had left.
struct Watched {
    delays: Vec<Duration>,
    until_left: Duration,
}

pub(crate) async fn events(targets: &Targets, report: &mut Report) -> Result<(), Failure> {
    let (mut middle, mut slowest, mut left) =
        <([Vec<Duration>; 2], [Vec<_>; 2], [Vec<_>; 2])>::default();
    for round in 0..ROUNDS {
        for (at, (way, server)) in targets.each().into_iter().enumerate() {
            let name = format!("{way}-{round}");
            let watched = timeout(PATIENCE, watch(server, targets.direct, &name)).await??;
            slowest[at].push(watched.delays.iter().max().copied().unwrap_or_default());
            middle[at].push(median(watched.delays));
            left[at].push(watched.until_left);
        }
    }
    let mut line = |what, figures: [Vec<Duration>; 2], limit| {
        let [direct, through] = figures.map(median);
        report.line(what, direct, through, limit);
    };
    line(
        "delay of an event, median",
        middle,
        Limit::Later(Duration::from_millis(2)),
    );
    // Later than the next, and they would come in lumps.
    line(
        "delay of an event, slowest",
        slowest,
        Limit::Within(EVENT_PERIOD),
    );
    line(
        "until the stream ends behind its viewer",
        left,
        Limit::Later(Duration::from_millis(100)),
    );
    Ok(())
}

async fn watch(server: SocketAddr, origin: SocketAddr, name: &str) -> Result<Watched, Failure> {
    let mut body = Connection::open(server)
        .await?
        .get(&format!("/events/{name}"))
        .await?;
    let mut delays = Vec::with_capacity(EVENTS);
    let mut text = String::new();
    while delays.len() < EVENTS {
        let data = body.data().await?.ok_or("the stream ended")?;
        let now = origin::now();
        text.push_str(std::str::from_utf8(&data)?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            let sent: u64 = event.trim_start_matches("data: ").parse()?;
            delays.push(Duration::from_micros(now.saturating_sub(sent)));
            text = rest.to_owned();
        }
    }
    let leaving = origin::now();
    drop(body);
    let left: u64 = client::ask(origin, &format!("/left/{name}"))
        .await?
        .parse()?;
    if left == 0 {
        return Err("the origin's connection outlives its viewer".into());
    }
    Ok(Watched {
        delays,
        until_left: Duration::from_micros(left.saturating_sub(leaving)),
    })
}
