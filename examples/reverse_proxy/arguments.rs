//! The command line.

use crate::origins::{Origins, Settings};
use frontage::{
    CacheCore, CacheLayer, CachePolicy, MemoryStore, OverMaxFetches, origin::FailoverCriteria,
};
use http::Uri;
use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

pub(crate) const USAGE: &str = "\
A caching reverse proxy.

usage: reverse_proxy --listen ADDR --origin URL [--secondary URL [--failover CODES]]
                     [--shield URL]... [--connect-timeout S] [--attempts N] [--response-timeout S]
                     [--memory SIZE] [--max-fetches N] [--shed-after S] [--policy NAME] [--name NAME]

  --listen ADDR         where to listen, such as 127.0.0.1:8080
  --origin URL          where to fetch from, such as http://127.0.0.1:9000 or https://example.com/base
  --secondary URL       where to fetch what the origin fails to answer
  --failover CODES      which of 400,403,404,416,429,500,502,503,504 are failures
                        (default 500,502,503,504); no connection counts as 503, no answer in time as 504
  --shield URL          an origin shield, such as http://10.0.0.1:8080: another such proxy in front of the same
                        --origin; may be repeated, up to 16 times. What one edge fetched, another finds there if viewers
                        ask both by the same Host, name and port: it is in the key. A shield has no --shield itself,
                        least of all those who name it: then GET works, and other methods end with a 508
  --connect-timeout S   how long an attempt to connect may take, in seconds (default 10)
  --attempts N          how often to try to connect; and to ask by GET or HEAD where no answer came in time (default 3)
  --response-timeout S  how long an origin may send nothing, in seconds (default 30); a GET has 60 s in all for its head
  --memory SIZE         the store's cap: bytes, or with KiB, MiB or GiB (default 256MiB); connections need more beside it
  --max-fetches N       how many fetches may be under way that others join (default 1024); further requests go to the origin
                        alone, and what they get isn't stored; ranges of what isn't stored, and uploads, aren't counted
  --shed-after S        further requests wait for room instead, for so many seconds (0: not at all); then they get a 503
                        with Retry-After
  --policy NAME         default, rfc9111, caching-optimized, caching-disabled or
                        use-origin-cache-control-headers (default: default); the last two fetch for each
                        viewer alone, as CloudFront does
  --name NAME           what the proxy is called in Cache-Status and X-Cache (default frontage)

environment: RUST_LOG says what is logged (default warn), SSL_CERT_FILE whom to trust in place of the system's
";

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) listen: SocketAddr,
    pub(crate) origins: Origins,
    pub(crate) cache: CacheLayer,
}

impl Arguments {
    /// `None` when help was asked for.
    pub(crate) fn from_env() -> Result<Option<Self>, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut listen = None;
        let (mut origin, mut secondary, mut failover) = (None, None, None);
        let mut shields = Vec::new();
        let mut settings = Settings::default();
        let mut memory = 256 << 20;
        let (mut max_fetches, mut shed_after) = (None, None);
        let mut policy = CachePolicy::default();
        let mut name = None;
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
                "--origin" => origin = Some(value()?),
                "--secondary" => secondary = Some(value()?),
                "--failover" => failover = Some(parse_failover(&value()?)?),
                "--shield" => shields.push(value()?),
                "--connect-timeout" => {
                    settings.connect_timeout = Some(parse_seconds(&flag, &value()?)?);
                }
                "--attempts" => settings.attempts = Some(parse_count(&flag, &value()?)?),
                "--response-timeout" => {
                    settings.response_timeout = Some(parse_seconds(&flag, &value()?)?);
                }
                "--memory" => memory = parse_size(&value()?)?,
                "--max-fetches" => max_fetches = Some(parse_count(&flag, &value()?)?),
                "--shed-after" => shed_after = Some(parse_wait(&flag, &value()?)?),
                "--policy" => policy = parse_policy(&value()?)?,
                "--name" => name = Some(value()?),
                _ => return Err(format!("unknown argument {flag:?} (see --help)")),
            }
        }
        let listen = listen.ok_or("--listen is missing (see --help)")?;
        let origin = origin.ok_or("--origin is missing (see --help)")?;
        let secondary = match (&secondary, failover) {
            (Some(secondary), Some(failover)) => Some((secondary.as_str(), failover)),
            (Some(secondary), None) => Some((secondary.as_str(), parse_failover(FAILOVER)?)),
            (None, Some(_)) => return Err("--failover needs --secondary (see --help)".into()),
            (None, None) => None,
        };
        let origins = settings.origins(&origin, &shields, secondary)?;
        if let Some(shield) = shields.iter().find(|shield| is_at(listen, shield)) {
            return Err(format!(
                "--shield {shield:?}: is this proxy itself, which listens on {listen}"
            ));
        }
        let mut core = CacheCore::builder(MemoryStore::new(memory));
        if let Some(fetches) = max_fetches {
            core = core.max_fetches(fetches);
        }
        if let Some(wait) = shed_after {
            core = core.over_max_fetches(OverMaxFetches::Wait(wait));
        }
        let core = core.build().map_err(|error| error.to_string())?;
        Ok(Some(Self {
            listen,
            origins,
            cache: named(
                // Nobody here reads the status from a response's extensions: its fields say it.
                CacheLayer::with_core(core)
                    .policy(policy)
                    .status_extension(false),
                name,
            )?,
        }))
    }
}

