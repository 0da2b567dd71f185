//! The operator's credentials, for the requests that the host signs for handlers.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials as SdkCredentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError as SdkError;
use aws_sdk_cloudformation::config::Region as SdkRegion;
use formwork_host::clock::{Clock, SystemClock};
use formwork_host::model::{Credentials, Region};
use formwork_host::sandbox::{CredentialsError, CredentialsSource};
use tokio::sync::Mutex;

/// How long before they expire credentials are no more given out: longer than an
/// invocation usually takes.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long nobody looks for others once credentials have been fetched, though AWS
/// refuses them.
const AGAIN: Duration = Duration::from_secs(60);

/// What the sessions of assumed roles are named, as audit logs show them.
const SESSION: &str = "formwork";

/// The region whose STS is asked where nothing says another.
const FALLBACK: &str = "us-east-1";

/// Credentials of the operator, from where the AWS tools find them.
///
/// Those that expire are kept until five minutes before they do; others are looked
/// up each time, so that a changed profile holds from the next invocation on.
pub struct AwsCredentials {
    origin: Origin,
    region: Option<Region>,
    kept: Mutex<Option<Fetched>>,
}

/// What was fetched last, and when.
struct Fetched {
    credentials: SdkCredentials,
    at: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Profile(String),
    Role(String),
    WebIdentity,
}

impl AwsCredentials {
    /// Uses a profile of the AWS configuration files, whatever it says: keys, a role
    /// to assume, a token file, a process.
    #[must_use]
    pub fn profile(name: impl Into<String>) -> Self {
        Self::new(Origin::Profile(name.into()))
    }

    /// Assumes a role, by its ARN, with the credentials that this process has.
    #[must_use]
    pub fn role(arn: impl Into<String>) -> Self {
        Self::new(Origin::Role(arn.into()))
    }

