//! Coercion of texts into what a schema wants.
//!
//! CloudFormation sends every primitive of `resourceProperties` as a string
//! (8 as `"8"`, true as `"true"`), and every official wrapper turns them back.

use serde_json::{Map, Number, Value};

/// Says which text does not read as what the schema wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text at `{pointer}` does not read as {wanted}")]
pub struct CoercionError {
    /// Where in the model, as a JSON pointer.
    pub pointer: String,
    /// What the schema wants there.
    pub wanted: &'static str,
}

/// How deep references are followed: a recursive definition ends with its model.
const MAX_REFERENCES: usize = 64;

/// Coerces the texts of `model` by the schema document `root`.
pub(super) fn coerce(root: &Value, model: &mut Map<String, Value>) -> Result<(), CoercionError> {
    coerce_object(root, root, model, &mut Vec::new())
}

fn coerce_value(
    root: &Value,
    schema: &Value,
    value: &mut Value,
    at: &mut Vec<String>,
) -> Result<(), CoercionError> {
    let schema = resolve(root, schema);
    for name in ["allOf", "anyOf", "oneOf"] {
        for branch in schema
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            // A branch that does not fit is not the one that is meant.
            let mut tried = value.clone();
            if coerce_value(root, branch, &mut tried, at).is_ok() {
                *value = tried;
            }
        }
    }
    match value {
        Value::String(text) => {
            if let Some(coerced) = coerce_text(schema, text, at)? {
                *value = coerced;
            }
            Ok(())
        }
        Value::Object(map) => coerce_object(root, schema, map, at),
        Value::Array(items) => match schema.get("items") {
            Some(item_schema) => items.iter_mut().enumerate().try_for_each(|(index, item)| {
                within(at, &index.to_string(), |at| {
                    coerce_value(root, item_schema, item, at)
                })
            }),
            None => Ok(()),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn coerce_object(
    root: &Value,
    schema: &Value,
    map: &mut Map<String, Value>,
    at: &mut Vec<String>,
) -> Result<(), CoercionError> {
    let properties = schema.get("properties");
    // A map has one kind of values: with several patterns, nobody can say which
    // applies without running them, and published schemas have one.
    let others = schema
        .get("patternProperties")
        .and_then(Value::as_object)
        .filter(|patterns| patterns.len() == 1)
        .and_then(|patterns| patterns.values().next())
        .or_else(|| {
            schema
                .get("additionalProperties")
                .filter(|other| other.is_object())
        });
    map.iter_mut().try_for_each(|(name, value)| {
        match properties
            .and_then(|properties| properties.get(name))
            .or(others)
        {
            Some(schema) => within(at, name, |at| coerce_value(root, schema, value, at)),
            None => Ok(()),
        }
    })
}

fn within<T>(at: &mut Vec<String>, step: &str, go: impl FnOnce(&mut Vec<String>) -> T) -> T {
    at.push(step.replace('~', "~0").replace('/', "~1"));
    let result = go(at);
    at.pop();
    result
}

fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..MAX_REFERENCES {
        let target = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| reference.strip_prefix('#'))
            .and_then(|pointer| root.pointer(pointer));
        match target {
            Some(target) => schema = target,
            None => return schema,
        }
    }
    schema
}

/// Reads a text as one kind of value, or gives none.
type Reader = fn(&str) -> Option<Value>;

/// Reads `text` as what `schema` wants, or none if it wants a string or does not say.
fn coerce_text(schema: &Value, text: &str, at: &[String]) -> Result<Option<Value>, CoercionError> {
    let wanted: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => return Ok(None),
    };
    if wanted.contains(&"string") {
        return Ok(None);
    }
    let readers: [(&str, &'static str, Reader); 3] = [
        ("boolean", "a boolean (`true` or `false`)", read_boolean),
        ("integer", "an integer", read_integer),
        ("number", "a number", read_number),
    ];
    let mut refused = None;
    for (name, what, read) in readers {
        if wanted.contains(&name) {
            match read(text) {
                Some(value) => return Ok(Some(value)),
                None => refused = Some(what),
            }
        }
    }
    match refused {
        Some(wanted) => Err(CoercionError {
            pointer: format!("/{}", at.join("/")),
            wanted,
        }),
        None => Ok(None),
    }
}

fn read_boolean(text: &str) -> Option<Value> {
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn read_integer(text: &str) -> Option<Value> {
    let number = read_number(text)?;
    let whole =
        number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|f| f.fract() == 0.0);
    whole.then_some(number)
}

fn read_number(text: &str) -> Option<Value> {
    // JSON's own grammar, so that ` 1`, `0x1`, `inf` and `NaN` are refused.
    serde_json::from_str::<Number>(text)
        .ok()
        .filter(|_| !text.starts_with(char::is_whitespace))
        .map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(properties: Value, model: Value) -> Result<Value, String> {
        let root = json!({
            "properties": properties,
            "definitions": {"Size": {"type": "integer"}, "Node": {"type": "object", "properties": {"V": {"type": "integer"}, "Next": {"$ref": "#/definitions/Node"}}}}
        });
        let Value::Object(mut map) = model else {
            panic!("a model is an object")
        };
        coerce(&root, &mut map)
            .map(|()| Value::Object(map))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn texts_become_what_the_schema_wants() {
        let cases = [
            (json!({"type": "integer"}), json!("8"), json!(8)),
            (json!({"type": "number"}), json!("1.5"), json!(1.5)),
            (json!({"type": "boolean"}), json!("true"), json!(true)),
            (json!({"type": "string"}), json!("8"), json!("8")),
            (
                json!({"type": ["string", "integer"]}),
                json!("8"),
                json!("8"),
            ),
            (json!({}), json!("8"), json!("8")),
            (json!({"$ref": "#/definitions/Size"}), json!("8"), json!(8)),
            (
                json!({"type": "array", "items": {"type": "integer"}}),
                json!(["1", 2]),
                json!([1, 2]),
            ),
            (
                json!({"type": "object", "patternProperties": {".*": {"type": "boolean"}}}),
                json!({"a": "false"}),
                json!({"a": false}),
            ),
            (
                json!({"oneOf": [{"type": "boolean"}, {"type": "integer"}]}),
                json!("3"),
                json!(3),
            ),
            (
                json!({"$ref": "#/definitions/Node"}),
                json!({"Next": {"Next": {"V": "1"}}}),
                json!({"Next": {"Next": {"V": 1}}}),
            ),
        ];
        for (schema, before, after) in cases {
            assert_eq!(
                check(json!({"P": schema.clone()}), json!({"P": before})),
                Ok(json!({"P": after})),
                "{schema}"
            );
        }
    }

    #[test]
    fn a_text_that_does_not_fit_is_refused_with_its_place() {
        for text in ["x", "1.5", " 1", "0x1", "", "1e999"] {
            assert_eq!(
                check(
                    json!({"A": {"type": "array", "items": {"type": "integer"}}}),
                    json!({"A": [1, text]})
                ),
                Err("the text at `/A/1` does not read as an integer".to_owned()),
                "{text}"
            );
        }
    }
}
