//! The cache in axum: above and below routing, nested and merged, with compression above and below it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use axum::{
    Extension, Router,
    body::Body,
    extract::{ConnectInfo, MatchedPath, OriginalUri, Path, State},
    middleware::{Next, from_fn},
    response::{IntoResponse, Sse, sse::Event},
    routing::{get, post},
};
use bytes::Bytes;
use frontage::{CacheLayer, MemoryStore, key::KeyPolicy};
use futures_util::{FutureExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use std::{borrow::Cow, convert::Infallible, net::SocketAddr};
use support::{Counter, chunk, is_hit, said, until, within};
use tokio::sync::mpsc;
use tower::{Layer, Service, ServiceExt};
use tower_http::compression::CompressionLayer;

const FRESH: [(&str, &str); 1] = [("cache-control", "max-age=60")];

fn layer() -> CacheLayer {
    CacheLayer::new(MemoryStore::new(16 << 20))
}

async fn ask(app: &Router, request: Request<Body>) -> Response<Bytes> {
    let response = within(app.clone().oneshot(request)).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = within(body.collect()).await.unwrap().to_bytes();
    Response::from_parts(parts, body)
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn ask_for(app: &Router, path: &str) -> Response<Bytes> {
    ask(app, request(path)).await
}

/// Asks for `path`, which must be answered from the store or not, with this text.
async fn assert_answer(app: &Router, path: &str, hit: bool, text: &str) {
    let response = ask_for(app, path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert_eq!(response.body(), text, "{path}");
    assert_eq!(is_hit(&response), hit, "{path}: {}", said(&response));
}

/// Says in its answer who it is and how often it was called.
fn numbered(name: &'static str) -> impl IntoResponse + Clone + use<> {
    (FRESH, name)
}

fn counting(name: &'static str) -> (Counter, axum::routing::MethodRouter) {
    let counter = Counter::default();
    let counted = counter.clone();
    let handler = move || async move {
        counted.add();
        numbered(name)
    };
    (counter, get(handler))
}

#[tokio::test]
async fn above_routing_each_route_is_cached() {
    let (a_calls, a) = counting("a");
    let (b_calls, b) = counting("b");
    let app = Router::new().route("/a", a).route("/b", b).layer(layer());
    for hit in [false, true, true] {
        assert_answer(&app, "/a", hit, "a").await;
        assert_answer(&app, "/b", hit, "b").await;
    }
    assert_eq!((a_calls.get(), b_calls.get()), (1, 1));
}

#[tokio::test]
async fn as_a_route_layer_it_sees_what_matched_only() {
    let (calls, a) = counting("a");
    let app = Router::new()
        .route("/a", a)
        .route_layer(layer())
        .fallback(|| async { (StatusCode::NOT_FOUND, FRESH, "none") });
    assert_answer(&app, "/a", false, "a").await;
    assert_answer(&app, "/a", true, "a").await;
    assert_eq!(calls.get(), 1);
    let missing = ask_for(&app, "/missing").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(!missing.headers().contains_key("cache-status"));
}

#[tokio::test]
async fn around_one_method_router_it_caches_that_route() {
    let (a_calls, a) = counting("a");
    let (b_calls, b) = counting("b");
    let app = Router::new().route("/a", a.layer(layer())).route("/b", b);
    assert_answer(&app, "/a", false, "a").await;
    assert_answer(&app, "/a", true, "a").await;
    for _ in 0..2 {
        let b = ask_for(&app, "/b").await;
        assert!(!b.headers().contains_key("cache-status"));
    }
    assert_eq!((a_calls.get(), b_calls.get()), (1, 2));
}

#[tokio::test]
async fn one_layer_around_the_whole_router_as_a_service() {
    let (calls, a) = counting("a");
    let service = layer().layer(Router::new().route("/a", a));
    for hit in [false, true] {
        let response = within(service.clone().oneshot(request("/a")))
            .await
            .unwrap();
        assert_eq!(is_hit(&response), hit);
        assert_eq!(support::text(response.into_body()).await.unwrap(), "a");
    }
    assert_eq!(calls.get(), 1);
}

#[tokio::test]
async fn a_layer_above_nested_and_merged_routers_tells_their_routes_apart() {
    let nested = |name| Router::new().route("/x", get(move || async move { (FRESH, name) }));
    let app = Router::new()
        .nest("/one", nested("one"))
        .nest("/two", nested("two"))
        .merge(Router::new().route("/x", get(|| async { (FRESH, "merged") })))
        .layer(layer());
    for hit in [false, true] {
        assert_answer(&app, "/one/x", hit, "one").await;
        assert_answer(&app, "/two/x", hit, "two").await;
        assert_answer(&app, "/x", hit, "merged").await;
    }
}

#[tokio::test]
async fn one_layer_on_two_merged_routers_tells_their_routes_apart() {
    let layer = layer();
    let part = |path, name| {
        Router::new()
            .route(path, get(move || async move { (FRESH, name) }))
            .layer(layer.clone())
    };
    let app = part("/one", "one").merge(part("/two", "two"));
    for hit in [false, true] {
        assert_answer(&app, "/one", hit, "one").await;
        assert_answer(&app, "/two", hit, "two").await;
    }
}

fn two_nests(layer: &CacheLayer) -> Router {
    let nested = |name| {
        Router::new()
            .route("/x", get(move || async move { (FRESH, name) }))
            .layer(layer.clone())
    };
    Router::new()
        .nest("/one", nested("one"))
        .nest("/two", nested("two"))
        .nest("/deep", Router::new().nest("/er", nested("deep")))
}

async fn assert_never_mixed(layer: &CacheLayer) {
    let app = two_nests(layer);
    for hit in [false, true] {
        assert_answer(&app, "/one/x", hit, "one").await;
        assert_answer(&app, "/two/x", hit, "two").await;
        assert_answer(&app, "/deep/er/x", hit, "deep").await;
        // The query counts as before.
        assert_answer(&app, "/one/x?page=2", hit, "one").await;
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn one_cloned_layer_under_two_nests_never_mixes_them() {
    assert_never_mixed(&layer()).await;
}

#[tokio::test]
async fn one_cloned_layer_under_two_nests_never_mixes_them_with_uri_from() {
    let key = KeyPolicy::new().uri_from(|parts| match parts.extensions.get::<OriginalUri>() {
        Some(OriginalUri(uri)) => Cow::Borrowed(uri),
        None => Cow::Borrowed(&parts.uri),
    });
    assert_never_mixed(&layer().key(key)).await;
}

/// Below a nest, an unsafe request invalidates what its original address names.
#[cfg(feature = "axum")]
#[tokio::test]
async fn below_a_nest_a_post_invalidates_its_own_route_only() {
    let layer = layer();
    let nested = || {
        let calls = Counter::default();
        let answer = move || {
            let number = calls.add();
            async move { (FRESH, number.to_string()) }
        };
        let routes = get(answer).post(|| async { "done" });
        Router::new().route("/x", routes).layer(layer.clone())
    };
    let app = Router::new().nest("/one", nested()).nest("/two", nested());
    assert_answer(&app, "/one/x", false, "0").await;
    assert_answer(&app, "/two/x", false, "0").await;
    let post = Request::post("/one/x").body(Body::empty()).unwrap();
    assert_eq!(ask(&app, post).await.body(), "done");
    assert_answer(&app, "/one/x", false, "1").await;
    assert_answer(&app, "/two/x", true, "0").await;
}

#[derive(Clone)]
struct Tenant(&'static str);

/// Everything that axum hands to a handler, in its answer.
async fn describe(
    State(state): State<&'static str>,
    Path((kind, id)): Path<(String, u32)>,
    matched: MatchedPath,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    OriginalUri(uri): OriginalUri,
    Extension(Tenant(tenant)): Extension<Tenant>,
) -> impl IntoResponse {
    let path = matched.as_str();
    let ip = peer.ip();
    (
        FRESH,
        format!("{state} {kind} {id} {path} {ip} {uri} {tenant}"),
    )
}

async fn with_tenant(mut request: Request<Body>, next: Next) -> impl IntoResponse {
    request.extensions_mut().insert(Tenant("acme"));
    next.run(request).await
}

#[tokio::test]
async fn what_axum_hands_to_a_handler_is_intact_on_a_miss() {
    let below = Router::new()
        .route("/{kind}/{id}", get(describe))
        .layer(layer())
        .with_state("state");
    let around_the_route = Router::new()
        .route("/{kind}/{id}", get(describe).layer(layer()))
        .with_state("state");
    let above = Router::new()
        .nest("/above", Router::new().route("/{kind}/{id}", get(describe)))
        .with_state("state")
        .layer(layer());
    let app = Router::new()
        .nest("/below", below)
        .nest("/around", around_the_route)
        .merge(above)
        .layer(from_fn(with_tenant));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let executor = hyper_util::rt::TokioExecutor::new();
    let client = hyper_util::client::legacy::Client::builder(executor).build_http::<Body>();
    for place in ["below", "around", "above"] {
        // The second of each is a hit; the third, another miss, comes after it.
        for (id, hit) in [(1, "; hit"), (1, "; hit"), (2, "; hit")]
            .into_iter()
            .zip([false, true, false])
            .map(|((id, _), hit)| (id, hit))
        {
            let uri = format!("http://{address}/{place}/cat/{id}");
            let response = within(client.get(uri.parse().unwrap())).await.unwrap();
            let cache_status = response.headers()["cache-status"]
                .to_str()
                .unwrap()
                .to_owned();
            assert_eq!(cache_status.contains("; hit"), hit, "{cache_status}");
            assert_eq!(
                support::text(response.into_body()).await.unwrap(),
                format!("state cat {id} /{place}/{{kind}}/{{id}} 127.0.0.1 /{place}/cat/{id} acme")
            );
        }
    }
}

#[tokio::test]
async fn a_layer_above_routing_sees_the_fallback_too() {
    let calls = Counter::default();
    let counted = calls.clone();
    let fallback = move |path: axum::http::Uri| async move {
        counted.add();
        let fresh = path.path().starts_with("/fresh").then_some(FRESH);
        (StatusCode::NOT_FOUND, fresh.unwrap_or([("x", "y")]), "none")
    };
    let app = Router::new()
        .route("/a", get(|| async { (FRESH, "a") }))
        .fallback(fallback)
        .layer(layer());
    // A 404 that says for how long it holds is stored as what it is.
    for hit in [false, true] {
        let response = ask_for(&app, "/fresh").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(is_hit(&response), hit);
    }
    assert_eq!(calls.get(), 1);
    // One that doesn't is not, and takes nobody's place.
    for _ in 0..2 {
        let response = ask_for(&app, "/missing").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(!is_hit(&response));
    }
    assert_eq!(calls.get(), 3);
    assert_answer(&app, "/a", false, "a").await;
    assert_answer(&app, "/a", true, "a").await;
}

#[tokio::test]
async fn a_method_that_no_route_has_is_answered_by_axum() {
    let app = Router::new()
        .route("/a", post(|| async { "posted" }))
        .layer(layer());
    let response = ask_for(&app, "/a").await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[header::ALLOW], "POST");
}

// axum gives a response without Content-Length the exact size of its body as one: an empty body that stands for another must not
// claim that size.

#[tokio::test]
async fn a_head_is_answered_from_what_a_get_stored() {
    let (calls, a) = counting("abc");
    let app = Router::new().route("/a", a).layer(layer());
    assert_answer(&app, "/a", false, "abc").await;
    let response = ask(&app, head("/a")).await;
    assert!(is_hit(&response) && response.body().is_empty());
    assert_length_is_not_claimed_to_be_another(&response, 3);
    assert_eq!(calls.get(), 1);
}

#[tokio::test]
async fn a_head_that_misses_is_answered_as_without_the_cache() {
    for path in ["/stored", "/no-store"] {
        let (_, a) = counting("abc");
        let app = Router::new().route("/stored", a).route(
            "/no-store",
            get(|| async { ([("cache-control", "no-store")], "abc") }),
        );
        let without = within(app.clone().oneshot(head(path))).await.unwrap();
        assert_eq!(without.headers()[header::CONTENT_LENGTH], "3");
        let response = ask(&app.layer(layer()), head(path)).await;
        assert!(!is_hit(&response) && response.body().is_empty());
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "3", "{path}");
    }
}

#[tokio::test]
async fn a_304_does_not_say_that_the_body_has_no_length() {
    let layer = layer();
    let tagged = [("cache-control", "max-age=60"), ("etag", "\"1\"")];
    let app = Router::new()
        .route("/a", get(move || async move { (tagged, "abc") }))
        .layer(layer.clone());
    // Once as the leader of a fetch, once from the store.
    for hit in [false, true] {
        let request = Request::get("/a").header("if-none-match", "\"1\"");
        let response = ask(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(is_hit(&response), hit);
        assert_length_is_not_claimed_to_be_another(&response, 3);
        until(|| layer.core().fetches() == 0).await;
    }
}

fn head(path: &str) -> Request<Body> {
    Request::head(path).body(Body::empty()).unwrap()
}

/// RFC 9110 section 8.6: a `Content-Length` of a `HEAD` or a 304 is that of the 200, or isn't there.
fn assert_length_is_not_claimed_to_be_another(response: &Response<Bytes>, length: u64) {
    if let Some(claimed) = response.headers().get(header::CONTENT_LENGTH) {
        assert_eq!(claimed.to_str().unwrap(), length.to_string());
    }
}

const LONG: &str = "A sentence that is long enough to be worth compressing, said twice. \
                    A sentence that is long enough to be worth compressing, said twice.";

fn encoded(path: &str, coding: &str) -> Request<Body> {
    let request = Request::get(path).header(header::ACCEPT_ENCODING, coding);
    request.body(Body::empty()).unwrap()
}

fn assert_is_gzip(response: &Response<Bytes>) {
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(response.body().starts_with(b"\x1f\x8b"), "not gzip");
    // RFC 1952: it ends with the length of what was compressed.
    let length = u32::try_from(LONG.len()).unwrap();
    assert!(response.body().ends_with(&length.to_le_bytes()));
}

fn assert_is_identity(response: &Response<Bytes>) {
    assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
    assert_eq!(response.body(), LONG);
}

async fn assert_each_gets_its_coding(app: &Router, hits: [bool; 4]) {
    let order = [
        ("gzip", true),
        ("identity", false),
        ("gzip", true),
        ("identity", false),
    ];
    for ((coding, is_gzip), hit) in order.into_iter().zip(hits) {
        let response = ask(app, encoded("/", coding)).await;
        assert_eq!(is_hit(&response), hit, "{coding}: {}", said(&response));
        if is_gzip {
            assert_is_gzip(&response);
        } else {
            assert_is_identity(&response);
        }
    }
    // No Accept-Encoding at all.
    assert_is_identity(&ask_for(app, "/").await);
}

#[tokio::test]
async fn with_compression_below_each_coding_is_a_variant() {
    let calls = Counter::default();
    let counted = calls.clone();
    let app = Router::new()
        .route(
            "/",
            get(move || async move {
                counted.add();
                (FRESH, LONG)
            }),
        )
        .layer(CompressionLayer::new())
        .layer(layer());
    assert_each_gets_its_coding(&app, [false, false, true, true]).await;
    assert!(calls.get() <= 3);
}

#[tokio::test]
async fn with_compression_above_hits_are_compressed() {
    let calls = Counter::default();
    let counted = calls.clone();
    let app = Router::new()
        .route(
            "/",
            get(move || async move {
                counted.add();
                (FRESH, LONG)
            }),
        )
        .layer(layer())
        .layer(CompressionLayer::new());
    assert_each_gets_its_coding(&app, [false, true, true, true]).await;
    assert_eq!(calls.get(), 1);
}

#[tokio::test]
async fn cold_viewers_of_either_coding_never_get_each_others_body() {
    for below in [true, false] {
        let (entered, mut at_origin) = mpsc::unbounded_channel();
        let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        let opened = gate.clone();
        let routes = Router::new().route(
            "/",
            get(move || async move {
                entered.send(()).unwrap();
                opened.acquire().await.unwrap().forget();
                (FRESH, LONG)
            }),
        );
        let app = if below {
            routes.layer(CompressionLayer::new()).layer(layer())
        } else {
            routes.layer(layer()).layer(CompressionLayer::new())
        };
        let viewers = ["gzip", "identity", "gzip", "identity", "gzip"].map(|coding| {
            let viewer = tokio_test::task::spawn(app.clone().oneshot(encoded("/", coding)));
            (coding, viewer)
        });
        let mut waiting = Vec::new();
        for (coding, mut viewer) in viewers {
            tokio_test::assert_pending!(viewer.poll());
            waiting.push((coding, viewer));
        }
        within(at_origin.recv()).await.unwrap();
        gate.add_permits(10);
        for (coding, viewer) in waiting {
            // Drives the others, too: they are tasks of their own but for this.
            let response = within(viewer).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = within(body.collect()).await.unwrap().to_bytes();
            let response = Response::from_parts(parts, body);
            match coding {
                "gzip" => assert_is_gzip(&response),
                _ => assert_is_identity(&response),
            }
        }
    }
}

#[tokio::test]
async fn events_of_a_no_store_handler_stream_through_at_once() {
    for path in ["/events", "/compressed/events"] {
        let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
        let receiver = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
        let events = move || async move {
            let mut receiver = receiver.lock().unwrap().take().unwrap();
            let events = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx))
                .map(|text| Ok::<_, Infallible>(Event::default().data(text)));
            ([("cache-control", "no-store")], Sse::new(events))
        };
        let routes = Router::new().route("/events", get(events));
        let app = Router::new().merge(routes.clone().layer(layer())).nest(
            "/compressed",
            routes.layer(layer()).layer(CompressionLayer::new()),
        );
        let request = encoded(path, "gzip");
        let response = within(app.oneshot(request)).await.unwrap();
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        let mut body = response.into_body();
        assert!(body.frame().now_or_never().is_none());
        for text in ["one", "two", "three"] {
            sender.send(text).unwrap();
            assert_eq!(chunk(&mut body).await.unwrap(), format!("data: {text}\n\n"));
        }
        drop(body);
        until(|| sender.is_closed()).await;
    }
}

/// axum boxes what it is given: the layer's service must fit wherever axum wants one.
#[test]
fn it_fits_wherever_axum_takes_a_service() {
    fn fits<S>(_: &S)
    where
        S: Service<Request<Body>, Response: IntoResponse, Error: Into<Infallible>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
    }
    let service = layer().layer(Router::new());
    fits(&service);
    let _app: Router = Router::new()
        .nest_service("/a", service.clone())
        .fallback_service(service);
}
