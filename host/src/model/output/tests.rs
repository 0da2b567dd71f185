use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::Callback;

fn schema() -> TypeSchema {
    TypeSchema::parse(
        &json!({
            "typeName": "Acme::Storage::Archive",
            "properties": {"Name": {"type": "string"}, "Size": {"type": "integer"}, "Secret": {"type": "string"}},
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
