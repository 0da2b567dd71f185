//! Resource type schemas.

mod bounded;
mod check;
mod definition;
mod official;
mod pattern;
mod problem;
mod property;
mod reference;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::coerce::{CoercionError, Plan};
use super::{Action, JsonObject, Mutation, PrimaryIdentifier, PropertyPath, TypeName};

use definition::{DEFAULT_TIMEOUT, Reader};

pub use definition::{HandlerDefinition, Tagging};
pub use problem::{SchemaError, SchemaFault, SchemaOddity, SchemaWarning, Violation};
pub use property::Collection;

pub(super) use bounded::{Validator, as_one};
pub(super) use check::Parts;
pub(super) use pattern::Pattern;
pub(crate) use reference::escaped;
pub(super) use reference::resolve;

/// How many faults and how many warnings are told at most: a person mends them
/// one by one, and no published schema comes near.
const MAX_FAULTS: usize = 20;
const MAX_WARNINGS: usize = 100;

/// Where a resource type schema says what a LIST is asked with.
const LIST_SCHEMA: &str = "/handlers/list/handlerSchema";

/// The definition of a resource type: its properties, the paths with a special
/// role, and the actions that its handler implements.
///
/// The dialect is that of the CloudFormation registry: draft 7 of JSON Schema
/// with keywords of its own, defined by the official resource type definition
/// schema.
#[derive(Debug)]
pub struct TypeSchema {
    text: String,
    document: Value,
    type_name: TypeName,
    primary_identifier: Vec<PropertyPath>,
    additional_identifiers: Vec<Vec<PropertyPath>>,
    read_only: Vec<PropertyPath>,
    write_only: Vec<PropertyPath>,
    create_only: Vec<PropertyPath>,
    conditional_create_only: Vec<PropertyPath>,
    deprecated: Vec<PropertyPath>,
    non_public: Vec<PropertyPath>,
    property_transforms: Vec<(PropertyPath, String)>,
    tagging: Tagging,
    handlers: BTreeMap<&'static str, HandlerDefinition>,
    warnings: Vec<SchemaWarning>,
    validator: Validator,
    plan: Plan,
    filter_plan: Option<Plan>,
    configuration: Option<Validator>,
}

