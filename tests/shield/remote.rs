//! Shields in other processes: who is asked for what, and what comes of it.

use crate::{
    process::{Fetched, Process, cache, origin, serve_all},
    raw::{OK, Server, serve},
    support::{Counter, within},
};
use bytes::Bytes;
use frontage::{
    CacheStatus, ViewerAddress,
    cdn_loop::CdnLoopLayer,
    origin::{
        Credentials, Origin, OriginAccessControl, OriginBody, OriginFailure, OriginProtocolPolicy,
        OriginService, SigningService,
    },
    status::OriginShieldHit,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, time::Instant};
use tower::{Layer, ServiceExt};

const MILLIS: Duration = Duration::from_millis(1);

async fn ask<B>(service: &OriginService, request: Request<B>) -> Response<OriginBody>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    within(service.clone().oneshot(request)).await.unwrap()
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    let request = Request::get(path).header("host", "www.example.com");
    request.body(Empty::new()).unwrap()
}

async fn text(response: Response<OriginBody>) -> String {
    let body = within(response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().into()).unwrap()
}

/// An address that nobody listens on.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn answers(answer: &'static str) -> Server {
    serve(move |_, peer| peer.answer_all(answer)).await
}

fn shielded(origin: &str, shields: &[&str]) -> OriginService {
    let origin = Origin::url(origin).unwrap().shield(shields).unwrap();
    let origin = origin.response_timeout(300 * MILLIS);
    origin.build().unwrap()
}

/// By which shield each of so many keys is answered.
async fn answered_by(service: &OriginService, keys: usize) -> BTreeMap<usize, String> {
    let mut by = BTreeMap::new();
    for key in 0..keys {
        let response = ask(service, get(&format!("/{key}"))).await;
        assert_eq!(response.status(), 200);
        let shield = response.headers().get("x-shield");
        let shield = shield.map_or("none", |shield| shield.to_str().unwrap());
        by.insert(key, shield.to_owned());
        assert_eq!(text(response).await, format!("/{key}").repeat(100));
    }
    by
}

async fn three(fetched: &Fetched) -> Vec<Process> {
    let mut shields = Vec::new();
    for number in 0..3 {
        // Of addresses that no other test's connections take ports of.
        let address = format!("127.0.0.{}:0", 40 + number);
        shields.push(Process::start(&address, number, fetched).await);
    }
    shields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shield_that_is_killed_costs_no_answer_and_moves_its_own_keys_alone() {
    const KEYS: usize = 200;
    let (fetched, (url, direct)) = (Fetched::default(), origin().await);
    let mut shields = three(&fetched).await;
    let urls: Vec<String> = shields.iter().map(Process::url).collect();
    // Edges that list them in different orders.
    let edges: Vec<OriginService> = (0..3)
        .map(|turn| {
            let mut urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            urls.rotate_left(turn);
            shielded(&url, &urls)
        })
        .collect();
    let before = answered_by(&edges[0], KEYS).await;
    for edge in &edges[1..] {
        assert_eq!(answered_by(edge, KEYS).await, before);
    }
    let used: BTreeSet<&String> = before.values().collect();
    assert_eq!(used.len(), 3, "{before:?}");
    // Each key was fetched once, and by its own shield.
    assert_eq!(fetched.lock().unwrap().len(), KEYS);

    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Counter::default());
    let load: Vec<_> = (0..24)
        .map(|task| {
            let (edge, stop, answers) = (edges[task % 3].clone(), stop.clone(), answers.clone());
            tokio::spawn(async move {
                let mut key = task * 7;
                while !stop.load(Ordering::SeqCst) {
                    // Old keys, and such that nobody has yet.
                    let path = format!("/{}", key % (2 * KEYS));
                    let response = ask(&edge, get(&path)).await;
                    assert_eq!(response.status(), 200, "{:?}", response.extensions());
                    // A body whose head had come may be cut off.
                    drop(within(response.into_body().collect()).await);
                    answers.add();
                    key += 1;
                }
            })
        })
        .collect();
    crate::support::until(|| answers.get() > 1_000).await;
    let dead = shields.remove(1);
    dead.kill().await;
    let killed_at = answers.get();
    crate::support::until(|| answers.get() > killed_at + 1_000).await;
    stop.store(true, Ordering::SeqCst);
    for task in load {
        within(task).await.unwrap();
    }
    assert_eq!(direct.get(), 0);

    for edge in &edges {
        let after = answered_by(edge, KEYS).await;
        let mut heirs = BTreeSet::new();
        for (key, shield) in &before {
            match shield.as_str() {
                "1" => drop(heirs.insert(after[key].clone())),
                _ => assert_eq!(after[key], *shield),
            }
        }
        assert_eq!(heirs, BTreeSet::from(["0".to_owned(), "2".to_owned()]));
    }

    for shield in shields {
        shield.kill().await;
    }
    let alone = answered_by(&edges[0], 20).await;
    assert!(alone.values().all(|shield| shield == "none"), "{alone:?}");
    assert_eq!(direct.get(), 20);
}

