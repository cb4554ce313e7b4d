//! A cache by RFC 9111 and as naive as can be: one list, no concurrency, everything computed when it is needed.
//!
//! Written from RFC 9110, 9111 and 5861 alone, so that it can be read beside them; nothing here comes from the crate. What is
//! invalidated by hand is in no RFC: it is as the docs of `frontage::invalidation` say. Where they leave room, the line says so with "choice:", and names where the crate documents the same.
//!
//! Each subject stands in one place: what is used ([`Cache::judge`]), what is fetched and how ([`Cache::fetch`]), what is stored
//! ([`Cache::storable`]), what parts of a response are kept ([`Cache::store_part`]) and used ([`Stored::suffices`]), what a 304 does ([`Cache::freshen`]), what a viewer gets of it ([`present`]), what is
//! invalidated ([`Cache::pass`], [`Cache::invalidate`]), and staleness ([`Profile::staleness`]).

use std::{
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where the real cache does other than the RFC says, known and reported: `true` makes the model do the same. To be
/// removed one by one as the real one is put right.
mod reported {
    /// RFC 9111 section 4.3.4: where no stored response has the 304's strong validator, "the cache MUST NOT use the new
    /// response to update any stored responses". The crate doesn't look at the tag of a 304.
    pub(super) const ANY_304_FRESHENS: bool = true;

    /// "Issued again, they run on as they did": the crate doesn't note for what is there in parts that it was asked for in between.
    pub(super) const PARTS_BEGIN_ANEW: bool = true;
}

/// Field lines, in order; names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    pub(crate) fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let lines = self.0.iter().filter(move |(known, _)| known == name);
        lines
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
            .into_iter()
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.lines(name).next()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    pub(crate) fn remove(&mut self, names: &[&str]) {
        self.0.retain(|(known, _)| !names.contains(&known.as_str()));
    }

    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(&[name]);
        self.add(name, value);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) fields: Fields,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: String,
}

impl Response {
    /// The cache's own.
    fn empty(status: u16) -> Self {
        let mut fields = Fields::default();
        fields.add("content-length", "0");
        Self {
            status,
            fields,
            body: String::new(),
        }
    }
}

/// The service failed: there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

/// What is behind the cache, and the time, in milliseconds: asking may take some.
pub(crate) trait Origin {
    fn now(&self) -> u64;
    fn ask(&mut self, request: &Request) -> Result<Response, Failed>;
}

/// What the cache says of what it did (RFC 9211).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) hit: bool,
    pub(crate) fwd: Option<&'static str>,
    pub(crate) stored: bool,
    /// Of a hit, in seconds.
    pub(crate) ttl: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) status: Status,
}

/// The settings in which the policies that are modelled differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct Profile {
    /// RFC 9111 section 4.2.2: a cache MAY assign a heuristic expiration time.
    pub(crate) heuristic: bool,
    /// Responses with `Set-Cookie` are stored; RFC 9111 section 7.3 leaves it open.
    pub(crate) stores_set_cookie: bool,
    /// Choice (`CachePolicy::default`): `Cookie` counts like `Authorization`, and `must-revalidate` lifts neither.
    pub(crate) cookies_are_credentials: bool,
    /// Stale responses are used as RFC 5861 allows.
    pub(crate) staleness: bool,
}

impl Profile {
    /// `CachePolicy::rfc9111`.
    pub(crate) const RFC9111: Self = Self {
        heuristic: true,
        stores_set_cookie: true,
        cookies_are_credentials: false,
        staleness: true,
    };

    /// `CachePolicy::default`.
    pub(crate) const DEFAULT: Self = Self {
        heuristic: false,
        stores_set_cookie: false,
        cookies_are_credentials: true,
        staleness: true,
    };
}

