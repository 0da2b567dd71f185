//! Resource type schemas.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use super::coerce::{self, CoercionError};
use super::{Action, JsonObject, Mutation, PrimaryIdentifier, PropertyPath, TypeName};

/// How long an operation may take where the schema says nothing, by the
/// resource type definition schema.
const DEFAULT_TIMEOUT_MINUTES: u64 = 120;

/// How many violations are told at most: a person mends them one by one.
const MAX_VIOLATIONS: usize = 20;

/// The definition of a resource type: its properties, the paths with a special
/// role, and the actions that its handler implements.
#[derive(Debug)]
pub struct TypeSchema {
    text: String,
    document: Value,
    type_name: TypeName,
    primary_identifier: Vec<PropertyPath>,
    read_only: Vec<PropertyPath>,
    write_only: Vec<PropertyPath>,
    handlers: BTreeMap<&'static str, Duration>,
    validator: Validator,
}

/// Says why a document is no resource type schema.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is not one JSON object.
    #[error("the resource type schema is not the text of one JSON object")]
    NotJson {
        /// Where and why parsing stopped.
        source: super::JsonObjectError,
    },
    /// A keyword is missing or has a wrong value.
    #[error("the resource type schema is wrong at `{pointer}`: {rule}")]
    Keyword {
        /// Where, as a JSON pointer.
        pointer: String,
        /// What must be there.
        rule: String,
    },
    /// The properties are no valid JSON Schema.
    #[error(
        "the properties of the resource type schema are no valid JSON Schema (draft 7): {reason}"
    )]
    Properties {
        /// What the validator says.
        reason: String,
    },
}

/// One place where a model breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} breaks `{rule}`: {message}", place(pointer))]
pub struct Violation {
    /// Where in the model, as a JSON pointer; empty for the model itself.
    pub pointer: String,
    /// Which keyword of the schema, as a JSON pointer into it.
    pub rule: String,
    /// What is wrong there. Values of write-only properties are not shown.
    pub message: String,
}

/// Names a place in a model; the empty pointer is the model itself.
fn place(pointer: &str) -> String {
    if pointer.is_empty() {
        "the model".to_owned()
    } else {
        format!("`{pointer}`")
    }
}

impl TypeSchema {
    /// Reads a resource type schema.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or when `typeName`, `properties`,
    /// `primaryIdentifier`, a property path or a handler's `timeoutInMinutes`
    /// (2 to 2160) is missing or wrong.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let object = JsonObject::parse(text).map_err(|source| SchemaError::NotJson { source })?;
        let document = object.to_map();
        let type_name = document
            .get("typeName")
            .and_then(Value::as_str)
            .ok_or_else(|| {
                keyword(
                    "/typeName",
                    "must be a string such as `Acme::Storage::Archive`",
                )
            })?
            .parse()
            .map_err(|e: super::InvalidName| keyword("/typeName", &e.to_string()))?;
        if !document.get("properties").is_some_and(Value::is_object) {
            return Err(keyword(
                "/properties",
                "must be an object with the type's properties",
            ));
        }
        let primary_identifier = paths(&document, "primaryIdentifier")?;
        if primary_identifier.is_empty() {
            return Err(keyword(
                "/primaryIdentifier",
                "must name at least one property",
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            type_name,
            primary_identifier,
            read_only: paths(&document, "readOnlyProperties")?,
            write_only: paths(&document, "writeOnlyProperties")?,
            handlers: handlers(&document)?,
            validator: validator(&document)?,
            document: Value::Object(document),
        })
    }

    /// Gives the text that the schema was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Gives the name of the type.
    #[must_use]
    pub const fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    /// Gives the properties that name a resource.
    #[must_use]
    pub fn primary_identifier(&self) -> &[PropertyPath] {
        &self.primary_identifier
    }

    /// Tells whether resources have other names than the primary identifier.
    #[must_use]
    pub fn has_additional_identifiers(&self) -> bool {
        self.document
            .get("additionalIdentifiers")
            .and_then(Value::as_array)
            .is_some_and(|other| !other.is_empty())
    }

    /// Gives the properties that no answer may show.
    #[must_use]
    pub fn write_only(&self) -> &[PropertyPath] {
        &self.write_only
    }

    /// Tells whether the schema's `handlers` names the action.
    ///
    /// A schema without any `handlers` names none.
    #[must_use]
    pub fn handles(&self, action: Action) -> bool {
        self.handlers.contains_key(action.handler_name())
    }

