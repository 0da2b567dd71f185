//! `Formwork::Tests::Scripted`: a guest that does what its desired state says.
//!
//! The property `Script` holds one step for each invocation of an operation; the
//! last step stands for all that follow. Where there is no `Script`, as in a
//! READ, a LIST or a DELETE by identifier, the steps stand in the `Name` behind
//! `!`, joined by `;`: `x!in-progress:1;success`. Without either, each
//! invocation succeeds. A LIST takes its name from the filter; it gives as many
//! resources as the filter's `Count` says (default 3), in pages of max-results
//! (default 2).
//!
//! Every message ends with a record of its invocation,
//! `[CREATE invocation=2 attempt=1 token=…]`, and every in-progress event gives
//! the callback context `{"seen":["CREATE 1.1","CREATE 2.1"]}`: the invocations
//! and attempts whose events the host has committed. A success adds the read-only
//! `Id`, `id-NAME`.
//!
//! A step can be several, joined by ` & `; all but the last have to be such that
//! do something and go on.
//!
//! | answers | |
//! | --- | --- |
//! | `success` | the model |
//! | `in-progress[:SECONDS]` | with the model |
//! | `in-progress-no-model[:SECONDS]` | without one |
//! | `in-progress-no-callback` | and waits to be recorded from outside |
//! | `fail:CODE[:MESSAGE]` | with a code in CloudFormation's words, `NotFound` |
//! | `fail-with-model:CODE[:MESSAGE]` | the same, naming the model |
//! | `fail-empty:CODE` | without words |
//! | `attempts:N:CODE` | fails before attempt N, which succeeds |
//! | `attempts-trap:N` | traps before attempt N, which succeeds |
//! | `invalid-json`, `array-json` | a model that is no JSON, that is no object |
//! | `null-model`, `wrong-type` | a null `Note`, a `Count` that is a string |
//! | `no-identifier`, `change-identifier` | no `Name`, another `Name` |
//! | `leak-secret` | with `Secret` |
//! | `big-answer:BYTES`, `big-message:BYTES`, `big-context:BYTES` | so many bytes; the last in progress |
//!
//! | does something, and goes on | |
//! | --- | --- |
//! | `note:TEXT` | sets `Note`, as all that find something out do |
//! | `log:N`, `log-bytes:N` | writes N lines, their levels in turn; one line of N bytes |
//! | `stdout:TEXT`, `stderr:TEXT` | prints a line |
//! | `env` | finds arguments, environment, files of the root, standard input |
//! | `clock`, `random` | finds the wall clock in milliseconds; 16 random digits |
//! | `state` | finds how often this instance was called |
//! | `echo-request` | finds the request and the states |
//! | `read-file:PATH`, `write-file:PATH` | finds the contents or the error |
//! | `record` | adds a line of JSON to the file `/TOKEN`: which invocation of what this is, when, and what it was given of the context |
//! | `sleep:MILLISECONDS`, `spin:MILLISECONDS` | blocks in the host; computes |
//! | `hog:BYTES` | takes so much memory |
//!
//! | never comes back | |
//! | --- | --- |
//! | `panic[:MESSAGE]`, `trap`, `exit:CODE` | ends abnormally |
//! | `loop`, `recurse`, `recurse-in-memory`, `hog` | until a limit ends it |

mod effects;

use formwork_guest::bindings::exports::formwork::handler::resource::Guest;
use formwork_guest::bindings::formwork::handler::types as wit;
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

/// The guest. It speaks the raw contract, for much of what it answers the typed
/// handler could not.
#[derive(Debug)]
pub struct Scripted;

#[cfg(target_family = "wasm")]
formwork_guest::bindings::export!(Scripted with_types_in formwork_guest::bindings);

impl Guest for Scripted {
    fn describe() -> wit::Description {
        wit::Description {
            schema: include_str!("../schema.json").to_owned(),
            outgoing_hosts: vec!["GET https://example.com/allowed".to_owned()],
        }
    }

    fn create(
        request: wit::Request,
        desired: String,
        context: Option<String>,
    ) -> wit::ProgressEvent {
        Invocation::new("CREATE", request, Some(desired), None, context)
            .run()
            .into_progress()
    }

    fn read(request: wit::Request, identifier: String) -> Result<String, wit::ReadFailure> {
        Invocation::new("READ", request, Some(identifier), None, None)
            .run()
            .into_read()
    }

    fn update(
        request: wit::Request,
        desired: String,
        previous: Option<String>,
        context: Option<String>,
    ) -> wit::ProgressEvent {
        Invocation::new("UPDATE", request, Some(desired), previous, context)
            .run()
            .into_progress()
    }

