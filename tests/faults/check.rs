//! What must hold after a run, whatever befell: the invariants of the crate, as far as they can be seen from outside.

use super::{
    made::Made,
    origin::{Said, Sent, text},
    plan::{COLLAPSE_TIMEOUT, FETCH_TIMEOUT, Kind, Plan, Profile, Stack},
    viewer::{End, Got},
    world::{Below, Moment, Record},
};
use http::HeaderMap;
use std::{collections::BTreeMap, ops::Range};

/// Why a run was not as it must be.
pub(crate) fn wrongs(plan: &Plan, record: &Record, all: &[Got]) -> Vec<String> {
    let run = Run { plan, record, all };
    let mut wrong = Vec::new();
    for got in all {
        let about = |why: String| {
            let Got {
                viewer,
                ask,
                status,
                fields,
                end,
                ..
            } = got;
            format!(
                "{why}\n  viewer {viewer} asked {} {} {:?} and got {status}, {end:?}: {fields:?}",
                ask.method, ask.path, ask.fields
            )
        };
        wrong.extend(run.bytes(got).map(about));
        wrong.extend(run.unasked(got).map(about));
        wrong.extend(run.private(got).map(about));
        wrong.extend(run.fresh(got).map(about));
        wrong.extend(run.invalidated(got).map(about));
        wrong.extend(run.at_once(got).map(about));
    }
    wrong.extend(run.once());
    wrong.extend(run.alone());
    wrong.extend(run.leads());
    wrong
}

struct Run<'a> {
    plan: &'a Plan,
    record: &'a Record,
    all: &'a [Got],
}

/// The one range that a field says, and of how much.
pub(crate) fn content_range(fields: &HeaderMap) -> Option<(Range<usize>, usize)> {
    let said = text(fields, "content-range").strip_prefix("bytes ")?;
    let (range, length) = said.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let last: usize = last.parse().ok()?;
    Some((first.parse().ok()?..last + 1, length.parse().ok()?))
}

