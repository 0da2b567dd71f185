//! What the sandbox adds to a call: the same component, once through
//! `Handler::mutate`, once through a bare loop on the engine with the same
//! settings, which checks no answer and bounds nothing but CPU time.
//!
//! The aim is a ratio of at most 1.25 with many calls in flight, which is what
//! a call costs. One call at a time is what a call takes: it waits besides for a
//! thread for guests to wake up and for its own to wake up again, as the row
//! `bare, on another thread` does.
//!
//! Needs `target/guests/scripted-guest.wasm`: `make guests` builds it.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use formwork_host::clock::{Clock, SystemClock};
use formwork_host::model::{Call, Invocation, JsonObject, RequestDetails, RequestToken, Scope};
use formwork_host::sandbox::{Compiler, Environment, Outcome, Sandbox, SandboxConfig};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const IN_FLIGHT: usize = 32;

fn invocation() -> Invocation {
    let filler = "x".repeat(1000);
    let now = SystemClock::new().now();
    Invocation {
        token: RequestToken::random(),
        type_name: "Acme::Bench::Thing".parse().expect("a type name"),
        scope: Scope::default(),
        start_time: now,
        deadline: now.after(Duration::from_secs(36_000)),
        invocation: 1,
        attempt: 1,
        details: RequestDetails::default(),
        call: Call::Create {
            desired_state: JsonObject::parse(format!(r#"{{"Name":"a","Note":"{filler}"}}"#))
                .expect("an object"),
            callback_context: None,
        },
    }
}

/// Calls `once` as often as there are to be calls in flight.
async fn in_flight<F>(once: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        calls.spawn(once());
    }
    while let Some(call) = calls.join_next().await {
        call.expect("a call");
    }
}

fn compare(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests/scripted-guest.wasm");
    let component = std::fs::read(&path).expect("target/guests/scripted-guest.wasm is built");
    let runtime = Runtime::new().expect("a runtime");
    let bare = Arc::new(bare::Bare::new(&component));
    let sandbox = Sandbox::new(&SandboxConfig::new(Compiler::Unbounded)).expect("a sandbox");
    let handler = runtime
        .block_on(sandbox.load(component))
        .expect("a handler");
    let environment = Environment::new(Arc::new(SystemClock::new()));
    let invocation = Arc::new(invocation());
    let mutate = || {
        let (handler, environment) = (handler.clone(), environment.clone());
        let invocation = Arc::clone(&invocation);
        async move {
            let outcome = handler.mutate(invocation, &environment).await;
            assert!(matches!(outcome, Ok(Outcome::Answered(_))), "{outcome:?}");
        }
    };
    let call = || {
        let (bare, invocation) = (Arc::clone(&bare), Arc::clone(&invocation));
        async move { bare.call(&invocation).await }
    };

    let guests = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("one at a time");
    group.bench_function("bare", |bencher| bencher.to_async(&runtime).iter(call));
    group.bench_function("bare, on another thread", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { guests.spawn(call()).await.expect("a call") });
    });
    group.bench_function("sandbox", |bencher| bencher.to_async(&runtime).iter(mutate));
    group.finish();
    let mut group = criterion.benchmark_group("32 in flight");
    group.bench_function("bare", |bencher| {
        bencher.to_async(&runtime).iter(|| in_flight(call));
    });
    group.bench_function("sandbox", |bencher| {
        bencher.to_async(&runtime).iter(|| in_flight(mutate));
    });
    group.finish();
}

criterion_group!(benches, compare);
criterion_main!(benches);

/// The loop to compare with.
mod bare {
    use std::time::Duration;

    use formwork_host::model::{Call, Invocation};
    use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
    use wasmtime::{
        Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
        UpdateDeadline, WasmBacktraceDetails,
    };
    use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

    mod bindings {
        wasmtime::component::bindgen!({
            path: "wit",
            world: "resource-type",
            ownership: Borrowing { duplicate_if_necessary: true },
            exports: { default: async },
        });
    }

    use bindings::ResourceTypePre;
    use bindings::formwork::handler::{logging, types};

    pub(crate) struct Bare(ResourceTypePre<State>);

    struct State {
        wasi: WasiCtx,
        table: ResourceTable,
    }

    impl WasiView for State {
        fn ctx(&mut self) -> WasiCtxView<'_> {
            WasiCtxView {
                ctx: &mut self.wasi,
                table: &mut self.table,
            }
        }
    }

    impl logging::Host for State {
        fn log(&mut self, _level: logging::Level, _message: String) {}
    }

    /// The settings of the sandbox.
    fn engine() -> Engine {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(256)
            .total_stacks(256)
            .total_core_instances(256 * 128)
            .total_memories(256 * 4)
            .total_tables(256 * 16)
            .max_component_instance_size(10 << 20)
            .max_core_instance_size(10 << 20)
            .max_memory_size(1 << 30)
            .table_elements(100_000)
            .async_stack_keep_resident(64 << 10);
        pool.pagemap_scan(Enabled::No);
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .max_wasm_stack(512 << 10)
            .async_stack_size(2 << 20)
            .async_stack_zeroing(true)
            .wasm_backtrace_details(WasmBacktraceDetails::Disable)
            .gc_support(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Engine::new(&config).expect("an engine")
    }

    impl Bare {
        pub(crate) fn new(component: &[u8]) -> Self {
            let engine = engine();
            let ticked = engine.weak();
            std::thread::spawn(move || {
                while let Some(engine) = ticked.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let mut linker = Linker::new(&engine);
            wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI");
            logging::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)
                .expect("the contract");
            let component = Component::from_binary(&engine, component).expect("a component");
            let component = linker
                .instantiate_pre(&component)
                .and_then(ResourceTypePre::new)
                .expect("a handler");
            Self(component)
        }

        pub(crate) async fn call(&self, invocation: &Invocation) {
            let state = State {
                wasi: WasiCtx::builder().build(),
                table: ResourceTable::new(),
            };
            let mut store = Store::new(self.0.engine(), state);
            store.set_epoch_deadline(1);
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
            let instance = self
                .0
                .instantiate_async(&mut store)
                .await
                .expect("an instance");
            let Call::Create { desired_state, .. } = &invocation.call else {
                panic!("a create is measured");
            };
            let token = invocation.token.to_string();
            let request = types::Request {
                client_request_token: &token,
                type_name: invocation.type_name.as_str(),
                start_time: invocation.start_time.as_millis(),
                deadline: invocation.deadline.as_millis(),
                invocation: 1,
                attempt: 1,
                region: None,
                account_id: None,
                partition: None,
                stack_id: None,
                logical_resource_id: None,
                desired_tags: &[],
                previous_tags: &[],
                system_tags: &[],
                previous_system_tags: &[],
                type_configuration: None,
                credentials: None,
                snapshot_requested: None,
                rollback: None,
                driftable: None,
                features: None,
                update_policy: None,
                creation_policy: None,
            };
            let event = instance
                .formwork_handler_resource()
                .call_create(&mut store, request, desired_state.as_str(), None)
                .await
                .expect("an answer");
            assert!(
                matches!(event, types::ProgressEvent::Success(_)),
                "{event:?}"
            );
        }
    }
}
