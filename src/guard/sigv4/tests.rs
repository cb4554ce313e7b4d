use super::*;
use crate::{
    BodyError,
    clock::ManualClock,
    guard::SigV4Refusal,
    origin::{Credentials, CredentialsError, OriginAccessControl, Signer, SigningService},
    sigv4::{
        AmzDate, CanonicalRequest, EMPTY_PAYLOAD, PathEncoding, Scope, SigningKey,
        UNSIGNED_PAYLOAD, authorization, string_to_sign,
    },
};
use bytes::{Buf, Bytes};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    request::Parts,
};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use sha2::{Digest, Sha256};
use std::{
    convert::Infallible,
    error::Error as _,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_test::{assert_pending, assert_ready_ok, block_on, task::spawn};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

/// 2026-01-02T03:04:05Z.
const NOW: u64 = 1_767_323_045_000;

fn credentials() -> Credentials {
    Credentials::new("AKID", "hush-secret")
}

fn service() -> SigningService {
    SigningService::Named("app".into())
}

fn guard_of(credentials: impl LookUpCredentials, service: SigningService) -> RequireSigV4Layer {
    RequireSigV4Layer::new(credentials, service, "eu-west-1")
        .unwrap()
        .clock(ManualClock::at(NOW))
}

fn guard() -> RequireSigV4Layer {
    guard_of(credentials(), service())
}

fn signed_by(credentials: Credentials, service: SigningService, mut parts: Parts) -> Parts {
    let signer = Signer::new(
        OriginAccessControl::always(credentials),
        service,
        "h.example",
        Some("eu-west-1"),
    );
    let signer = signer
        .unwrap()
        .sign_header(header::RANGE)
        .unwrap()
        .clock(ManualClock::at(NOW));
    block_on(signer.sign(&mut parts, false)).unwrap();
    parts
}

fn parts(method: Method, uri: &str, fields: &[(&'static str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn get(fields: &[(&'static str, &str)]) -> Parts {
    parts(
        Method::GET,
        "/a?b=c",
        &[&[("host", "h.example")], fields].concat(),
    )
}

fn signed(fields: &[(&'static str, &str)]) -> Parts {
    signed_by(credentials(), service(), get(fields))
}

fn whole(text: &'static str) -> Full<Bytes> {
    Full::new(text.into())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What the inner service saw, and what it read of the body.
type Let = (HeaderMap, Extensions, Result<Bytes, BodyError>);

/// What becomes of a request: `Err` is the answer of the guard.
fn through<B>(guard: &RequireSigV4Layer, parts: Parts, body: B) -> Result<Let, Response<()>>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<crate::error::BoxError>,
{
    let was_called = Arc::new(AtomicBool::new(false));
    let called = was_called.clone();
    let inner = service_fn(move |request: Request<SigV4Body<B>>| {
        called.store(true, Ordering::SeqCst);
        async {
            let (parts, body) = request.into_parts();
            let read = body.collect().await.map(|body| body.to_bytes());
            let mut response = Response::new("inner".to_owned());
            response.extensions_mut().insert(Arc::new((parts, read)));
            Ok::<_, Infallible>(response)
        }
    });
    let request = Request::from_parts(parts, body);
    let response = block_on(guard.layer(inner).oneshot(request)).unwrap();
    let (mut head, body) = response.into_parts();
    match head
        .extensions
        .remove::<Arc<(Parts, Result<Bytes, BodyError>)>>()
    {
        Some(seen) => {
            let (parts, read) = Arc::try_unwrap(seen).unwrap();
            Ok((parts.headers, parts.extensions, read))
        }
        None => {
            assert!(!was_called.load(Ordering::SeqCst) && body.is_end_stream());
            assert_eq!(head.headers["cache-control"], "no-store");
            Err(Response::from_parts(head, ()))
        }
    }
}

fn is_let_in(guard: &RequireSigV4Layer, parts: Parts) -> bool {
    through(guard, parts, Empty::<Bytes>::new()).is_ok()
}

fn refusal_of_body<B>(guard: &RequireSigV4Layer, parts: Parts, body: B) -> SigV4Refusal
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<crate::error::BoxError>,
{
    let response = through(guard, parts, body).unwrap_err();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    response.extensions().get::<SigV4Refusal>().unwrap().clone()
}

fn refusal(guard: &RequireSigV4Layer, parts: Parts) -> SigV4Refusal {
    refusal_of_body(guard, parts, Empty::<Bytes>::new())
}

#[test]
fn what_is_signed_is_let_in_and_says_by_whom() {
    let sent = signed(&[("range", "bytes=0-1"), ("x-amz-meta-a", "  b  c ")]);
    let (headers, extensions, read) =
        through(&guard(), sent.clone(), Empty::<Bytes>::new()).unwrap();
    assert_eq!(extensions.get(), Some(&SignedBy("AKID".into())));
    assert_eq!(headers, sent.headers);
    assert_eq!(read.unwrap(), Bytes::new());
}

#[test]
fn the_host_may_be_in_the_target_as_in_http2() {
    for uri in [
        "https://h.example/",
        "http://h.example:8080/",
        "https://h.example:443/",
    ] {
        let sent = signed_by(credentials(), service(), parts(Method::GET, uri, &[]));
        assert!(
            !sent.headers.contains_key("host") && is_let_in(&guard(), sent),
            "{uri}"
        );
    }
}

#[test]
fn a_host_and_a_target_must_agree() {
    let refused = |uri: &str, host: &str| {
        let sent = parts(Method::GET, uri, &[("host", host)]);
        let sent = signed_by(credentials(), service(), sent);
        match through(&guard(), sent, Empty::<Bytes>::new()) {
            Ok(_) => None,
            Err(response) => response.extensions().get::<SigV4Refusal>().cloned(),
        }
    };
    for (uri, host) in [
        ("https://h.example/", "h.example"),
        ("https://h.example/", "H.example"),
        ("https://h.example:443/", "h.example"),
        ("https://h.example:443/", "h.example:443"),
        ("http://h.example:8080/", "h.example:8080"),
    ] {
        assert_eq!(refused(uri, host), None, "{uri} {host}");
    }
    for (uri, host) in [
        ("https://g.example/", "h.example"),
        ("https://h.example:8080/", "h.example"),
        ("https://h.example/", "h.example:8080"),
        ("https://user@h.example/", "h.example"),
        ("https://h.example/", ""),
        ("/", ""),
    ] {
        assert_eq!(refused(uri, host), Some(SigV4Refusal::Host), "{uri} {host}");
    }
    let mut twice = signed(&[]);
    twice.headers.append("host", "h.example".parse().unwrap());
    assert_eq!(refusal(&guard(), twice), SigV4Refusal::Host);
    let mut without = signed(&[]);
    without.headers.remove("host");
    assert_eq!(refusal(&guard(), without), SigV4Refusal::Host);
    // Their hosts are signed like that of `https://h.example/`.
    for uri in [
        "https://user@h.example/",
        "https://h.example:$43/",
        "https://h.example:/",
        "https://h.example:99999/",
    ] {
        let sent = signed_by(credentials(), service(), parts(Method::GET, uri, &[]));
        assert_eq!(refusal(&guard(), sent), SigV4Refusal::Host, "{uri}");
        let of_both = parts(Method::GET, uri, &[("host", "h.example")]);
        let sent = signed_by(credentials(), service(), of_both);
        assert_eq!(refusal(&guard(), sent), SigV4Refusal::Host, "{uri}");
    }
}

#[test]
fn each_change_has_its_reason() {
    let remove = |name: &'static str, mut parts: Parts| {
        parts.headers.remove(name);
        parts
    };
    let insert = |name: &'static str, value, mut parts: Parts| {
        parts.headers.insert(name, HeaderValue::from_static(value));
        parts
    };
    let append = |name: &'static str, value, mut parts: Parts| {
        parts.headers.append(name, HeaderValue::from_static(value));
        parts
    };
    let to = |uri: &'static str, mut parts: Parts| {
        parts.uri = uri.parse().unwrap();
        parts
    };
    let by = |method, mut parts: Parts| {
        parts.method = method;
        parts
    };
    let original = || signed(&[("range", "bytes=0-1"), ("x-amz-meta-empty", "")]);
    assert!(is_let_in(&guard(), original()));
    let (id, date) = ("authorization", "x-amz-date");
    let new_field = SigV4Refusal::HeaderNotSigned(HeaderName::from_static("x-amz-acl"));
    let empty_field = SigV4Refusal::HeaderMissing(HeaderName::from_static("x-amz-meta-empty"));
    for (number, (changed, reason)) in [
        (by(Method::HEAD, original()), SigV4Refusal::Signature),
        (to("/b?b=c", original()), SigV4Refusal::Signature),
        (to("/a?b=d", original()), SigV4Refusal::Signature),
        (to("/a", original()), SigV4Refusal::Signature),
        (to("/%61?b=c", original()), SigV4Refusal::Signature),
        (to("//a?b=c", original()), SigV4Refusal::Path),
        (to("/b/../a?b=c", original()), SigV4Refusal::Path),
        (remove(id, original()), SigV4Refusal::NotSigned),
        (
            append(id, "Basic eA==", original()),
            SigV4Refusal::NotSigned,
        ),
        (
            insert(id, "Basic eA==", original()),
            SigV4Refusal::Malformed,
        ),
        (remove(date, original()), SigV4Refusal::Date),
        (
            append(date, "20260102T030405Z", original()),
            SigV4Refusal::Date,
        ),
        (
            insert(date, "20260102T030405", original()),
            SigV4Refusal::Date,
        ),
        (
            insert(date, "20260103T030405Z", original()),
            SigV4Refusal::Date,
        ),
        (
            insert(date, "20260102T030406Z", original()),
            SigV4Refusal::Signature,
        ),
        (
            insert("range", "bytes=0-2", original()),
            SigV4Refusal::Signature,
        ),
        (
            append("range", "bytes=0-2", original()),
            SigV4Refusal::Signature,
        ),
        (insert("x-amz-acl", "public-read", original()), new_field),
        (remove("x-amz-meta-empty", original()), empty_field),
        (
            remove("range", original()),
            SigV4Refusal::HeaderMissing(header::RANGE),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(refusal(&guard(), changed), reason, "change {number}");
    }
    // What isn't signed may change.
    assert!(is_let_in(
        &guard(),
        insert("accept", "text/html", original())
    ));
}

/// A signature over fields of one's own choice, by the rules.
fn signed_over(parts: &mut Parts, names: &str, payload: &str) {
    let date = AmzDate::from_millis(NOW);
    let date_value = HeaderValue::from_str(date.as_str()).unwrap();
    parts.headers.insert("x-amz-date", date_value);
    let names: Vec<HeaderName> = names.split(';').map(|name| name.parse().unwrap()).collect();
    let (method, uri, headers) = (&parts.method, &parts.uri, &parts.headers);
    let twice = PathEncoding::Twice;
    let canonical =
        CanonicalRequest::with_fields(method, uri, headers, &names, payload.as_bytes(), twice);
    let scope = Scope {
        date: &date,
        region: "eu-west-1",
        service: "app",
    };
    let key = SigningKey::derive("hush-secret", &scope);
    let signature = key.sign(&string_to_sign(&canonical, &scope));
    let value = authorization("AKID", &scope, &canonical, &signature);
    parts
        .headers
        .insert("authorization", value.parse().unwrap());
}

#[test]
fn the_host_and_all_of_amz_must_be_among_the_signed_fields() {
    let over = |names: &str| {
        let mut parts = get(&[
            ("x-amz-meta-a", "b"),
            ("via", "1.1 x"),
            ("x-amz-content-sha256", EMPTY_PAYLOAD),
        ]);
        signed_over(&mut parts, names, EMPTY_PAYLOAD);
        parts
    };
    let all = "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a";
    assert!(is_let_in(&guard(), over(all)));
    // Others may be among them, whatever they are.
    assert!(is_let_in(&guard(), over(&all.replace("host", "host;via"))));
    for name in all.split(';') {
        let names: Vec<&str> = all.split(';').filter(|other| *other != name).collect();
        let expected = SigV4Refusal::HeaderNotSigned(name.parse().unwrap());
        assert_eq!(refusal(&guard(), over(&names.join(";"))), expected);
    }
    let missing = refusal(&guard(), over(&all.replace("host", "cookie;host")));
    assert_eq!(missing, SigV4Refusal::HeaderMissing(header::COOKIE));
}

#[test]
fn without_the_field_the_payload_is_that_of_no_body() {
    let mut parts = get(&[]);
    signed_over(&mut parts, "host;x-amz-date", EMPTY_PAYLOAD);
    assert!(is_let_in(&guard(), parts.clone()));
    // Somebody has added one.
    let body = whole("body");
    let refused = refusal_of_body(&guard(), parts.clone(), body);
    assert_eq!(refused, SigV4Refusal::PayloadHash);
    let unknown = StreamBody::new(futures_util::stream::empty::<
        Result<Frame<Bytes>, Infallible>,
    >());
    let refused = refusal_of_body(&guard(), parts, unknown);
    assert_eq!(refused, SigV4Refusal::PayloadHash);
    // Signed with a body that has gone.
    let mut parts = get(&[]);
    signed_over(&mut parts, "host;x-amz-date", &hex(b"body"));
    assert_eq!(refusal(&guard(), parts), SigV4Refusal::Signature);
}

#[test]
fn the_moment_of_signing_is_within_five_minutes() {
    let at = |now| guard().clock(ManualClock::at(now));
    let five = 300_000;
    for now in [NOW - five, NOW, NOW + five] {
        assert!(is_let_in(&at(now), signed(&[])));
    }
    for now in [0, NOW - five - 1, NOW + five + 1, u64::MAX] {
        assert_eq!(refusal(&at(now), signed(&[])), SigV4Refusal::Skew);
    }
    let second = at(NOW + 1001).max_skew(Duration::from_secs(1));
    assert_eq!(refusal(&second, signed(&[])), SigV4Refusal::Skew);
    let forever = at(u64::MAX).max_skew(Duration::MAX);
    assert!(is_let_in(&forever, signed(&[])));
}

#[test]
fn region_and_service_are_ours() {
    let other_region = RequireSigV4Layer::new(credentials(), service(), "eu-west-2");
    let other_region = other_region.unwrap().clock(ManualClock::at(NOW));
    assert_eq!(refusal(&other_region, signed(&[])), SigV4Refusal::Scope);
    let other_service = guard_of(credentials(), SigningService::Named("application".into()));
    assert_eq!(refusal(&other_service, signed(&[])), SigV4Refusal::Scope);

    for (region, service, setting) in [("", "app", "region"), ("r", "a/b", "service")] {
        let service = SigningService::Named(service.into());
        let error = RequireSigV4Layer::new(credentials(), service, region).unwrap_err();
        assert_eq!(error.setting(), setting);
    }
}

#[test]
fn the_access_key_must_be_known_and_not_have_expired() {
    let others = Credentials::new("OTHER", "hush-secret");
    assert_eq!(
        refusal(&guard_of(others.clone(), service()), signed(&[])),
        SigV4Refusal::AccessKey
    );
    let both = vec![others, credentials()];
    assert!(is_let_in(&guard_of(both, service()), signed(&[])));
    assert_eq!(
        refusal(&guard_of(vec![], service()), signed(&[])),
        SigV4Refusal::AccessKey
    );

    let until = |millis| guard_of(credentials().expires_at(millis), service());
    assert!(is_let_in(&until(NOW + 1), signed(&[])));
    assert_eq!(refusal(&until(NOW), signed(&[])), SigV4Refusal::AccessKey);

    let another_secret = guard_of(Credentials::new("AKID", "hush-secreT"), service());
    assert_eq!(
        refusal(&another_secret, signed(&[])),
        SigV4Refusal::Signature
    );
}

#[test]
fn a_session_token_is_there_where_it_belongs_and_nowhere_else() {
    let with = |token: &str| credentials().session_token(token);
    let sent = |credentials| signed_by(credentials, service(), get(&[]));
    let of = |credentials: Credentials| guard_of(credentials, service());
    assert!(is_let_in(&of(with("token")), sent(with("token"))));
    for (expected, sender) in [
        (with("token"), credentials()),
        (credentials(), with("token")),
        (with("token"), with("tokem")),
        (with("token"), with("toke")),
        (with("toke"), with("token")),
    ] {
        assert_eq!(
            refusal(&of(expected), sent(sender)),
            SigV4Refusal::SessionToken
        );
    }
    let mut twice = sent(with("token"));
    twice
        .headers
        .append("x-amz-security-token", "token".parse().unwrap());
    assert_eq!(
        refusal(&of(with("token")), twice),
        SigV4Refusal::SessionToken
    );
}

#[derive(Debug)]
struct Failing;

impl LookUpCredentials for Failing {
    fn look_up<'a>(&'a self, _: &'a str) -> FoundCredentials<'a> {
        Box::pin(async {
            tokio::task::yield_now().await;
            Err(CredentialsError::new("no route"))
        })
    }
}

#[test]
fn where_credentials_cannot_be_looked_up_nobody_is_let_in() {
    let boxed: Box<dyn LookUpCredentials> = Box::new(Arc::new(Failing));
    let guard = guard_of(boxed, service());
    let response = through(&guard, signed(&[]), Empty::<Bytes>::new()).unwrap_err();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.extensions().get::<CredentialsError>().is_some());
    // Nobody is asked for a request that can be refused without.
    let mut parts = signed(&[]);
    parts.headers.remove("x-amz-date");
    assert_eq!(refusal(&guard, parts), SigV4Refusal::Date);
}

