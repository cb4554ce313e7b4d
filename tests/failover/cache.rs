//! A group below a cache.

use crate::{criteria, member::Member, support::*};
use frontage::{
    CacheCore, CacheLayer, CachePolicy, MemoryStore, clock::ManualClock, origin::FailoverLayer,
    status::Detail,
};
use http::{Request, Response};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};
use tower::{Layer, Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

/// A member whose status can be set: its 200s are named for it, may be stored for 10 s and have a validator.
fn member(name: &'static str) -> (Member, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let member = Member::new({
        let status = status.clone();
        move || {
            let status = status.load(Ordering::SeqCst);
            async move {
                // Others join it meanwhile.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let response = Response::builder()
                    .status(status)
                    .header("cache-control", "max-age=10, stale-if-error=100")
                    .header("etag", "\"v1\"");
                Ok(response.body(full(name)).unwrap())
            }
        }
    });
    (member, status)
}

struct Setup<S> {
    service: S,
    clock: ManualClock,
    primary: (Member, Arc<AtomicU16>),
    secondary: (Member, Arc<AtomicU16>),
}

impl<S> Setup<S> {
    fn statuses(&self, primary: u16, secondary: u16) {
        self.primary.1.store(primary, Ordering::SeqCst);
        self.secondary.1.store(secondary, Ordering::SeqCst);
    }

    /// How often each was asked.
    fn counts(&self) -> (usize, usize) {
        (self.primary.0.count(), self.secondary.0.count())
    }
}

fn setup(
    codes: &[u16],
) -> Setup<
    impl Service<
        Request<NoBody>,
        Response = Response<frontage::ResponseBody<Body>>,
        Error = Broken,
        Future = impl Send,
    > + Clone
    + Send
    + 'static,
> {
    let (primary, secondary) = (member("primary"), member("secondary"));
    let clock = ManualClock::at(1_767_225_600_000);
    let core = CacheCore::builder(MemoryStore::new(16 << 20)).clock(clock.clone());
    let layer = CacheLayer::with_core(core.build().unwrap());
    let failover = FailoverLayer::new(secondary.0.clone(), criteria(codes.iter().copied()));
    let service = layer
        .policy(CachePolicy::default().stale_retry(Duration::ZERO))
        .layer(failover.layer(primary.0.clone()));
    Setup {
        service,
        clock,
        primary,
        secondary,
    }
}

/// The status, the body, and whether it is an old one.
async fn ask<S>(setup: &Setup<S>) -> (u16, String, bool)
where
    S: Service<Request<NoBody>, Response = Response<frontage::ResponseBody<Body>>, Error = Broken>
        + Clone,
{
    let response = within(setup.service.clone().oneshot(get("/a")))
        .await
        .unwrap();
    let status = response.status().as_u16();
    let is_old = is_hit(&response) || said(&response).detail() == Some(Detail::StaleIfError);
    (status, text(response.into_body()).await.unwrap(), is_old)
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_are_one_request_to_each_member() {
    let setup = setup(&[503]);
    setup.statuses(503, 200);
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        answers.spawn(setup.service.clone().oneshot(get("/a")));
    }
    while let Some(answer) = within(answers.join_next()).await {
        let response = answer.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response.into_body()).await.unwrap(), "secondary");
    }
    assert_eq!(setup.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_answered_it_is_one_entry_and_what_failed_is_none() {
    let setup = setup(&[404, 503]);
    setup.statuses(404, 200);
    assert_eq!(ask(&setup).await, (200, "secondary".into(), false));
    setup.statuses(200, 200);
    assert_eq!(ask(&setup).await, (200, "secondary".into(), true));
    setup.clock.advance(20 * SECOND);
    assert_eq!(ask(&setup).await, (200, "primary".into(), false));
    setup.statuses(503, 200);
    assert_eq!(ask(&setup).await, (200, "primary".into(), true));
    assert_eq!(setup.counts(), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_secondary_is_tried_before_a_stale_answer() {
    let setup = setup(&[503]);
    assert_eq!(ask(&setup).await.1, "primary");
    setup.clock.advance(20 * SECOND);
    // Both fail.
    setup.statuses(503, 500);
    assert_eq!(ask(&setup).await, (200, "primary".into(), true));
    assert_eq!(setup.counts(), (2, 1));
    // The secondary doesn't.
    setup.statuses(503, 200);
    assert_eq!(ask(&setup).await, (200, "secondary".into(), false));
    assert_eq!(setup.counts(), (3, 2));
    // An unlisted failure of the primary is final, and the stale answer stands in for it.
    setup.clock.advance(20 * SECOND);
    setup.statuses(500, 200);
    assert_eq!(ask(&setup).await, (200, "secondary".into(), true));
    assert_eq!(setup.counts(), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn a_304_of_the_secondary_confirms() {
    let setup = setup(&[503]);
    assert_eq!(ask(&setup).await.1, "primary");
    setup.clock.advance(20 * SECOND);
    setup.statuses(503, 304);
    let (status, body, _) = ask(&setup).await;
    assert_eq!((status, body.as_str()), (200, "primary"));
    for member in [&setup.primary.0, &setup.secondary.0] {
        assert_eq!(member.last().0.headers["if-none-match"], "\"v1\"");
    }
    // It is fresh again.
    assert_eq!(ask(&setup).await, (200, "primary".into(), true));
    assert_eq!(setup.counts(), (2, 1));
}
