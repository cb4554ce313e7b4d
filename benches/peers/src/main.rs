//! `frontage` beside its peers.

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
mod plot;
mod processes;
mod report;
mod scenarios;
mod serve;
mod sockets;
mod subjects;
mod viewer;

use arguments::{Arguments, USAGE};
use load::{Load, Until};
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
    let [server, size, count] = arguments else {
        return Err("peers load ADDR SIZE COUNT".into());
    };
    let length = size.parse()?;
    let scenarios = scenarios::Scenario::all()?;
    let scenario = scenarios.iter().find(|scenario| scenario.length == length);
    let scenario = scenario.ok_or("there are objects of 1024, 32768 and 1048576 bytes")?;
    let load = Load {
        server: server.parse()?,
        connections: 32,
        requests: &scenario.requests,
        order: &scenario.order,
        length,
    };
    load.run(Until::Answers(count.parse()?), || Ok(()))?;
    Ok(())
}
