//! What is invalidated, and how that is written.

use super::tags;
use crate::{
    error::ConfigError,
    key::{canonical_host, comparable},
};
use std::{fmt, str::FromStr};

/// The longest path, in characters, percent-encoded.
const LONGEST: usize = 4000;

/// What is to be invalidated, and how: hard, unless [`soft`](Self::soft).
///
/// *Hard*: what it covers is gone. The next request is a miss, and is forwarded without conditions; nothing of it is used stale.
/// *Soft*: what it covers is stale from now on. It may be confirmed by the origin, and used where the rules allow something stale.
///
/// ```
/// use frontage::invalidation::Invalidation;
///
/// assert_eq!(Invalidation::path("/images/caf\u{e9}.jpg")?.to_string(), "/images/caf%C3%A9.jpg");
/// assert_eq!(Invalidation::path("/images/*")?.host("Example.com")?.to_string(), "example.com/images/*");
/// assert_eq!(Invalidation::tag("Product:Electronics")?.to_string(), "#product:electronics");
/// assert_eq!(Invalidation::everything().to_string(), "/*");
/// assert!(Invalidation::path("/images/*.jpg").is_err());
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Invalidation {
    pub(super) target: Target,
    pub(super) soft: bool,
}

/// Paths come with the host in front where only that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Exact(Box<str>),
    Prefix(Box<str>),
    Tag(Box<str>),
}

impl Invalidation {
    /// One path, or all that begin with it: `/images/logo.jpg`, `/images/*`, `/dir*`, `/images/image.jpg?size=1`.
    ///
    /// A path starts with `/`, has at most 4,000 characters, and may end in `*` (no, one or more characters, `/` and `?` among
    /// them), which stands nowhere else. Case counts, and so does a slash at the end. A query is compared as it is, order
    /// included, as far as it counts for the key ([`KeyPolicy::query`](crate::key::KeyPolicy::query)): a path without one
    /// covers only what is stored without one, and all of it where queries don't count. Non-ASCII and unsafe characters (RFC
    /// 1738 section 2.2) equal their percent-encoding, whatever the case of its digits; nothing else is decoded.
    ///
    /// # Errors
    ///
    /// When the path breaks one of these rules.
    pub fn path(path: &str) -> Result<Self, ConfigError> {
        let error = |expected| Err(ConfigError::new("path", path, expected));
        if !path.starts_with('/') {
            return error("a path that starts with '/'");
        }
        let prefix = path.strip_suffix('*');
        let compared = comparable(prefix.unwrap_or(path));
        if compared.contains('*') {
            return error("a path with '*' at its end only");
        }
        if compared.chars().count() + usize::from(prefix.is_some()) > LONGEST {
            return error("a path of at most 4,000 characters, percent-encoded");
        }
        Ok(Self::of(match prefix {
            Some(_) => Target::Prefix(compared.into()),
            None => Target::Exact(compared.into()),
        }))
    }

    /// All responses that carry a tag, in [the field that the policy names](crate::CachePolicy::tag_header).
    ///
    /// # Errors
    ///
    /// Unless it is 1 to 256 visible ASCII characters but comma. Case doesn't count.
    pub fn tag(tag: &str) -> Result<Self, ConfigError> {
        if !tags::is_tag(tag.as_bytes()) {
            return Err(ConfigError::new(
                "tag",
                tag,
                "1 to 256 visible ASCII characters without a comma",
            ));
        }
        Ok(Self::of(Target::Tag(tag.to_ascii_lowercase().into())))
    }

    /// Everything: the path `/*`.
    #[must_use]
    pub fn everything() -> Self {
        Self::of(Target::Prefix("/".into()))
    }

    fn of(target: Target) -> Self {
        Self {
            target,
            soft: false,
        }
    }

    /// Only what is stored for this host (and port, where it isn't the default one). Default: all hosts. Where the
    /// authority isn't [part of the key](crate::key::KeyPolicy::authority), an object belongs to no host, and this covers nothing.
    ///
    /// # Errors
    ///
    /// When it can't be a host, when there is one already, and for a tag.
    pub fn host(self, host: &str) -> Result<Self, ConfigError> {
        let error = |expected| Err(ConfigError::new("host", host, expected));
        let Some(canonical) = canonical_host(host) else {
            return error("a host, perhaps with a port");
        };
        let with_host = |path: &str| format!("{canonical}{path}").into();
        let target = match &self.target {
            Target::Exact(path) if path.starts_with('/') => Target::Exact(with_host(path)),
            Target::Prefix(path) if path.starts_with('/') => Target::Prefix(with_host(path)),
            Target::Tag(_) => return error("absent: tags are those of all hosts"),
            Target::Exact(_) | Target::Prefix(_) => return error("given once"),
        };
        Ok(Self { target, ..self })
    }

    /// What it covers is stale from now on, and not gone: it may be confirmed, or used where something stale may be.
    ///
    /// The windows of `stale-while-revalidate` and `stale-if-error` run from the moment at which this is issued (another core's: at
    /// which it is [applied](super::Invalidator::apply)), or from the end of the lifetime if that comes first. Issued again, they
    /// run on as they did for what was asked for in between, and begin anew for the rest: the moment is remembered in the
    /// [`Object`](crate::store::Object), as long as a look-up gives the same one. A store that builds its records at each look-up
    /// remembers none, and parts of a response have none: there they begin anew each time that it is issued.
    #[must_use]
    pub fn soft(mut self) -> Self {
        self.soft = true;
        self
    }

    /// Whether it is soft.
    #[must_use]
    pub fn is_soft(&self) -> bool {
        self.soft
    }

