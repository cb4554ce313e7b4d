//! A follower's wait: for the flight that it joined and, where that takes too long, for the one that relieves it, too.

use super::{
    asked::Asked,
    flight::{FlightKey, FlightLanding, Outcome},
    lookup::Found,
};
use crate::{
    coalesce::{Follow, Joined},
    store::Store,
};
use std::{future::poll_fn, pin::Pin, task::Poll};

/// How many flights a follower sees take too long before it goes alone.
const MAX_RELIEFS: usize = 4;

/// What a wait came to.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart at once where it is made"
)]
pub(super) enum Waited {
    /// The flight ended so; `None`: its leader is gone.
    Told(Option<Outcome>),
    /// It took too long, and this one asks once more for all who still wait.
    Lead(FlightLanding),
    /// It took too long, and this one asks for nobody else.
    Alone,
}

impl<St: Store> Asked<St> {
    /// Waits. All who joined a flight have waited for too long at about the same time: the first of them leads another, which the
    /// rest follow beside the old one.
    pub(super) async fn wait(
        &self,
        mut follow: Follow<Outcome>,
        flight: &FlightKey,
        found: &Found,
        may_lead: bool,
    ) -> Waited {
        let shared = self.core.shared();
        let limit = shared.limits.collapse_timeout;
        let mut earlier = None;
        for _ in 0..MAX_RELIEFS {
            let told = first_of(&mut follow, &mut earlier);
            if let Ok(told) = tokio::time::timeout(limit, told).await {
                return Waited::Told(told);
            }
            let stands_in =
                matches!(found, Found::Validate(object, ..) if self.may_stand_in(object));
            if stands_in || !may_lead {
                return Waited::Alone;
            }
            match shared.flights.relieve(flight, &follow) {
                Joined::Follow(next) => earlier = Some(std::mem::replace(&mut follow, next)),
                Joined::Lead(landing) => {
                    tracing::warn!(key = %self.key, timeout = ?limit, "no head within collapse_timeout: asked once more for all who wait");
                    return Waited::Lead(landing);
                }
                Joined::Full => return Waited::Alone,
            }
        }
        Waited::Alone
    }
}

/// What the first of two flights to end is said to have come to. The failure of the earlier one isn't that of the other.
async fn first_of(
    follow: &mut Follow<Outcome>,
    earlier: &mut Option<Follow<Outcome>>,
) -> Option<Outcome> {
    poll_fn(|cx| {
        if let Poll::Ready(told) = Pin::new(&mut *follow).poll(cx) {
            return Poll::Ready(told);
        }
        let Some(Poll::Ready(told)) = earlier.as_mut().map(|old| Pin::new(old).poll(cx)) else {
            return Poll::Pending;
        };
        *earlier = None;
        match told {
            None | Some(Outcome::Failed(_)) => Poll::Pending,
            told => Poll::Ready(told),
        }
    })
    .await
}
