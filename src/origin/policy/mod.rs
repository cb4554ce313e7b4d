//! What the owner of an origin in AWS has to attach to it, so that a CloudFront distribution may ask it: resource policies in JSON, and a
//! statement for the policy of a key.
//!
//! They go with origin access control: the principal is CloudFront's, which all of its customers share, and so each statement
//! holds for one distribution only. They are for a distribution of CloudFront in front of the origin; what
//! [`SignLayer`](super::SignLayer) signs with is an identity of IAM, which needs a policy of its own.
//!
//! Everything that gets into the JSON is checked first. Only the partition `aws` is known: not China, not GovCloud.
//!
//! ```
//! use frontage::origin::policy::{DistributionArn, s3_bucket};
//!
//! let distribution = DistributionArn::new("111122223333", "EDFDVBD6EXAMPLE")?;
//! let policy = s3_bucket("assets", &distribution)?;
//! assert_eq!(policy.to_string(), r#"{
//!   "Version": "2012-10-17",
//!   "Statement": [
//!     {
//!       "Sid": "AllowCloudFront",
//!       "Effect": "Allow",
//!       "Principal": {"Service": "cloudfront.amazonaws.com"},
//!       "Action": ["s3:GetObject"],
//!       "Resource": "arn:aws:s3:::assets/*",
//!       "Condition": {"StringEquals": {"AWS:SourceArn": "arn:aws:cloudfront::111122223333:distribution/EDFDVBD6EXAMPLE"}}
//!     }
//!   ]
//! }"#);
//! # Ok::<(), frontage::ConfigError>(())
//! ```

mod names;
mod statement;

pub use names::DistributionArn;
pub use statement::Policy;

use crate::error::ConfigError;
use names::{bucket, function_arn, identity};
use statement::{Principal, Statement};

/// For a bucket of S3: the distribution may read its objects.
///
/// Without permission to list the bucket, S3 answers 403 where an object isn't there. The bucket's Object Ownership must be "bucket
/// owner enforced", or "bucket owner preferred" where ACLs are needed.
///
/// # Errors
///
/// For a bucket's name that can't be one by the rules of today.
pub fn s3_bucket(name: &str, distribution: &DistributionArn) -> Result<Policy, ConfigError> {
    Ok(Policy::of([objects(
        bucket(name)?,
        &["s3:GetObject"],
        distribution,
    )]))
}

/// For a bucket of S3: the distribution may read its objects and put new ones.
///
/// # Errors
///
/// As for [`s3_bucket`].
pub fn s3_bucket_read_write(
    name: &str,
    distribution: &DistributionArn,
) -> Result<Policy, ConfigError> {
    let actions = ["s3:GetObject", "s3:PutObject"];
    Ok(Policy::of([objects(bucket(name)?, &actions, distribution)]))
}

/// For a bucket of S3 on its way from an origin access identity to origin access control: both may read. Once the
/// distribution is deployed with the latter, [`s3_bucket`] takes this one's place.
///
/// `identity` is the bare id, such as `E127EXAMPLE51Z`.
///
/// ```
/// use frontage::origin::policy::{DistributionArn, s3_bucket_migration};
///
/// let distribution = DistributionArn::new("111122223333", "EDFDVBD6EXAMPLE")?;
/// let policy = s3_bucket_migration("assets", &distribution, "E127EXAMPLE51Z")?;
/// let identity = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E127EXAMPLE51Z";
/// assert!(policy.statements().any(|statement| statement.contains(identity)));
/// # Ok::<(), frontage::ConfigError>(())
/// ```
///
/// # Errors
///
/// As for [`s3_bucket`], and for an id that can't be one.
pub fn s3_bucket_migration(
    name: &str,
    distribution: &DistributionArn,
    origin_access_identity: &str,
) -> Result<Policy, ConfigError> {
    let name = bucket(name)?;
    let legacy = Statement {
        sid: "AllowOriginAccessIdentity",
        principal: Principal::Identity(identity(origin_access_identity)?),
        actions: &["s3:GetObject"],
        resource: format!("arn:aws:s3:::{name}/*"),
        condition: None,
        via_function_url: false,
    };
    Ok(Policy::of([
        objects(name, &["s3:GetObject"], distribution),
        legacy,
    ]))
}

fn objects<'a>(
    bucket: &str,
    actions: &'a [&'static str],
    distribution: &'a DistributionArn,
) -> Statement<'a> {
    Statement::of_cloudfront(
        "AllowCloudFront",
        actions,
        format!("arn:aws:s3:::{bucket}/*"),
        distribution,
    )
}

/// For the KMS key with which a bucket's objects are encrypted (SSE-KMS): one statement, a JSON object, to be added to those of
/// the key's policy. It is no policy of its own: with it alone, nobody could administer the key any more.
///
/// ```
/// use frontage::origin::policy::{DistributionArn, kms_key};
///
/// let statement = kms_key(&DistributionArn::new("111122223333", "EDFDVBD6EXAMPLE")?);
/// assert!(statement.starts_with("{\n  \"Sid\": \"AllowCloudFront\""));
/// assert!(statement.contains(r#""Action": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"]"#));
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[must_use]
pub fn kms_key(distribution: &DistributionArn) -> String {
    let actions = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"];
    // In a key's policy, `*` is the key.
    let resource = "*".to_owned();
    Statement::of_cloudfront("AllowCloudFront", &actions, resource, distribution).to_string()
}

/// For a Lambda function with a URL of the type `AWS_IAM`: the distribution may invoke it through that. The second statement
/// is needed by URLs made since October 2025; it allows nothing but what comes through the URL.
///
/// `arn` is the function's, with an alias or a version if the URL has one. Lambda takes each statement as one `AddPermission`.
///
/// ```
/// use frontage::origin::policy::{DistributionArn, lambda_function_url};
///
/// let distribution = DistributionArn::new("111122223333", "EDFDVBD6EXAMPLE")?;
/// let policy = lambda_function_url("arn:aws:lambda:eu-west-1:111122223333:function:render", &distribution)?;
/// assert!(policy.to_string().contains("lambda:InvokeFunctionUrl"));
/// # Ok::<(), frontage::ConfigError>(())
/// ```
///
/// # Errors
///
/// For an ARN that can't be a function's.
pub fn lambda_function_url(
    arn: &str,
    distribution: &DistributionArn,
) -> Result<Policy, ConfigError> {
    let arn = function_arn(arn)?;
    let statement =
        |sid, actions| Statement::of_cloudfront(sid, actions, arn.to_owned(), distribution);
    Ok(Policy::of([
        statement("AllowCloudFrontUrl", &["lambda:InvokeFunctionUrl"]),
        Statement {
            via_function_url: true,
            ..statement("AllowCloudFrontInvoke", &["lambda:InvokeFunction"])
        },
    ]))
}

#[cfg(test)]
mod tests;
