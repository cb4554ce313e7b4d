//! What holds for all inputs, each with 10,000 generated cases.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod cache_control;
mod freshness;
mod key;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

/// The same for all of them. A failure is printed, and not kept in a file.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(10_000)
    }
}

/// Field lines as a stranger may send them; bytes that no value may have become commas, which mean the most.
fn lines(name: &HeaderName, lines: &[Vec<u8>]) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    for line in lines {
        let allowed = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 127);
        let line: Vec<u8> = line
            .iter()
            .map(|byte| if allowed(byte) { *byte } else { b',' })
            .collect();
        headers.append(name, HeaderValue::from_bytes(&line).unwrap());
    }
    headers
}

/// Up to three changes of single bytes: another one in its place, one more, one less.
fn mangled(line: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        2 => prop::sample::select(&b"\",;=?()\\ \t-:@%0a"[..]),
        1 => any::<u8>(),
    ];
    let change = (any::<prop::sample::Index>(), byte, 0..3);
    (line, prop::collection::vec(change, 0..4)).prop_map(|(line, changes)| {
        let mut line = line.into_bytes();
        for (at, byte, kind) in changes {
            let at = at.index(line.len() + 1);
            match kind {
                0 => line.insert(at, byte),
                1 if at < line.len() => line[at] = byte,
                _ if at < line.len() => drop(line.remove(at)),
                _ => {}
            }
        }
        line
    })
}
