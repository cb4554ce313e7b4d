//! HTTP/2 to origins: where asked, and for gRPC.

use super::*;
use http::{HeaderMap, Version};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::net::TcpListener;

/// Serves HTTP/1.1 and HTTP/2 without TLS; says the version and the `TE` of a request, and ends with trailers. `/late` takes
/// its time, `/never` all of it.
async fn serve() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
                match request.uri().path() {
                    "/late" => tokio::time::sleep(500 * MILLIS).await,
                    "/never" => std::future::pending().await,
                    _ => {}
                }
                let said = format!("{:?} {:?}", request.version(), request.headers().get("te"));
                let received = request.into_body().collect().await.unwrap().to_bytes();
                // In one frame: a client takes a hundred that are empty, and no more.
                let said = [said.as_bytes(), &received].concat();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let frames = [
                    Ok::<_, Infallible>(Frame::data(Bytes::from(said))),
                    Ok(Frame::trailers(trailers)),
                ];
                let body = StreamBody::new(futures_util::stream::iter(frames));
                Ok::<_, Infallible>(Response::new(body))
            });
            tokio::spawn(async move {
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http2().max_concurrent_streams(50);
                let stream = TokioIo::new(stream);
                builder
                    .serve_connection(stream, service)
                    .await
                    .map_err(|_| ())
            });
        }
    });
    (url, connections)
}

#[tokio::test]
async fn it_is_spoken_where_asked_and_one_connection_serves_many() {
    let (url, connections) = serve().await;
    let service = origin(&url).http2(true).build().unwrap();
    let first = ask(&service, get("/")).await;
    assert_eq!(
        first.version(),
        Version::HTTP_11,
        "ours, whatever the origin speaks"
    );
    assert_eq!(text(first).await.unwrap(), "HTTP/2.0 None");
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let service = service.clone();
        asking.spawn(async move { text(ask(&service, get("/")).await).await.unwrap() });
    }
    while let Some(answer) = asking.join_next().await {
        assert_eq!(answer.unwrap(), "HTTP/2.0 None");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let service = origin(&url).build().unwrap();
    let response = ask(&service, get("/")).await;
    assert_eq!(text(response).await.unwrap(), "HTTP/1.1 None");
}

#[tokio::test]
async fn grpc_goes_by_http2_with_its_trailers() {
    let (url, _) = serve().await;
    let service = origin(&url).build().unwrap();
    for content_type in ["application/grpc", "Application/gRPC+proto; x=y"] {
        let request = Request::post("/package.Service/Method")
            .header("content-type", content_type)
            .body(http_body_util::Full::from("message"))
            .unwrap();
        let response = ask(&service, request).await;
        let whole = response.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(whole.to_bytes(), "HTTP/2.0 Some(\"trailers\")message");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_the_next_request_opens_another() {
    let (url, connections) = serve().await;
    let service = origin(&url)
        .http2(true)
        .keep_alive_timeout(100 * MILLIS)
        .build()
        .unwrap();
    for opened in 1..=2 {
        for _ in 0..3 {
            assert_eq!(
                text(ask(&service, get("/")).await).await.unwrap(),
                "HTTP/2.0 None"
            );
        }
        assert_eq!(connections.load(Ordering::SeqCst), opened);
        tokio::time::sleep(500 * MILLIS).await;
    }
}

#[tokio::test]
async fn where_one_connection_is_full_there_are_more_for_as_long_as_they_are_needed() {
    let (url, connections) = serve().await;
    let service = origin(&url)
        .http2(true)
        .keep_alive_timeout(200 * MILLIS)
        .build()
        .unwrap();
    let all_at_once = async |requests| {
        let asking = (0..requests).map(|_| async {
            let response = ask(&service, get("/late")).await;
            assert_eq!(text(response).await.unwrap(), "HTTP/2.0 None");
        });
        futures_util::future::join_all(asking).await;
        connections.load(Ordering::SeqCst)
    };
    // Each takes fifty. More come before that is known, and wait.
    assert_eq!(all_at_once(70).await, 1);
    assert_eq!(all_at_once(50).await, 1);
    assert_eq!(all_at_once(52).await, 2);
    assert_eq!(all_at_once(52).await, 2);
    assert_eq!(all_at_once(120).await, 3);
    let start = tokio::time::Instant::now();
    while start.elapsed() < 700 * MILLIS {
        text(ask(&service, get("/")).await).await.unwrap();
        tokio::time::sleep(20 * MILLIS).await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3, "the first is kept");
    assert_eq!(all_at_once(60).await, 4, "the others are not");
}

#[tokio::test]
async fn of_many_that_wait_for_a_connection_no_more_use_it_than_have_room() {
    let (url, connections) = serve().await;
    let service = origin(&url).http2(true).build().unwrap();
    let asking = (0..150).map(|_| ask(&service, get("/late")));
    for response in futures_util::future::join_all(asking).await {
        assert_eq!(response.status(), 200);
    }
    assert!(connections.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn a_connection_over_which_nothing_came_in_time_is_not_used_again() {
    let (url, connections) = serve().await;
    let service = origin(&url)
        .http2(true)
        .response_timeout(300 * MILLIS)
        .connection_attempts(2)
        .build()
        .unwrap();
    text(ask(&service, get("/")).await).await.unwrap();
    let response = ask(&service, get("/never")).await;
    assert_eq!(failure(&response), Some(OriginFailure::ResponseTimeout));
    // So was that of the second attempt.
    text(ask(&service, get("/")).await).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_origin_that_nobody_reaches_fails_all_who_wait_for_the_connection_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let service = origin(&url).http2(true).build().unwrap();
    let asking = (0..20).map(|_| ask(&service, get("/")));
    for response in futures_util::future::join_all(asking).await {
        assert_eq!(failure(&response), Some(OriginFailure::Connect));
    }
}

/// Serves HTTP/2: the first connection does as `first` says with its second request, all others are answered. Says how many
/// requests each connection had.
async fn serve_streams(
    first: fn(h2::server::SendResponse<Bytes>),
) -> (String, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests: Arc<Mutex<Vec<usize>>> = Arc::default();
    let seen = requests.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = seen.lock().unwrap().len();
            seen.lock().unwrap().push(0);
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_request, mut respond))) = connection.accept().await {
                    seen.lock().unwrap()[number] += 1;
                    if number == 0 && seen.lock().unwrap()[0] == 2 {
                        first(respond);
                    } else {
                        respond.send_response(Response::new(()), true).unwrap();
                    }
                }
            });
        }
    });
    (url, requests)
}

