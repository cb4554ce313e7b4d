//! What a cache answered, counted on its way out.

use crate::table::Row;
use frontage::CacheStatus;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tower::{Service, ServiceExt};

/// The requests that a cache got, and how each was answered.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    requests: AtomicU64,
    hits: AtomicU64,
    shared: AtomicU64,
    shield: AtomicU64,
    origin: AtomicU64,
    errors: AtomicU64,
}

impl Counts {
    /// What they come to so far.
    pub(crate) fn row(&self, name: String, url: &str, is_up: bool) -> Row {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Row {
            name,
            url: url.to_owned(),
            is_up,
            requests: read(&self.requests),
            hits: read(&self.hits),
            shared: read(&self.shared),
            shield: read(&self.shield),
            origin: read(&self.origin),
            errors: read(&self.errors),
        }
    }

    /// Who answered: which of the counts it is.
    fn tier(&self, status: StatusCode, said: Option<&CacheStatus>) -> &AtomicU64 {
        match said {
            _ if status.is_server_error() => &self.errors,
            Some(said) if said.is_hit() => &self.hits,
            Some(said) if said.is_collapsed() => &self.shared,
            Some(said) if said.is_origin_shield_hit() => &self.shield,
            _ => &self.origin,
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Asks a cache, and counts what comes of it. A body that ends early is an error, too.
pub(crate) async fn counted<S, R, B>(
    cache: S,
    request: Request<R>,
    counts: Arc<Counts>,
) -> Result<Response<impl Body<Data = B::Data, Error = B::Error>>, S::Error>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Body,
{
    add(&counts.requests);
    let response = match cache.oneshot(request).await {
        Ok(response) => response,
        Err(error) => {
            add(&counts.errors);
            return Err(error);
        }
    };
    let said = response.extensions().get();
    add(counts.tier(response.status(), said));
    Ok(response.map(|body| {
        body.map_err(move |error| {
            add(&counts.errors);
            error
        })
    }))
}
