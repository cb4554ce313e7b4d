//! What connections cost: one hot hit, asked for over and over on each of them.

use crate::{
    Failure,
    origin::FIXED,
    processes::{Server, check_file_limit},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
    time::{Instant, timeout},
};

const CONNECTIONS: [usize; 4] = [1, 100, 1000, 10_000];
const ROUNDS: usize = 3;
const ASKED_FOR: Duration = Duration::from_secs(3);
/// All that it can take, and more: a mistake ends the bench.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn bench() -> Result<(), Failure> {
    let most = CONNECTIONS.iter().max().copied().unwrap_or_default();
    check_file_limit(most)?;
    let origin = Server::this("--origin").await?;
    println!(
        "| connections | server | requests/s | per CPU second of the server | of the bare server's | KiB for each, asked once | after all that |"
    );
    println!("|---|---|---|---|---|---|---|");
    for count in CONNECTIONS {
        let (mut bare, mut proxy) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let server = Server::this("--bare").await?;
            bare.push(timeout(PATIENCE, round(server, count)).await??);
            let server = Server::proxy(origin.address, &["--memory", "256MiB"]).await?;
            proxy.push(timeout(PATIENCE, round(server, count)).await??);
        }
        let (bare, proxy) = (middle(bare)?, middle(proxy)?);
        for (name, round) in [("bare", &bare), ("reverse_proxy", &proxy)] {
            println!(
                "| {count} | {name} | {:.0} | {:.0} | {:.2} | {:.1} | {:.1} |",
                round.per_second,
                round.per_cpu_second,
                round.per_cpu_second / bare.per_cpu_second,
                round.asked_once,
                round.at_the_end,
            );
        }
    }
    Ok(())
}

/// By what a request takes of the processor's time.
fn middle(mut rounds: Vec<Round>) -> Result<Round, Failure> {
    rounds.sort_by(|a, b| a.per_cpu_second.total_cmp(&b.per_cpu_second));
    let middle = rounds.into_iter().nth(ROUNDS / 2);
    middle.ok_or_else(|| "no round".into())
}

struct Round {
    per_second: f64,
    per_cpu_second: f64,
    /// KiB of the server's memory for each connection.
    asked_once: f64,
    at_the_end: f64,
}

async fn round(server: Server, count: usize) -> Result<Round, Failure> {
    let mut first = Kept::open(server.address).await?;
    first.ask().await?;
    let before = server.resident()?;
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Kept::open(server.address).await?;
        connection.ask().await?;
        connections.push(connection);
    }
    let each = |now: u64| now.saturating_sub(before) as f64 / 1024.0 / count as f64;
    let asked_once = each(server.resident()?);

    let start = Arc::new(Barrier::new(count + 1));
    let mut clients = JoinSet::new();
    for mut connection in connections {
        let start = start.clone();
        clients.spawn(async move {
            start.wait().await;
            let started = Instant::now();
            let mut answers = 0_u64;
            while started.elapsed() < ASKED_FOR {
                connection.ask().await?;
                answers += 1;
            }
            // Open until all are done.
            Ok::<_, Failure>((answers, connection))
        });
    }
    let cpu = server.cpu()?;
    // Before they start: whoever waits for them may be woken late.
    let started = Instant::now();
    start.wait().await;
    let (mut answers, mut open) = (0, Vec::with_capacity(count));
    while let Some(client) = clients.join_next().await {
        let (more, connection) = client??;
        answers += more;
        open.push(connection);
    }
    let took = started.elapsed();
    let cpu = server.cpu()?.saturating_sub(cpu);
    Ok(Round {
        per_second: answers as f64 / took.as_secs_f64(),
        per_cpu_second: answers as f64 / cpu.as_secs_f64(),
        asked_once,
        at_the_end: each(server.resident()?),
    })
}

/// A connection that stays open.
struct Kept {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

impl Kept {
    async fn open(server: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: format!("GET /fixed/hot HTTP/1.1\r\nHost: {server}\r\n\r\n"),
            buffer: Vec::with_capacity(2 * FIXED),
        })
    }

    async fn ask(&mut self) -> Result<(), Failure> {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection ended before the answer".into());
            }
            let head = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            match head.map(|at| self.buffer.len() - (at + 4)) {
                Some(FIXED) if self.buffer.starts_with(b"HTTP/1.1 200 ") => return Ok(()),
                Some(bytes) if bytes >= FIXED => return Err("another answer came".into()),
                _ => {}
            }
        }
    }
}
