//! What is played: requests, what the origin says to each, what is invalidated by hand, and how the time goes.
//!
//! A step is read off [`STEP`] bytes, each of which chooses from a small pool, the plain first: so that one decoder serves the
//! property test (which shrinks towards fewer steps and smaller bytes) and the fuzz target.

use super::cache::{Covers, Fields, Invalidation, Profile, Request, Response, http_date, range_of};
use std::fmt;

/// Bytes in a step.
pub(crate) const STEP: usize = 33;

/// When a scenario begins: a moment in 2026, in milliseconds.
pub(crate) const START: u64 = 1_767_225_600_000;

const OLD: &str = "Mon, 01 Dec 2025 00:00:00 GMT";
const AT_START: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
const OLDER: &str = "Fri, 21 Nov 2025 00:00:00 GMT";

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) profile: Profile,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// How far the clock moves before the request, in milliseconds.
    pub(crate) moves: i64,
    /// What is invalidated before the request.
    pub(crate) invalidates: Option<Invalidation>,
    pub(crate) request: Request,
    pub(crate) script: Script,
}

/// What the origin does with what reaches it in one step.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    number: usize,
    fails: bool,
    /// How long it takes, in milliseconds.
    pub(crate) takes: u64,
    status: u16,
    fields: Vec<(&'static str, Value)>,
    announces_length: bool,
    /// Answers a conditional request with a 304; with this entity tag.
    confirms: Option<ConfirmedTag>,
    /// Answers a range with a 206.
    cuts: Option<Cut>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConfirmedTag {
    /// The one that was asked for.
    Asked,
    None,
    /// The one of its full answer.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// What was asked for.
    Asked,
    /// The same, of a whole that is longer by one, whatever its validator says.
    OfLonger,
    /// Another part than was asked for (RFC 9110 section 15.3.7: it may).
    Other,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    /// So many seconds from when it is said.
    From(i64),
}

/// What a scenario brings together that seldom comes together by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bent {
    None,
    /// Windows in which something stale is used, and an origin that fails.
    Stale,
    /// Parts of the same.
    Parts,
}

impl Scenario {
    pub(crate) fn read<'a>(
        profile: Profile,
        steps: impl IntoIterator<Item = &'a [u8; STEP]>,
    ) -> Self {
        let mut steps = steps.into_iter().enumerate().peekable();
        let bent = match steps.peek().map_or(0, |(_, first)| first[STEP - 1]) {
            0..=103 => Bent::None,
            104..=143 => Bent::Stale,
            144..=255 => Bent::Parts,
        };
        Self {
            profile,
            steps: steps
                .map(|(at, bytes)| Step::read(at, bytes, bent))
                .collect(),
        }
    }
}

/// What a byte chooses: the smaller, the nearer to the front.
fn choose<T: Clone>(byte: u8, pool: &[T]) -> T {
    pool[usize::from(byte) * pool.len() / 256].clone()
}

/// The same, where nine of ten bytes choose nothing.
fn seldom<T: Clone>(byte: u8, pool: &[T]) -> Option<T> {
    const SOME: u8 = 26;
    let over = byte.checked_sub(255 - SOME + 1)?;
    Some(pool[usize::from(over) * pool.len() / usize::from(SOME)].clone())
}

