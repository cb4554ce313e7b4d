//! May a response be stored, and for how long (RFC 9111 section 3, CloudFront's TTL table)?

use super::{
    Freshness, FreshnessPolicy,
    age::corrected_initial_age,
    policy::{Rules, millis},
};
use crate::{
    headers::{DeltaSeconds, Qualified, RequestFacts, ResponseDirectives, date_of},
    key::Vary,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use std::time::Duration;

/// A request and the response that came for it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// What the request's fields say.
    pub request: &'a RequestFacts,
    /// The response's status.
    pub status: StatusCode,
    /// The response's fields, without hop-by-hop ones.
    pub response: &'a HeaderMap,
    /// When the request was sent, in milliseconds since the epoch.
    pub requested_at: u64,
    /// When the response's head came.
    pub received_at: u64,
}

/// What may be stored, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storable {
    /// Its times.
    pub freshness: Freshness,
    /// Fields that must not be stored with it (`no-cache="..."`, `private="..."`).
    pub without: Vec<HeaderName>,
}

/// Why a response isn't stored. [`status`](crate::status) says what to do about each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The policy stores nothing.
    Disabled,
    /// The request's method isn't `GET` (nor a cacheable `POST`, RFC 9110 section 9.3.3).
    Method,
    /// The request says `no-store`.
    RequestNoStore,
    /// The request has `Authorization`, and the response doesn't lift the ban (RFC 9111 section 3.5).
    Authorization,
    /// The request has `Cookie`, and the response doesn't lift the ban with `public` or `s-maxage`.
    Cookie,
    /// The status can't be stored: 1xx, 304, an error that CloudFront doesn't cache, an unknown one with `must-understand`; or a
    /// 206 that isn't one part of known place and length.
    Status,
    /// The response says `no-store`.
    NoStore,
    /// The response says `private`.
    Private,
    /// The response has `Set-Cookie`.
    SetCookie,
    /// The response has `Vary: *`.
    VaryAny,
    /// Nothing says for how long it may be used, and it can't be validated.
    NoLifetime,
    /// It is stale on arrival, and can't be validated.
    Stale,
    /// It is an error or a part, and a better response is stored that is still of use.
    GoodAtHand,
    /// It is an error, and an origin shield stores none.
    Error,
    /// It went through a [`CoalesceLayer`](crate::CoalesceLayer), which stores nothing.
    StoresNothing,
    /// It isn't the block that was asked for, or has no strong validator to tell its version by.
    Block,
    /// Its body has a transfer coding that the inner service didn't take off (RFC 9112 section 7).
    TransferCoding,
}

impl Refusal {
    /// Whether the request is the reason: another request for the same key may fare better.
    #[must_use]
    pub fn is_of_request(self) -> bool {
        matches!(
            self,
            Self::RequestNoStore | Self::Authorization | Self::Cookie | Self::Method
        )
    }

    /// One word for logs and `Cache-Status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Method => "method",
            Self::RequestNoStore => "request-no-store",
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::SetCookie => "set-cookie",
            Self::VaryAny => "vary-any",
            Self::NoLifetime => "no-lifetime",
            Self::Stale => "stale",
            Self::GoodAtHand => "good-at-hand",
            Self::Error => "error",
            Self::StoresNothing => "stores-nothing",
            Self::Block => "block",
            Self::TransferCoding => "transfer-coding",
        }
    }
}

/// Judges a response.
///
/// # Errors
///
/// The reason why it may not be stored.
pub fn storable(exchange: &Exchange<'_>, policy: &FreshnessPolicy) -> Result<Storable, Refusal> {
    let storable = shareable(exchange, policy)?;
    match policy.keeps.refuses(exchange.status) {
        Some(refusal) => Err(refusal),
        None => Ok(storable),
    }
}

/// Judges a response for those who wait for it: as [`storable`], but that it needn't be one that the policy keeps.
pub(crate) fn shareable(
    exchange: &Exchange<'_>,
    policy: &FreshnessPolicy,
) -> Result<Storable, Refusal> {
    match policy.rules {
        Rules::Rfc => storable_rfc(exchange, policy),
        Rules::CloudFront => storable_cloudfront(exchange, policy),
    }
}

