//! `Cache-Control` (RFC 9111 section 5.2) into typed directives.

use super::list::{members, quoted_end};
use http::{HeaderMap, HeaderName, header::CACHE_CONTROL};
use std::{borrow::Cow, fmt};

/// The longest lifetime kept, in seconds: 100 years, CloudFront's bound for `max-age`. Larger numbers mean this.
const LONGEST: u64 = 3_153_600_000;

/// The argument of a directive that counts seconds (RFC 9111 section 1.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeltaSeconds {
    /// The directive isn't there.
    #[default]
    Absent,
    /// A valid number of seconds, at most 100 years: larger numbers are read as that.
    Seconds(u64),
    /// The directive is there, but without a valid number, or twice with different ones. RFC 9111
    /// section 4.2.1: the response is best considered stale.
    Invalid,
}

impl DeltaSeconds {
    /// The seconds, where they are valid.
    #[must_use]
    pub fn seconds(self) -> Option<u64> {
        match self {
            Self::Seconds(seconds) => Some(seconds),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// Whether the directive is there, valid or not.
    #[must_use]
    pub fn is_present(self) -> bool {
        self != Self::Absent
    }

    /// A number of seconds, as far as one is kept.
    pub(super) fn at_most_longest(seconds: u64) -> Self {
        Self::Seconds(seconds.min(LONGEST))
    }

    fn add(&mut self, argument: Option<&[u8]>) {
        let new = argument
            .and_then(parse_delta)
            .map_or(Self::Invalid, Self::Seconds);
        *self = match *self {
            Self::Absent => new,
            old if old == new => old,
            _ => Self::Invalid,
        };
    }
}

/// Reads delta-seconds: digits only, in a quoted string or not; larger than 100 years means 100 years.
fn parse_delta(argument: &[u8]) -> Option<u64> {
    let digits = unquote(argument);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(seconds.min(LONGEST))
}

/// `no-cache` and `private`, which may name fields instead of the whole response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Qualified {
    /// The directive isn't there.
    #[default]
    Absent,
    /// It covers the whole response (also when its argument can't be read: the safe reading).
    Whole,
    /// It covers these fields only.
    Fields(Vec<HeaderName>),
}

impl Qualified {
    /// Whether the directive covers the whole response.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// The fields it names.
    #[must_use]
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }

    /// With this list of names, if it can be read.
    pub(super) fn naming(list: &[u8]) -> Self {
        let names: Result<Vec<_>, _> = members(list).map(HeaderName::from_bytes).collect();
        match names {
            Ok(names) if !names.is_empty() => Self::Fields(names),
            _ => Self::Whole,
        }
    }

    fn add(&mut self, argument: Option<&[u8]>) {
        let new = argument.map_or(Self::Whole, |argument| Self::naming(&unquote(argument)));
        match (new, &mut *self) {
            (Self::Fields(mut names), Self::Fields(known)) => known.append(&mut names),
            (new, Self::Absent) => *self = new,
            _ => *self = Self::Whole,
        }
    }
}