impl Step {
    fn read(number: usize, bytes: &[u8; STEP], bent: Bent) -> Self {
        let (in_parts, is_stale) = (bent == Bent::Parts, bent == Bent::Stale);
        let mut next = bytes.iter().copied();
        let mut byte = || match next.next().expect("as many as are read") {
            // Nearer to the plain.
            byte if bent != Bent::None && byte & 3 != 0 => byte / 2,
            byte => byte,
        };
        const SECOND: i64 = 1000;
        const DAY: i64 = 86_400 * SECOND;
        let moves = choose::<i64>(
            byte(),
            match is_stale {
                // From window to window.
                true => &[
                    0,
                    SECOND,
                    0,
                    5 * SECOND,
                    10 * SECOND,
                    0,
                    20 * SECOND,
                    -SECOND,
                    31 * SECOND,
                    0,
                    60 * SECOND,
                ],
                false => &[
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    SECOND,
                    5 * SECOND,
                    10 * SECOND,
                    30 * SECOND,
                    59 * SECOND,
                    60 * SECOND,
                    61 * SECOND,
                    999,
                    10_001,
                    119 * SECOND,
                    120 * SECOND,
                    3600 * SECOND,
                    DAY,
                    365 * DAY,
                    36_525 * DAY,
                    -SECOND,
                    -60 * SECOND,
                    -DAY,
                ],
            },
        );
        let (invalidates, what) = (byte(), byte());
        let covers = choose(what, &COVERS);
        let often = if in_parts { 108..128 } else { 90..128 };
        let invalidates = often.contains(&invalidates).then(|| Invalidation {
            covers,
            host: match invalidates & 14 {
                2 => Some("example.com"),
                14 => Some("other.org"),
                _ => None,
            }
            .filter(|_| !matches!(covers, Covers::Tagged(_))),
            soft: invalidates & 1 == 1,
        });
        let method = match byte() {
            0..=199 => "GET",
            odd => choose(
                (odd - 200) * 4,
                &["HEAD", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS"],
            ),
        };
        let target = choose(
            byte(),
            &[
                "/a", "/a", "/a", "/a", "/a", "/a", "/a", "/b", "/b", "/a?x=1", "/a?",
            ],
        )
        .to_owned();
        let mut fields = Fields::default();
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                fields.add(name, value);
            }
        };
        add(
            "host",
            match is_stale {
                true => choose(byte(), &[None, Some("example.com"), None, None, None]),
                false => seldom(byte(), &["example.com", "EXAMPLE.com:80", "other.org"]),
            },
        );
        let accepts = byte();
        let languages = [
            None,
            None,
            Some("en"),
            Some("de"),
            Some("EN"),
            Some("en, de"),
            Some("en,de"),
        ];
        add("accept-language", choose(accepts, &languages));
        // The same byte: which of the two varies is for `Vary` to say.
        let codings = [None, Some("gzip"), Some("br, gzip"), Some("")];
        add(
            "accept-encoding",
            choose(accepts.wrapping_mul(37), &codings),
        );
        let credentials = byte();
        add("cookie", seldom(credentials, &["id=1", "id=2"]));
        add(
            "authorization",
            seldom(credentials.reverse_bits(), &["alice"]),
        );
        add(
            "cache-control",
            seldom(
                byte(),
                &[
                    "no-cache",
                    "max-age=0",
                    "max-age=10",
                    "Max-Age=\"60\"",
                    "max-age=x",
                    "min-fresh=10",
                    "min-fresh=60",
                    "min-fresh=99999999999999999999",
                    "max-stale",
                    "max-stale",
                    "max-stale",
                    "max-stale",
                    "max-stale=10",
                    "max-stale=60",
                    "max-stale=x",
                    "max-stale=100000, max-age=30",
                    "max-stale, min-fresh=1",
                    "only-if-cached",
                    "only-if-cached, max-stale",
                    "no-store",
                    "no-transform",
                    "NO-CACHE, only-if-cached",
                ],
            ),
        );
        let odd = byte();
        add("pragma", seldom(odd, &["no-cache", "x, No-Cache", "x"]));
        add(
            "if-match",
            seldom(odd.reverse_bits() | 7, &["\"a\""]).filter(|_| odd & 12 == 12),
        );
        add(
            "if-none-match",
            seldom(
                byte(),
                &[
                    "\"a\"",
                    "\"b\"",
                    "W/\"a\"",
                    "\"b\", \"a\"",
                    "*",
                    "\"x,\", W/\"b\"",
                    "a",
                ],
            ),
        );
        add(
            "if-modified-since",
            seldom(byte(), &[OLD, AT_START, OLDER, "yesterday"]),
        );
        let ranges = byte();
        let range = match in_parts {
            // They touch, overlap, and hold each other.
            true => choose(
                ranges,
                &[
                    Some("bytes=0-3"),
                    Some("bytes=4-"),
                    Some("bytes=2-6"),
                    Some("bytes=0-3"),
                    Some("bytes=-3"),
                    None,
                    Some("bytes=4-8"),
                    Some("bytes=2-6"),
                    Some("bytes=2-3"),
                    Some("bytes=99-"),
                ],
            ),
            false => seldom(
                ranges,
                &[
                    "bytes=0-3",
                    "bytes=4-",
                    "bytes=-3",
                    "bytes=2-99",
                    "bytes=99-",
                    "bytes=-0",
                    "bytes=5-2",
                    "lines=1",
                ],
            ),
        };
        add("range", range);
        let if_range = seldom(byte(), &["\"a\"", "W/\"a\"", OLD, "x"]);
        add("if-range", if_range);

