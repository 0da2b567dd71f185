//! The rules that every answer has to keep, whatever test it was made for.
//!
//! Everything here is pure: an exchange in, breaches out.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::engine::Exchanged;
use crate::model::{
    Action, Call, JsonObject, PrimaryIdentifier, ProgressEvent, RequestToken, Trap, TrapKind,
    TypeSchema, Violation, escaped,
};

use super::Rule;
use super::log::Entry;

/// A rule that an exchange breaks, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) rule: Rule,
    pub(super) what: String,
}

impl Breach {
    pub(super) fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self {
            rule,
            what: what.into(),
        }
    }
}

/// What kind of answer holds a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    InProgress,
    Success,
    Failed,
    Read,
    Listed,
}

impl Holder {
    const fn words(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS with a model that",
            Self::Success => "SUCCESS with a model that",
            Self::Failed => "FAILED with a model that",
            Self::Read | Self::Listed => "a model that",
        }
    }
}

/// Judges one exchange by itself.
pub(super) fn judge(schema: &TypeSchema, action: Action, outcome: &Exchanged) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (holder, model) in models(outcome) {
        let model = model.to_map();
        breaches.extend(hides_write_only(schema, action, holder, &model));
        let found = [
            has_no_nulls(holder, &model),
            fits_schema(schema, holder, &model),
            names_resource(schema, holder, &model),
        ];
        breaches.extend(found.into_iter().flatten().map(|(rule, what)| {
            Breach::new(rule, format!("{action} answered {} {what}", holder.words()))
        }));
    }
    match outcome {
        Exchanged::Trapped(trap) => breaches.push(Breach::new(
            rule_of_trap(trap),
            format!("{action} did not answer: {trap}"),
        )),
        Exchanged::Event(ProgressEvent::InProgress { model: None, .. }) => {
            breaches.push(Breach::new(
                Rule::InProgressNamesResource,
                format!("{action} answered IN_PROGRESS without a model"),
            ));
        }
        Exchanged::Event(ProgressEvent::Failed { code, message, .. })
            if message.trim().is_empty() =>
        {
            breaches.push(unexplained(action.as_str(), code.as_str()));
        }
        Exchanged::Read(Err(failure)) | Exchanged::Listed(Err(failure))
            if failure.message.trim().is_empty() =>
        {
            breaches.push(unexplained(action.as_str(), failure.code.as_str()));
        }
        Exchanged::Event(_) | Exchanged::Read(_) | Exchanged::Listed(_) => {}
    }
    breaches
}

/// Gives the rule that a trap breaks.
pub(super) const fn rule_of_trap(trap: &Trap) -> Rule {
    match trap.kind {
        TrapKind::Wall | TrapKind::Cpu => Rule::AnswersInTime,
        TrapKind::Panic
        | TrapKind::Memory
        | TrapKind::Stack
        | TrapKind::Limit
        | TrapKind::AnswerSize
        | TrapKind::Answer => Rule::Answers,
    }
}

fn unexplained(action: &str, code: &str) -> Breach {
    Breach::new(
        Rule::ExplainsFailure,
        format!("{action} answered FAILED {code} with an empty message"),
    )
}

/// Gives the models of an answer.
pub(super) fn models(outcome: &Exchanged) -> Vec<(Holder, &JsonObject)> {
    match outcome {
        Exchanged::Event(event) => {
            let (holder, model) = match event {
                ProgressEvent::InProgress { model, .. } => (Holder::InProgress, model),
                ProgressEvent::Success { model, .. } => (Holder::Success, model),
                ProgressEvent::Failed { model, .. } => (Holder::Failed, model),
            };
            model.iter().map(|model| (holder, model)).collect()
        }
        Exchanged::Read(Ok(model)) => vec![(Holder::Read, model)],
        Exchanged::Listed(Ok(page)) => page.models.iter().map(|it| (Holder::Listed, it)).collect(),
        Exchanged::Read(Err(_)) | Exchanged::Listed(Err(_)) | Exchanged::Trapped(_) => Vec::new(),
    }
}

/// An in-progress event may and should hold write-only values: its model is the
/// state of the next invocation.
pub(super) fn hides_write_only(
    schema: &TypeSchema,
    action: Action,
    holder: Holder,
    model: &Map<String, Value>,
) -> Option<Breach> {
    if holder == Holder::InProgress {
        return None;
    }
    let leaked: Vec<String> = schema
        .write_only()
        .iter()
        .filter(|path| path.all(model).next().is_some())
        .map(|path| format!("`{path}`"))
        .collect();
    (!leaked.is_empty()).then(|| {
        Breach::new(
            Rule::HidesWriteOnly,
            format!(
                "{action} answered {} has the write-only {}; the value is not shown here",
                holder.words(),
                leaked.join(" and ")
            ),
        )
    })
}

/// A failure may repeat the input that it is about, whatever that is.
fn has_no_nulls(holder: Holder, model: &Map<String, Value>) -> Option<(Rule, String)> {
    if holder == Holder::Failed {
        return None;
    }
    let mut found = Vec::new();
    nulls(model, "", &mut found);
    (!found.is_empty()).then(|| {
        (
            Rule::HasNoNulls,
            format!("has null at {}", found.join(" and ")),
        )
    })
}

