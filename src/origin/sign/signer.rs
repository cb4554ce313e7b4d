//! Signs one attempt to reach an origin.

use super::{
    access_control::{OriginAccessControl, SigningBehavior},
    credentials::{Credentials, CredentialsError},
    host::{S3Host, region_of_host},
};
use crate::{
    clock::{Clock, SystemClock},
    error::ConfigError,
    original_uri,
    sigv4::{
        AmzDate, CONTENT_SHA256, CanonicalRequest, DATE, EMPTY_PAYLOAD, PathEncoding,
        SECURITY_TOKEN, Scope, SigningKey, UNSIGNED_PAYLOAD, authorization, canonical_path,
        canonical_value, is_never_signed, string_to_sign,
    },
};
use http::{HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts, uri::PathAndQuery};
use parking_lot::Mutex;
use std::{error::Error as StdError, fmt, sync::Arc};

/// The service that checks the signature, by the type of the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningService {
    /// A bucket, in S3 or in a store with its API. The path is encoded once and not normalised; a body isn't signed.
    S3,
    /// A Lambda function URL. The body must be signed.
    Lambda,
    /// AWS Elemental MediaStore. A body isn't signed.
    MediaStore,
    /// AWS Elemental MediaPackage v2. The body must be signed.
    MediaPackageV2,
    /// Any other, by the name in its signatures, such as `execute-api`: the standard form. The body must be signed.
    Named(String),
}

impl SigningService {
    /// The name in signatures.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::S3 => "s3",
            Self::Lambda => "lambda",
            Self::MediaStore => "mediastore",
            Self::MediaPackageV2 => "mediapackagev2",
            Self::Named(name) => name,
        }
    }

    /// The one that a host's name tells.
    #[must_use]
    pub fn of_host(host: &str) -> Option<Self> {
        if S3Host::parse(host).is_some() {
            return Some(Self::S3);
        }
        // Only names of AWS have a region.
        region_of_host(host)?;
        let has = |label: &str| {
            host.split('.')
                .any(|found| found.eq_ignore_ascii_case(label))
        };
        let known = [
            ("lambda-url", Self::Lambda),
            ("mediastore", Self::MediaStore),
            ("mediapackagev2", Self::MediaPackageV2),
        ];
        known
            .into_iter()
            .find_map(|(label, service)| has(label).then_some(service))
    }

    pub(crate) fn path_encoding(&self) -> PathEncoding {
        match self {
            Self::S3 => PathEncoding::Once,
            _ => PathEncoding::Twice,
        }
    }

    fn takes_unsigned_payload(&self) -> bool {
        matches!(self, Self::S3 | Self::MediaStore)
    }
}

/// Signs requests to one origin.
///
/// It sets `Authorization`, `x-amz-date`, `x-amz-content-sha256` and, for temporary credentials, `x-amz-security-token`;
/// those that a viewer sent don't survive, but for a payload's hash, which is signed as it is. Without one, no body is signed as
/// none, and a body passes unsigned where the service takes that. What is signed: see
/// [`CanonicalRequest::of`]; among it are **all** `x-amz-*` fields of the request. What a viewer may ask of the origin with
/// one of them (`x-amz-copy-source`), it asks in our name: forward none that isn't needed.
///
/// For [`SigningService::S3`] the path is also *sent* as [`canonical_path`] writes it. For S3 this is the same path (a `+` is a
/// space there), and stores that check signatures in other ways agree. With the feature `axum`, the `OriginalUri` of a
/// request that is signed is removed: it isn't what is sent.
///
/// The key that it derives from the credentials is kept for the day; clones share it.
///
/// ```
/// use frontage::origin::{Credentials, OriginAccessControl, Signer, SigningService};
///
/// # tokio_test::block_on(async {
/// let access_control = OriginAccessControl::always(Credentials::new("id", "secret"));
/// let signer = Signer::new(access_control, SigningService::S3, "assets.s3.eu-west-1.amazonaws.com", None)?;
/// assert_eq!(signer.region(), "eu-west-1");
///
/// let request = http::Request::get("https://assets.s3.eu-west-1.amazonaws.com/a%20b").body(())?;
/// let (mut parts, ()) = request.into_parts();
/// signer.sign(&mut parts, false).await?;
/// assert!(parts.headers["authorization"].to_str()?.contains("/eu-west-1/s3/aws4_request, "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Signer {
    settings: Arc<Settings>,
    /// The last one: it is derived anew on another day, or with other credentials.
    key: Arc<Mutex<Option<KeyOfDay>>>,
}

