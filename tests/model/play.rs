//! Plays a scenario to the naive cache and to the real one, and compares what comes of each step.

use super::{
    cache::{
        self, Answer, Covers, Failed, Fields, MadeOf, Origin, Profile, Request, Response, Status,
    },
    scenario::{START, Scenario, Script},
};
use bytes::Bytes;
use frontage::{
    Cache, CacheCore, CacheLayer, CachePolicy, MemoryStore,
    clock::{Clock, ManualClock},
    invalidation::Invalidation,
};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    fmt,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What reached the origin, in order.
    pub(crate) asked: Vec<Request>,
    pub(crate) answer: Result<Answer, Failed>,
    /// Of what it was made, if it was a hit: the model alone tells.
    pub(crate) made_of: Option<MadeOf>,
}

/// A step of which the two caches made different things.
pub(crate) struct Difference {
    step: usize,
    model: Outcome,
    real: Outcome,
}

/// Plays a scenario; `observe` is told of each step of which both made the same.
pub(crate) async fn play(
    scenario: &Scenario,
    mut observe: impl FnMut(&Request, &Outcome),
) -> Result<(), Difference> {
    let mut model = Model::new(scenario.profile);
    let mut real = Real::new(scenario.profile);
    for (step, played) in scenario.steps.iter().enumerate() {
        model.origin.now = model.origin.now.saturating_add_signed(played.moves);
        // However long the origin took, it is the same time for both.
        real.clock.set(model.origin.now);
        if let Some(what) = &played.invalidates {
            model.cache.invalidate(what, model.origin.now);
            real.invalidate(what);
        }
        let mut of_model = comparable(model.ask(&played.request, &played.script));
        let of_real = comparable(real.ask(&played.request, &played.script).await);
        if of_model != of_real {
            return Err(Difference {
                step,
                model: of_model,
                real: of_real,
            });
        }
        of_model.made_of = model.cache.made_of;
        observe(&played.request, &of_model);
    }
    Ok(())
}

/// Without what isn't said in one way only: the order of fields of different names, and a length that the body shows to be so.
fn comparable(mut outcome: Outcome) -> Outcome {
    let by_name = |fields: &mut Fields| fields.0.sort_by(|(a, _), (b, _)| a.cmp(b));
    for request in &mut outcome.asked {
        by_name(&mut request.fields);
    }
    if let Ok(answer) = &mut outcome.answer {
        by_name(&mut answer.response.fields);
        let length = answer.response.body.len();
        let said = answer.response.fields.first("content-length");
        if length > 0 && said == Some(&*length.to_string()) {
            answer.response.fields.remove(&["content-length"]);
        }
    }
    outcome
}

struct Model {
    cache: cache::Cache,
    origin: ModelOrigin,
}

struct ModelOrigin {
    now: u64,
    script: Option<Script>,
    asked: Vec<Request>,
}

impl Model {
    fn new(profile: Profile) -> Self {
        Self {
            cache: cache::Cache::new(profile),
            origin: ModelOrigin {
                now: START,
                script: None,
                asked: Vec::new(),
            },
        }
    }

    fn ask(&mut self, request: &Request, script: &Script) -> Outcome {
        self.origin.script = Some(script.clone());
        let answer = self.cache.ask(request, &mut self.origin);
        Outcome {
            asked: std::mem::take(&mut self.origin.asked),
            answer,
            made_of: None,
        }
    }
}

impl Origin for ModelOrigin {
    fn now(&self) -> u64 {
        self.now
    }

    fn ask(&mut self, request: &Request) -> Result<Response, Failed> {
        self.asked.push(request.clone());
        let script = self.script.as_ref().ok_or(Failed)?;
        self.now += script.takes;
        script.answer(request, self.now).ok_or(Failed)
    }
}

struct Real {
    service: Cache<RealOrigin>,
    core: CacheCore,
    origin: RealOrigin,
    clock: ManualClock,
}

/// The service behind the real cache.
#[derive(Clone)]
struct RealOrigin {
    clock: ManualClock,
    state: Arc<Mutex<RealState>>,
}

#[derive(Default)]
struct RealState {
    script: Option<Script>,
    asked: Vec<Request>,
}

impl Real {
    fn new(profile: Profile) -> Self {
        let clock = ManualClock::at(START);
        let core = CacheCore::builder(MemoryStore::new(1 << 20))
            .clock(clock.clone())
            .build()
            .expect("the settings are valid");
        let origin = RealOrigin {
            clock: clock.clone(),
            state: Arc::default(),
        };
        let policy = match profile {
            Profile {
                heuristic: true, ..
            } => CachePolicy::rfc9111(),
            _ => CachePolicy::default(),
        };
        let layer = CacheLayer::with_core(core.clone()).policy(policy);
        Self {
            service: layer.layer(origin.clone()),
            core,
            origin,
            clock,
        }
    }