    fn delete(request: wit::Request, state: String, context: Option<String>) -> wit::DeleteEvent {
        Invocation::new("DELETE", request, Some(state), None, context)
            .run()
            .into_delete()
    }

    fn list(request: wit::Request, page: wit::ListRequest) -> Result<wit::Page, wit::ReadFailure> {
        let filter = page.filter.clone();
        let invocation = Invocation::new("LIST", request, filter, None, None);
        let all = invocation.state.get("Count").and_then(Value::as_u64);
        let answer = invocation.run().into_read()?;
        let all = all.unwrap_or(3);
        let size = u64::from(page.max_results.unwrap_or(2)).max(1);
        let start = page
            .next_token
            .and_then(|token| token.parse().ok())
            .unwrap_or(0);
        let end = all.min(start + size);
        let mut models: Vec<String> = (start..end)
            .map(|n| json!({"Name": format!("item-{n}"), "Id": format!("id-item-{n}")}).to_string())
            .collect();
        // A page shows what its step made of the filter: a leak, an error, a note.
        if let Some(first) = models.first_mut()
            && page.filter.is_some_and(|filter| filter.contains('!'))
        {
            *first = answer;
        }
        Ok(wit::Page {
            models,
            next_token: (end < all).then(|| end.to_string()),
        })
    }
}

/// What the guest answers, whatever the action.
enum Answer {
    InProgress(wit::InProgress),
    Success(wit::Success),
    Failed(wit::Failure),
}

impl Answer {
    fn into_progress(self) -> wit::ProgressEvent {
        match self {
            Self::InProgress(event) => wit::ProgressEvent::InProgress(event),
            Self::Success(event) => wit::ProgressEvent::Success(event),
            Self::Failed(event) => wit::ProgressEvent::Failed(event),
        }
    }

    fn into_delete(self) -> wit::DeleteEvent {
        match self {
            Self::InProgress(event) => wit::DeleteEvent::InProgress(event),
            Self::Success(event) => wit::DeleteEvent::Deleted(wit::Deleted {
                message: event.message,
            }),
            Self::Failed(event) => wit::DeleteEvent::Failed(event),
        }
    }

    fn into_read(self) -> Result<String, wit::ReadFailure> {
        match self {
            Self::Success(event) => Ok(event.model),
            Self::Failed(wit::Failure { code, message, .. }) => {
                Err(wit::ReadFailure { code, message })
            }
            Self::InProgress(_) => Err(wit::ReadFailure {
                code: wit::ErrorCode::InternalFailure,
                message: "the script wants to be in progress, which this action cannot".to_owned(),
            }),
        }
    }
}

/// One call from the host.
struct Invocation {
    action: &'static str,
    request: wit::Request,
    state: Object,
    previous: Option<String>,
    context: Object,
}

impl Invocation {
    fn new(
        action: &'static str,
        request: wit::Request,
        state: Option<String>,
        previous: Option<String>,
        context: Option<String>,
    ) -> Self {
        effects::count_call();
        let object = |text: Option<String>| {
            text.map(|text| serde_json::from_str(&text).expect("the host gives JSON objects"))
                .unwrap_or_default()
        };
        Self {
            action,
            request,
            state: object(state),
            previous,
            context: object(context),
        }
    }

    fn run(mut self) -> Answer {
        let step = self.step();
        for part in step.split(" & ") {
            let (verb, argument) = part.split_once(':').unwrap_or((part, ""));
            if let Some(answer) = self.answer(verb, argument) {
                return answer;
            }
            if let Some(note) = effects::run(&self, verb, argument) {
                self.state.insert("Note".to_owned(), Value::String(note));
            }
        }
        self.success(self.model(), "")
    }

    /// The step of this invocation.
    fn step(&self) -> String {
        let index = self.request.invocation.saturating_sub(1) as usize;
        let of = |steps: &[&str]| {
            let step = steps.get(index).or(steps.last());
            step.map_or_else(|| "success".to_owned(), ToString::to_string)
        };
        match self.state.get("Script").and_then(Value::as_array) {
            Some(script) => of(&script.iter().filter_map(Value::as_str).collect::<Vec<_>>()),
            None => match self.name().split_once('!') {
                Some((_, script)) => of(&script.split(';').collect::<Vec<_>>()),
                None => of(&[]),
            },
        }
    }

