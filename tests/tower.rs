//! The cache as a tower service: readiness, limits and buffers around it, errors, panics and cancellation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use bytes::Bytes;
use frontage::{Cache, CacheLayer, MemoryStore, ResponseBody};
use futures_util::{FutureExt, future::join_all};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};
use support::*;
use tokio_test::{assert_pending, assert_ready, task::spawn};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt,
    buffer::Buffer,
    limit::ConcurrencyLimit,
    load_shed::{LoadShed, error::Overloaded},
    service_fn,
};

fn layer() -> CacheLayer {
    CacheLayer::new(MemoryStore::new(16 << 20))
}

/// A cache over an origin that the test holds.
fn cache() -> (Cache<Origin>, Calls) {
    let (origin, calls) = origin();
    (layer().layer(origin), calls)
}

/// Waits until no fetch is under way: what is to be stored is stored.
async fn landed(layer: &CacheLayer) {
    until(|| layer.core().fetches() == 0).await;
}

/// Sees that `path` is stored, and how it ends.
async fn assert_stored<S, B>(service: &S, path: &str, expected: &str)
where
    S: Service<Request<NoBody>, Response = Response<ResponseBody<B>>> + Clone,
    S::Error: std::fmt::Debug,
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    let response = within(service.clone().oneshot(get(path))).await.unwrap();
    assert!(
        is_hit(&response),
        "{path} isn't stored: {}",
        said(&response)
    );
    assert_eq!(text(response.into_body()).await.unwrap(), expected);
}

#[test]
fn what_is_public_is_send_and_sync_and_cloneable() {
    fn clone_send_sync<T: Clone + Send + Sync + 'static>() {}
    fn clone_send<T: Clone + Send + 'static>() {}
    fn send_unpin<T: Send + Unpin>() {}

    clone_send_sync::<CacheLayer>();
    clone_send_sync::<frontage::CacheCore>();
    clone_send_sync::<Cache<Origin>>();
    // A service that isn't `Sync` will do.
    type NotSync = tower::util::BoxCloneService<Request<NoBody>, Response<Body>, Infallible>;
    clone_send::<Cache<NotSync>>();
    fn is_service<S: Service<Request<NoBody>, Future: Send>>() {}
    is_service::<Cache<NotSync>>();
    // `Body` isn't `Sync` either, as hyper's servers allow.
    send_unpin::<ResponseBody<Body>>();
}

#[test]
fn it_is_ready_though_the_inner_service_never_is() {
    let (origin, _calls) = origin();
    let mut cache = spawn(layer().layer(ConcurrencyLimit::new(origin, 0)));
    let ready =
        cache.enter(|cx, mut cache| Service::<Request<NoBody>>::poll_ready(&mut *cache, cx));
    assert_ready!(ready).unwrap();
}

