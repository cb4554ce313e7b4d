//! 1. Once. And 5. Nobody waits on the lost.

use crate::common::*;
use bytes::Bytes;
use frontage::{
    CacheLayer, CachePolicy, MemoryStore, Store,
    fill::Window,
    freshness::Forward,
    key::CacheKey,
    store::{Expected, Head, Part, Record, StoreError, WriteRefused},
};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore};
use tower::{Layer, Service};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// A handler that waits for a permit before it answers.
fn held(gate: &Arc<Semaphore>, fields: &'static [(&'static str, &'static str)]) -> Setup {
    let gate = gate.clone();
    setup(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            response(fields, "answer")
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn once_a_thousand_cold_requests_are_one() {
    let gate = Arc::new(Semaphore::new(0));
    let setup = held(&gate, FRESH);
    let asked = (0..1000).map(|_| {
        let service = setup.service.clone();
        tokio::spawn(async move { ask(&service, get("/a")).await })
    });
    let asked: Vec<_> = asked.collect();
    until(|| setup.seen.count() == 1).await;
    gate.add_permits(1);
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap().body, b"answer");
    }
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn once_however_requests_interleave_with_the_end_of_a_fetch() {
    for round in 0..300 {
        let setup = setup(|_| async { response(FRESH, "answer") });
        let asked: Vec<_> = (0..8)
            .map(|_| {
                let service = setup.service.clone();
                tokio::spawn(async move {
                    for _ in 0..4 {
                        assert_eq!(ask(&service, get("/a")).await.body, b"answer");
                    }
                })
            })
            .collect();
        for task in asked {
            task.await.unwrap();
        }
        assert_eq!(setup.seen.count(), 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn once_a_request_right_after_the_last_byte_is_a_hit_or_shares() {
    let setup = setup(|request| async move {
        let (mut sender, body) = channel();
        let path = request.uri().path().to_owned();
        tokio::spawn(async move {
            sender.send_data(Bytes::from(path)).await.unwrap();
        });
        response_with(200, FRESH, body)
    });
    for number in 0..500 {
        let uri = format!("/{number}");
        ask(&setup.service, get(&uri)).await;
        ask(&setup.service, get(&uri)).await;
        assert_eq!(setup.seen.count(), number + 1);
    }
}

#[tokio::test]
async fn once_other_variants_are_fetched_once_each() {
    let gate = Arc::new(Semaphore::new(0));
    let handler_gate = gate.clone();
    let setup = setup(move |request| {
        let gate = handler_gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            let language = request.headers().get("accept-language").unwrap().clone();
            let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
            response(&fields, Bytes::copy_from_slice(language.as_bytes()))
        }
    });
    let asked: Vec<_> = (0..30)
        .map(|number| {
            let service = setup.service.clone();
            let language = ["en", "de", "fr"][number % 3];
            tokio::spawn(async move {
                let answer = ask(
                    &service,
                    request("GET", "/a", &[("accept-language", language)]),
                )
                .await;
                assert_eq!(answer.body, language.as_bytes());
            })
        })
        .collect();
    until(|| setup.seen.count() == 1).await;
    gate.add_permits(100);
    for task in asked {
        task.await.unwrap();
    }
    assert_eq!(setup.seen.count(), 3);
}

#[tokio::test]
async fn once_also_for_the_first_variant_on_its_way_while_another_is_stored_already() {
    let gate = Arc::new(Semaphore::new(0));
    let handler_gate = gate.clone();
    let setup = setup(move |request| {
        let gate = handler_gate.clone();
        async move {
            let language = request.headers()["accept-language"].to_str().unwrap();
            let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
            if language == "de" {
                return response(&fields, "Seite");
            }
            let (mut sender, body) = channel();
            tokio::spawn(async move {
                gate.acquire().await.unwrap().forget();
                sender.send_data(Bytes::from("page")).await.unwrap();
            });
            response_with(200, &fields, body)
        }
    });
    let of = |language| request("GET", "/a", &[("accept-language", language)]);
    let mut slow = setup.service.clone();
    let first = slow.call(of("en")).await.unwrap();
    assert_eq!(ask(&setup.service, of("de")).await.body, b"Seite");
    assert!(ask(&setup.service, of("de")).await.cache.is_hit());
    let second = slow.call(of("en")).await.unwrap();
    assert_eq!(setup.seen.count(), 2, "one for each language");
    gate.add_permits(2);
    for answer in [first, second] {
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            "page"
        );
    }
    assert!(ask(&setup.service, of("en")).await.cache.is_hit());
}

#[tokio::test]
async fn once_a_refresh_is_one_conditional_request() {
    let gate = Arc::new(Semaphore::new(1));
    let handler_gate = gate.clone();
    let setup = setup(move |request| {
        let gate = handler_gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            let fields = [("cache-control", "max-age=60"), ("etag", "\"a\"")];
            match request.headers().get("if-none-match") {
                Some(_) => response_with(304, &fields, channel().1),
                None => response(&fields, "answer"),
            }
        }
    });
    ask(&setup.service, get("/a")).await;
    setup.clock.advance(std::time::Duration::from_secs(61));
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let service = setup.service.clone();
            tokio::spawn(async move { ask(&service, get("/a")).await })
        })
        .collect();
    until(|| setup.seen.count() == 2).await;
    gate.add_permits(100);
    for task in asked {
        let answer = task.await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"answer"[..]));
    }
    assert_eq!(setup.seen.count(), 2);
    assert_eq!(setup.seen.last().headers["if-none-match"], "\"a\"");
    assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
}

