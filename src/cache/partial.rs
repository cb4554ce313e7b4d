//! What a range request brought, on its way into the store (RFC 9111 sections 3.3 and 3.4).

use super::{
    extent::{Unlisted, is_gone},
    storing::{Storage, Storing},
};
use crate::{
    body::Tee,
    freshness::Refusal,
    headers::{content_length, content_range},
    status::Detail,
    store::{Extent, Head, Store, Version},
};
use http::{HeaderMap, StatusCode, header};

impl<St: Store> Storing<St> {
    /// Takes a copy of a 206 with one range that goes to its viewer inline, if it may be stored: as a 200 might. Gives its
    /// `ttl`, too.
    ///
    /// # Errors
    ///
    /// Why it isn't stored. Nothing, where it was invalidated, or the store failed.
    pub(super) async fn tee_extent(
        &self,
        response: &HeaderMap,
    ) -> Result<(Box<dyn Tee>, i64), Option<Detail>> {
        let announced = content_length(response);
        let (bytes, length) = content_range(response)
            .filter(|(bytes, _)| announced.is_none_or(|said| said <= bytes.end - bytes.start))
            .ok_or(Detail::NotStored(Refusal::Status))?;
        let mut whole = response.clone();
        whole.remove(header::CONTENT_RANGE);
        whole.insert(header::CONTENT_LENGTH, length.into());
        let accepted = self
            .judge(StatusCode::OK, &whole)
            .map_err(Detail::NotStored)?;
        self.restrict(&mut whole);
        let announced = announced.unwrap_or(bytes.end - bytes.start);
        let unlisted = Unlisted {
            extent: Extent {
                id: Version::random().id(),
                bytes,
            },
            length,
            head: self.head(StatusCode::OK, &whole, &accepted),
            variant: self.variant(&whole),
            request: self.request().clone(),
            order: self.list_order(),
        };
        let (shared, key) = (self.shared(), self.key());
        let spot = unlisted.spot(&shared.store, key).await.map_err(|error| {
            tracing::warn!(%key, error = &error as &dyn std::error::Error, "look-up failed: the part isn't stored");
            None
        })?;
        if is_gone(shared, &unlisted.head) {
            return Err(None);
        }
        if unlisted.is_outdone(shared, &spot) {
            return Err(Some(Detail::NotStored(Refusal::GoodAtHand)));
        }
        // Its own head says what it is of, and how long: the fields are in the list.
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(header::CONTENT_LENGTH, announced.into());
        let head = Head {
            status: StatusCode::PARTIAL_CONTENT,
            headers,
            ..unlisted.head.clone()
        };
        self.open_at(
            unlisted.part(),
            head,
            None,
            Some(announced),
            accepted.usable,
            Some(unlisted),
        )
        .ok()
        .and_then(Storage::into_tee)
        .map(|tee| (tee, accepted.freshness.ttl(shared.clock.now())))
        .ok_or(Some(Detail::NoRoom))
    }
}
