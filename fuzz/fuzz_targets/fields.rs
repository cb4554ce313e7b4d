//! Dates, lengths, hop-by-hop fields, and how a 304 updates what is stored.
#![no_main]

use arbitrary::Arbitrary;
use frontage::headers::{
    content_length, content_range, date_of, members, merge_not_modified, parse_http_date,
    remove_hop_by_hop, remove_representation_metadata,
};
use frontage_fuzz::{Date, Value, value};
use http::{HeaderMap, HeaderName, header};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Name {
    Connection,
    KeepAlive,
    TransferEncoding,
    ContentLength,
    ContentRange,
    ContentType,
    Etag,
    Own(u8),
}

impl Name {
    fn name(self) -> HeaderName {
        match self {
            Self::Connection => header::CONNECTION,
            Self::KeepAlive => HeaderName::from_static("keep-alive"),
            Self::TransferEncoding => header::TRANSFER_ENCODING,
            Self::ContentLength => header::CONTENT_LENGTH,
            Self::ContentRange => header::CONTENT_RANGE,
            Self::ContentType => header::CONTENT_TYPE,
            Self::Etag => header::ETAG,
            Self::Own(number) => [b'a' + number % 26][..]
                .try_into()
                .expect("a letter is a name"),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    stored: Vec<(Name, Value)>,
    update: Vec<(Name, Value)>,
    date: Date,
    length: u64,
    range: Value,
}

fn map(fields: &[(Name, Value)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.name(), value.0.clone());
    }
    headers
}

fuzz_target!(|input: Input| {
    let (mut stored, update) = (map(&input.stored), map(&input.update));

    if let Some(length) = content_length(&stored) {
        for line in stored.get_all(header::CONTENT_LENGTH) {
            for member in line.to_str().expect("digits").split(',') {
                assert_eq!(member.trim().parse(), Ok(length));
            }
        }
    }
    let mut plain = HeaderMap::new();
    plain.append(header::CONTENT_LENGTH, input.length.into());
    plain.append(header::CONTENT_LENGTH, input.length.into());
    assert_eq!(content_length(&plain), Some(input.length));

    let mut partial = HeaderMap::new();
    partial.append(header::CONTENT_RANGE, input.range.0.clone());
    if let Some((bytes, length)) = content_range(&partial) {
        assert!(bytes.start < bytes.end && bytes.end <= length);
        let last = bytes.end - 1;
        let written = format!("bytes {}-{last}/{length}", bytes.start);
        partial.insert(header::CONTENT_RANGE, value(written.as_bytes()));
        assert_eq!(content_range(&partial), Some((bytes, length)));
        partial.append(header::CONTENT_RANGE, input.range.0.clone());
        assert_eq!(content_range(&partial), None);
    }

    let date = input.date.value();
    let millis = parse_http_date(date.as_bytes());
    if let Date::At(seconds) = input.date {
        assert_eq!(millis, Some(u64::from(seconds) * 1000));
    }
    if let Some(millis) = millis {
        let normal = Date::Far(millis / 1000).value();
        assert_eq!(parse_http_date(normal.as_bytes()), Some(millis));
    }
    plain.append(header::DATE, date);
    assert_eq!(date_of(&plain, &header::DATE), Some(millis));

    let mut bare = stored.clone();
    remove_hop_by_hop(&mut bare);
    for line in stored.get_all(header::CONNECTION) {
        for name in members(line.as_bytes()) {
            assert!(HeaderName::from_bytes(name).map_or(true, |name| !bare.contains_key(name)));
        }
    }
    assert!(!bare.contains_key(header::CONNECTION) && !bare.contains_key("keep-alive"));
    let once = bare.clone();
    remove_hop_by_hop(&mut bare);
    assert_eq!(bare, once);

    let before = stored.clone();
    merge_not_modified(&mut stored, update.clone());
    remove_hop_by_hop(&mut bare);
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::ETAG,
        header::CONNECTION,
    ] {
        assert!(
            stored.get_all(&name).iter().eq(before.get_all(&name)),
            "{name} was touched"
        );
    }
    let mut update = update;
    remove_hop_by_hop(&mut update);
    for name in (0..26).map(|number| Name::Own(number).name()) {
        let expected = if update.contains_key(&name) {
            &update
        } else {
            &before
        };
        assert!(stored.get_all(&name).iter().eq(expected.get_all(&name)));
    }
    remove_representation_metadata(&mut stored);
    assert_eq!(content_length(&stored), None);
});