/// What a response's `Cache-Control` says (RFC 9111 section 5.2.2, RFC 5861, RFC 8246).
///
/// Directive names are compared without case; unknown ones are ignored. Where two readings are
/// possible, the one that keeps less is taken. `Display` writes a value that means the same, in `Cache-Control` and in a
/// targeted field (RFC 9213); nothing where nothing is said.
///
/// ```
/// use frontage::headers::{DeltaSeconds, ResponseDirectives};
///
/// let mut headers = http::HeaderMap::new();
/// headers.append("cache-control", "Public, max-age=60".parse()?);
/// headers.append("cache-control", "S-MaxAge=\"300\"".parse()?);
/// let directives = ResponseDirectives::of(&headers);
/// assert!(directives.public);
/// assert_eq!(directives.max_age, DeltaSeconds::Seconds(60));
/// assert_eq!(directives.s_maxage, DeltaSeconds::Seconds(300));
/// assert_eq!(directives.to_string(), "public, max-age=60, s-maxage=300");
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// `no-store`: nothing may be kept.
    pub no_store: bool,
    /// `no-cache`: kept, but validated before each use.
    pub no_cache: Qualified,
    /// `private`: not for a shared cache.
    pub private: Qualified,
    /// `public`: may be stored even where it otherwise might not.
    pub public: bool,
    /// `must-revalidate`: never used stale.
    pub must_revalidate: bool,
    /// `proxy-revalidate`: never used stale by a shared cache.
    pub proxy_revalidate: bool,
    /// `must-understand`: stored only if the status code is understood.
    pub must_understand: bool,
    /// `immutable`: doesn't change while it is fresh (RFC 8246).
    pub immutable: bool,
    /// `max-age`.
    pub max_age: DeltaSeconds,
    /// `s-maxage`, for shared caches.
    pub s_maxage: DeltaSeconds,
    /// `stale-while-revalidate`.
    pub stale_while_revalidate: DeltaSeconds,
    /// `stale-if-error`.
    pub stale_if_error: DeltaSeconds,
    /// The field was there at all.
    pub present: bool,
}

impl ResponseDirectives {
    /// Reads the `Cache-Control` lines of a response.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            found.present = true;
            for member in members(line.as_bytes()) {
                found.add(member);
            }
        }
        found
    }

    fn add(&mut self, member: &[u8]) {
        let (name, argument) = directive(member);
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache.add(argument),
            b"private" => self.private.add(argument),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable = true,
            b"max-age" => self.max_age.add(argument),
            b"s-maxage" => self.s_maxage.add(argument),
            b"stale-while-revalidate" => self.stale_while_revalidate.add(argument),
            b"stale-if-error" => self.stale_if_error.add(argument),
            _ => {}
        }
    }
}

impl fmt::Display for ResponseDirectives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = Writer::new(f);
        list.flag("no-store", self.no_store)?;
        list.qualified("no-cache", &self.no_cache)?;
        list.qualified("private", &self.private)?;
        list.flag("public", self.public)?;
        list.flag("must-revalidate", self.must_revalidate)?;
        list.flag("proxy-revalidate", self.proxy_revalidate)?;
        list.flag("must-understand", self.must_understand)?;
        list.flag("immutable", self.immutable)?;
        list.seconds("max-age", self.max_age)?;
        list.seconds("s-maxage", self.s_maxage)?;
        list.seconds("stale-while-revalidate", self.stale_while_revalidate)?;
        list.seconds("stale-if-error", self.stale_if_error)
    }
}

/// What a request's `Cache-Control` asks (RFC 9111 section 5.2.1).
///
/// `Display` writes a value that asks the same, nothing where nothing is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `no-store`: keep nothing of this exchange.
    pub no_store: bool,
    /// `no-cache`: nothing stored without validation.
    pub no_cache: bool,
    /// `only-if-cached`: a stored response or a 504.
    pub only_if_cached: bool,
    /// `max-age`: nothing older.
    pub max_age: DeltaSeconds,
    /// `min-fresh`: fresh for at least so long.
    pub min_fresh: DeltaSeconds,
    /// `max-stale`: stale by at most so long; without a number, by any time ([`u64::MAX`]).
    pub max_stale: Option<u64>,
    /// `stale-if-error`: in place of an error, stale by at most so long (RFC 5861 section 4).
    pub stale_if_error: DeltaSeconds,
}

impl RequestDirectives {
    /// Adds one field line.
    pub(super) fn add_line(&mut self, line: &[u8]) {
        for member in members(line) {
            let (name, argument) = directive(member);
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match name.len() {
                7 if is("max-age") => self.max_age.add(argument),
                8 if is("no-cache") => self.no_cache = true,
                8 if is("no-store") => self.no_store = true,
                9 if is("max-stale") => {
                    // An unreadable limit allows nothing.
                    self.max_stale = argument.map_or(Some(u64::MAX), parse_delta);
                }
                9 if is("min-fresh") => self.min_fresh.add(argument),
                14 if is("only-if-cached") => self.only_if_cached = true,
                14 if is("stale-if-error") => self.stale_if_error.add(argument),
                _ => {}
            }
        }
    }
}

