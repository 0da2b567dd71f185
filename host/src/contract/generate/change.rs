//! Other values for what may be updated.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Extent, Generator};
use crate::model::{PropertyPath, escaped};

/// How many models are drawn in search of another value.
const TRIES: u64 = 8;

/// A model with other values than the one that it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The model, which complies with its schema.
    pub model: Map<String, Value>,
    /// The places whose values differ, as JSON pointers.
    pub pointers: Vec<String>,
}

impl Generator<'_> {
    /// Gives `model` another valid value at `path`, or none if none was found:
    /// the schema may allow one value alone there.
    ///
    /// The path must lead there without passing a `*`.
    #[must_use]
    pub fn another(
        &self,
        model: &Map<String, Value>,
        path: &PropertyPath,
        seed: u64,
    ) -> Option<Map<String, Value>> {
        let before = path.get(model);
        (0..TRIES)
            .filter_map(|offset| self.model(Extent::Full, seed.wrapping_add(offset)).ok())
            .find_map(|other| {
                let value = path.get(&other.model)?;
                if Some(value) == before {
                    return None;
                }
                let mut changed = model.clone();
                replace(&mut changed, path, value.clone())?;
                self.complies(&changed).then_some(changed)
            })
    }

    /// Gives `model` other valid values in as many of its properties as it can,
    /// leaving what `keep` names as it is: what an update may not change.
    ///
    /// None if nothing could be changed. A property that only the other model
    /// has is added where nothing else changes.
    #[must_use]
    pub fn changed(
        &self,
        model: &Map<String, Value>,
        keep: &[PropertyPath],
        seed: u64,
    ) -> Option<Changed> {
        let kept = super::Paths::new(keep);
        let mut result = model.clone();
        let mut places = BTreeSet::new();
        let mut additions: Vec<(String, Value)> = Vec::new();
        for offset in 0..TRIES {
            let Ok(other) = self.model(Extent::Full, seed.wrapping_add(offset)) else {
                continue;
            };
            let before = places.len();
            for (name, value) in other.model {
                // Where a path ends or goes on, the value has a part to keep.
                let is_free = kept.member(&name).is_some_and(|rest| rest.is_empty());
                let pointer = format!("/{}", escaped(&name));
                if !is_free || places.contains(&pointer) {
                    continue;
                }
                match model.get(&name) {
                    None => additions.push((name, value)),
                    Some(same) if *same == value => {}
                    Some(old) => {
                        result.insert(name.clone(), value);
                        if self.complies(&result) {
                            places.insert(pointer);
                        } else {
                            result.insert(name, old.clone());
                        }
                    }
                }
            }
            // What did not change by now has likely one value alone.
            if places.len() == before && before > 0 {
                break;
            }
        }
        if places.is_empty() {
            for (name, value) in additions {
                let mut grown = result.clone();
                grown.insert(name.clone(), value);
                if self.complies(&grown) {
                    return Some(Changed {
                        model: grown,
                        pointers: vec![format!("/{}", escaped(&name))],
                    });
                }
            }
        }
        (!places.is_empty()).then(|| Changed {
            model: result,
            pointers: places.into_iter().collect(),
        })
    }

    fn complies(&self, model: &Map<String, Value>) -> bool {
        self.schema.violations(model).is_empty()
    }
}

/// Puts a value where a path leads, if the way there exists.
fn replace(model: &mut Map<String, Value>, path: &PropertyPath, value: Value) -> Option<()> {
    let text = path.to_string();
    let pointer = text.strip_prefix("/properties")?;
    let (parent, last) = pointer.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    let mut whole = Value::Object(std::mem::take(model));
    let holder = whole.pointer_mut(parent).and_then(Value::as_object_mut);
    let done = holder.map(|holder| {
        holder.insert(last, value);
    });
    if let Value::Object(map) = whole {
        *model = map;
    }
    done
}
