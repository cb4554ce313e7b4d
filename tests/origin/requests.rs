//! What reaches an origin of a viewer's request.

use super::*;
use crate::raw::{OK, serve};
use axum::{Router, routing::get as route};
use frontage::{ViewerAddress, ViewerProtocol, origin::OriginProtocolPolicy};
use http::Version;
use std::net::SocketAddr;

/// The head that reaches the origin, in lines.
async fn reaches(
    origin: impl FnOnce(Origin) -> Origin,
    request: Request<Empty<Bytes>>,
) -> Vec<String> {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    let host = server.address.to_string();
    let service = origin(super::origin(&server.url())).build().unwrap();
    let response = ask(&service, request).await;
    assert_eq!(text(response).await.unwrap(), "ok");
    let head = server.seen.heads().remove(0).replace(&host, "ORIGIN");
    head.trim_end().split("\r\n").map(str::to_owned).collect()
}

fn field<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let mut lines = head.iter().filter_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    });
    let first = lines.next();
    assert_eq!(lines.next(), None, "{name} stands twice: {head:?}");
    first
}

#[tokio::test]
async fn the_path_goes_on_byte_by_byte_behind_the_origins_own() {
    for (path, target, expected) in [
        ("", "/a/../b//c%2f%41?x=%20&y", "/a/../b//c%2f%41?x=%20&y"),
        ("/base", "/a?b", "/base/a?b"),
        ("/base", "/", "/base/"),
        ("/b%20c", "/a?", "/b%20c/a?"),
        ("", "http://viewer.example/a?b", "/a?b"),
        ("", "http://viewer.example", "/"),
        ("", "http://viewer.example?b", "/?b"),
        ("", "http://viewer.example#b", "/"),
        ("/base", "http://viewer.example#b", "/base/"),
        ("/base", "http://viewer.example?b", "/base/?b"),
    ] {
        let head = reaches(|origin| origin.path(path).unwrap(), get(target)).await;
        assert_eq!(head[0], format!("GET {expected} HTTP/1.1"));
    }
}

#[tokio::test]
async fn the_host_is_the_origins_unless_the_viewers_is_wanted() {
    let viewers = || request("GET", "/", &[("host", "viewer.example")]);
    assert_eq!(
        field(&reaches(|o| o, viewers()).await, "host"),
        Some("ORIGIN")
    );
    let forwarded = reaches(|origin| origin.forward_host(true), viewers()).await;
    assert_eq!(field(&forwarded, "host"), Some("viewer.example"));
    let none = reaches(|origin| origin.forward_host(true), get("/")).await;
    assert_eq!(field(&none, "host"), Some("ORIGIN"));
    for fields in [&[][..], &[("host", "viewer.example")]] {
        let absolute = request("GET", "http://user@absolute.example/", fields);
        let absolute = reaches(|origin| origin.forward_host(true), absolute).await;
        assert_eq!(field(&absolute, "host"), Some("absolute.example"));
    }
}

#[tokio::test]
async fn what_belongs_to_the_viewers_connection_stays_there() {
    let request = request(
        "GET",
        "/",
        &[
            ("connection", "close, x-own"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic eDp5"),
            ("proxy-connection", "close"),
            ("expect", "100-continue"),
            ("x-end-to-end", "1"),
        ],
    );
    let head = reaches(|origin| origin.via(None).unwrap(), request).await;
    let mut names: Vec<&str> = head[1..]
        .iter()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "x-end-to-end"]);
}