#[test]
fn paths_are_sent_as_they_are_signed() {
    let result = |service: SigningService, path: &str| {
        let mut sent = parts(Method::GET, path, &[("host", "h.example")]);
        let uri = sent.uri.clone();
        sent = signed_by(credentials(), service.clone(), sent);
        // The signer rewrites it for S3; what others send isn't.
        sent.uri = uri;
        let guard = guard_of(credentials(), service);
        match through(&guard, sent, Empty::<Bytes>::new()) {
            Ok(_) => None,
            Err(response) => response.extensions().get::<SigV4Refusal>().cloned(),
        }
    };
    for path in [
        "/",
        "/a",
        "/a/",
        "/a%20b",
        "/a%2Fb",
        "/a%2fb",
        "/a+b",
        "/a=b",
        "/.a/..b",
        "/%2e%2e/a",
    ] {
        assert_eq!(result(service(), path), None, "{path}");
    }
    for path in [
        "//", "/a//b", "/a//", "/./a", "/a/.", "/a/..", "/a/../b", "/..",
    ] {
        assert_eq!(result(service(), path), Some(SigV4Refusal::Path), "{path}");
    }
    let options = parts(Method::OPTIONS, "*", &[("host", "h.example")]);
    let options = signed_by(credentials(), service(), options);
    assert_eq!(refusal(&guard(), options), SigV4Refusal::Path);

    for path in ["/", "/a//b", "/a/../b", "/a%20b", "/a%2Bb", "/~"] {
        assert_eq!(result(SigningService::S3, path), None, "{path}");
    }
    for path in [
        "/a%2Fb",
        "/%61",
        "/a+b",
        "/a%2bb",
        "/a=b",
        "/%7E",
        "/%2E%2E/b",
    ] {
        assert_eq!(
            result(SigningService::S3, path),
            Some(SigV4Refusal::Path),
            "{path}"
        );
    }
}

