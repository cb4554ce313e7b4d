//! Large objects in blocks, through `BlockLayer`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod collapsing;
mod cut_off;
#[path = "../support/film.rs"]
mod film;
mod heads;
#[path = "../support/heard.rs"]
mod heard;
mod large;
mod missing;
mod origin;
mod play;
mod property;
mod shield;
mod stored;
#[path = "../support/mod.rs"]
mod support;
mod versions;
mod whole;
