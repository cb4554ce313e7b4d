//! Edges, origin shields and an origin in one command, with a live table of who answered what.
//!
//! ```text
//! cargo run --release --example edge_and_shield
//! cargo run --release --example edge_and_shield -- --edges 8 --shields 3 --requests-per-second 2000
//! ```
//!
//! Each has a listener of its own, as if it were a process on a machine of its own; the addresses are printed, with what to try.
//! Each object is fetched from the origin once, whatever the number of edges. Without shields each edge fetches it:
//!
//! ```text
//! cargo run --release --example edge_and_shield -- --shields 0
//! ```
//!
//! While it runs, with another terminal: end a shield, and start it again. Its keys, and no others, go to the next shield and come
//! back; no viewer sees an error.
//!
//! ```text
//! curl -X POST http://127.0.0.1:8081/shields/1/down
//! curl -X POST http://127.0.0.1:8081/shields/1/up
//! ```

mod arguments;
mod control;
mod counts;
mod edge;
mod load;
mod network;
mod objects;
mod origin;
mod screen;
mod server;
mod shield;
mod table;

use arguments::Arguments;
use load::Load;
use network::Network;
use screen::Screen;
use server::Server;
use std::{error::Error, io::IsTerminal, process::ExitCode, sync::Arc, time::Duration};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_unset| {
            // Nothing is written into the table.
            let is_shown = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
            EnvFilter::new(if is_shown { "off" } else { "warn" })
        }))
        .with_writer(std::io::stderr)
        .init();
    let arguments = match Arguments::from_env() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("edge_and_shield: {message}");
            return ExitCode::from(2);
        }
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edge_and_shield: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let stopped = stopped(arguments.duration)?;
    let control = TcpListener::bind(arguments.control)
        .await
        .map_err(|error| format!("--control {}: {error}", arguments.control))?;
    let control_url = server::url(&control)?;
    let load = Arc::new(Load::default());
    let network = Arc::new(Network::start(&arguments, load.clone()).await?);
    let control = Server::start(control, control::router(network.clone()));
    let mut screen = Screen::new();
    screen.print(&what_to_try(&network, &control_url))?;

    let rate = arguments.requests_per_second;
    let edges = network.edge_urls();
    let loading = load::run(load, edges, arguments.objects, rate, stopped);
    tokio::select! {
        () = loading => {}
        drawn = screen.live(&network) => drawn?,
    }
    screen.last(&network)?;
    control.stop().await;
    network.stop().await;
    Ok(())
}

/// Ends after this time, or once the process is told to end.
fn stopped(duration: Option<Duration>) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let over = async move {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = over => {}
        }
    })
}

fn what_to_try(network: &Network, control: &str) -> String {
    let mut text = network.to_string();
    text.push_str(&format!(
        "\
control on {control}

Each row says how many requests came, and who answered them: the cache itself
(hits), a fetch that was under way for another (shared), a shield's cache, or
the origin. Try, with another terminal:

  curl -si {edge}/objects/1 | head
      cache-status says who answered: once more, and then at another edge
",
        edge = network.edge_url(),
    ));
    if network.has_shields() {
        text.push_str(&format!(
            "  \
  curl -X POST {control}/shields/1/down
  curl -X POST {control}/shields/1/up
      its keys go to the next shield, and come back some seconds after it
"
        ));
    }
    text.push_str(&format!(
        "  \
  curl {control}/
      this table; {control}/json has it for programs

"
    ));
    text
}