#[test]
fn a_space_of_a_query_has_two_forms_and_a_plus_has_one() {
    let result = |query: &str| {
        let fields = [("host", "h.example")];
        let sent = parts(Method::GET, "/a?q=%20%2Bx", &fields);
        let mut sent = signed_by(credentials(), service(), sent);
        sent.uri = format!("/a?{query}").parse().unwrap();
        is_let_in(&guard(), sent)
    };
    assert!(result("q=%20%2Bx") && result("q=+%2Bx") && result("q=+%2bx"));
    assert!(!result("q=++x") && !result("q=%20+x") && !result("q=%2B%2Bx"));
}

#[cfg(feature = "axum")]
#[test]
fn the_path_is_the_one_before_a_prefix_was_taken_off() {
    use axum::extract::OriginalUri;
    let mut sent = signed(&[]);
    let original = std::mem::replace(&mut sent.uri, "/?b=c".parse().unwrap());
    assert_eq!(refusal(&guard(), sent.clone()), SigV4Refusal::Signature);
    sent.extensions.insert(OriginalUri(original));
    assert!(is_let_in(&guard(), sent));
}

/// What a router above the signer took a prefix off isn't what is signed.
#[cfg(feature = "axum")]
#[test]
fn what_is_signed_below_a_nest_is_let_in_in_the_same_process() {
    use crate::origin::SigningBehavior;
    use axum::extract::OriginalUri;
    for service in [service(), SigningService::S3] {
        let mut nested = get(&[]);
        let original = OriginalUri("/edge/a?b=c".parse().unwrap());
        nested.extensions.insert(original.clone());
        let sent = signed_by(credentials(), service.clone(), nested.clone());
        let guard = guard_of(credentials(), service.clone());
        assert!(is_let_in(&guard, sent), "{service:?}");

        // What isn't signed here isn't changed.
        let never = OriginAccessControl::new(SigningBehavior::Never, credentials());
        let never = Signer::new(never, service, "h.example", Some("eu-west-1")).unwrap();
        block_on(never.sign(&mut nested, false)).unwrap();
        assert_eq!(
            nested.extensions.get::<OriginalUri>().unwrap().0,
            original.0
        );
    }
}

