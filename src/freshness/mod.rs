//! May a response be stored, for how long, and may it be used: RFC 9111 sections 3 and 4, and
//! CloudFront's table of TTLs, as pure functions.
//!
//! Two questions, each with an answer that carries its reason:
//! * [`storable`]: a response came. [`Storable`], or a [`Refusal`].
//! * [`assess`]: a request came, and there is a stored response. A [`Verdict`].
//!
//! Time is an argument: milliseconds since the Unix epoch, as [`Clock`](crate::clock::Clock) gives them.
//! Ages and lifetimes saturate, so that a clock that steps never makes one negative.
//!
//! ```
//! use frontage::freshness::{self, Exchange, FreshnessPolicy, Verdict};
//! use frontage::headers::RequestFacts;
//! use http::{HeaderMap, Method, StatusCode};
//!
//! let mut response = HeaderMap::new();
//! response.insert("cache-control", "max-age=60".parse()?);
//! let exchange = Exchange {
//!     method: &Method::GET,
//!     request: &RequestFacts::default(),
//!     status: StatusCode::OK,
//!     response: &response,
//!     requested_at: 1_000_000,
//!     received_at: 1_000_000,
//! };
//! let policy = FreshnessPolicy::default();
//! let stored = freshness::storable(&exchange, &policy).unwrap();
//! let verdict = |now| freshness::assess(&stored.freshness, &RequestFacts::default(), &policy, now);
//! assert_eq!(verdict(1_059_999), Verdict::Fresh);
//! assert!(matches!(verdict(1_060_000), Verdict::Revalidate(_)));
//! # Ok::<(), http::header::InvalidHeaderValue>(())
//! ```

mod age;
mod policy;
mod reuse;
mod storable;

pub use age::Freshness;
pub(crate) use age::corrected_initial_age;
pub use policy::FreshnessPolicy;
pub(crate) use policy::Keeps;
pub use reuse::{Forward, Verdict, assess, may_stand_in};
pub(crate) use storable::shareable;
pub use storable::{
    Exchange, Refusal, Storable, fields_of_one_viewer, is_lasting, is_shareable_error, storable,
};
