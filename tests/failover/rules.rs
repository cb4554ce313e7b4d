//! Which requests and which answers, over services in the process.

use crate::{
    NINE, answered_by, criteria,
    member::{Member, ViewerBody},
    support::{Body, Broken, fed, full, text, within},
};
use bytes::Bytes;
use frontage::OptionalBody;
use frontage::origin::{AnsweredBy, Failover, FailoverFuture, FailoverLayer};
use http::{HeaderValue, Request, Response, Version};
use http_body::Body as _;
use http_body_util::Full;
use std::sync::atomic::{AtomicU16, Ordering};
use tower::{Layer, ServiceExt};

fn failover(
    primary: &Member,
    secondary: &Member,
    codes: impl IntoIterator<Item = u16>,
) -> Failover<Member, Member> {
    FailoverLayer::new(secondary.clone(), criteria(codes)).layer(primary.clone())
}

fn request(method: &str, body: &'static str) -> Request<ViewerBody> {
    let request = Request::builder().method(method).uri("/a?b=c");
    request.body(Full::from(body)).unwrap()
}

async fn ask(
    service: &Failover<Member, Member>,
    request: Request<ViewerBody>,
) -> Result<Response<Body>, Broken> {
    within(service.clone().oneshot(request)).await
}

#[tokio::test]
async fn each_of_the_nine_codes_goes_to_the_secondary_where_it_is_listed_and_nowhere_else() {
    for code in NINE {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let (primary, secondary) = (Member::of(code, "primary"), Member::of(200, "secondary"));
            let service = failover(&primary, &secondary, [code]);
            let response = ask(&service, request(method, "")).await.unwrap();
            assert_eq!(response.status(), 200, "{method} {code}");
            assert_eq!(answered_by(&response), AnsweredBy::Secondary);
            assert_eq!(text(response.into_body()).await.unwrap(), "secondary");
            assert_eq!((primary.count(), secondary.count()), (1, 1));

            let others = NINE.into_iter().filter(|other| *other != code);
            let service = failover(&primary, &secondary, others);
            let response = ask(&service, request(method, "")).await.unwrap();
            assert_eq!(response.status(), code, "{method}");
            assert_eq!(answered_by(&response), AnsweredBy::Primary);
            assert_eq!(text(response.into_body()).await.unwrap(), "primary");
            assert_eq!((primary.count(), secondary.count()), (2, 1));
        }
    }
}

#[tokio::test]
async fn every_other_status_is_the_primarys() {
    for code in [200, 204, 206, 301, 304, 401, 405, 410, 412, 501, 505, 599] {
        let (primary, secondary) = (Member::of(code, "primary"), Member::of(200, "secondary"));
        let service = failover(&primary, &secondary, NINE);
        let response = ask(&service, request("GET", "")).await.unwrap();
        assert_eq!(response.status(), code);
        assert_eq!(answered_by(&response), AnsweredBy::Primary);
        assert_eq!(secondary.count(), 0);
    }
}

#[tokio::test]
async fn what_writes_or_has_a_body_is_the_primarys_alone() {
    let secondary = Member::of(200, "secondary");
    for (method, body) in [
        ("POST", ""),
        ("POST", "body"),
        ("PUT", "body"),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "body"),
        ("HEAD", "body"),
        ("OPTIONS", "body"),
    ] {
        let primary = Member::of(503, "primary");
        let service = failover(&primary, &secondary, NINE);
        let response = ask(&service, request(method, body)).await.unwrap();
        assert_eq!(response.status(), 503, "{method}");
        assert_eq!(answered_by(&response), AnsweredBy::Primary);
        assert_eq!(primary.last().1, body, "{method}");

        let service = failover(&Member::failing(7), &secondary, NINE);
        let failed = ask(&service, request(method, body)).await;
        assert_eq!(failed.unwrap_err(), Broken(7), "{method}");
    }
    assert_eq!(secondary.count(), 0);
}