#[tokio::test]
async fn once_a_head_follows_a_get_and_a_get_never_a_head() {
    let gate = Arc::new(Semaphore::new(0));
    let setup = held(&gate, FRESH);
    let service = setup.service.clone();
    let get_first = tokio::spawn(async move { ask(&service, get("/a")).await });
    until(|| setup.seen.count() == 1).await;
    let service = setup.service.clone();
    let head_second = tokio::spawn(async move { ask(&service, request("HEAD", "/a", &[])).await });
    tokio::task::yield_now().await;
    gate.add_permits(1);
    assert_eq!(get_first.await.unwrap().body, b"answer");
    assert!(head_second.await.unwrap().body.is_empty());
    assert_eq!(setup.seen.count(), 1);

    let service = setup.service.clone();
    let head_first = tokio::spawn(async move { ask(&service, request("HEAD", "/b", &[])).await });
    until(|| setup.seen.count() == 2).await;
    let service = setup.service.clone();
    let get_second = tokio::spawn(async move { ask(&service, get("/b")).await });
    until(|| setup.seen.count() == 3).await;
    gate.add_permits(2);
    head_first.await.unwrap();
    assert_eq!(get_second.await.unwrap().body, b"answer");
    assert_eq!(ask(&setup.service, get("/b")).await.body, b"answer");
}

#[tokio::test]
async fn an_uncacheable_answer_sends_followers_on_alone_and_is_remembered() {
    let gate = Arc::new(Semaphore::new(0));
    let setup = held(&gate, &[("cache-control", "no-store")]);
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let service = setup.service.clone();
            tokio::spawn(async move { ask(&service, get("/a")).await })
        })
        .collect();
    until(|| setup.seen.count() == 1).await;
    gate.add_permits(1);
    // The other nine are at the handler together: none waits for another.
    until(|| setup.seen.count() == 10).await;
    gate.add_permits(9);
    for task in asked {
        task.await.unwrap();
    }
    // And so are those who come later.
    let later: Vec<_> = (0..5)
        .map(|_| {
            let service = setup.service.clone();
            tokio::spawn(async move { ask(&service, get("/a")).await })
        })
        .collect();
    until(|| setup.seen.count() == 15).await;
    gate.add_permits(5);
    for task in later {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_dying_origin_is_not_hammered() {
    let gate = Arc::new(Semaphore::new(0));
    let handler_gate = gate.clone();
    let setup = setup(move |_| {
        let gate = handler_gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            response_with(
                503,
                &[],
                http_body_util::Full::new(Bytes::from("busy"))
                    .map_err(|e| match e {})
                    .boxed_unsync(),
            )
        }
    });
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let service = setup.service.clone();
            tokio::spawn(async move { ask(&service, get("/a")).await })
        })
        .collect();
    until(|| setup.seen.count() == 1).await;
    tokio::task::yield_now().await;
    gate.add_permits(1);
    for task in asked {
        let answer = task.await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (503, &b"busy"[..]));
    }
    assert_eq!(setup.seen.count(), 1, "shared with those who waited");
    gate.add_permits(1);
    ask(&setup.service, get("/a")).await;
    assert_eq!(setup.seen.count(), 2, "and not stored");
}

