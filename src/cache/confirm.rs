//! A 304 from the origin confirms what is stored, and so may a 200 to a `HEAD`.

use super::{
    lookup::{LookUp, Wanted, standing, times},
    own_fields,
    storing::Storing,
};
use crate::{
    conditional,
    freshness::Refusal,
    headers::{APPENDED_SLOTS, http_date, merge_not_modified},
    invalidation::Standing,
    key::Vary,
    store::{Expected, Head, Object, Part, Record, Store},
};
use http::{
    HeaderMap, Method, StatusCode,
    header::{self, Entry},
};
use std::future::poll_fn;

/// What a 304 made of a stored object.
pub(super) struct Confirmed {
    pub(super) object: Object,
    pub(super) stored: bool,
    /// Others may use it, too.
    pub(super) shareable: bool,
    /// It isn't confirmed: what came is of another version.
    pub(super) is_other: bool,
}

/// Merges a 304 into the object that it confirms, and stores the result (RFC 9111 sections 3.2 and 4.3.4). One of another version
/// confirms nothing.
pub(super) async fn confirm<St: Store>(
    storing: &Storing<St>,
    object: &Object,
    part: Part,
    not_modified: &HeaderMap,
) -> Confirmed {
    let old = object.head();
    let mut fields = old.headers.clone();
    for name in APPENDED_SLOTS {
        fields.remove(name);
    }
    let mut update = not_modified.clone();
    // A 304 without a date is of now, whatever date is stored.
    if let Entry::Vacant(date) = update.entry(header::DATE)
        && let Some(received) = http_date(storing.shared().clock.now())
    {
        date.insert(received);
    }
    merge_not_modified(&mut fields, update);
    let judged = storing.judge(old.status, &fields);
    storing.restrict(&mut fields);
    let store = &storing.shared().store;
    let key = storing.key();
    let expected = Expected::Version(object.version());
    if conditional::is_of_another_version(not_modified, &old.headers) {
        // The same question might get the same answer for ever: the next one is for the whole. What one with credentials is
        // told is left alone, for others.
        tracing::debug!(%key, "a 304 is of another version than was asked about");
        let shareable = !judged.is_err_and(Refusal::is_of_request);
        if shareable {
            let _removed = store.swap(key, part, expected, None).await;
        }
        return Confirmed {
            object: object.clone(),
            stored: false,
            shareable,
            is_other: true,
        };
    }
    match judged {
        Ok(accepted) => {
            let mut head = storing.head(old.status, &fields, &accepted);
            head.upstream_status = head.upstream_status.or_else(|| old.upstream_status.clone());
            if storing.said_tags(not_modified).is_empty() {
                head.tags = old.tags.clone();
            }
            let shareable = accepted.usable;
            let confirmed = object.with_head(head);
            let shared = storing.shared();
            // What was invalidated meanwhile stays gone, whatever its validator says.
            let stored = if standing(shared, object) == Standing::Gone {
                false
            } else if Vary::of(&old.headers) == Vary::of(&fields) {
                let record = Some(Record::Object(confirmed.clone()));
                let swapped = store
                    .swap(key, part, expected, record)
                    .await
                    .unwrap_or(false);
                if swapped {
                    storing.redate(part, &fields).await;
                }
                swapped
            } else {
                // It is for other requests than those that its place is for.
                let removed = store.swap(key, part, expected, None).await;
                removed.unwrap_or(false) && storing.place(confirmed.clone(), part, &fields).await
            };
            match shareable {
                true if stored => shared.uncacheable.lift(key),
                true => {}
                false => shared.mark_uncacheable(key),
            }
            tracing::debug!(%key, stored, "confirmed by the origin");
            Confirmed {
                object: confirmed,
                stored,
                shareable,
                is_other: false,
            }
        }
        Err(refusal) => {
            // This answer is confirmed all the same. What the answer forbids isn't kept any longer; what only this request
            // forbids is left for others.
            tracing::debug!(%key, reason = refusal.as_str(), "a 304 forbids what was stored");
            if !refusal.is_of_request() {
                let _removed = store.swap(key, part, expected, None).await;
            }
            let (headers, upstream_status) = own_fields::with_places(&fields, &[]);
            let head = Head {
                headers,
                upstream_status,
                freshness: storing.validated(&fields, old.freshness),
                ..old.clone()
            };
            Confirmed {
                object: object.with_head(head),
                stored: false,
                shareable: false,
                is_other: false,
            }
        }
    }
}

/// Compares a 200 to a `HEAD` with what a `GET` would get of the store: freshens that, or makes it stale (RFC 9111 section 4.3.5).
///
/// What came after the `HEAD` went out is newer than its answer, and what this request alone must not have kept says nothing of
/// what others get.
pub(super) async fn described<St: Store>(storing: &Storing<St>, fields: &HeaderMap) {
    let (shared, settings, key) = (storing.shared(), storing.settings(), storing.key());
    let policy = settings.policy.freshness();
    let refused = storing.judge(StatusCode::OK, fields).err();
    if !policy.heads_update() || refused.is_some_and(Refusal::is_of_request) {
        return;
    }
    let mut look_up = LookUp::again(&shared.store, key);
    let wanted = Wanted {
        settings,
        method: &Method::HEAD,
        headers: storing.request(),
        accept_encoding: None,
    };
    poll_fn(|cx| look_up.poll(cx, &shared.store, key, wanted)).await;
    // What is there in parts isn't one record that a head belongs to.
    let part = look_up.part;
    let Some(object) = look_up.object.filter(|_| !look_up.is_partial) else {
        return;
    };
    let old = object.head();
    let is_newer = old.freshness.received_at > storing.requested_at();
    if is_newer || standing(shared, &object) == Standing::Gone {
        return;
    }
    if conditional::describes(fields, old.status, &old.headers, object.body().length()) {
        confirm(storing, &object, part, fields).await;
        return;
    }
    tracing::debug!(%key, "a HEAD says that it changed: stale from now on");
    let now = shared.clock.now();
    let head = Head {
        // Since a soft invalidation, if there was one: that stands in the object's stamp, which the store doesn't keep.
        freshness: times(shared, &object, now).stale_since(now),
        ..old.clone()
    };
    let stale = Record::Object(object.with_head(head));
    // Where it was replaced meanwhile, the `HEAD` was about something older.
    let _swapped = shared
        .store
        .swap(key, part, Expected::Version(object.version()), Some(stale))
        .await;
}
