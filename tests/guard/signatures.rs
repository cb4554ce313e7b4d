//! `RequireSigV4Layer` beside `SignLayer` and AWS's own `aws-sigv4`, over thousands of generated requests: what they sign is
//! let in, and is refused with any single bit changed in the method, the path, the query, the host, a signed field or its name, the
//! date, `Authorization` or the body.
//!
//! What is no change, and so left out by construction:
//!
//! 1. *The case of a hex digit in an encoded byte of the query* (`%2b`, `%2B`): SigV4 signs the byte. In the path it is a change.
//! 2. *The case of a field's name*: HTTP has none.
//! 3. *A target `/` that becomes `?`*: no path and an empty query mean the same.
//!
//! Paths are in normal form here: others are refused, and tested beside the layer.
//!
//! A bit whose change gives something that isn't HTTP never gets here; the `http` crate refuses it.
//!
//! `aws-sigv4` signs the body's hash without sending it unless told to (`PayloadChecksumKind::NoHeader`): that is let in where
//! there is no body, since a body's hash would have to be known before it is read.

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
        SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4::SigningParams,
};
use bytes::Bytes;
use frontage::{
    clock::ManualClock,
    guard::{RequireSigV4Layer, SigV4Body, SigV4Refusal},
    origin::{Credentials, OriginAccessControl, SignLayer, Signer, SigningService},
    sigv4::{PathEncoding, canonical_path},
};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, Uri, header, request::Parts,
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Full};
use proptest::{prelude::*, sample::select};
use sha2::{Digest, Sha256};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};
use tower::{Layer, ServiceExt, service_fn};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// A request, and how it is signed.
#[derive(Clone, Debug)]
struct Given {
    method: Method,
    authority: &'static str,
    path: String,
    query: Option<String>,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
    signs_body: bool,
    is_http2: bool,
    is_s3: bool,
    secret: String,
    token: Option<String>,
    millis: u64,
}

/// A path in normal form: no segment is empty, `.` or `..`.
fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z0-9]{1,4}",
        1 => select(&["%20", "%2f", "%2F", "%2E", "%25", "%c3%a9", "%ff", "+", "=", "~", "@", ";", "..."][..])
            .prop_map(str::to_owned),
    ];
    let segment = prop::collection::vec(piece, 1..4)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("dots", |segment| segment != "." && segment != "..");
    let segments = prop::collection::vec(segment, 0..4);
    (segments, any::<bool>()).prop_map(|(segments, ends_in_slash)| {
        let path = format!("/{}", segments.join("/"));
        match ends_in_slash && path != "/" {
            true => path + "/",
            false => path,
        }
    })
}

fn query() -> impl Strategy<Value = Option<String>> {
    let piece = prop_oneof![
        2 => "[a-zA-Z0-9]{1,3}",
        3 => select(&["&", "=", "&&", "a=", "a=1&", "A=1&", "a=2&", "+", "%20", "%2B", "%2b", "%c3%a9", "%z", "/", "?", "~", "-"][..])
            .prop_map(str::to_owned),
    ];
    prop::option::of(prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()))
}

fn given() -> impl Strategy<Value = Given> {
    let method = select(vec![
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::POST,
        Method::DELETE,
    ]);
    let authority = select(&["b.example", "b.example:443", "b.example:8443", "B.example"][..]);
    let name = select(
        &[
            "x-amz-meta-a",
            "x-amz-meta-b",
            "x-amz-acl",
            "range",
            "accept",
            "x-amzn-trace-id",
        ][..],
    );
    let value = prop_oneof![
        "[ ]{0,2}[!-~][ -~\t]{0,8}[!-~][ ]{0,2}",
        "[a \"\u{a1}-\u{ffff}]{0,6}",
        "",
    ];
    let fields = prop::collection::vec((name, value), 0..5);
    let body = prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(any::<u8>(), 1..40)];
    let request = (method, authority, path(), query(), fields, body);
    let token = prop::option::of("[!-~]{1,40}");
    // Up to the year 9999.
    let signing = ("[!-~]{1,60}", token, 0..253_402_300_800_000_u64);
    let ways = (any::<bool>(), any::<bool>(), any::<bool>());
    (request, signing, ways).prop_map(|(request, signing, (signs_body, is_http2, is_s3))| {
        let (method, authority, path, query, fields, body) = request;
        let (secret, token, millis) = signing;
        Given {
            method,
            authority,
            path,
            query,
            fields,
            body,
            signs_body: signs_body || !is_s3,
            is_http2,
            is_s3,
            secret,
            token,
            millis,
        }
    })
}

/// What gets to the origin.
#[derive(Clone, Debug)]
struct Sent {
    parts: Parts,
    body: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    LetIn,
    Refused(SigV4Refusal),
    BodyFails,
}

