//! Who waits for whom to be ready.

use crate::{
    answered_by, criteria,
    member::{Member, ViewerBody},
    support::{Body, Broken, within},
};
use frontage::OptionalBody;
use frontage::origin::{AnsweredBy, FailoverLayer};
use http::{Request, Response};
use http_body_util::Full;
use std::{
    future::Ready,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::Semaphore;
use tower::{
    Layer, Service, ServiceExt,
    limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer},
};

fn get() -> Request<ViewerBody> {
    Request::get("/").body(Full::default()).unwrap()
}

/// Takes its time, so that requests overlap.
fn slow(status: u16) -> Member {
    Member::new(move || async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let response = Response::builder().status(status);
        Ok(response.body(crate::support::full("")).unwrap())
    })
}

/// Many at once, each by the same service and by clones of it.
async fn ask_all<S, B>(mut service: S, expected: AnsweredBy)
where
    S: Service<Request<ViewerBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: std::fmt::Debug + Send,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..100 {
        if number % 2 == 0 {
            answers.spawn(service.clone().oneshot(get()));
        } else {
            within(service.ready()).await.unwrap();
            answers.spawn(service.call(get()));
        }
    }
    while let Some(answer) = within(answers.join_next()).await {
        assert_eq!(answered_by(&answer.unwrap().unwrap()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn limits_on_both_are_kept_and_nobody_hangs() {
    let (primary, secondary) = (slow(503), slow(200));
    let service = FailoverLayer::new(ConcurrencyLimit::new(secondary.clone(), 1), criteria([503]))
        .layer(ConcurrencyLimit::new(primary.clone(), 1));
    ask_all(service, AnsweredBy::Secondary).await;
    assert_eq!((primary.most(), secondary.most()), (1, 1));
    assert_eq!((primary.count(), secondary.count()), (100, 100));
}

#[tokio::test(start_paused = true)]
async fn one_place_is_enough_for_both() {
    let (primary, secondary) = (slow(503), slow(200));
    let limit = GlobalConcurrencyLimitLayer::with_semaphore(Arc::new(Semaphore::new(1)));
    let service = FailoverLayer::new(limit.layer(secondary.clone()), criteria([503]))
        .layer(limit.layer(primary.clone()));
    ask_all(service, AnsweredBy::Secondary).await;
    assert_eq!((primary.count(), secondary.count()), (100, 100));
}

#[tokio::test(start_paused = true)]
async fn it_works_over_buffers_and_under_a_limit() {
    type Asked = Request<OptionalBody<ViewerBody>>;
    let buffered = |member| tower::buffer::Buffer::<Asked, _>::new(member, 1);
    let (primary, secondary) = (slow(503), slow(200));
    let service = FailoverLayer::new(buffered(secondary.clone()), criteria([503]))
        .layer(buffered(primary.clone()));
    ask_all(ConcurrencyLimit::new(service, 3), AnsweredBy::Secondary).await;
    assert_eq!((primary.count(), secondary.count()), (100, 100));
}

#[tokio::test(start_paused = true)]
async fn a_secondary_that_is_never_ready_holds_nobody_up_whom_the_primary_answers() {
    let limit = GlobalConcurrencyLimitLayer::with_semaphore(Arc::new(Semaphore::new(0)));
    let secondary = Member::of(200, "secondary");
    let service = FailoverLayer::new(limit.layer(secondary), criteria([503])).layer(slow(200));
    ask_all(service, AnsweredBy::Primary).await;
}

/// Fails before it is called.
#[derive(Clone)]
struct NeverReady;

impl<B> Service<Request<OptionalBody<B>>> for NeverReady {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Ready<Result<Response<Body>, Broken>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Err(Broken(9)))
    }

    fn call(&mut self, _: Request<OptionalBody<B>>) -> Self::Future {
        unreachable!("it isn't ready")
    }
}

#[tokio::test(start_paused = true)]
async fn who_fails_to_become_ready_has_failed() {
    let secondary = Member::of(200, "secondary");
    let service = FailoverLayer::new(secondary.clone(), criteria([503])).layer(NeverReady);
    ask_all(service, AnsweredBy::Secondary).await;
    let service = FailoverLayer::new(secondary, criteria([500])).layer(NeverReady);
    let failed = within(service.oneshot(get())).await;
    assert_eq!(failed.unwrap_err(), Broken(9));
    let service = FailoverLayer::new(NeverReady, criteria([503])).layer(slow(503));
    let failed = within(service.oneshot(get())).await;
    assert_eq!(failed.unwrap_err(), Broken(9));
}