/// What is invalidated by hand, and how.
#[derive(Clone, Debug)]
pub(crate) struct Invalidation {
    pub(crate) covers: Covers,
    /// Of this host alone.
    pub(crate) host: Option<&'static str>,
    pub(crate) soft: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Covers {
    /// Path and query.
    Exactly(&'static str),
    AllThatBeginWith(&'static str),
    Tagged(&'static str),
    Everything,
}

impl Invalidation {
    fn covers(&self, stored: &Stored) -> bool {
        let (host, target) = stored.key.split_at(stored.key.find('/').unwrap_or(0));
        self.host.is_none_or(|only| only == host)
            && match self.covers {
                Covers::Exactly(path) => target == path,
                Covers::AllThatBeginWith(prefix) => target.starts_with(prefix),
                Covers::Tagged(tag) => stored.tags.contains(&tag.to_ascii_lowercase()),
                Covers::Everything => true,
            }
    }
}

#[derive(Clone, Debug)]
struct Stored {
    /// The primary key, RFC 9111 section 2: here the target URI alone, since only GET is stored under it.
    key: String,
    /// The fields that `Vary` names, sorted, each once.
    vary: Vec<String>,
    /// The fields of the request that it answered.
    original: Fields,
    status: u16,
    fields: Fields,
    /// Of an incomplete response, with [`MISSING`] where bytes are missing.
    body: String,
    /// RFC 9111 section 3.3: of what an incomplete response was made, `None` of a complete one.
    parts: Option<Vec<Range<usize>>>,
    /// RFC 9111 section 4.2.3: `response_time`.
    received_at: u64,
    /// `corrected_initial_age`.
    initial_age: u64,
    /// `freshness_lifetime`.
    lifetime: u64,
    state: State,
    tags: Vec<String>,
    soft: Option<Soft>,
}

/// A soft invalidation of something stored: what counts of all that there were.
#[derive(Clone, Copy, Debug)]
struct Soft {
    issued_at: u64,
    /// Somebody has asked for it since.
    was_met: bool,
}

/// A byte that isn't there: no origin sends one.
const MISSING: &str = "\0";

/// What an answer from the store was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeOf {
    Whole,
    Part,
    /// Several, and none of them would have been enough.
    Parts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    /// By an unsafe method, or by hand.
    Invalidated,
    /// A 304 said that it must not be kept. Among variants its place in the list remains.
    Removed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Use it.
    Use,
    /// Use it, and refresh it in the background.
    UseAndRefresh,
    /// Ask the origin whether it still holds.
    Validate,
    /// Fetch, without asking so.
    Fetch,
}

/// Why a response isn't stored: for the request's sake, or for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Request,
    Response,
}

/// A request and its response, judged.
#[derive(Clone, Copy)]
struct Exchange<'a> {
    method: &'a str,
    request: &'a Request,
    status: u16,
    fields: &'a Fields,
    requested_at: u64,
    received_at: u64,
}

pub(crate) struct Cache {
    profile: Profile,
    /// The newest first.
    stored: Vec<Stored>,
    /// Keys whose responses are known not to be stored, and since when.
    marked: Vec<(String, u64)>,
    /// Keys whose origin failed while something stale was at hand, and when.
    failing: Vec<(String, u64)>,
    /// Of what the last answer was made, if it was a hit.
    pub(crate) made_of: Option<MadeOf>,
}

impl Cache {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            stored: Vec::new(),
            marked: Vec::new(),
            failing: Vec::new(),
            made_of: None,
        }
    }

    /// Hard: what is there is gone. Soft: it is stale from now on.
    pub(crate) fn invalidate(&mut self, what: &Invalidation, now: u64) {
        for stored in &mut self.stored {
            if stored.state != State::Kept || !what.covers(stored) {
                continue;
            }
            if !what.soft {
                stored.state = State::Invalidated;
                continue;
            }
            // "Issued again, they run on as they did; for what nobody asked for in between, they begin anew."
            let runs_on = stored.soft.filter(|before| before.was_met);
            stored.soft = Some(Soft {
                issued_at: runs_on.map_or(now, |before| before.issued_at),
                was_met: runs_on.is_some(),
            });
        }
    }

    pub(crate) fn ask(
        &mut self,
        request: &Request,
        origin: &mut dyn Origin,
    ) -> Result<Answer, Failed> {
        self.made_of = None;
        // Choice (the docs of `cache`): what isn't the cache's business passes through.
        if !["GET", "HEAD"].contains(&request.method) {
            return self.pass(request, "method", origin);
        }
        // RFC 9111 section 4.3.2: these two are for the origin.
        let fields = &request.fields;
        let precondition = fields.has("if-match") || fields.has("if-unmodified-since");
        if precondition || fields.lines("host").count() > 1 {
            return self.pass(request, "bypass", origin);
        }

        let now = origin.now();
        let (chosen, absent) = self.choose(request);
        if let Some(at) = chosen {
            let stored = &mut self.stored[at];
            let notes = stored.parts.is_none() || !reported::PARTS_BEGIN_ANEW;
            if let Some(soft) = stored.soft.as_mut().filter(|_| notes) {
                soft.was_met = true;
            }
        }
        let (mut verdict, fwd) = match chosen {
            Some(at) => self.judge(&self.stored[at], request, now),
            None => (Verdict::Fetch, absent),
        };
        // Choice (`Looked::judged`): parts are neither validated nor used in place of an error, for a 304 would confirm a whole.
        if let Some(at) = chosen
            && self.stored[at].parts.is_some()
            && verdict != Verdict::Use
        {
            verdict = Verdict::Fetch;
        }
        // Choice (design, section 4): what only its own viewer may get refreshes nothing for others.
        let fields = &request.fields;
        let is_its_own = fields.has("authorization")
            || (fields.has("cookie") && self.profile.cookies_are_credentials)
            || Asked::of(request).no_store;
        if verdict == Verdict::UseAndRefresh && is_its_own {
            verdict = Verdict::Validate;
        }
        // Choice (`CachePolicy::stale_retry`): an origin that failed isn't asked again for 10 s.
        let failed_lately = self.is_failing(&key_of(request, &request.target), now);
        if let Some(at) = chosen
            && verdict == Verdict::Validate
            && failed_lately
            && self.will_do(&self.stored[at], request, now)
        {
            verdict = Verdict::Use;
        }
        if let (Some(at), Verdict::Use | Verdict::UseAndRefresh) = (chosen, verdict) {
            let stored = self.stored[at].clone();
            self.made_of = Some(stored.made_of(request));
            let answer = Answer {
                response: present(&stored, request, now),
                status: Status {
                    hit: true,
                    ttl: Some(stored.ttl(now).div_euclid(1000)),
                    ..Status::default()
                },
            };
            let asks_only_if_cached = Asked::of(request).only_if_cached;
            if verdict == Verdict::UseAndRefresh && !failed_lately && !asks_only_if_cached {
                // RFC 5861 section 3: "while asynchronously revalidating". The viewer's own conditions stay out of it.
                let mut refresh = request.clone();
                refresh.method = "GET";
                refresh.fields.remove(&CONDITIONS);
                refresh.fields.remove(&["range"]);
                let _background = self.fetch(&refresh, Some(at), "stale", true, origin);
            }
            return Ok(answer);
        }
        // RFC 9111 section 5.2.1.7: "either a stored response ... or a 504".
        if Asked::of(request).only_if_cached {
            return Ok(Answer {
                response: Response::empty(504),
                // RFC 9211 sections 2.1 and 2.2: neither satisfied from the store nor forwarded.
                status: Status::default(),
            });
        }
        let validate = chosen.filter(|_| verdict == Verdict::Validate);
        self.fetch(request, validate, fwd, false, origin)
    }

    /// RFC 9111 sections 4 and 4.1: the stored response that a request selects, or why there is none.
    fn choose(&self, request: &Request) -> (Option<usize>, &'static str) {
        let key = key_of(request, &request.target);
        let under_key = |stored: &&Stored| stored.key == key;
        let Some(any) = self.stored.iter().find(under_key) else {
            return (None, "uri-miss");
        };
        let absent = match any.vary.is_empty() {
            true => "uri-miss",
            false => "vary-miss",
        };
        let chosen = self.selected(request);
        let chosen = chosen.filter(|at| self.stored[*at].state != State::Removed);
        // Section 3.3: "MUST NOT use an incomplete response to answer requests unless ..."
        if chosen.is_some_and(|at| !self.stored[at].suffices(request)) {
            return (None, "partial");
        }
        (chosen, absent)
    }

    /// RFC 9111 section 4.1, whatever became of it.
    fn selected(&self, request: &Request) -> Option<usize> {
        let key = key_of(request, &request.target);
        // "A cache MUST use the most recent one (as determined by the Date header field)."
        (0..self.stored.len())
            .filter(|at| self.stored[*at].key == key)
            .filter(|at| self.stored[*at].is_selected_by(request))
            .rev()
            .max_by_key(|at| self.stored[*at].fields.date("date"))
    }

    /// RFC 9111 section 4: may it be used?
    fn judge(&self, stored: &Stored, request: &Request, now: u64) -> (Verdict, &'static str) {
        // Section 4.4, and `Invalidation`: "the next request is a miss". Choice (`Forward::Miss`): as if it were gone, not merely to be validated.
        if stored.state == State::Invalidated {
            return (Verdict::Fetch, "miss");
        }
        let said = Said::of(&stored.fields);
        let asked = Asked::of(request);
        let age = stored.age(now);
        let fresh = stored.is_fresh(now);
        let reason = if fresh { "request" } else { "stale" };
        // Sections 5.2.1.4 and 5.4. Choice (`Verdict::Refetch`): fetched anew, without our validators.
        if asked.no_cache {
            return (Verdict::Fetch, reason);
        }
        // Section 5.2.2.4. Choice: said to be stale.
        if said.no_cache == Scope::Whole {
            return (Verdict::Validate, "stale");
        }
        // Section 5.2.1.1. Choice (`assess`): 0 asks the origin whatever the age; what can't be read, too.
        let young_enough = match asked.max_age {
            Seconds::Absent => true,
            // RFC 8246 section 2.
            Seconds::Of(0) => said.immutable && fresh,
            Seconds::Of(seconds) => age <= millis(seconds),
            Seconds::Unreadable => false,
        };
        // Section 5.2.1.3.
        let long_enough = match asked.min_fresh {
            Seconds::Absent => true,
            Seconds::Of(seconds) => stored.ttl(now) >= signed(millis(seconds)),
            Seconds::Unreadable => false,
        };
        if fresh {
            return match young_enough && long_enough {
                true => (Verdict::Use, ""),
                false => (Verdict::Validate, reason),
            };
        }
        // Section 4.2.4: "MUST NOT generate a stale response if prohibited by an explicit in-protocol directive".
        let demands = young_enough && long_enough;
        if said.forbids_stale() || !demands {
            return (Verdict::Validate, reason);
        }
        let stale_for = stored.stale_for(now);
        // RFC 5861 section 3.
        let may_be_stale = self.profile.staleness && !is_error(stored.status);
        if may_be_stale && within(said.stale_while_revalidate, stale_for) {
            return (Verdict::UseAndRefresh, reason);
        }
        // Section 5.2.1.2.
        let accepted = match asked.max_stale {
            MaxStale::Absent => false,
            MaxStale::Any => true,
            MaxStale::Of(seconds) => stale_for <= millis(seconds),
        };
        if accepted {
            return (Verdict::Use, "");
        }
        (Verdict::Validate, reason)
    }

    /// Asks the origin, about a stored response if there is one to validate, and does with the answer what is due.
    fn fetch(
        &mut self,
        request: &Request,
        validate: Option<usize>,
        fwd: &'static str,
        behind: bool,
        origin: &mut dyn Origin,
    ) -> Result<Answer, Failed> {
        let key = key_of(request, &request.target);
        let requested_at = origin.now();
        let fields = &request.fields;
        let range = fields.has("range");
        // Choice (the docs of `cache`, "What runs alone"): such requests go out as they came, conditions included.
        let goes_alone = range
            || self.is_marked(&key, requested_at)
            || fields.has("authorization")
            || (fields.has("cookie") && self.profile.cookies_are_credentials)
            || Asked::of(request).no_store;
        // A refresh runs in a task of its own, whoever started it.
        let alone = goes_alone && !behind;

        let mut forwarded = request.clone();
        let mut conditional = false;
        match validate.map(|at| &self.stored[at]) {
            // Section 4.3.1. Choice: a range with a condition of its own goes out as it came.
            Some(stored) if !(range && CONDITIONS.iter().any(|name| fields.has(name))) => {
                forwarded.fields.remove(&CONDITIONS);
                if let Some(etag) = stored.fields.first("etag") {
                    forwarded.fields.add("if-none-match", etag);
                    conditional = true;
                }
                if let Some(modified) = stored.fields.first("last-modified")
                    && stored.fields.date("last-modified").is_some()
                {
                    forwarded.fields.add("if-modified-since", modified);
                    conditional = true;
                }
            }
            _ if alone => {}
            // Choice (design, section 4): the whole is fetched, and the viewer's condition answered here.
            _ => forwarded.fields.remove(&CONDITIONS),
        }
        let came = origin.ask(&forwarded);
        let received_at = origin.now();

        // RFC 5861 section 4: "when an error is encountered", and that is 500, 502, 503, 504 or none at all.
        let error = match &came {
            Ok(response) => is_error(response.status),
            Err(Failed) => true,
        };
        if self.profile.staleness && error {
            self.failing.push((key.clone(), received_at));
        }
        if self.profile.staleness
            && error
            && let Some(at) = validate
        {
            // Choice (`cache`, "Stale answers"): an error replaces nothing that is still used, whatever its own lifetime.
            let stored = &self.stored[at];
            if self.will_do(stored, request, received_at) {
                return Ok(Answer {
                    response: present(stored, request, received_at),
                    status: Status::forwarded(fwd),
                });
            }
        }
        let response = came?;
        if !error {
            self.failing.retain(|(failing, _)| *failing != key);
        }
        if let Some(at) = validate
            && conditional
            && response.status == 304
        {
            if !reported::ANY_304_FRESHENS
                && !is_identified(&self.stored[at].fields, &response.fields)
            {
                // Section 4.3.3 knows no other use of it: the question is put without conditions.
                return self.fetch(request, None, fwd, behind, origin);
            }
            return Ok(self.freshen(at, request, &response, fwd, [requested_at, received_at]));
        }

        if request.method == "HEAD" && response.status == 200 {
            self.compare(request, &response, fwd, [requested_at, received_at]);
        }
        let mut judged = self.storable(&Exchange {
            // Choice: a HEAD is judged as the GET that it stands for.
            method: "GET",
            request,
            status: response.status,
            fields: &response.fields,
            requested_at,
            received_at,
        });
        // Choice (`Refusal::GoodAtHand`): an error takes the place of nothing good that others still get.
        if is_error(response.status) && self.has_good(request, received_at) {
            judged = Err(Refusal::Response);
        }
        let mut status = Status::forwarded(fwd);
        if request.method == "GET" && range && response.status == 206 {
            status.stored = self.store_part(request, &response, [requested_at, received_at]);
        }
        match judged {
            // RFC 9110 section 9.3.2: what answers a HEAD isn't the whole. A range may be answered with it (section 14.2), or with what
            // doesn't depend on it. Choice: that is the news that there is no such thing.
            Ok(_)
                if request.method == "HEAD"
                    || (range && !matches!(response.status, 200 | 404 | 410)) => {}
            Ok(lifetime) => {
                let exchange = Exchange {
                    method: "GET",
                    request,
                    status: response.status,
                    fields: &response.fields,
                    requested_at,
                    received_at,
                };
                let usable = self.store(&exchange, lifetime, response.body.clone());
                status.stored = true;
                // Choice: what must be confirmed at each use isn't worth waiting for; a mark isn't lengthened for that.
                if usable {
                    self.unmark(&key);
                } else if !alone && !self.is_late(&exchange) {
                    self.mark(&key, received_at);
                }
            }
            Err(refusal) => {
                // Choice (`freshness::is_lasting`).
                let special =
                    range || matches!(response.status, 100..=199 | 206 | 304 | 416 | 500..=599);
                let exchange = Exchange {
                    method: "GET",
                    request,
                    status: response.status,
                    fields: &response.fields,
                    requested_at,
                    received_at,
                };
                if refusal == Refusal::Response && !special && !self.is_late(&exchange) {
                    self.mark(&key, received_at);
                }
            }
        }
        // What was fetched for more than this viewer answers its condition here, as it does from the store.
        let for_others = judged.is_ok()
            || self.is_late(&Exchange {
                method: "GET",
                request,
                status: response.status,
                fields: &response.fields,
                requested_at,
                received_at,
            });
        let response = match for_others && !alone {
            true if is_not_modified(request, &response, received_at) => not_modified(response),
            _ => response,
        };
        Ok(Answer { response, status })
    }

    /// RFC 9111 section 3: may it be stored, and how long is it fresh, in milliseconds?
    fn storable(&self, exchange: &Exchange<'_>) -> Result<u64, Refusal> {
        let Exchange {
            method,
            request,
            status,
            fields,
            ..
        } = *exchange;
        let said = Said::of(fields);
        let explicit = said.max_age != Seconds::Absent
            || said.s_maxage != Seconds::Absent
            || fields.has("expires");
        // "The request method is understood by the cache": GET, and (RFC 9110 section 9.3.3) a POST with explicit freshness.
        if !(method == "GET" || (method == "POST" && explicit)) {
            return Err(Refusal::Request);
        }
        // Section 5.2.1.5.
        if Asked::of(request).no_store {
            return Err(Refusal::Request);
        }
        // "The response status code is final", and 206 and 304 are not stored as they are (see `store_part` and `freshen`).
        if matches!(status, 100..=199 | 206 | 304) {
            return Err(Refusal::Response);
        }
        // Section 5.2.2.3: what is understood is stored despite `no-store`.
        if said.must_understand && !is_understood(status) {
            return Err(Refusal::Response);
        }
        if said.no_store && !said.must_understand {
            return Err(Refusal::Response);
        }
        // "If the cache is shared: the private response directive is either not present or allows ..."
        if said.private == Scope::Whole {
            return Err(Refusal::Response);
        }
        // Section 3.5: must-revalidate, public and s-maxage allow it.
        let strict = self.profile.cookies_are_credentials;
        // Choice: one that lets nobody use it unasked lifts nothing.
        let lifted = said.public || matches!(said.s_maxage, Seconds::Of(seconds) if seconds > 0);
        if request.fields.has("authorization") && !(lifted || (said.must_revalidate && !strict)) {
            return Err(Refusal::Request);
        }
        if request.fields.has("cookie") && strict && !lifted {
            return Err(Refusal::Request);
        }
        if !self.profile.stores_set_cookie
            && fields.has("set-cookie")
            && !said.without().contains(&"set-cookie".to_owned())
        {
            return Err(Refusal::Response);
        }
        // Section 4.1: "*" never matches.
        let Some(_) = vary_of(fields) else {
            return Err(Refusal::Response);
        };
        // "At least one of": Expires, max-age, s-maxage, public, or a status that is heuristically cacheable.
        let lifetime = match explicit_lifetime(&said, fields, exchange.received_at) {
            Some(lifetime) => lifetime,
            // Section 4.2.2. Choice: 10 %.
            None if said.public || is_heuristically_cacheable(status) => {
                match fields.date("last-modified") {
                    Some(modified) if self.profile.heuristic => {
                        let date = fields.date("date").unwrap_or(exchange.received_at);
                        date.saturating_sub(modified) / 10
                    }
                    _ => 0,
                }
            }
            None => return Err(Refusal::Response),
        };
        // Choice (`Refusal::Stale`): what can be neither used nor validated isn't kept.
        let [usable, stands_in] = self.uses(exchange, lifetime);
        let states_window = said.stale_while_revalidate != Seconds::Absent
            || said.stale_if_error != Seconds::Absent;
        let of_use = (usable || stands_in) && (lifetime > 0 || states_window);
        let validator = fields.has("etag") || fields.date("last-modified").is_some();
        match of_use || validator {
            true => Ok(lifetime),
            false => Err(Refusal::Response),
        }
    }

    /// Whether a response may be used at once when it has come, as it is or while it is refreshed; and in place of an error.
    fn uses(&self, exchange: &Exchange<'_>, lifetime: u64) -> [bool; 2] {
        let said = Said::of(exchange.fields);
        let age = initial_age(exchange);
        if said.no_cache == Scope::Whole {
            return [false; 2];
        }
        let may_be_stale =
            self.profile.staleness && !is_error(exchange.status) && !said.forbids_stale();
        let stale_for = age.saturating_sub(lifetime);
        let window = |window| may_be_stale && within(window, stale_for);
        let fresh = lifetime > age;
        [
            fresh || window(said.stale_while_revalidate),
            fresh || window(said.stale_if_error),
        ]
    }

    /// Choice (`Sent::on_time`): what is stale only since it took so long to come says nothing of the next answer.
    fn is_late(&self, exchange: &Exchange<'_>) -> bool {
        let on_time = Exchange {
            requested_at: exchange.received_at,
            ..*exchange
        };
        self.storable(&on_time)
            .is_ok_and(|lifetime| self.uses(&on_time, lifetime)[0])
    }

    /// Stores a response. Gives whether it answers others without being validated.
    fn store(&mut self, exchange: &Exchange<'_>, lifetime: u64, body: String) -> bool {
        self.insert(Stored::new(exchange, lifetime, body));
        self.uses(exchange, lifetime)[0]
    }

    /// RFC 9111 sections 3.3 and 3.4: keeps the part that a 206 brings, with those that it can be combined with.
    fn store_part(
        &mut self,
        request: &Request,
        response: &Response,
        [requested_at, received_at]: [u64; 2],
    ) -> bool {
        let Some((part, length)) = content_range(&response.fields) else {
            return false;
        };
        // Section 3.3: the fields of the whole, and what may be stored of it decides.
        let mut fields = response.fields.clone();
        fields.remove(&["content-range"]);
        fields.set("content-length", length.to_string());
        let exchange = Exchange {
            method: "GET",
            request,
            status: 200,
            fields: &fields,
            requested_at,
            received_at,
        };
        let Ok(lifetime) = self.storable(&exchange) else {
            return false;
        };
        let usable = self.uses(&exchange, lifetime)[0];
        let mut new = Stored::new(&exchange, lifetime, MISSING.repeat(length));
        new.body.replace_range(part.clone(), &response.body);
        new.parts = Some(vec![part]);

        if let Some(at) = self.selected(request) {
            let old = &self.stored[at];
            let kept = old.state == State::Kept;
            let same = has_same_strong_validator(&old.fields, &new.fields);
            // Choice (`stands`): a complete response that is fresh, or of the same version, doesn't give way to parts.
            let fresh = old.is_fresh(received_at);
            if kept && old.parts.is_none() && (fresh || same) {
                return false;
            }
            // Section 3.4: "only if they all have the same strong validator". Choice: and the same length, and both vary or none.
            let alike = old.body.len() == length && old.vary.is_empty() == new.vary.is_empty();
            if old.parts.is_some() && kept && same && alike {
                new.combine(old);
            }
            // Choice (`Unlisted::spot`): it takes the place of what the request selected, whatever that varied by.
            self.stored.remove(at);
        }
        let key = new.key.clone();
        self.insert(new);
        if usable {
            self.unmark(&key);
        }
        true
    }

    /// Puts a response in its place.
    fn insert(&mut self, new: Stored) {
        // Choice (`store::Record`): under a key there is one response without `Vary`, or a list of variants.
        self.stored.retain(|old| {
            let both_vary = !(old.vary.is_empty() || new.vary.is_empty());
            let same_variant = old.vary == new.vary
                && selecting(&old.vary, &old.original) == selecting(&new.vary, &new.original);
            old.key != new.key || (both_vary && !same_variant)
        });
        self.stored.insert(0, new);
    }

    /// RFC 9111 sections 3.2, 4.3.3 and 4.3.4: a 304 for what is stored.
    fn freshen(
        &mut self,
        at: usize,
        request: &Request,
        not_modified: &Response,
        fwd: &'static str,
        [requested_at, received_at]: [u64; 2],
    ) -> Answer {
        let old = self.stored[at].clone();
        let mut status = Status::forwarded(fwd);
        let is_of_another = is_of_another_version(&old.fields, &not_modified.fields);
        let mut update = not_modified.fields.clone();
        // RFC 9110 section 6.6.1: "MUST record the time it was received and append a corresponding Date".
        if !update.has("date") {
            update.add("date", http_date(received_at));
        }
        // Section 3.2: each field replaces what is stored, but for those that belong to the stored bytes.
        update.remove(&[
            "content-encoding",
            "content-length",
            "content-range",
            "etag",
        ]);
        let mut merged = old.fields.clone();
        // Section 5.1: the age counts from the validation.
        merged.remove(&["age"]);
        for (name, _) in &update.0 {
            merged.remove(&[name]);
        }
        merged.0.extend(update.0);

        let exchange = Exchange {
            method: "GET",
            request,
            status: old.status,
            fields: &merged,
            requested_at,
            received_at,
        };
        let judged = self.storable(&exchange);
        // Choice (`confirm`): what a 304 of another version was asked about answers once more while it is fresh, or where it may
        // stand in for an error, and is fetched anew then.
        if is_of_another {
            let is_kept = old.state == State::Kept;
            let is_fresh =
                old.is_fresh(received_at) && Said::of(&old.fields).no_cache != Scope::Whole;
            let will_do = is_kept && (is_fresh || self.will_do(&old, request, received_at));
            if judged != Err(Refusal::Request) || !will_do {
                self.stored[at].state = State::Removed;
            }
            return Answer {
                response: match will_do {
                    true => present(&old, request, received_at),
                    false => Response::empty(502),
                },
                status,
            };
        }
        let mut updated = Stored::new(&exchange, judged.unwrap_or(0), old.body.clone());
        // Choice (`confirm`): a 304 that brings no tags takes none away.
        updated.tags = match tags_of(&not_modified.fields) {
            none if none.is_empty() => old.tags.clone(),
            tags => tags,
        };
        match judged {
            Ok(_) => {
                status.stored = true;
                match self.uses(&exchange, updated.lifetime)[0] {
                    true => self.unmark(&old.key),
                    false => self.mark(&old.key, received_at),
                }
                // Of several with one `Date`, what was confirmed last is the most recent.
                self.stored.remove(at);
                self.insert(updated.clone());
                Answer {
                    response: present(&updated, request, received_at),
                    status,
                }
            }
            Err(refusal) => {
                // What the origin forbids now isn't kept; what this request forbids is left as it was for others.
                if refusal == Refusal::Response {
                    self.stored[at].state = State::Removed;
                }
                let answer = Stored {
                    fields: merged.clone(),
                    ..updated
                };
                Answer {
                    response: present(&answer, request, received_at),
                    status,
                }
            }
        }
    }

    /// RFC 9111 section 4.3.5: a 200 to a HEAD, and the stored response "that could have been chosen for that request".
    fn compare(&mut self, request: &Request, head: &Response, fwd: &'static str, times: [u64; 2]) {
        let [requested_at, received_at] = times;
        let judged = self.storable(&Exchange {
            method: "GET",
            request,
            status: head.status,
            fields: &head.fields,
            requested_at,
            received_at,
        });
        let Some(at) = self.choose(request).0 else {
            return;
        };
        let stored = &mut self.stored[at];
        // Choice (`cache`, "HEAD"): it says nothing of what is gone, of what came after it was asked for, of what others get
        // where its own request forbids to keep it, and of parts.
        if stored.state != State::Kept
            || stored.parts.is_some()
            || stored.received_at > requested_at
            || judged == Err(Refusal::Request)
        {
            return;
        }
        let (said, kept) = (&head.fields, &stored.fields);
        // "Matching values for any received validator fields ... if the HEAD response has a Content-Length header field, the
        // value of Content-Length matches that of the stored response".
        let matches = |name| !said.has(name) || said.lines(name).eq(kept.lines(name));
        let length = stored.body.len().to_string();
        let is_as_long = said.lines("content-length").all(|said| said == length);
        // Choice: what is stored as no 200 is something else.
        if stored.status == 200 && matches("etag") && matches("last-modified") && is_as_long {
            self.freshen(at, request, head, fwd, times);
        } else {
            // "Otherwise, the cache SHOULD consider the stored response to be stale."
            stored.lifetime = stored.lifetime.min(stored.age(received_at));
        }
    }

    /// What isn't answered from the store. RFC 9111 section 4.4: a non-error response to an unsafe method invalidates.
    fn pass(
        &mut self,
        request: &Request,
        reason: &'static str,
        origin: &mut dyn Origin,
    ) -> Result<Answer, Failed> {
        let requested_at = origin.now();
        let response = origin.ask(request)?;
        let mut status = Status::forwarded(reason);
        let safe = ["GET", "HEAD", "OPTIONS", "TRACE"].contains(&request.method);
        if !safe && (200..400).contains(&response.status) {
            let named = |name: &str| {
                let reference = response.fields.first(name)?;
                resolve(request, reference)
            };
            let target = key_of(request, &request.target);
            // "MAY invalidate other URIs ... MUST NOT if the origin differs".
            let keys = [
                Some(target.clone()),
                named("location"),
                named("content-location"),
            ];
            for stored in &mut self.stored {
                if keys.iter().flatten().any(|key| *key == stored.key)
                    && stored.state == State::Kept
                {
                    stored.state = State::Invalidated;
                }
            }
            // RFC 9110 section 9.3.3: what a POST says that its target now is answers a later GET.
            let represents_target = request.method == "POST"
                && response.status < 300
                && named("content-location") == Some(target.clone());
            let exchange = Exchange {
                method: request.method,
                request,
                status: response.status,
                fields: &response.fields,
                requested_at,
                received_at: origin.now(),
            };
            if represents_target && let Ok(lifetime) = self.storable(&exchange) {
                status.stored = true;
                if self.store(&exchange, lifetime, response.body.clone()) {
                    self.unmark(&target);
                }
            }
        }
        Ok(Answer { response, status })
    }

    /// Whether a request without wishes of its own would get something that is no error.
    fn has_good(&self, request: &Request, now: u64) -> bool {
        let mut plain = request.clone();
        plain.method = "GET";
        plain.fields.remove(&["cache-control", "pragma"]);
        let Some(at) = self.choose(&plain).0 else {
            return false;
        };
        let stored = &self.stored[at];
        let is_used = match self.judge(stored, &plain, now).0 {
            Verdict::Use | Verdict::UseAndRefresh => true,
            Verdict::Validate => self.may_stand_in(stored, &plain, now),
            Verdict::Fetch => false,
        };
        is_used && !is_error(stored.status)
    }

    /// Whether an answer will do for an origin that fails: within either window.
    fn will_do(&self, stored: &Stored, request: &Request, now: u64) -> bool {
        self.judge(stored, request, now).0 == Verdict::UseAndRefresh
            || self.may_stand_in(stored, request, now)
    }

    /// RFC 5861 section 4, and what the request asks (RFC 9111 sections 5.2.1.1 and 5.2.1.3).
    fn may_stand_in(&self, stored: &Stored, request: &Request, now: u64) -> bool {
        let (said, asked) = (Said::of(&stored.fields), Asked::of(request));
        let young_enough = match asked.max_age {
            Seconds::Absent => true,
            Seconds::Of(seconds) => seconds > 0 && stored.age(now) <= millis(seconds),
            Seconds::Unreadable => false,
        };
        let long_enough = match asked.min_fresh {
            Seconds::Absent => true,
            Seconds::Of(seconds) => stored.ttl(now) >= signed(millis(seconds)),
            Seconds::Unreadable => false,
        };
        let is_stale = !stored.is_fresh(now);
        let is_allowed = !said.forbids_stale() && said.no_cache != Scope::Whole;
        let is_asked = young_enough && long_enough && !asked.no_cache;
        let window = within(said.stale_if_error, stored.stale_for(now));
        let may_be_stale = self.profile.staleness && !is_error(stored.status);
        may_be_stale && is_stale && is_allowed && is_asked && window
    }

    fn is_failing(&self, key: &str, now: u64) -> bool {
        let since = self.failing.iter().rfind(|(failing, _)| failing == key);
        since.is_some_and(|(_, since)| (*since..since + 10_000).contains(&now))
    }

    /// Choice (`cache`, "What runs alone"): a mark lasts for two minutes, and ends when the clock is set back.
    fn is_marked(&self, key: &str, now: u64) -> bool {
        let since = self.marked.iter().find(|(marked, _)| marked == key);
        since.is_some_and(|(_, since)| (*since..since + 120_000).contains(&now))
    }

    fn mark(&mut self, key: &str, now: u64) {
        self.unmark(key);
        self.marked.push((key.to_owned(), now));
    }

    fn unmark(&mut self, key: &str) {
        self.marked.retain(|(marked, _)| marked != key);
    }
}

