//! The second port of `--self-contained`, and the keyboard: how many requests each bucket got, and its primary down and up.

use crate::store::{State, Stores};
use axum::{
    Router,
    extract::{Path, State as Shared},
    http::StatusCode,
    routing::{get, post},
};
use std::{
    io::{BufRead, IsTerminal},
    sync::Arc,
};
use tokio::sync::mpsc;

/// `GET /` shows the buckets, `POST /primary/STATE` changes the primary.
pub(crate) fn router(stores: Arc<Stores>) -> Router {
    Router::new()
        .route("/", get(show))
        .route("/primary/{state}", post(set))
        .with_state(stores)
}

async fn show(Shared(stores): Shared<Arc<Stores>>) -> String {
    stores.to_string()
}

async fn set(
    Shared(stores): Shared<Arc<Stores>>,
    Path(name): Path<String>,
) -> (StatusCode, String) {
    let Some(state) = State::named(&name) else {
        let message = format!("{name:?} is none of up, 503 and refuse\n");
        return (StatusCode::NOT_FOUND, message);
    };
    match stores.primary.set(state).await {
        Ok(()) => (StatusCode::OK, stores.to_string()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Does what is typed, where somebody can type.
pub(crate) async fn keyboard(stores: Arc<Stores>) {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let name = line.trim();
        match State::named(name) {
            Some(state) => {
                if let Err(error) = stores.primary.set(state).await {
                    eprintln!("private_site: {error}");
                }
            }
            None if name.is_empty() => {}
            None => println!("up, 503 or refuse, and Enter"),
        }
        print!("{stores}");
    }
    // Nothing comes from there, or nothing more.
    std::future::pending().await
}

fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    if std::io::stdin().is_terminal() {
        // A thread of its own: the runtime would wait for one of its own to end.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}
