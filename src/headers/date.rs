//! HTTP dates as milliseconds since the epoch.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, UNIX_EPOCH};

/// Reads an HTTP date (RFC 9110 section 5.6.7, all three formats) as milliseconds since the Unix
/// epoch. `None` for anything else, and for dates before 1970.
#[must_use]
pub fn parse_http_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Writes milliseconds since the Unix epoch as an HTTP date; `None` beyond the year 9999.
#[must_use]
pub fn http_date(millis: u64) -> Option<HeaderValue> {
    const YEAR_10000: u64 = 253_402_300_800_000;
    let time = (millis < YEAR_10000).then(|| UNIX_EPOCH + Duration::from_millis(millis))?;
    HeaderValue::from_str(&httpdate::fmt_http_date(time)).ok()
}

/// The date that the field `name` holds: `None` when the field is absent, `Some(None)` when it is
/// there but unreadable or given more than once with different values.
#[must_use]
pub fn date_of(headers: &HeaderMap, name: &HeaderName) -> Option<Option<u64>> {
    let mut values = headers.get_all(name).iter();
    let first = parse_http_date(values.next()?.as_bytes());
    for value in values {
        if parse_http_date(value.as_bytes()) != first {
            return Some(None);
        }
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_formats_name_the_same_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                parse_http_date(text.as_bytes()),
                Some(784_111_777_000),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "0", "-1", "tomorrow", "Thu, 01 Jan 1960 00:00:00 GMT"] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_http_date(b"Sun, 06 Nov 1994 08:49:37 \xff"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(
            http_date(784_111_777_999).unwrap(),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(parse_http_date(http_date(0).unwrap().as_bytes()), Some(0));
        assert_eq!(http_date(u64::MAX), None);
    }

    #[test]
    fn contradicting_lines_are_unreadable() {
        let mut headers = HeaderMap::new();
        assert_eq!(date_of(&headers, &http::header::EXPIRES), None);
        let date = "Sun, 06 Nov 1994 08:49:37 GMT"
            .parse::<http::HeaderValue>()
            .unwrap();
        headers.append(http::header::EXPIRES, date.clone());
        headers.append(http::header::EXPIRES, date);
        assert_eq!(
            date_of(&headers, &http::header::EXPIRES),
            Some(Some(784_111_777_000))
        );
        headers.append(http::header::EXPIRES, "0".parse().unwrap());
        assert_eq!(date_of(&headers, &http::header::EXPIRES), Some(None));
    }
}
