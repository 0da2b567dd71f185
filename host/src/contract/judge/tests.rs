use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::{Callback, HandlerErrorCode, ListPage, ReadFailure};

fn schema() -> TypeSchema {
    let document = json!({
        "typeName": "Acme::Storage::Archive",
        "description": "An archive.",
        "properties": {
            "Name": {"type": "string", "maxLength": 5},
            "Size": {"type": "integer"},
            "Secret": {"type": "string"},
            "Inner": {
                "type": "object",
                "properties": {"Password": {"type": "string"}, "required": {"type": "integer"}},
                "required": ["Password"],
                "minProperties": 1,
                "additionalProperties": false
            }
        },
        "required": ["Name", "Size"],
        "anyOf": [{"required": ["Secret"]}, {"required": ["Inner"]}],
        "primaryIdentifier": ["/properties/Name"],
        "writeOnlyProperties": ["/properties/Secret", "/properties/Inner/Password"],
        "additionalProperties": false
    });
    TypeSchema::parse(&document.to_string()).expect("a schema")
}

fn model(value: &Value) -> JsonObject {
    JsonObject::parse(value.to_string()).expect("an object")
}

fn success(value: &Value) -> Exchanged {
    Exchanged::Event(ProgressEvent::Success {
        message: None,
        model: Some(model(value)),
    })
}

fn in_progress(value: Option<&Value>) -> Exchanged {
    Exchanged::Event(ProgressEvent::InProgress {
        callback: Callback::After(Duration::ZERO),
        callback_context: None,
        message: None,
        model: value.map(model),
    })
}

fn failed(message: &str, value: &Value) -> Exchanged {
    Exchanged::Event(ProgressEvent::Failed {
        code: HandlerErrorCode::InvalidRequest,
        message: message.to_owned(),
        model: Some(model(value)),
    })
}

fn rules(outcome: &Exchanged) -> Vec<Rule> {
    judge(&schema(), Action::Create, outcome)
        .into_iter()
        .map(|breach| breach.rule)
        .collect()
}

#[test]
fn an_answer_that_keeps_the_rules_is_let_pass() {
    for outcome in [
        success(&json!({"Name": "a", "Size": 1})),
        // What is required, what is combined, and what only a write-only
        // property would fill, does not bind an answer.
        success(&json!({"Name": "a"})),
        success(&json!({"Name": "a", "Inner": {}})),
        // The model of an event in progress is the state of the next invocation.
        in_progress(Some(&json!({"Name": "a", "Secret": "s"}))),
        // A failure may repeat the input that it is about.
        failed("too long", &json!({"Name": "too long", "Size": null})),
        Exchanged::Read(Ok(model(&json!({"Name": "a"})))),
        Exchanged::Listed(Ok(ListPage {
            models: vec![model(&json!({"Name": "a"}))],
            next_token: None,
        })),
    ] {
        assert_eq!(rules(&outcome), [], "{outcome:?}");
    }
}

#[test]
fn an_answer_that_breaks_a_rule_is_found() {
    let no_reason = ReadFailure {
        code: HandlerErrorCode::NotFound,
        message: " ".to_owned(),
    };
    for (outcome, rule) in [
        (
            success(&json!({"Name": "a", "Secret": ""})),
            Rule::HidesWriteOnly,
        ),
        (
            success(&json!({"Name": "a", "Inner": {"Password": "p"}})),
            Rule::HidesWriteOnly,
        ),
        (failed("no", &json!({"Secret": "s"})), Rule::HidesWriteOnly),
        (
            success(&json!({"Name": "a", "Size": null})),
            Rule::HasNoNulls,
        ),
        (
            success(&json!({"Name": "a", "Inner": {"required": null}})),
            Rule::HasNoNulls,
        ),
        (
            success(&json!({"Name": "a", "Size": "1"})),
            Rule::FitsSchema,
        ),
        (success(&json!({"Name": "a", "Extra": 1})), Rule::FitsSchema),
        (success(&json!({"Name": "too long"})), Rule::FitsSchema),
        // A property that is called as a keyword is none.
        (
            success(&json!({"Name": "a", "Inner": {"required": "x"}})),
            Rule::FitsSchema,
        ),
        (success(&json!({"Size": 1})), Rule::NamesResource),
        (success(&json!({"Name": ""})), Rule::NamesResource),
        (in_progress(None), Rule::InProgressNamesResource),
        (
            in_progress(Some(&json!({"Size": 1}))),
            Rule::InProgressNamesResource,
        ),
        (failed("", &json!({})), Rule::ExplainsFailure),
        (
            Exchanged::Read(Err(no_reason.clone())),
            Rule::ExplainsFailure,
        ),
        (Exchanged::Listed(Err(no_reason)), Rule::ExplainsFailure),
        (
            Exchanged::Trapped(Trap {
                kind: TrapKind::Wall,
                message: "slow".to_owned(),
            }),
            Rule::AnswersInTime,
        ),
        (
            Exchanged::Trapped(Trap {
                kind: TrapKind::Panic,
                message: "oh".to_owned(),
            }),
            Rule::Answers,
        ),
    ] {
        assert_eq!(rules(&outcome), [rule], "{outcome:?}");
    }
}

#[test]
fn no_write_only_value_is_in_what_is_said() {
    let leaked =
        success(&json!({"Name": "a", "Secret": "hunter2", "Inner": {"Password": "hunter2"}}));
    for breach in judge(&schema(), Action::Create, &leaked) {
        assert!(!breach.what.contains("hunter2"), "{}", breach.what);
    }
}
