//! Reports as lines of JSON.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::{HandlerErrorCode, JsonObject};
use crate::operation::{Delivery, PendingReport, ReportStatus};

use super::Reporter;

/// Writes each report as one line of JSON, for programs that read a pipe or a file.
///
/// A line holds `requestToken`, `version`, `typeName` and `status`, and where
/// there is something to say `errorCode`, `message` and `resourceModel`: the
/// names and the statuses that CloudFormation uses. A report can come twice;
/// its request token and version tell so. The bearer token is never written.
///
/// A line is written and flushed in one go, on the thread that delivers, so the
/// writer should not block for long.
///
/// ```
/// use formwork_host::engine::{JsonLinesReporter, Reporter};
///
/// let reporter: Box<dyn Reporter> = Box::new(JsonLinesReporter::new(std::io::stdout()));
/// ```
pub struct JsonLinesReporter<W> {
    writer: Mutex<W>,
}

impl<W> JsonLinesReporter<W> {
    /// Makes a reporter that writes to `writer`.
    pub const fn new(writer: W) -> Self {
        Self {
            writer: Mutex::new(writer),
        }
    }
}

impl<W> fmt::Debug for JsonLinesReporter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLinesReporter").finish_non_exhaustive()
    }
}

#[async_trait]
impl<W: Write + Send + 'static> Reporter for JsonLinesReporter<W> {
    async fn deliver(&self, report: &PendingReport) -> Delivery {
        let Some(line) = line(report) else {
            return Delivery::Accepted;
        };
        // A writer that panicked is asked again: its next error is an answer too.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match writer
            .write_all(line.as_bytes())
            .and_then(|()| writer.flush())
        {
            Ok(()) => Delivery::Accepted,
            Err(error) => Delivery::Unreachable {
                reason: format!("cannot write the report: {error}"),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    request_token: String,
    version: u64,
    type_name: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_model: Option<Map<String, Value>>,
}

/// Gives the line of a report, or none if its event is not reported.
fn line(report: &PendingReport) -> Option<String> {
    let event = &report.event;
    let (status, code) = match event.report_status()? {
        ReportStatus::Acknowledgement | ReportStatus::InProgress => ("IN_PROGRESS", None),
        ReportStatus::Success => ("SUCCESS", None),
        ReportStatus::Failed(code) => ("FAILED", Some(code)),
    };
    let line = Line {
        request_token: event.token.to_string(),
        version: event.version,
        type_name: report.type_name.as_str(),
        status,
        error_code: code.map(HandlerErrorCode::as_str),
        message: event.message.as_deref(),
        // A model's text may run over several lines, so it is printed anew.
        resource_model: event.model.as_ref().map(JsonObject::to_map),
    };
    let mut text = serde_json::to_string(&line).expect("a struct with string keys prints");
    text.push('\n');
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::model::Timestamp;
    use crate::operation::{Event, EventKind, ReportTarget, Status};

    fn report() -> PendingReport {
        PendingReport {
            type_name: "Acme::Storage::Archive".parse().expect("a type name"),
            mutation: crate::model::Mutation::Create,
            deadline: Timestamp::from_millis(9),
            target: ReportTarget {
                bearer_token: "s3cr3t".parse().expect("a token"),
                endpoint: None,
                region: None,
                credentials: None,
            },
            event: Event {
                token: crate::model::RequestToken::from_bytes([1; 16]),
                version: 4,
                at: Timestamp::from_millis(1),
                began: None,
                kind: EventKind::Ended,
                status: Status::Failed,
                invocation: 1,
                attempt: 1,
                message: Some("gone".into()),
                code: Some(HandlerErrorCode::NotFound),
                callback: None,
                delivered: None,
                due: Timestamp::from_millis(1),
                client_token: None,
                model: Some(JsonObject::parse("{\n  \"Name\": \"a\"\n}").expect("an object")),
            },
            attempts: 0,
            ambiguous: false,
            due: Timestamp::from_millis(1),
            parked: None,
        }
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_report_is_one_line_with_the_names_of_the_wire_and_no_bearer_token() {
        let shared = Shared::default();
        let reporter = JsonLinesReporter::new(shared.clone());
        let mut report = report();
        assert_eq!(reporter.deliver(&report).await, Delivery::Accepted);
        report.event.kind = EventKind::Accepted;
        report.event.status = Status::Pending;
        report.event.version = 1;
        report.event.message = None;
        report.event.model = None;
        assert_eq!(reporter.deliver(&report).await, Delivery::Accepted);
        report.event.kind = EventKind::Retried;
        assert_eq!(reporter.deliver(&report).await, Delivery::Accepted);
        let token = report.event.token;
        let written = shared.0.lock().expect("no panic").clone();
        assert_eq!(
            String::from_utf8(written).expect("text"),
            format!(
                concat!(
                    r#"{{"requestToken":"{0}","version":4,"typeName":"Acme::Storage::Archive","#,
                    r#""status":"FAILED","errorCode":"NotFound","message":"gone","resourceModel":{{"Name":"a"}}}}"#,
                    "\n",
                    r#"{{"requestToken":"{0}","version":1,"typeName":"Acme::Storage::Archive","status":"IN_PROGRESS"}}"#,
                    "\n",
                ),
                token
            )
        );
    }

    #[tokio::test]
    async fn a_write_that_fails_is_tried_again_later() {
        let delivery = JsonLinesReporter::new(Full).deliver(&report()).await;
        let Delivery::Unreachable { reason } = delivery else {
            panic!("{delivery:?}");
        };
        assert!(reason.starts_with("cannot write the report: "), "{reason}");
    }
}
