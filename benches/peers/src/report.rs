//! The table.

use crate::{Failure, arguments::Arguments, plot, subjects::Subject};
use std::{fs, path::PathBuf};

/// Collects what was measured.
pub(crate) struct Report {
    how: String,
    plot: PathBuf,
    scenarios: Vec<Table>,
}

/// What one scenario gave.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) target: f64,
    pub(crate) lines: Vec<Line>,
}

/// What a subject did in one scenario.
pub(crate) struct Line {
    pub(crate) subject: Subject,
    pub(crate) rounds: Vec<Figures>,
}

/// What a subject did in one round.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) per_cpu_second: f64,
    /// p50, p99 and p99.9, in milliseconds.
    pub(crate) latencies: [f64; 3],
}

/// What `CacheLayer` in axum must reach of a bare handler.
const IN_AXUM: f64 = 0.97;

impl Line {
    /// The middle one of what each round says.
    pub(crate) fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }
}

impl Table {
    /// The middle one of each round's ratio to the ceiling in that round.
    pub(crate) fn ratio(&self, line: &Line) -> f64 {
        let ceiling = line.subject.ceiling();
        let ceiling = self.lines.iter().find(|line| line.subject == ceiling);
        let ceiling = ceiling.map(|line| &line.rounds[..]).unwrap_or_default();
        let pairs = line.rounds.iter().zip(ceiling);
        median(
            pairs
                .map(|(own, ceiling)| own.per_cpu_second / ceiling.per_cpu_second)
                .collect(),
        )
    }

    fn target(&self, subject: Subject) -> Option<f64> {
        match subject {
            Subject::ReverseProxy => Some(self.target),
            Subject::FrontageAxum => Some(IN_AXUM),
            _ => None,
        }
    }
}

impl Report {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let how = format!(
            "medians of {} rounds of {} s, {} connections",
            arguments.rounds,
            arguments.time.as_secs_f64(),
            arguments.connections
        );
        Self {
            how,
            plot: arguments.plot.clone(),
            scenarios: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &'static str, target: f64, lines: Vec<Line>) {
        self.scenarios.push(Table {
            name,
            target,
            lines,
        });
    }

    /// Prints the table and writes the plot. A target that is missed is a failure.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        println!("Ratios are of requests per CPU second; {}.\n", self.how);
        println!(
            "| keys | subject | beside | requests/s | per CPU second | ratio | p50 ms | p99 ms | p99.9 ms | target | met |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|");
        let mut all_met = true;
        for table in &self.scenarios {
            for line in &table.lines {
                let ratio = table.ratio(line);
                let (target, met) = match table.target(line.subject) {
                    None => (String::new(), ""),
                    Some(target) => {
                        let met = ratio >= target;
                        all_met &= met;
                        (format!("{target:.2}"), if met { "yes" } else { "NO" })
                    }
                };
                let [p50, p99, p999] =
                    [0, 1, 2].map(|at| line.median(|figures| figures.latencies[at]));
                println!(
                    "| {} | {} | {} | {} | {} | {ratio:.3} | {p50:.2} | {p99:.2} | {p999:.2} | {target} | {met} |",
                    table.name,
                    line.subject.name(),
                    line.subject.ceiling().name(),
                    thousands(line.median(|figures| figures.per_second)),
                    thousands(line.median(|figures| figures.per_cpu_second)),
                );
            }
        }
        if let Some(directory) = self.plot.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&self.plot, plot::svg(&self.scenarios, &self.how))?;
        println!("\nplotted in {}", self.plot.display());
        if all_met {
            Ok(())
        } else {
            Err("a target is missed".into())
        }
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A whole number with commas.
pub(crate) fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
