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

#[test]
fn a_range_is_given_as_soon_as_its_bytes_are_there_and_not_woken_for_before() {
    let mut writer = FillWriter::keeping(Some(10), window(1));
    let fill = writer.opener();
    let mut reader = fill.range_reader(5..7).unwrap();
    let mut task = spawn(());
    assert_pending!(task.enter(|cx, _| reader.poll_frame(cx)));
    for text in ["ab", "cde"] {
        writer.push(chunk(text));
        assert!(!task.is_woken(), "{text:?} is not for it");
        assert_eq!(reader.remaining(), Some(2));
    }
    writer.push(chunk("f"));
    assert!(task.is_woken());
    assert_eq!(next(&mut reader), data("f"));
    assert!(!reader.is_end_stream());
    writer.push(chunk("ghi"));
    assert_eq!(next(&mut reader), data("g"));
    assert!(reader.is_end_stream(), "though the body goes on");
    assert_eq!(reader.remaining(), Some(0));
    assert_eq!(next(&mut reader), Some(Err("end")));
    let mut late = fill.range_reader(1..6).unwrap();
    assert_eq!(next(&mut late), data("b"));
    assert_eq!(next(&mut late), data("cde"));
    assert_eq!(next(&mut late), data("f"));
    assert_eq!(next(&mut late), Some(Err("end")));
}

#[test]
fn a_range_that_was_complete_survives_a_failure_and_one_that_was_not_fails() {
    let mut writer = FillWriter::keeping(Some(10), window(1));
    let fill = writer.opener();
    let mut complete = fill.range_reader(1..3).unwrap();
    let (mut short, mut ahead) = (
        fill.range_reader(2..5).unwrap(),
        fill.range_reader(8..10).unwrap(),
    );
    writer.push(chunk("abcd"));
    writer.fail(BodyError::wrong_length(10, 4));
    assert_eq!(next(&mut complete), data("bc"));
    assert_eq!(next(&mut complete), Some(Err("end")));
    assert_eq!(next(&mut short), data("cd"));
    assert!(!short.is_end_stream());
    assert_eq!(next(&mut short), Some(Err("failed")));
    assert_eq!(next(&mut ahead), Some(Err("failed")));
    assert!(fill.range_reader(1..3).is_none(), "it was cut short");
}

#[test]
fn a_range_beyond_the_end_of_a_body_is_no_clean_end() {
    let mut writer = FillWriter::keeping(None, window(1));
    let fill = writer.opener();
    let mut early = fill.range_reader(1..9).unwrap();
    writer.push(chunk("ab"));
    writer.finish(Some(HeaderMap::new()));
    assert_eq!(next(&mut early), data("b"));
    assert_eq!(next(&mut early), Some(Err("failed")));
    assert!(fill.range_reader(1..9).is_none());
    let mut last = fill.range_reader(1..2).unwrap();
    assert_eq!(next(&mut last), data("b"));
    assert_eq!(
        next(&mut last),
        Some(Err("end")),
        "no trailers behind a part"
    );
}

#[test]
fn what_passes_by_one_who_is_ahead_is_not_held_for_it() {
    let mut writer = FillWriter::passing(Some(8), window(3));
    let fill = writer.opener();
    let mut ahead = fill.range_reader(6..8).unwrap();
    let mut task = spawn(());
    for text in ["ab", "cd", "ef"] {
        assert_eq!(
            assert_ready!(task.enter(|cx, _| writer.poll_room(cx))),
            Ok(())
        );
        writer.push(chunk(text));
        assert!(writer.kept().is_empty());
    }
    assert!(fill.reader().is_none());
    assert!(fill.range_reader(5..8).is_none(), "its first byte is gone");
    let mut other = fill.range_reader(7..8).unwrap();
    writer.push(chunk("gh"));
    assert_pending!(task.enter(|cx, _| writer.poll_abandoned(cx)));
    assert_eq!(next(&mut other), data("h"));
    assert_eq!(writer.kept(), [chunk("gh")]);
    assert_eq!(next(&mut ahead), data("gh"));
    assert!(task.is_woken(), "nobody reads any more");
    assert_ready!(task.enter(|cx, _| writer.poll_abandoned(cx)));
}

