//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

pub(crate) const HELP: &str = "\
A map-tile server with frontage in front of it.

Usage: tiles [--listen ADDR] [--memory SIZE]

  --listen ADDR   address and port to listen on [default: 127.0.0.1:3000]
  --memory SIZE   what the cache may hold, in bytes or with the suffix
                  KiB, MiB or GiB [default: 256MiB]
  --help          print this and exit
";

pub(crate) enum Command {
    Serve(Arguments),
    Help,
}

pub(crate) struct Arguments {
    /// What `--listen` resolves to, at least one address; the first that can be bound is taken.
    pub(crate) listen: Vec<SocketAddr>,
    /// Bytes.
    pub(crate) memory: u64,
}

/// What is wrong with the command line, as a sentence for whoever typed it.
#[derive(Debug, PartialEq)]
pub(crate) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see --help)", self.0)
    }
}

/// Reads the arguments that follow the program's name; `--flag value` and `--flag=value`.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut listen = "127.0.0.1:3000".to_owned();
    let mut memory = "256MiB".to_owned();

    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let argument = text(argument)?;
        let (flag, attached) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let value = match flag {
            "--help" | "-h" => return Ok(Command::Help),
            "--listen" => &mut listen,
            "--memory" => &mut memory,
            _ => {
                return Err(UsageError(format!(
                    "{argument}: not an argument of this program"
                )));
            }
        };
        *value = match (attached, arguments.by_ref()) {
            (Some(attached), _) => attached,
            (None, rest) => match rest.next() {
                Some(next) => text(next)?,
                None => return Err(UsageError(format!("{flag}: its value is missing"))),
            },
        };
    }

    Ok(Command::Serve(Arguments {
        listen: addresses(&listen)?,
        memory: bytes(&memory)
            .map_err(|problem| UsageError(format!("--memory {memory}: {problem}")))?,
    }))
}

fn text(argument: OsString) -> Result<String, UsageError> {
    argument
        .into_string()
        .map_err(|raw| UsageError(format!("{}: not UTF-8", raw.display())))
}

fn addresses(listen: &str) -> Result<Vec<SocketAddr>, UsageError> {
    let found: Vec<SocketAddr> = listen
        .to_socket_addrs()
        .map_err(|error| UsageError(format!("--listen {listen}: {error}")))?
        .collect();
    if found.is_empty() {
        return Err(UsageError(format!(
            "--listen {listen}: the name has no address"
        )));
    }
    Ok(found)
}

fn bytes(size: &str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((size.strip_suffix(suffix)?, *unit)))
        .unwrap_or((size, 1));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a whole number of bytes, KiB, MiB or GiB");
    }
    // Digits alone fail to parse only when there are too many of them.
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or("more bytes than fit in 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Result<Arguments, String> {
        match parse(line.split_whitespace().map(OsString::from)) {
            Ok(Command::Serve(arguments)) => Ok(arguments),
            Ok(Command::Help) => Err("help".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn defaults_are_loopback_and_256_mib() {
        let arguments = arguments("").unwrap();
        assert_eq!(arguments.listen, ["127.0.0.1:3000".parse().unwrap()]);
        assert_eq!(arguments.memory, 256 << 20);
    }

    #[test]
    fn sizes_have_binary_suffixes_or_none() {
        for (size, expected) in [
            ("4096", 4096),
            ("3KiB", 3072),
            ("2MiB", 2 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(
                arguments(&format!("--memory {size}")).unwrap().memory,
                expected
            );
            assert_eq!(
                arguments(&format!("--memory={size}")).unwrap().memory,
                expected
            );
        }
    }

    #[test]
    fn a_bad_value_is_named_with_its_flag() {
        for line in [
            "--memory lots",
            "--memory -1",
            "--memory 1.5GiB",
            "--memory 12MB",
            "--memory MiB",
            "--memory 99999999999999999999",
            "--memory 99999999999999GiB",
            "--listen 3000",
            "--listen 127.0.0.1:99999",
        ] {
            let error = arguments(line).err().unwrap();
            assert!(error.starts_with(&format!("{line}: ")), "{error}");
        }
        assert_eq!(
            arguments("--memory").err().unwrap(),
            "--memory: its value is missing (see --help)"
        );
        assert!(
            arguments("--port 80")
                .err()
                .unwrap()
                .starts_with("--port: not an argument")
        );
    }

    #[test]
    fn help_wins() {
        assert_eq!(arguments("--memory 1KiB --help").err().unwrap(), "help");
    }
}