fn nulls(map: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    for (name, value) in map {
        let at = format!("{at}/{}", escaped(name));
        if value.is_null() {
            found.push(format!("`{at}`"));
        } else {
            nulls_within(value, &at, found);
        }
    }
}

fn nulls_within(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => nulls(map, at, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                nulls_within(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_nulls(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().for_each(without_nulls_within);
}

fn without_nulls_within(value: &mut Value) {
    match value {
        Value::Object(map) => without_nulls(map),
        Value::Array(items) => items.iter_mut().for_each(without_nulls_within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Judges the shape of a model. Nulls and write-only properties are other rules'
/// matter; a failure may repeat the input that it is about, whatever that is.
fn fits_schema(
    schema: &TypeSchema,
    holder: Holder,
    model: &Map<String, Value>,
) -> Option<(Rule, String)> {
    if holder == Holder::Failed {
        return None;
    }
    let mut model = model.clone();
    without_nulls(&mut model);
    schema.remove_write_only(&mut model);
    let violations: Vec<String> = schema
        .violations(&model)
        .into_iter()
        .filter(binds_answers)
        .map(|violation| violation.to_string())
        .collect();
    (!violations.is_empty()).then(|| {
        (
            Rule::FitsSchema,
            format!("does not fit the schema: {}", violations.join("; ")),
        )
    })
}

/// Tells whether the contract holds answers to the keyword that is broken: to
/// those for types, numbers, texts, arrays and objects, except `required`,
/// `dependencies`, `propertyNames` and what combines schemas. A count of members
/// can be off because write-only ones are left out.
fn binds_answers(violation: &Violation) -> bool {
    const FREE: [&str; 11] = [
        "required",
        "dependencies",
        "propertyNames",
        "minProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
    ];
    // What stands below one of these is a name, not a keyword.
    const NAMED: [&str; 3] = ["properties", "patternProperties", "definitions"];
    let mut steps = violation.rule.split('/').skip(1);
    while let Some(step) = steps.next() {
        if FREE.contains(&step) {
            return false;
        }
        if NAMED.contains(&step) {
            steps.next();
        }
    }
    true
}

fn names_resource(
    schema: &TypeSchema,
    holder: Holder,
    model: &Map<String, Value>,
) -> Option<(Rule, String)> {
    let rule = match holder {
        Holder::InProgress => Rule::InProgressNamesResource,
        Holder::Success | Holder::Read | Holder::Listed => Rule::NamesResource,
        // Nothing may have been made.
        Holder::Failed => return None,
    };
    let missing: Vec<String> = schema
        .primary_identifier()
        .iter()
        .filter(|path| is_missing(path.get(model)))
        .map(ToString::to_string)
        .map(|path| format!("`{path}`"))
        .collect();
    let given = schema.identifier(model).is_some();
    let why = if given {
        " (an empty text, 0 and false are no values of an identifier)"
    } else {
        ""
    };
    (!missing.is_empty()).then(|| {
        let what = format!("has no value for {}{why}", missing.join(" and "));
        (rule, what)
    })
}

/// The official tests take an empty text, 0 and false for no identifier.
fn is_missing(part: Option<&Value>) -> bool {
    match part {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// Judges what spans the invocations of an operation: the identifier stays that
/// of the request, or else the first one that was answered.
///
/// Gives each breach with the position of the exchange that shows it.
pub(super) fn judge_chains(schema: &TypeSchema, entries: &[Arc<Entry>]) -> Vec<(usize, Breach)> {
    let mut known: HashMap<RequestToken, PrimaryIdentifier> = HashMap::new();
    let mut breaches = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let exchange = &entry.exchange;
        let invocation = &exchange.invocation;
        let identifier = |model: &JsonObject| schema.identifier(&model.to_map());
        let asked = match &invocation.call {
            Call::Create { .. } | Call::List(_) => None,
            Call::Read { identifier: state }
            | Call::Update {
                desired_state: state,
                ..
            }
            | Call::Delete { state, .. } => identifier(state),
        };
        if matches!(exchange.outcome, Exchanged::Listed(_)) {
            continue;
        }
        for (_, model) in models(&exchange.outcome) {
            let Some(answered) = identifier(model) else {
                continue;
            };
            let first = known
                .entry(invocation.token)
                .or_insert_with(|| asked.clone().unwrap_or_else(|| answered.clone()));
            if *first != answered {
                let action = invocation.call.action();
                breaches.push((
                    at,
                    Breach::new(
                        Rule::KeepsIdentifier,
                        format!(
                            "{action} answered with the identifier `{answered}`; before, or in \
                             the request, it was `{first}`"
                        ),
                    ),
                ));
            }
        }
    }
    breaches
}

/// Tells whether a create can be asked for with an identifier of one's own
/// choice, and again: each part of it is create-only.
pub(super) fn chooses_identifier(schema: &TypeSchema) -> bool {
    schema
        .primary_identifier()
        .iter()
        .all(|path| schema.create_only().contains(path))
}

#[cfg(test)]
mod tests;
