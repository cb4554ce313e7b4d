//! The URI as it was sent, where a router of axum took a prefix off.

use http::{Extensions, Uri};

/// The URI before a router took a prefix off, if it says so, else the request's own.
#[inline]
#[cfg_attr(
    not(feature = "axum"),
    allow(unused_variables, reason = "only axum says so")
)]
pub(crate) fn as_sent<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = extensions.get() {
        return original;
    }
    uri
}

/// Changes it as the request's own was changed.
pub(crate) fn change(extensions: &mut Extensions, change: impl Fn(&mut Uri)) {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = extensions.get_mut() {
        change(original);
    }
    #[cfg(not(feature = "axum"))]
    let _ = (extensions, change);
}

/// For a request that goes to somebody else: what was sent to us isn't what is sent now, and a service in the process would
/// take it for that.
pub(crate) fn forget(extensions: &mut Extensions) {
    #[cfg(feature = "axum")]
    extensions.remove::<axum::extract::OriginalUri>();
    #[cfg(not(feature = "axum"))]
    let _ = extensions;
}
