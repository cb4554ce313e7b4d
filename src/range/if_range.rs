//! `If-Range` (RFC 9110 section 13.1.5).

use crate::{
    conditional::{is_strong_tag, only, strong_date},
    headers::parse_http_date,
};
use http::{HeaderMap, header};

/// Strong comparison for an entity tag; for a date, the very `Last-Modified`, if that is a strong
/// validator: at least a second before `Date` (RFC 9110 section 8.8.2.2).
///
/// A condition that can't be read, or is given more than once, doesn't hold: the whole is always right.
pub(super) fn holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if !request.contains_key(header::IF_RANGE) {
        return true;
    }
    let Some(condition) = only(request, &header::IF_RANGE) else {
        return false;
    };
    if is_strong_tag(condition) {
        return only(stored, &header::ETAG) == Some(condition);
    }
    let asked = parse_http_date(condition);
    asked.is_some() && asked == strong_date(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const OLD: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
    const NEW: &str = "Thu, 01 Jan 2026 00:00:01 GMT";

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn tags_are_compared_strongly() {
        for (condition, etag, expected) in [
            ("\"a\"", "\"a\"", true),
            ("\"\"", "\"\"", true),
            ("\"a, b\"", "\"a, b\"", true),
            ("\"a\"", " \t\"a\" ", true),
            (" \"a\"\t", "\"a\"", true),
            ("\"a\"", "\"b\"", false),
            ("\"a\"", "\"A\"", false),
            ("\"a\"", "\" a\"", false),
            ("\"a\"", "W/\"a\"", false),
            ("W/\"a\"", "W/\"a\"", false),
            ("W/\"a\"", "\"a\"", false),
            ("w/\"a\"", "w/\"a\"", false),
            ("\"a\", \"b\"", "\"a\", \"b\"", false),
            ("*", "*", false),
            ("a", "a", false),
            ("\"", "\"", false),
            ("\"a", "\"a", false),
            ("", "", false),
        ] {
            assert_eq!(
                holds(&map(&[("if-range", condition)]), &map(&[("etag", etag)])),
                expected,
                "{condition:?} {etag:?}"
            );
        }
        let condition = map(&[("if-range", "\"a\"")]);
        assert!(!holds(&condition, &map(&[])));
        assert!(!holds(
            &condition,
            &map(&[("etag", "\"a\""), ("etag", "\"b\"")])
        ));
        let twice = map(&[("if-range", "\"a\""), ("if-range", "\"b\"")]);
        assert!(!holds(&twice, &map(&[("etag", "\"a\"")])));
        assert!(holds(&map(&[]), &map(&[])));
    }

    #[test]
    fn a_date_holds_where_it_is_the_one_stored_and_a_strong_validator() {
        for (condition, modified, date, expected) in [
            (OLD, Some(OLD), Some(NEW), true),
            (
                "Thursday, 01-Jan-26 00:00:00 GMT",
                Some(OLD),
                Some(NEW),
                true,
            ),
            (OLD, Some(OLD), Some(OLD), false),
            (NEW, Some(OLD), Some(NEW), false),
            (OLD, Some(NEW), Some(NEW), false),
            (NEW, Some(NEW), Some(NEW), false),
            (OLD, Some(OLD), None, false),
            (OLD, None, Some(NEW), false),
            (OLD, None, Some(OLD), false),
            ("junk", Some("junk"), Some(NEW), false),
        ] {
            let mut stored = HeaderMap::new();
            for (name, value) in [(header::LAST_MODIFIED, modified), (header::DATE, date)] {
                if let Some(value) = value {
                    stored.insert(name, HeaderValue::from_static(value));
                }
            }
            // A tag that is there doesn't answer a date.
            stored.insert(header::ETAG, HeaderValue::from_static("\"a\""));
            assert_eq!(
                holds(&map(&[("if-range", condition)]), &stored),
                expected,
                "{condition} {modified:?} {date:?}"
            );
        }
    }
}
