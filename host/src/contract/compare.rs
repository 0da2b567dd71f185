//! Whether a model that came back holds the one that was sent.
//!
//! The rules are those of the official contract tests: what was sent must be
//! there and be equal, and there may be more. They are followed exactly where the
//! official tool is blind: within lists without an order.

mod order;

use serde_json::{Map, Number, Value};

use super::generate::Paths;
use crate::model::{TypeSchema, escaped};
use order::Schemas;

/// One place where a model does not hold what was sent.
///
/// Neither value has any part that is write-only.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where, as a JSON pointer into the model that was sent.
    pub pointer: String,
    /// What was sent.
    pub expected: Value,
    /// What came back; none if nothing is there, or, for a member of a list
    /// without an order, if no member is equal to it.
    pub found: Option<Value>,
}

/// How a model that came back differs from the one that was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Where it does not hold what was sent; empty if it holds all.
    pub differences: Vec<Difference>,
    /// Differences of properties with a `propertyTransform`, which says that they
    /// may come back in another form. Its `JSONata` is not evaluated, so that
    /// nobody knows whether the form is the right one.
    pub not_judged: Vec<Difference>,
}

/// Compares what a handler answered with the `input` that it was given.
///
/// Read-only and write-only properties are looked at on neither side. Members
/// of objects may be added and not be missing; a null is not the same as
/// nothing. Numbers are equal by value (1 is 1.0) and never equal to texts or
/// truth values. Lists have the same length, and the same order unless the schema
/// says `insertionOrder: false`; then each member that was sent has one of its
/// own that holds it.
#[must_use]
pub fn compare(
    schema: &TypeSchema,
    input: &Map<String, Value>,
    output: &Map<String, Value>,
) -> Comparison {
    let transformed = Paths::new(schema.property_transforms().iter().map(|(path, _)| path));
    let mut finder = Finder {
        comparison: Comparison::default(),
    };
    finder.objects(
        &Place {
            pointer: String::new(),
            schemas: Schemas::new(schema.document()),
            transformed: Transformed::Within(transformed),
        },
        &pruned(schema, input),
        &pruned(schema, output),
    );
    finder.comparison
}

/// Removes what is not compared, and the objects that held nothing else.
fn pruned(schema: &TypeSchema, model: &Map<String, Value>) -> Map<String, Value> {
    let mut left = model.clone();
    for path in schema.read_only().iter().chain(schema.write_only()) {
        path.remove(&mut left);
    }
    drop_emptied(model, &mut left);
    left
}

fn drop_emptied(before: &Map<String, Value>, after: &mut Map<String, Value>) {
    after.retain(|name, value| {
        let was = before.get(name).unwrap_or(&Value::Null);
        drop_emptied_within(was, value);
        let is_emptied = value.as_object().is_some_and(Map::is_empty)
            && was.as_object().is_some_and(|was| !was.is_empty());
        !is_emptied
    });
}

fn drop_emptied_within(before: &Value, after: &mut Value) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => drop_emptied(before, after),
        (Value::Array(before), Value::Array(after)) => {
            // Members keep their places: to take one out would move the others.
            for (before, after) in before.iter().zip(after) {
                drop_emptied_within(before, after);
            }
        }
        _ => {}
    }
}

/// Whether values may come back in another form.
#[derive(Clone)]
enum Transformed {
    /// The value itself has a transform.
    Here,
    /// The paths to what has one within the value.
    Within(Paths),
}

impl Transformed {
    fn member(&self, name: &str) -> Self {
        self.step(|paths| paths.member(name))
    }

    fn item(&self) -> Self {
        self.step(Paths::item)
    }

    fn step(&self, go: impl Fn(&Paths) -> Option<Paths>) -> Self {
        match self {
            Self::Here => Self::Here,
            Self::Within(paths) => go(paths).map_or(Self::Here, Self::Within),
        }
    }
}

#[derive(Clone)]
struct Place<'a> {
    pointer: String,
    schemas: Schemas<'a>,
    transformed: Transformed,
}

