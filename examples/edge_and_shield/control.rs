//! The control port: the table, and shields down and up.

use crate::network::Network;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use std::sync::Arc;

/// `GET /` and `GET /json` show the table, `POST /shields/NUMBER/STATE` takes a shield down or up.
pub(crate) fn router(network: Arc<Network>) -> Router {
    Router::new()
        .route("/", get(show))
        .route("/json", get(show_json))
        .route("/shields/{number}/{state}", post(set))
        .with_state(network)
}

async fn show(State(network): State<Arc<Network>>) -> String {
    network.table().to_string()
}

async fn show_json(State(network): State<Arc<Network>>) -> Json<serde_json::Value> {
    Json(network.table().json())
}

async fn set(
    State(network): State<Arc<Network>>,
    Path((number, state)): Path<(String, String)>,
) -> (StatusCode, String) {
    let shield = number.parse().ok();
    let Some(shield) = shield.and_then(|number| network.shield(number)) else {
        return (StatusCode::NOT_FOUND, format!("no shield {number:?}\n"));
    };
    match state.as_str() {
        "down" => shield.down().await,
        "up" => {
            if let Err(error) = shield.up().await {
                return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
            }
        }
        _ => {
            let message = format!("{state:?} is neither down nor up\n");
            return (StatusCode::NOT_FOUND, message);
        }
    }
    (StatusCode::OK, format!("shield {number} is {state}\n"))
}
