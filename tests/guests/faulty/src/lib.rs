//! `Formwork::Tests::Thing`: a correct handler that can be given one bug.
//!
//! A thing is kept as a file in the granted directory. Where that directory holds
//! a file named `bug`, the handler has the [`Bug`] that it names, in this
//! invocation; a name that is none traps with the list of all. An operation has
//! no callbacks unless its thing has a `Delay`, and two if it has.
//!
//! The package `faulty-assigned` is the same handler for
//! `Formwork::Tests::AssignedThing`, whose primary identifier is the read-only
//! `Id` instead of the `Name`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `KEY.json` | the thing with that primary identifier |
//! | `KEY.gone` | one that was deleted, so that a repeated delete finds that it was its own |

mod bug;
mod record;
mod spoil;
mod thing;

pub use bug::Bug;
pub use thing::{Context, Settings, Tag, Thing, Things};

use formwork_guest::Component;
use formwork_guest::bindings::exports::formwork::handler::resource::Guest;
use formwork_guest::bindings::formwork::handler::types as wit;

/// The guest. It wraps the typed handler of [`Things`], for much of what a bug
/// answers the typed handler could not.
#[derive(Debug)]
pub struct Faulty;

#[cfg(target_family = "wasm")]
formwork_guest::bindings::export!(Faulty with_types_in formwork_guest::bindings);

impl Guest for Faulty {
    fn describe() -> wit::Description {
        Component::<Things>::describe()
    }

    fn create(
        request: wit::Request,
        desired: String,
        context: Option<String>,
    ) -> wit::ProgressEvent {
        let bug = Bug::active();
        spoil::create_itself(bug);
        if let Some(failure) = spoil::repeat(bug, &request, "create", context.as_deref()) {
            return wit::ProgressEvent::Failed(failure);
        }
        let ends_chain = context.is_some();
        let mut event = Component::<Things>::create(request, desired, context);
        spoil::create(bug, ends_chain, &mut event);
        spoil::progress(bug, &mut event);
        event
    }

    fn read(request: wit::Request, identifier: String) -> Result<String, wit::ReadFailure> {
        let bug = Bug::active();
        spoil::read_itself(bug);
        let mut answer = Component::<Things>::read(request, identifier);
        spoil::read(bug, &mut answer);
        answer
    }

    fn update(
        request: wit::Request,
        desired: String,
        previous: Option<String>,
        context: Option<String>,
    ) -> wit::ProgressEvent {
        let bug = Bug::active();
        if let Some(failure) = spoil::repeat(bug, &request, "update", context.as_deref()) {
            return wit::ProgressEvent::Failed(failure);
        }
        let mut event = Component::<Things>::update(request, desired.clone(), previous, context);
        spoil::update(bug, &desired, &mut event);
        spoil::progress(bug, &mut event);
        event
    }

    fn delete(request: wit::Request, state: String, context: Option<String>) -> wit::DeleteEvent {
        let bug = Bug::active();
        spoil::delete_itself(bug);
        if let Some(failure) = spoil::repeat(bug, &request, "delete", context.as_deref()) {
            return wit::DeleteEvent::Failed(failure);
        }
        let mut event = Component::<Things>::delete(request, state, context);
        spoil::delete(bug, &mut event);
        event
    }

    fn list(request: wit::Request, page: wit::ListRequest) -> Result<wit::Page, wit::ReadFailure> {
        let bug = Bug::active();
        let mut answer = Component::<Things>::list(request, page.clone());
        spoil::list(bug, &page, &mut answer);
        answer
    }
}

/// The first directory that is granted is the root of a guest's file system.
#[cfg(not(test))]
fn root() -> std::path::PathBuf {
    std::path::PathBuf::from("/")
}

#[cfg(test)]
use tests::root;

#[cfg(test)]
mod tests;