impl TypeSchema {
    /// Reads a resource type schema.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, a keyword is missing or has a wrong value by
    /// the official resource type definition schema, or a reference leads
    /// nowhere. What published schemas have besides is a [warning](Self::warnings):
    /// newer keywords, paths to no property, patterns that are no ECMA 262.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let object = JsonObject::parse(text).map_err(|source| SchemaError::NotJson { source })?;
        let document = object.to_map();
        let mut reader = Reader::new(&document);
        let type_name = reader.type_name();
        let primary_identifier = reader.paths("primaryIdentifier");
        let additional_identifiers = reader.additional_identifiers();
        let read_only = reader.paths("readOnlyProperties");
        let write_only = reader.paths("writeOnlyProperties");
        let create_only = reader.paths("createOnlyProperties");
        let conditional_create_only = reader.paths("conditionalCreateOnlyProperties");
        let deprecated = reader.paths("deprecatedProperties");
        let non_public = reader.paths("nonPublicProperties");
        let property_transforms = reader.property_transforms();
        let tagging = reader.tagging();
        let handlers = reader.handlers();
        let mut faults = reader.faults;
        faults.truncate(MAX_FAULTS);
        let mut warnings = Vec::new();
        let value = Value::Object(document.clone());
        official::check(&value, &mut faults, &mut warnings);
        let type_name = match type_name {
            Some(name) if faults.is_empty() => name,
            Some(_) | None => return Err(SchemaError::Wrong { faults }),
        };
        let mut properties = check::json_schema(&document, &document);
        let validator = check::compile(&mut properties, "", &mut warnings)?;
        let configuration = document
            .get("typeConfiguration")
            .and_then(Value::as_object)
            .map(|configuration| {
                let mut schema = check::json_schema(&document, configuration);
                check::compile(&mut schema, "/typeConfiguration", &mut warnings)
            })
            .transpose()?;
        property::check(&value, &mut warnings);
        warnings.truncate(MAX_WARNINGS);
        Ok(Self {
            text: text.to_owned(),
            type_name,
            primary_identifier,
            additional_identifiers,
            read_only,
            write_only,
            create_only,
            conditional_create_only,
            deprecated,
            non_public,
            property_transforms,
            tagging,
            handlers,
            warnings,
            plan: Plan::new(&Parts::new(&properties), ""),
            filter_plan: value
                .pointer(LIST_SCHEMA)
                .map(|filter| {
                    let schema = check::with_filter(&properties, filter)?;
                    Ok(Plan::new(&Parts::new(&schema), check::FILTER))
                })
                .transpose()?,
            validator,
            configuration,
            document: value,
        })
    }

    /// Gives the text that the schema was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Gives the schema as a JSON document.
    #[must_use]
    pub const fn document(&self) -> &Value {
        &self.document
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

    /// Gives the other sets of properties that name a resource.
    #[must_use]
    pub fn additional_identifiers(&self) -> &[Vec<PropertyPath>] {
        &self.additional_identifiers
    }

    /// Tells whether resources have other names than the primary identifier.
    #[must_use]
    pub fn has_additional_identifiers(&self) -> bool {
        !self.additional_identifiers.is_empty()
    }

    /// Gives the properties that only the handler sets.
    #[must_use]
    pub fn read_only(&self) -> &[PropertyPath] {
        &self.read_only
    }

    /// Gives the properties that no answer may show.
    #[must_use]
    pub fn write_only(&self) -> &[PropertyPath] {
        &self.write_only
    }

    /// Gives the properties that only a create sets; to change one is to
    /// replace the resource.
    #[must_use]
    pub fn create_only(&self) -> &[PropertyPath] {
        &self.create_only
    }

    /// Gives the properties that an update can change in some cases only; in
    /// the others, to change one is to replace the resource.
    #[must_use]
    pub fn conditional_create_only(&self) -> &[PropertyPath] {
        &self.conditional_create_only
    }

    /// Gives the properties that are accepted still, and perhaps ignored,
    /// converted or not returned.
    #[must_use]
    pub fn deprecated(&self) -> &[PropertyPath] {
        &self.deprecated
    }

    /// Gives the properties that are used and not shown to users.
    #[must_use]
    pub fn non_public(&self) -> &[PropertyPath] {
        &self.non_public
    }

    /// Gives the `JSONata` expressions that turn a property's desired value into
    /// the one that a READ returns, several joined by ` $OR `.
    #[must_use]
    pub fn property_transforms(&self) -> &[(PropertyPath, String)] {
        &self.property_transforms
    }

    /// Tells how resources of the type are tagged.
    #[must_use]
    pub const fn tagging(&self) -> &Tagging {
        &self.tagging
    }

    /// Tells how the array that `path` leads to compares with another; none if
    /// it leads to no array.
    #[must_use]
    pub fn collection(&self, path: &PropertyPath) -> Option<Collection> {
        property::collection(&self.document, path)
    }

    /// Gives the JSON Schema of the type's account-level configuration, if it
    /// has one.
    #[must_use]
    pub fn type_configuration(&self) -> Option<&Value> {
        self.document.get("typeConfiguration")
    }

    /// Gives the JSON Schema of what a LIST is asked with, where it is not that
    /// of the model: the `handlerSchema` of the list handler.
    #[must_use]
    pub fn list_schema(&self) -> Option<&Value> {
        self.document.pointer(LIST_SCHEMA)
    }

    /// Gives what is odd about the schema, though handlers can be run by it: the
    /// first 100 places.
    #[must_use]
    pub fn warnings(&self) -> &[SchemaWarning] {
        &self.warnings
    }

    /// Gives what the schema's `handlers` says of an action.
    #[must_use]
    pub fn handler(&self, action: Action) -> Option<&HandlerDefinition> {
        self.handlers.get(action.handler_name())
    }

    /// Tells whether the schema's `handlers` names the action.
    ///
    /// A schema without any `handlers` names none.
    #[must_use]
    pub fn handles(&self, action: Action) -> bool {
        self.handler(action).is_some()
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
        self.handler(mutation.into())
            .map_or(DEFAULT_TIMEOUT, |handler| handler.timeout)
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
        self.plan.coerce(&mut model).ok()?;
        Some(model)
    }

    /// Gives the places where `model` breaks the schema, the first 20.
    #[must_use]
    pub fn violations(&self, model: &Map<String, Value>) -> Vec<Violation> {
        check::violations(&self.validator, model, self.write_only.is_empty())
    }

    /// Gives the places where `configuration` breaks the schema of the type's
    /// account-level configuration, the first 20.
    ///
    /// Messages quote no value: configurations hold secrets. A type without
    /// `typeConfiguration` takes none, and says so.
    #[must_use]
    pub fn configuration_violations(&self, configuration: &Map<String, Value>) -> Vec<Violation> {
        match &self.configuration {
            Some(validator) => check::violations(validator, configuration, false),
            None if configuration.is_empty() => Vec::new(),
            None => vec![Violation {
                pointer: String::new(),
                rule: "/typeConfiguration".to_owned(),
                message: "the schema has no `typeConfiguration`, so the type takes none".to_owned(),
            }],
        }
    }

    /// Turns texts into the truth values and numbers that the schema wants.
    ///
    /// CloudFormation sends every primitive as a string.
    ///
    /// # Errors
    ///
    /// When a text does not read as what the schema wants at its place.
    pub fn coerce(&self, model: &mut Map<String, Value>) -> Result<(), CoercionError> {
        self.plan.coerce(model)
    }

    /// Does the same to what a LIST is asked with, by
    /// [`list_schema`](Self::list_schema) if there is one.
    ///
    /// # Errors
    ///
    /// As [`TypeSchema::coerce`].
    pub fn coerce_filter(&self, filter: &mut Map<String, Value>) -> Result<(), CoercionError> {
        self.filter_plan
            .as_ref()
            .unwrap_or(&self.plan)
            .coerce(filter)
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

#[cfg(test)]
mod tests;