impl Status {
    fn forwarded(fwd: &'static str) -> Self {
        Self {
            fwd: Some(fwd),
            ..Self::default()
        }
    }
}

impl Stored {
    fn new(exchange: &Exchange<'_>, lifetime: u64, body: String) -> Self {
        let mut fields = exchange.fields.clone();
        let said = Said::of(&fields);
        // Sections 5.2.2.4 and 5.2.2.7. Choice: fields that must be validated before use aren't kept at all.
        for name in said.without() {
            fields.remove(&[&name]);
        }
        // RFC 9110 section 6.6.1, as above.
        if !fields.has("date") {
            fields.add("date", http_date(exchange.received_at));
        }
        Self {
            key: key_of(exchange.request, &exchange.request.target),
            vary: vary_of(exchange.fields).unwrap_or_default(),
            tags: tags_of(exchange.fields),
            original: exchange.request.fields.clone(),
            status: exchange.status,
            fields,
            body,
            parts: None,
            received_at: exchange.received_at,
            initial_age: initial_age(exchange),
            lifetime,
            state: State::Kept,
            soft: None,
        }
    }

    /// RFC 9111 section 4.2.3: `current_age`. Choice (`Freshness`): a clock set back makes nothing younger than it came.
    fn age(&self, now: u64) -> u64 {
        let resident = now.saturating_sub(self.received_at);
        self.initial_age.saturating_add(resident)
    }