#[tokio::test]
async fn misses_over_a_limit_of_one_take_turns() {
    let (origin, mut calls) = origin();
    let cache = layer().layer(ConcurrencyLimit::new(origin, 1));
    let mut first = spawn(cache.clone().oneshot(get("/1")));
    let mut second = spawn(cache.clone().oneshot(get("/2")));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    let call = calls.next().await;
    calls.none().await;
    call.answer(fresh(full("one")));
    let call = calls.next().await;
    call.answer(fresh(full("two")));
    for (viewer, expected) in [(first, "one"), (second, "two")] {
        let response = within(viewer).await.unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_hit_does_not_wait_for_a_limit_that_is_taken() {
    let (origin, mut calls) = origin();
    let cache = layer().layer(ConcurrencyLimit::new(origin, 1));
    let mut stored = spawn(cache.clone().oneshot(get("/stored")));
    assert_pending!(stored.poll());
    calls.next().await.answer(fresh(full("stored")));
    text(stored.await.unwrap().into_body()).await.unwrap();

    let mut slow = spawn(cache.clone().oneshot(get("/slow")));
    assert_pending!(slow.poll());
    let held = calls.next().await;
    assert_stored(&cache, "/stored", "stored").await;
    held.answer(fresh(full("slow")));
    assert_eq!(text(slow.await.unwrap().into_body()).await.unwrap(), "slow");
}

#[tokio::test]
async fn a_viewer_that_gives_up_in_the_queue_of_a_limit_gives_its_place_back() {
    let (origin, mut calls) = origin();
    let cache = layer().layer(ConcurrencyLimit::new(origin, 1));
    let mut first = spawn(cache.clone().oneshot(get("/1")));
    assert_pending!(first.poll());
    let held = calls.next().await;
    for path in ["/2", "/3"] {
        let mut impatient = spawn(cache.clone().oneshot(get(path)));
        assert_pending!(impatient.poll());
        drop(impatient);
        let request = Request::post(path).body(Empty::new()).unwrap();
        let mut impatient = spawn(cache.clone().oneshot(request));
        assert_pending!(impatient.poll());
    }
    held.answer(fresh(full("one")));
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    // The two fetches go on; the two that were inline are gone.
    for _ in 0..2 {
        let call = calls.next().await;
        assert_eq!(call.request.method(), Method::GET);
        call.answer(fresh(full("later")));
    }
    calls.none().await;
}

/// An origin that counts: all calls, and the most at once.
#[derive(Clone, Default)]
struct Busy {
    calls: Counter,
    now: Counter,
    most: Counter,
}

impl Busy {
    async fn answer(self, request: Request<NoBody>) -> Result<Response<Body>, Infallible> {
        self.calls.add();
        if self.now.add() >= self.most.get() {
            self.most.add();
        }
        tokio::task::yield_now().await;
        self.now.subtract();
        Ok(fresh(full(request.uri().path().to_owned())))
    }

    fn service(
        &self,
    ) -> impl Service<Request<NoBody>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        let busy = self.clone();
        service_fn(move |request| busy.clone().answer(request))
    }
}

/// Sends 300 requests for 10 keys from tasks on several threads; each must get its own key's answer.
async fn storm<S, B>(service: S)
where
    S: Service<Request<NoBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: std::fmt::Debug + Send,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: std::fmt::Debug + Send,
{
    let requests = (0..300).map(|number| {
        let service = service.clone();
        tokio::spawn(async move {
            let path = format!("/{}", number % 10);
            let response = service.oneshot(get(&path)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(text(response.into_body()).await.unwrap(), path);
        })
    });
    for done in within(join_all(requests)).await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_cold_requests_over_a_limit_of_one_all_end() {
    let busy = Busy::default();
    storm(layer().layer(ConcurrencyLimit::new(busy.service(), 1))).await;
    assert_eq!((busy.calls.get(), busy.most.get()), (10, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_cold_requests_under_a_limit_of_one_all_end() {
    let busy = Busy::default();
    storm(ConcurrencyLimit::new(layer().layer(busy.service()), 1)).await;
    assert_eq!(busy.calls.get(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_cold_requests_inside_a_buffer_all_end() {
    let busy = Busy::default();
    storm(Buffer::new(layer().layer(busy.service()), 2)).await;
    assert_eq!(busy.calls.get(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_cold_requests_over_a_buffer_all_end() {
    let busy = Busy::default();
    storm(layer().layer(Buffer::new(busy.service(), 1))).await;
    assert_eq!(busy.calls.get(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_cold_requests_in_a_buffer_over_a_buffer_over_a_limit_all_end() {
    let busy = Busy::default();
    let service = ServiceBuilder::new()
        .buffer(1)
        .layer(layer())
        .buffer(1)
        .concurrency_limit(1)
        .service(busy.service());
    storm(service).await;
    assert_eq!((busy.calls.get(), busy.most.get()), (10, 1));
}

#[tokio::test]
async fn over_load_shedding_the_leader_gets_its_error_and_hits_are_served() {
    let (origin, mut calls) = origin();
    let shedding = LoadShed::new(ConcurrencyLimit::new(origin, 1));
    let cache = layer().layer(shedding);
    let mut first = spawn(cache.clone().oneshot(get("/stored")));
    assert_pending!(first.poll());
    calls.next().await.answer(fresh(full("stored")));
    text(first.await.unwrap().into_body()).await.unwrap();

    let mut slow = spawn(cache.clone().oneshot(get("/slow")));
    assert_pending!(slow.poll());
    let held = calls.next().await;
    let mut leader = spawn(cache.clone().oneshot(get("/shed")));
    let mut follower = spawn(cache.clone().oneshot(get("/shed")));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    let error = leader.await.map(drop).unwrap_err();
    assert!(error.is::<Overloaded>(), "{error}");
    assert_failed(&follower.await.unwrap(), StatusCode::BAD_GATEWAY);
    assert_stored(&cache, "/stored", "stored").await;
    held.answer(fresh(full("slow")));
    assert_eq!(slow.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_leader_gets_the_inner_error_itself_and_followers_a_502() {
    let (cache, mut calls) = cache();
    let mut leader = spawn(cache.clone().oneshot(get("/")));
    let mut followers = [(); 3].map(|()| spawn(cache.clone().oneshot(get("/"))));
    assert_pending!(leader.poll());
    for follower in &mut followers {
        assert_pending!(follower.poll());
    }
    calls.next().await.fail(7);
    assert_eq!(within(leader).await.map(drop).unwrap_err(), Broken(7));
    for follower in followers {
        assert_failed(&within(follower).await.unwrap(), StatusCode::BAD_GATEWAY);
    }
    // Nothing of it is kept.
    let mut next = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(next.poll());
    calls.next().await.answer(fresh(full("well")));
    assert_eq!(text(next.await.unwrap().into_body()).await.unwrap(), "well");
}

/// Panics where the path says.
#[derive(Clone, Default)]
struct Panics(Counter);

impl Service<Request<NoBody>> for Panics {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<NoBody>) -> Self::Future {
        let again = self.0.add() > 0;
        let path = request.uri().path().to_owned();
        if path == "/call" && !again {
            panic!("in call");
        }
        Box::pin(async move {
            tokio::task::yield_now().await;
            if path == "/future" && !again {
                panic!("in the future");
            }
            Ok(fresh(full("well")))
        })
    }
}

#[tokio::test]
async fn a_panic_gives_every_waiter_a_500_and_poisons_nothing() {
    for path in ["/call", "/future"] {
        let cache = layer().layer(Panics::default());
        let mut waiters = [(); 4].map(|()| spawn(cache.clone().oneshot(get(path))));
        for waiter in &mut waiters {
            assert_pending!(waiter.poll());
        }
        for waiter in waiters {
            let response = within(waiter).await.unwrap();
            assert_failed(&response, StatusCode::INTERNAL_SERVER_ERROR);
        }
        let response = within(cache.clone().oneshot(get(path))).await.unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), "well");
        assert_stored(&cache, path, "well").await;
    }
}

#[tokio::test]
async fn a_panic_of_the_leader_whose_viewer_is_gone_still_reaches_the_followers() {
    let cache = layer().layer(Panics::default());
    let mut leader = spawn(cache.clone().oneshot(get("/future")));
    let mut follower = spawn(cache.clone().oneshot(get("/future")));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    drop(leader);
    let response = within(follower).await.unwrap();
    assert_failed(&response, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_panic_in_a_body_aborts_it_for_every_reader_and_poisons_nothing() {
    let (cache, mut calls) = cache();
    let mut leader = spawn(cache.clone().oneshot(get("/")));
    let mut follower = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    let mut begun = false;
    let frames = futures_util::stream::poll_fn(move |_cx| {
        assert!(!std::mem::replace(&mut begun, true), "in the body");
        let frame = http_body::Frame::data(Bytes::from_static(b"half"));
        Poll::Ready(Some(Ok(frame)))
    });
    let body = http_body_util::StreamBody::new(frames).boxed_unsync();
    calls.next().await.answer(fresh(body));
    for waiter in [leader, follower] {
        let response = within(waiter).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = response.into_body();
        assert_eq!(chunk(&mut body).await.unwrap(), "half");
        chunk(&mut body).await.unwrap_err();
    }
    let mut next = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(next.poll());
    calls.next().await.answer(fresh(full("well")));
    assert_eq!(text(next.await.unwrap().into_body()).await.unwrap(), "well");
}

#[tokio::test]
async fn a_panic_inline_is_the_callers_as_without_a_cache_and_poisons_nothing() {
    let cache = layer().layer(Panics::default());
    let request = Request::post("/future").body(Empty::new()).unwrap();
    let call = AssertUnwindSafe(cache.clone().oneshot(request)).catch_unwind();
    assert!(within(call).await.is_err());
    let response = within(cache.clone().oneshot(get("/future"))).await.unwrap();
    assert_eq!(text(response.into_body()).await.unwrap(), "well");
    assert_stored(&cache, "/future", "well").await;
}

#[tokio::test]
async fn a_request_that_is_never_polled_leaves_nothing_behind() {
    let (mut cache, mut calls) = cache();
    drop(cache.call(get("/")));
    calls.none().await;
    let mut next = spawn(cache.call(get("/")));
    assert_pending!(next.poll());
    calls.next().await.answer(fresh(full("well")));
    assert_eq!(next.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_leader_that_leaves_before_the_head_leaves_no_follower_hanging() {
    let (cache, mut calls) = cache();
    let mut leader = spawn(cache.clone().oneshot(get("/")));
    let mut follower = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    drop(leader);
    calls.next().await.answer(fresh(full("well")));
    let response = within(follower).await.unwrap();
    assert!(said(&response).is_collapsed());
    assert_eq!(text(response.into_body()).await.unwrap(), "well");
    calls.none().await;
}

#[tokio::test]
async fn a_leader_that_leaves_before_an_uncacheable_head_sends_its_follower_on() {
    let (cache, mut calls) = cache();
    let mut leader = spawn(cache.clone().oneshot(get("/")));
    let mut follower = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    let call = calls.next().await;
    drop(leader);
    let (feed, body) = fed();
    call.answer(cacheable("no-store", body));
    feed.dropped().await;
    let second = async {
        calls
            .next()
            .await
            .answer(cacheable("no-store", full("own")));
    };
    let (response, ()) = within(async { tokio::join!(follower, second) }).await;
    let body = response.unwrap().into_body();
    assert_eq!(text(body).await.unwrap(), "own");
}

#[tokio::test]
async fn a_fetch_goes_on_without_its_viewer_when_it_will_be_stored() {
    let layer = layer();
    let (origin, mut calls) = origin();
    let cache = layer.layer(origin);

    // Gone before the head.
    let mut viewer = spawn(cache.clone().oneshot(get("/1")));
    assert_pending!(viewer.poll());
    let call = calls.next().await;
    drop(viewer);
    let (feed, body) = fed();
    call.answer(fresh(body));
    feed.send("one, ").await;
    feed.send("whole").await;
    drop(feed);
    landed(&layer).await;
    assert_stored(&cache, "/1", "one, whole").await;

    // Gone with the head in its hand.
    let mut viewer = spawn(cache.clone().oneshot(get("/2")));
    assert_pending!(viewer.poll());
    let (feed, body) = fed();
    calls.next().await.answer(fresh(body));
    drop(within(viewer).await.unwrap());
    feed.send("two, ").await;
    feed.send("whole").await;
    drop(feed);
    landed(&layer).await;
    assert_stored(&cache, "/2", "two, whole").await;

    // Gone in the middle.
    let mut viewer = spawn(cache.clone().oneshot(get("/3")));
    assert_pending!(viewer.poll());
    let (feed, body) = fed();
    calls.next().await.answer(fresh(body));
    let mut body = within(viewer).await.unwrap().into_body();
    feed.send("three, ").await;
    assert_eq!(chunk(&mut body).await.unwrap(), "three, ");
    drop(body);
    feed.send("whole").await;
    drop(feed);
    landed(&layer).await;
    assert_stored(&cache, "/3", "three, whole").await;
}

#[tokio::test]
async fn a_leader_that_leaves_after_the_head_or_in_the_body_leaves_the_others_reading() {
    for after_a_chunk in [false, true] {
        let (cache, mut calls) = cache();
        let mut leader = spawn(cache.clone().oneshot(get("/")));
        let mut follower = spawn(cache.clone().oneshot(get("/")));
        assert_pending!(leader.poll());
        assert_pending!(follower.poll());
        let (feed, body) = fed();
        calls.next().await.answer(fresh(body));
        let mut leader = within(leader).await.unwrap().into_body();
        let mut follower = within(follower).await.unwrap().into_body();
        feed.send("half, ").await;
        if after_a_chunk {
            assert_eq!(chunk(&mut leader).await.unwrap(), "half, ");
            assert_eq!(chunk(&mut follower).await.unwrap(), "half, ");
        }
        drop(leader);
        // Also one who comes only now.
        let mut late = within(cache.clone().oneshot(get("/")))
            .await
            .unwrap()
            .into_body();
        feed.send("whole").await;
        drop(feed);
        let rest = text(follower).await.unwrap();
        assert!(rest.ends_with("whole"), "{rest}");
        assert_eq!(chunk(&mut late).await.unwrap(), "half, ");
        assert_eq!(text(late).await.unwrap(), "whole");
        assert_stored(&cache, "/", "half, whole").await;
    }
}

#[tokio::test]
async fn a_shared_answer_that_is_not_stored_ends_with_its_last_viewer() {
    let (cache, mut calls) = cache();
    let mut leader = spawn(cache.clone().oneshot(get("/")));
    let mut follower = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    let (feed, body) = fed();
    let mut failure = Response::new(body);
    *failure.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    calls.next().await.answer(failure);
    let leader = within(leader).await.unwrap();
    let follower = within(follower).await.unwrap();
    assert_eq!(follower.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(leader);
    feed.send("sorry").await;
    let mut body = follower.into_body();
    assert_eq!(chunk(&mut body).await.unwrap(), "sorry");
    drop(body);
    feed.dropped().await;
}

#[tokio::test]
async fn a_follower_that_leaves_disturbs_nobody() {
    let (cache, mut calls) = cache();
    let mut leader = spawn(cache.clone().oneshot(get("/")));
    let mut early = spawn(cache.clone().oneshot(get("/")));
    let mut with_head = spawn(cache.clone().oneshot(get("/")));
    let mut in_body = spawn(cache.clone().oneshot(get("/")));
    let mut stays = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(leader.poll());
    for follower in [&mut early, &mut with_head, &mut in_body, &mut stays] {
        assert_pending!(follower.poll());
    }
    drop(early);
    let (feed, body) = fed();
    calls.next().await.answer(fresh(body));
    drop(within(with_head).await.unwrap());
    feed.send("half, ").await;
    let mut in_body = within(in_body).await.unwrap().into_body();
    assert_eq!(chunk(&mut in_body).await.unwrap(), "half, ");
    drop(in_body);
    feed.send("whole").await;
    drop(feed);
    for response in [within(leader).await, within(stays).await] {
        let body = response.unwrap().into_body();
        assert_eq!(text(body).await.unwrap(), "half, whole");
    }
    assert_stored(&cache, "/", "half, whole").await;
    calls.none().await;
}

/// Checks that what runs inline is dropped with its viewer: first the future, then the body.
async fn assert_ends_with_its_viewer(
    cache: &Cache<Origin>,
    calls: &mut Calls,
    request: impl Fn() -> Request<NoBody>,
) {
    let mut viewer = spawn(cache.clone().oneshot(request()));
    assert_pending!(viewer.poll());
    let mut call = calls.next().await;
    drop(viewer);
    // At once, not some time later.
    assert!(call.dropped().now_or_never().is_some(), "{call:?} goes on");

    let mut viewer = spawn(cache.clone().oneshot(request()));
    assert_pending!(viewer.poll());
    let (feed, body) = fed();
    calls.next().await.answer(cacheable("no-store", body));
    let mut body = within(viewer).await.unwrap().into_body();
    feed.send("event").await;
    assert_eq!(chunk(&mut body).await.unwrap(), "event");
    drop(body);
    assert!(feed.dropped().now_or_never().is_some(), "the body goes on");
}

#[tokio::test]
async fn a_bypassed_request_is_cancelled_when_its_viewer_leaves() {
    let (origin, mut calls) = origin();
    let cache = layer()
        .bypass_if(|parts| parts.uri.path() == "/bypassed")
        .layer(origin);
    assert_ends_with_its_viewer(&cache, &mut calls, || get("/bypassed")).await;
    for method in [Method::POST, Method::OPTIONS, Method::DELETE] {
        assert_ends_with_its_viewer(&cache, &mut calls, || {
            let request = Request::builder().method(method.clone()).uri("/");
            request.body(Empty::new()).unwrap()
        })
        .await;
    }
    assert_ends_with_its_viewer(&cache, &mut calls, || {
        let request = Request::get("/").header("range", "bytes=0-1");
        request.body(Empty::new()).unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_request_for_an_uncacheable_key_is_cancelled_when_its_viewer_leaves() {
    let (cache, mut calls) = cache();
    let mut first = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(first.poll());
    calls
        .next()
        .await
        .answer(cacheable("no-store", full("own")));
    let first = within(first).await.unwrap();
    assert_eq!(text(first.into_body()).await.unwrap(), "own");
    assert_ends_with_its_viewer(&cache, &mut calls, || get("/")).await;
}

#[tokio::test]
async fn an_event_stream_whose_key_is_not_known_yet_ends_with_its_viewer() {
    let (cache, mut calls) = cache();
    let mut viewer = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(viewer.poll());
    let (feed, body) = fed();
    calls.next().await.answer(cacheable("no-store", body));
    let mut body = within(viewer).await.unwrap().into_body();
    for event in ["1", "2", "3"] {
        feed.send(event).await;
        assert!(body.frame().now_or_never().is_some(), "an event waits");
    }
    drop(body);
    assert!(feed.dropped().now_or_never().is_some(), "it goes on");
}

#[tokio::test]
async fn extensions_of_a_request_reach_the_inner_service() {
    let (origin, mut calls) = origin();
    let cache = layer()
        .bypass_if(|parts| parts.uri.path() == "/bypassed")
        .layer(origin);
    // A miss, an uncacheable key twice, a bypass.
    for path in ["/miss", "/uncacheable", "/uncacheable", "/bypassed"] {
        let mut request = get(path);
        request.extensions_mut().insert(Counter::default());
        let mut viewer = spawn(cache.clone().oneshot(request));
        assert_pending!(viewer.poll());
        let call = calls.next().await;
        assert_eq!(call.path(), path);
        assert!(call.request.extensions().get::<Counter>().is_some());
        let said = if path == "/miss" {
            "max-age=9"
        } else {
            "no-store"
        };
        call.answer(cacheable(said, full("")));
        within(viewer).await.unwrap();
    }
}

#[tokio::test]
async fn extensions_of_a_response_reach_the_leader_only() {
    let (cache, mut calls) = cache();
    let mut leader = spawn(cache.clone().oneshot(get("/")));
    let mut follower = spawn(cache.clone().oneshot(get("/")));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    let mut answer = fresh(full("well"));
    answer.extensions_mut().insert(Counter::default());
    calls.next().await.answer(answer);
    let leader = within(leader).await.unwrap();
    assert!(leader.extensions().get::<Counter>().is_some());
    assert!(!said(&leader).is_hit());
    let follower = within(follower).await.unwrap();
    assert!(follower.extensions().get::<Counter>().is_none());
    assert!(said(&follower).is_collapsed());
    text(leader.into_body()).await.unwrap();
    let hit = within(cache.clone().oneshot(get("/"))).await.unwrap();
    assert!(is_hit(&hit) && hit.extensions().get::<Counter>().is_none());
}
