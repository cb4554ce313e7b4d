//! Names of AWS, checked: no character of theirs means anything in JSON, and none is a wildcard.

use crate::error::ConfigError;
use std::fmt;

/// A distribution of CloudFront, by its Amazon Resource Name.
///
/// ```
/// use frontage::origin::policy::DistributionArn;
///
/// let arn = DistributionArn::new("111122223333", "EDFDVBD6EXAMPLE")?;
/// assert_eq!(arn.to_string(), "arn:aws:cloudfront::111122223333:distribution/EDFDVBD6EXAMPLE");
/// assert!(DistributionArn::new("111122223333", "*").is_err());
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DistributionArn {
    account: String,
    id: String,
}

impl DistributionArn {
    /// The distribution `id` of the account.
    ///
    /// # Errors
    ///
    /// For an account that isn't 12 digits, and an id that isn't upper-case letters and digits.
    pub fn new(account: &str, id: &str) -> Result<Self, ConfigError> {
        if !is_account(account) {
            return Err(ConfigError::new("account", account, "12 digits"));
        }
        if !is_id(id) {
            return Err(ConfigError::new("distribution_id", id, ID));
        }
        Ok(Self {
            account: account.to_owned(),
            id: id.to_owned(),
        })
    }
}

impl fmt::Display for DistributionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, id } = self;
        write!(f, "arn:aws:cloudfront::{account}:distribution/{id}")
    }
}

const ID: &str = "at most 32 upper-case letters and digits";

fn is_id(text: &str) -> bool {
    is_of(text, 1..=32, |byte| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit()
    })
}

fn is_account(text: &str) -> bool {
    is_of(text, 12..=12, |byte| byte.is_ascii_digit())
}

fn is_of(
    text: &str,
    length: std::ops::RangeInclusive<usize>,
    allowed: impl Fn(u8) -> bool,
) -> bool {
    length.contains(&text.len()) && text.bytes().all(allowed)
}

/// The id of an origin access identity.
pub(super) fn identity(id: &str) -> Result<&str, ConfigError> {
    match is_id(id) {
        true => Ok(id),
        false => Err(ConfigError::new("origin_access_identity", id, ID)),
    }
}

/// The name of a bucket.
pub(super) fn bucket(name: &str) -> Result<&str, ConfigError> {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        label.bytes().next().is_some_and(is_end) && label.bytes().last().is_some_and(is_end)
    };
    let is_name = is_of(name, 3..=63, |byte| {
        is_end(byte) || byte == b'-' || byte == b'.'
    }) && name.split('.').all(is_label)
        && name.parse::<std::net::Ipv4Addr>().is_err();
    match is_name {
        true => Ok(name),
        false => Err(ConfigError::new(
            "bucket",
            name,
            "3 to 63 lower-case letters, digits, `-` and `.`, the first and last of each label a letter or digit, and no address",
        )),
    }
}

/// The ARN of a Lambda function, an alias or a version of it.
pub(super) fn function_arn(arn: &str) -> Result<&str, ConfigError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let parts: Vec<&str> = arn.split(':').collect();
    let is_arn = match &parts[..] {
        [
            "arn",
            "aws",
            "lambda",
            region,
            account,
            "function",
            name,
            qualifier @ ..,
        ] => {
            is_of(region, 1..=32, is_region)
                && is_account(account)
                && is_of(name, 1..=64, is_word)
                && qualifier.len() <= 1
                && qualifier.iter().all(|text| is_of(text, 1..=128, is_word))
        }
        _ => false,
    };
    match is_arn {
        true => Ok(arn),
        false => Err(ConfigError::new(
            "function_arn",
            arn,
            "arn:aws:lambda:region:account:function:name, with an alias or a version or without",
        )),
    }
}
