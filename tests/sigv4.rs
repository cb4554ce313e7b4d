//! Signatures beside those of AWS's own `aws-sigv4`, over 10,000 generated requests for each form of the path.
//!
//! What corresponds: the header fields hold the signature and the payload's hash (`SignatureLocation::Headers`,
//! `PayloadChecksumKind::XAmzSha256`), the session token is signed (`SessionTokenMode::Include`). S3 is
//! `PercentEncodingMode::Single` with `UriPathNormalizationMode::Disabled`, everything else `Double` with `Enabled`.
//! `aws-sigv4` signs every field that isn't excluded, so all but `host`, `range` and `x-amz-*` are.
//!
//! Where they differ, and why ours is right:
//!
//! 1. *S3, a path that isn't in the form of an SDK* (`/a=b`, `/a+b`, `/%7e`, `/%2F`). `aws-sigv4` expects a path that is
//!    encoded already, and signs it as it stands; S3 decodes the path and encodes it, so that such a signature is refused. We
//!    send the encoded form, which both agree on: `aws-sigv4` signs what we send, for every path. That it names the same
//!    object is checked here, too; a plain `+` is a space in S3.
//! 2. *Tabs around a value.* `aws-sigv4` trims spaces only; HTTP takes tabs off as well (RFC 9110 section 5.5), and so the
//!    server signs without. `aws-sigv4` gets the value as the server sees it.
//! 3. *Bytes that aren't UTF-8*, encoded in a query or plain in a field: `aws-sigv4` replaces them in queries by U+FFFD, and
//!    takes no such field. The services sign bytes. These are compared with the rules written down once more, below.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
        SignatureLocation, SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4::SigningParams,
};
use frontage::{
    clock::ManualClock,
    origin::{Credentials, OriginAccessControl, Signer, SigningService},
    sigv4::{CanonicalRequest, PathEncoding, canonical_query},
};
use http::{HeaderValue, Method, Request, header, request::Parts};
use proptest::{prelude::*, sample::select};
use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(10_000)
    }
}

/// A byte in hex, with digits of either case.
fn encoded_byte(byte: impl Strategy<Value = u8>) -> impl Strategy<Value = String> {
    (byte, any::<bool>()).prop_map(|(byte, upper)| match upper {
        true => format!("%{byte:02X}"),
        false => format!("%{byte:02x}"),
    })
}

/// A byte of ASCII as it is, of those that `http::Uri` takes there.
fn plain_byte(in_query: bool) -> impl Strategy<Value = String> + use<> {
    let is_taken = |char: &char| {
        let target = if in_query { "/?" } else { "/" }.to_owned() + &char.to_string();
        target.parse().is_ok_and(|uri: http::Uri| match in_query {
            true => uri
                .query()
                .is_some_and(|query| target.ends_with(query) && query.len() == 1),
            false => uri.path() == target,
        })
    };
    let taken: Vec<char> = ('\0'..='\x7f').filter(is_taken).collect();
    assert!(taken.len() > 70);
    select(taken).prop_map(String::from)
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => encoded_byte(any::<u8>()),
        4 => plain_byte(false),
        2 => select(&["/", "//", "/.", "/..", "/./", "/../", "/...", "%2f", "%2e", "%25"][..])
            .prop_map(str::to_owned),
        2 => "[a-z0-9]{1,4}",
        1 => "[\u{a1}-\u{ffff}]",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// Repeated and empty parameters, and all bytes that `one` has.
fn query(one: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Option<String>> {
    let piece = prop_oneof![
        4 => one,
        3 => plain_byte(true),
        4 => select(&["&", "&&", "=", "a=", "a&", "a=1&", "A=1&", "a=2&", "a-=1&", "+", "%20", "%2B"][..])
            .prop_map(str::to_owned),
        1 => "[\u{a1}-\u{ffff}]",
    ];
    prop::option::of(prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()))
}

/// Any text, encoded.
fn encoded_text() -> impl Strategy<Value = String> {
    any::<char>().prop_map(|char| {
        let mut bytes = [0; 4];
        let bytes = char.encode_utf8(&mut bytes).bytes();
        bytes.map(|byte| format!("%{byte:02x}")).collect()
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t]{0,3}[ -~\t]{0,12}[ \t]{0,3}",
        "[ ]{0,3}[ a\t,\"\u{a1}-\u{ffff}]{0,12}[ ]{0,3}",
    ]
}

/// Fields that are signed and others, several lines of a name, in any order.
fn fields() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let name = select(
        &[
            "x-amz-meta-a",
            "x-amz-meta-a-b",
            "x-amz-meta-b",
            "x-amz-acl",
            "x-amzn-trace-id",
            "x-am",
            "range",
            "accept",
            "via",
            "user-agent",
            "if-none-match",
            "te",
        ][..],
    );
    prop::collection::vec((name, value()), 0..8)
}

