//! The vocabulary of the engine: names, tokens, schemas, requests and progress events.
//!
//! Everything here is pure: no clock, no I/O, no async.
//!
//! *Invariant*: an in-progress event has no error code and no list; a success no
//! code and no delay; a failure a code and a message ([`ProgressEvent`]).
//!
//! *Invariant*: a primary identifier has as many parts as its schema says, none
//! empty ([`PrimaryIdentifier`]).
//!
//! *Invariant*: a bearer token has no `Display` and a redacted `Debug`, and JSON
//! objects, which may hold secrets, show only their size ([`BearerToken`],
//! [`JsonObject`]).

mod code;
mod coerce;
mod event;
mod foreign;
mod json;
mod name;
mod output;
mod path;
mod request;
mod schema;
mod time;
mod token;
mod trap;

pub use code::HandlerErrorCode;
pub use coerce::{CoercionError, stringify};
pub use event::{Callback, ListPage, ProgressEvent, ReadFailure};
pub use foreign::steers;
pub use json::{JsonObject, JsonObjectError, parse_value};
pub use name::{AccountId, InvalidName, PrimaryIdentifier, Region, Scope, TypeName};
pub use output::{Answer, ReadAnswer, Warning};
pub use path::{PropertyPath, PropertyPathError};
pub use request::{Action, Call, Credentials, Invocation, ListRequest, Mutation, RequestDetails};
pub use schema::{
    Collection, HandlerDefinition, SchemaError, SchemaFault, SchemaOddity, SchemaWarning, Tagging,
    TypeSchema, Violation,
};
pub use time::Timestamp;
pub use token::{BearerToken, ClientToken, Digest, InvalidToken, RequestToken};
pub use trap::{Trap, TrapKind};

pub(crate) use schema::escaped;
pub(crate) use token::RequestTokens;