        let kind = byte();
        let status = match byte() {
            0..=199 => 200,
            _ if is_stale => 503,
            odd => choose(
                (odd - 200) * 4,
                &[203, 204, 299, 301, 302, 404, 410, 416, 500, 501, 503, 599],
            ),
        };
        let directives: Vec<_> = [byte(), byte(), byte(), byte()]
            .into_iter()
            .enumerate()
            .filter_map(|(at, byte)| match at {
                0 => Some(choose(byte, &LIFETIMES)).filter(|directive| !directive.is_empty()),
                1 if is_stale => Some(choose(byte, &WINDOWS)),
                _ => seldom(byte, &DIRECTIVES),
            })
            .collect();
        let mut said = Vec::new();
        // In one line or in several.
        if directives.len() > 1 && kind & 1 == 1 {
            said.extend(
                directives
                    .iter()
                    .map(|directive| ("cache-control", Value::text(directive))),
            );
        } else if !directives.is_empty() {
            said.push(("cache-control", Value::text(&directives.join(", "))));
        }
        let mut say = |name: &'static str, value: Option<Value>| {
            said.extend(value.map(|value| (name, value)))
        };
        say(
            "expires",
            seldom(
                byte(),
                &[
                    Value::From(60),
                    Value::From(10),
                    Value::From(0),
                    Value::From(-60),
                    Value::From(40_000_000),
                    Value::text("0"),
                ],
            ),
        );
        let dates = [
            Some(Value::From(0)),
            Some(Value::From(0)),
            Some(Value::From(0)),
            None,
            Some(Value::From(-5)),
            Some(Value::From(-60)),
            Some(Value::From(100)),
            Some(Value::text("now")),
        ];
        say("date", choose(byte(), &dates));
        let ages = [
            "30",
            "0",
            "60",
            "30, 40",
            "x",
            "-1",
            "7200;a=b",
            "99999999999999999999",
        ];
        say("age", seldom(byte(), &ages).map(Value::text));
        let modified = [
            None,
            None,
            Some(OLD),
            Some(OLD),
            Some(OLDER),
            Some(AT_START),
            Some("junk"),
        ];
        say("last-modified", choose(byte(), &modified).map(Value::text));
        let tags = match in_parts {
            true => [
                Some("\"a\""),
                Some("\"a\""),
                Some("\"a\""),
                None,
                Some("\"b\""),
            ],
            false => [
                None,
                Some("\"a\""),
                Some("\"a\""),
                Some("\"b\""),
                Some("W/\"a\""),
            ],
        };
        say("etag", choose(byte(), &tags).map(Value::text));
        let vary = byte();
        let vary = match in_parts {
            true => choose(
                vary,
                &[
                    None,
                    None,
                    None,
                    Some("Accept-Language"),
                    Some("Accept-Language"),
                    Some("Accept-Encoding, accept-language"),
                    Some("*"),
                ],
            ),
            false => seldom(
                vary,
                &[
                    "Accept-Language",
                    "Accept-Language",
                    "accept-encoding",
                    "Accept-Encoding, accept-language",
                    "Cookie",
                    "",
                    "*",
                    "a, *",
                ],
            ),
        };
        say("vary", vary.map(Value::text));
        say("set-cookie", seldom(byte(), &["id=1"]).map(Value::text));
        let tags = [
            None,
            None,
            Some("x"),
            Some("x"),
            Some("X, y"),
            Some("y"),
            Some(" ,"),
        ];
        say("cache-tag", choose(byte(), &tags).map(Value::text));
        let named = byte();
        let references = [
            "/a",
            "/b",
            "b",
            "?x=1",
            "http://example.com/a",
            "//other.org/b",
        ];
        // What a POST says of itself, now and then.
        let content_location = match method {
            "POST" if named < 128 => Some(target.as_str()),
            _ => seldom(named, &references),
        };
        say("content-location", content_location.map(Value::text));
        say(
            "location",
            seldom(named.wrapping_mul(11), &references).map(Value::text),
        );
        let takes = seldom(byte(), &[1000, 500, 10_000, 30_000]).unwrap_or(0);
        let (announces_length, confirmed) = (byte() & 1 == 1, byte());
        Self {
            moves,
            invalidates,
            request: Request {
                method,
                target,
                fields,
            },
            script: Script {
                number,
                fails: kind >= 252 || (is_stale && kind % 3 == 0),
                takes,
                status,
                fields: said,
                announces_length,
                confirms: choose(
                    confirmed,
                    &[
                        None,
                        Some(ConfirmedTag::Asked),
                        Some(ConfirmedTag::Asked),
                        Some(ConfirmedTag::None),
                        Some(ConfirmedTag::Own),
                    ],
                ),
                cuts: match kind & 62 {
                    62 => Some(Cut::OfLonger),
                    30 => Some(Cut::Other),
                    cut if in_parts || cut & 6 != 0 => Some(Cut::Asked),
                    _ => None,
                },
            },
        }
    }
}