    /// RFC 9111 section 4.2: response_is_fresh = (freshness_lifetime > current_age).
    fn is_fresh(&self, now: u64) -> bool {
        self.lifetime > self.age(now) && self.soft.is_none()
    }

    /// For how long it stays fresh, negative since it became stale. Section 1.2.2. Choice (`Freshness`): since 1970 at most.
    fn ttl(&self, now: u64) -> i64 {
        let clock = now.max(self.received_at);
        let stale_for = self.age(now).saturating_sub(self.lifetime);
        let fresh_for = self.lifetime.saturating_sub(self.age(now));
        let ttl = signed(fresh_for) - signed(stale_for.min(clock));
        match self.soft {
            None => ttl,
            // "From the moment at which this is issued, or from the end of the lifetime if that comes first." Choice: the
            // moment isn't in the future, even if the clock was set back.
            Some(soft) => ttl.min(signed(soft.issued_at.min(now)) - signed(clock)),
        }
    }

    fn stale_for(&self, now: u64) -> u64 {
        self.ttl(now).min(0).unsigned_abs()
    }

    /// RFC 9111 section 3.4: what this has, laid over the parts of another of its version.
    fn combine(&mut self, old: &Self) {
        let (mut body, mut parts) = (MISSING.repeat(self.body.len()), Vec::new());
        for new in self.parts.iter().flatten() {
            // Choice (`Partial::with`): of two parts, one of which holds the other, that one is kept: of two alike, the older.
            let holds = |one: &Range<usize>, other: &Range<usize>| {
                one.start <= other.start && other.end <= one.end
            };
            let olds = || old.parts.iter().flatten();
            let is_held = olds().any(|old| holds(old, new));
            parts.extend(olds().filter(|old| is_held || !holds(new, old)).cloned());
            for part in &parts {
                body.replace_range(part.clone(), &old.body[part.clone()]);
            }
            if !is_held {
                body.replace_range(new.clone(), &self.body[new.clone()]);
                parts.push(new.clone());
            }
        }
        (self.body, self.parts) = (body, Some(parts));
    }

