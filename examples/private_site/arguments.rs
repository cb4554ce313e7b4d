//! The command line.

use frontage::origin::Origin;
use std::net::{Ipv4Addr, SocketAddr};

pub(crate) const USAGE: &str = "\
A static site in two private buckets: requests are signed, answers cached, and
what the first bucket fails to answer comes from the second.

usage: private_site --primary BUCKET --secondary BUCKET --region REGION [options]
       private_site --self-contained [--listen ADDR] [--control ADDR] [--memory SIZE]

  --listen ADDR              where to listen (default 127.0.0.1:8080)
  --primary BUCKET           the bucket that is asked first
  --secondary BUCKET         the one that stands in for it
  --region REGION            the region of both, such as eu-west-1
  --secondary-region REGION  the secondary's, where it is another
  --endpoint URL             the server of both, such as http://127.0.0.1:9000,
                             where it isn't Amazon's
  --secondary-endpoint URL   the secondary's, where it is another
  --memory SIZE              what the cache may hold: bytes, or with KiB, MiB or
                             GiB (default 256MiB)
  --self-contained           starts two S3 servers of its own, fills a bucket in
                             each, and shows what to try
  --control ADDR             where its primary is taken down and up
                             (default 127.0.0.1:8081)

The credentials are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
AWS_SESSION_TOKEN of the environment; --self-contained has its own.
";

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) listen: SocketAddr,
    /// Bytes.
    pub(crate) memory: u64,
    pub(crate) buckets: Buckets,
}

#[derive(Debug)]
pub(crate) enum Buckets {
    Given {
        primary: Bucket,
        secondary: Bucket,
    },
    /// They are made here; who takes the primary down asks at `control`.
    SelfContained {
        control: SocketAddr,
    },
}

/// Where a bucket is.
#[derive(Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) region: String,
    /// `None`: Amazon's.
    pub(crate) endpoint: Option<String>,
}

impl Arguments {
    /// `None` when help was asked for.
    pub(crate) fn from_env() -> Result<Option<Self>, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let mut memory = 256 << 20;
        let mut is_self_contained = false;
        let mut control = None;
        let (mut primary, mut secondary) = (None, None);
        let (mut region, mut secondary_region) = (None, None);
        let (mut endpoint, mut secondary_endpoint) = (None, None);
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--help" | "-h" => return Ok(None),
                "--self-contained" => {
                    is_self_contained = true;
                    continue;
                }
                _ => {}
            }
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{flag} needs a value (see --help)"))
            };
            match flag.as_str() {
                "--listen" => listen = parse_address(&flag, &value()?)?,
                "--control" => control = Some(parse_address(&flag, &value()?)?),
                "--memory" => memory = parse_size(&value()?)?,
                "--primary" => primary = Some(parse_bucket(&flag, value()?)?),
                "--secondary" => secondary = Some(parse_bucket(&flag, value()?)?),
                "--region" => region = Some(parse_region(&flag, value()?)?),
                "--secondary-region" => secondary_region = Some(parse_region(&flag, value()?)?),
                "--endpoint" => endpoint = Some(parse_endpoint(&flag, value()?)?),
                "--secondary-endpoint" => {
                    secondary_endpoint = Some(parse_endpoint(&flag, value()?)?);
                }
                _ => return Err(format!("unknown argument {flag:?} (see --help)")),
            }
        }
        let buckets = if is_self_contained {
            for (flag, value) in [
                ("--primary", primary),
                ("--secondary", secondary),
                ("--region", region),
                ("--secondary-region", secondary_region),
                ("--endpoint", endpoint),
                ("--secondary-endpoint", secondary_endpoint),
            ] {
                if let Some(value) = value {
                    return Err(format!("{flag} {value:?}: --self-contained has its own"));
                }
            }
            let control = control.unwrap_or((Ipv4Addr::LOCALHOST, 8081).into());
            Buckets::SelfContained { control }
        } else {
            if let Some(control) = control {
                return Err(format!("--control {control}: only with --self-contained"));
            }
            let region = required("--region", region)?;
            Buckets::Given {
                secondary: Bucket {
                    name: required("--secondary", secondary)?,
                    region: secondary_region.unwrap_or_else(|| region.clone()),
                    endpoint: secondary_endpoint.or_else(|| endpoint.clone()),
                },
                primary: Bucket {
                    name: required("--primary", primary)?,
                    region,
                    endpoint,
                },
            }
        };
        Ok(Some(Self {
            listen,
            memory,
            buckets,
        }))
    }
}

fn required(flag: &str, value: Option<String>) -> Result<String, String> {
    value.ok_or_else(|| format!("{flag} is missing (see --help)"))
}