#[tokio::test]
async fn both_get_the_same_request() {
    let (primary, secondary) = (Member::of(404, ""), Member::of(200, ""));
    let service = failover(&primary, &secondary, [404]);
    let mut asked = request("GET", "");
    *asked.version_mut() = Version::HTTP_2;
    for (name, value) in [
        ("if-none-match", "\"v1\""),
        ("if-modified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
        ("range", "bytes=0-9"),
        ("content-length", "0"),
        ("x-twice", "1"),
        ("x-twice", "2"),
    ] {
        let value = HeaderValue::from_static(value);
        asked.headers_mut().append(name, value);
    }
    asked.extensions_mut().insert(Broken(5));
    ask(&service, asked).await.unwrap();
    let (first, second) = (primary.last(), secondary.last());
    assert_eq!(second.0.method, "GET");
    assert_eq!(second.0.uri, "/a?b=c");
    assert_eq!(second.0.version, Version::HTTP_2);
    assert_eq!(second.0.headers.len(), 6);
    assert_eq!(second.0.headers, first.0.headers);
    for (parts, body) in [first, second] {
        assert_eq!(parts.extensions.get(), Some(&Broken(5)));
        assert!(body.is_empty());
    }
}

#[tokio::test]
async fn the_secondarys_answer_is_final() {
    for status in [500, 503, 404] {
        let (primary, secondary) = (Member::of(503, "primary"), Member::of(status, "secondary"));
        let service = failover(&primary, &secondary, NINE);
        let response = ask(&service, request("GET", "")).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(answered_by(&response), AnsweredBy::Secondary);
        assert_eq!((primary.count(), secondary.count()), (1, 1));
    }
    let service = failover(&Member::failing(1), &Member::failing(2), NINE);
    let failed = ask(&service, request("GET", "")).await;
    assert_eq!(failed.unwrap_err(), Broken(2));
}

#[tokio::test]
async fn an_error_counts_where_a_code_of_gateways_is_listed() {
    for (codes, is_failed_over) in [
        (&[502][..], true),
        (&[503], true),
        (&[504], true),
        (&[400, 403, 404, 416, 429, 500], false),
    ] {
        let (primary, secondary) = (Member::failing(3), Member::of(200, "secondary"));
        let service = failover(&primary, &secondary, codes.iter().copied());
        match ask(&service, request("GET", "")).await {
            Ok(response) => assert!(is_failed_over && response.status() == 200),
            Err(error) => assert!(!is_failed_over && error == Broken(3)),
        }
        assert_eq!(secondary.count(), usize::from(is_failed_over));
    }
}

#[tokio::test]
async fn each_request_starts_with_the_primary() {
    static STATUS: AtomicU16 = AtomicU16::new(200);
    let primary = Member::new(|| async {
        let response = Response::builder().status(STATUS.load(Ordering::SeqCst));
        Ok(response.body(full("primary")).unwrap())
    });
    let secondary = Member::of(200, "secondary");
    let service = failover(&primary, &secondary, [503]);
    for (asked, (status, who)) in [
        (503, AnsweredBy::Secondary),
        (503, AnsweredBy::Secondary),
        (200, AnsweredBy::Primary),
        (503, AnsweredBy::Secondary),
        (200, AnsweredBy::Primary),
    ]
    .into_iter()
    .enumerate()
    {
        STATUS.store(status, Ordering::SeqCst);
        let response = ask(&service, request("GET", "")).await.unwrap();
        assert_eq!(answered_by(&response), who);
        assert_eq!(primary.count(), asked + 1);
    }
    assert_eq!(secondary.count(), 3);
}

#[tokio::test]
async fn the_failed_answer_is_dropped_unread_before_the_secondary_is_asked() {
    let (feed, body) = fed();
    let response = Response::builder().status(503).body(body).unwrap();
    let response = std::sync::Mutex::new(Some(response));
    let primary =
        Member::new(move || std::future::ready(Ok(response.lock().unwrap().take().unwrap())));
    let feed = std::sync::Arc::new(feed);
    let secondary = Member::new(move || {
        let feed = feed.clone();
        async move {
            feed.dropped().await;
            Ok(Response::new(full("secondary")))
        }
    });
    let service = failover(&primary, &secondary, [503]);
    let response = ask(&service, request("GET", "")).await.unwrap();
    assert_eq!(answered_by(&response), AnsweredBy::Secondary);
}

#[tokio::test]
async fn a_chain_goes_to_its_end_and_the_outermost_says_who_answered() {
    let members = [503, 502, 200].map(|status| Member::of(status, "member"));
    let [first, second, third] = &members;
    for (codes, expected, counts) in [
        ([502, 503], AnsweredBy::Secondary, [1, 1, 1]),
        ([504, 502], AnsweredBy::Primary, [2, 1, 1]),
    ] {
        let inner = FailoverLayer::new(third.clone(), criteria(codes)).layer(second.clone());
        // What the inner one gets is this one's body.
        let service = FailoverLayer::new(inner, criteria(codes)).layer(first.clone());
        let response = within(service.oneshot(request("GET", ""))).await.unwrap();
        assert_eq!(answered_by(&response), expected);
        assert_eq!(members.each_ref().map(Member::count), counts);
    }
    // Here the primary is a pair, whose secondary answers.
    let inner = FailoverLayer::new(third.clone(), criteria([502])).layer(second.clone());
    let service = FailoverLayer::new(first.clone(), criteria([502])).layer(inner);
    let response = within(service.oneshot(request("GET", ""))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(answered_by(&response), AnsweredBy::Primary);
}

/// Says what its body looks like before it is read.
#[tokio::test]
async fn the_body_says_its_length_and_its_end() {
    let look = tower::service_fn(|request: Request<OptionalBody<ViewerBody>>| async move {
        let (is_end, hint) = (request.body().is_end_stream(), request.body().size_hint());
        let is_there = request.into_body().into_inner().is_some();
        let looks = format!("{is_end} {:?} {is_there}", hint.exact());
        let response = Response::builder().status(503).body(full(looks));
        Ok::<_, Broken>(response.unwrap())
    });
    let service = FailoverLayer::new(look, criteria([503])).layer(look);
    for (body, expected) in [("body", "false Some(4) true"), ("", "true Some(0) false")] {
        let response = within(service.clone().oneshot(request("GET", body)))
            .await
            .unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), expected);
    }
}

#[test]
fn it_is_send_and_sync_if_its_services_are() {
    fn assert<T: Send + Sync>() {}
    fn assert_send<T: Send>() {}
    assert::<Failover<Member, Member>>();
    assert::<FailoverLayer<Member>>();
    assert_send::<FailoverFuture<Member, Member, Full<Bytes>>>();
    assert_send::<OptionalBody<Body>>();
}