#[tokio::test]
async fn one_that_comes_back_gets_its_keys_again_after_a_while() {
    let (fetched, (url, direct)) = (Fetched::default(), origin().await);
    let shields = three(&fetched).await;
    let urls: Vec<String> = shields.iter().map(Process::url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let edge = shielded(&url, &urls);
    let before = answered_by(&edge, 30).await;
    let mut address = None;
    for (number, shield) in shields.into_iter().enumerate() {
        if number == 1 {
            address = Some(shield.address.to_string());
            shield.kill().await;
        }
    }
    let without = answered_by(&edge, 30).await;
    let start = Instant::now();
    assert_ne!(without, before);
    let _back = Process::start(&address.unwrap(), 1, &fetched).await;
    assert_eq!(answered_by(&edge, 30).await, without, "it isn't asked yet");
    tokio::time::sleep_until(start + Duration::from_secs(6)).await;
    // One finds it back, and all that come then go there.
    answered_by(&edge, 30).await;
    assert_eq!(answered_by(&edge, 30).await, before);
    assert_eq!(direct.get(), 0);
}

#[tokio::test]
async fn a_shield_gets_the_viewers_request() {
    let (server, other) = (answers(OK).await, answers(OK).await);
    let origin = Origin::url(&format!("{}/base", other.url()))
        .unwrap()
        .custom_header("x-origin-verify", "secret")
        .unwrap()
        .signing(SigningService::S3, Some("us-east-1"))
        .access_control(OriginAccessControl::always(Credentials::new("id", "key")));
    let service = origin.clone().shield([server.url()]).unwrap();
    let service = service.build().unwrap();
    let viewer = "192.0.2.1:99".parse().unwrap();
    for method in ["GET", "HEAD"] {
        let request = Request::builder()
            .method(method)
            .uri("/a?b")
            .header("host", "www.example.com")
            .header("x-origin-verify", "viewer")
            .header("cdn-loop", "edge")
            .header("range", "bytes=0-1")
            .extension(ViewerAddress(viewer));
        let response = ask(&service, request.body(Empty::<Bytes>::new()).unwrap()).await;
        assert_eq!(response.status(), 200);
        text(response).await;
    }
    for (head, method) in server.seen.heads().iter().zip(["GET", "HEAD"]) {
        let head = head.to_ascii_lowercase();
        let line = format!("{} /a?b http/1.1\r\n", method.to_ascii_lowercase());
        assert!(head.starts_with(&line), "{head}");
        for line in [
            "host: www.example.com",
            "x-origin-verify: viewer",
            "cdn-loop: edge",
            "range: bytes=0-1",
            "x-forwarded-for: 192.0.2.1",
            "via: 1.1 frontage",
        ] {
            assert!(
                head.contains(&format!("\r\n{line}\r\n")),
                "{line} in {head}"
            );
        }
        assert!(!head.contains("authorization") && !head.contains("x-amz"));
    }
    assert_eq!(server.seen.heads().len(), 2);
    assert!(other.seen.heads().is_empty());

    // With the shield down it is the origin's own.
    let service = origin.shield([nobody().await]).unwrap().build().unwrap();
    text(ask(&service, get("/a?b")).await).await;
    let head = other.seen.heads().concat().to_ascii_lowercase();
    assert!(head.starts_with("get /base/a?b http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-origin-verify: secret\r\n"), "{head}");
    assert!(
        head.contains("\r\nauthorization: aws4-hmac-sha256 "),
        "{head}"
    );
    assert_eq!(head.matches("via: ").count(), 1);
}

/// Answers each request with its body.
async fn echoes() -> Server {
    serve(|_, mut peer| async move {
        while let Some(head) = peer.head().await {
            let head = head.to_ascii_lowercase();
            let length = head.split("\r\ncontent-length: ").nth(1);
            let length = length.map_or(0, |length| {
                let digits = length.split("\r\n").next().unwrap();
                digits.parse().unwrap()
            });
            let body = String::from_utf8(peer.body(length).await).unwrap();
            peer.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        }
    })
    .await
}

fn with_body(method: &str, path: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    request.body(Full::from("body")).unwrap()
}

const NOT_CACHED: [&str; 5] = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

#[tokio::test]
async fn what_is_not_cached_goes_through_the_shield_but_not_web_sockets_and_grpc() {
    let (shield, origin) = (echoes().await, answers(OK).await);
    let service = shielded(&origin.url(), &[&shield.url()]);
    for method in NOT_CACHED {
        let request = Request::builder().method(method).uri("/a");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(text(ask(&service, request).await).await, "");
        let request = with_body(method, "/a");
        assert_eq!(text(ask(&service, request).await).await, "body");
    }
    assert_eq!(
        text(ask(&service, with_body("GET", "/a")).await).await,
        "body"
    );
    assert_eq!((heads([&shield]), heads([&origin])), (11, 0));

    let opening = Request::get("/a")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "a");
    text(ask(&service, opening.body(Empty::<Bytes>::new()).unwrap()).await).await;
    assert_eq!((heads([&shield]), heads([&origin])), (11, 1));
    let call = Request::post("/a").header("content-type", "application/grpc");
    let call = call.body(Full::<Bytes>::from("call")).unwrap();
    // By HTTP/2, which the origin here doesn't speak.
    assert_eq!(ask(&service, call).await.status(), 502);
    assert_eq!(heads([&shield]), 11);
}

