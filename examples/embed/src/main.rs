//! Embeds the engine: loads a handler, submits a request, follows its progress and
//! awaits its outcome. `cargo run -p formwork-example-embed` after `make guests`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use formwork_host::engine::{Engine, Request};
use formwork_host::model::JsonObject;
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{
    Compiler, CompilerProcess, DirectoryGrant, Grants, Sandbox, SandboxConfig, compile_for_parent,
};
use formwork_host::store::SqliteStore;
use tokio_stream::StreamExt as _;

/// By this argument the program knows that it is to compile a component for itself.
const COMPILE: &str = "compile";

fn main() -> anyhow::Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(COMPILE) {
        return Ok(compile_for_parent());
    }
    tokio::runtime::Runtime::new()?.block_on(run())?;
    Ok(ExitCode::SUCCESS)
}

async fn run() -> anyhow::Result<()> {
    let component = std::fs::read("target/guests/stabilizing.wasm")?;
    let home = tempfile::tempdir()?;
    let archives = home.path().join("archives");
    std::fs::create_dir(&archives)?;

    // Operations are kept in a data directory: a killed program goes on with them.
    let store = SqliteStore::open(home.path().join("data"))?;
    let compiler = Compiler::Process(CompilerProcess::this_program(COMPILE)?);
    let engine = Engine::builder(Sandbox::new(&SandboxConfig::new(compiler))?)
        .store(Arc::new(store))
        .start();

    // A handler reaches nothing but what it is granted: never grant the data directory.
    let mut grants = Grants::default();
    grants
        .directories
        .push(DirectoryGrant::read_write(archives));
    let settings = TypeSettings {
        grants: Arc::new(grants),
        ..TypeSettings::default()
    };
    let handler = engine.load(component, settings).await?;

    let files = r#"{"Files": [{"Name": "a", "Contents": "A"}, {"Name": "b", "Contents": "B"}]}"#;
    let type_name = handler.schema().type_name().clone();
    let request = Request::create(type_name, JsonObject::parse(files)?);
    let operation = engine.submit(request).await?;

    let mut progress = operation.progress();
    while let Some(event) = progress.next().await {
        let event = event?;
        println!("{} {}", event.status, event.message.unwrap_or_default());
    }
    let outcome = operation.outcome().await?;
    println!("{}", outcome.model.as_ref().map_or("", JsonObject::as_str));

    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
