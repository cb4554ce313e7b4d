//! Header fields as the rules need them: parsed once, odd forms included.
//!
//! Everything here is a function from bytes to values. What a field *means* for storing and
//! reusing a response is decided in [`freshness`](crate::freshness).

mod cache_control;
mod cdn_loop;
mod date;
mod fields;
#[cfg(feature = "origin")]
mod hit;
mod list;
mod request;
mod targeted;

pub use cache_control::{DeltaSeconds, Qualified, RequestDirectives, ResponseDirectives};
pub(crate) use cdn_loop::{CDN_LOOP, CdnInfo, hops, length_of_cdn_loop};
pub use date::{date_of, http_date, parse_http_date};
pub use fields::{
    APPENDED_SLOTS, CACHE_STATUS, X_CACHE, content_length, content_range, merge_not_modified,
    remove_hop_by_hop, remove_representation_metadata,
};
pub(crate) use fields::{is_transfer_coded, remove_from_trailers};
#[cfg(feature = "origin")]
pub(crate) use hit::says_hit;
pub use list::members;
pub use request::RequestFacts;
