//! What an `Origin` adds to a bare client.
//!
//! ```text
//! cargo bench --bench origin                      # time, by criterion
//! cargo bench --bench origin -- --instructions    # instructions, by valgrind
//! ```
//!
//! # How it is measured
//!
//! *Bare*: hyper-util's client with the request as it is. *Origin*: an `Origin` with its defaults, which rewrites the request, times
//! the answer and rewrites that. Both over the same pipe in memory, kept open, to a task of the same thread that reads each
//! request up to its blank line and writes an answer of 64 bytes: it counts for both. The request has the six fields of a
//! browser.

mod counted;

use bytes::Bytes;
use counted::{Bench, Failure, instructions};
use criterion::Criterion;
use frontage::origin::{Origin, OriginService};
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use std::{
    future::{Ready, ready},
    hint::black_box,
    io,
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::Runtime,
};
use tower::{Service, ServiceExt};

/// An origin may take so much more than a bare client.
const TOLERANCE: f64 = 1.10;

fn main() -> ExitCode {
    let bench = Bench {
        name: "origin",
        run,
        count,
        time,
    };
    bench.main()
}

/// Makes pipes to a task that answers.
#[derive(Clone)]
struct Pipes;

impl Service<Uri> for Pipes {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let (near, far) = tokio::io::duplex(16 << 10);
        tokio::spawn(answer(far));
        ready(Ok(Pipe(TokioIo::new(near))))
    }
}

async fn answer(mut pipe: DuplexStream) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=60\r\ncontent-length: 64\r\n\r\n";
    let answer = [head.as_bytes(), &[b'x'; 64]].concat();
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let read = pipe.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            pipe.write_all(&answer).await?;
        }
    }
}

struct Pipe(TokioIo<DuplexStream>);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

enum What {
    Bare(Box<Client<Pipes, Empty<Bytes>>>),
    Origin(OriginService),
}

struct Subject {
    runtime: Runtime,
    what: What,
    request: Request<Empty<Bytes>>,
}

impl Subject {
    fn new(what: &str) -> Result<Self, Failure> {
        let what = match what {
            "bare" => What::Bare(Box::new(
                Client::builder(TokioExecutor::new())
                    .pool_timer(TokioTimer::new())
                    .pool_idle_timeout(Duration::from_secs(5))
                    .build(Pipes),
            )),
            "origin" => What::Origin(Origin::connector("www.example.com", Pipes).build()?),
            _ => return Err("no such subject".into()),
        };
        let request = Request::get("http://www.example.com/assets/app/main.3f9c2b7a.js?v=20260101")
            .header(header::HOST, "www.example.com")
            .header(
                header::USER_AGENT,
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            )
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_LANGUAGE, "en-GB,en;q=0.5")
            .header(header::ACCEPT_ENCODING, "gzip, deflate, br, zstd")
            .header(header::REFERER, "https://www.example.com/")
            .body(Empty::new())?;
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            what,
            request,
        })
    }

    fn round(&self) -> Result<(), Failure> {
        let request = black_box(&self.request).clone();
        let body = self.runtime.block_on(async {
            Ok::<_, Failure>(match &self.what {
                What::Bare(client) => client
                    .request(request)
                    .await?
                    .into_body()
                    .collect()
                    .await?
                    .to_bytes(),
                What::Origin(service) => {
                    let response = service.clone().oneshot(request).await?;
                    response.into_body().collect().await?.to_bytes()
                }
            })
        })?;
        match black_box(body).len() {
            64 => Ok(()),
            _ => Err("not answered as it should be".into()),
        }
    }
}

fn run(subject: &[String], rounds: u64) -> Result<(), Failure> {
    let [what] = subject else {
        return Err("WHAT".into());
    };
    let subject = Subject::new(what)?;
    for _ in 0..rounds {
        subject.round()?;
    }
    Ok(())
}

fn count() -> Result<(), Failure> {
    let (bare, origin) = (instructions(&["bare"])?, instructions(&["origin"])?);
    let ratio = origin / bare;
    println!("| bare | origin | of the bare one | at most |");
    println!("|---|---|---|---|");
    println!("| {bare:.0} | {origin:.0} | {ratio:.3} | {TOLERANCE:.2} |");
    match ratio <= TOLERANCE {
        true => Ok(()),
        false => Err("the target is missed".into()),
    }
}

fn time() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("a request");
    for what in ["bare", "origin"] {
        let subject = Subject::new(what)?;
        group.bench_function(what, |bencher| bencher.iter(|| subject.round()));
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
