//! From the bytes of a component to a handler.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::bindings::ResourceTypePre;
use super::handler::{Answer, Task};
use super::limit::Limit;
use super::outbound::Outbound;
use super::survey::survey;
use super::wasi::WASI_INTERFACES;
use super::{
    CONTRACT_VERSION, Compiler, Environment, Handler, Inner, Limits, LoadError, Loaded, Outcome,
    SandboxError, Survey, compiler,
};
use crate::clock::{Clock as _, SystemClock};
use crate::model::Digest;

/// The first eight bytes of a component and of a core module.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

const PACKAGE: &str = "formwork:handler/";

pub(super) async fn load(
    sandbox: &Arc<Inner>,
    bytes: Arc<[u8]>,
    limits: &Limits,
) -> Result<Handler, LoadError> {
    Limit::SIZE.check(sandbox.load, bytes.len())?;
    check_header(&bytes)?;
    let survey = survey_apart(sandbox, &bytes, *limits).await?;
    let (digest, component, compiled) = compile(sandbox, bytes).await?;
    // The limit may be lower than when it was compiled.
    let code = component.image_range();
    let code = code.end.addr().saturating_sub(code.start.addr());
    Limit::CODE.check(sandbox.load, code)?;
    let imports = check_world(&component, &sandbox.engine)?;
    let component = sandbox
        .linker
        .instantiate_pre(&component)
        .and_then(ResourceTypePre::new)
        .map(Arc::new)
        .map_err(|source| LoadError::Mismatch {
            source: source.into(),
        })?;
    let description = match sandbox
        .run(
            Arc::clone(&component),
            Task::Describe,
            Environment {
                limits: Limits {
                    cpu: sandbox.load.describe_cpu,
                    read_wall: sandbox.load.describe_wall,
                    ..*limits
                },
                ..Environment::new(Arc::new(SystemClock::new()))
            },
            None,
            // It does so once, and somebody waits for the handler.
            None,
        )
        .await?
    {
        Outcome::Answered(Answer::Description(description)) => description,
        Outcome::Answered(Answer::Event(_) | Answer::Read(_) | Answer::List(_)) => {
            unreachable!("a component that is asked to describe itself answers a description")
        }
        Outcome::Trapped(trap) => return Err(LoadError::Describe { trap }),
    };
    let wishes = description.outgoing_hosts.iter().map(|wish| wish.parse());
    let wishes = wishes
        .collect::<Result<_, _>>()
        .map_err(|source| LoadError::OutgoingHost { source })?;
    Ok(Handler(Arc::new(Loaded {
        sandbox: Arc::clone(sandbox),
        outbound: Arc::new(Outbound::new(&sandbox.outbound, wishes)),
        pace: Arc::default(),
        component,
        digest,
        description,
        imports,
        survey,
        compiled,
    })))
}

/// Counts what the bytes consist of where nobody else is held up, a few at a time.
async fn survey_apart(
    sandbox: &Arc<Inner>,
    bytes: &Arc<[u8]>,
    limits: Limits,
) -> Result<Survey, LoadError> {
    let turn = Arc::clone(&sandbox.surveys)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let bytes = Arc::clone(bytes);
    apart(sandbox, move |inner| {
        // It goes on to its end, also where nobody waits for that any more.
        let _turn = turn;
        survey(&bytes, inner.load, limits)
    })
    .await
}

/// Tells early what the bytes are not.
fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    let header = &bytes[..bytes.len().min(COMPONENT.len())];
    if header == COMPONENT {
        Ok(())
    } else if header == CORE_MODULE {
        Err(LoadError::CoreModule)
    } else if header.is_empty() {
        Err(LoadError::NotWebAssembly {
            found: "nothing".to_owned(),
        })
    } else {
        Err(LoadError::NotWebAssembly {
            found: format!("`{}`", header.escape_ascii()),
        })
    }
}

