//! Every interleaving of a fill's writer and its readers. `.ci/run` says how to run them.
//!
//! Nothing here has two readers while the writer waits for room: that makes a timer, which loom doesn't know.

use super::*;
use loom::{
    future::block_on,
    thread::{self, JoinHandle},
};
use std::future::poll_fn;

/// More than three preemptions find nothing here that three don't, and take minutes.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// One chunk is all that a window of one byte holds.
const WINDOW: Window = Window {
    bytes: 1,
    lag_timeout: Duration::from_secs(1),
};

fn chunk(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// What a reader read until it came to an end, and whether that was the clean one.
async fn read(mut reader: FillReader) -> (String, bool) {
    let mut text = String::new();
    loop {
        match poll_fn(|cx| reader.poll_frame(cx)).await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap();
                text.push_str(std::str::from_utf8(&data).unwrap());
            }
            Some(Err(_)) => return (text, false),
            None => return (text, true),
        }
    }
}

/// Reads to the end on a thread of its own.
fn reading(reader: FillReader) -> JoinHandle<(String, bool)> {
    thread::spawn(move || block_on(read(reader)))
}

async fn room(writer: &mut FillWriter) -> Result<(), Gone> {
    poll_fn(|cx| writer.poll_room(cx)).await
}

#[test]
fn a_reader_sees_every_byte_and_then_the_end() {
    model(|| {
        let mut writer = FillWriter::keeping(None, WINDOW);
        let reader = reading(writer.opener().reader().unwrap());
        writer.push(chunk("a"));
        writer.push(chunk("b"));
        writer.finish(None);
        assert_eq!(reader.join().unwrap(), ("ab".to_owned(), true));
    });
}

#[test]
fn one_who_joins_late_sees_every_byte_too() {
    model(|| {
        let mut writer = FillWriter::keeping(None, WINDOW);
        let (early, fill) = (writer.opener().reader().unwrap(), writer.opener());
        let late = thread::spawn(move || block_on(read(fill.reader().unwrap())));
        let early = reading(early);
        writer.push(chunk("a"));
        writer.finish(None);
        assert_eq!(early.join().unwrap(), ("a".to_owned(), true));
        assert_eq!(late.join().unwrap(), ("a".to_owned(), true));
    });
}

#[test]
fn a_failure_comes_behind_what_was_written() {
    model(|| {
        let mut writer = FillWriter::keeping(Some(2), WINDOW);
        let reader = reading(writer.opener().reader().unwrap());
        writer.push(chunk("a"));
        writer.fail(BodyError::wrong_length(2, 1));
        assert_eq!(reader.join().unwrap(), ("a".to_owned(), false));
    });
}

#[test]
fn a_writer_that_goes_leaves_nobody_waiting() {
    model(|| {
        let mut writer = FillWriter::keeping(None, WINDOW);
        let readers = [(); 2].map(|()| reading(writer.opener().reader().unwrap()));
        writer.push(chunk("a"));
        drop(writer);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), ("a".to_owned(), false));
        }
    });
}

#[test]
fn a_passing_writer_is_woken_by_the_one_who_reads() {
    model(|| {
        let mut writer = FillWriter::passing(None, WINDOW);
        let reader = reading(writer.opener().reader().unwrap());
        block_on(async {
            for text in ["a", "b", "c"] {
                assert_eq!(room(&mut writer).await, Ok(()));
                writer.push(chunk(text));
                assert!(writer.fill.state.lock().held <= 1);
            }
        });
        writer.finish(None);
        assert_eq!(reader.join().unwrap(), ("abc".to_owned(), true));
    });
}

#[test]
fn a_passing_writer_is_woken_by_the_one_who_goes() {
    model(|| {
        let mut writer = FillWriter::passing(None, WINDOW);
        let mut reader = writer.opener().reader().unwrap();
        writer.push(chunk("a"));
        let reader = thread::spawn(move || {
            block_on(poll_fn(|cx| reader.poll_frame(cx)));
        });
        block_on(async {
            while room(&mut writer).await == Ok(()) {
                writer.push(chunk("b"));
            }
        });
        reader.join().unwrap();
    });
}

#[test]
fn a_passing_writer_that_waits_for_no_room_notices_that_nobody_reads() {
    model(|| {
        let mut writer = FillWriter::passing(None, WINDOW);
        let reader = writer.opener().reader().unwrap();
        let goes = thread::spawn(move || drop(reader));
        block_on(poll_fn(|cx| writer.poll_abandoned(cx)));
        goes.join().unwrap();
    });
}

