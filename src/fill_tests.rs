use super::*;
use std::pin::pin;
use tokio_test::{assert_pending, assert_ready, task::spawn};

fn window(bytes: u64) -> Window {
    Window {
        bytes,
        lag_timeout: Duration::from_secs(10),
    }
}

fn chunk(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// What a reader gives now: data, the end, an error, or nothing yet.
fn next(reader: &mut FillReader) -> Option<Result<String, &'static str>> {
    let mut task = spawn(());
    task.enter(|cx, _| match reader.poll_frame(cx) {
        Poll::Pending => None,
        Poll::Ready(None) => Some(Err("end")),
        Poll::Ready(Some(Err(error))) if error.is_too_slow() => Some(Err("too slow")),
        Poll::Ready(Some(Err(_))) => Some(Err("failed")),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => Some(Ok(String::from_utf8(data.to_vec()).unwrap())),
            Err(_) => Some(Err("trailers")),
        },
    })
}

fn data(text: &str) -> Option<Result<String, &'static str>> {
    Some(Ok(text.to_owned()))
}

#[test]
fn a_keeping_fill_is_read_from_the_beginning_at_any_time() {
    let mut writer = FillWriter::keeping(None, window(1));
    let fill = writer.opener();
    let mut early = fill.reader().unwrap();
    assert_eq!(next(&mut early), None);
    writer.push(chunk("ab"));
    assert_eq!(next(&mut early), data("ab"));
    writer.push(chunk("cd"));
    let mut late = fill.reader().unwrap();
    writer.finish(None);
    let mut latest = fill.reader().unwrap();
    for reader in [&mut late, &mut latest] {
        assert_eq!(next(reader), data("ab"));
        assert_eq!(next(reader), data("cd"));
        assert_eq!(next(reader), Some(Err("end")));
    }
    assert_eq!(next(&mut early), data("cd"));
    assert!(early.is_end_stream());
}

#[test]
fn readers_wake_when_something_comes() {
    let mut writer = FillWriter::keeping(None, window(1));
    let mut reader = writer.opener().reader().unwrap();
    let mut task = spawn(());
    assert_pending!(task.enter(|cx, _| reader.poll_frame(cx)));
    writer.push(chunk("a"));
    assert!(task.is_woken());
    assert!(assert_ready!(task.enter(|cx, _| reader.poll_frame(cx))).is_some());
    assert_pending!(task.enter(|cx, _| reader.poll_frame(cx)));
    drop(writer);
    assert!(task.is_woken());
    assert_eq!(
        next(&mut reader),
        Some(Err("failed")),
        "a writer that is gone is no clean end"
    );
    assert_eq!(next(&mut reader), Some(Err("end")));
}

#[test]
fn a_failure_comes_after_what_was_written() {
    let mut writer = FillWriter::keeping(Some(4), window(1));
    let mut reader = writer.opener().reader().unwrap();
    writer.push(chunk("ab"));
    assert_eq!(reader.remaining(), Some(4));
    writer.fail(BodyError::wrong_length(4, 2));
    assert!(!reader.is_end_stream());
    assert_eq!(next(&mut reader), data("ab"));
    assert_eq!(reader.remaining(), Some(2));
    assert_eq!(next(&mut reader), Some(Err("failed")));
}

#[test]
fn trailers_are_read_by_all() {
    let mut writer = FillWriter::keeping(None, window(1));
    let fill = writer.opener();
    let mut reader = fill.reader().unwrap();
    writer.finish(Some(HeaderMap::new()));
    assert!(!reader.is_end_stream());
    assert_eq!(next(&mut reader), Some(Err("trailers")));
    assert_eq!(next(&mut reader), Some(Err("end")));
}

