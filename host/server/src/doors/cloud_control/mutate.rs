//! The calls that change a resource.

use formwork_host::engine::{Request, SubmitError};
use formwork_host::model::{Action, ClientToken, HandlerErrorCode, JsonObject, TypeSchema};

use super::convert::{self, Create, Delete, Update};
use super::patch::Patch;
use super::refusal::{Exception, Refusal};
use super::shapes::ProgressEventOutput;
use super::{Caller, identifier, read, violation, wait};

/// Makes a resource.
pub(super) async fn create(
    caller: &Caller<'_>,
    create: Create,
) -> Result<ProgressEventOutput, Refusal> {
    let version = caller.version(&create.target)?;
    let schema = version.schema();
    caller.supports(schema, Action::Create)?;
    let state = JsonObject::parse(create.desired_state).map_err(|error| {
        Refusal::new(
            Exception::InvalidRequest,
            format!("Invalid desired state: {}", super::super::why(&error)),
        )
    })?;
    let request = Request::create(schema.type_name().clone(), state.clone());
    let submission = Submission {
        state: &state,
        client_token: create.client_token,
        unchanged: None,
        named: None,
    };
    submit(caller, schema, request, submission).await
}

/// Changes a resource: reads it, applies the patch, and asks for the result.
pub(super) async fn update(
    caller: &Caller<'_>,
    update: Update,
) -> Result<ProgressEventOutput, Refusal> {
    let version = caller.version(&update.target)?;
    let schema = version.schema();
    caller.supports(schema, Action::Update)?;
    caller.supports(schema, Action::Read)?;
    let named = identifier::model(schema, &update.identifier)?;
    let current = read::current(caller, schema, &named).await?;
    let kept = kept(caller, schema, &current).await?;
    let patch = Patch::read(&update.patch)?;
    let patched = patch.apply(schema, &current, kept.as_ref())?;
    let desired = patched.desired_state;
    let request = Request::update(
        schema.type_name().clone(),
        desired.clone(),
        Some(current.clone()),
    );
    let submission = Submission {
        state: &desired,
        client_token: update.client_token,
        unchanged: (!patched.has_effect).then_some(&current),
        named: Some(&update.identifier),
    };
    submit(caller, schema, request, submission).await
}

/// Gives the write-only properties that were kept of a resource.
async fn kept(
    caller: &Caller<'_>,
    schema: &TypeSchema,
    current: &JsonObject,
) -> Result<Option<JsonObject>, Refusal> {
    let Some(identifier) = schema.identifier(&current.to_map()) else {
        return Ok(None);
    };
    let engine = &caller.house.engine;
    engine
        .kept_write_only(schema.type_name(), &caller.scope, &identifier)
        .await
        .map_err(|error| Refusal::host(&error))
}

/// Removes a resource.
pub(super) async fn delete(
    caller: &Caller<'_>,
    delete: Delete,
) -> Result<ProgressEventOutput, Refusal> {
    let version = caller.version(&delete.target)?;
    let schema = version.schema();
    caller.supports(schema, Action::Delete)?;
    let named = identifier::model(schema, &delete.identifier)?;
    let state = primary(caller, schema, named).await?;
    let request = Request::delete(schema.type_name().clone(), state.clone());
    let submission = Submission {
        state: &state,
        client_token: delete.client_token,
        unchanged: None,
        named: Some(&delete.identifier),
    };
    submit(caller, schema, request, submission).await
}

/// Gives a model that holds the primary identifier, by which operations on one
/// resource are told from those on others. A resource that is gone keeps the
/// name that it was given: its handler says so.
async fn primary(
    caller: &Caller<'_>,
    schema: &TypeSchema,
    named: JsonObject,
) -> Result<JsonObject, Refusal> {
    if schema.identifier(&named.to_map()).is_some() || !schema.handles(Action::Read) {
        return Ok(named);
    }
    match read::current(caller, schema, &named).await {
        Ok(model) => Ok(schema
            .identifier(&model.to_map())
            .and_then(|identifier| schema.identifier_model(&identifier))
            .map_or(named, |model| JsonObject::from_map(&model))),
        Err(refusal) if refusal.exception == Exception::ResourceNotFound => Ok(named),
        Err(refusal) => Err(refusal),
    }
}

/// What goes with a request to the engine.
struct Submission<'a> {
    /// The state that is checked by the schema.
    state: &'a JsonObject,
    client_token: Option<ClientToken>,
    /// The state that the resource has, if that is the one that is asked for.
    unchanged: Option<&'a JsonObject>,
    /// How the caller names the resource.
    named: Option<&'a str>,
}

/// Gives a request to the engine and answers how far it is after the hold.
async fn submit(
    caller: &Caller<'_>,
    schema: &TypeSchema,
    mut request: Request,
    submission: Submission<'_>,
) -> Result<ProgressEventOutput, Refusal> {
    let Submission {
        state,
        client_token,
        unchanged,
        named,
    } = submission;
    request.scope = caller.scope.clone();
    request.client_token.clone_from(&client_token);
    let engine = &caller.house.engine;
    let submitted = match unchanged {
        Some(model) => engine.submit_unchanged(request, model).await,
        None => engine.submit(request).await,
    };
    let handle = submitted.map_err(|error| refused(schema, state, client_token.as_ref(), error))?;
    let operation = wait::settled(caller.house, handle.token()).await?;
    let operation = operation.ok_or_else(|| super::unknown_token(&handle.token().to_string()))?;
    Ok(ProgressEventOutput {
        progress_event: convert::progress_event(&operation, named),
    })
}

/// Says why a request was not accepted.
fn refused(
    schema: &TypeSchema,
    state: &JsonObject,
    client_token: Option<&ClientToken>,
    error: SubmitError,
) -> Refusal {
    match error {
        SubmitError::UnknownType { type_name } => Refusal::no_type(&type_name),
        SubmitError::Unsupported { type_name, action } => super::unsupported(&type_name, action),
        SubmitError::Uncoercible { source, .. } => violation::uncoercible(&source),
        SubmitError::Invalid { violations, .. } => violation::refused(schema, state, &violations),
        SubmitError::ReadOnly { path, .. } => violation::read_only(&path),
        // Whose operation that is, is not this caller's business.
        SubmitError::Busy { .. } => Refusal::new(
            Exception::ConcurrentOperation,
            "Another operation works on the resource; wait for it or cancel it",
        ),
        SubmitError::TokenReused { holder } => {
            let token = client_token.map(ClientToken::as_str).unwrap_or_default();
            Refusal::new(
                Exception::ClientTokenConflict,
                format!(
                    "ClientToken {token} is already associated with an existing operation with RequestToken {holder}"
                ),
            )
        }
        error @ (SubmitError::Stopped | SubmitError::Store(_)) => Refusal::host(&error),
        error => match error.fault() {
            Some(fault) if fault.code == HandlerErrorCode::InvalidRequest => {
                Refusal::new(Exception::InvalidRequest, fault.message)
            }
            Some(_) | None => Refusal::host(&error),
        },
    }
}
