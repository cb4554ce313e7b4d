//! An origin of one object that is made as it is read, and a block layer over it.

use super::support::{Broken, Counter, NoBody, within};
use bytes::Bytes;
use frontage::{
    BlockLayer, BodyError, CacheCore, CacheLayer, CachePolicy, CacheStatus, MemoryStore,
    OptionalBody, ResponseBody, blocks::Blocks, clock::ManualClock,
};
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use std::{
    future::Future,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tower::{Layer, Service};

pub(crate) const BLOCK: u64 = 4096;
/// Ten blocks, and a short one.
pub(crate) const LENGTH: u64 = 10 * BLOCK + 100;

pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;
pub(crate) type Answered = Response<ResponseBody<Body>>;

/// The bytes of a version in these places.
pub(crate) fn content(version: u32, places: Range<u64>) -> Vec<u8> {
    places
        .map(|at| {
            let word = (at ^ u64::from(version) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word.to_be_bytes()[0]
        })
        .collect()
}

/// What reached the origin.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) headers: HeaderMap,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What the origin does to its answer: to its head, and what is left of its body.
type Spoil = Arc<dyn Fn(&Parts, &mut Response<Range<u64>>) + Send + Sync>;

struct State {
    version: u32,
    length: u64,
    ranges: bool,
    fields: Vec<(&'static str, String)>,
    asked: Vec<Asked>,
    spoil: Option<Spoil>,
}

/// The origin.
#[derive(Clone)]
pub(crate) struct Origin {
    state: Arc<Mutex<State>>,
    /// Bytes that were read of its bodies.
    pub(crate) sent: Arc<std::sync::atomic::AtomicU64>,
    /// Requests that it has not begun to answer.
    held: Option<Arc<tokio::sync::Semaphore>>,
    pub(crate) waiting: Counter,
}

impl Origin {
    pub(crate) fn new(length: u64) -> Self {
        let state = State {
            version: 1,
            length,
            ranges: true,
            fields: vec![("cache-control", "public, max-age=60".to_owned())],
            asked: Vec::new(),
            spoil: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            sent: Arc::default(),
            held: None,
            waiting: Counter::default(),
        }
    }

    /// It answers as often as this is given a permit.
    pub(crate) fn held_by(mut self, permits: &Arc<tokio::sync::Semaphore>) -> Self {
        self.held = Some(permits.clone());
        self
    }

    pub(crate) fn change(&self, version: u32, length: u64) {
        let mut state = self.state.lock().unwrap();
        (state.version, state.length) = (version, length);
    }

    pub(crate) fn ignore_ranges(&self, ignore: bool) {
        self.state.lock().unwrap().ranges = !ignore;
    }

    pub(crate) fn field(&self, name: &'static str, value: &str) {
        let mut state = self.state.lock().unwrap();
        state.fields.retain(|(old, _)| *old != name);
        state.fields.push((name, value.to_owned()));
    }

    pub(crate) fn spoil(
        &self,
        spoil: impl Fn(&Parts, &mut Response<Range<u64>>) + Send + Sync + 'static,
    ) {
        self.state.lock().unwrap().spoil = Some(Arc::new(spoil));
    }

    pub(crate) fn mend(&self) {
        self.state.lock().unwrap().spoil = None;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The ranges that it was asked for, and how often it was asked.
    pub(crate) fn ranges(&self) -> Vec<String> {
        let asked = self.asked();
        let range = |asked: &Asked| asked.field("range").unwrap_or("all").to_owned();
        asked.iter().map(range).collect()
    }

    /// Forgets what it was asked.
    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().asked.clear();
    }

    fn answer(&self, parts: &Parts) -> Response<Body> {
        let (response, version) = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(Asked {
                method: parts.method.to_string(),
                headers: parts.headers.clone(),
            });
            let mut response = state.head(parts);
            if let Some(spoil) = &state.spoil {
                spoil(parts, &mut response);
            }
            (response, state.version)
        };
        let sent = self.sent.clone();
        response.map(|places| {
            let chunks = stream::unfold(places, move |places| {
                let sent = sent.clone();
                async move {
                    if places.is_empty() {
                        return None;
                    }
                    let end = places.end.min(places.start + (64 << 10));
                    let chunk = content(version, places.start..end);
                    sent.fetch_add(chunk.len() as u64, std::sync::atomic::Ordering::Relaxed);
                    // What lies beyond this place breaks.
                    let chunk = match places.end == u64::MAX {
                        true => Err(Broken(1)),
                        false => Ok(Frame::data(Bytes::from(chunk))),
                    };
                    Some((chunk, end..places.end))
                }
            });
            StreamBody::new(chunks).boxed_unsync()
        })
    }
}

impl State {
    /// What a server of files answers.
    fn head(&self, parts: &Parts) -> Response<Range<u64>> {
        let field = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap());
        let etag = format!("\"v{}\"", self.version);
        let mut response = Response::new(0..self.length);
        for (name, value) in [("etag", etag.clone())].iter().chain(&self.fields) {
            if !value.is_empty() {
                response.headers_mut().insert(*name, value.parse().unwrap());
            } else {
                response.headers_mut().remove(*name);
            }
        }
        if field("if-none-match").is_some_and(|tags| tags.contains(&etag)) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = 0..0;
            return response;
        }
        if let Some(range) = field("range").filter(|_| self.ranges) {
            let (first, last) = range
                .strip_prefix("bytes=")
                .unwrap()
                .split_once('-')
                .unwrap();
            let places = match (first, last) {
                ("", count) => self.length.saturating_sub(count.parse().unwrap())..self.length,
                (first, "") => first.parse().unwrap()..self.length,
                (first, last) => {
                    let last: u64 = last.split(',').next().unwrap().parse().unwrap();
                    first.parse().unwrap()..(last + 1).min(self.length)
                }
            };
            let content_range = match places.is_empty() {
                true => {
                    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                    *response.body_mut() = 0..0;
                    format!("bytes */{}", self.length)
                }
                false => {
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    *response.body_mut() = places.clone();
                    format!("bytes {}-{}/{}", places.start, places.end - 1, self.length)
                }
            };
            let value = content_range.parse().unwrap();
            response.headers_mut().insert("content-range", value);
        }
        let length = response.body().end - response.body().start;
        response
            .headers_mut()
            .insert("content-length", length.into());
        if parts.method == "HEAD" {
            *response.body_mut() = 0..0;
        }
        response
    }
}

