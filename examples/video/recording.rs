//! A recording of any length as a WAV file that is nowhere: each of its bytes is made from its place when it is asked for.

use crate::sound::{self, RATE};
use bytes::Bytes;
use std::ops::Range;

/// Bytes before the first frame.
pub(crate) const HEADER: u64 = 44;
/// Bytes of a frame: two channels, two bytes each.
const FRAME: u64 = 4;
pub(crate) const BYTES_PER_SECOND: u64 = RATE * FRAME;

/// Changes when the sound does: its part of the validator.
const EDITION: u32 = 1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Recording {
    seconds: u32,
}

impl Recording {
    pub(crate) fn of_minutes(minutes: u16) -> Self {
        Self {
            seconds: u32::from(minutes) * 60,
        }
    }

    pub(crate) fn seconds(self) -> u32 {
        self.seconds
    }

    /// Bytes.
    pub(crate) fn length(self) -> u64 {
        HEADER + u64::from(self.seconds) * BYTES_PER_SECOND
    }

    /// The strong validator.
    pub(crate) fn etag(self) -> String {
        format!("\"{EDITION}-{}\"", self.seconds)
    }

    /// The bytes in these places, which lie within its length.
    pub(crate) fn bytes(self, places: Range<u64>) -> Bytes {
        let wanted = usize::try_from(places.end.saturating_sub(places.start)).unwrap_or(0);
        let mut bytes = Vec::with_capacity(wanted);
        let header = self.header();
        let mut place = places.start;
        while place < places.end {
            let (piece, within) = match place.checked_sub(HEADER) {
                None => (&header[..], place),
                Some(sound) => (&frame(sound / FRAME)[..], sound % FRAME),
            };
            let rest = piece.get(within as usize..).unwrap_or_default();
            let taken = (rest.len() as u64).min(places.end - place);
            bytes.extend_from_slice(&rest[..taken as usize]);
            place += taken;
        }
        bytes.into()
    }

    /// PCM in a RIFF, two channels of 16 bits.
    fn header(self) -> [u8; HEADER as usize] {
        let mut header = [0; HEADER as usize];
        let length = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let fields: [(usize, &[u8]); 13] = [
            (0, b"RIFF"),
            (4, &length(self.length() - 8)),
            (8, b"WAVE"),
            (12, b"fmt "),
            (16, &16_u32.to_le_bytes()),
            (20, &1_u16.to_le_bytes()),
            (22, &2_u16.to_le_bytes()),
            (24, &length(RATE)),
            (28, &length(BYTES_PER_SECOND)),
            (32, &length(FRAME)[..2]),
            (34, &16_u16.to_le_bytes()),
            (36, b"data"),
            (40, &length(self.length() - HEADER)),
        ];
        for (at, field) in fields {
            header[at..at + field.len()].copy_from_slice(field);
        }
        header
    }
}

fn frame(number: u64) -> [u8; FRAME as usize] {
    let [[a, b], [c, d]] = sound::frame(number).map(i16::to_le_bytes);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60 * BYTES_PER_SECOND;

    #[test]
    fn the_header_says_what_follows() {
        let recording = Recording::of_minutes(30);
        let header = recording.bytes(0..HEADER);
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        assert_eq!(
            (&header[..4], &header[8..16]),
            (&b"RIFF"[..], &b"WAVEfmt "[..])
        );
        assert_eq!(u64::from(number(4)) + 8, recording.length());
        assert_eq!(header[16..24], [16, 0, 0, 0, 1, 0, 2, 0]);
        assert_eq!((number(24), number(28)), (44_100, 176_400));
        assert_eq!(header[32..40], *b"\x04\0\x10\0data");
        assert_eq!(u64::from(number(40)), 30 * MINUTE);
        assert_eq!(recording.length(), 30 * MINUTE + 44);
    }

    #[test]
    fn however_it_is_cut_the_bytes_are_the_same() {
        let recording = Recording::of_minutes(1);
        for start in [0, 9_999, 10 * BYTES_PER_SECOND, MINUTE - 260] {
            let end = start + 300;
            let whole = recording.bytes(start..end);
            assert_eq!(whole.len(), 300);
            for pieces in 1..60 {
                let mut joined = Vec::new();
                for at in (start..end).step_by(pieces) {
                    joined.extend(recording.bytes(at..end.min(at + pieces as u64)));
                }
                assert_eq!(joined, whole, "from {start} by {pieces}");
            }
        }
        assert!(recording.bytes(7..7).is_empty());
    }

    #[test]
    fn another_length_is_another_version() {
        let etag = |minutes| Recording::of_minutes(minutes).etag();
        assert_ne!(etag(1), etag(2));
        assert!(etag(1).starts_with('"') && etag(1).ends_with('"'));
    }
}
