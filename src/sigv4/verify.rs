//! Whether a request is signed as it came: what is read off it, and the proof.

use super::{
    AmzDate, Authorization, CONTENT_SHA256, CanonicalRequest, DATE, EMPTY_PAYLOAD, PathEncoding,
    SECURITY_TOKEN, Scope, SigningKey, UNSIGNED_PAYLOAD,
    canonical::{host_of, is_path_as_signed},
    string_to_sign,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, uri::Authority};
use subtle::ConstantTimeEq;

/// Why a request's signature doesn't let it in.
///
/// An extension of the 403 that answers it. Which of them it was isn't sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigV4Refusal {
    /// No `Authorization`, or several. A signature in the query (a presigned URL) isn't looked for.
    #[error("there isn't one Authorization")]
    NotSigned,
    /// `Authorization` is something else, or longer than is read: see [`Authorization::parse`].
    #[error("the Authorization can't be read as a signature")]
    Malformed,
    /// Signed for another region or service.
    #[error("signed for another region or service")]
    Scope,
    /// No `x-amz-date`, several, not a moment, or not on the day in `Authorization`.
    #[error("there isn't one x-amz-date of the day in Authorization")]
    Date,
    /// Signed too long ago, or in the future.
    #[error("signed at another time than now")]
    Skew,
    /// No host, several, or one that the request's target contradicts.
    #[error("there isn't one host")]
    Host,
    /// A field that must be signed isn't: `host`, or one of `x-amz-*`.
    #[error("{0} is not signed")]
    HeaderNotSigned(HeaderName),
    /// A field was signed that isn't there.
    #[error("{0} is signed, but not there")]
    HeaderMissing(HeaderName),
    /// The path isn't in the form in which it is signed, so that others have the same signature: `//`, `/./` or `/../`; for S3
    /// an encoding that isn't the canonical one.
    #[error("the path isn't in the form in which it is signed")]
    Path,
    /// The body isn't signed: `UNSIGNED-PAYLOAD`, where that isn't allowed.
    #[error("the body isn't signed")]
    UnsignedPayload,
    /// There is a body, but no `x-amz-content-sha256`; or several, or one that is no hash: `STREAMING-...` is refused.
    #[error("there isn't one x-amz-content-sha256 with a hash")]
    PayloadHash,
    /// The body isn't the one that was signed; known before it is read, since there is none, or there should be none.
    #[error("the body isn't the one that was signed")]
    Payload,
    /// Nobody has this access key, or it has expired.
    #[error("the access key is unknown, or has expired")]
    AccessKey,
    /// The session token is missing, is another one, or there should be none.
    #[error("the session token isn't that of the access key")]
    SessionToken,
    /// The signature is wrong: another secret, or something signed has been changed.
    #[error("the signature is wrong")]
    Signature,
}

/// What must be so in every signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    pub(crate) path: PathEncoding,
    pub(crate) takes_unsigned_payload: bool,
    /// In milliseconds.
    pub(crate) max_skew: u64,
}

/// A request as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) method: &'a Method,
    /// As it was on the wire, before any router took a prefix off.
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    /// The least and the greatest length that the body can have.
    pub(crate) length: (u64, Option<u64>),
}

/// What the body must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Unsigned,
    Sha256([u8; 32]),
}

/// That a request is signed: all is read and in its place, and proven it is by [`verify`](Self::verify).
#[derive(Clone)]
pub(crate) struct Claim {
    authorization: Authorization,
    date: AmzDate,
    canonical: CanonicalRequest,
    payload: Payload,
    token: Option<HeaderValue>,
}

impl Claim {
    /// What a request claims at `now`, in milliseconds since the Unix epoch. Needs no secret.
    pub(crate) fn of(
        request: Received<'_>,
        expected: &Expected<'_>,
        now: u64,
    ) -> Result<Self, SigV4Refusal> {
        let headers = request.headers;
        let authorization = one(headers, &header::AUTHORIZATION, SigV4Refusal::NotSigned)?
            .ok_or(SigV4Refusal::NotSigned)?;
        let authorization =
            Authorization::parse(authorization.as_bytes()).ok_or(SigV4Refusal::Malformed)?;
        if (authorization.region(), authorization.service()) != (expected.region, expected.service)
        {
            return Err(SigV4Refusal::Scope);
        }
        let date = one(headers, &DATE, SigV4Refusal::Date)?
            .and_then(|date| AmzDate::parse(date.as_bytes()))
            .filter(|date| date.day() == authorization.day())
            .ok_or(SigV4Refusal::Date)?;
        if date.millis().abs_diff(now) > expected.max_skew {
            return Err(SigV4Refusal::Skew);
        }
        one_host(headers, request.uri)?;
        all_that_must_be_are_signed(&request, &authorization)?;
        if !is_path_as_signed(request.uri.path(), expected.path) {
            return Err(SigV4Refusal::Path);
        }
        let (hash, payload) = payload(&request, expected)?;
        let canonical = CanonicalRequest::with_fields(
            request.method,
            request.uri,
            headers,
            authorization.signed_headers(),
            hash,
            expected.path,
        );
        Ok(Self {
            token: one(headers, &SECURITY_TOKEN, SigV4Refusal::SessionToken)?.cloned(),
            authorization,
            date,
            canonical,
            payload,
        })
    }

