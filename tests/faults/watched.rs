//! A store that remembers what was ever written to it, so that all of it can be looked at and taken out at the end.

use super::{
    check::content_range,
    made::Made,
    origin::text,
    plan::{Plan, Profile, Stack},
};
use frontage::{
    MemoryStore, Store,
    fill::Window,
    key::CacheKey,
    store::{Expected, Head, Part, Record, WriteRefused},
};
use http::HeaderMap;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) store: MemoryStore,
    written: Arc<Mutex<HashSet<(CacheKey, Part)>>>,
}

impl Watched {
    pub(crate) fn new(store: MemoryStore) -> Self {
        Self {
            store,
            written: Arc::default(),
        }
    }

    fn note(&self, key: &CacheKey, part: Part) {
        self.written.lock().unwrap().insert((key.clone(), part));
    }

    /// Looks at all that is stored, takes it out, and says what is wrong with it.
    pub(crate) async fn empty(&self, plan: &Plan) -> Vec<String> {
        let written = std::mem::take(&mut *self.written.lock().unwrap());
        let mut wrong = Vec::new();
        for (key, part) in &written {
            let found = self.store.peek(key, *part).await.unwrap();
            match found {
                Some(Record::Object(object)) if !matches!(part, Part::Extent(_)) => {
                    let (head, length) = (object.head(), object.body().length());
                    wrong.extend(odd(plan, head.status.as_u16(), &head.headers, length));
                }
                Some(Record::Partial(partial)) => {
                    for extent in &partial.extents {
                        let part = self.store.peek(key, Part::Extent(extent.id)).await;
                        let Ok(Some(Record::Object(object))) = part else {
                            continue;
                        };
                        let (length, bytes) = (object.body().length(), &extent.bytes);
                        if length != bytes.end - bytes.start {
                            wrong.push(format!("stored: a part of {length} bytes for {bytes:?}"));
                        }
                    }
                }
                _ => {}
            }
        }
        for (key, part) in &written {
            let removed = self.store.swap(key, *part, Expected::Anything, None).await;
            removed.unwrap();
        }
        let usage = self.store.usage();
        if (usage.used, usage.entries) != (0, 0) {
            wrong.push(format!("after all was taken out of the store: {usage:?}"));
        }
        wrong
    }
}

/// What is wrong with something stored.
fn odd(plan: &Plan, status: u16, fields: &HeaderMap, length: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let said = text(fields, "cache-control");
    match Made::parse(text(fields, "x-made")) {
        // A page of an `OriginService`.
        None if length == 0 || status >= 500 => {}
        // It has the fields of what it was too long for.
        Some(_) if length == 0 && status == 416 => {}
        None => wrong.push(format!("stored without a name: {status} {fields:?}")),
        Some(made) => {
            let range = content_range(fields).map_or(0..made.length, |(range, _)| range);
            if length != range.len() as u64 {
                wrong.push(format!("stored: {length} bytes of {range:?} of {made}"));
            }
            if made.secret.is_some() {
                wrong.push(format!("stored, and a secret: {made}"));
            }
        }
    }
    if status == 206 && !matches!(plan.stack, Stack::Blocks | Stack::BlocksOverShield) {
        wrong.push("a part is stored as the whole".to_owned());
    }
    let is_error = plan.profile == Profile::CloudFront && status >= 400;
    let shares_all = plan.profile == Profile::CachingOptimized || is_error;
    if !shares_all
        && ["private", "no-store"]
            .iter()
            .any(|word| said.contains(word))
    {
        wrong.push(format!("stored: {said}"));
    }
    if plan.profile == Profile::Default && fields.contains_key("set-cookie") {
        wrong.push("stored with Set-Cookie".to_owned());
    }
    wrong
}

impl Store for Watched {
    const PERSISTS: bool = false;
    type Get = <MemoryStore as Store>::Get;
    type Swap = <MemoryStore as Store>::Swap;
    type Writer = <MemoryStore as Store>::Writer;

    fn max_object(&self) -> Option<u64> {
        Some(self.store.max_object())
    }

    fn get(&self, key: &CacheKey, part: Part) -> Self::Get {
        self.store.get(key, part)
    }

    fn peek(&self, key: &CacheKey, part: Part) -> Self::Get {
        self.store.peek(key, part)
    }

    fn writer(
        &self,
        key: &CacheKey,
        part: Part,
        head: Head,
        window: Window,
    ) -> Result<Self::Writer, WriteRefused> {
        self.note(key, part);
        self.store.writer(key, part, head, window)
    }

    fn swap(
        &self,
        key: &CacheKey,
        part: Part,
        expected: Expected,
        record: Option<Record>,
    ) -> Self::Swap {
        self.note(key, part);
        self.store.swap(key, part, expected, record)
    }
}
