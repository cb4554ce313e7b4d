//! A cache's own conditions, and an origin that answers them with another version's 304.

use super::*;
use crate::raw::{Peer, serve};
use frontage::{CacheCore, CacheLayer, CacheStatus, MemoryStore, clock::ManualClock};
use http::StatusCode;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::net::TcpStream;
use tower::Layer;

const NOW: u64 = 1_767_225_600_000;
const CONFIRMS: &str = "HTTP/1.1 304 Not Modified\r\n\
    last-modified: Tue, 30 Dec 2025 00:00:00 GMT\r\n\r\n";
const WHOLE: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60, must-revalidate\r\n\
    last-modified: Wed, 31 Dec 2025 00:00:00 GMT\r\ncontent-length: 2\r\n\r\n";

/// Answers a condition with a 304 of an older version, and else with the number of the request.
async fn answers(mut peer: Peer<TcpStream>, asked: Arc<AtomicUsize>) {
    while let Some(head) = peer.head().await {
        let number = asked.fetch_add(1, Ordering::SeqCst) + 10;
        match head.contains("if-modified-since") {
            true => peer.send(CONFIRMS).await,
            false => peer.send(format!("{WHOLE}{number}")).await,
        }
    }
}

/// What a cache over an origin answers now, when that is stale, and at once after that.
async fn answers_of_a_cache(origin: Origin) -> Vec<(StatusCode, String, bool)> {
    let clock = ManualClock::at(NOW);
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .clock(clock.clone())
        .build()
        .unwrap();
    let service = CacheLayer::with_core(core).layer(origin.build().unwrap());
    let mut answers = Vec::new();
    for wait in [0, 61, 1] {
        clock.advance(Duration::from_secs(wait));
        let request = request("GET", "/a", &[("host", "h")]);
        let answering = service.clone().oneshot(request);
        let (parts, body) = answering.await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let said: &CacheStatus = parts.extensions.get().unwrap();
        let body = String::from_utf8(body.into()).unwrap();
        answers.push((parts.status, body, said.is_hit()));
    }
    answers
}

#[tokio::test]
async fn a_304_of_another_version_helps_no_cache_which_gets_the_whole() {
    for timeout in [None, Some(Duration::from_secs(20))] {
        let asked = Arc::<AtomicUsize>::default();
        let server = serve(move |_, peer| answers(peer, asked.clone())).await;
        let origin = origin(&server.url()).response_completion_timeout(timeout);
        let ok = |body: &str, is_hit| (StatusCode::OK, body.to_owned(), is_hit);
        assert_eq!(
            answers_of_a_cache(origin).await,
            [ok("10", false), ok("12", false), ok("12", true)]
        );
        let heads = server.seen.heads();
        assert_eq!(heads.len(), 3);
        assert!(heads[1].contains("if-modified-since"));
        assert_eq!(heads[2], heads[0], "as if it had never asked");
    }
}

#[tokio::test]
async fn a_service_in_the_process_is_asked_once_more_too() {
    let asked = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn({
        let asked = asked.clone();
        move |request: Request<frontage::origin::RequestBody>| {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            let is_conditional = request.headers().contains_key("if-modified-since");
            let response = Response::builder().header("cache-control", "max-age=60, no-cache");
            let response = match is_conditional {
                true => response
                    .status(304)
                    .header("last-modified", "Tue, 30 Dec 2025 00:00:00 GMT")
                    .body(String::new()),
                false => response
                    .header("last-modified", "Wed, 31 Dec 2025 00:00:00 GMT")
                    .body(number.to_string()),
            };
            async move { response }
        }
    });
    let answers = answers_of_a_cache(Origin::service(service)).await;
    let bodies: Vec<_> = answers.iter().map(|(_, body, _)| &**body).collect();
    assert_eq!(bodies, ["0", "2", "4"]);
}

#[tokio::test]
async fn a_viewers_own_condition_is_answered_as_the_origin_answers_it() {
    let server = serve(|_, peer| answers(peer, Arc::default())).await;
    let service = origin(&server.url()).build().unwrap();
    let since = ("if-modified-since", "Wed, 31 Dec 2025 00:00:00 GMT");
    let response = ask(&service, request("GET", "/a", &[since])).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(server.seen.heads().len(), 1);
}
