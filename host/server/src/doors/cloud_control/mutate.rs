//! The calls that change a resource.
//!
//! *Invariant*: what is sent again with its client token is one request, also
//! where its first try has changed what a READ gives.
//!
//! *Invariant*: no update is lost: a patch is applied to the state that the last
//! operation left, or refused.

use std::future::Future;

use formwork_host::engine::{Fingerprint, OperationHandle, Request, SubmitError};
use formwork_host::model::{
    Action, ClientToken, HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier, TypeSchema,
};
use formwork_host::store::Basis;

use super::super::hefty;
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
    let mut request = Request::create(schema.type_name().clone(), state.clone());
    request.client_token = create.client_token;
    let handle = submit(caller, schema, request, &state, None).await?;
    answer(caller, &handle, None).await
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
    let said = [update.identifier.as_str(), &update.patch];
    let asked = Asked {
        fingerprint: Fingerprint::new(schema.type_name(), Mutation::Update, &said),
        client_token: update.client_token,
    };
    let attempt = async {
        let (current, basis) = state(caller, schema, &named).await?;
        let kept = kept(caller, schema, &current).await?;
        hefty::run(current.as_str().len(), async {
            let patch = Patch::read(&update.patch)?;
            let patched = patch.apply(schema, &current, kept.as_ref())?;
            let desired = patched.desired_state;
            let mut request = Request::update(
                schema.type_name().clone(),
                desired.clone(),
                Some(current.clone()),
            );
            request.basis = basis;
            asked.put_into(&mut request);
            let unchanged = (!patched.has_effect).then_some(&current);
            submit(caller, schema, request, &desired, unchanged).await
        })
        .await
    };
    let handle = once(caller, &asked, attempt).await?;
    answer(caller, &handle, Some(&update.identifier)).await
}

/// Reads the state of a resource, and tells what it is based on. An operation is
/// known by the primary identifier, which a READ may have to find first.
async fn state(
    caller: &Caller<'_>,
    schema: &TypeSchema,
    named: &JsonObject,
) -> Result<(JsonObject, Option<Basis>), Refusal> {
    let mut identifier = schema.identifier(&named.to_map());
    for _ in 0..2 {
        let basis = basis(caller, schema, identifier.as_ref()).await?;
        let current = match read::current(caller, schema, named).await {
            Ok(current) => current,
            // While another operation works on it, a READ may find anything.
            Err(_) if self::basis(caller, schema, identifier.as_ref()).await? != basis => break,
            Err(refusal) => return Err(refusal),
        };
        let found = schema.identifier(&current.to_map());
        if found.is_none() || found == identifier {
            return Ok((current, basis));
        }
        identifier = found;
    }
    Err(overtaken())
}

/// Gives what the state of a resource is based on, if its name is known.
async fn basis(
    caller: &Caller<'_>,
    schema: &TypeSchema,
    identifier: Option<&PrimaryIdentifier>,
) -> Result<Option<Basis>, Refusal> {
    let Some(identifier) = identifier else {
        return Ok(None);
    };
    let engine = &caller.house.engine;
    let basis = engine.basis(schema.type_name(), &caller.scope, identifier);
    let basis = basis.await.map_err(|error| not_begun(None, &error))?;
    Ok(Some(basis))
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
    let said = [delete.identifier.as_str()];
    let asked = Asked {
        fingerprint: Fingerprint::new(schema.type_name(), Mutation::Delete, &said),
        client_token: delete.client_token,
    };
    let attempt = async {
        let state = primary(caller, schema, named).await?;
        let mut request = Request::delete(schema.type_name().clone(), state.clone());
        asked.put_into(&mut request);
        submit(caller, schema, request, &state, None).await
    };
    let handle = once(caller, &asked, attempt).await?;
    answer(caller, &handle, Some(&delete.identifier)).await
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

/// What a caller asked for, by which a repeat is known that reads another state
/// than its first try.
struct Asked {
    fingerprint: Fingerprint,
    client_token: Option<ClientToken>,
}

impl Asked {
    fn put_into(&self, request: &mut Request) {
        request.client_token.clone_from(&self.client_token);
        request.fingerprint = Some(self.fingerprint.clone());
    }

    /// Gives the operation of an earlier try.
    async fn replayed(&self, caller: &Caller<'_>) -> Result<Option<OperationHandle>, Refusal> {
        let Some(token) = &self.client_token else {
            return Ok(None);
        };
        let engine = &caller.house.engine;
        let replayed = engine.replayed(&caller.scope, token, &self.fingerprint);
        replayed
            .await
            .map_err(|error| not_begun(Some(token), &error))
    }
}

/// Makes an attempt that begins with a READ, unless it is a repeat.
async fn once(
    caller: &Caller<'_>,
    asked: &Asked,
    attempt: impl Future<Output = Result<OperationHandle, Refusal>>,
) -> Result<OperationHandle, Refusal> {
    if let Some(handle) = asked.replayed(caller).await? {
        return Ok(handle);
    }
    match attempt.await {
        Ok(handle) => Ok(handle),
        // A try beside this one may have been faster, and changed what was read.
        Err(refusal) => asked.replayed(caller).await?.ok_or(refusal),
    }
}

/// Gives a request to the engine. `state` is what is checked by the schema, and
/// `unchanged` the state that the resource has, if that is the one that is asked
/// for.
async fn submit(
    caller: &Caller<'_>,
    schema: &TypeSchema,
    mut request: Request,
    state: &JsonObject,
    unchanged: Option<&JsonObject>,
) -> Result<OperationHandle, Refusal> {
    request.scope = caller.scope.clone();
    let client_token = request.client_token.clone();
    let engine = &caller.house.engine;
    let submitted = match unchanged {
        Some(model) => engine.submit_unchanged(request, model).await,
        None => engine.submit(request).await,
    };
    submitted.map_err(|error| refused(schema, state, client_token.as_ref(), error))
}

/// Answers how far an operation is after the hold. `named` is how the caller
/// names the resource.
async fn answer(
    caller: &Caller<'_>,
    handle: &OperationHandle,
    named: Option<&str>,
) -> Result<ProgressEventOutput, Refusal> {
    let operation = wait::held(caller.house, handle).await?;
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
        error => match error.fault() {
            Some(fault) if fault.code == HandlerErrorCode::InvalidRequest => {
                Refusal::new(Exception::InvalidRequest, fault.message)
            }
            Some(_) | None => not_begun(client_token, &error),
        },
    }
}

/// Says why a request was not accepted that nothing is wrong with.
fn not_begun(client_token: Option<&ClientToken>, error: &SubmitError) -> Refusal {
    match error {
        // Whose operation that is, is not this caller's business.
        SubmitError::Busy { .. } => Refusal::new(
            Exception::ConcurrentOperation,
            "Another operation works on the resource; wait for it or cancel it",
        ),
        SubmitError::Overtaken { .. } => overtaken(),
        SubmitError::TokenReused { holder } => {
            let token = client_token.map(ClientToken::as_str).unwrap_or_default();
            Refusal::new(
                Exception::ClientTokenConflict,
                format!(
                    "ClientToken {token} is already associated with an existing operation with RequestToken {holder}"
                ),
            )
        }
        error => Refusal::host(error),
    }
}

fn overtaken() -> Refusal {
    Refusal::new(
        Exception::ConcurrentOperation,
        "Another operation has worked on the resource meanwhile; try again",
    )
}
