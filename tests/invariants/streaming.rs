//! 2. As it arrives.

use crate::common::*;
use bytes::Bytes;
use frontage::BodyError;
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

type Sender = http_body_util::channel::Sender<Bytes, BoxError>;

/// A handler whose bodies the test feeds: each call's sender is put into the list.
fn fed(fields: &'static [(&'static str, &'static str)]) -> (Setup, Arc<Mutex<Vec<Sender>>>) {
    let senders: Arc<Mutex<Vec<Sender>>> = Arc::default();
    let list = senders.clone();
    let setup = setup(move |_| {
        let (sender, body) = channel();
        list.lock().unwrap().push(sender);
        async move { response_with(200, fields, body) }
    });
    (setup, senders)
}

async fn send(senders: &Arc<Mutex<Vec<Sender>>>, chunk: &'static str) {
    let mut sender = senders.lock().unwrap().pop().unwrap();
    sender.send_data(Bytes::from(chunk)).await.unwrap();
    senders.lock().unwrap().push(sender);
}

#[tokio::test]
async fn as_it_arrives_for_the_leader_and_every_follower() {
    let (setup, senders) = fed(FRESH);
    let mut readers = vec![head(&setup.service, get("/a")).await.into_body()];
    for _ in 0..50 {
        readers.push(head(&setup.service, get("/a")).await.into_body());
    }
    send(&senders, "one").await;
    for reader in &mut readers {
        assert_eq!(piece(reader).await.unwrap().unwrap(), "one");
    }
    // Who comes in the middle gets the beginning, too.
    let late = head(&setup.service, get("/a")).await;
    assert!(
        late.extensions()
            .get::<frontage::CacheStatus>()
            .unwrap()
            .is_collapsed()
    );
    readers.push(late.into_body());
    assert_eq!(
        piece(readers.last_mut().unwrap()).await.unwrap().unwrap(),
        "one"
    );
    send(&senders, "two").await;
    for reader in &mut readers {
        assert_eq!(piece(reader).await.unwrap().unwrap(), "two");
    }
    senders.lock().unwrap().clear();
    for reader in &mut readers {
        assert!(piece(reader).await.is_none());
    }
    assert_eq!(setup.seen.count(), 1);
    assert_eq!(ask(&setup.service, get("/a")).await.body, b"onetwo");
}

#[tokio::test]
async fn an_event_stream_runs_through_and_ends_with_its_viewer() {
    let (setup, senders) = fed(&[
        ("cache-control", "no-store"),
        ("content-type", "text/event-stream"),
    ]);
    let mut events = head(&setup.service, get("/events")).await.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        send(&senders, event).await;
        assert_eq!(piece(&mut events).await.unwrap().unwrap(), event);
    }
    drop(events);
    let mut sender = senders.lock().unwrap().pop().unwrap();
    assert!(
        sender.send_data(Bytes::from("data: 3\n\n")).await.is_err(),
        "the inner body is gone"
    );
}

#[tokio::test]
async fn a_fetch_that_will_be_stored_outlives_its_viewers_and_another_does_not() {
    let (setup, senders) = fed(FRESH);
    drop(head(&setup.service, get("/a")).await);
    send(&senders, "whole").await;
    senders.lock().unwrap().clear();
    until(|| setup.store.usage().entries == 1).await;
    assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
    assert_eq!(setup.seen.count(), 1);

    // Larger than the store takes: from there on it ends with its viewer.
    let (setup, senders) = fed(FRESH);
    let viewer = head(&setup.service, get("/a")).await;
    let mut sender = senders.lock().unwrap().pop().unwrap();
    let mebibyte = Bytes::from(vec![0; 1 << 20]);
    let feeding =
        tokio::spawn(async move { while sender.send_data(mebibyte.clone()).await.is_ok() {} });
    until(|| setup.store.usage().used >= 7 << 20).await;
    drop(viewer);
    tokio::time::timeout(LIMIT, feeding)
        .await
        .expect("the fetch goes on for nobody")
        .unwrap();
    assert_eq!(setup.store.usage().entries, 0);
    until(|| setup.store.usage().used == 0).await;
}

#[tokio::test]
async fn trailers_reach_all_and_are_stored() {
    let setup = setup(|_| async {
        let (mut sender, body) = channel();
        tokio::spawn(async move {
            sender.send_data(Bytes::from("body")).await.unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", "1".parse().unwrap());
            sender.send_trailers(trailers).await.unwrap();
        });
        response_with(200, FRESH, body)
    });
    for _ in 0..2 {
        let collected = head(&setup.service, get("/a"))
            .await
            .into_body()
            .collect()
            .await
            .unwrap();
        assert_eq!(collected.trailers().unwrap()["x-sum"], "1");
        assert_eq!(collected.to_bytes(), "body");
    }
    assert_eq!(setup.seen.count(), 1);
}

#[tokio::test]
async fn bodies_of_any_data_type_and_error_pass() {
    fn assert_error<E: Into<BoxError>>(_: &E) {}
    let (setup, senders) = fed(FRESH);
    let mut reader = head(&setup.service, get("/a")).await.into_body();
    send(&senders, "one").await;
    piece(&mut reader).await.unwrap().unwrap();
    let sender = senders.lock().unwrap().pop().unwrap();
    sender.abort("the origin died".into());
    let error: BodyError = piece(&mut reader).await.unwrap().unwrap_err();
    assert_error(&error);
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "the origin died"
    );
}
