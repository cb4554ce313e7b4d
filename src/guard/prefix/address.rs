//! Which address a request comes from.

use super::prefixes::Prefixes;
use crate::viewer::peer;
use http::{Extensions, HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that let a request in: that of the peer, or the one that a trusted proxy says. IPv4 in IPv6 is IPv4.
///
/// An extension of the request. [`ViewerAddress`](crate::ViewerAddress) stays what it is: the other end of the connection, which an
/// [`Origin`](crate::origin) below appends to `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdmittedAddress(pub IpAddr);

/// Why a request wasn't let in: an extension of the 403 that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixRefusal {
    /// Nobody said who the peer is.
    #[error("the peer's address is not known")]
    NoAddress,
    /// A trusted proxy forwards for somebody whom `X-Forwarded-For` doesn't name by an address.
    #[error("a trusted proxy's X-Forwarded-For holds something else than an address, or nothing")]
    Forwarded,
    /// It comes from elsewhere.
    #[error("{0} is in none of the prefixes")]
    Elsewhere(IpAddr),
}

/// The address that counts: the peer's, or what the trusted proxies say.
pub(super) fn address_of(
    extensions: &Extensions,
    headers: &HeaderMap,
    trusted: &Prefixes,
) -> Result<IpAddr, PrefixRefusal> {
    let mut address = peer(extensions)
        .ok_or(PrefixRefusal::NoAddress)?
        .ip()
        .to_canonical();
    // From the right: each trusted one vouches for who it says it was asked by, and for no more. An empty member is its, too: what
    // stands before it is somebody else's.
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let mut members = lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    while trusted.contain(address) {
        let Some(member) = members.next() else {
            break;
        };
        address = forwarded(member).ok_or(PrefixRefusal::Forwarded)?;
    }
    Ok(address)
}

/// An address as proxies write it: with a port or without, of IPv6 in brackets or not.
fn forwarded(member: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(member).ok()?;
    let without_brackets = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match without_brackets {
        Some(text) => IpAddr::V6(text.parse().ok()?),
        None => text
            .parse()
            .or_else(|_| text.parse().map(|with_port: SocketAddr| with_port.ip()))
            .ok()?,
    };
    Some(address.to_canonical())
}
