//! The layer: the secondary, and when it is asked.

use super::{Failover, FailoverCriteria};
use tower_layer::Layer;

/// Asks a second service, the secondary, for what the service below the layer, the primary, fails to answer.
///
/// It is CloudFront's origin failover:
///
/// * Each request goes to the primary first, however the last one went: failover is never sticky.
/// * A `GET`, `HEAD` or `OPTIONS` without a body that [fails](FailoverCriteria) there goes to the secondary: the same method,
///   URI, fields and (cloned) extensions. The viewer's conditions and a cache's validators go with it, and a 304 of the
///   secondary confirms like one of the primary.
/// * The secondary's answer is final, whatever it is.
/// * Every other request is the primary's alone: another method (gRPC is `POST`), and whatever has a body, which can't be sent
///   twice. A body is what isn't at its end when the request comes, such as a chunked one of no bytes.
/// * What failed is dropped before the secondary is asked, unread, so that it holds no connection and no place in a limit.
/// * Once the head of an answer is there, it stays with that: a body that fails later is the viewer's to see.
///
/// [`AnsweredBy`](super::AnsweredBy), an extension of each response, says who answered.
///
/// # Order of layers
///
/// Outermost first: cache, failover, signing, client. Both services answer with the same type of body and have the same type
/// of error. Below a [`Cache`](crate::Cache), the secondary is tried before a stale answer is served in place of an error
/// (`stale-if-error`), and whoever answers, it is stored under the same key.
///
/// [`Failover`] is always ready. It drives a clone of the primary to readiness, and one of the secondary only if that is
/// needed, so that a secondary at its limit holds nobody up whom the primary answers.
///
/// ```
/// use axum::{Router, body::Body, http::StatusCode, routing::get};
/// use frontage::origin::{AnsweredBy, FailoverCriteria, FailoverLayer};
/// use http::Request;
/// use tower::{Layer, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let primary: Router = Router::new().route("/", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
/// let secondary: Router = Router::new().route("/", get(|| async { "from the replica" }));
/// let criteria = FailoverCriteria::new([500, 502, 503, 504])?;
///
/// let service = FailoverLayer::new(secondary, criteria).layer(primary);
/// let response = service.oneshot(Request::get("/").body(Body::empty())?).await?;
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.extensions().get(), Some(&AnsweredBy::Secondary));
/// # Ok(()) }
/// ```
///
/// Both services get a `Request<`[`OptionalBody`](crate::OptionalBody)`<B>>` for a viewer's `Request<B>`: the secondary is asked
/// without a body. A service that takes one type of body only is wrapped by `tower`'s `map_request`.
#[derive(Clone, Debug)]
pub struct FailoverLayer<S> {
    secondary: S,
    criteria: FailoverCriteria,
}

impl<S> FailoverLayer<S> {
    /// Asks `secondary` by these criteria.
    #[must_use]
    pub fn new(secondary: S, criteria: FailoverCriteria) -> Self {
        Self {
            secondary,
            criteria,
        }
    }
}

impl<P, S: Clone> Layer<P> for FailoverLayer<S> {
    type Service = Failover<P, S>;

    fn layer(&self, primary: P) -> Failover<P, S> {
        Failover::new(primary, self.secondary.clone(), self.criteria)
    }
}
