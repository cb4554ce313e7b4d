//! Large objects in blocks, through `BlockLayer`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod collapsing;
mod heads;
mod origin;
#[path = "../support/mod.rs"]
mod support;
mod versions;
mod whole;
