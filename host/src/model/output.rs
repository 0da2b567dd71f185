//! The rules for what a handler answers.
//!
//! The rules are those of the handler contract and of the official contract
//! tests: nothing null, an in-progress event always with a model and the
//! identifier, no write-only value in a model that is shown, no model of what
//! is deleted, a failure always with a code and a message.

mod shown;

use std::fmt;

use super::{
    HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier, ProgressEvent, ReadFailure,
    TypeSchema, Violation,
};

use shown::Shown;

/// A progress event after the output rules: fit to be shown, with what the
/// engine needs to know of its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The event. Its model has no write-only property and no null; in
    /// progress, it has one.
    pub event: ProgressEvent,
    /// The desired state of the next invocation, write-only properties
    /// included: for an in-progress event.
    pub next_state: Option<JsonObject>,
    /// The identifier that the model names.
    pub identifier: Option<PrimaryIdentifier>,
    /// Whether the event came without a model and was given the state: then a
    /// model that is known already says more.
    pub filled_in: bool,
    /// Which rules the handler broke without being failed for it.
    pub warnings: Vec<Warning>,
}

/// A rule of the handler contract that an answer broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A terminal model held a write-only property; it was removed.
    WriteOnlyReturned,
    /// A model held a null; it was removed.
    NullReturned,
    /// The model of a success, or of an event in progress, lacks a part of the
    /// primary identifier, and the state that the handler was given has none
    /// to fill it in from.
    NoIdentifier,
    /// A part of the primary identifier is 0 or false, which the official
    /// contract tests count as missing.
    FalsyIdentifier,
    /// A failure had no message; it was given one.
    NoMessage,
    /// A READ answered another resource than the one that was asked for.
    OtherResource,
    /// The model of a success does not fit the schema.
    OffSchema(Violation),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteOnlyReturned => {
                f.write_str("the model of a terminal event holds a write-only property")
            }
            Self::NullReturned => {
                f.write_str("the model holds a null; a property without a value must be left out")
            }
            Self::NoIdentifier => f.write_str(
                "the model lacks a part of the primary identifier; every event of a resource \
                 must name it",
            ),
            Self::FalsyIdentifier => f.write_str(
                "a part of the primary identifier is 0 or false, which contract tests take for \
                 missing; use a text or another number",
            ),
            Self::NoMessage => {
                f.write_str("the failure has no message; say what failed and what to do")
            }
            Self::OtherResource => {
                f.write_str("the model names another resource than the one that was asked for")
            }
            Self::OffSchema(violation) => write!(
                f,
                "the model of a success does not fit the schema: {violation}"
            ),
        }
    }
}

