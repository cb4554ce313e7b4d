//! Makes responses: from what is stored, from a fetch under way, or out of nothing.

use super::{own_fields, settings::Settings};
use crate::{
    body::{ResponseBody, StoredBody},
    conditional,
    headers::{CACHE_STATUS, RequestFacts, X_CACHE, remove_representation_metadata},
    key::CacheKey,
    range::{self, Multipart, RangeRules, Selected},
    status::{CacheStatus, Detail, OriginShieldHit},
    store::{Object, Version},
};
use http::{Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use std::{collections::VecDeque, ops::Range};

/// In how many seconds a request that found too many fetches under way may come again.
const SHED_FOR: &str = "1";

/// The viewer's side of a request: what remains of it when the request itself is on its way.
pub(super) struct Viewer<'a> {
    pub(super) key: &'a CacheKey,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) facts: &'a RequestFacts,
}

/// Answers with a stored object: whole, in part, or with the news that nothing changed.
pub(super) fn stored<B>(
    settings: &Settings,
    viewer: &Viewer<'_>,
    object: &Object,
    now: u64,
    status: CacheStatus,
) -> Response<ResponseBody<B>> {
    stored_here(settings, viewer, object, now, status)
}

/// The same for a plain hit, whose status is known where it is called, and whose response isn't moved once more.
#[inline(always)]
pub(super) fn stored_here<B>(
    settings: &Settings,
    viewer: &Viewer<'_>,
    object: &Object,
    now: u64,
    status: CacheStatus,
) -> Response<ResponseBody<B>> {
    let head = object.head();
    let mut headers = head.headers.clone();
    let asks_for_whole =
        !(viewer.facts.conditional || viewer.facts.range) && *viewer.method == Method::GET;
    let selected = match asks_for_whole {
        true => None,
        false => select(settings, &mut headers, viewer, object),
    };
    let (code, body) = selected.unwrap_or_else(|| (head.status, object.body().read_whole()));
    let mut response = Response::new(ResponseBody::stored(body));
    *response.status_mut() = code;
    // An empty map owns nothing, so forgetting it leaks nothing and is cheaper than dropping it.
    std::mem::forget(std::mem::replace(response.headers_mut(), headers));
    own_fields::write(settings, viewer.key, &mut response, head, &status, now);
    finish(settings, Some(viewer.key), &mut response, status);
    response
}

/// What a conditional request, a range or `HEAD` gets of an object, unless that is the whole.
#[inline(never)]
fn select(
    settings: &Settings,
    headers: &mut HeaderMap,
    viewer: &Viewer<'_>,
    object: &Object,
) -> Option<(StatusCode, StoredBody)> {
    let (head, length) = (object.head(), object.body().length());
    if viewer.facts.conditional
        && conditional::is_not_modified(
            viewer.headers,
            head.status,
            headers,
            head.freshness.received_at,
        )
    {
        remove_representation_metadata(headers);
        return Some((StatusCode::NOT_MODIFIED, StoredBody::absent()));
    }
    if *viewer.method == Method::HEAD {
        // A GET has its length said by the server, from the body.
        if object.body().is_framed_by_length() && head.status != StatusCode::NO_CONTENT {
            headers
                .entry(header::CONTENT_LENGTH)
                .or_insert_with(|| length.into());
        }
        return Some((head.status, StoredBody::absent()));
    }
    if !viewer.facts.range || head.status != StatusCode::OK {
        return None;
    }
    let selected = range::select(viewer.headers, headers, length, range_rules(settings));
    cut(headers, selected, length, |part| {
        Some(object.body().read(part))
    })
}

/// The rules for ranges that go with a policy.
pub(super) fn range_rules(settings: &Settings) -> RangeRules {
    match settings.policy.is_cloudfront() {
        true => RangeRules::CloudFront,
        false => RangeRules::Rfc,
    }
}

