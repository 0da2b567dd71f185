//! Guests that go over a limit, each told which one, and what is counted when a
//! component is loaded.

use super::guest::instances;
use super::*;

/// Calls create, and holds its trap to a kind and to its last words.
async fn over(guest: Guest, environment: &Environment, kind: TrapKind, words: &str) {
    let trap = trap_with(guest, environment).await;
    assert_eq!(trap.kind, kind, "{trap}");
    assert!(trap.message.contains(words), "{words}: {trap}");
}

#[tokio::test]
async fn a_guest_with_too_many_table_elements_is_told_the_limit() {
    let guest = Guest::new().items("(table $t 1 funcref)").create(
        "(loop
                (br_if 0 (i32.ne (i32.const -1)
                    (table.grow $t (ref.null func) (i32.const 1000)))))
             unreachable",
    );
    let words = "more than its 20000 table elements: raise `limits.table_elements` of the type";
    let mut environment = environment();
    environment.limits.table_elements = 20_000;
    over(guest, &environment, TrapKind::Memory, words).await;
}

#[tokio::test]
async fn one_table_may_have_all_the_elements_that_the_limit_allows() {
    let guest = |elements: usize| {
        Guest::new()
            .items("(table $t 0 funcref)")
            .succeeds("{}")
            .create(format!(
                "(if (i32.ne (i32.const 0) (table.grow $t (ref.null func) (i32.const {elements})))
                    (then unreachable))
                 i32.const 64"
            ))
    };
    let mut environment = environment();
    for elements in [environment.limits.table_elements, 1_000_000] {
        environment.limits.table_elements = elements;
        // What connects the parts of a component is in tables too.
        let handler = load(guest(elements - 100)).await;
        assert_eq!(model(&handler, create("{}"), &environment).await, "{}");
        let words = "raise `limits.table_elements` of the type";
        over(guest(elements + 1), &environment, TrapKind::Memory, words).await;
    }
}

#[tokio::test]
async fn a_table_that_a_guest_itself_has_declared_to_be_small_is_no_limit_of_ours() {
    let guest = Guest::new()
        .items("(table $t 1 10 funcref)")
        .create("(drop (table.grow $t (ref.null func) (i32.const 10))) unreachable");
    let trap = trap(guest).await;
    assert_eq!(trap.kind, TrapKind::Panic, "{trap}");
}

#[tokio::test]
async fn a_guest_with_too_many_instances_is_told_the_limit() {
    let mut environment = environment();
    environment.limits.instances = 1;
    let guest = instances(Guest::new().succeeds("{}").build(), "(module)", 1);
    let handler = SANDBOX.load(guest).await.expect("a handler");
    let outcome = handler.mutate(create("{}"), &environment).await;
    let Ok(Outcome::Trapped(trap)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(trap.kind, TrapKind::Limit, "{trap}");
    let words = "more than its 1 core instances: raise `limits.instances` of the type";
    assert!(trap.message.contains(words), "{trap}");
}

#[tokio::test]
async fn a_guest_with_too_many_handles_is_told_the_limit() {
    let words = "more than its 100 open handles: raise `limits.handles` of the type";
    let mut environment = environment();
    environment.limits.handles = 100;
    let hosts = waiting(0).create("(loop (drop (call $subscribe (i64.const 0))) br 0) unreachable");
    let own = Guest::new()
        .world(
            "export things: interface { resource thing; }",
            r#"(import "[export]things" "[resource-new]thing" (func $new (param i32) (result i32)))"#,
        )
        .create("(loop (drop (call $new (i32.const 0))) br 0) unreachable");
    for guest in [hosts, own] {
        over(guest, &environment, TrapKind::Limit, words).await;
    }
}

#[tokio::test]
async fn a_call_that_carries_too_much_into_the_host_is_told_the_limit() {
    let guest = Guest::new()
        .memory("100")
        .create("(call $log (i32.const 0) (i32.const 0) (i32.const 5000000)) unreachable");
    let words = "more than its 4194304 bytes: raise `limits.transfer` of the type";
    over(guest, &environment(), TrapKind::Limit, words).await;
}

#[tokio::test]
async fn randomness_is_counted_over_all_calls() {
    let random = |create: &str| {
        Guest::new()
            .imports(
                "package wasi:random@0.2.6;
                 interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                    get-random-u64: func() -> u64;
                 }
                 interface insecure {
                    get-insecure-random-bytes: func(len: u64) -> list<u8>;
                    get-insecure-random-u64: func() -> u64;
                 }",
                "import wasi:random/random@0.2.6; import wasi:random/insecure@0.2.6;",
                r#"(import "wasi:random/random@0.2.6" "get-random-bytes" (func $bytes (param i64 i32)))
                   (import "wasi:random/random@0.2.6" "get-random-u64" (func $u64 (result i64)))
                   (import "wasi:random/insecure@0.2.6" "get-insecure-random-bytes"
                        (func $insecure_bytes (param i64 i32)))
                   (import "wasi:random/insecure@0.2.6" "get-insecure-random-u64"
                        (func $insecure_u64 (result i64)))"#,
            )
            .succeeds("{}")
            .create(create)
    };
    let mut environment = environment();
    environment.limits.random_bytes = 1_000;
    let handler = load(random(
        "(call $bytes (i64.const 1000) (i32.const 912)) i32.const 64",
    ))
    .await;
    for _ in 0..2 {
        assert_eq!(model(&handler, create("{}"), &environment).await, "{}");
    }
    let words = "more than its 1000 bytes of randomness: raise `limits.random` of the type";
    for call in [
        "(call $bytes (i64.const 400) (i32.const 912))",
        "(call $insecure_bytes (i64.const 400) (i32.const 912))",
        "(call $bytes (i64.const -1) (i32.const 912))",
        "(drop (call $u64))",
        "(drop (call $insecure_u64))",
    ] {
        let guest = random(&format!("(loop {call} br 0) unreachable"));
        over(guest, &environment, TrapKind::Limit, words).await;
    }
}