impl<B: Send + 'static> Service<Request<OptionalBody<B>>> for Origin {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Broken>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OptionalBody<B>>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let origin = self.clone();
        Box::pin(async move {
            if let Some(held) = &origin.held {
                origin.waiting.add();
                held.acquire().await.unwrap().forget();
                origin.waiting.subtract();
            }
            match parts.headers.contains_key("x-break") {
                true => Err(Broken(2)),
                false => Ok(origin.answer(&parts)),
            }
        })
    }
}

/// A block layer over an origin.
pub(crate) struct Setup {
    pub(crate) service: Blocks<Origin>,
    pub(crate) origin: Origin,
    pub(crate) core: CacheCore,
    pub(crate) clock: ManualClock,
}

/// A moment in 2026, in milliseconds.
const NOW: u64 = 1_767_225_600_000;

impl Setup {
    pub(crate) fn new(origin: Origin, store: MemoryStore, policy: CachePolicy) -> Self {
        let clock = ManualClock::at(NOW);
        let core = CacheCore::builder(store)
            .clock(clock.clone())
            .build()
            .unwrap();
        let cache = CacheLayer::with_core(core.clone()).policy(policy);
        let layer = BlockLayer::new(cache).block_size(BLOCK).unwrap();
        Self {
            service: layer.layer(origin.clone()),
            origin,
            core,
            clock,
        }
    }

    /// Sends a request, and waits for the head.
    pub(crate) async fn head(&self, request: Request<NoBody>) -> Answered {
        within(self.service.clone().call(request)).await.unwrap()
    }

    /// Sends a request, and reads the answer to its end.
    pub(crate) async fn ask(&self, request: Request<NoBody>) -> Answer {
        Answer::of(self.head(request).await).await
    }

    /// Asks for a range of `/film`, or the whole.
    pub(crate) async fn range(&self, range: &str) -> Answer {
        self.ask(asking(&[("range", range)])).await
    }

    pub(crate) async fn whole(&self) -> Answer {
        self.ask(asking(&[])).await
    }
}

pub(crate) fn setup() -> Setup {
    with(CachePolicy::default())
}

pub(crate) fn with(policy: CachePolicy) -> Setup {
    Setup::new(Origin::new(LENGTH), MemoryStore::new(4 << 20), policy)
}

/// A `GET` of `/film` with these fields.
pub(crate) fn asking(fields: &[(&str, &str)]) -> Request<NoBody> {
    request("GET", "/film", fields)
}

pub(crate) fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<NoBody> {
    let request = Request::builder().method(method).uri(uri);
    let request = fields.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Empty::new()).unwrap()
}

/// The range that asks for a block.
pub(crate) fn block(number: u64) -> String {
    format!("bytes={}-{}", number * BLOCK, (number + 1) * BLOCK - 1)
}

/// A whole answer, or what came of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) cache: CacheStatus,
    pub(crate) body: Vec<u8>,
    pub(crate) error: Option<BodyError>,
}

impl Answer {
    pub(crate) async fn of<B>(response: Response<ResponseBody<B>>) -> Self
    where
        ResponseBody<B>: http_body::Body<Data = Bytes, Error = BodyError>,
    {
        let (parts, body) = response.into_parts();
        let mut body = Box::pin(body);
        let (mut bytes, mut error) = (Vec::new(), None);
        while let Some(frame) = within(body.frame()).await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(failed) => error = Some(failed),
            }
        }
        Self {
            status: parts.status.as_u16(),
            cache: *parts.extensions.get().unwrap(),
            headers: parts.headers,
            body: bytes,
            error,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts that it is a 206 with these bytes of a version, all of them.
    #[track_caller]
    pub(crate) fn assert_part(&self, version: u32, places: Range<u64>, length: u64) {
        assert_eq!(
            (self.status, &self.error.is_none()),
            (206, &true),
            "{self:?}"
        );
        let range = format!("bytes {}-{}/{length}", places.start, places.end - 1);
        assert_eq!(self.field("content-range"), Some(&range[..]));
        let announced = (places.end - places.start).to_string();
        assert_eq!(self.field("content-length"), Some(&announced[..]));
        assert!(self.body == content(version, places));
    }

    /// Asserts that it is a 200 with all of a version.
    #[track_caller]
    pub(crate) fn assert_whole(&self, version: u32, length: u64) {
        assert_eq!((self.status, self.error.is_none()), (200, true));
        assert_eq!(self.field("content-range"), None);
        assert_eq!(self.field("content-length"), Some(&length.to_string()[..]));
        assert!(self.body == content(version, 0..length));
    }
}
