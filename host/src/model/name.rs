//! Names of types, places and resources.

use std::fmt;
use std::str::FromStr;

/// Says which name a text is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no {what}: it must be {rule}")]
pub struct InvalidName {
    what: &'static str,
    value: String,
    rule: &'static str,
}

impl InvalidName {
    pub(crate) fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self {
            what,
            value: value.to_owned(),
            rule,
        }
    }
}

/// Writes the newtype of a name: text in by `FromStr`, out by `Display`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Gives the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName::new($what, text, $rule))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// The name of a resource type: `Organization::Service::Resource`.
    ///
    /// The rule is that of `typeName` in the resource type definition schema.
    TypeName,
    "resource type name",
    "three parts of 2 to 64 letters and digits, joined by `::`",
    |text| {
        let mut parts = 0;
        text.split("::").all(|part| {
            parts += 1;
            (2..=64).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        }) && parts == 3
    }
);

name!(
    /// The number of an AWS account.
    AccountId,
    "account number",
    "12 digits",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
);

name!(
    /// The name of a region, such as `eu-central-1`.
    Region,
    "region",
    "1 to 64 lower-case letters, digits and hyphens",
    |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
);

impl Region {
    /// Gives the partition that the region lies in.
    ///
    /// The prefixes are those of the endpoints data that the AWS SDKs share.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        const PREFIXES: [(&str, &str); 6] = [
            ("cn-", "aws-cn"),
            ("us-gov-", "aws-us-gov"),
            ("us-iso-", "aws-iso"),
            ("us-isob-", "aws-iso-b"),
            ("eu-isoe-", "aws-iso-e"),
            ("us-isof-", "aws-iso-f"),
        ];
        PREFIXES
            .into_iter()
            .find(|(prefix, _)| self.0.starts_with(prefix))
            .map_or("aws", |(_, partition)| partition)
    }
}

/// The account and region that a resource lives in, as far as they are known.
///
/// Resources of different scopes never collide, nor do client tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The account.
    pub account: Option<AccountId>,
    /// The region.
    pub region: Option<Region>,
}

/// The values of the properties that name a resource, in the schema's order.
///
/// Its text joins the parts by `|`, as Cloud Control does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PrimaryIdentifier(Vec<String>);

impl PrimaryIdentifier {
    /// Makes an identifier of `parts`, or none if there are none or one is empty.
    #[must_use]
    pub fn new(parts: Vec<String>) -> Option<Self> {
        (!parts.is_empty() && parts.iter().all(|part| !part.is_empty())).then_some(Self(parts))
    }

    /// Gives the parts, in the schema's order.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for PrimaryIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.join("|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_name_has_three_alphanumeric_parts() {
        for good in ["AWS::S3::Bucket", "Acme::Storage2::Ab"] {
            assert!(good.parse::<TypeName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "AWS",
            "AWS::S3",
            "A::S3::Bucket",
            "AWS::S3::Bucket::X",
            "AWS::S-3::Bucket",
            "AWS:S3:Bucket",
        ] {
            assert!(bad.parse::<TypeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_the_thing_the_value_and_the_rule() {
        let refusal = "12".parse::<AccountId>().map_err(|e| e.to_string());
        assert_eq!(
            refusal,
            Err("`12` is no account number: it must be 12 digits".to_owned())
        );
    }

    #[test]
    fn a_region_knows_its_partition() {
        for (region, partition) in [
            ("eu-central-1", "aws"),
            ("us-gov-west-1", "aws-us-gov"),
            ("cn-north-1", "aws-cn"),
            ("us-isob-east-1", "aws-iso-b"),
        ] {
            assert_eq!(
                region.parse::<Region>().map(|r| r.partition()),
                Ok(partition)
            );
        }
    }

    #[test]
    fn an_identifier_has_no_empty_part() {
        assert!(PrimaryIdentifier::new(vec![]).is_none());
        assert!(PrimaryIdentifier::new(vec!["a".into(), String::new()]).is_none());
    }
}
