//! 4. Bounded.

use crate::common::*;
use bytes::Bytes;
use frontage::{
    CacheCore, CacheLayer, MemoryStore, cache::OverMaxFetches, invalidation::Invalidation,
};
use http_body_util::BodyExt;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Semaphore;

#[tokio::test]
async fn bounded_in_bytes_while_bodies_are_on_their_way() {
    let store = MemoryStore::new(1 << 20);
    let core = CacheCore::builder(store.clone()).build().unwrap();
    let seen = Seen::default();
    let service = cached(CacheLayer::with_core(core), &seen, |_| async {
        let (mut sender, body) = channel();
        tokio::spawn(async move {
            while sender.send_data(Bytes::from(vec![0; 10_000])).await.is_ok() {}
        });
        response_with(200, &[("cache-control", "max-age=60")], body)
    });
    let mut readers = Vec::new();
    for number in 0..100 {
        readers.push(head(&service, get(&format!("/{number}"))).await.into_body());
    }
    for _ in 0..20 {
        for reader in &mut readers {
            piece(reader).await.unwrap().unwrap();
        }
        assert!(store.usage().used <= 1 << 20, "{:?}", store.usage());
    }
    drop(readers);
    until(|| store.usage().used == 0).await;
}

#[tokio::test]
async fn bounded_in_fetches_also_for_those_who_wait_for_room() {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .max_fetches(3)
        .over_max_fetches(OverMaxFetches::Wait(LIMIT))
        .build()
        .unwrap();
    let seen = Seen::default();
    let counted = (under_way, most.clone());
    let service = cached(CacheLayer::with_core(core.clone()), &seen, move |_| {
        let (under_way, most) = counted.clone();
        async move {
            most.fetch_max(
                under_way.fetch_add(1, Ordering::SeqCst) + 1,
                Ordering::SeqCst,
            );
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            under_way.fetch_sub(1, Ordering::SeqCst);
            response(&[("cache-control", "max-age=60")], "answer")
        }
    });
    for _ in 0..2 {
        let asked: Vec<_> = (0..100)
            .map(|number| {
                let service = service.clone();
                tokio::spawn(async move { ask(&service, get(&format!("/{number}"))).await })
            })
            .collect();
        for task in asked {
            let answer = task.await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"answer"[..]));
        }
        // The refill is held as well.
        core.invalidator().issue(&Invalidation::everything());
    }
    assert_eq!((seen.count(), most.load(Ordering::SeqCst)), (200, 3));
}

/// A cache that fetches one thing at a time; what else is to be fetched waits. Each path's answer goes as the test feeds it.
fn one_at_a_time() -> (Cached, Seen, Feeds) {
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .max_fetches(1)
        .over_max_fetches(OverMaxFetches::Wait(LIMIT / 2))
        .build()
        .unwrap();
    let (seen, feeds) = (Seen::default(), Feeds::default());
    let fed = feeds.clone();
    let service = cached(CacheLayer::with_core(core), &seen, move |_| {
        let (sender, body) = channel();
        fed.lock().unwrap().push(sender);
        async { response_with(200, &[("cache-control", "max-age=60")], body) }
    });
    (service, seen, feeds)
}

type Feeds = Arc<Mutex<Vec<http_body_util::channel::Sender<Bytes, BoxError>>>>;

