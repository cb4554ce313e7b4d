//! Which version of an object its blocks are of.

use crate::{
    conditional::same_strong_validator,
    range::{Piece, is_of_one_version},
};
use http::{HeaderMap, header};

/// What all blocks of one version have in common.
pub(super) struct Version {
    length: u64,
    /// What it takes to compare validators.
    validators: HeaderMap,
}

impl Version {
    /// The version of a 206 to a request for this piece. `None` where it isn't that, or can't be told from other versions.
    pub(super) fn of(piece: impl Into<Piece>, response: &HeaderMap) -> Option<Self> {
        let length = piece.into().length_of_whole(response)?;
        if !is_of_one_version(response) {
            return None;
        }
        let mut validators = HeaderMap::new();
        for name in [header::ETAG, header::LAST_MODIFIED, header::DATE] {
            for value in response.get_all(&name) {
                validators.append(&name, value.clone());
            }
        }
        Some(Self { length, validators })
    }

    /// The length of the whole, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether both are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.length == other.length && same_strong_validator(&self.validators, &other.validators)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::Block;
    use std::num::NonZeroU64;

    fn block(number: u64) -> Block {
        Block::new(NonZeroU64::new(100).unwrap(), number)
    }

    fn response(content_range: &str, fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_RANGE, content_range.parse().unwrap());
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn blocks_of_one_version_share_validator_and_length() {
        let a = &[("etag", "\"a\"")][..];
        let version = Version::of(block(0), &response("bytes 0-99/250", a)).unwrap();
        assert_eq!(version.length(), 250);
        let is = |number, range, fields| {
            let other = Version::of(block(number), &response(range, fields));
            other.is_some_and(|other| version.is(&other))
        };
        assert!(is(1, "bytes 100-199/250", a) && is(2, "bytes 200-249/250", a));
        assert!(!is(1, "bytes 100-199/251", a), "another length");
        assert!(!is(1, "bytes 100-199/250", &[("etag", "\"b\"")]));
        assert!(!is(1, "bytes 100-199/250", &[]), "none to compare");
        assert!(!is(2, "bytes 100-199/250", a), "another block");
    }

    #[test]
    fn without_a_strong_validator_there_is_no_version() {
        let date = ("date", "Thu, 01 Jan 2026 00:01:00 GMT");
        let modified = ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
        fn of(fields: &[(&'static str, &str)]) -> Option<Version> {
            Version::of(block(0), &response("bytes 0-99/250", fields))
        }
        assert!(of(&[]).is_none() && of(&[("etag", "W/\"a\""), modified, date]).is_none());
        assert!(of(&[modified]).is_none() && of(&[modified, date]).is_some());
    }
}
