//! Other values that a schema allows, close to those that there are.
//!
//! A handler can know more of a value than its schema says, so the nearest other
//! value is the likeliest to make sense to it.

use serde_json::{Map, Value, json};

use crate::model::{PropertyPath, TypeSchema};

use super::Generator;

/// Gives `model` another valid value at `path`, or none if none was found.
pub(super) fn another(
    schema: &TypeSchema,
    model: &Map<String, Value>,
    path: &PropertyPath,
    seed: u64,
) -> Option<Map<String, Value>> {
    let before = path.get(model)?;
    near(before)
        .into_iter()
        .filter(|value| value != before)
        .map(|value| {
            let mut changed = model.clone();
            put(&mut changed, path.steps(), value);
            changed
        })
        .find(|changed| schema.violations(changed).is_empty())
        .or_else(|| Generator::new(schema, &[]).another(model, path, seed))
}

/// Gives values like this one, the likeliest first.
fn near(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Bool(truth) => vec![json!(!truth)],
        Value::Number(number) => {
            let whole = number.as_i64().map(|n| {
                [n.checked_add(1), n.checked_sub(1)]
                    .into_iter()
                    .flatten()
                    .map(Value::from)
                    .collect()
            });
            whole.unwrap_or_else(|| {
                let number = number.as_f64().unwrap_or_default();
                vec![json!(number + 1.0), json!(number - 1.0)]
            })
        }
        Value::String(text) => near_texts(text).into_iter().map(Value::String).collect(),
        Value::Array(items) => {
            let Some((first, rest)) = items.split_first() else {
                return Vec::new();
            };
            near(first)
                .into_iter()
                .map(|first| Value::Array([&[first], rest].concat()))
                .collect()
        }
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, value)| {
                near(value).into_iter().map(|value| {
                    let mut map = map.clone();
                    map.insert(name.clone(), value);
                    Value::Object(map)
                })
            })
            .collect(),
    }
}

/// Changes one letter or digit into the next one of its kind, the last one
/// first, and appends one.
fn near_texts(text: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let letters: Vec<char> = text.chars().collect();
    for at in (0..letters.len()).rev() {
        for next in next_letters(letters[at]) {
            let mut changed = letters.clone();
            changed[at] = next;
            texts.push(changed.into_iter().collect());
        }
    }
    texts.push(format!("{text}2"));
    texts.push(format!("{text}x"));
    texts
}

fn next_letters(letter: char) -> Vec<char> {
    let cycle = |from: char, to: char| {
        let next = u32::from(letter) + 1;
        char::from_u32(next)
            .filter(|next| *next <= to)
            .unwrap_or(from)
    };
    match letter {
        '0'..='9' => vec![cycle('0', '9')],
        // A hexadecimal digit stays one.
        'a'..='z' => vec![cycle('a', 'z'), cycle('a', 'f')],
        'A'..='Z' => vec![cycle('A', 'Z'), cycle('A', 'F')],
        _ => Vec::new(),
    }
}

/// Puts a value where the steps lead, making the objects on the way.
pub(super) fn put(model: &mut Map<String, Value>, steps: &[String], value: Value) {
    match steps {
        [] => {}
        [last] => {
            model.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = model
                .entry(first.as_str())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Gives the schema of a property at the top, a reference followed.
pub(super) fn property<'a>(schema: &'a TypeSchema, name: &str) -> Option<&'a Value> {
    let document = schema.document();
    let mut property = document.get("properties")?.get(name)?;
    // A reference leads to another one at most a few times.
    for _ in 0..8 {
        let Some(reference) = property.get("$ref").and_then(Value::as_str) else {
            break;
        };
        // What stands beside a reference counts for us, if it is the default.
        if property.get("default").is_some() {
            break;
        }
        property = document.pointer(reference.strip_prefix('#')?)?;
    }
    Some(property)
}

/// Gives the properties at the top that have a default, with it.
pub(super) fn defaults(schema: &TypeSchema) -> Vec<(String, Value)> {
    let properties = schema
        .document()
        .get("properties")
        .and_then(Value::as_object);
    properties
        .into_iter()
        .flat_map(Map::keys)
        .filter_map(|name| {
            let default = property(schema, name)?.get("default")?;
            Some((name.clone(), default.clone()))
        })
        .collect()
}

/// Tells whether one of the paths is, leads into or leads to the property at the top.
pub(super) fn touches(paths: &[PropertyPath], name: &str) -> bool {
    paths
        .iter()
        .any(|path| path.steps().first().is_some_and(|step| step == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_values_differ_little() {
        for (value, first) in [
            (json!("a9"), json!("a0")),
            (json!("ar-f"), json!("ar-g")),
            (json!(7), json!(8)),
            (json!(true), json!(false)),
            (json!(["a", "b"]), json!(["b", "b"])),
            (json!({"Key": "k"}), json!({"Key": "l"})),
        ] {
            assert_eq!(near(&value).first(), Some(&first), "{value}");
        }
        assert!(near(&json!("ar-f")).contains(&json!("ar-a")));
    }
}
