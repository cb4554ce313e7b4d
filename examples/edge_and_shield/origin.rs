//! The origin: a site of small objects, which takes its time.

use crate::{
    objects::{self, Objects},
    server::{self, Server},
    table::Asked,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use std::{
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tower::service_fn;

/// Says to the origin which shield asks: 0 is an edge itself.
pub(crate) const ASKED_BY: HeaderName = HeaderName::from_static("x-asked-by");

#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) url: String,
    site: Arc<Site>,
    server: Server,
}

#[derive(Debug)]
struct Site {
    objects: Arc<Objects>,
    delay: Duration,
    cache_control: HeaderValue,
    requests: AtomicU64,
    confirmed: AtomicU64,
}

impl Origin {
    pub(crate) async fn start(
        objects: Arc<Objects>,
        delay: Duration,
        max_age: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let listener = server::listen().await?;
        let site = Arc::new(Site {
            objects,
            delay,
            cache_control: HeaderValue::try_from(format!("max-age={max_age}"))?,
            requests: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
        });
        let url = server::url(&listener)?;
        let serving = site.clone();
        let service = service_fn(move |request| {
            let site = serving.clone();
            async move { Ok::<_, Infallible>(site.answer(&request).await) }
        });
        let server = Server::start(listener, service);
        Ok(Self { url, site, server })
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked {
            url: self.url.clone(),
            requests: self.site.requests.load(Ordering::Relaxed),
            confirmed: self.site.confirmed.load(Ordering::Relaxed),
        }
    }

    pub(crate) async fn stop(&self) {
        self.server.stop().await;
    }
}

impl Site {
    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let is_get = request.method() == Method::GET;
        if !is_get && request.method() != Method::HEAD {
            let mut response = page(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allow);
            return response;
        }
        let name = request.uri().path_and_query();
        let Some(object) = name.and_then(|name| self.objects.named(name.as_str())) else {
            return page(StatusCode::NOT_FOUND, "no such object\n");
        };
        if is_get {
            let by = request.headers().get(ASKED_BY);
            let by = by.and_then(|by| by.to_str().ok()?.parse().ok());
            self.objects.fetched(object, by.unwrap_or(0));
        }
        tokio::time::sleep(self.delay).await;
        let etag = format!("\"object-{}\"", object.saturating_add(1));
        let validator = request.headers().get(header::IF_NONE_MATCH);
        let mut response = if validator.is_some_and(|validator| *validator == *etag) {
            self.confirmed.fetch_add(1, Ordering::Relaxed);
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            page(StatusCode::OK, objects::content(object))
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, self.cache_control.clone());
        if let Ok(etag) = HeaderValue::try_from(etag) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}

fn page(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    response
}
