use super::*;
use crate::ViewerAddress;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use std::{
    convert::Infallible,
    future::ready,
    net::{IpAddr, SocketAddr},
};
use tokio_test::{assert_pending, assert_ready_ok, block_on, task::spawn};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

/// The address that lets a request in, or why it isn't.
fn admitted(layer: &RequirePrefixLayer, request: Request<()>) -> Result<IpAddr, PrefixRefusal> {
    let inner = service_fn(|request: Request<()>| {
        let mut response = Response::new(String::new());
        *response.extensions_mut() = request.into_parts().0.extensions;
        ready(Ok::<_, Infallible>(response))
    });
    let response = block_on(layer.layer(inner).oneshot(request)).unwrap();
    match response.extensions().get() {
        Some(AdmittedAddress(address)) => {
            assert_eq!(response.status(), StatusCode::OK);
            Ok(*address)
        }
        None => {
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert!(response.body().is_end_stream());
            Err(*response.extensions().get().unwrap())
        }
    }
}

fn from(peer: &str, forwarded_for: &[&str]) -> Request<()> {
    let mut request = Request::new(());
    let peer: SocketAddr = peer.parse().unwrap();
    request.extensions_mut().insert(ViewerAddress(peer));
    for line in forwarded_for {
        let value = http::HeaderValue::from_bytes(line.as_bytes()).unwrap();
        request.headers_mut().append("x-forwarded-for", value);
    }
    request
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn peers_within_a_prefix_are_let_in_and_others_not() {
    let layer = RequirePrefixLayer::new([
        "10.1.0.0/16",
        "192.0.2.7",
        "2001:db8:1::/48",
        "::ffff:198.51.100.0/120",
        "::ffff:192.0.2.9",
    ])
    .unwrap();
    for (peer, address) in [
        ("10.1.0.0:1", "10.1.0.0"),
        ("10.1.255.255:1", "10.1.255.255"),
        ("[::ffff:10.1.2.3]:1", "10.1.2.3"),
        ("192.0.2.7:1", "192.0.2.7"),
        ("192.0.2.9:1", "192.0.2.9"),
        ("[2001:db8:1:ffff::1]:1", "2001:db8:1:ffff::1"),
        ("198.51.100.255:1", "198.51.100.255"),
        ("[::ffff:198.51.100.1]:1", "198.51.100.1"),
    ] {
        assert_eq!(admitted(&layer, from(peer, &[])), Ok(ip(address)), "{peer}");
    }
    for (peer, address) in [
        ("10.0.255.255:1", "10.0.255.255"),
        ("10.2.0.0:1", "10.2.0.0"),
        ("[::ffff:10.2.0.0]:1", "10.2.0.0"),
        // Compatible, translated and other forms aren't mapped.
        ("[::10.1.2.3]:1", "::10.1.2.3"),
        ("[64:ff9b::10.1.2.3]:1", "64:ff9b::a01:203"),
        ("192.0.2.8:1", "192.0.2.8"),
        ("[2001:db8:2::]:1", "2001:db8:2::"),
        ("198.51.101.0:1", "198.51.101.0"),
    ] {
        let refused = Err(PrefixRefusal::Elsewhere(ip(address)));
        assert_eq!(admitted(&layer, from(peer, &[])), refused, "{peer}");
    }
}

#[test]
fn all_of_ipv6_holds_no_ipv4_and_the_other_way_round() {
    let six = RequirePrefixLayer::new(["::/0"]).unwrap();
    assert!(admitted(&six, from("[::1]:1", &[])).is_ok());
    assert!(admitted(&six, from("[::ffff:1.2.3.4]:1", &[])).is_err());
    let four = RequirePrefixLayer::new(["::ffff:0:0/96"]).unwrap();
    assert!(admitted(&four, from("1.2.3.4:1", &[])).is_ok());
    assert!(admitted(&four, from("[::1]:1", &[])).is_err());
}

#[test]
fn without_an_address_nobody_is_let_in() {
    let layer = RequirePrefixLayer::new(["0.0.0.0/0", "::/0"])
        .unwrap()
        .trusted_proxies(["0.0.0.0/0", "::/0"])
        .unwrap();
    let mut request = from("1.2.3.4:1", &["1.2.3.4"]);
    request.extensions_mut().clear();
    assert_eq!(admitted(&layer, request), Err(PrefixRefusal::NoAddress));
}

#[test]
fn a_forwarded_address_of_a_peer_that_is_not_trusted_is_ignored() {
    let untrusting = RequirePrefixLayer::new(["198.51.100.0/24"]).unwrap();
    let trusting = untrusting.clone().trusted_proxies(["10.0.0.0/8"]).unwrap();
    for layer in [untrusting, trusting] {
        let outside = from("203.0.113.1:1", &["198.51.100.1"]);
        let refused = Err(PrefixRefusal::Elsewhere(ip("203.0.113.1")));
        assert_eq!(admitted(&layer, outside), refused);
        let inside = from("198.51.100.2:1", &["203.0.113.1, nonsense"]);
        assert_eq!(admitted(&layer, inside), Ok(ip("198.51.100.2")));
    }
}

#[test]
fn the_rightmost_address_that_no_trusted_proxy_has_is_the_one() {
    let layer = RequirePrefixLayer::new(["198.51.100.0/24", "2001:db8::/32", "10.0.0.9"])
        .unwrap()
        .trusted_proxies(["10.0.0.0/8", "::1"])
        .unwrap();
    for (lines, address) in [
        (&["198.51.100.1"][..], "198.51.100.1"),
        (&["203.0.113.1, 198.51.100.1"], "198.51.100.1"),
        (&["203.0.113.1", "198.51.100.1"], "198.51.100.1"),
        (
            &["203.0.113.1,198.51.100.1, 10.0.0.2", "10.0.0.3,::1"],
            "198.51.100.1",
        ),
        (&["nonsense,, 198.51.100.1"], "198.51.100.1"),
        (&["198.51.100.1:4711"], "198.51.100.1"),
        (&["::ffff:198.51.100.1"], "198.51.100.1"),
        (&["2001:db8::1"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["[2001:db8::1]:4711"], "2001:db8::1"),
        // Trusted all the way: the leftmost.
        (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
    ] {
        let found = admitted(&layer, from("10.0.0.1:1", lines));
        assert_eq!(found, Ok(ip(address)), "{lines:?}");
        let found = admitted(&layer, from("[::ffff:10.0.0.1]:1", lines));
        assert_eq!(found, Ok(ip(address)), "{lines:?}");
    }
    for (lines, reason) in [
        (
            &["198.51.100.1, 203.0.113.1"][..],
            PrefixRefusal::Elsewhere(ip("203.0.113.1")),
        ),
        (
            &["198.51.100.1", "203.0.113.1"],
            PrefixRefusal::Elsewhere(ip("203.0.113.1")),
        ),
        (
            &["198.51.100.1, 203.0.113.1, 10.0.0.2"],
            PrefixRefusal::Elsewhere(ip("203.0.113.1")),
        ),
        // It speaks for itself.
        (&[], PrefixRefusal::Elsewhere(ip("10.0.0.1"))),
        (&["198.51.100.1, unknown"], PrefixRefusal::Forwarded),
        (
            &["198.51.100.1, _hidden, 10.0.0.2"],
            PrefixRefusal::Forwarded,
        ),
        (&["198.51.100.1 198.51.100.1"], PrefixRefusal::Forwarded),
        (&["\"198.51.100.1\""], PrefixRefusal::Forwarded),
        (&["[198.51.100.1]"], PrefixRefusal::Forwarded),
        (&["198.51.100.1/24"], PrefixRefusal::Forwarded),
        (&["198.51.100.01"], PrefixRefusal::Forwarded),
        (&["198.51.100.1:99999"], PrefixRefusal::Forwarded),
        (&["[2001:db8::1"], PrefixRefusal::Forwarded),
        (&["caf\u{e9}"], PrefixRefusal::Forwarded),
        // It doesn't say whom it was asked by; the viewer says the rest.
        (&["198.51.100.1, "], PrefixRefusal::Forwarded),
        (&["198.51.100.1", ""], PrefixRefusal::Forwarded),
        (&["198.51.100.1,,10.0.0.2"], PrefixRefusal::Forwarded),
        (&[""], PrefixRefusal::Forwarded),
        (&[","], PrefixRefusal::Forwarded),
    ] {
        let found = admitted(&layer, from("10.0.0.1:1", lines));
        assert_eq!(found, Err(reason), "{lines:?}");
    }
}

#[test]
fn the_viewers_address_and_the_fields_stay_as_they_are() {
    let layer = RequirePrefixLayer::new(["198.51.100.0/24"])
        .unwrap()
        .trusted_proxies(["10.0.0.0/8"])
        .unwrap();
    let inner = service_fn(|request: Request<()>| {
        let peer: SocketAddr = "10.0.0.1:1".parse().unwrap();
        assert_eq!(request.extensions().get(), Some(&ViewerAddress(peer)));
        assert_eq!(request.headers()["x-forwarded-for"], "198.51.100.1");
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let request = from("10.0.0.1:1", &["198.51.100.1"]);
    let response = block_on(layer.layer(inner).oneshot(request)).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[cfg(feature = "axum")]
#[test]
fn axum_may_know_the_peer_and_the_viewers_address_goes_before() {
    use axum::extract::ConnectInfo;
    let layer = RequirePrefixLayer::new(["198.51.100.0/24"]).unwrap();
    let peer: SocketAddr = "198.51.100.1:1".parse().unwrap();
    let mut request = Request::new(());
    request.extensions_mut().insert(ConnectInfo(peer));
    assert_eq!(admitted(&layer, request), Ok(peer.ip()));

    let mut request = from("203.0.113.1:1", &[]);
    request.extensions_mut().insert(ConnectInfo(peer));
    let refused = Err(PrefixRefusal::Elsewhere(ip("203.0.113.1")));
    assert_eq!(admitted(&layer, request), refused);
}

#[test]
fn mistakes_are_named() {
    for prefix in [
        "",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0/8",
        "2001:db8::1/32",
        "2001:db8::/129",
        "::ffff:10.0.0.1/104",
        " 10.0.0.0/8",
        "10.0.0.0-10.0.0.9",
        "localhost",
    ] {
        let error = RequirePrefixLayer::new(["10.0.0.0/8", prefix]).unwrap_err();
        assert_eq!(error.setting(), "prefixes");
        assert!(
            error.to_string().contains(&format!("{prefix:?}")),
            "{error}"
        );
        let layer = RequirePrefixLayer::new(["10.0.0.0/8"]).unwrap();
        let error = layer.trusted_proxies([prefix]).unwrap_err();
        assert_eq!(error.setting(), "trusted_proxies");
    }
    assert!(RequirePrefixLayer::new([""; 0]).is_err());
}

#[test]
fn a_stranger_holds_nothing_of_the_inner_service_and_does_not_wait_for_it() {
    let inner =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
    let layer = RequirePrefixLayer::new(["10.0.0.0/8"]).unwrap();
    let mut inner = ConcurrencyLimit::new(inner, 1);
    let mut guard = layer.layer(inner.clone());
    assert_ready_ok!(spawn(inner.ready()).poll());
    assert_ready_ok!(spawn(guard.ready()).poll());
    let refused = assert_ready_ok!(spawn(guard.call(from("192.0.2.1:1", &[]))).poll());
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let mut let_in = spawn(guard.call(from("10.0.0.1:1", &[])));
    assert_pending!(let_in.poll());
    drop(inner);
    assert!(let_in.is_woken());
    assert_eq!(assert_ready_ok!(let_in.poll()).status(), StatusCode::OK);
}