    /// Whose key is said to have signed.
    pub(crate) fn access_key_id(&self) -> &str {
        self.authorization.access_key_id()
    }

    /// The proof: what the body must be, if this is the secret, and the session token, of the one who signed.
    pub(crate) fn verify(
        &self,
        secret_access_key: &str,
        session_token: Option<&str>,
    ) -> Result<Payload, SigV4Refusal> {
        let scope = Scope {
            date: &self.date,
            region: self.authorization.region(),
            service: self.authorization.service(),
        };
        let key = SigningKey::derive(secret_access_key, &scope);
        let signature = key.sign(&string_to_sign(&self.canonical, &scope));
        // Both are 64 bytes long, and all of them are looked at.
        let is_right = signature
            .as_bytes()
            .ct_eq(self.authorization.signature().as_bytes());
        if !bool::from(is_right) {
            return Err(SigV4Refusal::Signature);
        }
        let is_of_key = match (&self.token, session_token) {
            (None, None) => true,
            // In constant time but for the length, which is no secret.
            (Some(sent), Some(token)) => sent.as_bytes().ct_eq(token.as_bytes()).into(),
            (None, Some(_)) | (Some(_), None) => false,
        };
        match is_of_key {
            true => Ok(self.payload),
            false => Err(SigV4Refusal::SessionToken),
        }
    }
}

/// The only line of a field, if there is one; several are refused.
fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    several: SigV4Refusal,
) -> Result<Option<&'a HeaderValue>, SigV4Refusal> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line),
        _ => Err(several),
    }
}

/// A target that names another host than the signed `Host` would be believed by whoever looks at that first.
fn one_host(headers: &HeaderMap, uri: &Uri) -> Result<(), SigV4Refusal> {
    let host = one(headers, &header::HOST, SigV4Refusal::Host)?.map(HeaderValue::as_bytes);
    let is_one = match (host, uri.authority()) {
        (_, Some(authority)) if !is_host_and_port(authority) => false,
        (None, authority) => authority.is_some(),
        (Some(host), None) => !host.is_empty(),
        (Some(host), Some(authority)) => {
            host.eq_ignore_ascii_case(authority.as_str().as_bytes())
                || host_of(uri).is_some_and(|of_uri| host.eq_ignore_ascii_case(&of_uri))
        }
    };
    match is_one {
        true => Ok(()),
        false => Err(SigV4Refusal::Host),
    }
}

/// Nothing else of an authority is signed: no name before an `@`, and no port that isn't a number.
fn is_host_and_port(authority: &Authority) -> bool {
    let rest = authority.as_str().strip_prefix(authority.host());
    match authority.port() {
        None => rest == Some(""),
        Some(port) => rest.and_then(|rest| rest.strip_prefix(':')) == Some(port.as_str()),
    }
}

fn all_that_must_be_are_signed(
    request: &Received<'_>,
    authorization: &Authorization,
) -> Result<(), SigV4Refusal> {
    let signed = authorization.signed_headers();
    let of_amz = request
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-"));
    for name in [&header::HOST].into_iter().chain(of_amz) {
        if !signed.contains(name) {
            return Err(SigV4Refusal::HeaderNotSigned(name.clone()));
        }
    }
    for name in signed {
        // The host may be in the target.
        if *name != header::HOST && !request.headers.contains_key(name) {
            return Err(SigV4Refusal::HeaderMissing(name.clone()));
        }
    }
    Ok(())
}

/// The text that was signed in place of the payload, and what it says.
fn payload<'a>(
    request: &Received<'a>,
    expected: &Expected<'_>,
) -> Result<(&'a [u8], Payload), SigV4Refusal> {
    let (least, most) = request.length;
    let text = match one(request.headers, &CONTENT_SHA256, SigV4Refusal::PayloadHash)? {
        Some(value) => value.as_bytes(),
        // Nothing says what was signed, and the body would have to be read before that is known.
        None if most != Some(0) => return Err(SigV4Refusal::PayloadHash),
        None => EMPTY_PAYLOAD.as_bytes(),
    };
    if text == UNSIGNED_PAYLOAD.as_bytes() {
        return match expected.takes_unsigned_payload {
            true => Ok((text, Payload::Unsigned)),
            false => Err(SigV4Refusal::UnsignedPayload),
        };
    }
    let hash = sha256_of_hex(text).ok_or(SigV4Refusal::PayloadHash)?;
    let is_of_nothing = text == EMPTY_PAYLOAD.as_bytes();
    if (is_of_nothing && least > 0) || (!is_of_nothing && most == Some(0)) {
        return Err(SigV4Refusal::Payload);
    }
    Ok((text, Payload::Sha256(hash)))
}

/// Lower-case hex.
fn sha256_of_hex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? * 16 + digit(*low)?;
    }
    Some(hash)
}
