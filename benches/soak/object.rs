//! What the origin has. All that is said of an object follows from its number, and its bytes from number, variant and
//! version: so whoever asked for it knows what must come.

use crate::{Failure, chance::Chance};
use bytes::Bytes;
use std::{
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub(crate) const OBJECTS: u64 = 10_000;
/// What requests say in `x-variant`.
pub(crate) const VARIANTS: [&str; 3] = ["a", "b", "c"];
/// How long the origin may stand still, by a fault.
pub(crate) const STALL: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Object(u64);

/// For how long an object may be used.
pub(crate) struct Lifetime {
    pub(crate) cache_control: &'static str,
    /// In all, stale or not.
    pub(crate) seconds: u64,
}

/// The bytes of one object, in one variant, at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    number: u64,
    variant: u64,
    pub(crate) version: u64,
}

impl Object {
    pub(crate) fn new(number: u64) -> Self {
        Self(number)
    }

    /// One that is fetched once and then answers for long.
    pub(crate) fn that_stays() -> Option<Self> {
        let mut all = (0..OBJECTS).map(Self);
        all.find(|object| {
            let stays = object.lifetime().seconds >= 600 && object.period().is_none();
            stays && !object.is_faulty() && !object.varies() && object.size() > 0
        })
    }

    fn chance(self, of: u64) -> Chance {
        Chance::new(self.0, of)
    }

    pub(crate) fn path(self) -> String {
        format!("/object/{}", self.0)
    }

    /// Whether the origin may fail at it. At the others it never does.
    pub(crate) fn is_faulty(self) -> bool {
        self.0 % 4 == 3
    }

    pub(crate) fn varies(self) -> bool {
        self.0 % 5 == 2
    }

    pub(crate) fn is_chunked(self) -> bool {
        self.chance(1).percent(40)
    }

    pub(crate) fn size(self) -> u64 {
        let mut chance = self.chance(2);
        match chance.below(1000) {
            0..50 => 0,
            50..600 => 1 + chance.below(4 << 10),
            600..940 => (4 << 10) + chance.below(60 << 10),
            940..993 => (64 << 10) + chance.below(192 << 10),
            _ => (512 << 10) + chance.below(3 << 20),
        }
    }

    pub(crate) fn lifetime(self) -> Lifetime {
        let (cache_control, seconds) = match self.chance(3).below(100) {
            0..10 => ("no-store", 0),
            10..18 => ("no-cache", 0),
            18..43 => ("max-age=2", 2),
            43..60 => ("max-age=2, stale-while-revalidate=5", 7),
            60..70 => ("max-age=3, stale-if-error=10", 13),
            70..85 => ("max-age=15", 15),
            _ => ("max-age=600", 600),
        };
        Lifetime {
            cache_control,
            seconds,
        }
    }

    /// How long a version lasts, in milliseconds. `None`: for ever.
    fn period(self) -> Option<u64> {
        match self.chance(4).below(10) {
            0..2 => Some(4_000),
            2..4 => Some(20_000),
            _ => None,
        }
    }

    /// What it is now.
    pub(crate) fn content(self, variant: Option<&str>) -> Content {
        let known = VARIANTS.iter().position(|known| Some(*known) == variant);
        Content {
            number: self.0,
            variant: known.filter(|_| self.varies()).map_or(0, |at| at as u64),
            version: self.period().map_or(0, |period| now() / period),
        }
    }

    /// For how long, up to then, a version hasn't been the last one: in milliseconds. `None`: it has yet to come.
    pub(crate) fn outdated(self, version: u64, then: u64) -> Option<u64> {
        let period = self.period().unwrap_or(u64::MAX);
        let ended = version.saturating_add(1).saturating_mul(period);
        (version.saturating_mul(period) <= now()).then(|| then.saturating_sub(ended))
    }
}

impl Content {
    pub(crate) fn etag(self) -> String {
        format!("\"{}-{}-{}\"", self.number, self.variant, self.version)
    }

    /// The same in the version that an entity tag says.
    pub(crate) fn of_etag(self, etag: &str) -> Result<Self, Failure> {
        let parts = etag.trim_matches('"').rsplit_once('-');
        let (_, version) = parts.ok_or_else(|| format!("the entity tag is {etag}"))?;
        let said = Self {
            version: version.parse()?,
            ..self
        };
        match said.etag() == etag {
            true => Ok(said),
            false => Err(format!("{etag} came in place of {}", self.etag()).into()),
        }
    }

    pub(crate) fn bytes(self, range: Range<u64>) -> Bytes {
        let seed = Chance::new(self.number << 2 | self.variant, self.version).next();
        let words = range.start / 8..range.end.div_ceil(8);
        let capacity = words.end.saturating_sub(words.start).saturating_mul(8);
        let mut bytes = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
        for at in words {
            let mut word = (seed ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word ^= word >> 29;
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let skipped = usize::try_from(range.start % 8).unwrap_or(0);
        let length = usize::try_from(range.end - range.start).unwrap_or(0);
        Bytes::from(bytes).slice(skipped..skipped + length)
    }
}

/// Milliseconds since 1970: the same for all processes.
#[allow(clippy::disallowed_methods, reason = "processes share it")]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
