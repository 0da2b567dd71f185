//! Why a guest broke: the trap that an error of the engine stands for, with the
//! limit and its setting where it is one.

use std::collections::BTreeSet;

use wasmtime::component::ResourceTableError;
use wasmtime::{FrameInfo, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::convert::InvalidAnswer;
use super::handler::Task;
use super::last_words::last_words;
use super::limit::Limit;
use super::wasi::State;
use super::{Amount, Limits, SandboxError};
use crate::model::{Trap, TrapKind};

/// Where a guest broke: an error of the start may be the host's own, one of
/// the call is the guest's.
pub(super) enum Broken {
    Start(wasmtime::Error),
    Call(wasmtime::Error),
}

pub(super) fn invalid_answer(invalid: &InvalidAnswer) -> Trap {
    Trap {
        kind: TrapKind::Answer,
        message: invalid.to_string(),
    }
}

pub(super) fn too_large(limits: &Limits, task: &Task, bytes: Option<usize>) -> Trap {
    let limit = limits.answer_bytes;
    let remedy = task.remedy(Limit::ANSWER);
    let message = match bytes {
        Some(bytes) => {
            format!("the answer has {bytes} bytes of text, the limit is {limit}: {remedy}")
        }
        None => format!("the answer is far larger than the limit of {limit} bytes: {remedy}"),
    };
    Trap {
        kind: TrapKind::AnswerSize,
        message,
    }
}

/// Tells what kind of trap a broken call is.
///
/// # Errors
///
/// When the guest could not even be started for a reason that is not its own.
pub(super) fn classify(
    broken: Broken,
    state: &State,
    limits: &Limits,
    task: &Task,
    stderr: &str,
) -> Result<Trap, SandboxError> {
    let (error, answered) = match broken {
        Broken::Start(error) => (error, false),
        // An error with no frame of the guest on the stack arose after its
        // return, when the answer was taken over.
        Broken::Call(error) => {
            let returned = error.downcast_ref::<WasmBacktrace>().is_none();
            (error, returned)
        }
    };
    let frames = error.downcast_ref::<WasmBacktrace>();
    let code = error.downcast_ref::<wasmtime::Trap>().copied();
    let exit = error.downcast_ref::<I32Exit>();
    let in_guest = code.is_some() || exit.is_some() || answered || frames.is_some();
    let limit = state.limiter.exceeded().or_else(|| engine_limit(&error));
    let (kind, message) = match (code, limit) {
        (Some(wasmtime::Trap::Interrupt), _) => over(Limit::CPU, limits, task),
        (Some(wasmtime::Trap::StackOverflow), _) => stack_overflow(),
        (Some(wasmtime::Trap::MemoryOutOfBounds), _) if frames.is_some_and(is_runaway) => {
            stack_overflow()
        }
        (_, Some(limit)) if answered && limit == Limit::TRANSFER => {
            return Ok(too_large(limits, task, None));
        }
        (_, Some(limit)) => over(limit, limits, task),
        (Some(_) | None, None) if answered => (
            TrapKind::Answer,
            format!("the answer breaks the contract: {}", error.root_cause()),
        ),
        (None, None) if !in_guest => {
            return Err(SandboxError::Start {
                source: error.into(),
            });
        }
        (Some(_) | None, None) => {
            let cause = exit.map_or_else(
                || error.root_cause().to_string(),
                |exit| format!("the handler exited with status {}", exit.0),
            );
            (TrapKind::Panic, cause)
        }
    };
    let is_panic = kind == TrapKind::Panic && exit.is_none();
    Ok(Trap {
        kind,
        message: with_last_words(message, is_panic, last_words(stderr)),
    })
}

/// Says which limit a guest ran into, and which setting raises it.
fn over(limit: Limit<Limits>, limits: &Limits, task: &Task) -> (TrapKind, String) {
    let most = limit.get(*limits);
    let remedy = task.remedy(limit);
    if limit == Limit::CPU {
        let message = format!("the handler computed for more than {most}: {remedy}");
        return (TrapKind::Cpu, message);
    }
    if limit == Limit::TRANSFER {
        let most = limits.transfer_bytes.max(limits.answer_bytes);
        let message = format!("a call into the host carried more than its {most} bytes: {remedy}");
        return (TrapKind::Limit, message);
    }
    let kind = if limit == Limit::MEMORY || limit == Limit::TABLE_ELEMENTS {
        TrapKind::Memory
    } else {
        TrapKind::Limit
    };
    let message = match most {
        Amount::Bytes(_) => format!("the handler needs more than its {most} of {}", limit.what()),
        Amount::Count(_) | Amount::Time(_) => {
            format!("the handler needs more than its {most} {}", limit.what())
        }
    };
    (kind, format!("{message}: {remedy}"))
}

/// Tells which limit it was that the engine, and not the host, held a guest to.
///
/// The engine has public types for few of them, so their texts must do; tests
/// hold a guest that goes over each of them against them.
fn engine_limit(error: &wasmtime::Error) -> Option<Limit<Limits>> {
    if error
        .chain()
        .any(|cause| matches!(cause.downcast_ref(), Some(ResourceTableError::Full)))
    {
        return Some(Limit::HANDLES);
    }
    let cause = error.root_cause().to_string();
    [
        ("fuel allocated for hostcalls", Limit::TRANSFER),
        ("store handle limit exceeded", Limit::HANDLES),
        ("instance count too high", Limit::INSTANCES),
        ("total size of fields exceeds limit", Limit::HTTP_FIELDS),
    ]
    .into_iter()
    .find(|(text, _)| cause.contains(text))
    .map(|(_, limit)| limit)
}

fn stack_overflow() -> (TrapKind, String) {
    (
        TrapKind::Stack,
        "the handler recursed deeper than its stack".to_owned(),
    )
}

/// Tells whether the innermost calls are a few functions that call each other
/// over and over.
///
/// Compiled languages keep a stack of their own in memory, at its bottom. When
/// that overflows, an access out of bounds is all that the engine sees.
fn is_runaway(frames: &WasmBacktrace) -> bool {
    /// As many frames as the engine keeps by default.
    const ENOUGH: usize = 20;
    let functions: BTreeSet<u32> = frames.frames().iter().map(FrameInfo::func_index).collect();
    frames.frames().len() >= ENOUGH && functions.len() <= ENOUGH / 4
}

/// Puts the last words of the guest before the cause; a panic's are enough,
/// since its cause is just the instruction that follows them.
fn with_last_words(cause: String, is_panic: bool, words: Option<String>) -> String {
    match words {
        None => cause,
        Some(words) if is_panic => words,
        Some(words) => format!("{words} ({cause})"),
    }
}
