//! What a request for a page becomes, and its answer.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::{Either, Empty, Full};
use tower::{Service, ServiceExt};

/// What a directory stands for.
const INDEX: &str = "index.html";
/// What is shown in place of an object that isn't there.
const NOT_FOUND: &str = "/404.html";

/// A body of `inner`, or one of ours.
pub(crate) type PageBody<B> = Either<B, Full<Bytes>>;

/// Answers a viewer with an object of `inner`, or with a page that says why not.
pub(crate) async fn answer<S, V, B>(
    inner: S,
    request: Request<V>,
) -> Result<Response<PageBody<B>>, S::Error>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone,
{
    let method = request.method().clone();
    if method != Method::GET && method != Method::HEAD {
        return Ok(not_allowed());
    }
    let mut request = request.map(|_| Empty::new());
    if let Some(uri) = index_of(request.uri()) {
        *request.uri_mut() = uri;
    }
    let response = inner.clone().oneshot(request).await?;
    // Without the permission to list a bucket, S3 says 403 of what isn't there.
    let is_missing = matches!(
        response.status(),
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN
    );
    if !is_missing {
        return Ok(response.map(Either::Left));
    }
    let mut instead = Request::new(Empty::new());
    *instead.method_mut() = method;
    *instead.uri_mut() = Uri::from_static(NOT_FOUND);
    let mut page = inner.oneshot(instead).await?;
    if page.status() != StatusCode::OK {
        return Ok(response.map(Either::Left));
    }
    *page.status_mut() = StatusCode::NOT_FOUND;
    for name in [header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES] {
        page.headers_mut().remove(name);
    }
    Ok(page.map(Either::Left))
}

/// The object that a directory stands for: `/` is `/index.html`, `/about/` is `/about/index.html`.
fn index_of(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if !path.ends_with('/') {
        return None;
    }
    let target = match uri.query() {
        Some(query) => format!("{path}{INDEX}?{query}"),
        None => format!("{path}{INDEX}"),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

fn not_allowed<B>() -> Response<PageBody<B>> {
    let mut response = Response::new(Either::Right("only GET and HEAD\n".into()));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::convert::Infallible;
    use tower::service_fn;

    /// A bucket with these objects, each with its name for content.
    async fn ask(method: &str, target: &str, objects: &'static [&'static str]) -> (u16, String) {
        let bucket = service_fn(|request: Request<Empty<Bytes>>| async move {
            let path = request.uri().path();
            let is_there = objects.contains(&path);
            let mut response = Response::new(Full::from(request.uri().to_string()));
            *response.status_mut() = match is_there {
                true => StatusCode::OK,
                false => StatusCode::FORBIDDEN,
            };
            Ok::<_, Infallible>(response)
        });
        let request = Request::builder().method(method).uri(target);
        let response = answer(bucket, request.body(()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn a_directory_is_its_index() {
        let objects = &["/index.html", "/a/index.html", "/a/b"];
        for (target, expected) in [
            ("/", "/index.html"),
            ("/?q=1", "/index.html?q=1"),
            ("/a/", "/a/index.html"),
            ("/a/b", "/a/b"),
            ("http://host/a/", "http://host/a/index.html"),
        ] {
            let answer = ask("GET", target, objects).await;
            assert_eq!(answer, (200, expected.to_owned()));
        }
    }

    #[tokio::test]
    async fn what_is_missing_has_a_page_where_there_is_one() {
        assert_eq!(
            ask("GET", "/a", &["/404.html"]).await,
            (404, "/404.html".into())
        );
        assert_eq!(ask("GET", "/a", &[]).await, (403, "/a".into()));
    }

    #[tokio::test]
    async fn only_reading_is_allowed() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            assert_eq!(ask(method, "/a", &["/a"]).await.0, 405, "{method}");
        }
        assert_eq!(ask("HEAD", "/a", &["/a"]).await.0, 200);
    }
}
