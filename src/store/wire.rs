//! Records as bytes, for stores that persist and for what is small. Version 4.
//!
//! The body isn't part of it: a store keeps that beside, and says where it is when it reads the record back. Numbers take
//! seven bits a byte, the lowest first, and no more bytes than they need; usual field names take one byte. So there is one
//! form only of each record.

use super::{
    BodySource, Epoch, Extent, Head, Object, Partial, Record, Variant, Variants, Version, names,
};
use crate::{freshness::Freshness, key::VariantKey};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;

const VERSION: u8 = 4;
const OBJECT: u8 = 1;
const VARIANTS: u8 = 2;
const PARTIAL: u8 = 3;
const ALWAYS_VALIDATE: u8 = 1;
const NEVER_STALE: u8 = 2;
const IMMUTABLE: u8 = 4;

/// Bytes that are no record of a version that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of a known version")]
pub struct RecordError;

impl Record {
    /// The record as bytes. Extensions of the response and the body are not in it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match self {
            Self::Object(object) => {
                let length = object.body().length();
                let (version, head) = (object.version(), object.head());
                write_object(&mut out, version, head, &head.address, length);
            }
            Self::Partial(partial) => {
                out.extend_from_slice(&[VERSION, PARTIAL]);
                out.extend_from_slice(&partial.version.0);
                write_head(&mut out, &partial.head, &partial.head.address);
                write_number(&mut out, partial.length);
                write_len(&mut out, partial.extents.len());
                for Extent { id, bytes } in &partial.extents {
                    out.extend_from_slice(&id.to_be_bytes());
                    write_number(&mut out, bytes.start);
                    write_number(&mut out, bytes.end);
                }
            }
            Self::Variants(variants) => {
                out.extend_from_slice(&[VERSION, VARIANTS]);
                out.extend_from_slice(&variants.version.0);
                write_len(&mut out, variants.list.len());
                for variant in &variants.list {
                    write_len(&mut out, variant.fields.len());
                    for name in &variant.fields {
                        write_name(&mut out, name);
                    }
                    write_bytes(&mut out, variant.key.as_bytes());
                    out.extend_from_slice(&variant.id.to_be_bytes());
                    write_number(&mut out, variant.date);
                }
            }
        }
        out
    }

    /// Reads [`to_bytes`](Self::to_bytes) back; `body` says where the body of so many bytes is.
    ///
    /// # Errors
    ///
    /// When the bytes are no record of a known version, or have something behind it.
    pub fn from_bytes(
        bytes: &[u8],
        body: impl FnOnce(u64) -> BodySource,
    ) -> Result<Self, RecordError> {
        let bytes = Bytes::copy_from_slice(bytes);
        let mut reader = Reader::new(&bytes);
        let (kind, version) = read_kind(&mut reader)?;
        let record = match kind {
            OBJECT => {
                let (head, length) = (read_head(&mut reader)?, reader.number()?);
                Self::Object(Object::with_version(version, head, body(length)))
            }
            VARIANTS => {
                let mut list = Vec::new();
                for _ in 0..reader.len()? {
                    let mut fields = Vec::new();
                    for _ in 0..reader.len()? {
                        fields.push(reader.name()?);
                    }
                    let key = VariantKey::from_bytes(reader.bytes()?);
                    list.push(Variant {
                        fields: fields.into(),
                        key,
                        id: reader.u64()?,
                        date: reader.number()?,
                    });
                }
                Self::Variants(Arc::new(Variants { version, list }))
            }
            PARTIAL => {
                let (head, length) = (read_head(&mut reader)?, reader.number()?);
                let mut extents = Vec::new();
                for _ in 0..reader.len()? {
                    let id = reader.u64()?;
                    let bytes = reader.number()?..reader.number()?;
                    if bytes.is_empty() || bytes.end > length {
                        return Err(RecordError);
                    }
                    extents.push(Extent { id, bytes });
                }
                let partial = Partial {
                    version,
                    head,
                    length,
                    extents,
                };
                Self::Partial(Arc::new(partial))
            }
            _ => return Err(RecordError),
        };
        match reader.rest {
            [] => Ok(record),
            _ => Err(RecordError),
        }
    }
}

