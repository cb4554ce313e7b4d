//! The origin: a server of its own, which has the recording, serves ranges of it, and takes its time.

use crate::recording::Recording;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use frontage::{
    conditional::is_not_modified,
    range::{RangeRules, Selected, select},
};
use futures_util::stream;
use std::{
    convert::Infallible,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// So much is made at once.
const PAGE: u64 = 64 << 10;

pub(crate) struct Origin {
    recording: Recording,
    delay: Duration,
    requests: AtomicU64,
    /// Bytes of bodies that were made to be sent.
    bytes: AtomicU64,
}

impl Origin {
    pub(crate) fn new(recording: Recording, delay: Duration) -> Arc<Self> {
        Arc::new(Self {
            recording,
            delay,
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/recording.wav", get(answer))
            .with_state(self.clone())
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts from zero again.
    pub(crate) fn reset(&self) {
        self.requests.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn head(&self) -> HeaderMap {
        let mut head = HeaderMap::new();
        let mut say = |name, value: &str| {
            // Digits and what is written here make a value.
            if let Ok(value) = HeaderValue::from_str(value) {
                head.insert(name, value);
            }
        };
        say(header::CONTENT_TYPE, "audio/wav");
        say(header::ETAG, &self.recording.etag());
        say(header::ACCEPT_RANGES, "bytes");
        // The cache keeps it for a day; the browser shall ask each time, or there would be little to see.
        say(header::CDN_CACHE_CONTROL, "max-age=86400");
        say(header::CACHE_CONTROL, "no-store");
        head
    }

    fn body(self: Arc<Self>, places: Range<u64>) -> Body {
        Body::from_stream(stream::unfold(places, move |places| {
            let next = self.page(places);
            std::future::ready(next.map(|(page, rest)| (Ok::<_, Infallible>(page), rest)))
        }))
    }

    fn page(&self, places: Range<u64>) -> Option<(Bytes, Range<u64>)> {
        let end = places.end.min(places.start.saturating_add(PAGE));
        let page = self.recording.bytes(places.start..end);
        self.bytes.fetch_add(page.len() as u64, Ordering::Relaxed);
        (!page.is_empty()).then_some((page, end..places.end))
    }
}

async fn answer(State(origin): State<Arc<Origin>>, request: HeaderMap) -> Response {
    origin.requests.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(origin.delay).await;
    let mut head = origin.head();
    if is_not_modified(&request, StatusCode::OK, &head, 0) {
        head.remove(header::CONTENT_TYPE);
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let length = origin.recording.length();
    let (status, places) = match select(&request, &head, length, RangeRules::Rfc) {
        Selected::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Selected::Unsatisfiable => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
        }
        // Nobody has to serve several ranges (RFC 9110 section 14.2).
        Selected::Whole | Selected::Parts(_) => (StatusCode::OK, 0..length),
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{length}", places.start, places.end - 1);
        if let Ok(range) = HeaderValue::from_str(&range) {
            head.insert(header::CONTENT_RANGE, range);
        }
    }
    head.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(places.end - places.start),
    );
    (status, head, origin.body(places)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(method: &str, fields: &[(&str, &str)]) -> (Response<()>, Bytes) {
        let origin = Origin::new(Recording::of_minutes(1), Duration::ZERO);
        let mut request = Request::builder().method(method).uri("/recording.wav");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = origin.router().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(origin.requests(), 1);
        assert_eq!(origin.bytes(), body.len() as u64);
        (Response::from_parts(head, ()), body)
    }

    fn field<'a>(response: &'a Response<()>, name: &str) -> &'a str {
        response.headers()[name].to_str().unwrap()
    }

    #[tokio::test]
    async fn a_range_is_sent_and_nothing_else() {
        let recording = Recording::of_minutes(1);
        let (response, body) = ask("GET", &[("range", "bytes=60000-199999")]).await;
        assert_eq!(response.status(), 206);
        let said = field(&response, "content-range");
        assert_eq!(said, format!("bytes 60000-199999/{}", recording.length()));
        assert_eq!(field(&response, "content-length"), "140000");
        assert_eq!(body, recording.bytes(60_000..200_000));

        let (response, body) = ask("GET", &[("range", "bytes=20000000-")]).await;
        assert_eq!((response.status().as_u16(), body.len()), (416, 0));
        let said = field(&response, "content-range");
        assert_eq!(said, format!("bytes */{}", recording.length()));
    }

    #[tokio::test]
    async fn the_whole_is_sent_where_no_range_holds() {
        let length = Recording::of_minutes(1).length();
        for fields in [
            &[][..],
            &[("range", "bytes=0-9"), ("if-range", "\"0\"")],
            &[("range", "bytes=0-9,100-109,1000-")],
        ] {
            let (response, body) = ask("GET", fields).await;
            assert_eq!(
                (response.status().as_u16(), body.len() as u64),
                (200, length)
            );
        }
        let (response, body) = ask("HEAD", &[]).await;
        assert_eq!((response.status().as_u16(), body.len()), (200, 0));
        assert_eq!(field(&response, "content-length"), length.to_string());
    }

    #[tokio::test]
    async fn who_has_this_version_is_told_so() {
        let etag = Recording::of_minutes(1).etag();
        let (response, body) = ask("GET", &[("if-none-match", &etag)]).await;
        assert_eq!((response.status().as_u16(), body.len()), (304, 0));
        let fields = [("range", "bytes=0-9"), ("if-range", &etag)];
        let (response, body) = ask("GET", &fields).await;
        assert_eq!((response.status().as_u16(), body.len()), (206, 10));
    }
}
