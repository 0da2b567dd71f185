//! One call into a guest: a fresh instance, its limits, its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, UpdateDeadline};

use super::bindings::{ResourceTypePre, formwork::handler::types as wit};
use super::broken::{Broken, classify, invalid_answer, too_large};
use super::convert::{self, RequestParts, TextBytes};
use super::directories::Storage;
use super::limit::Limit;
use super::logging::{GuestLog, Subject};
use super::meter::Meter;
use super::notices::Notices;
use super::outbound::{OnBehalf, Outbound, Outgoing};
use super::places::Share;
use super::wasi::State;
use super::{Description, Environment, Limits, Outcome, SandboxError};
use crate::model::{
    Call, HandlerErrorCode, Invocation, JsonObject, ListPage, ProgressEvent, ReadFailure,
    Timestamp, Trap, TrapKind,
};

/// A component that is ready to be instantiated.
pub(super) struct Linked {
    pub(super) component: ResourceTypePre<State>,
    /// Bytes that the host keeps for its instances, besides memories and tables.
    pub(super) instance_bytes: usize,
    /// What it may have of the files that handlers have open.
    pub(super) files: Share,
}

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

    fn wall(&self, limits: &Limits) -> (Limit<Limits>, Duration) {
        let read = (Limit::READ_WALL, limits.read_wall);
        match self {
            Self::Describe => read,
            Self::Invoke(invocation) => match &invocation.call {
                Call::Create { .. } | Call::Update { .. } | Call::Delete { .. } => {
                    (Limit::MUTATION_WALL, limits.mutation_wall)
                }
                Call::Read { .. } | Call::List(_) => read,
            },
        }
    }

    /// Says which setting raises a limit.
    pub(super) fn remedy(&self, limit: Limit<Limits>) -> String {
        match self {
            Self::Describe if limit == Limit::CPU => {
                format!("raise `{}`", Limit::DESCRIBE_CPU.setting())
            }
            Self::Describe if limit == Limit::READ_WALL => {
                format!("raise `{}`", Limit::DESCRIBE_WALL.setting())
            }
            Self::Describe | Self::Invoke(_) => {
                format!("raise `{}` of the type", limit.setting())
            }
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Describe => None,
            Self::Invoke(invocation) => Some(invocation.deadline),
        }
    }
}

/// Runs `task` in a fresh instance to its end, whatever that is, which `meter`
/// measures. Requests leave by `outbound`, if there is one.
pub(super) async fn run(
    linked: &Linked,
    task: Task,
    environment: Environment,
    outbound: Option<&Outbound>,
    storage: &Storage<'_>,
    meter: &Arc<Meter>,
) -> Result<Outcome<Answer>, SandboxError> {
    let limits = &environment.limits;
    let (wall_limit, wall) = task.wall(limits);
    let log = GuestLog::new(limits, task.subject());
    let http = &environment.grants.http;
    let outgoing = Outgoing::new(outbound, http, limits, task.subject(), task.behalf());
    let notices = Notices::new(task.subject());
    let mut state = State::new(
        &environment,
        storage,
        outgoing,
        &notices,
        log.clone(),
        Arc::clone(meter),
    )?;
    state.limiter.keep(linked.instance_bytes);
    let component = &linked.component;
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
            ended = call => Ok(ended),
            () = deadline => Err(Cut::Deadline),
            () = tokio::time::sleep(wall) => Err(Cut::Wall),
            () = cut => Err(Cut::Wall),
        }
    };
    let stderr = log.finish();
    match ended {
        Ok(Ok(raw)) => Ok(match store.data().lack_of_credentials() {
            None => check(raw, limits, &task),
            Some(lack) => for_want_of_credentials(check(raw, limits, &task), &lack),
        }),
        Ok(Err(broken)) => {
            classify(broken, store.data(), limits, &task, &stderr).map(Outcome::Trapped)
        }
        Err(cut) => Ok(Outcome::Trapped(Trap {
            kind: TrapKind::Wall,
            message: match cut {
                Cut::Wall => format!(
                    "the handler did not answer within {wall:?}: {}",
                    task.remedy(wall_limit)
                ),
                Cut::Deadline => "the deadline of the operation passed during the call".to_owned(),
            },
        })),
    }
}

/// What ended a call from outside.
enum Cut {
    Wall,
    Deadline,
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
    if store.data().limiter.exceeded().is_some() {
        let words = "the instances alone are more than the memory that they may have";
        return Err(Broken::Start(wasmtime::Error::msg(words)));
    }
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
fn check(raw: RawAnswer, limits: &Limits, task: &Task) -> Outcome<Answer> {
    let bytes = match &raw {
        RawAnswer::Description(answer) => answer.text_bytes(),
        RawAnswer::Progress(answer) => answer.text_bytes(),
        RawAnswer::Delete(answer) => answer.text_bytes(),
        RawAnswer::Read(answer) => answer.text_bytes(),
        RawAnswer::List(answer) => answer.text_bytes(),
    };
    if bytes > limits.answer_bytes {
        return Outcome::Trapped(too_large(limits, task, Some(bytes)));
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
