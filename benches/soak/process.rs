//! What is seen of the proxy from outside.

use crate::{Failure, processes::Server};
use std::fmt;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) resident: u64,
    pub(crate) descriptors: usize,
    threads: u64,
    pub(crate) answers: u64,
}

impl Sample {
    pub(crate) const HEAD: &str =
        "| s | resident, MiB | descriptors | threads | answers |\n|---|---|---|---|---|";

    pub(crate) fn take(proxy: &Server, since: Instant, answers: u64) -> Result<Self, Failure> {
        let status = proxy.read("status")?;
        let threads = status
            .lines()
            .find_map(|line| line.strip_prefix("Threads:"));
        Ok(Self {
            seconds: since.elapsed().as_secs_f64(),
            resident: proxy.resident()?,
            descriptors: std::fs::read_dir(proxy.directory()?.join("fd"))?.count(),
            threads: threads.ok_or("no Threads")?.trim().parse()?,
            answers,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {:.0} | {:.1} | {} | {} | {} |",
            self.seconds,
            mib(self.resident),
            self.descriptors,
            self.threads,
            self.answers
        )
    }
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
