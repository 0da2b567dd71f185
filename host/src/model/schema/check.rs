//! The JSON Schema within a resource type schema, compiled.

use std::cell::OnceCell;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Registry, ValidationError, ValidationOptions};
use serde_json::{Map, Value, json};

use super::bounded::{Counted, Endless, Validator};
use super::problem::{SchemaError, SchemaOddity, SchemaWarning, Violation};
use super::reference::{breadth, endless, schemas};
use super::{MAX_WARNINGS, pattern};

/// How many violations are told at most: a person mends them one by one.
const MAX_VIOLATIONS: usize = 20;

/// How many values of a model are searched for violations, about: the validator
/// makes all violations of an array before it gives the first, at half a
/// kilobyte each.
const MAX_SEARCHED: usize = 10_000;

/// How many characters each text of a violation has at most.
const MAX_TEXT: usize = 300;

/// How often a regular expression may turn back on one text. Only expressions
/// with look-around or back references turn back at all; a text that takes one
/// of them further counts as a violation, since nobody can wait for the answer.
const MAX_BACKTRACKS: usize = 100_000;

/// How many schemas may apply to one value at most, in a schema that is made of others,
/// and how many of them refer each to the next.
const MAX_BREADTH: usize = 10_000;
const MAX_DEPTH: usize = 64;

/// The name of the document for references from parts of it.
const DOCUMENT: &str = "urn:formwork:schema";

/// Takes the JSON Schema that describes one kind of object: of resources, or of
/// type configurations. Its references lead into the definitions of the document.
pub(super) fn json_schema(document: &Map<String, Value>, of: &Map<String, Value>) -> Value {
    const KEYWORDS: [&str; 8] = [
        "properties",
        "patternProperties",
        "required",
        "dependencies",
        "allOf",
        "anyOf",
        "oneOf",
        "additionalProperties",
    ];
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    for name in KEYWORDS {
        if let Some(value) = of.get(name) {
            schema.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(definitions) = document.get("definitions") {
        schema.insert("definitions".to_owned(), definitions.clone());
    }
    let mut schema = Value::Object(schema);
    take_out_names(&mut schema);
    schema
}

/// Takes the names of their own out that schemas have: all references are pointers.
fn take_out_names(schema: &mut Value) {
    let named = schemas(schema).into_iter();
    let named = named.filter(|(_, part)| part.get("$id").is_some());
    let pointers: Vec<_> = named.map(|(pointer, _)| pointer).collect();
    for pointer in pointers {
        if let Some(part) = schema.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            part.remove("$id");
        }
    }
}

/// Where [`with_filter`] puts the JSON Schema of what a LIST is asked with.
pub(super) const FILTER: &str = "/definitions/~1handlers~1list~1handlerSchema";

/// Adds the JSON Schema of what a LIST is asked with to that of resources, at
/// [`FILTER`]: it refers to that one, as `resource-schema.json` or as its own.
pub(super) fn with_filter(resource: &Value, filter: &Value) -> Result<Value, SchemaError> {
    let mut schema = resource.clone();
    let mut filter = filter.clone();
    refer_within(&mut filter);
    if let Value::Object(keywords) = &mut schema {
        let definitions = keywords.entry("definitions").or_insert_with(|| json!({}));
        if let Value::Object(definitions) = definitions {
            definitions.insert("/handlers/list/handlerSchema".to_owned(), filter);
        }
    }
    take_out_circles(&mut schema);
    hold(&schema)?;
    Ok(schema)
}

fn refer_within(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(within) = reference.strip_prefix("resource-schema.json")
            {
                *reference = within.to_owned();
            }
            members.values_mut().for_each(refer_within);
        }
        Value::Array(items) => items.iter_mut().for_each(refer_within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Compiles a JSON Schema that stands at `at` in the document. What cannot be
/// enforced is taken out of it, with a warning each.
pub(super) fn compile(
    schema: &mut Value,
    at: &str,
    warnings: &mut Vec<SchemaWarning>,
) -> Result<Validator, SchemaError> {
    let mut taken = take_out_circles(schema);
    hold(schema)?;
    let build = |schema: &Value| Validator::new(|size| options(size).build(schema));
    let mut built = build(schema);
    if built.is_err() {
        // Looking at each pattern takes as long as building, and few schemas need it.
        taken.extend(pattern::make_usable(schema));
        built = build(schema);
    }
    for mut warning in taken {
        if !warning.pointer.starts_with("/definitions/") {
            warning.pointer.insert_str(0, at);
        }
        if warnings.len() < MAX_WARNINGS && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    built.map_err(|error| SchemaError::Properties {
        reason: format!("`{}`: {error}", error.instance_path()),
    })
}

/// Holds a schema without circles to bounds on what it multiplies to.
fn hold(schema: &Value) -> Result<(), SchemaError> {
    let breadth = breadth(schema);
    if breadth.count > MAX_BREADTH || breadth.depth > MAX_DEPTH {
        return Err(SchemaError::Properties {
            reason: format!(
                "more than {MAX_BREADTH} schemas apply to one value by `allOf`, `anyOf`, `oneOf`, \
                 `$ref` and their like, or more than {MAX_DEPTH} refer each to the next: refer to fewer"
            ),
        });
    }
    Ok(())
}

/// Takes the references out that make a schema part of itself, and tells which.
fn take_out_circles(schema: &mut Value) -> Vec<SchemaWarning> {
    let mut warnings = Vec::new();
    for pointer in endless(schema) {
        let holder = schema.pointer_mut(&pointer).and_then(Value::as_object_mut);
        if let Some(holder) = holder {
            holder.remove("$ref");
            warnings.push(SchemaWarning {
                pointer: format!("{pointer}/$ref"),
                oddity: SchemaOddity::Circle,
            });
        }
    }
    warnings
}

/// Gives how models are checked.
///
/// A `format` is an annotation in draft 7 and is not checked: the wrappers of
/// Python, TypeScript and Go do not either, and what the official contract tests
/// generate for a format does not keep to it.
///
/// Regular expressions have at most `size` bytes, or as many as their engine allows.
pub(super) fn options<'a>(
    size: Option<usize>,
) -> ValidationOptions<'a, Arc<dyn jsonschema::Retrieve>, Counted> {
    let expressions = PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS);
    jsonschema::options_for::<Counted>()
        .with_draft(Draft::Draft7)
        .should_validate_formats(false)
        .with_pattern_options(match size {
            Some(size) => expressions.size_limit(size),
            None => expressions,
        })
}

