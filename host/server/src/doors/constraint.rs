//! The constraints of the members of a request, in the words of AWS's validation.
//!
//! The SDKs check little more than that required members are there, so that a
//! wrong length, pattern or value of an enumeration arrives here.

use formwork_host::model::TypeName;

/// The longest value that is repeated to the caller.
const SHOWN: usize = 200;

/// What a text must be like. Lengths are counted in UTF-16 code units, the
/// strictest meaning of "characters".
pub(super) struct Rule {
    least: usize,
    most: usize,
    pattern: &'static str,
    fits: fn(&str) -> bool,
    /// Whether the text may hold secrets, and is not repeated.
    sensitive: bool,
}

pub(super) const TYPE_NAME: Rule = Rule {
    least: 10,
    most: 196,
    pattern: "[A-Za-z0-9]{2,64}::[A-Za-z0-9]{2,64}::[A-Za-z0-9]{2,64}",
    fits: |text| text.parse::<TypeName>().is_ok(),
    sensitive: false,
};

pub(super) const TYPE_VERSION_ID: Rule = Rule {
    least: 1,
    most: 128,
    pattern: "[A-Za-z0-9-]+",
    fits: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
    sensitive: false,
};

pub(super) const ROLE_ARN: Rule = Rule {
    least: 20,
    most: 2_048,
    pattern: "arn:.+:iam::[0-9]{12}:role/.+",
    fits: is_role,
    sensitive: false,
};

/// The rule of `ClientToken`, of `RequestToken` and of the `NextToken` of
/// `ListResourceRequests`, but for the length.
const fn token(most: usize) -> Rule {
    Rule {
        least: 1,
        most,
        pattern: "[-A-Za-z0-9+/=]+",
        fits: |text| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-+/=".contains(&b))
        },
        sensitive: false,
    }
}

pub(super) const TOKEN: Rule = token(128);

pub(super) const NEXT_TOKEN: Rule = token(2_048);

/// The rule of texts of one line.
const fn line(most: usize) -> Rule {
    Rule {
        least: 1,
        most,
        pattern: ".+",
        fits: is_line,
        sensitive: false,
    }
}

pub(super) const IDENTIFIER: Rule = line(1_024);

pub(super) const HANDLER_NEXT_TOKEN: Rule = line(4_096);

/// The rule of texts that can be anything and hold secrets.
const fn secret(most: usize) -> Rule {
    Rule {
        least: 1,
        most,
        pattern: r"[\s\S]*",
        fits: |_| true,
        sensitive: true,
    }
}

/// The rule of `DesiredState`, `PatchDocument` and `ResourceModel`.
pub(super) const JSON: Rule = secret(262_144);

/// The rule of the `Configuration` of a type.
pub(super) const CONFIGURATION: Rule = secret(204_800);

/// The rule of the `BearerToken` of RecordHandlerProgress.
pub(super) const BEARER_TOKEN: Rule = secret(128);

/// The rule of the `ResourceModel` of RecordHandlerProgress.
pub(super) const RECORDED_MODEL: Rule = secret(16_384);

/// The rule of the `StatusMessage` of RecordHandlerProgress.
pub(super) const STATUS_MESSAGE: Rule = Rule {
    least: 0,
    ..secret(1_024)
};

/// The rule of the `ClientRequestToken` of the registry and of
/// RecordHandlerProgress, where clients give the bearer token once more.
pub(super) const CLIENT_REQUEST_TOKEN: Rule = Rule {
    sensitive: true,
    ..REGISTRATION_TOKEN
};

/// The rule of the name of a configuration.
pub(super) const ALIAS: Rule = Rule {
    least: 1,
    most: 256,
    pattern: "^[a-zA-Z0-9]{1,256}$",
    fits: |text| text.bytes().all(|b| b.is_ascii_alphanumeric()),
    sensitive: false,
};

/// The rule of the ARNs of the registry, which are told apart where they are read.
pub(super) const ARN: Rule = line(1_024);

/// The rule of `SchemaHandlerPackage`.
pub(super) const PACKAGE: Rule = line(4_096);

/// The rule of `RegistrationToken`.
pub(super) const REGISTRATION_TOKEN: Rule = Rule {
    least: 1,
    most: 128,
    pattern: "[a-zA-Z0-9][-a-zA-Z0-9]*",
    fits: is_word,
    sensitive: false,
};

