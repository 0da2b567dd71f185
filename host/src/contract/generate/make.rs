//! Values by the rules of their places.

mod object;

use std::collections::BTreeMap;

use rand::RngExt as _;
use serde_json::Value;

use super::omit::Paths;
use super::rules::{Choice, Kind, Rules};
use super::seed::{Random, Salt};
use super::text::Texts;
use super::{Extent, number};
use crate::model::escaped;

/// Deeper than this, what may be left out is.
const DEEPEST: usize = 7;

/// Deeper than this, a schema that demands ever more is given up.
const BOTTOM: usize = 40;

/// How many values a model holds before what may be left out is.
const LARGEST: usize = 1500;

/// How often a schema may be used again within itself.
const REPEATED: usize = 1;

/// How many branches, or members that differ, are tried in one place.
const TRIES: usize = 12;

/// The most members that a list or map is given because a schema demands them.
const MOST_MEMBERS: usize = 10_000;

/// From which attempt on an object has a part of what it may leave out.
pub(super) const HALF: u32 = 5;

/// From which attempt on a full object has none of what it may leave out.
const BARE: u32 = 9;

/// Says why no value can be made at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unmade {
    /// Where in the model, as a JSON pointer.
    pub(super) pointer: String,
    /// The keyword that no value was found for.
    pub(super) keyword: String,
    /// Whether a recursive schema was cut, which loses nothing worth telling.
    pub(super) is_cut: bool,
}

/// What was learned from models that did not comply.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    /// How often each place was reconsidered.
    pub(super) attempts: BTreeMap<String, u32>,
    /// Places that are given up, with the keyword that they broke.
    pub(super) given_up: BTreeMap<String, String>,
}

/// Makes one model.
pub(super) struct Maker<'m, 'a> {
    pub(super) root: &'a Value,
    pub(super) texts: &'m Texts,
    pub(super) extent: Extent,
    pub(super) lessons: &'m Lessons,
    /// Optional values that could not be made.
    pub(super) dropped: Vec<Unmade>,
    pub(super) made: usize,
}

/// Where a value is to stand.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) pointer: String,
    pub(super) salt: Salt,
    pub(super) omitted: Paths,
    pub(super) depth: usize,
    /// The references that are being followed.
    pub(super) open: Vec<&'a str>,
    /// Whether the value must differ from others, for which it may need what
    /// could be left out.
    pub(super) is_varied: bool,
}

impl<'a> Place<'a> {
    fn step(&self, step: &str, omitted: Paths, lessons: &Lessons, again: u32) -> Self {
        let pointer = format!("{}/{}", self.pointer, escaped(step));
        let attempt = lessons.attempts.get(&pointer).copied().unwrap_or(0);
        Self {
            salt: self.salt.step(step, attempt + (again << 16)),
            pointer,
            omitted,
            depth: self.depth + 1,
            open: self.open.clone(),
            is_varied: self.is_varied || again > 0,
        }
    }

    fn unmade(&self, keyword: &str) -> Unmade {
        Unmade {
            pointer: self.pointer.clone(),
            keyword: keyword.to_owned(),
            is_cut: false,
        }
    }

    fn cut(&self) -> Unmade {
        Unmade {
            is_cut: true,
            ..self.unmade("$ref")
        }
    }
}

