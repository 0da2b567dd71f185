//! Embeds the engine in a program of its own: loads a handler, submits a request,
//! follows its progress and awaits its outcome.
//!
//! `cargo run -p formwork-example-embed -- target/guests/stabilizing.wasm`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use formwork_host::engine::{Engine, Request};
use formwork_host::model::JsonObject;
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{DirectoryGrant, Grants, Sandbox, SandboxConfig};
use formwork_host::store::SqliteStore;
use tokio_stream::StreamExt as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let component = std::env::args_os()
        .nth(1)
        .map_or_else(|| "target/guests/stabilizing.wasm".into(), PathBuf::from);
    let component = std::fs::read(&component)
        .with_context(|| format!("cannot read {}", component.display()))?;
    let home = std::env::temp_dir().join(format!("formwork-embed-{}", std::process::id()));
    let archives = home.join("archives");
    std::fs::create_dir_all(&archives)?;

    // Operations are kept in a data directory: a killed program goes on with them.
    let engine = Engine::builder(Sandbox::new(&SandboxConfig::default())?)
        .store(Arc::new(SqliteStore::open(home.join("data"))?))
        .start();
    let mut grants = Grants::default();
    grants.directories.push(DirectoryGrant {
        host_path: archives.clone(),
        writable: true,
    });
    let settings = TypeSettings {
        grants: Arc::new(grants),
        ..TypeSettings::default()
    };
    let handler = engine.load(component, settings).await?;

    let desired = JsonObject::parse(
        r#"{"Files": [{"Name": "a.txt", "Contents": "A"}, {"Name": "b.txt", "Contents": "B"}]}"#,
    )?;
    let operation = engine
        .submit(Request::create(
            handler.schema().type_name().clone(),
            desired,
        ))
        .await?;
    let mut progress = operation.progress();
    while let Some(event) = progress.next().await {
        let event = event?;
        println!("{} {}", event.status, event.message.unwrap_or_default());
    }
    let outcome = operation.outcome().await?;
    println!(
        "{}",
        outcome
            .model
            .as_ref()
            .map_or("no model", |model| model.as_str())
    );
    for entry in std::fs::read_dir(&archives)? {
        println!("there is {}", entry?.path().display());
    }
    engine.shutdown(Duration::from_secs(5)).await;
    std::fs::remove_dir_all(home)?;
    Ok(())
}
