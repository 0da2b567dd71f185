//! Paths to properties, as resource type schemas write them.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::schema::escaped;

/// A JSON pointer to a property, such as `/properties/Tags/*/Key`.
///
/// The leading `/properties` is part of the text and not of the steps. `*`
/// stands for every member of an array or map; array members need no `*`
/// when the path goes on, as in many published schemas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PropertyPath {
    steps: Vec<String>,
}

/// Says why a text is no property path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no property path: it must be a JSON pointer that begins with `/properties/`")]
pub struct PropertyPathError(String);

impl PropertyPath {
    /// Gives the value that the path leads to without passing a `*`.
    #[must_use]
    pub fn get<'a>(&self, model: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.steps.split_first()?;
        rest.iter()
            .try_fold(model.get(first)?, |value, step| value.get(step.as_str()))
    }

    /// Gives every value that the path leads to, in the model's order: several
    /// where it passes arrays or a `*`.
    pub fn all<'a>(&self, model: &'a Map<String, Value>) -> impl Iterator<Item = &'a Value> {
        let mut found = Vec::new();
        find_member(model, &self.steps, &mut found);
        found.into_iter()
    }

    /// Gives the steps below `/properties`, unescaped; `*` is a step.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// Tells whether `other` is this property or lies within it.
    ///
    /// A `*` stands for any step; in front of a step it may be missing, as
    /// array members need none.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        contains(&self.steps, &other.steps)
    }

    /// Makes the path of a property of the model itself.
    pub(crate) fn of_property(name: &str) -> Self {
        Self {
            steps: vec![name.to_owned()],
        }
    }

    /// Puts `value` where the path leads, making the objects on the way; a `*`
    /// is taken for a member of that name.
    pub(super) fn insert(&self, model: &mut Map<String, Value>, value: Value) {
        let Some((last, parents)) = self.steps.split_last() else {
            return;
        };
        let mut place = model;
        for parent in parents {
            let member = place
                .entry(parent.as_str())
                .or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = member else { return };
            place = inner;
        }
        place.insert(last.clone(), value);
    }

    /// Removes every value that the path leads to, and tells how many it removed.
    pub fn remove(&self, model: &mut Map<String, Value>) -> usize {
        remove_member(model, &self.steps)
    }

    /// Copies what the path leads to in `from` to the same place in `to`, where
    /// `to` has no value of its own.
    ///
    /// Members of arrays are matched by their position, and only between arrays
    /// of the same length: in others nobody can tell which belongs to which.
    pub fn carry_over(&self, from: &Map<String, Value>, to: &mut Map<String, Value>) {
        carry_member(from, to, &self.steps);
    }
}

impl FromStr for PropertyPath {
    type Err = PropertyPathError;

    fn from_str(text: &str) -> Result<Self, PropertyPathError> {
        let steps: Option<Vec<String>> = text.strip_prefix("/properties/").map(|rest| {
            // Some published schemas repeat `properties` and `items` as the
            // schema document nests them; the model does not.
            let mut steps: Vec<String> = rest
                .split('/')
                .map(|step| step.replace("~1", "/").replace("~0", "~"))
                .collect();
            let mut index = 1;
            while index + 1 < steps.len() {
                if steps[index] == "properties" {
                    steps.remove(index);
                } else if steps[index] == "items" {
                    "*".clone_into(&mut steps[index]);
                }
                index += 1;
            }
            steps
        });
        match steps {
            Some(steps) if steps.iter().all(|step| !step.is_empty()) => Ok(Self { steps }),
            Some(_) | None => Err(PropertyPathError(text.to_owned())),
        }
    }
}

impl fmt::Display for PropertyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/properties")?;
        self.steps
            .iter()
            .try_for_each(|step| write!(f, "/{}", escaped(step)))
    }
}

