//! 6. Nothing private.

use crate::common::*;
use bytes::Bytes;
use frontage::{
    CachePolicy,
    key::{Cookies, KeyPolicy},
};
use http::Request;

/// Answers with what identifies the viewer, and with the `Cache-Control` (and more) that `fields` has.
fn mirror(profile: CachePolicy, fields: &'static [(&'static str, &'static str)]) -> Setup {
    setup_with(
        policy(profile),
        move |request: Request<ReqBody>| async move {
            let who = ["authorization", "cookie"].map(|name| {
                request
                    .headers()
                    .get(name)
                    .map_or("-", |value| value.to_str().unwrap())
                    .to_owned()
            });
            response(fields, Bytes::from(who.join(" ")))
        },
    )
}

#[tokio::test]
async fn nothing_private_is_shared_by_default() {
    for fields in [
        &[("cache-control", "max-age=60")][..],
        &[("cache-control", "max-age=60, must-revalidate")],
        &[("cache-control", "private, max-age=60")],
        &[("cache-control", "no-store")],
        &[("cache-control", "max-age=60"), ("etag", "\"a\"")],
        &[],
    ] {
        let setup = mirror(CachePolicy::default(), fields);
        for who in [
            ("authorization", "alice"),
            ("cookie", "bob"),
            ("authorization", "carol"),
            ("cookie", "dave"),
        ] {
            let answer = ask(&setup.service, request("GET", "/a", &[who])).await;
            assert!(
                String::from_utf8(answer.body).unwrap().contains(who.1),
                "{fields:?} {who:?}"
            );
        }
        assert_eq!(
            ask(&setup.service, get("/a")).await.body,
            b"- -",
            "{fields:?}"
        );
    }
}

#[tokio::test]
async fn nothing_private_is_shared_between_those_who_ask_at_once() {
    let setup = mirror(CachePolicy::default(), &[("cache-control", "max-age=60")]);
    let asked = (0..100).map(|number| {
        let service = setup.service.clone();
        tokio::spawn(async move {
            let name = format!("user{number}");
            let answer = ask(&service, request("GET", "/a", &[("cookie", &name)])).await;
            assert_eq!(String::from_utf8(answer.body).unwrap(), format!("- {name}"));
        })
    });
    for task in asked.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn public_and_s_maxage_lift_the_ban() {
    for directives in [
        &[("cache-control", "public, max-age=60")][..],
        &[("cache-control", "s-maxage=60")],
    ] {
        let setup = mirror(CachePolicy::default(), directives);
        ask(
            &setup.service,
            request("GET", "/a", &[("authorization", "alice")]),
        )
        .await;
        assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
    }
}

#[tokio::test]
async fn an_answer_with_set_cookie_is_not_stored_by_default() {
    let fields = &[
        ("cache-control", "public, max-age=60"),
        ("set-cookie", "id=1"),
    ];
    let setup = mirror(CachePolicy::default(), fields);
    assert_eq!(
        ask(&setup.service, get("/a")).await.header("set-cookie"),
        Some("id=1")
    );
    assert!(!ask(&setup.service, get("/a")).await.cache.is_hit());

    let stripped = &[
        ("cache-control", "max-age=60, no-cache=\"Set-Cookie\""),
        ("set-cookie", "id=1"),
    ];
    let setup = mirror(CachePolicy::default(), stripped);
    assert_eq!(
        ask(&setup.service, get("/a")).await.header("set-cookie"),
        Some("id=1")
    );
    let hit = ask(&setup.service, get("/a")).await;
    assert!(hit.cache.is_hit() && hit.header("set-cookie").is_none());
}

#[tokio::test]
async fn followers_do_not_get_a_set_cookie_that_is_not_to_be_stored() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let handler_gate = gate.clone();
    let setup = setup(move |_| {
        let gate = handler_gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            let fields = [
                ("cache-control", "max-age=60, no-cache=\"set-cookie\""),
                ("set-cookie", "id=1"),
            ];
            response(&fields, "answer")
        }
    });
    let asked: Vec<_> = (0..5)
        .map(|_| {
            let service = setup.service.clone();
            tokio::spawn(async move { ask(&service, get("/a")).await })
        })
        .collect();
    until(|| setup.seen.count() == 1).await;
    tokio::task::yield_now().await;
    gate.add_permits(5);
    let mut with_cookie = 0;
    for task in asked {
        with_cookie += usize::from(task.await.unwrap().header("set-cookie").is_some());
    }
    assert_eq!((with_cookie, setup.seen.count()), (1, 1));
}

