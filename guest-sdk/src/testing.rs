//! Walks a handler through whole operations natively, as the host would.
//!
//! The driver makes each invocation over the contract itself: JSON text in,
//! JSON text out. It follows callbacks on a manual clock, so delays cost
//! nothing, and gives each invocation what the host gives: the context and the
//! model of the last event, write-only values kept, one client request token for
//! the operation, and counters of invocations and attempts. It panics, with the
//! transcript, where a handler breaks the contract.
//!
//! ```
//! # use formwork_guest::{ProgressEvent, Request, ResourceHandler, Result, Steps};
//! # #[derive(serde::Serialize, serde::Deserialize)] struct Model { #[serde(rename = "Name")] name: String }
//! # struct Thing;
//! # #[formwork_guest::resource(schema_inline = r#"{"typeName": "Acme::Desk::Thing", "description": "",
//! #   "properties": {"Name": {"type": "string"}}, "primaryIdentifier": ["/properties/Name"],
//! #   "additionalProperties": false, "handlers": {"create": {"permissions": []}}}"#)]
//! # impl ResourceHandler for Thing {
//! #     type Model = Model;
//! #     fn create(_: &Request, desired: Model, _: Steps) -> Result<ProgressEvent<Model>> {
//! #         Ok(ProgressEvent::success(desired))
//! #     }
//! # }
//! # fn main() {
//! use formwork_guest::testing::Driver;
//! use serde_json::json;
//!
//! let mut driver = Driver::<Thing>::new();
//! let created = driver.create(json!({"Name": "a"}));
//! assert_eq!(created.success(), &json!({"Name": "a"}));
//! assert_eq!(created.invocations.len(), 1);
//! # }
//! ```

mod contract;
mod run;
mod template;

use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::exports::formwork::handler::resource::Guest;
use crate::bindings::formwork::handler::types as wit;
use crate::clock;
use crate::component::Component;
use crate::error::{ErrorCode, HandlerError};
use crate::handler::ResourceHandler;
use crate::log;
use contract::Contract;
pub use run::{Answer, Invocation, Listed, Outcome, Run};

/// How many invocations an operation may take, unless [`Driver::invocation_cap`]
/// says otherwise. A host allows more; a test wants to know sooner.
const INVOCATION_CAP: u32 = 1_000;

/// How often the host makes an invocation that fails with a retriable code.
const ATTEMPTS: u32 = 3;

/// How long the host waits before the second attempt; twice as long each time after.
const BACKOFF: Duration = Duration::from_secs(1);

/// Walks the handler `H` through operations.
#[derive(Debug)]
pub struct Driver<H> {
    now: SystemTime,
    operations: u32,
    token: Option<String>,
    repeats: u32,
    invocation_cap: u32,
    template: wit::Request,
    contract: Contract,
    handler: PhantomData<H>,
}

