//! The handler that is invoked, and what it is asked for.

use std::path::Path;
use std::sync::Arc;

use formwork_host::engine::Engine;
use formwork_host::model::{JsonObject, TypeName};
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{Compiler, Sandbox, SandboxConfig};

/// How many operations may be invoked at once.
pub(crate) const PLACES: usize = 384;

pub(crate) fn component() -> Arc<[u8]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests/scripted-guest.wasm");
    let bytes = std::fs::read(path).expect("target/guests/scripted-guest.wasm is built");
    bytes.into()
}

/// Makes a sandbox that keeps compiled code, as a server does.
pub(crate) fn sandbox(concurrency: u32) -> Sandbox {
    let mut config = SandboxConfig::new(Compiler::Unbounded);
    config.concurrency = concurrency;
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-cache");
    config.cache_dir = Some(cache);
    Sandbox::new(&config).expect("a sandbox")
}

pub(crate) async fn load(engine: &Engine) -> TypeName {
    let settings = TypeSettings {
        concurrency: PLACES,
        ..TypeSettings::default()
    };
    let version = engine.load(component(), settings).await;
    let version = version.expect("the guest loads");
    version.schema().type_name().clone()
}

/// A desired state with so many bytes of text.
pub(crate) fn state(name: &str, bytes: usize, script: &str) -> JsonObject {
    let filler = "x".repeat(bytes);
    let text = format!(r#"{{"Name":"{name}","Note":"{filler}","Count":7,"Script":[{script}]}}"#);
    JsonObject::parse(text).expect("an object")
}
