//! All that a schema demands of the value at one place.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::seed::Random;
use super::text::Texts;
use rand::RngExt as _;

/// How many references lead from one schema to the next at most.
const MAX_REFERENCES: usize = 32;

/// The kinds of JSON values, as `type` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    Null,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Object,
        Self::Array,
        Self::String,
        Self::Integer,
        Self::Number,
        Self::Boolean,
        Self::Null,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Null => "null",
        }
    }

    /// Tells whether a value of this kind is of the `type` that has this name.
    fn is_a(self, name: &str) -> bool {
        self.name() == name || (self == Self::Integer && name == "number")
    }

    /// Tells which kind a value is of.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Object(_) => Self::Object,
            Value::Array(_) => Self::Array,
            Value::String(_) => Self::String,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::Bool(_) => Self::Boolean,
            Value::Null => Self::Null,
        }
    }
}

/// Keywords that tell the kind of a value where `type` does not.
const TELLING: [(&str, Kind); 14] = [
    ("properties", Kind::Object),
    ("patternProperties", Kind::Object),
    ("additionalProperties", Kind::Object),
    ("required", Kind::Object),
    ("minProperties", Kind::Object),
    ("items", Kind::Array),
    ("minItems", Kind::Array),
    ("maxItems", Kind::Array),
    ("uniqueItems", Kind::Array),
    ("pattern", Kind::String),
    ("minLength", Kind::String),
    ("maxLength", Kind::String),
    ("minimum", Kind::Number),
    ("maximum", Kind::Number),
];

/// Which branch of `oneOf` and `anyOf` to take.
pub(super) enum Choice<'r> {
    /// None: only what every value must keep.
    Certain,
    /// Another one at each turn, beginning anywhere.
    Turn {
        /// Counts up, so that each branch has its turn.
        turn: usize,
        /// Where to begin.
        random: &'r mut Random,
    },
}

/// The plain schemas that apply together at one place: references are followed,
/// `allOf` is merged, and one branch each of `anyOf` and `oneOf` is chosen.
#[derive(Debug, Default)]
pub(super) struct Rules<'a> {
    parts: Vec<&'a Map<String, Value>>,
    references: Vec<&'a str>,
    /// Properties that would make another branch of a `oneOf`, or a `not`, true.
    avoided: BTreeSet<&'a str>,
    impossible: bool,
}

