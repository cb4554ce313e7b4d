//! An edge: the cache that viewers ask.

use crate::{
    counts::{Counts, counted},
    objects::Objects,
    server::{self, Server},
    table::Row,
};
use frontage::{CacheLayer, MemoryStore, cdn_loop::CdnLoopLayer, origin::Origin};
use http::{HeaderValue, Method, Request, Uri, header};
use hyper::body::Incoming;
use std::{error::Error, sync::Arc, time::Duration};
use tower::{Layer, service_fn};

/// The site's name at all edges, whatever address a viewer asks: the host is in the caches' keys.
const HOST: HeaderValue = HeaderValue::from_static("www.example.com");

#[derive(Debug)]
pub(crate) struct Edge {
    number: usize,
    pub(crate) url: String,
    counts: Arc<Counts>,
    server: Server,
}

impl Edge {
    /// The edge of this number, from 1.
    pub(crate) async fn start(
        number: usize,
        origin: &str,
        shields: &[&str],
        memory: u64,
        objects: Arc<Objects>,
    ) -> Result<Self, Box<dyn Error>> {
        let origin = Origin::url(origin)?
            .shield(shields)?
            .connection_timeout(Duration::from_secs(1))
            .build()?;
        let cache = CacheLayer::new(MemoryStore::new(memory)).layer(origin);
        // Outermost, or a request that comes back would wait for itself in the cache.
        let cache = CdnLoopLayer::new("frontage-edge")?.layer(cache);
        let counts = Arc::<Counts>::default();
        let counting = counts.clone();
        let service = service_fn(move |mut request| {
            name(&mut request);
            mark(&request, &objects);
            counted(cache.clone(), request, counting.clone())
        });
        let listener = server::listen().await?;
        Ok(Self {
            number,
            url: server::url(&listener)?,
            counts,
            server: Server::start(listener, service),
        })
    }

    pub(crate) fn row(&self) -> Row {
        let name = format!("edge {}", self.number);
        self.counts.row(name, &self.url, true)
    }

    pub(crate) async fn stop(&self) {
        self.server.stop().await;
    }
}

/// Gives the request the site's name, in place of what the viewer called it.
fn name<B>(request: &mut Request<B>) {
    request.headers_mut().insert(header::HOST, HOST);
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
}

fn mark(request: &Request<Incoming>, objects: &Objects) {
    let path = request.uri().path_and_query();
    let object = path.and_then(|path| objects.named(path.as_str()));
    if let Some(object) = object.filter(|_| request.method() == Method::GET) {
        objects.asked(object);
    }
}