#[derive(Debug)]
struct Given {
    method: Method,
    target: String,
    host: Option<&'static str>,
    fields: Vec<(&'static str, String)>,
    hash: Option<String>,
    has_body: bool,
    secret: String,
    token: Option<String>,
    millis: u64,
}

fn given() -> impl Strategy<Value = Given> {
    let method = select(vec![Method::GET, Method::HEAD, Method::PUT, Method::DELETE]);
    let authority = select(
        &[
            "https://b.example",
            "https://b.example:443",
            "http://b.example:80",
            "https://b.example:80",
            "http://b.example:8080",
        ][..],
    );
    let host = prop::option::of(select(&["B.example", "b.example:8080"][..]));
    let is_utf8 = |query: &Option<String>| {
        let query = query.as_deref().unwrap_or_default();
        String::from_utf8(decoded(query, b' ')).is_ok()
    };
    // Stray `%` make others, rarely.
    let query = query(encoded_text()).prop_filter("difference 3", is_utf8);
    let target = (authority, path(), query).prop_map(|(authority, path, query)| {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{authority}{path}{query}")
    });
    let hash = prop::option::of("[0-9a-f]{64}|UNSIGNED-PAYLOAD");
    let secret = "[!-~]{1,80}";
    let token = prop::option::of("[!-~]{1,40}");
    // Up to the year 9999.
    let request = (method, target, host, fields());
    let signing = (
        hash,
        any::<bool>(),
        secret,
        token,
        0..253_402_300_800_000_u64,
    );
    (request, signing).prop_map(
        |((method, target, host, fields), (hash, has_body, secret, token, millis))| Given {
            method,
            target,
            host,
            fields,
            hash,
            has_body,
            secret,
            token,
            millis,
        },
    )
}

impl Given {
    fn parts(&self) -> Parts {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.target);
        if let Some(host) = self.host {
            request = request.header("host", host);
        }
        for (name, value) in &self.fields {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        if let Some(hash) = &self.hash {
            request = request.header("x-amz-content-sha256", hash);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn signed_by_us(&self, service: SigningService) -> Parts {
        let mut credentials = Credentials::new("AKIDEXAMPLE", &self.secret);
        if let Some(token) = &self.token {
            credentials = credentials.session_token(token);
        }
        let access_control = OriginAccessControl::always(credentials);
        let signer = Signer::new(access_control, service, "b.example", Some("eu-west-1"))
            .unwrap()
            .sign_header(header::RANGE)
            .unwrap()
            .clock(ManualClock::at(self.millis));
        let mut parts = self.parts();
        tokio_test::block_on(signer.sign(&mut parts, self.has_body)).unwrap();
        parts
    }

    /// What `aws-sigv4` adds to a request for `uri`, the one that is sent.
    fn signed_by_aws(
        &self,
        uri: &str,
        payload: &str,
        service: &SigningService,
    ) -> BTreeMap<String, String> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::Headers;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.session_token_mode = SessionTokenMode::Include;
        (
            settings.percent_encoding_mode,
            settings.uri_path_normalization_mode,
        ) = match service {
            SigningService::S3 => (
                PercentEncodingMode::Single,
                UriPathNormalizationMode::Disabled,
            ),
            _ => (
                PercentEncodingMode::Double,
                UriPathNormalizationMode::Enabled,
            ),
        };
        let others = [
            "x-amzn-trace-id",
            "x-am",
            "accept",
            "via",
            "user-agent",
            "if-none-match",
            "te",
        ];
        settings.excluded_headers = Some(others.map(Into::into).to_vec());

        let credentials = aws_credential_types::Credentials::new(
            "AKIDEXAMPLE",
            &self.secret,
            self.token.clone(),
            None,
            "test",
        );
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(service.name())
            .time(UNIX_EPOCH + Duration::from_millis(self.millis))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        // Difference 2.
        let ows = [' ', '\t'];
        let fields = self.fields.iter().map(|(name, value)| match value {
            value if value.trim_matches(' ') == value.trim_matches(ows) => (*name, &**value),
            value => (*name, value.trim_matches(ows)),
        });
        let host = self.host.map(|host| ("host", host));
        let body = SignableBody::Precomputed(payload.to_owned());
        let request = SignableRequest::new(
            self.method.as_str(),
            uri,
            host.into_iter().chain(fields),
            body,
        )
        .unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn assert_equal(&self, service: &SigningService) -> Parts {
        let ours = self.signed_by_us(service.clone());
        let text = |name: &str| -> Option<String> {
            let mut lines = ours.headers.get_all(name).iter();
            let line = lines.next()?.to_str().unwrap().to_owned();
            assert_eq!(lines.next(), None, "{name} twice");
            Some(line)
        };
        let payload = text("x-amz-content-sha256").unwrap();
        let theirs = self.signed_by_aws(&ours.uri.to_string(), &payload, service);
        assert_eq!(theirs.len(), if self.token.is_some() { 4 } else { 3 });
        for (name, value) in theirs {
            assert_eq!(text(&name), Some(value), "{name}");
        }
        assert_eq!(text("x-amz-security-token"), self.token);
        ours
    }
}

/// The bytes that a path or query stands for; a `+` is a `plus`.
fn decoded(text: &str, plus: u8) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let (byte, length) = match (bytes[at], hex) {
            (b'%', Some(hex)) => (u8::from_str_radix(hex, 16).unwrap(), 3),
            (b'+', _) => (plus, 1),
            (byte, _) => (byte, 1),
        };
        decoded.push(byte);
        at += length;
    }
    decoded
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn requests_to_s3_are_signed_as_by_aws(given in given()) {
        let signed = given.assert_equal(&SigningService::S3);
        // Difference 1: what is sent names the same object, and is encoded as SDKs do it.
        let came = given.parts();
        prop_assert_eq!(decoded(came.uri.path(), b' '), decoded(signed.uri.path(), b'+'));
        let sent = signed.uri.path();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        prop_assert!(sent.bytes().all(|byte| plain(byte) || byte == b'%'));
        for (at, _) in sent.match_indices('%') {
            let hex = &sent[at + 1..at + 3];
            prop_assert_eq!(hex, hex.to_uppercase());
            prop_assert!(!plain(u8::from_str_radix(hex, 16).unwrap()));
        }
        prop_assert_eq!(came.uri.query(), signed.uri.query());
        prop_assert_eq!(came.uri.authority(), signed.uri.authority());
    }

