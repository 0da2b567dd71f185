//! How callers name resources.
//!
//! | form | example |
//! | --- | --- |
//! | the primary identifier as text | `my-archive` |
//! | a compound one, in the schema's order | `my-project\|my-archive` |
//! | any identifier as JSON | `{"Project": "my-project", "Name": "my-archive"}` |
//!
//! Secondary identifiers, the schema's `additionalIdentifiers`, can be told by
//! their property names alone, so those are JSON.

use formwork_host::model::{JsonObject, PrimaryIdentifier, PropertyPath, TypeSchema};
use serde_json::{Map, Value};

use super::refusal::{Exception, Refusal};

/// Gives the model that holds what an identifier says.
pub(super) fn model(schema: &TypeSchema, text: &str) -> Result<JsonObject, Refusal> {
    let named = named(schema, text);
    named.ok_or_else(|| {
        let paths: Vec<_> = schema
            .primary_identifier()
            .iter()
            .map(ToString::to_string)
            .collect();
        Refusal::new(
            Exception::Validation,
            format!(
                "Identifier {text} is not valid for identifier [{}]",
                paths.join(", ")
            ),
        )
    })
}

fn named(schema: &TypeSchema, text: &str) -> Option<JsonObject> {
    if let Some(object) = text
        .trim_start()
        .starts_with('{')
        .then(|| JsonObject::parse(text).ok())
        .flatten()
    {
        let map = object.to_map();
        let sets = schema.additional_identifiers().iter().map(Vec::as_slice);
        return std::iter::once(schema.primary_identifier())
            .chain(sets)
            .any(|paths| is_just(&map, paths))
            .then_some(object);
    }
    let parts = match schema.primary_identifier() {
        [_] => vec![text.to_owned()],
        [] | [_, ..] => text.split('|').map(str::to_owned).collect(),
    };
    let identifier = PrimaryIdentifier::new(parts)?;
    let map = schema.identifier_model(&identifier)?;
    Some(JsonObject::from_map(&map))
}

/// Tells whether the object has a value for each of the paths, and nothing else.
fn is_just(object: &Map<String, Value>, paths: &[PropertyPath]) -> bool {
    let mut rest = object.clone();
    let all = paths.iter().all(|path| {
        let is_value = match path.get(object) {
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Number(_) | Value::Bool(_)) => true,
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
        };
        path.remove(&mut rest);
        is_value
    });
    all && rest.values().all(is_hollow)
}

/// Tells whether nothing is left of the objects that held a value.
fn is_hollow(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|object| object.values().all(is_hollow))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(primary: &Value, additional: Option<Value>) -> TypeSchema {
        let mut schema = json!({
            "typeName": "Acme::Storage::Archive",
            "description": "An archive.",
            "properties": {
                "Name": {"type": "string"},
                "Size": {"type": "integer"},
                "Arn": {"type": "string"},
                "Place": {"type": "object", "properties": {"City": {"type": "string"}}}
            },
            "primaryIdentifier": primary,
            "additionalProperties": false
        });
        if let Some(additional) = additional {
            schema["additionalIdentifiers"] = additional;
        }
        TypeSchema::parse(&schema.to_string()).expect("a schema")
    }

    #[test]
    fn identifiers_are_texts_compounds_and_objects() {
        let single = schema(
            &json!(["/properties/Name"]),
            Some(json!([["/properties/Arn"]])),
        );
        let compound = schema(&json!(["/properties/Name", "/properties/Size"]), None);
        let nested = schema(&json!(["/properties/Place/City"]), None);
        for (schema, text, model) in [
            (&single, "a", Some(json!({"Name": "a"}))),
            (&single, "a|b", Some(json!({"Name": "a|b"}))),
            (&single, "{a", Some(json!({"Name": "{a"}))),
            (&single, r#"{"Name":"a"}"#, Some(json!({"Name": "a"}))),
            (&single, r#" {"Arn": "x"}"#, Some(json!({"Arn": "x"}))),
            (&single, r#"{"Name":"a","Arn":"x"}"#, None),
            (&single, r#"{"Name":""}"#, None),
            (&single, r#"{"Name":null}"#, None),
            (&single, r#"{"Size":1}"#, None),
            (&single, "{}", None),
            (&compound, "a|8", Some(json!({"Name": "a", "Size": 8}))),
            (
                &compound,
                r#"{"Size":8,"Name":"a"}"#,
                Some(json!({"Size": 8, "Name": "a"})),
            ),
            (&compound, "a", None),
            (&compound, "a|8|9", None),
            (&compound, "a|", None),
            (&compound, "|8", None),
            (&compound, r#"{"Name":"a"}"#, None),
            (&compound, "a|x", None),
            (&nested, "x", Some(json!({"Place": {"City": "x"}}))),
            (
                &nested,
                r#"{"Place":{"City":"x"}}"#,
                Some(json!({"Place": {"City": "x"}})),
            ),
            (&nested, r#"{"Place":{"City":"x","Street":"y"}}"#, None),
        ] {
            let found = named(schema, text).map(|model| Value::Object(model.to_map()));
            assert_eq!(found, model, "{text}");
        }
    }
}