fn put(payload: &str) -> Parts {
    let fields = [("host", "h.example"), ("x-amz-content-sha256", payload)];
    signed_by(credentials(), service(), parts(Method::PUT, "/a", &fields))
}

/// A body of which nobody knows the end before it is there.
fn streamed(
    frames: impl IntoIterator<Item = Frame<Bytes>>,
) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static {
    let frames: Vec<_> = frames.into_iter().map(Ok).collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(text.into())
}

#[test]
fn a_body_is_read_whole_if_it_is_the_signed_one() {
    let sent = put(&hex(b"one, two"));
    let frames = [data("one"), data(""), data(", two")];
    let (_, _, read) = through(&guard(), sent.clone(), streamed(frames)).unwrap();
    assert_eq!(read.unwrap(), "one, two");
    let (_, _, read) = through(&guard(), sent.clone(), whole("one, two")).unwrap();
    assert_eq!(read.unwrap(), "one, two");
    // Of a buffer in pieces each counts.
    let pieces = Bytes::from("one").chain(Bytes::from(", two"));
    let (_, _, read) = through(&guard(), sent, Full::new(pieces)).unwrap();
    assert_eq!(read.unwrap(), "one, two");
}

#[test]
fn any_other_body_fails_at_its_end() {
    let sent = put(&hex(b"one, two"));
    for frames in [
        vec![data("one, twO")],
        vec![data("one, tw")],
        vec![data("one, two"), data(".")],
        vec![data(", two"), data("one")],
        vec![],
    ] {
        let (_, _, read) = through(&guard(), sent.clone(), streamed(frames)).unwrap();
        assert!(read.unwrap_err().is_not_as_signed());
    }
    let (_, _, read) = through(&guard(), sent, whole("one, twO")).unwrap();
    assert!(read.unwrap_err().is_not_as_signed());
}

