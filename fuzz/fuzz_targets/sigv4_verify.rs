//! Signatures of strangers: what is read is written in the same way, what we sign is let in, and no single bit of it can be changed.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use frontage::{
    clock::ManualClock,
    guard::{RequireSigV4Layer, SigV4Body},
    origin::{Credentials, OriginAccessControl, Signer, SigningService},
    sigv4::{AmzDate, Authorization},
};
use frontage_fuzz::Value;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header, request::Parts};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use std::{convert::Infallible, task::Poll};
use tower_layer::Layer;
use tower_service::Service;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    is_s3: bool,
    method: u8,
    /// Origin-form, or anything.
    target: &'a str,
    host: Option<Value>,
    fields: Vec<(u8, Value)>,
    body: Vec<u8>,
    /// The body's hash comes by way of the viewer. Otherwise the viewer sends any, or none.
    is_hashed: bool,
    millis: u64,
    /// What a stranger sends in place of a signature.
    stranger: Value,
    /// Which bit of the signed request is changed.
    bit: u16,
}

fn name(number: u8) -> HeaderName {
    HeaderName::from_static(
        [
            "authorization",
            "x-amz-date",
            "x-amz-content-sha256",
            "x-amz-security-token",
            "x-amz-meta-a",
            "connection",
            "host",
            "range",
        ][usize::from(number % 8)],
    )
}

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "secret").session_token("token")
}

/// What becomes of a request: whether it was let in, and whether its body was read to its end.
async fn judge(guard: &RequireSigV4Layer, parts: Parts, body: &[u8]) -> (bool, bool) {
    struct Inner;

    impl Clone for Inner {
        fn clone(&self) -> Self {
            Self
        }
    }

    impl Service<Request<SigV4Body<Full<Bytes>>>> for Inner {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>>>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<SigV4Body<Full<Bytes>>>) -> Self::Future {
            Box::pin(async {
                let is_whole = request.into_body().collect().await.is_ok();
                let mut response = Response::new(String::new());
                response.extensions_mut().insert(is_whole);
                Ok(response)
            })
        }
    }

    let request = Request::from_parts(parts, Full::from(body.to_vec()));
    let Ok(response) = guard.layer(Inner).call(request).await;
    let is_whole = response.extensions().get().copied();
    assert_eq!(is_whole.is_some(), response.status() == 200);
    (is_whole.is_some(), is_whole == Some(true))
}

fn parts(input: &Input<'_>) -> Option<Parts> {
    let methods = [Method::GET, Method::PUT, Method::OPTIONS, Method::HEAD];
    let uri: Uri = input.target.parse().ok()?;
    let mut request = Request::builder()
        .method(methods[usize::from(input.method % 4)].clone())
        .uri(uri);
    for (number, value) in input.fields.iter().take(16) {
        request = request.header(name(*number), value.0.clone());
    }
    if let Some(host) = &input.host {
        request = request.header(header::HOST, host.0.clone());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// One bit of the method, the body, or of a field's value that is signed. The target has bits that SigV4 doesn't sign.
fn change(parts: &mut Parts, body: &mut [u8], bit: usize) -> Option<()> {
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let bit = bit % (bytes.len().max(1) * 8);
        *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
        Some(bytes)
    };
    match bit % 6 {
        0 => parts.method = Method::from_bytes(&flipped(parts.method.as_str().as_bytes())?).ok()?,
        1 => body.copy_from_slice(&flipped(body)?),
        place => {
            let name = [header::AUTHORIZATION, name(1), name(2), name(4)][place - 2].clone();
            // Of several lines they may become each other.
            let mut lines = parts.headers.get_all(&name).iter();
            let (line, None) = (lines.next()?, lines.next()) else {
                return None;
            };
            let line = HeaderValue::from_bytes(&flipped(line.as_bytes())?).ok()?;
            if trimmed(&line) != line.as_bytes()
                || line.as_bytes().windows(2).any(|two| two == b"  ")
            {
                return None;
            }
            parts.headers.insert(name, line);
        }
    }
    Some(())
}

fn trimmed(line: &HeaderValue) -> &[u8] {
    line.as_bytes().trim_ascii()
}

fuzz_target!(|input: Input<'_>| {
    let stranger = input.stranger.0.as_bytes();
    assert_round_trip(stranger);
    if let Some(date) = AmzDate::parse(stranger) {
        assert_eq!(date.as_str().as_bytes(), stranger);
        assert_eq!(AmzDate::from_millis(date.millis()), date);
    }
    let Some(parts) = parts(&input) else { return };
    // Years of four digits.
    let millis = input.millis % 253_402_300_800_000;
    let service = match input.is_s3 {
        true => SigningService::S3,
        false => SigningService::Named("app".into()),
    };
    let clock = ManualClock::at(millis);
    let guard = RequireSigV4Layer::new(credentials(), service.clone(), "r");
    let guard = guard.expect("a region").clock(clock.clone());
    let access_control = OriginAccessControl::always(credentials());
    let signer = Signer::new(access_control, service, "h.example", Some("r"));
    let signer = signer.expect("a region").clock(clock);

    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("no drivers are asked for").block_on(async {
        let (is_let_in, _) = judge(&guard, parts.clone(), &input.body).await;
        // The secret isn't known to a stranger.
        assert!(!is_let_in);

        let (mut parts, mut body) = (parts, input.body.clone());
        if input.is_hashed {
            let hash = Sha256::digest(&body);
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            let hash = hash.parse().expect("hex");
            parts.headers.insert(name(2), hash);
        }
        let must_be_let_in = input.is_hashed && is_plain(&parts, input.is_s3);
        if signer.sign(&mut parts, !body.is_empty()).await.is_err() {
            return;
        }
        let (_, is_whole) = judge(&guard, parts.clone(), &body).await;
        assert!(is_whole || !must_be_let_in);
        // Something of a stranger's in the middle of a good one.
        let mut value = parts.headers[header::AUTHORIZATION].as_bytes().to_vec();
        let at = usize::from(input.bit) % value.len();
        value.splice(
            at..value.len().min(at + stranger.len()),
            stranger.iter().copied(),
        );
        assert_round_trip(&value);
        if is_whole && change(&mut parts, &mut body, input.bit.into()).is_some() {
            let (_, is_whole) = judge(&guard, parts, &body).await;
            assert!(!is_whole);
        }
    });
});

fn assert_round_trip(value: &[u8]) {
    if let Some(read) = Authorization::parse(value) {
        let written = read.to_string();
        assert_eq!(Authorization::parse(written.as_bytes()), Some(read));
    }
}

/// Whether nothing of it is left out of a signature, or means several things.
fn is_plain(parts: &Parts, is_s3: bool) -> bool {
    let path = parts.uri.path();
    let is_normal = is_s3 || !(path.contains("//") || path.contains("/."));
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let is_one = hosts.next().is_some_and(|host| !host.is_empty()) && hosts.next().is_none();
    let has_connection = parts.headers.contains_key(header::CONNECTION);
    path.starts_with('/')
        && parts.uri.authority().is_none()
        && is_normal
        && is_one
        && !has_connection
}
