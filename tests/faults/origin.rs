//! What the origin answers, whichever way it is reached; and how much of that it gets out.

use super::{
    chance::Chance,
    made::Made,
    plan::{Kind, Plan, Profile, Stack},
    world::World,
};
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

/// Versions from here on are of one answer each.
const ONE_TIME: u64 = 1_000_000;

/// How many bytes of a body come one by one, each a second after the other.
const DRIPS: usize = 20_000;

/// `Last-Modified` of a version.
pub(crate) fn modified(version: u64) -> String {
    http_date((1_600_000_000 + version * 3600) * 1000)
}

pub(crate) fn http_date(millis: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis))
}

/// What an answer says of its use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) while_revalidate: u64,
    pub(crate) if_error: u64,
    pub(crate) must_revalidate: bool,
    pub(crate) is_public: bool,
    pub(crate) is_private: bool,
    pub(crate) no_store: bool,
    pub(crate) no_cache: bool,
    pub(crate) sets_cookie: bool,
    pub(crate) varies_by_all: bool,
}

impl Said {
    fn cache_control(&self) -> String {
        let seconds =
            |name: &str, seconds: Option<u64>| seconds.map(|value| format!("{name}={value}"));
        let word = |name: &str, is: bool| is.then(|| name.to_owned());
        let some = |value: u64| Some(value).filter(|value| *value > 0);
        let all = [
            word("public", self.is_public),
            word("private", self.is_private),
            word("no-store", self.no_store),
            word("no-cache", self.no_cache),
            seconds("max-age", self.max_age),
            seconds("s-maxage", self.s_maxage),
            seconds("stale-while-revalidate", some(self.while_revalidate)),
            seconds("stale-if-error", some(self.if_error)),
            word("must-revalidate", self.must_revalidate),
        ];
        all.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Whether only the one who asked may have an answer.
    fn is_secret(&self, plan: &Plan, request: &HeaderMap, is_error: bool) -> bool {
        let profile = plan.profile;
        // CloudFront shares these, whatever they say.
        if profile == Profile::CachingOptimized || (profile == Profile::CloudFront && is_error) {
            return false;
        }
        if self.is_private || self.no_store || self.varies_by_all {
            return true;
        }
        if profile == Profile::CloudFront {
            return false;
        }
        let is_lifted = self.is_public || self.s_maxage.is_some_and(|seconds| seconds > 0);
        let is_default = profile == Profile::Default;
        (request.contains_key(header::AUTHORIZATION)
            && !(is_lifted || (self.must_revalidate && !is_default)))
            || (is_default && request.contains_key(header::COOKIE) && !is_lifted)
            || (is_default && self.sets_cookie)
            // A `CoalesceLayer` shares nothing with those who show who they are, whatever is said.
            || (plan.stack == Stack::Coalesce
                && (request.contains_key(header::AUTHORIZATION) || request.contains_key(header::COOKIE)))
    }
}

/// An answer, as it is remembered.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) said: Said,
    /// A 304 or a 206 that nobody asked for.
    pub(crate) is_unasked: bool,
    pub(crate) is_secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    /// The end of the connection.
    Close,
}

/// How a body ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    End,
    Reset,
    /// After so many milliseconds.
    Stall(u64),
    BadChunk,
    Panic,
}

/// How far an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Whole,
    /// No answer.
    Nothing,
    /// Half of the head; within a process, a panic.
    HalfHead,
    At(usize, Cut),
    /// More comes than is said.
    TooLong,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    pub(crate) framing: Framing,
    pub(crate) fate: Fate,
    /// Milliseconds to the head.
    pub(crate) head_after: u64,
    /// The body comes in pieces of so many bytes, every so many milliseconds.
    pub(crate) piece: usize,
    pub(crate) pause: u64,
}

/// What follows the end of an answer that is too long: nobody may get it for one.
pub(crate) const POISON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-poison: 1\r\ncache-control: max-age=99\r\n\r\npoison";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    Late,
    Nothing,
    HalfHead,
    Error,
    Unasked304,
    Lying304,
    OtherRange,
    Unasked206,
    IgnoresRange,
    Unsatisfiable,
    Cut,
    Slow,
    TooLong,
    Changes,
    PrivateForOnce,
    /// An error whose body has no end to speak of.
    Drips,
}