    /// RFC 9111 section 3.3: whether all bytes are there that a request asks for. Choice (`Wanted::extents`): a 304 and the
    /// answer to a HEAD take as many as without condition, and the whole.
    fn suffices(&self, request: &Request) -> bool {
        let mut plain = request.clone();
        plain.fields.remove(&["if-none-match", "if-modified-since"]);
        if request.method == "HEAD" {
            plain.method = "GET";
            plain.fields.remove(&["range"]);
        }
        !present(self, &plain, self.received_at)
            .body
            .contains(MISSING)
    }

    fn made_of(&self, request: &Request) -> MadeOf {
        let Some(parts) = &self.parts else {
            return MadeOf::Whole;
        };
        let alone_suffices = parts.iter().any(|part| {
            let mut alone = self.clone();
            alone.body = MISSING.repeat(self.body.len());
            alone
                .body
                .replace_range(part.clone(), &self.body[part.clone()]);
            alone.suffices(request)
        });
        match alone_suffices {
            true => MadeOf::Part,
            false => MadeOf::Parts,
        }
    }

    /// RFC 9111 section 4.1.
    fn is_selected_by(&self, request: &Request) -> bool {
        selecting(&self.vary, &self.original) == selecting(&self.vary, &request.fields)
    }
}

/// RFC 9110 section 13.1: what makes a request conditional, but for the two that are for the origin.
const CONDITIONS: [&str; 3] = ["if-none-match", "if-modified-since", "if-range"];