#[derive(Clone, Debug)]
struct Settings {
    access_control: OriginAccessControl,
    service: SigningService,
    region: String,
    also: Vec<HeaderName>,
    clock: Arc<dyn Clock>,
}

struct KeyOfDay {
    day: String,
    credentials: Credentials,
    key: SigningKey,
}

impl Signer {
    /// Signs requests to `host`, the origin's domain name.
    ///
    /// The region is the one in the domain name, where it has one. Otherwise it must be given; for the names of buckets
    /// without one, such as `assets.s3.amazonaws.com`, the default is `us-east-1`.
    ///
    /// # Errors
    ///
    /// For a website endpoint of S3, which checks no signatures; where the region is missing, is not the one in the domain
    /// name, or can't be one; and for a service's name that can't be one.
    pub fn new(
        access_control: OriginAccessControl,
        service: SigningService,
        host: &str,
        region: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let lower = host.to_ascii_lowercase();
        let name = match lower.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &lower,
        };
        let name = name.trim_end_matches('.');
        let bucket = S3Host::parse(name);
        if bucket.is_some_and(|bucket| bucket.website) {
            return Err(ConfigError::new(
                "host",
                host,
                "the bucket's own where there is access control: a website endpoint checks no signatures",
            ));
        }
        let region = match (region, region_of_host(name)) {
            (Some(region), Some(of_host)) if region != of_host => {
                return Err(ConfigError::new(
                    "region",
                    region,
                    "the one in the origin's domain name",
                ));
            }
            (Some(region), _) | (None, Some(region)) => region,
            (None, None) if bucket.is_some() => "us-east-1",
            (None, None) => {
                return Err(ConfigError::new(
                    "region",
                    "",
                    "given, since the origin's domain name has none",
                ));
            }
        };
        for (setting, value) in [("region", region), ("service", service.name())] {
            if !is_name(value) {
                return Err(ConfigError::new(
                    setting,
                    value,
                    "letters, digits, `-` and `_`",
                ));
            }
        }
        Ok(Self {
            settings: Arc::new(Settings {
                access_control,
                region: region.to_owned(),
                service,
                also: Vec::new(),
                clock: Arc::new(SystemClock),
            }),
            key: Arc::default(),
        })
    }

    /// Signs this field, too, where a request has it.
    ///
    /// # Errors
    ///
    /// For fields that are never signed: those that may change on the way.
    pub fn sign_header(mut self, name: HeaderName) -> Result<Self, ConfigError> {
        if is_never_signed(&name) {
            return Err(ConfigError::new(
                "sign_header",
                name,
                "a field that stays as it is on its way",
            ));
        }
        Arc::make_mut(&mut self.settings).also.push(name);
        Ok(self)
    }

    /// Where the wall time comes from. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        Arc::make_mut(&mut self.settings).clock = Arc::new(clock);
        self
    }

    /// The service that checks the signatures.
    #[must_use]
    pub fn service(&self) -> &SigningService {
        &self.settings.service
    }

    /// The region in the signatures.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.settings.region
    }

    /// Whether this request is to be signed: what the [`SigningBehavior`] says.
    #[must_use]
    pub fn signs(&self, parts: &Parts) -> bool {
        match self.settings.access_control.behavior() {
            SigningBehavior::Always => true,
            SigningBehavior::Never => false,
            SigningBehavior::NoOverride => !parts.headers.contains_key(header::AUTHORIZATION),
        }
    }

    /// Signs a request, if it is to be signed. `has_body`: whether it has one, be it empty in the end.
    ///
    /// It must come last before the wire, with the host, the path and the query that are sent, and anew for each attempt, on the
    /// request as it was before: a signature holds for some minutes.
    ///
    /// # Errors
    ///
    /// When there are no credentials, or when the service must know the body's hash, and the viewer didn't send it as
    /// `x-amz-content-sha256`. The request is as it was then.
    pub async fn sign(&self, parts: &mut Parts, has_body: bool) -> Result<(), SignError> {
        if !self.signs(parts) {
            return Ok(());
        }
        let payload = self.payload(parts, has_body)?;
        let credentials = self.settings.access_control.credentials().provide().await;
        let credentials = credentials.map_err(|error| SignError(Kind::Credentials(error)))?;
        let now = self.settings.clock.now();
        self.sign_with(parts, payload, &credentials, now)
            .map_err(|error| SignError(Kind::Credentials(error)))
    }

    fn payload(&self, parts: &Parts, has_body: bool) -> Result<HeaderValue, SignError> {
        let service = &self.settings.service;
        // Any value: the service reads it as it stands, and refuses what it doesn't know.
        let sent = canonical_value(&parts.headers, &CONTENT_SHA256);
        match HeaderValue::from_bytes(&sent) {
            Ok(sent) if !sent.is_empty() => Ok(sent),
            _ if !has_body => Ok(HeaderValue::from_static(EMPTY_PAYLOAD)),
            _ if service.takes_unsigned_payload() => Ok(HeaderValue::from_static(UNSIGNED_PAYLOAD)),
            _ => Err(SignError(Kind::NoPayloadHash)),
        }
    }

    fn sign_with(
        &self,
        parts: &mut Parts,
        payload: HeaderValue,
        credentials: &Credentials,
        now: u64,
    ) -> Result<(), CredentialsError> {
        if credentials.have_expired(now) {
            return Err(CredentialsError::expired());
        }
        let sensitive = |text: &str, what| {
            let mut value =
                HeaderValue::from_str(text).map_err(|_| CredentialsError::unusable(what))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let token = credentials.token();
        let token = token
            .map(|token| sensitive(token, "session token"))
            .transpose()?;
        let date = AmzDate::from_millis(now);
        let date_value = sensitive(date.as_str(), "date")?;
        let id = credentials.access_key_id();
        sensitive(id, "access key's id")?;

        if self.settings.service.path_encoding() == PathEncoding::Once {
            send_canonical_path(&mut parts.uri);
        }
        original_uri::forget(&mut parts.extensions);
        let headers = &mut parts.headers;
        headers.insert(DATE, date_value);
        headers.remove(SECURITY_TOKEN);
        headers.extend(token.map(|token| (SECURITY_TOKEN, token)));
        headers.insert(CONTENT_SHA256, payload.clone());

        let scope = Scope {
            date: &date,
            region: &self.settings.region,
            service: self.settings.service.name(),
        };
        let canonical = CanonicalRequest::of(
            parts,
            payload,
            self.settings.service.path_encoding(),
            &self.settings.also,
        );
        let signature = self
            .key(credentials, &scope)
            .sign(&string_to_sign(&canonical, &scope));
        let authorization = authorization(id, &scope, &canonical, &signature);
        let authorization = sensitive(&authorization, "access key's id")?;
        parts.headers.insert(header::AUTHORIZATION, authorization);
        Ok(())
    }

    fn key(&self, credentials: &Credentials, scope: &Scope<'_>) -> SigningKey {
        let day = scope.date.day();
        let mut kept = self.key.lock();
        if let Some(kept) = &*kept
            && kept.day == day
            && kept.credentials.secret() == credentials.secret()
        {
            return kept.key.clone();
        }
        let key = SigningKey::derive(credentials.secret(), scope);
        *kept = Some(KeyOfDay {
            day: day.to_owned(),
            credentials: credentials.clone(),
            key: key.clone(),
        });
        key
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Rewrites the path to the form in which it is signed.
fn send_canonical_path(uri: &mut Uri) {
    let path = uri.path();
    // `OPTIONS *` has no path.
    if !path.starts_with('/') {
        return;
    }
    let canonical = canonical_path(path, PathEncoding::Once);
    if canonical == path {
        return;
    }
    let target = match uri.query() {
        Some(query) => format!("{canonical}?{query}"),
        None => canonical,
    };
    let mut parts = uri.clone().into_parts();
    // Parts of a valid URI are one.
    if let Ok(target) = target.parse::<PathAndQuery>() {
        parts.path_and_query = Some(target);
        if let Ok(rewritten) = Uri::from_parts(parts) {
            *uri = rewritten;
        }
    }
}

/// A request could not be signed.
#[derive(Clone, Debug)]
pub struct SignError(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Credentials(CredentialsError),
    NoPayloadHash,
}

impl SignError {
    /// The status of the answer to the viewer: 502 without credentials, as for any origin that can't be reached; 400 where
    /// the viewer must send the payload's hash.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.0 {
            Kind::Credentials(_) => StatusCode::BAD_GATEWAY,
            Kind::NoPayloadHash => StatusCode::BAD_REQUEST,
        }
    }

    /// Why there are no credentials, if that is it.
    #[must_use]
    pub fn credentials(&self) -> Option<&CredentialsError> {
        match &self.0 {
            Kind::Credentials(error) => Some(error),
            Kind::NoPayloadHash => None,
        }
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Credentials(_) => "no credentials to sign the request with",
            Kind::NoPayloadHash => {
                "the request has a body, but no x-amz-content-sha256, which the origin's service demands"
            }
        })
    }
}

impl StdError for SignError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Kind::Credentials(error) => Some(error),
            Kind::NoPayloadHash => None,
        }
    }
}
