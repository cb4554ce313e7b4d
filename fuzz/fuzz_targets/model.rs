//! A naive cache of RFC 9111 and the real one, side by side: what `tests/model` plays, chosen by the fuzzer.
#![no_main]

#[path = "../../tests/model/cache.rs"]
mod cache;
#[path = "../../tests/model/play.rs"]
mod play;
#[path = "../../tests/model/scenario.rs"]
mod scenario;

use cache::Profile;
use libfuzzer_sys::fuzz_target;
use scenario::{STEP, Scenario};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let Some((profile, steps)) = data.split_first() else {
        return;
    };
    let profile = match profile % 2 {
        0 => Profile::RFC9111,
        _ => Profile::DEFAULT,
    };
    let (steps, _rest) = steps.as_chunks::<STEP>();
    let scenario = Scenario::read(profile, steps.iter().take(20));
    RUNTIME.with(|runtime| {
        if let Err(difference) = runtime.block_on(play::play(&scenario, |_, _| {})) {
            panic!("\n{scenario}{difference}");
        }
    });
});
