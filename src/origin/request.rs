//! The request as the origin gets it (CloudFront's "HTTP request headers and CloudFront behavior"): pure.

use super::OriginFailure;
use crate::{
    headers::{RequestFacts, content_length, members, remove_hop_by_hop},
    viewer::{ViewerAddress, ViewerProtocol},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What goes in a request's place to which origin.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Where the origin is; `None` for a service in the process.
    pub(super) http: Option<Authority>,
    pub(super) https: Option<Authority>,
    pub(super) protocol: OriginProtocolPolicy,
    /// In front of each path: empty, or `/` and more.
    pub(super) path: Box<str>,
    /// The viewer's `Host` goes on, in place of the origin's.
    pub(super) viewer_host: bool,
    pub(super) cookies: bool,
    pub(super) custom_headers: HeaderMap,
    /// What `Via` says of us.
    pub(super) via: Option<Box<str>>,
}

/// By which protocol an origin is reached (`OriginProtocolPolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OriginProtocolPolicy {
    /// HTTP, always.
    HttpOnly,
    /// HTTPS, always.
    #[default]
    HttpsOnly,
    /// As the viewer came: see [`ViewerProtocol`].
    MatchViewer,
}

/// What a request is, beyond one that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    WebSocket,
    Grpc,
}

/// What a request is; or that it can't be passed on.
pub(super) fn kind(parts: &Parts) -> Result<Kind, OriginFailure> {
    let headers = &parts.headers;
    let lengths = headers.contains_key(header::CONTENT_LENGTH);
    let is_bad = parts.method == Method::CONNECT
        || !parts.uri.path().starts_with('/')
        || RequestFacts::of(headers).several_hosts
        // Lengths that contradict each other, or none at all.
        || (lengths && content_length(headers).is_none())
        || (lengths && headers.contains_key(header::TRANSFER_ENCODING));
    if is_bad {
        return Err(OriginFailure::BadRequest);
    }
    Ok(if is_websocket(parts) {
        Kind::WebSocket
    } else if is_grpc(headers) {
        Kind::Grpc
    } else {
        Kind::Plain
    })
}

/// The opening of a WebSocket (RFC 6455 section 4.1).
fn is_websocket(parts: &Parts) -> bool {
    let names = |name: HeaderName, wanted: &str| {
        let lines = parts.headers.get_all(name).iter();
        lines
            .flat_map(|line| members(line.as_bytes()))
            .any(|member| member.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && names(header::CONNECTION, "upgrade")
        && names(header::UPGRADE, "websocket")
        && parts.headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes().split(|byte| *byte == b';').next());
    let essence = essence.flatten().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    essence == b"application/grpc" || essence.starts_with(b"application/grpc+")
}

impl Target {
    /// Makes it the request that goes to the origin, and says whether that is by HTTPS. Its URI has no authority.
    pub(super) fn rewrite(&self, parts: &mut Parts, kind: Kind) -> Result<bool, OriginFailure> {
        let viewer_version = parts.version;
        let is_https = self.is_https(parts);
        let host = parts.headers.get(header::HOST).cloned();
        let host = host.or_else(|| {
            let authority = parts.uri.authority()?;
            HeaderValue::from_str(authority.as_str()).ok()
        });
        let authority = if is_https { &self.https } else { &self.http };
        parts.uri = self.uri(&parts.uri)?;
        parts.version = Version::HTTP_11;

        let headers = &mut parts.headers;
        remove_hop_by_hop(headers);
        // The server that reads the body answers `100-continue`.
        for name in [header::EXPECT, header::TRAILER] {
            headers.remove(name);
        }
        match kind {
            Kind::Plain => {}
            Kind::Grpc => {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            }
            Kind::WebSocket => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            }
        }
        if !self.cookies {
            headers.remove(header::COOKIE);
        }
        let host = match authority {
            Some(authority) if !(self.viewer_host && host.is_some()) => {
                HeaderValue::from_str(without_default_port(authority, is_https)).ok()
            }
            _ => host,
        };
        if let Some(host) = host {
            headers.insert(header::HOST, host);
        }
        if let Some(ViewerAddress(address)) = parts.extensions.get() {
            append(headers, X_FORWARDED_FOR, ",", &address.ip().to_string());
        }
        if let Some(via) = &self.via {
            let version = match viewer_version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2.0",
                Version::HTTP_3 => "3.0",
                _ => "1.1",
            };
            append(headers, header::VIA, ", ", &format!("{version} {via}"));
        }
        for name in self.custom_headers.keys() {
            headers.remove(name);
        }
        headers.extend(self.custom_headers.clone());
        Ok(is_https)
    }

    fn is_https(&self, parts: &Parts) -> bool {
        match self.protocol {
            OriginProtocolPolicy::HttpOnly => false,
            OriginProtocolPolicy::HttpsOnly => true,
            OriginProtocolPolicy::MatchViewer => match parts.extensions.get::<ViewerProtocol>() {
                Some(protocol) => *protocol == ViewerProtocol::Https,
                None => parts.uri.scheme() == Some(&Scheme::HTTPS),
            },
        }
    }

    /// The path as it came, behind the origin's own.
    fn uri(&self, asked: &Uri) -> Result<Uri, OriginFailure> {
        let asked = asked.path_and_query();
        match (asked, &*self.path) {
            (Some(asked), "") => Ok(asked.clone().into()),
            (asked, path) => {
                let asked = asked.map_or("/", PathAndQuery::as_str);
                let target = format!("{path}{asked}");
                target.try_into().map_err(|_| OriginFailure::BadRequest)
            }
        }
    }
}

/// Removes what a viewer says by `x-amz-...`, which would be said with our credentials: but what describes its payload.
pub(super) fn remove_amz(headers: &mut HeaderMap) {
    let is_harmless = |name: &str| {
        let kept = ["x-amz-meta-", "x-amz-checksum-", "x-amz-content-sha256"];
        kept.iter().any(|kept| name.starts_with(kept))
    };
    let amz: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-") && !is_harmless(name.as_str()))
        .cloned()
        .collect();
    for name in amz {
        headers.remove(name);
    }
}

fn without_default_port(authority: &Authority, is_https: bool) -> &str {
    let default = if is_https { ":443" } else { ":80" };
    let authority = authority.as_str();
    authority.strip_suffix(default).unwrap_or(authority)
}

/// Appends a member to a field of one line, whatever lines there are.
fn append(headers: &mut HeaderMap, name: HeaderName, between: &str, member: &str) {
    let mut line: Vec<u8> = Vec::new();
    for value in headers.get_all(&name) {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(between.as_bytes());
    }
    line.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&line) {
        headers.insert(name, value);
    }
}
