//! Invalidation over the cache: what is stored, and what is being fetched.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

#[path = "common/mod.rs"]
mod common;

use common::{
    Answer, Cached, InnerBody, NOW, ReqBody, Seen, ask, cached, channel, get, head, piece, request,
    response, response_with, until,
};
use frontage::{
    CacheCore, CacheLayer, CachePolicy, MemoryStore,
    clock::ManualClock,
    invalidation::{Invalidation, Invalidator},
    key::KeyPolicy,
    store::DynStore,
};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tower::{Layer, Service, ServiceExt};

type Counter = Arc<AtomicUsize>;

/// A cache over a handler, and what invalidates it.
struct Edge {
    service: Cached,
    seen: Seen,
    clock: ManualClock,
    store: MemoryStore,
    invalidator: Invalidator,
}

impl Edge {
    fn new<F, Fut>(policy: CachePolicy, capacity: u64, handler: F) -> Self
    where
        F: Fn(Request<ReqBody>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<InnerBody>> + Send + 'static,
    {
        let store = MemoryStore::new(capacity);
        let clock = ManualClock::at(NOW);
        let core = CacheCore::builder(store.clone())
            .clock(clock.clone())
            .build()
            .unwrap();
        let invalidator = core.invalidator();
        let seen = Seen::default();
        let layer = CacheLayer::with_core(core).policy(policy);
        Self {
            service: cached(layer, &seen, handler),
            seen,
            clock,
            store,
            invalidator,
        }
    }

    async fn ask(&self, uri: &str) -> Answer {
        ask(&self.service, get(uri)).await
    }

    fn path(&self, path: &str) {
        self.invalidator.issue(&Invalidation::path(path).unwrap());
    }

    fn tag(&self, tag: &str) {
        self.invalidator.issue(&Invalidation::tag(tag).unwrap());
    }
}

const FIELDS: [(&str, &str); 3] = [
    ("cache-control", "public, max-age=600"),
    ("etag", "\"1\""),
    ("cache-tag", "All, news"),
];

/// Fresh for ten minutes, with a validator and two tags; confirms what it is asked to.
async fn fresh(request: Request<ReqBody>) -> Response<InnerBody> {
    if request.headers().contains_key("if-none-match") {
        return response_with(304, &FIELDS, channel().1);
    }
    response(&FIELDS, "x")
}

#[tokio::test]
async fn among_100_000_objects_what_is_covered_is_a_miss_and_the_rest_hits() {
    const OBJECTS: usize = 100_000;
    // A third each in /a/, tagged, and neither.
    let uri = |number: usize| match number % 3 {
        0 => format!("http://h/a/{number}"),
        1 => format!("http://h/tagged/{number}"),
        _ => format!("http://h/b/{number}"),
    };
    let edge = Edge::new(
        CachePolicy::default(),
        512 << 20,
        |request: Request<ReqBody>| async move {
            let tag = match request.uri().path().starts_with("/tagged/") {
                true => "Marked",
                false => "other",
            };
            response(&[FIELDS[0], ("cache-tag", tag)], "x")
        },
    );
    for number in 0..OBJECTS {
        edge.ask(&uri(number)).await;
    }
    assert_eq!(edge.store.usage().entries, OBJECTS);
    edge.path("/a/*");
    edge.tag("marked");
    for number in (0..OBJECTS).step_by(7) {
        let hit = edge.ask(&uri(number)).await.cache.is_hit();
        assert_eq!(hit, number % 3 == 2, "{}", uri(number));
    }
    for number in (0..1000).step_by(7) {
        assert!(edge.ask(&uri(number)).await.cache.is_hit(), "fetched anew");
    }
}

#[tokio::test]
async fn what_is_covered_is_fetched_without_conditions() {
    let edge = Edge::new(CachePolicy::default(), 1 << 20, fresh);
    for what in ["/a", "/a*", "/*", "#NEWS"] {
        assert!(!edge.ask("http://h/a").await.cache.is_hit());
        assert!(edge.ask("http://h/a").await.cache.is_hit());
        match what.strip_prefix('#') {
            Some(tag) => edge.tag(tag),
            None => edge.path(what),
        }
        let answer = edge.ask("http://h/a").await;
        assert!(!answer.cache.is_hit(), "{what}");
        assert_eq!(
            answer.header("cache-status").unwrap().split("; ").nth(1),
            Some("fwd=miss")
        );
        let forwarded = edge.seen.last().headers;
        for name in ["if-none-match", "if-modified-since"] {
            assert!(!forwarded.contains_key(name), "{what}");
        }
        edge.path("/*");
    }
}

/// Nor where the object is stale already, and would be confirmed or used as it is.
#[tokio::test]
async fn what_is_gone_is_not_used_stale() {
    let edge = Edge::new(CachePolicy::rfc9111(), 1 << 20, fresh);
    edge.ask("http://h/a").await;
    edge.clock.advance(Duration::from_secs(601));
    edge.path("/a");
    let stale = request("GET", "http://h/a", &[("cache-control", "max-stale")]);
    assert!(!ask(&edge.service, stale).await.cache.is_hit());
    assert!(!edge.seen.last().headers.contains_key("if-none-match"));
}

#[tokio::test]
async fn what_is_soft_is_confirmed_and_then_fresh_again() {
    let edge = Edge::new(CachePolicy::default(), 1 << 20, fresh);
    edge.ask("http://h/a").await;
    for what in [
        Invalidation::path("/a").unwrap(),
        Invalidation::everything(),
        Invalidation::tag("all").unwrap(),
    ] {
        edge.clock.advance(Duration::from_secs(5));
        edge.invalidator.issue(&what.soft());
        let stale = request("GET", "http://h/a", &[("cache-control", "max-stale=60")]);
        let answer = ask(&edge.service, stale).await;
        assert!(answer.cache.is_hit(), "it may be used where stale may be");
        assert_eq!(answer.header("age"), Some("5"));
        let asked = edge.seen.count();
        let answer = edge.ask("http://h/a").await;
        assert!(!answer.cache.is_hit() && answer.body == b"x");
        assert_eq!(edge.seen.last().headers["if-none-match"], "\"1\"");
        assert_eq!(edge.seen.count(), asked + 1);
        assert!(edge.ask("http://h/a").await.cache.is_hit(), "fresh again");
        edge.invalidator
            .issue(&Invalidation::path("/other").unwrap());
        assert!(edge.ask("http://h/a").await.cache.is_hit(), "checked again");
    }
}

/// Both windows run from the moment it was invalidated, though it would be fresh for much longer.
#[tokio::test]
async fn the_windows_of_what_is_soft_run_from_when_it_was_issued() {
    for again in [false, true] {
        let up = Arc::new(AtomicBool::new(true));
        let edge = Edge::new(CachePolicy::default(), 1 << 20, {
            let up = up.clone();
            move |_| {
                let fields = [("cache-control", "max-age=600, stale-if-error=30")];
                let code = if up.load(Ordering::SeqCst) { 200 } else { 503 };
                let mut answer = response(&fields, "x");
                *answer.status_mut() = StatusCode::from_u16(code).unwrap();
                async move { answer }
            }
        });
        edge.ask("http://h/a").await;
        up.store(false, Ordering::SeqCst);
        edge.invalidator.issue(&Invalidation::everything().soft());
        edge.clock.advance(Duration::from_secs(20));
        assert_eq!(edge.ask("http://h/a").await.status, 200);
        if again {
            edge.invalidator.issue(&Invalidation::everything().soft());
        }
        edge.clock.advance(Duration::from_secs(10));
        assert_eq!(edge.ask("http://h/a").await.status, 200);
        edge.clock.advance(Duration::from_millis(1));
        assert_eq!(edge.ask("http://h/a").await.status, 503, "{again}");
    }
}

#[tokio::test]
async fn a_head_that_says_that_it_changed_lengthens_no_window_of_what_is_soft() {
    let edge = Edge::new(
        CachePolicy::rfc9111(),
        1 << 20,
        |request: Request<ReqBody>| async move {
            let fields = [("cache-control", "max-age=600, stale-if-error=30")];
            let changed = [("etag", "\"2\"")];
            match request.headers().contains_key("x-fails") {
                true => response_with(503, &[], channel().1),
                false if *request.method() == "HEAD" => response(&changed, ""),
                false => response(&fields, "x"),
            }
        },
    );
    let soft = Invalidation::path("/a").unwrap().soft();
    let failing = || request("GET", "http://h/a", &[("x-fails", "")]);
    edge.ask("http://h/a").await;
    edge.invalidator.issue(&soft);
    assert_eq!(ask(&edge.service, failing()).await.status, 200);
    edge.clock.advance(Duration::from_secs(31));
    edge.invalidator.issue(&soft);
    ask(&edge.service, request("HEAD", "http://h/a", &[])).await;
    assert_eq!(ask(&edge.service, failing()).await.status, 503);
}

#[tokio::test]
async fn must_revalidate_keeps_what_is_soft_from_being_used_stale() {
    let edge = Edge::new(CachePolicy::default(), 1 << 20, |_| async {
        response(&[("cache-control", "max-age=600, must-revalidate")], "x")
    });
    edge.ask("http://h/a").await;
    edge.invalidator.issue(&Invalidation::everything().soft());
    let stale = request("GET", "http://h/a", &[("cache-control", "max-stale")]);
    assert!(!ask(&edge.service, stale).await.cache.is_hit());
}

#[tokio::test]
async fn variants_errors_and_what_a_head_finds_are_covered() {
    let edge = Edge::new(
        CachePolicy::default(),
        1 << 20,
        |request: Request<ReqBody>| async move {
            let path = request.uri().path();
            match path.strip_prefix("/error") {
                Some(_) => response_with(404, &FIELDS, channel().1),
                None => response(&[&FIELDS[..], &[("vary", "a")]].concat(), "x"),
            }
        },
    );
    let requests = || {
        [
            request("GET", "http://h/vary", &[("a", "1")]),
            request("GET", "http://h/vary", &[("a", "2")]),
            request("GET", "http://h/error", &[]),
        ]
    };
    for what in ["/vary", "/error*", "/*", "#news"] {
        for request in requests() {
            ask(&edge.service, request).await;
        }
        for request in requests() {
            let head = ("HEAD", request.uri().to_string(), request.headers().clone());
            assert!(ask(&edge.service, request).await.cache.is_hit());
            let mut head = self::request(head.0, &head.1, &[]);
            *head.headers_mut() = requests()
                .into_iter()
                .find(|request| request.uri() == head.uri())
                .unwrap()
                .headers()
                .clone();
            assert!(ask(&edge.service, head).await.cache.is_hit());
        }
        match what.strip_prefix('#') {
            Some(tag) => edge.tag(tag),
            None => edge.path(what),
        }
        for method in ["HEAD", "GET"] {
            for mut request in requests() {
                *request.method_mut() = method.parse().unwrap();
                let covered = what == "#news" || what == "/*" || {
                    let path = request.uri().path();
                    what.trim_end_matches('*') == path
                };
                let hit = ask(&edge.service, request).await.cache.is_hit();
                assert_eq!(hit, !covered, "{method} after {what}");
            }
        }
    }
}

#[tokio::test]
async fn queries_count_as_they_do_in_the_key() {
    let edge = Edge::new(CachePolicy::default(), 1 << 20, fresh);
    let by_path = Edge::new(
        CachePolicy::default().key(KeyPolicy::cloudfront()),
        1 << 20,
        fresh,
    );
    for edge in [&edge, &by_path] {
        for uri in ["http://h/a", "http://h/a?b=1&c=2", "http://h/%c3%a9"] {
            edge.ask(uri).await;
        }
    }
    edge.path("/a");
    assert!(!edge.ask("http://h/a").await.cache.is_hit());
    assert!(edge.ask("http://h/a?b=1&c=2").await.cache.is_hit());
    edge.path("/a?c=2&b=1");
    assert!(edge.ask("http://h/a?b=1&c=2").await.cache.is_hit());
    edge.path("/a?b=1&c=2");
    assert!(!edge.ask("http://h/a?b=1&c=2").await.cache.is_hit());
    edge.path("/é");
    assert!(!edge.ask("http://h/%c3%a9").await.cache.is_hit());

    assert!(by_path.ask("http://h/a?d").await.cache.is_hit());
    by_path.path("/a");
    assert!(!by_path.ask("http://h/a?d").await.cache.is_hit());
}

#[tokio::test]
async fn a_host_restricts_it_and_unsafe_methods_are_of_theirs() {
    let edge = Edge::new(CachePolicy::default(), 1 << 20, fresh);
    for host in ["h", "i"] {
        edge.ask(&format!("http://{host}/a")).await;
    }
    let what = Invalidation::path("/*").unwrap().host("H:80").unwrap();
    edge.invalidator.issue(&what);
    assert!(!edge.ask("http://h/a").await.cache.is_hit());
    assert!(edge.ask("http://i/a").await.cache.is_hit());
    ask(&edge.service, request("POST", "http://i/a", &[])).await;
    assert!(edge.ask("http://h/a").await.cache.is_hit());
    assert!(!edge.ask("http://i/a").await.cache.is_hit());
}

/// A `Host` may hold what separates it from the path.
#[tokio::test]
async fn no_host_hides_from_a_path() {
    let edge = Edge::new(CachePolicy::default(), 1 << 20, fresh);
    let odd = || request("GET", "/a", &[("host", "x/y")]);
    ask(&edge.service, odd()).await;
    assert!(ask(&edge.service, odd()).await.cache.is_hit());
    edge.path("/a");
    assert!(!ask(&edge.service, odd()).await.cache.is_hit());
}

#[tokio::test]
async fn the_field_of_the_tags_is_a_setting() {
    let named = CachePolicy::default().tag_header(Some(HeaderName::from_static("x-tags")));
    let off = CachePolicy::default().tag_header(None);
    for policy in [named, off] {
        let edge = Edge::new(policy, 1 << 20, fresh);
        edge.ask("http://h/a").await;
        edge.tag("news");
        assert!(edge.ask("http://h/a").await.cache.is_hit());
    }
}

/// `no-cache="cache-tag"` keeps the field from viewers; a 304 must not lose the tags.
#[tokio::test]
async fn tags_that_are_not_shown_outlive_a_304() {
    let edge = Edge::new(
        CachePolicy::default(),
        1 << 20,
        |request: Request<ReqBody>| async move {
            let control = ("cache-control", "max-age=60, no-cache=\"cache-tag\"");
            if request.headers().contains_key("if-none-match") {
                return response_with(304, &[control], channel().1);
            }
            response(&[control, FIELDS[1], FIELDS[2]], "x")
        },
    );
    edge.ask("http://h/a").await;
    edge.clock.advance(Duration::from_secs(61));
    edge.ask("http://h/a").await;
    let hit = edge.ask("http://h/a").await;
    assert!(hit.cache.is_hit() && hit.header("cache-tag").is_none());
    edge.tag("news");
    assert!(!edge.ask("http://h/a").await.cache.is_hit());
}

/// An origin that answers with bodies that the test feeds.
type Feeds = Arc<Mutex<Vec<http_body_util::channel::Sender<bytes::Bytes, common::BoxError>>>>;

fn fed(policy: CachePolicy) -> (Edge, Feeds) {
    let feeds = Feeds::default();
    let of_origin = feeds.clone();
    let edge = Edge::new(policy, 1 << 20, move |_| {
        let (sender, body) = channel();
        of_origin.lock().unwrap().push(sender);
        async move { response_with(200, &FIELDS, body) }
    });
    (edge, feeds)
}

#[tokio::test]
async fn what_is_being_fetched_is_delivered_and_not_stored_and_not_joined() {
    for (what, is_soft) in [
        ("/a", false),
        ("/a*", false),
        ("/*", false),
        ("#news", false),
        ("/*", true),
        ("#news", true),
    ] {
        let (edge, feeds) = fed(CachePolicy::default());
        let invalidation = match what.strip_prefix('#') {
            Some(tag) => Invalidation::tag(tag).unwrap(),
            None => Invalidation::path(what).unwrap(),
        };
        let invalidation = match is_soft {
            true => invalidation.soft(),
            false => invalidation,
        };
        let mut leader = head(&edge.service, get("http://h/a")).await;
        let early = head(&edge.service, get("http://h/a")).await;
        assert_eq!(edge.seen.count(), 1);
        let issued = edge.invalidator.issue(&invalidation);
        assert!(!edge.invalidator.is_complete(&issued));

        // Those who ask now share a fetch of their own.
        let mut later = Vec::new();
        for _ in 0..10 {
            later.push(head(&edge.service, get("http://h/a")).await);
        }
        assert_eq!(edge.seen.count(), 2, "{what}");
        let [mut before, mut after]: [_; 2] = std::mem::take(&mut *feeds.lock().unwrap())
            .try_into()
            .unwrap();
        after.send_data("new".into()).await.unwrap();
        drop(after);
        for answer in later {
            assert_eq!(
                answer.into_body().collect().await.unwrap().to_bytes(),
                "new"
            );
        }

        // The one from before ends after it, and doesn't take its place.
        before.send_data("old".into()).await.unwrap();
        drop(before);
        assert_eq!(piece(leader.body_mut()).await.unwrap().unwrap(), "old");
        assert!(piece(leader.body_mut()).await.is_none(), "a clean end");
        assert_eq!(early.into_body().collect().await.unwrap().to_bytes(), "old");
        edge.invalidator.completed(&issued).await;
        if !is_soft {
            let answer = edge.ask("http://h/a").await;
            assert!(answer.cache.is_hit(), "{what}");
            assert_eq!(answer.body, b"new");
        }
    }
}

#[tokio::test]
async fn what_is_fetched_alone_over_an_invalidation_is_not_stored() {
    for what in ["/a", "/a*", "/*", "#news"] {
        // A range is fetched alone; so is, with a cookie, what may be stored for all.
        let (edge, feeds) = fed(CachePolicy::default());
        let alone = request("GET", "http://h/a", &[("cookie", "a=b")]);
        let answer = head(&edge.service, alone).await;
        match what.strip_prefix('#') {
            Some(tag) => edge.tag(tag),
            None => edge.path(what),
        }
        let mut feed = feeds.lock().unwrap().pop().unwrap();
        feed.send_data("old".into()).await.unwrap();
        drop(feed);
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            "old"
        );
        assert_eq!(edge.store.usage().entries, 0, "{what}");
    }
}