#[tokio::test]
async fn what_the_origin_has_seen_is_not_sent_again() {
    for method in ["GET", "DELETE"] {
        let (url, requests) =
            serve_streams(|mut respond| respond.send_reset(h2::Reason::INTERNAL_ERROR)).await;
        let service = origin(&url).http2(true).build().unwrap();
        assert_eq!(ask(&service, get("/")).await.status(), 200);
        let reset = ask(&service, request(method, "/", &[])).await;
        assert_eq!(failure(&reset), Some(OriginFailure::Closed));
        assert_eq!(ask(&service, get("/")).await.status(), 200);
        assert_eq!(
            *requests.lock().unwrap(),
            [3],
            "the connection is still good"
        );
    }
}

#[tokio::test]
async fn what_the_origin_refused_to_process_is_sent_once_more() {
    let (url, requests) =
        serve_streams(|mut respond| respond.send_reset(h2::Reason::REFUSED_STREAM)).await;
    let service = origin(&url).http2(true).build().unwrap();
    for _ in 0..2 {
        assert_eq!(
            ask(&service, request("DELETE", "/", &[])).await.status(),
            200
        );
    }
    assert_eq!(*requests.lock().unwrap(), [2, 1]);
}

#[tokio::test]
async fn a_viewer_that_leaves_while_it_opens_leaves_the_connection_to_the_next() {
    let (url, _) = serve().await;
    let address = url.strip_prefix("http://").unwrap().to_owned();
    let dialled = Arc::new(AtomicUsize::new(0));
    let count = dialled.clone();
    let connector = tower::service_fn(move |_: http::Uri| {
        count.fetch_add(1, Ordering::SeqCst);
        let address = address.clone();
        async move {
            tokio::time::sleep(200 * MILLIS).await;
            tokio::net::TcpStream::connect(address)
                .await
                .map(TokioIo::new)
        }
    });
    let service = Origin::connector("www.example.com", connector)
        .http2(true)
        .connection_timeout(500 * MILLIS)
        .connection_attempts(1)
        .build()
        .unwrap();
    let left = tokio::time::timeout(50 * MILLIS, ask(&service, get("/"))).await;
    assert!(left.is_err());
    tokio::time::sleep(600 * MILLIS).await;
    assert_eq!(ask(&service, get("/")).await.status(), 200);
    assert_eq!(dialled.load(Ordering::SeqCst), 1);
}
