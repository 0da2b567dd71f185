//! A stage for operations: a scripted guest, a manual clock, and a transcript.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use formwork_host::clock::{Clock as _, ManualClock};
use formwork_host::engine::{Engine, OperationHandle, Reporter, Request};
use formwork_host::model::{Callback, JsonObject, Timestamp, TypeName};
use formwork_host::operation::{
    Delivery, Event, EventKind, Operation, PendingReport, ReportStatus, ReportTarget,
};
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{Compiler, Sandbox, SandboxConfig};
use formwork_host::store::{MemoryStore, Store};
use serde_json::{Value, json};

use crate::guests;

/// When every test begins.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Gives the one sandbox of the test process.
///
/// # Panics
///
/// When it cannot be made.
#[must_use]
pub fn sandbox() -> Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX
        .get_or_init(|| {
            let cache = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-cache");
            let config = SandboxConfig {
                cache_dir: Some(cache.into()),
                ..SandboxConfig::new(Compiler::Unbounded)
            };
            Sandbox::new(&config).expect("the sandbox is made")
        })
        .clone()
}

/// The type of the scripted guest.
///
/// # Panics
///
/// Never: the name is one.
#[must_use]
pub fn scripted() -> TypeName {
    "Formwork::Tests::Scripted".parse().expect("a type name")
}

/// An engine under a manual clock, with the scripted guest loaded.
pub struct Stage {
    /// The engine.
    pub engine: Engine,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// What it reported.
    pub reports: Arc<RecordingReporter>,
}

impl Stage {
    /// Sets a stage with the operations in memory.
    pub async fn new(settings: TypeSettings) -> Self {
        Self::on(Arc::new(MemoryStore::default()), settings).await
    }

    /// Sets a stage on a store, at [`START`].
    pub async fn on(store: Arc<dyn Store>, settings: TypeSettings) -> Self {
        Self::at(store, settings, START, Arc::default()).await
    }

    /// Sets a stage on a store, at a moment, with a reporter.
    ///
    /// # Panics
    ///
    /// When the guest cannot be loaded.
    pub async fn at(
        store: Arc<dyn Store>,
        settings: TypeSettings,
        now: Timestamp,
        reports: Arc<RecordingReporter>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let engine = Engine::builder(sandbox())
            .store(store)
            .clock(Arc::clone(&clock) as _)
            .reporter(Arc::clone(&reports) as _)
            .start();
        engine
            .load(guests::component("scripted-guest"), settings)
            .await
            .expect("the scripted guest loads");
        Self {
            engine,
            clock,
            reports,
        }
    }

    /// Submits the creation of `Name` with a script.
    ///
    /// # Panics
    ///
    /// When it is not accepted.
    pub async fn create(&self, name: &str, script: &[&str]) -> OperationHandle {
        let request = create(name, script);
        self.engine
            .submit(request)
            .await
            .expect("the request is accepted")
    }

    /// Moves the clock from due time to due time until the operation has ended,
    /// at most `most` times.
    ///
    /// # Panics
    ///
    /// When it has not ended by then.
    pub async fn finish(&self, handle: &OperationHandle, most: usize) -> Operation {
        for _ in 0..=most {
            let next = self.engine.idle().await;
            let operation = self
                .engine
                .status(handle.token())
                .await
                .expect("the store reads")
                .expect("it is there");
            if operation.status.is_terminal() {
                return operation;
            }
            self.clock
                .set(next.expect("an operation that has not ended is due at its deadline"));
        }
        panic!("the operation has not ended after {most} moves of the clock");
    }

    /// Moves the clock on, second by second, until something has come about: who had
    /// not begun to wait when the clock was moved waits from there on.
    pub async fn as_time_passes<T>(&self, what: impl Future<Output = T>) -> T {
        tokio::pin!(what);
        loop {
            tokio::select! {
                biased;
                came = &mut what => return came,
                () = tokio::task::yield_now() => self.clock.advance(seconds(1)),
            }
        }
    }

    /// Tells the events of an operation, a line each.
    ///
    /// # Panics
    ///
    /// When the store cannot be read.
    pub async fn transcript(&self, handle: &OperationHandle) -> String {
        let events = self
            .engine
            .store()
            .events(handle.token(), 0)
            .await
            .expect("the store reads");
        transcript(&events)
    }
}

