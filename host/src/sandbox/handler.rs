//! One call into a guest: a fresh instance, its limits, its end.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{FrameInfo, Store, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::bindings::{ResourceTypePre, formwork::handler::types as wit};
use super::convert::{self, InvalidAnswer, RequestParts, TextBytes};
use super::last_words::last_words;
use super::limiter::Exceeded;
use super::logging::{GuestLog, Subject};
use super::meter::{Meter, Metered};
use super::outbound::{OnBehalf, Outbound, Outgoing};
use super::wasi::State;
use super::{Description, Environment, Limits, Outcome, SandboxError};
use crate::model::{
    Call, HandlerErrorCode, Invocation, JsonObject, ListPage, ProgressEvent, ReadFailure,
    Timestamp, Trap, TrapKind,
};

/// What a guest is called for.
pub(super) enum Task {
    Describe,
    Invoke(Arc<Invocation>),
}

/// What a guest answered, checked.
pub(super) enum Answer {
    Description(Description),
    Event(ProgressEvent),
    Read(Result<JsonObject, ReadFailure>),
    List(Result<ListPage, ReadFailure>),
}

/// The same as it came over the boundary.
enum RawAnswer {
    Description(wit::Description),
    Progress(wit::ProgressEvent),
    Delete(wit::DeleteEvent),
    Read(Result<String, wit::ReadFailure>),
    List(Result<wit::Page, wit::ReadFailure>),
}

/// Where a guest broke: an error of the start may be the host's own, one of
/// the call is the guest's.
enum Broken {
    Start(wasmtime::Error),
    Call(wasmtime::Error),
}

impl Task {
    fn subject(&self) -> Option<Subject> {
        match self {
            Self::Describe => None,
            Self::Invoke(invocation) => Some(Subject {
                token: invocation.token,
                type_name: invocation.type_name.clone(),
                action: invocation.call.action(),
                invocation: invocation.invocation,
            }),
        }
    }

    fn behalf(&self) -> OnBehalf {
        match self {
            Self::Describe => OnBehalf::default(),
            Self::Invoke(invocation) => OnBehalf {
                caller: invocation.details.credentials.clone(),
                region: invocation.scope.region.clone(),
            },
        }
    }

    fn wall(&self, limits: &Limits) -> Duration {
        match self {
            Self::Describe => limits.read_wall,
            Self::Invoke(invocation) => match &invocation.call {
                Call::Create { .. } | Call::Update { .. } | Call::Delete { .. } => {
                    limits.mutation_wall
                }
                Call::Read { .. } | Call::List(_) => limits.read_wall,
            },
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Describe => None,
            Self::Invoke(invocation) => Some(invocation.deadline),
        }
    }
}

/// Runs `task` in a fresh instance to its end, whatever that is. Requests leave
/// by `outbound`, if there is one; no grant may overlap `cache`.
pub(super) async fn run(
    component: &ResourceTypePre<State>,
    task: Task,
    environment: Environment,
    outbound: Option<&Outbound>,
    cache: Option<&Path>,
) -> Result<Outcome<Answer>, SandboxError> {
    let limits = &environment.limits;
    let wall = task.wall(limits);
    let log = GuestLog::new(limits, task.subject());
    let meter = Arc::new(Meter::new(limits.cpu));
    let http = &environment.grants.http;
    let outgoing = Outgoing::new(outbound, http, limits, task.subject(), task.behalf());
    let state = State::new(
        &environment,
        cache,
        outgoing,
        log.clone(),
        Arc::clone(&meter),
    )?;
    let mut store = store(component, state, limits);

    #[expect(
        clippy::disallowed_methods,
        reason = "the wall limit is real time too, so that a guest ends under a clock that stands still"
    )]
    let ended = {
        let call = pin!(call(
            component,
            &mut store,
            &task,
            environment.grants.credentials
        ));
        let deadline = async {
            match task.deadline() {
                Some(deadline) => environment.clock.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        // Counted from here on: once the guest sleeps, a manual clock may be moved
        // before the wait below begins.
        let cut = environment.clock.uptime().saturating_add(wall);
        let cut = async {
            let left = cut.saturating_sub(environment.clock.uptime());
            environment.clock.sleep(left).await;
        };
        // The guest first: one that ends in its first turn sets up no timer.
        tokio::select! {
            biased;
            ended = Metered::new(call, meter) => Ok(ended),
            () = deadline => Err(Cut::Deadline),
            () = tokio::time::sleep(wall) => Err(Cut::Wall(wall)),
            () = cut => Err(Cut::Wall(wall)),
        }
    };
    let stderr = log.finish();
    match ended {
        Ok(Ok(raw)) => Ok(match store.data().lack_of_credentials() {
            None => check(raw, limits),
            Some(lack) => for_want_of_credentials(check(raw, limits), &lack),
        }),
        Ok(Err(broken)) => classify(broken, store.data(), limits, &stderr).map(Outcome::Trapped),
        Err(cut) => Ok(Outcome::Trapped(Trap {
            kind: TrapKind::Wall,
            message: cut.to_string(),
        })),
    }
}

/// What ended a call from outside.
enum Cut {
    Wall(Duration),
    Deadline,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(wall) => write!(f, "the handler did not answer within {wall:?}"),
            Self::Deadline => f.write_str("the deadline of the operation passed during the call"),
        }
    }
}

