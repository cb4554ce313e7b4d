//! Field names as one byte each.

use foldhash::fast::RandomState;
use http::{HeaderName, header};
use std::{collections::HashMap, sync::LazyLock};

/// A name has the number of its place, counted from 1. Part of the format of records: another name is another version of it.
static NAMES: [HeaderName; 64] = [
    header::AGE,
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("x-cache"),
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CACHE_CONTROL,
    header::ETAG,
    header::LAST_MODIFIED,
    header::DATE,
    header::SERVER,
    header::ACCEPT_RANGES,
    header::VARY,
    header::CONTENT_ENCODING,
    header::EXPIRES,
    header::VIA,
    header::LOCATION,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::LINK,
    header::ALLOW,
    header::ALT_SVC,
    header::RETRY_AFTER,
    header::TRAILER,
    header::PRAGMA,
    header::WARNING,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
    header::X_DNS_PREFETCH_CONTROL,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
    header::REFERRER_POLICY,
    header::REFRESH,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("permissions-policy"),
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-embedder-policy"),
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-amz-request-id"),
    HeaderName::from_static("x-amz-id-2"),
    HeaderName::from_static("x-amz-version-id"),
    HeaderName::from_static("x-amz-server-side-encryption"),
    HeaderName::from_static("x-amz-meta-mtime"),
    HeaderName::from_static("x-robots-tag"),
];

/// The number of a name that has one.
pub(super) fn number(name: &HeaderName) -> Option<u8> {
    static NUMBERS: LazyLock<HashMap<HeaderName, u8, RandomState>> =
        LazyLock::new(|| NAMES.iter().cloned().zip(1..).collect());
    NUMBERS.get(name).copied()
}

/// The name with a number.
pub(super) fn name(number: u8) -> Option<HeaderName> {
    NAMES.get(usize::from(number).checked_sub(1)?).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_number_of_its_own() {
        for known in &NAMES {
            assert_eq!(number(known).and_then(name).as_ref(), Some(known));
        }
        assert_eq!((name(0), name(255)), (None, None));
        assert_eq!(number(&HeaderName::from_static("x-other")), None);
    }
}
