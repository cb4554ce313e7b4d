//! What is logged of those who aren't let in.

use crate::{
    heard::{events, listen},
    support::within,
};
use frontage::{
    ViewerAddress,
    guard::{RequirePrefixLayer, RequireSecretHeaderLayer, RequireSigV4Layer},
    origin::{Credentials, OriginAccessControl, Signer, SigningService},
};
use http::{Request, Response};
use std::{
    convert::Infallible,
    future::{Pending, pending},
    net::SocketAddr,
    task::{Context, Poll},
};
use tower::{Layer, Service, ServiceExt};
use tracing_subscriber::filter::LevelFilter;

/// Whom nobody gets to.
#[derive(Clone)]
struct Inside;

impl<B> Service<Request<B>> for Inside {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pending<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        pending()
    }
}

/// The one line about a request that isn't let in.
async fn said<B>(
    guard: impl Service<Request<String>, Response = Response<B>, Error = Infallible>,
    request: Request<String>,
) -> String {
    listen(LevelFilter::INFO);
    let response = within(guard.oneshot(request)).await.unwrap();
    assert_eq!(response.status(), 403);
    let events = events();
    assert_eq!(events.len(), 1, "{events:?}");
    events.concat()
}

fn request(fields: &[(&'static str, &str)]) -> Request<String> {
    let request = Request::post("/a/b?token=hush").header("host", "h");
    let request = fields.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    let peer: SocketAddr = "192.0.2.1:999".parse().unwrap();
    let request = request.extension(ViewerAddress(peer));
    request.body(String::new()).unwrap()
}

fn has_all(text: &str) -> bool {
    [
        "method=POST",
        "path=\"/a/b\"",
        "peer=192.0.2.1:999",
        "reason=",
    ]
    .iter()
    .all(|piece| text.contains(piece))
}

#[tokio::test]
async fn what_was_asked_and_from_where_and_no_secret() {
    let secret = RequireSecretHeaderLayer::new("x-secret", ["hush: the right one"]).unwrap();
    let sent = request(&[("x-secret", "hush: the wrong one")]);
    let text = said(secret.layer(Inside), sent).await;
    assert!(has_all(&text) && !text.contains("hush"), "{text}");
    assert!(!text.contains("access_key_id"), "{text}");

    let prefix = RequirePrefixLayer::new(["198.51.100.0/24"]).unwrap();
    let text = said(prefix.layer(Inside), request(&[])).await;
    assert!(has_all(&text) && !text.contains("hush"), "{text}");

    let mut unknown = request(&[("authorization", "Basic hush")]);
    unknown.extensions_mut().clear();
    let text = said(prefix.layer(Inside), unknown).await;
    assert!(!text.contains("peer=") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn whose_access_key_is_said_to_have_signed() {
    let service = SigningService::Named("app".into());
    let ours = Credentials::new("OURS", "hush: the secret");
    let guard = RequireSigV4Layer::new(ours, service.clone(), "eu-west-1").unwrap();
    let theirs = Credentials::new("THEIRS", "hush: another").session_token("hush: token");
    let access_control = OriginAccessControl::always(theirs);
    let signer = Signer::new(access_control, service, "h", Some("eu-west-1")).unwrap();
    let (mut parts, body) = request(&[]).into_parts();
    signer.sign(&mut parts, false).await.unwrap();
    let authorization = parts.headers["authorization"].to_str().unwrap().to_owned();
    let (_, signature) = authorization.split_once("Signature=").unwrap();
    // Nobody's key, and refused before that is looked up.
    let unknown = parts.clone();
    parts.headers.remove("x-amz-date");
    for parts in [unknown, parts] {
        let text = said(
            guard.layer(Inside),
            Request::from_parts(parts, body.clone()),
        )
        .await;
        assert!(
            has_all(&text) && text.contains("access_key_id=\"THEIRS\""),
            "{text}"
        );
        assert!(
            !text.contains("hush") && !text.contains(signature),
            "{text}"
        );
    }
    let unsigned = request(&[("authorization", "AWS4-HMAC-SHA256 hush")]);
    let text = said(guard.layer(Inside), unsigned).await;
    assert!(has_all(&text) && !text.contains("access_key_id"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}
