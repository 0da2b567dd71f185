//! Attacks by answers: too large, about memory that is not there, off the contract;
//! and traps in every export.

use formwork_host::model::Action;
use formwork_tests::hostile::{Text, data};
use serde_json::json;

use super::attack::{Attack, call, refused};
use super::scene::Scene;

const LIE: &str = "trap (invalid answer): the answer breaks the contract";

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = vec![
        Attack::text(
            "giant-answer",
            "to answer a model of 200 MiB",
            "trap (answer size)",
        )
        .with(|environment| environment.limits.memory_bytes = 256 << 20),
        Attack::guest(
            "large-answer",
            "to answer a little more than an answer may have",
            &["answer 1048576"],
            "trap (answer size): the answer has",
        ),
        Attack::text("long-string", "to answer a text of 4 GiB", LIE),
        Attack::text(
            "string-elsewhere",
            "to answer a text outside of its memory",
            LIE,
        ),
        Attack::text(
            "string-around-the-end",
            "to answer a text that ends, by the arithmetic of 32 bits, before it begins",
            LIE,
        ),
        Attack::text("answer-elsewhere", "to answer outside of its memory", LIE),
        Attack::text(
            "answer-across-the-end",
            "to answer where its memory ends",
            LIE,
        ),
        Attack::text("answer-unaligned", "to answer at an odd address", LIE),
        Attack::text("wrong-case", "to answer a case that there is not", LIE),
        Attack::text("wrong-option", "to answer an option that is neither", LIE),
        Attack::text(
            "wrong-error-code",
            "to fail with a code that there is not",
            LIE,
        ),
        Attack::text("long-list", "to answer half a billion models", LIE).calling(Action::List),
        Attack::text(
            "list-of-nothing",
            "to answer twenty million empty models",
            "trap (answer size)",
        )
        .calling(Action::List)
        .with(|environment| environment.limits.memory_bytes = 256 << 20),
        Attack::text(
            "list-of-the-same",
            "to answer a thousand models that are the same megabyte of its memory",
            "trap (answer size)",
        )
        .calling(Action::List),
        Attack::play(
            "no-text",
            "to answer bytes that are no UTF-8: half a character, an overlong one, a surrogate",
            |scene| Box::pin(no_text(scene)),
            &[],
            "each: trap (invalid answer): the answer breaks the contract",
        ),
        Attack::play(
            "no-object",
            "to answer texts that are no JSON object: deep nesting, numbers without end, two objects",
            |scene| Box::pin(no_object(scene)),
            &[],
            "each: trap (invalid answer): `model` of the answer",
        ),
        Attack::text(
            "room-elsewhere",
            "to give the host room outside of its memory",
            "realloc return: beyond end of memory",
        ),
        Attack::text(
            "room-unaligned",
            "to give the host room at odd addresses",
            "realloc return: result not aligned",
        ),
        Attack::text(
            "room-over-itself",
            "to give the host one room for everything, over its own answer",
            "unexpected discriminant",
        ),
        Attack::text(
            "call-in-realloc",
            "to call the host where the host asks it for room",
            "trap (panic): wasm trap: cannot leave component instance",
        ),
        Attack::text(
            "log-elsewhere",
            "to log what lies outside of its memory",
            "trap (panic): string pointer/length out of bounds of memory",
        ),
        Attack::text(
            "log-wrong-level",
            "to log at a level that there is not",
            "trap (panic): unexpected discriminant: 99",
        ),
        Attack::text(
            "log-no-text",
            "to log bytes that are no UTF-8",
            "trap (panic): invalid utf-8 sequence",
        ),
        Attack::text(
            "trap-in-describe",
            "to trap while it is loaded",
            "refused: cannot describe itself: trap (panic)",
        ),
        Attack::text(
            "trap-in-start",
            "to trap before it is called",
            "refused: cannot describe itself: trap (panic)",
        ),
        Attack::text(
            "trap-in-realloc",
            "to trap where the host asks it for room",
            "trap (panic)",
        ),
        Attack::text(
            "trap-in-post-return",
            "to trap after its answer",
            "trap (panic)",
        ),
        Attack::play(
            "trap-in-actions",
            "to trap in each action: unreachable, a division by zero, an overflow, a call of nothing, an access out of bounds",
            |scene| Box::pin(each_action(scene)),
            &["trap-in-actions"],
            "each: trap (panic)",
        ),
        Attack::guest(
            "exit",
            "to end its process",
            &["exit 0"],
            "trap (panic): the handler exited with status 0",
        ),
        Attack::guest(
            "forged-handle",
            "to use a handle that it was not given",
            &["forge 12345"],
            "trap (panic): unknown handle index 12345",
        ),
        Attack::guest(
            "handle-given-back-twice",
            "to give a handle back twice",
            &["drop-twice"],
            "trap (panic): unknown handle index",
        ),
    ];
    attacks.push(Attack::guest(
        "surroundings",
        "to look at arguments, variables and input that are not its own",
        &["surroundings"],
        r#"found: arguments [] variables [] input Ok(0)"#,
    ));
    attacks.push(Attack::guest(
        "sockets",
        "to reach the network without HTTP",
        &["socket", "look-up localhost"],
        "found: access-denied access-denied, error: permanent-resolver-failure",
    ));
    attacks
}

