//! The reporter: a thin shell around the SDK's client.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_cloudformation::config::retry::RetryConfig;
use aws_sdk_cloudformation::config::timeout::TimeoutConfig;
use aws_sdk_cloudformation::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudformation::error::BoxError;
use formwork_host::engine::Reporter;
use formwork_host::model::{Credentials, Region};
use formwork_host::operation::{Delivery, PendingReport, ReportTarget};

use crate::classify::{chain_of, classify};
use crate::endpoint::{EndpointError, check_endpoint};
use crate::parameters::Parameters;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a whole call may take, so that the outbox is never held up for long.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Reports committed events to CloudFormation.
///
/// One client serves all reports; what a report's target says of endpoint,
/// region and credentials applies to its call alone. Connections are kept and
/// used again. The SDK's own retries are off: the engine's outbox retries.
pub struct CloudFormationReporter {
    client: Client,
    allow_plain_http: bool,
}

/// Settings of a [`CloudFormationReporter`].
#[derive(Clone, Debug)]
pub struct Builder {
    endpoint: Option<String>,
    region: Option<Region>,
    credentials: Option<Credentials>,
    allow_plain_http: bool,
    connect_timeout: Duration,
    call_timeout: Duration,
}

/// Says why a reporter cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The endpoint is not one that is called.
    #[error("cannot report to the endpoint in the settings")]
    Endpoint(#[from] EndpointError),
    /// Neither the settings nor the environment name a region.
    #[error(
        "no region to report to: name one in the reporter's settings, in AWS_REGION or in the AWS profile"
    )]
    NoRegion,
}

impl CloudFormationReporter {
    /// Gives the default settings: region, endpoint and credentials from where
    /// the AWS SDK finds them, `https` only, 3 s for a connection, 10 s for a call.
    #[must_use]
    pub const fn builder() -> Builder {
        Builder {
            endpoint: None,
            region: None,
            credentials: None,
            allow_plain_http: false,
            connect_timeout: CONNECT_TIMEOUT,
            call_timeout: CALL_TIMEOUT,
        }
    }

    async fn send(&self, target: &ReportTarget, parameters: Parameters) -> Delivery {
        let settings = match self.settings_of(target) {
            Ok(settings) => settings,
            Err(error) => {
                return Delivery::Refused {
                    reason: chain_of(&error),
                };
            }
        };
        let result = self
            .client
            .record_handler_progress()
            .bearer_token(target.bearer_token.reveal())
            .operation_status(parameters.operation_status)
            .current_operation_status(parameters.current_operation_status)
            .set_status_message(parameters.status_message)
            .set_error_code(parameters.error_code)
            .set_resource_model(parameters.resource_model)
            .client_request_token(parameters.client_request_token)
            .customize()
            .config_override(settings)
            .interceptor(ExpectResponse)
            .send()
            .await;
        match result {
            Ok(_) => Delivery::Accepted,
            Err(error) => {
                let mut secrets = vec![target.bearer_token.reveal()];
                if let Some(credentials) = &target.credentials {
                    secrets.push(&credentials.secret_access_key);
                    secrets.extend(credentials.session_token.as_deref());
                }
                classify(&error, &secrets)
            }
        }
    }

    /// Gives what a target has in place of the reporter's own settings.
    fn settings_of(
        &self,
        target: &ReportTarget,
    ) -> Result<aws_sdk_cloudformation::config::Builder, EndpointError> {
        let mut settings = aws_sdk_cloudformation::config::Builder::new();
        if let Some(endpoint) = &target.endpoint {
            settings = settings.endpoint_url(check_endpoint(endpoint, self.allow_plain_http)?);
        }
        if let Some(region) = &target.region {
            settings = settings.region(sdk_region(region));
        }
        if let Some(credentials) = &target.credentials {
            settings = settings.credentials_provider(sdk_credentials(credentials));
        }
        Ok(settings)
    }
}

impl Builder {
    /// Reports to this endpoint unless a request names another.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Signs for this region unless a request names another.
    #[must_use]
    pub fn region(mut self, region: Region) -> Self {
        self.region = Some(region);
        self
    }

