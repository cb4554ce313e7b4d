//! A 304 from the origin confirms what is stored.

use super::{CacheCore, lookup::standing, own_fields, storing::Storing};
use crate::{
    headers::{APPENDED_SLOTS, http_date, merge_not_modified},
    invalidation::Standing,
    key::Vary,
    store::{Expected, Head, Object, Part, Record, Store},
};
use http::{
    HeaderMap,
    header::{self, Entry},
};

/// What a 304 made of a stored object.
pub(super) struct Confirmed {
    pub(super) object: Object,
    pub(super) stored: bool,
    /// Others may use it, too.
    pub(super) shareable: bool,
}

/// Merges a 304 into the object that it confirms, and stores the result (RFC 9111 sections 3.2 and 4.3.4).
pub(super) async fn confirm<St: Store>(
    core: &CacheCore<St>,
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
        && let Some(received) = http_date(core.shared().clock.now())
    {
        date.insert(received);
    }
    merge_not_modified(&mut fields, update);
    let judged = storing.judge(old.status, &fields);
    storing.restrict(&mut fields);
    let store = &core.shared().store;
    let key = storing.key();
    match judged {
        Ok(accepted) => {
            let mut head = storing.head(old.status, &fields, &accepted);
            head.upstream_status = head.upstream_status.or_else(|| old.upstream_status.clone());
            if storing.tags(not_modified).is_empty() {
                head.tags = old.tags.clone();
            }
            let shareable = accepted.usable;
            let confirmed = object.with_head(head);
            let expected = Expected::Version(object.version());
            let shared = core.shared();
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
            }
        }
        Err(refusal) => {
            // This answer is confirmed all the same. What the answer forbids isn't kept any longer; what only this request
            // forbids is left for others.
            tracing::debug!(%key, reason = refusal.as_str(), "a 304 forbids what was stored");
            if !refusal.is_of_request() {
                let _removed = store
                    .swap(key, part, Expected::Version(object.version()), None)
                    .await;
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
            }
        }
    }
}