/// Gives the places where `object` breaks the schema, the first 20; quotes
/// values in the messages only if it may.
///
/// Time and memory are bounded whatever the schema and the object are: of a large
/// object that breaks the schema only a sample is searched, and its violations are told
/// that the whole has as well. One that takes too long to check breaks the schema.
pub(super) fn violations(
    validator: &Validator,
    object: &Map<String, Value>,
    quote: bool,
) -> Vec<Violation> {
    // The validator reads a `Value`; moving the map in and out would need
    // ownership, so the clone is the price of a borrowed argument.
    let instance = Value::Object(object.clone());
    let of_all = |message: String| Violation {
        pointer: String::new(),
        rule: String::new(),
        message,
    };
    match validator.fits(&instance) {
        Ok(true) => return Vec::new(),
        Ok(false) => {}
        Err(Endless) => {
            let why = "its schema takes too long to check it by, as regular expressions that turn \
                       back do, or schemas that many others apply with";
            return vec![of_all(why.to_owned())];
        }
    }
    let mut left = MAX_SEARCHED;
    let is_large = has_more_values(&instance, &mut left);
    let sample = is_large.then(|| sample(&instance, MAX_SEARCHED));
    let searched = sample.as_ref().unwrap_or(&instance);
    let Ok(errors) = validator.errors(searched) else {
        return vec![of_all(
            "it breaks its schema in more ways than can be told".to_owned(),
        )];
    };
    let mut found: Vec<_> = errors
        .filter(|error| !is_large || holds_of(&instance, error))
        .take(MAX_VIOLATIONS)
        .map(|error| violation(&error, quote))
        .collect();
    if found.is_empty() {
        found.push(of_all(format!(
            "it has more than {MAX_SEARCHED} values, too many to tell where; check a part of it"
        )));
    }
    found
}

