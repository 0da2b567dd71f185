//! Objects: which members they have, and the values of those.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt as _;
use serde_json::{Map, Value};

use super::{BARE, HALF, MOST_MEMBERS, Maker, Place, TRIES, Unmade};
use crate::contract::generate::Extent;
use crate::contract::generate::rules::{Choice, Rules};
use crate::contract::generate::seed::Random;
use crate::contract::generate::text::word;
use crate::model::escaped;

impl<'a> Maker<'_, 'a> {
    /// Makes an object by the rules of its place.
    pub(super) fn object(
        &mut self,
        mut rules: Rules<'a>,
        place: &Place<'a>,
        random: &mut Random,
    ) -> Result<Map<String, Value>, Unmade> {
        let (least, most) = rules.count("minProperties", "maxProperties");
        if least > most {
            return Err(place.unmade("maxProperties"));
        }
        if least > MOST_MEMBERS {
            return Err(place.unmade("minProperties"));
        }
        let names = self.names(&mut rules, place, least, most, random)?;
        let mut members: BTreeMap<&str, Value> = BTreeMap::new();
        for name in &names {
            match self.member(&rules, place, name) {
                Ok(value) => {
                    members.insert(name, value);
                }
                Err(unmade) if rules.required().any(|required| required == *name) => {
                    return Err(unmade);
                }
                Err(unmade) => self.drop_optional(unmade),
            }
        }
        // What depends on a member that could not be made cannot stay.
        loop {
            let orphan = members
                .keys()
                .copied()
                .find(|name| needed_by(&rules, name).any(|needed| !members.contains_key(needed)));
            match orphan {
                Some(name) if rules.required().any(|required| required == name) => {
                    return Err(place.unmade("dependencies"));
                }
                Some(name) => members.remove(name),
                None => break,
            };
        }
        // As they stand in the schema, which is the order that people expect.
        let mut object = Map::new();
        for name in names {
            if let Some(value) = members.remove(name) {
                object.insert(name.to_owned(), value);
            }
        }
        let is_map = rules.declared().is_empty() && object.is_empty();
        if is_map && most > 0 && self.is_generous(place) {
            // An object that may have no members at all is complete without.
            let _ = self.entries(&rules, place, 1, &mut object);
        }
        self.entries(&rules, place, least, &mut object)?;
        Ok(object)
    }

    /// Chooses which of the declared properties are to be there.
    fn names(
        &mut self,
        rules: &mut Rules<'a>,
        place: &Place<'a>,
        least: usize,
        most: usize,
        random: &mut Random,
    ) -> Result<Vec<&'a str>, Unmade> {
        let attempt = self.attempt(place);
        let generous = self.is_generous(place) || (place.depth == 0 && self.extent == Extent::Full);
        let declared = rules.declared();
        let may_be = |name: &str| place.omitted.member(name).is_some();
        let is_given_up = |name: &str| {
            let step = escaped(name);
            let pointer = format!("{}/{step}", place.pointer);
            self.lessons.given_up.contains_key(&pointer)
        };
        let mut chosen: BTreeSet<&str> = rules.required().collect();
        let optional: Vec<&str> = declared
            .iter()
            .copied()
            .filter(|name| !chosen.contains(name) && !rules.avoids(name))
            .filter(|name| may_be(name) && !is_given_up(name))
            .filter(|name| rules.member(name, self.texts).is_some())
            .collect();
        for name in &optional {
            let is_taken = match attempt {
                0..HALF => generous,
                // Of a full object ever less, of a minimal one something.
                HALF..BARE => random.random_bool(if generous {
                    0.5_f64.powf(f64::from(attempt - HALF + 1))
                } else {
                    0.5
                }),
                BARE.. => !generous && random.random_bool(0.5),
            };
            if is_taken && chosen.len() < most {
                chosen.insert(name);
            }
        }
        for name in &optional {
            if chosen.len() < least {
                chosen.insert(name);
            }
        }
        let chosen = with_needed(rules, chosen, may_be).map_err(|missing| Unmade {
            pointer: format!("{}/{missing}", place.pointer),
            ..place.unmade("required")
        })?;
        let further: Vec<&Value> = chosen
            .iter()
            .flat_map(|name| dependencies(rules, name).collect::<Vec<_>>())
            .filter(|dependency| dependency.is_object())
            .collect();
        for schema in further {
            let mut choice = Choice::Turn {
                turn: attempt as usize,
                random,
            };
            rules.add(self.root, schema, &mut choice);
        }
        let (mut names, others): (Vec<&str>, Vec<&str>) =
            chosen.into_iter().partition(|name| declared.contains(name));
        names.sort_by_key(|name| declared.iter().position(|other| other == name));
        names.extend(others);
        Ok(names)
    }

    fn member(
        &mut self,
        rules: &Rules<'a>,
        place: &Place<'a>,
        name: &str,
    ) -> Result<Value, Unmade> {
        let schemas = rules
            .member(name, self.texts)
            .ok_or_else(|| place.unmade("additionalProperties"))?;
        let omitted = place
            .omitted
            .member(name)
            .ok_or_else(|| place.unmade("required"))?;
        let at = place.step(name, omitted, self.lessons, 0);
        self.value(&schemas, &at)
    }

    /// Adds members with names of their own until there are `count`.
    fn entries(
        &mut self,
        rules: &Rules<'a>,
        place: &Place<'a>,
        count: usize,
        object: &mut Map<String, Value>,
    ) -> Result<(), Unmade> {
        let mut random = place.salt.step("names", self.attempt(place)).random();
        let patterns: Vec<Value> = rules
            .all("patternProperties")
            .filter_map(Value::as_object)
            .filter_map(|patterns| patterns.keys().next())
            .map(|pattern| serde_json::json!({ "pattern": pattern }))
            .collect();
        let naming: Vec<&Value> = rules.all("propertyNames").chain(&patterns).collect();
        let mut refused = None;
        for _ in 0..(count * TRIES) {
            if object.len() >= count {
                return Ok(());
            }
            let rules_of_names = Rules::gather(
                self.root,
                &naming,
                Choice::Turn {
                    turn: 0,
                    random: &mut random,
                },
            );
            let name = if naming.is_empty() {
                Ok(word(8, &mut random))
            } else if let Some(allowed) = rules_of_names.allowed() {
                let index = (!allowed.is_empty()).then(|| random.random_range(0..allowed.len()));
                index
                    .and_then(|index| allowed[index].as_str().map(str::to_owned))
                    .ok_or("propertyNames")
            } else {
                self.texts.text(&rules_of_names, &mut random)
            };
            let name = name.map_err(|keyword| place.unmade(keyword))?;
            if place.omitted.member(&name).is_none() || object.contains_key(&name) {
                continue;
            }
            match self.member(rules, place, &name) {
                Ok(value) => {
                    object.insert(name, value);
                }
                Err(unmade) => refused = Some(unmade),
            }
        }
        if object.len() < count {
            return Err(refused.unwrap_or_else(|| place.unmade("minProperties")));
        }
        Ok(())
    }
}