    /// Signs with these credentials unless a request brings others, instead of
    /// those that the SDK's default provider chain finds.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Allows plain `http` endpoints beyond the loopback interface, for
    /// emulators in a network that you trust: the bearer token is readable on
    /// the way. Default false.
    #[must_use]
    pub const fn allow_plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// Waits so long for a connection. Default 3 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Gives a whole call so long. Default 10 s.
    #[must_use]
    pub const fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Makes the reporter, and reads the AWS environment and profile for what
    /// the settings leave open. Credentials are fetched when they are first needed.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when the endpoint is not one that is called, or when there
    /// is no region.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn build(self) -> Result<CloudFormationReporter, BuildError> {
        let endpoint = self
            .endpoint
            .map(|endpoint| check_endpoint(&endpoint, self.allow_plain_http))
            .transpose()?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &self.region {
            loader = loader.region(sdk_region(region));
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(sdk_credentials(credentials));
        }
        let found = loader.load().await;
        if found.region().is_none() {
            return Err(BuildError::NoRegion);
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.call_timeout)
            .operation_attempt_timeout(self.call_timeout)
            .operation_timeout(self.call_timeout)
            .build();
        let mut config = aws_sdk_cloudformation::config::Builder::from(&found)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(CloudFormationReporter {
            client: Client::from_conf(config.build()),
            allow_plain_http: self.allow_plain_http,
        })
    }
}

#[async_trait]
impl Reporter for CloudFormationReporter {
    async fn deliver(&self, report: &PendingReport) -> Delivery {
        let Some(parameters) = Parameters::of(report) else {
            // There is nothing to tell, and waiting would not change it.
            return Delivery::Accepted;
        };
        let status = parameters.operation_status.as_str().to_owned();
        let delivery = self.send(&report.target, parameters).await;
        log(report, &status, &delivery);
        delivery
    }
}

fn log(report: &PendingReport, status: &str, delivery: &Delivery) {
    let request_token = report.event.token;
    let version = report.event.version;
    let (type_name, action) = (&report.type_name, report.mutation);
    let invocation = report.event.invocation;
    let (outcome, reason) = match delivery {
        Delivery::Accepted => ("accepted", ""),
        Delivery::ConditionalCheckFailed => ("conditional check failed", ""),
        Delivery::InvalidStateTransition => ("invalid state transition", ""),
        Delivery::Ambiguous { reason } => ("ambiguous", reason.as_str()),
        Delivery::Unreachable { reason } => ("unreachable", reason.as_str()),
        Delivery::Refused { reason } => ("refused", reason.as_str()),
    };
    match delivery {
        Delivery::Accepted => {
            tracing::debug!(%request_token, %type_name, %action, invocation, version, status, outcome, "reported to CloudFormation");
        }
        Delivery::ConditionalCheckFailed
        | Delivery::InvalidStateTransition
        | Delivery::Ambiguous { .. }
        | Delivery::Unreachable { .. }
        | Delivery::Refused { .. } => {
            tracing::warn!(%request_token, %type_name, %action, invocation, version, status, outcome, reason, "a report was not accepted by CloudFormation");
        }
    }
}

impl fmt::Debug for CloudFormationReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudFormationReporter")
            .finish_non_exhaustive()
    }
}

/// Refuses a success that is not RecordHandlerProgress's own.
///
/// The SDK takes any answer with status 200 for a success, also the page of a
/// proxy, and the report would be lost.
#[derive(Debug)]
struct ExpectResponse;

impl Intercept for ExpectResponse {
    fn name(&self) -> &'static str {
        "ExpectResponse"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        const ROOT: &[u8] = b"RecordHandlerProgressResponse";
        let response = context.response();
        let body = response.body().bytes().unwrap_or_default();
        if response.status().is_success() && !body.windows(ROOT.len()).any(|part| part == ROOT) {
            return Err("the answer is no RecordHandlerProgressResponse".into());
        }
        Ok(())
    }
}

fn sdk_region(region: &Region) -> aws_sdk_cloudformation::config::Region {
    aws_sdk_cloudformation::config::Region::new(region.as_str().to_owned())
}

fn sdk_credentials(credentials: &Credentials) -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.as_str(),
        credentials.session_token.clone(),
        None,
        "formwork",
    )
}
