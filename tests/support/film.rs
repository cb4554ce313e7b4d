//! A film of any length over real sockets: made as it is sent, so that nobody holds it.

#![allow(dead_code, reason = "no file needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::net::TcpListener;

/// The film comes in pages of this length.
const PAGE: u64 = 64 << 10;
/// Where a page may begin in the noise of its version.
const PLACES: u64 = 1 << 20;

/// A film, and what was asked of it.
pub(crate) struct Film {
    pub(crate) length: u64,
    pub(crate) version: AtomicU64,
    /// Bytes of bodies that were sent, or are about to be.
    pub(crate) sent: AtomicU64,
    pub(crate) requests: AtomicU64,
    /// For each version.
    noise: [Bytes; 2],
}

impl Film {
    /// A film of so many bytes, of version 1.
    pub(crate) fn new(length: u64) -> Arc<Self> {
        Arc::new(Self {
            length,
            version: AtomicU64::new(1),
            sent: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            noise: [noise(1), noise(2)],
        })
    }

    /// From a place to the end of its page, or to `end`.
    pub(crate) fn page(&self, version: u64, start: u64, end: u64) -> Bytes {
        let (page, within) = (start / PAGE, start % PAGE);
        let from = page.wrapping_mul(0x9e37_79b9_7f4a_7c15) % PLACES;
        let length = (PAGE - within).min(end - start);
        let noise = &self.noise[usize::try_from(version).unwrap() - 1];
        let place = |at: u64| usize::try_from(at).unwrap();
        noise.slice(place(from + within)..place(from + within + length))
    }

    /// Serves it, to whom asks for one range of it or the whole.
    pub(crate) async fn serve(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let film = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let film = film.clone();
                let service = service_fn(move |request| {
                    let response = film.answer(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // An error: whoever asked has left.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        address
    }

    fn answer(
        self: &Arc<Self>,
        request: &Request<Incoming>,
    ) -> Response<impl Body<Data = Bytes, Error = Infallible> + use<>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let version = self.version.load(Ordering::SeqCst);
        let range = request.headers().get(header::RANGE).map(|range| {
            let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
            let (first, last) = range.split_once('-').unwrap();
            let end = last.parse().map_or(self.length, |last: u64| last + 1);
            first.parse().unwrap()..end.min(self.length)
        });
        let mut response = Response::builder()
            .header(header::ETAG, format!("\"v{version}\""))
            .header(header::CACHE_CONTROL, "public, max-age=3600")
            .header(header::CONTENT_TYPE, "video/mp4");
        if let Some(range) = &range {
            let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, self.length);
            response = response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, content_range);
        }
        let places = range.unwrap_or(0..self.length);
        let length = places.end - places.start;
        let film = self.clone();
        let pages = stream::unfold(places, move |places: Range<u64>| {
            let next = (!places.is_empty()).then(|| {
                let page = film.page(version, places.start, places.end);
                let length = page.len() as u64;
                film.sent.fetch_add(length, Ordering::Relaxed);
                (Ok(Frame::data(page)), places.start + length..places.end)
            });
            std::future::ready(next)
        });
        response
            .header(header::CONTENT_LENGTH, length)
            .body(StreamBody::new(pages))
            .unwrap()
    }
}

/// Bytes that look like nothing, and like those of no other version.
fn noise(version: u64) -> Bytes {
    let mut state = version.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let words = (PLACES + PAGE) / 8;
    let mut bytes = Vec::with_capacity(usize::try_from(words * 8).unwrap());
    for _ in 0..words {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.into()
}

/// Serves a service to viewers, over HTTP/1.1.
pub(crate) async fn serve<S, B>(service: S) -> SocketAddr
where
    S: tower::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let service = hyper_util::service::TowerToHyperService::new(service.clone());
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // An error: a body was aborted, or the viewer has left.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    address
}
