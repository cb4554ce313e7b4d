//! What strangers may try, where no other file tests it.

use bytes::Bytes;
use frontage::{
    CacheLayer, CachePolicy, MemoryStore,
    key::KeyPolicy,
    origin::{Origin, RequestBody},
};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;
use tower::{Layer, Service, ServiceExt};

/// An origin in the process, in the language that it is asked for.
fn origin() -> impl Service<
    Request<Empty<Bytes>>,
    Response = Response<frontage::origin::OriginBody>,
    Error = Infallible,
    Future: Send,
> + Clone {
    let inner = tower::service_fn(|request: Request<RequestBody>| async move {
        let language = request.headers().get(header::ACCEPT_LANGUAGE).cloned();
        let body = language.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(it.as_bytes()));
        let mut response = Response::new(Full::<Bytes>::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, "max-age=600".parse().unwrap());
        headers.insert(header::VARY, "accept-language".parse().unwrap());
        Ok::<_, Infallible>(response)
    });
    Origin::service(inner).build().unwrap()
}

async fn language_of<S, B>(service: &S, fields: &[(&str, &str)]) -> String
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data: Send, Error: std::fmt::Debug>,
{
    let mut request = Request::get("http://h/a");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::new()).unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_field_that_connection_takes_along_poisons_no_answer() {
    let listed = || KeyPolicy::new().headers([header::ACCEPT_LANGUAGE]);
    for policy in [
        CachePolicy::default(),
        CachePolicy::rfc9111(),
        CachePolicy::default().key(listed()),
        CachePolicy::caching_optimized().key(listed()),
    ] {
        let layer = CacheLayer::new(MemoryStore::new(1 << 20)).policy(policy);
        let cache = layer.layer(origin());
        for connection in ["accept-language", "keep-alive, Accept-Language", "close"] {
            let fields = [("accept-language", "de"), ("connection", connection)];
            language_of(&cache, &fields).await;
        }
        let asked = language_of(&cache, &[("accept-language", "de")]).await;
        assert_eq!(asked, "de");
    }
}

#[tokio::test]
async fn a_post_whose_connection_takes_a_field_along_poisons_no_answer() {
    let inner = tower::service_fn(|request: Request<RequestBody>| async move {
        let language = request.headers().get(header::ACCEPT_LANGUAGE).cloned();
        let body = language.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(it.as_bytes()));
        let mut response = Response::new(Full::<Bytes>::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, "max-age=600".parse().unwrap());
        headers.insert(header::CONTENT_LOCATION, "/a".parse().unwrap());
        headers.insert(header::VARY, "accept-language".parse().unwrap());
        Ok::<_, Infallible>(response)
    });
    let cache = CacheLayer::new(MemoryStore::new(1 << 20));
    let cache = cache.layer(Origin::service(inner).build().unwrap());
    for (connection, stored) in [("accept-language", "de"), ("close", "de")] {
        let post = Request::post("http://h/a")
            .header("accept-language", "de")
            .header("connection", connection)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = cache.clone().oneshot(post).await.unwrap();
        response.into_body().collect().await.unwrap();
        let asked = language_of(&cache, &[("accept-language", "de")]).await;
        assert_eq!(asked, stored, "{connection}");
    }
}
