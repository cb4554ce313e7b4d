//! Viewers, an origin and a small store under a block layer: what `tests/blocks` plays at random, chosen by the fuzzer.
#![no_main]

#[path = "../../tests/blocks/play.rs"]
mod play;

use libfuzzer_sys::fuzz_target;
use play::STEP;
use std::fmt::Write;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let (steps, _rest) = data.as_chunks::<STEP>();
    let mut told = String::new();
    RUNTIME.with(|runtime| {
        let steps = steps.iter().take(200).copied();
        let played = runtime.block_on(play::play(steps, |what| {
            let _infallible = writeln!(told, "{what}");
        }));
        if let Err(what) = played {
            panic!("\n{told}{what}");
        }
    });
});
