//! READ and LIST: one invocation, nothing is kept.

use formwork_host::engine::{Engine, ListQuery, ReadError, ReadQuery};
use formwork_host::model::{
    Action, JsonObject, ListRequest, RequestDetails, RequestToken, TypeSchema,
};

use super::super::Exit;
use super::super::output::Output;
use super::super::text::printable;
use super::super::wire::{Answer, Page};
use super::input::Asked;
use super::{Session, show_model};

/// Carries out a READ or a LIST.
pub(super) async fn run(
    session: &Session<'_>,
    engine: &Engine,
    schema: &TypeSchema,
    action: Action,
    asked: Asked,
    details: RequestDetails,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let json = session.args.json;
    let type_name = schema.type_name().clone();
    let scope = session.scope();
    let token = RequestToken::random();
    let found = if action == Action::List {
        let list = ListRequest {
            filter: asked.model,
            next_token: session.args.next_token.clone(),
            max_results: session.args.max_results,
        };
        let query = ListQuery {
            type_name,
            scope,
            list,
            token,
            details,
        };
        engine.list(query).await.map(|page| {
            if json {
                output.json(&Answer::listed(&page));
            } else {
                output.pretty(&Page::new(&page));
            }
        })
    } else {
        let identifier = asked.state(schema, action)?;
        let query = ReadQuery {
            type_name,
            scope,
            identifier,
            token,
            details,
        };
        engine.read(query).await.map(|model| {
            if json {
                output.json(&Answer::read(&model));
            } else {
                show_model(&model, output);
            }
        })
    };
    match found {
        Ok(()) => Ok(Exit::Done),
        Err(error) => failed(session, action, error, Some(output)),
    }
}

/// What reading the current state came to.
pub(super) enum Current {
    /// The state, or none if the handler cannot READ.
    State(Option<JsonObject>),
    /// There is none, and that has been said.
    Failed(Exit),
}

/// Reads the state before an update.
pub(super) async fn current(
    session: &Session<'_>,
    engine: &Engine,
    schema: &TypeSchema,
    state: &JsonObject,
    details: &RequestDetails,
) -> anyhow::Result<Current> {
    let named = schema
        .identifier(&state.to_map())
        .and_then(|name| schema.identifier_model(&name));
    // Without a name there is nothing to read, and the update will say so.
    let Some(named) = named.filter(|_| schema.handles(Action::Read)) else {
        return Ok(Current::State(None));
    };
    session
        .console
        .say("Reading the current state first; `--previous FILE` would give it.");
    let query = ReadQuery {
        type_name: schema.type_name().clone(),
        scope: session.scope(),
        identifier: JsonObject::from_map(&named),
        token: RequestToken::random(),
        details: details.clone(),
    };
    match engine.read(query).await {
        Ok(model) => Ok(Current::State(Some(model))),
        Err(error) => failed(session, Action::Read, error, None).map(Current::Failed),
    }
}

/// Tells an answer that is no from what could not be asked.
fn failed(
    session: &Session<'_>,
    action: Action,
    error: ReadError,
    output: Option<&mut Output>,
) -> anyhow::Result<Exit> {
    let (answer, words) = match error {
        ReadError::Failed(failure) => (
            Answer::failed(&failure),
            format!("{}: {}", failure.code, failure.message),
        ),
        ReadError::Trapped(trap) => (
            Answer::trapped(&trap),
            format!("the handler did not answer: {trap}"),
        ),
        other => return Err(anyhow::Error::new(other).context(format!("cannot {action}"))),
    };
    match output {
        Some(output) if session.args.json => output.json(&answer),
        Some(_) | None => session
            .console
            .say(format_args!("FAILED       {action}  {}", printable(&words))),
    }
    session.hint_at_grants();
    Ok(Exit::No)
}
