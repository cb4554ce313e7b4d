//! `CDN-Loop`: a proxy knows its own member among whatever a stranger writes around it, and takes nothing else for it.
#![no_main]

use arbitrary::Arbitrary;
use frontage::{OptionalBody, cdn_loop::CdnLoopLayer};
use frontage_fuzz::{Value, block_on};
use http::{HeaderMap, HeaderValue, Request, Response};
use libfuzzer_sys::fuzz_target;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::LazyLock,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

#[derive(Arbitrary, Debug)]
struct Input {
    lines: Vec<Value>,
    max_length: u16,
    /// What others make of our member, and where they put it.
    upper: bool,
    quoted: bool,
    before: Value,
    behind: Value,
    at: u8,
}

/// Answers with the fields of the request.
#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let mut response = Response::new(String::new());
        *response.headers_mut() = request.into_parts().0.headers;
        ready(Ok(response))
    }
}

fn ask(layer: &CdnLoopLayer, lines: &[HeaderValue]) -> Response<OptionalBody<String>> {
    let mut request = Request::new(());
    for line in lines {
        request.headers_mut().append("cdn-loop", line.clone());
    }
    let Ok(response) = block_on(layer.layer(Inner).call(request));
    response
}

fn lines_of(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers.get_all("cdn-loop").iter().cloned().collect()
}

fuzz_target!(|input: Input| {
    static EDGE: LazyLock<CdnLoopLayer> =
        LazyLock::new(|| CdnLoopLayer::new("Edge.example:443").expect("a host"));
    let max_length = usize::from(input.max_length) % 300;
    let layer = EDGE.clone().max_length(max_length);
    let lines: Vec<HeaderValue> = input.lines.iter().map(|line| line.0.clone()).collect();
    let length: usize = lines.iter().map(HeaderValue::len).sum();

    let response = ask(&layer, &lines);
    // Nobody guesses 128 random bits: only what is too long is refused.
    assert_eq!(response.status() == 508, length > max_length);
    if response.status() == 508 {
        return;
    }
    let mut passed = lines_of(response.headers());
    let own = passed.pop().expect("our own member");
    assert_eq!(passed, lines, "what was there stays as it is");

    let mut own = own.to_str().expect("text").to_owned();
    if input.upper {
        own = own.to_ascii_uppercase();
    }
    if input.quoted {
        let (name, id) = own.split_once('=').expect("an identifier");
        own = format!("{name}=\"{id}\"");
    }
    let line = [
        input.before.0.as_bytes(),
        b" ,",
        own.as_bytes(),
        b"\t,",
        input.behind.0.as_bytes(),
    ];
    let line = HeaderValue::from_bytes(&line.concat()).expect("allowed bytes only");
    let mut back = lines;
    back.insert(usize::from(input.at) % (back.len() + 1), line);
    // However long it is.
    assert_eq!(ask(&layer, &back).status(), 508);
});