fn violation(error: &ValidationError<'_>, quote: bool) -> Violation {
    Violation {
        pointer: short(error.instance_path()),
        // It is the schema's own, and told by its last step.
        rule: error.schema_path().to_string(),
        // A message can quote the value that it is about, and a value
        // quoted at a parent quotes its members as well.
        message: if quote {
            short(error)
        } else {
            short(&error.masked())
        },
    }
}

/// Tells whether a value has more values in it, itself included, than are `left`.
fn has_more_values(value: &Value, left: &mut usize) -> bool {
    let Some(rest) = left.checked_sub(1) else {
        return true;
    };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().any(|item| has_more_values(item, left)),
        Value::Object(members) => members.values().any(|member| has_more_values(member, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Copies the first values of each array and object, `budget` in all at each
/// depth, so that one large member hides no other.
fn sample(value: &Value, budget: usize) -> Value {
    let share = |members: usize| (budget / members.max(1)).max(1);
    match value {
        Value::Array(items) => items
            .iter()
            .take(budget)
            .map(|item| sample(item, share(items.len())))
            .collect(),
        Value::Object(members) => members
            .iter()
            .take(budget)
            .map(|(name, member)| (name.clone(), sample(member, share(members.len()))))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Tells whether an error of a sample is one of the whole: it is about a value
/// that is all in the sample, or about what leaving members out cannot cause.
fn holds_of(whole: &Value, error: &ValidationError<'_>) -> bool {
    match error.kind() {
        ValidationErrorKind::Type { .. }
        | ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::MaxItems { .. }
        | ValidationErrorKind::MaxProperties { .. } => true,
        _ => whole.pointer(error.instance_path().as_str()) == Some(error.instance().as_ref()),
    }
}

/// Writes a value, and leaves the end out if it is long.
fn short(value: &dyn fmt::Display) -> String {
    struct Short {
        text: String,
        left: usize,
    }
    impl fmt::Write for Short {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for character in text.chars() {
                if self.left == 0 {
                    self.text.push('…');
                    // What is not written need not be formatted.
                    return Err(fmt::Error);
                }
                self.left -= 1;
                self.text.push(character);
            }
            Ok(())
        }
    }
    let mut short = Short {
        text: String::new(),
        left: MAX_TEXT,
    };
    let _whole = write!(short, "{value}");
    short.text
}

/// Compiles parts of a JSON Schema that compiles as a whole.
pub(in crate::model) struct Parts<'a> {
    document: &'a Value,
    registry: OnceCell<Option<Registry<'a>>>,
}

impl<'a> Parts<'a> {
    pub(in crate::model) const fn new(document: &'a Value) -> Self {
        Self {
            document,
            registry: OnceCell::new(),
        }
    }

    /// Gives the whole.
    pub(in crate::model) const fn document(&self) -> &'a Value {
        self.document
    }

    /// Compiles the part that `pointer` leads to.
    pub(in crate::model) fn compile(&self, pointer: &str) -> Option<Validator> {
        let registry = self.registry.get_or_init(|| {
            Registry::new()
                .draft(Draft::Draft7)
                .add(DOCUMENT, Draft::Draft7.create_resource_ref(self.document))
                .and_then(jsonschema::RegistryBuilder::prepare)
                .ok()
        });
        let registry = registry.as_ref()?;
        let part = json!({ "$ref": format!("{DOCUMENT}#{}", fragment(pointer)) });
        Validator::new(|size| options(size).with_registry(registry).build(&part)).ok()
    }
}

/// Writes a JSON pointer as the fragment of a URI.
fn fragment(pointer: &str) -> String {
    pointer.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}