#[tokio::test]
async fn nobody_waits_on_the_lost_leader_of_a_fetch() {
    let gate = Arc::new(Semaphore::new(0));
    let setup = held(&gate, FRESH);
    let service = setup.service.clone();
    let leader = tokio::spawn(async move { ask(&service, get("/a")).await });
    until(|| setup.seen.count() == 1).await;
    let service = setup.service.clone();
    let follower = tokio::spawn(async move { ask(&service, get("/a")).await });
    tokio::task::yield_now().await;
    leader.abort();
    gate.add_permits(1);
    assert_eq!(follower.await.unwrap().body, b"answer");
    assert_eq!(setup.seen.count(), 1, "the fetch went on");
}

#[tokio::test]
async fn nobody_waits_on_a_panic() {
    let setup = setup(|request| async move {
        assert!(request.uri().path() != "/panic", "as the test wants it");
        response(FRESH, "answer")
    });
    let answers = join_all((0..10).map(|_| ask(&setup.service, get("/panic")))).await;
    assert!(answers.iter().all(|answer| answer.status == 500));
    assert_eq!(ask(&setup.service, get("/a")).await.body, b"answer");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_time_outs() {
    let never = Arc::new(Notify::new());
    let setup = setup(move |_| {
        let never = never.clone();
        async move {
            never.notified().await;
            response(FRESH, "answer")
        }
    });
    let started = tokio::time::Instant::now();
    let service = setup.service.clone();
    let mut inner = service.clone();
    let leader =
        tokio::spawn(async move { tower::Service::call(&mut inner, get("/a")).await.unwrap() });
    tokio::task::yield_now().await;
    let mut inner = service.clone();
    let follower =
        tokio::spawn(async move { tower::Service::call(&mut inner, get("/a")).await.unwrap() });
    assert_eq!(leader.await.unwrap().status(), 504);
    assert_eq!(started.elapsed().as_secs(), 60);
    assert_eq!(setup.seen.count(), 2, "the follower went alone after 30 s");
    follower.abort();
}

#[tokio::test]
async fn a_request_with_credentials_leads_nobody_but_may_follow() {
    leads_nobody_but_may_follow(("cookie", "id=1")).await;
    leads_nobody_but_may_follow(("authorization", "x")).await;
}

async fn leads_nobody_but_may_follow(credentials: (&'static str, &'static str)) {
    let gate = Arc::new(Semaphore::new(0));
    let setup = held(&gate, FRESH);
    let personal = move || request("GET", "/a", &[credentials]);
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let service = setup.service.clone();
            tokio::spawn(async move { ask(&service, personal()).await })
        })
        .collect();
    until(|| setup.seen.count() == 3).await;
    let service = setup.service.clone();
    let anonymous = tokio::spawn(async move { ask(&service, get("/a")).await });
    until(|| setup.seen.count() == 4).await;
    let service = setup.service.clone();
    let follower = tokio::spawn(async move { ask(&service, personal()).await });
    tokio::task::yield_now().await;
    gate.add_permits(10);
    for task in asked {
        assert!(!task.await.unwrap().cache.is_stored());
    }
    anonymous.await.unwrap();
    assert!(follower.await.unwrap().cache.is_collapsed());
    assert_eq!(setup.seen.count(), 4);
    assert!(ask(&setup.service, personal()).await.cache.is_hit());
}

