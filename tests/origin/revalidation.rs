//! A cache's own condition, a date, and an origin that answers it with another version's 304.

use super::*;
use crate::raw::{Peer, Server, serve};
use frontage::{
    BlockLayer, CacheCore, CacheLayer, CachePolicy, CacheStatus, MemoryStore, clock::ManualClock,
    origin::OriginShieldLayer,
};
use http::StatusCode;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::net::TcpStream;
use tower::{Layer, Service, util::BoxCloneSyncService};

const NOW: u64 = 1_767_225_600_000;
const OLD: &str = "Tue, 30 Dec 2025 00:00:00 GMT";
const NEW: &str = "Wed, 31 Dec 2025 00:00:00 GMT";
const PLAIN: &str = "max-age=60";

/// What a server does besides.
#[derive(Clone, Copy, Default)]
struct Odd {
    /// It has a tag; in a 304, this one.
    etag: Option<&'static str>,
    /// It never says the whole again: the connection ends, or a 304 comes.
    ends: bool,
    repeats: bool,
}

/// Answers a condition with a 304 of an older version, and else with the number of the request, from 10 on: or with a part of it.
async fn answers(
    mut peer: Peer<TcpStream>,
    asked: Arc<AtomicUsize>,
    cache_control: &str,
    odd: Odd,
) {
    while let Some(head) = peer.head().await {
        let number = asked.fetch_add(1, Ordering::SeqCst) + 10;
        let is_conditional = head.contains("if-modified-since");
        let etag = match odd.etag {
            Some(other) if is_conditional => format!("etag: {other}\r\n"),
            Some(_) => format!("etag: \"{number}\"\r\n"),
            None => String::new(),
        };
        let fields = format!("cache-control: {cache_control}\r\n{etag}last-modified:");
        let answer = if is_conditional || (odd.repeats && number > 10) {
            format!("HTTP/1.1 304 Not Modified\r\n{fields} {OLD}\r\n\r\n")
        } else if odd.ends && number > 10 {
            return;
        } else if head.contains("range: bytes=1-1") {
            let digit = number % 10;
            format!(
                "HTTP/1.1 206 Partial Content\r\n{fields} {NEW}\r\n\
                 content-range: bytes 1-1/2\r\ncontent-length: 1\r\n\r\n{digit}"
            )
        } else {
            format!("HTTP/1.1 200 OK\r\n{fields} {NEW}\r\ncontent-length: 2\r\n\r\n{number}")
        };
        peer.send(answer).await;
    }
}

async fn server(cache_control: &'static str, odd: Odd) -> Server {
    let asked = Arc::<AtomicUsize>::default();
    serve(move |_, peer| answers(peer, asked.clone(), cache_control, odd)).await
}

type Body = frontage::ResponseBody<OriginBody>;

/// A cache over an origin.
struct Cached {
    service: BoxCloneSyncService<Request<Empty<Bytes>>, Response<Body>, std::convert::Infallible>,
    clock: ManualClock,
}

impl Cached {
    fn over(server: &Server, policy: CachePolicy) -> Self {
        Self::of(origin(&server.url()), policy)
    }

    fn of(origin: Origin, policy: CachePolicy) -> Self {
        let clock = ManualClock::at(NOW);
        let core = CacheCore::builder(MemoryStore::new(1 << 20));
        let core = core.clock(clock.clone()).build().unwrap();
        let layer = CacheLayer::with_core(core).policy(policy);
        Self {
            service: BoxCloneSyncService::new(layer.layer(origin.build().unwrap())),
            clock,
        }
    }

    async fn get(&self, fields: &[(&str, &str)]) -> (u16, String, String) {
        let fields: Vec<_> = [("host", "h")].iter().chain(fields).copied().collect();
        text_and_status(self.service.clone(), &fields).await
    }

    /// Is stale.
    fn later(&self) {
        self.clock.advance(Duration::from_secs(61));
    }
}

async fn text_and_status<S, B>(service: S, fields: &[(&str, &str)]) -> (u16, String, String)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let answering = service.oneshot(request("GET", "/a", fields));
    let (parts, body) = answering.await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let said: &CacheStatus = parts.extensions.get().unwrap();
    let body = String::from_utf8(body.into()).unwrap();
    (parts.status.as_u16(), body, said.to_string())
}

