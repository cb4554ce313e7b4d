//! A stored record, read back from a disk that may hold anything.
#![no_main]

use frontage::{
    body::StoredBody,
    store::{BodySource, ReadBody, Record},
};
use libfuzzer_sys::fuzz_target;
use std::{ops::Range, sync::Arc};

/// A body that isn't there: only its length matters.
struct Elsewhere(u64);

impl ReadBody for Elsewhere {
    fn length(&self) -> u64 {
        self.0
    }

    fn read(&self, _: Range<u64>) -> StoredBody {
        StoredBody::empty()
    }
}

fn read(bytes: &[u8]) -> Option<Record> {
    Record::from_bytes(bytes, |length| {
        BodySource::Elsewhere(Arc::new(Elsewhere(length)))
    })
    .ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(record) = read(bytes) else { return };
    // Not always `bytes` themselves: lines of one name come together, and names are in lower case.
    let written = record.to_bytes();
    assert_eq!(written.len(), bytes.len());
    let again = read(&written).expect("what was written is read");
    assert_eq!(again.to_bytes(), written);
    assert_eq!(again.version(), record.version());
    for cut in 0..written.len() {
        assert!(read(&written[..cut]).is_none());
    }
});
