//! 4. Bounded.

use crate::common::*;
use bytes::Bytes;
use frontage::{
    CacheCore, CacheLayer, MemoryStore, cache::OverMaxFetches, invalidation::Invalidation,
};
use std::sync::{
    Arc,
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

#[tokio::test]
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
    let shed = ask(&service, get("/b")).await;
    let said = "frontage; fwd=uri-miss; detail=too-many-fetches";
    assert_eq!(
        (shed.status, shed.header("cache-status")),
        (503, Some(said))
    );
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(seen.count(), 1);
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