/// Answers a request with what is stored.
fn present(stored: &Stored, request: &Request, now: u64) -> Response {
    let mut response = Response {
        status: stored.status,
        fields: stored.fields.clone(),
        body: stored.body.clone(),
    };
    // RFC 9111 section 4: "MUST generate an Age header field, replacing any present".
    let age = (stored.age(now) / 1000).to_string();
    response.fields.set("age", age);
    // RFC 9110 section 13.2.2: conditions first, then the range.
    if is_not_modified(request, &response, stored.received_at) {
        return not_modified(response);
    }
    let length = response.body.len();
    if request.method == "HEAD" {
        // RFC 9110 section 8.6: SHOULD, what a GET would have said. A 204 MUST NOT.
        if response.status != 204 && !response.fields.has("content-length") {
            response.fields.add("content-length", length.to_string());
        }
        response.body.clear();
        return response;
    }
    // RFC 9110 section 14.2: applied to what would be a 200, if it can be read and If-Range holds.
    if response.status != 200 || !if_range_holds(request, &response.fields) {
        return response;
    }
    match range_of(request, length) {
        None => response,
        Some(Some((first, last))) => {
            response.status = 206;
            let content_range = format!("bytes {first}-{last}/{length}");
            response.fields.set("content-range", content_range);
            response.body = response.body[first..=last].to_owned();
            let length = response.body.len().to_string();
            response.fields.set("content-length", length);
            response
        }
        Some(None) => {
            // RFC 9110 section 15.5.17. What was said of the whole isn't said of this.
            response.fields.remove(&REPRESENTATION);
            response
                .fields
                .remove(&["cache-control", "expires", "etag", "last-modified"]);
            response
                .fields
                .set("content-range", format!("bytes */{length}"));
            response.status = 416;
            response.body.clear();
            response
        }
    }
}

/// RFC 9110 section 15.4.5: what a 304 needn't repeat.
const REPRESENTATION: [&str; 5] = [
    "content-length",
    "content-encoding",
    "content-language",
    "content-type",
    "content-range",
];

fn not_modified(mut response: Response) -> Response {
    response.fields.remove(&REPRESENTATION);
    Response {
        status: 304,
        body: String::new(),
        ..response
    }
}

/// RFC 9111 section 4.3.2. Choice (`conditional::is_not_modified`): a 200 only.
fn is_not_modified(request: &Request, response: &Response, received_at: u64) -> bool {
    if response.status != 200 {
        return false;
    }
    // RFC 9110 section 13.2.2: If-Modified-Since counts only without If-None-Match.
    if request.fields.has("if-none-match") {
        // RFC 9110 section 13.1.2: compared weakly.
        let opaque = |tag: &str| tag.trim_start_matches("W/").to_owned();
        let etag = response.fields.first("etag").map(opaque);
        return members(request.fields.lines("if-none-match"))
            .iter()
            .any(|tag| tag == "*" || Some(opaque(tag)) == etag);
    }
    let Some(since) = request.fields.date("if-modified-since") else {
        return false;
    };
    let fields = &response.fields;
    let modified = fields.date("last-modified").or(fields.date("date"));
    modified.unwrap_or(received_at) <= since
}

