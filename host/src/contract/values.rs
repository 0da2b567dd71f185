//! Other values that a schema allows, close to those that there are.
//!
//! A handler can know more of a value than its schema says, so the nearest other
//! value is the likeliest to make sense to it.

use std::iter;

use serde_json::{Map, Value, json};

use crate::model::{PropertyPath, TypeSchema};

use super::Generator;

/// How many of the last characters of a text are changed, one at a time: each gives
/// a copy of the whole text to be checked.
const MOST_CHANGED: usize = 64;

/// Gives `model` another valid value at `path`, or none if none was found.
pub(super) fn another(
    schema: &TypeSchema,
    model: &Map<String, Value>,
    path: &PropertyPath,
    seed: u64,
) -> Option<Map<String, Value>> {
    let before = path.get(model)?;
    near(before)
        .filter(|value| value != before)
        .map(|value| {
            let mut changed = model.clone();
            put(&mut changed, path.steps(), value);
            changed
        })
        .find(|changed| schema.violations(changed).is_empty())
        .or_else(|| Generator::new(schema, &[]).another(model, path, seed))
}

/// Gives values like this one, the likeliest first, each made when it is asked for:
/// all of them at once would be many copies of a large value.
fn near(value: &Value) -> Box<dyn Iterator<Item = Value> + '_> {
    match value {
        Value::Null => Box::new(iter::empty()),
        Value::Bool(truth) => Box::new(iter::once(json!(!truth))),
        Value::Number(number) => match number.as_i64() {
            Some(n) => {
                let near = [n.checked_add(1), n.checked_sub(1)];
                Box::new(near.into_iter().flatten().map(Value::from))
            }
            None => {
                let number = number.as_f64().unwrap_or_default();
                Box::new([json!(number + 1.0), json!(number - 1.0)].into_iter())
            }
        },
        Value::String(text) => Box::new(near_texts(text).map(Value::String)),
        Value::Array(items) => match items.split_first() {
            None => Box::new(iter::empty()),
            Some((first, rest)) => {
                Box::new(near(first).map(move |first| Value::Array([&[first], rest].concat())))
            }
        },
        Value::Object(map) => Box::new(map.iter().flat_map(move |(name, value)| {
            near(value).map(move |value| {
                let mut map = map.clone();
                map.insert(name.clone(), value);
                Value::Object(map)
            })
        })),
    }
}

/// Changes one letter or digit into the next one of its kind, the last one
/// first, and appends one.
fn near_texts(text: &str) -> impl Iterator<Item = String> {
    let last = text.char_indices().rev().take(MOST_CHANGED);
    let changed = last.flat_map(move |(at, letter)| {
        let (before, after) = (&text[..at], &text[at + letter.len_utf8()..]);
        next_letters(letter)
            .into_iter()
            .map(move |next| format!("{before}{next}{after}"))
    });
    changed.chain(["2", "x"].map(|more| format!("{text}{more}")))
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
            assert_eq!(near(&value).next(), Some(first), "{value}");
        }
        assert!(near(&json!("ar-f")).any(|value| value == json!("ar-a")));
    }

    #[test]
    fn a_long_text_has_few_near_ones() {
        let long = "a".repeat(1 << 16);
        let near: Vec<String> = near_texts(&long).collect();
        assert!(near.len() <= 2 * MOST_CHANGED + 2, "{}", near.len());
        assert!(near[0].ends_with("ab"));
    }
}
