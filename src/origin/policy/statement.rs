//! Statements, and how they are written.

use super::names::DistributionArn;
use std::fmt;

/// A resource policy. `Display` writes the whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<String>,
}

impl Policy {
    pub(super) fn of<const N: usize>(statements: [Statement<'_>; N]) -> Self {
        Self {
            statements: statements.iter().map(Statement::to_string).collect(),
        }
    }

    /// Each statement as a JSON object, to be added to a policy that is there already.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().map(String::as_str)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    ")?;
        let indented: Vec<String> = self
            .statements
            .iter()
            .map(|statement| statement.replace('\n', "\n    "))
            .collect();
        f.write_str(&indented.join(",\n    "))?;
        f.write_str("\n  ]\n}")
    }
}

/// One statement that allows. Everything in it is fixed or checked: nothing has to be escaped.
pub(super) struct Statement<'a> {
    pub(super) sid: &'static str,
    pub(super) principal: Principal<'a>,
    pub(super) actions: &'a [&'static str],
    pub(super) resource: String,
    /// The distribution that it holds for.
    pub(super) condition: Option<&'a DistributionArn>,
    pub(super) via_function_url: bool,
}

pub(super) enum Principal<'a> {
    CloudFront,
    /// The id of an origin access identity.
    Identity(&'a str),
}

impl<'a> Statement<'a> {
    pub(super) fn of_cloudfront(
        sid: &'static str,
        actions: &'a [&'static str],
        resource: String,
        distribution: &'a DistributionArn,
    ) -> Self {
        Self {
            sid,
            principal: Principal::CloudFront,
            actions,
            resource,
            condition: Some(distribution),
            via_function_url: false,
        }
    }
}

impl fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sid,
            principal,
            resource,
            ..
        } = self;
        let actions = self.actions.join("\", \"");
        write!(
            f,
            "{{\n  \"Sid\": \"{sid}\",\n  \"Effect\": \"Allow\",\n  \"Principal\": {principal},\n  \"Action\": [\"{actions}\"],\n  \
             \"Resource\": \"{resource}\""
        )?;
        if let Some(distribution) = self.condition {
            write!(
                f,
                ",\n  \"Condition\": {{\"StringEquals\": {{\"AWS:SourceArn\": \"{distribution}\"}}"
            )?;
            if self.via_function_url {
                f.write_str(", \"Bool\": {\"lambda:InvokedViaFunctionUrl\": \"true\"}")?;
            }
            f.write_str("}")?;
        }
        f.write_str("\n}")
    }
}

impl fmt::Display for Principal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CloudFront => f.write_str("{\"Service\": \"cloudfront.amazonaws.com\"}"),
            Self::Identity(id) => {
                let user = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity";
                write!(f, "{{\"AWS\": \"{user} {id}\"}}")
            }
        }
    }
}
