//! The layers of `guard`: the signatures that they let in, and origins that they close, behind our own edge over real sockets.

#![cfg(feature = "origin")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[cfg(target_os = "linux")]
mod edge;
#[path = "../support/heard.rs"]
mod heard;
mod log;
mod signatures;
#[path = "../support/mod.rs"]
mod support;
