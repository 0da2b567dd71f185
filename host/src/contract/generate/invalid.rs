//! Models that break exactly one rule.

use serde_json::{Map, Value, json};

use super::rules::{Choice, Kind, Rules};
use super::{Generator, keyword};
use crate::model::escaped;

/// The longest text or list that is made in order to be too long.
const LONGEST: usize = 10_000;

/// Texts that few patterns match.
const STRANGE: [&str; 6] = ["", " ", "\u{7f}", "!", "%%%", "\u{2028}x"];

/// A model that breaks one rule of its schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Invalid {
    /// The model.
    pub model: Map<String, Value>,
    /// Where it breaks the rule, as a JSON pointer; empty for the model itself.
    pub pointer: String,
    /// The rule, as a JSON pointer into the schema.
    pub rule: String,
    /// What is wrong there, in the validator's words.
    pub message: String,
}

/// A change of one place that should break one keyword.
struct Breach {
    pointer: String,
    keyword: &'static str,
    value: Value,
}

impl Generator<'_> {
    /// Gives models that differ from the valid `model` in one place and break
    /// one rule of the schema there, each keyword of each place at most once.
    ///
    /// Rules within a branch of `oneOf` or `anyOf` have none: the validator
    /// objects to the whole choice then. They are made as the iterator goes on.
    pub fn invalid<'g>(
        &'g self,
        model: &'g Map<String, Value>,
    ) -> impl Iterator<Item = Invalid> + 'g {
        let mut breaches = Vec::new();
        let whole = Value::Object(model.clone());
        self.breaches(&[self.document], &whole, "", &mut breaches);
        let mut broken: Vec<(String, &'static str)> = Vec::new();
        breaches.into_iter().filter_map(move |breach| {
            // Of the members of a list, one is enough.
            let key = (without_indices(&breach.pointer), breach.keyword);
            if broken.contains(&key) {
                return None;
            }
            let mut value = whole.clone();
            *value.pointer_mut(&breach.pointer)? = breach.value;
            let Value::Object(model) = value else {
                return None;
            };
            let mut violations = self.schema.violations(&model).into_iter();
            let (Some(violation), None) = (violations.next(), violations.next()) else {
                return None;
            };
            if keyword(&violation) != breach.keyword {
                return None;
            }
            broken.push(key);
            Some(Invalid {
                model,
                pointer: violation.pointer,
                rule: violation.rule,
                message: violation.message,
            })
        })
    }

    fn breaches<'a>(
        &'a self,
        schemas: &[&'a Value],
        value: &Value,
        pointer: &str,
        breaches: &mut Vec<Breach>,
    ) {
        let rules = Rules::gather(self.document, schemas, Choice::Certain);
        let mut breach = |keyword: &'static str, value: Value| {
            breaches.push(Breach {
                pointer: pointer.to_owned(),
                keyword,
                value,
            });
        };
        if !pointer.is_empty() {
            // Neither is a primitive, which could be read as another.
            let other = match Kind::of(value) {
                Kind::Array => json!({}),
                Kind::Object
                | Kind::String
                | Kind::Integer
                | Kind::Number
                | Kind::Boolean
                | Kind::Null => json!([]),
            };
            breach("type", other);
        }
        match value {
            Value::String(text) => of_text(&rules, text, &mut breach),
            Value::Number(number) => of_number(&rules, number.as_f64(), &mut breach),
            Value::Array(items) => of_array(&rules, items, &mut breach),
            Value::Object(object) => of_object(&rules, object, &mut breach),
            Value::Bool(_) | Value::Null => {}
        }
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let schemas = rules.item(index);
                    self.breaches(&schemas, item, &format!("{pointer}/{index}"), breaches);
                }
            }
            Value::Object(object) => {
                for (name, member) in object {
                    let schemas = rules.member(name, &self.texts).unwrap_or_default();
                    let step = escaped(name);
                    self.breaches(&schemas, member, &format!("{pointer}/{step}"), breaches);
                }
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
        }
    }
}

