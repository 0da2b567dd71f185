//! Real components against the real engine.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::model::{
    Call, Callback, Credentials, HandlerErrorCode, ListRequest, RequestDetails, RequestToken,
    Scope, Timestamp, TrapKind,
};

mod guest;

use guest::{Guest, echo, offset};

/// The one sandbox of the tests.
static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    let mut config = SandboxConfig::default();
    config.concurrency = 16;
    Sandbox::new(&config).expect("a sandbox")
});

fn object(text: &str) -> JsonObject {
    JsonObject::parse(text).expect("an object")
}

fn invocation(call: Call) -> Invocation {
    let now = SystemClock::new().now();
    Invocation {
        token: RequestToken::from_bytes([7; 16]),
        type_name: "Acme::Test::Thing".parse().expect("a type name"),
        scope: Scope {
            account: Some("123456789012".parse().expect("an account")),
            region: Some("cn-north-1".parse().expect("a region")),
        },
        start_time: now,
        deadline: now.after(Duration::from_secs(7200)),
        invocation: 1,
        attempt: 1,
        details: RequestDetails::default(),
        call,
    }
}

fn create(desired_state: &str) -> Invocation {
    invocation(Call::Create {
        desired_state: object(desired_state),
        callback_context: None,
    })
}

fn environment() -> Environment {
    Environment::new(Arc::new(SystemClock::new()))
}

async fn load(guest: Guest) -> Handler {
    SANDBOX.load(guest.build()).await.expect("a handler")
}

async fn refusal(bytes: Vec<u8>) -> LoadError {
    SANDBOX.load(bytes).await.map(drop).expect_err("a refusal")
}

/// Calls create and gives the trap.
async fn trap_with(guest: Guest, environment: &Environment) -> Trap {
    let handler = load(guest).await;
    match handler.mutate(create("{}"), environment).await {
        Ok(Outcome::Trapped(trap)) => trap,
        other => panic!("no trap: {other:?}"),
    }
}

async fn trap(guest: Guest) -> Trap {
    trap_with(guest, &environment()).await
}

/// Calls create and gives the model of its success.
async fn model(handler: &Handler, invocation: Invocation, environment: &Environment) -> String {
    match handler.mutate(invocation, environment).await {
        Ok(Outcome::Answered(ProgressEvent::Success {
            model: Some(model), ..
        })) => model.as_str().to_owned(),
        other => panic!("no success: {other:?}"),
    }
}

#[tokio::test]
async fn a_create_gives_the_desired_state_and_takes_the_model() {
    let handler = load(Guest::new().create(echo(offset(None)))).await;
    let state = r#"{"Name":"a","Size":3}"#;
    assert_eq!(model(&handler, create(state), &environment()).await, state);
    assert_eq!(
        handler.description().schema,
        r#"{"typeName":"Acme::Test::Thing"}"#
    );
    assert_eq!(
        handler.imports(),
        [
            "formwork:handler/logging@0.1.0",
            "formwork:handler/types@0.1.0"
        ]
    );
}

#[tokio::test]
async fn a_looping_guest_is_cut_at_its_cpu_budget() {
    let mut environment = environment();
    environment.limits.cpu = Duration::from_millis(50);
    let trap = trap_with(Guest::new().create("(loop br 0) unreachable"), &environment).await;
    assert_eq!(trap.kind, TrapKind::Cpu, "{trap}");
    assert!(trap.message.contains("50ms"), "{trap}");
}

#[tokio::test]
async fn a_looping_guest_is_cut_at_its_wall_limit_also_under_a_manual_clock() {
    let mut environment = Environment::new(Arc::new(ManualClock::new(Timestamp::from_millis(0))));
    environment.limits.mutation_wall = Duration::from_millis(50);
    let trap = trap_with(Guest::new().create("(loop br 0) unreachable"), &environment).await;
    assert_eq!(trap.kind, TrapKind::Wall, "{trap}");
}

#[tokio::test]
async fn endless_recursion_is_a_stack_trap() {
    let guest = Guest::new()
        .items("(func $deeper (result i32) (i32.add (i32.const 1) (call $deeper)))")
        .create("call $deeper");
    let trap = trap(guest).await;
    assert_eq!(trap.kind, TrapKind::Stack, "{trap}");
}

#[tokio::test]
async fn a_guest_that_needs_more_memory_than_it_may_have_is_a_memory_trap() {
    let grows = "(if (i32.eq (memory.grow (i32.const 8192)) (i32.const -1)) (then unreachable))
                 i32.const 0";
    let trap = trap(Guest::new().create(grows)).await;
    assert_eq!(trap.kind, TrapKind::Memory, "{trap}");
    assert!(trap.message.contains("268435456 bytes"), "{trap}");
}

#[tokio::test]
async fn an_abort_is_a_panic() {
    let trap = trap(Guest::new()).await;
    assert_eq!(trap.kind, TrapKind::Panic, "{trap}");
    assert!(trap.message.contains("unreachable"), "{trap}");
}