fn store(component: &ResourceTypePre<State>, state: State, limits: &Limits) -> Store<State> {
    let mut store = Store::new(component.engine(), state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits.transfer_bytes.max(limits.answer_bytes));
    store.set_max_component_handles(limits.handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        Ok(if context.data().meter.is_used_up() {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Yield(1)
        })
    });
    store
}

async fn call(
    component: &ResourceTypePre<State>,
    store: &mut Store<State>,
    task: &Task,
    with_credentials: bool,
) -> Result<RawAnswer, Broken> {
    let instance = component
        .instantiate_async(&mut *store)
        .await
        .map_err(Broken::Start)?;
    let guest = instance.formwork_handler_resource();
    let Task::Invoke(invocation) = task else {
        return guest
            .call_describe(store)
            .await
            .map(RawAnswer::Description)
            .map_err(Broken::Call);
    };
    let parts = RequestParts::new(invocation);
    let request = parts.request(invocation, with_credentials);
    match &invocation.call {
        Call::Create {
            desired_state,
            callback_context,
        } => guest
            .call_create(
                store,
                request,
                desired_state.as_str(),
                convert::text(callback_context.as_ref()),
            )
            .await
            .map(RawAnswer::Progress),
        Call::Read { identifier } => guest
            .call_read(store, request, identifier.as_str())
            .await
            .map(RawAnswer::Read),
        Call::Update {
            desired_state,
            previous_state,
            callback_context,
        } => guest
            .call_update(
                store,
                request,
                desired_state.as_str(),
                convert::text(previous_state.as_ref()),
                convert::text(callback_context.as_ref()),
            )
            .await
            .map(RawAnswer::Progress),
        Call::Delete {
            state,
            callback_context,
        } => guest
            .call_delete(
                store,
                request,
                state.as_str(),
                convert::text(callback_context.as_ref()),
            )
            .await
            .map(RawAnswer::Delete),
        Call::List(page) => guest
            .call_list(store, request, convert::list_request(page))
            .await
            .map(RawAnswer::List),
    }
    .map_err(Broken::Call)
}