impl Run<'_> {
    /// Bytes are those of one version, all of them where the end was clean.
    fn bytes(&self, got: &Got) -> Option<String> {
        let Got {
            status,
            fields,
            body,
            end,
            ask,
            ..
        } = got;
        if fields.contains_key("x-poison") {
            return Some("what came behind an answer was taken for another".to_owned());
        }
        if ask.method == "HEAD" || *status == 304 || *status == 416 {
            return None;
        }
        let Some(made) = Made::parse(text(fields, "x-made")) else {
            let is_error = *status >= 400;
            return (!is_error).then(|| "an answer of nobody's".to_owned());
        };
        if made.path != ask.path {
            return Some("of another path".to_owned());
        }
        let language = text_of(ask, "accept-language");
        let is_forwarded = !self.plan.profile.is_cloudfront()
            || text(fields, "cache-status").contains("fwd=bypass")
            || ask.method == "POST";
        let varies = self.plan.nature(&ask.path).varies && is_forwarded;
        let variant = match varies && !language.is_empty() {
            true => language,
            false => "-",
        };
        if made.variant != variant {
            return Some(format!("of the variant {}", made.variant));
        }
        let etag = text(fields, "etag");
        if !etag.is_empty() && etag != made.etag() {
            return Some("a body under another's validator".to_owned());
        }
        if text(fields, "content-type").starts_with("multipart/") {
            return match end {
                End::Whole => parts(&made, fields, body),
                _ => None,
            };
        }
        let range = match (*status, content_range(fields)) {
            (206, Some((_, length))) if length != made.length => {
                return Some("a part of another whole".to_owned());
            }
            (206, Some((range, _))) => range,
            (206, None) => return Some("a 206 of no range".to_owned()),
            _ => 0..made.length,
        };
        if *end == End::Whole && body.len() != range.len() {
            let length = body.len();
            return Some(format!(
                "cut short, with a clean end: {length} bytes of {range:?}"
            ));
        }
        let differs = made.differs(range.clone(), body);
        let nature = self.plan.nature(&ask.path);
        let is_named = nature.etag || nature.last_modified;
        let asks_for_head = |got: &Got| got.ask.method == "HEAD" && got.ask.path == ask.path;
        if differs.is_none() || is_named || !self.all.iter().any(asks_for_head) {
            return differs;
        }
        // A HEAD that agrees in the length updates what has no validator (RFC 9111 section 4.3.5), whatever version that is of.
        let others = self.all.iter();
        let mut others = others.filter_map(|got| Made::parse(text(&got.fields, "x-made")));
        let is_another = others.any(|other| {
            let is_as_long = other.path == made.path && other.length == made.length;
            is_as_long && other.secret.is_none() && other.differs(range.clone(), body).is_none()
        });
        differs.filter(|_| !is_another)
    }

    /// A 304 answers who has a condition, a 206 who wants a part; or the origin said so, unasked, to this very request.
    fn unasked(&self, got: &Got) -> Option<String> {
        let names: &[&str] = match got.status {
            304 => &["if-none-match", "if-modified-since"],
            206 => &["range"],
            _ => return None,
        };
        let is_asked = names.iter().any(|name| !text_of(&got.ask, name).is_empty());
        let serial = text(&got.fields, "x-serial").parse().ok()?;
        let is_own = self
            .fetches(serial)
            .any(|below| below.asker == Some(got.viewer));
        let is_the_origins = self.sent(got).is_some_and(|sent| sent.is_unasked) && is_own;
        let is_wrong = !is_asked && !is_the_origins;
        is_wrong.then(|| "nobody asked for that".to_owned())
    }

    fn sent(&self, got: &Got) -> Option<&Sent> {
        let serial: u64 = text(&got.fields, "x-serial").parse().ok()?;
        self.record.sent.get(&serial)
    }

    /// The requests below the first cache that were answered so.
    fn fetches(&self, serial: u64) -> impl Iterator<Item = &Below> {
        let below = self.record.below.iter();
        below.filter(move |below| below.level == 0 && below.serial == Some(serial))
    }

    /// What is for one viewer only reaches that one.
    fn private(&self, got: &Got) -> Option<String> {
        let is_own = |serial: u64| {
            let mut fetches = self.fetches(serial);
            fetches.all(|below| below.asker == Some(got.viewer))
        };
        let made = Made::parse(text(&got.fields, "x-made"));
        if let Some(secret) = made.and_then(|made| made.secret)
            && !is_own(secret)
        {
            return Some("another's secret".to_owned());
        }
        let cookie = text(&got.fields, "set-cookie").strip_prefix("id=");
        if let Some(cookie) = cookie
            && self.plan.profile == Profile::Default
            && !is_own(cookie.parse().unwrap())
        {
            return Some("another's cookie".to_owned());
        }
        let is_secret = got.status < 500 && self.sent(got).is_some_and(|sent| sent.is_secret);
        let serial = text(&got.fields, "x-serial").parse().unwrap_or(0);
        (is_secret && got.status == 200 && !is_own(serial)).then(|| "another's answer".to_owned())
    }

    /// Nothing is used for longer than it may be.
    fn fresh(&self, got: &Got) -> Option<String> {
        let status = text_of_last(&got.fields, "cache-status");
        let is_hit = status.split("; ").any(|word| word == "hit");
        if !is_hit && !status.contains("stale-if-error") {
            return None;
        }
        let above = self.record.above.get(&got.viewer)?;
        let least = self.record.least_wall(above.begun, above.answered?);
        let serial = text(&got.fields, "x-serial").parse().ok()?;
        let sent = self.record.sent.get(&serial)?;
        let may = |below: &Below| {
            let Some(received) = below.ended else {
                return false;
            };
            let now = least.max(received.wall);
            let (fresh_until, usable_until) = self.lifetime(below, sent, got);
            now < fresh_until || now <= usable_until
        };
        let mut fetches = self.fetches(serial);
        (!fetches.any(may)).then(|| "older than it may be".to_owned())
    }

    /// Until when what came so is fresh, and until when it may be used at most.
    fn lifetime(&self, below: &Below, sent: &Sent, got: &Got) -> (u64, u64) {
        let Said {
            max_age,
            s_maxage,
            while_revalidate,
            if_error,
            must_revalidate,
            is_private,
            no_store,
            no_cache,
            ..
        } = sent.said;
        let received = below.ended.map_or(0, |ended| ended.wall);
        let stated = s_maxage.or(max_age).map(|seconds| seconds * 1000);
        let is_error = sent.status >= 400;
        if self.plan.profile.is_cloudfront() {
            let (least, most) = match self.plan.profile {
                Profile::CloudFront => (0, 86_400_000),
                _ => (1000, 31_536_000_000),
            };
            let is_restricted = is_private || no_store || no_cache;
            let lifetime = match stated {
                _ if is_error => stated.unwrap_or(0).max(10_000),
                _ if is_restricted => least,
                stated => stated.unwrap_or(0).clamp(least, most),
            };
            let never_stale = must_revalidate || is_error || (is_restricted && least == 0);
            let most = if never_stale { 0 } else { received + most };
            return (received + lifetime, most);
        }
        let apparent = below
            .date
            .map_or(0, |date| (received / 1000 * 1000).saturating_sub(date));
        let delay = received.saturating_sub(below.begun.wall);
        let age = apparent.max(below.age * 1000 + delay);
        let fresh_until = received + stated.unwrap_or(0) - age.min(received);
        if no_cache {
            return (0, 0);
        }
        if must_revalidate || s_maxage.is_some() {
            return (fresh_until, 0);
        }
        let mut window = match is_error && sent.status != 404 {
            true => 0,
            false => while_revalidate.max(if_error) * 1000,
        };
        let asked = text_of(&got.ask, "cache-control");
        window = match asked {
            "max-stale" | "only-if-cached, max-stale" => u64::MAX / 2,
            "max-stale=20" => window.max(20_000),
            "stale-if-error=30" => window.max(30_000),
            _ => window,
        };
        (fresh_until, fresh_until.saturating_add(window))
    }

    /// Who shares an answer gets its head as it comes.
    fn at_once(&self, got: &Got) -> Option<String> {
        let above = self.record.above.get(&got.viewer)?;
        let is_shared = text_of_last(&got.fields, "cache-status").contains("; collapsed");
        let serial = text(&got.fields, "x-serial").parse().ok()?;
        let came = self.fetches(serial).filter_map(|below| below.ended).max()?;
        // A range in blocks may take several questions, one after the other.
        let in_blocks = matches!(self.plan.stack, Stack::Blocks | Stack::BlocksOverShield);
        if in_blocks && !text_of(&got.ask, "range").is_empty() {
            return None;
        }
        // Who joined a fetch whose head didn't come hears of the one that relieves it when its own wait is over.
        let over = above.begun.at + u64::try_from(COLLAPSE_TIMEOUT.as_millis()).unwrap();
        let may_wait = self.plan.stack != Stack::Coalesce
            && self.record.below.iter().any(|below| {
                (below.level, below.is_led) == (0, true)
                    && below.path == got.ask.path
                    && below.begun <= above.begun
                    && below.ended.is_none_or(|ended| ended.at >= over)
            });
        let since = if may_wait { over } else { above.begun.at };
        let late = above.answered?.at.saturating_sub(came.at.max(since));
        (is_shared && late > 100).then(|| format!("{late} ms after its head came"))
    }

    /// Who asks after an invalidation gets nothing that was asked for before it.
    fn invalidated(&self, got: &Got) -> Option<String> {
        let asked = self.record.above.get(&got.viewer)?.begun;
        let serial = text(&got.fields, "x-serial").parse().ok()?;
        let before = self
            .invalidations(&got.ask.path, false)
            .filter(|moment| *moment < asked)
            .max()?;
        let mut fetches = self.fetches(serial).peekable();
        fetches.peek()?;
        let is_late = fetches.all(|below| below.begun < before);
        is_late.then(|| format!("it was invalidated at {before:?}"))
    }

    /// When a path was invalidated, and in force.
    fn invalidations(&self, path: &str, softly: bool) -> impl Iterator<Item = Moment> {
        let by_hand = self.record.invalidated.iter();
        let by_hand = by_hand
            .filter(move |(_, what)| what.as_deref().is_none_or(|what| what == path))
            .map(|(moment, _)| *moment);
        let soft = self.record.invalidated_softly.iter();
        let soft = soft
            .filter(move |(_, what)| softly && what == path)
            .map(|(moment, _)| *moment);
        let counts = !self.plan.profile.is_cloudfront() && self.plan.stack != Stack::Coalesce;
        let posts = self.all.iter().filter(move |got| {
            counts && got.ask.method == "POST" && got.ask.path == path && got.status == 200
        });
        let posts = posts.filter_map(|got| self.record.above.get(&got.viewer)?.answered);
        by_hand.chain(soft).chain(posts)
    }

    /// Of fetches that others may join, there is one at a time.
    fn once(&self) -> Vec<String> {
        let mut by_name: BTreeMap<_, Vec<&Below>> = BTreeMap::new();
        for below in self.record.below.iter().filter(|below| below.is_led) {
            let varies = self.plan.nature(&below.path).varies;
            let name = (
                below.level,
                &below.path,
                below.method == "HEAD",
                &below.range,
                varies.then_some(&below.language),
                (self.plan.stack == Stack::Coalesce).then_some(&below.cache_control),
            );
            by_name.entry(name).or_default().push(below);
        }
        let mut wrong = Vec::new();
        for (name, fetches) in &by_name {
            if self.plan.is_calm && self.plan.stack != Stack::Coalesce && fetches.len() > 1 {
                wrong.push(format!("fetched {} times: {name:?}", fetches.len()));
            }
            for (at, second) in fetches.iter().enumerate() {
                let first = fetches[..at].iter().find(|first| self.waits(first, second));
                wrong.extend(
                    first.map(|first| format!("fetched twice at once: {first:?} and {second:?}")),
                );
            }
        }
        if self.plan.is_calm && self.plan.stack != Stack::Coalesce {
            let alone = self
                .record
                .below
                .iter()
                .filter(|below| !below.is_led && below.range.is_empty());
            wrong.extend(alone.map(|below| format!("fetched alone: {below:?}")));
        }
        wrong
    }

    /// Who says who asks leads nobody.
    fn leads(&self) -> impl Iterator<Item = String> {
        let below = self.record.below.iter();
        let wrong = below.filter(|below| below.is_led && below.has_credentials);
        wrong.map(|below| format!("leads with credentials: {below:?}"))
    }

    /// Nobody goes alone beside a fetch whose answer it may well have.
    fn alone(&self) -> impl Iterator<Item = String> {
        let below = self.record.below.iter();
        let alone = below.filter(|below| !below.is_led && self.might_share(below));
        alone.filter_map(|second| {
            let mut others = self
                .record
                .below
                .iter()
                .take_while(|first| first.begun < second.begun);
            let first = others.find(|first| {
                first.is_led
                    && first.level == 0
                    && (&first.path, &first.method, &first.range)
                        == (&second.path, &second.method, &second.range)
                    && first.language == second.language
                    && self.waits(first, second)
            })?;
            Some(format!("alone beside another: {first:?} and {second:?}"))
        })
    }

    /// Whether a request says nothing by which it is special, and neither did any answer to its like.
    fn might_share(&self, below: &Below) -> bool {
        let nature = self.plan.nature(&below.path);
        let asked = self.all.iter().find(|got| Some(got.viewer) == below.asker);
        let is_plain = asked.is_some_and(|got| {
            let mut names = got.ask.fields.iter().map(|(name, _)| *name);
            got.ask.method == "GET" && names.all(|name| name == "accept-language")
        });
        let above = below.asker.and_then(|asker| self.record.above.get(&asker));
        let has_waited = above.is_none_or(|above| above.begun.at + 1000 < below.begun.at);
        let lasts = nature.kind == Kind::Public && nature.lifetime >= 10 && nature.age.is_none();
        let is_roomy = self.plan.max_fetches >= 1024 && self.plan.max_object > 64 << 10;
        let mut sent = self
            .record
            .sent
            .values()
            .filter(|sent| sent.path == below.path);
        let is_odd = sent.any(|sent| sent.is_secret || !matches!(sent.status, 200 | 206 | 304));
        below.level == 0
            && is_plain
            && lasts
            && is_roomy
            && !has_waited
            && !is_odd
            && self.record.steps.is_empty()
    }

    /// Whether the second should have waited for the first.
    fn waits(&self, first: &Below, second: &Below) -> bool {
        let timeout = match self.plan.stack {
            Stack::Coalesce => FETCH_TIMEOUT,
            _ => COLLAPSE_TIMEOUT,
        };
        let timeout = u64::try_from(timeout.as_millis()).unwrap();
        let is_on = first.ended.is_none_or(|ended| second.begun < ended);
        // What is asked for after an invalidation is another thing; one may have waited for room since it was asked for.
        let mut invalidations = self.invalidations(&first.path, true);
        // Who came before it relieves a fetch from before it.
        let asker = second.asker.and_then(|asker| self.record.above.get(&asker));
        let lies_between =
            |moment| moment < first.begun && asker.is_some_and(|asker| asker.begun < moment);
        let is_another = invalidations.any(|moment| {
            (moment < second.begun && moment.at + 3000 >= first.begun.at) || lies_between(moment)
        }) || self.is_posted(first, second);
        // Before a first answer is stored nobody knows by what the others vary.
        let is_unknown = self.plan.nature(&first.path).varies
            && (!self.plan.is_calm || self.plan.stack == Stack::Coalesce);
        is_on && second.begun.at - first.begun.at < timeout && !is_another && !is_unknown
    }

    /// Whether a request invalidates the path meanwhile, wherever on its way.
    fn is_posted(&self, first: &Below, second: &Below) -> bool {
        let below = self.record.below.iter();
        let mut posts = below.filter(|below| below.method == "POST" && below.path == first.path);
        posts.any(|post| {
            let ended = post.ended.map_or(u64::MAX, |ended| ended.at);
            post.begun < second.begun && ended.saturating_add(3000) >= first.begun.at
        })
    }
}

