//! The command line of the run over sockets.

use crate::{Failure, subjects::Subject};
use std::{path::PathBuf, time::Duration};

pub(crate) const USAGE: &str = "\
Measures frontage beside its peers.

usage: peers sockets [--rounds N] [--seconds S] [--connections N] [--cpu N] [--without NAME,...] [--only NAME,...] [--plot FILE]
       peers misses [--rounds N] [--seconds S] [--connections N] [--cpu N]
       peers hits [--instructions]
       peers load [--new] ADDR SIZE COUNT

  sockets          servers and load on one CPU
    --rounds N       how often each is measured (default 5)
    --seconds S      how long each time (default 2)
    --connections N  of the load (default 32)
    --cpu N          which CPU (default: the last)
    --without NAMES  whom to leave out, such as nginx,varnish
    --only NAMES     whom to measure, beside the ceilings
    --plot FILE      where the plot goes (default: target/peers.svg of this package)
  misses           likewise: reverse_proxy beside a plain proxy, each request for what nobody asked for before
  hits             in-process: time; with --instructions: instructions and allocations, by valgrind
  load             so many requests for one object of so many bytes, or each for a new one: for a profile of a server. Zipf for
                   SIZE: for the 10,000 on the curve
";

/// What the command line says.
pub(crate) struct Arguments {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) connections: usize,
    pub(crate) cpu: usize,
    pub(crate) plot: PathBuf,
    without: Vec<Subject>,
    only: Option<Vec<Subject>>,
}

impl Arguments {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut parsed = Self {
            rounds: 5,
            time: Duration::from_secs(2),
            connections: 32,
            cpu: std::thread::available_parallelism()?.get() - 1,
            plot: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers.svg")),
            without: Vec::new(),
            only: None,
        };
        let mut arguments = arguments.iter();
        while let Some(flag) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("{flag} needs a value"))?;
            let wrong = |error: &dyn std::fmt::Display| format!("{flag} {value:?}: {error}");
            match flag.as_str() {
                "--rounds" => parsed.rounds = value.parse().map_err(|error| wrong(&error))?,
                "--seconds" => {
                    let seconds = value.parse().map_err(|error| wrong(&error))?;
                    parsed.time =
                        Duration::try_from_secs_f64(seconds).map_err(|error| wrong(&error))?;
                }
                "--connections" => {
                    parsed.connections = value.parse().map_err(|error| wrong(&error))?;
                }
                "--cpu" => parsed.cpu = value.parse().map_err(|error| wrong(&error))?,
                "--plot" => parsed.plot = value.into(),
                "--without" => parsed.without = names(value)?,
                "--only" => parsed.only = Some(names(value)?),
                _ => return Err(format!("unknown argument {flag:?}\n\n{USAGE}").into()),
            }
        }
        if parsed.rounds == 0 || parsed.connections == 0 || parsed.time.is_zero() {
            return Err("--rounds, --seconds and --connections must be more than 0".into());
        }
        Ok(parsed)
    }

    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let is_asked_for = |subject: &Subject| {
            let is_named = self.only.as_ref().is_none_or(|only| only.contains(subject));
            subject.is_ceiling() || (is_named && !self.without.contains(subject))
        };
        Subject::ALL.into_iter().filter(is_asked_for).collect()
    }
}

fn names(value: &str) -> Result<Vec<Subject>, Failure> {
    let subject = |name: &str| {
        let known = || Subject::ALL.map(Subject::name).join(", ");
        Subject::called(name).ok_or_else(|| format!("{name:?} is none of {}", known()).into())
    };
    value.split(',').map(subject).collect()
}