const COVERS: [Covers; 13] = [
    Covers::Exactly("/a"),
    Covers::Exactly("/a"),
    Covers::Exactly("/a"),
    Covers::AllThatBeginWith("/a"),
    Covers::AllThatBeginWith("/"),
    Covers::Tagged("x"),
    Covers::Tagged("x"),
    Covers::Tagged("Y"),
    Covers::Everything,
    Covers::Exactly("/b"),
    Covers::Exactly("/a?x=1"),
    Covers::Exactly("/a?"),
    Covers::AllThatBeginWith("/a?"),
];

/// How long an answer lives: it has at most one of these.
const LIFETIMES: [&str; 24] = [
    "max-age=60",
    "max-age=60",
    "max-age=60",
    "max-age=3600",
    "max-age=60",
    "max-age=60",
    "max-age=60",
    "max-age=10",
    "",
    "",
    "",
    "max-age=0",
    "s-maxage=60",
    "s-maxage=10, max-age=3600",
    "MAX-AGE=\"60\"",
    "max-age=x",
    "max-age=",
    "max-age= 60",
    "max-age=-1",
    "max-age=60, max-age=60",
    "max-age=60, max-age=61",
    "max-age=99999999999999999999",
    "max-age=3600",
    ",, max-age=3600 ,",
];

const WINDOWS: [&str; 4] = [
    "stale-if-error=30",
    "stale-while-revalidate=30",
    "stale-while-revalidate=10, stale-if-error=60",
    "stale-if-error=10",
];

const DIRECTIVES: [&str; 20] = [
    "public",
    "no-cache",
    "no-store",
    "private",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "must-understand, no-store",
    "no-cache=\"set-cookie\"",
    "no-cache=x-marker",
    "private=\"Set-Cookie, x-marker\"",
    "private=",
    "No-Store ",
    "PUBLIC=1",
    "x=\"a, no-store\"",
    "x=\"a, no-store",
    "stale-while-revalidate=30",
    "stale-if-error=30",
    "stale-if-error=0",
    "immutable",
];

impl Value {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn at(&self, now: u64) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::From(seconds) => http_date(now.saturating_add_signed(seconds * 1000)),
        }
    }
}

impl Script {
    /// Names the version of what is answered: by its strong validator, if it may be one.
    fn version(&self) -> String {
        let said = |name| {
            let line = self.fields.iter().find(|(known, _)| *known == name);
            line.map(|(_, value)| value.at(0))
        };
        match (said("etag"), said("last-modified")) {
            (Some(tag), _) if tag.starts_with('"') => tag[1..2].to_owned(),
            (None, Some(modified)) => modified[..1].to_owned(),
            _ => self.number.to_string(),
        }
    }