impl<'a> Maker<'_, 'a> {
    /// Makes a value that complies with all of `schemas`.
    pub(super) fn value(
        &mut self,
        schemas: &[&'a Value],
        place: &Place<'a>,
    ) -> Result<Value, Unmade> {
        self.made += 1;
        if place.depth > BOTTOM {
            return Err(place.cut());
        }
        let attempt = self.attempt(place) as usize;
        let mut random = place.salt.random();
        let mut refused = None;
        for turn in 0..TRIES {
            let choice = Choice::Turn {
                turn: attempt + turn,
                random: &mut random,
            };
            let rules = Rules::gather(self.root, schemas, choice);
            match self.by_rules(rules, place, &mut random) {
                Ok(value) => return Ok(value),
                Err(unmade) => {
                    refused.get_or_insert(unmade);
                    // Without a branch to choose, the next turn ends alike.
                    if !has_branches(self.root, schemas) {
                        break;
                    }
                }
            }
        }
        Err(refused.unwrap_or_else(|| place.unmade("type")))
    }

    fn attempt(&self, place: &Place<'_>) -> u32 {
        let attempts = &self.lessons.attempts;
        attempts.get(&place.pointer).copied().unwrap_or(0)
    }

    fn by_rules(
        &mut self,
        rules: Rules<'a>,
        place: &Place<'a>,
        random: &mut Random,
    ) -> Result<Value, Unmade> {
        if rules.is_impossible() {
            return Err(place.unmade("oneOf"));
        }
        let mut place = place.clone();
        for reference in rules.references() {
            let used = place.open.iter().filter(|open| open == &reference).count();
            if used > REPEATED {
                return Err(place.cut());
            }
            place.open.push(reference);
        }
        if let Some(allowed) = rules.allowed() {
            if allowed.is_empty() {
                return Err(place.unmade("enum"));
            }
            return Ok(allowed[random.random_range(0..allowed.len())].clone());
        }
        let kinds = rules.kinds();
        let kind = if rules.is_open() {
            // Where anything goes, a text stays what it is on every wire.
            Kind::String
        } else {
            // An integer is a number as well, and a null is never sent.
            let kinds: Vec<Kind> = kinds
                .iter()
                .copied()
                .filter(|kind| match kind {
                    Kind::Null => false,
                    Kind::Integer => !kinds.contains(&Kind::Number),
                    Kind::Object | Kind::Array | Kind::String | Kind::Number | Kind::Boolean => {
                        true
                    }
                })
                .collect();
            if kinds.is_empty() {
                return Err(place.unmade("type"));
            }
            kinds[random.random_range(0..kinds.len())]
        };
        match kind {
            Kind::Object => self.object(rules, &place, random).map(Value::Object),
            Kind::Array => self.array(&rules, &place, random).map(Value::Array),
            Kind::String => self
                .texts
                .text(&rules, random)
                .map(Value::String)
                .map_err(|keyword| place.unmade(keyword)),
            Kind::Integer | Kind::Number => number::number(&rules, kind == Kind::Integer, random)
                .map_err(|keyword| place.unmade(keyword)),
            Kind::Boolean => Ok(Value::Bool(random.random_bool(0.5))),
            Kind::Null => Ok(Value::Null),
        }
    }

    /// Tells whether what may be left out is to be there.
    fn is_generous(&self, place: &Place<'_>) -> bool {
        let is_wanted = self.extent == Extent::Full || place.is_varied;
        is_wanted && place.depth <= DEEPEST && self.made <= LARGEST
    }

    fn array(
        &mut self,
        rules: &Rules<'a>,
        place: &Place<'a>,
        random: &mut Random,
    ) -> Result<Vec<Value>, Unmade> {
        let (least, most) = rules.count("minItems", "maxItems");
        if least > most {
            return Err(place.unmade("maxItems"));
        }
        if least > MOST_MEMBERS {
            return Err(place.unmade("minItems"));
        }
        let wanted = if self.is_generous(place) {
            random.random_range(1..=2)
        } else {
            1
        };
        let count = wanted.max(least).min(most);
        let unique = rules.demands("uniqueItems");
        let contained: Vec<&Value> = rules.all("contains").collect();
        let Some(omitted) = place.omitted.item() else {
            return if least == 0 {
                Ok(Vec::new())
            } else {
                Err(place.unmade("minItems"))
            };
        };
        let mut items: Vec<Value> = Vec::new();
        for index in 0..count.max(contained.len()) {
            let mut schemas = rules.item(index);
            schemas.extend(contained.get(index));
            match self.item(&schemas, place, &omitted, index, unique.then_some(&items)) {
                Ok(item) => items.push(item),
                Err(unmade) if index < least.max(contained.len()) => return Err(unmade),
                // A list with one member is as good as one with two.
                Err(_) if !items.is_empty() => break,
                Err(unmade) => {
                    self.drop_optional(unmade);
                    break;
                }
            }
        }
        Ok(items)
    }

    /// Makes a member that differs from `others`, where they are given.
    fn item(
        &mut self,
        schemas: &[&'a Value],
        place: &Place<'a>,
        omitted: &Paths,
        index: usize,
        others: Option<&Vec<Value>>,
    ) -> Result<Value, Unmade> {
        for again in 0..TRIES {
            let again = u32::try_from(again).unwrap_or(0);
            let at = place.step(&index.to_string(), omitted.clone(), self.lessons, again);
            let item = self.value(schemas, &at)?;
            if others.is_none_or(|others| !others.contains(&item)) {
                return Ok(item);
            }
        }
        // Two of a truth value are all that there are.
        Err(place.unmade("uniqueItems"))
    }

    fn drop_optional(&mut self, unmade: Unmade) {
        if !unmade.is_cut {
            self.dropped.push(unmade);
        }
    }
}

/// Tells whether another turn can choose another branch.
fn has_branches(root: &Value, schemas: &[&Value]) -> bool {
    let rules = Rules::gather(root, schemas, Choice::Certain);
    rules
        .all("oneOf")
        .chain(rules.all("anyOf"))
        .next()
        .is_some()
        || rules.kinds().len() > 1
}