/// Writes the record of an object with a body of so many bytes, and this in place of its head's address.
pub(super) fn write_object(
    out: &mut Vec<u8>,
    version: Version,
    head: &Head,
    address: &str,
    length: u64,
) {
    out.extend_from_slice(&[VERSION, OBJECT]);
    out.extend_from_slice(&version.0);
    write_head(out, head, address);
    write_number(out, length);
}

/// Reads the record of an object off the front of `bytes`, which the values of its fields share: its version, head, the length of
/// its body, and where the record ends.
pub(super) fn read_object(bytes: &Bytes) -> Result<(Version, Head, u64, usize), RecordError> {
    let mut reader = Reader::new(bytes);
    let (OBJECT, version) = read_kind(&mut reader)? else {
        return Err(RecordError);
    };
    let (head, length) = (read_head(&mut reader)?, reader.number()?);
    Ok((version, head, length, bytes.len() - reader.rest.len()))
}

/// The version of the record that `bytes` begin with.
pub(super) fn version_of(bytes: &[u8]) -> Option<Version> {
    bytes.get(2..)?.first_chunk().copied().map(Version)
}

fn read_kind(reader: &mut Reader<'_>) -> Result<(u8, Version), RecordError> {
    let [VERSION, kind] = reader.array()? else {
        return Err(RecordError);
    };
    Ok((kind, Version(reader.array()?)))
}

fn write_head(out: &mut Vec<u8>, head: &Head, address: &str) {
    write_number(out, head.status.as_u16().into());
    write_len(out, head.headers.len());
    for (name, value) in &head.headers {
        write_name(out, name);
        write_bytes(out, value.as_bytes());
    }
    let Freshness {
        received_at,
        initial_age,
        fresh_until,
        always_validate,
        never_stale,
        immutable,
        stale_while_revalidate,
        stale_if_error,
    } = head.freshness;
    for number in [
        received_at,
        initial_age,
        // Nearly always a little later.
        fresh_until.wrapping_sub(received_at),
        stale_while_revalidate,
        stale_if_error,
        head.epoch.number,
    ] {
        write_number(out, number);
    }
    out.extend_from_slice(&head.epoch.sequence.to_be_bytes());
    let mut flags = 0;
    if always_validate {
        flags |= ALWAYS_VALIDATE;
    }
    if never_stale {
        flags |= NEVER_STALE;
    }
    if immutable {
        flags |= IMMUTABLE;
    }
    out.push(flags);
    write_bytes(out, address.as_bytes());
    write_bytes(out, head.tags.as_bytes());
    match &head.upstream_status {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            write_bytes(out, value.as_bytes());
        }
    }
}

fn read_head(reader: &mut Reader<'_>) -> Result<Head, RecordError> {
    let status = u16::try_from(reader.number()?).map_err(|_| RecordError)?;
    let status = StatusCode::from_u16(status).map_err(|_| RecordError)?;
    let count = reader.len()?;
    // A line is at least 2 bytes: an absurd count reserves nothing absurd.
    let mut headers = HeaderMap::with_capacity(count.min(reader.rest.len() / 2).min(1 << 14));
    for _ in 0..count {
        let name = reader.name()?;
        let value = reader.value()?;
        headers.try_append(name, value).map_err(|_| RecordError)?;
    }
    let (received_at, initial_age) = (reader.number()?, reader.number()?);
    let fresh_until = received_at.wrapping_add(reader.number()?);
    let (stale_while_revalidate, stale_if_error) = (reader.number()?, reader.number()?);
    let number = reader.number()?;
    let epoch = Epoch {
        sequence: reader.u64()?,
        number,
    };
    let flags = reader.byte()?;
    if flags & !(ALWAYS_VALIDATE | NEVER_STALE | IMMUTABLE) != 0 {
        return Err(RecordError);
    }
    let freshness = Freshness {
        received_at,
        initial_age,
        fresh_until,
        always_validate: flags & ALWAYS_VALIDATE != 0,
        never_stale: flags & NEVER_STALE != 0,
        immutable: flags & IMMUTABLE != 0,
        stale_while_revalidate,
        stale_if_error,
    };
    let address = reader.text()?;
    let tags = reader.text()?;
    let upstream_status = match reader.byte()? {
        0 => None,
        1 => Some(reader.value()?),
        _ => return Err(RecordError),
    };
    Ok(Head {
        status,
        headers,
        freshness,
        epoch,
        address,
        tags,
        upstream_status,
    })
}

pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn write_len(out: &mut Vec<u8>, length: usize) {
    write_number(out, length as u64);
}

pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// By its number, or 0 and its text.
fn write_name(out: &mut Vec<u8>, name: &HeaderName) {
    match names::number(name) {
        Some(number) => out.push(number),
        None => {
            out.push(0);
            write_bytes(out, name.as_str().as_bytes());
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// What `rest` is the end of: values share it.
    all: &'a Bytes,
}

impl<'a> Reader<'a> {
    fn new(all: &'a Bytes) -> Self {
        Self { rest: all, all }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(RecordError)?;
        self.rest = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    fn number(&mut self) -> Result<u64, RecordError> {
        let (number, rest) = read_number(self.rest).ok_or(RecordError)?;
        self.rest = rest;
        Ok(number)
    }

    fn len(&mut self) -> Result<usize, RecordError> {
        usize::try_from(self.number()?).map_err(|_| RecordError)
    }

    fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.len()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(RecordError)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<Box<str>, RecordError> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| RecordError)?;
        Ok(text.into())
    }

    fn name(&mut self) -> Result<HeaderName, RecordError> {
        match self.byte()? {
            0 => HeaderName::from_bytes(self.bytes()?)
                .ok()
                .filter(|name| names::number(name).is_none()),
            number => names::name(number),
        }
        .ok_or(RecordError)
    }

    fn value(&mut self) -> Result<HeaderValue, RecordError> {
        let value = self.all.slice_ref(self.bytes()?);
        HeaderValue::from_maybe_shared(value).map_err(|_| RecordError)
    }
}

/// A number off the front, in no more bytes than it needs.
#[inline]
pub(super) fn read_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        // Nearly all are small.
        [small @ ..0x80, rest @ ..] => Some((u64::from(*small), rest)),
        _ => read_long_number(bytes),
    }
}