#[test]
fn what_is_known_of_a_body_at_once_is_refused_at_once() {
    let empty = refusal(&guard(), put(&hex(b"one")));
    assert_eq!(empty, SigV4Refusal::Payload);
    let body = refusal_of_body(&guard(), put(EMPTY_PAYLOAD), whole("one"));
    assert_eq!(body, SigV4Refusal::Payload);
    let (_, _, read) = through(&guard(), put(EMPTY_PAYLOAD), streamed([data("one")])).unwrap();
    assert!(read.unwrap_err().is_not_as_signed());
    let (_, _, read) = through(&guard(), put(EMPTY_PAYLOAD), streamed([])).unwrap();
    assert_eq!(read.unwrap(), "");
}

#[test]
fn an_unsigned_body_is_let_in_only_where_that_is_allowed() {
    let sent = put(UNSIGNED_PAYLOAD);
    let refused = refusal_of_body(&guard(), sent.clone(), whole("any"));
    assert_eq!(refused, SigV4Refusal::UnsignedPayload);
    assert_eq!(
        refusal(&guard(), sent.clone()),
        SigV4Refusal::UnsignedPayload
    );
    let allowing = guard().allow_unsigned_payload();
    let (_, _, read) = through(&allowing, sent, whole("any")).unwrap();
    assert_eq!(read.unwrap(), "any");
    // What is signed is still compared.
    let (_, _, read) = through(&allowing, put(&hex(b"one")), whole("two")).unwrap();
    assert!(read.unwrap_err().is_not_as_signed());
}

