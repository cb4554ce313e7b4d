//! 3. Whole or nothing.

use crate::common::*;
use bytes::Bytes;

/// Sends `pieces`, then ends cleanly or with an error.
fn origin(
    fields: &'static [(&'static str, &'static str)],
    pieces: &'static [&'static str],
    clean: bool,
) -> Setup {
    setup(move |_| async move {
        let (mut sender, body) = channel();
        tokio::spawn(async move {
            for piece in pieces {
                if sender.send_data(Bytes::from(*piece)).await.is_err() {
                    return;
                }
            }
            if !clean {
                sender.abort("reset".into());
            }
        });
        response_with(200, fields, body)
    })
}

/// Reads on until the end: the bytes, and whether it was a clean one.
async fn read(setup: &Setup) -> (Vec<u8>, bool) {
    let mut body = head(&setup.service, get("/a")).await.into_body();
    let mut bytes = Vec::new();
    loop {
        match piece(&mut body).await {
            None => return (bytes, true),
            Some(Ok(piece)) => bytes.extend_from_slice(&piece),
            Some(Err(_)) => return (bytes, false),
        }
    }
}

#[tokio::test]
async fn whole_or_nothing_whatever_the_framing() {
    let announced = &[("cache-control", "max-age=60"), ("content-length", "6")][..];
    let chunked = &[("cache-control", "max-age=60")][..];
    for (fields, pieces, clean) in [
        (announced, &["abc"][..], true),
        (announced, &["abc"], false),
        (announced, &["abcdefg"], true),
        (announced, &["abc", "defg"], true),
        (announced, &[], true),
        (chunked, &["abc"], false),
        (chunked, &[], false),
    ] {
        let setup = origin(fields, pieces, clean);
        let (_, ended_cleanly) = read(&setup).await;
        assert!(!ended_cleanly, "{fields:?} {pieces:?} {clean}");
        let (_, ended_cleanly) = read(&setup).await;
        assert!(!ended_cleanly);
        assert_eq!(
            setup.seen.count(),
            2,
            "nothing was stored: {fields:?} {pieces:?}"
        );
        until(|| setup.store.usage().used == 0).await;
    }
}

#[tokio::test]
async fn whole_bodies_are_stored() {
    for fields in [
        &[("cache-control", "max-age=60"), ("content-length", "6")][..],
        &[("cache-control", "max-age=60")],
    ] {
        let setup = origin(fields, &["abc", "def"], true);
        assert_eq!(read(&setup).await, (b"abcdef".to_vec(), true));
        assert_eq!(read(&setup).await, (b"abcdef".to_vec(), true));
        assert_eq!(setup.seen.count(), 1);
    }
}

#[tokio::test]
async fn a_panic_in_the_body_is_no_clean_end() {
    struct Panics;
    impl http_body::Body for Panics {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
            panic!("as the test wants it")
        }
    }
    let setup = setup(|_| async {
        response_with(
            200,
            &[("cache-control", "max-age=60")],
            InnerBody::new(Panics),
        )
    });
    assert!(!read(&setup).await.1);
    assert!(!read(&setup).await.1);
    assert_eq!(setup.seen.count(), 2);
}

#[tokio::test]
async fn an_answer_to_a_marked_key_is_stored_when_it_ends_whole_and_only_then() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let call = std::sync::Arc::new(AtomicUsize::new(0));
    let setup = setup(move |_| {
        let call = call.fetch_add(1, SeqCst);
        async move {
            let (mut sender, body) = channel();
            tokio::spawn(async move {
                sender.send_data(Bytes::from("abc")).await.unwrap();
                if call == 1 {
                    sender.abort("reset".into());
                }
            });
            let fields = [(
                "cache-control",
                if call == 0 { "no-store" } else { "max-age=60" },
            )];
            response_with(200, &fields, body)
        }
    });
    assert!(read(&setup).await.1);
    assert!(!read(&setup).await.1, "cut short, inline");
    assert!(read(&setup).await.1);
    assert_eq!(setup.seen.count(), 3);
    assert!(read(&setup).await.1);
    assert_eq!(setup.seen.count(), 3, "the third was stored");
}