impl fmt::Display for RequestDirectives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = Writer::new(f);
        list.flag("no-store", self.no_store)?;
        list.flag("no-cache", self.no_cache)?;
        list.flag("only-if-cached", self.only_if_cached)?;
        list.seconds("max-age", self.max_age)?;
        list.seconds("min-fresh", self.min_fresh)?;
        list.seconds("stale-if-error", self.stale_if_error)?;
        match self.max_stale {
            None => Ok(()),
            Some(u64::MAX) => list.member("max-stale", ""),
            Some(seconds) => list.member("max-stale", format_args!("={seconds}")),
        }
    }
}

/// Writes directives, with commas between them.
struct Writer<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    separator: &'static str,
}

impl<'a, 'f> Writer<'a, 'f> {
    fn new(out: &'a mut fmt::Formatter<'f>) -> Self {
        let separator = "";
        Self { out, separator }
    }

    fn member(&mut self, name: &str, argument: impl fmt::Display) -> fmt::Result {
        write!(self.out, "{}{name}{argument}", self.separator)?;
        self.separator = ", ";
        Ok(())
    }

    fn flag(&mut self, name: &str, is_there: bool) -> fmt::Result {
        match is_there {
            true => self.member(name, ""),
            false => Ok(()),
        }
    }

    fn seconds(&mut self, name: &str, seconds: DeltaSeconds) -> fmt::Result {
        match seconds {
            DeltaSeconds::Absent => Ok(()),
            DeltaSeconds::Seconds(seconds) => self.member(name, format_args!("={seconds}")),
            // Without its argument, it is as invalid.
            DeltaSeconds::Invalid => self.member(name, ""),
        }
    }

    fn qualified(&mut self, name: &str, directive: &Qualified) -> fmt::Result {
        match directive {
            Qualified::Whole => self.member(name, ""),
            Qualified::Fields(names) if !names.is_empty() => {
                let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
                self.member(name, format_args!("=\"{}\"", names.join(", ")))
            }
            Qualified::Absent | Qualified::Fields(_) => Ok(()),
        }
    }
}

/// Splits `name=argument`. White space around the name is dropped, so that a sloppy `no-store ` counts;
/// white space in the argument stays, and makes a number invalid.
fn directive(member: &[u8]) -> (&[u8], Option<&[u8]>) {
    match member.iter().position(|byte| *byte == b'=') {
        Some(at) => (member[..at].trim_ascii(), Some(&member[at + 1..])),
        None => (member, None),
    }
}