#[tokio::test]
async fn what_was_not_sent_goes_on_with_its_body() {
    let (shield, origin) = (echoes().await, echoes().await);
    for method in NOT_CACHED {
        let service = shielded(&origin.url(), &[&nobody().await, &shield.url()]);
        // Half of the keys have the dead one first.
        for key in 0..8 {
            let request = with_body(method, &format!("/{key}"));
            assert_eq!(text(ask(&service, request).await).await, "body");
        }
        let dead = [nobody().await, nobody().await];
        let service = shielded(&origin.url(), &[&dead[0], &dead[1]]);
        let request = with_body(method, "/a");
        assert_eq!(text(ask(&service, request).await).await, "body");
    }
    assert_eq!((heads([&shield]), heads([&origin])), (40, 5));
}

#[tokio::test]
async fn what_was_sent_and_is_not_safe_is_sent_to_nobody_else() {
    let closes = || serve(|_, mut peer| async move { drop(peer.head().await) });
    let (silents, closing) = (
        [silent().await, silent().await],
        [closes().await, closes().await],
    );
    let origin = echoes().await;
    for (shields, status) in [(&silents, 504), (&closing, 502)] {
        let urls = shields.each_ref().map(Server::url);
        for (asked, method) in ["POST", "PUT", "DELETE", "PATCH"].iter().enumerate() {
            let service = shielded(&origin.url(), &[&urls[0], &urls[1]]);
            let response = ask(&service, with_body(method, "/a")).await;
            assert_eq!(response.status(), status);
            assert_eq!(heads(shields), asked + 1, "{method}");
        }
    }
    assert_eq!(heads([&origin]), 0);
}

#[tokio::test]
async fn a_change_through_the_edge_is_seen_through_the_edge() {
    let fetched = Fetched::default();
    let shield = Process::start("127.0.0.43:0", 0, &fetched).await;
    let (url, direct) = origin().await;
    let edge = cache().layer(shielded(&url, &[&shield.url()]));
    let fetches = || fetched.lock().unwrap().len();
    let ask = |method: &str| {
        let request = Request::builder().method(method).uri("/a");
        let request = request.header("host", "www.example.com");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let edge = edge.clone();
        async move {
            let response = within(edge.oneshot(request)).await.unwrap();
            assert_eq!(response.status(), 200);
            drop(within(response.into_body().collect()).await.unwrap());
        }
    };
    for _ in 0..3 {
        ask("GET").await;
    }
    assert_eq!(fetches(), 1);
    for (method, after) in [("PUT", 3), ("DELETE", 5), ("POST", 7), ("OPTIONS", 8)] {
        ask(method).await;
        // Neither the edge's copy nor the shield's.
        ask("GET").await;
        ask("GET").await;
        assert_eq!(fetches(), after, "{method}");
    }
    assert_eq!(direct.get(), 0);
    shield.kill().await;
}

