//! The invariants of the design, each with tests that fail without it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "../common/mod.rs"]
mod common;

mod bounded;
mod cheap;
mod honest;
mod joining;
mod once;
mod one_name_one_thing;
mod private;
mod streaming;
mod whole_or_nothing;
