//! What was found, for programs.
//!
//! The names are those of CloudFormation's `ProgressEvent` where it has them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use formwork_cloudformation::wire_delay;
use formwork_host::contract::{Finding, LeftBehind, Outcome, Record, Report, Verdict};
use formwork_host::engine::Exchanged;
use formwork_host::model::{Call, HandlerErrorCode, JsonObject, ProgressEvent, ReadFailure};
use serde::Serialize;
use serde_json::{Map, Value};

use super::inputs::Found;

type Model = Map<String, Value>;

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    type_name: String,
    /// The directory of inputs; left out if they are made from the schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<PathBuf>,
    seed: u64,
    passed: usize,
    failed: usize,
    skipped: usize,
    elapsed_millis: u128,
    tests: Vec<TestLine>,
    left_behind: Vec<LeftLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TestLine {
    test: &'static str,
    set: u32,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<FindingLine>,
    invocations: usize,
    elapsed_millis: u128,
    simulated_millis: u128,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingLine {
    rule: &'static str,
    statement: &'static str,
    found: String,
    times: usize,
    change: &'static str,
    exchanges: Vec<ExchangeLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExchangeLine {
    number: usize,
    after_millis: u128,
    action: &'static str,
    request_token: String,
    invocation: u32,
    attempt: u32,
    request: Request,
    answer: Answer,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    desired_state: Option<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_state: Option<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_results: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    desired_tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    previous_tags: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_delay_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_model: Option<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_models: Option<Vec<Model>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// What ended the handler, in place of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    trap: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftLine {
    test: &'static str,
    resource_model: Model,
    reason: String,
}

impl Document {
    pub(super) fn new(report: &Report, inputs: &Found, seed: u64) -> Self {
        let counts = report.counts();
        Self {
            type_name: report.type_name.to_string(),
            inputs: inputs.directory.clone(),
            seed,
            passed: counts.passed,
            failed: counts.failed,
            skipped: counts.skipped,
            elapsed_millis: report.elapsed.as_millis(),
            tests: report.verdicts.iter().map(TestLine::new).collect(),
            left_behind: report.left_behind.iter().map(LeftLine::new).collect(),
        }
    }
}

impl TestLine {
    fn new(verdict: &Verdict) -> Self {
        let (outcome, reason, findings) = match &verdict.outcome {
            Outcome::Passed => ("PASSED", None, &[][..]),
            Outcome::Failed { findings } => ("FAILED", None, &findings[..]),
            Outcome::Skipped { reason } => ("SKIPPED", Some(reason.clone()), &[][..]),
        };
        Self {
            test: verdict.test,
            set: verdict.set,
            outcome,
            reason,
            findings: findings.iter().map(FindingLine::new).collect(),
            invocations: verdict.invocations,
            elapsed_millis: verdict.elapsed.as_millis(),
            simulated_millis: verdict.simulated.as_millis(),
        }
    }
}

impl FindingLine {
    fn new(finding: &Finding) -> Self {
        Self {
            rule: finding.rule.as_str(),
            statement: finding.rule.statement(),
            found: finding.what.clone(),
            times: finding.times,
            change: finding.rule.remedy(),
            exchanges: finding.exchanges.iter().map(ExchangeLine::new).collect(),
        }
    }
}

impl ExchangeLine {
    fn new(record: &Record) -> Self {
        let invocation = &record.exchange.invocation;
        let mut request = Request::new(&invocation.call);
        request
            .desired_tags
            .clone_from(&invocation.details.desired_tags);
        request
            .previous_tags
            .clone_from(&invocation.details.previous_tags);
        Self {
            number: record.number,
            after_millis: record.at.as_millis(),
            action: invocation.call.action().as_str(),
            request_token: invocation.token.to_string(),
            invocation: invocation.invocation,
            attempt: invocation.attempt,
            request,
            answer: Answer::new(&record.exchange.outcome),
        }
    }
}

impl Request {
    fn new(call: &Call) -> Self {
        let map = |object: &JsonObject| Some(object.to_map());
        match call {
            Call::Create { desired_state, .. } => Self {
                desired_state: map(desired_state),
                ..Self::default()
            },
            Call::Read { identifier } => Self {
                identifier: map(identifier),
                ..Self::default()
            },
            Call::Update {
                desired_state,
                previous_state,
                ..
            } => Self {
                desired_state: map(desired_state),
                previous_state: previous_state.as_ref().and_then(map),
                ..Self::default()
            },
            Call::Delete { state, .. } => Self {
                identifier: map(state),
                ..Self::default()
            },
            Call::List(list) => Self {
                filter: list.filter.as_ref().and_then(map),
                next_token: list.next_token.clone(),
                max_results: list.max_results,
                ..Self::default()
            },
        }
    }
}

impl Answer {
    fn new(outcome: &Exchanged) -> Self {
        match outcome {
            Exchanged::Event(event) => Self::of_event(event),
            Exchanged::Read(Ok(model)) => Self {
                status: Some("SUCCESS"),
                resource_model: Some(model.to_map()),
                ..Self::default()
            },
            Exchanged::Listed(Ok(page)) => Self {
                status: Some("SUCCESS"),
                resource_models: Some(page.models.iter().map(JsonObject::to_map).collect()),
                next_token: page.next_token.clone(),
                ..Self::default()
            },
            Exchanged::Read(Err(ReadFailure { code, message }))
            | Exchanged::Listed(Err(ReadFailure { code, message })) => {
                Self::failed(*code, message, None)
            }
            Exchanged::Trapped(trap) => Self {
                trap: Some(trap.to_string()),
                ..Self::default()
            },
        }
    }

    fn of_event(event: &ProgressEvent) -> Self {
        let map = |model: &Option<JsonObject>| model.as_ref().map(JsonObject::to_map);
        match event {
            ProgressEvent::InProgress {
                callback,
                message,
                model,
                ..
            } => Self {
                status: Some("IN_PROGRESS"),
                message: message.clone(),
                callback_delay_seconds: Some(wire_delay(*callback)),
                resource_model: map(model),
                ..Self::default()
            },
            ProgressEvent::Success { message, model } => Self {
                status: Some("SUCCESS"),
                message: message.clone(),
                resource_model: map(model),
                ..Self::default()
            },
            ProgressEvent::Failed {
                code,
                message,
                model,
            } => Self::failed(*code, message, map(model)),
        }
    }

    fn failed(code: HandlerErrorCode, message: &str, model: Option<Model>) -> Self {
        Self {
            status: Some("FAILED"),
            error_code: Some(code.as_str()),
            message: Some(message.to_owned()),
            resource_model: model,
            ..Self::default()
        }
    }
}

impl LeftLine {
    fn new(left: &LeftBehind) -> Self {
        Self {
            test: left.test,
            resource_model: left.model.to_map(),
            reason: left.why.clone(),
        }
    }
}