fn contains(outer: &[String], inner: &[String]) -> bool {
    match (outer, inner) {
        ([], _) => true,
        (_, []) => false,
        ([star, outer @ ..], [_, rest @ ..]) if star == "*" => {
            contains(outer, rest) || (!outer.is_empty() && contains(outer, inner))
        }
        (_, [star, inner @ ..]) if star == "*" => contains(outer, inner),
        ([one, outer @ ..], [other, inner @ ..]) => one == other && contains(outer, inner),
    }
}

fn find_member<'a>(map: &'a Map<String, Value>, steps: &[String], found: &mut Vec<&'a Value>) {
    match steps {
        [] => {}
        [star, rest @ ..] if star == "*" => {
            for value in map.values() {
                find_value(value, rest, found);
            }
        }
        [name, rest @ ..] => {
            if let Some(value) = map.get(name) {
                find_value(value, rest, found);
            }
        }
    }
}

fn find_value<'a>(value: &'a Value, steps: &[String], found: &mut Vec<&'a Value>) {
    if steps.is_empty() {
        found.push(value);
        return;
    }
    match value {
        Value::Object(map) => find_member(map, steps, found),
        Value::Array(items) => {
            let rest = match steps {
                [star, rest @ ..] if star == "*" => rest,
                _ => steps,
            };
            for item in items {
                find_value(item, rest, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn remove_member(map: &mut Map<String, Value>, steps: &[String]) -> usize {
    let Some((first, rest)) = steps.split_first() else {
        return 0;
    };
    if rest.is_empty() {
        if first == "*" {
            let removed = map.len();
            map.clear();
            return removed;
        }
        return usize::from(map.remove(first).is_some());
    }
    if first == "*" {
        return map
            .values_mut()
            .map(|value| remove_value(value, rest))
            .sum();
    }
    map.get_mut(first)
        .map_or(0, |value| remove_value(value, rest))
}

fn remove_value(value: &mut Value, steps: &[String]) -> usize {
    match value {
        Value::Object(map) => remove_member(map, steps),
        Value::Array(items) => {
            let rest = match steps.split_first() {
                Some((first, rest)) if first == "*" => rest,
                Some(_) | None => steps,
            };
            if rest.is_empty() {
                let removed = items.len();
                items.clear();
                return removed;
            }
            items.iter_mut().map(|item| remove_value(item, rest)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn carry_member(from: &Map<String, Value>, to: &mut Map<String, Value>, steps: &[String]) {
    let Some((first, rest)) = steps.split_first() else {
        return;
    };
    if first == "*" {
        for (name, value) in from {
            carry_named(name, value, to, rest);
        }
    } else if let Some(value) = from.get(first) {
        carry_named(first, value, to, rest);
    }
}

fn carry_named(name: &str, value: &Value, to: &mut Map<String, Value>, rest: &[String]) {
    match to.get_mut(name) {
        None if rest.is_empty() => {
            to.insert(name.to_owned(), value.clone());
        }
        // The object that holds a write-only property may have been left out
        // because nothing else is in it.
        None => {
            if let Value::Object(inner) = value {
                let mut made = Map::new();
                carry_member(inner, &mut made, rest);
                if !made.is_empty() {
                    to.insert(name.to_owned(), Value::Object(made));
                }
            }
        }
        Some(target) => carry_value(value, target, rest),
    }
}

fn carry_value(from: &Value, to: &mut Value, steps: &[String]) {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => carry_member(from, to, steps),
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            let rest = match steps.split_first() {
                Some((first, rest)) if first == "*" => rest,
                Some(_) | None => steps,
            };
            for (from, to) in from.iter().zip(to) {
                carry_value(from, to, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    fn path(text: &str) -> PropertyPath {
        text.parse().expect(text)
    }

    #[test]
    fn a_path_removes_what_it_leads_to_at_every_depth() {
        let cases = [
            ("/properties/A", json!({"A": 1, "B": 2}), json!({"B": 2})),
            (
                "/properties/A/B",
                json!({"A": {"B": 1, "C": 2}}),
                json!({"A": {"C": 2}}),
            ),
            (
                "/properties/A/*/B",
                json!({"A": [{"B": 1}, {"C": 2}]}),
                json!({"A": [{}, {"C": 2}]}),
            ),
            (
                "/properties/A/B",
                json!({"A": [{"B": 1}]}),
                json!({"A": [{}]}),
            ),
            (
                "/properties/A/*/B",
                json!({"A": {"x": {"B": 1}}}),
                json!({"A": {"x": {}}}),
            ),
            (
                "/properties/A/items/properties/B",
                json!({"A": [{"B": 1}]}),
                json!({"A": [{}]}),
            ),
            ("/properties/A/B", json!({"A": 1}), json!({"A": 1})),
        ];
        for (text, before, after) in cases {
            let mut model = map(before);
            path(text).remove(&mut model);
            assert_eq!(Value::Object(model), after, "{text}");
        }
    }

    #[test]
    fn what_is_absent_is_carried_over_and_what_is_there_stays() {
        let cases = [
            (
                "/properties/S",
                json!({"S": "s"}),
                json!({"A": 1}),
                json!({"A": 1, "S": "s"}),
            ),
            (
                "/properties/S",
                json!({"S": "s"}),
                json!({"S": "t"}),
                json!({"S": "t"}),
            ),
            (
                "/properties/A/S",
                json!({"A": {"S": 1, "B": 2}}),
                json!({}),
                json!({"A": {"S": 1}}),
            ),
            (
                "/properties/A/*/S",
                json!({"A": [{"S": 1}, {"S": 2}]}),
                json!({"A": [{}, {}]}),
                json!({"A": [{"S": 1}, {"S": 2}]}),
            ),
            (
                "/properties/A/*/S",
                json!({"A": [{"S": 1}]}),
                json!({"A": [{}, {}]}),
                json!({"A": [{}, {}]}),
            ),
        ];
        for (text, from, to, after) in cases {
            let mut model = map(to);
            path(text).carry_over(&map(from), &mut model);
            assert_eq!(Value::Object(model), after, "{text}");
        }
    }

    #[test]
    fn a_path_gives_every_value_that_it_leads_to() {
        let model = map(json!({
            "A": {"B": 1},
            "L": [{"B": 2}, {"C": 0}, {"B": 3}],
            "M": {"x": {"B": 4}, "y": {"B": 5}},
            "T": ["a", "b"],
        }));
        let cases = [
            ("/properties/A/B", json!([1])),
            ("/properties/L/B", json!([2, 3])),
            ("/properties/L/*/B", json!([2, 3])),
            ("/properties/M/*/B", json!([4, 5])),
            ("/properties/T", json!([["a", "b"]])),
            ("/properties/T/*", json!(["a", "b"])),
            ("/properties/A/B/C", json!([])),
            ("/properties/X", json!([])),
        ];
        for (text, values) in cases {
            let found: Vec<_> = path(text).all(&model).cloned().collect();
            assert_eq!(Value::Array(found), values, "{text}");
        }
    }

    #[test]
    fn a_path_contains_itself_and_what_lies_within() {
        for (outer, inner, contains) in [
            ("/properties/A", "/properties/A", true),
            ("/properties/A", "/properties/A/*/B", true),
            ("/properties/A/*/B", "/properties/A/B", true),
            ("/properties/A/B", "/properties/A/*/B", true),
            ("/properties/A/*", "/properties/A/B", true),
            ("/properties/A/*", "/properties/A", false),
            ("/properties/A/B", "/properties/A", false),
            ("/properties/A", "/properties/AB", false),
        ] {
            assert_eq!(
                path(outer).contains(&path(inner)),
                contains,
                "{outer} {inner}"
            );
        }
    }

    #[test]
    fn a_path_must_begin_with_properties() {
        for bad in [
            "",
            "A",
            "/A",
            "/properties",
            "/properties/",
            "/properties//A",
        ] {
            assert!(bad.parse::<PropertyPath>().is_err(), "{bad}");
        }
    }
}
