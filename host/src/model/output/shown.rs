//! A model as it may be shown, and what was done to it for that.

use serde_json::{Map, Value};

use super::Warning;
use crate::model::{JsonObject, PrimaryIdentifier, TypeSchema, Violation};

/// Keywords that a model without its write-only values can break though the
/// whole one does not: those that look at which properties there are.
const OF_PRESENCE: [&str; 4] = ["required", "oneOf", "anyOf", "dependencies"];

/// A model without write-only properties and nulls.
pub(super) struct Shown {
    pub(super) text: JsonObject,
    map: Map<String, Value>,
    /// The model as it was returned, less nulls, if write-only properties were
    /// removed from it.
    whole: Option<Map<String, Value>>,
    nulls: bool,
}

impl Shown {
    pub(super) fn of(schema: &TypeSchema, model: &JsonObject) -> Self {
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
            whole: whole.filter(|_| removed),
            nulls,
        }
    }

    /// Fills parts of the primary identifier in that the model lacks and
    /// `state` has, unless the model names another resource.
    pub(super) fn name(&mut self, schema: &TypeSchema, state: &JsonObject) {
        let lacks = |value: Option<&Value>| {
            value.is_none_or(|value| value.as_str().is_some_and(str::is_empty))
        };
        let paths = schema.primary_identifier();
        if !paths.iter().any(|path| lacks(path.get(&self.map))) {
            return;
        }
        let state = state.to_map();
        let mut missing = Vec::new();
        for path in paths {
            let (own, given) = (path.get(&self.map), path.get(&state));
            match given {
                Some(given) if lacks(own) && !lacks(Some(given)) => missing.push((path, given)),
                Some(given) if !lacks(own) && own != Some(given) => return,
                Some(_) | None => {}
            }
        }
        if missing.is_empty() {
            return;
        }
        for (path, given) in missing {
            for map in std::iter::once(&mut self.map).chain(&mut self.whole) {
                path.insert(map, given.clone());
            }
        }
        self.text = JsonObject::from_map(&self.map);
    }

    pub(super) fn identifier(&self, schema: &TypeSchema) -> Option<PrimaryIdentifier> {
        schema.identifier(&self.map)
    }

    /// Tells whether the model held write-only properties.
    pub(super) const fn held_write_only(&self) -> bool {
        self.whole.is_some()
    }

    /// Gives the rules that any model has to keep and this one broke.
    pub(super) fn warnings(&self, schema: &TypeSchema) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.nulls {
            warnings.push(Warning::NullReturned);
        }
        let falsy = |value: &Value| *value == Value::Bool(false) || value.as_f64() == Some(0.0);
        let mut parts = schema.primary_identifier().iter();
        if parts.any(|path| path.get(&self.map).is_some_and(falsy)) {
            warnings.push(Warning::FalsyIdentifier);
        }
        warnings
    }

    /// Gives the places where the model breaks the schema; `state` has the
    /// write-only values that it was made from, if they are known.
    pub(super) fn violations(
        &self,
        schema: &TypeSchema,
        state: Option<&JsonObject>,
    ) -> Vec<Violation> {
        let mut violations = schema.violations(&self.map);
        if violations.is_empty() || schema.write_only().is_empty() {
            return violations;
        }
        // What is required may be write-only, which no answer can hold. In
        // arrays nobody can tell which value belongs where.
        if let Some(state) = state {
            let mut whole = self.map.clone();
            schema.carry_write_only(&state.to_map(), &mut whole);
            violations = schema.violations(&whole);
        }
        violations.retain(|violation| !is_of_presence(violation));
        violations
    }

    /// Gives the desired state of the next invocation: the model with its
    /// write-only values, those of `state` where it has none.
    pub(super) fn next_state(&self, schema: &TypeSchema, state: &JsonObject) -> JsonObject {
        if schema.write_only().is_empty() {
            return self.text.clone();
        }
        let mut next = self.whole.as_ref().unwrap_or(&self.map).clone();
        schema.carry_write_only(&state.to_map(), &mut next);
        JsonObject::from_map(&next)
    }
}

/// Tells whether a rule looks at which properties there are.
pub(super) fn is_of_presence(violation: &Violation) -> bool {
    let keyword = violation.rule.rsplit('/').next().unwrap_or_default();
    OF_PRESENCE.contains(&keyword)
}

/// Removes every null, from objects and arrays at every depth, and tells
/// whether there were any.
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
        Value::Array(items) => {
            let before = items.len();
            items.retain(|item| !item.is_null());
            let shorter = items.len() < before;
            items
                .iter_mut()
                .fold(shorter, |found, item| remove_nulls_within(item) | found)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
