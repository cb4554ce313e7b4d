//! At the origin: whom it lets in.
//!
//! What can't be hidden is closed: an origin that the whole world can reach answers nobody but the edge in front of it. Each of these
//! layers is put around the origin's own service, outermost, and what it doesn't let in is answered with an empty 403 before
//! anything else sees it. That answer says `Cache-Control: no-store`, and holds the reason as an extension, which isn't sent. It
//! is logged (`tracing`, level `INFO`), with the request's method and path, without its query, and, where they are known, with
//! the other end of the connection and the id of the access key that the request names.
//!
//! | layer | lets in | good for |
//! |---|---|---|
//! | [`RequireSecretHeaderLayer`] | who knows a secret | CloudFront's pattern of a custom header; over TLS only, since whoever reads it has it |
//! | [`RequireSigV4Layer`] | who has an access key, and sent just this request | what [`SignLayer`](crate::origin::SignLayer) and the SDKs of AWS sign |
//! | [`RequirePrefixLayer`] | who comes from known addresses | beside one of the others: an address alone proves little |
//!
//! They can be stacked. The cheapest goes outermost: prefix, then secret, then signature. All are always ready, and make a request wait
//! for the inner service only once it is let in: what limits the load of the service belongs below them.
//!
//! ```
//! use axum::{Router, routing::get};
//! use frontage::guard::{RequirePrefixLayer, RequireSecretHeaderLayer};
//!
//! let app: Router = Router::new()
//!     .route("/", get(|| async { "for the edge" }))
//!     .layer(RequireSecretHeaderLayer::new("x-origin-verify", ["kTwfMfJsdbLfzgGBjp7aZQx2"])?)
//!     .layer(RequirePrefixLayer::new(["10.0.0.0/8", "2001:db8::/32"])?);
//! # Ok::<(), frontage::ConfigError>(())
//! ```
//!
//! In axum, `Router::layer` doesn't close what is added to the router after it, and does close its fallback.

mod future;
mod prefix;
mod refusal;
mod secret_header;
mod sigv4;

pub use crate::sigv4::SigV4Refusal;
pub use future::GuardFuture;
pub use prefix::{AdmittedAddress, PrefixRefusal, RequirePrefix, RequirePrefixLayer};
pub use secret_header::{
    MatchedSecret, RequireSecretHeader, RequireSecretHeaderLayer, SecretHeaderRefusal,
};
pub use sigv4::{
    FoundCredentials, LookUpCredentials, RequireSigV4, RequireSigV4Future, RequireSigV4Layer,
    SigV4Body, SignedBy,
};
