//! Guarded origins behind our own edge, over real sockets: the edge says who asked, and signs; a viewer's own word for it is
//! worth nothing.
//!
//! Only Linux gives a viewer whichever address in 127.0.0.0/8 it asks for.

use crate::support::within;
use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::{Next, from_fn},
    response::Response,
    routing::{get, post},
};
use frontage::{
    ViewerAddress,
    guard::{PrefixRefusal, RequirePrefixLayer, RequireSigV4Layer, SigV4Refusal},
    origin::{Credentials, Origin, OriginAccessControl, SignLayer, Signer, SigningService},
};
use http::HeaderValue;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};
use tower::Layer;

/// A viewer who may ask, one who may not, and where the edge is seen to come from.
const KNOWN: &str = "127.0.0.7";
const STRANGER: &str = "127.0.0.9";
const EDGE: &str = "127.0.0.1";

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// What the edge knows of the other end of a connection.
#[derive(Clone, Copy, Debug)]
enum Knows {
    ViewerAddress,
    ConnectInfo,
    Nothing,
}

async fn serve(app: Router, knows: Knows) -> SocketAddr {
    let listener = TcpListener::bind((EDGE, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = match knows {
        Knows::ViewerAddress => app.layer(from_fn(say_viewer_address)),
        Knows::ConnectInfo | Knows::Nothing => app,
    };
    tokio::spawn(async move {
        match knows {
            Knows::Nothing => axum::serve(listener, app).await,
            _ => {
                let app = app.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, app).await
            }
        }
    });
    address
}

/// As whoever accepts connections without axum does it.
async fn say_viewer_address(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().remove::<ConnectInfo<SocketAddr>>();
    request.extensions_mut().insert(ViewerAddress(peer));
    next.run(request).await
}

/// Sends the reason of a refusal, for the test to see.
async fn say_why(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let extensions = response.extensions();
    let prefix = extensions.get().map(PrefixRefusal::to_string);
    let why = prefix.or_else(|| extensions.get().map(SigV4Refusal::to_string));
    if let Some(why) = why {
        let why = HeaderValue::try_from(why).unwrap();
        response.headers_mut().insert("x-why", why);
    }
    response
}

/// The status, the reason of a refusal and the body, as a viewer at this address gets them.
async fn ask(viewer: &str, server: SocketAddr, request: &str) -> (u16, String, String) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let length = body.len();
    let request = format!(
        "{head}\r\nhost: edge.example\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{viewer}:0").parse().unwrap()).unwrap();
    let mut answer = String::new();
    within(async {
        let mut stream = socket.connect(server).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_to_string(&mut answer).await.unwrap();
    })
    .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let why = head.lines().find_map(|line| line.strip_prefix("x-why: "));
    (status, why.unwrap_or_default().to_owned(), body.to_owned())
}

/// An edge in front of an origin for one address, which believes the edge.
async fn edge_of_prefix(knows: Knows) -> SocketAddr {
    let guard = RequirePrefixLayer::new([KNOWN]).unwrap();
    let guard = guard.trusted_proxies([EDGE]).unwrap();
    let app = Router::new()
        .route("/", get(|| async { "let in" }))
        .layer(guard)
        .layer(from_fn(say_why));
    let origin = serve(app, Knows::ViewerAddress).await;
    let origin = Origin::url(&format!("http://{origin}")).unwrap();
    let edge = Router::new().fallback_service(origin.build().unwrap());
    serve(edge, knows).await
}

/// What a viewer may say of itself.
const FORGED: [&str; 7] = [
    "",
    "\r\nx-forwarded-for: 127.0.0.7",
    "\r\nx-forwarded-for: 127.0.0.7, ",
    "\r\nx-forwarded-for: 127.0.0.7, 127.0.0.1",
    "\r\nx-forwarded-for: 127.0.0.7\r\nx-forwarded-for:",
    "\r\nx-forwarded-for: 127.0.0.7\r\nx-forwarded-for: 127.0.0.7",
    "\r\nx-forwarded-for: 127.0.0.7\r\nconnection: x-forwarded-for",
];

fn knowing() -> Vec<Knows> {
    let known = [Knows::ViewerAddress, Knows::ConnectInfo];
    let read = if cfg!(feature = "axum") { 2 } else { 1 };
    known[..read].to_vec()
}

#[tokio::test]
async fn who_is_let_in_is_whom_the_edge_saw_whatever_the_viewer_says() {
    for knows in knowing() {
        let edge = edge_of_prefix(knows).await;
        for forged in FORGED {
            let request = format!("GET / HTTP/1.1{forged}");
            let known = ask(KNOWN, edge, &request).await;
            assert_eq!((known.0, &*known.2), (200, "let in"), "{knows:?} {forged}");
            let (status, why, _) = ask(STRANGER, edge, &request).await;
            assert_eq!(status, 403, "{knows:?} {forged}");
            assert_eq!(
                why,
                PrefixRefusal::Elsewhere(STRANGER.parse().unwrap()).to_string()
            );
        }
    }
}