#[test]
fn a_range_that_is_there_is_read_while_all_others_wait() {
    let mut writer = FillWriter::passing(None, window(100));
    let fill = writer.opener();
    let mut slow = fill.reader().unwrap();
    for text in ["ab", "cd", "ef"] {
        writer.push(chunk(text));
    }
    let mut part = fill.range_reader(3..5).unwrap();
    assert_eq!(next(&mut slow), data("ab"));
    assert!(fill.range_reader(1..2).is_none());
    assert_eq!(next(&mut slow), data("cd"));
    assert_eq!(writer.kept(), [chunk("cd"), chunk("ef")], "the part's");
    assert_eq!(next(&mut part), data("d"));
    assert_eq!(writer.kept(), [chunk("ef")]);
    assert_eq!(next(&mut part), data("e"));
    assert_eq!(next(&mut slow), data("ef"));
    assert!(writer.kept().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_for_the_tail_is_held_up_and_not_the_slow_one() {
    let mut writer = FillWriter::passing(Some(4), window(2));
    let fill = writer.opener();
    let (mut tail, mut slow) = (fill.range_reader(2..4).unwrap(), fill.reader().unwrap());
    writer.push(chunk("ab"));
    let room = std::future::poll_fn(|cx| writer.poll_room(cx)).await;
    assert_eq!(room, Ok(()));
    writer.push(chunk("cd"));
    assert_eq!(next(&mut slow), Some(Err("too slow")));
    assert_eq!(next(&mut tail), data("cd"));
}

mod any {
    use super::*;
    use proptest::prelude::*;
    use tokio_test::task::Spawn;

    #[derive(Clone, Debug)]
    enum Step {
        Write,
        Open(Range<u64>),
        Read(usize),
        Drop(usize),
        Pass,
    }

    /// A reader, what it should read, and what it has read.
    struct Reading {
        task: Spawn<()>,
        reader: FillReader,
        range: Range<usize>,
        read: Vec<u8>,
        pending: bool,
        end: Option<Result<(), ()>>,
    }

    impl Reading {
        fn read(&mut self) -> Result<(), TestCaseError> {
            let Self { task, reader, .. } = self;
            let remaining = reader.remaining();
            prop_assert_eq!(remaining, Some((self.range.len() - self.read.len()) as u64));
            let woken = task.is_woken();
            match task.enter(|cx, _| reader.poll_frame(cx)) {
                Poll::Pending => self.pending = true,
                Poll::Ready(frame) => {
                    prop_assert!(!self.pending || woken, "not woken");
                    self.pending = false;
                    match frame {
                        None => self.end = Some(Ok(())),
                        Some(Err(_)) => self.end = Some(Err(())),
                        Some(Ok(frame)) => {
                            let data = frame.into_data().unwrap();
                            prop_assert!(!data.is_empty());
                            self.read.extend_from_slice(&data);
                        }
                    }
                }
            }
            Ok(())
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => Just(Step::Write),
            4 => (0..60_u64, 1..60_u64).prop_map(|(start, length)| Step::Open(start..start + length)),
            8 => any::<usize>().prop_map(Step::Read),
            1 => any::<usize>().prop_map(Step::Drop),
            1 => Just(Step::Pass),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn any_range_of_a_body_on_its_way_is_the_slice(
            sizes in prop::collection::vec(1..12_usize, 1..12),
            steps in steps(),
            fails in any::<bool>(),
        ) {
            // The window's timer needs one; the time never comes.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _entered = runtime.enter();
            let length: usize = sizes.iter().sum();
            let body: Vec<u8> = (0..length).map(|at| u8::try_from(at).unwrap()).collect();
            let mut rest = Bytes::from(body.clone());
            let mut chunks: VecDeque<Bytes> = sizes.iter().map(|size| rest.split_to(*size)).collect();
            if fails {
                chunks.pop_back();
            }
            let written: usize = chunks.iter().map(Bytes::len).sum();

            let mut writer = FillWriter::keeping(Some(length as u64), window(10));
            let fill = writer.opener();
            let mut readings: Vec<Reading> = Vec::new();
            let mut passing = false;
            let mut writing = spawn(());
            let mut write = |writer: &mut FillWriter| {
                let room = writing.enter(|cx, _| writer.poll_room(cx));
                if room == Poll::Ready(Ok(())) && let Some(chunk) = chunks.pop_front() {
                    writer.push(chunk);
                    let state = writer.fill.state.lock();
                    assert!(!state.passing || state.held < 10 + 12);
                }
                (room, chunks.is_empty())
            };
            for step in steps {
                match step {
                    Step::Write => drop(write(&mut writer)),
                    Step::Open(range) => {
                        let range = range.start..range.end.min(length as u64);
                        if range.is_empty() {
                            continue;
                        }
                        let gone = {
                            let state = fill.state.lock();
                            state.written - state.held > range.start
                        };
                        prop_assert!(!gone || passing);
                        let reader = fill.range_reader(range.clone());
                        prop_assert_eq!(reader.is_none(), gone);
                        readings.extend(reader.map(|reader| Reading {
                            task: spawn(()),
                            reader,
                            range: usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap(),
                            read: Vec::new(),
                            pending: false,
                            end: None,
                        }));
                    }
                    Step::Read(_) | Step::Drop(_) if readings.is_empty() => {}
                    Step::Read(which) => {
                        let count = readings.len();
                        readings[which % count].read()?;
                    }
                    Step::Drop(which) => drop(readings.swap_remove(which % readings.len())),
                    Step::Pass => {
                        writer.turn_to_passing();
                        passing = true;
                    }
                }
            }
            // To the end: nobody gets stuck.
            loop {
                let before: usize = readings.iter().map(|reading| reading.read.len()).sum();
                let (room, all) = write(&mut writer);
                if all || room == Poll::Ready(Err(Gone)) {
                    break;
                }
                for reading in &mut readings {
                    reading.read()?;
                }
                let after: usize = readings.iter().map(|reading| reading.read.len()).sum();
                prop_assert!(room.is_ready() || after > before, "stuck");
            }
            if fails {
                writer.fail(BodyError::abandoned());
            } else {
                writer.finish(None);
            }
            for reading in &mut readings {
                while reading.end.is_none() {
                    reading.read()?;
                    prop_assert!(!reading.pending, "there is no more to wait for");
                }
                let complete = reading.range.end <= written;
                prop_assert_eq!(reading.end, Some(if complete { Ok(()) } else { Err(()) }));
                let range = reading.range.start.min(written)..reading.range.end.min(written);
                prop_assert_eq!(&reading.read, &body[range]);
            }
            drop(readings);
            let state = fill.state.lock();
            prop_assert_eq!((state.reading, state.readers.iter().flatten().count()), (0, 0));
            prop_assert!(state.at_first == 0);
        }
    }
}
