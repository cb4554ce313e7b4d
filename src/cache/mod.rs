//! The cache: a layer that answers from what it stored, and fetches what it hasn't, once.
//!
//! # A request's way
//!
//! ```text
//! request ─▶ bypass? (method, upgrade, body, two Hosts, precondition, bypass_if) ──▶ inner service, inline
//!    ▼ key          KeyPolicy::key
//!    ▼ look up      Store::get, and the variant that Vary selects
//!    ▼ judge        freshness::assess
//!    │    fresh ────────────────────▶ 304, 206, 416 or the whole ─▶ response
//!    ▼ collapse     lead a fetch, or follow the one under way
//!    ▼ fetch        a task of its own: it outlives the viewer that started it
//!    ▼ head         freshness::storable; each follower judges the head against its own request
//!    ▼ fill         the store's writer takes the body, every reader reads what is written
//!    ▼ respond
//! ```
//!
//! Who follows a fetch waits for its head for [`collapse_timeout`](crate::CacheCoreBuilder::collapse_timeout), 30 s; then one of those
//! who wait asks once more, which is logged, and the others wait for both. For a service that may take longer, set it higher.
//!
//! # What runs alone
//!
//! Some requests run inline, neither collapsed nor in a task, so that they behave as without a cache: those for keys
//! that are known not to be stored (for two minutes), those with credentials or `no-store` when nothing usable is stored and no fetch is
//! under way, ranges of what isn't stored nor under way, and in the CloudFront profiles those with conditions. Their answers are
//! stored all the same if they may be, when they end whole.
//!
//! Requests that aren't the cache's business pass through untouched, but for a `Host` that contradicts the target: methods other than `GET` and `HEAD`, upgrades,
//! requests with a body, with two `Host` lines, with `If-Match` or `If-Unmodified-Since`, and what
//! [`bypass_if`](CacheLayer::bypass_if) names.
//!
//! # Ranges
//!
//! Ranges are cut from what is stored, and from what is on its way: who wants the end waits for the end only. A range of
//! anything else is forwarded, and what comes as a 206 is kept as a part: parts that share a strong validator answer
//! together (RFC 9111 section 3.4), in the end the whole; `bytes=0-`, which is the whole by another name, is fetched as such, but in the
//! CloudFront profiles. A 200, 404 or 410 is stored as the answer to any request; another
//! status isn't, since the range may have caused it. [`RangeMiss`](crate::RangeMiss) has the whole fetched instead.
//!
//! # Errors
//!
//! What fails inside becomes a response: 500 for a panic, 504 for no head within `fetch_timeout`. An error of the inner service
//! goes to the one who led the fetch, as it is; the others get a 502. A 5xx that isn't stored answers those who wait
//! for it already, so that a dying service isn't hammered: unless it says `no-store`, `no-cache` or `private`, sets a cookie,
//! or the request carries `Cookie` or `Authorization`.
//!
//! # Stale answers
//!
//! Within `stale-while-revalidate` a stale response answers at once, and one fetch per key refreshes it, which outlives the
//! viewer that started it. Within `stale-if-error` it stands in for an error of the origin: the request that found the origin
//! failing gets it, and all who ask in the next [`stale_retry`](crate::CachePolicy::stale_retry), without another question
//! to the origin. A refresh that fails isn't tried again in that time either, and its error replaces nothing that is still used.
//! [`CachePolicy`](crate::CachePolicy) sets the windows for responses that don't.
//!
//! # Validation
//!
//! What is stale is asked about by its own validators, and a 304 freshens it. One whose `Last-Modified` is another than the stored
//! one's, and its `ETag`, too, if one is stored, is of another version (an older server behind the same name answers so): it freshens nothing
//! (RFC 9111 section 4.3.4), and what is stored goes, so that the next one fetches the whole (but where one with credentials asked, and it
//! may still be used). An `Origin` asks for that at once,
//! and another cache in the same process answers with it, by a mark in the request's extensions: a layer between that builds requests
//! of its own copies them. Where another service answers so, this request gets what is stored while that is fresh or within its windows
//! (`detail=stale-if-error`), and else a 502.
//!
//! # HEAD
//!
//! A `HEAD` is answered from a stored `GET`, and follows one under way. One that reaches the origin as such stores nothing;
//! but in the RFC profiles a 200 to it is compared with what is stored for a `GET` (RFC 9111 section 4.3.5): where `ETag`,
//! `Last-Modified` and `Content-Length` agree, as far as it has them, it freshens that like a 304, and else that is stale from
//! then on. It says nothing of what was invalidated, of what came after it went out, and of what others get where its own
//! request has credentials, or `no-store`.
//!
//! # Order of layers
//!
//! Outermost first: compression, cache, timeouts and limits, the service. A compression layer *below* the cache is
//! run once per stored variant, one *above* it once per response. `Cache` is always ready and calls a fresh clone of the inner
//! service when it needs one, so limits belong below it: a hit never queues. (axum applies the layers of a router anew for
//! requests in places: a limit there must be a global one.)
//!
//! In axum, a layer of a [`Router`](https://docs.rs/axum/latest/axum/struct.Router.html) sees requests that match
//! no route, too, and caches the 404 if that says it may be. Below a `nest` the path is stripped: with the feature
//! `axum` the key is made of the original URI, else set [`KeyPolicy::uri_from`](crate::key::KeyPolicy::uri_from): without
//! either, one layer below two `nest`s takes their equal paths for one.
//!
//! # Extensions
//!
//! The request reaches the inner service with its extensions. Those of its response reach the viewer that led the
//! fetch (or ran alone), not its followers, and are not stored.
//!
//! An [`OriginFailure`](crate::origin::OriginFailure) reaches the followers, too: it says why the answer is none of the origin's.
//!
//! # Runtime
//!
//! A fetch is a tokio task. Without a tokio runtime, a request that must be fetched panics in `tokio::spawn`.

mod asked;
mod block;
mod carry;
mod confirm;
mod core;
mod extent;
mod fetch;
mod flight;
mod flow;
mod future;
mod index;
mod layer;
mod looked_up;
mod lookup;
mod marks;
mod nested;
mod own_fields;
mod partial;
mod passing;
mod piece;
mod respond;
mod sent;
mod service;
mod settings;
mod spawn;
mod stale;
mod storing;
mod wait;

pub use self::core::{CacheCore, CacheCoreBuilder, OverMaxFetches};
pub use future::CacheFuture;
pub use layer::CacheLayer;
pub use service::Cache;

pub(crate) use looked_up::LookedUp;
pub(crate) use piece::{AskedFor, key_of};
pub(crate) use respond::cut;