#[tokio::test]
async fn a_reload_is_fetched_anew_and_replaces_what_was_stored() {
    let setup = setup(|_| async {
        response(
            &[("cache-control", "max-age=60"), ("etag", "\"a\"")],
            "answer",
        )
    });
    ask(&setup.service, get("/a")).await;
    let reload = ask(
        &setup.service,
        request(
            "GET",
            "/a",
            &[("cache-control", "no-cache"), ("pragma", "no-cache")],
        ),
    )
    .await;
    assert_eq!(reload.cache.forward(), Some(Forward::Request));
    assert!(reload.cache.is_stored());
    assert!(!setup.seen.last().headers.contains_key("if-none-match"));
    assert_eq!(setup.seen.count(), 2);

    let off = setup_with(
        policy(CachePolicy::default().honor_request_directives(false)),
        |_| async { response(FRESH, "answer") },
    );
    ask(&off.service, get("/a")).await;
    assert!(
        ask(
            &off.service,
            request("GET", "/a", &[("cache-control", "no-cache")])
        )
        .await
        .cache
        .is_hit()
    );
}

/// A store whose next look-up, once held, finds what was there then but answers when it is let go.
#[derive(Clone)]
struct HeldLookUp {
    store: MemoryStore,
    hold_next: Arc<std::sync::atomic::AtomicBool>,
    let_go: Arc<Notify>,
}

impl Store for HeldLookUp {
    const PERSISTS: bool = false;
    type Get = std::pin::Pin<Box<dyn Future<Output = Result<Option<Record>, StoreError>> + Send>>;
    type Swap = <MemoryStore as Store>::Swap;
    type Writer = <MemoryStore as Store>::Writer;

    fn get(&self, key: &CacheKey, part: Part) -> Self::Get {
        let found = self.store.get(key, part);
        let held = self
            .hold_next
            .swap(false, std::sync::atomic::Ordering::SeqCst);
        let let_go = self.let_go.clone();
        Box::pin(async move {
            if held {
                let_go.notified().await;
            }
            found.await
        })
    }

    fn peek(&self, key: &CacheKey, part: Part) -> Self::Get {
        Box::pin(self.store.peek(key, part))
    }

    fn writer(
        &self,
        key: &CacheKey,
        part: Part,
        head: Head,
        window: Window,
    ) -> Result<Self::Writer, WriteRefused> {
        self.store.writer(key, part, head, window)
    }

    fn swap(
        &self,
        key: &CacheKey,
        part: Part,
        expected: Expected,
        record: Option<Record>,
    ) -> Self::Swap {
        self.store.swap(key, part, expected, record)
    }
}

#[tokio::test]
async fn once_also_for_a_request_whose_look_up_came_before_another_fetch_and_whose_flight_came_after()
 {
    let store = HeldLookUp {
        store: MemoryStore::new(1 << 20),
        hold_next: Arc::default(),
        let_go: Arc::default(),
    };
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = calls.clone();
    let inner = tower::service_fn(move |_: http::Request<ReqBody>| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        std::future::ready(Ok::<_, std::convert::Infallible>(response(FRESH, "answer")))
    });
    let service = CacheLayer::new(store.clone()).layer(inner);
    store
        .hold_next
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let mut slow = service.clone();
    let slow = tokio::spawn(async move {
        slow.call(get("/a"))
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
    });
    until(|| !store.hold_next.load(std::sync::atomic::Ordering::SeqCst)).await;
    let mut quick = service.clone();
    quick
        .call(get("/a"))
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    until(|| store.store.usage().entries == 1).await;
    store.let_go.notify_one();
    assert_eq!(slow.await.unwrap().unwrap().to_bytes(), "answer");
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
}
