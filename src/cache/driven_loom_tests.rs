//! Every interleaving of who drives a task and who needs it. `.ci/run` says how to run them.

use super::*;
use futures_util::FutureExt;
use loom::{future::block_on, sync::atomic::AtomicUsize, thread};
use std::{
    future::{pending, poll_fn},
    sync::atomic::Ordering,
};
use tracing::Instrument;

type Given = Arc<Mutex<Vec<Task>>>;

/// One that is over when it is polled for the second time, and counts its ends.
fn twice(ends: &Arc<AtomicUsize>) -> Task {
    let (ends, mut polls) = (ends.clone(), 0);
    let task = poll_fn(move |cx| {
        polls += 1;
        if polls < 2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ends.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(())
    });
    task.boxed().in_current_span()
}

fn driven(given: &Given) -> Driven<impl Fn(Task) + Send + Sync + use<>> {
    let given = given.clone();
    Driven::new(move |task| given.lock().push(task))
}

/// Drives it for as long as it is here.
async fn drive<G: Fn(Task) + Send + Sync + 'static>(driven: &Driven<G>) {
    poll_fn(|cx| match driven.poll(cx) {
        true => Poll::Pending,
        false => Poll::Ready(()),
    })
    .await;
}

#[test]
fn a_task_that_others_need_while_it_is_driven_ends_once() {
    loom::model(|| {
        let (given, ends) = (Given::default(), Arc::new(AtomicUsize::new(0)));
        let driven = driven(&given);
        let releasers = [driven.releaser(), driven.releaser()];
        let others = releasers.map(thread::spawn);
        driven.put(twice(&ends));
        block_on(drive(&driven));
        drop(driven);
        for other in others {
            other.join().unwrap();
        }
        let given = mem::take(&mut *given.lock());
        assert!(given.len() <= 1);
        for task in given {
            block_on(task);
        }
        assert_eq!(ends.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn who_leaves_while_others_need_it_gives_the_task_away_once() {
    loom::model(|| {
        let (given, ends) = (Given::default(), Arc::new(AtomicUsize::new(0)));
        let driven = driven(&given);
        let other = thread::spawn(driven.releaser());
        driven.put(twice(&ends));
        drop(driven);
        other.join().unwrap();
        assert_eq!(given.lock().len(), 1);
    });
}

#[test]
fn who_drives_is_told_when_the_task_goes() {
    loom::model(|| {
        let given = Given::default();
        let driven = driven(&given);
        driven.put(pending().boxed().in_current_span());
        let other = thread::spawn(driven.releaser());
        // Loom calls it a deadlock where nobody wakes this.
        block_on(drive(&driven));
        other.join().unwrap();
        assert_eq!(given.lock().len(), 1);
    });
}