fn storable_rfc(exchange: &Exchange<'_>, policy: &FreshnessPolicy) -> Result<Storable, Refusal> {
    let Exchange {
        method,
        request,
        status,
        response,
        ..
    } = *exchange;
    let (said, targeted) = policy.directives(response);
    match *method {
        Method::GET => {}
        // Only what names itself as the representation of its own target, for a time that it states.
        Method::POST
            if said.max_age.is_present()
                || said.s_maxage.is_present()
                || response.contains_key(header::EXPIRES) => {}
        _ => return Err(Refusal::Method),
    }
    if policy.request_directives && request.directives.no_store {
        return Err(Refusal::RequestNoStore);
    }
    if status.is_informational()
        || status == StatusCode::NOT_MODIFIED
        || status == StatusCode::PARTIAL_CONTENT
        || (said.must_understand && !is_understood(status))
    {
        return Err(Refusal::Status);
    }
    // RFC 9111 section 5.2.2.3: `no-store` beside `must-understand` is for caches that don't understand.
    if said.no_store && !said.must_understand {
        return Err(Refusal::NoStore);
    }
    if said.private.is_whole() {
        return Err(Refusal::Private);
    }
    // One that lets nobody use it unasked, or can't be read, lifts nothing: a minimum TTL would have it used all the same.
    let lifted = said.public || said.s_maxage.seconds().is_some_and(|seconds| seconds > 0);
    if request.authorization
        && !(lifted || (said.must_revalidate && !policy.cookies_are_credentials))
    {
        return Err(Refusal::Authorization);
    }
    if request.cookie && policy.cookies_are_credentials && !lifted {
        return Err(Refusal::Cookie);
    }
    if !policy.store_set_cookie && response.contains_key(header::SET_COOKIE) {
        let stripped = said.no_cache.fields().contains(&header::SET_COOKIE)
            || said.private.fields().contains(&header::SET_COOKIE);
        if !stripped {
            return Err(Refusal::SetCookie);
        }
    }
    if Vary::of(response) == Vary::Any {
        return Err(Refusal::VaryAny);
    }

    let initial_age = corrected_initial_age(response, exchange.requested_at, exchange.received_at);
    let explicit = match targeted {
        // RFC 9213 section 2.2: `Expires` doesn't count.
        true => explicit_directives(&said),
        false => explicit_lifetime(&said, response, exchange.received_at),
    };
    let error_ttl = policy.error_ttls.get(&status.as_u16());
    let lifetime = match explicit.or(error_ttl.map(|ttl| millis(*ttl))) {
        Some(lifetime) => lifetime,
        None if said.public || is_heuristically_cacheable(status) => {
            let heuristic =
                heuristic_lifetime(response, exchange.received_at).filter(|_| policy.heuristic);
            heuristic.unwrap_or_else(|| millis(policy.default_ttl))
        }
        None => return Err(Refusal::NoLifetime),
    };
    let lifetime = lifetime.clamp(
        millis(policy.min_ttl),
        millis(policy.max_ttl).max(millis(policy.min_ttl)),
    );
    let never_stale = said.must_revalidate
        || said.proxy_revalidate
        || said.s_maxage.is_present()
        || said.no_cache.is_whole();
    let (stale_while_revalidate, stale_if_error) = match never_stale || policy.is_failure(status) {
        true => (0, 0),
        false => (
            window(said.stale_while_revalidate, policy.stale_while_revalidate),
            window(said.stale_if_error, policy.stale_if_error),
        ),
    };
    let freshness = Freshness {
        received_at: exchange.received_at,
        initial_age,
        // Before it came, where it was stale by then: how stale it is counts from there.
        fresh_until: exchange
            .received_at
            .saturating_add(lifetime)
            .saturating_sub(initial_age),
        always_validate: said.no_cache.is_whole(),
        never_stale,
        immutable: said.immutable,
        stale_while_revalidate,
        stale_if_error,
    };
    // One that is stale when it comes is of use within its windows, if it had a lifetime or states a window itself.
    let has_window = lifetime > 0
        || said.stale_while_revalidate.is_present()
        || said.stale_if_error.is_present();
    let window = stale_while_revalidate.max(stale_if_error);
    let usable = freshness.is_usable(exchange.received_at)
        || freshness.is_usable_stale(window, exchange.received_at);
    let is_of_use = (usable && has_window) || has_validator(response);
    if !is_of_use {
        return Err(if explicit.is_none() {
            Refusal::NoLifetime
        } else {
            Refusal::Stale
        });
    }
    Ok(Storable {
        freshness,
        without: without(&said),
    })
}

