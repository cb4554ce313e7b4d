//! The command line.

use crate::recording::Recording;
use frontage::{BlockLayer, CacheLayer, CachePolicy, MemoryStore};
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    time::Duration,
};

pub(crate) const USAGE: &str = "\
A recording of some hundred megabytes behind a slow origin, played in the browser:
it is fetched and cached in blocks, and the page shows which. What a viewer says in
Cache-Control is ignored: a reload plays what is stored, and only-if-cached fetches.

usage: video [options]

  --listen ADDR       where to listen (default 127.0.0.1:3000)
  --memory SIZE       what the cache may hold: bytes, or with KiB, MiB or GiB
                      (default 128MiB, less than the recording: so blocks are
                      evicted)
  --block-size SIZE   how large a block is (default 1MiB)
  --origin-delay MS   how long the origin waits before each answer, in
                      milliseconds (default 200)
  --minutes N         how long the recording is, 1 to 360 (default 30: 303 MiB)
";

/// More could hardly be told apart on the page.
const MAX_BLOCKS: u64 = 4096;
/// The library's.
const MIN_BLOCK_SIZE: u64 = 4 << 10;
const MAX_MINUTES: u16 = 360;
const MAX_DELAY: u64 = 10_000;

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) listen: SocketAddr,
    pub(crate) cache: CacheLayer,
    pub(crate) blocks: BlockLayer,
    /// Bytes.
    pub(crate) block_size: NonZeroU64,
    pub(crate) origin_delay: Duration,
    pub(crate) recording: Recording,
}

impl Arguments {
    /// `None` when help was asked for.
    pub(crate) fn from_env() -> Result<Option<Self>, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 3000));
        let mut memory = NonZeroU64::MIN.saturating_add((128 << 20) - 1);
        let mut block_size = NonZeroU64::MIN.saturating_add((1 << 20) - 1);
        let mut origin_delay = Duration::from_millis(200);
        let mut minutes = 30;
        while let Some(flag) = arguments.next() {
            if matches!(flag.as_str(), "--help" | "-h") {
                return Ok(None);
            }
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{flag} needs a value (see --help)"))
            };
            match flag.as_str() {
                "--listen" => listen = parse_address(&flag, &value()?)?,
                "--memory" => memory = parse_size(&flag, &value()?)?,
                "--block-size" => block_size = parse_size(&flag, &value()?)?,
                "--origin-delay" => origin_delay = parse_delay(&flag, &value()?)?,
                "--minutes" => minutes = parse_minutes(&flag, &value()?)?,
                _ => return Err(format!("unknown argument {flag:?} (see --help)")),
            }
        }
        let recording = Recording::of_minutes(minutes);
        let blocks = recording.length().div_ceil(block_size.get());
        if blocks > MAX_BLOCKS {
            let smallest = recording.length().div_ceil(MAX_BLOCKS).max(MIN_BLOCK_SIZE);
            return Err(format!(
                "--block-size {block_size}: {blocks} blocks, and the page shows at most {MAX_BLOCKS}: \
                 {smallest} is the smallest for this recording"
            ));
        }
        // Who plays doesn't say how fresh the blocks are to be: a reload by hand finds them, too.
        let policy = CachePolicy::default().honor_request_directives(false);
        let cache = CacheLayer::new(MemoryStore::new(memory.get())).policy(policy);
        let blocks = BlockLayer::new(cache.clone())
            .block_size(block_size.get())
            .map_err(|error| {
                format!("--block-size {block_size} with --memory {memory}: {error}")
            })?;
        Ok(Some(Self {
            listen,
            cache,
            blocks,
            block_size,
            origin_delay,
            recording,
        }))
    }
}

fn parse_address(flag: &str, value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| {
        format!("{flag} {value:?}: must be an IP address and a port, such as 127.0.0.1:3000")
    })
}

fn parse_size(flag: &str, value: &str) -> Result<NonZeroU64, String> {
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
    NonZeroU64::new(bytes).ok_or_else(|| wrong("more than 0"))
}

fn parse_delay(flag: &str, value: &str) -> Result<Duration, String> {
    match value.parse() {
        Ok(millis @ 0..=MAX_DELAY) => Ok(Duration::from_millis(millis)),
        _ => Err(format!(
            "{flag} {value:?}: must be 0 to {MAX_DELAY} milliseconds"
        )),
    }
}

fn parse_minutes(flag: &str, value: &str) -> Result<u16, String> {
    match value.parse() {
        Ok(minutes @ 1..=MAX_MINUTES) => Ok(minutes),
        _ => Err(format!("{flag} {value:?}: must be 1 to {MAX_MINUTES}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn by_default_the_cache_holds_less_than_the_recording() {
        let arguments = parse("").unwrap().unwrap();
        assert_eq!(arguments.listen, "127.0.0.1:3000".parse().unwrap());
        assert_eq!(arguments.block_size.get(), 1 << 20);
        assert_eq!(arguments.origin_delay, Duration::from_millis(200));
        let capacity = arguments.cache.core().store().usage().capacity;
        assert_eq!(capacity, 128 << 20);
        assert!((300 << 20..400 << 20).contains(&arguments.recording.length()));
    }

    #[test]
    fn all_can_be_set() {
        let line =
            "--listen [::1]:0 --memory 64MiB --block-size 256KiB --origin-delay 0 --minutes 2";
        let arguments = parse(line).unwrap().unwrap();
        assert_eq!(arguments.listen, "[::1]:0".parse().unwrap());
        assert_eq!(arguments.block_size.get(), 256 << 10);
        assert_eq!(arguments.origin_delay, Duration::ZERO);
        let capacity = arguments.cache.core().store().usage().capacity;
        assert_eq!((capacity, arguments.recording.seconds()), (64 << 20, 120));
        assert!(parse("--minutes 2 --help").unwrap().is_none());
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
        for (line, flag, value) in [
            ("--listen here", "--listen", "here"),
            ("--memory 1KB", "--memory", "1KB"),
            ("--memory 0", "--memory", "0"),
            ("--memory 4MiB", "--memory", "4194304"),
            ("--block-size 1MB", "--block-size", "1MB"),
            ("--block-size 64KiB", "--block-size", "4845 blocks"),
            ("--block-size 64KiB", "--block-size", "77520 is the"),
            ("--block-size 1KiB --minutes 1", "--block-size", "1024"),
            (
                "--block-size 1KiB --minutes 1",
                "--block-size",
                "4096 is the",
            ),
            (
                "--block-size 3KiB --minutes 1",
                "--block-size",
                "at least 4096",
            ),
            ("--block-size 100MiB", "--block-size", "104857600"),
            ("--memory 4MiB", "--memory", "at most 524288 bytes"),
            ("--origin-delay soon", "--origin-delay", "soon"),
            ("--origin-delay 10001", "--origin-delay", "10001"),
            ("--minutes 0", "--minutes", "0"),
            ("--minutes 361", "--minutes", "361"),
            ("--fast", "unknown", "--fast"),
            ("--minutes", "--minutes", "needs a value"),
        ] {
            let message = parse(line).unwrap_err();
            assert!(
                message.contains(flag) && message.contains(value),
                "{line}: {message}"
            );
        }
    }
}