#[test]
fn a_passing_fill_holds_its_window_and_no_more() {
    let mut writer = FillWriter::passing(None, window(3));
    let fill = writer.opener();
    let mut only = fill.reader().unwrap();
    let mut task = spawn(());
    for text in ["ab", "cd"] {
        assert_eq!(
            assert_ready!(task.enter(|cx, _| writer.poll_room(cx))),
            Ok(())
        );
        writer.push(chunk(text));
    }
    assert_pending!(task.enter(|cx, _| writer.poll_room(cx)));
    assert_eq!(next(&mut only), data("ab"));
    assert!(task.is_woken());
    assert_eq!(
        assert_ready!(task.enter(|cx, _| writer.poll_room(cx))),
        Ok(())
    );
    assert!(fill.reader().is_none(), "its beginning is gone");
    drop(only);
    assert_eq!(
        assert_ready!(task.enter(|cx, _| writer.poll_room(cx))),
        Err(Gone)
    );
}

#[test]
fn turning_to_passing_drops_what_all_have_read() {
    let mut writer = FillWriter::keeping(None, window(2));
    let fill = writer.opener();
    let (mut fast, mut slow) = (fill.reader().unwrap(), fill.reader().unwrap());
    for text in ["ab", "cd", "ef"] {
        writer.push(chunk(text));
    }
    assert_eq!(next(&mut fast), data("ab"));
    assert_eq!(next(&mut fast), data("cd"));
    assert_eq!(next(&mut slow), data("ab"));
    writer.turn_to_passing();
    assert_eq!(writer.kept(), [chunk("cd"), chunk("ef")]);
    assert_eq!(next(&mut slow), data("cd"));
    assert_eq!(writer.kept(), [chunk("ef")]);
    drop(slow);
    assert_eq!(next(&mut fast), data("ef"));
    assert!(writer.kept().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_who_holds_others_up_is_cut_off_after_the_lag_timeout() {
    let mut writer = FillWriter::passing(None, window(2));
    let fill = writer.opener();
    let (mut fast, mut slow) = (fill.reader().unwrap(), fill.reader().unwrap());
    writer.push(chunk("ab"));
    assert_eq!(next(&mut fast), data("ab"));
    let started = tokio::time::Instant::now();
    let room = std::future::poll_fn(|cx| writer.poll_room(cx)).await;
    assert_eq!(room, Ok(()));
    assert!(started.elapsed() >= Duration::from_secs(10));
    assert_eq!(next(&mut slow), Some(Err("too slow")));
    writer.push(chunk("cd"));
    assert_eq!(next(&mut fast), data("cd"));
}

#[tokio::test(start_paused = true)]
async fn a_sole_reader_is_never_cut_off() {
    let mut writer = FillWriter::passing(None, window(2));
    let mut reader = writer.opener().reader().unwrap();
    writer.push(chunk("ab"));
    {
        let mut room = pin!(std::future::poll_fn(|cx| writer.poll_room(cx)));
        assert!(
            tokio::time::timeout(Duration::from_secs(3600), &mut room)
                .await
                .is_err()
        );
    }
    assert_eq!(next(&mut reader), data("ab"));
    assert_eq!(
        std::future::poll_fn(|cx| writer.poll_room(cx)).await,
        Ok(())
    );
}

#[test]
fn a_passing_fill_without_readers_is_abandoned_and_a_keeping_one_is_not() {
    let mut task = spawn(());
    let mut keeping = FillWriter::keeping(None, window(2));
    assert_pending!(task.enter(|cx, _| keeping.poll_abandoned(cx)));
    let mut passing = FillWriter::passing(None, window(2));
    let reader = passing.opener().reader().unwrap();
    assert_pending!(task.enter(|cx, _| passing.poll_abandoned(cx)));
    drop(reader);
    assert!(task.is_woken());
    assert_ready!(task.enter(|cx, _| passing.poll_abandoned(cx)));
}

#[test]
fn places_of_readers_are_used_again() {
    let mut writer = FillWriter::keeping(None, window(2));
    let fill = writer.opener();
    writer.push(chunk("ab"));
    for _ in 0..100 {
        let (mut one, two) = (fill.reader().unwrap(), fill.reader().unwrap());
        drop(two);
        assert_eq!(next(&mut one), data("ab"));
    }
    assert!(fill.state.lock().readers.len() <= 2);
}
