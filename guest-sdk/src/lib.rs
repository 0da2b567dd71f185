//! Write CloudFormation resource-type handlers in Rust for the Formwork host.
//!
//! A handler is one component: a [`ResourceHandler`] under the attribute
//! [`resource`](macro@resource). This is a whole one:
//!
//! ```
//! use std::fs;
//! use formwork_guest::{DeleteEvent, ProgressEvent, Request, ResourceHandler, Result, Steps};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! #[serde(rename_all = "PascalCase")]
//! struct Note {
//!     name: String,
//!     text: Option<String>,
//! }
//!
//! struct Notes;
//!
//! #[formwork_guest::resource(schema_inline = r#"{
//!     "typeName": "Acme::Desk::Note",
//!     "description": "A note in a granted directory.",
//!     "properties": {"Name": {"type": "string", "pattern": "^\\w+$"}, "Text": {"type": "string"}},
//!     "required": ["Name"],
//!     "primaryIdentifier": ["/properties/Name"],
//!     "createOnlyProperties": ["/properties/Name"],
//!     "additionalProperties": false,
//!     "handlers": {"create": {"permissions": []}, "read": {"permissions": []}, "delete": {"permissions": []}}
//! }"#)]
//! impl ResourceHandler for Notes {
//!     type Model = Note;
//!
//!     fn create(_: &Request, desired: Note, _: Steps) -> Result<ProgressEvent<Note>> {
//!         let mut file = fs::File::create_new(format!("/{}", desired.name))?;
//!         std::io::Write::write_all(&mut file, desired.text.as_deref().unwrap_or("").as_bytes())?;
//!         Ok(ProgressEvent::success(desired))
//!     }
//!     fn read(_: &Request, Note { name, .. }: Note) -> Result<Note> {
//!         Ok(Note { text: Some(fs::read_to_string(format!("/{name}"))?), name })
//!     }
//!     fn delete(_: &Request, note: Note, _: Steps) -> Result<DeleteEvent<Note>> {
//!         fs::remove_file(format!("/{}", note.name))?;
//!         Ok(DeleteEvent::deleted())
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! It is a `cdylib` that `guest-sdk/build-guest` builds. Natively it is an
//! ordinary library, and [`testing::Driver`] walks it through whole operations
//! in its unit tests.
//!
//! - Work that takes more than one invocation is a [`Chain`] of named steps.
//! - A failure is an `Err`: `?` turns an I/O error into a [`HandlerError`] with
//!   the code that fits, [`OrFail`] any other error.
//! - Lines for the operator go through [`log`].
//! - HTTP requests are made with the module `http`, behind the feature `http`.
//! - A panic is a trap. The host never takes it for an answer: it repeats the
//!   invocation and gives up after a few attempts.

pub mod bindings;
mod chain;
mod clock;
mod component;
mod error;
mod event;
mod handler;
#[cfg(feature = "http")]
pub mod http;
mod json;
pub mod log;
mod request;
// Handlers are tested natively, so a component never holds the driver.
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use chain::{Chain, Every, Stability, Steps, Stop};
pub use component::Component;
pub use error::{ErrorCode, HandlerError, OrFail, Result};
pub use event::{Callback, DeleteEvent, InProgress, Page, ProgressEvent};
pub use formwork_guest_macros::resource;
pub use handler::{ResourceHandler, ResourceType};
pub use json::{JsonObject, PropertyPath};
pub use request::{Credentials, ListRequest, Request};

/// The handler in the README is tested like the one above.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
