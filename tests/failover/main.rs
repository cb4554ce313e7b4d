//! A second origin for what the first fails to answer: the rules, over real sockets, while the first comes and goes, and below a cache.

#![cfg(feature = "origin")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod cache;
mod flapping;
mod member;
mod readiness;
mod rules;
mod sockets;

#[allow(dead_code, reason = "made for more than is used here")]
#[path = "../origin/raw.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use frontage::origin::{AnsweredBy, FailoverCriteria};
use http::Response;

const NINE: [u16; 9] = [400, 403, 404, 416, 429, 500, 502, 503, 504];

fn criteria(codes: impl IntoIterator<Item = u16>) -> FailoverCriteria {
    FailoverCriteria::new(codes).unwrap()
}

fn answered_by<B>(response: &Response<B>) -> AnsweredBy {
    *response
        .extensions()
        .get()
        .expect("it doesn't say who answered")
}