fn of_text(rules: &Rules<'_>, text: &str, breach: &mut impl FnMut(&'static str, Value)) {
    for keyword in ["enum", "const"] {
        if rules.all(keyword).next().is_some() {
            breach(keyword, json!(format!("{text}-not-allowed")));
        }
    }
    let (least, most) = rules.count("minLength", "maxLength");
    if let Some(short) = least.checked_sub(1) {
        breach(
            "minLength",
            json!(text.chars().take(short).collect::<String>()),
        );
    }
    if most <= LONGEST {
        let last = text.chars().last().unwrap_or('x');
        let long: String = text
            .chars()
            .chain(std::iter::repeat(last))
            .take(most + 1)
            .collect();
        breach("maxLength", json!(long));
    }
    if rules.all("pattern").next().is_some() {
        for strange in STRANGE {
            breach("pattern", json!(strange));
            // As long as a text that is good, so that the length is.
            breach(
                "pattern",
                json!(strange.repeat(text.chars().count().max(1))),
            );
            breach("pattern", json!(format!("{strange}{text}")));
        }
    }
}

fn of_number(rules: &Rules<'_>, number: Option<f64>, breach: &mut impl FnMut(&'static str, Value)) {
    for keyword in ["enum", "const"] {
        if let (Some(_), Some(number)) = (rules.all(keyword).next(), number) {
            breach(keyword, json!(whole(number + 1_000_003.0)));
        }
    }
    if let Some(least) = rules.at_least("minimum") {
        breach("minimum", json!(whole(least.floor() - 1.0)));
    }
    if let Some(least) = rules.at_least("exclusiveMinimum") {
        breach("exclusiveMinimum", json!(whole(least)));
    }
    if let Some(most) = rules.at_most("maximum") {
        breach("maximum", json!(whole(most.ceil() + 1.0)));
    }
    if let Some(most) = rules.at_most("exclusiveMaximum") {
        breach("exclusiveMaximum", json!(whole(most)));
    }
    if let (Some(step), Some(number)) = (rules.at_least("multipleOf"), number) {
        let off = if step > 1.0 { 1.0 } else { step / 2.0 };
        breach("multipleOf", json!(whole(number - off)));
        breach("multipleOf", json!(whole(number + off)));
    }
}

/// Writes a number without a fraction where it has none.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
        return json!(number as i64);
    }
    json!(number)
}

fn of_array(rules: &Rules<'_>, items: &[Value], breach: &mut impl FnMut(&'static str, Value)) {
    let (least, most) = rules.count("minItems", "maxItems");
    if let Some(few) = least.checked_sub(1) {
        breach(
            "minItems",
            json!(items.iter().take(few).collect::<Vec<_>>()),
        );
    }
    let Some(last) = items.last() else { return };
    if most <= LONGEST && !rules.demands("uniqueItems") {
        let many: Vec<&Value> = items
            .iter()
            .chain(std::iter::repeat(last))
            .take(most + 1)
            .collect();
        breach("maxItems", json!(many));
    }
    if rules.demands("uniqueItems") {
        let twice: Vec<&Value> = items
            .iter()
            .take(most.saturating_sub(1))
            .chain([last])
            .collect();
        breach("uniqueItems", json!(twice));
    }
}

fn of_object(
    rules: &Rules<'_>,
    object: &Map<String, Value>,
    breach: &mut impl FnMut(&'static str, Value),
) {
    let without = |gone: &str| {
        let mut rest = object.clone();
        rest.remove(gone);
        Value::Object(rest)
    };
    for required in rules.required() {
        breach("required", without(required));
    }
    let needed = rules
        .all("dependencies")
        .filter_map(Value::as_object)
        .flatten()
        .filter(|(name, _)| object.contains_key(*name))
        .filter_map(|(_, needed)| needed.as_array())
        .flatten()
        .filter_map(Value::as_str);
    for needed in needed {
        breach("dependencies", without(needed));
    }
    let (least, most) = rules.count("minProperties", "maxProperties");
    if let Some(few) = least.checked_sub(1) {
        let few: Map<String, Value> = object
            .iter()
            .take(few)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        breach("minProperties", Value::Object(few));
    }
    if let (true, Some(value)) = (most <= LONGEST, object.values().next()) {
        let mut many = object.clone();
        for index in object.len()..=most {
            many.insert(format!("Member{index}"), value.clone());
        }
        breach("maxProperties", Value::Object(many));
    }
    let mut more = object.clone();
    more.insert("NotInTheSchema".to_owned(), json!("x"));
    breach("additionalProperties", Value::Object(more));
}

fn without_indices(pointer: &str) -> String {
    pointer
        .split('/')
        .map(|step| {
            if step.parse::<usize>().is_ok() {
                "*"
            } else {
                step
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}