#[tokio::test]
async fn a_component_that_loops_when_it_is_loaded_is_refused_with_the_setting() {
    let config = SandboxConfig {
        concurrency: 1,
        load: LoadLimits {
            describe_cpu: Duration::from_millis(50),
            ..LoadLimits::default()
        },
        ..SandboxConfig::new(Compiler::Unbounded)
    };
    let sandbox = Sandbox::new(&config).expect("a sandbox");
    let guest = Guest::new().describe("(loop br 0) unreachable").build();
    let refusal = sandbox.load(guest).await.map(drop).expect_err("it loops");
    let words = "more than 50ms: raise `load.describe_cpu`";
    assert!(refusal.to_string().contains(words), "{refusal}");
}

#[tokio::test]
async fn a_component_describes_itself_within_the_limits_of_its_type() {
    let guest = || Guest::new().memory("6000").build();
    let refusal = refusal(guest()).await.to_string();
    assert!(refusal.contains("raise `limits.memory`"), "{refusal}");
    let limits = Limits {
        memory_bytes: 512 << 20,
        ..Limits::default()
    };
    SANDBOX
        .load_within(guest(), &limits)
        .await
        .expect("it has enough");
}

#[tokio::test]
async fn what_a_component_has_too_much_of_is_said_before_it_is_compiled() {
    let own = || Guest::new().build();
    for (component, words) in [
        (
            instances(own(), "(module)", 128),
            "core instances, more than the limit of 128: raise `load.instances`",
        ),
        (
            instances(own(), "(module (memory 1))", 4),
            "the component has 5 memories, more than the limit of 4: raise `load.memories`",
        ),
        (
            instances(own(), "(module (table 1 funcref) (table 1 funcref))", 8),
            "tables, more than the limit of 16: raise `load.tables`",
        ),
    ] {
        let refusal = refusal(component).await.to_string();
        assert!(refusal.contains(words), "{words}: {refusal}");
    }
}

#[tokio::test]
async fn saturation_queues_also_where_each_invocation_takes_all_that_a_slot_has() {
    let limits = LoadLimits::default();
    let config = SandboxConfig {
        concurrency: 2,
        ..SandboxConfig::new(Compiler::Unbounded)
    };
    let sandbox = Sandbox::new(&config).expect("a sandbox");
    let mut component = Guest::new().succeeds("{}").build();
    let survey = |component: &[u8]| {
        let surveyed = survey::survey(component, limits, Limits::default());
        surveyed.expect("a survey").survey
    };
    let base = survey(&component);
    for (module, count) in [
        ("(module (memory 1))", limits.memories - base.memories),
        ("(module (table 1 funcref))", limits.tables - base.tables),
    ] {
        component = instances(component, module, count);
    }
    let full = survey(&component);
    component = instances(component, "(module)", limits.instances - full.instances);
    let handler = sandbox.load(component).await.expect("a handler");
    let survey = handler.survey();
    assert_eq!(
        (survey.instances, survey.memories, survey.tables),
        (limits.instances, limits.memories, limits.tables)
    );
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let handler = handler.clone();
            tokio::spawn(async move { model(&handler, create("{}"), &environment()).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("an answer"), "{}");
    }
}
