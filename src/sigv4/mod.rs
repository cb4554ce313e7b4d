//! AWS Signature Version 4 of a request, in its header fields: from values to values.
//!
//! [`CanonicalRequest`] says what is signed, [`string_to_sign`] binds that to a moment and a [`Scope`], a [`SigningKey`] signs
//! it, and [`authorization`] writes it down; [`Authorization`] reads that again. Who signs what on its way to an origin, and with which credentials, is the matter
//! of [`origin`](crate::origin).
//!
//! The example that Amazon publishes for S3:
//!
//! ```
//! use frontage::sigv4::{
//!     AmzDate, CanonicalRequest, EMPTY_PAYLOAD, PathEncoding, Scope, SigningKey, authorization, string_to_sign,
//! };
//!
//! let date = AmzDate::from_millis(1_369_353_600_000);
//! let request = http::Request::get("https://examplebucket.s3.amazonaws.com/test.txt")
//!     .header("range", "bytes=0-9")
//!     .header("x-amz-content-sha256", EMPTY_PAYLOAD)
//!     .header("x-amz-date", date.as_str())
//!     .body(())?;
//! let (parts, ()) = request.into_parts();
//!
//! let canonical = CanonicalRequest::of(&parts, EMPTY_PAYLOAD, PathEncoding::Once, &[http::header::RANGE]);
//! let scope = Scope { date: &date, region: "us-east-1", service: "s3" };
//! let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", &scope);
//! let signature = key.sign(&string_to_sign(&canonical, &scope));
//! assert_eq!(signature, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
//!
//! let value = authorization("AKIAIOSFODNN7EXAMPLE", &scope, &canonical, &signature);
//! assert!(value.contains("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "));
//! # Ok::<(), http::Error>(())
//! ```

mod authorization;
mod canonical;
mod signer;
mod verify;

pub use authorization::Authorization;
pub(crate) use canonical::{
    CONTENT_SHA256, DATE, SECURITY_TOKEN, canonical_value, is_never_signed,
};
pub use canonical::{
    CanonicalRequest, EMPTY_PAYLOAD, PathEncoding, UNSIGNED_PAYLOAD, canonical_path,
    canonical_query,
};
pub use signer::{AmzDate, Scope, SigningKey, authorization, string_to_sign};
pub use verify::SigV4Refusal;
pub(crate) use verify::{Claim, Expected, Payload, Received};