/// A field of a request.
fn text_of<'a>(ask: &'a super::plan::Ask, name: &str) -> &'a str {
    let field = ask.fields.iter().find(|(field, _)| *field == name);
    field.map_or("", |(_, value)| value)
}

/// What the cache next to the viewer says: the last member.
fn text_of_last<'a>(fields: &'a HeaderMap, name: &str) -> &'a str {
    let last = fields.get_all(name).iter().next_back();
    let line = last.map_or("", |value| value.to_str().unwrap());
    line.rsplit(", ").next().unwrap_or_default()
}

/// Why the parts of a multipart body aren't those of this.
fn parts(made: &Made, fields: &HeaderMap, body: &[u8]) -> Option<String> {
    let boundary = text(fields, "content-type").split_once("boundary=")?.1;
    let boundary = boundary.trim_matches('"');
    let body = String::from_utf8_lossy(body).into_owned();
    let mut count = 0;
    for part in body.split(&format!("--{boundary}")) {
        let Some((head, bytes)) = part.split_once("\r\n\r\n") else {
            continue;
        };
        let range = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-range").then_some(value)
        });
        let mut field = HeaderMap::new();
        field.insert("content-range", range?.parse().unwrap());
        let (range, _) = content_range(&field)?;
        let bytes = bytes.strip_suffix("\r\n").unwrap_or(bytes);
        if bytes.len() != range.len() {
            return Some(format!("a part of {} bytes for {range:?}", bytes.len()));
        }
        if let Some(why) = made.differs(range, bytes.as_bytes()) {
            return Some(why);
        }
        count += 1;
    }
    (count == 0).then(|| "no parts".to_owned())
}
