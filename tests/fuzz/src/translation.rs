//! Schemas, and what handlers answer under them.
//!
//! The lines of an input: three letters, for the mutation (`c`, `u`, `d`), the
//! event (`p` in progress, `s` success, `f` failed) and `s` if strict; the schema;
//! the desired state; the callback context; the model; the rest is the message.
//! Without a context or a model the line is empty.

use std::error::Error;
use std::time::Duration;

use formwork_host::model::{
    Answer, Callback, HandlerErrorCode, JsonObject, Mutation, ProgressEvent, TypeSchema,
};
use serde_json::{Map, Value};

use crate::lines;

/// Translates an answer, and holds what comes out to the output rules.
pub(crate) fn translate(data: &[u8]) {
    let Some([letters, schema, state, context, model, message]) = lines(data) else {
        return;
    };
    let schema = match TypeSchema::parse(schema) {
        Ok(schema) => schema,
        Err(error) => {
            let source = error.source().map(ToString::to_string).unwrap_or_default();
            assert!(
                !error.to_string().is_empty(),
                "a reason has words: {source}"
            );
            return;
        }
    };
    if hides_its_identifier(&schema) {
        return;
    }
    let (Ok(state), Some(mutation)) = (JsonObject::parse(state), mutation(letters)) else {
        return;
    };
    let context = JsonObject::parse(context).ok();
    let Some(event) = event(
        letters,
        context.clone(),
        JsonObject::parse(model).ok(),
        message,
    ) else {
        return;
    };
    let strict = letters.as_bytes().get(2) == Some(&b's');
    let answer = Answer::translate(&schema, mutation, &state, event.clone(), strict);
    check(&schema, mutation, &event, &answer, strict);
    if let ProgressEvent::InProgress { model, .. } = &answer.event {
        let next = answer
            .next_state
            .as_ref()
            .expect("a chain goes on with a state");
        let mut next = Value::Object(next.to_map());
        hide(&schema, &mut next);
        let shown = model.as_ref().expect("in progress with a model");
        let mut shown = Value::Object(shown.to_map());
        // An object that holds nothing but what is hidden comes back empty.
        hollow(&mut next);
        hollow(&mut shown);
        assert_eq!(next, shown, "the next state is what was shown");
    }
    if !strict {
        let again = Answer::translate(&schema, mutation, &state, answer.event.clone(), false);
        assert_eq!(
            again.event, answer.event,
            "what is fit to be shown stays as it is"
        );
    }
}

fn mutation(letters: &str) -> Option<Mutation> {
    match letters.as_bytes().first()? {
        b'c' => Some(Mutation::Create),
        b'u' => Some(Mutation::Update),
        b'd' => Some(Mutation::Delete),
        _ => None,
    }
}

fn event(
    letters: &str,
    callback_context: Option<JsonObject>,
    model: Option<JsonObject>,
    message: &str,
) -> Option<ProgressEvent> {
    match letters.as_bytes().get(1)? {
        b'p' => Some(ProgressEvent::InProgress {
            callback: Callback::After(Duration::from_secs(1)),
            callback_context,
            message: Some(message.to_owned()),
            model,
        }),
        b's' => Some(ProgressEvent::Success {
            message: Some(message.to_owned()),
            model,
        }),
        b'f' => Some(ProgressEvent::Failed {
            code: HandlerErrorCode::NotFound,
            message: message.to_owned(),
            model,
        }),
        _ => None,
    }
}

