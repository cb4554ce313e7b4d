//! The load: viewers who ask all edges evenly, and for some objects much more often than for others.

use crate::{objects, table::Answers};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, interval, timeout},
};
use tower::BoxError;

/// How many requests are under way at most; what would be more isn't sent.
const MOST_AT_ONCE: u32 = 512;
const TICK: Duration = Duration::from_millis(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the viewers got.
#[derive(Debug, Default)]
pub(crate) struct Load {
    right: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    pub(crate) fn answers(&self) -> Answers {
        Answers {
            right: self.right.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// Asks until it is stopped, and then waits for what is under way.
pub(crate) async fn run(
    load: Arc<Load>,
    edges: Vec<String>,
    objects: usize,
    per_second: u64,
    stop: impl Future<Output = ()>,
) {
    let mut stop = pin!(stop);
    let client = Client::builder(TokioExecutor::new()).build_http();
    let permits = Arc::new(Semaphore::new(MOST_AT_ONCE as usize));
    let choice = Choice::new(objects);
    let mut random = Random(0);
    let mut edge = edges.iter().cycle();
    let (start, mut sent) = (Instant::now(), 0_u64);
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            _ = ticks.tick() => {}
        }
        let due = start.elapsed().as_millis() * u128::from(per_second) / 1000;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        while sent < due {
            let Ok(permit) = permits.clone().try_acquire_owned() else {
                sent = due;
                break;
            };
            sent = sent.saturating_add(1);
            let Some(edge) = edge.next() else { break };
            let object = choice.of(random.next());
            let url = format!("{edge}{}", objects::path(object));
            let (client, load) = (client.clone(), load.clone());
            tokio::spawn(async move {
                load.ask(&client, &url, object).await;
                drop(permit);
            });
        }
    }
    // It is never closed.
    drop(permits.acquire_many(MOST_AT_ONCE).await);
}

type Viewer = Client<HttpConnector, Empty<Bytes>>;

impl Load {
    async fn ask(&self, client: &Viewer, url: &str, object: usize) {
        let asked = timeout(REQUEST_TIMEOUT, ask(client, url)).await;
        let is_right = match asked {
            Ok(Ok((StatusCode::OK, body))) => body == objects::content(object),
            Ok(Ok((status, _))) => {
                tracing::warn!(url, status = status.as_u16(), "a viewer met an error");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(url, error, "a viewer got no answer");
                false
            }
            Err(_elapsed) => {
                tracing::warn!(url, "a viewer waited in vain");
                false
            }
        };
        let count = if is_right { &self.right } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ask(client: &Viewer, url: &str) -> Result<(StatusCode, Bytes), BoxError> {
    let response = client
        .request(Request::get(url).body(Empty::new())?)
        .await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, body))
}

/// Chooses the first object twice as often as the second, three times as often as the third, and so on (Zipf).
#[derive(Debug)]
struct Choice {
    /// The sums of the shares up to each.
    sums: Box<[f64]>,
}

impl Choice {
    fn new(objects: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=u32::try_from(objects).unwrap_or(u32::MAX)).map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        });
        Self {
            sums: sums.collect(),
        }
    }

    /// The object of a random number.
    fn of(&self, random: u32) -> usize {
        let all = self.sums.last().copied().unwrap_or_default();
        let at = all * f64::from(random) / (f64::from(u32::MAX) + 1.0);
        self.sums.partition_point(|sum| *sum <= at)
    }
}

/// SplitMix64: the same numbers in each run.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_chosen_as_often_as_its_rank_says() {
        const TIMES: u32 = 100_000;
        let (choice, mut random) = (Choice::new(10), Random(0));
        let mut chosen = [0_u32; 10];
        for _ in 0..TIMES {
            chosen[choice.of(random.next())] += 1;
        }
        let all: f64 = (1..=10).map(|rank| 1.0 / f64::from(rank)).sum();
        for (rank, times) in (1..).zip(chosen) {
            let expected = f64::from(TIMES) / all / f64::from(rank);
            let off = (f64::from(times) - expected).abs();
            // Five standard deviations.
            assert!(off < 5.0 * expected.sqrt(), "{rank}: {chosen:?}");
        }
    }

    #[test]
    fn the_ends_are_objects() {
        for objects in [1, 2, 10_000] {
            let choice = Choice::new(objects);
            assert_eq!(choice.of(0), 0);
            assert_eq!(choice.of(u32::MAX), objects - 1);
        }
    }
}
