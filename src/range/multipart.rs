//! `multipart/byteranges` (RFC 9110 section 14.6).

use bytes::Bytes;
use http::HeaderValue;
use std::ops::Range;

/// What stands around the bytes of the parts in a body of the type `multipart/byteranges`.
///
/// The boundary must be random, made anew for each answer: then nobody who can put bytes into a representation knows
/// it beforehand, and the bytes needn't be searched for it.
///
/// ```
/// use frontage::range::Multipart;
///
/// let digits = "0123456789";
/// let framing = Multipart::new(u128::MAX, Some(&"text/plain".parse()?), &[0..2, 7..10], 10);
/// let mut body = Vec::new();
/// for (head, part) in framing.heads().iter().zip(["01", "789"]) {
///     body.extend_from_slice(head);
///     body.extend_from_slice(part.as_bytes());
/// }
/// body.extend_from_slice(framing.end());
/// assert_eq!(body.len() as u64, framing.content_length());
/// assert_eq!(framing.content_type(), format!("multipart/byteranges; boundary={}", "f".repeat(32)));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    boundary: String,
    heads: Vec<Bytes>,
    end: Bytes,
    content_length: u64,
}

impl Multipart {
    /// The framing of `parts` of a representation of `length` bytes, whose `Content-Type` each part repeats.
    /// No part may be empty.
    #[must_use]
    pub fn new(
        boundary: u128,
        content_type: Option<&HeaderValue>,
        parts: &[Range<u64>],
        length: u64,
    ) -> Self {
        let boundary = format!("{boundary:032x}");
        let mut framing = Vec::new();
        let mut ends = Vec::with_capacity(parts.len());
        let mut content_length = 0_u64;
        for part in parts {
            open_line(&mut framing, &boundary);
            framing.extend_from_slice(b"\r\n");
            if let Some(content_type) = content_type {
                framing.extend_from_slice(b"Content-Type: ");
                framing.extend_from_slice(content_type.as_bytes());
                framing.extend_from_slice(b"\r\n");
            }
            framing.extend_from_slice(b"Content-Range: ");
            framing.extend_from_slice(content_range(part, length).as_bytes());
            framing.extend_from_slice(b"\r\n\r\n");
            ends.push(framing.len());
            content_length = content_length.saturating_add(part.end.saturating_sub(part.start));
        }
        open_line(&mut framing, &boundary);
        framing.extend_from_slice(b"--\r\n");
        content_length = content_length.saturating_add(framing.len() as u64);
        let mut end = Bytes::from(framing);
        let mut before = 0;
        let heads = ends
            .into_iter()
            .map(|at| end.split_to(at - std::mem::replace(&mut before, at)))
            .collect();
        Self {
            boundary,
            heads,
            end,
            content_length,
        }
    }

    /// The `Content-Type` of the answer.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The length of the whole body in bytes, those of the parts included.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// What stands before the bytes of each part.
    #[must_use]
    pub fn heads(&self) -> &[Bytes] {
        &self.heads
    }

    /// What stands behind the last part.
    #[must_use]
    pub fn end(&self) -> &Bytes {
        &self.end
    }
}

/// The beginning of a delimiter's line. The line break before it is part of the delimiter, and the first needs none.
fn open_line(framing: &mut Vec<u8>, boundary: &str) {
    if !framing.is_empty() {
        framing.extend_from_slice(b"\r\n");
    }
    framing.extend_from_slice(b"--");
    framing.extend_from_slice(boundary.as_bytes());
}

/// The `Content-Range` of a part that isn't empty (RFC 9110 section 14.4).
pub(crate) fn content_range(part: &Range<u64>, length: u64) -> String {
    let last = part.end.saturating_sub(1);
    format!("bytes {}-{last}/{length}", part.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_as_the_rfc_says() {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let framing = Multipart::new(0x1f, Some(&html), &[3..4, 900..1000], 1000);
        let boundary = "0000000000000000000000000000001f";
        assert_eq!(
            framing.content_type(),
            format!("multipart/byteranges; boundary={boundary}")
        );
        let expected = [
            format!(
                "--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes 3-3/1000\r\n\r\n"
            ),
            format!(
                "\r\n--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes 900-999/1000\r\n\r\n"
            ),
        ];
        assert_eq!(framing.heads(), expected);
        assert_eq!(framing.end(), &format!("\r\n--{boundary}--\r\n"));
        let length: usize = expected.iter().map(String::len).sum();
        let all = length + framing.end().len() + 1 + 100;
        assert_eq!(framing.content_length(), all as u64);
    }

    #[test]
    fn a_type_that_is_not_known_is_not_said() {
        let framing = Multipart::new(0, None, &[0..1, 5..6], 10);
        let zeros = "0".repeat(32);
        assert_eq!(
            framing.heads()[0],
            format!("--{zeros}\r\nContent-Range: bytes 0-0/10\r\n\r\n")
        );
        let binary = HeaderValue::from_bytes(b"text/\xfc").unwrap();
        let framing = Multipart::new(0, Some(&binary), &[0..1, 5..6], 10);
        assert!(
            framing.heads()[0]
                .windows(7)
                .any(|bytes| bytes == b"text/\xfc\r")
        );
    }
}
