//! The fields that the cache adds to what it stored: `Age`, `Cache-Status` and `X-Cache`.
//!
//! A stored map holds a place for each, first and in this order, so that a hit clones it and fills them in.

use super::settings::Settings;
use crate::{
    headers::{APPENDED_SLOTS, CACHE_STATUS},
    key::CacheKey,
    status::{CacheStatus, Product, decimal},
    store::Head,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use std::cell::RefCell;

/// The fields of a response as they are stored: with the places, and in a map that doesn't grow when they are filled.
/// Gives the upstream caches' `Cache-Status`, too.
pub(super) fn with_places(
    headers: &HeaderMap,
    without: &[HeaderName],
) -> (HeaderMap, Option<HeaderValue>) {
    let mut stored = HeaderMap::with_capacity(headers.len() + APPENDED_SLOTS.len() + 1);
    for name in APPENDED_SLOTS {
        stored.insert(name, HeaderValue::from_static(""));
    }
    let mut upstream: Vec<&[u8]> = Vec::new();
    for (name, value) in headers {
        if *name == CACHE_STATUS {
            upstream.push(value.as_bytes());
        } else if !APPENDED_SLOTS.contains(name) && !without.contains(name) {
            stored.append(name, value.clone());
        }
    }
    let upstream = if upstream.is_empty() {
        None
    } else {
        HeaderValue::from_bytes(&upstream.join(&b", "[..])).ok()
    };
    (stored, upstream)
}

/// Writes them into the places in an answer with a stored map.
#[inline]
pub(super) fn write<B>(
    settings: &Settings,
    key: &CacheKey,
    response: &mut Response<B>,
    head: &Head,
    status: &CacheStatus,
    now: u64,
) {
    let age = head.freshness.age(now) / 1000;
    let on =
        settings.age && settings.cache_status && settings.x_cache && !settings.cache_status_key;
    if on && head.upstream_status.is_none() && status.is_plain_hit() {
        let x_cache = status.x_cache(response.status());
        let mut places = response.headers_mut().iter_mut();
        if let (Some((first, age_place)), Some((second, status_place)), Some((third, x_cache_place))) =
            (places.next(), places.next(), places.next())
            && *first == header::AGE
            && *second == CACHE_STATUS
            // As strings, which are compared without a call.
            && third.as_str() == "x-cache"
            && write_of_hit(&settings.product, age, status, age_place, status_place)
        {
            *x_cache_place = settings.product.x_cache(x_cache);
            return;
        }
    }
    write_by_name(settings, key, response, head, status, age);
}

/// Where some are turned off, where there is more to say than a plain hit, and for a record whose fields stand in
/// another order.
#[inline(never)]
fn write_by_name<B>(
    settings: &Settings,
    key: &CacheKey,
    response: &mut Response<B>,
    head: &Head,
    status: &CacheStatus,
    age: u64,
) {
    let x_cache = status.x_cache(response.status());
    let upstream = head.upstream_status.as_ref();
    let key = settings.cache_status_key.then_some(key);
    let cache_status = status.header_value(upstream, &settings.product, key);
    let own = [
        settings.age.then(|| HeaderValue::from(age)),
        match settings.cache_status {
            true => cache_status,
            false => upstream.cloned(),
        },
        settings.x_cache.then(|| settings.product.x_cache(x_cache)),
    ];
    for (name, value) in APPENDED_SLOTS.into_iter().zip(own) {
        match value {
            Some(value) => drop(response.headers_mut().insert(name, value)),
            None => drop(response.headers_mut().remove(name)),
        }
    }
}

/// `Age` and `Cache-Status` of plain hits of one age and lifetime.
struct Made {
    product: u64,
    age: u64,
    ttl: i64,
    values: (HeaderValue, HeaderValue),
}

/// Writes `Age` and `Cache-Status` of a plain hit, as this thread made them last for the same age and lifetime: many objects were
/// stored at the same time for as long, and a hot one is asked for many times in a second. Whether they could be made.
fn write_of_hit(
    product: &Product,
    age: u64,
    status: &CacheStatus,
    age_place: &mut HeaderValue,
    status_place: &mut HeaderValue,
) -> bool {
    const SLOTS: usize = 64;
    thread_local! {
        static MADE: RefCell<[Option<Made>; SLOTS]> = const { RefCell::new([const { None }; SLOTS]) };
    }
    let Some(ttl) = status.ttl() else {
        return false;
    };
    MADE.with_borrow_mut(move |made| {
        // What was stored for as long at different times has different slots.
        let slot = age
            .wrapping_mul(2)
            .wrapping_add_signed(ttl)
            .wrapping_add(product.id());
        // Less than there are slots.
        let slot = &mut made[slot as usize % SLOTS];
        let is_made = |made: &&Made| (made.product, made.age, made.ttl) == (product.id(), age, ttl);
        let made = match slot.as_ref().filter(is_made) {
            Some(made) => made,
            None => match Made::new(product, age, ttl, status) {
                Some(new) => slot.insert(new),
                None => return false,
            },
        };
        *age_place = made.values.0.clone();
        *status_place = made.values.1.clone();
        true
    })
}

impl Made {
    #[cold]
    fn new(product: &Product, age: u64, ttl: i64, status: &CacheStatus) -> Option<Self> {
        Some(Self {
            product: product.id(),
            age,
            ttl,
            values: (seconds(age)?, status.header_value(None, product, None)?),
        })
    }
}

/// In one allocation, which `HeaderValue::from` doesn't do.
fn seconds(number: u64) -> Option<HeaderValue> {
    HeaderValue::from_bytes(decimal(number, &mut [0; 20])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{epoch::Epoch, freshness::Freshness};
    use http::StatusCode;

    #[test]
    fn what_was_made_before_is_said_again_of_the_same_second_and_product_only() {
        let first = Product::new("a").unwrap();
        let second = (0..200)
            .map(|_| Product::new("b").unwrap())
            .find(|product| product.id() % 64 == first.id() % 64)
            .unwrap();
        for _ in 0..2 {
            // All in one slot, each unlike the last in one thing only.
            for (product, age, ttl) in [
                (&first, 0, 64),
                (&first, 32, 64),
                (&first, 32, 0),
                (&first, 32, -64),
                (&second, 32, -64),
            ] {
                let status = CacheStatus::hit(1000 * ttl + 999);
                for _ in 0..2 {
                    let [mut age_value, mut status_value] =
                        [const { HeaderValue::from_static("old") }; 2];
                    assert!(write_of_hit(
                        product,
                        age,
                        &status,
                        &mut age_value,
                        &mut status_value
                    ));
                    assert_eq!(age_value, age.to_string());
                    assert_eq!(Some(status_value), status.header_value(None, product, None));
                }
            }
        }
    }

    #[test]
    fn fields_in_another_order_are_found_by_name() {
        let freshness = Freshness {
            received_at: 0,
            initial_age: 3_000,
            fresh_until: 60_000,
            always_validate: false,
            never_stale: false,
            immutable: false,
            stale_while_revalidate: 0,
            stale_if_error: 0,
        };
        let names = ["age", "cache-status", "x-cache", "etag", "date", "via"];
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [2, 1, 0],
            [0, 1, 3],
            [0, 3, 2],
            [3, 1, 2],
            [3, 4, 5],
        ] {
            let headers: HeaderMap = order
                .into_iter()
                .map(|at| {
                    (
                        HeaderName::from_static(names[at]),
                        HeaderValue::from_static("old"),
                    )
                })
                .collect();
            let head = Head {
                status: StatusCode::OK,
                headers: headers.clone(),
                freshness,
                epoch: Epoch {
                    sequence: 1,
                    number: 1,
                },
                address: "".into(),
                tags: Box::default(),
                upstream_status: None,
            };
            let mut expected = headers.clone();
            expected.insert("age", HeaderValue::from_static("3"));
            let status = HeaderValue::from_static("frontage; hit; ttl=60");
            expected.insert("cache-status", status);
            expected.insert("x-cache", HeaderValue::from_static("Hit from frontage"));
            let mut response = Response::new(());
            *response.headers_mut() = headers;
            write(
                &Settings::default(),
                &CacheKey::from_bytes(b""),
                &mut response,
                &head,
                &CacheStatus::hit(60_000),
                0,
            );
            assert_eq!(*response.headers(), expected, "{order:?}");
        }
    }
}
