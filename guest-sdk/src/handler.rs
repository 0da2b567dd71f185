//! What a handler implements.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{HandlerError, Result};
use crate::event::{DeleteEvent, Page, ProgressEvent};
use crate::json::PropertyPath;
use crate::request::{ListRequest, Request};

/// What a component says of itself. Implemented by the attribute
/// [`resource`](macro@crate::resource).
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no resource type schema",
    note = "put `#[formwork_guest::resource(schema = \"schema.json\")]` on `impl ResourceHandler for {Self}`"
)]
pub trait ResourceType {
    /// The JSON text of the resource type schema.
    const SCHEMA: &'static str;
    /// Outgoing HTTP destinations that the handler wishes to reach.
    const OUTGOING_HOSTS: &'static [&'static str];
    /// The properties that the schema calls write-only.
    const WRITE_ONLY: &'static [PropertyPath];
}

/// A resource type: what its properties are, and how its resources are
/// created, read, updated, deleted and listed.
///
/// Implement those functions that the schema's `handlers` names, and put the
/// attribute [`resource`](macro@crate::resource) on the `impl` block; it checks
/// that the two agree. Where `CallbackContext` or `Identifier` is left out, the
/// attribute fills in [`Steps`](crate::Steps) and the `Model`.
///
/// Each invocation runs in a fresh instance: nothing that is kept in memory
/// survives it. What the next invocation needs travels in the model and in the
/// callback context. An invocation can be repeated after a crash, with the same
/// request token, so a create must not make a second resource for one token.
pub trait ResourceHandler: ResourceType {
    /// The properties of a resource. A property without a value is left out of
    /// every answer, so `Option` and `None` are all it takes.
    type Model: Serialize + DeserializeOwned;

    /// What reads and deletes are given: the primary identifier or an
    /// additional one, while every other property may be missing.
    type Identifier: Serialize + DeserializeOwned;

    /// What an in-progress event gives back to the handler itself; the default
    /// on the first invocation.
    type CallbackContext: Serialize + DeserializeOwned + Default;

    /// Brings a new resource into its desired state.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the resource existed before. An error after something
    /// was made has to name it: see [`Request::created`].
    fn create(
        request: &Request,
        desired: Self::Model,
        context: Self::CallbackContext,
    ) -> Result<ProgressEvent<Self::Model, Self::CallbackContext>> {
        let _ = (desired, context);
        Err(missing(request, "create"))
    }

    /// Gives the current state of a resource.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such resource.
    fn read(request: &Request, identifier: Self::Identifier) -> Result<Self::Model> {
        let _ = identifier;
        Err(missing(request, "read"))
    }

    /// Brings an existing resource into its desired state. Collections are
    /// replaced as a whole. `previous` is what it was, where the host knows.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such resource: an update never creates.
    fn update(
        request: &Request,
        desired: Self::Model,
        previous: Option<Self::Model>,
        context: Self::CallbackContext,
    ) -> Result<ProgressEvent<Self::Model, Self::CallbackContext>> {
        let _ = (desired, previous, context);
        Err(missing(request, "update"))
    }

    /// Removes a resource.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such resource.
    fn delete(
        request: &Request,
        identifier: Self::Identifier,
        context: Self::CallbackContext,
    ) -> Result<DeleteEvent<Self::Identifier, Self::CallbackContext>> {
        let _ = (identifier, context);
        Err(missing(request, "delete"))
    }

    /// Gives one page of the resources of this type.
    ///
    /// # Errors
    ///
    /// Whatever hinders it; having no resources is an empty page.
    fn list(request: &Request, page: ListRequest) -> Result<Page<Self::Model>> {
        let _ = page;
        Err(missing(request, "list"))
    }
}

fn missing(request: &Request, function: &str) -> HandlerError {
    HandlerError::internal_failure(format!(
        "the handler of {} has no function `{function}`; implement it, or leave it out of the \
         schema's `handlers`",
        request.type_name
    ))
}
