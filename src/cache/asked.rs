//! A request as the cache sees it.

use super::{
    CacheCore,
    core::Shared,
    flight::{FlightKey, MOST_HOPS, OnItsWay, Outcome, SharedAnswer},
    lookup::{Found, LookUp, Wanted, judge, times},
    respond::{self, Viewer},
    settings::Settings,
    stale::may_stand_in,
};
use crate::{
    body::ResponseBody,
    coalesce::{Follow, Joined},
    freshness::{self, Forward, Verdict},
    headers::{DeltaSeconds, RequestFacts, hops},
    key::{CacheKey, VariantKey},
    policy::RangeMiss,
    range,
    status::{CacheStatus, Detail},
    store::{Object, Store},
};
use futures_util::FutureExt;
use http::{Method, Response, header, request::Parts};
use std::{
    future::poll_fn,
    sync::{Arc, OnceLock},
};
use tokio::time::Instant;

/// What is asked, of which cache. Apart from service and body, which needn't be `Sync`.
pub(super) struct Asked<St> {
    pub(super) core: CacheCore<St>,
    pub(super) settings: Arc<Settings>,
    pub(super) parts: Parts,
    pub(super) facts: RequestFacts,
    pub(super) key: CacheKey,
    /// What it is invalidated by, once somebody asked.
    pub(super) address: OnceLock<Box<str>>,
}

