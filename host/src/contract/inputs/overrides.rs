//! Values that take the place of generated ones.

use serde_json::{Map, Value};

use super::{InputError, InputWarning};
use crate::model::Action;

/// What `overrides.json` says.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    file: Option<String>,
    create: Vec<(String, Value)>,
    update: Option<Vec<(String, Value)>>,
}

impl Overrides {
    /// Reads the official form: for `CREATE` and `UPDATE` an object from JSON
    /// pointers into the model to values.
    pub(super) fn read(file: &str, object: &Map<String, Value>) -> Result<Self, InputError> {
        let wrong = |pointer: String, rule| InputError::Override {
            file: file.to_owned(),
            pointer,
            rule,
        };
        let mut overrides = Self {
            file: Some(file.to_owned()),
            ..Self::default()
        };
        for (action, values) in object {
            let values = values.as_object().ok_or_else(|| {
                wrong(
                    format!("/{action}"),
                    "must be an object from JSON pointers such as `/Name` to values",
                )
            })?;
            if let Some(pointer) = values.keys().find(|pointer| !pointer.starts_with('/')) {
                return Err(wrong(
                    format!("/{action}/{pointer}"),
                    "must be a JSON pointer into the model, such as `/Name`",
                ));
            }
            let values = values.clone().into_iter().collect();
            match action.as_str() {
                "CREATE" => overrides.create = values,
                "UPDATE" => overrides.update = Some(values),
                _ => {
                    return Err(wrong(
                        format!("/{action}"),
                        "is no action with a model: use CREATE and UPDATE",
                    ));
                }
            }
        }
        Ok(overrides)
    }

    /// Gives the name of the file, if there is one.
    pub(super) fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Puts the values for an action onto a model; those for CREATE stand in for
    /// the ones for UPDATE, where the file has none.
    pub(super) fn apply(
        &self,
        action: Action,
        model: &mut Map<String, Value>,
        warnings: &mut Vec<InputWarning>,
    ) {
        let values = match (action, &self.update) {
            (Action::Update, Some(update)) => update,
            _ => &self.create,
        };
        let mut whole = Value::Object(std::mem::take(model));
        for (pointer, value) in values {
            if put(&mut whole, pointer, value).is_none() {
                warnings.push(InputWarning::OverrideNowhere {
                    action,
                    pointer: pointer.clone(),
                });
            }
        }
        if let Value::Object(changed) = whole {
            *model = changed;
        }
    }
}

/// Puts a value where a pointer leads, if there is something around the place.
fn put(model: &mut Value, pointer: &str, value: &Value) -> Option<()> {
    let (around, last) = pointer.rsplit_once('/')?;
    match model.pointer_mut(around)? {
        Value::Object(members) => {
            let name = last.replace("~1", "/").replace("~0", "~");
            members.insert(name, value.clone());
        }
        Value::Array(items) => *items.get_mut(last.parse::<usize>().ok()?)? = value.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(())
}