#[tokio::test]
async fn we_say_that_we_were_here_and_who_asks() {
    let mut request = request(
        "GET",
        "/",
        &[
            ("via", "1.0 first"),
            ("x-forwarded-for", "192.0.2.4"),
            ("x-forwarded-for", "192.0.2.3"),
        ],
    );
    let address = "[2001:db8::1]:4711".parse().unwrap();
    request.extensions_mut().insert(ViewerAddress(address));
    *request.version_mut() = Version::HTTP_2;
    let head = reaches(|origin| origin, request).await;
    assert_eq!(field(&head, "via"), Some("1.0 first, 2.0 frontage"));
    assert_eq!(
        field(&head, "x-forwarded-for"),
        Some("192.0.2.4,192.0.2.3,2001:db8::1")
    );
    let head = reaches(|origin| origin.via(Some("edge (Test)")).unwrap(), get("/")).await;
    assert_eq!(field(&head, "via"), Some("1.1 edge (Test)"));
    assert_eq!(field(&head, "x-forwarded-for"), None);
}

#[tokio::test]
async fn what_a_viewer_says_of_itself_is_not_passed_on_as_ours() {
    let forged = || request("GET", "/", &[("x-forwarded-for", "192.0.2.4")]);
    let head = reaches(|origin| origin, forged()).await;
    assert_eq!(field(&head, "x-forwarded-for"), None);

    let mut known = forged();
    let peer: SocketAddr = "192.0.2.9:4711".parse().unwrap();
    known
        .extensions_mut()
        .insert(axum::extract::ConnectInfo(peer));
    let head = reaches(|origin| origin, known).await;
    let expected = cfg!(feature = "axum").then_some("192.0.2.4,192.0.2.9");
    assert_eq!(field(&head, "x-forwarded-for"), expected);
}

/// The service sees one URI, though a router above the origin took a prefix off another.
#[cfg(feature = "axum")]
#[tokio::test]
async fn a_service_in_the_process_is_asked_for_what_the_origin_asks_for() {
    use axum::extract::OriginalUri;
    let app = Router::new().route(
        "/base/{*path}",
        route(|OriginalUri(uri): OriginalUri| async move { uri.to_string() }),
    );
    let service = Origin::service(app).path("/base").unwrap().build().unwrap();
    let edge: Router = Router::new().nest("/edge", Router::new().fallback_service(service));
    let answered = edge.oneshot(get("/edge/a?b").map(axum::body::Body::new));
    let body = answered.await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "/base/a?b");
}

#[tokio::test]
async fn custom_headers_stand_in_place_of_a_viewers() {
    let request = request(
        "GET",
        "/",
        &[("x-origin-verify", "guess"), ("x-origin-verify", "again")],
    );
    let with = |origin: Origin| origin.custom_header("X-Origin-Verify", "secret").unwrap();
    let head = reaches(with, request).await;
    assert_eq!(field(&head, "x-origin-verify"), Some("secret"));
    let origin = origin("http://h")
        .custom_header("x-origin-verify", "secret")
        .unwrap();
    assert!(!format!("{origin:?}").contains("secret"));
}

#[tokio::test]
async fn what_cant_be_passed_on_is_refused() {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    let service = origin(&server.url()).build().unwrap();
    for refused in [
        request("GET", "/", &[("host", "a"), ("host", "b")]),
        request(
            "POST",
            "/",
            &[("content-length", "1"), ("content-length", "2")],
        ),
        request("POST", "/", &[("content-length", "+1")]),
        request(
            "POST",
            "/",
            &[("content-length", "1"), ("transfer-encoding", "chunked")],
        ),
        request("POST", "/", &[("transfer-encoding", "identity, chunked")]),
        request(
            "POST",
            "/",
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
        ),
        request("CONNECT", "h:80", &[]),
        request("OPTIONS", "*", &[]),
    ] {
        let response = ask(&service, refused).await;
        assert_eq!(failure(&response), Some(OriginFailure::BadRequest));
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["connection"], "close");
    }
    let mut refused = request("GET", "/", &[("host", "a"), ("host", "b")]);
    *refused.version_mut() = http::Version::HTTP_2;
    let response = ask(&service, refused).await;
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(server.seen.connections(), 0);
}