#[test]
fn a_body_that_nobody_hashed_is_let_in_by_the_service_that_leaves_it_out() {
    let result = |service: SigningService| {
        let mut sent = parts(Method::POST, "/a", &[("host", "h.example")]);
        let access_control = OriginAccessControl::always(credentials());
        let signer = Signer::new(
            access_control,
            service.clone(),
            "h.example",
            Some("eu-west-1"),
        );
        let signer = signer.unwrap().clock(ManualClock::at(NOW));
        block_on(signer.sign(&mut sent, true)).map_err(|error| error.status())?;
        let guard = guard_of(credentials(), service).allow_unsigned_payload();
        let (_, _, read) =
            through(&guard, sent, whole("any")).map_err(|refused| refused.status())?;
        Ok(read.unwrap())
    };
    assert_eq!(result(service()), Err(StatusCode::BAD_REQUEST));
    assert_eq!(result(SigningService::S3), Ok("any".into()));
}

#[test]
fn what_is_no_hash_is_refused() {
    for payload in [
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "unsigned-payload",
        &hex(b"one").to_uppercase(),
        &hex(b"one")[1..],
        &format!("{}0", hex(b"one")),
        &hex(b"one").replace('f', "g"),
    ] {
        let allowing = guard().allow_unsigned_payload();
        let refused = refusal_of_body(&allowing, put(payload), whole("one"));
        assert_eq!(refused, SigV4Refusal::PayloadHash, "{payload}");
    }
    let mut twice = put(&hex(b"one"));
    let hash = hex(b"two").parse().unwrap();
    twice.headers.append("x-amz-content-sha256", hash);
    let refused = refusal_of_body(&guard(), twice, whole("one"));
    assert_eq!(refused, SigV4Refusal::PayloadHash);
}

