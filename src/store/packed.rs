//! A small object as one run of bytes: what it is stored under, its record, its body.
//!
//! A map of fields takes several times the memory of their text. So a small object is packed until it is asked for; while
//! there is room, [`heads`](super::heads) keeps what it was unpacked to.

use super::{
    BodySource, Head, Part, Version,
    ledger::Charge,
    wire::{read_number, read_object, version_of, write_bytes, write_number, write_object},
};
use crate::{body::Chunks, key::CacheKey};
use bytes::Bytes;
use http::HeaderValue;
use std::fmt;
use triomphe::ThinArc;

/// Beside larger bodies a map of fields matters little.
const MAX_BODY: u64 = 16 << 10;
/// What it takes beside its bytes: its place in the table, and what an allocation does.
const OVERHEAD: u64 = 112;

/// Clones share it.
#[derive(Clone)]
pub(super) struct Packed(ThinArc<Charge, u8>);

/// What so many bytes are charged.
pub(super) fn cost(bytes: usize) -> u64 {
    OVERHEAD + bytes as u64
}

impl AsRef<[u8]> for Packed {
    fn as_ref(&self) -> &[u8] {
        &self.0.slice
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.0.slice.len())
    }
}

impl Packed {
    /// Takes what [`pack`] gave, and a charge of its [`cost`].
    pub(super) fn new(bytes: &[u8], charge: Charge) -> Self {
        Self(ThinArc::from_header_and_slice(charge, bytes))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(&self.0.slice, &other.0.slice)
    }

    pub(super) fn cost(&self) -> u64 {
        self.0.header.header.bytes()
    }

    /// What it is stored under.
    #[inline]
    pub(super) fn name(&self) -> &[u8] {
        split(&self.0.slice).0
    }

    pub(super) fn version(&self) -> Option<Version> {
        version_of(split(&self.0.slice).1)
    }

    /// The object. Its values and its body share these bytes.
    pub(super) fn unpack(&self) -> Option<(Version, Head, BodySource)> {
        let mut bytes = Bytes::from_owner(self.clone());
        let (name, record) = split(self.as_ref());
        let mut record = bytes.split_off(bytes.len() - record.len());
        let (version, mut head, _, end) = read_object(&record).ok()?;
        if head.address.is_empty() {
            head.address = address_in(name)?.into();
        }
        let body = record.split_off(end);
        Some((
            version,
            head,
            BodySource::Memory(Chunks::new(vec![body], None)),
        ))
    }
}

/// The name, and what comes behind it.
#[inline]
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = read_number(bytes).unwrap_or_default();
    let length = usize::try_from(length).unwrap_or(0);
    rest.split_at_checked(length).unwrap_or_default()
}

/// Whether an object with a body of so many bytes may be packed.
pub(super) fn may_pack(length: u64) -> bool {
    length <= MAX_BODY
}

/// The bytes of an object; `None` where it is too large to be packed, or has something that isn't in them.
pub(super) fn pack(
    name: &[u8],
    version: Version,
    head: &Head,
    body: &BodySource,
) -> Option<Vec<u8>> {
    let chunks = match body {
        BodySource::Memory(chunks) if chunks.trailers().is_none() => chunks,
        _ => return None,
    };
    let length = usize::try_from(chunks.length()).ok()?;
    let is_plain =
        !head.address.is_empty() && !head.headers.values().any(HeaderValue::is_sensitive);
    if !may_pack(chunks.length()) || !is_plain {
        return None;
    }
    // Nearly always it is in the name already.
    let address = match address_in(name) {
        Some(named) if *named == *head.address => "",
        _ => &head.address,
    };
    let mut record = Vec::with_capacity(512);
    write_object(&mut record, version, head, address, chunks.length());
    let mut prefix = Vec::with_capacity(2);
    write_number(&mut prefix, name.len() as u64);
    let mut bytes = Vec::with_capacity(prefix.len() + name.len() + record.len() + length);
    write_bytes(&mut bytes, name);
    bytes.extend_from_slice(&record);
    for piece in chunks.pieces() {
        bytes.extend_from_slice(piece);
    }
    Some(bytes)
}

/// What a part of a key is stored under: no two have the same.
pub(super) fn name_of(key: &CacheKey, part: Part) -> Box<[u8]> {
    let key = key.as_bytes();
    match part {
        Part::Index => [&[0], key].concat(),
        Part::Variant(id) => [&[1], &id.to_be_bytes()[..], key].concat(),
        Part::Extent(id) => [&[2], &id.to_be_bytes()[..], key].concat(),
    }
    .into()
}

/// Whether a part of a key is stored under this.
#[inline]
pub(super) fn is_name_of(name: &[u8], key: &CacheKey, part: Part) -> bool {
    let Some((tag, rest)) = name.split_first() else {
        return false;
    };
    let (tag_of_part, id) = match part {
        Part::Index => return *tag == 0 && rest == key.as_bytes(),
        Part::Variant(id) => (1, id),
        Part::Extent(id) => (2, id),
    };
    *tag == tag_of_part
        && rest
            .split_first_chunk()
            .is_some_and(|(found, rest)| u64::from_be_bytes(*found) == id && rest == key.as_bytes())
}

