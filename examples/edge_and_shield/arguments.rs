//! The command line.

use std::{
    fmt::Display,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

pub(crate) const USAGE: &str = "\
Edges, origin shields and an origin, a load on the edges, and a live table of
who answered what.

usage: edge_and_shield [options]

  --edges N                  how many caches viewers ask (1 to 8, default 3)
  --shields N                how many shields these share (0 to 8, default 2)
  --objects N                how many the origin has (1 to 10000, default 1000)
  --requests-per-second N    of the load on all edges together; 0 for none
                             (at most 10000, default 200)
  --origin-delay S           how long the origin takes for an answer, in seconds
                             (at most 5, default 0.1)
  --max-age S                how long an object is fresh, in whole seconds
                             (default 3600)
  --edge-memory SIZE         what an edge may hold: bytes, or with KiB, MiB or
                             GiB (default 2MiB, some 230 objects). What it has
                             no room for, a shield has
  --duration S               ends after so long, and prints the last table;
                             otherwise it runs until it is told to end
  --control ADDR             where shields are taken down and up, and where the
                             table is (default 127.0.0.1:8081)

On a terminal the table is drawn anew in its place, elsewhere there is a line
each second. RUST_LOG says what is logged: on a terminal nothing unless it is
set, and then better with 2> to a file.
";

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) edges: usize,
    pub(crate) shields: usize,
    pub(crate) objects: usize,
    pub(crate) requests_per_second: u64,
    pub(crate) origin_delay: Duration,
    /// Seconds.
    pub(crate) max_age: u32,
    /// Bytes.
    pub(crate) edge_memory: u64,
    /// `None`: until it is told to end.
    pub(crate) duration: Option<Duration>,
    pub(crate) control: SocketAddr,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            edges: 3,
            shields: 2,
            objects: 1000,
            requests_per_second: 200,
            origin_delay: Duration::from_millis(100),
            max_age: 3600,
            edge_memory: 2 << 20,
            duration: None,
            control: (Ipv4Addr::LOCALHOST, 8081).into(),
        }
    }
}

impl Arguments {
    /// `None` when help was asked for.
    pub(crate) fn from_env() -> Result<Option<Self>, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut parsed = Self::default();
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
                // With more the table would be higher than a terminal.
                "--edges" => parsed.edges = parse_number(&flag, &value()?, 1..=8)?,
                "--shields" => parsed.shields = parse_number(&flag, &value()?, 0..=8)?,
                "--objects" => parsed.objects = parse_number(&flag, &value()?, 1..=10_000)?,
                "--requests-per-second" => {
                    parsed.requests_per_second = parse_number(&flag, &value()?, 0..=10_000)?;
                }
                "--origin-delay" => {
                    parsed.origin_delay = parse_seconds(&flag, &value()?, 0.0..=5.0)?;
                }
                "--max-age" => parsed.max_age = parse_number(&flag, &value()?, 0..=31_536_000)?,
                "--edge-memory" => parsed.edge_memory = parse_size(&flag, &value()?)?,
                "--duration" => {
                    let range = 0.1..=86_400.0;
                    parsed.duration = Some(parse_seconds(&flag, &value()?, range)?);
                }
                "--control" => parsed.control = parse_address(&flag, &value()?)?,
                _ => return Err(format!("unknown argument {flag:?} (see --help)")),
            }
        }
        Ok(Some(parsed))
    }
}

fn parse_number<T>(flag: &str, value: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (start, end) = (range.start(), range.end());
        format!("{flag} {value:?}: must be {start} to {end}")
    })
}

fn parse_seconds(flag: &str, value: &str, range: RangeInclusive<f64>) -> Result<Duration, String> {
    let seconds = parse_number(flag, value, range)?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{flag} {value:?}: {error}"))
}

fn parse_address(flag: &str, value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| {
        format!("{flag} {value:?}: must be an IP address and a port, such as 127.0.0.1:8081")
    })
}

fn parse_size(flag: &str, value: &str) -> Result<u64, String> {
    let wrong = |expected| format!("{flag} {value:?}: must be {expected}");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_full_line_is_read() {
        let arguments = parse(
            "--edges 8 --shields 0 --objects 7 --requests-per-second 0 --origin-delay 0.25 --max-age 0 \
             --edge-memory 1MiB --duration 2 --control [::1]:0",
        );
        let arguments = arguments.unwrap().unwrap();
        assert_eq!((arguments.edges, arguments.shields), (8, 0));
        assert_eq!((arguments.objects, arguments.requests_per_second), (7, 0));
        assert_eq!(arguments.origin_delay, Duration::from_millis(250));
        assert_eq!((arguments.max_age, arguments.edge_memory), (0, 1 << 20));
        assert_eq!(arguments.duration, Some(Duration::from_secs(2)));
        assert_eq!(arguments.control, "[::1]:0".parse().unwrap());
        assert!(parse("--edges 2 --help").unwrap().is_none());
    }

    #[test]
    fn the_defaults_are_those_that_help_names() {
        let Arguments {
            edges,
            shields,
            objects,
            requests_per_second,
            origin_delay,
            max_age,
            edge_memory,
            duration,
            control,
        } = parse("").unwrap().unwrap();
        assert!(USAGE.contains(&format!("(1 to 8, default {edges})")));
        assert!(USAGE.contains(&format!("(0 to 8, default {shields})")));
        assert!(USAGE.contains(&format!("(1 to 10000, default {objects})")));
        assert!(USAGE.contains(&format!("(at most 10000, default {requests_per_second})")));
        assert!(USAGE.contains(&format!(
            "(at most 5, default {})",
            origin_delay.as_secs_f64()
        )));
        assert!(USAGE.contains(&format!("(default {max_age})")));
        assert!(USAGE.contains(&format!("(default {}MiB", edge_memory >> 20)));
        assert!(USAGE.contains(&format!("(default {control})")));
        assert_eq!(duration, None);
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
            let message = parse_size("--memory", value).unwrap_err();
            assert_eq!(message, format!("--memory {value:?}: {why}"));
        }
    }

    #[test]
    fn mistakes_name_the_flag_and_the_value() {
        for (flag, value) in [
            ("--edges", "0"),
            ("--edges", "9"),
            ("--shields", "9"),
            ("--shields", "-1"),
            ("--objects", "0"),
            ("--objects", "10001"),
            ("--requests-per-second", "10001"),
            ("--requests-per-second", "1.5"),
            ("--origin-delay", "5.1"),
            ("--origin-delay", "-1"),
            ("--origin-delay", "NaN"),
            ("--max-age", "1h"),
            ("--edge-memory", "2MB"),
            ("--edge-memory", "0"),
            ("--duration", "0"),
            ("--duration", "1e9"),
            ("--control", "8081"),
        ] {
            let message = parse(&format!("{flag} {value}")).unwrap_err();
            let named = message.contains(flag) && message.contains(&format!("{value:?}"));
            assert!(named, "{flag} {value}: {message}");
        }
        assert!(parse("--fast").unwrap_err().contains("\"--fast\""));
        let message = parse("--edges").unwrap_err();
        assert!(message.contains("--edges needs a value"), "{message}");
    }
}