/// The rule of the `NextToken` of the registry.
pub(super) const REGISTRY_NEXT_TOKEN: Rule = line(1_024);

/// The rule of the beginning of a type name.
pub(super) const TYPE_NAME_PREFIX: Rule = Rule {
    least: 1,
    most: 204,
    pattern: "([A-Za-z0-9]{2,64}::){0,2}([A-Za-z0-9]{2,64}:?){0,1}",
    fits: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b':'),
    sensitive: false,
};

/// The rule of the name of a session of STS.
pub(super) const SESSION_NAME: Rule = Rule {
    least: 2,
    most: 64,
    pattern: r"[\w+=,.@-]*",
    fits: |text| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
    },
    sensitive: false,
};

impl Rule {
    /// Tells whether a text of our own keeps the rule.
    pub(super) fn allows(&self, text: &str) -> bool {
        (self.least..=self.most).contains(&length(text)) && (self.fits)(text)
    }
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Tells whether `.+` matches the whole text.
fn is_line(text: &str) -> bool {
    !text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
}

fn is_word(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_role(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("arn:") else {
        return false;
    };
    is_line(text)
        && rest.match_indices(":iam::").any(|(partition, between)| {
            let (account, role) = rest[partition + between.len()..]
                .split_once(":role/")
                .unwrap_or_default();
            partition > 0
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && !role.is_empty()
        })
}

/// Takes the members of a request and notes all that is wrong with them.
#[derive(Default)]
pub(super) struct Members {
    wrong: Vec<String>,
}

impl Members {
    fn note(&mut self, value: Option<&str>, name: &str, rule: &str) {
        let value = value.map(|value| format!("{value} ")).unwrap_or_default();
        self.wrong.push(format!(
            "Value {value}at '{name}' failed to satisfy constraint: {rule}"
        ));
    }

    /// Takes a text that may be missing.
    pub(super) fn optional(
        &mut self,
        name: &str,
        text: Option<String>,
        rule: &Rule,
    ) -> Option<String> {
        let text = text?;
        let shown = (!rule.sensitive).then(|| shown(&text));
        let length = length(&text);
        let mut broken = Vec::new();
        if length < rule.least {
            let least = rule.least;
            broken.push(format!(
                "Member must have length greater than or equal to {least}"
            ));
        }
        if length > rule.most {
            let most = rule.most;
            broken.push(format!(
                "Member must have length less than or equal to {most}"
            ));
        }
        if length > 0 && !(rule.fits)(&text) {
            let pattern = rule.pattern;
            broken.push(format!(
                "Member must satisfy regular expression pattern: {pattern}"
            ));
        }
        for rule in &broken {
            self.note(shown.as_deref(), name, rule);
        }
        broken.is_empty().then_some(text)
    }

    /// Takes a text that must be there.
    pub(super) fn required(
        &mut self,
        name: &str,
        text: Option<String>,
        rule: &Rule,
    ) -> Option<String> {
        if text.is_none() {
            self.missing(name);
        }
        self.optional(name, text, rule)
    }

    /// Says that a member is missing.
    pub(super) fn missing(&mut self, name: &str) {
        self.note(Some("null"), name, "Member must not be null");
    }

    /// Reads a text that is not repeated.
    pub(super) fn parsed<T, E: ToString>(
        &mut self,
        name: &str,
        text: String,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let parsed = parse(text).map_err(|rule| self.note(None, name, &rule.to_string()));
        parsed.ok()
    }

    /// Takes a number that may be missing.
    pub(super) fn number(
        &mut self,
        name: &str,
        number: Option<i64>,
        least: u32,
        most: u32,
    ) -> Option<u32> {
        let number = number?;
        let rule = if number < i64::from(least) {
            format!("Member must have value greater than or equal to {least}")
        } else if number > i64::from(most) {
            format!("Member must have value less than or equal to {most}")
        } else {
            return u32::try_from(number).ok();
        };
        self.note(Some(&format!("'{number}'")), name, &rule);
        None
    }

    /// Takes the members of a list, each a value of an enumeration.
    pub(super) fn values<T: Copy>(
        &mut self,
        name: &str,
        texts: Option<Vec<String>>,
        all: &[T],
        as_str: impl Fn(T) -> &'static str,
    ) -> Vec<T> {
        let mut found = Vec::new();
        let texts = texts.unwrap_or_default();
        for text in &texts {
            if let Some(value) = all.iter().find(|value| as_str(**value) == text) {
                found.push(*value);
            }
        }
        if found.len() < texts.len() {
            let rule = enumeration(all, as_str);
            let rule = format!("Member must satisfy constraint: [{rule}]");
            self.note(Some(&shown(&texts.join(", "))), name, &rule);
        }
        found
    }

    /// Takes a value of an enumeration that may be missing.
    pub(super) fn value<T: Copy>(
        &mut self,
        name: &str,
        text: Option<String>,
        all: &[T],
        as_str: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = text?;
        let found = all.iter().find(|value| as_str(**value) == text);
        if found.is_none() {
            let rule = enumeration(all, as_str);
            self.note(Some(&shown(&text)), name, &rule);
        }
        found.copied()
    }

    /// Says what is wrong with the request, if anything is.
    pub(super) fn end(self) -> Result<(), String> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        let plural = if self.wrong.len() == 1 { "" } else { "s" };
        Err(format!(
            "{} validation error{plural} detected: {}",
            self.wrong.len(),
            self.wrong.join("; ")
        ))
    }
}

fn enumeration<T: Copy>(all: &[T], as_str: impl Fn(T) -> &'static str) -> String {
    let names: Vec<_> = all.iter().map(|value| as_str(*value)).collect();
    format!("Member must satisfy enum value set: [{}]", names.join(", "))
}

fn shown(text: &str) -> String {
    let visible: String = text
        .chars()
        .filter(|char| !char.is_control())
        .take(SHOWN)
        .collect();
    format!("'{visible}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_takes_what_its_pattern_says() {
        for (rule, good, bad) in [
            (
                &TYPE_NAME,
                vec!["AWS::S3::Bucket", "Ab::Cd::Ef"],
                vec!["AWS::S3", "A::S3::Bucket", "AWS::S3::Bucket\n", ""],
            ),
            (&TYPE_VERSION_ID, vec!["00000001", "a-b"], vec!["a_b", ""]),
            (
                &ROLE_ARN,
                vec![
                    "arn:aws:iam::123456789012:role/a",
                    "arn:x:iam::1:iam::123456789012:role/a",
                ],
                vec![
                    "arn:aws:iam::12345678901:role/a",
                    "arn::iam::123456789012:role/a",
                    "arn:aws:iam::123456789012:role/",
                    "arn:aws:iam::123456789012:user/a",
                    "xarn:aws:iam::123456789012:role/a",
                ],
            ),
            (&TOKEN, vec!["a", "-+/="], vec!["", "a_b", "a b", "ä"]),
            (
                &IDENTIFIER,
                vec!["a|b", "{\"a\": 1}", "ä"],
                vec!["", "a\nb"],
            ),
            (&JSON, vec!["{}", "\n", "\u{1f600}"], vec![""]),
        ] {
            for text in good {
                assert!(rule.allows(text), "{text:?}");
            }
            for text in bad {
                assert!(!rule.allows(text), "{text:?}");
            }
        }
        assert!(TOKEN.allows(&"a".repeat(128)) && !TOKEN.allows(&"a".repeat(129)));
        assert!(JSON.allows(&"a".repeat(262_144)) && !JSON.allows(&"\u{1f600}".repeat(131_073)));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_and_no_secret_is_repeated() {
        let mut members = Members::default();
        members.required("typeName", None, &TYPE_NAME);
        members.required("clientToken", Some("a b".to_owned()), &TOKEN);
        members.required("desiredState", Some("s".repeat(262_145)), &JSON);
        members.number("maxResults", Some(101), 1, 100);
        members.values("operations", Some(vec!["A".to_owned()]), &["B"], |text| {
            text
        });
        assert_eq!(
            members.end(),
            Err("5 validation errors detected: \
                Value null at 'typeName' failed to satisfy constraint: Member must not be null; \
                Value 'a b' at 'clientToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [-A-Za-z0-9+/=]+; \
                Value at 'desiredState' failed to satisfy constraint: Member must have length less than or equal to 262144; \
                Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100; \
                Value 'A' at 'operations' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [B]]"
                .to_owned())
        );
    }
}
