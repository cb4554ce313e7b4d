//! Faults at random, over whole stacks: origins, viewers, clocks and stores misbehave, and the invariants of the crate hold.
//!
//! All of a run follows from its seed: a plan ([`plan`]) of a stack of layers, of what the origin has and how often it does
//! something odd, of viewers and of when they leave, of clocks that step and of invalidations. It is played on one thread, in paused
//! time, over connections in memory; then all that viewers got, and what is left behind, is looked at ([`check`]).
//!
//! `cargo test --test faults` plays the same 1,000 seeds each time; `FAULTS=100000 FAULTS_BASE=7000000 cargo test --release --test
//! faults` others, and more. A failure names its seed: `FAULTS_SEED=123 cargo test --test faults replay` plays that one alone, and
//! prints what happened.
//!
//! By hand, on 2026-11-22: the 100,000 from 6,000,000 and the 100,000 from 7,000,000 hold. Before, three of them failed
//! (6038572, 6069949, 6077753): after a 304 of another version what is stored was used past its windows. Two seeds showed that
//! `check` was wrong, of reliefs (6006898) and of `HEAD` (7032482).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod chance;
mod check;
mod faulty;
mod made;
mod origin;
mod pipe;
mod plan;
mod stack;
mod viewer;
mod watched;
mod world;

use frontage::invalidation::Invalidation;
use origin::Brain;
use plan::{Deed, Plan};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    process::Command,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::runtime::{Builder, Handle};
use viewer::{End, Got};
use world::World;

/// What came of a seed.
struct Played {
    plan: Arc<Plan>,
    wrong: Vec<String>,
    events: Vec<String>,
    /// How often what came.
    tally: Tally,
}

type Tally = BTreeMap<&'static str, u64>;

thread_local! {
    /// Panics that nobody meant, while a seed is played.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

fn play(seed: u64) -> Played {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_playing = PANICS.with_borrow_mut(|panics| {
                panics.as_mut().map(|panics| panics.push(panic.to_string()))
            });
            if is_playing.is_none() {
                before(panic);
            }
        }));
    });
    PANICS.set(Some(Vec::new()));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut played = runtime.block_on(run(seed));
    drop(runtime);
    let panics = PANICS.take().unwrap_or_default();
    played
        .wrong
        .extend(panics.into_iter().map(|panic| format!("a panic: {panic}")));
    played
}

async fn run(seed: u64) -> Played {
    let plan = Arc::new(Plan::of(seed));
    let world = World::new();
    let brain = Brain::new(&world, &plan);
    let built = stack::build(&world, &brain);
    let viewers: Vec<_> = plan
        .viewers
        .iter()
        .zip(1..)
        .map(|(viewer, number)| {
            let front = built.front.clone();
            let playing = viewer::play(world.clone(), front, plan.buffer, number, viewer.clone());
            tokio::spawn(playing)
        })
        .collect();
    let mut deeds = plan.deeds.clone();
    deeds.sort_by_key(|(at, _)| *at);
    for (at, deed) in deeds {
        world.sleep_until(at).await;
        befall(&world, &brain, &built, &deed);
    }
    let mut all = Vec::new();
    for viewer in viewers {
        all.extend(viewer.await.unwrap());
    }
    // What is stored is looked at as viewers see it.
    let last = viewer::play(
        world.clone(),
        built.front.clone(),
        plan.buffer,
        99,
        plan.last(),
    );
    all.extend(last.await);
    // Whatever goes on by itself has ended by then.
    tokio::time::sleep(Duration::from_secs(2000)).await;
    let (fetches, tasks) = (
        built.fetches(),
        Handle::current().metrics().num_alive_tasks(),
    );
    if (fetches, tasks) != (0, 0) {
        world.wrong(format!("{fetches} fetches and {tasks} tasks are left"));
    }
    let mut evictions = 0;
    for core in &built.cores {
        evictions += core.store().store.usage().evictions;
        for wrong in core.store().empty(&plan).await {
            world.wrong(wrong);
        }
    }
    let (wrong, tally) = world.with(|record| {
        let mut wrong = record.wrong.clone();
        wrong.extend(check::wrongs(&plan, record, &all));
        (wrong, tally(record, &all, evictions))
    });
    let events = world.with(|record| std::mem::take(&mut record.events));
    Played {
        plan,
        wrong,
        events,
        tally,
    }
}