/// Turns what came over the boundary into the model, or into the trap that the
/// contract makes of it.
fn check(raw: RawAnswer, limits: &Limits) -> Outcome<Answer> {
    let bytes = match &raw {
        RawAnswer::Description(answer) => answer.text_bytes(),
        RawAnswer::Progress(answer) => answer.text_bytes(),
        RawAnswer::Delete(answer) => answer.text_bytes(),
        RawAnswer::Read(answer) => answer.text_bytes(),
        RawAnswer::List(answer) => answer.text_bytes(),
    };
    if bytes > limits.answer_bytes {
        return Outcome::Trapped(too_large(limits, Some(bytes)));
    }
    let answer = match raw {
        RawAnswer::Description(answer) => Ok(Answer::Description(Description {
            schema: answer.schema,
            outgoing_hosts: answer.outgoing_hosts,
        })),
        RawAnswer::Progress(answer) => convert::progress_event(answer).map(Answer::Event),
        RawAnswer::Delete(answer) => convert::delete_event(answer).map(Answer::Event),
        RawAnswer::Read(answer) => convert::read_answer(answer).map(Answer::Read),
        RawAnswer::List(answer) => convert::list_answer(answer).map(Answer::List),
    };
    match answer {
        Ok(answer) => Outcome::Answered(answer),
        Err(invalid) => Outcome::Trapped(invalid_answer(&invalid)),
    }
}

/// Has a handler that failed fail for the reason that its requests could not be
/// signed. One that succeeded without them has succeeded, and one that goes on may.
fn for_want_of_credentials(outcome: Outcome<Answer>, lack: &str) -> Outcome<Answer> {
    let code = HandlerErrorCode::InvalidCredentials;
    let said = |message: String| match message.as_str() {
        "" => lack.to_owned(),
        _ => format!("{lack}; the handler says: {message}"),
    };
    let read = |failure: ReadFailure| ReadFailure {
        code,
        message: said(failure.message),
    };
    match outcome {
        Outcome::Answered(Answer::Event(ProgressEvent::Failed { message, model, .. })) => {
            let message = said(message);
            Outcome::Answered(Answer::Event(ProgressEvent::Failed {
                code,
                message,
                model,
            }))
        }
        Outcome::Answered(Answer::Read(read_answer)) => {
            Outcome::Answered(Answer::Read(read_answer.map_err(read)))
        }
        Outcome::Answered(Answer::List(listed)) => {
            Outcome::Answered(Answer::List(listed.map_err(read)))
        }
        Outcome::Answered(Answer::Event(_) | Answer::Description(_)) | Outcome::Trapped(_) => {
            outcome
        }
    }
}

fn invalid_answer(invalid: &InvalidAnswer) -> Trap {
    Trap {
        kind: TrapKind::Answer,
        message: invalid.to_string(),
    }
}

fn too_large(limits: &Limits, bytes: Option<usize>) -> Trap {
    let limit = limits.answer_bytes;
    let message = match bytes {
        Some(bytes) => format!("the answer has {bytes} bytes of text, the limit is {limit}"),
        None => format!("the answer is far larger than the limit of {limit} bytes"),
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
fn classify(
    broken: Broken,
    state: &State,
    limits: &Limits,
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
    let (kind, message) = match (code, state.limiter.exceeded()) {
        (Some(wasmtime::Trap::Interrupt), _) => (
            TrapKind::Cpu,
            format!("the handler computed for more than {:?}", limits.cpu),
        ),
        (Some(wasmtime::Trap::StackOverflow), _) => stack_overflow(),
        (Some(wasmtime::Trap::MemoryOutOfBounds), _) if frames.is_some_and(is_runaway) => {
            stack_overflow()
        }
        (_, Some(Exceeded::Memory { limit })) => (
            TrapKind::Memory,
            format!("the handler needs more than its {limit} bytes of memory"),
        ),
        (_, Some(Exceeded::Table { limit })) => (
            TrapKind::Memory,
            format!("the handler needs more than its {limit} table elements"),
        ),
        (Some(_) | None, None) if answered && is_oversized(&error) => {
            return Ok(too_large(limits, None));
        }
        (Some(_) | None, None) if answered => (
            TrapKind::Answer,
            format!("the answer breaks the contract: {}", error.root_cause()),
        ),
        (Some(_) | None, None) if is_oversized(&error) => (
            TrapKind::Memory,
            format!(
                "a call into the host carried more than its {} bytes",
                limits.transfer_bytes.max(limits.answer_bytes)
            ),
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

/// Tells whether taking over an answer used up what one transfer may carry.
///
/// The engine has no public type for that, so its text must do; a test holds
/// an answer of this size against it.
fn is_oversized(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel")
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
