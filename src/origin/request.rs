//! The request as the origin gets it (CloudFront's "HTTP request headers and CloudFront behavior"): pure.

use super::OriginFailure;
use crate::{
    headers::{content_length, members, remove_hop_by_hop},
    original_uri,
    viewer::{ViewerProtocol, peer},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{self, Entry},
    uri::{Authority, PathAndQuery, Scheme},
};
use std::{
    mem,
    net::{IpAddr, SocketAddr},
    sync::Once,
};

const GRPC: &[u8] = b"application/grpc";
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What goes in a request's place to which origin.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `Host` of the origin; `None` for a service in the process.
    pub(super) http: Option<HeaderValue>,
    pub(super) https: Option<HeaderValue>,
    pub(super) protocol: OriginProtocolPolicy,
    /// In front of each path: empty, or `/` and more.
    pub(super) path: Box<str>,
    /// The viewer's `Host` goes on, in place of the origin's.
    pub(super) viewer_host: bool,
    pub(super) cookies: bool,
    pub(super) custom_headers: HeaderMap,
    /// What `Via` says of us.
    pub(super) via: Option<Via>,
}

/// A member of `Via` for each version of HTTP that a viewer may speak.
#[derive(Clone, Debug)]
pub(super) struct Via([HeaderValue; 4]);

impl Via {
    /// `None` where it can't stand in a field.
    pub(super) fn new(name: &str) -> Option<Self> {
        let member = |version| HeaderValue::try_from(format!("{version} {name}")).ok();
        Some(Self([
            member("1.0")?,
            member("1.1")?,
            member("2.0")?,
            member("3.0")?,
        ]))
    }

    fn of(&self, version: Version) -> &HeaderValue {
        let [http10, http11, http2, http3] = &self.0;
        match version {
            Version::HTTP_10 => http10,
            Version::HTTP_2 => http2,
            Version::HTTP_3 => http3,
            _ => http11,
        }
    }
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

/// What the fields of a request say, found in one pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) length: Option<u64>,
    /// `Expect` or `Trailer` is there.
    ends_here: bool,
    /// There are several lines of `Cookie`, as HTTP/2 allows.
    cookie_crumbs: bool,
}

impl Facts {
    /// Fails for a request that can't be passed on.
    pub(super) fn of<B>(request: &Request<B>) -> Result<Self, OriginFailure> {
        let headers = request.headers();
        let (mut hosts, mut lengths, mut codings, mut cookies) = (0, 0, 0, 0);
        let mut upgrade = false;
        let mut kind = Kind::Plain;
        let mut ends_here = false;
        for (name, value) in headers {
            match *name {
                header::HOST => hosts += 1,
                header::CONTENT_LENGTH => lengths += 1,
                header::TRANSFER_ENCODING => codings += 1,
                header::COOKIE => cookies += 1,
                header::UPGRADE => upgrade = true,
                header::EXPECT | header::TRAILER => ends_here = true,
                header::CONTENT_TYPE if is_grpc(value) => kind = Kind::Grpc,
                _ => {}
            }
        }
        if upgrade && is_websocket(request) {
            kind = Kind::WebSocket;
        }
        let length = match lengths {
            0 => None,
            _ => Some(content_length(headers).ok_or(OriginFailure::BadRequest)?),
        };
        let is_bad = *request.method() == Method::CONNECT
            || !request.uri().path().starts_with('/')
            || hosts > 1
            || (lengths > 0 && codings > 0)
            || (codings > 0 && !is_chunked(headers));
        match is_bad {
            true => Err(OriginFailure::BadRequest),
            false => Ok(Self {
                kind,
                length,
                ends_here,
                cookie_crumbs: cookies > 1,
            }),
        }
    }
}