/// Adds the properties that others depend on, and those that these depend on;
/// takes out those that depend on what may not be there.
///
/// # Errors
///
/// The name of a property that must and may not be there.
fn with_needed<'a>(
    rules: &Rules<'a>,
    mut chosen: BTreeSet<&'a str>,
    may_be: impl Fn(&str) -> bool,
) -> Result<BTreeSet<&'a str>, &'a str> {
    loop {
        let needed: Vec<(&str, &str)> = chosen
            .iter()
            .flat_map(|name| needed_by(rules, name).map(|needed| (*name, needed)))
            .filter(|(_, needed)| !chosen.contains(needed))
            .collect();
        if needed.is_empty() {
            return match rules.required().find(|name| !may_be(name)) {
                Some(missing) => Err(missing),
                None => Ok(chosen),
            };
        }
        for (name, needed) in needed {
            if may_be(needed) {
                chosen.insert(needed);
            } else if rules.required().any(|required| required == name) {
                return Err(needed);
            } else {
                chosen.remove(name);
            }
        }
    }
}

/// Names the properties that must be there if `name` is.
fn needed_by<'a>(rules: &Rules<'a>, name: &str) -> impl Iterator<Item = &'a str> {
    dependencies(rules, name)
        .filter_map(|dependency| match dependency.as_array() {
            Some(names) => Some(names),
            None => dependency.get("required")?.as_array(),
        })
        .flatten()
        .filter_map(Value::as_str)
}

/// Gives what the schemas say of an object that has the member `name`.
fn dependencies<'a>(rules: &Rules<'a>, name: &str) -> impl Iterator<Item = &'a Value> {
    let found: Vec<&Value> = rules
        .all("dependencies")
        .filter_map(|all| all.get(name))
        .collect();
    found.into_iter()
}