impl Given {
    fn service(&self) -> SigningService {
        match self.is_s3 {
            true => SigningService::S3,
            false => SigningService::Named("execute-api".into()),
        }
    }

    fn credentials(&self) -> Credentials {
        let credentials = Credentials::new("AKIDEXAMPLE", &self.secret);
        match &self.token {
            Some(token) => credentials.session_token(token),
            None => credentials,
        }
    }

    fn guard(&self) -> RequireSigV4Layer {
        let guard = RequireSigV4Layer::new(self.credentials(), self.service(), "eu-west-1");
        let guard = guard.unwrap().clock(ManualClock::at(self.millis + 299_000));
        match self.signs_body {
            true => guard,
            false => guard.allow_unsigned_payload(),
        }
    }

    fn hash(&self) -> String {
        let hash = Sha256::digest(&self.body);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unsigned(&self) -> Parts {
        let query = self.query.as_ref().map(|query| format!("?{query}"));
        let (authority, path, query) = (self.authority, &self.path, query.unwrap_or_default());
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("https://{authority}{path}{query}"));
        for (name, value) in &self.fields {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    /// As a client puts it on the wire, and a server takes it off: HTTP/1.1 has a `Host`, and no authority in the target.
    fn sent(&self, mut parts: Parts) -> Sent {
        if !self.is_http2 {
            let host = self.authority.trim_end_matches(":443");
            parts.headers.insert(header::HOST, host.parse().unwrap());
            parts.uri = parts.uri.path_and_query().unwrap().clone().into();
        }
        Sent {
            parts,
            body: self.body.clone(),
        }
    }

    async fn signed_by_us(&self) -> Sent {
        let access_control = OriginAccessControl::always(self.credentials());
        let signer = Signer::new(
            access_control,
            self.service(),
            "b.example",
            Some("eu-west-1"),
        )
        .unwrap()
        .sign_header(header::RANGE)
        .unwrap()
        .clock(ManualClock::at(self.millis));
        let mut parts = self.unsigned();
        if self.signs_body {
            let hash = self.hash().parse().unwrap();
            parts.headers.insert("x-amz-content-sha256", hash);
        }
        let sent = Arc::new(Mutex::new(None));
        let wire = sent.clone();
        let client = service_fn(move |request: Request<Full<Bytes>>| {
            *wire.lock().unwrap() = Some(request.into_parts().0);
            async { Ok::<_, Infallible>(Response::new(String::new())) }
        });
        let request = Request::from_parts(parts, Full::from(self.body.clone()));
        SignLayer::new(signer)
            .layer(client)
            .oneshot(request)
            .await
            .unwrap();
        let parts = sent.lock().unwrap().take().unwrap();
        self.sent(parts)
    }

    fn signed_by_aws(&self) -> Sent {
        let mut settings = SigningSettings::default();
        settings.session_token_mode = SessionTokenMode::Include;
        // The default sends no hash: so some are signed.
        if !self.body.is_empty() || self.is_s3 {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if self.is_s3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let mut parts = self.unsigned();
        if self.is_s3 {
            // An SDK's path is encoded before it is signed.
            let path = canonical_path(&self.path, PathEncoding::Once);
            let query = self.query.as_ref().map(|query| format!("?{query}"));
            let mut uri = parts.uri.into_parts();
            let target = path + &query.unwrap_or_default();
            uri.path_and_query = Some(target.parse::<PathAndQuery>().unwrap());
            parts.uri = uri.try_into().unwrap();
        }
        let credentials = aws_credential_types::Credentials::new(
            "AKIDEXAMPLE",
            &self.secret,
            self.token.clone(),
            None,
            "test",
        );
        let identity = credentials.into();
        let service = self.service();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(service.name())
            .time(UNIX_EPOCH + Duration::from_millis(self.millis))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let body = match self.signs_body {
            true => SignableBody::Bytes(&self.body),
            false => SignableBody::UnsignedPayload,
        };
        let fields = parts.headers.iter();
        let fields = fields.map(|(name, value)| {
            (
                name.as_str(),
                std::str::from_utf8(value.as_bytes()).unwrap(),
            )
        });
        let uri = parts.uri.to_string();
        let request = SignableRequest::new(self.method.as_str(), &uri, fields, body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        for (name, value) in instructions.headers() {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            parts.headers.insert(name, value.parse().unwrap());
        }
        self.sent(parts)
    }

    async fn outcome(&self, sent: Sent) -> Outcome {
        let inner = service_fn(|request: Request<SigV4Body<Full<Bytes>>>| async {
            let read = request.into_body().collect().await;
            let mut response = Response::new(String::new());
            response.extensions_mut().insert(match read {
                Ok(_) => true,
                Err(error) => !error.is_not_as_signed(),
            });
            Ok::<_, Infallible>(response)
        });
        let request = Request::from_parts(sent.parts, Full::from(sent.body));
        let response = self.guard().layer(inner).oneshot(request).await.unwrap();
        match (response.extensions().get(), response.extensions().get()) {
            (_, Some(true)) => Outcome::LetIn,
            (_, Some(false)) => Outcome::BodyFails,
            (reason, None) => Outcome::Refused(SigV4Refusal::clone(reason.unwrap())),
        }
    }
}

/// Where a bit is changed.
#[derive(Clone, Copy, Debug)]
enum Place {
    Method,
    Target,
    /// The value of one of the fields that are signed, of those with the signature, or the host.
    Value(usize),
    /// The name of one.
    Name(usize),
    Body,
}

impl Sent {
    /// Those of its fields that can't be changed.
    fn signed_fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        let headers = &self.parts.headers;
        let authorization = headers["authorization"].to_str().unwrap();
        let (_, names) = authorization.split_once("SignedHeaders=").unwrap();
        let (names, _) = names.split_once(',').unwrap();
        let fields = headers.iter();
        let is_signed = |name: &HeaderName| {
            *name == header::AUTHORIZATION || names.split(';').any(|signed| name == signed)
        };
        fields
            .filter(|(name, _)| is_signed(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    fn text(&self, place: Place) -> Vec<u8> {
        let fields = self.signed_fields();
        match place {
            Place::Method => self.parts.method.as_str().into(),
            Place::Target => self.parts.uri.to_string().into(),
            Place::Value(number) => fields[number].1.as_bytes().to_vec(),
            Place::Name(number) => fields[number].0.as_str().into(),
            Place::Body => self.body.clone(),
        }
    }

    /// With this bit changed; `None` where that isn't HTTP, or no change.
    fn changed(&self, place: Place, bit: usize) -> Option<Self> {
        let before = self.text(place);
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        let mut after = before.clone();
        after[at] ^= mask;
        let mut changed = self.clone();
        match place {
            Place::Method => changed.parts.method = Method::from_bytes(&after).ok()?,
            Place::Target if mask == 0x20 && is_hex_digit_of_query(&before, at) => return None,
            Place::Target if before.ends_with(b"/") && after.ends_with(b"?") => {
                changed.parts.uri = after.as_slice().try_into().ok()?;
                let is_same =
                    |uri: &Uri| uri.path() == "/" && uri.query().is_none_or(str::is_empty);
                if is_same(&self.parts.uri) && is_same(&changed.parts.uri) {
                    return None;
                }
            }
            // The scheme isn't part of the message.
            Place::Target if before.starts_with(b"https:") && at < 8 => return None,
            Place::Target => changed.parts.uri = after.as_slice().try_into().ok()?,
            Place::Body => changed.body = after,
            Place::Value(number) | Place::Name(number) => {
                let (name, value) = &self.signed_fields()[number];
                let (new_name, new_value) = match place {
                    Place::Name(_) => (HeaderName::from_bytes(&after).ok()?, value.clone()),
                    _ => (name.clone(), HeaderValue::from_bytes(&after).ok()?),
                };
                if (&new_name, &new_value) == (name, value) {
                    return None;
                }
                let lines = self.parts.headers.iter();
                let mut fields = lines
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect::<Vec<_>>();
                let index = fields
                    .iter()
                    .position(|field| (&field.0, &field.1) == (name, value))?;
                fields[index] = (new_name, new_value);
                changed.parts.headers = http::HeaderMap::new();
                for (name, value) in fields {
                    changed.parts.headers.append(name, value);
                }
            }
        }
        Some(changed)
    }
}

/// Whether a byte of a target is a letter in an encoded byte of its query.
fn is_hex_digit_of_query(target: &[u8], at: usize) -> bool {
    let query = target
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(target.len());
    let mut next = query;
    while next < at {
        let is_encoded = target[next] == b'%'
            && target
                .get(next + 1..next + 3)
                .is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        if is_encoded && at <= next + 2 {
            return target[at].is_ascii_alphabetic();
        }
        next += if is_encoded { 3 } else { 1 };
    }
    false
}

async fn assert_refused(given: &Given, sent: &Sent, place: Place, bit: usize) -> bool {
    // Nobody says that the body stays as it is.
    if !given.signs_body && matches!(place, Place::Body) {
        return false;
    }
    let Some(changed) = sent.changed(place, bit) else {
        return false;
    };
    let outcome = given.outcome(changed.clone()).await;
    let is_refused = match place {
        Place::Body => outcome == Outcome::BodyFails,
        _ => matches!(outcome, Outcome::Refused(_)),
    };
    assert!(
        is_refused,
        "{outcome:?}, bit {bit} of {place:?}: {sent:?} {changed:?}"
    );
    true
}

/// All bits, or some of each place.
async fn assert_bits_refused(
    given: &Given,
    sent: &Sent,
    seeds: Option<&[prop::sample::Index]>,
) -> usize {
    let fields = 0..sent.signed_fields().len();
    let places = [Place::Method, Place::Target, Place::Body]
        .into_iter()
        .chain(fields.clone().map(Place::Value))
        .chain(fields.map(Place::Name));
    let mut refused = 0;
    for place in places {
        let bits = sent.text(place).len() * 8;
        let chosen: Vec<usize> = match seeds {
            None => (0..bits).collect(),
            Some(_) if bits == 0 => Vec::new(),
            Some(seeds) => seeds.iter().map(|seed| seed.index(bits)).collect(),
        };
        for bit in chosen {
            refused += usize::from(assert_refused(given, sent, place, bit).await);
        }
    }
    refused
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn what_is_signed_is_let_in(given in given()) {
        tokio_test::block_on(async {
            assert_eq!(given.outcome(given.signed_by_us().await).await, Outcome::LetIn);
            assert_eq!(given.outcome(given.signed_by_aws()).await, Outcome::LetIn);
        });
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn any_bit_that_is_changed_is_refused(
        given in given(),
        seeds in prop::collection::vec(any::<prop::sample::Index>(), 3),
    ) {
        tokio_test::block_on(async {
            for sent in [given.signed_by_us().await, given.signed_by_aws()] {
                assert_bits_refused(&given, &sent, Some(&seeds)).await;
            }
        });
    }
}

#[test]
fn every_bit_of_one_request_in_each_way() {
    for (is_s3, is_http2) in [(false, false), (false, true), (true, false), (true, true)] {
        let given = Given {
            method: Method::PUT,
            authority: "b.example:8443",
            path: "/a%20b/c~d/".to_owned(),
            query: Some("b=%2b&a=1&a=0&c".to_owned()),
            fields: vec![
                ("range", "bytes=0-1".to_owned()),
                ("x-amz-meta-a", " x  y ".to_owned()),
            ],
            body: b"a body".to_vec(),
            signs_body: true,
            is_http2,
            is_s3,
            secret: "secret".to_owned(),
            token: Some("token".to_owned()),
            millis: 1_767_323_045_000,
        };
        tokio_test::block_on(async {
            for sent in [given.signed_by_us().await, given.signed_by_aws()] {
                assert_eq!(given.outcome(sent.clone()).await, Outcome::LetIn);
                let refused = assert_bits_refused(&given, &sent, None).await;
                assert!(refused > 3_000, "{refused}");
            }
        });
    }
}

/// All three layers around an axum router; what they let in reads its body whole before it acts on it.
#[tokio::test]
async fn an_axum_router_is_closed_to_all_but_the_edge() {
    use axum::{Router, body::Body, routing::post};
    use frontage::{
        ViewerAddress,
        guard::{RequirePrefixLayer, RequireSecretHeaderLayer},
    };
    let given = Given {
        method: Method::POST,
        authority: "b.example",
        path: "/upload".to_owned(),
        query: None,
        fields: Vec::new(),
        body: b"signed".to_vec(),
        signs_body: true,
        is_http2: false,
        is_s3: false,
        secret: "secret".to_owned(),
        token: None,
        millis: 1_767_323_045_000,
    };
    let secret = "0123456789abcdef";
    let app: Router = Router::new()
        .route("/upload", post(|body: String| async move { body }))
        .layer(given.guard())
        .layer(RequireSecretHeaderLayer::new("x-origin-verify", [secret]).unwrap())
        .layer(RequirePrefixLayer::new(["10.0.0.0/8"]).unwrap());
    let signed = given.signed_by_us().await.parts;
    let request = |secret: &str, peer: &str, body: &'static str| {
        let mut parts = signed.clone();
        parts
            .headers
            .insert("x-origin-verify", secret.parse().unwrap());
        parts
            .extensions
            .insert(ViewerAddress(peer.parse().unwrap()));
        Request::from_parts(parts, Body::from(body))
    };
    for (request, status) in [
        (request(secret, "10.0.0.1:1", "signed"), 200),
        (request(secret, "192.0.2.1:1", "signed"), 403),
        (request("0123456789abcdeF", "10.0.0.1:1", "signed"), 403),
        // It was let in, and its body is not what was signed: the extractor fails.
        (request(secret, "10.0.0.1:1", "Signed"), 400),
    ] {
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
    #[cfg(feature = "axum")]
    {
        let nested: Router = Router::new().nest(
            "/upload",
            Router::new()
                .route("/", post(|body: String| async move { body }))
                .layer(given.guard()),
        );
        let response = nested
            .oneshot(request(secret, "10.0.0.1:1", "signed"))
            .await;
        assert_eq!(response.unwrap().status(), 200);
    }
}
