//! Reports of operations that are taken over: to whom, and to nobody by accident.

use async_trait::async_trait;
use formwork_cloudformation::{BuildError, CloudFormationReporter};
use formwork_host::engine::Reporter;
use formwork_host::operation::{Delivery, PendingReport};

use crate::config::Config;

/// Reports to the endpoint of the request or to the configured one.
///
/// An operation with neither is not reported to AWS, as the SDK would do: its
/// reports are kept until an endpoint is configured and they are sent again.
pub(super) struct NamedEndpoints {
    reporter: CloudFormationReporter,
    configured: bool,
}

impl NamedEndpoints {
    /// Makes the reporter of a configuration.
    ///
    /// # Errors
    ///
    /// When the endpoint is not one that is called.
    pub(super) async fn new(config: &Config) -> Result<Self, BuildError> {
        let report = &config.report;
        let region = report.region.as_ref().unwrap_or(&config.region);
        let mut builder = CloudFormationReporter::builder().region(region.clone());
        if let Some(endpoint) = &report.endpoint {
            builder = builder.endpoint(endpoint);
        }
        Ok(Self {
            reporter: builder.build().await?,
            configured: report.endpoint.is_some(),
        })
    }
}

#[async_trait]
impl Reporter for NamedEndpoints {
    async fn deliver(&self, report: &PendingReport) -> Delivery {
        if self.configured || report.target.endpoint.is_some() {
            self.reporter.deliver(report).await
        } else {
            Delivery::Refused {
                reason: "there is nobody to report to: neither the request's `responseEndpoint` \
                         nor `--report-endpoint` names an endpoint"
                    .to_owned(),
            }
        }
    }
}
