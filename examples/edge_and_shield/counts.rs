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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use frontage::{CacheLayer, MemoryStore, origin::OriginShieldLayer};
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Empty, StreamBody};
    use std::{convert::Infallible, io};
    use tower::{Layer, service_fn};

    type Asked = Request<Empty<Bytes>>;

    async fn origin(
        request: Asked,
    ) -> Result<Response<impl Body<Data = Bytes, Error = io::Error>>, Infallible> {
        let frame = Ok(Frame::data(Bytes::from_static(b"body")));
        let mut frames = vec![frame];
        if request.uri().path() == "/broken" {
            frames.push(Err(io::Error::other("broken")));
        }
        let status = if request.uri().path() == "/503" {
            503
        } else {
            200
        };
        let response = Response::builder()
            .status(status)
            .header("cache-control", "max-age=60");
        Ok(response
            .body(StreamBody::new(stream::iter(frames)))
            .unwrap())
    }

    async fn ask<S, B>(cache: &S, path: &str, counts: &Arc<Counts>)
    where
        S: Service<Asked, Response = Response<B>> + Clone,
        S::Error: std::fmt::Debug,
        B: Body,
    {
        let request = Request::get(path).body(Empty::new()).unwrap();
        let response = counted(cache.clone(), request, counts.clone()).await;
        // It may be broken.
        drop(response.unwrap().into_body().collect().await);
    }

    #[tokio::test]
    async fn each_answer_is_counted_under_who_gave_it_and_a_broken_one_as_an_error_too() {
        let shield = OriginShieldLayer::new(MemoryStore::new(1 << 20)).layer(service_fn(origin));
        let edge = || CacheLayer::new(MemoryStore::new(1 << 20)).layer(shield.clone());
        let (counts, first, second) = (Arc::default(), edge(), edge());
        let expect = async |edge, path, expected: [u64; 6]| {
            ask(edge, path, &counts).await;
            let row = counts.row(String::new(), "", true);
            let counted = [
                row.requests,
                row.hits,
                row.shared,
                row.shield,
                row.origin,
                row.errors,
            ];
            assert_eq!(counted, expected, "{path}");
        };
        expect(&first, "/a", [1, 0, 0, 0, 1, 0]).await;
        expect(&first, "/a", [2, 1, 0, 0, 1, 0]).await;
        expect(&second, "/a", [3, 1, 0, 1, 1, 0]).await;
        expect(&first, "/503", [4, 1, 0, 1, 1, 1]).await;
        expect(&first, "/broken", [5, 1, 0, 1, 2, 2]).await;
    }

    #[tokio::test]
    async fn no_answer_is_an_error() {
        let counts = Arc::<Counts>::default();
        let none =
            service_fn(async |_: Asked| Err::<Response<Empty<Bytes>>, _>(io::Error::other("none")));
        let request = Request::get("/").body(Empty::new()).unwrap();
        assert!(counted(none, request, counts.clone()).await.is_err());
        let row = counts.row(String::new(), "", true);
        assert_eq!((row.requests, row.errors), (1, 1));
    }
}
