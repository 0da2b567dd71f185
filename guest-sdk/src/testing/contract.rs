//! The rules that the driver holds a handler to.

use std::time::Duration;

use serde_json::{Map, Value};

use super::run::{Answer, Run};
use crate::error::ErrorCode;
use crate::handler::ResourceHandler;
use crate::json::{self, PropertyPath};

/// Minutes that an operation may take where the schema does not say.
const DEFAULT_TIMEOUT_MINUTES: u64 = 120;

#[derive(Debug)]
pub(super) struct Contract {
    pub(super) type_name: String,
    schema: Value,
    primary_identifier: Vec<String>,
    write_only: &'static [PropertyPath],
}

impl Contract {
    /// # Panics
    ///
    /// When the schema is no JSON, which the attribute has checked.
    pub(super) fn of<H: ResourceHandler>() -> Self {
        let schema: Value =
            serde_json::from_str(H::SCHEMA).expect("the attribute has parsed the schema");
        let primary_identifier = schema["primaryIdentifier"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|pointer| pointer.trim_start_matches("/properties").to_owned())
            .collect();
        Self {
            type_name: schema["typeName"].as_str().unwrap_or_default().to_owned(),
            primary_identifier,
            write_only: H::WRITE_ONLY,
            schema,
        }
    }

    /// The host refuses such an action at its door.
    #[track_caller]
    pub(super) fn expect_handler(&self, action: &str) {
        assert!(
            self.schema["handlers"].get(action).is_some(),
            "the schema's `handlers` does not name `{action}`, so the host would refuse it"
        );
    }

    pub(super) fn timeout(&self, action: &str) -> Duration {
        let minutes = self.schema["handlers"][action]["timeoutInMinutes"].as_u64();
        Duration::from_secs(60 * minutes.unwrap_or(DEFAULT_TIMEOUT_MINUTES))
    }

    /// Gives the primary identifier, if all its parts are there.
    pub(super) fn identifier(&self, model: &Map<String, Value>) -> Option<Vec<Value>> {
        let model = Value::Object(model.clone());
        let parts = self.primary_identifier.iter();
        parts
            .map(|pointer| model.pointer(pointer).cloned())
            .collect()
    }

    /// Takes write-only values over that an event left out, as the host does.
    pub(super) fn keep_write_only(
        &self,
        mut model: Map<String, Value>,
        last: &Map<String, Value>,
    ) -> Map<String, Value> {
        for path in self.write_only {
            take_over(&mut model, last, path);
        }
        model
    }

    /// Holds an answer against the contract.
    pub(super) fn check(&self, run: &Run, answer: &Answer, identifier: &mut Option<Vec<Value>>) {
        let action = run.action;
        let model = match answer {
            Answer::InProgress { model, .. } => model.as_ref().and_then(Value::as_object),
            Answer::Success { model, .. } => {
                let model = model.as_object();
                if let Some(model) = model {
                    self.check_finished(action, model);
                }
                model
            }
            Answer::Failed(error) => error.model(),
            Answer::Deleted { .. } => None,
        };
        if let Answer::Failed(error) = answer {
            let allowed = match error.code() {
                ErrorCode::AlreadyExists => action == "create",
                ErrorCode::NotUpdatable => action == "update",
                _ => true,
            };
            assert!(
                allowed,
                "a {action} cannot fail with {}\n{run}",
                error.code()
            );
        }
        let Some(now) = model.and_then(|model| self.identifier(model)) else {
            return;
        };
        let first = identifier.get_or_insert_with(|| now.clone());
        assert!(
            *first == now,
            "the primary identifier changed from {first:?} to {now:?}\n{run}"
        );
    }

    /// Checks what a finished action, a read or a list may show.
    pub(super) fn check_finished(&self, action: &str, model: &Map<String, Value>) {
        let shown = Value::Object(model.clone());
        assert!(
            self.identifier(model).is_some(),
            "the {action} answers a model without the primary identifier {:?}: {shown}",
            self.primary_identifier
        );
        let mut public = model.clone();
        json::remove_all(&mut public, self.write_only);
        assert!(
            public == *model,
            "the {action} shows a write-only property: {shown}"
        );
        for name in model.keys() {
            assert!(
                self.schema["properties"].get(name).is_some(),
                "the {action} answers the property `{name}`, which the schema does not have: {shown}"
            );
        }
    }
}

fn take_over(model: &mut Map<String, Value>, last: &Map<String, Value>, path: &[&str]) {
    match path {
        [] => {}
        [name] => {
            if let (None, Some(value)) = (model.get(*name), last.get(*name)) {
                model.insert((*name).to_owned(), value.clone());
            }
        }
        [name, rest @ ..] => {
            if let (Some(Value::Object(model)), Some(Value::Object(last))) =
                (model.get_mut(*name), last.get(*name))
            {
                take_over(model, last, rest);
            }
        }
    }
}