/// What a range gets of a body of `length` bytes: the status and the body, the fields of the whole made those of the
/// answer. `read` opens a reader of a part, in the order in which they are sent; of a body on its way that must be the
/// ascending one, or a part waits for bytes that another, not read yet, holds up.
///
/// `None` where the whole was selected, and where a part can't be read: then the fields are as they were.
pub(crate) fn cut(
    headers: &mut HeaderMap,
    selected: Selected,
    length: u64,
    mut read: impl FnMut(Range<u64>) -> Option<StoredBody>,
) -> Option<(StatusCode, StoredBody)> {
    let (code, body) = match selected {
        Selected::Whole => return None,
        Selected::Part(part) => {
            let body = read(part.clone())?;
            let content_range = range::content_range(&part, length);
            set(headers, header::CONTENT_RANGE, &content_range);
            headers.insert(
                header::CONTENT_LENGTH,
                HeaderValue::from(part.end - part.start),
            );
            (StatusCode::PARTIAL_CONTENT, body)
        }
        Selected::Parts(parts) => {
            let boundary = u128::from_be_bytes(Version::random().0);
            let content_type = headers.get(header::CONTENT_TYPE);
            let framing = Multipart::new(boundary, content_type, &parts, length);
            let mut pieces = VecDeque::with_capacity(2 * parts.len() + 1);
            for (head, part) in framing.heads().iter().zip(parts) {
                pieces.push_back(StoredBody::bytes(head.clone()));
                pieces.push_back(read(part)?);
            }
            pieces.push_back(StoredBody::bytes(framing.end().clone()));
            // Each part has its own (RFC 9110 section 15.3.7.2).
            headers.remove(header::CONTENT_RANGE);
            set(headers, header::CONTENT_TYPE, &framing.content_type());
            headers.insert(
                header::CONTENT_LENGTH,
                HeaderValue::from(framing.content_length()),
            );
            let body = StoredBody::joined(pieces, framing.content_length());
            (StatusCode::PARTIAL_CONTENT, body)
        }
        Selected::Unsatisfiable => {
            remove_representation_metadata(headers);
            // What was said of the whole isn't said of this answer.
            for name in [
                header::CACHE_CONTROL,
                header::EXPIRES,
                header::ETAG,
                header::LAST_MODIFIED,
            ] {
                headers.remove(name);
            }
            let content_range = format!("bytes */{length}");
            set(headers, header::CONTENT_RANGE, &content_range);
            (StatusCode::RANGE_NOT_SATISFIABLE, StoredBody::empty())
        }
    };
    // Digests of the bytes that are sent, which were all of them (RFC 9530 section 2).
    for name in ["content-digest", "content-md5"] {
        headers.remove(name);
    }
    Some((code, body))
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// Says on a response that came from the inner service what the cache did. Its own `Age` and the
/// `Cache-Status` of caches upstream stay.
pub(super) fn annotate<B>(
    settings: &Settings,
    key: Option<&CacheKey>,
    response: &mut Response<B>,
    mut status: CacheStatus,
) {
    status.origin_shield_hit |= is_origin_shield_hit(response);
    let said = key.filter(|_| settings.cache_status_key);
    if settings.cache_status
        && let Some(value) = status.header_value(None, &settings.product, said)
    {
        response.headers_mut().append(CACHE_STATUS, value);
    }
    if settings.x_cache {
        let value = settings.product.x_cache(status.x_cache(response.status()));
        response.headers_mut().insert(X_CACHE, value);
    }
    finish(settings, key, response, status);
}

/// Whether an origin shield below answered from what it has stored.
pub(super) fn is_origin_shield_hit<B>(response: &Response<B>) -> bool {
    response.extensions().get::<OriginShieldHit>().is_some()
}

/// The extension, and the event: of every answer, here alone, so that they say what the field says.
#[inline(always)]
fn finish<B>(
    settings: &Settings,
    key: Option<&CacheKey>,
    response: &mut Response<B>,
    status: CacheStatus,
) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        tell(settings, key, status);
    }
    if settings.status_extension {
        response.extensions_mut().insert(status);
        if settings.cache_status_key {
            add_key(response.extensions_mut(), key);
        }
    }
    if settings.is_shield && status.hit {
        response.extensions_mut().insert(OriginShieldHit);
    }
}

// Apart, so that a hit that says neither isn't slower for them.
#[cold]
fn tell(settings: &Settings, key: Option<&CacheKey>, status: CacheStatus) {
    tracing::debug!(
        key = key.map(tracing::field::display),
        status = %format_args!("{}{status}", settings.product.name()),
        "answered"
    );
}

#[cold]
fn add_key(extensions: &mut Extensions, key: Option<&CacheKey>) {
    if let Some(key) = key {
        extensions.insert(key.clone());
    }
}

/// A response of the cache's own: the fetch failed, or there is none to be made.
pub(super) fn failure<B>(
    settings: &Settings,
    key: &CacheKey,
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
    annotate(settings, Some(key), &mut response, status);
    response
}

/// `only-if-cached` without anything usable (RFC 9111 section 5.2.1.7). Neither a hit nor forwarded.
pub(super) fn only_if_cached<B>(settings: &Settings, key: &CacheKey) -> Response<ResponseBody<B>> {
    failure(
        settings,
        key,
        StatusCode::GATEWAY_TIMEOUT,
        CacheStatus::NEITHER,
        Detail::OnlyIfCached,
    )
}

/// Too many fetches are under way. Who asks again at once would be refused again.
pub(super) fn shed<B>(settings: &Settings, key: &CacheKey) -> Response<ResponseBody<B>> {
    let mut response = failure(
        settings,
        key,
        StatusCode::SERVICE_UNAVAILABLE,
        CacheStatus::NEITHER,
        Detail::TooManyFetches,
    );
    let seconds = HeaderValue::from_static(SHED_FOR);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

#[cfg(test)]
#[path = "respond_tests.rs"]
mod tests;