fn body_of<B: Body>(body: B, signed: &[u8]) -> SigV4Body<B> {
    let hash = Sha256::digest(signed).into();
    SigV4Body::new(body, crate::sigv4::Payload::Sha256(hash))
}

#[test]
fn the_last_bytes_of_a_wrong_body_are_withheld_where_they_are_known_to_be_the_last() {
    let mut body = body_of(whole("two"), b"one");
    let first = block_on(body.frame()).unwrap();
    assert!(first.unwrap_err().is_not_as_signed());
    assert!(block_on(body.frame()).is_none() && body.is_end_stream());

    let mut body = body_of(whole("one"), b"one");
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(3));
    let first = block_on(body.frame()).unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "one");
    assert!(body.is_end_stream());
    assert!(block_on(body.frame()).is_none());
}

#[test]
fn as_long_as_it_is_not_proven_a_body_has_not_ended() {
    let mut body = body_of(streamed([data("two")]), b"one");
    block_on(body.frame()).unwrap().unwrap();
    assert!(!body.is_end_stream());
    assert!(block_on(body.frame()).unwrap().is_err());
}

#[test]
fn no_body_is_seen_as_none() {
    assert!(body_of(Empty::<Bytes>::new(), b"").is_end_stream());
    let mut other = body_of(Empty::<Bytes>::new(), b"one");
    assert!(!other.is_end_stream());
    assert!(block_on(other.frame()).unwrap().is_err());
}

