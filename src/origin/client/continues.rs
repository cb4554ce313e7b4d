//! The interim answers of an origin.

use crate::origin::upload::RequestBody;
use http::{Request, StatusCode};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How often an origin said `100 Continue`.
pub(super) struct Continues(Arc<AtomicUsize>);

impl Continues {
    pub(super) fn of(request: &mut Request<RequestBody>) -> Self {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self(seen)
    }

    pub(super) fn are_several(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}