fn storable_cloudfront(
    exchange: &Exchange<'_>,
    policy: &FreshnessPolicy,
) -> Result<Storable, Refusal> {
    let Exchange {
        method,
        status,
        response,
        received_at,
        ..
    } = *exchange;
    if policy.is_disabled() {
        return Err(Refusal::Disabled);
    }
    if *method != Method::GET {
        return Err(Refusal::Method);
    }
    let (said, targeted) = policy.directives(response);
    if policy.honor_private && said.private.is_whole() {
        return Err(Refusal::Private);
    }
    let (min, max) = (millis(policy.min_ttl), millis(policy.max_ttl));
    let explicit = match targeted {
        true => explicit_seconds(&said),
        false => explicit_lifetime_cloudfront(&said, response, received_at),
    };
    let (lifetime, always_validate) = if status.is_client_error() || status.is_server_error() {
        (
            cloudfront_error_lifetime(status, &said, explicit, policy).ok_or(Refusal::Status)?,
            false,
        )
    } else {
        match status {
            StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => return Err(Refusal::Status),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT if !said.present => {
                return Err(Refusal::Status);
            }
            status if status.is_informational() => return Err(Refusal::Status),
            _ => {}
        }
        let restricted = said.no_store || said.no_cache.is_whole() || said.private.is_whole();
        if restricted && min == 0 {
            if said.no_store {
                return Err(Refusal::NoStore);
            }
            if said.private.is_whole() {
                return Err(Refusal::Private);
            }
            (0, true)
        } else if restricted {
            (min, false)
        } else {
            (
                explicit.map_or(min.max(millis(policy.default_ttl)), |seconds| {
                    seconds.clamp(min, max.max(min))
                }),
                false,
            )
        }
    };
    if policy.heeds_vary_any() && Vary::of(response) == Vary::Any {
        return Err(Refusal::VaryAny);
    }
    let fresh_until = received_at.saturating_add(lifetime);
    let never_stale = always_validate || said.must_revalidate || said.proxy_revalidate;
    // Nothing is used beyond the maximum TTL, and no error stands in for another.
    let is_error = status.is_client_error() || status.is_server_error();
    let longest = match never_stale || is_error {
        true => 0,
        false => received_at.saturating_add(max).saturating_sub(fresh_until),
    };
    let freshness = Freshness {
        received_at,
        initial_age: super::age::age_value(response).saturating_mul(1000),
        fresh_until,
        always_validate,
        never_stale,
        immutable: false,
        stale_while_revalidate: window(said.stale_while_revalidate, policy.stale_while_revalidate)
            .min(longest),
        stale_if_error: window(said.stale_if_error, policy.stale_if_error).min(longest),
    };
    if (lifetime == 0 || always_validate) && !has_validator(response) {
        return Err(Refusal::Stale);
    }
    Ok(Storable {
        freshness,
        without: without(&said),
    })
}

/// Whether a refusal says that the next answer for the key won't be stored either. Not where the request is the reason,
/// nor where the answer is one to a request of a special kind: a range, a condition, an origin in trouble.
#[must_use]
pub fn is_lasting(refusal: Refusal, request: &RequestFacts, status: StatusCode) -> bool {
    let special = matches!(
        status,
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE
    );
    !(refusal.is_of_request()
        || matches!(refusal, Refusal::Disabled | Refusal::Error)
        || request.range
        || special
        || status.is_informational()
        || status.is_server_error())
}

/// Whether an error that isn't stored may still answer those who wait for it: nobody hammers a dying origin. Never where
/// the request carries credentials (of the follower, that is asked, too).
#[must_use]
pub fn is_shareable_error(
    request: &RequestFacts,
    status: StatusCode,
    response: &HeaderMap,
    policy: &FreshnessPolicy,
) -> bool {
    let (said, _) = policy.directives(response);
    status.is_server_error()
        && !request.has_credentials()
        && !said.no_store
        && said.no_cache == Qualified::Absent
        && said.private == Qualified::Absent
        && !response.contains_key(header::SET_COOKIE)
        && Vary::of(response) != Vary::Any
}

