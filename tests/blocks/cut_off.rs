//! Blocks in the middle of a body that can't be had: what is asked for again, and what is logged.

use super::{
    heard::{events, listen},
    origin::*,
};
use http::{Response, StatusCode};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tracing_subscriber::filter::LevelFilter;

/// A block is answered so often with this status.
fn answer(setup: &Setup, number: u64, code: u16, times: usize) {
    let left = Arc::new(AtomicUsize::new(times));
    setup.origin.spoil(move |parts, response| {
        let take = |left: usize| left.checked_sub(1);
        if parts.headers["range"] == block(number)
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        {
            *response = Response::new(0..0);
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
        }
    });
}

#[tokio::test]
async fn a_server_error_in_the_middle_is_asked_again_whatever_block_it_is() {
    listen(LevelFilter::WARN);
    for code in [500, 502, 503, 504] {
        // The second isn't asked for ahead, the others are.
        for number in [1, 2, 10] {
            let setup = setup();
            answer(&setup, number, code, 1);
            setup.whole().await.assert_whole(1, LENGTH);
            assert_eq!(setup.origin.asked().len(), 12, "{code} for {number}");
        }
    }
    assert_eq!(events(), [""; 0]);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_a_warning_of_key_block_and_reason() {
    listen(LevelFilter::WARN);
    for (code, times, asked) in [(503, 2, 3), (403, 1, 2), (410, 2, 3)] {
        let setup = setup();
        answer(&setup, 1, code, times);
        let cut = setup.whole().await;
        assert!(cut.error.is_some() && cut.body == content(1, 0..BLOCK));
        assert_eq!(setup.origin.asked().len(), asked, "{code}");
        let warnings = events();
        let [one] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        let reason = match code {
            410 => "changed",
            _ => "failed to send the next block",
        };
        for said in ["/film", "block=1", &format!("code={code}"), reason] {
            assert!(one.contains(said), "{said}: {one}");
        }
    }
}
