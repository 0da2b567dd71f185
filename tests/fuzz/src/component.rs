//! Any bytes as a component.
//!
//! Text is taken for WebAssembly's text format, so that seeds can be read.

use std::error::Error;
use std::sync::{Arc, LazyLock};

use formwork_host::engine::{Engine, LoadTypeError};
use formwork_host::model::TypeSchema;
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{Compiler, LoadError, Sandbox, SandboxConfig};
use tokio::runtime::Runtime;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    let config = SandboxConfig {
        concurrency: 4,
        worker_threads: 1,
        ..SandboxConfig::new(Compiler::Unbounded)
    };
    Sandbox::new(&config).expect("the sandbox is made")
});

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

/// Loads a component. What is loaded has described itself by a schema, and is
/// served; what is not is refused with a reason, and the host is never to blame.
pub(crate) fn load(data: &[u8]) {
    let component: Arc<[u8]> = match wat::parse_bytes(data) {
        Ok(bytes) => bytes.into(),
        Err(_) => data.into(),
    };
    RUNTIME.block_on(async {
        let engine = Engine::builder(SANDBOX.clone()).start();
        match engine.load(component, TypeSettings::default()).await {
            Ok(version) => {
                let schema = version.schema();
                assert_eq!(version.handler().description().schema, schema.text());
                TypeSchema::parse(schema.text()).expect("what is served has a schema");
                assert_eq!(engine.types(), [schema.type_name().clone()]);
            }
            Err(error) => {
                let host = matches!(
                    error,
                    LoadTypeError::Component(LoadError::Sandbox { .. }) | LoadTypeError::Store(_)
                );
                assert!(!host, "the bytes are at fault, not the host: {error:?}");
                assert_eq!(engine.types(), []);
                let mut cause: Option<&dyn Error> = Some(&error);
                while let Some(error) = cause {
                    assert!(
                        !error.to_string().is_empty(),
                        "a reason has words: {error:?}"
                    );
                    cause = error.source();
                }
            }
        }
    });
}
