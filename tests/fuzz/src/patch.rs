//! JSON Patch on models, beside a naive reading of RFC 6902.
//!
//! The lines of an input: the state; the patch document.

use std::sync::LazyLock;

use formwork::fuzzing::patched;
use formwork_host::model::{JsonObject, TypeSchema, parse_value};
use serde_json::{Value, json};

use crate::lines;

/// The longest state that a patch may make, in bytes.
const STATE: usize = 1_024 * 1_024;

static SCHEMA: LazyLock<TypeSchema> = LazyLock::new(|| {
    let schema = json!({
        "typeName": "Formwork::Tests::Any",
        "description": "Anything.",
        "properties": {"Id": {"type": "string"}, "Secret": {"type": "string"}},
        "primaryIdentifier": ["/properties/Id"],
        "additionalProperties": false,
    });
    TypeSchema::parse(&schema.to_string()).expect("a schema")
});

/// Patches a state. It comes out as the RFC has it, or the reason is one that the
/// RFC does not have; what cannot be applied as the RFC has it is refused.
pub(crate) fn patch(data: &[u8]) {
    let Some([state, document]) = lines(data) else {
        return;
    };
    let Ok(state) = JsonObject::parse(state) else {
        return;
    };
    let before = Value::Object(state.to_map());
    let expected = reference(&before, document);
    match (patched(&SCHEMA, &state, None, document), expected) {
        (Ok(made), Some(expected)) => {
            let made = Value::Object(made.to_map());
            assert!(made.to_string().len() <= STATE.max(before.to_string().len()));
            assert_eq!(made, expected);
            let id = |of: &Value| of.get("Id").cloned().unwrap_or_default();
            assert!(
                equal(&id(&made), &id(&before)),
                "the resource stays the same one"
            );
        }
        (Ok(made), None) => panic!("the RFC refuses what has become {}", made.as_str()),
        (Err(why), Some(expected)) => {
            let other = expected.get("Id") != before.get("Id") && why.contains("primaryIdentifier");
            let ours = ["no JSON object", "nested too deeply", "bytes"];
            let ours = ours.iter().any(|reason| why.contains(reason));
            assert!(other || ours, "{why}, and the RFC has {expected}");
        }
        (Err(why), None) => assert!(!why.is_empty()),
    }
}

/// Applies a patch as RFC 6902 has it, with nothing in mind but its words; none
/// where it cannot be applied. Paths may lack their leading slash.
fn reference(before: &Value, document: &str) -> Option<Value> {
    let document = parse_value(document).ok()?;
    let mut state = before.clone();
    for operation in document.as_array()? {
        let pointer = |member: &str| tokens(operation.get(member)?.as_str()?);
        let value = || operation.get("value").cloned();
        let path = pointer("path")?;
        match operation.get("op")?.as_str()? {
            "add" => add(&mut state, &path, value()?)?,
            "remove" => drop(remove(&mut state, &path)?),
            "replace" => *at_mut(&mut state, &path)? = value()?,
            "copy" => {
                let value = at(&state, &pointer("from")?)?.clone();
                add(&mut state, &path, value)?;
            }
            "move" => {
                let from = pointer("from")?;
                // What is moved cannot go into itself.
                if path.len() > from.len() && path.starts_with(&from) {
                    return None;
                }
                let value = remove(&mut state, &from)?;
                add(&mut state, &path, value)?;
            }
            "test" => equal(at(&state, &path)?, &value()?).then_some(())?,
            _ => return None,
        }
    }
    Some(state)
}

/// Splits a pointer (RFC 6901) into its reference tokens.
fn tokens(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let pointer = pointer.strip_prefix('/').unwrap_or(pointer);
    let token = |token: &str| {
        let mut plain = String::new();
        let mut letters = token.chars();
        while let Some(letter) = letters.next() {
            plain.push(match letter {
                '~' => match letters.next()? {
                    '0' => '~',
                    '1' => '/',
                    _ => return None,
                },
                other => other,
            });
        }
        Some(plain)
    };
    pointer.split('/').map(token).collect()
}

/// Reads the index of an array member: digits without leading zeros.
fn index(token: &str) -> Option<usize> {
    let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    let one_spelling = token == "0" || !token.starts_with('0');
    (digits && one_spelling).then(|| token.parse().ok())?
}

fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, token| match value {
        Value::Object(members) => members.get(token),
        Value::Array(items) => items.get(index(token)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn at_mut<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, token| match value {
        Value::Object(members) => members.get_mut(token),
        Value::Array(items) => items.get_mut(index(token)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn add(state: &mut Value, path: &[String], value: Value) -> Option<()> {
    let Some((last, parents)) = path.split_last() else {
        *state = value;
        return Some(());
    };
    match at_mut(state, parents)? {
        Value::Object(members) => {
            members.insert(last.clone(), value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let index = index(last).filter(|index| *index <= items.len())?;
            items.insert(index, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(())
}

fn remove(state: &mut Value, path: &[String]) -> Option<Value> {
    let Some((last, parents)) = path.split_last() else {
        return Some(state.take());
    };
    match at_mut(state, parents)? {
        Value::Object(members) => members.remove(last),
        Value::Array(items) => {
            let index = index(last).filter(|index| *index < items.len())?;
            Some(items.remove(index))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Compares as section 4.6 of the RFC has it: numbers by their value.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| equal(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| equal(value, other))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        (a, b) => a == b,
    }
}
