//! What `Authorization` says, read from strangers.

use super::signer::ALGORITHM;
use http::HeaderName;
use std::fmt;

/// The longest value that is read, in bytes.
const LONGEST: usize = 8 << 10;
/// The longest access key id, in bytes: AWS's are at most 128 long.
const LONGEST_ID: usize = 128;
/// How many fields may be signed.
const MOST_FIELDS: usize = 64;

/// The `Authorization` of a signed request, as [`authorization`](super::authorization) writes it: who says to have signed what.
/// Nothing of it is proven.
///
/// `Display` writes the value. The signature isn't in `Debug`: until it is too old, whoever has it can send the request again.
///
/// ```
/// use frontage::sigv4::Authorization;
///
/// let value = format!(
///     "AWS4-HMAC-SHA256 Credential=AKID/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
///     "0".repeat(64),
/// );
/// let read = Authorization::parse(value.as_bytes()).ok_or("not one")?;
/// assert_eq!((read.access_key_id(), read.day()), ("AKID", "20130524"));
/// assert_eq!((read.region(), read.service()), ("us-east-1", "s3"));
/// assert_eq!(read.signed_headers(), ["host", "x-amz-date"]);
/// assert_eq!(read.to_string(), value);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    access_key_id: String,
    day: String,
    region: String,
    service: String,
    signed_headers: Vec<HeaderName>,
    signature: String,
}

impl Authorization {
    /// Reads a value. `None` for anything else than the algorithm, then `Credential`, `SignedHeaders` and `Signature`, each once,
    /// with commas between them.
    ///
    /// The names of signed fields must be in lower case and in order, at most 64 of them, and the signature in lower-case hex. A
    /// value is at most 8 KiB long, the access key's id at most 128 bytes.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.len() > LONGEST {
            return None;
        }
        let value = std::str::from_utf8(value).ok()?;
        let value = value.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let [mut credential, mut signed_headers, mut signature] = [None; 3];
        for piece in value.split(',') {
            let (name, text) = piece.trim_matches(' ').split_once('=')?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return None,
            };
            if place.replace(text).is_some() {
                return None;
            }
        }
        // From the end: an id may hold a slash.
        let mut scope = credential?.rsplitn(5, '/');
        scope.next().filter(|end| *end == "aws4_request")?;
        let (service, region, day) = (scope.next()?, scope.next()?, scope.next()?);
        let access_key_id = scope.next()?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let signature = signature.filter(|text| text.len() == 64 && text.bytes().all(is_hex))?;
        let is_valid = [service, region, access_key_id]
            .iter()
            .all(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
            && access_key_id.len() <= LONGEST_ID
            && day.len() == 8
            && day.bytes().all(|byte| byte.is_ascii_digit());
        is_valid.then_some(())?;
        Some(Self {
            access_key_id: access_key_id.to_owned(),
            day: day.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: names(signed_headers?)?,
            signature: signature.to_owned(),
        })
    }

    /// The id of the access key that signed.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The day of the scope, `YYYYMMDD`; maybe no day of the calendar.
    #[must_use]
    pub fn day(&self) -> &str {
        &self.day
    }

    /// The region of the scope.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The service of the scope.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The names of the signed fields, in order, each once.
    #[must_use]
    pub fn signed_headers(&self) -> &[HeaderName] {
        &self.signed_headers
    }

    /// The signature, in lower-case hex. Compare it in constant time.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }
}