/// The content of a quoted string, or the bytes as they are.
fn unquote(argument: &[u8]) -> Cow<'_, [u8]> {
    if argument.first() != Some(&b'"') || quoted_end(argument, 0) != Some(argument.len()) {
        return Cow::Borrowed(argument);
    }
    let inner = &argument[1..argument.len() - 1];
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        let literal = if byte == b'\\' {
            bytes.next()
        } else {
            Some(&byte)
        };
        plain.extend(literal);
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn response(lines: &[&str]) -> ResponseDirectives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                CACHE_CONTROL,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        ResponseDirectives::of(&headers)
    }

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        for (line, expected) in [
            ("max-age=3600", DeltaSeconds::Seconds(3600)),
            ("MaX-aGe=\"3600\"", DeltaSeconds::Seconds(3600)),
            ("max-age=003600", DeltaSeconds::Seconds(3600)),
            (
                "max-age=99999999999999999999999999",
                DeltaSeconds::Seconds(LONGEST),
            ),
            ("max-age=-1", DeltaSeconds::Invalid),
            ("max-age=+1", DeltaSeconds::Invalid),
            ("max-age='3600'", DeltaSeconds::Invalid),
            ("max-age=3600.5", DeltaSeconds::Invalid),
            ("max-age=3600a", DeltaSeconds::Invalid),
            ("max-age= 3600", DeltaSeconds::Invalid),
            ("max-age=", DeltaSeconds::Invalid),
            ("max-age", DeltaSeconds::Invalid),
            ("max-age=\"36", DeltaSeconds::Invalid),
            ("max-age=60, max-age=60", DeltaSeconds::Seconds(60)),
            ("max-age=60, max-age=61", DeltaSeconds::Invalid),
            ("x=\"max-age=3600\"", DeltaSeconds::Absent),
            ("xmax-age=3600", DeltaSeconds::Absent),
        ] {
            assert_eq!(response(&[line]).max_age, expected, "{line}");
        }
    }

    #[test]
    fn lines_are_one_list() {
        let directives = response(&["max-age=3600", "s-maxage=1", "No-Store"]);
        assert_eq!(directives.max_age, DeltaSeconds::Seconds(3600));
        assert_eq!(directives.s_maxage, DeltaSeconds::Seconds(1));
        assert!(directives.no_store && directives.present);
        assert!(!response(&[]).present);
    }

    #[test]
    fn fields_may_qualify_no_cache_and_private() {
        let directives = response(&["no-cache=\"Set-Cookie, X-A\", private=x-b"]);
        assert_eq!(directives.no_cache.fields(), ["set-cookie", "x-a"]);
        assert_eq!(directives.private.fields(), ["x-b"]);
    }

    #[test]
    fn an_unreadable_qualifier_covers_the_whole_response() {
        for line in [
            "private=",
            "private=\"\"",
            "private=\"a b\"",
            "private=\"\u{e9}\"",
            "private=a, private",
        ] {
            assert!(response(&[line]).private.is_whole(), "{line}");
        }
    }

    #[test]
    fn what_is_not_utf8_does_not_hide_the_rest() {
        let mut headers = HeaderMap::new();
        headers.append(
            CACHE_CONTROL,
            HeaderValue::from_bytes(b"\xff\xfe=\"\xff\", no-store").unwrap(),
        );
        assert!(ResponseDirectives::of(&headers).no_store);
    }

    #[test]
    fn what_is_printed_means_the_same() {
        for (line, printed) in [
            ("", ""),
            ("x, y=1", ""),
            (
                "IMMUTABLE, no-store=1, max-age=\"060\"",
                "no-store, immutable, max-age=60",
            ),
            (
                "stale-if-error=1, s-maxage=x, private=A, private=b, no-cache=",
                "no-cache, private=\"a, b\", s-maxage, stale-if-error=1",
            ),
        ] {
            let directives = response(&[line]);
            assert_eq!(directives.to_string(), printed, "{line}");
            assert_eq!(response(&[printed]), directives, "{line}");
        }
        let mut asked = RequestDirectives::default();
        asked.add_line(b"max-stale, min-fresh=x, max-age=1, no-cache, only-if-cached, no-store");
        assert_eq!(
            asked.to_string(),
            "no-store, no-cache, only-if-cached, max-age=1, min-fresh, max-stale"
        );
        asked.add_line(b"max-stale=5");
        assert!(asked.to_string().ends_with(", max-stale=5"));
    }

    #[test]
    fn request_directives() {
        let mut directives = RequestDirectives::default();
        directives.add_line(b"no-cache, MAX-AGE=0, min-fresh=x");
        directives.add_line(b"max-stale, only-if-cached, no-store");
        assert!(directives.no_cache && directives.no_store && directives.only_if_cached);
        assert_eq!(directives.max_age, DeltaSeconds::Seconds(0));
        assert_eq!(directives.min_fresh, DeltaSeconds::Invalid);
        assert_eq!(directives.max_stale, Some(u64::MAX));
        directives.add_line(b"max-stale=x");
        assert_eq!(directives.max_stale, None);
    }

    #[test]
    fn escapes_in_quoted_strings_are_undone() {
        assert_eq!(
            response(&["max-age=\"3\\600\""]).max_age,
            DeltaSeconds::Seconds(3600)
        );
    }
}