    fn invalidate(&self, what: &cache::Invalidation) {
        let made = match what.covers {
            Covers::Exactly(path) => Invalidation::path(path),
            Covers::AllThatBeginWith(prefix) => Invalidation::path(&format!("{prefix}*")),
            Covers::Tagged(tag) => Invalidation::tag(tag),
            Covers::Everything => Ok(Invalidation::everything()),
        };
        let mut made = made.expect("a valid one");
        if let Some(host) = what.host {
            made = made.host(host).expect("a valid host");
        }
        if what.soft {
            made = made.soft();
        }
        self.core.invalidator().issue(&made);
    }

    async fn ask(&mut self, request: &Request, script: &Script) -> Outcome {
        self.origin.state.lock().expect("no panic").script = Some(script.clone());
        let asked = http::Request::builder()
            .method(request.method)
            .uri(&request.target);
        let asked = request
            .fields
            .0
            .iter()
            .fold(asked, |asked, (name, value)| asked.header(name, value))
            .body(Empty::<Bytes>::new())
            .expect("a valid request");
        let answer = match self.service.call(asked).await {
            Err(Failed) => Err(Failed),
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let body = body.collect().await.expect("a whole body").to_bytes();
                let mut fields = fields_of(&parts.headers);
                let status = status_of(&fields);
                fields.remove(&["cache-status", "x-cache"]);
                Ok(Answer {
                    response: Response {
                        status: parts.status.as_u16(),
                        fields,
                        body: text(&body),
                    },
                    status,
                })
            }
        };
        // What a task has still to store is stored before the next step.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
            if self.core.fetches() == 0 {
                break;
            }
        }
        assert_eq!(self.core.fetches(), 0, "a fetch hangs");
        let asked = std::mem::take(&mut self.origin.state.lock().expect("no panic").asked);
        Outcome {
            asked,
            answer,
            made_of: None,
        }
    }
}

impl Service<http::Request<Empty<Bytes>>> for RealOrigin {
    type Response = http::Response<Full<Bytes>>;
    type Error = Failed;
    type Future = Ready<Result<Self::Response, Failed>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Empty<Bytes>>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let asked = Request {
            method: METHODS
                .into_iter()
                .find(|method| parts.method == *method)
                .expect("a method that is played"),
            target: parts
                .uri
                .path_and_query()
                .map_or("", |target| target.as_str())
                .to_owned(),
            fields: fields_of(&parts.headers),
        };
        let mut state = self.state.lock().expect("no panic");
        let script = state.script.clone().expect("a script");
        state.asked.push(asked.clone());
        self.clock.set(self.clock.now() + script.takes);
        ready(match script.answer(&asked, self.clock.now()) {
            None => Err(Failed),
            Some(answer) => {
                let response = http::Response::builder().status(answer.status);
                let fields = answer.fields.0.iter();
                Ok(fields
                    .fold(response, |response, (name, value)| {
                        response.header(name, value)
                    })
                    .body(Full::from(answer.body))
                    .expect("a valid response"))
            }
        })
    }
}

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fields_of(headers: &http::HeaderMap) -> Fields {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), text(value.as_bytes()))
    };
    Fields(headers.iter().map(line).collect())
}

/// Reads `Cache-Status` (RFC 9211): `hit`, `fwd`, `stored`, and `ttl` of a hit.
fn status_of(fields: &Fields) -> Status {
    const FORWARDED: [&str; 8] = [
        "bypass",
        "method",
        "uri-miss",
        "vary-miss",
        "miss",
        "partial",
        "request",
        "stale",
    ];
    let line = fields.first("cache-status").expect("a Cache-Status");
    let parameters = || line.split("; ").skip(1);
    let value = |name: &str| parameters().find_map(|parameter| parameter.strip_prefix(name));
    let hit = parameters().any(|parameter| parameter == "hit");
    Status {
        hit,
        fwd: value("fwd=").map(|fwd| {
            let known = FORWARDED.into_iter().find(|known| *known == fwd);
            known.expect("a known reason")
        }),
        stored: parameters().any(|parameter| parameter == "stored"),
        ttl: value("ttl=")
            .filter(|_| hit)
            .map(|ttl| ttl.parse().expect("a number")),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {} came out differently:", self.step)?;
        writeln!(f, "  the model: {}", self.model)?;
        write!(f, "  the crate: {}", self.real)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for request in &self.asked {
            write!(f, "asked {} {}", request.method, request.target)?;
            lines(f, &request.fields)?;
            write!(f, "\n             ")?;
        }
        let Ok(Answer { response, status }) = &self.answer else {
            return write!(f, "failed");
        };
        write!(f, "answered {} {:?}", response.status, response.body)?;
        lines(f, &response.fields)?;
        write!(f, "\n             ")?;
        if status.hit {
            write!(f, "hit ")?;
        }
        if let Some(fwd) = status.fwd {
            write!(f, "fwd={fwd} ")?;
        }
        if status.stored {
            write!(f, "stored ")?;
        }
        match status.ttl {
            Some(ttl) => write!(f, "ttl={ttl}"),
            None => Ok(()),
        }
    }
}

fn lines(f: &mut fmt::Formatter<'_>, fields: &Fields) -> fmt::Result {
    fields
        .0
        .iter()
        .try_for_each(|(name, value)| write!(f, " | {name}: {value}"))
}
