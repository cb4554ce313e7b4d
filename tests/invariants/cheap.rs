//! 8. Cheap: what can be tested of it. The figures are in `benches/hit.rs`.

use crate::common::*;
use bytes::Bytes;
use http_body::Body;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
};
use tower::{Layer, Service};

/// A service that must not be cloned nor asked.
struct Untouchable;

impl Clone for Untouchable {
    fn clone(&self) -> Self {
        panic!("a hit needs no inner service")
    }
}

impl Service<http::Request<ReqBody>> for Untouchable {
    type Response = http::Response<InnerBody>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        panic!("a hit doesn't wait for the inner service")
    }
    fn call(&mut self, _: http::Request<ReqBody>) -> Self::Future {
        panic!("a hit doesn't call the inner service")
    }
}

#[tokio::test]
async fn cheap_a_hit_is_ready_at_once_and_its_body_is_not_copied() {
    let store = frontage::MemoryStore::new(1 << 20);
    let layer = frontage::CacheLayer::new(store);
    for vary in [
        &[("cache-control", "max-age=60")][..],
        &[("cache-control", "max-age=60"), ("vary", "accept")],
    ] {
        let uri = format!("/{}", vary.len());
        let seen = Seen::default();
        let filled = cached(layer.clone(), &seen, move |_| async move {
            response(vary, Bytes::from(vec![7; 10_000]))
        });
        ask(&filled, get(&uri)).await;

        let mut service = layer.layer(Untouchable);
        let mut addresses = Vec::new();
        for _ in 0..2 {
            let mut future = pin!(service.call(get(&uri)));
            let std::task::Poll::Ready(Ok(response)) = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
            else {
                panic!("a hit in memory has nothing to wait for")
            };
            assert_eq!(response.body().size_hint().exact(), Some(10_000));
            let mut body = response.into_body();
            addresses.push(piece(&mut body).await.unwrap().unwrap().as_ptr());
        }
        assert_eq!(addresses[0], addresses[1]);
    }
}