fn parse_address(flag: &str, value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| {
        format!("{flag} {value:?}: must be an IP address and a port, such as 127.0.0.1:3000")
    })
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

/// What may stand in a bucket's name and a region's: each is a part of the name of a host.
fn is_name(value: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !value.is_empty() && value.bytes().all(is_allowed)
}

fn parse_bucket(flag: &str, value: String) -> Result<String, String> {
    if (3..=63).contains(&value.len()) && value.split('.').all(is_name) {
        return Ok(value);
    }
    Err(format!(
        "{flag} {value:?}: must be 3 to 63 of a-z, 0-9, '-' and '.'"
    ))
}

fn parse_region(flag: &str, value: String) -> Result<String, String> {
    if is_name(&value) {
        return Ok(value);
    }
    Err(format!("{flag} {value:?}: must be one such as eu-west-1"))
}

fn parse_endpoint(flag: &str, value: String) -> Result<String, String> {
    match Origin::url(&value) {
        Ok(_) => Ok(value),
        // It shows the URL without a password.
        Err(error) => Err(format!("{flag}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    fn bucket(name: &str, region: &str, endpoint: Option<&str>) -> Bucket {
        Bucket {
            name: name.to_owned(),
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
        }
    }

    fn buckets(line: &str) -> (Bucket, Bucket) {
        match parse(line).unwrap().unwrap().buckets {
            Buckets::Given { primary, secondary } => (primary, secondary),
            Buckets::SelfContained { .. } => panic!("{line}"),
        }
    }

    #[test]
    fn the_secondary_is_where_the_primary_is_unless_it_is_said() {
        let line = "--primary one --secondary t.wo --region eu-west-1";
        assert_eq!(
            buckets(line),
            (
                bucket("one", "eu-west-1", None),
                bucket("t.wo", "eu-west-1", None)
            )
        );
        let line = format!("{line} --endpoint http://a:9000");
        let first = bucket("one", "eu-west-1", Some("http://a:9000"));
        let second = bucket("t.wo", "eu-west-1", Some("http://a:9000"));
        assert_eq!(buckets(&line), (first, second));
        let line = format!("{line} --secondary-region r --secondary-endpoint https://b");
        let first = bucket("one", "eu-west-1", Some("http://a:9000"));
        let second = bucket("t.wo", "r", Some("https://b"));
        assert_eq!(buckets(&line), (first, second));
    }

    #[test]
    fn a_self_contained_one_needs_nothing_else() {
        let arguments = parse("--self-contained").unwrap().unwrap();
        assert_eq!(
            (arguments.listen.port(), arguments.memory),
            (8080, 256 << 20)
        );
        assert!(matches!(
            arguments.buckets,
            Buckets::SelfContained { control } if control.port() == 8081
        ));
        let line = "--self-contained --control [::1]:0 --listen 0.0.0.0:1 --memory 2MiB";
        let arguments = parse(line).unwrap().unwrap();
        assert_eq!((arguments.listen.port(), arguments.memory), (1, 2 << 20));
        assert!(parse("--primary x --help").is_err());
        assert!(parse("--self-contained --help").unwrap().is_none());
    }

    #[test]
    fn no_password_is_shown() {
        let message = parse("--endpoint http://user:hush@a").unwrap_err();
        let named = message.contains("--endpoint") && message.contains("http://a");
        assert!(named && !message.contains("hush"), "{message}");
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
        for (line, flag, value) in [
            ("--listen here", "--listen", "here"),
            ("--control 80", "--control", "80"),
            ("--memory 1KB", "--memory", "1KB"),
            ("--memory 0", "--memory", "0"),
            ("--primary My.Bucket", "--primary", "My.Bucket"),
            ("--primary ab", "--primary", "ab"),
            ("--secondary a/b", "--secondary", "a/b"),
            ("--secondary a..b", "--secondary", "a..b"),
            ("--region eu_west", "--region", "eu_west"),
            ("--secondary-region a.b", "--secondary-region", "a.b"),
            ("--endpoint ftp://a", "--endpoint", "ftp://a"),
            ("--secondary-endpoint a", "--secondary-endpoint", "a"),
            ("--fast", "unknown", "--fast"),
            ("--primary", "--primary", "needs a value"),
            ("--primary one --secondary two", "--region", "missing"),
            ("--region r --secondary two", "--primary", "missing"),
            ("--region r --primary one", "--secondary", "missing"),
            ("--self-contained --region r", "--region", "\"r\""),
            (
                "--primary one --secondary two --region r --control 127.0.0.1:1",
                "--control",
                "127.0.0.1:1",
            ),
        ] {
            let message = parse(line).unwrap_err();
            assert!(
                message.contains(flag) && message.contains(value),
                "{line}: {message}"
            );
        }
    }
}
