//! The JSON that programs read besides operations: what a READ or a LIST gave, and
//! what a component is, in the style of [`crate::operations::shapes`].

use formwork_host::model::{HandlerErrorCode, JsonObject, ListPage, ReadFailure, Trap};
use serde::Serialize;
use serde_json::{Map, Value};

/// What a READ or a LIST gave.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_model: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_models: Option<Vec<Map<String, Value>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// A page of a LIST, for people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    resource_models: Vec<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// What a component is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    pub(super) type_name: String,
    pub(super) digest: String,
    pub(super) bytes: usize,
    pub(super) contract: &'static str,
    pub(super) primary_identifier: Vec<String>,
    pub(super) actions: Vec<ActionLine>,
    pub(super) imports: Vec<Import>,
    pub(super) outgoing_hosts: Vec<String>,
    /// What may be loaded, beside what the component has of it.
    pub(super) load_limits: Vec<LimitLine>,
    pub(super) limits: Vec<LimitLine>,
    /// What is odd about the schema, each with its pointer and a remedy.
    pub(super) schema_warnings: Vec<String>,
}

/// An action that a handler implements.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActionLine {
    pub(super) action: &'static str,
    pub(super) timeout_seconds: u64,
}

/// An interface that a component imports.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) access: &'static str,
    pub(super) note: String,
}

/// A bound on one invocation, or on what may be loaded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LimitLine {
    /// The setting that says it, such as `limits.memory`.
    pub(super) setting: String,
    /// `bytes`, `count` or `milliseconds`.
    pub(super) unit: &'static str,
    pub(super) value: u128,
    /// How much of it the component has, if that can be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<usize>,
    #[serde(skip)]
    pub(super) what: &'static str,
    #[serde(skip)]
    pub(super) shown: String,
    #[serde(skip)]
    pub(super) found_shown: Option<String>,
}

fn map(model: &JsonObject) -> Map<String, Value> {
    model.to_map()
}

impl Answer {
    pub(super) fn read(model: &JsonObject) -> Self {
        Self {
            status: "SUCCESS",
            resource_model: Some(map(model)),
            ..Self::default()
        }
    }

    pub(super) fn listed(page: &ListPage) -> Self {
        let Page {
            resource_models,
            next_token,
        } = Page::new(page);
        Self {
            status: "SUCCESS",
            resource_models: Some(resource_models),
            next_token,
            ..Self::default()
        }
    }

    pub(super) fn failed(failure: &ReadFailure) -> Self {
        Self {
            status: "FAILED",
            error_code: Some(failure.code.as_str()),
            message: Some(failure.message.clone()),
            ..Self::default()
        }
    }

    /// A trap shows as it would at the end of an operation.
    pub(super) fn trapped(trap: &Trap) -> Self {
        Self {
            status: "FAILED",
            error_code: Some(HandlerErrorCode::InternalFailure.as_str()),
            message: Some(trap.to_string()),
            ..Self::default()
        }
    }
}

impl Page {
    pub(super) fn new(page: &ListPage) -> Self {
        Self {
            resource_models: page.models.iter().map(map).collect(),
            next_token: page.next_token.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
