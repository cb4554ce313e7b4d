//! Records as bytes, for stores that persist. Version 2.
//!
//! The body isn't part of it: a store keeps that beside, and says where it is when it reads the record back.

use super::{BodySource, Epoch, Extent, Head, Object, Partial, Record, Variant, Variants, Version};
use crate::{freshness::Freshness, key::VariantKey};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;

const VERSION: u8 = 2;
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
        let mut out = vec![VERSION];
        match self {
            Self::Object(object) => {
                out.push(OBJECT);
                out.extend_from_slice(&object.version().0);
                write_head(&mut out, object.head());
                out.extend_from_slice(&object.body().length().to_be_bytes());
            }
            Self::Partial(partial) => {
                out.push(PARTIAL);
                out.extend_from_slice(&partial.version.0);
                write_head(&mut out, &partial.head);
                out.extend_from_slice(&partial.length.to_be_bytes());
                write_len(&mut out, partial.extents.len());
                for Extent { id, bytes } in &partial.extents {
                    out.extend_from_slice(&id.to_be_bytes());
                    out.extend_from_slice(&bytes.start.to_be_bytes());
                    out.extend_from_slice(&bytes.end.to_be_bytes());
                }
            }
            Self::Variants(variants) => {
                out.push(VARIANTS);
                out.extend_from_slice(&variants.version.0);
                write_len(&mut out, variants.list.len());
                for variant in &variants.list {
                    write_len(&mut out, variant.fields.len());
                    for name in &variant.fields {
                        write_bytes(&mut out, name.as_str().as_bytes());
                    }
                    write_bytes(&mut out, variant.key.as_bytes());
                    out.extend_from_slice(&variant.id.to_be_bytes());
                    out.extend_from_slice(&variant.date.to_be_bytes());
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
        let mut reader = Reader(bytes);
        if reader.byte()? != VERSION {
            return Err(RecordError);
        }
        let record = match reader.byte()? {
            OBJECT => {
                let version = Version(reader.array()?);
                let head = read_head(&mut reader)?;
                let length = reader.u64()?;
                Self::Object(Object::with_version(version, head, body(length)))
            }
            VARIANTS => {
                let version = Version(reader.array()?);
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
                        date: reader.u64()?,
                    });
                }
                Self::Variants(Arc::new(Variants { version, list }))
            }
            PARTIAL => {
                let version = Version(reader.array()?);
                let head = read_head(&mut reader)?;
                let length = reader.u64()?;
                let mut extents = Vec::new();
                for _ in 0..reader.len()? {
                    let id = reader.u64()?;
                    let bytes = reader.u64()?..reader.u64()?;
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
        if reader.0.is_empty() {
            Ok(record)
        } else {
            Err(RecordError)
        }
    }
}

fn write_head(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(&head.status.as_u16().to_be_bytes());
    write_len(out, head.headers.len());
    for (name, value) in &head.headers {
        write_bytes(out, name.as_str().as_bytes());
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
        fresh_until,
        stale_while_revalidate,
        stale_if_error,
        head.epoch.sequence,
        head.epoch.number,
    ] {
        out.extend_from_slice(&number.to_be_bytes());
    }
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
    write_bytes(out, head.address.as_bytes());
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
    let status =
        StatusCode::from_u16(u16::from_be_bytes(reader.array()?)).map_err(|_| RecordError)?;
    let count = reader.len()?;
    // A line is at least 8 bytes: an absurd count reserves nothing absurd.
    let mut headers = HeaderMap::with_capacity(count.min(reader.0.len() / 8).min(1 << 14));
    for _ in 0..count {
        let name = reader.name()?;
        let value = reader.value()?;
        headers.try_append(name, value).map_err(|_| RecordError)?;
    }
    let (received_at, initial_age, fresh_until) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let (stale_while_revalidate, stale_if_error) = (reader.u64()?, reader.u64()?);
    let epoch = Epoch {
        sequence: reader.u64()?,
        number: reader.u64()?,
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

fn write_len(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(RecordError)?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    fn len(&mut self) -> Result<usize, RecordError> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| RecordError)
    }

    fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.len()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(RecordError)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<Box<str>, RecordError> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| RecordError)?;
        Ok(text.into())
    }

    fn name(&mut self) -> Result<HeaderName, RecordError> {
        HeaderName::from_bytes(self.bytes()?).map_err(|_| RecordError)
    }

    fn value(&mut self) -> Result<HeaderValue, RecordError> {
        HeaderValue::from_bytes(self.bytes()?).map_err(|_| RecordError)
    }
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
            fields in prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}"), 0..8),
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
    fn another_version_is_refused() {
        let mut bytes = Record::Variants(Arc::new(Variants {
            version: Version::random(),
            list: vec![],
        }))
        .to_bytes();
        assert!(Record::from_bytes(&bytes, elsewhere).is_ok());
        bytes[0] = 1;
        assert!(matches!(
            Record::from_bytes(&bytes, elsewhere),
            Err(RecordError)
        ));
    }
}
