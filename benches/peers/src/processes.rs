//! The servers: how they are started, what CPU time they took, and that none outlives this program.

use crate::Failure;
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// All that must end with this program, however it ends.
static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

/// A process, and its files. Dropped, both are gone.
struct Running {
    child: Child,
    _files: Option<TempDir>,
}

impl Drop for Running {
    /// Asks first: nginx and Varnish have children of their own, which they end.
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        let until = Instant::now() + STOP_TIMEOUT;
        while asked.is_ok() && Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// While it lives the servers do; and a signal ends them, too.
pub(crate) struct Guard(());

impl Guard {
    pub(crate) fn new() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut interrupt, mut terminate, mut hangup) = {
            let _context = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            )
        };
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            });
            running().clear();
            std::process::exit(130);
        });
        Ok(Self(()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        running().clear();
    }
}

fn running() -> MutexGuard<'static, Vec<Running>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    id: u32,
}

impl Server {
    /// One that prints a line that ends in its address.
    pub(crate) fn that_says_where(mut command: Command) -> Result<Self, Failure> {
        command.stdout(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let id = child.id();
        let output = child.stdout.take().ok_or("its output is not captured")?;
        running().push(Running {
            child,
            _files: None,
        });
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().rsplit('/').next().unwrap_or_default().parse();
        let address = address.map_err(|_| format!("{command:?} said {line:?}, and no address"))?;
        Ok(Self { address, id })
    }

    /// One that was told where to listen. What it says goes to a file, and is shown if it fails.
    pub(crate) fn at(
        address: SocketAddr,
        mut command: Command,
        files: TempDir,
    ) -> Result<Self, Failure> {
        let log = files.path().join("log");
        let said = File::create(&log)?;
        let child = spawn(command.stdout(said.try_clone()?).stderr(said))?;
        let id = child.id();
        running().push(Running {
            child,
            _files: Some(files),
        });
        let until = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            let has_ended = running()
                .iter_mut()
                .any(|it| it.child.id() == id && !matches!(it.child.try_wait(), Ok(None)));
            if has_ended || Instant::now() > until {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{command:?} doesn't listen on {address}: {said}").into());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Self { address, id })
    }

    /// The time on a CPU of the process and of those that come from it.
    pub(crate) fn cpu_time(self) -> Result<Duration, Failure> {
        let parents = parents()?;
        let mut tree = vec![self.id];
        let mut at = 0;
        while let Some(id) = tree.get(at).copied() {
            let children = parents.iter().filter(|(_, parent)| *parent == id);
            tree.extend(children.map(|(child, _)| *child));
            at += 1;
        }
        let mut nanoseconds = 0;
        for id in tree {
            for thread in fs::read_dir(format!("/proc/{id}/task"))? {
                // A thread may end meanwhile.
                let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                    continue;
                };
                let first = text.split_whitespace().next().unwrap_or_default();
                nanoseconds += first.parse::<u64>()?;
            }
        }
        if nanoseconds == 0 {
            return Err("this kernel keeps no /proc/PID/schedstat".into());
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

/// A command of a process that gets a SIGTERM if this program is killed.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM"])
        .arg(program)
        .stdin(Stdio::null());
    command
}

fn spawn(command: &mut Command) -> Result<Child, Failure> {
    let child = command.spawn();
    child.map_err(|error| format!("{command:?}: {error}").into())
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Each process and its parent.
fn parents() -> Result<Vec<(u32, u32)>, Failure> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
            continue;
        };
        // The name before may hold anything: `PID (NAME) STATE PARENT`.
        let behind = stat.rsplit_once(')').map(|(_, behind)| behind);
        let parent = behind.and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent| (id, parent)));
    }
    Ok(parents)
}
