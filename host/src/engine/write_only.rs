//! The write-only values of the last accepted desired state, where a type's
//! operator has them kept.
//!
//! *Invariant*: they are kept by the commit that ends a create or an update well,
//! replaced by the next, and gone with that of a delete.

use serde_json::{Map, Value};

use crate::model::{JsonObject, Mutation, PrimaryIdentifier, Scope, TypeName, TypeSchema};
use crate::operation::{Operation, Transition, WriteOnly};
use crate::store::StoreError;

use super::{Engine, Inner};

impl Engine {
    /// Gives the write-only values of the last desired state that a resource was
    /// brought into, or none: where there are none, and where its type's settings
    /// do not have them kept
    /// ([`TypeSettings::keep_write_only`](crate::registry::TypeSettings::keep_write_only)).
    ///
    /// They stand where they stood, and nothing else does, save what holds the
    /// places of array members: [`TypeSchema::carry_write_only`] puts them into
    /// the state that an update begins from.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn kept_write_only(
        &self,
        type_name: &TypeName,
        scope: &Scope,
        identifier: &PrimaryIdentifier,
    ) -> Result<Option<JsonObject>, StoreError> {
        if !self.inner.keeps_write_only(type_name) {
            return Ok(None);
        }
        self.inner
            .store
            .write_only(scope, type_name, identifier)
            .await
    }
}

impl Inner {
    fn keeps_write_only(&self, type_name: &TypeName) -> bool {
        let known = self.registry.get(type_name);
        known.is_some_and(|known| known.settings.keep_write_only)
    }

    /// Has the write-only values kept of a desired state that `before` was
    /// brought into by `transition`, if its type says so.
    pub(super) fn keeping(&self, before: &Operation, mut transition: Transition) -> Transition {
        let brought = match before.mutation {
            Mutation::Create | Mutation::Update => transition.write_only == WriteOnly::Forget,
            Mutation::Delete => false,
        };
        if brought
            && self.keeps_write_only(&before.type_name)
            && let Some(work) = &before.work
            && let Some(version) = self.registry.version(before.component)
            && let Some(values) = write_only(version.schema(), &work.desired_state)
        {
            transition.write_only = WriteOnly::Keep(values);
        }
        transition
    }
}

/// Gives the write-only values of a state where they stand in it, or none if it
/// has none.
fn write_only(schema: &TypeSchema, state: &JsonObject) -> Option<JsonObject> {
    if schema.write_only().is_empty() {
        return None;
    }
    let state = state.to_map();
    let mut shown = state.clone();
    schema.remove_write_only(&mut shown);
    let rest = removed(state, &shown);
    (!rest.is_empty()).then(|| JsonObject::from_map(&rest))
}

/// Gives what of `whole` is not in `part`, which was made by removing from it.
fn removed(whole: Map<String, Value>, part: &Map<String, Value>) -> Map<String, Value> {
    whole
        .into_iter()
        .filter_map(|(name, value)| {
            let rest = match part.get(&name) {
                Some(part) => removed_value(value, part)?,
                None => value,
            };
            Some((name, rest))
        })
        .collect()
}

fn removed_value(whole: Value, part: &Value) -> Option<Value> {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            let rest = removed(whole, part);
            (!rest.is_empty()).then_some(Value::Object(rest))
        }
        (Value::Array(whole), Value::Array(part)) if whole.len() == part.len() => {
            // Members stay at their places, by which they are found again.
            let rest: Vec<_> = whole
                .into_iter()
                .zip(part)
                .map(|(whole, part)| removed_value(whole, part))
                .collect();
            let any = rest.iter().any(Option::is_some);
            let empty = || Value::Object(Map::new());
            let rest = rest.into_iter().map(|rest| rest.unwrap_or_else(empty));
            any.then(|| rest.collect())
        }
        // Members themselves were removed.
        (whole @ Value::Array(_), Value::Array(_)) => Some(whole),
        (whole, part) => (whole != *part).then_some(whole),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> TypeSchema {
        let schema = json!({
            "typeName": "Acme::Test::Thing",
            "description": "A thing.",
            "properties": {
                "Name": {"type": "string"},
                "Password": {"type": "string"},
                "Login": {"type": "object", "properties": {"User": {}, "Secret": {}}},
                "Users": {"type": "array", "items": {"type": "object"}},
            },
            "primaryIdentifier": ["/properties/Name"],
            "writeOnlyProperties": [
                "/properties/Password",
                "/properties/Login/Secret",
                "/properties/Users/*/Key",
            ],
            "additionalProperties": false,
        });
        TypeSchema::parse(&schema.to_string()).expect("a schema")
    }

    #[test]
    fn write_only_values_are_kept_alone_and_find_their_places_again() {
        for (state, kept) in [
            (json!({"Name": "a"}), None),
            (
                json!({"Name": "a", "Password": "p"}),
                Some(json!({"Password": "p"})),
            ),
            (
                json!({"Name": "a", "Login": {"User": "u", "Secret": "s"}}),
                Some(json!({"Login": {"Secret": "s"}})),
            ),
            (
                json!({"Name": "a", "Login": {"User": "u"}, "Users": []}),
                None,
            ),
            (
                json!({"Users": [{"Id": 1}, {"Id": 2, "Key": "k"}, {"Id": 3}]}),
                Some(json!({"Users": [{}, {"Key": "k"}, {}]})),
            ),
        ] {
            let whole = JsonObject::parse(state.to_string()).expect("an object");
            let values = write_only(&schema(), &whole);
            let found = values.as_ref().map(|it| Value::Object(it.to_map()));
            assert_eq!(found, kept, "{state}");
            let mut shown = whole.to_map();
            schema().remove_write_only(&mut shown);
            if let Some(values) = values {
                schema().carry_write_only(&values.to_map(), &mut shown);
            }
            assert_eq!(Value::Object(shown), state);
        }
    }
}
