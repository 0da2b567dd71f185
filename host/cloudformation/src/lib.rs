//! Reports the progress of Formwork operations to CloudFormation through
//! RecordHandlerProgress.
//!
//! [`CloudFormationReporter`] is a [`Reporter`] for the engine:
//!
//! ```no_run
//! use formwork_cloudformation::CloudFormationReporter;
//! use formwork_host::engine::Reporter;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Region and credentials come from where every AWS program finds them.
//! let reporter = CloudFormationReporter::builder()
//!     .region("eu-central-1".parse()?)
//!     .build()
//!     .await?;
//! let reporter: Box<dyn Reporter> = Box::new(reporter);
//! # let _ = reporter;
//! # Ok(())
//! # }
//! ```
//!
//! # What is sent
//!
//! | parameter | value |
//! | --- | --- |
//! | `BearerToken` | the capability that came with the request |
//! | `OperationStatus` | `IN_PROGRESS`, `SUCCESS` or `FAILED` |
//! | `CurrentOperationStatus` | `PENDING` for the acknowledgement, else `IN_PROGRESS` |
//! | `StatusMessage` | the message, cut to 1,024 characters; absent if there is none |
//! | `ErrorCode` | for `FAILED`: one of the 19 codes that the call takes |
//! | `ResourceModel` | the model, up to 16,384 characters; a larger one is left out, and the message says so |
//! | `ClientRequestToken` | the request token and the version of the event, so a repeat is recognizable |
//!
//! Two handler error codes are none of the 19. `UnauthorizedTaggingOperation` is
//! sent as `AccessDenied`, which it is a case of; `ServiceTimeout` as
//! `NotStabilized`, the code that AWS's own model of the call names
//! `ServiceTimeout`. The message then begins with the handler's code. A
//! cancelled operation is `FAILED` with `InternalFailure` and the message
//! "cancelled", since CloudFormation knows no cancel.
//!
//! # Endpoints that requests bring
//!
//! A request may say to which endpoint its progress is to be reported, so
//! whoever may send requests chooses an address that this host calls, with
//! what is signed by the reporter's own credentials unless the request brings
//! some (a signature holds for that address alone, and the secret key is never
//! sent). An endpoint must be an `https` URL, or an `http` URL of the loopback
//! interface, without user name, query or fragment; redirects are not followed,
//! and what the endpoint answers is shown to nobody but as an error code and
//! one line of text. This does not keep a caller from naming an address of your
//! own network: take endpoints from callers that you trust, or drop them before
//! the request is accepted, or confine the host's outgoing connections.
//!
//! # Credentials for what handlers ask of AWS
//!
//! [`AwsCredentials`] are those of the operator, which the host signs the requests
//! of handlers with: a [`CredentialsSource`] for a [`SigningGrant`].
//!
//! *Invariant*: neither a bearer token nor credentials reach a log, an error or
//! a [`Delivery`]. (The AWS SDK's own events at the `trace` level are the SDK's;
//! keep them off.)
//!
//! *Invariant*: each outcome of a call is one [`Delivery`]; one that may have
//! arrived is never taken for one that has not.
//!
//! [`Reporter`]: formwork_host::engine::Reporter
//! [`Delivery`]: formwork_host::operation::Delivery
//! [`CredentialsSource`]: formwork_host::sandbox::CredentialsSource
//! [`SigningGrant`]: formwork_host::sandbox::SigningGrant

mod classify;
mod credentials;
mod endpoint;
mod parameters;
mod reporter;

pub use credentials::AwsCredentials;
pub use endpoint::{EndpointError, check_endpoint};
pub use parameters::{wire_delay, wire_failure};
pub use reporter::{BuildError, Builder, CloudFormationReporter};