    /// What is answered to what reaches the origin; `None` if it fails.
    pub(crate) fn answer(&self, request: &Request, now: u64) -> Option<Response> {
        if self.fails {
            return None;
        }
        let mut fields = Fields::default();
        for (name, value) in &self.fields {
            fields.add(name, value.at(now));
        }
        fields.add("x-marker", self.number.to_string());
        let asked = &request.fields;
        let safe = ["GET", "HEAD"].contains(&request.method);
        let conditional = asked.has("if-none-match") || asked.has("if-modified-since");
        if let Some(tag) = self.confirms
            && safe
            && conditional
        {
            let asked = asked
                .first("if-none-match")
                .filter(|tag| !tag.contains([',', '*']));
            match tag {
                ConfirmedTag::Own => {}
                ConfirmedTag::Asked if asked.is_some() => {
                    fields.set("etag", asked.unwrap_or_default());
                }
                ConfirmedTag::Asked | ConfirmedTag::None => fields.remove(&["etag"]),
            }
            if self.announces_length {
                // Of the whole: of another one than is stored.
                fields.add("content-length", "99");
            }
            return Some(Response {
                status: 304,
                fields,
                body: String::new(),
            });
        }
        // A body of its own, so that it can be told which one it is.
        let mut body = format!("{}:abcdefgh", self.number);
        let mut status = self.status;
        if let Some(cut) = self.cuts
            && status == 200
            && request.method == "GET"
        {
            // Parts of one version are cut from one body.
            let mut whole = format!("{}:abcdefgh", self.version());
            if cut == Cut::OfLonger {
                whole.push('i');
            }
            if let Some(Some((first, last))) = range_of(request, whole.len()) {
                let (first, last) = match cut {
                    Cut::Other => (1, 5),
                    _ => (first, last),
                };
                status = 206;
                fields.add(
                    "content-range",
                    format!("bytes {first}-{last}/{}", whole.len()),
                );
                body = whole[first..=last].to_owned();
            }
        }
        if self.announces_length && status != 204 {
            fields.add("content-length", body.len().to_string());
        }
        if request.method == "HEAD" || status == 204 {
            body.clear();
        }
        Some(Response {
            status,
            fields,
            body,
        })
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.profile {
            Profile {
                heuristic: true, ..
            } => "rfc9111()",
            _ => "default()",
        };
        writeln!(f, "CachePolicy::{name}")?;
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{at}. {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.moves != 0 {
            write!(f, "{:+} ms, ", self.moves)?;
        }
        if let Some(Invalidation { covers, host, soft }) = &self.invalidates {
            let how = if *soft { "softly" } else { "hard" };
            let host = host.unwrap_or_default();
            match covers {
                Covers::Exactly(path) => write!(f, "{host}{path}")?,
                Covers::AllThatBeginWith(prefix) => write!(f, "{host}{prefix}*")?,
                Covers::Tagged(tag) => write!(f, "#{tag}")?,
                Covers::Everything => write!(f, "{host} everything")?,
            }
            write!(f, " is invalidated {how}, ")?;
        }
        write!(f, "{} {}", self.request.method, self.request.target)?;
        for (name, value) in &self.request.fields.0 {
            write!(f, " | {name}: {value}")?;
        }
        let script = &self.script;
        write!(f, "\n   origin")?;
        if script.takes != 0 {
            write!(f, ", after {} ms", script.takes)?;
        }
        if script.fails {
            return write!(f, ": fails");
        }
        write!(f, ": {}", script.status)?;
        for (name, value) in &script.fields {
            match value {
                Value::Text(text) => write!(f, " | {name}: {text}")?,
                Value::From(seconds) => write!(f, " | {name}: {seconds:+} s")?,
            }
        }
        if script.announces_length {
            write!(f, " | content-length")?;
        }
        match script.confirms {
            None => {}
            Some(ConfirmedTag::Asked) => write!(f, "; 304 to a condition, with the tag asked for")?,
            Some(ConfirmedTag::None) => write!(f, "; 304 to a condition, without a tag")?,
            Some(ConfirmedTag::Own) => write!(f, "; 304 to a condition")?,
        }
        match script.cuts {
            None => {}
            Some(Cut::Asked) => write!(f, "; 206 to a range")?,
            Some(Cut::OfLonger) => write!(f, "; 206 to a range, of a longer whole")?,
            Some(Cut::Other) => write!(f, "; 206 to a range, for another")?,
        }
        Ok(())
    }
}
