//! The rules for what a handler answers.

use std::fmt;

use serde_json::{Map, Value};

use super::{
    HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier, ProgressEvent, TypeSchema, Violation,
};

/// A progress event after the output rules: fit to be shown, with what the
/// engine needs to know of its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The event. Its model has no write-only property and no null.
    pub event: ProgressEvent,
    /// The desired state of the next invocation, write-only properties
    /// included: for an in-progress event with a model.
    pub next_state: Option<JsonObject>,
    /// The identifier that the model names.
    pub identifier: Option<PrimaryIdentifier>,
    /// Which rules the handler broke without being failed for it.
    pub warnings: Vec<Warning>,
}

/// A rule of the handler contract that an answer broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A terminal model held a write-only property; it was removed.
    WriteOnlyReturned,
    /// A model held a null; it was removed.
    NullReturned,
    /// The model of a success lacks a part of the primary identifier.
    NoIdentifier,
    /// The model of a success does not fit the schema.
    OffSchema(Violation),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteOnlyReturned => {
                f.write_str("the model of a terminal event holds a write-only property")
            }
            Self::NullReturned => {
                f.write_str("the model holds a null; a property without a value must be left out")
            }
            Self::NoIdentifier => {
                f.write_str("the model of a success lacks a part of the primary identifier")
            }
            Self::OffSchema(violation) => write!(
                f,
                "the model of a success does not fit the schema: {violation}"
            ),
        }
    }
}

impl Answer {
    /// Applies the output rules to what a handler answered.
    ///
    /// `state` is what the handler was given as desired state; its write-only
    /// values are kept for the next invocation. With `strict`, a success that
    /// breaks a rule becomes a failure that names the rule.
    #[must_use]
    pub fn translate(
        schema: &TypeSchema,
        mutation: Mutation,
        state: &JsonObject,
        event: ProgressEvent,
        strict: bool,
    ) -> Self {
        match event {
            ProgressEvent::InProgress {
                callback,
                callback_context,
                message,
                model,
            } => {
                let model = model.map(|model| Shown::of(schema, &model));
                Self {
                    next_state: model.as_ref().map(|shown| shown.next_state(schema, state)),
                    identifier: model
                        .as_ref()
                        .and_then(|shown| schema.identifier(&shown.map)),
                    warnings: warnings(model.as_ref(), false),
                    event: ProgressEvent::InProgress {
                        callback,
                        callback_context,
                        message,
                        model: model.map(|shown| shown.text),
                    },
                }
            }
            ProgressEvent::Failed {
                code,
                message,
                model,
            } => {
                let model = model.map(|model| Shown::of(schema, &model));
                Self {
                    next_state: None,
                    identifier: model
                        .as_ref()
                        .and_then(|shown| schema.identifier(&shown.map)),
                    warnings: warnings(model.as_ref(), true),
                    event: ProgressEvent::Failed {
                        code,
                        message,
                        model: model.map(|shown| shown.text),
                    },
                }
            }
            ProgressEvent::Success { message, model } => {
                let model = match mutation {
                    Mutation::Create | Mutation::Update => model,
                    Mutation::Delete => None,
                };
                success(
                    schema,
                    mutation,
                    message,
                    model.map(|model| Shown::of(schema, &model)),
                    strict,
                )
            }
        }
    }
}

impl TypeSchema {
    /// Gives `model` as it may be shown: without write-only properties and nulls.
    #[must_use]
    pub fn shown(&self, model: &JsonObject) -> JsonObject {
        Shown::of(self, model).text
    }
}

/// A model and what was removed from it to show it.
struct Shown {
    text: JsonObject,
    map: Map<String, Value>,
    /// The write-only properties that the handler returned.
    removed: Option<Map<String, Value>>,
    nulls: bool,
}

impl Shown {
    fn of(schema: &TypeSchema, model: &JsonObject) -> Self {
        let mut map = model.to_map();
        let nulls = remove_nulls(&mut map);
        let whole = (!schema.write_only().is_empty()).then(|| map.clone());
        let removed = schema.remove_write_only(&mut map);
        let text = if nulls || removed {
            JsonObject::from_map(&map)
        } else {
            model.clone()
        };
        Self {
            text,
            map,
            removed: whole.filter(|_| removed),
            nulls,
        }
    }

    fn next_state(&self, schema: &TypeSchema, state: &JsonObject) -> JsonObject {
        if schema.write_only().is_empty() {
            return self.text.clone();
        }
        let mut next = self.removed.as_ref().unwrap_or(&self.map).clone();
        schema.carry_write_only(&state.to_map(), &mut next);
        JsonObject::from_map(&next)
    }
}

fn success(
    schema: &TypeSchema,
    mutation: Mutation,
    message: Option<String>,
    model: Option<Shown>,
    strict: bool,
) -> Answer {
    let mut warnings = warnings(model.as_ref(), true);
    let identifier = model
        .as_ref()
        .and_then(|shown| schema.identifier(&shown.map));
    match mutation {
        Mutation::Delete => {}
        Mutation::Create | Mutation::Update => {
            if identifier.is_none() {
                warnings.push(Warning::NoIdentifier);
            }
            let violations = model
                .as_ref()
                .map(|shown| schema.violations(&shown.map))
                .unwrap_or_default();
            // What is required may be write-only, which no answer can hold.
            warnings.extend(
                violations
                    .into_iter()
                    .filter(|violation| {
                        !violation.rule.ends_with("/required") || schema.write_only().is_empty()
                    })
                    .map(Warning::OffSchema),
            );
        }
    }
    let model = model.map(|shown| shown.text);
    let event = match warnings.first() {
        Some(warning) if strict => ProgressEvent::Failed {
            code: HandlerErrorCode::InternalFailure,
            message: format!("the handler broke its contract: {warning}"),
            model,
        },
        Some(_) | None => ProgressEvent::Success { message, model },
    };
    Answer {
        event,
        next_state: None,
        identifier,
        warnings,
    }
}

fn warnings(model: Option<&Shown>, terminal: bool) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(shown) = model {
        if shown.nulls {
            warnings.push(Warning::NullReturned);
        }
        if terminal && shown.removed.is_some() {
            warnings.push(Warning::WriteOnlyReturned);
        }
    }
    warnings
}

/// Removes every member that is null, at every depth, and tells whether there were any.
fn remove_nulls(map: &mut Map<String, Value>) -> bool {
    let before = map.len();
    map.retain(|_, value| !value.is_null());
    let mut found = map.len() < before;
    for value in map.values_mut() {
        found |= remove_nulls_within(value);
    }
    found
}

fn remove_nulls_within(value: &mut Value) -> bool {
    match value {
        Value::Object(map) => remove_nulls(map),
        Value::Array(items) => items
            .iter_mut()
            .fold(false, |found, item| remove_nulls_within(item) | found),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests;