#[tokio::test]
async fn a_304_of_another_version_helps_no_cache_which_gets_the_whole() {
    for timeout in [None, Some(Duration::from_secs(20))] {
        let server = server("max-age=60, must-revalidate", Odd::default()).await;
        let origin = origin(&server.url()).response_completion_timeout(timeout);
        let cached = Cached::of(origin, CachePolicy::default());
        assert_eq!(cached.get(&[]).await.1, "10");
        cached.later();
        assert_eq!(cached.get(&[]).await.1, "12");
        let (_, body, said) = cached.get(&[]).await;
        assert_eq!((&*body, said.contains("hit")), ("12", true));
        let heads = server.seen.heads();
        assert_eq!(heads.len(), 3);
        assert!(heads[1].contains("if-modified-since"));
        assert_eq!(heads[2], heads[0], "as if it had never asked");
    }
}

#[tokio::test]
async fn a_tag_says_what_a_304_is_of() {
    for (etag, expected) in [("W/\"10\"", "10"), ("\"b\"", "12")] {
        let odd = Odd {
            etag: Some(etag),
            ..Odd::default()
        };
        let server = server(PLAIN, odd).await;
        let cached = Cached::over(&server, CachePolicy::default());
        cached.get(&[]).await;
        cached.later();
        let (_, body, said) = cached.get(&[]).await;
        assert_eq!(body, expected);
        let is_confirmed = expected == "10";
        assert_eq!(said.contains("revalidated"), is_confirmed);
        assert_eq!(server.seen.heads().len(), if is_confirmed { 2 } else { 3 });
    }
}

#[tokio::test]
async fn where_the_whole_doesnt_come_what_is_stored_stands_in_within_its_window() {
    let [ends, repeats] = [(true, false), (false, true)].map(|(ends, repeats)| Odd {
        ends,
        repeats,
        ..Odd::default()
    });
    for (cache_control, odd, expected) in [
        (PLAIN, ends, (502, false)),
        (PLAIN, repeats, (502, false)),
        ("max-age=60, stale-if-error=60", ends, (200, true)),
        ("max-age=60, stale-if-error=60", repeats, (200, true)),
    ] {
        let server = server(cache_control, odd).await;
        let cached = Cached::over(&server, CachePolicy::default());
        cached.get(&[]).await;
        cached.later();
        for _ in 0..3 {
            let (status, _, said) = cached.get(&[]).await;
            assert_eq!((status, said.contains("stale-if-error")), expected);
        }
    }
}

#[tokio::test]
async fn a_range_of_what_is_stale_is_asked_for_once_more_as_a_range() {
    let server = server(PLAIN, Odd::default()).await;
    let cached = Cached::over(&server, CachePolicy::rfc9111());
    cached.get(&[]).await;
    cached.later();
    let (status, body, _) = cached.get(&[("range", "bytes=1-1")]).await;
    assert_eq!((status, &*body), (206, "2"));
    let heads = server.seen.heads();
    assert_eq!(heads.len(), 3);
    assert!(heads[1].contains("if-modified-since") && heads[1].contains("range: bytes=1-1"));
    assert!(!heads[2].contains("if-modified-since") && heads[2].contains("range: bytes=1-1"));
}

#[tokio::test]
async fn what_is_refreshed_behind_an_answer_is_fetched_whole() {
    let server = server("max-age=60, stale-while-revalidate=60", Odd::default()).await;
    let cached = Cached::over(&server, CachePolicy::default());
    cached.get(&[]).await;
    cached.later();
    assert_eq!(cached.get(&[]).await.1, "10");
    let refreshed = async {
        while cached.get(&[]).await.1 != "12" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refreshed)
        .await
        .expect("it is refreshed");
    assert_eq!(server.seen.heads().len(), 3);
}

