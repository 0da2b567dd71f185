//! Runs CloudFormation resource-type handlers as sandboxed WebAssembly components, durably.
//!
//! A handler is one component that implements the world of `wit/handler.wit`. An
//! [`Engine`](engine::Engine) loads it, accepts requests, and takes each through its
//! chain of invocations until it ends:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use formwork_host::engine::{Engine, Request};
//! use formwork_host::model::JsonObject;
//! use formwork_host::registry::TypeSettings;
//! use formwork_host::sandbox::{Compiler, Sandbox, SandboxConfig};
//! use formwork_host::store::MemoryStore;
//! use tokio_stream::StreamExt as _;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // One sandbox for each process, one engine for each store.
//! let sandbox = Sandbox::new(&SandboxConfig::new(Compiler::Unbounded))?;
//! let engine = Engine::builder(sandbox).store(Arc::new(MemoryStore::default())).start();
//!
//! let component = std::fs::read("archive.wasm")?;
//! let handler = engine.load(component, TypeSettings::default()).await?;
//!
//! let desired = JsonObject::parse(r#"{"Name": "a"}"#)?;
//! let request = Request::create(handler.schema().type_name().clone(), desired);
//! let operation = engine.submit(request).await?;
//!
//! let mut progress = operation.progress();
//! while let Some(event) = progress.next().await {
//!     println!("{}", event?.status);
//! }
//! let ended = operation.outcome().await?;
//! println!("{:?} {:?}", ended.code, ended.model);
//! # Ok(())
//! # }
//! ```
//!
//! What to know besides:
//!
//! 1. A guest reaches nothing unless its type's [`TypeSettings`](registry::TypeSettings)
//!    grant it. Components that others have made are compiled by a
//!    [`Compiler::Process`](sandbox::Compiler::Process), which bounds what that takes.
//! 2. Operations survive a crash if the store does: `store::SqliteStore` keeps them in
//!    a directory, [`MemoryStore`](store::MemoryStore) does not.
//! 3. Reports go to a [`Reporter`](engine::Reporter); the package
//!    `formwork-cloudformation` has the one that calls `RecordHandlerProgress`.
//! 4. Time comes from a [`Clock`](clock::Clock). With a
//!    [`ManualClock`](clock::ManualClock), a chain with hours of delay takes
//!    milliseconds; [`Engine::idle`](engine::Engine::idle) tells when to move it.
//! 5. Requests are made in a runtime of several threads, and not within a `LocalSet`: what
//!    takes long to check goes on there by [`tokio::task::block_in_place`]. Programs are
//!    built with `panic = "unwind"`.
//! 6. Whether a handler keeps the handler contract, [`Suite`](contract::Suite) tells.

pub mod clock;
pub mod contract;
pub mod engine;
pub mod model;
pub mod operation;
pub mod registry;
pub mod sandbox;
pub mod store;