    fn answer(&self, verb: &str, argument: &str) -> Option<Answer> {
        let number = || argument.parse::<usize>().unwrap_or(0);
        let filler = || "x".repeat(number());
        let with = |name: &str, value: Value| {
            let mut model = self.model();
            model.insert(name.to_owned(), value);
            self.success(model, "")
        };
        let answer = match verb {
            "success" => self.success(self.model(), argument),
            "in-progress" => self.in_progress(seconds(argument), Some(&self.state)),
            "in-progress-no-model" => self.in_progress(seconds(argument), None),
            "in-progress-no-callback" => self.in_progress(wit::Callback::None, Some(&self.state)),
            "fail" => self.failed(argument, None),
            "fail-with-model" => self.failed(argument, Some(self.model())),
            "fail-empty" => Answer::Failed(wit::Failure {
                code: code(argument),
                message: String::new(),
                model: None,
            }),
            "attempts" => {
                let (attempt, code) = argument.split_once(':').unwrap_or((argument, "Throttling"));
                if attempt
                    .parse()
                    .is_ok_and(|attempt| self.request.attempt < attempt)
                {
                    self.failed(code, None)
                } else {
                    self.success(self.model(), "")
                }
            }
            "attempts-trap" => {
                assert!(
                    self.request.attempt as usize >= number(),
                    "attempt {} of {argument} traps",
                    self.request.attempt
                );
                self.success(self.model(), "")
            }
            "invalid-json" => self.raw_success("{\"Name\":"),
            "array-json" => self.raw_success("[1]"),
            "null-model" => with("Note", Value::Null),
            "wrong-type" => with("Count", json!("many")),
            "no-identifier" => {
                let mut model = self.model();
                model.remove("Name");
                self.success(model, "")
            }
            "change-identifier" => with("Name", json!(format!("{}-changed", self.name()))),
            "leak-secret" => {
                let secret = self.state.get("Secret").cloned();
                with("Secret", secret.unwrap_or_else(|| json!("leaked")))
            }
            "big-answer" => with("Note", json!(filler())),
            "big-message" => self.success(self.model(), &filler()),
            "big-context" => {
                let mut answer = self.in_progress(seconds("0"), Some(&self.state));
                if let Answer::InProgress(event) = &mut answer {
                    event.callback_context = Some(json!({"filler": filler()}).to_string());
                }
                answer
            }
            _ => return None,
        };
        Some(answer)
    }

    fn name(&self) -> &str {
        self.state
            .get("Name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// What a finished action answers.
    fn model(&self) -> Object {
        let mut model = self.state.clone();
        model.shift_remove("Secret");
        model.insert("Id".to_owned(), json!(format!("id-{}", self.name())));
        model
    }

    fn message(&self, words: &str) -> String {
        let wit::Request {
            invocation,
            attempt,
            client_request_token: token,
            ..
        } = &self.request;
        let space = if words.is_empty() { "" } else { " " };
        format!(
            "{words}{space}[{} invocation={invocation} attempt={attempt} token={token}]",
            self.action
        )
    }

    fn success(&self, model: Object, words: &str) -> Answer {
        Answer::Success(wit::Success {
            model: Value::Object(model).to_string(),
            message: Some(self.message(words)),
        })
    }

    fn raw_success(&self, model: &str) -> Answer {
        Answer::Success(wit::Success {
            model: model.to_owned(),
            message: Some(self.message("")),
        })
    }

    fn failed(&self, argument: &str, model: Option<Object>) -> Answer {
        let (name, words) = argument.split_once(':').unwrap_or((argument, ""));
        Answer::Failed(wit::Failure {
            code: code(name),
            message: self.message(words),
            model: model.map(|model| Value::Object(model).to_string()),
        })
    }

    fn in_progress(&self, callback: wit::Callback, model: Option<&Object>) -> Answer {
        let mut context = self.context.clone();
        let seen = context.entry("seen").or_insert_with(|| json!([]));
        if let Value::Array(seen) = seen {
            let wit::Request {
                invocation,
                attempt,
                ..
            } = &self.request;
            seen.push(json!(format!("{} {invocation}.{attempt}", self.action)));
        }
        Answer::InProgress(wit::InProgress {
            callback,
            callback_context: Some(Value::Object(context).to_string()),
            message: Some(self.message("")),
            model: model.map(|model| Value::Object(model.clone()).to_string()),
        })
    }
}

fn seconds(text: &str) -> wit::Callback {
    wit::Callback::After(text.parse().unwrap_or(0))
}

fn code(name: &str) -> wit::ErrorCode {
    formwork_guest::ErrorCode::ALL
        .iter()
        .find(|code| code.as_str() == name)
        .unwrap_or_else(|| panic!("the script names the code {name:?}, which there is not"))
        .to_owned()
        .into()
}
