//! Attacks on the engine: ends at the worst moment, floods, hostile schemas.

use std::sync::Arc;
use std::time::{Duration, Instant};

use formwork_host::clock::ManualClock;
use formwork_host::engine::{Engine, Request};
use formwork_host::model::TypeName;
use formwork_host::registry::TypeSettings;
use formwork_tests::guests;
use formwork_tests::hostile::Text;
use formwork_tests::stage::{START, object};
use serde_json::json;

use super::attack::Attack;
use super::scene::Scene;

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::play(
            "answer-at-the-deadline",
            "to answer at the very moment at which its time ends, 50 times",
            |scene| Box::pin(at_the_deadline(scene)),
            &[],
            "50 of 50 ended once",
        ),
        Attack::play(
            "flood-of-loops",
            "to keep all slots with operations that compute for ever, while another type works",
            |scene| Box::pin(flood(scene)),
            &[],
            "the other type works",
        ),
        Attack::play(
            "pattern-without-end",
            "to have its schema check a text by a pattern that backtracks for ever",
            |scene| Box::pin(pattern(scene)),
            &[],
            "accepted or refused in time",
        ),
    ]
}

/// Has operations answer when their wall limit passes.
async fn at_the_deadline(scene: &Scene) -> String {
    const OPERATIONS: usize = 50;
    let clock = Arc::new(ManualClock::new(START));
    let engine = Engine::builder(scene.sandbox.clone())
        .clock(Arc::clone(&clock) as _)
        .start();
    let component = guests::component("scripted-guest");
    if let Err(error) = engine.load(component, TypeSettings::default()).await {
        return format!("not loaded: {error}");
    }
    let type_name: TypeName = "Formwork::Tests::Scripted".parse().expect("a type name");
    let mut handles = Vec::new();
    for number in 0..OPERATIONS {
        // As long as the limit of an invocation, by the same clock.
        let state = json!({"Name": format!("n{number}"), "Script": ["sleep:60000 & success"]});
        let request = Request::create(type_name.clone(), object(&state));
        handles.push(engine.submit(request).await.expect("it is accepted"));
    }
    // Moved until all have ended, whichever way.
    while let Some(next) = engine.idle().await {
        clock.set(next);
    }
    let mut once = 0;
    for handle in &handles {
        let events = engine.store().events(handle.token(), 0).await;
        let events = events.expect("the store reads");
        let ends = events.iter().filter(|it| it.status.is_terminal()).count();
        let last = events.last().is_some_and(|it| it.status.is_terminal());
        once += usize::from(ends == 1 && last);
    }
    format!("{once} of {OPERATIONS} ended once")
}

/// Has one type loop in all the slots that it gets.
async fn flood(scene: &Scene) -> String {
    let engine = Engine::builder(scene.sandbox.clone()).start();
    let mut settings = TypeSettings::default();
    settings.limits.cpu = Duration::from_millis(100);
    settings.policy.attempts = 1;
    for (guest, settings) in [
        ("hostile-guest", settings),
        ("scripted-guest", TypeSettings::default()),
    ] {
        if let Err(error) = engine.load(guests::component(guest), settings).await {
            return format!("not loaded: {error}");
        }
    }
    let submit = async |type_name: &str, state| {
        let type_name: TypeName = type_name.parse().expect("a type name");
        let request = Request::create(type_name, object(&state));
        engine.submit(request).await.expect("it is accepted")
    };
    for number in 0..20 {
        let state = json!({"Name": format!("n{number}"), "Do": ["loop"]});
        submit("Formwork::Tests::Hostile", state).await;
    }
    let state = json!({"Name": "other", "Script": ["success"]});
    let other = submit("Formwork::Tests::Scripted", state).await;
    match other.outcome().await {
        Ok(ended) => format!(
            "the other type works: {:?} {:?}",
            ended.status, ended.message
        ),
        Err(error) => format!("{error}"),
    }
}

/// Checks a text by a pattern that a handler has chosen.
async fn pattern(scene: &Scene) -> String {
    const SOON: Duration = Duration::from_secs(5);
    const SCHEMA: &str = r#"{"typeName":"Formwork::Tests::Text","description":"A text.","properties":{"Name":{"type":"string","pattern":"^(([a-z])+.)+[A-Z]([a-z])+$"},"Other":{"type":"string","pattern":"^(a|aa)+$"}},"primaryIdentifier":["/properties/Name"],"additionalProperties":false,"handlers":{"create":{"permissions":[]}}}"#;
    let engine = Engine::builder(scene.sandbox.clone()).start();
    let component = Text::new("").schema(SCHEMA).component();
    let begun = Instant::now();
    if let Err(error) = engine.load(component, TypeSettings::default()).await {
        return format!("not loaded: {error}");
    }
    let text = "a".repeat(50_000);
    let state = json!({"Name": text, "Other": format!("{text}!")});
    let type_name: TypeName = "Formwork::Tests::Text".parse().expect("a type name");
    let accepted = engine
        .submit(Request::create(type_name, object(&state)))
        .await
        .map(drop);
    let took = begun.elapsed();
    if took < SOON {
        "accepted or refused in time".to_owned()
    } else {
        format!("{accepted:?} after {took:?}")
    }
}
