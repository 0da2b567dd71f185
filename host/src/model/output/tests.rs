use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::Callback;

fn schema() -> TypeSchema {
    TypeSchema::parse(
        &json!({
            "typeName": "Acme::Storage::Archive",
            "description": "An archive.",
            "properties": {"Name": {"type": "string"}, "Size": {"type": "integer"}, "Parts": {"type": "array"}, "Secret": {"type": "string"}},
            "required": ["Name", "Secret"],
            "additionalProperties": false,
            "primaryIdentifier": ["/properties/Name"],
            "writeOnlyProperties": ["/properties/Secret"],
        })
        .to_string(),
    )
    .expect("a schema")
}

fn object(value: &Value) -> JsonObject {
    JsonObject::parse(value.to_string()).expect("an object")
}

fn succeed(model: &Value, strict: bool) -> Answer {
    let event = ProgressEvent::Success {
        message: None,
        model: Some(object(model)),
    };
    Answer::translate(
        &schema(),
        Mutation::Create,
        &object(&json!({"Name": "a", "Secret": "s"})),
        event,
        strict,
    )
}

fn shown(answer: &Answer) -> Value {
    match &answer.event {
        ProgressEvent::InProgress { model, .. }
        | ProgressEvent::Success { model, .. }
        | ProgressEvent::Failed { model, .. } => model
            .as_ref()
            .map_or(Value::Null, |model| Value::Object(model.to_map())),
    }
}

#[test]
fn write_only_values_are_removed_from_what_is_shown_and_kept_for_the_next_invocation() {
    for returned in [json!({"Name": "a"}), json!({"Name": "a", "Secret": "s"})] {
        let event = ProgressEvent::InProgress {
            callback: Callback::After(Duration::ZERO),
            callback_context: None,
            message: None,
            model: Some(object(&returned)),
        };
        let state = object(&json!({"Name": "a", "Secret": "s"}));
        let answer = Answer::translate(&schema(), Mutation::Create, &state, event, false);
        assert_eq!(shown(&answer), json!({"Name": "a"}));
        assert_eq!(
            answer.next_state.map(|s| Value::Object(s.to_map())),
            Some(json!({"Name": "a", "Secret": "s"}))
        );
        assert_eq!(answer.warnings, []);
    }
}

