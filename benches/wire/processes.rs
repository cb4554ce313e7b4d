//! The processes: the origin, the proxy, the bare server.

use crate::Failure;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Linux counts so, on all that it runs on.
const TICK: Duration = Duration::from_millis(10);
const BUILD: &str = "cargo build --release --example reverse_proxy";

/// A process that serves. Ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    /// This program again, with that argument.
    pub(crate) async fn this(argument: &str) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(argument);
        start(command).await
    }

    /// The example `reverse_proxy`.
    pub(crate) async fn proxy(origin: SocketAddr, arguments: &[&str]) -> Result<Self, Failure> {
        let program = proxy_program()?;
        let mut command = Command::new(&program);
        command.args(["--listen", "127.0.0.1:0", "--origin"]);
        command.arg(format!("http://{origin}")).args(arguments);
        // By default it tells of each fault of the origin, and some are on purpose.
        command.env("RUST_LOG", "error");
        let started = start(command).await;
        started.map_err(|error| format!("{}: {error}", program.display()).into())
    }

    /// Its memory in bytes.
    pub(crate) fn resident(&self) -> Result<u64, Failure> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(1024 * kilobytes.ok_or("no VmRSS")?.parse::<u64>()?)
    }

    /// The processor's time that it used, to the hundredth of a second.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = self.read("stat")?;
        // Its name, in brackets, may hold anything.
        let (_, rest) = stat.rsplit_once(')').ok_or("no name")?;
        let ticks = rest.split_whitespace().skip(11).take(2);
        let ticks = ticks
            .map(str::parse::<u32>)
            .sum::<Result<u32, std::num::ParseIntError>>()?;
        Ok(TICK * ticks)
    }

    /// A file of `/proc` that says more.
    pub(crate) fn read(&self, file: &str) -> Result<String, Failure> {
        Ok(std::fs::read_to_string(self.directory()?.join(file))?)
    }

    pub(crate) fn directory(&self) -> Result<PathBuf, Failure> {
        let process = self.child.id().ok_or("it has ended")?;
        Ok(Path::new("/proc").join(process.to_string()))
    }
}

/// Benches lie in `target/release/deps`, examples in `target/release/examples`.
fn proxy_program() -> Result<PathBuf, Failure> {
    let this = std::env::current_exe()?;
    let profile = this
        .parent()
        .and_then(Path::parent)
        .ok_or("this program lies nowhere")?;
    let program = profile.join("examples").join("reverse_proxy");
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("there is no {}; build it first: {BUILD}", program.display()).into())
    }
}

/// Starts a server, which prints a line that ends in its address.
async fn start(mut command: Command) -> Result<Server, Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or("its output is not captured")?;
    let mut line = String::new();
    timeout(START_TIMEOUT, BufReader::new(output).read_line(&mut line)).await??;
    let address = line.trim().rsplit('/').next().unwrap_or_default().parse();
    let address =
        address.map_err(|error| format!("it said {line:?} in place of its address ({error})"))?;
    Ok(Server { address, child })
}

/// The client, the origin and the proxy each need a file for each client's connection.
pub(crate) fn check_file_limit(clients: usize) -> Result<(), Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|soft| soft.parse::<usize>().ok());
    let needed = clients + 200;
    match limit {
        Some(limit) if limit < needed => Err(format!(
            "{limit} open files are allowed, {needed} are needed: ulimit -n {needed}"
        )
        .into()),
        _ => Ok(()),
    }
}
