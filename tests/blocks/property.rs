//! Any interleaving of fills, evictions, changes and reads gives slices of one version, or aborts.

use super::play::{STEP, play};
use proptest::prelude::*;
use std::sync::Mutex;
use tokio::runtime::Builder;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_body_is_a_slice_of_one_version_or_aborted(
        steps in prop::collection::vec(prop::array::uniform::<_, STEP>(any::<u8>()), 0..150),
    ) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let told = Mutex::new(Vec::new());
        let tell = |what: &str| told.lock().unwrap().push(what.to_owned());
        let played = runtime.block_on(play(steps, tell));
        prop_assert!(played.is_ok(), "{}\n{}", told.lock().unwrap().join("\n"), played.unwrap_err());
    }
}
