//! Viewers, an origin and a small store under a block layer, one step after the other: what `tests/blocks` chooses at random, and
//! the fuzzer by its own lights.
//!
//! Whatever the order: each body is a slice of one version, whole or aborted; and in the end the object can be had.

use bytes::Bytes;
use frontage::{
    BlockLayer, BodyError, CacheCore, CacheLayer, MemoryStore, OptionalBody, ResponseBody,
    blocks::Blocks, clock::ManualClock, invalidation::Invalidation,
};
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use http_body::{Body, Frame};
use std::{
    future::Future,
    io,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::oneshot;
use tower_layer::Layer;
use tower_service::Service;

/// How many bytes a step is written in.
pub(crate) const STEP: usize = 3;

const BLOCK: u64 = 4096;
/// How long each version is; they come again under other tags.
const LENGTHS: [u64; 6] = [20_000, 20_000, 9_000, 6 * BLOCK, BLOCK + 1, 100];
const VIEWERS: usize = 12;

fn length(version: u64) -> u64 {
    LENGTHS[usize::try_from(version).unwrap() % LENGTHS.len()]
}

fn byte(version: u64, at: u64) -> u8 {
    let word = (at ^ version << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word.to_be_bytes()[0]
}

/// A body of the origin's, as far as it may go.
struct Sent {
    version: u64,
    places: Range<u64>,
    allowed: u64,
    broken: bool,
    waker: Option<Waker>,
}

struct OriginBody(Arc<Mutex<Sent>>);

impl Body for OriginBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut sent = self.0.lock().unwrap();
        if sent.places.is_empty() {
            return Poll::Ready(None);
        }
        if sent.broken {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        }
        if sent.allowed == 0 {
            sent.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let end = sent.places.end.min(sent.places.start + sent.allowed);
        let places = sent.places.start..end;
        sent.allowed -= places.end - places.start;
        sent.places.start = places.end;
        let bytes: Vec<u8> = places.map(|at| byte(sent.version, at)).collect();
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }
}

/// A request that waits at the origin.
struct Call {
    parts: Parts,
    answer: oneshot::Sender<Response<OriginBody>>,
}

#[derive(Clone, Default)]
struct Origin(Arc<Mutex<Vec<Call>>>);

type NoBody = http_body_util::Empty<Bytes>;
type Answered = Result<Response<OriginBody>, io::Error>;

impl Service<Request<OptionalBody<NoBody>>> for Origin {
    type Response = Response<OriginBody>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OptionalBody<NoBody>>) -> Self::Future {
        let (answer, answered) = oneshot::channel();
        let (parts, _) = request.into_parts();
        self.0.lock().unwrap().push(Call { parts, answer });
        Box::pin(async { answered.await.map_err(|_| io::ErrorKind::TimedOut.into()) })
    }
}

/// What the origin makes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Honest,
    IgnoresRanges,
    Fails,
    Misplaces,
    /// It says that its answer isn't to be stored.
    SetsCookie,
}

/// What a request asks of caches; most ask nothing.
const ASKED_OF_CACHES: [Option<(&str, &str)>; 8] = [
    None,
    None,
    None,
    None,
    Some(("cookie", "a=b")),
    Some(("cache-control", "no-store")),
    Some(("cache-control", "only-if-cached")),
    Some(("cache-control", "no-cache")),
];

