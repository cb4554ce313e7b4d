//! The layers of a plan, over its origin, with an eye above and below each cache.

use super::{
    faulty::{AnyBody, Dial, Handler, OnPurpose},
    origin::{Brain, text},
    pipe::{Pipe, pipe},
    plan::{self, Plan, Profile, Stack, Way},
    watched::Watched,
    world::{Above, Below, World},
};
use bytes::Bytes;
use frontage::{
    BlockLayer, CacheCore, CacheLayer, CoalesceLayer, MemoryStore, OverMaxFetches,
    cdn_loop::CdnLoopLayer, error::BoxError, origin::Origin,
};
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

pub(crate) type AnyService = BoxCloneSyncService<Request<AnyBody>, Response<AnyBody>, BoxError>;
type Answering = Pin<Box<dyn Future<Output = Result<Response<AnyBody>, BoxError>> + Send>>;

/// What is asked by viewers, and what is looked at in the end.
pub(crate) struct Built {
    pub(crate) front: AnyService,
    /// That which viewers ask first.
    pub(crate) cores: Vec<CacheCore<Watched>>,
    pub(crate) coalesce: Option<CoalesceLayer>,
}

impl Built {
    pub(crate) fn fetches(&self) -> usize {
        let of_caches: usize = self.cores.iter().map(CacheCore::fetches).sum();
        of_caches + self.coalesce.as_ref().map_or(0, CoalesceLayer::fetches)
    }
}

/// Makes any service one of these.
fn any<S, ReqBody, ResBody>(service: S) -> AnyService
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    ReqBody: From<AnyRequest> + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    let service = service
        .map_request(|request: Request<AnyBody>| request.map(|body| AnyRequest(body).into()))
        .map_response(|response: Response<ResBody>| {
            response.map(|body| body.map_err(Into::into).boxed_unsync())
        })
        .map_err(Into::into);
    BoxCloneSyncService::new(service)
}

/// A body on its way down.
pub(crate) struct AnyRequest(AnyBody);

impl From<AnyRequest> for AnyBody {
    fn from(request: AnyRequest) -> Self {
        request.0
    }
}

pub(crate) fn build(world: &World, brain: &Brain) -> Built {
    let plan = &*brain.plan;
    let origin: AnyService = match plan.way {
        Way::Service => any::<_, AnyBody, _>(Handler(brain.clone())),
        Way::Pipes => {
            any::<_, AnyBody, _>(of(Origin::connector("origin.test", Dial(brain.clone()))))
        }
        Way::Origin => any::<_, AnyBody, _>(of(Origin::service(Handler(brain.clone())))),
    };
    let core = || {
        let store = MemoryStore::builder(plan.capacity).max_object(plan.max_object);
        let core = CacheCore::builder(Watched::new(store.build().unwrap()))
            .namespace("faults")
            .clock(world.clock())
            .fetch_timeout(plan::FETCH_TIMEOUT)
            .collapse_timeout(plan::COLLAPSE_TIMEOUT)
            .lag_timeout(plan::LAG_TIMEOUT)
            .window(plan.window)
            .max_fetches(plan.max_fetches)
            .over_max_fetches(over(plan));
        core.build().unwrap()
    };
    let layer =
        |core: &CacheCore<Watched>| CacheLayer::with_core(core.clone()).policy(plan.policy());
    let cached = |level, core: &CacheCore<Watched>, inner| {
        let below = Tap::new(world, plan, level, inner);
        gated(world, level, any::<_, AnyBody, _>(layer(core).layer(below)))
    };
    let blocks = |core: &CacheCore<Watched>, inner| {
        let below = Tap::new(world, plan, 0, inner).map_request(
            |request: Request<frontage::OptionalBody<AnyBody>>| {
                request.map(|body| body.boxed_unsync())
            },
        );
        let layer = BlockLayer::new(layer(core))
            .block_size(plan::BLOCK)
            .unwrap();
        gated(world, 0, any::<_, AnyBody, _>(layer.layer(below)))
    };
    let looped = |name, inner| any::<_, AnyBody, _>(CdnLoopLayer::new(name).unwrap().layer(inner));
    let (edge, shield) = (core(), core());
    let mut coalesce = None;
    let mut cores = vec![edge.clone()];
    let front = match plan.stack {
        Stack::Cache => cached(0, &edge, origin),
        Stack::Loop => looped("edge.test", cached(0, &edge, origin)),
        Stack::Blocks => blocks(&edge, origin),
        Stack::Coalesce => {
            let layer = CoalesceLayer::builder()
                .fetch_timeout(plan::FETCH_TIMEOUT)
                .lag_timeout(plan::LAG_TIMEOUT)
                .window(plan.window)
                .max_fetches(plan.max_fetches)
                .over_max_fetches(over(plan));
            let layer = coalesce.insert(layer.build().unwrap());
            cores.clear();
            let below = Tap::new(world, plan, 0, origin);
            gated(world, 0, any::<_, AnyBody, _>(layer.layer(below)))
        }
        Stack::Shield | Stack::BlocksOverShield | Stack::RemoteShield => {
            let inner = cached(1, &shield, origin);
            cores.push(shield);
            match plan.stack {
                Stack::Shield => cached(0, &edge, inner),
                Stack::BlocksOverShield => blocks(&edge, inner),
                _ => {
                    let remote = Remote {
                        world: world.clone(),
                        front: looped("shield.test", inner),
                        buffer: plan.buffer,
                    };
                    let inner = any::<_, AnyBody, _>(of(Origin::connector("shield.test", remote)));
                    looped("edge.test", cached(0, &edge, inner))
                }
            }
        }
    };
    Built {
        front,
        cores,
        coalesce,
    }
}