impl<St: Store> Asked<St> {
    /// Requests that neither lead a fetch nor follow one.
    #[allow(
        clippy::option_option,
        reason = "whether, and whether there is something to say about it"
    )]
    pub(super) fn must_go_alone(&self) -> Option<Option<Detail>> {
        let policy = &self.settings.policy;
        let core = self.core.shared();
        // CloudFront forwards the viewer's conditions, so that the answer may be a 304 for this viewer only.
        let conditional = policy.is_cloudfront() && self.facts.conditional;
        if conditional || !policy.collapses() {
            return Some(None);
        }
        core.uncacheable
            .is_marked(&self.key, core.clock.now())
            .then_some(Some(Detail::Uncacheable))
    }

    pub(super) async fn look_up(&self, mut look_up: LookUp<St>) -> (Found, Option<VariantKey>) {
        let core = self.core.shared();
        let wanted = Wanted {
            settings: &self.settings,
            method: &self.parts.method,
            headers: &self.parts.headers,
            accept_encoding: None,
        };
        poll_fn(|cx| look_up.poll(cx, &core.store, &self.key, wanted)).await;
        let variant = look_up.variant();
        let now = core.clock.now();
        let verdict = look_up
            .object
            .as_ref()
            .map(|object| judge(core, &self.settings, &self.facts, object, now));
        (look_up.judged(verdict), variant)
    }

    /// Whether the origin failed a moment ago, so that it isn't asked where something stale will do.
    pub(super) fn is_failing(&self) -> bool {
        let Shared { failing, clock, .. } = self.core.shared();
        failing.is_marked(&self.key, clock.now())
    }

    /// The answer of what was found, where that will do: without the origin, or at once, while it is refreshed. Something stale
    /// will do for an origin that failed a moment ago, or `just_failed`.
    pub(super) fn at_hand<B>(
        &self,
        found: &Found,
        just_failed: bool,
    ) -> Option<Response<ResponseBody<B>>> {
        match found {
            Found::Usable(object) => Some(self.answer(object, None)),
            Found::Refresh(object, _) => Some(self.answer(
                object,
                Some(match self.is_failing() {
                    true => Detail::StaleIfError,
                    false => Detail::StaleWhileRevalidate,
                }),
            )),
            Found::Validate(object, _, _)
                if (just_failed || self.is_failing()) && self.may_stand_in(object) =>
            {
                Some(self.answer(object, Some(Detail::StaleIfError)))
            }
            Found::Validate(..) | Found::Nothing(_) => None,
        }
    }

    /// Whether what was found is an answer [`at_hand`](Self::at_hand).
    pub(super) fn is_at_hand(&self, found: &Found) -> bool {
        match found {
            Found::Usable(_) => true,
            Found::Refresh(..) => self.settings.policy.freshness().may_lead(&self.facts),
            Found::Validate(object, _, _) => self.is_failing() && self.may_stand_in(object),
            Found::Nothing(_) => false,
        }
    }

    /// Whether a stale object may be used in place of an answer that doesn't come.
    pub(super) fn may_stand_in(&self, object: &Object) -> bool {
        let now = self.core.shared().clock.now();
        may_stand_in(&self.core, &self.settings, &self.viewer(), object, now)
    }

    /// Whether an answer under way isn't for this request, which came at `came`: it is judged as what is stored is, but that
    /// what was fetched since is as new as any.
    pub(super) fn is_not_for_this(&self, answer: &SharedAnswer, came: u64) -> bool {
        let waited = answer.received_at >= came;
        let stored = match (&answer.on_time, &answer.freshness) {
            (Some(on_time), _) if waited => on_time,
            (_, Some(stored)) => stored,
            (Some(_), None) => return true,
            (None, None) => return self.facts.has_credentials(),
        };
        let now = self.core.shared().clock.now();
        let policy = self.settings.policy.freshness();
        let asked = &self.facts.directives;
        let is_reload = self.facts.asks_to_reload() || asked.max_age == DeltaSeconds::Seconds(0);
        match freshness::assess(stored, &self.facts, policy, now) {
            Verdict::Fresh | Verdict::Stale | Verdict::StaleWhileRevalidate => false,
            _ => !(is_reload && stored.is_fresh(now) && waited),
        }
    }

    /// What a fetch for this is called.
    pub(super) fn flight_key(&self, variant: Option<VariantKey>) -> FlightKey {
        FlightKey {
            key: self.key.clone(),
            head: false,
            variant,
            invalidated: self.invalidated(),
            hops: hops(&self.parts.headers).min(MOST_HOPS),
        }
    }

    /// Follows a fetch that began before anybody knew by what its answer varies, where that is known by now, and to be the
    /// variant that this is for.
    pub(super) fn follow_unnamed(&self, flight: &FlightKey) -> Option<Follow<Outcome>> {
        let own = flight.variant.as_ref()?;
        let unnamed = FlightKey {
            variant: None,
            ..flight.clone()
        };
        let flights = &self.core.shared().flights;
        // One that hasn't landed may be for anybody: nobody waits for that.
        let landed = flights.follow(&unnamed)?.now_or_never()?;
        let Some(Outcome::Shared(answer, Some(_))) = landed else {
            return None;
        };
        answer.vary.as_ref().filter(|(_, key)| key == own)?;
        flights.follow(&unnamed)
    }

    /// Waits until another fetch may begin, or another does what this one would.
    pub(super) async fn wait_for_room(
        &self,
        flight: &FlightKey,
        until: Instant,
    ) -> Joined<FlightKey, Outcome> {
        if until <= Instant::now() {
            return Joined::Full;
        }
        let joined = self.core.shared().flights.join_in_turn(flight);
        tokio::time::timeout_at(until, joined)
            .await
            .unwrap_or(Joined::Full)
    }

    /// What is fetched for a range: the whole, where ranges are known to be ignored, or it is the whole by another name.
    /// CloudFront forwards that one, too.
    pub(super) fn range_miss(&self) -> RangeMiss {
        let policy = &self.settings.policy;
        let is_whole = !policy.is_cloudfront() && range::is_of_all(&self.parts.headers);
        match is_whole || self.core.shared().ignores_ranges(&self.key) {
            true => RangeMiss::FetchWhole,
            false => policy.range_miss(),
        }
    }

    /// Makes it a request for the whole of what it asks a part of, or the head of.
    pub(super) fn ask_for_the_whole(&mut self) {
        self.parts.method = Method::GET;
        for name in [header::RANGE, header::IF_RANGE] {
            self.parts.headers.remove(name);
        }
        self.facts.range = false;
    }

    /// The epoch at which an answer's tags were invalidated, if that was after it was asked for and not after `since`, when
    /// this request came.
    pub(super) fn overtaken(&self, answer: &SharedAnswer, since: u64) -> Option<u64> {
        let last = self.core.shared().invalidations.last_of_tags(&answer.tags);
        (answer.epoch.number < last && last <= since).then_some(last)
    }

    /// The epoch at which the address was last invalidated.
    pub(super) fn invalidated(&self) -> u64 {
        self.core.shared().invalidations.last(self.address())
    }

    pub(super) fn address(&self) -> &str {
        self.address
            .get_or_init(|| self.settings.address(&self.parts))
    }

    pub(super) fn viewer(&self) -> Viewer<'_> {
        Viewer {
            key: &self.key,
            method: &self.parts.method,
            headers: &self.parts.headers,
            facts: &self.facts,
        }
    }

    /// Answers from the store.
    pub(super) fn answer<B>(
        &self,
        object: &Object,
        detail: Option<Detail>,
    ) -> Response<ResponseBody<B>> {
        let core = self.core.shared();
        let now = core.clock.now();
        let status = CacheStatus {
            detail,
            ..CacheStatus::hit(times(core, object, now).ttl(now))
        };
        respond::stored(&self.settings, &self.viewer(), object, now, status)
    }

    pub(super) fn share<B>(
        &self,
        answer: &SharedAnswer,
        body: OnItsWay,
        forward: Forward,
    ) -> Response<ResponseBody<B>> {
        let now = self.core.shared().clock.now();
        let status = CacheStatus {
            collapsed: true,
            ..answer.status_for(forward, now)
        };
        answer.for_follower(&self.settings, &self.viewer(), body, status, now)
    }
}
