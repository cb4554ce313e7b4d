//! A service in the process, which answers as the test says.

use crate::support::{Body, Broken, Counter, full};
use bytes::Bytes;
use frontage::OptionalBody;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tower::Service;

pub(crate) type ViewerBody = Full<Bytes>;
type Answer = Result<Response<Body>, Broken>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

#[derive(Clone)]
pub(crate) struct Member {
    answer: Arc<dyn Fn() -> Answering + Send + Sync>,
    seen: Arc<Mutex<Vec<(Parts, Bytes)>>>,
    /// How many are being answered, and the most that there were.
    running: Counter,
    most: Arc<Mutex<usize>>,
}

impl Member {
    pub(crate) fn new<F>(answer: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self {
            answer: Arc::new(move || Box::pin(answer())),
            seen: Arc::default(),
            running: Counter::default(),
            most: Arc::default(),
        }
    }

    /// Answers with this status and its own name.
    pub(crate) fn of(status: u16, name: &'static str) -> Self {
        Self::new(move || async move {
            let response = Response::builder().status(status);
            Ok(response.body(full(name)).unwrap())
        })
    }

    pub(crate) fn failing(number: u32) -> Self {
        Self::new(move || async move { Err(Broken(number)) })
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The last request, and its body.
    pub(crate) fn last(&self) -> (Parts, Bytes) {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn most(&self) -> usize {
        *self.most.lock().unwrap()
    }
}

impl<B> Service<Request<OptionalBody<B>>> for Member
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Answering;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OptionalBody<B>>) -> Answering {
        let this = self.clone();
        Box::pin(async move {
            let running = this.running.add() + 1;
            {
                let mut most = this.most.lock().unwrap();
                *most = running.max(*most);
            }
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            this.seen.lock().unwrap().push((parts, body));
            let answer = (this.answer)().await;
            this.running.subtract();
            answer
        })
    }
}