    pub(super) fn covers_all(&self) -> bool {
        !self.soft && matches!(&self.target, Target::Prefix(prefix) if **prefix == *"/")
    }
}

/// What is covered, as CloudFront's API writes it (`/a`, `/a/*`, `#tag`), with the host in front.
impl fmt::Display for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Exact(path) => f.write_str(path),
            Target::Prefix(path) => write!(f, "{path}*"),
            Target::Tag(tag) => write!(f, "#{tag}"),
        }
    }
}

/// An invalidation that was issued: which it is, and what it covers.
///
/// As text it is one line, for another process to [apply](super::Invalidator::apply):
///
/// ```
/// use frontage::{CacheCore, MemoryStore, invalidation::{Invalidation, Issued}};
///
/// let here = CacheCore::new(MemoryStore::new(1 << 20)).invalidator();
/// let there = CacheCore::new(MemoryStore::new(1 << 20)).invalidator();
/// let line = here.issue(&Invalidation::path("/a/*")?.soft()).to_string();
/// assert!(line.ends_with("-2 soft /a/*"));
/// let issued: Issued = line.parse()?;
/// assert!(there.apply(&issued));
/// assert!(!there.apply(&issued), "once is enough");
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issued {
    pub(super) sequence: u64,
    pub(super) number: u64,
    pub(super) what: Invalidation,
}

impl Issued {
    /// Which sequence of invalidations it belongs to: each core has its own.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Its number there.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it covers.
    #[must_use]
    pub fn invalidation(&self) -> &Invalidation {
        &self.what
    }
}

impl fmt::Display for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.what.soft { "soft" } else { "hard" };
        write!(
            f,
            "{:016x}-{} {how} {}",
            self.sequence, self.number, self.what
        )
    }
}

impl FromStr for Issued {
    type Err = ConfigError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let malformed = || ConfigError::new("issued", text, "an invalidation that was issued");
        let mut words = text.splitn(3, ' ');
        let (id, how, what) = (words.next(), words.next(), words.next());
        let (sequence, number) = id.and_then(|id| id.split_once('-')).ok_or_else(malformed)?;
        let what = what.ok_or_else(malformed)?;
        let what = match what.strip_prefix('#') {
            Some(tag) => Invalidation::tag(tag)?,
            None => {
                let (host, path) = what.split_at(what.find('/').ok_or_else(malformed)?);
                let path = Invalidation::path(path)?;
                match host {
                    "" => path,
                    host => path.host(host)?,
                }
            }
        };
        Ok(Self {
            sequence: u64::from_str_radix(sequence, 16).map_err(|_| malformed())?,
            number: number.parse().map_err(|_| malformed())?,
            what: match how {
                Some("hard") => what,
                Some("soft") => what.soft(),
                _ => return Err(malformed()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_rules() {
        let path = |path: &str| Invalidation::path(path).map(|path| path.to_string());
        for (given, expected) in [
            ("/", "/"),
            ("/*", "/*"),
            ("/dir*", "/dir*"),
            ("/Dir/", "/Dir/"),
            ("/a?b=c&d", "/a?b=c&d"),
            ("/a b", "/a%20b"),
            ("/%c3%a9", "/%C3%A9"),
            ("/é", "/%C3%A9"),
            ("/%41%", "/%41%"),
            ("/~x", "/%7Ex"),
        ] {
            assert_eq!(path(given).as_deref(), Ok(expected), "{given}");
        }
        for given in ["", "a", "*", "/a*b", "/a**", "/*/", "#tag", "//*.jpg*"] {
            let error = path(given).unwrap_err();
            assert_eq!(error.setting(), "path", "{given}");
        }
        let long = format!("/{}", "x".repeat(3999));
        assert!(path(&long).is_ok());
        assert!(path(&format!("{long}*")).is_err());
        assert!(path(&format!("/{}", "é".repeat(667))).is_err());
    }

    #[test]
    fn tags_and_hosts_follow_theirs() {
        for tag in ["", "a,b", "a b", "é", &"x".repeat(257)] {
            assert_eq!(Invalidation::tag(tag).unwrap_err().setting(), "tag");
        }
        let everything = Invalidation::everything;
        for (host, expected) in [
            ("Example.COM:80", "example.com/*"),
            ("example.com:8080", "example.com:8080/*"),
            ("[::1]", "[::1]/*"),
        ] {
            assert_eq!(everything().host(host).unwrap().to_string(), expected);
        }
        for host in ["", ":", ":80", ":81", "a/b", "a b", "u@a", "*", "#a", "é"] {
            assert!(everything().host(host).is_err(), "{host}");
        }
        assert!(everything().host("a").unwrap().host("b").is_err());
        assert!(Invalidation::tag("a").unwrap().host("a").is_err());
    }

    #[test]
    fn what_was_issued_is_read_back_as_it_was() {
        let long = format!("/{}*", "é".repeat(600));
        for what in [
            Invalidation::everything(),
            Invalidation::path("/a?b=%c3").unwrap().soft(),
            Invalidation::path(&long).unwrap(),
            Invalidation::path("/a*").unwrap().host("h:81").unwrap(),
            Invalidation::tag("#a").unwrap().soft(),
        ] {
            let issued = Issued {
                sequence: u64::MAX - 1,
                number: 7,
                what,
            };
            assert_eq!(issued.to_string().parse(), Ok(issued));
        }
        for text in [
            "",
            "1-1",
            "1-1 hard",
            "1-1 hard a",
            "1-1 warm /a",
            "x-1 hard /a",
            "1-x hard /a",
            "1 hard /a",
            "1-1 hard /a*b",
            "1-1 hard a/b*/c",
        ] {
            assert!(text.parse::<Issued>().is_err(), "{text}");
        }
    }
}
