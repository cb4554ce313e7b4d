//! Origin access control against a server that speaks S3's language and checks signatures.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod server;
#[path = "../support/mod.rs"]
mod support;

use bytes::Bytes;
use frontage::{
    CacheLayer, CachePolicy, MemoryStore,
    origin::{
        Credentials, Origin, OriginAccessControl, OriginBody, OriginService, Signer,
        SigningBehavior, SigningService,
    },
};
use futures_util::stream;
use http::{Request, Response, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::TokioIo;
use server::{Access, BUCKET, DOMAIN, KEY, REGION, Server, VIEWERS_KEY};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use support::{is_hit, text, within};
use tokio::net::TcpStream;
use tower::{Layer, ServiceExt, service_fn};

fn credentials((id, secret): (&str, &str)) -> Credentials {
    Credentials::new(id, secret)
}

/// The bucket's name in the path: a server of one's own, at its own address.
fn by_path(server: &Server, access_control: OriginAccessControl) -> OriginService {
    Origin::url(&format!("http://{}/{BUCKET}", server.address))
        .unwrap()
        .signing(SigningService::S3, Some(REGION))
        .access_control(access_control)
        .build()
        .unwrap()
}

/// The bucket's name in the host's, as Amazon has it.
fn by_host(server: &Server, access_control: OriginAccessControl) -> OriginService {
    let address = server.address;
    let connector = service_fn(move |_: Uri| async move {
        let stream = TcpStream::connect(address).await?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    });
    Origin::connector(format!("{BUCKET}.{DOMAIN}"), connector)
        .access_control(access_control)
        .build()
        .unwrap()
}

fn always(server: &Server) -> [OriginService; 2] {
    let access_control = OriginAccessControl::always(credentials(KEY));
    [
        by_path(server, access_control.clone()),
        by_host(server, access_control),
    ]
}

fn request(
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &'static str,
) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(target);
    fields
        .iter()
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(body.into())
        .unwrap()
}

async fn ask<B>(service: &OriginService, request: Request<B>) -> Response<OriginBody>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    within(service.clone().oneshot(request)).await.unwrap()
}

async fn get(service: &OriginService, target: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let response = ask(service, request("GET", target, fields, "")).await;
    let status = response.status().as_u16();
    (status, text(response.into_body()).await.unwrap())
}