#[tokio::test]
async fn an_edge_that_does_not_know_its_viewers_vouches_for_none() {
    let mut ignorant = vec![Knows::Nothing];
    if !cfg!(feature = "axum") {
        ignorant.push(Knows::ConnectInfo);
    }
    for knows in ignorant {
        let edge = edge_of_prefix(knows).await;
        for forged in FORGED {
            let request = format!("GET / HTTP/1.1{forged}");
            for viewer in [KNOWN, STRANGER] {
                let (status, why, _) = ask(viewer, edge, &request).await;
                assert_eq!(status, 403, "{knows:?} {forged}");
                assert_eq!(
                    why,
                    PrefixRefusal::Elsewhere(EDGE.parse().unwrap()).to_string()
                );
            }
        }
    }
}

fn service() -> SigningService {
    SigningService::Named("app".into())
}

fn access_control(secret: &str) -> OriginAccessControl {
    OriginAccessControl::always(Credentials::new("EDGE", secret))
}

/// An application for those who sign.
fn signed_app() -> Router {
    let guard = RequireSigV4Layer::new(Credentials::new("EDGE", SECRET), service(), "eu-west-1");
    Router::new()
        .route(
            "/base/a",
            get(|request: Request| async move { request.uri().to_string() }),
        )
        .route("/base/upload", post(|body: String| async move { body }))
        .layer(guard.unwrap())
        .layer(from_fn(say_why))
}

/// Below a `nest`, as an edge that does more than this has it.
async fn edge_that_signs(origin: SocketAddr, secret: &str) -> SocketAddr {
    let origin = Origin::url(&format!("http://{origin}/base")).unwrap();
    let origin = origin
        .signing(service(), Some("eu-west-1"))
        .access_control(access_control(secret));
    let nested = Router::new().fallback_service(origin.build().unwrap());
    serve(Router::new().nest("/edge", nested), Knows::Nothing).await
}

#[tokio::test]
async fn an_origin_is_closed_to_all_but_the_edge_that_signs() {
    let origin = serve(signed_app(), Knows::Nothing).await;
    let edge = edge_that_signs(origin, SECRET).await;
    let forged = "authorization: AWS4-HMAC-SHA256 Credential=EDGE/20260102/eu-west-1/app/aws4_request\r\n\
                  x-amz-date: 20260102T030405Z\r\nx-amz-security-token: x";
    for fields in ["x-other: 1", "x-amz-acl: public-read", forged] {
        let request = |path: &str| format!("GET {path}?b=c&a=%20 HTTP/1.1\r\n{fields}");
        let (status, _, body) = ask(STRANGER, edge, &request("/edge/a")).await;
        assert_eq!((status, &*body), (200, "/base/a?b=c&a=%20"), "{fields}");
        let (status, why, body) = ask(STRANGER, origin, &request("/base/a")).await;
        assert_eq!((status, &*body), (403, ""), "{fields}");
        assert!(!why.is_empty());
    }
    let other = edge_that_signs(origin, "another secret").await;
    let (status, why, _) = ask(KNOWN, other, "GET /edge/a HTTP/1.1").await;
    assert_eq!((status, why), (403, SigV4Refusal::Signature.to_string()));
}

#[tokio::test]
async fn a_body_arrives_as_the_viewer_hashed_it() {
    let origin = serve(signed_app(), Knows::Nothing).await;
    let edge = edge_that_signs(origin, SECRET).await;
    let hash = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    for (body, expected) in [("content", 200), ("Content", 400)] {
        let request =
            format!("POST /edge/upload HTTP/1.1\r\nx-amz-content-sha256: {hash}\r\n\r\n{body}");
        let (status, _, answer) = ask(KNOWN, edge, &request).await;
        assert_eq!(status, expected);
        assert_eq!(answer == body, expected == 200);
    }
}

/// Production's distribution in `cargo test`: the same edge and the same origin, without a socket between them.
#[tokio::test]
async fn an_origin_in_the_process_lets_in_what_is_signed_there() {
    let signer = |secret| {
        let signer = Signer::new(
            access_control(secret),
            service(),
            "b.example",
            Some("eu-west-1"),
        );
        SignLayer::new(signer.unwrap()).layer(signed_app())
    };
    let edge = |secret| {
        let origin = Origin::service(signer(secret)).path("/base").unwrap();
        Router::new()
            .nest(
                "/edge",
                Router::new().fallback_service(origin.build().unwrap()),
            )
            .nest("/alone", Router::new().fallback_service(signer(secret)))
    };
    let (right, wrong) = (
        serve(edge(SECRET), Knows::Nothing),
        serve(edge("another"), Knows::Nothing),
    );
    let (right, wrong) = (right.await, wrong.await);
    for path in ["/edge/a", "/alone/base/a"] {
        let request = format!("GET {path}?b HTTP/1.1");
        let (status, _, body) = ask(KNOWN, right, &request).await;
        assert_eq!((status, &*body), (200, "/base/a?b"), "{path}");
        let (status, why, _) = ask(KNOWN, wrong, &request).await;
        assert_eq!((status, why), (403, SigV4Refusal::Signature.to_string()));
    }
}
