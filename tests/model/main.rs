//! A naive cache of RFC 9111 and the real one, side by side: any difference is a failure.
//!
//! `cargo test --test model` plays the same 10,000 scenarios of each profile each time, so that no change fails by chance;
//! `MODEL_SEED=7 cargo test --release --test model` others, by hand. A failure names its scenario: `MODEL_SCENARIO=rfc9111:0a1b...
//! cargo test --test model replay` plays that one alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod cache;
mod play;
mod scenario;

use cache::{Failed, Fields, MadeOf, Origin, Profile, Request, Response};
use play::Outcome;
use proptest::{
    arbitrary::any,
    collection::vec,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use scenario::{STEP, Scenario};
use std::{cell::RefCell, collections::BTreeMap, env};
use tokio::runtime::{Builder, Runtime};

/// How often each kind of outcome came.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, u32>);

impl Tally {
    fn count(&mut self, request: &Request, outcome: &Outcome) {
        let Ok(answer) = &outcome.answer else {
            return self.add("failed");
        };
        let (status, response) = (&answer.status, &answer.response);
        let is = |code| response.status == code;
        let asked = outcome.asked.first();
        let ours = asked.is_some_and(|asked| {
            asked.fields.has("if-none-match") || asked.fields.has("if-modified-since")
        });
        let get = request.method == "GET";
        for (kind, came) in [
            ("hit", status.hit),
            ("hit of a HEAD", status.hit && request.method == "HEAD"),
            (
                "stale hit",
                status.hit && status.ttl.is_some_and(|ttl| ttl < 0),
            ),
            ("hit: 304", status.hit && is(304)),
            ("hit: 206", status.hit && is(206)),
            ("hit: 416", status.hit && is(416)),
            (
                "range answered from a part",
                is(206) && outcome.made_of == Some(MadeOf::Part),
            ),
            (
                "range answered from combined parts",
                is(206) && outcome.made_of == Some(MadeOf::Parts),
            ),
            (
                "whole answered from combined parts",
                is(200) && outcome.made_of == Some(MadeOf::Parts),
            ),
            (
                "part of a variant",
                outcome.made_of.is_some_and(|of| of != MadeOf::Whole)
                    && response.fields.has("vary"),
            ),
            (
                "forwarded for a missing part",
                status.fwd == Some("partial"),
            ),
            ("uri-miss", status.fwd == Some("uri-miss")),
            ("vary-miss", status.fwd == Some("vary-miss")),
            ("miss", status.fwd == Some("miss")),
            ("request", status.fwd == Some("request")),
            ("stale", status.fwd == Some("stale")),
            ("bypass", status.fwd == Some("bypass")),
            ("stored", get && status.stored && !ours),
            ("not stored", get && !status.stored && !status.hit),
            ("a POST stored", request.method == "POST" && status.stored),
            (
                "confirmed",
                response.fields.has("age") && get && ours && status.stored,
            ),
            ("a condition: 304", is(304) && !status.hit && get),
            ("only if cached", is(504)),
        ] {
            if came {
                self.add(kind);
            }
        }
    }

    fn add(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }
}

const KINDS: [&str; 24] = [
    "hit",
    "hit of a HEAD",
    "stale hit",
    "hit: 304",
    "hit: 206",
    "hit: 416",
    "range answered from a part",
    "range answered from combined parts",
    "whole answered from combined parts",
    "part of a variant",
    "forwarded for a missing part",
    "uri-miss",
    "vary-miss",
    "miss",
    "request",
    "stale",
    "bypass",
    "stored",
    "not stored",
    "a POST stored",
    "confirmed",
    "a condition: 304",
    "only if cached",
    "failed",
];

/// The bytes of a scenario.
type Steps = Vec<[u8; STEP]>;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// The profiles, by the names that a replay has for them.
const PROFILES: [(&str, Profile); 2] =
    [("rfc9111", Profile::RFC9111), ("default", Profile::DEFAULT)];

fn profile(name: &str) -> Profile {
    let known = PROFILES.into_iter().find(|(known, _)| *known == name);
    known.unwrap().1
}

/// Plays 10,000 scenarios.
fn the_model_and_the_crate_agree(name: &str) {
    let profile = profile(name);
    let seed: u64 = env::var("MODEL_SEED").map_or(0, |seed| seed.parse().unwrap());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..15].copy_from_slice(name.as_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let runtime = runtime();
    let tally = RefCell::new(Tally::default());
    let config = Config {
        cases: 10_000,
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&vec(any::<[u8; STEP]>(), 1..=16), |steps| {
        let scenario = Scenario::read(profile, &steps);
        let observe = |request: &Request, outcome: &Outcome| {
            tally.borrow_mut().count(request, outcome);
        };
        runtime
            .block_on(play::play(&scenario, observe))
            .map_err(|difference| TestCaseError::fail(format!("{scenario}{difference}")))
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, steps)) => {
            let steps: String = steps
                .iter()
                .flatten()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            panic!("{reason}\nMODEL_SCENARIO={name}:{steps} cargo test --test model replay")
        }
        Err(TestError::Abort(reason)) => panic!("aborted: {reason}"),
    }
    let tally = tally.into_inner().0;
    for kind in KINDS {
        let came = tally.get(kind).copied().unwrap_or(0);
        assert!(
            came >= 50,
            "only {came} of the kind \"{kind}\" came: {tally:?}"
        );
    }
}

