//! The run: load, samples, and what they must come to.

use crate::{
    Failure,
    ask::Ask,
    connection::{Connection, Kind},
    object::Object,
    process::{Sample, mib},
    processes::{Server, check_file_limit},
    tally::{Came, Counts, Tally},
    viewer::Viewer,
};
use std::time::Duration;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};

const CAP: u64 = 64 << 20;
/// What the proxy may have besides the store: code, heaps that are not quite full, and so much for each viewer.
const ALLOWANCE: u64 = 48 << 20;
const FOR_EACH: u64 = 64 << 10;
/// How much more the last third may take than the one before.
const GROWTH: f64 = 1.05;
const GROWTH_MORE: u64 = 4 << 20;
/// From the end of the load until the last viewer is done, the slow ones, too.
const LAST: Duration = Duration::from_secs(90);
/// The connections to the origin are kept for 5 s.
const UNTIL_IDLE: Duration = Duration::from_secs(30);
const ROWS: usize = 12;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) viewers: u64,
}

pub(crate) async fn run(plan: Plan) -> Result<(), Failure> {
    let viewers = usize::try_from(plan.viewers)?;
    check_file_limit(2 * viewers)?;
    let origin = Server::this("--origin").await?;
    let cap = CAP.to_string();
    let proxy = Server::proxy(origin.address, &["--memory", &cap, "--max-fetches", "256"]).await?;
    println!("{plan:?}\n");
    let tally = Tally::default();
    let began = Instant::now();
    let idle = Sample::take(&proxy, began, 0)?;

    let until = began + Duration::from_secs(plan.seconds);
    let mut load = JoinSet::new();
    for number in 0..plan.viewers {
        load.spawn(Viewer::new(plan.seed, number, proxy.address, tally.clone()).run(until));
    }
    let samples = watch(&proxy, &tally, began, until).await?;
    let ended = timeout(LAST, async { while load.join_next().await.is_some() {} }).await;
    let left = load.len();
    ended.map_err(|_elapsed| format!("{left} viewers still wait"))?;
    drop(load);
    let after = until_idle(&proxy, &tally, began, idle).await?;
    last_request(&proxy).await?;

    println!("{}\n{idle}", Sample::HEAD);
    let step = samples.len().div_ceil(ROWS).max(1);
    for sample in samples.iter().skip(step - 1).step_by(step) {
        println!("{sample}");
    }
    println!("{after}\n");
    let counts = tally.counts();
    show(&counts, plan.seconds);
    check(&samples, plan.viewers, &counts)
}

async fn watch(
    proxy: &Server,
    tally: &Tally,
    began: Instant,
    until: Instant,
) -> Result<Vec<Sample>, Failure> {
    let mut samples = Vec::new();
    let mut ticks = interval((until - began) / 120);
    while Instant::now() < until {
        ticks.tick().await;
        samples.push(Sample::take(proxy, began, tally.counts().answers)?);
    }
    Ok(samples)
}

/// Waits until the proxy has as many descriptors as before.
async fn until_idle(
    proxy: &Server,
    tally: &Tally,
    began: Instant,
    idle: Sample,
) -> Result<Sample, Failure> {
    let since = Instant::now();
    loop {
        let sample = Sample::take(proxy, began, tally.counts().answers)?;
        if sample.descriptors <= idle.descriptors {
            return Ok(sample);
        }
        if since.elapsed() > UNTIL_IDLE {
            let (left, before) = (sample.descriptors, idle.descriptors);
            return Err(format!("{left} descriptors are open, {before} were before").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// After all that the cache is one.
async fn last_request(proxy: &Server) -> Result<(), Failure> {
    let ask = Ask::simple(Object::that_stays().ok_or("nothing stays")?);
    let mut connection = Connection::open(proxy.address, Kind::Http1).await?;
    let mut hit = false;
    for answer in connection.answers(&[ask.clone(), ask]).await {
        hit = answer?.is_hit;
    }
    match hit {
        true => Ok(()),
        false => Err("the last request is no hit".into()),
    }
}

fn show(counts: &Counts, seconds: u64) {
    let came = |came: Came| counts.came[came as usize];
    println!("| answers | |\n|---|---|");
    for (what, count) in [
        ("in all", counts.answers),
        ("each second", counts.answers / seconds.max(1)),
        ("hits", counts.hits),
        ("whole, and right", came(Came::Whole)),
        ("ranges, and right", came(Came::Part)),
        ("304", came(Came::NotModified)),
        ("416", came(Came::Unsatisfiable)),
        ("5xx, where the origin failed", came(Came::Error)),
        ("cut off, where the origin did", came(Came::Aborted)),
        ("whose viewer left", came(Came::Left)),
        ("wrong", counts.wrong),
        ("MiB of bodies", counts.bytes >> 20),
        ("connections", counts.connections),
        ("half requests", counts.half_requests),
    ] {
        println!("| {what} | {count} |");
    }
    println!();
}

fn check(samples: &[Sample], viewers: u64, counts: &Counts) -> Result<(), Failure> {
    if counts.wrong > 0 {
        return Err(format!("{} answers were wrong", counts.wrong).into());
    }
    let third = samples.len() / 3;
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
    let most = samples.iter().map(|sample| sample.resident).max();
    let (most, bound) = (most.unwrap_or(0), CAP + ALLOWANCE + FOR_EACH * viewers);
    println!(
        "resident at most {:.1} MiB; allowed {:.1}",
        mib(most),
        mib(bound)
    );
    if most > bound {
        return Err("it took more memory than it may".into());
    }
    let resident = |sample: &Sample| sample.resident;
    let descriptors = |sample: &Sample| sample.descriptors as u64;
    grows_not("resident bytes", middle, last, resident, GROWTH_MORE)?;
    grows_not("descriptors", middle, last, descriptors, viewers / 20)?;
    let came = |came: Came| counts.came[came as usize];
    // All that it is to see has been there.
    let seen = [
        Came::Whole,
        Came::Part,
        Came::NotModified,
        Came::Error,
        Came::Aborted,
        Came::Left,
    ];
    match seen.into_iter().find(|kind| came(*kind) == 0) {
        Some(kind) => {
            Err(format!("no answer was {kind:?}: the load isn't what it should be").into())
        }
        None => Ok(()),
    }
}

fn grows_not(
    what: &str,
    middle: &[Sample],
    last: &[Sample],
    figure: impl Fn(&Sample) -> u64,
    more: u64,
) -> Result<(), Failure> {
    let median = |samples: &[Sample]| {
        let mut figures: Vec<u64> = samples.iter().map(&figure).collect();
        figures.sort_unstable();
        figures.get(figures.len() / 2).copied().unwrap_or(0)
    };
    let (before, after) = (median(middle), median(last));
    let bound = (before as f64 * GROWTH) as u64 + more;
    println!(
        "{what}, medians of the middle and the last third: {before}, {after}; allowed {bound}"
    );
    match after > bound {
        true => Err(format!("{what} grow").into()),
        false => Ok(()),
    }
}
