//! What reaches an origin of a stranger's request, and what reaches the viewer of a stranger's answer: the heads.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use frontage::headers::content_length;
use frontage::{
    ViewerAddress,
    headers::members,
    origin::{Origin, OriginFailure, OriginService},
};
use frontage_fuzz::{Value, block_on};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header, request::Parts,
};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use std::{
    convert::Infallible,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tower_service::Service;

static NAMES: [HeaderName; 20] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::HOST,
    header::EXPECT,
    header::TRAILER,
    header::COOKIE,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-custom"),
    HeaderName::from_static("cdn-loop"),
    header::CONTENT_TYPE,
    HeaderName::from_static("a"),
    HeaderName::from_static("b"),
    HeaderName::from_static("c"),
];

/// Fields that end with a connection.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Those that nothing sets, nor joins.
const END_TO_END: [&str; 4] = ["content-type", "a", "b", "c"];

#[derive(Arbitrary, Debug)]
enum Written {
    Text(Value),
    /// Names of fields, as `Connection` has them.
    Names(Vec<u8>),
    Number(u8),
    Known(u8),
}

#[derive(Arbitrary, Debug)]
struct Field(u8, Written);

impl Field {
    fn name(&self) -> HeaderName {
        NAMES[usize::from(self.0) % NAMES.len()].clone()
    }

    fn value(&self) -> HeaderValue {
        const KNOWN: [&str; 6] = [
            "chunked",
            "websocket",
            "upgrade",
            "application/grpc",
            "100-continue",
            "example.com",
        ];
        match &self.1 {
            Written::Text(text) => text.0.clone(),
            Written::Number(number) => HeaderValue::from(u16::from(*number)),
            Written::Known(at) => HeaderValue::from_static(KNOWN[usize::from(*at) % KNOWN.len()]),
            Written::Names(names) => {
                let names = names.iter().take(20);
                let names: Vec<&str> = names
                    .map(|at| NAMES[usize::from(*at) % NAMES.len()].as_str())
                    .collect();
                HeaderValue::try_from(names.join(", ")).expect("names")
            }
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    target: &'a str,
    method: u8,
    version: u8,
    fields: Vec<Field>,
    body: Vec<u8>,
    viewer: Option<[u8; 4]>,
    path: bool,
    status: u16,
    answer: Vec<Field>,
}

/// Answers as the input says, and keeps what it was asked.
#[derive(Clone)]
struct Inner {
    seen: Arc<Mutex<Option<(Parts, Option<Bytes>)>>>,
    answer: Arc<(StatusCode, HeaderMap)>,
}

impl<B> Service<Request<B>> for Inner
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.ok().map(|body| body.to_bytes());
            *this.seen.lock().expect("no panic") = Some((parts, body));
            let mut response = Response::new(Full::from("ok"));
            *response.status_mut() = this.answer.0;
            *response.headers_mut() = this.answer.1.clone();
            Ok(response)
        })
    }
}

fn service(input: &Input<'_>, inner: Inner) -> OriginService {
    let origin = Origin::service(inner)
        .custom_header("x-custom", "ours")
        .expect("a field");
    match input.path {
        true => origin.path("/base").expect("a path"),
        false => origin,
    }
    .build()
    .expect("an origin")
}

fn map(fields: &[Field]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields.iter().take(64) {
        headers.append(field.name(), field.value());
    }
    headers
}