/// By its head it is known that it won't be.
#[tokio::test]
async fn what_is_invalidated_before_its_head_is_not_said_to_be_stored() {
    for credentials in [&[][..], &[("cookie", "a=b")]] {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let edge = Edge::new(CachePolicy::default(), 1 << 20, {
            let gate = gate.clone();
            move |_| {
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    response(&[("cache-control", "public, max-age=60")], "x")
                }
            }
        });
        let service = edge.service.clone();
        let asking =
            tokio::spawn(
                async move { ask(&service, request("GET", "http://h/a", credentials)).await },
            );
        until(|| edge.seen.count() == 1).await;
        edge.path("/a");
        gate.add_permits(2);
        assert!(!asking.await.unwrap().cache.is_stored());
        assert!(edge.ask("http://h/a").await.cache.is_stored());
    }
}

/// What a soft one covers while it is fetched is kept as stale.
#[tokio::test]
async fn what_is_fetched_over_a_soft_one_is_stale() {
    let (edge, feeds) = fed(CachePolicy::default());
    let answer = head(&edge.service, get("http://h/a")).await;
    edge.invalidator
        .issue(&Invalidation::tag("all").unwrap().soft());
    drop(feeds.lock().unwrap().pop());
    answer.into_body().collect().await.unwrap();
    until(|| edge.store.usage().entries == 1).await;
    let _again = head(&edge.service, get("http://h/a")).await;
    assert_eq!(edge.seen.last().headers["if-none-match"], "\"1\"");
}