const ODD: [Odd; 20] = [
    Odd::Late,
    Odd::Late,
    Odd::Nothing,
    Odd::HalfHead,
    Odd::Error,
    Odd::Error,
    Odd::Unasked304,
    Odd::Lying304,
    Odd::OtherRange,
    Odd::Unasked206,
    Odd::IgnoresRange,
    Odd::Unsatisfiable,
    Odd::Cut,
    Odd::Cut,
    Odd::Cut,
    Odd::Slow,
    Odd::TooLong,
    Odd::Changes,
    Odd::PrivateForOnce,
    Odd::Drips,
];

#[derive(Clone)]
pub(crate) struct Brain {
    pub(crate) world: World,
    pub(crate) plan: Arc<Plan>,
    state: Arc<Mutex<State>>,
}

struct State {
    chance: Chance,
    serials: u64,
    versions: BTreeMap<String, u64>,
}

impl Brain {
    pub(crate) fn new(world: &World, plan: &Arc<Plan>) -> Self {
        Self {
            world: world.clone(),
            plan: plan.clone(),
            state: Arc::new(Mutex::new(State {
                chance: Chance::new(plan.seed, 2),
                serials: 0,
                versions: BTreeMap::new(),
            })),
        }
    }

    /// How the next attempt to connect goes: whether it is refused, and after how many milliseconds.
    pub(crate) fn connects(&self) -> (bool, u64) {
        let chance = &mut self.state.lock().unwrap().chance;
        match chance.percent(self.plan.faults) {
            true => (chance.percent(30), chance.pick(&[0, 0, 1, 500, 3000])),
            false => (false, 0),
        }
    }

    pub(crate) fn change(&self, path: &str) {
        let versions = &mut self.state.lock().unwrap().versions;
        *versions.entry(path.to_owned()).or_insert(1) += 1;
    }

    pub(crate) fn answer(&self, method: &Method, path: &str, request: &HeaderMap) -> Reply {
        let mut state = self.state.lock().unwrap();
        let State {
            chance,
            serials,
            versions,
        } = &mut *state;
        *serials += 1;
        let serial = *serials;
        let odd = match chance.percent(self.plan.faults) {
            true => Some(chance.pick(&ODD)),
            false => None,
        };
        let version = versions.entry(path.to_owned()).or_insert(1);
        if *method == Method::POST || odd == Some(Odd::Changes) {
            *version += 1;
        }
        let answering = Answering {
            plan: &self.plan,
            method,
            path,
            request,
            serial,
            version: *version,
            odd,
            now: frontage::clock::Clock::now(&self.world.clock()),
        };
        let (mut reply, sent) = answering.reply(chance);
        reply.fields.push(("x-serial", serial.to_string()));
        let (status, fate) = (reply.status, reply.fate);
        let range = text(request, "range");
        self.world.with(|record| record.sent.insert(serial, sent));
        self.world.event(&format!(
            "origin {method} {path} {range} {odd:?}: {serial} is {status} of version {version}, {fate:?}"
        ));
        reply
    }
}

/// A field, or nothing.
pub(crate) fn text<'a>(fields: &'a HeaderMap, name: &str) -> &'a str {
    fields.get(name).map_or("", |value| value.to_str().unwrap())
}

struct Answering<'a> {
    plan: &'a Plan,
    method: &'a Method,
    path: &'a str,
    request: &'a HeaderMap,
    serial: u64,
    version: u64,
    odd: Option<Odd>,
    now: u64,
}

