//! What is logged of shields that are down.

use crate::{
    heard::{events, listen},
    raw::{OK, Server, serve},
};
use bytes::Bytes;
use frontage::origin::{Origin, OriginService};
use futures_util::future::join_all;
use http::Request;
use http_body_util::Empty;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tracing_subscriber::filter::LevelFilter;

async fn ask_often(service: &OriginService) {
    let asking = (0..200).map(|_| {
        let request = Request::get("http://h/a").body(Empty::<Bytes>::new());
        service.clone().oneshot(request.unwrap())
    });
    for response in crate::support::within(join_all(asking)).await {
        assert_eq!(response.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_shield_that_goes_under_many_requests_is_one_warning() {
    listen(LevelFilter::WARN);
    let origin: Server = serve(|_, peer| peer.answer_all(OK)).await;
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let closes = serve(|_, mut peer| async move { drop(peer.head().await) }).await;
    for down in [nobody, closes.url()] {
        let edge = Origin::url(&origin.url()).unwrap().shield([&down]);
        ask_often(&edge.unwrap().build().unwrap()).await;
        let warnings = events();
        let [one] = &warnings[..] else {
            panic!("{}: {warnings:?}", warnings.len());
        };
        assert!(
            one.contains("an origin shield is down") && one.contains(&down),
            "{one}"
        );
        // What failed is the shield.
        assert!(!one.contains("the origin"), "{one}");
    }
    assert_eq!(origin.seen.heads().len(), 400);
}

#[tokio::test]
async fn the_end_of_a_warning_is_a_warning_too() {
    listen(LevelFilter::WARN);
    let origin: Server = serve(|_, peer| peer.answer_all(OK)).await;
    let is_down = Arc::new(AtomicBool::new(true));
    let is_closing = is_down.clone();
    let shield = serve(move |_, mut peer| {
        let is_closing = is_closing.load(Ordering::Relaxed);
        async move {
            match is_closing {
                true => drop(peer.head().await),
                false => peer.answer_all(OK).await,
            }
        }
    })
    .await;
    let edge = Origin::url(&origin.url()).unwrap().shield([shield.url()]);
    let edge = edge.unwrap().build().unwrap();
    ask_often(&edge).await;
    assert_eq!(events().len(), 1);
    is_down.store(false, Ordering::Relaxed);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    ask_often(&edge).await;
    let warnings = events();
    let [one] = &warnings[..] else {
        panic!("{}: {warnings:?}", warnings.len());
    };
    assert!(one.contains("an origin shield is back") && one.contains(&shield.url()));
}