/// Between the look-up and the 304 the object was invalidated: its validator doesn't bring it back.
#[tokio::test]
async fn a_304_does_not_bring_back_what_is_gone() {
    let held = Arc::new(tokio::sync::Semaphore::new(1));
    let gate = held.clone();
    let edge = Edge::new(CachePolicy::default(), 1 << 20, move |request| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            fresh(request).await
        }
    });
    edge.ask("http://h/a").await;
    edge.clock.advance(Duration::from_secs(601));
    let confirming = tokio::spawn({
        let service = edge.service.clone();
        async move { ask(&service, get("http://h/a")).await }
    });
    until(|| edge.seen.count() == 2).await;
    assert!(edge.seen.last().headers.contains_key("if-none-match"));
    edge.path("/a");
    held.add_permits(2);
    assert_eq!(
        confirming.await.unwrap().body,
        b"x",
        "delivered all the same"
    );
    assert!(!edge.ask("http://h/a").await.cache.is_hit());
    assert!(!edge.seen.last().headers.contains_key("if-none-match"));
}

/// Judged before an invalidation, sent out after it.
#[tokio::test]
async fn a_304_to_what_was_judged_before_does_not_bring_it_back() {
    let edge = Edge::new(CachePolicy::default(), 1 << 20, fresh);
    edge.ask("http://h/a").await;
    edge.clock.advance(Duration::from_secs(601));
    let alone = request("GET", "http://h/a", &[("cookie", "a=b")]);
    let judged = edge.service.clone().call(alone);
    edge.path("/a");
    let answer = judged.await.unwrap();
    assert!(edge.seen.last().headers.contains_key("if-none-match"));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "x");
    assert!(!edge.ask("http://h/a").await.cache.is_hit());
}