    /// Gives the actions that `handlers` names.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        Action::ALL
            .into_iter()
            .filter(|action| self.handles(*action))
    }

    /// Gives the time that an operation may take: `timeoutInMinutes`, 120
    /// minutes by default.
    #[must_use]
    pub fn timeout(&self, mutation: Mutation) -> Duration {
        self.handlers
            .get(Action::from(mutation).handler_name())
            .copied()
            .unwrap_or(Duration::from_secs(DEFAULT_TIMEOUT_MINUTES * 60))
    }

    /// Reads the primary identifier from a model, or none if a part of it is
    /// missing, empty, or neither text, number nor truth value.
    #[must_use]
    pub fn identifier(&self, model: &Map<String, Value>) -> Option<PrimaryIdentifier> {
        let parts: Option<Vec<String>> = self
            .primary_identifier
            .iter()
            .map(|path| match path.get(model)? {
                Value::String(text) => Some(text.clone()),
                value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            })
            .collect();
        PrimaryIdentifier::new(parts?)
    }

    /// Makes the model that holds nothing but `identifier`, or none if the
    /// number of parts is not the schema's.
    #[must_use]
    pub fn identifier_model(&self, identifier: &PrimaryIdentifier) -> Option<Map<String, Value>> {
        if identifier.parts().len() != self.primary_identifier.len() {
            return None;
        }
        let mut model = Map::new();
        for (path, part) in self.primary_identifier.iter().zip(identifier.parts()) {
            path.insert(&mut model, Value::String(part.clone()));
        }
        coerce::coerce(&self.document, &mut model).ok()?;
        Some(model)
    }

    /// Gives the places where `model` breaks the schema, the first 20.
    #[must_use]
    pub fn violations(&self, model: &Map<String, Value>) -> Vec<Violation> {
        // The validator reads a `Value`; moving the map in and out would need
        // ownership, so the clone is the price of a borrowed argument.
        let instance = Value::Object(model.clone());
        if self.validator.is_valid(&instance) {
            return Vec::new();
        }
        self.validator
            .iter_errors(&instance)
            .take(MAX_VIOLATIONS)
            .map(|error| {
                // A message can quote the value that it is about, and a value
                // quoted at a parent quotes its members as well.
                let message = if self.write_only.is_empty() {
                    error.to_string()
                } else {
                    error.masked().to_string()
                };
                Violation {
                    pointer: error.instance_path().to_string(),
                    rule: error.schema_path().to_string(),
                    message,
                }
            })
            .collect()
    }

    /// Turns texts into the truth values and numbers that the schema wants.
    ///
    /// CloudFormation sends every primitive as a string.
    ///
    /// # Errors
    ///
    /// When a text does not read as what the schema wants at its place.
    pub fn coerce(&self, model: &mut Map<String, Value>) -> Result<(), CoercionError> {
        coerce::coerce(&self.document, model)
    }

    /// Removes the write-only properties, and tells whether there were any.
    pub fn remove_write_only(&self, model: &mut Map<String, Value>) -> bool {
        self.write_only
            .iter()
            .map(|path| path.remove(model))
            .sum::<usize>()
            > 0
    }

    /// Takes over write-only properties of `from` that `to` does not have.
    pub fn carry_write_only(&self, from: &Map<String, Value>, to: &mut Map<String, Value>) {
        for path in &self.write_only {
            path.carry_over(from, to);
        }
    }

    /// Gives the read-only properties that `model` has a value for.
    pub fn read_only_in<'a>(
        &'a self,
        model: &'a Map<String, Value>,
    ) -> impl Iterator<Item = &'a PropertyPath> {
        self.read_only
            .iter()
            .filter(|path| path.get(model).is_some())
    }
}

fn keyword(pointer: &str, rule: &str) -> SchemaError {
    SchemaError::Keyword {
        pointer: pointer.to_owned(),
        rule: rule.to_owned(),
    }
}

fn paths(document: &Map<String, Value>, name: &str) -> Result<Vec<PropertyPath>, SchemaError> {
    let rule = "must be an array of property paths such as `/properties/Name`";
    let Some(value) = document.get(name) else {
        return Ok(Vec::new());
    };
    let items = value
        .as_array()
        .ok_or_else(|| keyword(&format!("/{name}"), rule))?;
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let text = item
                .as_str()
                .ok_or_else(|| keyword(&format!("/{name}/{index}"), rule))?;
            text.parse().map_err(|e: super::PropertyPathError| {
                keyword(&format!("/{name}/{index}"), &e.to_string())
            })
        })
        .collect()
}

fn handlers(
    document: &Map<String, Value>,
) -> Result<BTreeMap<&'static str, Duration>, SchemaError> {
    let Some(value) = document.get("handlers") else {
        return Ok(BTreeMap::new());
    };
    let named = value.as_object().ok_or_else(|| {
        keyword(
            "/handlers",
            "must be an object with one member for each action",
        )
    })?;
    named
        .iter()
        .map(|(name, handler)| {
            let action = Action::ALL
                .into_iter()
                .find(|action| action.handler_name() == name)
                .ok_or_else(|| {
                    keyword(
                        &format!("/handlers/{name}"),
                        "is no action: use create, read, update, delete and list",
                    )
                })?;
            let minutes = match handler.get("timeoutInMinutes") {
                None => DEFAULT_TIMEOUT_MINUTES,
                Some(value) => value
                    .as_u64()
                    .filter(|m| (2..=2160).contains(m))
                    .ok_or_else(|| {
                        keyword(
                            &format!("/handlers/{name}/timeoutInMinutes"),
                            "must be a whole number from 2 to 2160",
                        )
                    })?,
            };
            Ok((action.handler_name(), Duration::from_secs(minutes * 60)))
        })
        .collect()
}

fn validator(document: &Map<String, Value>) -> Result<Validator, SchemaError> {
    const KEYWORDS: [&str; 9] = [
        "properties",
        "patternProperties",
        "required",
        "definitions",
        "dependencies",
        "allOf",
        "anyOf",
        "oneOf",
        "additionalProperties",
    ];
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    for name in KEYWORDS {
        if let Some(value) = document.get(name) {
            schema.insert(name.to_owned(), value.clone());
        }
    }
    jsonschema::options()
        .with_draft(Draft::Draft7)
        .build(&Value::Object(schema))
        .map_err(|error| SchemaError::Properties {
            reason: format!("`{}`: {error}", error.instance_path()),
        })
}

#[cfg(test)]
mod tests;
