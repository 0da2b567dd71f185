//! The process that compiles.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use super::{COMPILED, INVALID, Orders};
use crate::sandbox::engine;

/// Compiles the component that the parent process gives on standard input, and
/// answers on standard output, as [`Compiler::Process`] wants it.
///
/// A program that has its components compiled by itself calls this, before
/// anything else, where it is run with the arguments that it has set there, and
/// exits with what it gives. Nothing else may be written to standard output.
///
/// [`Compiler::Process`]: super::super::Compiler::Process
#[must_use]
pub fn compile_for_parent() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut orders = [0; Orders::BYTES];
    input.read_exact(&mut orders)?;
    confine(Orders::read(orders))?;
    let mut component = Vec::new();
    input.read_to_end(&mut component)?;
    let (kind, contents) = match compile(&component) {
        Ok(code) => (COMPILED, code),
        Err(error) => (INVALID, format!("{error:#}").into_bytes()),
    };
    let mut output = io::stdout().lock();
    output.write_all(&[kind])?;
    output.write_all(&contents)?;
    output.flush()
}

fn compile(component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    engine::for_compilation()?.precompile_component(component)
}

/// Gives up all but what the compiler needs, before it sees what it compiles: no
/// more memory and time than is allowed, no file to be written, no core dump.
#[cfg(unix)]
fn confine(orders: Orders) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

    // Who waits for an invocation goes before who waits for a new handler.
    let _nicer = nice(10);
    for (resource, most) in [
        (Resource::Data, orders.memory),
        (Resource::Cpu, orders.cpu),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        // What the system allows less of stays so.
        let allowed = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let most = Some(most.min(allowed));
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn confine(_orders: Orders) -> io::Result<()> {
    Ok(())
}