fn check(
    schema: &TypeSchema,
    mutation: Mutation,
    before: &ProgressEvent,
    answer: &Answer,
    strict: bool,
) {
    let model = match (before, &answer.event) {
        (
            ProgressEvent::InProgress {
                callback_context, ..
            },
            ProgressEvent::InProgress {
                callback_context: kept,
                message,
                model,
                ..
            },
        ) => {
            assert_eq!(callback_context, kept, "the context is the handler's own");
            assert_ne!(message.as_deref(), Some(""));
            assert!(model.is_some(), "in progress with a model");
            model
        }
        (ProgressEvent::Success { .. }, ProgressEvent::Success { message, model }) => {
            assert_ne!(message.as_deref(), Some(""));
            assert!(
                mutation != Mutation::Delete || model.is_none(),
                "nothing is left to show"
            );
            assert!(
                !strict || answer.warnings.is_empty(),
                "strict: {:?}",
                answer.warnings
            );
            model
        }
        (
            ProgressEvent::Success { .. },
            ProgressEvent::Failed {
                code,
                message,
                model,
            },
        ) => {
            assert!(strict && !answer.warnings.is_empty(), "a success stays one");
            assert_eq!(*code, HandlerErrorCode::InternalFailure);
            assert!(!message.trim().is_empty());
            model
        }
        (
            ProgressEvent::Failed { code, .. },
            ProgressEvent::Failed {
                code: kept,
                message,
                model,
            },
        ) => {
            assert_eq!(code, kept);
            assert!(!message.trim().is_empty(), "a failure has a message");
            model
        }
        (before, after) => panic!("{before:?} has become {after:?}"),
    };
    let goes_on = matches!(answer.event, ProgressEvent::InProgress { .. });
    assert_eq!(answer.next_state.is_some(), goes_on);
    let model = model.as_ref().map(JsonObject::to_map);
    if let Some(model) = &model {
        let mut shown = Value::Object(model.clone());
        assert!(
            !hide(schema, &mut shown),
            "a null or a write-only value is shown"
        );
    }
    let named = model.as_ref().and_then(|model| identifier(schema, model));
    let said = answer
        .identifier
        .as_ref()
        .map(|identifier| identifier.parts().to_vec());
    assert!(
        said.as_ref().is_none_or(|parts| {
            parts.len() == schema.primary_identifier().len()
                && parts.iter().all(|part| !part.is_empty())
        }),
        "an identifier has all of its parts: {said:?}"
    );
    assert_eq!(said, named, "the identifier is the one of the model");
}

/// Tells whether a schema contradicts itself: what a resource is known by is shown, and
/// what is write-only is not.
fn hides_its_identifier(schema: &TypeSchema) -> bool {
    let mut parts = schema.primary_identifier().iter();
    parts.any(|part| {
        schema.write_only().iter().any(|hidden| {
            let steps = hidden.steps().iter().zip(part.steps());
            let is_above = hidden.steps().len() <= part.steps().len();
            is_above
                && steps
                    .into_iter()
                    .all(|(hidden, step)| hidden == "*" || hidden == step)
        })
    })
}

/// Gives the parts of the primary identifier, if the model has them all.
fn identifier(schema: &TypeSchema, model: &Map<String, Value>) -> Option<Vec<String>> {
    let model = Value::Object(model.clone());
    let parts = schema.primary_identifier().iter().map(|path| {
        let place = path
            .steps()
            .iter()
            .try_fold(&model, |at, step| at.get(step.as_str()));
        match place? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    });
    let parts: Option<Vec<String>> = parts.collect();
    parts.filter(|parts| !parts.is_empty())
}

/// Takes nulls and write-only values out of a model, and tells whether it had any.
fn hide(schema: &TypeSchema, model: &mut Value) -> bool {
    let mut found = false;
    for path in schema.write_only() {
        found |= take(model, path.steps());
    }
    nulls(model) | found
}

fn nulls(value: &mut Value) -> bool {
    let mut found = false;
    match value {
        Value::Object(members) => {
            members.retain(|_, member| {
                found |= member.is_null() || nulls(member);
                !member.is_null()
            });
        }
        Value::Array(items) => items.retain_mut(|item| {
            found |= item.is_null() || nulls(item);
            !item.is_null()
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

/// Takes out members that are empty objects.
fn hollow(value: &mut Value) {
    match value {
        Value::Object(members) => members.retain(|_, member| {
            hollow(member);
            member.as_object().is_none_or(|object| !object.is_empty())
        }),
        Value::Array(items) => items.iter_mut().for_each(hollow),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes out what a path leads to. `*` stands for each member of an array or of
/// an object; in front of a step of array members it may be missing.
fn take(value: &mut Value, steps: &[String]) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return false;
    };
    match value {
        Value::Object(members) if rest.is_empty() && step == "*" => {
            !std::mem::take(members).is_empty()
        }
        Value::Object(members) if rest.is_empty() => members.remove(step).is_some(),
        Value::Object(members) => {
            let reached = members
                .iter_mut()
                .filter(|(name, _)| step == "*" || *name == step);
            reached.fold(false, |found, (_, member)| take(member, rest) | found)
        }
        Value::Array(items) if rest.is_empty() && step == "*" => !std::mem::take(items).is_empty(),
        Value::Array(items) => {
            let rest = if step == "*" { rest } else { steps };
            items
                .iter_mut()
                .fold(false, |found, item| take(item, rest) | found)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