impl Answer {
    /// Applies the output rules to what a handler answered.
    ///
    /// `state` is what the handler was given as desired state. Its write-only
    /// values are kept for the next invocation; an in-progress event without a
    /// model gets it, and one whose model lacks the identifier gets that. With
    /// `strict`, a success that breaks a rule becomes a failure that names the
    /// rule.
    #[must_use]
    pub fn translate(
        schema: &TypeSchema,
        mutation: Mutation,
        state: &JsonObject,
        event: ProgressEvent,
        strict: bool,
    ) -> Self {
        match event {
            ProgressEvent::InProgress {
                callback,
                callback_context,
                message,
                model,
            } => {
                let mut shown = Shown::of(schema, model.as_ref().unwrap_or(state));
                if model.is_some() {
                    shown.name(schema, state);
                }
                let identifier = shown.identifier(schema);
                let mut warnings = shown.warnings(schema);
                if identifier.is_none() {
                    warnings.push(Warning::NoIdentifier);
                }
                Self {
                    next_state: Some(match model {
                        Some(_) => shown.next_state(schema, state),
                        None => state.clone(),
                    }),
                    identifier,
                    filled_in: model.is_none(),
                    warnings,
                    event: ProgressEvent::InProgress {
                        callback,
                        callback_context,
                        message: said(message),
                        model: Some(shown.text),
                    },
                }
            }
            ProgressEvent::Failed {
                code,
                message,
                model,
            } => {
                let shown = model.map(|model| Shown::of(schema, &model));
                let mut warnings = terminal(schema, shown.as_ref());
                let failure = ReadFailure { code, message };
                if failure.message.trim().is_empty() {
                    warnings.push(Warning::NoMessage);
                }
                Self {
                    next_state: None,
                    identifier: shown.as_ref().and_then(|shown| shown.identifier(schema)),
                    filled_in: false,
                    warnings,
                    event: ProgressEvent::Failed {
                        code,
                        message: failure.explained().message,
                        model: shown.map(|shown| shown.text),
                    },
                }
            }
            ProgressEvent::Success { message, model } => {
                let shown = match mutation {
                    Mutation::Create | Mutation::Update => {
                        model.map(|model| Shown::of(schema, &model))
                    }
                    Mutation::Delete => None,
                };
                let mut warnings = terminal(schema, shown.as_ref());
                let identifier = shown.as_ref().and_then(|shown| shown.identifier(schema));
                match mutation {
                    Mutation::Delete => {}
                    Mutation::Create | Mutation::Update => {
                        if identifier.is_none() {
                            warnings.push(Warning::NoIdentifier);
                        }
                        let violations = shown
                            .as_ref()
                            .map(|shown| shown.violations(schema, Some(state)))
                            .unwrap_or_default();
                        warnings.extend(violations.into_iter().map(Warning::OffSchema));
                    }
                }
                let model = shown.map(|shown| shown.text);
                let event = match warnings.first() {
                    Some(warning) if strict => ProgressEvent::Failed {
                        code: HandlerErrorCode::InternalFailure,
                        message: format!("the handler broke its contract: {warning}"),
                        model,
                    },
                    Some(_) | None => ProgressEvent::Success {
                        message: said(message),
                        model,
                    },
                };
                Self {
                    event,
                    next_state: None,
                    identifier,
                    filled_in: false,
                    warnings,
                }
            }
        }
    }
}

/// What a READ answered, or one of the models of a LIST, after the output rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAnswer {
    /// The model, without write-only properties and nulls.
    pub model: JsonObject,
    /// Which rules the handler broke without being failed for it.
    pub warnings: Vec<Warning>,
}

impl ReadAnswer {
    /// Applies the output rules to the model of a READ that was asked for the
    /// resource that `asked` names.
    #[must_use]
    pub fn read(schema: &TypeSchema, asked: &JsonObject, model: &JsonObject) -> Self {
        let shown = Shown::of(schema, model);
        let mut warnings = terminal(schema, Some(&shown));
        match (schema.identifier(&asked.to_map()), shown.identifier(schema)) {
            (_, None) => warnings.push(Warning::NoIdentifier),
            (Some(asked), Some(found)) if asked != found => warnings.push(Warning::OtherResource),
            (Some(_) | None, Some(_)) => {}
        }
        let violations = shown.violations(schema, None);
        warnings.extend(violations.into_iter().map(Warning::OffSchema));
        Self {
            model: shown.text,
            warnings,
        }
    }

    /// Applies the output rules to a model of a LIST, which need hold no more
    /// than the identifier.
    #[must_use]
    pub fn listed(schema: &TypeSchema, model: &JsonObject) -> Self {
        let shown = Shown::of(schema, model);
        let mut warnings = terminal(schema, Some(&shown));
        if shown.identifier(schema).is_none() {
            warnings.push(Warning::NoIdentifier);
        }
        let mut violations = shown.violations(schema, None);
        violations.retain(|violation| !shown::is_of_presence(violation));
        warnings.extend(violations.into_iter().map(Warning::OffSchema));
        Self {
            model: shown.text,
            warnings,
        }
    }
}

impl ReadFailure {
    /// Gives a failure that has no message one that names its code: a failure
    /// always has both.
    #[must_use]
    pub fn explained(mut self) -> Self {
        if self.message.trim().is_empty() {
            self.message = format!("the handler failed with {} and said no more", self.code);
        }
        self
    }
}

/// An empty message is none.
fn said(message: Option<String>) -> Option<String> {
    message.filter(|message| !message.is_empty())
}

/// Gives the rules that the model of a terminal event breaks.
fn terminal(schema: &TypeSchema, shown: Option<&Shown>) -> Vec<Warning> {
    let Some(shown) = shown else {
        return Vec::new();
    };
    let mut warnings = shown.warnings(schema);
    if shown.held_write_only() {
        warnings.push(Warning::WriteOnlyReturned);
    }
    warnings
}

#[cfg(test)]
mod tests;
