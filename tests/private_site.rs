//! The example `private_site --self-contained`, as a viewer and its operator see it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "support/example.rs"]
mod example;
mod support;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};
use support::within;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

struct Site {
    process: Child,
    _output: Lines<BufReader<ChildStdout>>,
    /// Where its files are.
    temporary: PathBuf,
    client: Client<HttpConnector, Empty<Bytes>>,
    url: String,
    control: String,
    /// An object of the primary, at the bucket itself.
    direct: String,
}

async fn site() -> Site {
    let name = format!("private-site-{}", std::process::id());
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&temporary).unwrap();
    let mut process = Command::new(example::binary("private_site").await)
        .arg("--self-contained")
        .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
        .env("TMPDIR", &temporary)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
    let (mut url, mut control, mut direct) = (None, None, None);
    while url.is_none() || control.is_none() || direct.is_none() {
        let line = within(output.next_line()).await.unwrap();
        let line = line.expect("it has ended");
        if let Some(found) = line.strip_prefix("listening on ") {
            url = Some(found.to_owned());
        } else if let Some(found) = line.strip_prefix("control on ") {
            control = Some(found.to_owned());
        } else if line.ends_with("/site-primary/index.html") {
            direct = line.split(' ').next_back().map(str::to_owned);
        }
    }
    Site {
        process,
        _output: output,
        temporary,
        client: Client::builder(TokioExecutor::new()).build_http(),
        url: url.unwrap(),
        control: control.unwrap(),
        direct: direct.unwrap(),
    }
}

impl Site {
    async fn send(
        &self,
        method: &str,
        url: &str,
        range: Option<&str>,
    ) -> Result<Response<String>, Error> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let request = request.body(Empty::new()).unwrap();
        let (head, body) = within(self.client.request(request)).await?.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        let text = String::from_utf8(body.into()).unwrap();
        Ok(Response::from_parts(head, text))
    }

    async fn get(&self, path: &str) -> Response<String> {
        let url = format!("{}{path}", self.url);
        self.send("GET", &url, None).await.unwrap()
    }

    /// Gets a page, which must be a hit or not.
    async fn page(&self, path: &str, is_hit: bool) {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        let status = response.headers()["cache-status"].to_str().unwrap();
        let prefix = if is_hit {
            "frontage; hit"
        } else {
            "frontage; fwd"
        };
        assert!(status.starts_with(prefix), "{path}: {status}");
        let content = match path {
            "/" => "<title>A private harbour</title>",
            "/about/" => "<title>About this place</title>",
            "/style.css" => "color-scheme",
            _ => "<svg ",
        };
        assert!(response.body().contains(content), "{path}");
    }

    /// What the primary and the secondary are said to do, and how many requests each got.
    async fn buckets(&self) -> [(String, u64); 2] {
        let shown = self.send("GET", &self.control, None).await.unwrap();
        let line = |name| {
            let mut lines = shown.body().lines();
            let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
            let (state, requests) = line.trim().split_once("; requests: ").unwrap();
            (state.to_owned(), requests.parse().unwrap())
        };
        [line("primary:"), line("secondary:")]
    }

    async fn primary(&self, state: &str) -> u16 {
        let url = format!("{}/primary/{state}", self.control);
        let response = self.send("POST", &url, None).await.unwrap();
        response.status().as_u16()
    }
}

fn said(primary: &str, asked: u64, secondary_asked: u64) -> [(String, u64); 2] {
    [
        (primary.to_owned(), asked),
        ("up".to_owned(), secondary_asked),
    ]
}

#[tokio::test]
async fn a_private_site_stays_up_while_its_primary_comes_and_goes() {
    let mut site = site().await;
    assert_eq!(site.buckets().await, said("up", 0, 0));

    site.page("/", false).await;
    assert_eq!(site.buckets().await, said("up", 1, 0));
    site.page("/", true).await;
    assert_eq!(site.buckets().await, said("up", 1, 0));

    let refused = site.send("GET", &site.direct, None).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(refused.body().contains("<Code>AccessDenied</Code>"));
    assert_eq!(site.buckets().await, said("up", 2, 0));

    let numbers = format!("{}/numbers.txt", site.url);
    let range = site.send("GET", &numbers, Some("bytes=8000-8015")).await;
    let range = range.unwrap();
    assert_eq!(range.status(), 206);
    assert_eq!(range.body(), "0001000\n0001001\n");
    assert_eq!(site.buckets().await, said("up", 3, 0));

    assert_eq!(site.primary("503").await, 200);
    site.page("/about/", false).await;
    site.page("/", true).await;
    assert_eq!(site.buckets().await, said("answers 503", 4, 1));

    assert_eq!(site.primary("refuse").await, 200);
    assert!(site.send("GET", &site.direct, None).await.is_err());
    site.page("/harbour.svg", false).await;
    site.page("/about/", true).await;
    assert_eq!(site.buckets().await, said("refuses connections", 4, 2));

    assert_eq!(site.primary("up").await, 200);
    site.page("/style.css", false).await;
    assert_eq!(site.buckets().await, said("up", 5, 2));

    let missing = site.get("/nowhere").await;
    assert_eq!(missing.status(), 404);
    assert!(missing.body().contains("<title>Nothing here</title>"));
    for method in ["POST", "PUT", "DELETE"] {
        let response = site.send(method, &site.url, None).await.unwrap();
        assert_eq!(response.status(), 405, "{method}");
    }
    assert_eq!(site.primary("sideways").await, 404);

    assert_eq!(std::fs::read_dir(&site.temporary).unwrap().count(), 1);
    let process = site.process.id().unwrap().to_string();
    let kill = Command::new("kill").arg(process).status().await;
    assert!(kill.unwrap().success());
    assert!(within(site.process.wait()).await.unwrap().success());
    assert_eq!(std::fs::read_dir(&site.temporary).unwrap().count(), 0);
    std::fs::remove_dir(&site.temporary).unwrap();
}

#[tokio::test]
async fn without_credentials_it_says_which_variable_is_missing() {
    let output = Command::new(example::binary("private_site").await)
        .args(["--listen", "127.0.0.1:0", "--region", "eu-west-1"])
        .args(["--primary", "one", "--secondary", "two"])
        .env_remove("AWS_ACCESS_KEY_ID")
        .output();
    let output = within(output).await.unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message, "private_site: AWS_ACCESS_KEY_ID is not set\n");
    assert_eq!(output.status.code(), Some(1));
}