#[test]
fn a_success_that_breaks_a_rule_is_mended_with_a_warning_or_failed_when_strict() {
    let cases = [
        (
            json!({"Name": "a", "Secret": "s"}),
            json!({"Name": "a"}),
            "write-only",
        ),
        (
            json!({"Name": "a", "Size": null}),
            json!({"Name": "a"}),
            "null",
        ),
        (
            json!({"Name": "a", "Parts": [1, null, [null]]}),
            json!({"Name": "a", "Parts": [1, []]}),
            "null",
        ),
        (json!({"Size": 1}), json!({"Size": 1}), "primary identifier"),
        (
            json!({"Name": "a", "Size": "x"}),
            json!({"Name": "a", "Size": "x"}),
            "/Size",
        ),
    ];
    for (returned, mended, word) in cases {
        let lenient = succeed(&returned, false);
        assert_eq!(shown(&lenient), mended);
        assert!(matches!(lenient.event, ProgressEvent::Success { .. }));
        assert!(
            lenient.warnings[0].to_string().contains(word),
            "{:?}",
            lenient.warnings
        );
        match succeed(&returned, true).event {
            ProgressEvent::Failed {
                code: HandlerErrorCode::InternalFailure,
                message,
                model: Some(_),
            } => {
                assert!(message.contains(word), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(succeed(&json!({"Name": "a", "Size": 1}), true).warnings, []);
}

#[test]
fn a_delete_has_no_model() {
    let event = ProgressEvent::Success {
        message: None,
        model: Some(object(&json!({"Name": "a"}))),
    };
    let answer = Answer::translate(
        &schema(),
        Mutation::Delete,
        &object(&json!({"Name": "a"})),
        event,
        true,
    );
    assert_eq!(
        answer.event,
        ProgressEvent::Success {
            message: None,
            model: None
        }
    );
}

/// Answers in progress with `model` to a handler that was given `state`.
fn go_on(schema: &TypeSchema, state: &Value, model: Option<&Value>) -> Answer {
    let event = ProgressEvent::InProgress {
        callback: Callback::After(Duration::ZERO),
        callback_context: None,
        message: None,
        model: model.map(object),
    };
    Answer::translate(schema, Mutation::Update, &object(state), event, false)
}

#[test]
fn an_event_in_progress_has_the_model_and_the_identifier_that_the_handler_left_out() {
    let state = json!({"Name": "a", "Size": 1, "Secret": "s"});
    let whole = |answer: &Answer| {
        let state = answer.next_state.as_ref().expect("a next state");
        Value::Object(state.to_map())
    };
    let without_model = go_on(&schema(), &state, None);
    assert_eq!(shown(&without_model), json!({"Name": "a", "Size": 1}));
    assert_eq!(whole(&without_model), state);

    for returned in [json!({"Size": 2}), json!({"Name": "", "Size": 2})] {
        let answer = go_on(&schema(), &state, Some(&returned));
        assert_eq!(shown(&answer), json!({"Size": 2, "Name": "a"}));
        assert_eq!(
            whole(&answer),
            json!({"Size": 2, "Name": "a", "Secret": "s"})
        );
        assert_eq!(answer.identifier.map(|id| id.to_string()), Some("a".into()));
        assert_eq!(answer.warnings, []);
    }
    let other = go_on(&schema(), &state, Some(&json!({"Name": "b"})));
    assert_eq!(shown(&other), json!({"Name": "b"}));
}

#[test]
fn an_event_in_progress_that_nothing_names_is_a_warning() {
    let unnamed = json!({"Size": 1, "Secret": "s"});
    for returned in [None, Some(json!({"Size": 2}))] {
        let answer = go_on(&schema(), &unnamed, returned.as_ref());
        assert_eq!(answer.identifier, None);
        assert_eq!(answer.warnings, [Warning::NoIdentifier]);
    }
}

#[test]
fn parts_of_an_identifier_are_filled_in_only_beside_their_own() {
    let schema = TypeSchema::parse(
        &json!({
            "typeName": "Acme::Storage::Entry",
            "description": "An entry of an archive.",
            "properties": {"Archive": {"type": "string"}, "Number": {"type": "integer"}},
            "additionalProperties": false,
            "primaryIdentifier": ["/properties/Archive", "/properties/Number"],
        })
        .to_string(),
    )
    .expect("a schema");
    let state = json!({"Archive": "a", "Number": 7});
    let cases = [
        (json!({"Archive": "a"}), Some("a|7"), None),
        (json!({"Archive": "b"}), None, Some(Warning::NoIdentifier)),
        (
            json!({"Archive": "a", "Number": 0}),
            Some("a|0"),
            Some(Warning::FalsyIdentifier),
        ),
    ];
    for (returned, identifier, warning) in cases {
        let answer = go_on(&schema, &state, Some(&returned));
        assert_eq!(
            answer.identifier.map(|id| id.to_string()).as_deref(),
            identifier,
            "{returned}"
        );
        assert_eq!(
            answer.warnings,
            warning.into_iter().collect::<Vec<_>>(),
            "{returned}"
        );
    }
}

#[test]
fn a_failure_without_a_message_is_given_one_that_names_its_code() {
    for (message, shown, warnings) in [
        (
            " ",
            "the handler failed with Throttling and said no more",
            vec![Warning::NoMessage],
        ),
        ("too fast", "too fast", vec![]),
    ] {
        let event = ProgressEvent::Failed {
            code: HandlerErrorCode::Throttling,
            message: message.to_owned(),
            model: None,
        };
        let state = object(&json!({"Name": "a"}));
        let answer = Answer::translate(&schema(), Mutation::Delete, &state, event, false);
        assert_eq!(answer.warnings, warnings);
        match answer.event {
            ProgressEvent::Failed { message, .. } => assert_eq!(message, shown),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_empty_message_is_none() {
    let event = ProgressEvent::Success {
        message: Some(String::new()),
        model: None,
    };
    let state = object(&json!({"Name": "a"}));
    let answer = Answer::translate(&schema(), Mutation::Delete, &state, event, true);
    assert_eq!(
        answer.event,
        ProgressEvent::Success {
            message: None,
            model: None
        }
    );
}

#[test]
fn what_only_write_only_values_fulfil_is_no_violation() {
    let schema = TypeSchema::parse(
        &json!({
            "typeName": "Acme::Storage::User",
            "description": "A user.",
            "definitions": {"Login": {
                "type": "object",
                "properties": {
                    "User": {"type": "string"},
                    "Password": {"type": "string"},
                    "Token": {"type": "string"},
                },
                "oneOf": [{"required": ["Password"]}, {"required": ["Token"]}],
                "additionalProperties": false,
            }},
            "properties": {"Name": {"type": "string"}, "Login": {"$ref": "#/definitions/Login"}},
            "additionalProperties": false,
            "primaryIdentifier": ["/properties/Name"],
            "writeOnlyProperties": ["/properties/Login/Password", "/properties/Login/Token"],
        })
        .to_string(),
    )
    .expect("a schema");
    let state = object(&json!({"Name": "a", "Login": {"User": "u", "Token": "t"}}));
    for (login, count) in [(json!({"User": "u"}), 0), (json!({"User": 1}), 1)] {
        let event = ProgressEvent::Success {
            message: None,
            model: Some(object(&json!({"Name": "a", "Login": login}))),
        };
        let answer = Answer::translate(&schema, Mutation::Create, &state, event, false);
        assert_eq!(answer.warnings.len(), count, "{:?}", answer.warnings);
        assert!(!format!("{:?}", answer.warnings).contains("\"t\""));
    }
}