/// RFC 9111 section 4.3.4: whether a 304 speaks of what is stored: by its strong tag, by its weak one. Choice: a 304 without a
/// tag speaks of what was asked about.
fn is_identified(stored: &Fields, not_modified: &Fields) -> bool {
    let stored = stored.first("etag");
    match not_modified.first("etag") {
        None => true,
        Some(weak) if weak.starts_with("W/") => {
            stored.is_some_and(|tag| tag.trim_start_matches("W/") == &weak[2..])
        }
        strong => stored == strong,
    }
}

/// RFC 9111 section 4.3.4: whether the date of a 304 speaks of something else than is stored. Choice: a tag goes before it, and a
/// 304 without a date speaks of what was asked about. Choice: a tag alone isn't taken for another version's.
fn is_of_another_version(stored: &Fields, not_modified: &Fields) -> bool {
    let modified = |fields: &Fields| fields.date("last-modified");
    let both = modified(not_modified).zip(modified(stored));
    let opaque = |fields: &Fields| {
        fields
            .first("etag")
            .map(|tag| tag.trim_start_matches("W/").to_owned())
    };
    let is_another_tag = match (opaque(not_modified), opaque(stored)) {
        (Some(said), Some(known)) => said != known,
        (_, known) => known.is_none(),
    };
    is_another_tag && both.is_some_and(|(said, known)| said != known)
}

/// RFC 9110 section 8.8: the same strong entity tag. Choice (`same_strong_validator`): without any tag, the same
/// `Last-Modified`, where it is a strong validator on either side (section 8.8.2.2: a second before `Date`).
fn has_same_strong_validator(one: &Fields, other: &Fields) -> bool {
    if one.has("etag") || other.has("etag") {
        let strong = one.first("etag").filter(|tag| tag.starts_with('"'));
        return strong.is_some() && strong == other.first("etag");
    }
    let strong = |fields: &Fields| {
        let (modified, date) = (fields.date("last-modified")?, fields.date("date")?);
        (modified + 1000 <= date).then_some(modified)
    };
    strong(one).is_some() && strong(one) == strong(other)
}

/// RFC 9110 section 14.4: the bytes, and the length of the whole.
fn content_range(fields: &Fields) -> Option<(Range<usize>, usize)> {
    let (range, length) = fields
        .first("content-range")?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    Some((first..last + 1, length.parse().ok()?))
}

/// RFC 9110 section 13.1.5.
fn if_range_holds(request: &Request, fields: &Fields) -> bool {
    let Some(condition) = request.fields.first("if-range") else {
        return true;
    };
    if condition.starts_with('"') {
        // Strong comparison: neither is weak.
        return fields.first("etag") == Some(condition);
    }
    match (
        request.fields.date("if-range"),
        fields.date("last-modified"),
        fields.date("date"),
    ) {
        // Section 8.8.2.2: strong if it is at least a second before `Date`.
        (Some(asked), Some(modified), Some(date)) => asked == modified && modified + 1000 <= date,
        _ => false,
    }
}

/// RFC 9110 section 14.1.2: `None` to ignore the field, `Some(None)` for a range that can't be satisfied.
/// Choice (`range::select`): several ranges are ignored.
#[allow(
    clippy::option_option,
    reason = "whether there is one, and whether it can be satisfied"
)]
pub(crate) fn range_of(request: &Request, length: usize) -> Option<Option<(usize, usize)>> {
    let value = request.fields.first("range")?;
    let spec = value.strip_prefix("bytes=")?;
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let count: usize = last.parse().ok()?;
        if count == 0 || length == 0 {
            return Some(None);
        }
        return Some(Some((length.saturating_sub(count), length - 1)));
    }
    let first: usize = first.parse().ok()?;
    let last: usize = match last {
        "" => usize::MAX,
        last => last.parse().ok()?,
    };
    if last < first {
        return None;
    }
    if first >= length {
        return Some(None);
    }
    Some(Some((first, last.min(length - 1))))
}

/// RFC 9111 section 4.2.1: the first that is there; what can't be read means stale.
fn explicit_lifetime(said: &Said, fields: &Fields, received_at: u64) -> Option<u64> {
    for directive in [said.s_maxage, said.max_age] {
        match directive {
            Seconds::Absent => {}
            Seconds::Of(seconds) => return Some(millis(seconds)),
            Seconds::Unreadable => return Some(0),
        }
    }
    if !fields.has("expires") {
        return None;
    }
    let Some(expires) = fields.date("expires") else {
        return Some(0);
    };
    // "Expires ... minus the value of Date", or the time of reception, in whole seconds as the two are.
    let date = fields.date("date").unwrap_or(received_at / 1000 * 1000);
    Some(expires.saturating_sub(date))
}

/// RFC 9111 section 4.2.3: `corrected_initial_age`.
fn initial_age(exchange: &Exchange<'_>) -> u64 {
    // `Date` counts whole seconds.
    let received = exchange.received_at / 1000 * 1000;
    let apparent_age = match exchange.fields.date("date") {
        Some(date) => received.saturating_sub(date),
        None => 0,
    };
    let response_delay = exchange.received_at.saturating_sub(exchange.requested_at);
    let corrected_age_value = millis(age_value(exchange.fields)).saturating_add(response_delay);
    apparent_age.max(corrected_age_value)
}

/// RFC 9111 section 5.1: the first member, ignored if invalid. Choice (`freshness`): parameters behind it are overlooked.
fn age_value(fields: &Fields) -> u64 {
    let Some(line) = fields.first("age") else {
        return 0;
    };
    let first = line.split(',').next().unwrap_or("");
    let number = first.split(';').next().unwrap_or("");
    digits(number).unwrap_or(0)
}

/// RFC 9110 section 15.1, without 206.
fn is_heuristically_cacheable(status: u16) -> bool {
    [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].contains(&status)
}

/// RFC 9111 section 5.2.2.3: the statuses of RFC 9110 section 15.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// RFC 9111 section 4.1: the fields that are named, sorted; `None` for `*`.
fn vary_of(fields: &Fields) -> Option<Vec<String>> {
    let mut names: Vec<String> = members(fields.lines("vary"))
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    names.sort();
    names.dedup();
    (!names.contains(&"*".to_owned())).then_some(names)
}

/// The docs of `Invalidation::tag`: they have no case.
fn tags_of(fields: &Fields) -> Vec<String> {
    members(fields.lines("cache-tag"))
        .iter()
        .map(|tag| tag.to_ascii_lowercase())
        .collect()
}

/// RFC 9111 section 4.1: values match when they are the same but for white space and what is known to mean the same.
/// Choice (`VariantKey`): the case of languages and codings; the order counts.
fn selecting(names: &[String], fields: &Fields) -> Vec<Option<String>> {
    let value = |name: &String| {
        let value = fields
            .has(name)
            .then(|| members(fields.lines(name)).join(","))?;
        Some(match name.as_str() {
            "accept-language" | "accept-encoding" => value.to_ascii_lowercase(),
            _ => value,
        })
    };
    names.iter().map(value).collect()
}

/// RFC 9110 section 4.2.3: host names have no case, and :80 is the default port.
fn key_of(request: &Request, target: &str) -> String {
    let host = request.fields.first("host").unwrap_or("");
    format!("{}{target}", authority(host))
}

fn authority(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    host.strip_suffix(":80").unwrap_or(&host).to_owned()
}

