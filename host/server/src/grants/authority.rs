//! The words of what the host puts on requests: signatures and secrets.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use formwork_cloudformation::AwsCredentials;
use formwork_host::model::Region;
use formwork_host::sandbox::{
    HttpPattern, HttpPatternError, SecretGrant, SigningError, SigningGrant, SigningSource,
};

use crate::environment::Environment;

/// How `sign=` is written.
const SIGN: &str = "`sign=PATTERN as SERVICE [in REGION] [with SOURCE [or SOURCE]…]`, where a \
    SOURCE is `caller`, `profile NAME`, `role ARN` or `web-identity`, such as \
    `sign=https://*.s3.eu-central-1.amazonaws.com as s3 with caller or profile deploy`";

/// How `secret=` is written.
const SECRET: &str = "`secret=PATTERN as FIELD[: WORD] from file PATH` or `… from environment \
    NAME`, such as `secret=https://api.example.com as Authorization: Bearer from file token`";

/// Has requests signed: what follows `sign=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    requests: HttpPattern,
    service: String,
    /// None is that of the request.
    region: Option<Region>,
    sources: Vec<Source>,
}

/// Whose credentials are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Caller,
    Profile(String),
    Role(String),
    WebIdentity,
}

/// Has a secret put on requests: what follows `secret=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    requests: HttpPattern,
    field: String,
    /// What stands before the secret in its field, such as `Bearer`.
    word: Option<String>,
    place: Place,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Environment(String),
}

/// Says why something cannot be put on requests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    // Who prints a wrong argument or setting prints no causes.
    #[error("`sign={text}`: {rule}; write {SIGN}")]
    Sign { text: String, rule: String },
    #[error("`secret={}`: {rule}; write {SECRET}", understood(requests.as_ref()))]
    Secret {
        requests: Option<HttpPattern>,
        rule: String,
    },
    #[error("cannot use the secret in the file `{}`: give a file that this user may read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("there is no secret in {place}: it is empty, or not there")]
    Empty { place: String },
    #[error("cannot use the secret in {place}")]
    Unusable { place: String, source: SigningError },
}

/// Gives what was understood of a secret's grant; what was not may be the secret.
fn understood(requests: Option<&HttpPattern>) -> String {
    requests.map_or_else(|| "…".to_owned(), |requests| format!("{requests} as …"))
}

impl FromStr for Sign {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        Self::parse(text).map_err(|rule| AuthorityError::Sign {
            text: text.to_owned(),
            rule,
        })
    }
}

impl Sign {
    fn parse(text: &str) -> Result<Self, String> {
        let (requests, rest) = text
            .split_once(" as ")
            .ok_or("it does not say which service to sign for")?;
        let requests: HttpPattern = requests
            .parse()
            .map_err(|error: HttpPatternError| error.to_string())?;
        let (head, sources) = match rest.split_once(" with ") {
            Some((head, sources)) => (head, sources),
            None => (rest, "caller"),
        };
        let (service, region) = match head.split_once(" in ") {
            Some((service, region)) => {
                let region = region.parse().map_err(|error| format!("{error}"))?;
                (service, Some(region))
            }
            None => (head, None),
        };
        SigningGrant::check(&requests, service).map_err(|error| error.to_string())?;
        let sources: Vec<Source> = sources
            .split(" or ")
            .map(Source::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            requests,
            service: service.to_owned(),
            region,
            sources,
        })
    }

    /// Makes the grant. Credentials are looked up when they are needed.
    pub(super) fn resolve(&self) -> Result<SigningGrant, AuthorityError> {
        let operator = |credentials: AwsCredentials| {
            let credentials = match &self.region {
                Some(region) => credentials.region(region.clone()),
                None => credentials,
            };
            SigningSource::Operator(Arc::new(credentials))
        };
        let sources = self.sources.iter().map(|source| match source {
            Source::Caller => SigningSource::Caller,
            Source::Profile(name) => operator(AwsCredentials::profile(name)),
            Source::Role(arn) => operator(AwsCredentials::role(arn)),
            Source::WebIdentity => operator(AwsCredentials::web_identity()),
        });
        let grant = SigningGrant::new(
            self.requests.clone(),
            self.service.as_str(),
            self.region.clone(),
            sources.collect(),
        )
        .map_err(|error| AuthorityError::Sign {
            text: self.to_string(),
            rule: error.to_string(),
        })?;
        if grant.is_readable() {
            tracing::warn!(
                "the grant `sign={self}` shows session tokens to whoever is on the way, since it \
                 is over plain HTTP: use `https` unless that way is your own"
            );
        }
        if grant.has_rented_hosts() {
            tracing::warn!(
                "the grant `sign={self}` has session tokens shown to hosts that anybody can rent \
                 of AWS too, such as those of API Gateway: name the service's own, such as \
                 `https://*.s3.eu-central-1.amazonaws.com` or \
                 `https://dynamodb.eu-central-1.amazonaws.com`"
            );
        }
        Ok(grant)
    }
}

