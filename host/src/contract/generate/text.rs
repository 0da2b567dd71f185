//! Texts that a schema accepts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use jsonschema::{Draft, Validator};
use rand::RngExt as _;
use serde_json::{Map, Value, json};

use super::ecma::LookAhead;
use super::format;
use super::pattern::{Sampler, Taste};
use super::rules::Rules;
use super::seed::Random;

/// How many texts are tried before a pattern counts as one that cannot be met.
const TRIES: usize = 400;

/// How many texts are tried where several patterns must be met at once: those
/// that contradict each other do so with every text.
const TRIES_OF_SEVERAL: usize = 120;

/// From which try on texts are lengthened by what the pattern may not speak of.
const PADDED_FROM: usize = 80;

/// How much longer than it must be a text is at most: short texts read better.
const STRETCH: usize = 24;

/// The longest text that is made: what must be longer is not worth testing.
const LONGEST: usize = 1 << 20;

/// The keywords that a text can break.
const KEYWORDS: [&str; 5] = ["pattern", "format", "minLength", "maxLength", "not"];

/// Makes texts and tests them with the validator itself; keeps what it compiled.
#[derive(Debug, Default)]
pub(super) struct Texts {
    tests: RefCell<HashMap<String, Option<Rc<Validator>>>>,
    samplers: RefCell<HashMap<String, Option<Rc<Sampler>>>>,
}

impl Texts {
    /// Tells whether a text matches a pattern; a pattern that the validator
    /// cannot compile matches all.
    pub(super) fn matches(&self, pattern: &str, text: &str) -> bool {
        // By far the most frequent ones.
        if matches!(pattern, ".*" | "^.*$" | "") && !text.contains('\n') {
            return true;
        }
        let test = self.test(&json!({ "pattern": pattern }));
        test.is_none_or(|test| test.is_valid(&Value::from(text)))
    }

    /// Draws a text.
    ///
    /// # Errors
    ///
    /// The keyword that no text was found for.
    pub(super) fn text(
        &self,
        rules: &Rules<'_>,
        random: &mut Random,
    ) -> Result<String, &'static str> {
        let tests: Vec<Rc<Validator>> = rules
            .parts()
            .iter()
            .filter_map(|part| self.test(&text_rules(part)?))
            .collect();
        let complies = |text: &str| {
            let text = Value::from(text);
            tests.iter().all(|test| test.is_valid(&text))
        };
        let hints: Vec<&str> = rules
            .texts("default")
            .chain(
                rules
                    .all("examples")
                    .filter_map(Value::as_array)
                    .flatten()
                    .filter_map(Value::as_str),
            )
            .filter(|hint| !hint.is_empty() && complies(hint))
            .collect();
        if !hints.is_empty() && random.random_bool(0.5) {
            return Ok(hints[random.random_range(0..hints.len())].to_owned());
        }

        let (least, most) = rules.count("minLength", "maxLength");
        if least > most {
            return Err("maxLength");
        }
        if least > LONGEST {
            return Err("minLength");
        }
        let patterns: Vec<&str> = rules.texts("pattern").collect();
        let formats: Vec<&str> = rules.texts("format").collect();
        let tries = if patterns.len() > 1 {
            TRIES_OF_SEVERAL
        } else {
            TRIES
        };
        for attempt in 0..tries {
            let text = self.candidate(&patterns, &formats, (least, most), attempt, random);
            if complies(&text) {
                return Ok(text);
            }
        }
        // An empty text is seldom meant, and still better than none.
        if complies("") {
            return Ok(String::new());
        }
        Err(if !patterns.is_empty() {
            "pattern"
        } else if !formats.is_empty() {
            "format"
        } else {
            "not"
        })
    }

    fn candidate(
        &self,
        patterns: &[&str],
        formats: &[&str],
        (least, most): (usize, usize),
        attempt: usize,
        random: &mut Random,
    ) -> String {
        let least = least.max(1).min(most);
        // The longer the search, the longer the texts: look-arounds may demand
        // a length that nothing else tells.
        let most = most.min(least + STRETCH + attempt);
        let length = random.random_range(least..=most);
        // Several patterns, several ways: each has its turn.
        let ways = patterns.len() + formats.len();
        let turn = if ways == 0 { 0 } else { attempt % ways };
        let look_ahead = if attempt % 4 < 3 {
            LookAhead::Dropped
        } else {
            LookAhead::Spelt
        };
        let taste = if attempt % 3 == 1 {
            Taste::Letters
        } else {
            Taste::Plain
        };
        let drawn = match patterns.get(turn) {
            Some(pattern) => self
                .sampler(pattern)
                .map(|sampler| sampler.sample(look_ahead, taste, length, random)),
            None => formats
                .get(turn - patterns.len().min(turn))
                .and_then(|name| format::sample(name, random)),
        };
        match drawn {
            None => word(length, random),
            Some(text) if attempt < PADDED_FROM => text,
            Some(text) => {
                let missing = length.saturating_sub(text.chars().count());
                text + &jumble(missing, random)
            }
        }
    }

    fn sampler(&self, pattern: &str) -> Option<Rc<Sampler>> {
        let mut samplers = self.samplers.borrow_mut();
        if let Some(known) = samplers.get(pattern) {
            return known.clone();
        }
        let made = Sampler::new(pattern).map(Rc::new);
        samplers.insert(pattern.to_owned(), made.clone());
        made
    }

    fn test(&self, rules: &Value) -> Option<Rc<Validator>> {
        let mut tests = self.tests.borrow_mut();
        let key = rules.to_string();
        if let Some(known) = tests.get(&key) {
            return known.clone();
        }
        let build = |rules: &Value| {
            let options = jsonschema::options().with_draft(Draft::Draft7);
            options.build(rules).ok().map(Rc::new)
        };
        // A pattern that cannot be compiled does not do away with the rest.
        let made = build(rules).or_else(|| {
            let mut rest = rules.clone();
            rest.as_object_mut()?.remove("pattern")?;
            build(&rest)
        });
        tests.insert(key, made.clone());
        made
    }
}

/// Takes what a schema says of texts, or gives none if it says nothing that
/// stands alone.
fn text_rules(part: &Map<String, Value>) -> Option<Value> {
    let refers = |value: &Value| value.to_string().contains("\"$ref\"");
    let rules: Map<String, Value> = KEYWORDS
        .iter()
        .filter_map(|keyword| Some((*keyword, part.get(*keyword)?)))
        .filter(|(_, value)| !refers(value))
        .map(|(keyword, value)| (keyword.to_owned(), value.clone()))
        .collect();
    (!rules.is_empty()).then_some(Value::Object(rules))
}

/// Draws a word of small letters.
pub(super) fn word(length: usize, random: &mut Random) -> String {
    (0..length)
        .map(|_| char::from(random.random_range(b'a'..=b'z')))
        .collect()
}

/// Draws letters, digits and signs, some of each.
fn jumble(length: usize, random: &mut Random) -> String {
    const SIGNS: &[u8] = b"-_.+=@/:!";
    (0..length)
        .map(|_| {
            char::from(match random.random_range(0..4) {
                0 => random.random_range(b'a'..=b'z'),
                1 => random.random_range(b'A'..=b'Z'),
                2 => random.random_range(b'0'..=b'9'),
                _ => SIGNS[random.random_range(0..SIGNS.len())],
            })
        })
        .collect()
}
