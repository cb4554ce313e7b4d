//! What an origin sends over a connection, byte by byte: what a viewer gets of it, and that nothing of it answers the next request.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use frontage::{
    headers::{content_length, members},
    origin::{Origin, OriginBody, OriginFailure, OriginService},
};
use frontage_fuzz::{Value, block_on};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use std::{
    future::{Ready, ready},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tower_service::Service;

#[derive(Arbitrary, Debug)]
enum Answer<'a> {
    Raw(&'a [u8]),
    Built(Built<'a>),
}

#[derive(Arbitrary, Debug)]
struct Built<'a> {
    status: u8,
    fields: Vec<(u8, Value)>,
    framing: Framing,
    chunks: Vec<&'a [u8]>,
    /// So many bytes of the body's end don't come.
    missing: u8,
    /// What comes behind it where nothing is missing.
    behind: Behind<'a>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Framing {
    Length,
    Chunked,
    Close,
    /// In chunks of what has another coding, too.
    Coded,
}

#[derive(Arbitrary, Debug)]
enum Behind<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Answer(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    is_head: bool,
    answer: Answer<'a>,
}

impl Built<'_> {
    fn status(&self) -> u16 {
        [200, 206, 301, 404, 500, 503][usize::from(self.status) % 6]
    }

    fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    /// The bytes of it, and whether the body is cut short.
    fn write(&self, is_head: bool) -> (Vec<u8>, bool) {
        const NAMES: [&str; 8] = [
            "Connection",
            "Keep-Alive",
            "Proxy-Authenticate",
            "Upgrade",
            "A",
            "B",
            "Set-Cookie",
            "Trailer",
        ];
        let mut head = format!("HTTP/1.1 {} x\r\n", self.status()).into_bytes();
        for (name, value) in self.fields.iter().take(30) {
            let name = NAMES[usize::from(*name) % NAMES.len()];
            // hyper refuses one that closes what has a length only where it is read: leave it alone.
            head.extend([name.as_bytes(), b": ", value.0.as_bytes(), b"\r\n"].concat());
        }
        let mut body = Vec::new();
        match self.framing {
            Framing::Length => {
                let length = self.body().len();
                head.extend(format!("Content-Length: {length}\r\n").into_bytes());
                body = self.body();
            }
            Framing::Chunked | Framing::Coded => {
                let codings = match self.framing {
                    Framing::Coded => "gzip, chunked",
                    _ => "chunked",
                };
                head.extend(format!("Transfer-Encoding: {codings}\r\n").into_bytes());
                for chunk in self.chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                    body.extend([chunk, &b"\r\n"[..]].concat());
                }
                body.extend(b"0\r\n\r\n");
            }
            Framing::Close => body = self.body(),
        }
        head.extend(b"\r\n");
        if is_head {
            return (head, false);
        }
        let missing = usize::from(self.missing).min(body.len());
        body.truncate(body.len() - missing);
        head.extend(body);
        let is_cut = missing > 0 && self.framing != Framing::Close;
        if missing == 0 {
            match self.behind {
                Behind::Nothing => {}
                Behind::Bytes(bytes) => head.extend(bytes),
                Behind::Answer(bytes) => {
                    head.extend(b"HTTP/1.1 200 OK\r\n\r\n");
                    head.extend(bytes);
                }
            }
        }
        (head, is_cut)
    }
}

/// The first connection answers with these bytes and ends; each after it with `second`.
#[derive(Clone)]
struct Dial {
    first: Arc<[u8]>,
    is_second: Arc<AtomicBool>,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let answer: Arc<[u8]> = match self.is_second.swap(true, Ordering::Relaxed) {
            false => self.first.clone(),
            true => b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"[..].into(),
        };
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                seen.push(theirs.read_u8().await?);
            }
            theirs.write_all(&answer).await?;
            theirs.shutdown().await
        });
        ready(Ok(TokioIo::new(ours)))
    }
}

/// The head, what came of the body, and whether it ended cleanly.
async fn ask(service: &mut OriginService, method: Method) -> (Response<()>, Vec<u8>, bool) {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    let Ok(response) = service.call(request).await;
    let (parts, mut body): (_, OriginBody) = response.into_parts();
    let mut bytes = Vec::new();
    let is_whole = loop {
        match body.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => bytes.extend(frame.into_data().unwrap_or_default()),
        }
    };
    (Response::from_parts(parts, ()), bytes, is_whole)
}

fn check_head(response: &Response<()>, fields: &[(u8, Value)]) {
    let headers = response.headers();
    for name in [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(!headers.contains_key(name), "{name} goes on");
    }
    // `Connection` is the first of the names.
    for (_, value) in fields.iter().take(30).filter(|(name, _)| name % 8 == 0) {
        for name in members(value.0.as_bytes()) {
            let name = HeaderName::from_bytes(name);
            assert!(name.map_or(true, |name| !headers.contains_key(name)));
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let (bytes, is_cut) = match &input.answer {
        Answer::Raw(bytes) => (bytes.to_vec(), false),
        Answer::Built(built) => built.write(input.is_head),
    };
    let dial = Dial {
        first: bytes.into(),
        is_second: Arc::default(),
    };
    let origin = Origin::connector("example.com", dial);
    let mut service = origin.build().expect("an origin");
    block_on(async {
        let method = match input.is_head {
            true => Method::HEAD,
            false => Method::GET,
        };
        let (response, body, is_whole) = ask(&mut service, method).await;
        assert!(!response.status().is_informational());
        let failure = response.extensions().get::<OriginFailure>();
        if failure.is_none() {
            let length = content_length(response.headers());
            let is_announced = response.headers().contains_key(header::CONTENT_LENGTH);
            assert!(length.is_some() || !is_announced, "a length is a number");
            let has_none = input.is_head || matches!(response.status().as_u16(), 204 | 304);
            if let Some(length) = length
                && !has_none
            {
                assert_eq!(is_whole, body.len() as u64 == length);
            }
            assert!(!has_none || (body.is_empty() && is_whole));
        }
        if let Answer::Built(built) = &input.answer
            && built.framing == Framing::Coded
        {
            assert!(input.is_head || failure.is_some(), "nobody takes it off");
        }
        if let Answer::Built(built) = &input.answer
            && failure.is_none()
        {
            assert_eq!(response.status(), built.status());
            check_head(&response, &built.fields);
            let whole = built.body();
            if input.is_head {
                assert!(body.is_empty() && is_whole);
            } else if built.framing == Framing::Close {
                assert!(is_whole && (whole.starts_with(&body) || body.starts_with(&whole)));
            } else if is_cut {
                // Of chunks the last bytes are framing.
                assert!(!is_whole && whole.starts_with(&body));
            } else {
                assert!(is_whole && body == whole);
            }
        }

        let (response, body, is_whole) = ask(&mut service, Method::GET).await;
        assert!(is_whole && body == b"second", "{response:?} {body:?}");
        assert_eq!(
            response.headers().get(header::CONTENT_LENGTH),
            Some(&HeaderValue::from_static("6"))
        );
    });
});
