//! Where property paths lead in a schema.

use std::collections::HashSet;

use serde_json::Value;

use super::super::{PropertyPath, PropertyPathError};
use super::pattern::Pattern;
use super::problem::{SchemaOddity, SchemaWarning};
use super::reference::{escaped, resolve};

/// The keywords that hold lists of paths.
const LISTS: [&str; 8] = [
    "primaryIdentifier",
    "readOnlyProperties",
    "writeOnlyProperties",
    "createOnlyProperties",
    "conditionalCreateOnlyProperties",
    "deprecatedProperties",
    "nonPublicProperties",
    "nonPublicDefinitions",
];

/// How an array compares with another: what `insertionOrder` (true by default)
/// and `uniqueItems` (false by default) say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// The order counts, and members may be equal.
    List,
    /// The order does not count, and members may be equal.
    Multiset,
    /// The order counts, and no members are equal.
    OrderedSet,
    /// The order does not count, and no members are equal.
    Set,
}

/// Tells what the array is that `path` leads to, if it leads to one.
pub(super) fn collection(root: &Value, path: &PropertyPath) -> Option<Collection> {
    let mut schemas = schemas_at(root, path)
        .into_iter()
        .map(|schema| resolve(root, schema, String::new()).0);
    let array = schemas.find(|schema| {
        schema.get("items").is_some() || schema.get("type").is_some_and(|name| name == "array")
    })?;
    let flag = |name, default| array.get(name).and_then(Value::as_bool).unwrap_or(default);
    Some(
        match (flag("insertionOrder", true), flag("uniqueItems", false)) {
            (true, false) => Collection::List,
            (false, false) => Collection::Multiset,
            (true, true) => Collection::OrderedSet,
            (false, true) => Collection::Set,
        },
    )
}

/// Warns of each path in the document that leads to no property.
pub(super) fn check(document: &Value, warnings: &mut Vec<SchemaWarning>) {
    for (pointer, text) in paths(document) {
        let leads = match text.parse() {
            Ok(path) => !schemas_at(document, &path).is_empty(),
            Err(PropertyPathError { .. }) => document.pointer(text).is_some(),
        };
        if !leads {
            let oddity = SchemaOddity::NoSuchProperty {
                path: text.to_owned(),
            };
            warnings.push(SchemaWarning { pointer, oddity });
        }
    }
}

/// Gives every path in the document and where it stands.
fn paths(document: &Value) -> Vec<(String, &str)> {
    let lists = LISTS
        .iter()
        .filter_map(|name| Some((format!("/{name}"), document.get(name)?)));
    let identifiers = document
        .get("additionalIdentifiers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, list)| (format!("/additionalIdentifiers/{index}"), list));
    let mut found = Vec::new();
    for (pointer, list) in lists.chain(identifiers) {
        for (index, text) in list.as_array().into_iter().flatten().enumerate() {
            found.extend(
                text.as_str()
                    .map(|text| (format!("{pointer}/{index}"), text)),
            );
        }
    }
    let tags = "/tagging/tagProperty";
    found.extend(
        document
            .pointer(tags)
            .and_then(Value::as_str)
            .map(|text| (tags.to_owned(), text)),
    );
    found.extend(
        members(document, "propertyTransform")
            .map(|(text, _)| (format!("/propertyTransform/{}", escaped(text)), text)),
    );
    found
}

/// Gives the schemas of what `path` leads to: several where combinators give it
/// several, none where it leads to no property.
pub(super) fn schemas_at<'a>(root: &'a Value, path: &PropertyPath) -> Vec<&'a Value> {
    path.steps()
        .iter()
        .fold(vec![root], |schemas, step| below(root, schemas, step))
}

/// Gives the schemas one step below any of `schemas`.
fn below<'a>(root: &'a Value, schemas: Vec<&'a Value>, step: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut due = schemas;
    while let Some(schema) = due.pop() {
        let (schema, _) = resolve(root, schema, String::new());
        if !seen.insert(std::ptr::from_ref(schema)) {
            continue;
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            due.extend(
                schema
                    .get(keyword)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
        due.extend(["then", "else"].iter().filter_map(|name| schema.get(name)));
        let named = members(schema, "properties").filter(|(name, _)| step == "*" || *name == step);
        let matching = members(schema, "patternProperties")
            .filter(|(text, _)| step == "*" || matches(text, step));
        let before = found.len();
        found.extend(named.chain(matching).map(|(_, member)| member));
        if found.len() == before || step == "*" {
            found.extend(
                schema
                    .get("additionalProperties")
                    .filter(|other| other.is_object()),
            );
        }
        if let Some(items) = schema.get("items") {
            // Members of arrays need no `*`.
            if step == "*" {
                found.push(items);
            } else {
                due.push(items);
            }
        }
    }
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).is_none_or(|pattern| pattern.matches(name))
}

fn members<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    schema
        .get(keyword)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, member)| (name.as_str(), member))
}
