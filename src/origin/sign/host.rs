//! What the domain names of AWS say.

/// What the domain name of a bucket says of it.
///
/// ```
/// use frontage::origin::S3Host;
///
/// let host = S3Host::parse("assets.s3.eu-west-1.amazonaws.com");
/// assert_eq!(host, Some(S3Host { bucket: Some("assets"), region: Some("eu-west-1"), website: false }));
///
/// let website = S3Host::parse("assets.s3-website-us-east-1.amazonaws.com");
/// assert!(website.is_some_and(|host| host.website));
/// assert_eq!(S3Host::parse("assets.example"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S3Host<'a> {
    /// The bucket; `None` where its name is the first segment of the path.
    pub bucket: Option<&'a str>,
    /// The region; `None` for the names that serve all of them.
    pub region: Option<&'a str>,
    /// A website endpoint: plain HTTP, no signatures.
    pub website: bool,
}

impl<'a> S3Host<'a> {
    /// Reads the names `[bucket.]s3.region.amazonaws.com` and `[bucket.]s3-region.amazonaws.com`, either without region, with
    /// `dualstack`, `s3-fips` or `s3-accelerate`, those of website endpoints, and all of them below `amazonaws.com.cn`. In
    /// lower case, without port.
    ///
    /// `None` for all others: they may be those of a bucket none the less, behind a name of one's own.
    #[must_use]
    pub fn parse(host: &'a str) -> Option<Self> {
        let labels = amazon_labels(host)?;
        let (before, last) = split_last_label(labels);
        if let Some(endpoint) = Endpoint::named(last) {
            return Some(endpoint.of(before, None));
        }
        let (region, before) = match is_region(last) {
            true => (Some(last), before?),
            false => (None, labels),
        };
        let (below, endpoint) = match split_last_label(before) {
            (Some(below), "dualstack") => split_last_label(below),
            (below, endpoint) => (below, endpoint),
        };
        // What has a region in its endpoint's name has no second one.
        let endpoint = Endpoint::named(endpoint).filter(|endpoint| endpoint.region.is_none())?;
        Some(endpoint.of(below, region))
    }
}

/// The label that names the service.
struct Endpoint<'a> {
    region: Option<&'a str>,
    website: bool,
}

impl<'a> Endpoint<'a> {
    fn named(label: &'a str) -> Option<Self> {
        let (website, region) = match label.strip_prefix("s3")? {
            "" | "-fips" | "-accelerate" | "-external-1" => (false, None),
            "-website" => (true, None),
            rest => match rest.strip_prefix("-website-") {
                Some(region) => (true, Some(region)),
                None => (false, Some(rest.strip_prefix('-')?)),
            },
        };
        if region.is_some_and(|region| !is_region(region)) {
            return None;
        }
        Some(Self { region, website })
    }

    fn of(self, bucket: Option<&'a str>, region: Option<&'a str>) -> S3Host<'a> {
        S3Host {
            bucket: bucket.filter(|bucket| !bucket.is_empty()),
            region: self.region.or(region),
            website: self.website,
        }
    }
}

/// The region in a domain name of AWS: of a bucket, a Lambda function URL (`id.lambda-url.region.on.aws`), and any other
/// service's (`id.data.mediastore.region.amazonaws.com`). In lower case, without port.
///
/// ```
/// use frontage::origin::region_of_host;
///
/// assert_eq!(region_of_host("abc.lambda-url.eu-west-1.on.aws"), Some("eu-west-1"));
/// assert_eq!(region_of_host("abc.egress.xyz.mediapackagev2.us-west-2.amazonaws.com"), Some("us-west-2"));
/// assert_eq!(region_of_host("assets.s3.amazonaws.com"), None);
/// ```
#[must_use]
pub fn region_of_host(host: &str) -> Option<&str> {
    if let Some(s3) = S3Host::parse(host) {
        return s3.region;
    }
    let labels = amazon_labels(host).or_else(|| host.strip_suffix(".on.aws"))?;
    let (_, last) = split_last_label(labels);
    is_region(last).then_some(last)
}

fn amazon_labels(host: &str) -> Option<&str> {
    host.strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_suffix(".amazonaws.com.cn"))
}

