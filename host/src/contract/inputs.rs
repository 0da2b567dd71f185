//! The models that contract tests send: from files, as the official tool names
//! and reads them, or made from the schema.
//!
//! [`InputTexts`] reads the files, [`Inputs`] decides what they mean.

mod files;
mod overrides;

use serde_json::{Map, Value};

use super::generate::{Extent, GenerateError, Generator};
use crate::model::{Action, CoercionError, JsonObject, JsonObjectError, TypeSchema, Violation};
pub use files::InputTexts;
use files::{Kind, Numbered};
use overrides::Overrides;

/// How many invalid models are made from a schema: each costs an operation.
const MOST_INVALID: usize = 24;

/// Where the models came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The files `inputs_<n>_<kind>.json`.
    Files,
    /// The schema, with values of `overrides.json` if there is one.
    Schema {
        /// What the values were drawn from.
        seed: u64,
    },
}

/// The models of a whole run.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The sets, in the order of their numbers; at least one.
    pub sets: Vec<InputSet>,
    /// Where they came from.
    pub origin: Origin,
    /// What was not used, or is not there.
    pub warnings: Vec<InputWarning>,
}

/// The models of one pass through the tests.
#[derive(Clone, Debug)]
pub struct InputSet {
    /// The number of the set, from 1.
    pub number: u32,
    /// What to create.
    pub create: Map<String, Value>,
    /// What to update it to; none if nothing can be updated, or no file says to what.
    pub update: Option<Map<String, Value>>,
    /// What must be refused.
    pub invalid: Vec<InvalidInput>,
}

/// A model that must be refused.
#[derive(Clone, Debug, PartialEq)]
pub struct InvalidInput {
    /// The model.
    pub model: Map<String, Value>,
    /// What is wrong with it, as far as the schema tells; none for a file that
    /// complies with the schema and is wrong for the handler alone.
    pub violation: Option<Violation>,
}

/// Something to know about the inputs that keeps nobody from testing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputWarning {
    /// The file is no input.
    #[error(
        "`{file}` is not read: inputs are called `inputs_<n>_create.json`, `inputs_<n>_update.json` and `inputs_<n>_invalid.json`, numbered from 1"
    )]
    UnknownFile {
        /// The name of the file.
        file: String,
    },
    /// The file belongs to a set behind a gap.
    #[error(
        "`{file}` is not read: the sets end before it, as there is no `inputs_{missing}_create.json`"
    )]
    BehindGap {
        /// The name of the file.
        file: String,
        /// The number that is missing.
        missing: u32,
    },
    /// There are inputs, so that overrides have nothing to be put onto.
    #[error("the overrides are not used, since there are inputs: change those")]
    OverridesUnused,
    /// The type can be updated, and nothing says to what.
    #[error("updates are not tested with set {number}: there is no `inputs_{number}_update.json`")]
    NoUpdate {
        /// The number of the set.
        number: u32,
    },
    /// A pointer leads nowhere in the model that was made.
    #[error(
        "the override of `{pointer}` for {action} is not used: the model that the schema gives has nothing there to put it into"
    )]
    OverrideNowhere {
        /// The action that the override is for.
        action: Action,
        /// The pointer.
        pointer: String,
    },
    /// No value was found for an optional property.
    #[error(
        "`{pointer}` is left out: no value was found that meets `{keyword}` of the schema; an override of a property around it can give one"
    )]
    LeftOut {
        /// Where in the model, as a JSON pointer.
        pointer: String,
        /// The keyword.
        keyword: String,
    },
}

/// Says why there are no models to test with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A file or directory cannot be read.
    #[error(
        "cannot read `{file}`: give a directory with inputs, or a file of overrides, that can be read"
    )]
    Unreadable {
        /// The path.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file holds something else than a JSON object.
    #[error("`{file}` must hold one JSON object")]
    NotJson {
        /// The name of the file.
        file: String,
        /// Where and why parsing stopped.
        source: JsonObjectError,
    },
    /// A value was to come from another stack.
    #[error(
        "`{file}` has the placeholder `{{{{{name}}}}}` in line {line}: the exports of stacks are not available here; write the value itself"
    )]
    Placeholder {
        /// The name of the file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What stands between the braces.
        name: String,
    },
    /// A set lacks the model to create.
    #[error("`{file}` is missing: each set of inputs needs a model to create")]
    NoCreate {
        /// The name that the file must have.
        file: String,
    },
    /// A text does not read as what the schema wants.
    #[error("`{file}` is wrong: write the value as the schema wants it")]
    Uncoercible {
        /// The name of the file.
        file: String,
        /// Where, and what is wanted there.
        source: CoercionError,
    },
    /// A model breaks the schema.
    #[error("the model of `{file}` breaks the schema of {type_name}: correct it there")]
    Invalid {
        /// The name of the file.
        file: String,
        /// The resource type.
        type_name: String,
        /// Where, and which rule.
        source: Violation,
    },
    /// A model sets what a handler alone may set.
    #[error("`{file}` sets the read-only property `{path}`: leave it out, the handler sets it")]
    ReadOnly {
        /// The name of the file.
        file: String,
        /// The path of the property.
        path: String,
    },
    /// The overrides are not of the official form.
    #[error("`{file}` is wrong at `{pointer}`: {rule}")]
    Override {
        /// The name of the file.
        file: String,
        /// Where in the file, as a JSON pointer.
        pointer: String,
        /// What must be there.
        rule: &'static str,
    },
    /// The schema alone gives no model.
    #[error("there are no inputs, and none can be made from the schema")]
    NotGenerated {
        /// Which place of the model is in the way.
        source: GenerateError,
    },
}