#[tokio::test]
async fn each_way_to_be_down_leads_to_the_next() {
    let origin = answers("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\norigin").await;
    let silent = serve(|_, mut peer| async move {
        peer.head().await;
        peer.head().await;
    })
    .await;
    let closes = serve(|_, mut peer| async move { drop(peer.head().await) }).await;
    let resets = serve(|_, mut peer| async move {
        peer.head().await;
        peer.reset();
    })
    .await;
    let junk = answers("nonsense\r\n\r\n").await;
    let half = serve(|_, mut peer| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-le").await;
    })
    .await;
    for (down, taken) in [
        (nobody().await, None),
        ("http://shield.invalid".to_owned(), None),
        (silent.url(), Some(&silent)),
        (closes.url(), Some(&closes)),
        (resets.url(), Some(&resets)),
        (junk.url(), Some(&junk)),
        (half.url(), Some(&half)),
    ] {
        let service = shielded(&origin.url(), &[&down]);
        for _ in 0..5 {
            let response = ask(&service, get("/a")).await;
            assert!(response.extensions().get::<OriginFailure>().is_none());
            assert_eq!(text(response).await, "origin", "{down}");
        }
        // It takes three, and is then left alone.
        if let Some(server) = taken {
            assert_eq!(server.seen.heads().len(), 3, "{down}");
        }
    }
    assert_eq!(origin.seen.heads().len(), 35);
}

/// Answers all but one path, at which it ends the connection.
async fn poisoned() -> Server {
    serve(|_, mut peer| async move {
        while let Some(head) = peer.head().await {
            if head.starts_with("GET /poison ") {
                return;
            }
            peer.send(OK).await;
        }
    })
    .await
}

/// Says nothing.
async fn silent() -> Server {
    serve(|_, mut peer| async move { while peer.head().await.is_some() {} }).await
}

fn heads<'s>(servers: impl IntoIterator<Item = &'s Server>) -> usize {
    let servers = servers.into_iter();
    servers.map(|server| server.seen.heads().len()).sum()
}

#[tokio::test]
async fn what_no_shield_answers_takes_none_down_as_long_as_they_answer_all_else() {
    let shields = [poisoned().await, poisoned().await, poisoned().await];
    let urls = shields.each_ref().map(Server::url);
    let origin = answers(OK).await;
    let service = shielded(&origin.url(), &urls.each_ref().map(String::as_str));
    for turn in 1..=5 {
        // Over new connections.
        let before = heads(&shields);
        assert_eq!(text(ask(&service, get("/poison")).await).await, "ok");
        let taken = shields.each_ref().map(|shield| {
            let heads = shield.seen.heads();
            heads.iter().filter(|head| head.contains("/poison")).count()
        });
        // A kept connection that ends is tried anew.
        assert!(heads(&shields) - before <= 4, "{taken:?}");
        assert_eq!(taken.iter().filter(|taken| **taken > 0).count(), 2);
        assert_eq!(origin.seen.heads().len(), turn, "{taken:?}");
        for key in 0..20 {
            text(ask(&service, get(&format!("/{turn}-{key}"))).await).await;
        }
        assert_eq!(origin.seen.heads().len(), turn);
    }
}

#[tokio::test]
async fn silence_goes_one_other_way_and_no_further() {
    let origin = silent().await;
    for shields in [1, 2, 3, 4] {
        let mut silents = Vec::new();
        for _ in 0..shields {
            silents.push(silent().await);
        }
        let urls: Vec<String> = silents.iter().map(Server::url).collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let before = heads([&origin]);
        let service = shielded(&origin.url(), &urls);
        let start = Instant::now();
        let response = ask(&service, get("/a")).await;
        assert_eq!(response.status(), 504);
        let failure = response.extensions().get();
        assert_eq!(failure, Some(&OriginFailure::ResponseTimeout));
        assert!(start.elapsed() < 900 * MILLIS, "{:?}", start.elapsed());
        assert_eq!(heads(&silents), shields.min(2));
        // Once, not as often as without shields.
        assert_eq!(heads([&origin]) - before, usize::from(shields == 1));
    }
}

