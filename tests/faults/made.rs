//! What bodies are made of: each byte says of what it is, so that any mixture is seen.

use super::chance::Chance;
use std::{fmt, ops::Range};

/// Of what a body is: an answer says so in its field `x-made`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) path: String,
    /// The value of the field that it varies by.
    pub(crate) variant: String,
    pub(crate) version: u64,
    /// The number of the one answer that has this body: nobody else may see it.
    pub(crate) secret: Option<u64>,
    pub(crate) length: usize,
}

impl Made {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let secret = self.secret.map_or(0, |serial| serial + 1);
        let name = format!("{}\n{}", self.path, self.variant);
        let of_name = name.bytes().fold(0, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut chance = Chance::new(of_name, self.version << 20 | secret);
        let mut bytes = Vec::with_capacity(self.length + 8);
        while bytes.len() < self.length {
            // Eight at a time, each a letter or a digit or the like.
            let eight = (chance.next() & 0x3f3f_3f3f_3f3f_3f3f) + 0x3030_3030_3030_3030;
            bytes.extend_from_slice(&eight.to_be_bytes());
        }
        bytes.truncate(self.length);
        bytes
    }

    pub(crate) fn etag(&self) -> String {
        match self.secret {
            None => format!("\"{}{}\"", self.variant, self.version),
            Some(serial) => format!("\"{}{}-{serial}\"", self.variant, self.version),
        }
    }

    pub(crate) fn parse(field: &str) -> Option<Self> {
        let mut parts = field.split(' ');
        let mut next = || parts.next();
        Some(Self {
            path: next()?.to_owned(),
            variant: next()?.to_owned(),
            version: next()?.parse().ok()?,
            secret: match next()? {
                "-" => None,
                serial => Some(serial.parse().ok()?),
            },
            length: next()?.parse().ok()?,
        })
    }

    /// Why these aren't its bytes from `range` on; as many as there are of them.
    pub(crate) fn differs(&self, range: Range<usize>, got: &[u8]) -> Option<String> {
        let all = self.bytes();
        let Some(wanted) = all.get(range.clone()) else {
            return Some(format!("{range:?} isn't in {self}"));
        };
        if got.len() > wanted.len() {
            let (more, length) = (got.len(), wanted.len());
            return Some(format!("{more} bytes of {length} of {self}"));
        }
        if wanted.starts_with(got) {
            return None;
        }
        let at = got.iter().zip(wanted).position(|(got, want)| got != want)?;
        Some(format!(
            "byte {at} from {range:?} isn't of {self}: {:?}",
            &got[..got.len().min(8)]
        ))
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            variant,
            version,
            length,
            ..
        } = self;
        write!(f, "{path} {variant} {version} ")?;
        match self.secret {
            None => write!(f, "- {length}"),
            Some(serial) => write!(f, "{serial} {length}"),
        }
    }
}