/// Tells how all of them ended, if that is the same way.
pub(super) fn each(endings: impl IntoIterator<Item = String>) -> String {
    let endings: Vec<String> = endings.into_iter().collect();
    let first = endings.first().cloned().unwrap_or_default();
    let kind = |ending: &str| -> String {
        let words = ending.split(": ").take(2).collect::<Vec<_>>().join(": ");
        words.split(" is ").next().unwrap_or_default().to_owned()
    };
    match endings.iter().find(|ending| kind(ending) != kind(&first)) {
        None => format!("each: {first}"),
        Some(other) => format!("not all the same: {first}, but {other}"),
    }
}

/// Loads a text and calls one action after the other.
async fn each_action(scene: &Scene) -> String {
    let handler = match scene
        .sandbox
        .load(Text::file("trap-in-actions").component())
        .await
    {
        Ok(handler) => handler,
        Err(refusal) => return refused(&refusal),
    };
    let environment = scene.environment();
    let mut endings = Vec::new();
    for action in Action::ALL {
        let ending = call(&handler, action, &json!({}), &environment).await;
        // Each traps in a way of its own.
        let (kind, _) = ending.split_once("): ").unwrap_or((&ending, ""));
        endings.push(format!("{kind})"));
    }
    each(endings)
}

/// Answers each text as a model.
async fn models(scene: &Scene, texts: &[Vec<u8>]) -> String {
    let environment = scene.environment();
    let mut endings = Vec::new();
    for text in texts {
        let length = text.len();
        let module = format!(
            r#"(memory (export "memory") 40)
               {}
               (func (export "create") (param i32) (result i32)
                    (i32.store (i32.const 68) (i32.const 131072))
                    (i32.store (i32.const 72) (i32.const {length}))
                    (i32.const 64))"#,
            data(131_072, text.iter().copied())
        );
        endings.push(
            match scene.sandbox.load(Text::new(module).component()).await {
                Ok(handler) => call(&handler, Action::Create, &json!({}), &environment).await,
                Err(refusal) => refused(&refusal),
            },
        );
    }
    each(endings)
}

async fn no_text(scene: &Scene) -> String {
    let bytes: [&[u8]; 6] = [
        b"\xff",
        b"{\"a\":\"\x80\"}",
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xf4\x90\x80\x80\"}",
        b"{\"a\":\"\xe2\x82",
    ];
    models(scene, &bytes.map(<[u8]>::to_vec)).await
}

async fn no_object(scene: &Scene) -> String {
    let deep = "[".repeat(200_000);
    let texts = [
        String::new(),
        "[]".to_owned(),
        "{}{}".to_owned(),
        "{\"a\":nan}".to_owned(),
        "{\"a\":\"\u{0}\"}".to_owned(),
        format!("{{\"a\":{deep}"),
        format!("{{\"a\":{}", "{\"a\":".repeat(100_000)),
        format!("{{\"a\":1e{}}}", "9".repeat(1_000)),
    ];
    models(scene, &texts.map(String::into_bytes)).await
}

#[test]
fn endings_of_another_kind_are_told() {
    let endings = |second: &str| each(["trap (a): b: c".to_owned(), second.to_owned()]);
    assert_eq!(endings("trap (a): b: d"), "each: trap (a): b: c");
    assert!(endings("answered: {}").starts_with("not all the same"));
}