#[test]
fn rfc9111_does_what_the_model_does() {
    the_model_and_the_crate_agree("rfc9111");
}

#[test]
fn default_does_what_the_model_does() {
    the_model_and_the_crate_agree("default");
}

/// Plays a scenario as a failure names it.
fn replayed(named: &str) {
    let (name, steps) = named.split_once(':').unwrap();
    let bytes: Vec<u8> = (0..steps.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&steps[at..at + 2], 16).unwrap())
        .collect();
    let steps: Steps = bytes
        .chunks(STEP)
        .map(|step| step.try_into().unwrap())
        .collect();
    let scenario = Scenario::read(profile(name), &steps);
    let played = runtime().block_on(play::play(&scenario, |_, _| ()));
    played.unwrap_or_else(|difference| panic!("{scenario}{difference}"));
}

#[test]
fn replay() {
    if let Ok(named) = env::var("MODEL_SCENARIO") {
        replayed(&named);
    }
}

/// An origin that answers once, then is gone.
struct DyingOrigin {
    now: u64,
    answer: Option<Response>,
    asked: u32,
}

impl Origin for DyingOrigin {
    fn now(&self) -> u64 {
        self.now
    }

    fn ask(&mut self, _request: &Request) -> Result<Response, Failed> {
        self.asked += 1;
        self.answer.take().ok_or(Failed)
    }
}

/// For how many seconds after 10 s of freshness the model answers without an origin, and how often it asks there.
fn stale_for(cache_control: &str, staleness: bool) -> (u64, u32) {
    let request = Request {
        method: "GET",
        target: "/a".to_owned(),
        fields: Fields::default(),
    };
    let mut fields = Fields::default();
    fields.add("cache-control", cache_control);
    fields.add("etag", "\"a\"");
    let mut origin = DyingOrigin {
        now: scenario::START,
        answer: Some(Response {
            status: 200,
            fields,
            body: "a".to_owned(),
        }),
        asked: 0,
    };
    let mut cache = cache::Cache::new(Profile {
        staleness,
        ..Profile::RFC9111
    });
    cache.ask(&request, &mut origin).unwrap();
    (origin.now, origin.asked) = (origin.now + 10_000, 0);
    let mut seconds = 0;
    while seconds < 100 && cache.ask(&request, &mut origin).is_ok() {
        origin.now += 1000;
        seconds += 1;
    }
    (seconds, origin.asked)
}

#[test]
fn the_model_uses_stale_answers_within_the_windows_of_rfc_5861() {
    for (cache_control, seconds) in [
        ("max-age=10", 0),
        ("max-age=10, stale-while-revalidate=5", 6),
        ("max-age=10, stale-if-error=7", 8),
        ("max-age=10, stale-if-error=0", 0),
        ("max-age=10, stale-if-error=7, stale-while-revalidate=3", 8),
        ("max-age=10, stale-if-error=7, must-revalidate", 0),
        ("max-age=10, stale-while-revalidate=7, proxy-revalidate", 0),
        ("s-maxage=10, stale-if-error=7", 0),
        ("max-age=10, stale-if-error=x", 0),
    ] {
        assert_eq!(stale_for(cache_control, false).0, 0, "{cache_control}");
        let (came, asked) = stale_for(cache_control, true);
        assert_eq!(came, seconds, "{cache_control}");
        // Once as it fails, and once when the window is over: not in the 10 s between.
        assert_eq!(u64::from(asked), seconds.min(1) + 1, "{cache_control}");
    }
}
