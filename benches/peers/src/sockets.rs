//! The run over sockets: all servers at once, and a load that goes from one to the next.

use crate::{
    Failure,
    arguments::Arguments,
    content,
    load::{Load, Requests, Until},
    processes::{Guard, Server},
    report::{Figures, Line, Report},
    scenarios::Scenario,
    serve::MEMORY,
    subjects::{self, Subject},
    viewer::Viewer,
};
use std::{process::Command, time::Duration};

/// What the round before left behind (connections to close, the cache's own tasks) is over by then.
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);

/// A subject that runs.
struct Running {
    subject: Subject,
    server: Server,
    /// Who counts what the subject couldn't answer by itself.
    counter: Server,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let subjects = arguments.subjects();
    for subject in &subjects {
        subject.build()?;
    }
    let _guard = Guard::new()?;
    pin(arguments.cpu)?;
    let origin = subjects::start_origin()?;
    let mut running = Vec::new();
    for subject in subjects {
        let server = subject.start(origin.address, MEMORY)?;
        let counter = if subject.is_proxy() { origin } else { server };
        running.push(Running {
            subject,
            server,
            counter,
        });
    }
    let mut report = Report::new(arguments);
    for scenario in Scenario::all()? {
        for running in &running {
            let subject = running.subject.name();
            running
                .fill(&scenario)
                .map_err(|error| format!("{subject}, {}: {error}", scenario.name))?;
        }
        let mut figures = vec![Vec::new(); running.len()];
        for round in 0..arguments.rounds {
            for at in 0..running.len() {
                // Nobody always comes behind the same one.
                let at = (at + round) % running.len();
                if let (Some(running), Some(figures)) = (running.get(at), figures.get_mut(at)) {
                    let subject = running.subject.name();
                    let measured = running
                        .measure(&scenario, arguments)
                        .map_err(|error| format!("{subject}, {}: {error}", scenario.name))?;
                    figures.push(measured);
                }
            }
            eprintln!(
                "{}: round {} of {}",
                scenario.name,
                round + 1,
                arguments.rounds
            );
        }
        let lines = running.iter().zip(figures);
        let lines = lines.map(|(running, rounds)| Line {
            subject: running.subject,
            rounds,
        });
        report.add(scenario.name, scenario.target, lines.collect());
    }
    report.finish()
}

/// This thread, and all that it starts from now on.
pub(crate) fn pin(cpu: usize) -> Result<(), Failure> {
    let this = std::process::id().to_string();
    let output = Command::new("taskset")
        .args(["-a", "-cp", &cpu.to_string(), &this])
        .output()
        .map_err(|error| format!("taskset: {error} (Debian's package is called util-linux)"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().into())
    }
}

impl Running {
    /// Asks for everything twice: the second time the subject must know it.
    fn fill(&self, scenario: &Scenario) -> Result<(), Failure> {
        let mut viewer = Viewer::new(self.server.address)?;
        let mut counter = Viewer::new(self.counter.address)?;
        let mut after_first = 0;
        for round in 0..2 {
            for (path, request) in scenario.paths.iter().zip(&scenario.requests) {
                let answer = viewer.ask(request)?;
                let is_whole = answer.head.starts_with("http/1.1 200 ")
                    && answer.body.len() == scenario.length
                    && answer.body.iter().all(|byte| *byte == b'x');
                let tag = answer.field("etag");
                let is_right = !self.subject.is_proxy() || tag == Some(&content::tag(path));
                if !is_whole || !is_right {
                    return Err(format!("{path} was answered by {}", answer.head).into());
                }
            }
            if round == 0 && !self.subject.is_ceiling() {
                after_first = counter.asked()?;
            }
        }
        if self.subject.is_ceiling() || counter.asked()? == after_first {
            Ok(())
        } else {
            Err("it doesn't answer from its cache".into())
        }
    }

    fn measure(&self, scenario: &Scenario, arguments: &Arguments) -> Result<Figures, Failure> {
        let load = Load {
            server: self.server.address,
            connections: arguments.connections,
            requests: Requests::of(scenario),
            length: scenario.length,
        };
        let mut counter = Viewer::new(self.counter.address)?;
        let is_counted = !self.subject.is_ceiling();
        let before = if is_counted { counter.asked()? } else { 0 };
        let until = Until::Time {
            warm_up: WARM_UP,
            measured: arguments.time,
        };
        let seen = load.run(until, || self.server.cpu_time())?;
        if is_counted && counter.asked()? != before {
            return Err("not all were hits".into());
        }
        let [start, end] = seen.probes;
        let answers = seen.latencies.len() as f64;
        Ok(Figures {
            per_second: answers / seen.time.as_secs_f64(),
            per_cpu_second: answers / end.saturating_sub(start).as_secs_f64(),
            latencies: [0.5, 0.99, 0.999].map(|share| seen.percentile(share)),
        })
    }
}
