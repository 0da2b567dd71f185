//! Makes resource models from a resource type schema: valid ones, changed ones,
//! and ones that break exactly one rule.
//!
//! Everything follows from the schema and a seed. Values are drawn by what the
//! schema says of their places, and then the whole model is put before the
//! schema's own validator; the places that it objects to are drawn anew, another
//! branch of `oneOf` and `anyOf` first, then with less of what may be left out.

mod change;
mod ecma;
mod format;
mod invalid;
mod make;
mod number;
mod omit;
mod pattern;
mod rules;
mod seed;
mod text;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::{PropertyPath, TypeSchema, Violation};

pub use change::Changed;
pub use invalid::Invalid;
pub(super) use omit::Paths;
pub(super) use rules::resolve;

use make::{Lessons, Maker, Place, Unmade};
use seed::Salt;
use text::Texts;

/// How often a model is drawn anew before its schema counts as too hard.
const ROUNDS: usize = 48;

/// How often one place is drawn anew before it is left out.
const PATIENCE: u32 = 12;

/// How much of what a schema leaves open a model holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Required properties alone.
    Minimal,
    /// Every property that may stand together with the others, to a bounded
    /// depth and size; definitions that contain themselves are entered once.
    Full,
}

/// A model that complies with its schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The model.
    pub model: Map<String, Value>,
    /// Properties that a full model should have and for which no value was found.
    pub left_out: Vec<LeftOut>,
}

/// A property without a value, because none was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Where in the model, as a JSON pointer.
    pub pointer: String,
    /// The keyword of the schema that no value was found for.
    pub keyword: String,
}

/// Says why no valid model was found.
///
/// Either nothing complies, or what does is too rare to be found by chance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no model of {type_name} was found that complies with the schema: at `{pointer}` no value meets `{keyword}`; give the value in `overrides.json` or the model in `inputs/`"
)]
pub struct GenerateError {
    /// The resource type.
    pub type_name: String,
    /// Where in the model, as a JSON pointer; empty for the model itself.
    pub pointer: String,
    /// The keyword of the schema that no value was found for.
    pub keyword: String,
}

/// Makes models for one resource type.
///
/// ```
/// use formwork_host::contract::{Extent, Generator};
/// use formwork_host::model::TypeSchema;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let text = r#"{
/// #   "typeName": "Acme::Storage::Archive", "description": "An archive.",
/// #   "properties": {"Name": {"type": "string", "pattern": "^(?!aws)[a-z]{3,8}$"}},
/// #   "required": ["Name"], "primaryIdentifier": ["/properties/Name"],
/// #   "additionalProperties": false
/// # }"#;
/// let schema = TypeSchema::parse(text)?;
/// let generator = Generator::new(&schema, &[]);
/// let made = generator.model(Extent::Full, 7)?;
/// assert!(schema.violations(&made.model).is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Generator<'s> {
    schema: &'s TypeSchema,
    document: &'s Value,
    omitted: Paths,
    texts: Texts,
}

impl<'s> Generator<'s> {
    /// Takes the schema, and the properties that no model is to have, such as
    /// the read-only ones.
    #[must_use]
    pub fn new(schema: &'s TypeSchema, leave_out: &[PropertyPath]) -> Self {
        Self {
            schema,
            document: schema.document(),
            omitted: Paths::new(leave_out),
            texts: Texts::default(),
        }
    }

    /// Makes a valid model; the same one for the same seed.
    ///
    /// # Errors
    ///
    /// When no valid model was found, with the place and the keyword in the way.
    pub fn model(&self, extent: Extent, seed: u64) -> Result<Generated, GenerateError> {
        let root = [self.document];
        let mut lessons = Lessons::default();
        let mut refused = None;
        for _ in 0..ROUNDS {
            let mut maker = Maker {
                root: self.document,
                texts: &self.texts,
                extent,
                lessons: &lessons,
                dropped: Vec::new(),
                made: 0,
            };
            let attempt = lessons.attempts.get("").copied().unwrap_or(0);
            let place = Place {
                pointer: String::new(),
                salt: Salt::new(seed).step("", attempt),
                omitted: self.omitted.clone(),
                depth: 0,
                open: Vec::new(),
                is_varied: false,
            };
            let objections = match maker.value(&root, &place) {
                Ok(Value::Object(model)) => {
                    let dropped = maker.dropped;
                    let violations = self.schema.violations(&model);
                    if violations.is_empty() {
                        let left_out = left_out(&model, dropped, lessons.given_up);
                        return Ok(Generated { model, left_out });
                    }
                    violations.iter().map(LeftOut::of).collect()
                }
                Ok(_) => vec![LeftOut {
                    pointer: String::new(),
                    keyword: "type".to_owned(),
                }],
                Err(unmade) => {
                    let Unmade {
                        pointer, keyword, ..
                    } = unmade;
                    // Another value was looked for in vain: what stands around
                    // the place must change.
                    let around = pointer.rsplit_once('/').map_or("", |(around, _)| around);
                    let attempts = lessons.attempts.entry(around.to_owned()).or_default();
                    *attempts = (*attempts + 1).max(make::HALF);
                    vec![LeftOut { pointer, keyword }]
                }
            };
            for objection in &objections {
                reconsider(&mut lessons, &objection.pointer, &objection.keyword);
            }
            refused = objections.into_iter().next().or(refused);
        }
        let LeftOut { pointer, keyword } = refused.unwrap_or_default();
        Err(GenerateError {
            type_name: self.schema.type_name().to_string(),
            pointer,
            keyword,
        })
    }
}

impl LeftOut {
    fn of(violation: &Violation) -> Self {
        Self {
            pointer: violation.pointer.clone(),
            keyword: keyword(violation).to_owned(),
        }
    }
}

/// Names the keyword that a violation is about.
fn keyword(violation: &Violation) -> &str {
    let steps = violation.rule.rsplit('/');
    steps
        .into_iter()
        .find(|step| step.parse::<usize>().is_err())
        .unwrap_or_default()
}

/// Has a place drawn anew; one that has been too often is given up, and so are
/// those around it that need it.
fn reconsider(lessons: &mut Lessons, mut pointer: &str, keyword: &str) {
    loop {
        let attempts = lessons.attempts.entry(pointer.to_owned()).or_default();
        *attempts += 1;
        let Some((parent, _)) = pointer.rsplit_once('/') else {
            return;
        };
        if !attempts.is_multiple_of(PATIENCE) {
            return;
        }
        lessons
            .given_up
            .insert(pointer.to_owned(), keyword.to_owned());
        pointer = parent;
    }
}

/// Joins what could not be made with what was given up and not made after all.
fn left_out(
    model: &Map<String, Value>,
    dropped: Vec<Unmade>,
    given_up: BTreeMap<String, String>,
) -> Vec<LeftOut> {
    let mut all = given_up;
    all.extend(dropped.into_iter().map(|it| (it.pointer, it.keyword)));
    all.into_iter()
        .filter(|(pointer, _)| at(model, pointer).is_none())
        .map(|(pointer, keyword)| LeftOut { pointer, keyword })
        .collect()
}

/// Gives what stands at a JSON pointer.
fn at<'m>(model: &'m Map<String, Value>, pointer: &str) -> Option<&'m Value> {
    let (first, rest) = match pointer.strip_prefix('/')?.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (&pointer[1..], None),
    };
    let member = model.get(&first.replace("~1", "/").replace("~0", "~"))?;
    rest.map_or(Some(member), |rest| member.pointer(&format!("/{rest}")))
}

#[cfg(test)]
mod tests;