/// RFC 3986 section 5.2: the key that `Location` and `Content-Location` name, if it is of the same origin.
fn resolve(request: &Request, reference: &str) -> Option<String> {
    let own = authority(request.fields.first("host").unwrap_or(""));
    let path = request.target.split('?').next().unwrap_or("");
    let rest = reference.strip_prefix("http:").unwrap_or(reference);
    if let Some(rest) = rest.strip_prefix("//") {
        let (host, _) = rest.split_once('/')?;
        let same = authority(host) == own;
        return same.then(|| format!("{own}{}", &rest[host.len()..]));
    }
    Some(match reference.chars().next() {
        Some('/') => format!("{own}{reference}"),
        Some('?') => format!("{own}{path}{reference}"),
        _ => {
            let folder = &path[..=path.rfind('/')?];
            format!("{own}{folder}{reference}")
        }
    })
}

/// RFC 5861 section 4. Choice: none of these is used stale itself.
fn is_error(status: u16) -> bool {
    [500, 502, 503, 504].contains(&status)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seconds {
    Absent,
    Of(u64),
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MaxStale {
    Absent,
    Any,
    Of(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    Absent,
    Whole,
    Fields(Vec<String>),
}

/// RFC 9111 section 5.2.2, RFC 5861.
#[allow(clippy::struct_excessive_bools, reason = "so are the directives")]
struct Said {
    no_store: bool,
    no_cache: Scope,
    private: Scope,
    public: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
    must_understand: bool,
    immutable: bool,
    max_age: Seconds,
    s_maxage: Seconds,
    stale_while_revalidate: Seconds,
    stale_if_error: Seconds,
}

impl Said {
    fn of(fields: &Fields) -> Self {
        let directives = directives(fields);
        let has = |name: &str| directives.iter().any(|(known, _)| known == name);
        Self {
            no_store: has("no-store"),
            no_cache: scope(&directives, "no-cache"),
            private: scope(&directives, "private"),
            public: has("public"),
            must_revalidate: has("must-revalidate"),
            proxy_revalidate: has("proxy-revalidate"),
            must_understand: has("must-understand"),
            immutable: has("immutable"),
            max_age: seconds(&directives, "max-age"),
            s_maxage: seconds(&directives, "s-maxage"),
            stale_while_revalidate: seconds(&directives, "stale-while-revalidate"),
            stale_if_error: seconds(&directives, "stale-if-error"),
        }
    }

    /// RFC 9111 section 4.2.4.
    fn forbids_stale(&self) -> bool {
        self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage != Seconds::Absent
            || self.no_cache == Scope::Whole
    }

    /// Fields that are not for others, or not without validation.
    fn without(&self) -> Vec<String> {
        let mut names = Vec::new();
        for scope in [&self.no_cache, &self.private] {
            if let Scope::Fields(fields) = scope {
                names.extend(fields.clone());
            }
        }
        names
    }
}

/// RFC 9111 section 5.2.1.
struct Asked {
    no_store: bool,
    /// Or `Pragma: no-cache` without `Cache-Control` (section 5.4).
    no_cache: bool,
    only_if_cached: bool,
    max_age: Seconds,
    min_fresh: Seconds,
    max_stale: MaxStale,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let fields = &request.fields;
        let directives = directives(fields);
        let has = |name: &str| directives.iter().any(|(known, _)| known == name);
        let pragma = members(fields.lines("pragma"))
            .iter()
            .any(|member| member.eq_ignore_ascii_case("no-cache"));
        let max_stale = directives.iter().find(|(name, _)| name == "max-stale");
        Self {
            no_store: has("no-store"),
            no_cache: has("no-cache") || (pragma && !fields.has("cache-control")),
            only_if_cached: has("only-if-cached"),
            max_age: seconds(&directives, "max-age"),
            min_fresh: seconds(&directives, "min-fresh"),
            max_stale: match max_stale {
                None => MaxStale::Absent,
                Some((_, None)) => MaxStale::Any,
                // What can't be read allows nothing.
                Some((_, Some(argument))) => match delta(argument) {
                    Some(seconds) => MaxStale::Of(seconds),
                    None => MaxStale::Absent,
                },
            },
        }
    }
}

type Directives = Vec<(String, Option<String>)>;

/// RFC 9111 section 5.2: names have no case.
fn directives(fields: &Fields) -> Directives {
    members(fields.lines("cache-control"))
        .iter()
        .map(|member| match member.split_once('=') {
            Some((name, argument)) => (name.trim().to_ascii_lowercase(), Some(argument.to_owned())),
            None => (member.to_ascii_lowercase(), None),
        })
        .collect()
}

/// Section 4.2.1. Choice (`DeltaSeconds`): given twice, it must say the same.
fn seconds(directives: &Directives, name: &str) -> Seconds {
    let mut said = Seconds::Absent;
    for (known, argument) in directives {
        if known != name {
            continue;
        }
        let this = match argument.as_deref().and_then(delta) {
            Some(seconds) => Seconds::Of(seconds),
            None => Seconds::Unreadable,
        };
        said = match said {
            Seconds::Absent => this,
            before if before == this => this,
            _ => Seconds::Unreadable,
        };
    }
    said
}

/// Sections 5.2.2.4 and 5.2.2.7. Choice (`Qualified`): what can't be read covers everything.
fn scope(directives: &Directives, name: &str) -> Scope {
    let mut fields = Vec::new();
    let mut present = false;
    for (_, argument) in directives.iter().filter(|(known, _)| known == name) {
        present = true;
        let named = argument.as_deref().map(unquoted).unwrap_or_default();
        let named = members([named.as_str()].into_iter());
        if named.is_empty() || named.iter().any(|name| name.contains([' ', '"'])) {
            return Scope::Whole;
        }
        fields.extend(named.iter().map(|name| name.to_ascii_lowercase()));
    }
    match present {
        true => Scope::Fields(fields),
        false => Scope::Absent,
    }
}

/// Section 1.2.2: digits, as a token or a quoted string (section 5.2). Choice (`DeltaSeconds`): at most 100 years.
fn delta(argument: &str) -> Option<u64> {
    Some(digits(&unquoted(argument))?.min(3_153_600_000))
}

/// Section 1.2.2: what is too large is the largest there is.
fn digits(text: &str) -> Option<u64> {
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| text.parse().unwrap_or(u64::MAX))
}

fn unquoted(argument: &str) -> String {
    let inner = argument
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(argument).replace('\\', "")
}

/// RFC 9110 section 5.6.1: the members of a list. Choice (`headers::members`): a quote that is never closed hides nothing.
fn members<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut members = Vec::new();
    for line in lines {
        let mut member = String::new();
        let mut rest = line;
        while let Some(next) = rest.chars().next() {
            let mut end = next.len_utf8();
            if next == '"'
                && let Some(closing) = rest[1..].find('"')
            {
                end = closing + 2;
            }
            if next == ',' {
                members.push(std::mem::take(&mut member));
            } else {
                member.push_str(&rest[..end]);
            }
            rest = &rest[end..];
        }
        members.push(member);
    }
    members
        .iter()
        .map(|member| member.trim().to_owned())
        .filter(|member| !member.is_empty())
        .collect()
}

/// Whether a time is within a window of RFC 5861.
fn within(window: Seconds, time: u64) -> bool {
    match window {
        // Choice: 0 is no window, not even at its one moment.
        Seconds::Of(seconds) => seconds > 0 && time <= millis(seconds),
        Seconds::Absent | Seconds::Unreadable => false,
    }
}

impl Fields {
    /// A field that holds a date (RFC 9110 section 5.6.7), in milliseconds; `None` where it can't be read.
    fn date(&self, name: &str) -> Option<u64> {
        let time = httpdate::parse_http_date(self.first(name)?).ok()?;
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok()
    }
}

/// RFC 9110 section 5.6.7.
pub(crate) fn http_date(millis: u64) -> String {
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(millis);
    httpdate::fmt_http_date(time)
}

fn millis(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}