/// Takes a component from the cache, or compiles it, a few at a time. Gives how
/// long that took, if it was compiled.
async fn compile(
    sandbox: &Arc<Inner>,
    bytes: Arc<[u8]>,
) -> Result<(Digest, Component, Option<Duration>), LoadError> {
    let digest = {
        let bytes = Arc::clone(&bytes);
        apart(sandbox, move |_| Ok(Digest::of(&bytes))).await?
    };
    let cached = move |inner: &Inner| {
        let cache = inner.cache.as_ref();
        Ok(cache.and_then(|cache| cache.get(&inner.engine, digest)))
    };
    // What is there already does not wait for what is compiled.
    if let Some(component) = apart(sandbox, cached).await? {
        return Ok((digest, component, None));
    }
    let _turn = sandbox
        .compilations
        .acquire()
        .await
        .expect("the semaphore is never closed");
    if let Some(component) = apart(sandbox, cached).await? {
        return Ok((digest, component, None));
    }
    let clock = SystemClock::new();
    let component = match &sandbox.compiler {
        Compiler::Unbounded => {
            apart(sandbox, move |inner| {
                let component = Component::from_binary(&inner.engine, &bytes).map_err(invalid)?;
                if let Some(cache) = &inner.cache {
                    cache.put(digest, component.serialize());
                }
                Ok(component)
            })
            .await
        }
        Compiler::Process(process) => {
            let code = compiler::compile(process, &sandbox.load, bytes).await?;
            apart(sandbox, move |inner| {
                // SAFETY: the code came from the compiler of this very program, over
                // a pipe that nobody else had; that it fits this engine is checked.
                let component = unsafe { Component::deserialize(&inner.engine, &code) };
                let component = component.map_err(invalid)?;
                if let Some(cache) = &inner.cache {
                    cache.put(digest, Ok(code));
                }
                Ok(component)
            })
            .await
        }
    }?;
    Ok((digest, component, Some(clock.uptime())))
}

fn invalid(source: wasmtime::Error) -> LoadError {
    LoadError::Invalid {
        source: source.into(),
    }
}

/// Does `work` on a thread that may block.
async fn apart<T: Send + 'static>(
    sandbox: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let inner = Arc::clone(sandbox);
    sandbox
        .threads
        .guests()
        .spawn_blocking(move || work(&inner))
        .await
        .unwrap_or_else(|source| Err(SandboxError::Lost { source }.into()))
}

/// Checks by name that the component is a handler of this contract and imports
/// only what is there. Gives its imports, sorted.
fn check_world(component: &Component, engine: &Engine) -> Result<Vec<String>, LoadError> {
    let world = component.component_type();
    let exports: Vec<&str> = world.exports(engine).map(|(name, _)| name).collect();
    let Some(resource) = exports
        .iter()
        .find(|name| split(name).0 == "formwork:handler/resource")
    else {
        return Err(LoadError::NoHandler {
            exports: if exports.is_empty() {
                "nothing".to_owned()
            } else {
                format!("`{}`", exports.join("`, `"))
            },
        });
    };
    check_contract_version(resource)?;
    let mut imports = Vec::new();
    for (name, _) in world.imports(engine) {
        let (interface, version) = split(name);
        if interface.starts_with(PACKAGE) {
            check_contract_version(name)?;
        } else if !WASI_INTERFACES.contains(&interface) {
            return Err(LoadError::UnknownImport {
                import: name.to_owned(),
            });
        } else if !version.starts_with("0.2.") {
            return Err(LoadError::ImportVersion {
                import: name.to_owned(),
            });
        }
        imports.push(name.to_owned());
    }
    imports.sort_unstable();
    Ok(imports)
}

/// Checks that an interface of the contract has a version that differs from
/// ours in the last number at most.
fn check_contract_version(name: &str) -> Result<(), LoadError> {
    let minor = |version: &str| {
        version
            .rsplit_once('.')
            .map(|(minor, _patch)| minor.to_owned())
    };
    if minor(split(name).1) == minor(CONTRACT_VERSION) {
        Ok(())
    } else {
        Err(LoadError::ContractVersion {
            found: name.to_owned(),
        })
    }
}

/// Splits `package:name/interface@version`; the version may be missing.
fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}
