//! What a round of a benchmark costs, counted by valgrind: the program runs itself, twice, for different numbers of rounds.
//! The slope is the cost of a round, and start-up cancels.

use bytes::Bytes;
use frontage::{Cache, ResponseBody};
use http::{Request, Response};
use http_body_util::{Empty, Full};
use std::{
    error::Error,
    future::Future,
    pin::pin,
    process::{Command, ExitCode},
    task::{Context, Poll, Waker},
};
use tower::Service;

pub(crate) type Failure = Box<dyn Error>;

const ROUNDS: [u64; 2] = [500, 2500];

/// What a program can do.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    /// So many rounds of a subject: its arguments, and their number.
    pub(crate) run: fn(&[String], u64) -> Result<(), Failure>,
    pub(crate) count: fn() -> Result<(), Failure>,
    pub(crate) time: fn() -> Result<(), Failure>,
}

impl Bench {
    /// Does what the arguments say.
    pub(crate) fn main(&self) -> ExitCode {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let done = match arguments.split_first() {
            Some((first, subject)) if first == "--run" => self.child(subject),
            Some((first, _)) if first == "--instructions" => (self.count)(),
            _ => (self.time)(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", self.name);
                ExitCode::FAILURE
            }
        }
    }

    fn child(&self, arguments: &[String]) -> Result<(), Failure> {
        let (rounds, subject) = arguments.split_last().ok_or("--run SUBJECT... ROUNDS")?;
        (self.run)(subject, rounds.parse()?)
    }
}

/// Instructions of a round.
pub(crate) fn instructions(subject: &[&str]) -> Result<f64, Failure> {
    instructions_between(subject, ROUNDS)
}

/// The same, by other numbers of rounds: where start-up is long, what it varies by must be shared by many.
pub(crate) fn instructions_between(subject: &[&str], rounds: [u64; 2]) -> Result<f64, Failure> {
    let tool = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    slope(&tool, "Collected :", subject, rounds)
}

/// Allocations of a round.
#[allow(dead_code, reason = "not each bench counts them")]
pub(crate) fn allocations(subject: &[&str]) -> Result<f64, Failure> {
    let tool = ["--tool=memcheck", "--undef-value-errors=no"];
    slope(&tool, "total heap usage:", subject, ROUNDS)
}

fn slope(tool: &[&str], before: &str, subject: &[&str], rounds: [u64; 2]) -> Result<f64, Failure> {
    let mut seen = [0.0; 2];
    for (seen, rounds) in seen.iter_mut().zip(rounds) {
        *seen = valgrind(tool, before, subject, rounds)?;
    }
    Ok((seen[1] - seen[0]) / (rounds[1] - rounds[0]) as f64)
}

/// Runs this very program under a tool of valgrind, and reads the number behind `before` in what the tool says.
fn valgrind(tool: &[&str], before: &str, subject: &[&str], rounds: u64) -> Result<f64, Failure> {
    let output = Command::new("valgrind")
        .args(tool)
        .arg(std::env::current_exe()?)
        .arg("--run")
        .args(subject)
        .arg(rounds.to_string())
        .output()
        .map_err(|error| format!("valgrind: {error} (Debian's package is called the same)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let number = said
        .lines()
        .find_map(|line| line.split_once(before))
        .and_then(|(_, behind)| behind.split_whitespace().next())
        .and_then(|number| number.replace(',', "").parse().ok());
    match number {
        Some(number) if output.status.success() => Ok(number),
        _ => Err(format!("valgrind {}: {}\n{said}", tool.join(" "), output.status).into()),
    }
}

/// The answer of a hit; what isn't one is never ready at the first poll.
#[allow(dead_code, reason = "not each bench has a cache")]
pub(crate) fn hit<S>(
    cache: &mut Cache<S>,
    request: Request<Empty<Bytes>>,
) -> Option<Response<ResponseBody<Full<Bytes>>>>
where
    Cache<S>: Service<Request<Empty<Bytes>>, Response = Response<ResponseBody<Full<Bytes>>>>,
{
    let future = pin!(cache.call(request));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => Some(response),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}