/// CloudFront caches the errors it lists, some only where the origin says for how long.
fn cloudfront_error_lifetime(
    status: StatusCode,
    said: &ResponseDirectives,
    explicit: Option<u64>,
    policy: &FreshnessPolicy,
) -> Option<u64> {
    let named = said.max_age.seconds().is_some() || said.s_maxage.seconds().is_some();
    match status.as_u16() {
        404 | 414 | 500 | 501 | 502 | 503 | 504 => {}
        400 | 403 | 405 | 412 | 415 if named => {}
        _ => return None,
    }
    let explicit = explicit.unwrap_or(0).min(millis(policy.max_ttl));
    Some(explicit.max(millis(policy.error_min_ttl(status))))
}

/// For how long a response may be used stale. One that can't be read allows nothing.
fn window(said: DeltaSeconds, default: Duration) -> u64 {
    match said {
        DeltaSeconds::Absent => millis(default),
        DeltaSeconds::Seconds(seconds) => seconds.saturating_mul(1000),
        DeltaSeconds::Invalid => 0,
    }
}

/// RFC 9111 section 4.2.1: `s-maxage`, `max-age`, then `Expires` less `Date`. What is there but invalid means stale.
fn explicit_lifetime(
    said: &ResponseDirectives,
    response: &HeaderMap,
    received_at: u64,
) -> Option<u64> {
    if let Some(lifetime) = explicit_directives(said) {
        return Some(lifetime);
    }
    let expires = date_of(response, &header::EXPIRES)?;
    // Both count whole seconds.
    let date = date_of(response, &header::DATE)
        .flatten()
        .unwrap_or(received_at / 1000 * 1000);
    Some(expires.map_or(0, |expires| expires.saturating_sub(date)))
}

fn explicit_directives(said: &ResponseDirectives) -> Option<u64> {
    match [said.s_maxage, said.max_age]
        .into_iter()
        .find(|directive| directive.is_present())?
    {
        DeltaSeconds::Seconds(seconds) => Some(seconds.saturating_mul(1000)),
        DeltaSeconds::Absent | DeltaSeconds::Invalid => Some(0),
    }
}

fn explicit_seconds(said: &ResponseDirectives) -> Option<u64> {
    let seconds = said.s_maxage.seconds().or(said.max_age.seconds())?;
    Some(seconds.saturating_mul(1000))
}

/// CloudFront's: an invalid number is ignored, and `Expires` is measured from the edge's clock.
fn explicit_lifetime_cloudfront(
    said: &ResponseDirectives,
    response: &HeaderMap,
    received_at: u64,
) -> Option<u64> {
    if let Some(lifetime) = explicit_seconds(said) {
        return Some(lifetime);
    }
    let expires = date_of(response, &header::EXPIRES)?;
    Some(expires.map_or(0, |expires| expires.saturating_sub(received_at)))
}

/// 10 % of the time since the last modification (RFC 9111 section 4.2.2).
fn heuristic_lifetime(response: &HeaderMap, received_at: u64) -> Option<u64> {
    let modified = date_of(response, &header::LAST_MODIFIED)??;
    let date = date_of(response, &header::DATE)
        .flatten()
        .unwrap_or(received_at);
    Some(date.saturating_sub(modified) / 10)
}

/// RFC 9110 section 15.1, without 206, which isn't stored as a whole.
fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// The status codes of RFC 9110 section 15 that a cache can store; 304 and 206 are refused before.
fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

fn has_validator(response: &HeaderMap) -> bool {
    response.contains_key(header::ETAG)
        || matches!(date_of(response, &header::LAST_MODIFIED), Some(Some(_)))
}

/// The fields that a response names as one viewer's (`no-cache="..."`, `private="..."`): not for a
/// shared cache to repeat.
#[must_use]
pub fn fields_of_one_viewer(response: &HeaderMap, policy: &FreshnessPolicy) -> Vec<HeaderName> {
    without(&policy.directives(response).0)
}

fn without(said: &ResponseDirectives) -> Vec<HeaderName> {
    said.no_cache
        .fields()
        .iter()
        .chain(said.private.fields())
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests;