impl Inputs {
    /// Decides which models to test with.
    ///
    /// If there is a file of set 1, the files say all, and overrides are not
    /// used, as with the official tool. Else models are made from the schema
    /// and `seed`: everything that can be written to create, other values for
    /// all that can be changed to update, and one model for each of some rules
    /// of the schema that must be refused; and values of the overrides are put
    /// onto them, those for CREATE also onto updates where there are none for
    /// UPDATE.
    ///
    /// Models to create and to update are coerced and comply with the schema.
    ///
    /// # Errors
    ///
    /// When a file is not what it must be, or no model can be made.
    pub fn decide(schema: &TypeSchema, texts: &InputTexts, seed: u64) -> Result<Self, InputError> {
        let (sets, mut warnings) = files::sort(texts);
        if sets.is_empty() {
            return made(schema, texts, seed, warnings);
        }
        if texts.overrides.is_some() {
            warnings.push(InputWarning::OverridesUnused);
        }
        let sets = sets
            .into_iter()
            .map(|set| read(schema, set, &mut warnings))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sets,
            origin: Origin::Files,
            warnings,
        })
    }
}

/// Reads one set of files.
fn read(
    schema: &TypeSchema,
    set: Numbered<'_>,
    warnings: &mut Vec<InputWarning>,
) -> Result<InputSet, InputError> {
    let number = set.number;
    let mut create = None;
    let mut update = None;
    let mut invalid = Vec::new();
    for (kind, name, text) in set.files {
        let model = object(name, text)?;
        match kind {
            Kind::Create => create = Some(checked(schema, name, model)?),
            Kind::Update => update = Some(checked(schema, name, model)?),
            Kind::Invalid => {
                let mut coerced = model.clone();
                let violation = match schema.coerce(&mut coerced) {
                    Ok(()) => schema.violations(&coerced).into_iter().next(),
                    Err(error) => Some(Violation {
                        pointer: error.pointer.clone(),
                        rule: "type".to_owned(),
                        message: error.to_string(),
                    }),
                };
                invalid.push(InvalidInput { model, violation });
            }
        }
    }
    if update.is_none() && schema.handles(Action::Update) {
        warnings.push(InputWarning::NoUpdate { number });
    }
    Ok(InputSet {
        number,
        create: create.ok_or_else(|| InputError::NoCreate {
            file: Kind::Create.file(number),
        })?,
        update,
        invalid,
    })
}

/// Makes one set from the schema.
fn made(
    schema: &TypeSchema,
    texts: &InputTexts,
    seed: u64,
    mut warnings: Vec<InputWarning>,
) -> Result<Inputs, InputError> {
    let overrides = match &texts.overrides {
        Some((name, text)) => Overrides::read(name, &object(name, text)?)?,
        None => Overrides::default(),
    };
    let generator = Generator::new(schema, schema.read_only());
    let made = generator
        .model(Extent::Full, seed)
        .map_err(|source| InputError::NotGenerated { source })?;
    warnings.extend(made.left_out.into_iter().map(|left| InputWarning::LeftOut {
        pointer: left.pointer,
        keyword: left.keyword,
    }));
    let mut create = made.model;
    overrides.apply(Action::Create, &mut create, &mut warnings);
    if let Some(file) = overrides.file() {
        create = checked(schema, file, create)?;
    }

    let kept = [
        schema.create_only(),
        schema.conditional_create_only(),
        schema.primary_identifier(),
    ]
    .concat();
    let update = match generator.changed(&create, &kept, seed.wrapping_add(1)) {
        Some(changed) if schema.handles(Action::Update) => {
            let mut update = changed.model;
            overrides.apply(Action::Update, &mut update, &mut warnings);
            if let Some(file) = overrides.file() {
                update = checked(schema, file, update)?;
            }
            (update != create).then_some(update)
        }
        Some(_) | None => None,
    };
    let invalid = generator
        .invalid(&create)
        .take(MOST_INVALID)
        .map(|invalid| InvalidInput {
            model: invalid.model,
            violation: Some(Violation {
                pointer: invalid.pointer,
                rule: invalid.rule,
                message: invalid.message,
            }),
        })
        .collect();
    Ok(Inputs {
        sets: vec![InputSet {
            number: 1,
            create,
            update,
            invalid,
        }],
        origin: Origin::Schema { seed },
        warnings,
    })
}

/// Parses a file that must hold an object without placeholders.
fn object(file: &str, text: &str) -> Result<Map<String, Value>, InputError> {
    if let Some((line, name)) = files::placeholder(text) {
        return Err(InputError::Placeholder {
            file: file.to_owned(),
            line,
            name: name.to_owned(),
        });
    }
    let object = JsonObject::parse(text).map_err(|source| InputError::NotJson {
        file: file.to_owned(),
        source,
    })?;
    Ok(object.to_map())
}

/// Coerces a model that is to be accepted, and checks that it can be.
fn checked(
    schema: &TypeSchema,
    file: &str,
    mut model: Map<String, Value>,
) -> Result<Map<String, Value>, InputError> {
    if let Some(path) = schema.read_only_in(&model).next() {
        return Err(InputError::ReadOnly {
            file: file.to_owned(),
            path: path.to_string(),
        });
    }
    schema
        .coerce(&mut model)
        .map_err(|source| InputError::Uncoercible {
            file: file.to_owned(),
            source,
        })?;
    match schema.violations(&model).into_iter().next() {
        Some(source) => Err(InputError::Invalid {
            file: file.to_owned(),
            type_name: schema.type_name().to_string(),
            source,
        }),
        None => Ok(model),
    }
}

#[cfg(test)]
mod tests;