impl Answering<'_> {
    fn reply(&self, chance: &mut Chance) -> (Reply, Sent) {
        let nature = self.plan.nature(self.path);
        let odd = self.odd;
        let kind = match odd {
            Some(Odd::PrivateForOnce) => Kind::Private,
            _ => nature.kind,
        };
        // One that may be stored is waited for by nobody, and goes on.
        let may_drip = !self.plan.profile.is_cloudfront() && *self.method == Method::GET;
        let drips = odd == Some(Odd::Drips) && may_drip;
        let is_error = odd == Some(Odd::Error) || drips;
        let mut said = Said {
            max_age: (!nature.is_shared_age).then_some(nature.lifetime),
            s_maxage: nature.is_shared_age.then_some(nature.lifetime),
            while_revalidate: nature.while_revalidate.unwrap_or(0),
            if_error: nature.if_error.unwrap_or(0),
            must_revalidate: nature.must_revalidate,
            is_public: nature.says_public && kind == Kind::Public,
            is_private: kind == Kind::Private,
            no_store: kind == Kind::NoStore,
            no_cache: kind == Kind::NoCache,
            sets_cookie: kind == Kind::SetCookie,
            varies_by_all: kind == Kind::VaryAny,
        };
        if is_error {
            said = chance.pick(&[
                Said::default(),
                Said::default(),
                Said {
                    max_age: Some(5),
                    ..Said::default()
                },
                Said {
                    no_store: true,
                    ..Said::default()
                },
                Said {
                    is_private: true,
                    ..Said::default()
                },
            ]);
        }
        if drips {
            said = Said::default();
        }
        if *self.method == Method::POST {
            said = Said {
                no_store: true,
                ..Said::default()
            };
        }
        let is_secret = said.is_secret(self.plan, self.request, is_error);
        let language = text(self.request, "accept-language");
        let made = Made {
            path: self.path.to_owned(),
            variant: match nature.varies && !language.is_empty() {
                true => language.to_owned(),
                false => "-".to_owned(),
            },
            version: match is_error || odd == Some(Odd::TooLong) {
                true => ONE_TIME + self.serial,
                false => self.version,
            },
            secret: is_secret.then_some(self.serial),
            length: match is_error {
                true if drips => DRIPS,
                true => 40,
                // A HEAD may say that nothing changed: without a validator, by the length.
                false if !nature.etag && !nature.last_modified => {
                    nature.length + self.version as usize
                }
                false => nature.length + [0, 5, 5][(self.version % 3) as usize],
            },
        };
        let mut fields = self.fields(&said, &made, is_error);
        let status = match is_error {
            true if drips => 503,
            true => chance.pick(&[500, 502, 503, 503, 504, 404]),
            false => self.status(),
        };
        let (status, part) = self.select(status, &made);
        match &part {
            Some(part) if status == 206 => {
                let (first, last) = (part.start, part.end - 1);
                let range = format!("bytes {first}-{last}/{}", made.length);
                fields.push(("content-range", range));
            }
            _ if status == 416 => {
                fields.push(("content-range", format!("bytes */{}", made.length)))
            }
            _ => {}
        }
        let is_get = *self.method != Method::HEAD;
        let has_body = !matches!(status, 304 | 416);
        let reply = self.deliver(
            chance,
            status,
            made,
            part,
            nature.says_length,
            has_body && is_get,
        );
        let mut reply = reply;
        if has_body && is_get && !reply.1.is_empty() {
            fields.push(("x-made", reply.1));
        }
        if status == 304 && odd == Some(Odd::Lying304) {
            fields.retain(|(name, _)| !matches!(*name, "etag" | "last-modified"));
        }
        if drips {
            fields.push(("x-drips", "1".to_owned()));
            (reply.0.piece, reply.0.pause) = (1, 1000);
        }
        reply.0.fields.append(&mut fields);
        let sent = Sent {
            path: self.path.to_owned(),
            status,
            said,
            is_unasked: matches!(odd, Some(Odd::Unasked304 | Odd::Unasked206)),
            is_secret,
        };
        (reply.0, sent)
    }

    fn fields(&self, said: &Said, made: &Made, is_error: bool) -> Vec<(&'static str, String)> {
        let nature = self.plan.nature(self.path);
        let mut fields = Vec::new();
        let mut say = |name, is: bool, value: String| {
            if is && !value.is_empty() {
                fields.push((name, value));
            }
        };
        say("cache-control", true, said.cache_control());
        say("date", nature.has_date, http_date(self.now));
        let age = nature.age.filter(|_| !is_error);
        say("age", age.is_some(), age.unwrap_or(0).to_string());
        say("etag", nature.etag && !is_error, made.etag());
        // Answers for one each have none in common.
        let is_modified = nature.last_modified && made.version < ONE_TIME && made.secret.is_none();
        say("last-modified", is_modified, modified(self.version));
        say(
            "set-cookie",
            said.sets_cookie,
            format!("id={}", self.serial),
        );
        let by = match said.varies_by_all {
            true => "*",
            false => "accept-language",
        };
        say("vary", said.varies_by_all || nature.varies, by.to_owned());
        fields
    }

    /// Whether a condition of the request holds what it has against the present version.
    fn status(&self) -> u16 {
        let nature = self.plan.nature(self.path);
        let (none_match, since) = (
            text(self.request, "if-none-match"),
            text(self.request, "if-modified-since"),
        );
        let is_asked = !none_match.is_empty() || !since.is_empty();
        let language = text(self.request, "accept-language");
        let variant = match nature.varies && !language.is_empty() {
            true => language,
            false => "-",
        };
        let tag = format!("\"{variant}{}\"", self.version);
        let is_current = match none_match.is_empty() {
            true => nature.last_modified && since == modified(self.version),
            false => nature.etag && none_match.split(", ").any(|one| one == tag),
        };
        match self.odd {
            _ if *self.method == Method::POST => 200,
            Some(Odd::Unasked304) => 304,
            Some(Odd::Lying304) if is_asked => 304,
            _ if is_asked && is_current => 304,
            _ => 200,
        }
    }

    /// The status, and the part that is sent.
    fn select(&self, status: u16, made: &Made) -> (u16, Option<Range<usize>>) {
        let nature = self.plan.nature(self.path);
        if status != 200 || *self.method != Method::GET {
            return (status, None);
        }
        let length = made.length;
        if self.odd == Some(Odd::Unasked206) && length > 20 {
            return (206, Some(3..17));
        }
        let asked = text(self.request, "range").strip_prefix("bytes=");
        let Some(asked) = asked.filter(|_| nature.ranges && !(self.odd == Some(Odd::IgnoresRange)))
        else {
            return (200, None);
        };
        let if_range = text(self.request, "if-range");
        if !if_range.is_empty() && (!nature.etag || if_range != made.etag()) {
            return (200, None);
        }
        let Some((first, last)) = asked.split_once('-').filter(|_| !asked.contains(',')) else {
            return (200, None);
        };
        let part = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => first..length.min(last + 1),
            (Ok(first), Err(_)) => first..length,
            (Err(_), Ok(suffix)) => length.saturating_sub(suffix)..length,
            (Err(_), Err(_)) => return (200, None),
        };
        if self.odd == Some(Odd::Unsatisfiable) || part.start >= part.end {
            return (416, None);
        }
        match self.odd == Some(Odd::OtherRange) && part.len() > 5 {
            true => (206, Some(part.start + 2..part.end - 1)),
            false => (206, Some(part)),
        }
    }

    /// Decides how an answer comes, and says what it is made of.
    fn deliver(
        &self,
        chance: &mut Chance,
        status: u16,
        mut made: Made,
        part: Option<Range<usize>>,
        says_length: bool,
        has_body: bool,
    ) -> (Reply, String) {
        let over_pipes = self.plan.way == super::plan::Way::Pipes;
        let mut body = match (has_body, &part) {
            (false, _) => Vec::new(),
            (true, None) => made.bytes(),
            (true, Some(part)) => made.bytes()[part.clone()].to_vec(),
        };
        let mut framing = match says_length || !has_body {
            true => Framing::Length(body.len()),
            false if over_pipes && chance.percent(30) => Framing::Close,
            false => Framing::Chunked,
        };
        let mut fate = match self.odd {
            Some(Odd::Nothing) => Fate::Nothing,
            Some(Odd::HalfHead) => Fate::HalfHead,
            _ => Fate::Whole,
        };
        if self.odd == Some(Odd::Cut) && !body.is_empty() {
            let is_seen = match framing {
                Framing::Length(_) => true,
                Framing::Chunked => over_pipes,
                Framing::Close => false,
            };
            let cuts = [
                Cut::End,
                Cut::Reset,
                Cut::Stall(3000),
                Cut::Stall(40_000),
                Cut::BadChunk,
            ];
            let cut = match chance.pick(&cuts) {
                Cut::BadChunk if !over_pipes => Cut::Panic,
                Cut::BadChunk if framing != Framing::Chunked => Cut::Reset,
                // What nobody could tell from a clean end.
                Cut::End | Cut::Stall(_) if !is_seen => Cut::Reset,
                cut => cut,
            };
            fate = Fate::At(chance.index(body.len()), cut);
        }
        // What comes behind it must be there before anything else is asked for: later it is an answer to that, by all the signs.
        let may_be_too_long = !over_pipes || self.plan.buffer >= 16 << 10;
        if self.odd == Some(Odd::TooLong) && may_be_too_long && body.len() > 1 && part.is_none() {
            // It says less than it sends: what it says is what it is.
            let length = 1 + chance.index(body.len() - 1);
            made.length = length;
            framing = Framing::Length(length);
            fate = Fate::TooLong;
            body.truncate(length);
        }
        let mut reply = Reply {
            status,
            fields: Vec::new(),
            body: body.into(),
            framing,
            fate,
            head_after: chance.pick(&[0, 0, 1, 5, 50, 900]),
            piece: chance.pick(&[100_000, 100_000, 1000, 300]),
            pause: chance.pick(&[0, 0, 1, 30]),
        };
        match self.odd {
            Some(Odd::Late) => {
                reply.head_after = chance.pick(&[3000, 7000, 12_000, 25_000, 90_000])
            }
            Some(Odd::Slow) => {
                (reply.piece, reply.pause) = chance.pick(&[(64, 200), (200, 1500), (500, 7000)]);
            }
            _ => {}
        }
        (reply, made.to_string())
    }
}
