//! The threats of `src/threats.md`: that each test named there exists, and what no other file tests.

#![cfg(feature = "origin")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

use bytes::Bytes;
use frontage::{
    BlockLayer, CacheLayer, CachePolicy, CacheStatus, MemoryStore,
    key::{CacheKey, KeyPolicy},
    origin::{Origin, RequestBody},
};
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashSet,
    convert::Infallible,
    fs, io,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};
use tokio::io::DuplexStream;
use tower::{Layer, Service, ServiceExt};

/// The names of all tests in a file or below a folder.
fn tests_in(path: &Path, found: &mut HashSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            tests_in(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let source = fs::read_to_string(path).unwrap();
        let mut lines = source.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if !line.starts_with('#') || !(line.contains("test]") || line.contains("test(")) {
                continue;
            }
            // Behind the attributes.
            let function = lines.find(|line| line.contains("fn ")).unwrap();
            let name = function.split_once("fn ").unwrap().1;
            let name = name.split(['(', '<']).next().unwrap();
            found.insert(name.to_owned());
        }
    }
}

#[test]
fn each_threat_has_a_defence_and_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("src/threats.md")).unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert!(rows.len() > 25, "{} threats", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [threat, defence, tests] = cells[..] else {
            panic!("three columns: {row}");
        };
        assert!(!threat.is_empty() && !defence.is_empty(), "{row}");
        if tests == "none is needed" {
            continue;
        }
        let mut place = None;
        let mut count = 0;
        // `place`: `test`, `test`; `place`: ...
        for quoted in tests.split('`').skip(1).step_by(2) {
            let path = root.join(quoted);
            if quoted.starts_with("fuzz/") && !root.join("fuzz").exists() {
                // It isn't among what is published.
                count += 1;
                continue;
            }
            if quoted.contains('/') {
                assert!(path.exists(), "{threat}: there is no {quoted}");
                let mut found = HashSet::new();
                tests_in(&path, &mut found);
                // A fuzz target is a test by itself.
                count += usize::from(quoted.starts_with("fuzz/"));
                place = Some(found);
                continue;
            }
            let found = place.as_ref().expect("a file or a folder comes first");
            assert!(
                found.contains(quoted),
                "{threat}: there is no test {quoted}"
            );
            count += 1;
        }
        assert!(count > 0, "{threat}: no test");
    }
}

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
async fn a_private_page_under_the_name_of_a_picture_is_not_stored() {
    let secret = |lifetime: &'static str| {
        let inner = tower::service_fn(move |_: Request<Empty<Bytes>>| async move {
            let mut response = Response::new(Full::<Bytes>::from("an account"));
            if !lifetime.is_empty() {
                let lifetime = lifetime.parse().unwrap();
                response
                    .headers_mut()
                    .insert(header::CACHE_CONTROL, lifetime);
            }
            Ok::<_, Infallible>(response)
        });
        CacheLayer::new(MemoryStore::new(1 << 20)).layer(inner)
    };
    let ask = |credentials: Option<(&str, &str)>| {
        let mut request = Request::get("http://h/account/nothing.css");
        if let Some((name, value)) = credentials {
            request = request.header(name, value);
        }
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    for lifetime in ["", "private, max-age=600", "no-store", "max-age=600"] {
        let cache = secret(lifetime);
        for credentials in [("cookie", "session=1"), ("authorization", "Bearer 1")] {
            let response = cache.clone().oneshot(ask(Some(credentials))).await.unwrap();
            response.into_body().collect().await.unwrap();
        }
        let stranger = cache.clone().oneshot(ask(None)).await.unwrap();
        let status: &CacheStatus = stranger.extensions().get().unwrap();
        assert!(!status.is_hit(), "{lifetime:?}");
    }
}

#[test]
fn another_process_hashes_otherwise() {
    const ASKED: &str = "FRONTAGE_TEST_HASH";
    let hash = CacheKey::from_bytes(b"a key").hash64();
    if std::env::var_os(ASKED).is_some() {
        println!("hash {hash}");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let other = Command::new(this)
        .args(["another_process_hashes_otherwise", "--exact", "--nocapture"])
        .env(ASKED, "1")
        .output()
        .unwrap();
    let told = String::from_utf8(other.stdout).unwrap();
    let (_, other) = told.split_once("hash ").unwrap();
    let other = other.split_whitespace().next().unwrap();
    assert_ne!(other.parse(), Ok(hash));
}

#[tokio::test]
async fn nothing_that_a_viewer_says_changes_where_a_request_goes() {
    let asked = Arc::new(Mutex::new(HashSet::new()));
    let connector = tower::service_fn({
        let asked = asked.clone();
        move |uri: Uri| {
            asked.lock().unwrap().insert(uri.to_string());
            async { Err::<TokioIo<DuplexStream>, _>(io::Error::other("nobody is there")) }
        }
    });
    let origin = Origin::connector("origin.example", connector).forward_host(true);
    let origin = origin.build().unwrap();
    for target in [
        "/a",
        "//evil.example/a",
        "/http://evil.example/a",
        "/@evil.example/a",
        "http://evil.example/a",
        "https://evil.example:444/a",
        "http://origin.example@evil.example/a",
        "http://127.0.0.1/latest/meta-data",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let request = Request::builder()
                .method(method)
                .uri(target)
                .header("host", "evil.example")
                .header("forwarded", "host=evil.example")
                .header("x-forwarded-host", "evil.example")
                .header("x-forwarded-proto", "https")
                .body(Empty::<Bytes>::new())
                .unwrap();
            let response = origin.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 502, "{target}");
        }
    }
    let asked = asked.lock().unwrap();
    let asked: Vec<&String> = asked.iter().collect();
    assert_eq!(asked, ["http://origin.example:80/"]);
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

#[tokio::test]
async fn a_field_that_connection_takes_along_poisons_no_block() {
    // 64 KiB of the language that is asked for, in ranges.
    let inner = tower::service_fn(|request: Request<RequestBody>| async move {
        let fields = request.headers();
        let language = fields.get("accept-language");
        let letter = language.map_or(b'-', |language| language.as_bytes()[0]);
        let range = fields[header::RANGE].to_str().unwrap();
        let (first, last) = range["bytes=".len()..].split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let last = last.min((64 << 10) - 1);
        let mut response = Response::new(Full::new(Bytes::from(vec![letter; last + 1 - first])));
        *response.status_mut() = http::StatusCode::PARTIAL_CONTENT;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CACHE_CONTROL, "max-age=600".to_owned()),
            (header::VARY, "accept-language".to_owned()),
            (header::ETAG, format!("\"{letter}\"")),
            (header::CONTENT_RANGE, format!("bytes {first}-{last}/65536")),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        Ok::<_, Infallible>(response)
    });
    let origin = Origin::service(inner).build().unwrap();
    for method in ["GET", "HEAD"] {
        let layer = BlockLayer::new(CacheLayer::new(MemoryStore::new(1 << 20)));
        let layer = layer.block_size(16 << 10).unwrap();
        let blocks = layer.layer(origin.clone());
        let ask = async |method: &str, connection: &str| {
            let request = Request::builder().method(method).uri("http://h/a");
            let request = request
                .header("accept-language", "de")
                .header("range", "bytes=0-3")
                .header("connection", connection)
                .body(Empty::<Bytes>::new());
            let response = blocks.clone().oneshot(request.unwrap()).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        };
        ask(method, "accept-language").await;
        assert_eq!(ask("GET", "keep-alive").await, "dddd", "{method}");
    }
}
