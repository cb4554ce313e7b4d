//! How it is signed: dates, keys, signatures.

use super::canonical::{CanonicalRequest, hex};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A moment as `x-amz-date` has it, to the second.
///
/// ```
/// use frontage::sigv4::AmzDate;
///
/// let date = AmzDate::from_millis(1_369_353_600_999);
/// assert_eq!(date.as_str(), "20130524T000000Z");
/// assert_eq!(date.day(), "20130524");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmzDate(String);

impl AmzDate {
    /// The moment so many milliseconds after the Unix epoch; the last second of the year 9999 for all behind it.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        const LAST_SECOND: u64 = 253_402_300_799;
        let seconds = (millis / 1000).min(LAST_SECOND);
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Self(format!(
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
        ))
    }

    /// Reads a moment of the calendar, from 1970 on, in this form and no other. A leap second isn't one.
    ///
    /// ```
    /// use frontage::sigv4::AmzDate;
    ///
    /// let date = AmzDate::parse(b"20130524T000000Z");
    /// assert_eq!(date.map(|date| date.millis()), Some(1_369_353_600_000));
    /// assert_eq!(AmzDate::parse(b"20130229T000000Z"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let date = Self(text.to_owned());
        // What isn't in the calendar is written in another way.
        let is_one = date.seconds().is_some_and(|seconds| {
            Self::from_millis(seconds.saturating_mul(1000)).as_str() == text
        });
        is_one.then_some(date)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.seconds().unwrap_or_default().saturating_mul(1000)
    }

    fn seconds(&self) -> Option<u64> {
        let number = |from: usize, to: usize| {
            let digits = self.0.get(from..to)?;
            digits
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| digits.parse::<u64>().ok())?
        };
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
        let of_day = hour * 3600 + minute * 60 + second;
        Some(days_since_epoch(year, month, day)? * 86_400 + of_day)
    }

    /// `YYYYMMDD'T'HHMMSS'Z'`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `YYYYMMDD`.
    #[must_use]
    pub fn day(&self) -> &str {
        self.0.get(..8).unwrap_or_default()
    }
}

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that a leap day ends its year, in eras of 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil`]; `None` before 1970. Of what isn't in the calendar, some day.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (year / 400, year % 400);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day.checked_sub(1)?;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

/// What a signature is good for: one day, one region, one service.
///
/// Displayed as in `Credential`: `20130524/us-east-1/s3/aws4_request`.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The moment of signing.
    pub date: &'a AmzDate,
    /// The region's name, such as `us-east-1`.
    pub region: &'a str,
    /// The service's name, such as `s3`.
    pub service: &'a str,
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.date.day();
        write!(f, "{day}/{}/{}/aws4_request", self.region, self.service)
    }
}

/// What a [`SigningKey`] signs: the moment, the scope and the hash of the canonical request.
#[must_use]
pub fn string_to_sign(canonical: &CanonicalRequest, scope: &Scope<'_>) -> String {
    let (date, hash) = (scope.date.as_str(), canonical.hash());
    format!("{ALGORITHM}\n{date}\n{scope}\n{hash}")
}

/// The value of `Authorization`.
#[must_use]
pub fn authorization(
    access_key_id: &str,
    scope: &Scope<'_>,
    canonical: &CanonicalRequest,
    signature: &str,
) -> String {
    let signed_headers = canonical.signed_headers();
    format!(
        "{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"
    )
}

/// The key for the day, the region and the service of a [`Scope`]. Overwritten when dropped, and not in `Debug`.
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    /// Derives it from the secret access key.
    #[must_use]
    pub fn derive(secret_access_key: &str, scope: &Scope<'_>) -> Self {
        let mut secret = Zeroizing::new(Vec::with_capacity(4 + secret_access_key.len()));
        secret.extend_from_slice(b"AWS4");
        secret.extend_from_slice(secret_access_key.as_bytes());
        let mut key = hmac(&secret, scope.date.day());
        for name in [scope.region, scope.service, "aws4_request"] {
            key = hmac(&*key, name);
        }
        Self(key)
    }

    /// The signature in lower-case hex.
    #[must_use]
    pub fn sign(&self, string_to_sign: &str) -> String {
        hex(&*hmac(&*self.0, string_to_sign))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

#[allow(clippy::expect_used, reason = "a key of HMAC may have any length")]
fn hmac(key: &[u8], message: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::{EMPTY_PAYLOAD, PathEncoding, UNSIGNED_PAYLOAD};
    use http::{Request, header};

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    /// The first vector of `spec/origins.md`, section 2: the one that Amazon publishes.
    #[test]
    fn the_published_example_of_s3() {
        let (parts, ()) = Request::get("https://examplebucket.s3.amazonaws.com/test.txt")
            .header("range", "bytes=0-9")
            .header("x-amz-content-sha256", EMPTY_PAYLOAD)
            .header("x-amz-date", "20130524T000000Z")
            .body(())
            .unwrap()
            .into_parts();
        let also = [header::RANGE];
        let canonical = CanonicalRequest::of(&parts, EMPTY_PAYLOAD, PathEncoding::Once, &also);
        let scope = Scope {
            date: &AmzDate::from_millis(1_369_353_600_000),
            region: "us-east-1",
            service: "s3",
        };
        let signature =
            SigningKey::derive(SECRET, &scope).sign(&string_to_sign(&canonical, &scope));
        assert_eq!(
            authorization("AKIAIOSFODNN7EXAMPLE", &scope, &canonical, &signature),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    /// The second one.
    #[test]
    fn a_session_token_an_encoded_path_and_an_unsigned_payload() {
        let uri = "https://amzn-s3-demo-bucket.s3.us-west-2.amazonaws.com/production/a%20b.html";
        let (parts, ()) = Request::get(uri)
            .header("x-amz-content-sha256", UNSIGNED_PAYLOAD)
            .header("x-amz-date", "20260102T030405Z")
            .header("x-amz-security-token", "EXAMPLETOKEN")
            .body(())
            .unwrap()
            .into_parts();
        let canonical = CanonicalRequest::of(&parts, UNSIGNED_PAYLOAD, PathEncoding::Once, &[]);
        assert_eq!(
            canonical.signed_headers(),
            "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
        );
        assert_eq!(
            canonical.hash(),
            "83583953e1adbe82c0bd30f987d5822a627289f968ea89e925d9ac0645171602"
        );
        let scope = Scope {
            date: &AmzDate::from_millis(1_767_323_045_000),
            region: "us-west-2",
            service: "s3",
        };
        assert_eq!(scope.date.as_str(), "20260102T030405Z");
        assert_eq!(
            SigningKey::derive(SECRET, &scope).sign(&string_to_sign(&canonical, &scope)),
            "a0e790eda0530c01271e7ab991b01deeb4ec3a329669da4e3e2e86109dee6e84"
        );
    }

    /// Against another calendar, in steps that meet every day of a leap cycle.
    #[test]
    fn dates_are_those_of_the_calendar() {
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        for day in (0..150_000).chain(2_932_000..2_932_897) {
            let millis = day * 86_400_000 + day % 86_400 * 1000 + 999;
            let http = crate::headers::http_date(millis).unwrap();
            // "Sun, 06 Nov 1994 08:49:37 GMT"
            let words: Vec<&str> = http.to_str().unwrap().split(' ').collect();
            let month = 1 + months.iter().position(|month| *month == words[2]).unwrap();
            let time = words[4].replace(':', "");
            let expected = format!("{}{month:02}{}T{time}Z", words[3], words[1]);
            assert_eq!(AmzDate::from_millis(millis).as_str(), expected);
            let read = AmzDate::parse(expected.as_bytes()).unwrap();
            assert_eq!(read.millis(), millis - 999);
        }
        assert_eq!(AmzDate::from_millis(u64::MAX).as_str(), "99991231T235959Z");
    }

    #[test]
    fn a_date_is_read_in_one_form_only() {
        assert!(AmzDate::parse(b"20240229T235959Z").is_some());
        for text in [
            "",
            "20240229T235959",
            "20240229T235959Zz",
            "20240229t235959Z",
            "20240229T235959z",
            "20230229T000000Z",
            "20240230T000000Z",
            "20240001T000000Z",
            "20241301T000000Z",
            "20240100T000000Z",
            "20240132T000000Z",
            "20240101T240000Z",
            "20240101T006000Z",
            "20240101T000060Z",
            "19691231T235959Z",
            "00000101T000000Z",
            "+0240101T000000Z",
            "2024-01-01T00:00:00Z",
            "202401\u{e9}1T00000Z",
        ] {
            assert_eq!(AmzDate::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(AmzDate::parse(b"2024\xff229T235959Z"), None);
    }

    #[test]
    fn a_key_is_not_in_debug() {
        let date = AmzDate::from_millis(0);
        let scope = Scope {
            date: &date,
            region: "r",
            service: "s",
        };
        let shown = format!("{:?}", SigningKey::derive(SECRET, &scope));
        assert_eq!(shown, "SigningKey { .. }");
    }
}