#[tokio::test]
async fn the_letter_of_the_rfc_for_those_who_want_it() {
    let letter = CachePolicy::rfc9111;
    let setup = mirror(letter(), &[("cache-control", "max-age=60")]);
    ask(
        &setup.service,
        request("GET", "/a", &[("authorization", "alice")]),
    )
    .await;
    assert_eq!(ask(&setup.service, get("/a")).await.body, b"- -");
    let setup = mirror(
        letter(),
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
    );
    ask(&setup.service, get("/a")).await;
    assert!(ask(&setup.service, get("/a")).await.cache.is_hit());
}

#[tokio::test]
async fn in_the_cloudfront_profiles_what_is_not_keyed_does_not_reach_the_origin() {
    let profile = CachePolicy::caching_optimized();
    let setup = setup_with(policy(profile), |request| async move {
        let cookies = request
            .headers()
            .get("cookie")
            .map_or("none", |value| value.to_str().unwrap())
            .to_owned();
        let body = format!("{} {cookies}", request.uri());
        response(
            &[("cache-control", "max-age=60"), ("set-cookie", "id=1")],
            body,
        )
    });
    let ask_as = async |uri: &str, cookie: &str| {
        ask(
            &setup.service,
            request("GET", uri, &[("cookie", cookie), ("authorization", "x")]),
        )
        .await
    };
    let first = ask_as("/a?q=1", "id=alice").await;
    assert_eq!(
        (
            String::from_utf8(first.body.clone()).unwrap().as_str(),
            first.header("set-cookie")
        ),
        ("/a none", None)
    );
    assert!(!setup.seen.last().headers.contains_key("authorization"));
    assert!(ask_as("/a?q=2", "id=bob").await.cache.is_hit());

    let keyed = CachePolicy::caching_optimized()
        .key(KeyPolicy::cloudfront().cookies(Cookies::Only(vec!["id".into()])));
    let setup = setup_with(policy(keyed), |request| async move {
        let cookies = request
            .headers()
            .get("cookie")
            .map_or("none", |value| value.to_str().unwrap())
            .to_owned();
        response(&[("cache-control", "max-age=60")], cookies)
    });
    for (sent, got, hit) in [
        ("id=1; t=9", "id=1", false),
        ("t=8; id=1", "id=1", true),
        ("id=2", "id=2", false),
    ] {
        let answer = ask(&setup.service, request("GET", "/a", &[("cookie", sent)])).await;
        assert_eq!(
            (answer.body, answer.cache.is_hit()),
            (got.as_bytes().to_vec(), hit),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn what_varies_by_all_is_stored_by_no_cache_above_another_either() {
    let zero = std::time::Duration::ZERO;
    let day = std::time::Duration::from_secs(86_400);
    let profile = CachePolicy::caching_optimized()
        .ttl(zero, day, day)
        .unwrap();
    let fields = &[("cache-control", "max-age=60"), ("vary", "*")];
    let shield = setup_with(policy(profile.clone()), |_| async {
        response(fields, "for one")
    });
    let edge = setup_with(policy(profile), move |request| {
        let shield = shield.service.clone();
        async move {
            let answer = ask(&shield, request).await;
            let fields: Vec<_> = answer.headers.iter().collect();
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                .collect();
            response(&fields, answer.body)
        }
    });
    for _ in 0..2 {
        let answer = ask(&edge.service, get("/a")).await;
        assert_eq!(answer.header("vary"), Some("*"));
        assert!(!answer.cache.is_hit() && !answer.cache.is_stored());
    }
}