/// What stands for `--failover` where it isn't given.
const FAILOVER: &str = "500,502,503,504";

fn parse_listen(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| {
        format!("--listen {value:?}: must be an IP address and a port, such as 127.0.0.1:3000")
    })
}

/// Whether a URL leads to whoever listens there.
fn is_at(listen: SocketAddr, url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else {
        return false;
    };
    let host = url.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let (ip, is_any) = (listen.ip(), listen.ip().is_unspecified());
    let is_here = match address {
        Ok(address) => address == ip || (is_any && address.is_loopback()),
        Err(_) => host.eq_ignore_ascii_case("localhost") && (is_any || ip.is_loopback()),
    };
    is_here && url.port_u16().unwrap_or(80) == listen.port()
}

fn named(cache: CacheLayer, name: Option<String>) -> Result<CacheLayer, String> {
    match name {
        None => Ok(cache),
        Some(name) => cache
            .product(&name)
            .map_err(|error| format!("--name {name:?}: {error}")),
    }
}

fn parse_failover(value: &str) -> Result<FailoverCriteria, String> {
    let code = |code: &str| {
        let code = code.trim();
        code.parse()
            .map_err(|_| format!("--failover {value:?}: {code:?} is no status code"))
    };
    let codes: Vec<u16> = value.split(',').map(code).collect::<Result<_, _>>()?;
    FailoverCriteria::new(codes).map_err(|error| format!("--failover {value:?}: {error}"))
}

fn parse_seconds(flag: &str, value: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(duration)) if !duration.is_zero() => Ok(duration),
        _ => Err(format!(
            "{flag} {value:?}: must be seconds, such as 2 or 0.5"
        )),
    }
}

/// Seconds, or none at all.
fn parse_wait(flag: &str, value: &str) -> Result<Duration, String> {
    match value {
        "0" => Ok(Duration::ZERO),
        _ => parse_seconds(flag, value),
    }
}

fn parse_count<N: FromStr + PartialOrd + Default>(flag: &str, value: &str) -> Result<N, String> {
    let count = value.parse().ok().filter(|count| *count > N::default());
    count.ok_or_else(|| format!("{flag} {value:?}: must be 1 or more"))
}