/// Whether a body has the transfer coding `chunked`, once, and no other (RFC 9112 section 6.1): it is passed on without it,
/// and another would be left on what nobody calls coded.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// The opening of a WebSocket (RFC 6455 section 4.1).
fn is_websocket<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    *request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && names(headers, header::CONNECTION, "upgrade")
        && names(headers, header::UPGRADE, "websocket")
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Whether this is a member of a field.
pub(super) fn names(headers: &HeaderMap, field: HeaderName, wanted: &str) -> bool {
    let lines = headers.get_all(field).iter();
    lines
        .flat_map(|line| members(line.as_bytes()))
        .any(|member| member.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Says of this connection, to either side, that it changes to WebSocket.
pub(super) fn upgrade_to_websocket(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

fn is_grpc(content_type: &HeaderValue) -> bool {
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    let Some((grpc, more)) = essence.split_at_checked(GRPC.len()) else {
        return false;
    };
    grpc.eq_ignore_ascii_case(GRPC) && matches!(more.first(), None | Some(b'+'))
}

impl Target {
    /// Makes it the request that goes to the origin, and says whether that is by HTTPS. Its URI has no authority.
    pub(super) fn rewrite<B>(
        &self,
        request: &mut Request<B>,
        facts: Facts,
    ) -> Result<bool, OriginFailure> {
        let viewer_version = mem::replace(request.version_mut(), Version::HTTP_11);
        let is_https = self.is_https(request);
        let asked = mem::take(request.uri_mut());
        let host = if is_https { &self.https } else { &self.http };
        let host = match host {
            Some(host) if !self.viewer_host => Some(host.clone()),
            host => viewer_host(request.headers(), &asked).or_else(|| host.clone()),
        };
        *request.uri_mut() = self.uri(asked)?;
        original_uri::forget(request.extensions_mut());
        let viewer = peer(request.extensions());

        let headers = request.headers_mut();
        remove_hop_by_hop(headers);
        if facts.ends_here {
            // The server that reads the body answers `100-continue`.
            for name in [header::EXPECT, header::TRAILER] {
                headers.remove(name);
            }
        }
        match facts.kind {
            Kind::Plain => {}
            Kind::Grpc => {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            }
            Kind::WebSocket => upgrade_to_websocket(headers),
        }
        if !self.cookies {
            headers.remove(header::COOKIE);
        } else if facts.cookie_crumbs {
            // RFC 9113 section 8.2.3.
            let line = joined(headers.get_all(header::COOKIE), "; ");
            if let Ok(line) = HeaderValue::try_from(line) {
                headers.insert(header::COOKIE, line);
            }
        }
        if let Some(host) = host {
            headers.insert(header::HOST, host);
        }
        forward_for(headers, viewer);
        if let Some(via) = &self.via {
            append(headers, header::VIA, ", ", via.of(viewer_version));
        }
        for name in self.custom_headers.keys() {
            headers.remove(name);
        }
        headers.extend(self.custom_headers.clone());
        Ok(is_https)
    }

    fn is_https<B>(&self, request: &Request<B>) -> bool {
        match self.protocol {
            OriginProtocolPolicy::HttpOnly => false,
            OriginProtocolPolicy::HttpsOnly => true,
            OriginProtocolPolicy::MatchViewer => match request.extensions().get::<ViewerProtocol>()
            {
                Some(protocol) => *protocol == ViewerProtocol::Https,
                None => request.uri().scheme() == Some(&Scheme::HTTPS),
            },
        }
    }

    /// The path as it came, behind the origin's own.
    fn uri(&self, asked: Uri) -> Result<Uri, OriginFailure> {
        if self.path.is_empty() && asked.authority().is_none() {
            return Ok(asked);
        }
        let asked = asked.into_parts().path_and_query;
        match (asked, &*self.path) {
            // `http://a#b` has an empty one, which would be written so.
            (Some(asked), "") if asked == "/" => Ok(Uri::default()),
            (Some(asked), "") => Ok(asked.into()),
            (asked, path) => {
                let asked = asked.as_ref().map_or("/", PathAndQuery::as_str);
                // A path that is empty is `/` (RFC 9110 section 4.2.3).
                let slash = if asked.starts_with('?') { "/" } else { "" };
                let target = format!("{path}{slash}{asked}");
                target.try_into().map_err(|_| OriginFailure::BadRequest)
            }
        }
    }
}

/// Says for whom we ask. Who believes us believes the last member: so there is none that we don't vouch for.
fn forward_for(headers: &mut HeaderMap, viewer: Option<SocketAddr>) {
    static SAID: Once = Once::new();
    let address = viewer.and_then(|viewer| HeaderValue::try_from(text_of(viewer.ip())).ok());
    match address {
        Some(address) => append(headers, X_FORWARDED_FOR, ",", &address),
        None if headers.remove(X_FORWARDED_FOR).is_some() => SAID.call_once(|| {
            tracing::warn!(
                "a viewer's X-Forwarded-For is removed, since nobody says what its address is: see ViewerAddress"
            );
        }),
        None => {}
    }
}

/// An address as text: most have four numbers, for which the formatting of std takes long.
fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in address.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// The host that the viewer asks for: the target's, whatever `Host` says (RFC 9112 section 3.2.2).
fn viewer_host(headers: &HeaderMap, asked: &Uri) -> Option<HeaderValue> {
    let Some(authority) = asked.authority() else {
        return headers.get(header::HOST).cloned();
    };
    let host = authority.as_str().rsplit('@').next()?;
    HeaderValue::from_str(host).ok()
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

/// `Host` for an authority (RFC 9110 section 7.2): without the scheme's own port.
pub(super) fn host_of(authority: &Authority, is_https: bool) -> Option<HeaderValue> {
    let default = if is_https { ":443" } else { ":80" };
    let authority = authority.as_str();
    HeaderValue::from_str(authority.strip_suffix(default).unwrap_or(authority)).ok()
}

/// Appends a member to a field of one line, whatever lines there are.
fn append(headers: &mut HeaderMap, name: HeaderName, between: &str, member: &HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(place) => {
            place.insert(member.clone());
        }
        Entry::Occupied(mut lines) => {
            let line = joined(lines.iter().chain([member]), between);
            if let Ok(line) = HeaderValue::try_from(line) {
                lines.insert(line);
            }
        }
    }
}

fn joined<'v>(lines: impl IntoIterator<Item = &'v HeaderValue>, between: &str) -> Vec<u8> {
    let lines: Vec<&[u8]> = lines.into_iter().map(HeaderValue::as_bytes).collect();
    lines.join(between.as_bytes())
}
