//! Coercion of texts into what a schema wants.
//!
//! CloudFormation sends every primitive of `resourceProperties` as a string
//! (8 as `"8"`, true as `"true"`), and every official wrapper turns them back.
//!
//! A text is read as what the schema wants at its place, found through `$ref`,
//! `properties`, `patternProperties`, `additionalProperties`, `items` and the
//! combinators. Where the schema takes a text, it stays one; where `oneOf` or
//! `anyOf` leaves a choice, the branch is meant that the value then fits.
//! Conditions (`if`, `dependencies`, `not`) are not followed: they constrain
//! values of a kind that is said elsewhere.
//!
//! What is no text is left as it is, and the check by the schema has the word.

mod plan;
mod text;

use serde_json::{Map, Value};

use super::schema::{as_one, escaped};
pub(super) use plan::Plan;
use plan::{Branch, Node, NodeId};

/// How many branches of `oneOf` and `anyOf` are tried for one model.
///
/// Branches within branches multiply. Beyond this, texts stay texts, and the
/// check by the schema refuses them.
const MAX_TRIES: usize = 20_000;

/// Says which text does not read as what the schema wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text at `{pointer}` does not read as {wanted}")]
pub struct CoercionError {
    /// Where in the model, as a JSON pointer.
    pub pointer: String,
    /// What the schema wants there.
    pub wanted: &'static str,
}

/// Turns every number and truth value of `model` into its text, as
/// CloudFormation sends them.
///
/// [`TypeSchema::coerce`](super::TypeSchema::coerce) is the inverse for models
/// that fit their schema, save where the schema takes a text as well as a
/// number or truth value: there nobody can tell which it was, and it stays a
/// text. An integer written with a fraction (`1.0`) comes back without (`1`).
pub fn stringify(model: &mut Map<String, Value>) {
    model.values_mut().for_each(stringify_value);
}

fn stringify_value(value: &mut Value) {
    match value {
        Value::Bool(_) | Value::Number(_) => *value = Value::String(value.to_string()),
        Value::Object(map) => stringify(map),
        Value::Array(items) => items.iter_mut().for_each(stringify_value),
        Value::Null | Value::String(_) => {}
    }
}

impl Plan {
    /// Coerces the texts of `model`.
    pub(super) fn coerce(&self, model: &mut Map<String, Value>) -> Result<(), CoercionError> {
        if !self.node(Self::ROOT).coerces {
            return Ok(());
        }
        // The walk goes over values, since branches are tried on values, and each try has
        // its own, since one may be broken off.
        let whole = Value::Object(std::mem::take(model));
        let walked = as_one(|| {
            let mut coerced = whole.clone();
            let mut walk = Walk {
                plan: self,
                at: Vec::new(),
                tries: MAX_TRIES,
            };
            let result = walk.value(Plan::ROOT, &mut coerced);
            (coerced, result)
        });
        // Where that takes too long texts stay texts, and so does the check by the schema.
        let (coerced, result) = walked.unwrap_or((whole, Ok(())));
        if let Value::Object(coerced) = coerced {
            *model = coerced;
        }
        result
    }
}

/// A walk through one model.
struct Walk<'a> {
    plan: &'a Plan,
    /// The steps to the value at hand.
    at: Vec<String>,
    tries: usize,
}

impl<'a> Walk<'a> {
    fn value(&mut self, id: NodeId, value: &mut Value) -> Result<(), CoercionError> {
        let node = self.plan.node(id);
        if !node.coerces {
            return Ok(());
        }
        for id in &node.all {
            self.value(*id, value)?;
        }
        match value {
            Value::String(text) => {
                if let Some(wanted) = &node.wanted {
                    *value = wanted.read(text).map_err(|wanted| self.refuse(wanted))?;
                }
            }
            Value::Object(map) => self.members(node, map)?,
            Value::Array(items) => {
                if let Some(id) = node.items {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.within(&index.to_string(), |walk| walk.value(id, item))?;
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        self.choose(&node.any, Branches::Any, value)?;
        self.choose(&node.one, Branches::One, value)
    }

    fn members(
        &mut self,
        node: &'a Node,
        map: &mut Map<String, Value>,
    ) -> Result<(), CoercionError> {
        for (name, value) in map {
            let named = node.properties.get(name);
            let matching = node
                .patterns
                .iter()
                .filter(|matching| matching.matches(name));
            let mut ids: Vec<NodeId> = named
                .into_iter()
                .copied()
                .chain(matching.map(|matching| matching.node))
                .collect();
            if ids.is_empty() {
                ids.extend(node.others);
            }
            for id in ids {
                self.within(name, |walk| walk.value(id, value))?;
            }
        }
        Ok(())
    }

    /// Coerces `value` by the branches that are meant: those that it fits as it
    /// is, and else those that it fits once coerced by them.
    fn choose(
        &mut self,
        branches: &'a [Branch],
        kind: Branches,
        value: &mut Value,
    ) -> Result<(), CoercionError> {
        if !branches
            .iter()
            .any(|branch| self.plan.node(branch.node).coerces)
        {
            return Ok(());
        }
        let mut met: Vec<&Branch> = Vec::new();
        let mut others = Vec::new();
        for branch in branches {
            if branch.fits(value) {
                met.push(branch);
            } else {
                others.push(branch);
            }
        }
        let mut coerced = None;
        let mut refusals = Vec::new();
        for branch in others {
            if kind == Branches::One && !met.is_empty() {
                break;
            }
            let Some(left) = self.tries.checked_sub(1) else {
                break;
            };
            self.tries = left;
            let mut tried = value.clone();
            match self.value(branch.node, &mut tried) {
                Ok(()) => {
                    if branch.fits(&tried) && met.iter().all(|other| other.fits(&tried)) {
                        *value = tried;
                        met.push(branch);
                    } else {
                        coerced.get_or_insert(tried);
                    }
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        if met.is_empty() {
            if refusals.len() == branches.len() {
                return Err(self.refuse_all(refusals));
            }
            // Nothing fits for another reason than a text; with the texts
            // coerced, the check by the schema tells that one.
            if let Some(coerced) = coerced {
                *value = coerced;
            }
        }
        Ok(())
    }

    fn within<T>(&mut self, step: &str, go: impl FnOnce(&mut Self) -> T) -> T {
        self.at.push(escaped(step));
        let result = go(self);
        self.at.pop();
        result
    }

    fn refuse(&self, wanted: &'static str) -> CoercionError {
        CoercionError {
            pointer: format!("/{}", self.at.join("/")),
            wanted,
        }
    }

    /// Says that every branch refused: the one reason if they have one place in common.
    fn refuse_all(&self, refusals: Vec<CoercionError>) -> CoercionError {
        let here = self.refuse("any of the kinds that the schema allows there");
        let mut distinct = refusals;
        distinct.dedup();
        match (distinct.len(), distinct.pop()) {
            (1, Some(refusal)) => refusal,
            (_, Some(refusal)) if refusal.pointer != here.pointer => refusal,
            _ => here,
        }
    }
}

/// How many branches a value may fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branches {
    /// `oneOf`: one.
    One,
    /// `anyOf`: several, and each may say what its own properties are.
    Any,
}

#[cfg(test)]
mod tests;