#[tokio::test]
async fn two_shields_may_take_a_request_and_then_it_is_the_origins() {
    let shields = [poisoned().await, poisoned().await, poisoned().await];
    let urls = shields.each_ref().map(Server::url);
    let origin = silent().await;
    let service = shielded(&origin.url(), &urls.each_ref().map(String::as_str));
    let response = ask(&service, get("/poison")).await;
    assert_eq!(response.status(), 504);
    assert_eq!((heads(&shields), heads([&origin])), (2, 1));
}

#[tokio::test]
async fn what_a_shield_answers_is_the_answer_whatever_it_is() {
    let origin = answers(OK).await;
    for status in [404, 500, 502, 503, 504] {
        let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 2\r\n\r\nno");
        let shield = serve(move |_, mut peer| {
            let answer = answer.clone();
            async move {
                while peer.head().await.is_some() {
                    peer.send(&answer).await;
                }
            }
        })
        .await;
        let service = shielded(&origin.url(), &[&shield.url()]);
        for _ in 0..2 {
            let response = ask(&service, get("/a")).await;
            assert_eq!(response.status(), status);
            assert_eq!(text(response).await, "no");
        }
        assert_eq!(shield.seen.heads().len(), 2);
    }
    assert_eq!(origin.seen.connections(), 0);
}

#[tokio::test]
async fn what_a_shield_calls_a_loop_is_the_origins() {
    const LOOP: &str = "HTTP/1.1 508 Loop Detected\r\ncontent-length: 0\r\n\r\n";
    let shields = [answers(LOOP).await, answers(LOOP).await];
    let urls = shields.each_ref().map(Server::url);
    let origin = answers(OK).await;
    let service = shielded(&origin.url(), &[&urls[0], &urls[1]]);
    for turn in 1..5 {
        assert_eq!(text(ask(&service, get("/a")).await).await, "ok");
        // It is asked again: it isn't down.
        assert_eq!((heads(&shields), heads([&origin])), (turn, turn));
    }
    let put = Request::put("/a").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(ask(&service, put).await.status(), 508);
    assert_eq!((heads(&shields), heads([&origin])), (5, 4));
}

#[tokio::test]
async fn shields_that_name_each_other_and_themselves_still_answer() {
    const FRESH: &str =
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nok";
    let origin = answers(FRESH).await;
    let mut listeners = Vec::new();
    for number in 0..3 {
        let address = format!("127.0.0.{}:0", 44 + number);
        listeners.push(TcpListener::bind(address).await.unwrap());
    }
    let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let urls: Vec<String> = listeners.iter().map(url).collect();
    for listener in listeners {
        let origin = Origin::url(&origin.url()).unwrap().shield(&urls).unwrap();
        let cache = cache().layer(origin.build().unwrap());
        let node = CdnLoopLayer::new("node").unwrap().layer(cache);
        tokio::spawn(serve_all(listener, node));
    }
    for key in 0..10 {
        for url in &urls {
            let node = Origin::url(url).unwrap().forward_host(true);
            let response = ask(&node.build().unwrap(), get(&format!("/{key}"))).await;
            assert_eq!(text(response).await, "ok");
        }
        assert_eq!(heads([&origin]), key + 1);
    }
}

#[tokio::test]
async fn a_completion_timeout_ends_all_of_it() {
    let silent = || {
        serve(|_, mut peer| async move {
            peer.head().await;
            peer.head().await;
        })
    };
    let (one, two, origin) = (silent().await, silent().await, answers(OK).await);
    let shielded = Origin::url(&origin.url())
        .unwrap()
        .shield([one.url(), two.url()])
        .unwrap()
        .response_timeout(400 * MILLIS)
        .response_completion_timeout(Some(600 * MILLIS));
    let response = ask(&shielded.build().unwrap(), get("/a")).await;
    let failure = response.extensions().get();
    assert_eq!(failure, Some(&OriginFailure::CompletionTimeout));
    assert_eq!(origin.seen.connections(), 0);
}

