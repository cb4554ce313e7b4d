//! The page with the player: three files, compiled in; and what it asks for while it plays.

use crate::{Edge, recording, sound};
use axum::{
    Json,
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::IntoResponse,
};
use frontage::invalidation::Invalidation;
use serde_json::json;
use std::sync::Arc;

/// `/`
pub(crate) async fn html() -> impl IntoResponse {
    file("text/html; charset=utf-8", include_str!("page/page.html"))
}

/// `/page.css`
pub(crate) async fn css() -> impl IntoResponse {
    file("text/css; charset=utf-8", include_str!("page/page.css"))
}

/// `/page.js`
pub(crate) async fn js() -> impl IntoResponse {
    file(
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    )
}

/// Not to be reused unasked: the next build of the example may have another page.
fn file(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-cache")],
        text,
    )
}

/// `/recording.json`: what doesn't change while the page is open.
pub(crate) async fn recording(State(edge): State<Arc<Edge>>) -> impl IntoResponse {
    let chords = sound::CHORDS.each_ref().map(|chord| chord.name);
    let facts = json!({
        "seconds": edge.recording.seconds(),
        "length": edge.recording.length(),
        "header": recording::HEADER,
        "bytesPerSecond": recording::BYTES_PER_SECOND,
        "blockSize": edge.block_size,
        "blocks": edge.counts.blocks(),
        "originDelay": edge.origin_delay.as_millis() as u64,
        "chordSeconds": sound::CHORD_SECONDS,
        "chords": chords,
    });
    ([(CACHE_CONTROL, "no-store")], Json(facts))
}

/// `/counts.json`: what has happened so far.
pub(crate) async fn counts(State(edge): State<Arc<Edge>>) -> impl IntoResponse {
    let core = edge.cache.core();
    let (fetches, memory) = (core.fetches(), core.store().usage());
    let counts = json!({
        "viewer": { "requests": edge.counts.requests(), "bytes": edge.counts.bytes() },
        "cache": edge.counts.answers(),
        "memory": { "used": memory.used, "capacity": memory.capacity, "evictions": memory.evictions },
        "origin": { "requests": edge.origin.requests(), "bytes": edge.origin.bytes(), "underWay": fetches },
    });
    ([(CACHE_CONTROL, "no-store")], Json(counts))
}

/// `POST /clear`: nothing that is stored is used any more, and all counts are zero.
pub(crate) async fn clear(State(edge): State<Arc<Edge>>) -> StatusCode {
    let invalidator = edge.cache.core().invalidator();
    invalidator.issue(&Invalidation::everything());
    edge.counts.reset();
    edge.origin.reset();
    StatusCode::NO_CONTENT
}
