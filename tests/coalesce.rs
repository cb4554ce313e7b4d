//! Collapsing without a cache.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use frontage::{
    Coalesce, CoalesceLayer, OverMaxFetches, ResponseBody,
    key::{KeyPolicy, Query},
    status::Detail,
};
use http::{Request, Response};
use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};
use support::*;
use tokio::task::JoinHandle;
use tower::{Layer, Service, ServiceExt};

type Answer = Response<ResponseBody<Body>>;

fn setup() -> (Coalesce<Origin>, Calls) {
    let (origin, calls) = origin();
    (CoalesceLayer::new().layer(origin), calls)
}

fn request(method: &str, fields: &[(&str, &str)]) -> Request<NoBody> {
    let request = Request::builder().method(method).uri("http://h/a");
    let request = fields.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(NoBody::new()).unwrap()
}

/// Sends a request in a task of its own.
fn asking(
    service: &Coalesce<Origin>,
    request: Request<NoBody>,
) -> JoinHandle<Result<Answer, Broken>> {
    tokio::spawn(service.clone().oneshot(request))
}

async fn answered(asking: JoinHandle<Result<Answer, Broken>>) -> Answer {
    within(asking).await.unwrap().unwrap()
}

fn response(fields: &[(&str, &str)]) -> Response<Body> {
    let mut response = Response::new(full("answer"));
    for (name, value) in fields {
        let name: http::HeaderName = name.parse().unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_at_once_are_one_and_the_next_is_fetched_anew() {
    let (service, mut calls) = setup();
    let waiting = Counter::default();
    let ask = |_| {
        let (mut service, waiting) = (service.clone(), waiting.clone());
        tokio::spawn(async move {
            let mut answering = Box::pin(service.call(get("http://h/a")));
            // Once polled, it has joined.
            let first = poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await;
            assert!(first.is_pending());
            waiting.add();
            answering.await
        })
    };
    let asked: Vec<_> = (0..1000).map(ask).collect();
    let call = calls.next().await;
    until(|| waiting.get() == 1000).await;
    call.answer(response(&[("age", "5"), ("etag", "\"v\"")]));
    let mut collapsed = 0;
    for asked in asked {
        let response = answered(asked).await;
        collapsed += usize::from(said(&response).is_collapsed());
        assert!(!said(&response).is_hit() && !said(&response).is_stored());
        assert!(!response.headers().contains_key("x-cache"));
        assert_eq!(response.headers()["age"], "5", "the service's own");
        assert_eq!(text(response.into_body()).await.unwrap(), "answer");
    }
    assert_eq!(collapsed, 999);
    let next = asking(&service, get("http://h/a"));
    calls.next().await.answer(response(&[]));
    let next = answered(next).await;
    assert_eq!(
        next.headers()["cache-status"],
        "frontage-coalesce; fwd=uri-miss; detail=stores-nothing"
    );
    assert_eq!(next.headers()["content-length"], "6");
    assert_eq!(next.headers().len(), 2);
}

#[tokio::test]
async fn a_body_goes_to_all_as_it_comes_and_to_nobody_who_asks_after_its_head() {
    let (service, mut calls) = setup();
    let asked: Vec<_> = (0..5)
        .map(|_| asking(&service, get("http://h/a")))
        .collect();
    let (feed, body) = fed();
    calls.next().await.answer(Response::new(body));
    let mut bodies = Vec::new();
    for asked in asked {
        bodies.push(answered(asked).await.into_body());
    }
    for part in ["one", "two"] {
        feed.send(part).await;
        for body in &mut bodies {
            assert_eq!(chunk(body).await.unwrap(), part);
        }
    }
    let late = asking(&service, get("http://h/a"));
    calls.next().await.answer(response(&[]));
    assert_eq!(
        text(answered(late).await.into_body()).await.unwrap(),
        "answer"
    );
    feed.fail(7).await;
    for body in bodies {
        text(body).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_no_cache_may_give_to_others_is_not_shared_nor_waited_for_again() {
    for fields in [
        ("cache-control", "private"),
        ("cache-control", "no-store"),
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("set-cookie", "a=b"),
        ("vary", "*"),
    ] {
        for with_etag in [false, true] {
            let fields = match with_etag {
                true => vec![fields, ("etag", "\"v\"")],
                false => vec![fields],
            };
            let (service, mut calls) = setup();
            let asked: Vec<_> = (0..3)
                .map(|_| asking(&service, get("http://h/a")))
                .collect();
            let call = calls.next().await;
            calls.none().await;
            call.answer(response(&fields));
            let (second, third) = (calls.next().await, calls.next().await);
            second.answer(response(&fields));
            third.answer(response(&fields));
            for asked in asked {
                assert!(!said(&answered(asked).await).is_collapsed(), "{fields:?}");
            }
            let later: Vec<_> = (0..3)
                .map(|_| asking(&service, get("http://h/a")))
                .collect();
            let together = [calls.next().await, calls.next().await, calls.next().await];
            for call in together {
                call.answer(response(&fields));
            }
            for later in later {
                let response = answered(later).await;
                assert_eq!(
                    said(&response).detail(),
                    Some(Detail::Uncacheable),
                    "{fields:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn who_has_credentials_neither_leads_nor_follows() {
    for name in ["cookie", "authorization"] {
        let (service, mut calls) = setup();
        let leader = asking(&service, get("http://h/a"));
        let anonymous = calls.next().await;
        let own: Vec<_> = (0..2)
            .map(|_| asking(&service, request("GET", &[(name, "me")])))
            .collect();
        for _ in 0..2 {
            let call = calls.next().await;
            assert_eq!(call.request.headers()[name], "me");
            call.answer(response(&[("cache-control", "public, max-age=60")]));
        }
        for own in own {
            assert!(!said(&answered(own).await).is_collapsed());
        }
        anonymous.answer(response(&[]));
        answered(leader).await;
    }
}

#[tokio::test]
async fn a_leader_that_leaves_leaves_nobody_alone() {
    let (service, mut calls) = setup();
    let leader = asking(&service, get("http://h/a"));
    let call = calls.next().await;
    let follower = asking(&service, get("http://h/a"));
    calls.none().await;
    leader.abort();
    let (feed, body) = fed();
    call.answer(Response::new(body));
    let follower = answered(follower).await;
    assert!(said(&follower).is_collapsed());
    feed.send("answer").await;
    let mut body = follower.into_body();
    assert_eq!(chunk(&mut body).await.unwrap(), "answer");
    // Nobody is left, and nothing is stored.
    drop(body);
    feed.dropped().await;
}

#[tokio::test]
async fn the_leader_gets_the_error_and_the_others_a_502() {
    let (service, mut calls) = setup();
    let leader = asking(&service, get("http://h/a"));
    let call = calls.next().await;
    let follower = asking(&service, get("http://h/a"));
    calls.none().await;
    call.fail(7);
    assert_eq!(within(leader).await.unwrap().unwrap_err(), Broken(7));
    assert_failed(&answered(follower).await, http::StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_panic_is_a_500_for_all() {
    let (service, mut calls) = setup();
    let asked: Vec<_> = (0..3)
        .map(|_| asking(&service, get("http://h/a")))
        .collect();
    let call = calls.next().await;
    calls.none().await;
    drop(call);
    for asked in asked {
        let code = http::StatusCode::INTERNAL_SERVER_ERROR;
        assert_failed(&answered(asked).await, code);
    }
}

#[tokio::test]
async fn a_dying_service_is_not_hammered_and_a_404_is_one_answer() {
    for (status, cache_control) in [(503, ""), (404, ""), (404, "max-age=60")] {
        let (service, mut calls) = setup();
        for _ in 0..2 {
            let asked: Vec<_> = (0..5)
                .map(|_| asking(&service, get("http://h/a")))
                .collect();
            let call = calls.next().await;
            calls.none().await;
            let mut answer = response(&[("cache-control", cache_control)]);
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            call.answer(answer);
            for asked in asked {
                assert_eq!(answered(asked).await.status(), status);
            }
        }
    }
}

#[tokio::test]
async fn each_variant_is_fetched_once() {
    let (service, mut calls) = setup();
    let ask = |language| asking(&service, request("GET", &[("accept-language", language)]));
    let asked: Vec<_> = (0..9)
        .map(|number| ask(["en", "de", "fr"][number % 3]))
        .collect();
    let mut languages = Vec::new();
    for number in 0..3 {
        let call = calls.next().await;
        if number == 0 {
            // What it varies by isn't known yet.
            calls.none().await;
        }
        let language = call.request.headers()["accept-language"].clone();
        languages.push(language.clone());
        let mut answer = response(&[("vary", "accept-language")]);
        *answer.body_mut() = full(language.to_str().unwrap().to_owned());
        call.answer(answer);
    }
    for (number, asked) in asked.into_iter().enumerate() {
        let answer = text(answered(asked).await.into_body()).await.unwrap();
        assert_eq!(answer, ["en", "de", "fr"][number % 3]);
    }
    languages.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(languages, ["de", "en", "fr"]);
}

#[tokio::test]
async fn what_is_asked_of_caches_passes_and_is_shared_by_those_who_ask_the_same() {
    let (service, mut calls) = setup();
    let directives = ["", "no-cache", "only-if-cached", "no-store"];
    let asked: Vec<_> = directives
        .iter()
        .flat_map(|said| [said, said])
        .map(|said| {
            let fields = [("cache-control", *said)];
            asking(
                &service,
                request("GET", &fields[usize::from(said.is_empty())..]),
            )
        })
        .collect();
    let mut seen = Vec::new();
    for _ in directives {
        let call = calls.next().await;
        let said = call.request.headers().get("cache-control");
        let said = said.map_or("", |said| said.to_str().unwrap()).to_owned();
        let mut answer = response(&[]);
        *answer.body_mut() = full(said.clone());
        seen.push((said, call, answer));
    }
    calls.none().await;
    for (_, call, answer) in seen {
        call.answer(answer);
    }
    for (number, asked) in asked.into_iter().enumerate() {
        let answer = text(answered(asked).await.into_body()).await.unwrap();
        assert_eq!(answer, directives[number / 2]);
    }
}

#[tokio::test]
async fn all_are_told_the_length_that_the_body_knows() {
    for (status, fields, told) in [
        (200, [("x-a", "b")], Some("6")),
        (404, [("x-a", "b")], Some("6")),
        (200, [("content-length", "6")], Some("6")),
        // Those who wait for trailers get them.
        (200, [("trailer", "x-sum")], None),
        (204, [("x-a", "b")], None),
    ] {
        let (service, mut calls) = setup();
        let ask = |method| asking(&service, request(method, &[]));
        let asked = ["GET", "GET", "GET", "HEAD"].map(ask);
        let call = calls.next().await;
        calls.none().await;
        let mut answer = response(&fields);
        *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
        if status == 204 {
            *answer.body_mut() = full("");
        }
        call.answer(answer);
        for asked in asked {
            let response = answered(asked).await;
            let length = response.headers().get("content-length");
            assert_eq!(length.map(|length| length.to_str().unwrap()), told);
        }
    }
    let (service, mut calls) = setup();
    let head = asking(&service, request("HEAD", &[]));
    calls.next().await.answer(Response::new(full("")));
    assert!(
        !answered(head)
            .await
            .headers()
            .contains_key("content-length")
    );
    let unknown = asking(&service, get("http://h/a"));
    let (feed, body) = fed();
    calls.next().await.answer(Response::new(body));
    assert!(
        !answered(unknown)
            .await
            .headers()
            .contains_key("content-length")
    );
    drop(feed);
}

#[tokio::test]
async fn heads_are_shared_and_follow_a_get() {
    let (service, mut calls) = setup();
    for first in ["HEAD", "GET"] {
        let leader = asking(&service, request(first, &[]));
        let call = calls.next().await;
        let asked: Vec<_> = (0..3)
            .map(|_| asking(&service, request("HEAD", &[])))
            .collect();
        calls.none().await;
        call.answer(response(&[("x-a", "b")]));
        for asked in asked {
            let response = answered(asked).await;
            assert!(said(&response).is_collapsed(), "{first}");
            assert_eq!(response.headers()["x-a"], "b");
            assert_eq!(text(response.into_body()).await.unwrap(), "");
        }
        answered(leader).await;
    }
}

#[tokio::test]
async fn each_gets_its_own_condition_answered() {
    let (service, mut calls) = setup();
    let leader = asking(&service, request("GET", &[("if-none-match", "\"v\"")]));
    let call = calls.next().await;
    assert!(!call.request.headers().contains_key("if-none-match"));
    let follower = asking(&service, get("http://h/a"));
    let range = asking(&service, request("GET", &[("range", "bytes=1-2")]));
    calls.none().await;
    call.answer(response(&[("etag", "\"v\""), ("content-length", "6")]));
    assert_eq!(answered(leader).await.status(), 304);
    assert_eq!(answered(follower).await.status(), 200);
    let part = answered(range).await;
    assert_eq!(part.status(), 206);
    assert_eq!(text(part.into_body()).await.unwrap(), "ns");
    // With none under way it is the service's.
    let range = asking(&service, request("GET", &[("range", "bytes=1-2")]));
    let call = calls.next().await;
    assert_eq!(call.request.headers()["range"], "bytes=1-2");
    let mut part = response(&[("content-range", "bytes 1-2/6"), ("etag", "\"v\"")]);
    *part.status_mut() = http::StatusCode::PARTIAL_CONTENT;
    call.answer(part);
    let part = answered(range).await;
    assert_eq!(said(&part).detail().unwrap().to_string(), "stores-nothing");
}

#[tokio::test]
async fn a_range_of_all_there_is_is_shared_with_those_who_want_the_whole() {
    let (service, mut calls) = setup();
    let ask = |range: &str| asking(&service, request("GET", &[("range", range)]));
    let asked: Vec<_> = (0..50).map(|_| ask("bytes=0-")).collect();
    let call = calls.next().await;
    assert!(!call.request.headers().contains_key("range"));
    let whole = asking(&service, get("http://h/a"));
    calls.none().await;
    call.answer(response(&[]));
    for asked in asked {
        let part = answered(asked).await;
        assert_eq!(part.status(), 206);
        assert_eq!(part.headers()["content-range"], "bytes 0-5/6");
        assert_eq!(text(part.into_body()).await.unwrap(), "answer");
    }
    assert_eq!(answered(whole).await.status(), 200);
}

#[tokio::test]
async fn after_a_write_nobody_gets_what_was_asked_for_before() {
    let (service, mut calls) = setup();
    let before = asking(&service, get("http://h/a"));
    let old = calls.next().await;
    let write = asking(&service, request("POST", &[]));
    calls.next().await.answer(response(&[]));
    answered(write).await;
    let after = asking(&service, get("http://h/a"));
    let new = calls.next().await;
    old.answer(response(&[]));
    new.answer(response(&[("x-new", "1")]));
    assert!(answered(after).await.headers().contains_key("x-new"));
    assert!(!answered(before).await.headers().contains_key("x-new"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_is_waited_for_as_long_as_the_fetch_may_take() {
    let second = Duration::from_secs(1);
    let slower = CoalesceLayer::builder().fetch_timeout(90 * second).build();
    for (layer, takes) in [(CoalesceLayer::new(), 59), (slower.unwrap(), 89)] {
        let (origin, mut calls) = origin();
        let service = layer.layer(origin);
        let ask = || asking(&service, get("http://h/a"));
        let asked: Vec<_> = (0..20).map(|_| ask()).collect();
        let call = calls.next().await;
        tokio::time::sleep(takes * second).await;
        calls.none().await;
        call.answer(response(&[]));
        let mut collapsed = 0;
        for asked in asked {
            collapsed += usize::from(said(&answered(asked).await).is_collapsed());
        }
        assert_eq!(collapsed, 19);
        // One that never answers is a 504 for all, at once.
        let asked: Vec<_> = (0..20).map(|_| ask()).collect();
        let held = calls.next().await;
        tokio::time::sleep((takes + 2) * second).await;
        for asked in asked {
            let code = http::StatusCode::GATEWAY_TIMEOUT;
            assert_failed(&answered(asked).await, code);
        }
        calls.none().await;
        drop(held);
    }
}

#[tokio::test(start_paused = true)]
async fn of_those_who_have_waited_long_enough_one_asks_again_for_all() {
    let second = Duration::from_secs(1);
    for answers in ["the first", "the second", "the second, the first failed"] {
        let (origin, mut calls) = origin();
        let layer = CoalesceLayer::builder().collapse_timeout(10 * second);
        let service = layer.build().unwrap().layer(origin);
        let ask = |_| asking(&service, get("http://h/a"));
        let asked: Vec<_> = (0..20).map(ask).collect();
        let first = calls.next().await;
        tokio::time::sleep(11 * second).await;
        let second = calls.next().await;
        calls.none().await;
        let late = asking(&service, get("http://h/a"));
        calls.none().await;
        let (answering, held) = match answers {
            "the first" => (first, Some(second)),
            "the second" => (second, Some(first)),
            _ => {
                first.fail(7);
                calls.none().await;
                (second, None)
            }
        };
        answering.answer(response(&[]));
        // All but the one whose own call is held, or failed.
        let (mut collapsed, mut waiting) = (0, Vec::new());
        calls.none().await;
        for asked in asked {
            match asked.is_finished() {
                true => {
                    if let Ok(response) = within(asked).await.unwrap() {
                        assert_eq!(response.status(), 200);
                        collapsed += usize::from(said(&response).is_collapsed());
                    }
                }
                false => waiting.push(asked),
            }
        }
        assert_eq!(collapsed, 18, "{answers}");
        assert_eq!(waiting.len(), usize::from(held.is_some()), "{answers}");
        if let Some(held) = held {
            held.answer(response(&[]));
        }
        for asked in waiting {
            assert!(!said(&answered(asked).await).is_collapsed());
        }
        assert!(said(&answered(late).await).is_collapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_goes_alone() {
    let (origin, mut calls) = origin();
    let second = Duration::from_secs(1);
    let layer = CoalesceLayer::builder()
        .collapse_timeout(second)
        .fetch_timeout(3 * second)
        .max_fetches(1)
        .over_max_fetches(OverMaxFetches::Wait(Duration::ZERO))
        .build()
        .unwrap();
    let service = layer.layer(origin);
    let leader = asking(&service, get("http://h/a"));
    let held = calls.next().await;
    assert_eq!(layer.fetches(), 1);
    let shed = answered(asking(&service, get("http://h/b"))).await;
    assert_eq!(shed.status(), 503);
    let follower = asking(&service, get("http://h/a"));
    calls.none().await;
    tokio::time::sleep(2 * second).await;
    calls.next().await.answer(response(&[]));
    assert!(!said(&answered(follower).await).is_collapsed());
    let code = http::StatusCode::GATEWAY_TIMEOUT;
    assert_failed(&answered(leader).await, code);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_lags_is_cut_off_and_holds_nobody_up_for_longer() {
    let (origin, mut calls) = origin();
    let layer = CoalesceLayer::builder()
        .window(4)
        .lag_timeout(Duration::from_secs(1));
    let service = layer.build().unwrap().layer(origin);
    let (leader, follower) = (
        asking(&service, get("http://h/a")),
        asking(&service, get("http://h/a")),
    );
    let (feed, body) = fed();
    calls.next().await.answer(Response::new(body));
    let lagging = answered(leader).await.into_body();
    let reader = tokio::spawn(text(answered(follower).await.into_body()));
    for _ in 0..4 {
        feed.send("four").await;
    }
    drop(feed);
    assert_eq!(within(reader).await.unwrap().unwrap(), "four".repeat(4));
    text(lagging).await.unwrap_err();
}

#[tokio::test]
async fn key_bypass_and_name_can_be_set() {
    let (origin, mut calls) = origin();
    let layer = CoalesceLayer::default()
        .key(KeyPolicy::new().query(Query::None))
        .bypass_if(|parts| parts.headers.contains_key("x-alone"))
        .product("once")
        .unwrap();
    let service = layer.layer(origin.clone());
    let leader = asking(&service, get("http://h/a?1"));
    let call = calls.next().await;
    let follower = asking(&service, get("http://h/a?2"));
    calls.none().await;
    for own in [("x-alone", "1"), ("cookie", "a=b")] {
        let alone = asking(&service, request("GET", &[own]));
        calls.next().await.answer(response(&[]));
        let alone = answered(alone).await;
        assert_eq!(alone.headers()["cache-status"], "once; fwd=bypass");
    }
    // What is asked of caches counts by any key.
    let reload = asking(&service, request("GET", &[("pragma", "no-cache")]));
    calls.next().await.answer(response(&[]));
    assert!(!said(&answered(reload).await).is_collapsed());
    call.answer(response(&[]));
    assert!(said(&answered(follower).await).is_collapsed());
    answered(leader).await;
    let silent = CoalesceLayer::new()
        .cache_status(false)
        .status_extension(false);
    let mut silent = silent.layer(origin);
    let asking = tokio::spawn(silent.call(get("http://h/a")));
    calls.next().await.answer(response(&[]));
    let response = within(asking).await.unwrap().unwrap();
    assert!(!response.headers().contains_key("cache-status") && response.extensions().is_empty());
}