/// The address that the key in a name spells.
fn address_in(name: &[u8]) -> Option<String> {
    let key = match name.split_first()? {
        (0, key) => key,
        (_, rest) => rest.get(8..)?,
    };
    CacheKey::address_in(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::{KeyPolicy, Namespace},
        store::ledger::Ledger,
    };
    use http::{HeaderMap, Request, header};

    fn named(part: Part, uri: &str) -> (Box<[u8]>, Box<str>) {
        let (parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        let policy = KeyPolicy::new();
        let key = policy.key(&Namespace::named("n").unwrap(), &parts);
        (
            name_of(&key, part),
            policy.address(&parts.uri, &parts.headers),
        )
    }

    fn body(pieces: &[&[u8]], trailers: Option<HeaderMap>) -> BodySource {
        let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece));
        BodySource::Memory(Chunks::new(pieces.collect(), trailers))
    }

    fn head(address: &str) -> Head {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, HeaderValue::from_static("\"a\""));
        headers.append("x-own", HeaderValue::from_static("1"));
        headers.append("x-own", HeaderValue::from_static("2"));
        Head {
            address: address.into(),
            ..Head::sample(headers)
        }
    }

    #[test]
    fn an_object_comes_back_as_it_was_and_its_charge_goes_with_its_last_reader() {
        for part in [Part::Index, Part::Variant(7), Part::Extent(u64::MAX)] {
            for (uri, same) in [
                ("http://a/b/c.js?v=1", true),
                ("http://a/", true),
                ("http://a:8080/?", true),
                // An address is in another form than the key.
                ("http://a/%7eb", false),
            ] {
                let (name, address) = named(part, uri);
                assert_eq!(
                    address_in(&name).as_deref() == Some(&*address),
                    same,
                    "{uri}"
                );
                for address in [&*address, "elsewhere/at-all"] {
                    let (head, version) = (head(address), Version::random());
                    let bytes = pack(&name, version, &head, &body(&[b"he", b"llo"], None)).unwrap();
                    let ledger = Ledger::new(1 << 20);
                    let charge = ledger.reserve(cost(bytes.len())).unwrap();
                    let packed = Packed::new(&bytes, charge);
                    assert_eq!(packed.name(), &*name);
                    assert_eq!(packed.version(), Some(version));
                    let (found, back, source) = packed.unpack().unwrap();
                    assert_eq!(found, version);
                    assert_eq!(format!("{back:?}"), format!("{head:?}"));
                    let BodySource::Memory(chunks) = &source else {
                        panic!()
                    };
                    assert_eq!(chunks.pieces().concat(), b"hello");
                    drop((packed, back));
                    assert!(ledger.used() > 0, "the body is held");
                    drop(source);
                    assert_eq!(ledger.used(), 0);
                }
            }
        }
    }

    #[test]
    fn what_the_bytes_cannot_hold_is_not_packed() {
        let (name, address) = named(Part::Index, "http://a/");
        let version = Version::random();
        let is_packed = |head: &Head, body: &BodySource| pack(&name, version, head, body).is_some();
        let plain = head(&address);
        let limit = [0; 16 << 10];
        assert!(is_packed(&plain, &body(&[], None)));
        assert!(is_packed(&plain, &body(&[&limit], None)));
        assert!(!is_packed(&plain, &body(&[&limit, b"x"], None)));
        assert!(!is_packed(&plain, &body(&[b"x"], Some(HeaderMap::new()))));
        assert!(!is_packed(&head(""), &body(&[b"x"], None)));
        let mut secret = head(&address);
        if let Some(value) = secret.headers.get_mut(header::ETAG) {
            value.set_sensitive(true);
        }
        assert!(!is_packed(&secret, &body(&[b"x"], None)));
    }

    #[test]
    fn names_tell_keys_and_parts_apart() {
        let one = CacheKey::from_bytes(b"one");
        let id = u64::from_be_bytes(*b"\0\0\0\0\0one");
        let parts = [
            Part::Index,
            Part::Variant(id),
            Part::Extent(id),
            Part::Variant(1),
        ];
        let keys = [
            one,
            CacheKey::from_bytes(b""),
            CacheKey::from_bytes(b"\0\0\0\0\0oneone"),
        ];
        let all = || keys.iter().flat_map(|key| parts.map(|part| (key, part)));
        for (at, (key, part)) in all().enumerate() {
            let name = name_of(key, part);
            for (other, (key, part)) in all().enumerate() {
                assert_eq!(is_name_of(&name, key, part), at == other);
            }
        }
        assert!(!is_name_of(b"", &keys[1], Part::Index));
    }
}