    /// Assumes the role of `AWS_ROLE_ARN` with the token in the file of
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`.
    #[must_use]
    pub fn web_identity() -> Self {
        Self::new(Origin::WebIdentity)
    }

    fn new(origin: Origin) -> Self {
        Self {
            origin,
            region: None,
            kept: Mutex::new(None),
        }
    }

    /// Asks the STS of this region. Default: that of the AWS tools, or us-east-1.
    #[must_use]
    pub fn region(mut self, region: Region) -> Self {
        self.region = Some(region);
        self
    }

    /// Says why there are no credentials, which is logged.
    ///
    /// Only the kind of error is told: its words can be those that a process of the
    /// operator's has written to its standard error.
    fn failed(&self, error: &SdkError) -> CredentialsError {
        let kind = match error {
            SdkError::CredentialsNotLoaded(_) => "none are set up there",
            SdkError::ProviderTimedOut(_) => "there was no answer in time",
            SdkError::InvalidConfiguration(_) => "the AWS configuration of it is wrong",
            SdkError::ProviderError(_) => "who should give them has refused or failed",
            _ => "they could not be fetched",
        };
        let asked = match &self.origin {
            Origin::Profile(name) => format!("aws sts get-caller-identity --profile {name}"),
            Origin::Role(arn) => {
                format!("aws sts assume-role --role-arn {arn} --role-session-name {SESSION}")
            }
            Origin::WebIdentity => "aws sts get-caller-identity".to_owned(),
        };
        CredentialsError::new(format!("{kind}; `{asked}` tells why"))
    }

    async fn fetch(&self) -> Result<SdkCredentials, SdkError> {
        let region = match &self.region {
            Some(region) => SdkRegion::new(region.as_str().to_owned()),
            None => aws_config::default_provider::region::DefaultRegionChain::builder()
                .build()
                .region()
                .await
                .unwrap_or(SdkRegion::from_static(FALLBACK)),
        };
        let config = ProviderConfig::default().with_region(Some(region.clone()));
        match &self.origin {
            Origin::Profile(name) => {
                ProfileFileCredentialsProvider::builder()
                    .configure(&config)
                    .profile_name(name)
                    .build()
                    .provide_credentials()
                    .await
            }
            Origin::Role(arn) => {
                let base = aws_config::defaults(BehaviorVersion::latest())
                    .region(region)
                    .load()
                    .await;
                AssumeRoleProvider::builder(arn)
                    .session_name(SESSION)
                    .configure(&base)
                    .build()
                    .await
                    .provide_credentials()
                    .await
            }
            Origin::WebIdentity => {
                WebIdentityTokenCredentialsProvider::builder()
                    .configure(&config)
                    .build()
                    .provide_credentials()
                    .await
            }
        }
    }
}

#[async_trait]
impl CredentialsSource for AwsCredentials {
    async fn credentials(
        &self,
        refused: Option<&Credentials>,
    ) -> Result<Credentials, CredentialsError> {
        // Whoever comes while credentials are fetched waits for the same ones.
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept
            && kept.will_do(refused, now())
        {
            return Ok(host_credentials(&kept.credentials));
        }
        let credentials = self.fetch().await.map_err(|error| self.failed(&error))?;
        let at = now();
        let fetched = kept.insert(Fetched { credentials, at });
        Ok(host_credentials(&fetched.credentials))
    }
}

impl Fetched {
    /// Tells whether they can be given out at `now` to one whose credentials are
    /// `refused`. Where they are the very ones, others are not looked for again so soon:
    /// who uses them may have brought the refusal about.
    fn will_do(&self, refused: Option<&Credentials>, now: SystemTime) -> bool {
        if refused == Some(&host_credentials(&self.credentials)) {
            let age = now.duration_since(self.at);
            return age.is_ok_and(|age| age < AGAIN);
        }
        let expiry = self.credentials.expiry();
        expiry.is_some_and(|expiry| now + MARGIN < expiry)
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(SystemClock::new().now().as_millis())
}

fn host_credentials(credentials: &SdkCredentials) -> Credentials {
    Credentials {
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: credentials.secret_access_key().to_owned(),
        session_token: credentials.session_token().map(str::to_owned),
    }
}

impl fmt::Display for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Profile(name) => write!(f, "the profile `{name}`"),
            Origin::Role(arn) => write!(f, "the role `{arn}`"),
            Origin::WebIdentity => f.write_str("the web identity of this process"),
        }
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(at: SystemTime, seconds: Option<u64>) -> Fetched {
        let expiry = seconds.map(|seconds| at + Duration::from_secs(seconds));
        let credentials = SdkCredentials::new("AKID", "secret", None, expiry, "test");
        Fetched { credentials, at }
    }

    #[test]
    fn credentials_that_are_refused_are_not_fetched_again_at_once() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let fetched = fetched(at, Some(3_600));
        let refused = host_credentials(&fetched.credentials);
        let mut others = refused.clone();
        others.access_key_id = "OTHER".to_owned();
        for (refused, seconds, will_do) in [
            (&refused, 59, true),
            (&refused, 60, false),
            (&others, 60, true),
        ] {
            let now = at + Duration::from_secs(seconds);
            assert_eq!(fetched.will_do(Some(refused), now), will_do, "{seconds}");
        }
    }

    #[test]
    fn credentials_are_kept_until_shortly_before_they_expire() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let good = |seconds: Option<u64>| fetched(now, seconds).will_do(None, now);
        assert!(good(Some(301)));
        assert!(!good(Some(300)));
        assert!(
            !good(None),
            "what may change without notice is looked up anew"
        );
    }
    #[test]
    fn what_a_process_has_said_is_no_cause() {
        const SAID: &str = "denied, with the password hunter2";
        for (error, words) in [
            (SdkError::provider_error(SAID), "has refused or failed"),
            (SdkError::invalid_configuration(SAID), "is wrong"),
            (SdkError::not_loaded(SAID), "none are set up"),
            (SdkError::unhandled(SAID), "could not be fetched"),
        ] {
            let failed = AwsCredentials::profile("deploy").failed(&error);
            let cause = std::error::Error::source(&failed).map(ToString::to_string);
            let cause = cause.expect("it has one");
            assert!(
                cause.contains(words) && cause.contains("--profile deploy"),
                "{cause}"
            );
            assert!(!format!("{failed:?}").contains("hunter2"), "{failed:?}");
        }
    }
}