    #[test]
    fn requests_to_other_services_are_signed_as_by_aws(mut given in given()) {
        // With a body the viewer must send its hash.
        given.has_body &= given.hash.is_some();
        let service = SigningService::Named("execute-api".into());
        let signed = given.assert_equal(&service);
        prop_assert_eq!(given.parts().uri, signed.uri);
    }

    /// Difference 3.
    #[test]
    fn queries_of_any_bytes_are_as_the_rules_say(query in query(encoded_byte(any::<u8>()))) {
        let query = query.unwrap_or_default();
        let encoded = |text: &str| -> String {
            let bytes = decoded(text, b' ').into_iter();
            bytes.map(|byte| match char::from(byte) {
                plain if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => plain.to_string(),
                _ => format!("%{byte:02X}"),
            }).collect()
        };
        let mut parameters = Vec::new();
        for piece in query.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            parameters.push((encoded(name), encoded(value)));
        }
        parameters.sort();
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        prop_assert_eq!(canonical_query(Some(&query)), parameters.join("&"));
    }

    /// Difference 3.
    #[test]
    fn values_of_any_bytes_are_as_the_rules_say(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..4)) {
        let mut request = Request::get("http://h/");
        let mut expected = Vec::new();
        for line in &lines {
            let line: Vec<u8> = line.iter().map(|byte| match byte {
                b'\t' | b' '..=b'~' | 128.. => *byte,
                _ => b' ',
            }).collect();
            let trimmed = line.trim_ascii();
            let words: Vec<&[u8]> = trimmed.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
            expected.push(words.join(&b' '));
            request = request.header("x-amz-meta", HeaderValue::from_bytes(&line).unwrap());
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let canonical = CanonicalRequest::of(&parts, "", PathEncoding::Once, &[]);
        let expected = [
            &b"GET\n/\n\nhost:h\nx-amz-meta:"[..],
            &expected.join(&b','),
            b"\n\nhost;x-amz-meta\n",
        ].concat();
        prop_assert_eq!(canonical.as_bytes(), expected);
    }
}