impl<'a> Rules<'a> {
    /// Gathers what `schemas` demand together.
    pub(super) fn gather(root: &'a Value, schemas: &[&'a Value], mut choice: Choice<'_>) -> Self {
        let mut rules = Self::default();
        for schema in schemas {
            rules.add(root, schema, &mut choice);
        }
        let required: BTreeSet<&str> = rules.required().collect();
        rules.avoided.retain(|name| !required.contains(name));
        rules
    }

    /// Adds what a further schema demands.
    pub(super) fn add(&mut self, root: &'a Value, schema: &'a Value, choice: &mut Choice<'_>) {
        let (schema, references) = resolve(root, schema);
        self.references.extend(references);
        let Some(part) = schema.as_object() else {
            self.impossible |= schema == &Value::Bool(false);
            return;
        };
        self.parts.push(part);
        for branch in branches(part, "allOf") {
            self.add(root, branch, choice);
        }
        if let Some(not) = part.get("not") {
            self.avoid(root, not);
        }
        if let (Some(condition), Choice::Turn { turn, random }) = (part.get("if"), &mut *choice) {
            let holds = (*turn + random.random_range(0..2)) % 2 == 0;
            let consequence = if holds {
                self.add(root, condition, choice);
                part.get("then")
            } else {
                match condition.get("not") {
                    Some(condition) => self.add(root, condition, choice),
                    None => self.avoid(root, condition),
                }
                part.get("else")
            };
            if let Some(consequence) = consequence {
                self.add(root, consequence, choice);
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            let Choice::Turn { turn, random } = choice else {
                continue;
            };
            let kinds = self.kinds();
            let possible: Vec<&Value> = branches(part, keyword)
                .filter(|branch| accepts_any(root, branch, &kinds))
                .collect();
            if possible.is_empty() {
                self.impossible |= part.contains_key(keyword);
                continue;
            }
            let index = (random.random_range(0..possible.len()) + *turn) % possible.len();
            if keyword == "oneOf" {
                for (other, branch) in possible.iter().enumerate() {
                    if other != index {
                        self.avoid(root, branch);
                    }
                }
            }
            self.add(root, possible[index], choice);
        }
    }

    /// Notes a property without which the object does not comply with `schema`.
    fn avoid(&mut self, root: &'a Value, schema: &'a Value) {
        let (schema, _) = resolve(root, schema);
        if let Some(part) = schema.as_object() {
            self.avoided.extend(texts(part, "required").next());
        }
    }

    /// Tells whether no value at all is allowed.
    pub(super) const fn is_impossible(&self) -> bool {
        self.impossible
    }

    /// Tells which references led here.
    pub(super) fn references(&self) -> &[&'a str] {
        &self.references
    }

    /// Gives the plain schemas.
    pub(super) fn parts(&self) -> &[&'a Map<String, Value>] {
        &self.parts
    }

    /// Gives what stands for a keyword, once for each schema that has it.
    pub(super) fn all(&self, keyword: &'a str) -> impl Iterator<Item = &'a Value> + '_ {
        self.parts.iter().filter_map(move |part| part.get(keyword))
    }

    /// Gives the texts that stand for a keyword.
    pub(super) fn texts(&self, keyword: &'a str) -> impl Iterator<Item = &'a str> + '_ {
        self.all(keyword).filter_map(Value::as_str)
    }

    /// Gives the largest number of a keyword that bounds from below.
    pub(super) fn at_least(&self, keyword: &'a str) -> Option<f64> {
        self.all(keyword).filter_map(Value::as_f64).reduce(f64::max)
    }

    /// Gives the smallest number of a keyword that bounds from above.
    pub(super) fn at_most(&self, keyword: &'a str) -> Option<f64> {
        self.all(keyword).filter_map(Value::as_f64).reduce(f64::min)
    }

    /// Gives the bounds of a count; nothing is counted beyond 32 bits.
    pub(super) fn count(&self, least: &'a str, most: &'a str) -> (usize, usize) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the number is clamped to what a count can be"
        )]
        let whole = |number: f64| number.clamp(0.0, f64::from(u32::MAX)) as usize;
        (
            self.at_least(least).map_or(0, whole),
            self.at_most(most).map_or(u32::MAX as usize, whole),
        )
    }

    /// Tells whether a keyword is `true` in any of the schemas.
    pub(super) fn demands(&self, keyword: &'a str) -> bool {
        self.all(keyword).any(|value| value == &Value::Bool(true))
    }

    /// Gives the values that `enum` and `const` leave, or none if any will do.
    pub(super) fn allowed(&self) -> Option<Vec<&'a Value>> {
        let mut left: Option<Vec<&Value>> = None;
        let mut keep = |values: Vec<&'a Value>| {
            left = Some(match left.take() {
                None => values,
                Some(left) => left.into_iter().filter(|v| values.contains(v)).collect(),
            });
        };
        for values in self.all("enum").filter_map(Value::as_array) {
            keep(values.iter().collect());
        }
        for value in self.all("const") {
            keep(vec![value]);
        }
        let kinds = self.kinds();
        left.map(|values| {
            let fits = |value: &&Value| kinds.iter().any(|kind| Kind::of(value).is_a(kind.name()));
            values.into_iter().filter(fits).collect()
        })
    }

    /// Gives the kinds that a value may be of: by `type`, else by the keywords
    /// that speak of a kind, else all.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let types: Vec<Vec<&str>> = self.all("type").map(names).collect();
        let mut kinds: Vec<Kind> = Kind::ALL.to_vec();
        kinds.retain(|kind| {
            types
                .iter()
                .all(|names| names.iter().any(|name| kind.is_a(name)))
        });
        if !types.is_empty() {
            return kinds;
        }
        let telling = |kind: &Kind| {
            TELLING
                .iter()
                .any(|(keyword, of)| of == kind && self.all(keyword).next().is_some())
        };
        let told: Vec<Kind> = kinds.iter().copied().filter(telling).collect();
        if told.is_empty() { kinds } else { told }
    }

    /// Tells whether the schema says nothing of the kind of the value.
    pub(super) fn is_open(&self) -> bool {
        self.kinds().len() == Kind::ALL.len()
    }

    /// Gives the properties that must be there.
    pub(super) fn required(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.parts.iter().flat_map(|part| texts(part, "required"))
    }

    /// Tells whether a property, where it may be left out, should be.
    pub(super) fn avoids(&self, name: &str) -> bool {
        self.avoided.contains(name)
    }

    /// Gives the names of the declared properties, each once, as they stand.
    pub(super) fn declared(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for properties in self.all("properties").filter_map(Value::as_object) {
            for name in properties.keys() {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Gives the schemas of the member `name`, or none if it may not be there.
    pub(super) fn member(&self, name: &str, texts: &Texts) -> Option<Vec<&'a Value>> {
        let mut schemas = Vec::new();
        for part in &self.parts {
            let before = schemas.len();
            schemas.extend(part.get("properties").and_then(|all| all.get(name)));
            let patterns = part.get("patternProperties").and_then(Value::as_object);
            for (pattern, schema) in patterns.into_iter().flatten() {
                if texts.matches(pattern, name) {
                    schemas.push(schema);
                }
            }
            if schemas.len() == before {
                match part.get("additionalProperties") {
                    Some(Value::Bool(false)) => return None,
                    Some(schema) => schemas.push(schema),
                    None => {}
                }
            }
        }
        Some(schemas)
    }

    /// Gives the schemas of the member at `index` of an array.
    pub(super) fn item(&self, index: usize) -> Vec<&'a Value> {
        self.parts
            .iter()
            .filter_map(|part| match part.get("items") {
                Some(Value::Array(each)) => each.get(index).or_else(|| part.get("additionalItems")),
                other => other,
            })
            .collect()
    }
}

fn names(types: &Value) -> Vec<&str> {
    match types {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn texts<'a>(part: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'a str> {
    let list = part.get(keyword).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn branches<'a>(part: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'a Value> {
    let list = part.get(keyword).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// Tells whether a branch leaves any of `kinds`.
fn accepts_any(root: &Value, branch: &Value, kinds: &[Kind]) -> bool {
    let (branch, _) = resolve(root, branch);
    match branch.get("type").map(names) {
        None => branch != &Value::Bool(false),
        Some(names) => kinds.iter().any(|kind| {
            names
                .iter()
                .any(|name| kind.is_a(name) || (*kind == Kind::Number && *name == "integer"))
        }),
    }
}

/// Follows the references of a schema; in draft 7 what stands beside one is
/// ignored.
pub(in super::super) fn resolve<'a>(
    root: &'a Value,
    mut schema: &'a Value,
) -> (&'a Value, Vec<&'a str>) {
    let mut passed = Vec::new();
    for _ in 0..MAX_REFERENCES {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            break;
        };
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        let Some(target) = target else { break };
        passed.push(reference);
        schema = target;
    }
    (schema, passed)
}