/// The fields that `Connection` takes along.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines
        .flat_map(|line| members(line.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines.map(HeaderValue::as_bytes).collect()
}

/// What must hold of a head on its way, whoever wrote it.
fn check_end_to_end(before: &HeaderMap, after: &HeaderMap, upgrades: bool) {
    let named = named(before);
    for name in END_TO_END {
        let expected = match named.iter().any(|named| named == name) {
            true => vec![],
            false => lines(before, name),
        };
        assert_eq!(lines(after, name), expected, "{name}");
    }
    for name in HOP_BY_HOP {
        let is_set = matches!(name, "connection" | "upgrade") && upgrades
            || name == "te" && lines(after, "te") == [b"trailers"];
        assert!(is_set || !after.contains_key(name), "{name} goes on");
    }
    if before.contains_key(header::TRANSFER_ENCODING) {
        assert!(!after.contains_key(header::CONTENT_LENGTH));
    }
    assert_eq!(lines(after, "cdn-loop"), lines(before, "cdn-loop"));
}

fn check_request(input: &Input<'_>, asked: &Parts, seen: &Parts, body: Option<&Bytes>) {
    let (before, after) = (&asked.headers, &seen.headers);
    let is_websocket = lines(after, "upgrade") == [b"websocket"];
    check_end_to_end(before, after, is_websocket);
    assert!(asked.method == seen.method && asked.method != Method::CONNECT);

    let base = if input.path { "/base" } else { "" };
    let target = asked.uri.path_and_query().map_or("/", |it| it.as_str());
    let slash = if target.starts_with('?') { "/" } else { "" };
    assert_eq!(seen.uri.to_string(), format!("{base}{slash}{target}"));
    assert!(seen.uri.authority().is_none() && seen.uri.scheme().is_none());

    let host = match asked.uri.authority() {
        Some(authority) => authority.as_str().rsplit('@').next().map(str::as_bytes),
        None => before.get(header::HOST).map(HeaderValue::as_bytes),
    };
    assert_eq!(lines(after, "host"), host.into_iter().collect::<Vec<_>>());
    assert_eq!(lines(after, "x-custom"), [b"ours"]);
    let via = lines(after, "via");
    assert!(via.len() == 1 && via[0].ends_with(b" frontage"));

    // The last is the one that we vouch for.
    let forwarded = lines(after, "x-forwarded-for");
    match input.viewer {
        None => assert!(forwarded.is_empty()),
        Some(viewer) => {
            let viewer = Ipv4Addr::from(viewer).to_string();
            let last = forwarded[0].rsplit(|byte| *byte == b',').next();
            assert!(forwarded.len() == 1 && last == Some(viewer.as_bytes()));
        }
    }

    // One framing, and the body has its length.
    let lengths = lines(before, "content-length");
    if let Some(body) = body {
        assert_eq!(body, &input.body);
        for line in lengths {
            for member in line.split(|byte| *byte == b',') {
                let length = std::str::from_utf8(member).expect("digits").trim().parse();
                assert_eq!(length, Ok(body.len()));
            }
        }
    }
}

fn check_response(answer: &(StatusCode, HeaderMap), response: &Response<impl Sized>) {
    let (before, after) = (&answer.1, response.headers());
    check_end_to_end(before, after, false);
    assert!(!after.contains_key(header::TE) && response.status() == answer.0);
    for name in after.keys().filter(|name| *name != header::CONTENT_LENGTH) {
        assert!(lines(after, name.as_str()) == lines(before, name.as_str()));
    }
    // Said once, however often it came; and not where `Connection` names it.
    if after.contains_key(header::CONTENT_LENGTH) {
        assert_eq!(content_length(after), content_length(before));
        assert_eq!(lines(after, "content-length").len(), 1);
    }
}

/// Whether it is a 304 to a question without conditions.
fn is_unasked(status: StatusCode, seen: &Parts) -> bool {
    let conditions = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
    status == StatusCode::NOT_MODIFIED
        && matches!(seen.method, Method::GET | Method::HEAD)
        && conditions
            .iter()
            .all(|name| !seen.headers.contains_key(name))
}

fuzz_target!(|input: Input<'_>| {
    let Ok(uri) = input.target.parse::<Uri>() else {
        return;
    };
    let methods = [
        Method::GET,
        Method::POST,
        Method::HEAD,
        Method::OPTIONS,
        Method::CONNECT,
    ];
    let versions = [Version::HTTP_11, Version::HTTP_10, Version::HTTP_2];
    let mut request = Request::new(Full::<Bytes>::from(input.body.clone()));
    *request.method_mut() = methods[usize::from(input.method) % methods.len()].clone();
    *request.version_mut() = versions[usize::from(input.version) % versions.len()];
    *request.uri_mut() = uri;
    *request.headers_mut() = map(&input.fields);
    if let Some(viewer) = input.viewer {
        let viewer = SocketAddr::new(Ipv4Addr::from(viewer).into(), 1);
        request.extensions_mut().insert(ViewerAddress(viewer));
    }
    let asked = request.clone().into_parts().0;
    let status = StatusCode::from_u16(100 + input.status % 900).expect("three digits");
    let inner = Inner {
        seen: Arc::default(),
        answer: Arc::new((status, map(&input.answer))),
    };
    let mut service = service(&input, inner.clone());
    let Ok(response) = block_on(service.call(request));
    let seen = inner.seen.lock().expect("no panic").take();
    match (response.extensions().get::<OriginFailure>(), seen) {
        (None, Some((seen, body))) => {
            check_request(&input, &asked, &seen, body.as_ref());
            check_response(&inner.answer, &response);
            assert!(!is_unasked(status, &seen));
        }
        (Some(_), Some((seen, body))) => {
            check_request(&input, &asked, &seen, body.as_ref());
            assert!(status == StatusCode::SWITCHING_PROTOCOLS || is_unasked(status, &seen));
        }
        (Some(failure), None) => assert_eq!(failure.status(), 400, "{failure}"),
        (None, None) => panic!("an answer out of nothing"),
    }
    let hosts = asked.headers.get_all(header::HOST).iter().count();
    assert!(hosts < 2 || response.status() == 400);
});