#[tokio::test]
async fn a_body_goes_on_as_it_comes_without_its_trailers() {
    let server = serve(|_, mut peer| async move {
        peer.head().await;
        let expected = "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
        let body = peer.body(expected.len()).await;
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
        peer.send(OK).await;
        peer.head().await;
    })
    .await;
    let service = origin(&server.url()).build().unwrap();
    let (mut feed, body) = http_body_util::channel::Channel::<Bytes>::new(1);
    // A GET, of which a client sends no body unless it is told to.
    let request = Request::get("/").body(body).unwrap();
    let feeding = async move {
        feed.send_data(Bytes::from_static(b"ab")).await.unwrap();
        tokio::time::sleep(50 * MILLIS).await;
        feed.send_data(Bytes::from_static(b"cde")).await.unwrap();
        let trailers = [("x-trailer".parse().unwrap(), "1".parse().unwrap())];
        feed.send_trailers(trailers.into_iter().collect())
            .await
            .unwrap();
    };
    let (response, ()) = tokio::join!(ask(&service, request), feeding);
    assert_eq!(text(response).await.unwrap(), "ok");
}

#[tokio::test]
async fn what_belongs_to_the_origins_connection_stays_there() {
    let server = serve(|_, peer| {
        peer.answer_all(
            "HTTP/1.1 200 OK\r\nconnection: x-own\r\nx-own: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: x\r\n\
             upgrade: h2c\r\nx-end-to-end: 1\r\ntransfer-encoding: chunked\r\ncontent-length: 7\r\n\r\n2\r\nok\r\n0\r\nx-trailer: 1\r\n\
             Content-Length: 999\r\nconnection: close\r\ntransfer-encoding: chunked\r\nset-cookie: sid=1\r\nhost: h\r\n\r\n",
        )
    })
    .await;
    let service = origin(&server.url()).build().unwrap();
    let response = ask(&service, get("/")).await;
    let names: Vec<&str> = response
        .headers()
        .keys()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["x-end-to-end"]);
    let whole = response.into_body().collect().await.unwrap();
    let trailers: Vec<_> = whole.trailers().unwrap().iter().collect();
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    assert_eq!(whole.trailers().unwrap()["x-trailer"], "1");
    assert_eq!(whole.to_bytes(), "ok");
}

#[tokio::test]
async fn a_length_that_is_no_number_goes_no_further() {
    for (lengths, expected) in [
        ("Content-Length: 2\r\nContent-Length: 3\r\n", None),
        ("Content-Length: +2\r\n", None),
        ("Content-Length:\r\n", None),
        ("Content-Length: 18446744073709551616\r\n", None),
        (
            "Content-Length: 18446744073709551615\r\n",
            Some("18446744073709551615"),
        ),
        ("Content-Length: 2\r\n", Some("2")),
        ("Content-Length: 2, 2\r\n", Some("2")),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", Some("2")),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lengths}\r\n");
        let answer: &'static str = answer.leak();
        let server = serve(move |_, peer| peer.answer_all(answer)).await;
        let service = super::origin(&server.url()).build().unwrap();
        let response = ask(&service, request("HEAD", "/", &[])).await;
        let length: Vec<_> = response
            .headers()
            .get_all("content-length")
            .iter()
            .collect();
        assert_eq!(length, Vec::from_iter(expected), "{lengths}");
    }
}

#[tokio::test]
async fn match_viewer_asks_by_the_viewers_protocol() {
    let server = serve(|number, mut peer| async move {
        match number {
            0 => peer.answer_all(OK).await,
            // It doesn't speak TLS.
            _ => peer.send("HTTP/1.1 400 Bad Request\r\n\r\n").await,
        }
    })
    .await;
    let service = Origin::host("127.0.0.1")
        .protocol_policy(OriginProtocolPolicy::MatchViewer)
        .http_port(server.address.port())
        .https_port(server.address.port())
        .tls_config(tls::config(&[]))
        .build()
        .unwrap();
    let response = ask(&service, get("/")).await;
    assert_eq!(text(response).await.unwrap(), "ok");
    let mut https = get("/");
    https.extensions_mut().insert(ViewerProtocol::Https);
    assert_eq!(
        failure(&ask(&service, https).await),
        Some(OriginFailure::Tls)
    );
    let https = get("https://viewer.example/");
    assert_eq!(
        failure(&ask(&service, https).await),
        Some(OriginFailure::Tls)
    );
}