#[tokio::test]
async fn keys_of_all_kinds_are_written_read_and_deleted() {
    let server = Server::start().await;
    for (path, key) in [
        ("/plain.txt", "plain.txt"),
        ("/with%20two%20%20spaces", "with two  spaces"),
        ("/one%2Bone%2btwo", "one+one+two"),
        // As S3 has it: a plus that is meant is escaped.
        ("/a+b", "a b"),
        ("/100%25", "100%"),
        ("/%2541", "%41"),
        ("/a=b&c==d", "a=b&c==d"),
        ("/~user/-._~", "~user/-._~"),
        ("/%7euser/%41", "~user/A"),
        ("/!$'()*,;:@", "!$'()*,;:@"),
        ("/%E2%82%AC/%c3%bc/%F0%9F%A6%80", "€/ü/🦀"),
        ("/raw/€", "raw/€"),
        ("/what%3Fis%23it", "what?is#it"),
        ("/two//slashes", "two//slashes"),
        ("/a/./dot/../s", "a/./dot/../s"),
        ("/%5B%22%5D%5C%7C", "[\"]\\|"),
        ("/deep%2Fslash", "deep/slash"),
    ] {
        for service in always(&server) {
            let expect = |operation: &str| {
                let expected = Access {
                    operation: operation.to_owned(),
                    bucket: BUCKET.to_owned(),
                    object: key.to_owned(),
                    signer: KEY.0.to_owned(),
                };
                assert_eq!(server.access(), Some(expected), "{path}");
            };
            let put = ask(&service, request("PUT", path, &[], "content")).await;
            assert_eq!(put.status(), 200, "{path}");
            expect("PutObject");
            // S3 takes no chunked body.
            assert_eq!(server.header("content-length").as_deref(), Some("7"));
            assert_eq!(
                get(&service, path, &[]).await,
                (200, "content".into()),
                "{path}"
            );
            expect("GetObject");
            let head = ask(&service, request("HEAD", path, &[], "")).await;
            assert_eq!(
                (
                    head.status().as_u16(),
                    head.headers()["content-length"].as_bytes()
                ),
                (200, &b"7"[..])
            );
            assert_eq!(text(head.into_body()).await.unwrap(), "");
            expect("HeadObject");
            let delete = ask(&service, request("DELETE", path, &[], "")).await;
            assert_eq!(delete.status(), 204, "{path}");
            expect("DeleteObject");
            assert_eq!(get(&service, path, &[]).await.0, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn a_range_is_what_s3_makes_of_it() {
    let server = Server::start().await;
    server.store("digits", "0123456789");
    for service in always(&server) {
        for (range, content_range, expected) in [
            ("bytes=0-3", "bytes 0-3/10", "0123"),
            ("bytes=4-5", "bytes 4-5/10", "45"),
            ("bytes=7-", "bytes 7-9/10", "789"),
            ("bytes=8-99", "bytes 8-9/10", "89"),
            ("bytes=-3", "bytes 7-9/10", "789"),
        ] {
            let asked = request("GET", "/digits", &[("range", range)], "");
            let response = ask(&service, asked).await;
            assert_eq!(response.status(), 206, "{range}");
            assert_eq!(response.headers()["content-range"], content_range);
            assert_eq!(text(response.into_body()).await.unwrap(), expected);
        }
        let (status, body) = get(&service, "/digits", &[("range", "bytes=10-")]).await;
        assert_eq!(status, 416);
        assert!(body.contains("InvalidRange"), "{body}");
    }
}

#[tokio::test]
async fn a_query_is_signed_as_it_is_sent() {
    let server = Server::start().await;
    server.store("page", "hello");
    let target = "/page?response-content-type=text%2Fplain;+charset%3Dutf-8&x-id=GetObject&a&a=~";
    for service in always(&server) {
        let response = ask(&service, request("GET", target, &[], "")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
    }
}

#[tokio::test]
async fn fifty_mebibytes_are_uploaded_as_they_come() {
    const CHUNK: usize = 64 << 10;
    const CHUNKS: usize = 800;
    const LENGTH: u64 = (CHUNK * CHUNKS) as u64;
    /// What sockets hold, and then some.
    const MOST_UNDER_WAY: u64 = 16 << 20;
    fn chunk(number: usize) -> Bytes {
        let bytes = (0..CHUNK).map(|at| (number * 7 + at + at / 251) as u8);
        bytes.collect::<Vec<u8>>().into()
    }
    fn is_whole(bytes: &[u8]) -> bool {
        let mut chunks = bytes.chunks(CHUNK).enumerate();
        bytes.len() as u64 == LENGTH && chunks.all(|(number, bytes)| bytes == chunk(number))
    }

    let server = Server::start().await;
    let [service, _] = always(&server);
    let most = Arc::new(AtomicU64::new(0));
    let body = {
        let (server, most) = (server.clone(), most.clone());
        stream::iter((0..CHUNKS).map(move |number| {
            let given = (number * CHUNK) as u64;
            most.fetch_max(given - server.received(), Ordering::SeqCst);
            Ok::<_, Infallible>(Frame::data(chunk(number)))
        }))
    };
    let put = Request::put("/large").header("content-length", LENGTH);
    let put = put.body(StreamBody::new(body)).unwrap();
    assert_eq!(ask(&service, put).await.status(), 200);
    let most = most.load(Ordering::SeqCst);
    assert!(
        most < MOST_UNDER_WAY,
        "{most} bytes of {LENGTH} were under way at once"
    );
    assert_eq!(server.received(), LENGTH);
    assert_eq!(
        server.header("x-amz-content-sha256").as_deref(),
        Some("UNSIGNED-PAYLOAD")
    );
    assert!(is_whole(&std::fs::read(server.file("large")).unwrap()));

    let response = ask(&service, request("GET", "/large", &[], "")).await;
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(
        server.header("x-amz-content-sha256").as_deref(),
        Some(nothing)
    );
    let read = within(response.into_body().collect()).await.unwrap();
    assert!(is_whole(&read.to_bytes()));
}

#[tokio::test]
async fn a_payload_whose_hash_the_viewer_sent_is_checked_by_it() {
    let server = Server::start().await;
    let hash = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    for service in always(&server) {
        let fields = [("x-amz-content-sha256", hash)];
        let put = ask(&service, request("PUT", "/a", &fields, "content")).await;
        assert_eq!(put.status(), 200);
        assert_eq!(server.header("x-amz-content-sha256").as_deref(), Some(hash));
        let put = ask(&service, request("PUT", "/a", &fields, "another")).await;
        assert_eq!(put.status(), 403);
        assert_eq!(std::fs::read(server.file("a")).unwrap(), b"content");
    }
}

#[tokio::test]
async fn who_has_not_the_key_is_refused() {
    let server = Server::start().await;
    server.store("a", "secret content");
    for behavior in [SigningBehavior::Always, SigningBehavior::NoOverride] {
        let with = |id: &str, secret: &str| {
            let access_control = OriginAccessControl::new(behavior, Credentials::new(id, secret));
            [
                by_path(&server, access_control.clone()),
                by_host(&server, access_control),
            ]
        };
        for service in with(KEY.0, KEY.1) {
            assert_eq!(
                get(&service, "/a", &[]).await,
                (200, "secret content".into())
            );
        }
        for (services, code) in [
            (with(KEY.0, "another secret"), "SignatureDoesNotMatch"),
            (with("AKIANOBODY", KEY.1), "NotSignedUp"),
        ] {
            for service in services {
                let (status, body) = get(&service, "/a", &[]).await;
                assert_eq!((status, body.contains(code)), (403, true), "{body}");
                let put = ask(&service, request("PUT", "/b", &[], "content")).await;
                assert_eq!(put.status(), 403);
                assert!(!server.file("b").exists());
            }
        }
    }
    let nobody = Credentials::new("", "");
    let never = OriginAccessControl::new(SigningBehavior::Never, nobody);
    for service in [by_path(&server, never.clone()), by_host(&server, never)] {
        let (status, body) = get(&service, "/a", &[]).await;
        assert_eq!(
            (status, body.contains("AccessDenied")),
            (403, true),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_session_token_is_sent_and_signed() {
    let server = Server::start().await;
    server.store("a", "content");
    let temporary = credentials(KEY).session_token("a token");
    let service = by_host(&server, OriginAccessControl::always(temporary));
    assert_eq!(get(&service, "/a", &[]).await.0, 200);
    let token = server.header("x-amz-security-token");
    assert_eq!(token.as_deref(), Some("a token"));
    let authorization = server.header("authorization").unwrap();
    assert!(
        authorization
            .contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
        "{authorization}"
    );
}

#[tokio::test]
async fn a_viewers_signature_counts_only_where_it_is_not_overridden() {
    let server = Server::start().await;
    server.store("a b", "content");
    let host = format!("{BUCKET}.{DOMAIN}");
    let viewers = OriginAccessControl::always(credentials(VIEWERS_KEY));
    let viewers = Signer::new(viewers, SigningService::S3, &host, None).unwrap();
    let (mut parts, body) = request("GET", "/a%20b", &[("host", &host)], "").into_parts();
    viewers.sign(&mut parts, false).await.unwrap();
    let signed = Request::from_parts(parts, body);

    let ours = credentials(KEY);
    let no_override = by_host(&server, OriginAccessControl::no_override(ours.clone()));
    let response = ask(&no_override, signed.clone()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(server.access().unwrap().signer, VIEWERS_KEY.0);
    assert_eq!(get(&no_override, "/a%20b", &[]).await.0, 200);
    assert_eq!(server.access().unwrap().signer, KEY.0);
    let forged = [("authorization", "Bearer of a token")];
    assert_eq!(get(&no_override, "/a%20b", &forged).await.0, 400);

    let always = by_host(&server, OriginAccessControl::always(ours));
    for request in [signed, request("GET", "/a%20b", &forged, "")] {
        let response = ask(&always, request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(server.access().unwrap().signer, KEY.0);
    }
}

#[tokio::test]
async fn what_a_viewer_says_to_s3_is_not_said_in_our_name() {
    let server = Server::start().await;
    server.store("private", "secret content");
    let fields = [
        ("x-amz-copy-source", "/assets/private"),
        ("x-amz-acl", "public-read"),
        ("x-amz-meta-colour", "red"),
    ];
    for service in always(&server) {
        let put = ask(&service, request("PUT", "/mine", &fields, "mine")).await;
        assert_eq!(put.status(), 200);
        assert_eq!(server.access().unwrap().operation, "PutObject");
        assert_eq!(server.header("x-amz-acl"), None);
        let response = ask(&service, request("GET", "/mine", &[], "")).await;
        assert_eq!(response.headers()["x-amz-meta-colour"], "red");
        assert_eq!(text(response.into_body()).await.unwrap(), "mine");
    }
}

/// A bucket says nothing of lifetimes: the policy does.
fn cache() -> CacheLayer<MemoryStore> {
    CacheLayer::new(MemoryStore::new(1 << 20)).policy(CachePolicy::caching_optimized())
}

#[tokio::test]
async fn what_is_stored_is_answered_without_s3() {
    let server = Server::start().await;
    server.store("a b", "0123456789");
    for service in always(&server) {
        let edge = cache().layer(service);
        let before = server.requests();
        let ask = |method, fields: &[_]| {
            let request = request(method, "/a%20b", fields, "");
            within(edge.clone().oneshot(request))
        };
        let first = ask("GET", &[]).await.unwrap();
        assert_eq!((first.status().as_u16(), is_hit(&first)), (200, false));
        let etag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(text(first.into_body()).await.unwrap(), "0123456789");
        for (method, fields, status, expected) in [
            ("GET", [("", "")], 200, Some("0123456789")),
            ("HEAD", [("", "")], 200, Some("")),
            ("GET", [("range", "bytes=2-4")], 206, Some("234")),
            ("GET", [("range", "bytes=-2")], 206, Some("89")),
            ("GET", [("range", "bytes=0-1,4-5")], 206, None),
            ("GET", [("range", "bytes=10-")], 416, None),
            ("GET", [("if-none-match", &*etag)], 304, Some("")),
        ] {
            let fields: Vec<_> = fields
                .into_iter()
                .filter(|(name, _)| !name.is_empty())
                .collect();
            let response = ask(method, &fields).await.unwrap();
            assert!(is_hit(&response), "{method} {fields:?}");
            assert_eq!(response.status(), status, "{method} {fields:?}");
            let body = text(response.into_body()).await.unwrap();
            if let Some(expected) = expected {
                assert_eq!(body, expected);
            }
        }
        assert_eq!(server.requests(), before + 1);
    }
}

#[tokio::test]
async fn a_range_that_s3_sent_is_stored() {
    let server = Server::start().await;
    server.store("a", "0123456789");
    for service in always(&server) {
        let edge = cache().layer(service);
        let before = server.requests();
        for (range, expected, asked) in [
            ("bytes=2-6", "23456", 1),
            ("bytes=3-4", "34", 1),
            ("bytes=6-8", "678", 2),
        ] {
            let request = request("GET", "/a", &[("range", range)], "");
            let response = within(edge.clone().oneshot(request)).await.unwrap();
            assert_eq!(response.status(), 206, "{range}");
            assert_eq!(text(response.into_body()).await.unwrap(), expected);
            assert_eq!(server.requests(), before + asked, "{range}");
        }
    }
}