impl Source {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(' ') {
            None if text == "caller" => Ok(Self::Caller),
            None if text == "web-identity" => Ok(Self::WebIdentity),
            Some(("profile", name)) if !name.trim().is_empty() => {
                Ok(Self::Profile(name.to_owned()))
            }
            Some(("role", arn)) if arn.starts_with("arn:") && arn.contains(":role/") => {
                Ok(Self::Role(arn.to_owned()))
            }
            Some(("role", arn)) => Err(format!(
                "`{arn}` is no ARN of a role, such as `arn:aws:iam::123456789012:role/deploy`"
            )),
            Some(_) | None => Err(format!("`{text}` is no source of credentials")),
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.requests, self.service)?;
        if let Some(region) = &self.region {
            write!(f, " in {region}")?;
        }
        let mut between = " with ";
        for source in self
            .sources
            .iter()
            .filter(|_| self.sources != [Source::Caller])
        {
            f.write_str(between)?;
            between = " or ";
            match source {
                Source::Caller => f.write_str("caller")?,
                Source::Profile(name) => write!(f, "profile {name}")?,
                Source::Role(arn) => write!(f, "role {arn}")?,
                Source::WebIdentity => f.write_str("web-identity")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Secret {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        let (requests, rest) = match text.split_once(" as ") {
            Some((requests, rest)) => (requests, Some(rest)),
            None => (text, None),
        };
        let requests: Result<HttpPattern, HttpPatternError> = requests.parse();
        let wrong = |rule: &str| AuthorityError::Secret {
            requests: requests.as_ref().ok().cloned(),
            rule: rule.to_owned(),
        };
        let rest = rest.ok_or_else(|| {
            wrong("it does not say, behind ` as `, which header field the secret is for")
        })?;
        let Ok(pattern) = requests.clone() else {
            return Err(wrong(
                "what stands before ` as ` is no pattern of HTTP requests",
            ));
        };
        Self::parse(pattern, rest).map_err(|rule| wrong(&rule))
    }
}

impl Secret {
    /// Reads what follows the requests.
    fn parse(requests: HttpPattern, rest: &str) -> Result<Self, String> {
        let (field, place) = rest
            .split_once(" from ")
            .ok_or("it does not say where the secret is")?;
        let (field, word) = match field.split_once(": ") {
            Some((field, word)) => (field, Some(word.to_owned())),
            None => (field, None),
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !field.bytes().all(fits) {
            return Err("what stands behind ` as ` is no name of a header field".to_owned());
        }
        SecretGrant::check_field(&requests, field).map_err(|error| error.to_string())?;
        let place = match place.split_once(' ') {
            Some(("file", path)) if !path.is_empty() => Place::File(PathBuf::from(path)),
            Some(("environment", name)) if !name.is_empty() => Place::Environment(name.to_owned()),
            Some(_) | None => return Err("a secret is in a file or in the environment".to_owned()),
        };
        Ok(Self {
            requests,
            field: field.to_owned(),
            word,
            place,
        })
    }

    /// Reads the path of a file as one from `folder`.
    pub(super) fn below(self, folder: &Path) -> Self {
        let place = match self.place {
            Place::File(path) => Place::File(folder.join(path)),
            Place::Environment(name) => Place::Environment(name),
        };
        Self { place, ..self }
    }

    /// Gives the file that the secret is in, if it is in one.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Environment(_) => None,
        }
    }

    /// Reads the secret.
    pub(super) fn resolve(&self) -> Result<SecretGrant, AuthorityError> {
        let secret = match &self.place {
            Place::File(path) => {
                fs::read_to_string(path).map_err(|source| AuthorityError::Unreadable {
                    path: path.clone(),
                    source,
                })?
            }
            Place::Environment(name) => {
                Environment::secret(name).map_or_else(String::new, |secret| secret.0)
            }
        };
        let place = || self.place.to_string();
        let value = match (secret.trim(), &self.word) {
            ("", _) => return Err(AuthorityError::Empty { place: place() }),
            (secret, None) => secret.to_owned(),
            (secret, Some(word)) => format!("{word} {secret}"),
        };
        SecretGrant::new(self.requests.clone(), &self.field, &value).map_err(|source| {
            AuthorityError::Unusable {
                place: place(),
                source,
            }
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file `{}`", path.display()),
            Self::Environment(name) => write!(f, "the environment variable `{name}`"),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.requests, self.field)?;
        if let Some(word) = &self.word {
            write!(f, ": {word}")?;
        }
        match &self.place {
            Place::File(path) => write!(f, " from file {}", path.display()),
            Place::Environment(name) => write!(f, " from environment {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_on_requests_is_written_as_it_is_read() {
        for text in [
            "https://s3.eu-central-1.amazonaws.com as s3",
            "GET https://*.amazonaws.com/v1 as execute-api in eu-central-1",
            "http://127.0.0.1:5000 as s3 in us-east-1 with profile deploy",
            "https://*.amazonaws.com as s3 with caller or role arn:aws:iam::123456789012:role/a/b",
            "https://*.amazonaws.com as s3 with caller or web-identity",
        ] {
            assert_eq!(text.parse::<Sign>().expect(text).to_string(), text);
        }
        for text in [
            "https://api.example.com as X-Api-Key from file keys/api key",
            "https://api.example.com/v1 as Authorization: Bearer from environment API_TOKEN",
            "http://127.0.0.1:8000 as Authorization: Basic from file a",
        ] {
            assert_eq!(text.parse::<Secret>().expect(text).to_string(), text);
        }
        let said: Sign = "https://*.amazonaws.com as s3 with caller"
            .parse()
            .expect("words");
        assert_eq!(said.to_string(), "https://*.amazonaws.com as s3");
    }

    #[test]
    fn wrong_words_are_refused_with_their_rule() {
        for (text, rule) in [
            ("https://a.example", "which service"),
            ("a.example as s3", "names no scheme"),
            ("https://* as s3", "requests to any host"),
            ("http://*.a.example as s3", "read on the way"),
            ("https://a.example as S3", "no name of a service"),
            ("https://a.example as s3 in EU!", "region"),
            ("https://a.example as s3 with me", "`me` is no source"),
            ("https://a.example as s3 with role deploy", "no ARN"),
            ("https://a.example as s3 with profile ", "no source"),
            ("https://a.example as s3 with caller or", "no source"),
        ] {
            let refusal = text.parse::<Sign>().expect_err(text).to_string();
            assert!(refusal.contains(rule), "{text}: {refusal}");
        }
        for (text, rule) in [
            ("https://a.example", "which header field"),
            ("https://a.example as X-Api-Key", "where the secret is"),
            ("https://a.example as X-Api-Key from s3cr3t", "in a file or"),
            (
                "https://a.example as X-Api-Key: Bearer s3cr3t",
                "where the secret is",
            ),
            (
                "https://a.example as X-Api-Key:s3cr3t from file a",
                "no name of a header field",
            ),
            ("https://a.example s3cr3t", "which header field"),
            ("s3cr3t as X-Api-Key from file a", "no pattern of HTTP"),
            ("https://a.example as X-Api-Key from file ", "in a file or"),
            (
                "https://*.example as X-Api-Key from file a",
                "one server alone",
            ),
            (
                "https://a.example:* as X-Api-Key from file a",
                "one server alone",
            ),
            (
                "http://a.example as X-Api-Key from file a",
                "read on the way",
            ),
            (
                "https://a.example as Host from file a",
                "`Host` is no header field",
            ),
        ] {
            let refusal = text.parse::<Secret>().expect_err(text).to_string();
            assert!(refusal.contains(rule), "{text}: {refusal}");
            assert!(!refusal.contains("s3cr3t"), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_secret_is_read_from_its_file_and_never_shown() {
        let base = tempfile::tempdir().expect("a directory");
        let secret = |name: &str| -> Secret {
            let text = "https://a.example as Authorization: Bearer from file token";
            let secret: Secret = text.parse().expect("words");
            let place = Place::File(base.path().join(name));
            Secret { place, ..secret }
        };
        fs::write(base.path().join("token"), "s3cr3t\n").expect("a file");
        fs::write(base.path().join("empty"), "\n").expect("a file");
        fs::write(base.path().join("lines"), "s3cr3t\ns3cr3t").expect("a file");
        let granted = secret("token").resolve().expect("a secret");
        assert!(!format!("{granted:?}").contains("s3cr3t"));
        for (name, words) in [
            ("none", "may read"),
            ("empty", "there is no secret"),
            ("lines", "cannot use the secret"),
        ] {
            let refusal = secret(name).resolve().expect_err(name);
            assert!(refusal.to_string().contains(words), "{refusal}");
            assert!(!format!("{refusal:?}").contains("s3cr3t"));
        }
    }
}
