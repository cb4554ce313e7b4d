//! The two routes that are more than a file: a tile, and how many were drawn.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task;
use tokio::time::Instant;

use crate::address::{AddressError, TileAddress};
use crate::render::{self, RenderError};
use crate::world::World;

/// For an hour the cache may answer; a browser asks each time, so that the page shows what the
/// cache does and not what the browser remembers.
const TILE_CACHING: &str = "public, max-age=0, s-maxage=3600";

/// What the routes share.
pub(crate) struct Tiles {
    world: World,
    /// As many tiles are drawn at once as there are cores; more would only make all of them late.
    cores: Arc<Semaphore>,
    rendered: AtomicU64,
    render_micros: AtomicU64,
}

impl Tiles {
    pub(crate) fn new(world: World) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            world,
            cores: Arc::new(Semaphore::new(cores)),
            rendered: AtomicU64::new(0),
            render_micros: AtomicU64::new(0),
        }
    }

    /// Draws on a thread where that holds nobody up; the tile and how many milliseconds it took.
    async fn draw(self: Arc<Self>, address: TileAddress) -> Result<(Vec<u8>, f64), Problem> {
        let Ok(core) = Arc::clone(&self.cores).acquire_owned().await else {
            // Nobody closes the semaphore.
            return Err(Problem::Stopped);
        };
        let drawing = task::spawn_blocking(move || {
            // The drawing holds its core to its end even if nobody waits for it any more.
            let _core = core;
            let begun = Instant::now();
            let png = render::render(&self.world, &address)?;
            let took = begun.elapsed();
            self.rendered.fetch_add(1, Ordering::Relaxed);
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.render_micros.fetch_add(micros, Ordering::Relaxed);
            Ok((png, took.as_secs_f64() * 1000.0))
        });
        match drawing.await {
            Ok(drawn) => drawn.map_err(Problem::Render),
            Err(_panicked_or_cancelled) => Err(Problem::Stopped),
        }
    }
}

/// `/tiles/{layers}/{z}/{x}/{y}.png`
pub(crate) async fn tile(
    State(tiles): State<Arc<Tiles>>,
    Path((layers, z, x, y)): Path<(String, String, String, String)>,
) -> Result<Response, Problem> {
    let address = TileAddress::parse(&layers, &z, &x, &y).map_err(Problem::Address)?;
    let (png, millis) = tiles.draw(address).await?;
    let headers = [
        (CONTENT_TYPE, "image/png".to_owned()),
        (CACHE_CONTROL, TILE_CACHING.to_owned()),
        (ETAG, etag(&png)),
    ];
    // A stored tile keeps this and so tells what it saves.
    let timing = [("server-timing", format!("render;dur={millis:.1}"))];
    Ok((headers, timing, png).into_response())
}

/// How many tiles were drawn since the start, and how long that took.
#[derive(Serialize)]
pub(crate) struct Renders {
    tiles: u64,
    milliseconds: u64,
}

/// `/renders`
pub(crate) async fn renders(State(tiles): State<Arc<Tiles>>) -> impl IntoResponse {
    let renders = Renders {
        tiles: tiles.rendered.load(Ordering::Relaxed),
        milliseconds: tiles.render_micros.load(Ordering::Relaxed) / 1000,
    };
    ([(CACHE_CONTROL, "no-store")], Json(renders))
}

/// Why there is no tile, as a status and a sentence.
pub(crate) enum Problem {
    Address(AddressError),
    Render(RenderError),
    Stopped,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, sentence) = match self {
            Self::Address(error) if error.is_out_of_range() => {
                (StatusCode::NOT_FOUND, error.to_string())
            }
            Self::Address(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::Render(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            Self::Stopped => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The drawing of the tile was broken off.".to_owned(),
            ),
        };
        (status, [(CACHE_CONTROL, "no-store")], sentence + "\n").into_response()
    }
}

/// A strong validator: the FNV-1a hash of the bytes, in which equal tiles are equal.
fn etag(png: &[u8]) -> String {
    let hash = png.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_etag_is_fnv_1a_in_quotes() {
        assert_eq!(etag(b""), "\"cbf29ce484222325\"");
        assert_eq!(etag(b"a"), "\"af63dc4c8601ec8c\"");
    }
}
