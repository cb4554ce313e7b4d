//! A static site in two private buckets: SigV4, failover, and a cache in front.
//!
//! ```text
//! cargo run --example private_site -- --self-contained
//! AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... cargo run --release --example private_site -- \
//!     --primary my-site --secondary my-site-replica --region eu-west-1 --secondary-region eu-central-1
//! ```

mod arguments;
mod content;
mod control;
mod server;
mod site;
mod store;

use arguments::{Arguments, Bucket, Buckets};
use frontage::{
    CacheLayer, CachePolicy, MemoryStore,
    origin::{
        Credentials, Failover, FailoverCriteria, Origin, OriginAccessControl, OriginGroup,
        OriginService, SigningService,
    },
};
use http::Request;
use hyper::body::Incoming;
use std::{error::Error, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};
use store::{Directory, Stores};
use tokio::{net::TcpListener, signal::unix::SignalKind, sync::watch};
use tower::{Layer, service_fn};
use tracing_subscriber::EnvFilter;

/// So long a viewer waits at most before the secondary is asked.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = match Arguments::from_env() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("private_site: {message}");
            return ExitCode::from(2);
        }
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("private_site: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let listener = bind("--listen", arguments.listen).await?;
    let listen = listener.local_addr()?;
    match arguments.buckets {
        Buckets::Given { primary, secondary } => {
            let group = group(&primary, &secondary, &Credentials::from_env()?)?;
            println!("listening on http://{listen}");
            let stop = stopped()?;
            serve(listener, group, arguments.memory, stop).await;
        }
        Buckets::SelfContained { control } => {
            let control = bind("--control", control).await?;
            let directory = Directory::new()?;
            let stores = Arc::new(Stores::start(&directory).await?);
            let group = group(
                &stores.primary.bucket(),
                &stores.secondary.bucket(),
                &stores.credentials(),
            )?;
            let stop = stopped()?;
            println!("listening on http://{listen}");
            print!("{}", what_to_try(listen, control.local_addr()?, &stores));
            let router = control::router(stores.clone());
            tokio::select! {
                _ = async { tokio::join!(
                    serve(listener, group, arguments.memory, stop.clone()),
                    server::serve(control, router, wait(stop)),
                ) } => {}
                () = control::keyboard(stores) => {}
            }
        }
    }
    Ok(())
}

async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("{flag} {address}: {error}"))
}

/// Says `true` once the process is told to end.
fn stopped() -> std::io::Result<watch::Receiver<bool>> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        sender.send_replace(true);
    });
    Ok(receiver)
}

async fn wait(mut stop: watch::Receiver<bool>) {
    // An error is the end of who would say it.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Both buckets as one origin.
fn group(
    primary: &Bucket,
    secondary: &Bucket,
    credentials: &Credentials,
) -> Result<Failover<OriginService, OriginService>, Box<dyn Error>> {
    let criteria = FailoverCriteria::new([500, 502, 503, 504])?;
    let primary = origin(primary, credentials)?;
    let secondary = origin(secondary, credentials)?;
    Ok(OriginGroup::new(primary, secondary, criteria).build()?)
}

fn origin(bucket: &Bucket, credentials: &Credentials) -> Result<Origin, Box<dyn Error>> {
    let origin = match &bucket.endpoint {
        None => Origin::s3(&bucket.name, &bucket.region),
        Some(endpoint) => {
            let url = format!("{}/{}", endpoint.trim_end_matches('/'), bucket.name);
            Origin::url(&url)?.signing(SigningService::S3, Some(&bucket.region))
        }
    };
    Ok(origin
        .access_control(OriginAccessControl::always(credentials.clone()))
        .connection_timeout(CONNECTION_TIMEOUT)
        .connection_attempts(1)
        .response_timeout(RESPONSE_TIMEOUT))
}

/// The site: a cache over the group.
async fn serve(
    listener: TcpListener,
    group: Failover<OriginService, OriginService>,
    memory: u64,
    stop: watch::Receiver<bool>,
) {
    // A bucket seldom says how long an object lives: this policy's answer is a day.
    let layer = CacheLayer::new(MemoryStore::new(memory)).policy(CachePolicy::caching_optimized());
    let cache = layer.layer(group);
    let service =
        service_fn(move |request: Request<Incoming>| site::answer(cache.clone(), request));
    server::serve(listener, service, wait(stop)).await;
}

fn what_to_try(listen: SocketAddr, control: SocketAddr, stores: &Stores) -> String {
    format!(
        "control on http://{control}

Try, with another terminal:

  curl -i http://{listen}/
      a private page; once more, and cache-status says hit
  curl -i {direct}
      the same page, of the bucket itself: 403, since this request isn't signed
  curl http://{control}
      how many requests each bucket got
  curl -r 8000-8015 http://{listen}/numbers.txt
      a range

  curl -X POST http://{control}/primary/503
      from now on the primary answers 503
  curl -X POST http://{control}/primary/refuse
      or refuses connections
  curl -i http://{listen}/about/
      not cached yet: the secondary answers, and what is cached is still a hit
  curl -X POST http://{control}/primary/up

Or type 503, refuse or up here, and Enter.

",
        direct = stores.primary.url("index.html"),
    )
}