fn answer(parts: &Parts, version: u64, mode: Mode, lifted: bool) -> (Response<()>, Range<u64>) {
    let length = length(version);
    let etag = format!("\"v{version}\"");
    let field = |name: &str| Some(parts.headers.get(name)?.to_str().unwrap().to_owned());
    let mut response = Response::builder()
        .header("etag", &etag)
        .header(
            "cache-control",
            match lifted {
                true => "public, max-age=60, stale-if-error=30",
                false => "max-age=60, stale-if-error=30",
            },
        )
        .header("cache-tag", "t")
        .body(())
        .unwrap();
    if mode == Mode::Fails {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().clear();
        return (response, 0..0);
    }
    if mode == Mode::SetsCookie {
        let cookie = http::HeaderValue::from_static("a=b");
        response.headers_mut().insert("set-cookie", cookie);
    }
    if field("if-none-match") == Some(etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return (response, 0..0);
    }
    let mut places = 0..length;
    if let Some(range) = field("range").filter(|_| mode != Mode::IgnoresRanges) {
        let (first, last) = range["bytes=".len()..].split_once('-').unwrap();
        places = match (first, last) {
            ("", count) => length.saturating_sub(count.parse().unwrap())..length,
            (first, "") => first.parse().unwrap()..length,
            (first, last) => first.parse().unwrap()..length.min(last.parse::<u64>().unwrap() + 1),
        };
        let range = match places.is_empty() {
            true => {
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                places = 0..0;
                format!("bytes */{length}")
            }
            false => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                // Viewers' own ranges never begin where blocks do.
                if mode == Mode::Misplaces && places.start % BLOCK == 0 && places.end > 1 {
                    places.end -= 1;
                }
                format!("bytes {}-{}/{length}", places.start, places.end - 1)
            }
        };
        let range = range.parse().unwrap();
        response.headers_mut().insert("content-range", range);
    }
    let announced = places.end - places.start;
    let headers = response.headers_mut();
    headers.insert("content-length", announced.into());
    (response, places)
}

type Asking = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<OriginBody>>, io::Error>>>>;

enum Viewer {
    Asking(Asking),
    Reading {
        headers: HeaderMap,
        version: u64,
        /// The places of the bytes that are to come.
        places: Range<u64>,
        body: Pin<Box<ResponseBody<OriginBody>>>,
    },
    Done {
        whole: bool,
    },
}

impl Viewer {
    fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// Goes one step further, if it can; what is wrong with what came.
    fn step(&mut self) -> Result<(), String> {
        let cx = &mut Context::from_waker(Waker::noop());
        let next = match self {
            Self::Asking(asking) => match asking.as_mut().poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => Self::Done { whole: false },
                Poll::Ready(Ok(response)) => begin(response)?,
            },
            Self::Reading {
                headers,
                version,
                places,
                body,
            } => match body.as_mut().poll_frame(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    check(&data, *version, places)
                        .map_err(|what| format!("{what}: {headers:?}"))?;
                    return Ok(());
                }
                Poll::Ready(Some(Err(error))) => {
                    let _: BodyError = error;
                    Self::Done { whole: false }
                }
                Poll::Ready(None) if !places.is_empty() => {
                    return Err(format!(
                        "{places:?} are missing at a clean end: {headers:?}"
                    ));
                }
                Poll::Ready(None) => Self::Done { whole: true },
            },
            Self::Done { .. } => return Ok(()),
        };
        *self = next;
        Ok(())
    }
}

fn check(data: &[u8], version: u64, places: &mut Range<u64>) -> Result<(), String> {
    for came in data {
        if places.is_empty() {
            return Err("more than was announced".to_owned());
        }
        if *came != byte(version, places.start) {
            return Err(format!("byte {} is not of version {version}", places.start));
        }
        places.start += 1;
    }
    Ok(())
}

/// Checks a head against the version that it names.
fn begin(response: Response<ResponseBody<OriginBody>>) -> Result<Viewer, String> {
    let (parts, body) = response.into_parts();
    let headers = parts.headers;
    let text = |name: &str| {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    };
    if !matches!(parts.status.as_u16(), 200 | 206) {
        return Ok(Viewer::Done { whole: false });
    }
    let wrong = || format!("{} {headers:?}", parts.status);
    let tag = text("etag").trim_matches('"').trim_start_matches('v');
    let version: u64 = tag.parse().map_err(|_| wrong())?;
    let announced: u64 = text("content-length").parse().map_err(|_| wrong())?;
    let places = match text("content-range").strip_prefix("bytes ") {
        None if parts.status == 200 => 0..length(version),
        Some(range) if parts.status == 206 => {
            let (range, whole) = range.split_once('/').ok_or_else(wrong)?;
            let (first, last) = range.split_once('-').ok_or_else(wrong)?;
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            if whole != length(version).to_string() || last >= length(version) {
                return Err(wrong());
            }
            first..last + 1
        }
        _ => return Err(wrong()),
    };
    if announced != places.end - places.start {
        return Err(wrong());
    }
    Ok(Viewer::Reading {
        version,
        places,
        body: Box::pin(body),
        headers,
    })
}