#[test]
fn one_who_joins_while_it_turns_to_passing_gets_all_or_is_refused() {
    model(|| {
        let mut writer = FillWriter::keeping(None, WINDOW);
        writer.push(chunk("a"));
        let fill = writer.opener();
        let mut early = fill.reader().unwrap();
        assert!(block_on(poll_fn(|cx| early.poll_frame(cx))).is_some());
        let late = thread::spawn(move || fill.reader().map(|reader| block_on(read(reader))));
        writer.turn_to_passing();
        writer.push(chunk("b"));
        writer.finish(None);
        assert_eq!(block_on(read(early)), ("b".to_owned(), true));
        let late = late.join().unwrap();
        assert!(late.is_none_or(|read| read == ("ab".to_owned(), true)));
    });
}

#[test]
fn one_who_reads_while_it_turns_to_passing_makes_room() {
    model(|| {
        let mut writer = FillWriter::keeping(None, WINDOW);
        let reader = reading(writer.opener().reader().unwrap());
        writer.push(chunk("a"));
        writer.turn_to_passing();
        block_on(async {
            assert_eq!(room(&mut writer).await, Ok(()));
            writer.push(chunk("b"));
        });
        writer.finish(None);
        assert_eq!(reader.join().unwrap(), ("ab".to_owned(), true));
    });
}

#[test]
fn one_who_goes_holds_the_window_up_for_nobody() {
    model(|| {
        let mut writer = FillWriter::keeping(None, WINDOW);
        let (stays, goes) = (
            writer.opener().reader().unwrap(),
            writer.opener().reader().unwrap(),
        );
        writer.push(chunk("a"));
        writer.turn_to_passing();
        let goes = thread::spawn(move || drop(goes));
        let stays = reading(stays);
        goes.join().unwrap();
        // Only now is it sure to be the sole one.
        block_on(async {
            assert_eq!(room(&mut writer).await, Ok(()));
            writer.push(chunk("b"));
        });
        writer.finish(None);
        assert_eq!(stays.join().unwrap(), ("ab".to_owned(), true));
    });
}

/// Reads a range, joining whenever it comes to it.
fn reading_range(fill: Arc<Fill>, range: Range<u64>) -> JoinHandle<Option<(String, bool)>> {
    thread::spawn(move || {
        let reader = fill.range_reader(range)?;
        Some(block_on(read(reader)))
    })
}

#[test]
fn a_range_comes_whenever_it_is_asked_for() {
    model(|| {
        let mut writer = FillWriter::keeping(Some(3), WINDOW);
        let range = reading_range(writer.opener(), 1..2);
        writer.push(chunk("a"));
        writer.push(chunk("bc"));
        // It must not need the end.
        assert_eq!(range.join().unwrap(), Some(("b".to_owned(), true)));
        writer.fail(BodyError::abandoned());
    });
}

#[test]
fn a_range_that_is_not_complete_fails_with_the_body() {
    model(|| {
        let mut writer = FillWriter::keeping(Some(3), WINDOW);
        let range = reading_range(writer.opener(), 1..3);
        writer.push(chunk("ab"));
        drop(writer);
        let read = range.join().unwrap();
        assert!(read.is_none_or(|read| read == ("b".to_owned(), false)));
    });
}

#[test]
fn what_passes_by_a_range_leaves_room_for_the_writer() {
    model(|| {
        let mut writer = FillWriter::passing(Some(3), WINDOW);
        let reader = reading(writer.opener().range_reader(1..2).unwrap());
        block_on(async {
            assert_eq!(room(&mut writer).await, Ok(()));
            writer.push(chunk("a"));
            assert_eq!(room(&mut writer).await, Ok(()));
            writer.push(chunk("b"));
            // The range is complete, and its reader gone with that.
            poll_fn(|cx| writer.poll_abandoned(cx)).await;
        });
        assert_eq!(reader.join().unwrap(), ("b".to_owned(), true));
    });
}

#[test]
fn a_range_asked_for_while_it_turns_to_passing_comes_or_is_refused() {
    model(|| {
        let mut writer = FillWriter::keeping(Some(2), WINDOW);
        writer.push(chunk("a"));
        let mut early = writer.opener().reader().unwrap();
        assert!(block_on(poll_fn(|cx| early.poll_frame(cx))).is_some());
        let range = reading_range(writer.opener(), 0..2);
        writer.turn_to_passing();
        writer.push(chunk("b"));
        writer.finish(None);
        assert_eq!(block_on(read(early)), ("b".to_owned(), true));
        let range = range.join().unwrap();
        assert!(range.is_none_or(|read| read == ("ab".to_owned(), true)));
    });
}
