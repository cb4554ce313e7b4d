//! Address prefixes, in the notation of RFC 4632 and RFC 4291.

use crate::error::ConfigError;
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

/// The bits in front of an IPv4 address that is mapped into IPv6.
const MAPPED: u8 = 96;

#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes(Vec<IpNet>);

impl Prefixes {
    pub(super) fn parse<P: AsRef<str>>(
        setting: &'static str,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Result<Self, ConfigError> {
        let parse = |text: P| {
            let text = text.as_ref();
            parse_one(text).ok_or_else(|| {
                let expected = "an address, or a prefix such as 10.0.0.0/8 or 2001:db8::/32 without bits behind it";
                ConfigError::new(setting, text, expected)
            })
        };
        let prefixes: Vec<IpNet> = prefixes.into_iter().map(parse).collect::<Result<_, _>>()?;
        if prefixes.is_empty() {
            return Err(ConfigError::new(setting, "", "at least one prefix"));
        }
        Ok(Self(prefixes))
    }

    /// `address` must be a canonical one: no mapped IPv4.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|prefix| prefix.contains(&address))
    }
}

fn parse_one(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let prefix: IpNet = text.parse().ok()?;
    // Bits behind the prefix are a mistake: of the length, or of the address.
    if prefix.trunc() != prefix {
        return None;
    }
    let IpNet::V6(mapped) = prefix else {
        return Some(prefix);
    };
    let length = mapped.prefix_len().checked_sub(MAPPED);
    match (mapped.addr().to_ipv4_mapped(), length) {
        (Some(address), Some(length)) => Some(Ipv4Net::new(address, length).ok()?.into()),
        _ => Some(prefix),
    }
}
