//! The fields that the cache adds to what it stored: `Age`, `Cache-Status` and `X-Cache`.
//!
//! A stored map holds a place for each, first and in this order, so that a hit clones it and fills them in.

use super::settings::Settings;
use crate::{
    headers::{APPENDED_SLOTS, CACHE_STATUS},
    status::{CacheStatus, Product},
    store::Head,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
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

/// Fills the places in an answer with a stored map.
#[inline]
pub(super) fn fill<B>(
    settings: &Settings,
    response: &mut Response<B>,
    head: &Head,
    status: &CacheStatus,
    now: u64,
) {
    let code = response.status();
    let headers = response.headers_mut();
    let age = head.freshness.age(now) / 1000;
    let on = settings.age && settings.cache_status && settings.x_cache;
    if on && head.upstream_status.is_none() && status.is_plain_hit() {
        let mut places = headers.iter_mut();
        if let (Some((first, age_place)), Some((second, status_place)), Some((third, x_cache_place))) =
            (places.next(), places.next(), places.next())
            && *first == header::AGE
            // As strings, which are compared without a call.
            && second.as_str() == "cache-status"
            && third.as_str() == "x-cache"
            && fill_memoized(&settings.product, age, status, age_place, status_place)
        {
            *x_cache_place = settings.product.x_cache(status.x_cache(code));
            return;
        }
    }
    fill_by_name(settings, headers, head, code, status, age);
}

/// What a hit says, made for one second of one response's life.
struct Made {
    product: u64,
    age: u64,
    ttl: i64,
    age_value: HeaderValue,
    status_value: HeaderValue,
}

/// `Age` and `Cache-Status` of a hit, as this thread made them last for the same second: many objects were stored at the
/// same time for as long, and a hot one is asked for many times in a second.
fn fill_memoized(
    product: &Product,
    age: u64,
    status: &CacheStatus,
    age_place: &mut HeaderValue,
    status_place: &mut HeaderValue,
) -> bool {
    const PLACES: usize = 64;
    thread_local! {
        static MADE: RefCell<[Option<Made>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
    }
    let Some(ttl) = status.ttl() else {
        return false;
    };
    MADE.with_borrow_mut(|made| {
        // What was stored for as long at different times has different places.
        let place = age.wrapping_mul(2).wrapping_add_signed(ttl) % PLACES as u64;
        let Some(place) = usize::try_from(place)
            .ok()
            .and_then(|place| made.get_mut(place))
        else {
            return false;
        };
        let id = product.id();
        if let Some(made) = place
            && (made.product, made.age, made.ttl) == (id, age, ttl)
        {
            *age_place = made.age_value.clone();
            *status_place = made.status_value.clone();
            return true;
        }
        let Some(status_value) = status.header_value(None, product) else {
            return false;
        };
        let age_value = HeaderValue::from(age);
        *age_place = age_value.clone();
        *status_place = status_value.clone();
        *place = Some(Made {
            product: id,
            age,
            ttl,
            age_value,
            status_value,
        });
        true
    })
}

/// For what is turned off, for news beside a plain hit, and for a record whose fields stand in another order.
#[cold]
fn fill_by_name(
    settings: &Settings,
    headers: &mut HeaderMap,
    head: &Head,
    code: StatusCode,
    status: &CacheStatus,
    age: u64,
) {
    let upstream = head.upstream_status.as_ref();
    let own = [
        settings.age.then(|| HeaderValue::from(age)),
        match settings.cache_status {
            true => status.header_value(upstream, &settings.product),
            false => upstream.cloned(),
        },
        settings
            .x_cache
            .then(|| settings.product.x_cache(status.x_cache(code))),
    ];
    for (name, value) in APPENDED_SLOTS.into_iter().zip(own) {
        match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{epoch::Epoch, freshness::Freshness};

    #[test]
    fn what_was_made_before_is_said_again_of_the_same_second_and_product_only() {
        let products = [
            Product::default(),
            Product::new("b").unwrap(),
            Product::new("c").unwrap(),
        ];
        let mut said = [const { HeaderValue::from_static("") }; 2];
        for _ in 0..2 {
            // All in one place, each unlike the last in one thing only.
            for (product, age, ttl) in [(0, 0, 8), (1, 0, 8), (2, 0, 8), (2, 32, 8), (2, 32, 72)] {
                let product = &products[product];
                let [age_place, status_place] = &mut said;
                let status = CacheStatus::hit(1000 * ttl + 999);
                assert!(fill_memoized(
                    product,
                    age,
                    &status,
                    age_place,
                    status_place
                ));
                assert_eq!(said[0], age.to_string());
                assert_eq!(Some(&said[1]), status.header_value(None, product).as_ref());
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
        };
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
            let names = ["age", "cache-status", "x-cache", "etag", "date", "via"];
            let headers: HeaderMap = order
                .into_iter()
                .map(|at| {
                    (
                        HeaderName::from_static(names[at]),
                        HeaderValue::from_static(""),
                    )
                })
                .collect();
            let others = headers
                .keys()
                .filter(|name| !APPENDED_SLOTS.contains(name))
                .count();
            let head = Head {
                status: StatusCode::OK,
                headers: headers.clone(),
                freshness,
                epoch: Epoch {
                    sequence: 1,
                    number: 1,
                },
                address: "".into(),
                upstream_status: None,
            };
            let mut response = Response::new(());
            *response.headers_mut() = headers;
            fill(
                &Settings::default(),
                &mut response,
                &head,
                &CacheStatus::hit(60_000),
                0,
            );
            let headers = response.headers();
            assert_eq!(headers.len(), 3 + others, "{order:?}");
            assert_eq!(headers["age"], "3");
            assert_eq!(headers["cache-status"], "frontage; hit; ttl=60");
            assert_eq!(headers["x-cache"], "Hit from frontage");
        }
    }
}