fn of(origin: Origin) -> frontage::origin::OriginService {
    let origin = origin
        .connection_timeout(Duration::from_secs(2))
        .response_timeout(plan::RESPONSE_TIMEOUT)
        .forward_host(true);
    origin.build().unwrap()
}

fn over(plan: &Plan) -> OverMaxFetches {
    match plan.sheds {
        true => OverMaxFetches::Wait(Duration::from_secs(3)),
        false => OverMaxFetches::PassThrough,
    }
}

/// Serves one connection, whoever is at its other end.
pub(crate) fn serve(world: &World, front: &AnyService, connection: Pipe) {
    let front = front.clone();
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        front.clone().oneshot(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .serve_connection(connection.io(), service);
    let serving = tokio::spawn(serving);
    let world = world.clone();
    tokio::spawn(async move {
        // An error is the end of a connection, a panic of a handler inline its, too.
        if let Err(end) = serving.await
            && end.is_panic()
            && !end.into_panic().is::<OnPurpose>()
        {
            world.wrong("a connection's task panicked".to_owned());
        }
    });
}

/// Connects the edge to the shield.
#[derive(Clone)]
struct Remote {
    world: World,
    front: AnyService,
    buffer: usize,
}

impl Service<Uri> for Remote {
    type Response = TokioIo<Pipe>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<TokioIo<Pipe>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let (near, far) = pipe(self.buffer);
        serve(&self.world, &self.front, far);
        std::future::ready(Ok(near.io()))
    }
}

/// Who asks a cache.
#[derive(Clone, Copy)]
struct Caller {
    asker: Option<u64>,
    task: Option<tokio::task::Id>,
}

fn gated(world: &World, level: usize, inner: AnyService) -> AnyService {
    BoxCloneSyncService::new(Gate {
        world: world.clone(),
        level,
        inner,
    })
}

/// The eye above a cache.
#[derive(Clone)]
struct Gate {
    world: World,
    level: usize,
    inner: AnyService,
}

impl Service<Request<AnyBody>> for Gate {
    type Response = Response<AnyBody>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<AnyBody>) -> Answering {
        let asker = text(request.headers(), "x-viewer").parse().ok();
        request.extensions_mut().insert(Caller {
            asker,
            task: tokio::task::try_id(),
        });
        let (world, is_first) = (self.world.clone(), self.level == 0);
        let begun = world.moment();
        let above = Above {
            begun,
            answered: None,
        };
        if let Some(asker) = asker.filter(|_| is_first) {
            world.with(|record| record.above.insert(asker, above));
        }
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await;
            let answered = Some(world.moment());
            if let Some(asker) = asker.filter(|_| is_first) {
                let above = Above { begun, answered };
                world.with(|record| record.above.insert(asker, above));
            }
            answer
        })
    }
}

/// The eye below a cache.
#[derive(Clone)]
struct Tap {
    world: World,
    profile: Profile,
    level: usize,
    inner: AnyService,
}

impl Tap {
    fn new(world: &World, plan: &Plan, level: usize, inner: AnyService) -> Self {
        Self {
            world: world.clone(),
            profile: plan.profile,
            level,
            inner,
        }
    }
}

impl Service<Request<AnyBody>> for Tap {
    type Response = Response<AnyBody>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<AnyBody>) -> Answering {
        let caller = request.extensions().get::<Caller>().copied();
        let fields = request.headers();
        let said = |name| text(fields, name).to_owned();
        let below = Below {
            level: self.level,
            asker: caller.and_then(|caller| caller.asker),
            is_led: caller.is_some_and(|caller| caller.task != tokio::task::try_id()),
            has_credentials: self.profile.sees_credentials(fields),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            language: said("accept-language"),
            range: said("range"),
            cache_control: said("cache-control"),
            begun: self.world.moment(),
            ended: None,
            serial: None,
            age: 0,
            date: None,
        };
        let world = self.world.clone();
        let place = world.with(|record| {
            record.below.push(below);
            record.below.len() - 1
        });
        let ending = Ending { world, place };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await;
            if let Ok(response) = &answer {
                ending.head(response.headers());
            }
            drop(ending);
            answer
        })
    }
}

/// Notes the end of a request below, whatever it is.
struct Ending {
    world: World,
    place: usize,
}

impl Ending {
    fn head(&self, fields: &http::HeaderMap) {
        let number = |name| text(fields, name).parse().ok();
        let date = httpdate::parse_http_date(text(fields, "date")).ok();
        let date = date.map(|date| date.duration_since(std::time::UNIX_EPOCH).unwrap());
        self.world.with(|record| {
            let below = &mut record.below[self.place];
            below.serial = number("x-serial");
            below.age = number("age").unwrap_or(0);
            below.date = date.map(|date| u64::try_from(date.as_millis()).unwrap());
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let ended = Some(self.world.moment());
        self.world
            .with(|record| record.below[self.place].ended = ended);
    }
}
