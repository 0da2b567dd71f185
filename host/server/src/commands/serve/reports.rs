//! Reports of operations that are taken over: to whom, and to nobody by accident.

use async_trait::async_trait;
use formwork_cloudformation::{BuildError, CloudFormationReporter};
use formwork_host::engine::Reporter;
use formwork_host::operation::{Delivery, PendingReport};

use super::ServeArgs;

/// Reports to the endpoint of the request or to the configured one.
///
/// An operation with neither is not reported to AWS, as the SDK would do: its
/// reports are kept until an endpoint is configured and they are sent again.
pub(super) struct NamedEndpoints {
    reporter: CloudFormationReporter,
    configured: bool,
}

impl NamedEndpoints {
    /// Makes the reporter of the arguments.
    ///
    /// # Errors
    ///
    /// When the endpoint is not one that is called.
    pub(super) async fn new(args: &ServeArgs) -> Result<Self, BuildError> {
        let mut builder = CloudFormationReporter::builder().region(args.report_region.clone());
        if let Some(endpoint) = &args.report_endpoint {
            builder = builder.endpoint(endpoint);
        }
        Ok(Self {
            reporter: builder.build().await?,
            configured: args.report_endpoint.is_some(),
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