impl<H: ResourceHandler> Default for Driver<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: ResourceHandler> Driver<H> {
    /// Makes a driver. Its clock stands at 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        let contract = Contract::of::<H>();
        Self {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
            operations: 0,
            token: None,
            repeats: 1,
            invocation_cap: INVOCATION_CAP,
            template: template::request(contract.type_name.clone()),
            contract,
            handler: PhantomData,
        }
    }

    /// Gives the next operation its client request token; else each has its own.
    pub fn token(&mut self, token: impl Into<String>) -> &mut Self {
        self.token = Some(token.into());
        self
    }

    /// Makes each invocation so many times with the same input, as a host does
    /// that crashed before its commit. The last answer counts.
    pub fn repeat_each(&mut self, times: u32) -> &mut Self {
        self.repeats = times.max(1);
        self
    }

    /// Allows an operation so many invocations.
    pub fn invocation_cap(&mut self, invocations: u32) -> &mut Self {
        self.invocation_cap = invocations;
        self
    }

    /// Changes what accompanies every invocation, such as region and tags. The
    /// driver sets token, times and counters.
    pub fn request(&mut self, change: impl FnOnce(&mut wit::Request)) -> &mut Self {
        change(&mut self.template);
        self
    }

    /// Sets the account-level configuration of the type.
    pub fn type_configuration(&mut self, configuration: &impl Serialize) -> &mut Self {
        let configuration = text_of(configuration);
        self.request(|request| request.type_configuration = Some(configuration))
    }

    /// Gives the time of the manual clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.now
    }

    /// Moves the manual clock on.
    pub fn advance(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// Creates a resource and follows the chain to its end.
    ///
    /// # Panics
    ///
    /// When the handler breaks the contract, or panics itself.
    pub fn create(&mut self, desired: impl Serialize) -> Run {
        self.contract.expect_handler("create");
        self.chain("create", object_of(&desired), |request, state, context| {
            Component::<H>::create(request, state, context).into()
        })
    }

    /// Updates a resource and follows the chain to its end.
    ///
    /// # Panics
    ///
    /// When the handler breaks the contract, or panics itself.
    pub fn update(&mut self, previous: impl Serialize, desired: impl Serialize) -> Run {
        self.contract.expect_handler("update");
        let previous = text_of(&previous);
        self.chain("update", object_of(&desired), |request, state, context| {
            Component::<H>::update(request, state, Some(previous.clone()), context).into()
        })
    }

    /// Deletes a resource and follows the chain to its end.
    ///
    /// # Panics
    ///
    /// When the handler breaks the contract, or panics itself.
    pub fn delete(&mut self, identifier: impl Serialize) -> Run {
        self.contract.expect_handler("delete");
        self.chain(
            "delete",
            object_of(&identifier),
            |request, state, context| Component::<H>::delete(request, state, context).into(),
        )
    }

    /// Reads a resource.
    ///
    /// # Errors
    ///
    /// Gives the handler's failure.
    ///
    /// # Panics
    ///
    /// When the handler breaks the contract, or panics itself.
    pub fn read(&mut self, identifier: impl Serialize) -> Result<Value, HandlerError> {
        self.contract.expect_handler("read");
        let identifier = text_of(&identifier);
        let read = |request| Component::<H>::read(request, identifier.clone());
        let model = self.invoke_once(read).map_err(failed_read)?;
        let model = parsed("a read", &model);
        self.contract.check_finished("read", &model);
        Ok(Value::Object(model))
    }

    /// Lists all resources, page by page, with at most `page_size` on each.
    ///
    /// # Errors
    ///
    /// Gives the handler's failure.
    ///
    /// # Panics
    ///
    /// When the handler breaks the contract, or panics itself.
    pub fn list(&mut self, page_size: u32) -> Result<Listed, HandlerError> {
        self.pages(page_size, None)
    }

    /// Lists the resources that have certain properties.
    ///
    /// # Errors
    ///
    /// Gives the handler's failure.
    ///
    /// # Panics
    ///
    /// When the handler breaks the contract, or panics itself.
    pub fn list_where(
        &mut self,
        page_size: u32,
        filter: &impl Serialize,
    ) -> Result<Listed, HandlerError> {
        self.pages(page_size, Some(&text_of(filter)))
    }

    fn pages(&mut self, page_size: u32, filter: Option<&str>) -> Result<Listed, HandlerError> {
        self.contract.expect_handler("list");
        let mut listed = Listed { pages: Vec::new() };
        let mut next_token: Option<String> = None;
        loop {
            let page = wit::ListRequest {
                filter: filter.map(String::from),
                next_token: next_token.clone(),
                max_results: Some(page_size),
            };
            let page = self
                .invoke_once(|request| Component::<H>::list(request, page.clone()))
                .map_err(failed_read)?;
            let mut models = Vec::new();
            for model in &page.models {
                let model = parsed("a list", model);
                self.contract.check_finished("list", &model);
                models.push(Value::Object(model));
            }
            listed.pages.push(models);
            assert!(
                page.next_token.is_none() || page.next_token != next_token,
                "the list gives the same next token twice: {next_token:?}"
            );
            next_token = page.next_token;
            if next_token.is_none() {
                return Ok(listed);
            }
            let cap = self.invocation_cap as usize;
            assert!(
                listed.pages.len() < cap,
                "the list does not end after {cap} pages"
            );
        }
    }

    fn next_request(&mut self) -> wit::Request {
        self.operations += 1;
        let made_up = || format!("token-{}", self.operations);
        wit::Request {
            client_request_token: self.token.take().unwrap_or_else(made_up),
            start_time: milliseconds(self.now),
            deadline: milliseconds(self.now + Duration::from_secs(30)),
            ..self.template.clone()
        }
    }

    fn invoke_once<T>(&mut self, call: impl Fn(wit::Request) -> T) -> T {
        let request = self.next_request();
        let mut answer = at(self.now, || call(request.clone())).0;
        for _ in 1..self.repeats {
            answer = at(self.now, || call(request.clone())).0;
        }
        answer
    }

    /// Follows one operation to its end.
    fn chain(
        &mut self,
        action: &'static str,
        desired: Map<String, Value>,
        call: impl Fn(wit::Request, String, Option<String>) -> Answer,
    ) -> Run {
        let mut request = self.next_request();
        let deadline = self.now + self.contract.timeout(action);
        request.deadline = milliseconds(deadline);
        let mut state = desired;
        let mut context: Option<String> = None;
        let mut run = Run::new(action, request.client_request_token.clone());
        let mut identifier = self.contract.identifier(&state);
        loop {
            let text = Value::Object(state.clone()).to_string();
            let invoke = || call(request.clone(), text.clone(), context.clone());
            let (mut answer, mut lines) = at(self.now, invoke);
            for _ in 1..self.repeats {
                (answer, lines) = at(self.now, invoke);
            }
            run.push(&request, &answer, lines);
            self.contract.check(&run, &answer, &mut identifier);
            let delay = match answer {
                Answer::Success { model, .. } => return run.end(Outcome::Success(model)),
                Answer::Deleted { .. } => return run.end(Outcome::Deleted),
                Answer::Failed(error) => {
                    if !error.code().is_retriable() || request.attempt >= ATTEMPTS {
                        return run.end(Outcome::Failed(error));
                    }
                    let backoff = BACKOFF * 2_u32.pow(request.attempt - 1);
                    request.attempt += 1;
                    backoff
                }
                Answer::InProgress {
                    delay,
                    context: next,
                    model,
                    ..
                } => {
                    if let Some(Value::Object(model)) = model {
                        state = self.contract.keep_write_only(model, &state);
                    }
                    context = next.map(|next| next.to_string());
                    let Some(delay) = delay else {
                        return run.end(Outcome::WaitsForRecord);
                    };
                    request.invocation += 1;
                    request.attempt = 1;
                    delay
                }
            };
            self.now += delay;
            if self.now >= deadline {
                self.now = deadline;
                let error = HandlerError::not_stabilized("the operation reached its deadline");
                return run.end(Outcome::Failed(error));
            }
            assert!(
                request.invocation <= self.invocation_cap,
                "the operation does not end after {} invocations\n{run}",
                self.invocation_cap
            );
        }
    }
}

/// Makes a call at a time of the manual clock, and gives the lines that it logged.
fn at<T>(now: SystemTime, call: impl FnOnce() -> T) -> (T, Vec<(log::Level, String)>) {
    /// Puts clock and log back, also when the handler panics.
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            clock::native::NOW.set(None);
            log::native::LINES.set(None);
        }
    }
    let _reset = Reset;
    clock::native::NOW.set(Some(now));
    log::native::LINES.set(Some(Vec::new()));
    let answer = call();
    (answer, log::native::LINES.take().unwrap_or_default())
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn failed_read(failure: wit::ReadFailure) -> HandlerError {
    HandlerError::new(ErrorCode::from(failure.code), failure.message)
}

fn object_of(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        Ok(other) => panic!("a model is a JSON object, not {other}"),
        Err(error) => panic!("the model of a test cannot be written: {error}"),
    }
}

fn text_of(value: &impl Serialize) -> String {
    Value::Object(object_of(value)).to_string()
}

fn parsed(what: &str, text: &str) -> Map<String, Value> {
    match serde_json::from_str(text) {
        Ok(object) => object,
        Err(error) => panic!("{what} answers what is no JSON object ({error}): {text}"),
    }
}