#[test]
fn trailers_are_dropped_unless_nothing_is_signed() {
    let trailers = || Frame::trailers(HeaderMap::from_iter([(header::ETAG, "x".parse().unwrap())]));
    let read = |body| block_on(BodyExt::collect(body)).unwrap();
    let signed = body_of(streamed([data("one"), trailers()]), b"one");
    let read_signed = block_on(signed.collect()).unwrap();
    assert!(read_signed.trailers().is_none());
    assert_eq!(read_signed.to_bytes(), "one");
    let frames = streamed([data("one"), trailers()]);
    let passed = read(SigV4Body::new(frames, crate::sigv4::Payload::Unsigned));
    assert!(passed.trailers().is_some());
}

#[test]
fn a_failure_of_the_body_itself_is_passed_on() {
    let frames = [Ok(data("one")), Err(std::io::Error::other("reset"))];
    let body = body_of(StreamBody::new(futures_util::stream::iter(frames)), b"one");
    let error = block_on(body.collect()).unwrap_err();
    assert!(!error.is_not_as_signed());
    assert_eq!(error.source().unwrap().to_string(), "reset");
}

#[test]
fn the_published_example_of_s3_is_let_in() {
    let sent = parts(
        Method::GET,
        "/test.txt",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY_PAYLOAD),
            ("x-amz-date", "20130524T000000Z"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
                 SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
                 Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
        ],
    );
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", secret);
    let guard = RequireSigV4Layer::new(credentials, SigningService::S3, "us-east-1")
        .unwrap()
        .clock(ManualClock::at(1_369_353_600_000));
    assert!(is_let_in(&guard, sent));
}

#[test]
fn no_secret_is_in_debug_or_in_a_reason() {
    let guard = guard_of(credentials().session_token("hush-token"), service());
    let shown = format!("{guard:?} {:?}", guard.layer(()));
    assert!(shown.contains("AKID") && !shown.contains("hush"), "{shown}");
    let reason = refusal(
        &guard,
        signed_by(credentials().session_token("hush"), service(), get(&[])),
    );
    assert!(!format!("{reason} {reason:?}").contains("hush"));
}

/// Waits for the test, then knows nobody.
#[derive(Clone, Debug, Default)]
struct Slow(Arc<Notify>);

impl LookUpCredentials for Slow {
    fn look_up<'a>(&'a self, access_key_id: &'a str) -> FoundCredentials<'a> {
        Box::pin(async move {
            match access_key_id {
                "AKID" => Ok(Some(credentials())),
                _ => {
                    self.0.notified().await;
                    Ok(None)
                }
            }
        })
    }
}

#[test]
fn a_stranger_holds_nothing_of_the_inner_service_and_does_not_wait_for_it() {
    let inner = service_fn(|_: Request<SigV4Body<Empty<Bytes>>>| {
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let slow = Slow::default();
    let mut inner = ConcurrencyLimit::new(inner, 1);
    let mut guard = guard_of(slow.clone(), service()).layer(inner.clone());
    let mut ask = |parts| {
        assert_ready_ok!(spawn(guard.ready()).poll());
        spawn(guard.call(Request::from_parts(parts, Empty::new())))
    };
    let made_up = Credentials::new("MADE-UP", "secret");
    let mut strangers = ask(signed_by(made_up, service(), get(&[])));
    assert_pending!(strangers.poll());
    let let_in = assert_ready_ok!(ask(signed(&[])).poll());
    assert_eq!(let_in.status(), StatusCode::OK);

    assert_ready_ok!(spawn(inner.ready()).poll());
    let refused = assert_ready_ok!(ask(get(&[])).poll());
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    slow.0.notify_one();
    let refused = assert_ready_ok!(strangers.poll());
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let mut waiting = ask(signed(&[]));
    assert_pending!(waiting.poll());
    drop(inner);
    assert!(waiting.is_woken());
    assert_eq!(assert_ready_ok!(waiting.poll()).status(), StatusCode::OK);
}

#[test]
fn who_asks_once_more_after_a_refusal_is_refused_once_more() {
    let inner = service_fn(|_: Request<SigV4Body<Empty<Bytes>>>| {
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let stranger = signed_by(Credentials::new("OTHER", "secret"), service(), get(&[]));
    let mut guard = guard().layer(inner);
    let mut refused = spawn(guard.call(Request::from_parts(stranger, Empty::new())));
    for _ in 0..2 {
        let response = assert_ready_ok!(refused.poll());
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
}
