//! The shapes that programs read, to the letter.

use expect_test::{Expect, expect};
use formwork_host::model::TrapKind;

use super::*;

fn object(text: &str) -> JsonObject {
    JsonObject::parse(text).expect("an object")
}

fn check(value: &impl Serialize, expected: &Expect) {
    expected.assert_eq(&serde_json::to_string(value).expect("it prints"));
}

#[test]
fn a_read_and_a_list_answer_in_the_same_names() {
    check(
        &Answer::read(&object(r#"{"Name":"a"}"#)),
        &expect![[r#"{"status":"SUCCESS","resourceModel":{"Name":"a"}}"#]],
    );
    let page = ListPage {
        models: vec![object(r#"{"Name":"a"}"#)],
        next_token: Some("2".to_owned()),
    };
    check(
        &Answer::listed(&page),
        &expect![[r#"{"status":"SUCCESS","resourceModels":[{"Name":"a"}],"nextToken":"2"}"#]],
    );
    let last = ListPage {
        models: vec![],
        next_token: None,
    };
    check(
        &Answer::listed(&last),
        &expect![[r#"{"status":"SUCCESS","resourceModels":[]}"#]],
    );
    check(&Page::new(&last), &expect![[r#"{"resourceModels":[]}"#]]);
    let failure = ReadFailure {
        code: HandlerErrorCode::NotFound,
        message: "gone".to_owned(),
    };
    check(
        &Answer::failed(&failure),
        &expect![[r#"{"status":"FAILED","errorCode":"NotFound","message":"gone"}"#]],
    );
    let trap = Trap {
        kind: TrapKind::Panic,
        message: "boom".to_owned(),
    };
    check(
        &Answer::trapped(&trap),
        &expect![[
            r#"{"status":"FAILED","errorCode":"InternalFailure","message":"trap (panic): boom"}"#
        ]],
    );
}