fn befall(world: &World, brain: &Brain, built: &stack::Built, deed: &Deed) {
    world.event(&format!("{deed:?}"));
    let issue = |what: &Invalidation| {
        if let Some(core) = built.cores.first() {
            core.invalidator().issue(what);
        }
    };
    match deed {
        Deed::Step(by) => world.step(*by),
        Deed::Change(path) => brain.change(path),
        Deed::Invalidate(path) if !built.cores.is_empty() => {
            issue(&match path {
                None => Invalidation::everything(),
                Some(path) => Invalidation::path(path).unwrap(),
            });
            let moment = world.moment();
            world.with(|record| record.invalidated.push((moment, path.clone())));
        }
        Deed::InvalidateSoftly(path) => {
            issue(&Invalidation::path(path).unwrap().soft());
            let moment = world.moment();
            world.with(|record| record.invalidated_softly.push((moment, path.clone())));
        }
        Deed::Invalidate(_) => {}
    }
}

/// How often each kind of thing came.
fn tally(record: &world::Record, all: &[Got], evictions: u64) -> Tally {
    let mut tally = Tally::new();
    let mut add = |what, is: bool| *tally.entry(what).or_default() += u64::from(is);
    for got in all {
        let status = origin::text(&got.fields, "cache-status");
        add("hit", status.contains("; hit"));
        add("collapsed", status.contains("; collapsed"));
        add("stored", status.contains("; stored"));
        add("revalidated", status.contains("revalidated"));
        add(
            "stale while revalidated",
            status.contains("stale-while-revalidate"),
        );
        add("stale for an error", status.contains("stale-if-error"));
        add("uncacheable", status.contains("uncacheable"));
        add("no room", status.contains("no-room"));
        add("too many fetches", status.contains("too-many-fetches"));
        add("not modified", got.status == 304);
        add("part", got.status == 206);
        add("error", got.status >= 500);
        add("cut", got.end == End::Cut);
        add("left", got.end == End::Left);
    }
    add("led", record.below.iter().any(|below| below.is_led));
    add("alone", record.below.iter().any(|below| !below.is_led));
    *tally.entry("evicted").or_default() += evictions;
    tally
}

/// What a failure is told with.
fn report(seed: u64, played: &Played) -> String {
    let wrong = played.wrong.join("\n");
    format!("seed {seed}: {wrong}\nFAULTS_SEED={seed} cargo test --test faults replay")
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_befalls_the_invariants_hold() {
    let (base, count) = (
        number("FAULTS_BASE").unwrap_or(0),
        number("FAULTS").unwrap_or(1000),
    );
    let next = AtomicU64::new(base);
    let failed = Mutex::new(Vec::new());
    let all = Mutex::new(Tally::new());
    // The same for the same seeds: in any order, whence a sum.
    let hash = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= base + count || failed.lock().unwrap().len() >= 5 {
                        return;
                    }
                    let played = play(seed);
                    let hashed =
                        BuildHasherDefault::<DefaultHasher>::default().hash_one(&played.events);
                    hash.fetch_add(hashed, Ordering::Relaxed);
                    if !played.wrong.is_empty() {
                        failed.lock().unwrap().push((seed, report(seed, &played)));
                    }
                    let mut all = all.lock().unwrap();
                    for (what, often) in played.tally {
                        *all.entry(what).or_default() += often;
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    let all = all.into_inner().unwrap();
    let (end, hash) = (base + count, hash.into_inner());
    println!("seeds {base} to {end}, events {hash:016x}: {all:?}");
    let failed: Vec<_> = failed.into_iter().map(|(_, report)| report).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    if count >= 1000 {
        let rare: Vec<_> = all.iter().filter(|(_, often)| **often < 20).collect();
        assert!(rare.is_empty(), "hardly ever: {rare:?}");
    }
}

#[test]
fn replay() {
    let Some(seed) = number("FAULTS_SEED") else {
        return;
    };
    let played = play(seed);
    println!("{:#?}\n{}", played.plan, played.events.join("\n"));
    assert!(played.wrong.is_empty(), "{}", report(seed, &played));
}

#[test]
fn a_seed_plays_the_same_each_time_and_in_each_process() {
    for seed in 0..60 {
        let events = play(seed).events.join("\n");
        assert_eq!(events, play(seed).events.join("\n"), "seed {seed}");
        // Where hashes, versions and ids are others.
        if seed % 3 == 0 {
            let mut process = Command::new(env::current_exe().unwrap());
            let process = process.args(["replay", "--exact", "--nocapture"]);
            let output = process
                .env("FAULTS_SEED", seed.to_string())
                .output()
                .unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(
                said.contains(&events),
                "seed {seed}: {events}\n\nbut\n\n{said}"
            );
        }
    }
}