#[tokio::test]
async fn a_hit_of_the_shield_is_said() {
    let origin = answers(OK).await;
    for (said, hit) in [
        ("cache-status: shield; hit; ttl=5", true),
        ("cache-status: shield; fwd=uri-miss; stored", false),
        ("x-cache: Hit from elsewhere", true),
        ("x-a: b", false),
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{said}\r\ncontent-length: 2\r\n\r\nok"
        );
        let shield = serve(move |_, mut peer| {
            let answer = answer.clone();
            async move {
                while peer.head().await.is_some() {
                    peer.send(&answer).await;
                }
            }
        })
        .await;
        let service = shielded(&origin.url(), &[&shield.url()]);
        let response = ask(&service, get("/a")).await;
        let marker = response.extensions().get::<OriginShieldHit>();
        assert_eq!(marker.is_some(), hit, "{said}");
        text(response).await;
        let edge = cache().layer(service);
        let response = within(edge.oneshot(get("/a"))).await.unwrap();
        let status = response.extensions().get::<CacheStatus>().unwrap();
        assert_eq!(status.is_origin_shield_hit(), hit, "{said}");
        assert!(status.is_stored());
        assert_eq!(response.headers()["x-cache"], "Miss from frontage");
    }
}

#[tokio::test]
async fn the_host_and_the_query_are_in_the_key() {
    let shields = [answers(OK).await, answers(OK).await];
    let urls = shields.each_ref().map(Server::url);
    let service = shielded(&nobody().await, &[&urls[0], &urls[1]]);
    let counts = || shields.each_ref().map(|shield| shield.seen.heads().len());
    for uris in [
        (0..40)
            .map(|n| format!("http://h{n}/a"))
            .collect::<Vec<_>>(),
        (0..40).map(|n| format!("http://h/a?{n}")).collect(),
    ] {
        let before = counts();
        for uri in uris {
            text(ask(&service, get(&uri)).await).await;
        }
        let after = counts();
        assert!((0..2).all(|at| after[at] > before[at]), "{after:?}");
    }
    // The same thing by other names.
    for key in 0..10 {
        let before = counts();
        for uri in [
            format!("http://H/a%7e{key}"),
            format!("http://h:80/a~{key}"),
            format!("http://h/a~{key}"),
        ] {
            text(ask(&service, get(&uri)).await).await;
        }
        let after = counts();
        assert!((0..2).any(|at| after[at] == before[at]), "{after:?}");
    }
}

#[test]
fn an_origin_with_shields_has_one_protocol() {
    let bucket = || Origin::s3("bucket", "eu-west-1");
    let matching = || {
        let origin = Origin::url("http://origin").unwrap();
        origin.protocol_policy(OriginProtocolPolicy::MatchViewer)
    };
    let shield = |origin: Origin| origin.shield(["http://shield"]).unwrap();
    for origin in [shield(matching()), shield(bucket())] {
        let error = origin.build().unwrap_err();
        assert_eq!(error.setting(), "protocol_policy");
        assert!(error.to_string().contains("\"MatchViewer\""), "{error}");
    }
    // Fixed, before or after.
    let only = OriginProtocolPolicy::HttpsOnly;
    let signed = OriginAccessControl::always(Credentials::new("id", "key"));
    for origin in [
        shield(matching()).protocol_policy(only),
        shield(matching().protocol_policy(only)),
        shield(bucket()).access_control(signed),
        matching(),
    ] {
        assert!(origin.build().is_ok());
    }
    let none: [&str; 0] = [];
    assert!(matching().shield(none).unwrap().build().is_ok());
}

#[test]
fn what_cannot_be_a_shield_is_named() {
    let origin = || Origin::url("http://origin").unwrap();
    for (urls, named) in [
        (&["ftp://a"][..], "ftp://a"),
        (&["a"], "a"),
        (&["http://a", "http://b/base"], "http://b/base"),
        (&["http://a?b"], "http://a?b"),
        (&["http://u:hush@a"], "http://a"),
        (&["ftp://u:hush@a"], "a"),
        (&["http://u:hush@h@a/base"], "http://a/base"),
        (&["http://a:0"], "http://a:0"),
        (&["http://a", "http://A:80/"], "http://A:80/"),
    ] {
        let error = origin().shield(urls).unwrap_err();
        assert_eq!(error.setting(), "shield");
        assert!(error.to_string().contains(&format!("{named:?}")), "{error}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
    let many = |many: usize| (0..many).map(|number| format!("http://shield-{number}"));
    assert!(origin().shield(many(16)).is_ok());
    let error = origin().shield(many(17)).unwrap_err();
    assert!(error.to_string().contains("shield-16"), "{error}");
    assert!(origin().shield(["http://a", "https://a"]).is_ok());
    let none: [&str; 0] = [];
    assert!(origin().shield(none).unwrap().build().is_ok());
}