/// Lets the other tasks run; the paused clock stands still meanwhile.
async fn turns() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bounded_in_fetches_and_those_who_wait_for_one_thing_share_it_as_it_arrives() {
    let (service, seen, feeds) = one_at_a_time();
    let under_way = head(&service, get("/a")).await;
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { head(&service, get("/b")).await })
        })
        .collect();
    turns().await;
    assert_eq!(seen.count(), 1);
    feeds.lock().unwrap().clear();
    assert!(under_way.into_body().collect().await.is_ok());

    let mut bodies = Vec::new();
    for task in waiting {
        let response = task.await.unwrap();
        assert_eq!(response.status(), 200);
        bodies.push(response.into_body());
    }
    assert_eq!((seen.count(), seen.last().uri.path()), (2, "/b"));
    // The fetch is under way still: nobody waited for its end.
    let mut feed = feeds.lock().unwrap().pop().unwrap();
    feed.send_data(Bytes::from_static(b"answer")).await.unwrap();
    for body in &mut bodies {
        assert_eq!(piece(body).await.unwrap().unwrap(), "answer");
    }
    drop(feed);
    for body in &mut bodies {
        assert!(piece(body).await.is_none());
    }
    assert_eq!(seen.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn bounded_in_fetches_and_a_viewer_who_goes_as_room_comes_leaves_it_to_another() {
    for next in ["/b", "/c"] {
        let (service, seen, feeds) = one_at_a_time();
        let under_way = head(&service, get("/a")).await;
        let mut goes = tokio_test::task::spawn(head(&service, get("/b")));
        assert!(goes.poll().is_pending());
        let mut stays = tokio_test::task::spawn(head(&service, get(next)));
        assert!(stays.poll().is_pending());
        feeds.lock().unwrap().clear();
        assert!(under_way.into_body().collect().await.is_ok());
        turns().await;
        assert!(goes.is_woken(), "there is room");
        drop(goes);
        assert!(stays.is_woken(), "{next}");
        assert_eq!(stays.await.status(), 200);
        assert_eq!((seen.count(), seen.last().uri.path()), (2, next));
    }
}

#[tokio::test(start_paused = true)]
async fn bounded_in_fetches_and_in_the_time_that_one_waits() {
    let (service, seen, feeds) = one_at_a_time();
    let under_way = head(&service, get("/a")).await;
    let began = tokio::time::Instant::now();
    assert_eq!(head(&service, get("/b")).await.status(), 503);
    assert!(began.elapsed() >= LIMIT / 2 && began.elapsed() < LIMIT);
    // It left nothing that would hold up the next.
    feeds.lock().unwrap().clear();
    assert!(under_way.into_body().collect().await.is_ok());
    assert_eq!(head(&service, get("/b")).await.status(), 200);
    assert_eq!(seen.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn bounded_in_fetches_and_the_rest_are_shed_where_that_is_asked_for() {
    let gate = Arc::new(Semaphore::new(0));
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .max_fetches(1)
        .over_max_fetches(OverMaxFetches::Wait(std::time::Duration::ZERO))
        .build()
        .unwrap();
    let seen = Seen::default();
    let handler_gate = gate.clone();
    let service = cached(CacheLayer::with_core(core), &seen, move |_| {
        let gate = handler_gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            response(&[("cache-control", "max-age=60")], "answer")
        }
    });
    let first = {
        let service = service.clone();
        tokio::spawn(async move { ask(&service, get("/a")).await })
    };
    until(|| seen.count() == 1).await;
    // Between two ticks of the timer: one that is set to now isn't over yet.
    tokio::time::advance(std::time::Duration::from_micros(1)).await;
    let began = tokio::time::Instant::now();
    let shed = ask(&service, get("/b")).await;
    assert!(began.elapsed().is_zero());
    let said = "frontage; detail=too-many-fetches";
    assert_eq!(
        (shed.status, shed.header("cache-status")),
        (503, Some(said))
    );
    assert_eq!(shed.header("retry-after"), Some("1"));
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(seen.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn bounded_in_fetches_and_hits_are_served_while_the_rest_is_shed() {
    const FETCHES: usize = 8;
    let gate = Arc::new(Semaphore::new(1));
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .max_fetches(FETCHES)
        .over_max_fetches(OverMaxFetches::Wait(std::time::Duration::ZERO))
        .build()
        .unwrap();
    let (seen, handler_gate) = (Seen::default(), gate.clone());
    let service = cached(CacheLayer::with_core(core.clone()), &seen, move |_| {
        let gate = handler_gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            response(&[("cache-control", "max-age=60")], "answer")
        }
    });
    assert_eq!(ask(&service, get("/hot")).await.status, 200);
    let under_way: Vec<_> = (0..FETCHES)
        .map(|number| {
            let service = service.clone();
            tokio::spawn(async move { ask(&service, get(&format!("/{number}"))).await })
        })
        .collect();
    until(|| core.fetches() == FETCHES).await;
    tokio::time::advance(std::time::Duration::from_micros(1)).await;
    let began = tokio::time::Instant::now();
    for number in 0..1000 {
        let shed = ask(&service, get(&format!("/more/{number}"))).await;
        assert_eq!(
            (shed.status, shed.header("retry-after")),
            (503, Some("1")),
            "{number}"
        );
        let hit = ask(&service, get("/hot")).await;
        assert_eq!((hit.status, &hit.body[..]), (200, &b"answer"[..]));
    }
    assert!(began.elapsed().is_zero());
    assert_eq!((seen.count(), core.fetches()), (1 + FETCHES, FETCHES));
    gate.add_permits(FETCHES);
    for task in under_way {
        assert_eq!(task.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn bounded_in_fetches_and_the_rest_go_alone() {
    let gate = Arc::new(Semaphore::new(0));
    let core = CacheCore::builder(MemoryStore::new(1 << 20))
        .max_fetches(2)
        .build()
        .unwrap();
    let seen = Seen::default();
    let handler_gate = gate.clone();
    let service = cached(CacheLayer::with_core(core.clone()), &seen, move |_| {
        let gate = handler_gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            response(&[("cache-control", "max-age=60")], "answer")
        }
    });
    let asked: Vec<_> = (0..5)
        .map(|number| {
            let service = service.clone();
            tokio::spawn(async move { ask(&service, get(&format!("/{number}"))).await })
        })
        .collect();
    until(|| seen.count() == 5).await;
    assert_eq!(core.fetches(), 2);
    gate.add_permits(5);
    let mut alone = 0;
    for task in asked {
        let answer = task.await.unwrap();
        assert_eq!(answer.body, b"answer");
        alone += usize::from(
            answer
                .header("cache-status")
                .unwrap()
                .contains("too-many-fetches"),
        );
    }
    assert_eq!(alone, 3);
    until(|| core.fetches() == 0).await;
}

#[tokio::test]
async fn bounded_in_variants_per_key() {
    let store = MemoryStore::new(64 << 20);
    let core = CacheCore::builder(store.clone())
        .max_variants(4)
        .build()
        .unwrap();
    let seen = Seen::default();
    let service = cached(CacheLayer::with_core(core), &seen, |_| async {
        response(
            &[("cache-control", "max-age=60"), ("vary", "user-agent")],
            "answer",
        )
    });
    for number in 0..100 {
        ask(
            &service,
            request("GET", "/a", &[("user-agent", &format!("agent {number}"))]),
        )
        .await;
    }
    assert_eq!(store.usage().entries, 5, "four variants and their list");
    assert!(
        ask(
            &service,
            request("GET", "/a", &[("user-agent", "agent 99")])
        )
        .await
        .cache
        .is_hit()
    );
    assert!(
        !ask(&service, request("GET", "/a", &[("user-agent", "agent 1")]))
            .await
            .cache
            .is_hit()
    );
}
