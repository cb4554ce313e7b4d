//! 7. One name, one thing.

use crate::common::*;
use bytes::Bytes;
use frontage::{
    CacheLayer, CachePolicy, MemoryStore,
    key::{AcceptEncoding, Cookies, KeyPolicy, Namespace, Query},
};
use http::{HeaderName, Request};
use proptest::prelude::*;

/// Answers with all of the request that can matter.
async fn echo(request: Request<ReqBody>) -> http::Response<InnerBody> {
    let text = format!("{} {:?}", request.uri(), request.headers());
    response(&[("cache-control", "max-age=60")], Bytes::from(text))
}

#[tokio::test]
async fn one_name_one_thing_for_every_form_of_a_request() {
    let setup = setup(echo);
    let requests = [
        ("/a", None),
        ("/a?", None),
        ("/a?b", None),
        ("/A", None),
        ("/a/", None),
        ("/%61", None),
        ("/a", Some("h")),
        ("/a", Some("i")),
        ("http://g/a", Some("h")),
        ("http://g:81/a", None),
        ("https://g:80/a", None),
    ];
    for (uri, host) in requests {
        let fields: Vec<_> = host.iter().map(|host| ("host", *host)).collect();
        assert!(
            !ask(&setup.service, request("GET", uri, &fields))
                .await
                .cache
                .is_hit(),
            "{uri} {host:?}"
        );
        assert!(
            ask(&setup.service, request("GET", uri, &fields))
                .await
                .cache
                .is_hit(),
            "{uri} {host:?}"
        );
    }
    for (uri, host) in [
        ("http://G:80/a", Some("other")),
        ("/a", Some("H:80")),
        ("http://h/a", None),
    ] {
        let fields: Vec<_> = host.iter().map(|host| ("host", *host)).collect();
        assert!(
            ask(&setup.service, request("GET", uri, &fields))
                .await
                .cache
                .is_hit(),
            "{uri} {host:?}"
        );
    }
    let seen = setup.seen.count();
    let two_hosts = || request("GET", "/a", &[("host", "h"), ("host", "i")]);
    ask(&setup.service, two_hosts()).await;
    ask(&setup.service, two_hosts()).await;
    assert_eq!(setup.seen.count(), seen + 2, "two hosts are nobody's name");
    let fields = [("host", "h"), ("host", "i")];
    ask(&setup.service, request("GET", "http://g/a", &fields)).await;
    let hosts = setup.seen.last().headers.get_all("host").iter().count();
    assert_eq!(hosts, 2, "who refuses them must see them");
}

#[tokio::test]
async fn an_answer_to_a_post_is_of_the_host_that_its_target_names() {
    let setup = setup(|request: Request<ReqBody>| async move {
        let host = request.headers().get("host").cloned();
        let host = Bytes::copy_from_slice(host.unwrap().as_bytes());
        let fields = [
            ("cache-control", "max-age=60"),
            ("content-location", "http://h/a"),
        ];
        response(&fields, host)
    });
    let post = request("POST", "http://h/a", &[("host", "evil")]);
    assert_eq!(ask(&setup.service, post).await.body, b"h");
    let stored = ask(&setup.service, request("GET", "/a", &[("host", "h")])).await;
    assert!(stored.cache.is_hit());
    assert_eq!(stored.body, b"h");
}

#[tokio::test]
async fn two_caches_over_one_store_never_mix() {
    let store = MemoryStore::new(1 << 20);
    let seen = Seen::default();
    let caches: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|name| {
            let layer = CacheLayer::new(store.clone());
            cached(layer, &seen, move |_| async move {
                response(&[("cache-control", "max-age=60")], name)
            })
        })
        .collect();
    for _ in 0..2 {
        assert_eq!(ask(&caches[0], get("/a")).await.body, b"one");
        assert_eq!(ask(&caches[1], get("/a")).await.body, b"two");
    }
    assert_eq!(seen.count(), 2);
}

#[tokio::test]
async fn variants_are_never_mixed() {
    let setup = setup_with(
        policy(CachePolicy::rfc9111()),
        |request: Request<ReqBody>| async move {
            let language = request
                .headers()
                .get("accept-language")
                .map_or("none", |value| value.to_str().unwrap())
                .to_owned();
            response(
                &[("cache-control", "max-age=60"), ("vary", "Accept-Language")],
                language,
            )
        },
    );
    for round in 0..2 {
        for language in ["en", "de", "en, de", ""] {
            let answer = ask(
                &setup.service,
                request("GET", "/a", &[("accept-language", language)]),
            )
            .await;
            assert_eq!(
                (answer.body, answer.cache.is_hit()),
                (language.as_bytes().to_vec(), round == 1)
            );
        }
        let answer = ask(&setup.service, get("/a")).await;
        assert_eq!(
            (answer.body, answer.cache.is_hit()),
            (b"none".to_vec(), round == 1)
        );
    }
    assert_eq!(setup.seen.count(), 5);
}

/// A request, by the parts that can count.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    host: String,
    path: String,
    query: Option<String>,
    header: Option<String>,
    cookie: Option<String>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let few = |pattern: &str| proptest::string::string_regex(pattern).unwrap();
    (
        few("[a-c]{1,2}"),
        few("/[a-b/?]{0,2}"),
        prop::option::of(few("[a-b=&]{0,4}")),
        prop::option::of(few("[a-b,]{0,2}")),
        prop::option::of(few("[a-b]")),
    )
        .prop_map(|(host, path, query, header, cookie)| Asked {
            host,
            path: path.replace('?', "%3F"),
            query,
            header,
            cookie,
        })
}

fn key_of(policy: &KeyPolicy, namespace: &Namespace, asked: &Asked) -> frontage::key::CacheKey {
    let target = match &asked.query {
        Some(query) => format!("{}?{query}", asked.path),
        None => asked.path.clone(),
    };
    let mut request = Request::builder().uri(target).header("host", &asked.host);
    if let Some(header) = &asked.header {
        request = request.header("x-a", header);
    }
    if let Some(cookie) = &asked.cookie {
        request = request.header("cookie", format!("c={cookie}"));
    }
    policy.key(namespace, &request.body(()).unwrap().into_parts().0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    /// Keys are equal exactly where the policy says that the requests are.
    #[test]
    fn keys_are_equal_exactly_where_the_parts_that_count_are(a in asked(), b in asked()) {
        let namespace = Namespace::named("n").unwrap();
        let everything = KeyPolicy::new()
            .headers([HeaderName::from_static("x-a")])
            .cookies(Cookies::All)
            .accept_encoding(AcceptEncoding { gzip: true, brotli: true });
        prop_assert_eq!(key_of(&everything, &namespace, &a) == key_of(&everything, &namespace, &b), a == b);
        let path_only = KeyPolicy::cloudfront();
        prop_assert_eq!(key_of(&path_only, &namespace, &a) == key_of(&path_only, &namespace, &b), a.path == b.path);
        let only = KeyPolicy::cloudfront().query(Query::Only(vec!["a".into()]));
        let kept = |asked: &Asked| -> Vec<String> {
            let query = asked.query.clone().unwrap_or_default();
            query.split('&').filter(|pair| pair.split('=').next() == Some("a")).map(str::to_owned).collect()
        };
        let same = a.path == b.path && kept(&a) == kept(&b);
        prop_assert_eq!(key_of(&only, &namespace, &a) == key_of(&only, &namespace, &b), same);
    }
}
