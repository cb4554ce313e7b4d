//! Makes responses: from what is stored, from a fetch under way, or out of nothing.

use super::settings::Settings;
use crate::{
    body::{ResponseBody, StoredBody},
    conditional,
    freshness::Forward,
    headers::{
        APPENDED_SLOTS, CACHE_STATUS, RequestFacts, X_CACHE, remove_representation_metadata,
    },
    range::{self, Selected},
    status::{CacheStatus, Detail, small_decimal},
    store::Object,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

/// The viewer's side of a request: what remains of it when the request itself is on its way.
pub(super) struct Viewer<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) facts: &'a RequestFacts,
}

/// The fields of a viewer's request that decide over its conditions, kept while the request is on its way.
pub(super) fn viewer_fields(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
        for value in headers.get_all(&name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Answers with a stored object: whole, in part, or with the news that nothing changed.
pub(super) fn stored<B>(
    settings: &Settings,
    viewer: &Viewer<'_>,
    object: &Object,
    now: u64,
    mut status: CacheStatus,
) -> Response<ResponseBody<B>> {
    let head = object.head();
    let length = object.body().length();
    let mut code = head.status;
    let mut headers = head.headers.clone();
    let mut body = None;
    if viewer.facts.conditional
        && conditional::is_not_modified(
            viewer.headers,
            head.status,
            &headers,
            head.freshness.received_at,
        )
    {
        code = StatusCode::NOT_MODIFIED;
        remove_representation_metadata(&mut headers);
        body = Some(StoredBody::absent());
    } else if viewer.facts.range && head.status == StatusCode::OK && *viewer.method == Method::GET {
        match range::select(viewer.headers, &headers, length) {
            Selected::Whole => {}
            Selected::Part(part) => {
                code = StatusCode::PARTIAL_CONTENT;
                let content_range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
                set(&mut headers, header::CONTENT_RANGE, &content_range);
                headers.insert(
                    header::CONTENT_LENGTH,
                    HeaderValue::from(part.end - part.start),
                );
                body = Some(object.body().read(part));
            }
            Selected::Unsatisfiable => {
                code = StatusCode::RANGE_NOT_SATISFIABLE;
                remove_representation_metadata(&mut headers);
                // What was said of the whole isn't said of this answer.
                for name in [
                    header::CACHE_CONTROL,
                    header::EXPIRES,
                    header::ETAG,
                    header::LAST_MODIFIED,
                ] {
                    headers.remove(name);
                }
                set(
                    &mut headers,
                    header::CONTENT_RANGE,
                    &format!("bytes */{length}"),
                );
                body = Some(StoredBody::empty());
            }
        }
    }
    let body = body.unwrap_or_else(|| match *viewer.method {
        Method::HEAD => {
            // A GET has its length said by the server, from the body.
            if object.body().is_framed_by_length() && head.status != StatusCode::NO_CONTENT {
                headers
                    .entry(header::CONTENT_LENGTH)
                    .or_insert_with(|| length.into());
            }
            StoredBody::absent()
        }
        _ => object.body().read(0..length),
    });

    status.ttl = Some(head.freshness.ttl(now));
    let upstream = head.upstream_status.as_ref();
    let own = [
        settings
            .age
            .then(|| seconds(head.freshness.age(now) / 1000)),
        match settings.cache_status {
            true if upstream.is_none() && status.is_plain_hit() => {
                status.hit_value(&settings.product)
            }
            true => status.header_value(upstream, &settings.product),
            false => upstream.cloned(),
        },
        settings
            .x_cache
            .as_ref()
            .map(|values| values.get(status.x_cache(code))),
    ];
    place(&mut headers, own);
    let mut response = Response::new(ResponseBody::stored(body));
    *response.status_mut() = code;
    *response.headers_mut() = headers;
    finish(settings, &mut response, status);
    response
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// Puts what the cache says into the places that a stored map holds for it, first and in this order.
fn place(headers: &mut HeaderMap, own: [Option<HeaderValue>; 3]) {
    let mut slots = headers.iter_mut();
    if let [Some(age), Some(cache_status), Some(x_cache)] = own {
        match (slots.next(), slots.next(), slots.next()) {
            (Some((first, a)), Some((second, b)), Some((third, c)))
                if *first == header::AGE && *second == CACHE_STATUS && *third == X_CACHE =>
            {
                (*a, *b, *c) = (age, cache_status, x_cache);
            }
            _ => place_by_name(headers, [Some(age), Some(cache_status), Some(x_cache)]),
        }
    } else {
        place_by_name(headers, own);
    }
}

/// For what is turned off, and for a record whose fields another process put in another order.
#[cold]
fn place_by_name(headers: &mut HeaderMap, own: [Option<HeaderValue>; 3]) {
    for (name, value) in APPENDED_SLOTS.into_iter().zip(own) {
        match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
}

/// A number of seconds; the usual ones without an allocation.
fn seconds(number: u64) -> HeaderValue {
    small_decimal(number).map_or_else(|| HeaderValue::from(number), HeaderValue::from_static)
}

/// Says on a response that came from the inner service what the cache did. Its own `Age` and the
/// `Cache-Status` of caches upstream stay.
pub(super) fn annotate<B>(settings: &Settings, response: &mut Response<B>, status: CacheStatus) {
    if settings.cache_status
        && let Some(value) = status.header_value(None, &settings.product)
    {
        response.headers_mut().append(CACHE_STATUS, value);
    }
    if let Some(values) = &settings.x_cache {
        let value = values.get(status.x_cache(response.status()));
        response.headers_mut().insert(X_CACHE, value);
    }
    finish(settings, response, status);
}

fn finish<B>(settings: &Settings, response: &mut Response<B>, status: CacheStatus) {
    if settings.status_extension {
        response.extensions_mut().insert(status);
    }
}

/// A response of the cache's own: the fetch failed, or there is none to be made.
pub(super) fn failure<B>(
    settings: &Settings,
    code: StatusCode,
    mut status: CacheStatus,
    detail: Detail,
) -> Response<ResponseBody<B>> {
    status.detail = Some(detail);
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    annotate(settings, &mut response, status);
    response
}

/// `only-if-cached` without anything usable (RFC 9111 section 5.2.1.7).
pub(super) fn only_if_cached<B>(
    settings: &Settings,
    forward: Forward,
) -> Response<ResponseBody<B>> {
    failure(
        settings,
        StatusCode::GATEWAY_TIMEOUT,
        CacheStatus::forwarded(forward),
        Detail::OnlyIfCached,
    )
}

/// The fields of a response as they are stored: places for what the cache adds come first, in a map
/// that doesn't grow when they are filled. Gives the upstream caches' `Cache-Status`, too.
pub(super) fn fields_to_store(
    headers: &HeaderMap,
    without: &[header::HeaderName],
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