/// Nobody knows the tags of an answer before it comes.
/// Lets all that can run do so: on one thread, they take turns.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn those_who_asked_before_a_tag_was_invalidated_share_the_answer_and_the_others_the_next() {
    let (gate, count) = (Arc::new(tokio::sync::Semaphore::new(0)), Counter::default());
    let held = gate.clone();
    let edge = Edge::new(CachePolicy::default(), 1 << 20, move |_| {
        let (gate, number) = (held.clone(), count.fetch_add(1, Ordering::SeqCst));
        async move {
            gate.acquire().await.unwrap().forget();
            response(&FIELDS, number.to_string())
        }
    });
    let five = || {
        let ask_one = || {
            let service = edge.service.clone();
            tokio::spawn(async move { ask(&service, get("http://h/a")).await })
        };
        [(); 5].map(|()| ask_one())
    };
    let before = five();
    until(|| edge.seen.count() == 1).await;
    settle().await;
    edge.tag("news");
    let after = five();
    settle().await;
    gate.add_permits(1);
    for answer in before {
        assert_eq!(answer.await.unwrap().body, b"0");
    }
    gate.add_permits(1);
    for answer in after {
        assert_eq!(answer.await.unwrap().body, b"1");
    }
    assert_eq!(edge.seen.count(), 2);
    assert_eq!(edge.ask("http://h/a").await.body, b"1");
}

/// A store behind `DynStore` keeps what was there, too, when it is told to discard.
#[tokio::test]
async fn any_store_discards() {
    let store = MemoryStore::new(1 << 20);
    let core = CacheCore::builder(DynStore::new(store.clone()))
        .namespace("edge")
        .build()
        .unwrap();
    let invalidator = core.invalidator();
    let feeds = Feeds::default();
    let of_origin = feeds.clone();
    let service =
        CacheLayer::with_core(core).layer(tower::service_fn(move |_: Request<ReqBody>| {
            let (sender, body) = channel();
            of_origin.lock().unwrap().push(sender);
            async move { Ok::<_, std::convert::Infallible>(response_with(200, &FIELDS, body)) }
        }));
    let answer = service.oneshot(get("http://h/a")).await.unwrap();
    invalidator.issue(&Invalidation::everything());
    let mut feed = feeds.lock().unwrap().pop().unwrap();
    feed.send_data("x".into()).await.unwrap();
    drop(feed);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "x");
    assert_eq!(store.usage().entries, 0);
}
