//! The engine: its settings and its ticks.
//!
//! Every setting has one of three reasons: speed of a fresh instance, bounds
//! on what a guest can take, and a smaller surface for attacks (features that
//! no guest toolchain needs are off).

use std::thread;
use std::time::Duration;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails, WasmFeatures,
};

use super::{LoadLimits, SandboxConfig, SandboxError};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The stack that WebAssembly may use, and the whole of a guest's stack, host
/// calls included.
const WASM_STACK: usize = 512 * KIB;
const WHOLE_STACK: usize = 2 * MIB;

/// Builds the engine, with a pool of slots where the address space allows it.
pub(super) fn engine(settings: &SandboxConfig) -> Result<Engine, SandboxError> {
    let mut config = common();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
    Engine::new(&config)
        .or_else(|reason| {
            tracing::warn!(
                concurrency = settings.concurrency,
                reason = format!("{reason:#}"),
                "no room for a pool of sandboxes, so each invocation allocates its own; \
                 invocations will be slower: lower the concurrency or raise the limit on \
                 address space"
            );
            Engine::new(&common())
        })
        .map_err(|source| SandboxError::Engine {
            source: source.into(),
        })
}

/// Builds an engine that compiles for [`engine`] and runs nothing.
pub(super) fn for_compilation() -> wasmtime::Result<Engine> {
    Engine::new(&common())
}

/// The settings apart from the allocation of instances.
fn common() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .consume_fuel(false)
        .concurrency_support(false)
        .memory_init_cow(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(WHOLE_STACK)
        .async_stack_zeroing(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .gc_support(false)
        .shared_memory(false)
        .wasm_features(
            WasmFeatures::GC
                | WasmFeatures::EXCEPTIONS
                | WasmFeatures::FUNCTION_REFERENCES
                | WasmFeatures::MEMORY64
                | WasmFeatures::MULTI_MEMORY
                | WasmFeatures::THREADS
                | WasmFeatures::TAIL_CALL
                | WasmFeatures::RELAXED_SIMD
                | WasmFeatures::WIDE_ARITHMETIC
                | WasmFeatures::STACK_SWITCHING
                | WasmFeatures::SHARED_EVERYTHING_THREADS
                | WasmFeatures::CUSTOM_PAGE_SIZES
                | WasmFeatures::LEGACY_EXCEPTIONS
                | WasmFeatures::MEMORY_CONTROL
                | WasmFeatures::CM_ASYNC
                | WasmFeatures::CM_ASYNC_STACKFUL
                | WasmFeatures::CM_MORE_ASYNC_BUILTINS
                | WasmFeatures::CM_THREADING
                | WasmFeatures::CM_ERROR_CONTEXT
                | WasmFeatures::CM_FIXED_LENGTH_LISTS
                | WasmFeatures::CM_GC
                | WasmFeatures::CM_MAP
                | WasmFeatures::CM_NESTED_NAMES
                | WasmFeatures::CM_VALUES
                | WasmFeatures::CM_IMPLEMENTS,
            false,
        );
    config
}

fn pool(settings: &SandboxConfig) -> PoolingAllocationConfig {
    let slots = settings.concurrency.max(1);
    let LoadLimits {
        instances,
        memories,
        tables,
        ..
    } = settings.load;
    let [instances, memories, tables] =
        [instances, memories, tables].map(|each| u32::try_from(each).unwrap_or(u32::MAX));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        .total_core_instances(slots.saturating_mul(instances))
        .total_memories(slots.saturating_mul(memories))
        .total_tables(slots.saturating_mul(tables))
        .max_core_instances_per_component(instances)
        .max_memories_per_component(memories)
        .max_tables_per_component(tables)
        .max_component_instance_size(10 * MIB)
        .max_core_instance_size(10 * MIB)
        .max_memory_size(settings.max_memory_bytes)
        .table_elements(settings.max_table_elements)
        .async_stack_keep_resident(64 * KIB);
    // The kernel could tell which pages of a slot are dirty, so that the others need not
    // be given back. What this engine asks it misses a dirty page that is swapped out or
    // being moved at that moment, which the kernel does by itself, and the next guest of
    // the slot would read it.
    pool.pagemap_scan(Enabled::No);
    pool
}

/// Starts the thread that ticks for as long as the engine lives, and calls
/// `twice_in_a_tick`.
pub(super) fn start_ticks(
    engine: &Engine,
    tick: Duration,
    twice_in_a_tick: impl Fn() + Send + 'static,
) -> Result<(), SandboxError> {
    let engine = engine.weak();
    let half = tick.max(Duration::from_millis(1)) / 2;
    thread::Builder::new()
        .name("formwork-tick".to_owned())
        .spawn(move || {
            for is_tick in [false, true].into_iter().cycle() {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the ticker counts real time, whatever the clock"
                )]
                thread::sleep(half);
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                if is_tick {
                    engine.increment_epoch();
                }
                twice_in_a_tick();
            }
        })
        .map(drop)
        .map_err(|source| SandboxError::Threads { source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Compiler;

    #[test]
    fn an_engine_is_built_where_the_pool_has_no_room() {
        let settings = SandboxConfig {
            concurrency: 1 << 20,
            ..SandboxConfig::new(Compiler::Unbounded)
        };
        let engine = engine(&settings).expect("an engine without a pool");
        assert!(engine.pooling_allocator_metrics().is_none());
    }
}
