//! What accompanies an invocation, typed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bindings::formwork::handler::types as wit;
use crate::clock;
use crate::error::{ErrorCode, HandlerError, OrFail as _, Result};
use crate::event::Page;
use crate::json::{self, JsonObject};

/// How many models [`ListRequest::page`] puts on a page when the caller does not say.
const DEFAULT_PAGE: usize = 100;

/// What accompanies every invocation, whatever the action.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The idempotency token: the same for all invocations of one operation,
    /// and for every repeat of one.
    pub client_request_token: String,
    /// The name of the resource type, for example `Acme::Storage::Archive`.
    pub type_name: String,
    /// When the operation was accepted.
    pub start_time: SystemTime,
    /// When the operation ends with `NotStabilized`, whatever the handler does.
    /// One invocation is cut earlier, at the host's limit.
    pub deadline: SystemTime,
    /// 1 for the first invocation of the operation, one more for each
    /// re-invocation that an in-progress event asked for.
    pub invocation: u32,
    /// 1 at first, one more each time this same invocation is repeated because
    /// it trapped, was interrupted, or failed with a retriable code.
    pub attempt: u32,
    /// The region, for example `eu-central-1`.
    pub region: Option<String>,
    /// The account: 12 digits.
    pub account_id: Option<String>,
    /// The partition of the region, for example `aws-us-gov`.
    pub partition: Option<String>,
    /// The ARN of the stack. None outside of a stack.
    pub stack_id: Option<String>,
    /// The resource's name in its template.
    pub logical_resource_id: Option<String>,
    /// Tags that the resource shall have.
    pub desired_tags: BTreeMap<String, String>,
    /// Tags that the resource had before an update.
    pub previous_tags: BTreeMap<String, String>,
    /// Tags set by CloudFormation, such as `aws:cloudformation:stack-id`.
    pub system_tags: BTreeMap<String, String>,
    /// The tags set by CloudFormation before an update.
    pub previous_system_tags: BTreeMap<String, String>,
    /// The caller's credentials, where the operator lets the handler have them.
    pub credentials: Option<Credentials>,
    /// Whether the deletion policy asks for a snapshot.
    pub snapshot_requested: Option<bool>,
    /// Whether the operation is part of a rollback.
    pub rollback: Option<bool>,
    /// Whether the caller can detect drift on this resource.
    pub driftable: Option<bool>,
    /// Feature toggles of the service.
    pub features: Option<JsonObject>,
    /// The template's `UpdatePolicy` attribute.
    pub update_policy: Option<JsonObject>,
    /// The template's `CreationPolicy` attribute.
    pub creation_policy: Option<JsonObject>,
    type_configuration: Option<JsonObject>,
    created: RefCell<Option<Map<String, Value>>>,
}

impl Request {
    /// Gives the time by the host's clock, or by the test driver's.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        clock::now()
    }

    /// Gives the time that is left until the operation's deadline; zero when it passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline
            .duration_since(self.now())
            .unwrap_or(Duration::ZERO)
    }

    /// Reads the account-level configuration of the type.
    ///
    /// # Errors
    ///
    /// Fails with `InvalidTypeConfiguration` when there is none, or when it is no `T`.
    pub fn type_configuration<T: DeserializeOwned>(&self) -> Result<T> {
        let text = self.type_configuration.as_ref().or_fail(
            ErrorCode::InvalidTypeConfiguration,
            format_args!("{} has no type configuration; set one", self.type_name),
        )?;
        // The error would quote the configuration, which may hold secrets.
        text.parse().map_err(|error: serde_json::Error| {
            HandlerError::invalid_type_configuration(format!(
                "the type configuration of {} has a wrong form (line {}, column {})",
                self.type_name,
                error.line(),
                error.column()
            ))
        })
    }

    /// Reads the account-level configuration of the type, or gives the default where
    /// there is none.
    ///
    /// # Errors
    ///
    /// Fails with `InvalidTypeConfiguration` when it is no `T`.
    pub fn type_configuration_or_default<T: DeserializeOwned + Default>(&self) -> Result<T> {
        if self.type_configuration.is_none() {
            return Ok(T::default());
        }
        self.type_configuration()
    }

    /// Notes that the resource exists from now on, so that a later failure of
    /// this create names it: whatever `?` brings out of the handler carries the
    /// model, and nothing is leaked.
    pub fn created(&self, model: &impl Serialize) {
        match json::object("the model", model) {
            Ok(model) => *self.created.borrow_mut() = Some(model),
            Err(error) => crate::log::error!("{error}"),
        }
    }

    pub(crate) fn take_created(&self) -> Option<Map<String, Value>> {
        self.created.take()
    }
}