fn read_long_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = (0_u64, bytes);
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        rest = behind;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << shift;
        if shifted >> shift != bits || (byte == 0 && shift > 0) {
            return None;
        }
        number |= shifted;
        if byte < 0x80 {
            return Some((number, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{body::Chunks, key::ListOrder};
    use proptest::prelude::*;

    fn elsewhere(length: u64) -> BodySource {
        BodySource::Memory(Chunks::new(
            vec![vec![0; usize::try_from(length).unwrap()].into()],
            None,
        ))
    }

    prop_compose! {
        fn any_head()(
            status in 100_u16..1000,
            fields in prop::collection::vec(("[a-z]{1,8}|etag|x-cache|content-type", "[ -~]{0,20}"), 0..8),
            times in any::<[u64; 7]>(),
            flags in any::<[bool; 3]>(),
            address in ".{0,20}",
            tags in "[!-~]{0,20}",
            upstream in prop::option::of("[ -~]{0,20}"),
        ) -> Head {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name.parse::<HeaderName>().unwrap(), value.trim().parse().unwrap());
            }
            let freshness = Freshness {
                received_at: times[0], initial_age: times[1], fresh_until: times[2],
                always_validate: flags[0], never_stale: flags[1], immutable: flags[2],
                stale_while_revalidate: times[5], stale_if_error: times[6],
            };
            Head {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                freshness,
                epoch: Epoch { sequence: times[3], number: times[4] },
                address: address.into(),
                tags: tags.into(),
                upstream_status: upstream.map(|value| value.parse().unwrap()),
            }
        }
    }

    proptest! {
        #[test]
        fn an_object_comes_back_as_it_was(head in any_head(), length in 0_u64..100) {
            let object = Object::new(head.clone(), elsewhere(length));
            let bytes = Record::Object(object.clone()).to_bytes();
            let Ok(Record::Object(back)) = Record::from_bytes(&bytes, elsewhere) else { panic!() };
            prop_assert_eq!(back.version(), object.version());
            prop_assert_eq!(back.body().length(), length);
            prop_assert_eq!(format!("{:?}", back.head()), format!("{head:?}"));
            for cut in 0..bytes.len() {
                prop_assert!(Record::from_bytes(&bytes[..cut], elsewhere).is_err());
            }
        }

        #[test]
        fn parts_come_back_as_they_were(head in any_head(), extents in prop::collection::vec((any::<u64>(), 0_u64..90, 1_u64..10), 0..5)) {
            let extent = |(id, start, length)| Extent { id, bytes: start..start + length };
            let partial = Partial {
                version: Version::random(),
                head,
                length: 100,
                extents: extents.into_iter().map(extent).collect(),
            };
            let bytes = Record::Partial(Arc::new(partial.clone())).to_bytes();
            let Ok(Record::Partial(back)) = Record::from_bytes(&bytes, elsewhere) else { panic!() };
            prop_assert_eq!(format!("{back:?}"), format!("{partial:?}"));
            for cut in 0..bytes.len() {
                prop_assert!(Record::from_bytes(&bytes[..cut], elsewhere).is_err());
            }
            let beyond = Partial { length: 1, extents: vec![extent((0, 0, 2))], ..partial };
            let bytes = Record::Partial(Arc::new(beyond)).to_bytes();
            prop_assert!(Record::from_bytes(&bytes, elsewhere).is_err());
        }

        #[test]
        fn variants_come_back_as_they_were(variants in prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}", any::<u64>()), 0..5)) {
            let list = variants.into_iter().map(|(name, value, id)| {
                let fields: Box<[HeaderName]> = [name.parse().unwrap()].into();
                let mut request = HeaderMap::new();
                request.insert(&fields[0], value.trim().parse().unwrap());
                Variant { key: VariantKey::of(&fields, &request, ListOrder::Significant), fields, id, date: !id }
            });
            let variants = Variants { version: Version::random(), list: list.collect() };
            let bytes = Record::Variants(Arc::new(variants.clone())).to_bytes();
            let Ok(Record::Variants(back)) = Record::from_bytes(&bytes, elsewhere) else { panic!() };
            prop_assert_eq!(&*back, &variants);
        }

        #[test]
        fn junk_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::from_bytes(&bytes, |_| elsewhere(0));
        }
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        for (number, length) in [(0, 1), (127, 1), (128, 2), (u64::MAX, 10)] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out.len(), length);
            out.push(7);
            assert_eq!(read_number(&out), Some((number, &[7][..])));
            assert_eq!(read_number(&out[..length - 1]), None);
        }
        for odd in [&[0x80, 0][..], &[0xff, 0], &[0xff; 10], &[0x80; 12]] {
            assert_eq!(read_number(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_name_with_a_number_is_not_spelled_out() {
        let mut headers = HeaderMap::new();
        headers.insert("x-own", HeaderValue::from_static("1"));
        let bytes = Record::Object(Object::new(Head::sample(headers), elsewhere(0))).to_bytes();
        assert!(Record::from_bytes(&bytes, elsewhere).is_ok());
        let at = bytes.windows(5).position(|name| name == b"x-own").unwrap();
        for known in ["x-CAChE", "server"] {
            let mut name = Vec::new();
            write_bytes(&mut name, known.as_bytes());
            let mut spelled = bytes.clone();
            spelled.splice(at - 1..at + 5, name);
            assert!(Record::from_bytes(&spelled, elsewhere).is_err());
        }
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = Record::Variants(Arc::new(Variants {
            version: Version::random(),
            list: vec![],
        }))
        .to_bytes();
        assert!(Record::from_bytes(&bytes, elsewhere).is_ok());
        bytes[0] = VERSION - 1;
        assert!(matches!(
            Record::from_bytes(&bytes, elsewhere),
            Err(RecordError)
        ));
    }
}
