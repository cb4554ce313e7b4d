//! The caches, each behind one closure: asks for an object, says whether it was there, and has it kept if it wasn't.

use bytes::Bytes;
use foyer_memory::{CacheBuilder, EvictionConfig, LfuConfig, S3FifoConfig};
use frontage::{
    fill::Window,
    freshness::Freshness,
    key::CacheKey,
    store::{Epoch, Head, MemoryStore, Part, Store, StoreWriter},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

pub(crate) type Subject = Box<dyn FnMut(u32, u32) -> bool>;

/// A cache and its name: its capacity in bytes, what an object costs beside its body, and how large one is on average.
pub(crate) type Make = fn(u64, u64, u64) -> Subject;

pub(crate) const FRONTAGE: &str = "frontage";
pub(crate) const ALL: [(&str, Make); 7] = [
    (FRONTAGE, |cap, _, _| frontage(MemoryStore::new(cap))),
    ("LRU", |cap, overhead, _| lru(cap, overhead)),
    ("moka", |cap, overhead, _| moka(cap, overhead)),
    ("quick_cache", quick),
    ("foyer LRU", |cap, overhead, _| {
        foyer(cap, overhead, foyer_memory::LruConfig::default().into())
    }),
    ("foyer LFU", |cap, overhead, _| {
        foyer(cap, overhead, LfuConfig::default().into())
    }),
    ("foyer S3-FIFO", |cap, overhead, _| {
        foyer(cap, overhead, S3FifoConfig::default().into())
    }),
];

/// The best of these is what the store is beside.
pub(crate) const LIBRARIES: [&str; 5] = [
    "moka",
    "quick_cache",
    "foyer LRU",
    "foyer LFU",
    "foyer S3-FIFO",
];

/// What the store charges for an object beside its body: the others are charged the same.
pub(crate) fn overhead() -> Option<u64> {
    let store = MemoryStore::new(1 << 20);
    let mut ask = frontage(store.clone());
    ask(0, 1000);
    store.usage().used.checked_sub(1000)
}

fn frontage(store: MemoryStore) -> Subject {
    let body = Bytes::from(vec![0; 8 << 20]);
    Box::new(move |object, size| {
        let key = CacheKey::from_bytes(format!("www.example.com/object/{object:08}").as_bytes());
        if let Some(Ok(Some(_))) = now(store.get(&key, Part::Index)) {
            return true;
        }
        let window = Window {
            bytes: 1 << 20,
            lag_timeout: Duration::from_secs(1),
        };
        // Refused, or kept: nothing reads it.
        if let Ok(mut writer) = store.writer(&key, Part::Index, head(size), window) {
            let mut context = Context::from_waker(Waker::noop());
            let chunk = body.slice(..size as usize);
            let _ = writer.poll_write(&mut context, &chunk);
            let _ = writer.poll_commit(&mut context, None);
        }
        false
    })
}

fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn head(size: u32) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, size.into());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=86400"),
    );
    headers.insert(
        header::ETAG,
        HeaderValue::from_static("\"3f9c2b7a-1a2b3c\""),
    );
    Head {
        status: StatusCode::OK,
        headers,
        freshness: Freshness {
            received_at: 0,
            initial_age: 0,
            fresh_until: u64::MAX,
            always_validate: false,
            never_stale: false,
            immutable: false,
            stale_while_revalidate: 0,
            stale_if_error: 0,
        },
        epoch: Epoch {
            sequence: 0,
            number: 1,
        },
        address: "www.example.com/object/00000000".into(),
        tags: Box::default(),
        upstream_status: None,
    }
}

fn lru(cap: u64, overhead: u64) -> Subject {
    let mut by_time: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
    let mut time_of: BTreeMap<u32, u64> = BTreeMap::new();
    let (mut now, mut used) = (0, 0);
    Box::new(move |object, size| {
        now += 1;
        let weight = u64::from(size) + overhead;
        let before = time_of.insert(object, now);
        by_time.insert(now, (object, weight));
        if let Some(before) = before {
            by_time.remove(&before);
            return true;
        }
        used += weight;
        while used > cap {
            let Some((_, (gone, weight))) = by_time.pop_first() else {
                break;
            };
            time_of.remove(&gone);
            used -= weight;
        }
        false
    })
}

fn moka(cap: u64, overhead: u64) -> Subject {
    let cache = moka::sync::Cache::builder()
        .max_capacity(cap)
        .weigher(move |_: &u32, size: &u32| size.saturating_add(overhead as u32))
        .build();
    let mut count = 0_u64;
    Box::new(move |object, size| {
        count += 1;
        // It evicts behind the requests: not long behind them.
        if count.is_multiple_of(16) {
            cache.run_pending_tasks();
        }
        if cache.get(&object).is_some() {
            return true;
        }
        cache.insert(object, size);
        false
    })
}

#[derive(Clone)]
struct Weight(u64);

impl Weighter<u32, u32> for Weight {
    fn weight(&self, _object: &u32, size: &u32) -> u64 {
        u64::from(*size) + self.0
    }
}

fn quick(cap: u64, overhead: u64, mean: u64) -> Subject {
    let options = OptionsBuilder::new()
        .shards(1)
        .weight_capacity(cap)
        .estimated_items_capacity((cap / mean) as usize)
        .build();
    let Ok(options) = options else {
        return Box::new(|_, _| false);
    };
    let cache = Cache::with_options(
        options,
        Weight(overhead),
        quick_cache::DefaultHashBuilder::default(),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    Box::new(move |object, size| {
        if cache.get(&object).is_some() {
            return true;
        }
        cache.insert(object, size);
        false
    })
}

fn foyer(cap: u64, overhead: u64, eviction: EvictionConfig) -> Subject {
    let cache: foyer_memory::Cache<u32, u32> = CacheBuilder::new(cap as usize)
        .with_shards(1)
        .with_eviction_config(eviction)
        .with_weighter(move |_: &u32, size: &u32| *size as usize + overhead as usize)
        .build();
    Box::new(move |object, size| {
        if cache.get(&object).is_some() {
            return true;
        }
        cache.insert(object, size);
        false
    })
}