struct Play {
    service: Blocks<Origin>,
    core: CacheCore,
    clock: ManualClock,
    origin: Origin,
    version: u64,
    /// The origin ignores ranges for a while.
    rangeless: bool,
    /// It says that all may have what it sends.
    lifted: bool,
    bodies: Vec<Arc<Mutex<Sent>>>,
    viewers: Vec<Viewer>,
}

/// Plays these steps. `tell` hears of each.
pub(crate) async fn play(
    steps: impl IntoIterator<Item = [u8; STEP]>,
    mut tell: impl FnMut(&str),
) -> Result<(), String> {
    let clock = ManualClock::at(1_767_225_600_000);
    let core = CacheCore::builder(MemoryStore::new(48 << 10))
        .clock(clock.clone())
        .build()
        .unwrap();
    let layer = BlockLayer::new(CacheLayer::with_core(core.clone()));
    let layer = layer.block_size(BLOCK).unwrap();
    let origin = Origin::default();
    let mut play = Play {
        service: layer.layer(origin.clone()),
        core,
        clock,
        origin,
        version: 0,
        rangeless: false,
        lifted: true,
        bodies: Vec::new(),
        viewers: Vec::new(),
    };
    for step in steps {
        let what = play.step(step)?;
        tell(&what);
        settle().await;
    }
    play.drain().await?;
    // It can be had: after an abort at the latest.
    for attempt in 0.. {
        play.viewers.clear();
        play.open("/a", None, None, None);
        play.drain().await?;
        match play.viewers[0] {
            Viewer::Done { whole: true } => return Ok(()),
            _ if attempt == 3 => return Err("it can't be had any more".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

/// Lets tasks run.
async fn settle() {
    for _ in 0..6 {
        tokio::task::yield_now().await;
    }
}

impl Play {
    fn open(
        &mut self,
        path: &str,
        range: Option<&str>,
        if_range: Option<u64>,
        of_caches: Option<(&str, &str)>,
    ) {
        let mut request = Request::get(path);
        if let Some((name, value)) = of_caches {
            request = request.header(name, value);
        }
        if let Some(range) = range {
            request = request.header("range", range);
        }
        if let Some(version) = if_range {
            request = request.header("if-range", format!("\"v{version}\""));
        }
        let request = request.body(NoBody::new()).unwrap();
        let asking = self.service.call(request);
        self.viewers.push(Viewer::Asking(Box::pin(asking)));
    }

    /// One step, by its three bytes.
    fn step(&mut self, [kind, a, b]: [u8; STEP]) -> Result<String, String> {
        let (a_place, b_place) = (usize::from(a), u64::from(b));
        let what = match kind % 12 {
            0 | 1 => {
                if self.viewers.len() >= VIEWERS {
                    self.viewers.remove(0);
                }
                let path = if a & 1 == 0 { "/a" } else { "/b" };
                let from = 1 + b_place * 97;
                let range = match (a >> 1) % 5 {
                    0 => None,
                    1 => Some(format!("bytes={from}-")),
                    2 => Some(format!("bytes={from}-{}", from + 5000)),
                    3 => Some(format!("bytes={from}-{}", from + u64::from(a))),
                    _ => Some(format!("bytes=-{}", from)),
                };
                let if_range = (a & 0x80 != 0).then_some(self.version);
                let of_caches = ASKED_OF_CACHES[usize::from(kind / 12) % 8];
                self.open(path, range.as_deref(), if_range, of_caches);
                format!("open {path} {range:?} {if_range:?} {of_caches:?}")
            }
            2 | 3 => {
                let at = a_place % self.viewers.len().max(1);
                if let Some(viewer) = self.viewers.get_mut(at) {
                    viewer.step()?;
                }
                format!("viewer {at} goes on")
            }
            4 | 5 => {
                let mode = match b {
                    0..185 => Mode::Honest,
                    185..200 => Mode::SetsCookie,
                    200..215 => Mode::IgnoresRanges,
                    215..235 => Mode::Fails,
                    235.. => Mode::Misplaces,
                };
                let waiting = self.origin.0.lock().unwrap().len();
                if waiting > 0 {
                    self.answer(a_place % waiting, mode);
                }
                format!("answered, of {waiting}")
            }
            6 => {
                let at = a_place % self.bodies.len().max(1);
                self.feed(at, b_place * 64);
                format!("body {at}: {} bytes", b_place * 64)
            }
            7 => {
                self.version += 1;
                format!("version {}", self.version)
            }
            8 => {
                let seconds = [0, 1, 29, 31, 59, 61, 91, 700][a_place % 8];
                self.clock.advance(Duration::from_secs(seconds));
                format!("{seconds} s later")
            }
            9 => {
                let what = match a % 4 {
                    0 => Invalidation::path("/a").unwrap(),
                    1 => Invalidation::tag("t").unwrap(),
                    2 => Invalidation::everything(),
                    _ => Invalidation::everything().soft(),
                };
                self.core.invalidator().issue(&what);
                format!("invalidated: {what}")
            }
            10 => {
                (self.rangeless, self.lifted) = (a % 3 == 0, b % 2 == 0);
                format!("rangeless {}, lifted {}", self.rangeless, self.lifted)
            }
            _ if b % 2 == 0 => {
                let at = a_place % self.viewers.len().max(1);
                if at < self.viewers.len() {
                    self.viewers.remove(at);
                }
                format!("viewer {at} leaves")
            }
            _ => {
                let at = a_place % self.bodies.len().max(1);
                if let Some(body) = self.bodies.get(at) {
                    body.lock().unwrap().broken = true;
                }
                self.feed(at, 1);
                format!("body {at} breaks")
            }
        };
        Ok(what)
    }

    fn answer(&mut self, at: usize, mode: Mode) {
        let call = self.origin.0.lock().unwrap().remove(at);
        let mode = match self.rangeless && mode == Mode::Honest {
            true => Mode::IgnoresRanges,
            false => mode,
        };
        let (response, places) = answer(&call.parts, self.version, mode, self.lifted);
        let sent = Arc::new(Mutex::new(Sent {
            version: self.version,
            places,
            allowed: 0,
            broken: false,
            waker: None,
        }));
        let body = OriginBody(sent.clone());
        self.bodies.push(sent);
        // Who asked may be gone.
        drop(call.answer.send(response.map(|()| body)));
    }

    fn feed(&mut self, at: usize, bytes: u64) {
        let Some(body) = self.bodies.get(at) else {
            return;
        };
        let waker = {
            let mut body = body.lock().unwrap();
            body.allowed += bytes;
            body.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Lets everything end that can.
    async fn drain(&mut self) -> Result<(), String> {
        for _ in 0..5_000 {
            if self.viewers.iter().all(Viewer::is_done) {
                return Ok(());
            }
            while !self.origin.0.lock().unwrap().is_empty() {
                self.answer(0, Mode::Honest);
            }
            for at in 0..self.bodies.len() {
                self.feed(at, 1 << 20);
            }
            self.bodies.clear();
            settle().await;
            for viewer in &mut self.viewers {
                viewer.step()?;
            }
        }
        Err("a viewer waits for ever".to_owned())
    }
}
