//! Real components against the real engine.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::model::{
    Call, Callback, Credentials, HandlerErrorCode, ListRequest, RequestDetails, RequestToken,
    Scope, Timestamp, TrapKind,
};

mod directories;
mod guest;
mod limits;

use guest::{Guest, echo, offset, opening, printing, quote, waiting};

/// The one sandbox of the tests.
static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    let config = SandboxConfig {
        concurrency: 16,
        ..SandboxConfig::new(Compiler::Unbounded)
    };
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

fn directory(path: &Path, writable: bool) -> DirectoryGrant {
    if writable {
        DirectoryGrant::read_write(path)
    } else {
        DirectoryGrant::read_only(path)
    }
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
    let words = "more than 50ms: raise `limits.cpu` of the type";
    assert!(trap.message.contains(words), "{trap}");
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
    let words = "more than its 268435456 bytes of memory: raise `limits.memory` of the type";
    assert!(trap.message.contains(words), "{trap}");
}

#[tokio::test]
async fn an_abort_is_a_panic() {
    let trap = trap(Guest::new()).await;
    assert_eq!(trap.kind, TrapKind::Panic, "{trap}");
    assert!(trap.message.contains("unreachable"), "{trap}");
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_the_remedy() {
    let core = wat::parse_str("(module)").expect("a module");
    let mut cut = Guest::new().build();
    cut.truncate(cut.len() / 2);
    for (bytes, expected) in [
        (Vec::new(), "begins with nothing"),
        (b"#!/bin/sh\n".to_vec(), "begins with `#!/bin/s`"),
        (core, "wasm32-wasip2"),
        (cut, "not a valid component"),
    ] {
        let refusal = refusal(bytes).await.to_string();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[tokio::test]
async fn a_component_over_the_size_limit_is_refused_before_it_is_compiled() {
    let config = SandboxConfig {
        concurrency: 1,
        load: LoadLimits {
            size: 100,
            ..LoadLimits::default()
        },
        ..SandboxConfig::new(Compiler::Unbounded)
    };
    let sandbox = Sandbox::new(&config).expect("a sandbox");
    let refusal = sandbox.load(vec![0; 101]).await.expect_err("too large");
    let words = "101 bytes, more than the limit of 100 bytes: raise `load.size`";
    assert!(refusal.to_string().contains(words), "{refusal}");
}

#[tokio::test]
async fn a_component_of_another_world_is_refused_by_its_exports() {
    for (text, expected) in [
        ("(component)", "exports nothing"),
        (
            r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#,
            "exports `wasi:cli/run@0.2.0`",
        ),
    ] {
        let bytes = wat::parse_str(text).expect("a component");
        let refusal = refusal(bytes).await.to_string();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[tokio::test]
async fn another_version_of_the_contract_is_refused_by_both_names() {
    let refusal = refusal(Guest::new().contract_version("0.2.0").build())
        .await
        .to_string();
    assert!(
        refusal.contains("formwork:handler/resource@0.2.0") && refusal.contains("speaks 0.1.0"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_later_patch_of_the_contract_is_accepted() {
    load(Guest::new().contract_version("0.1.7")).await;
}

#[tokio::test]
async fn unknown_imports_are_refused_by_name() {
    for (package, interface, expected) in [
        (
            "acme:tools@1.0.0",
            "tool",
            "imports `acme:tools/tool@1.0.0`, which this host does not have",
        ),
        (
            "wasi:cli@0.3.0",
            "environment",
            "imports `wasi:cli/environment@0.3.0`: this host has version 0.2",
        ),
    ] {
        let (name, version) = package.split_once('@').expect("a version");
        let full = format!("{name}/{interface}@{version}");
        let guest = Guest::new().imports(
            &format!("package {package}; interface {interface} {{ use-it: func(); }}"),
            &format!("import {full};"),
            &format!(r#"(import "{full}" "use-it" (func))"#),
        );
        let refusal = refusal(guest.build()).await.to_string();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[tokio::test]
async fn a_component_that_cannot_describe_itself_is_refused_with_its_trap() {
    let refusal = refusal(Guest::new().describe("unreachable").build()).await;
    let LoadError::Describe { trap } = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(trap.kind, TrapKind::Panic);
}

#[tokio::test]
async fn every_action_is_called_and_answered() {
    const TEXT: usize = usize::MAX;
    let guest = Guest::new()
        .answers(
            "create",
            &[0, 0, 90, 1, TEXT, 0, 0, 0, 1, TEXT],
            &["{\"n\":1}", "{\"Id\":\"a\"}"],
        )
        .answers("update", &[2, 7, TEXT, 0, 0, 0], &["slow down"])
        .answers("delete", &[1, 1, TEXT], &["gone"])
        .answers("read", &[1, 5, TEXT], &["no such thing"])
        .action(
            "list",
            "(i32.store (i32.const 900) (i32.const 900)) i32.const 320",
        );
    // A page of two models and a token; its list of strings is at 448.
    let mut guest = guest;
    let (a, a_length) = guest.text("{\"Id\":\"a\"}");
    let (token, token_length) = guest.text("next");
    guest.words(448, &[a, a_length, a, a_length]);
    guest.words(320, &[0, 448, 2, 1, token, token_length]);
    let handler = load(guest).await;
    let environment = environment();

    let update = invocation(Call::Update {
        desired_state: object("{}"),
        previous_state: Some(object("{}")),
        callback_context: Some(object("{}")),
    });
    let delete = invocation(Call::Delete {
        state: object("{}"),
        callback_context: None,
    });
    for (invocation, expected) in [
        (
            create("{}"),
            ProgressEvent::InProgress {
                callback: Callback::After(Duration::from_secs(90)),
                callback_context: Some(object("{\"n\":1}")),
                message: None,
                model: Some(object("{\"Id\":\"a\"}")),
            },
        ),
        (
            update,
            ProgressEvent::Failed {
                code: HandlerErrorCode::Throttling,
                message: "slow down".to_owned(),
                model: None,
            },
        ),
        (
            delete,
            ProgressEvent::Success {
                message: Some("gone".to_owned()),
                model: None,
            },
        ),
    ] {
        let outcome = handler.mutate(invocation, &environment).await;
        assert_eq!(outcome.expect("an outcome"), Outcome::Answered(expected));
    }
    let read = invocation(Call::Read {
        identifier: object("{}"),
    });
    assert_eq!(
        handler
            .read(read.clone(), &environment)
            .await
            .expect("an outcome"),
        Outcome::Answered(Err(ReadFailure {
            code: HandlerErrorCode::NotFound,
            message: "no such thing".to_owned(),
        }))
    );
    let list = invocation(Call::List(ListRequest::default()));
    assert_eq!(
        handler.list(list, &environment).await.expect("an outcome"),
        Outcome::Answered(Ok(ListPage {
            models: vec![object("{\"Id\":\"a\"}"); 2],
            next_token: Some("next".to_owned()),
        }))
    );
    let misuse = handler.mutate(read, &environment).await;
    assert!(matches!(misuse, Err(SandboxError::Action { .. })));
}

#[tokio::test]
async fn a_guest_is_given_the_token_and_the_partition() {
    let handler = load(Guest::new().create(quote(offset(Some("client-request-token"))))).await;
    assert_eq!(
        model(&handler, create("{}"), &environment()).await,
        format!("{{\"text\":\"{}\"}}", RequestToken::from_bytes([7; 16]))
    );
    // An option's text follows its discriminant.
    let handler = load(Guest::new().create(quote(offset(Some("partition")) + 4))).await;
    assert_eq!(
        model(&handler, create("{}"), &environment()).await,
        r#"{"text":"aws-cn"}"#
    );
}

#[tokio::test]
async fn credentials_are_given_only_where_they_are_granted() {
    let code = format!(
        "(if (i32.load8_u offset={} (local.get 0)) (then unreachable)) i32.const 64",
        offset(Some("credentials"))
    );
    let handler = load(Guest::new().succeeds("{}").create(code)).await;
    let mut invocation = create("{}");
    invocation.details.credentials = Some(Credentials {
        access_key_id: "AKIA".to_owned(),
        secret_access_key: "s3cr3t".to_owned(),
        session_token: None,
    });
    let mut environment = environment();
    assert_eq!(
        model(&handler, invocation.clone(), &environment).await,
        "{}"
    );
    environment.grants = Arc::new(Grants {
        credentials: true,
        ..Grants::default()
    });
    let outcome = handler.mutate(invocation, &environment).await;
    assert!(matches!(outcome, Ok(Outcome::Trapped(_))), "{outcome:?}");
}

#[tokio::test]
async fn memories_are_fresh_for_each_invocation() {
    let code = "(if (i32.load (i32.const 992)) (then unreachable))
                (i32.store (i32.const 992) (i32.const 1))
                i32.const 64";
    let handler = load(Guest::new().succeeds("{}").create(code)).await;
    for _ in 0..20 {
        assert_eq!(model(&handler, create("{}"), &environment()).await, "{}");
    }
}

#[tokio::test]
async fn an_answer_over_its_limit_is_a_trap_of_its_size() {
    // Far more than one transfer may carry, and a little more than the answer may have.
    for length in [8 << 20, (1 << 20) + 1] {
        let code = format!(
            "(i32.store (i32.const 896) (i32.const 1))
             (i32.store (i32.const 900) (i32.const 131072))
             (i32.store (i32.const 904) (i32.const {length})) i32.const 896"
        );
        let trap = trap(Guest::new().memory("200").create(code)).await;
        assert_eq!(trap.kind, TrapKind::AnswerSize, "{trap}");
        assert!(trap.message.contains("1048576"), "{trap}");
        assert!(
            trap.message.ends_with("raise `limits.answer` of the type"),
            "{trap}"
        );
    }
}

#[tokio::test]
async fn an_answer_off_the_contract_is_a_trap_that_says_so() {
    const TEXT: usize = usize::MAX;
    for (words, text, expected) in [
        (&[1, TEXT, 0, 0, 0][..], "[1]", "`model` of the answer"),
        (&[9, 0, 0, 0, 0], "", "breaks the contract"),
        (&[1, 1 << 30, 10, 0, 0, 0], "", "breaks the contract"),
    ] {
        let trap = trap(Guest::new().answers("create", words, &[text])).await;
        assert_eq!(trap.kind, TrapKind::Answer, "{trap}");
        assert!(trap.message.contains(expected), "{trap}");
    }
    let bytes = "(i32.store8 (i32.const 992) (i32.const 0xff))
                 (i32.store (i32.const 896) (i32.const 1))
                 (i32.store (i32.const 900) (i32.const 992))
                 (i32.store (i32.const 904) (i32.const 1)) i32.const 896";
    let trap = trap(Guest::new().create(bytes)).await;
    assert_eq!(trap.kind, TrapKind::Answer, "{trap}");
}

#[tokio::test]
async fn a_wait_on_the_monotonic_clock_follows_the_engines_clock() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    let mut environment = Environment::new(Arc::clone(&clock) as Arc<dyn Clock>);
    // The clock is moved on before the guest has begun to wait, too.
    environment.limits.mutation_wall = Duration::from_secs(1_000_000_000);
    let handler = load(waiting(60_000_000_000)).await;
    let mut invocation = create("{}");
    invocation.deadline = Timestamp::from_millis(u64::MAX);
    let waits = tokio::spawn(async move { model(&handler, invocation, &environment).await });
    // Moved until the guest has begun to wait and that wait has passed.
    while !waits.is_finished() {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(waits.await.expect("an answer"), "{}");
}

#[tokio::test]
async fn a_wait_costs_no_cpu_budget_and_ends_at_the_deadline() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    let mut environment = Environment::new(Arc::clone(&clock) as Arc<dyn Clock>);
    environment.limits.cpu = Duration::from_millis(250);
    let handler = load(waiting(u64::MAX / 2)).await;
    let mut invocation = create("{}");
    invocation.deadline = Timestamp::from_millis(2_000);
    environment.limits.mutation_wall = Duration::from_millis(500);
    let outcome = handler.mutate(invocation.clone(), &environment).await;
    let Ok(Outcome::Trapped(trap)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(trap.kind, TrapKind::Wall, "{trap}");
    let words = "within 500ms: raise `limits.mutation_wall` of the type";
    assert!(trap.message.contains(words), "{trap}");

    environment.limits.mutation_wall = Duration::from_secs(60);
    let waits = tokio::spawn(async move { handler.mutate(invocation, &environment).await });
    while !waits.is_finished() {
        clock.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    let outcome = waits.await.expect("an outcome");
    let Ok(Outcome::Trapped(trap)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(trap.message.contains("deadline"), "{trap}");
}

#[tokio::test]
async fn when_all_slots_are_taken_invocations_queue() {
    let handler = load(Guest::new().succeeds("{}")).await;
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let handler = handler.clone();
            tokio::spawn(async move { model(&handler, create("{}"), &environment()).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("an answer"), "{}");
    }
}

#[tokio::test]
async fn looping_guests_do_not_keep_others_from_running() {
    let looping = load(Guest::new().create("(loop br 0) unreachable")).await;
    let quick = load(Guest::new().succeeds("{}")).await;
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let looping = looping.clone();
            tokio::spawn(async move { looping.mutate(create("{}"), &environment()).await })
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(model(&quick, create("{}"), &environment()).await, "{}");
    }
    assert!(loops.iter().all(|task| !task.is_finished()));
    for task in loops {
        task.abort();
    }
}

#[tokio::test]
async fn a_sandbox_can_be_dropped_within_async_code() {
    let config = SandboxConfig {
        concurrency: 1,
        ..SandboxConfig::new(Compiler::Unbounded)
    };
    let sandbox = Sandbox::new(&config).expect("a sandbox");
    let handler = sandbox
        .load(Guest::new().create("(loop br 0) unreachable").build())
        .await
        .expect("a handler");
    drop(sandbox);
    let environment = environment();
    let call = handler.mutate(create("{}"), &environment);
    tokio::select! {
        biased;
        outcome = call => panic!("{outcome:?}"),
        () = tokio::task::yield_now() => {}
    }
    drop(handler);
}

#[tokio::test]
async fn a_second_load_takes_the_component_from_the_cache() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = SandboxConfig {
        concurrency: 1,
        cache_dir: Some(directory.path().join("cache")),
        ..SandboxConfig::new(Compiler::Unbounded)
    };
    let bytes = Guest::new().succeeds("{}").build();
    for _ in 0..2 {
        let sandbox = Sandbox::new(&config).expect("a sandbox");
        let handler = sandbox.load(bytes.clone()).await.expect("a handler");
        assert_eq!(handler.digest(), Digest::of(&bytes));
        assert_eq!(model(&handler, create("{}"), &environment()).await, "{}");
    }
    let files = std::fs::read_dir(directory.path().join("cache"))
        .expect("a directory")
        .count();
    assert_eq!(files, 2, "an artefact and its digest");
}

#[tokio::test]
async fn a_granted_directory_that_is_missing_is_the_hosts_error() {
    let handler = load(Guest::new().succeeds("{}")).await;
    let mut environment = environment();
    environment.grants = Arc::new(Grants {
        directories: vec![DirectoryGrant::read_only("/nowhere/at-all")],
        ..Grants::default()
    });
    let error = handler
        .mutate(create("{}"), &environment)
        .await
        .expect_err("no directory");
    assert!(error.to_string().contains("`/nowhere/at-all`"), "{error}");
}

#[tokio::test]
async fn a_guest_opens_what_is_granted_and_nothing_outside_of_it() {
    let parent = tempfile::tempdir().expect("a directory");
    let granted = parent.path().join("granted");
    std::fs::create_dir(&granted).expect("a directory");
    std::fs::write(granted.join("in"), "inside").expect("a file");
    std::fs::write(parent.path().join("secret"), "outside").expect("a file");
    std::os::unix::fs::symlink("../secret", granted.join("out")).expect("a link");
    std::os::unix::fs::symlink("/etc/hostname", granted.join("absolute")).expect("a link");
    std::os::unix::fs::symlink("in", granted.join("link")).expect("a link");
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    for (path, flags, writable, opened) in [
        ("in", READ, false, true),
        ("link", READ, false, true),
        ("out", READ, false, false),
        ("out", READ, true, false),
        ("absolute", READ, true, false),
        ("../secret", READ, true, false),
        ("in", WRITE, false, false),
        ("in", WRITE, true, true),
    ] {
        let handler = load(opening(path, flags)).await;
        let mut environment = environment();
        environment.grants = Arc::new(Grants {
            directories: vec![directory(&granted, writable)],
            ..Grants::default()
        });
        let outcome = handler.mutate(create("{}"), &environment).await;
        let succeeded = match outcome {
            Ok(Outcome::Answered(ProgressEvent::Success { .. })) => true,
            Ok(Outcome::Answered(ProgressEvent::Failed { .. })) => false,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(
            succeeded, opened,
            "{path} flags {flags} writable {writable}"
        );
    }
}

#[tokio::test]
async fn a_grant_that_overlaps_the_cache_is_refused_and_no_trap() {
    let base = tempfile::tempdir().expect("a directory");
    let config = SandboxConfig {
        cache_dir: Some(base.path().join("granted/cache")),
        concurrency: 1,
        ..SandboxConfig::new(Compiler::Unbounded)
    };
    let sandbox = Sandbox::new(&config).expect("a sandbox");
    let handler = sandbox.load(Guest::new().build()).await.expect("a handler");
    for (name, writable) in [("granted", true), ("granted/cache", false)] {
        let mut environment = environment();
        environment.grants = Arc::new(Grants {
            directories: vec![directory(&base.path().join(name), writable)],
            ..Grants::default()
        });
        let refusals = [
            handler.mutate(create("{}"), &environment).await.map(drop),
            sandbox.check_grants(&environment.grants),
        ];
        for refusal in refusals {
            assert!(
                matches!(refusal, Err(SandboxError::DirectoryCache { .. })),
                "{name}: {refusal:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_last_words_of_a_guest_are_in_its_trap() {
    for (said, message) in [
        (
            "key: hunter2\n\nthread 'main' (1) panicked at src/lib.rs:7:5:\nboom\n",
            "panicked at src/lib.rs:7:5: boom",
        ),
        (
            "key: hunter2\n",
            "wasm trap: wasm `unreachable` instruction executed",
        ),
    ] {
        let trap = trap(printing(said).create("(call $print) unreachable")).await;
        assert_eq!(
            (trap.kind, trap.message.as_str()),
            (TrapKind::Panic, message)
        );
    }
}

#[tokio::test]
async fn a_guest_that_overflows_the_stack_in_its_memory_is_a_stack_trap() {
    let guest = Guest::new()
        .items(
            "(global $stack (mut i32) (i32.const 16384))
             (func $deeper (result i32)
                (global.set $stack (i32.sub (global.get $stack) (i32.const 64)))
                (i32.store (global.get $stack) (i32.const 1))
                (i32.add (i32.const 1) (call $deeper)))",
        )
        .create("call $deeper");
    let trap = trap(guest).await;
    assert_eq!(trap.kind, TrapKind::Stack, "{trap}");
}

#[tokio::test]
async fn an_access_out_of_bounds_is_a_panic() {
    let trap = trap(Guest::new().create("(i32.load (i32.const -4))")).await;
    assert_eq!(trap.kind, TrapKind::Panic, "{trap}");
}