impl Place<'_> {
    fn member(&self, name: &str) -> Self {
        let step = escaped(name);
        Self {
            pointer: format!("{}/{step}", self.pointer),
            schemas: self.schemas.member(name),
            transformed: self.transformed.member(name),
        }
    }

    fn item(&self, index: usize) -> Self {
        Self {
            pointer: format!("{}/{index}", self.pointer),
            schemas: self.schemas.item(),
            transformed: self.transformed.item(),
        }
    }
}

struct Finder {
    comparison: Comparison,
}

impl Finder {
    fn values(&mut self, place: &Place<'_>, expected: &Value, found: &Value) {
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => {
                self.objects(place, expected, found);
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                if place.schemas.are_ordered() {
                    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                        self.values(&place.item(index), expected, found);
                    }
                } else {
                    self.members(place, expected, found);
                }
            }
            (Value::Number(a), Value::Number(b)) if are_equal(a, b) => {}
            _ if expected == found => {}
            _ => self.differ(place, expected, Some(found)),
        }
    }

    fn objects(
        &mut self,
        place: &Place<'_>,
        expected: &Map<String, Value>,
        found: &Map<String, Value>,
    ) {
        for (name, expected) in expected {
            let member = place.member(name);
            match found.get(name) {
                Some(found) => self.values(&member, expected, found),
                None => self.differ(&member, expected, None),
            }
        }
    }

    /// Compares two lists of one length whose order means nothing.
    fn members(&mut self, place: &Place<'_>, expected: &[Value], found: &[Value]) {
        let holds: Vec<Vec<bool>> = expected
            .iter()
            .enumerate()
            .map(|(index, expected)| {
                let item = place.item(index);
                found
                    .iter()
                    .map(|found| {
                        let mut finder = Self {
                            comparison: Comparison::default(),
                        };
                        finder.values(&item, expected, found);
                        // What is not judged is not held against a member.
                        finder.comparison.differences.is_empty()
                    })
                    .collect()
            })
            .collect();
        for (index, partner) in pairs(&holds).into_iter().enumerate() {
            let item = place.item(index);
            match partner {
                Some(partner) => self.values(&item, &expected[index], &found[partner]),
                None => self.differ(&item, &expected[index], None),
            }
        }
    }

    fn differ(&mut self, place: &Place<'_>, expected: &Value, found: Option<&Value>) {
        let difference = Difference {
            pointer: place.pointer.clone(),
            expected: expected.clone(),
            found: found.cloned(),
        };
        match (&place.transformed, found) {
            // A transform changes a value; it does not do away with it.
            (Transformed::Here, Some(_)) => self.comparison.not_judged.push(difference),
            (Transformed::Here, None) | (Transformed::Within(_), _) => {
                self.comparison.differences.push(difference);
            }
        }
    }
}

/// Gives as many rows as possible a column of their own among those that are
/// `true` for them; two rows can compete for one column, so that the first that
/// fits is not always the right one.
fn pairs(fits: &[Vec<bool>]) -> Vec<Option<usize>> {
    fn settle(
        row: usize,
        fits: &[Vec<bool>],
        asked: &mut [bool],
        owners: &mut [Option<usize>],
    ) -> bool {
        for column in 0..owners.len() {
            if !fits[row][column] || std::mem::replace(&mut asked[column], true) {
                continue;
            }
            if owners[column].is_none_or(|owner| settle(owner, fits, asked, owners)) {
                owners[column] = Some(row);
                return true;
            }
        }
        false
    }

    let columns = fits.first().map_or(0, Vec::len);
    let mut owners = vec![None; columns];
    for row in 0..fits.len() {
        settle(row, fits, &mut vec![false; columns], &mut owners);
    }
    let mut partners = vec![None; fits.len()];
    for (column, owner) in owners.into_iter().enumerate() {
        if let Some(row) = owner {
            partners[row] = Some(column);
        }
    }
    partners
}

/// Tells whether two numbers are the same, however they are written.
fn are_equal(a: &Number, b: &Number) -> bool {
    if a.is_f64() || b.is_f64() {
        return a.as_f64() == b.as_f64();
    }
    a == b
}

#[cfg(test)]
mod tests;