#[tokio::test]
async fn a_unix_socket_is_an_origin() {
    let folder = std::env::temp_dir().join(format!("frontage-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("origin.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let app = Router::new().route(
        "/",
        route(
            |headers: http::HeaderMap| async move { headers["host"].to_str().unwrap().to_owned() },
        ),
    );
    tokio::spawn(async move { axum::serve(listener, app).await });
    let service = Origin::unix(&path).build().unwrap();
    let response = ask(&service, request("GET", "/", &[("host", "viewer.example")])).await;
    assert_eq!(text(response).await.unwrap(), "viewer.example");
    std::fs::remove_dir_all(&folder).unwrap();
    let gone = ask(&service, request("POST", "/", &[])).await;
    let gone = match failure(&gone) {
        // On the connection that was kept.
        None => return,
        gone => gone,
    };
    assert_eq!(gone, Some(OriginFailure::Connect));
}

#[tokio::test]
async fn a_service_in_the_process_is_an_origin() {
    let app = Router::new()
        .route(
            "/base/a",
            route(|headers: http::HeaderMap| async move {
                format!("{:?} {:?}", headers.get("host"), headers.get("via"))
            }),
        )
        .route("/base/stall", route(std::future::pending::<()>));
    let service = Origin::service(app)
        .path("/base")
        .unwrap()
        .response_timeout(200 * MILLIS)
        .build()
        .unwrap();
    let response = ask(
        &service,
        request("GET", "/a", &[("host", "viewer.example")]),
    )
    .await;
    assert_eq!(
        text(response).await.unwrap(),
        r#"Some("viewer.example") Some("1.1 frontage")"#
    );
    let response = ask(&service, get("/stall")).await;
    assert_eq!(failure(&response), Some(OriginFailure::ResponseTimeout));
    assert_eq!(ask(&service, get("/none")).await.status(), 404);
    let fails = tower::service_fn(|_| async {
        Err::<Response<Empty<Bytes>>, _>(std::io::Error::other("no"))
    });
    let service = Origin::service(fails).build().unwrap();
    assert_eq!(
        failure(&ask(&service, get("/")).await),
        Some(OriginFailure::Closed)
    );
}

#[test]
fn mistakes_name_the_setting_and_the_value() {
    let long = "x".repeat(2000);
    for (name, value) in [
        ("host", "a"),
        ("Cookie", "a"),
        ("x-amz-date", "a"),
        ("X-Edge-Location", "a"),
        ("a b", "c"),
        ("a", "b\n"),
        ("a", &*long),
    ] {
        let error = origin("http://h").custom_header(name, value).unwrap_err();
        assert_eq!(error.setting(), "custom_header");
        assert!(error.to_string().contains(name) && !error.to_string().contains(&long));
    }
    let mut full = origin("http://h");
    for number in 0..30 {
        full = full.custom_header(&format!("x-{number}"), "1").unwrap();
    }
    assert!(full.custom_header("x-30", "1").is_err());
    for url in [
        "",
        "h",
        "ftp://h",
        "http://h/?a",
        "http://u@h/",
        "http://h:x/",
        "/a",
    ] {
        assert_eq!(Origin::url(url).unwrap_err().setting(), "url", "{url}");
    }
    for path in ["a", "/a/", "/a?b", "/a b"] {
        assert_eq!(
            origin("http://h").path(path).unwrap_err().setting(),
            "path",
            "{path}"
        );
    }
    type Change = fn(Origin) -> Origin;
    let zeros: [(&str, Change); 7] = [
        ("connection_timeout", |o| {
            o.connection_timeout(Duration::ZERO)
        }),
        ("connection_attempts", |o| o.connection_attempts(0)),
        ("response_timeout", |o| o.response_timeout(Duration::ZERO)),
        ("keep_alive_timeout", |o| {
            o.keep_alive_timeout(Duration::ZERO)
        }),
        ("response_completion_timeout", |o| {
            o.response_completion_timeout(Some(Duration::ZERO))
        }),
        ("websocket_idle_timeout", |o| {
            o.websocket_idle_timeout(Duration::ZERO)
        }),
        ("host", |_| Origin::host("a/b")),
    ];
    for (setting, change) in zeros {
        let error = change(origin("http://h")).build().unwrap_err();
        assert_eq!(error.setting(), setting);
    }
    let ranges: [(&str, Change); 8] = [
        ("connection_timeout", |o| {
            o.connection_timeout(11 * Duration::from_secs(1))
        }),
        ("connection_timeout", |o| {
            o.connection_timeout(1500 * MILLIS)
        }),
        ("connection_attempts", |o| o.connection_attempts(4)),
        ("response_timeout", |o| {
            o.response_timeout(Duration::from_secs(121))
        }),
        ("keep_alive_timeout", |o| {
            o.keep_alive_timeout(Duration::from_secs(301))
        }),
        ("response_completion_timeout", |o| {
            o.response_completion_timeout(Some(Duration::from_secs(29)))
        }),
        ("http_port", |o| o.http_port(81)),
        ("host", |_| {
            Origin::url("http://127.0.0.1").unwrap().cloudfront(true)
        }),
    ];
    for (setting, change) in ranges {
        let strict = change(origin("http://h").cloudfront(true));
        assert_eq!(strict.build().unwrap_err().setting(), setting);
    }
    assert!(
        origin("http://h")
            .connection_attempts(9)
            .response_timeout(Duration::from_secs(999))
            .build()
            .is_ok()
    );
    assert!(origin("http://h").cloudfront(true).build().is_ok());
}

#[tokio::test]
async fn a_body_that_isnt_there_though_its_length_is_said_is_a_400() {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    let service = origin(&server.url()).build().unwrap();
    let response = ask(&service, request("POST", "/", &[("content-length", "5")])).await;
    assert_eq!(failure(&response), Some(OriginFailure::RequestBody));
    assert_eq!(server.seen.connections(), 0);
}

#[tokio::test]
async fn the_cookies_of_http2_are_one_line_for_http1() {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    let service = origin(&server.url()).build().unwrap();
    ask(
        &service,
        request("GET", "/", &[("cookie", "a=1"), ("cookie", "b=2")]),
    )
    .await;
    let head = server.seen.heads().remove(0);
    assert!(head.contains("\r\ncookie: a=1; b=2\r\n"), "{head}");
    assert_eq!(head.matches("cookie").count(), 1);
}

#[test]
fn a_url_with_a_password_is_refused_without_showing_it() {
    let errors = [
        Origin::url("http://user:hush@a/").unwrap_err(),
        Origin::host("user:hush@a").build().unwrap_err(),
        Origin::host("user:hush@a..b").build().unwrap_err(),
    ];
    for error in errors {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hush") && shown.contains('a'), "{shown}");
    }
}

#[test]
fn places_that_there_are_not_are_refused() {
    let long = "/".repeat(108);
    let tls = frontage::origin::OriginProtocolPolicy::HttpsOnly;
    for (origin, setting) in [
        (Origin::s3("bucket", ""), "host"),
        (Origin::s3("", "eu-west-1"), "host"),
        (Origin::unix(""), "unix"),
        (Origin::unix(long), "unix"),
        (
            Origin::unix("/run/a").protocol_policy(tls),
            "protocol_policy",
        ),
        (Origin::host("a").max_response_head(0), "max_response_head"),
        (
            Origin::host("a").max_response_head(1 << 20),
            "max_response_head",
        ),
    ] {
        assert_eq!(origin.build().unwrap_err().setting(), setting);
    }
    assert!(Origin::url("http://a/#b").is_err());
}
