//! In-process: a hit through each layer inside an axum router, beside a bare handler.

use crate::{
    Failure,
    content::{Content, SIZES},
    counted, report,
    serve::app,
};
use axum::{Router, body::Body};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;
use tower::Service;

/// Makes the request, as each of the others does.
const REQUEST: &str = "request";
const SUBJECTS: [&str; 4] = [
    "axum",
    "frontage-axum",
    "http-cache-tower-axum",
    "axum-response-cache",
];
/// Under valgrind a layer that copies bodies would take minutes for 1 MiB.
const COUNTED: [usize; 2] = [SIZES[0], SIZES[1]];
const ROUNDS: usize = 21;
const HITS: u32 = 500;

/// A router that has the answer already.
struct Subject {
    app: Option<Router>,
    runtime: Runtime,
    path: String,
}

impl Subject {
    fn new(name: &str, size: usize) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let path = format!("/{size}/hot");
        if name == REQUEST {
            let app = None;
            return Ok(Self { app, runtime, path });
        }
        let mut app = app(name, Arc::new(Content::new()?))?;
        runtime.block_on(async {
            for _ in 0..2 {
                let answer = app.call(request(&path)?).await?;
                let status = answer.status();
                let body = answer.into_body().collect().await?.to_bytes();
                if status != StatusCode::OK || body.len() != size {
                    return Err(format!("{name} answers {status}, {} bytes", body.len()).into());
                }
            }
            let asked = app
                .call(get("/asked")?)
                .await?
                .into_body()
                .collect()
                .await?;
            if name != "axum" && asked.to_bytes() != "1" {
                return Err(format!("{name} doesn't answer from its cache").into());
            }
            Ok::<_, Failure>(())
        })?;
        let app = Some(app);
        Ok(Self { app, runtime, path })
    }

    fn rounds(&mut self, count: u64) -> Result<(), Failure> {
        let Self { app, runtime, path } = self;
        runtime.block_on(async {
            for _ in 0..count {
                let request = request(path)?;
                match app {
                    None => drop(black_box(request)),
                    Some(app) => drop(black_box::<Response<Body>>(app.call(request).await?)),
                }
            }
            Ok(())
        })
    }
}

fn get(path: &str) -> Result<Request<Body>, Failure> {
    Ok(Request::get(path).body(Body::empty())?)
}

/// As a browser asks.
fn request(path: &str) -> Result<Request<Body>, Failure> {
    Ok(Request::get(path)
        .header("host", "www.example.com")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .header("accept", "*/*")
        .header("accept-language", "en-GB,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("referer", "https://www.example.com/")
        .body(Body::empty())?)
}

/// So many hits of a subject, for valgrind to count: `SUBJECT SIZE ROUNDS`.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [name, size, rounds] = arguments else {
        return Err("--run SUBJECT SIZE ROUNDS".into());
    };
    Subject::new(name, size.parse()?)?.rounds(rounds.parse()?)
}

/// Instructions and allocations, net of making the request.
pub(crate) fn count() -> Result<(), Failure> {
    println!("| body | subject | instructions | over the bare handler | allocations |");
    println!("|---|---|---|---|---|");
    for size in COUNTED {
        let cost = |name: &str| {
            let subject = [name, &size.to_string()];
            let counted = |cost: Result<f64, counted::Failure>| cost.map_err(|it| it.to_string());
            Ok::<_, Failure>((
                counted(counted::instructions(&subject))?,
                counted(counted::allocations(&subject))?,
            ))
        };
        let request = cost(REQUEST)?;
        let mut bare = None;
        for name in SUBJECTS {
            let (instructions, allocations) = cost(name)?;
            let (instructions, allocations) = (instructions - request.0, allocations - request.1);
            let bare = *bare.get_or_insert(instructions);
            println!(
                "| {size} | {name} | {} | {} | {allocations:.1} |",
                report::thousands(instructions),
                report::thousands(instructions - bare),
            );
        }
    }
    Ok(())
}

/// Nanoseconds, in turns.
pub(crate) fn time() -> Result<(), Failure> {
    println!("| body | subject | ns | of the bare handler |");
    println!("|---|---|---|---|");
    for size in SIZES {
        let mut subjects = Vec::new();
        for name in [REQUEST].into_iter().chain(SUBJECTS) {
            subjects.push((name, Subject::new(name, size)?, Vec::new()));
        }
        for _ in 0..ROUNDS {
            for (_, subject, took) in &mut subjects {
                let start = Instant::now();
                subject.rounds(HITS.into())?;
                took.push(nanoseconds(start.elapsed()));
            }
        }
        let mut of = |at: usize| {
            let took = subjects
                .get_mut(at)
                .map(|(_, _, took)| std::mem::take(took));
            report::median(took.unwrap_or_default())
        };
        let request = of(0);
        let bare = of(1) - request;
        for (at, name) in SUBJECTS.into_iter().enumerate() {
            let took = if at == 0 { bare } else { of(at + 1) - request };
            println!(
                "| {size} | {name} | {} | {:.2} |",
                report::thousands(took),
                took / bare
            );
        }
    }
    Ok(())
}

/// Of one hit.
fn nanoseconds(all: Duration) -> f64 {
    all.as_nanos() as f64 / f64::from(HITS)
}