impl From<wit::Request> for Request {
    fn from(request: wit::Request) -> Self {
        Self {
            client_request_token: request.client_request_token,
            type_name: request.type_name,
            start_time: time(request.start_time),
            deadline: time(request.deadline),
            invocation: request.invocation,
            attempt: request.attempt,
            region: request.region,
            account_id: request.account_id,
            partition: request.partition,
            stack_id: request.stack_id,
            logical_resource_id: request.logical_resource_id,
            desired_tags: tags(request.desired_tags),
            previous_tags: tags(request.previous_tags),
            system_tags: tags(request.system_tags),
            previous_system_tags: tags(request.previous_system_tags),
            credentials: request.credentials.map(|credentials| Credentials {
                access_key_id: credentials.access_key_id,
                secret_access_key: credentials.secret_access_key,
                session_token: credentials.session_token,
            }),
            snapshot_requested: request.snapshot_requested,
            rollback: request.rollback,
            driftable: request.driftable,
            features: request.features.map(JsonObject::new),
            update_policy: request.update_policy.map(JsonObject::new),
            creation_policy: request.creation_policy.map(JsonObject::new),
            type_configuration: request.type_configuration.map(JsonObject::new),
            created: RefCell::new(None),
        }
    }
}

fn time(milliseconds: wit::Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}

fn tags(tags: Vec<wit::Tag>) -> BTreeMap<String, String> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// Temporary credentials of the execution role. `Debug` hides the secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The id of the access key.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// What a list is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListRequest {
    /// The token of the page before; none for the first page.
    pub next_token: Option<String>,
    /// How many models a page should hold at most. A hint.
    pub max_results: Option<u32>,
    filter: Option<JsonObject>,
}

impl ListRequest {
    /// Reads the properties that the listed resources shall have, all of them.
    ///
    /// # Errors
    ///
    /// Fails with `InvalidRequest` when the filter is no `T`.
    pub fn filter<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.filter
            .as_ref()
            .map(|filter| json::parse("filter", filter.as_str(), &[]))
            .transpose()
    }

    /// Makes the page that is asked for out of the keys of all resources.
    ///
    /// Keys are put in order, and the token of a page is its last key, so a
    /// resource that comes or goes between two pages neither repeats nor hides
    /// another. `load` gives the model of a key, or `None` when it is gone.
    ///
    /// # Errors
    ///
    /// Gives the first error of `load`.
    pub fn page<M>(
        &self,
        keys: impl IntoIterator<Item = String>,
        mut load: impl FnMut(&str) -> Result<Option<M>>,
    ) -> Result<Page<M>> {
        let limit = self
            .max_results
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| *limit > 0)
            .unwrap_or(DEFAULT_PAGE);
        let mut keys: Vec<String> = keys
            .into_iter()
            .filter(|key| self.next_token.as_ref().is_none_or(|token| key > token))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let next_token = (keys.len() > limit).then(|| keys[limit - 1].clone());
        keys.truncate(limit);
        let mut models = Vec::with_capacity(keys.len());
        for key in &keys {
            models.extend(load(key)?);
        }
        Ok(Page { models, next_token })
    }
}

impl From<wit::ListRequest> for ListRequest {
    fn from(page: wit::ListRequest) -> Self {
        Self {
            next_token: page.next_token,
            max_results: page.max_results,
            filter: page.filter.map(JsonObject::new),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn pages(keys: &[&str], size: u32) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut next_token = None;
        loop {
            let request = ListRequest {
                next_token,
                max_results: Some(size),
                filter: None,
            };
            let keys = keys.iter().copied().map(String::from);
            let page = request
                .page(keys, |key| Ok((key != "gone").then(|| key.to_owned())))
                .unwrap();
            pages.push(page.models);
            next_token = page.next_token;
            if next_token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_hold_every_key_once_and_in_order() {
        assert_eq!(
            pages(&["d", "a", "c", "gone", "b"], 2),
            [vec!["a", "b"], vec!["c", "d"], vec![]]
        );
        assert_eq!(pages(&["a", "b"], 2), [["a", "b"]]);
        assert_eq!(pages(&[], 2), [Vec::<String>::new()]);
        assert_eq!(pages(&["a"], 0), [["a"]]);
    }

    #[test]
    fn credentials_do_not_show_their_secrets() {
        let credentials = Credentials {
            access_key_id: "AKIA".into(),
            secret_access_key: "hunter2".into(),
            session_token: Some("hunter3".into()),
        };
        assert!(!format!("{credentials:?}").contains("hunter"));
    }
}
