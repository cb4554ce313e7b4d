use super::*;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use std::{convert::Infallible, future::ready};
use tokio_test::{assert_pending, assert_ready_ok, block_on, task::spawn};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

const NEW: &str = "hush: the new secret";
const OLD: &str = "hush: the old secret, longer";

fn layer() -> RequireSecretHeaderLayer {
    RequireSecretHeaderLayer::new("X-Origin-Verify", [NEW, OLD]).unwrap()
}

/// What becomes of a request with these lines of the header; and what the inner service saw of it, if it did.
fn through(lines: &[&[u8]]) -> (Response<crate::OptionalBody<String>>, Option<HeaderMap>) {
    let mut request = Request::new(());
    request
        .headers_mut()
        .insert("x-other", "kept".parse().unwrap());
    for line in lines {
        let value = HeaderValue::from_bytes(line).unwrap();
        request.headers_mut().append("x-origin-verify", value);
    }
    let (seen, see) = std::sync::mpsc::channel();
    let inner = service_fn(move |request: Request<()>| {
        let (parts, ()) = request.into_parts();
        seen.send(parts.headers).unwrap();
        let mut response = Response::new("inner".to_owned());
        *response.extensions_mut() = parts.extensions;
        ready(Ok::<_, Infallible>(response))
    });
    let response = block_on(layer().layer(inner).oneshot(request)).unwrap();
    (response, see.try_recv().ok())
}

#[test]
fn each_accepted_value_lets_in_and_is_not_seen_inside() {
    for (number, value) in [(0, NEW), (1, OLD)] {
        let (response, seen) = through(&[value.as_bytes()]);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.extensions().get(), Some(&MatchedSecret(number)));
        let seen = seen.unwrap();
        assert!(!seen.contains_key("x-origin-verify"));
        assert_eq!(seen["x-other"], "kept");
        assert_eq!(response.into_body().into_inner().as_deref(), Some("inner"));
    }
}

#[test]
fn anything_else_is_refused_with_the_reason_and_no_body() {
    let (new, longer) = (NEW.as_bytes(), format!("{NEW}, {NEW}"));
    for (lines, reason) in [
        (&[][..], SecretHeaderRefusal::Missing),
        (&[new, new], SecretHeaderRefusal::Several),
        (&[new, b"other"], SecretHeaderRefusal::Several),
        (&[b"other", new], SecretHeaderRefusal::Several),
        (&[b""], SecretHeaderRefusal::Wrong),
        (&[b"hush: the"], SecretHeaderRefusal::Wrong),
        (&[longer.as_bytes()], SecretHeaderRefusal::Wrong),
        (&[b"HUSH: THE NEW SECRET"], SecretHeaderRefusal::Wrong),
        (&[b"\xff\xfe"], SecretHeaderRefusal::Wrong),
    ] {
        let (response, seen) = through(lines);
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{lines:?}");
        assert_eq!(response.extensions().get(), Some(&reason), "{lines:?}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.body().is_end_stream() && seen.is_none());
    }
}

#[test]
fn every_single_bit_counts() {
    for secret in [NEW, OLD] {
        for bit in 0..secret.len() * 8 {
            let mut value = secret.as_bytes().to_vec();
            value[bit / 8] ^= 1 << (bit % 8);
            if HeaderValue::from_bytes(&value).is_ok() {
                let (response, seen) = through(&[&value]);
                assert_eq!(response.status(), StatusCode::FORBIDDEN, "{value:?}");
                assert!(seen.is_none());
            }
        }
    }
}

#[test]
fn mistakes_are_named_and_no_secret_is_shown() {
    let sixteen = "hush, 16 letters";
    assert!(RequireSecretHeaderLayer::new("x", [sixteen]).is_ok());
    for (name, values, setting) in [
        ("x y", &[sixteen][..], "secret_header_name"),
        ("", &[sixteen], "secret_header_name"),
        ("x", &[], "secret_header_values"),
        ("x", &[""], "secret_header_values"),
        ("x", &["hush, 15 letter"], "secret_header_values"),
        ("x", &[sixteen, "hush"], "secret_header_values"),
        ("x", &["hush, 16 letters\n"], "secret_header_values"),
        ("x", &["hush, 16 letters "], "secret_header_values"),
        ("x", &["\thush, 16 letters"], "secret_header_values"),
    ] {
        let error = RequireSecretHeaderLayer::new(name, values).unwrap_err();
        assert_eq!(error.setting(), setting, "{values:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[test]
fn no_value_is_in_debug() {
    let shown = format!("{:?} {:#?}", layer(), layer().layer(()));
    assert!(
        shown.contains("x-origin-verify") && shown.contains("2 secrets"),
        "{shown}"
    );
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn a_stranger_holds_nothing_of_the_inner_service_and_does_not_wait_for_it() {
    let inner =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
    let mut inner = ConcurrencyLimit::new(inner, 1);
    let mut guard = layer().layer(inner.clone());
    assert_ready_ok!(spawn(inner.ready()).poll());
    assert_ready_ok!(spawn(guard.ready()).poll());
    let refused = assert_ready_ok!(spawn(guard.call(Request::new(()))).poll());
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let request = Request::get("/").header("x-origin-verify", NEW).body(());
    let mut let_in = spawn(guard.call(request.unwrap()));
    assert_pending!(let_in.poll());
    drop(inner);
    assert!(let_in.is_woken());
    assert_eq!(assert_ready_ok!(let_in.poll()).status(), StatusCode::OK);
}