fn names(list: &str) -> Option<Vec<HeaderName>> {
    let mut names: Vec<HeaderName> = Vec::new();
    for text in list.split(';') {
        let name = HeaderName::from_bytes(text.as_bytes()).ok()?;
        let is_next = names.last().is_none_or(|last| last.as_str() < text);
        if name.as_str() != text || !is_next || names.len() == MOST_FIELDS {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            access_key_id,
            day,
            region,
            service,
            signed_headers,
            signature,
        } = self;
        let names: Vec<&str> = signed_headers.iter().map(HeaderName::as_str).collect();
        let names = names.join(";");
        write!(
            f,
            "{ALGORITHM} Credential={access_key_id}/{day}/{region}/{service}/aws4_request, \
             SignedHeaders={names}, Signature={signature}"
        )
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("access_key_id", &self.access_key_id)
            .field("day", &self.day)
            .field("region", &self.region)
            .field("service", &self.service)
            .field("signed_headers", &self.signed_headers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";

    fn value(credential: &str, signed: &str, signature: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"
        )
    }

    fn parse(value: &str) -> Option<Authorization> {
        Authorization::parse(value.as_bytes())
    }

    #[test]
    fn what_is_read_is_written_in_the_same_way() {
        for credential in [
            "AKID/20130524/us-east-1/s3/aws4_request",
            "a/b=c/20130524/r/s/aws4_request",
        ] {
            let value = value(credential, "host;x-amz-date", SIGNATURE);
            let read = parse(&value).unwrap();
            assert_eq!(read.to_string(), value);
            let shown = format!("{read:?}");
            assert!(shown.contains("x-amz-date") && !shown.contains(SIGNATURE));
        }
    }

    #[test]
    fn the_three_may_come_in_any_order_with_or_without_spaces() {
        let expected = parse(&value("a/20130524/r/s/aws4_request", "host", SIGNATURE)).unwrap();
        let other = format!(
            "AWS4-HMAC-SHA256   Signature={SIGNATURE},SignedHeaders=host ,  Credential=a/20130524/r/s/aws4_request "
        );
        assert_eq!(parse(&other), Some(expected));
    }

    #[test]
    fn anything_else_is_none() {
        let good = "a/20130524/r/s/aws4_request";
        assert!(parse(&value(good, "host", SIGNATURE)).is_some());
        let (upper, short) = (SIGNATURE.to_uppercase(), &SIGNATURE[1..]);
        for value in [
            String::new(),
            "Basic YTpi".to_owned(),
            "AWS4-HMAC-SHA256".to_owned(),
            "AWS4-HMAC-SHA256 ".to_owned(),
            value(good, "host", SIGNATURE).replace("HMAC-SHA256", "ECDSA-P256-SHA256"),
            value(good, "host", SIGNATURE).replace("AWS4", "aws4"),
            value(good, "host", SIGNATURE).replace("256 C", "256C"),
            value(good, "host", SIGNATURE) + ",",
            value(good, "host", SIGNATURE) + ", Signature=" + SIGNATURE,
            value(good, "host", SIGNATURE) + ", Other=1",
            value(good, "host", SIGNATURE).replace(", Signature=", ", signature="),
            value(good, "host", &upper),
            value(good, "host", short),
            value(good, "host", &format!("{SIGNATURE}0")),
            value(good, "", SIGNATURE),
            value(good, "Host", SIGNATURE),
            value(good, "host;host", SIGNATURE),
            value(good, "x-amz-date;host", SIGNATURE),
            value(good, "host;", SIGNATURE),
            value(good, "host;b\u{e4}", SIGNATURE),
            value("20130524/r/s/aws4_request", "host", SIGNATURE),
            value("/20130524/r/s/aws4_request", "host", SIGNATURE),
            value("a b/20130524/r/s/aws4_request", "host", SIGNATURE),
            value("a/2013052/r/s/aws4_request", "host", SIGNATURE),
            value("a/2013052x/r/s/aws4_request", "host", SIGNATURE),
            value("a/20130524//s/aws4_request", "host", SIGNATURE),
            value("a/20130524/r//aws4_request", "host", SIGNATURE),
            value("a/20130524/r/s/aws4_reques", "host", SIGNATURE),
        ] {
            assert_eq!(parse(&value), None, "{value}");
        }
        assert_eq!(Authorization::parse(b"AWS4-HMAC-SHA256 \xff"), None);
    }

    #[test]
    fn what_strangers_can_make_long_has_bounds() {
        let scope = "20130524/r/s/aws4_request";
        let id = |length| {
            value(
                &format!("{}/{scope}", "a".repeat(length)),
                "host",
                SIGNATURE,
            )
        };
        assert!(parse(&id(LONGEST_ID)).is_some());
        assert!(parse(&id(LONGEST_ID + 1)).is_none());

        let signed = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("a{number:03}")).collect();
            value(&format!("a/{scope}"), &names.join(";"), SIGNATURE)
        };
        assert!(parse(&signed(MOST_FIELDS)).is_some());
        assert!(parse(&signed(MOST_FIELDS + 1)).is_none());

        let padded = |length: usize| {
            let value = value(&format!("a/{scope}"), "host", SIGNATURE);
            let spaces = " ".repeat(length - value.len());
            value + &spaces
        };
        assert!(parse(&padded(LONGEST)).is_some());
        assert!(parse(&padded(LONGEST + 1)).is_none());
    }
}