/// The last label, and what stands before it.
fn split_last_label(labels: &str) -> (Option<&str>, &str) {
    match labels.rsplit_once('.') {
        Some((before, last)) => (Some(before), last),
        None => (None, labels),
    }
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`.
fn is_region(label: &str) -> bool {
    let Some((words, number)) = label.rsplit_once('-') else {
        return false;
    };
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && words.contains('-')
        && words.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_buckets_say_bucket_region_and_kind() {
        for (host, bucket, region, website) in [
            ("b.s3.eu-west-1.amazonaws.com", "b", "eu-west-1", false),
            ("b.s3-eu-west-1.amazonaws.com", "b", "eu-west-1", false),
            ("b.s3.amazonaws.com", "b", "", false),
            ("b.s3-external-1.amazonaws.com", "b", "", false),
            ("s3.us-gov-west-1.amazonaws.com", "", "us-gov-west-1", false),
            ("s3.amazonaws.com", "", "", false),
            ("s3-us-west-2.amazonaws.com", "", "us-west-2", false),
            ("b.s3.cn-north-1.amazonaws.com.cn", "b", "cn-north-1", false),
            (
                "a.b.c.s3.us-east-1.amazonaws.com",
                "a.b.c",
                "us-east-1",
                false,
            ),
            (
                "b.s3.s3.us-east-1.amazonaws.com",
                "b.s3",
                "us-east-1",
                false,
            ),
            ("b.s3-x.s3.amazonaws.com", "b.s3-x", "", false),
            (
                "dualstack.s3.us-east-1.amazonaws.com",
                "dualstack",
                "us-east-1",
                false,
            ),
            (
                "b.s3.dualstack.us-east-1.amazonaws.com",
                "b",
                "us-east-1",
                false,
            ),
            ("b.s3-fips.us-east-1.amazonaws.com", "b", "us-east-1", false),
            (
                "b.s3-fips.dualstack.us-east-1.amazonaws.com",
                "b",
                "us-east-1",
                false,
            ),
            ("b.s3-accelerate.amazonaws.com", "b", "", false),
            ("b.s3-accelerate.dualstack.amazonaws.com", "b", "", false),
            (
                "b.s3-website-us-east-1.amazonaws.com",
                "b",
                "us-east-1",
                true,
            ),
            (
                "b.s3-website.eu-central-1.amazonaws.com",
                "b",
                "eu-central-1",
                true,
            ),
            (
                "b.s3-website.cn-north-1.amazonaws.com.cn",
                "b",
                "cn-north-1",
                true,
            ),
        ] {
            let expected = S3Host {
                bucket: Some(bucket).filter(|bucket| !bucket.is_empty()),
                region: Some(region).filter(|region| !region.is_empty()),
                website,
            };
            assert_eq!(S3Host::parse(host), Some(expected), "{host}");
        }
        for host in [
            "",
            "amazonaws.com",
            "b.s3.eu-west-1.amazonaws.com.evil.example",
            "b.s3.eu-west-1.notamazonaws.com",
            "b.s3.example",
            "b.xs3.amazonaws.com",
            "b.s3x.amazonaws.com",
            "b.s3-.amazonaws.com",
            "b.s3-nowhere.amazonaws.com",
            "b.s3-us-east-1.us-east-1.amazonaws.com",
            "b.s3-website-.amazonaws.com",
            "id.execute-api.us-east-1.amazonaws.com",
            "us-east-1.amazonaws.com",
            ".amazonaws.com",
        ] {
            assert_eq!(S3Host::parse(host), None, "{host}");
        }
    }

    #[test]
    fn a_region_stands_before_the_domain_of_aws() {
        for (host, region) in [
            ("id.lambda-url.eu-west-1.on.aws", Some("eu-west-1")),
            (
                "id.data.mediastore.us-west-2.amazonaws.com",
                Some("us-west-2"),
            ),
            (
                "a.egress.b.mediapackagev2.ap-southeast-2.amazonaws.com",
                Some("ap-southeast-2"),
            ),
            (
                "id.execute-api.us-gov-east-1.amazonaws.com",
                Some("us-gov-east-1"),
            ),
            ("b.s3-website-us-east-1.amazonaws.com", Some("us-east-1")),
            ("b.s3.amazonaws.com", None),
            ("iam.amazonaws.com", None),
            ("us-east-1.example", None),
            ("x.us-east-1a.amazonaws.com", None),
            ("x.us-1.amazonaws.com", None),
            ("x.us--1.amazonaws.com", None),
            ("x.us-east-.amazonaws.com", None),
            ("on.aws", None),
        ] {
            assert_eq!(region_of_host(host), region, "{host}");
        }
    }
}