fn parse_size(value: &str) -> Result<u64, String> {
    let wrong = |expected| format!("--memory {value:?}: must be {expected}");
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let factor = match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let factor = factor
        .filter(|_| !number.is_empty())
        .ok_or_else(|| wrong("a size such as 64MiB"))?;
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| wrong("less than 16 EiB"))?;
    match bytes {
        0 => Err(wrong("more than 0")),
        bytes => Ok(bytes),
    }
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
        let arguments = parse(
            "--listen 127.0.0.1:80 --origin http://localhost:90/ --secondary http://localhost:91/base \
             --failover 404,500 --shield http://a --shield http://b:8080 --connect-timeout 0.5 --attempts 1 --response-timeout 5 --memory 2MiB --policy rfc9111 --name edge",
        );
        let arguments = arguments.unwrap().unwrap();
        let usage = arguments.cache.core().store().usage();
        assert_eq!(usage.capacity, 2 << 20);
        assert!(matches!(arguments.origins, Origins::Right(_)));
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn what_is_one_fetch_too_many_waits_where_that_is_asked_for() {
        let line = "--listen 127.0.0.1:80 --origin http://a";
        for (flags, limits) in [
            ("--max-fetches 8", "over_max_fetches: PassThrough"),
            ("--shed-after 0", "over_max_fetches: Wait(0ns)"),
            ("--shed-after 0.5", "over_max_fetches: Wait(500ms)"),
        ] {
            let arguments = parse(&format!("{line} {flags}")).unwrap().unwrap();
            let core = format!("{:?}", arguments.cache.core());
            assert!(core.contains(limits), "{flags}: {core}");
        }
        for (flags, why) in [
            ("--max-fetches 0", "must be 1 or more"),
            ("--shed-after -1", "must be seconds, such as 2 or 0.5"),
        ] {
            let message = parse(&format!("{line} {flags}")).unwrap_err();
            assert_eq!(
                message,
                format!("{}: {why}", flags.replace(' ', " \"") + "\"")
            );
        }
    }

    #[test]
    fn failover_is_for_two_and_has_a_default() {
        let line = "--listen 127.0.0.1:80 --origin http://a";
        let alone = parse(line).unwrap().unwrap();
        assert!(matches!(alone.origins, Origins::Left(_)));
        let two = parse(&format!("{line} --secondary http://b")).unwrap();
        let Origins::Right(two) = two.unwrap().origins else {
            panic!("one origin only");
        };
        let default = "FailoverCriteria[500, 502, 503, 504]";
        assert!(format!("{two:?}").contains(default), "{two:?}");
        let message = parse(&format!("{line} --failover 500")).unwrap_err();
        assert!(message.contains("--failover needs --secondary"));
    }

    #[test]
    fn a_proxy_is_not_its_own_shield() {
        for (listen, shield, is_itself) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
            ("127.0.0.1:8080", "http://LocalHost:8080/", true),
            ("127.0.0.1:80", "http://127.0.0.1", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("0.0.0.0:8080", "http://127.0.0.1:8080", true),
            ("[::]:8080", "http://localhost:8080", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8081", false),
            ("127.0.0.1:8080", "http://127.0.0.2:8080", false),
            ("10.0.0.1:8080", "http://localhost:8080", false),
            ("0.0.0.0:8080", "http://10.0.0.1:8080", false),
        ] {
            let line = format!("--listen {listen} --origin http://a --shield {shield}");
            match parse(&line) {
                Ok(_) => assert!(!is_itself, "{line}"),
                Err(message) => {
                    let is_named = message.contains(shield) && message.contains("itself");
                    assert!(is_itself && is_named, "{line}: {message}");
                }
            }
        }
    }

    #[test]
    fn seconds_have_decimals() {
        let seconds = parse_seconds("", "0.5").unwrap();
        assert_eq!(seconds, Duration::from_millis(500));
        assert_eq!(parse_seconds("", "3").unwrap(), Duration::from_secs(3));
    }

    #[test]
    fn a_size_that_cannot_be_says_why() {
        for (value, why) in [
            ("", "must be a size such as 64MiB"),
            ("MiB", "must be a size such as 64MiB"),
            ("1KB", "must be a size such as 64MiB"),
            ("-1", "must be a size such as 64MiB"),
            ("0", "must be more than 0"),
            ("0MiB", "must be more than 0"),
            ("99999999999GiB", "must be less than 16 EiB"),
            ("99999999999999999999", "must be less than 16 EiB"),
        ] {
            let message = parse_size(value).unwrap_err();
            assert_eq!(message, format!("--memory {value:?}: {why}"));
        }
    }

    #[test]
    fn mistakes_name_the_flag_and_the_value() {
        for (flag, value) in [
            ("--listen", "here"),
            ("--origin", "ftp://a"),
            ("--origin", "a"),
            ("--origin", "http://a/?b"),
            ("--origin", "http://a:0"),
            ("--secondary", "b"),
            ("--failover", "501"),
            ("--shield", "a"),
            ("--shield", "http://a/base"),
            ("--failover", "500,"),
            ("--failover", "5xx"),
            ("--connect-timeout", "0"),
            ("--connect-timeout", "1s"),
            ("--connect-timeout", "NaN"),
            ("--response-timeout", "-1"),
            ("--response-timeout", "1e99"),
            ("--attempts", "0"),
            ("--attempts", "1.5"),
            ("--memory", "1KB"),
            ("--memory", "0"),
            ("--memory", "99999999999GiB"),
            ("--policy", "fast"),
            ("--name", "1edge"),
            ("--shield", "http://127.0.0.1"),
        ] {
            let line = format!("--listen 127.0.0.1:80 --origin http://a {flag} {value}");
            let message = parse(&line).unwrap_err();
            let named = message.contains(flag) && message.contains(&format!("{value:?}"));
            assert!(named, "{line}: {message}");
        }
        for flag in ["--origin", "--secondary", "--shield"] {
            let line = format!(
                "--listen 127.0.0.1:80 --origin http://a {flag} http://user:hush@127.0.0.1"
            );
            let message = parse(&line).unwrap_err();
            let named = message.contains(flag) && message.contains("without user");
            assert!(named && !message.contains("hush"), "{message}");
        }
        for (line, named) in [
            ("--fast", "--fast"),
            ("--memory", "--memory"),
            ("", "--listen"),
            ("--listen 127.0.0.1:80", "--origin"),
        ] {
            let message = parse(line).unwrap_err();
            assert!(message.contains(named), "{line}: {message}");
        }
    }
}