/// Asks for the creation of `Name` with a script, and has it reported.
///
/// # Panics
///
/// Never: the parts are well-formed.
#[must_use]
pub fn create(name: &str, script: &[&str]) -> Request {
    let state = object(&json!({"Name": name, "Secret": "s3cr3t", "Script": script}));
    let mut request = Request::create(scripted(), state);
    request.reporting = Some(ReportTarget {
        bearer_token: "bearer".parse().expect("a bearer token"),
        endpoint: None,
        region: None,
        credentials: None,
    });
    request
}

/// Makes an object of a literal.
///
/// # Panics
///
/// When it is none.
#[must_use]
pub fn object(value: &Value) -> JsonObject {
    JsonObject::parse(value.to_string()).expect("an object")
}

/// Tells events, a line each: when, what, the status, invocation and attempt,
/// when the operation is next due, and what was said, without its token.
///
/// From the first retry on it tells no times: the pause is drawn from the token.
///
/// # Panics
///
/// Never: a string takes all that is written.
#[must_use]
pub fn transcript(events: &[Event]) -> String {
    let seconds = |at: Timestamp| at.since(START).as_secs_f64();
    let mut retried = false;
    events.iter().fold(String::new(), |mut text, event| {
        let at = if retried {
            "-".to_owned()
        } else {
            format!("{:.3}", seconds(event.at))
        };
        retried |= event.kind == EventKind::Retried;
        write!(
            text,
            "{at:<8} {:<11} {:<15} {}.{}",
            kind(event.kind),
            event.status.as_str(),
            event.invocation,
            event.attempt
        )
        .expect("a string takes all that is written");
        match event.callback {
            Some(Callback::After(_)) => {
                write!(text, " again at {:.3}", seconds(event.due))
                    .expect("a string takes all that is written");
            }
            Some(Callback::None) => text.push_str(" waits"),
            None => {}
        }
        if let Some(code) = event.code {
            write!(text, " {code}").expect("a string takes all that is written");
        }
        if let Some(message) = &event.message {
            // The head of a panic message names a line of the guest's source.
            let panic = message.split_once("panicked at ");
            let said = panic.and_then(|(_, panic)| panic.split_once(": "));
            let said = said.map_or(message.as_str(), |(_, said)| said);
            let said = said.lines().last().unwrap_or_default();
            let said = said.split(" token=").next().unwrap_or_default();
            write!(text, " | {said}").expect("a string takes all that is written");
        }
        text.push('\n');
        text
    })
}

const fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Accepted => "accepted",
        EventKind::Progressed => "progressed",
        EventKind::Recorded => "recorded",
        EventKind::Retried => "retried",
        EventKind::CancelAsked => "cancelling",
        EventKind::Ended => "ended",
    }
}

/// Accepts every report and keeps it, unless it is told to answer otherwise.
#[derive(Default)]
pub struct RecordingReporter {
    delivered: Mutex<Vec<PendingReport>>,
    answers: Mutex<Vec<Delivery>>,
}

impl RecordingReporter {
    /// Answers the next reports so, the first one first.
    pub fn answer(&self, answers: impl IntoIterator<Item = Delivery>) {
        let mut queued = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        queued.extend(answers);
    }

    /// Gives every delivery so far, repeats too.
    #[must_use]
    pub fn delivered(&self) -> Vec<PendingReport> {
        self.delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Gives what was told, each event once, in the order of the first delivery.
    #[must_use]
    pub fn told(&self) -> Vec<ReportStatus> {
        let mut seen = Vec::new();
        self.delivered()
            .into_iter()
            .filter(|report| {
                let id = (report.event.token, report.event.version);
                let first = !seen.contains(&id);
                seen.push(id);
                first
            })
            .filter_map(|report| report.event.report_status())
            .collect()
    }
}

#[async_trait]
impl Reporter for RecordingReporter {
    async fn deliver(&self, report: &PendingReport) -> Delivery {
        self.delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(report.clone());
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.is_empty() {
            Delivery::Accepted
        } else {
            answers.remove(0)
        }
    }
}

/// Gives a second, for tests that move the clock.
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Gives how far the clock of a stage has moved.
#[must_use]
pub fn elapsed(stage: &Stage) -> Duration {
    stage.clock.now().since(START)
}