#[tokio::test]
async fn a_service_in_the_process_is_asked_once_more_too() {
    let asked = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn({
        let asked = asked.clone();
        move |request: Request<frontage::origin::RequestBody>| {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            let response = Response::builder().header("cache-control", "no-cache");
            let response = match request.headers().contains_key("if-modified-since") {
                true => response
                    .status(304)
                    .header("last-modified", OLD)
                    .body(String::new()),
                false => response
                    .header("last-modified", NEW)
                    .body(number.to_string()),
            };
            async move { response }
        }
    });
    let cached = Cached::of(Origin::service(service), CachePolicy::default());
    for expected in ["0", "2", "4"] {
        assert_eq!(cached.get(&[]).await.1, expected);
    }
}

#[tokio::test]
async fn a_viewers_own_condition_is_answered_as_the_origin_answers_it() {
    let server = server(PLAIN, Odd::default()).await;
    let since = ("if-modified-since", NEW);
    let service = origin(&server.url()).build().unwrap();
    let response = ask(&service, request("GET", "/a", &[since])).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(server.seen.heads().len(), 1);
    // One that runs alone, through a cache that has nothing.
    let cached = Cached::over(&server, CachePolicy::rfc9111());
    let answer = cached.get(&[since, ("cache-control", "no-store")]).await;
    assert_eq!(answer.0, 304);
    assert_eq!(server.seen.heads().len(), 2);
}

#[tokio::test]
async fn what_is_signed_with_its_condition_goes_out_with_it_alone() {
    let server = server(PLAIN, Odd::default()).await;
    let cached = Cached::over(&server, CachePolicy::rfc9111());
    cached.get(&[]).await;
    cached.later();
    let signed = "AWS4-HMAC-SHA256 Credential=a/20260101/r/s3/aws4_request, \
                  SignedHeaders=host;if-modified-since, Signature=0";
    assert_eq!(cached.get(&[("authorization", signed)]).await.0, 502);
    assert_eq!(server.seen.heads().len(), 2);
    // It heals: the next one is for the whole.
    assert_eq!(cached.get(&[("authorization", "alice")]).await.1, "12");
}

/// What a cache and a shield below it, in one process, make of an origin that goes back to an older version.
async fn rolled_back<S, B>(shielded: S, clock: &ManualClock, modified: &Mutex<&'static str>)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug + Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<frontage::error::BoxError> + std::fmt::Debug,
{
    let edge = || {
        let core = CacheCore::builder(MemoryStore::new(1 << 20));
        let core = core.clock(clock.clone()).build().unwrap();
        CacheLayer::with_core(core).layer(shielded.clone())
    };
    let edges = [edge(), edge()];
    for (then, expected) in [(NEW, NEW), (OLD, OLD)] {
        *modified.lock().unwrap() = then;
        for edge in edges.clone() {
            let (status, body, said) = text_and_status(edge, &[("host", "h")]).await;
            assert_eq!((status, &*body), (200, expected), "{said}");
        }
        clock.advance(Duration::from_secs(61));
    }
}

#[tokio::test]
async fn between_caches_of_one_process_an_older_version_is_whole() {
    let modified = Arc::new(Mutex::new(NEW));
    let inner = || {
        let modified = modified.clone();
        tower::service_fn(move |request: Request<_>| {
            let _: &Request<frontage::origin::RequestBody> = &request;
            let modified = *modified.lock().unwrap();
            let since = request.headers().get("if-modified-since");
            // An older one wasn't modified since, either.
            let is_304 = since.is_some_and(|since| since == NEW || since == modified);
            let response = Response::builder()
                .header("cache-control", "max-age=60")
                .header("last-modified", modified);
            let body = if is_304 { "" } else { modified };
            let status = if is_304 { 304 } else { 200 };
            let response = response.status(status).body(body.to_owned());
            async move { response }
        })
    };
    let clock = ManualClock::at(NOW);
    let core = || {
        let core = CacheCore::builder(MemoryStore::new(1 << 20));
        core.clock(clock.clone()).build().unwrap()
    };
    let origin = || Origin::service(inner()).build().unwrap();
    let shield = OriginShieldLayer::with_core(core()).layer(origin());
    rolled_back(shield, &clock, &modified).await;
    let cache = CacheLayer::with_core(core()).layer(origin());
    rolled_back(cache, &clock, &modified).await;
    let blocks = BlockLayer::new(CacheLayer::with_core(core())).layer(origin());
    rolled_back(blocks, &clock, &modified).await;
}
