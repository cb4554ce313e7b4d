//! Origins over real sockets: what reaches them, what becomes of their failures, what is kept of their connections.

#![cfg(feature = "origin")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod connections;
mod failures;
mod http2;
mod raw;
mod requests;
mod revalidation;
mod tls;
mod upgrades;

use bytes::Bytes;
use frontage::{
    BodyError,
    origin::{Origin, OriginBody, OriginFailure, OriginService},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use std::time::Duration;
use tower::ServiceExt;

const MILLIS: Duration = Duration::from_millis(1);

fn get(target: &str) -> Request<Empty<Bytes>> {
    request("GET", target, &[])
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(method).uri(target);
    fields
        .iter()
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(Empty::new())
        .unwrap()
}

fn origin(url: &str) -> Origin {
    Origin::url(url).unwrap()
}

async fn ask<B>(service: &OriginService, request: Request<B>) -> Response<OriginBody>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let answering = service.clone().oneshot(request);
    tokio::time::timeout(Duration::from_secs(20), answering)
        .await
        .expect("it hangs")
        .unwrap()
}

fn failure(response: &Response<OriginBody>) -> Option<OriginFailure> {
    response.extensions().get().copied()
}

async fn text(response: Response<OriginBody>) -> Result<String, BodyError> {
    let body = tokio::time::timeout(Duration::from_secs(20), response.into_body().collect())
        .await
        .expect("it hangs")?;
    Ok(String::from_utf8(body.to_bytes().into()).unwrap())
}
