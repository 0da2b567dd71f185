//! The requests and answers of Cloud Control, as its API reference has them.
//!
//! Members that a request lacks and members that are null are the same; members
//! that Cloud Control does not have are passed over, as by AWS.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateResourceInput {
    pub(super) type_name: Option<String>,
    pub(super) type_version_id: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) client_token: Option<String>,
    pub(super) desired_state: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateResourceInput {
    pub(super) type_name: Option<String>,
    pub(super) type_version_id: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) client_token: Option<String>,
    pub(super) identifier: Option<String>,
    pub(super) patch_document: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteResourceInput {
    pub(super) type_name: Option<String>,
    pub(super) type_version_id: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) client_token: Option<String>,
    pub(super) identifier: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetResourceInput {
    pub(super) type_name: Option<String>,
    pub(super) type_version_id: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) identifier: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListResourcesInput {
    pub(super) type_name: Option<String>,
    pub(super) type_version_id: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) next_token: Option<String>,
    pub(super) max_results: Option<i64>,
    pub(super) resource_model: Option<String>,
}

/// The request of `GetResourceRequestStatus` and of `CancelResourceRequest`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RequestTokenInput {
    pub(super) request_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListResourceRequestsInput {
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
    pub(super) resource_request_status_filter: Option<ResourceRequestStatusFilter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResourceRequestStatusFilter {
    pub(super) operations: Option<Vec<String>>,
    pub(super) operation_statuses: Option<Vec<String>>,
}

/// The answer of the calls that change a resource, and of
/// `CancelResourceRequest`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProgressEventOutput {
    pub(super) progress_event: ProgressEvent,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetResourceRequestStatusOutput {
    pub(super) progress_event: ProgressEvent,
    /// No hooks are run.
    pub(super) hooks_progress_event: [(); 0],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListResourceRequestsOutput {
    pub(super) resource_request_status_summaries: Vec<ProgressEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetResourceOutput {
    pub(super) type_name: String,
    pub(super) resource_description: ResourceDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListResourcesOutput {
    pub(super) type_name: String,
    pub(super) resource_descriptions: Vec<ResourceDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResourceDescription {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<String>,
    /// JSON in a string.
    pub(super) properties: String,
}

/// How far a request is. Not the progress event of a handler.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProgressEvent {
    pub(super) type_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<String>,
    pub(super) request_token: String,
    pub(super) operation: &'static str,
    pub(super) operation_status: &'static str,
    /// When the request was made, in seconds since 1970.
    pub(super) event_time: f64,
    /// JSON in a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<&'static str>,
    /// When the handler is called next, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<f64>,
}

/// The body of a refusal that Cloud Control's own model has.
#[derive(Debug, Serialize)]
pub(super) struct ModelledError<'a> {
    #[serde(rename = "__type")]
    pub(super) exception: String,
    #[serde(rename = "Message")]
    pub(super) message: &'a str,
}

/// The body of a refusal that all services of AWS have in common.
#[derive(Debug, Serialize)]
pub(super) struct CommonError<'a> {
    #[serde(rename = "__type")]
    pub(super) exception: String,
    pub(super) message: &'a str,
}
