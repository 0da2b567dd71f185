//! From the bytes of a component to a handler.

mod world;

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::bindings::ResourceTypePre;
use super::error::{invalid, reason};
use super::handler::{Answer, Linked, Task};
use super::limit::Limit;
use super::outbound::Outbound;
use super::places::Share;
use super::survey::survey;
use super::{
    Compiler, Environment, Handler, HttpPatternError, Inner, Limits, LoadError, Loaded, Outcome,
    SandboxError, Survey, compiler,
};
use crate::clock::{Clock as _, SystemClock};
use crate::model::Digest;

/// The first eight bytes of a component and of a core module.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

pub(super) async fn load(
    sandbox: &Arc<Inner>,
    bytes: Arc<[u8]>,
    limits: &Limits,
) -> Result<Handler, LoadError> {
    Limit::SIZE.check(sandbox.load, bytes.len())?;
    check_header(&bytes)?;
    let (survey, imports) = survey_apart(sandbox, &bytes, *limits).await?;
    let (digest, component, compiled) = compile(sandbox, bytes).await?;
    // The limit may be lower than when it was compiled.
    let code = component.image_range();
    let code = code.end.addr().saturating_sub(code.start.addr());
    Limit::CODE.check(sandbox.load, code)?;
    let component = sandbox
        .linker
        .instantiate_pre(&component)
        .and_then(ResourceTypePre::new)
        .map_err(|source| LoadError::Mismatch {
            source: reason(source).into(),
        })?;
    let linked = Arc::new(Linked {
        component,
        instance_bytes: survey.instance_bytes,
        files: Share::new(&sandbox.files),
    });
    let description = match sandbox
        .run(
            Arc::clone(&linked),
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
        .map_err(|source: HttpPatternError| LoadError::OutgoingHost {
            source: reason(source).into(),
        })?;
    Ok(Handler(Arc::new(Loaded {
        sandbox: Arc::clone(sandbox),
        outbound: Arc::new(Outbound::new(&sandbox.outbound, wishes)),
        pace: Arc::default(),
        linked,
        digest,
        description,
        imports,
        survey,
        compiled,
    })))
}

/// Counts what the bytes consist of where nobody else is held up, a few at a time, and
/// checks by name what they import and export. Gives the imports, sorted.
async fn survey_apart(
    sandbox: &Arc<Inner>,
    bytes: &Arc<[u8]>,
    limits: Limits,
) -> Result<(Survey, Vec<String>), LoadError> {
    let turn = Arc::clone(&sandbox.surveys)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let bytes = Arc::clone(bytes);
    apart(sandbox, move |inner| {
        // It goes on to its end, also where nobody waits for that any more.
        let _turn = turn;
        let surveyed = survey(&bytes, inner.load, limits)?;
        let imports = world::check(&surveyed.imports, &surveyed.exports)?;
        Ok((surveyed.survey, imports))
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
            let compiled = apart(sandbox, move |inner| {
                let code = inner.engine.precompile_component(&bytes);
                take(inner, digest, &code.map_err(invalid)?)
            });
            match compiled.await {
                Err(LoadError::Sandbox {
                    source: SandboxError::Lost { source },
                }) if source.is_panic() => Err(LoadError::CompilerBroke {
                    how: reason(source),
                }),
                compiled => compiled,
            }
        }
        Compiler::Process(process) => {
            let code = compiler::compile(process, &sandbox.load, bytes).await?;
            apart(sandbox, move |inner| take(inner, digest, &code)).await
        }
    }?;
    Ok((digest, component, Some(clock.uptime())))
}

/// Makes a component of the machine code that its compiler has just answered, and keeps
/// that for the next time.
fn take(inner: &Inner, digest: Digest, code: &[u8]) -> Result<Component, LoadError> {
    // SAFETY: the code came from this very engine, or from the compiler of this very
    // program, over a pipe that nobody else had; that it fits this engine is checked.
    let component = unsafe { Component::deserialize(&inner.engine, code) };
    let component = component.map_err(|source| LoadError::Unfit {
        source: reason(source).into(),
    })?;
    if let Some(cache) = &inner.cache {
        cache.put(digest, code);
    }
    Ok(component)
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
