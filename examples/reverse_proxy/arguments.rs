//! The command line.

use frontage::CachePolicy;
use http::{Uri, uri::Authority};
use std::net::SocketAddr;

pub(crate) const USAGE: &str = "\
A caching reverse proxy.

usage: reverse_proxy --listen ADDR --origin URL [--memory SIZE] [--policy NAME]

  --listen ADDR   where to listen, such as 127.0.0.1:8080
  --origin URL    where to fetch from, such as http://127.0.0.1:9000
  --memory SIZE   the store's cap: bytes, or with KiB, MiB or GiB (default 256MiB)
  --policy NAME   default, rfc9111, caching-optimized, caching-disabled or
                  use-origin-cache-control-headers (default: default)
";

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) listen: SocketAddr,
    pub(crate) origin: Authority,
    pub(crate) memory: u64,
    pub(crate) policy: CachePolicy,
}

impl Arguments {
    /// `None` when help was asked for.
    pub(crate) fn from_env() -> Result<Option<Self>, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut listen, mut origin) = (None, None);
        let mut memory = 256 << 20;
        let mut policy = CachePolicy::default();
        while let Some(flag) = arguments.next() {
            if flag == "--help" || flag == "-h" {
                return Ok(None);
            }
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{flag} needs a value (see --help)"))
            };
            match flag.as_str() {
                "--listen" => listen = Some(parse_listen(&value()?)?),
                "--origin" => origin = Some(parse_origin(&value()?)?),
                "--memory" => memory = parse_size(&value()?)?,
                "--policy" => policy = parse_policy(&value()?)?,
                _ => return Err(format!("unknown argument {flag:?} (see --help)")),
            }
        }
        let listen = listen.ok_or("--listen is missing (see --help)")?;
        let origin = origin.ok_or("--origin is missing (see --help)")?;
        Ok(Some(Self {
            listen,
            origin,
            memory,
            policy,
        }))
    }
}

fn parse_listen(value: &str) -> Result<SocketAddr, String> {
    value
        .parse()
        .map_err(|error| format!("--listen {value:?}: {error}"))
}

fn parse_origin(value: &str) -> Result<Authority, String> {
    let uri: Uri = value
        .parse()
        .map_err(|error| format!("--origin {value:?}: {error}"))?;
    if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") || uri.query().is_some()
    {
        return Err(format!(
            "--origin {value:?}: must be http://HOST[:PORT] without a path"
        ));
    }
    uri.into_parts()
        .authority
        .ok_or_else(|| format!("--origin {value:?}: has no host"))
}

fn parse_size(value: &str) -> Result<u64, String> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| format!("--memory {value:?}: must be a size such as 64MiB"))
}

fn parse_policy(value: &str) -> Result<CachePolicy, String> {
    Ok(match value {
        "default" => CachePolicy::default(),
        "rfc9111" => CachePolicy::rfc9111(),
        "caching-optimized" => CachePolicy::caching_optimized(),
        "caching-disabled" => CachePolicy::caching_disabled(),
        "use-origin-cache-control-headers" => CachePolicy::use_origin_cache_control_headers(),
        _ => return Err(format!("--policy {value:?}: is none of those in --help")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_full_line_is_read() {
        let line =
            "--listen 127.0.0.1:80 --origin http://localhost:90/ --memory 2MiB --policy rfc9111";
        let arguments = parse(line).unwrap().unwrap();
        assert_eq!(
            (arguments.origin.as_str(), arguments.memory),
            ("localhost:90", 2 << 20)
        );
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn mistakes_name_the_flag_and_the_value() {
        for (line, named) in [
            ("--listen here", "here"),
            ("--origin https://a", "https://a"),
            ("--origin http://a/b", "http://a/b"),
            ("--memory 1KB", "1KB"),
            ("--memory 0", "0"),
            ("--memory 99999999999GiB", "99999999999GiB"),
            ("--policy fast", "fast"),
            ("--fast", "--fast"),
            ("--memory", "--memory"),
            ("", "--listen"),
        ] {
            let message = parse(line).unwrap_err();
            assert!(message.contains(named), "{line}: {message}");
        }
    }
}
