//! Histories of an operation in a store, with crashes.
//!
//! An input is words: the store (`memory` or `sqlite`), then what happens, a
//! letter and a number each:
//!
//! | word | what happens |
//! | --- | --- |
//! | `w9`, `W9` | 9 milliseconds, 9 seconds go by |
//! | `l9` | a worker comes, once the operation is due, and leases it for 9 seconds |
//! | `p9`, `n9` | the handler answers in progress, to be called after 9 seconds, or not again |
//! | `s9`, `f9`, `i9` | it succeeds; fails with the code of that number; names a resource that is taken |
//! | `t9`, `h` | it traps; the host fails |
//! | `r9`, `S9`, `F9` | in progress, success or failure are recorded from outside |
//! | `c`, `C` | the caller cancels; CloudFormation has another status |
//! | `d`, `x` | somebody says that the deadline has passed, that the lease has lapsed |
//! | `!` | the host stops before the next commit |
//! | `o` | the host stops, and another opens the store |
//! | `a9`, `v9`, `z9` | a policy of 9 attempts, 9 invocations, 9 callbacks without delay |

mod held;

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use formwork_host::model::{
    Answer, Callback, Digest, HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier,
    ProgressEvent, RequestDetails, RequestToken, Scope, Timestamp, Trap, TrapKind, TypeName,
};
use formwork_host::operation::{
    CancelReason, Input, NewOperation, Operation, Policy, Refusal, ReportTarget, Settlement,
    Transition, Work,
};
use formwork_host::store::{
    Accept, CommitError, ForgetError, Horizon, MemoryStore, Share, SqliteStore, Store,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const HOURS: Duration = Duration::from_secs(2 * 3_600);

/// How many words of an input are taken.
const MOST: usize = 64;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

/// The data directory, which inputs use in turn.
static DISK: Mutex<Option<Disk>> = Mutex::new(None);

struct Disk {
    store: Option<SqliteStore>,
    directory: TempDir,
}

impl Disk {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let store = Some(Self::open(&directory));
        Self { store, directory }
    }

    fn open(directory: &TempDir) -> SqliteStore {
        SqliteStore::open(directory.path()).expect("the data directory opens")
    }

    /// Stops the host, and opens the data directory again.
    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Self::open(&self.directory));
    }
}

/// Where a history is kept.
enum Place<'d> {
    Memory(Box<MemoryStore>),
    Disk(&'d mut Disk),
}

impl Place<'_> {
    fn store(&self) -> &dyn Store {
        match self {
            Self::Memory(store) => store.as_ref(),
            Self::Disk(disk) => disk
                .store
                .as_ref()
                .expect("it is open between two histories"),
        }
    }
}

/// Lives a history, and holds each change, and what the store says of it, to what
/// operations promise.
pub(crate) fn history(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut words = text.split_ascii_whitespace();
    let mut disk = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let place = match words.next() {
        Some("sqlite") => {
            Place::Disk(disk.get_or_insert_with(|| RUNTIME.block_on(async { Disk::new() })))
        }
        Some(_) | None => Place::Memory(Box::default()),
    };
    RUNTIME.block_on(async {
        let mut life = Life::begin(place).await;
        for word in words.take(MOST) {
            life.happens(word).await;
        }
        life.end().await;
    });
}

struct Life<'d> {
    place: Place<'d>,
    operation: Operation,
    now: Timestamp,
    policy: Policy,
    /// Whether the host stops before the next commit.
    stops: bool,
}

impl<'d> Life<'d> {
    async fn begin(place: Place<'d>) -> Self {
        let transition = Operation::accept(RequestToken::random(), new(), START);
        let operation = transition.operation.clone();
        let accept = Accept {
            transition,
            key: None,
            basis: None,
            tokens_expired: Horizon::NEVER.client_tokens,
        };
        place.store().accept(accept).await.expect("it is accepted");
        Self {
            place,
            operation,
            now: START,
            policy: Policy::default(),
            stops: false,
        }
    }

    async fn happens(&mut self, word: &str) {
        let (letter, number) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        let number: u32 = number.parse().unwrap_or(0);
        let seconds = Duration::from_secs(number.into());
        let input = match letter {
            "w" => return self.passes(Duration::from_millis(number.into())),
            "W" => return self.passes(seconds),
            "a" => return self.policy.attempts = number.max(1),
            "v" => return self.policy.max_invocations = number.max(1),
            "z" => return self.policy.zero_delays = number,
            "!" => return self.stops = true,
            "o" => return self.reopened().await,
            "l" => return self.leased(seconds).await,
            "p" => Input::Answered(in_progress(Callback::After(seconds), number)),
            "n" => Input::Answered(in_progress(Callback::None, number)),
            "s" => Input::Answered(succeeded(number)),
            "f" => Input::Answered(failed(number)),
            "i" => Input::IdentifierTaken {
                answer: succeeded(number),
            },
            "t" => Input::Trapped(trap(number)),
            "h" => Input::HostFailed {
                message: "no room".to_owned(),
            },
            "r" => recorded(in_progress(Callback::None, number)),
            "S" => recorded(succeeded(number)),
            "F" => recorded(failed(number)),
            "c" => Input::CancelAsked(CancelReason::Caller),
            "C" => Input::CancelAsked(CancelReason::Superseded),
            "d" => Input::DeadlinePassed,
            "x" => Input::LeaseLapsed,
            _ => return,
        };
        self.put(input).await;
    }

    fn passes(&mut self, time: Duration) {
        // The clock of a host is somewhere within a century.
        let most = Duration::from_secs(100 * 365 * 24 * 3_600);
        self.now = self.now.after(time).min(START.after(most));
    }

    /// Decides on an input, and commits.
    async fn put(&mut self, input: Input) {
        match self.operation.apply(input.clone(), self.now, &self.policy) {
            Ok(transition) => {
                held::check(&self.operation, &input, &transition, self.now, &self.policy);
                self.commit(transition).await;
            }
            Err(refusal) => {
                let ended = self.operation.status.is_terminal();
                assert_eq!(
                    refusal == Refusal::Ended,
                    ended,
                    "terminal absorbs, and nothing else does"
                );
            }
        }
    }

    async fn commit(&mut self, transition: Transition) {
        if std::mem::take(&mut self.stops) {
            // What was decided is in no store, and so it never was.
            return self.reopened().await;
        }
        let store = self.place.store();
        store
            .commit(transition.clone())
            .await
            .expect("nobody else commits");
        self.operation = transition.operation.clone();
        self.look().await;
        let again = store.commit(transition).await;
        assert!(
            matches!(again, Err(CommitError::Conflict { .. })),
            "a version is committed once"
        );
    }

    async fn leased(&mut self, lease: Duration) {
        // A worker waits for a moment that is near.
        if self.operation.due.since(self.now) < Duration::from_secs(600) {
            self.now = self.now.max(self.operation.due);
        }
        let share = Share {
            type_name: type_name(),
            limit: 1,
        };
        let claimed = self.place.store().claim(&[share], 1, self.now, lease).await;
        let input = Input::Leased {
            until: self.now.after(lease),
        };
        let expected = self.operation.apply(input.clone(), self.now, &self.policy);
        match (claimed.expect("the store reads").as_slice(), expected) {
            ([], Err(_)) => {}
            ([claimed], Ok(transition)) => {
                held::check(&self.operation, &input, &transition, self.now, &self.policy);
                held::same(claimed, &transition.operation);
                self.operation = transition.operation;
                self.look().await;
            }
            ([], Ok(_)) => panic!("the store does not give what is due"),
            (claimed, Err(why)) => panic!("the store gives {}: {why}", claimed.len()),
            (_, Ok(_)) => panic!("the store gives one operation twice"),
        }
    }

    /// Stops the host, and goes on with what the store has.
    async fn reopened(&mut self) {
        if let Place::Disk(disk) = &mut self.place {
            disk.reopen();
        }
        let found = self.found().await;
        let mut expected = self.operation.clone().into_state();
        // Nobody holds the leases of a host that is gone.
        if let (Place::Disk(_), Some(lease)) = (&self.place, &mut expected.lease) {
            lease.until = Timestamp::from_millis(0);
        }
        held::same(&found, &Operation::restore(expected));
        self.operation = found;
    }

    /// Sees that the store has the operation as it was committed, and told of it
    /// in order.
    async fn look(&self) {
        held::same(&self.found().await, &self.operation);
        let store = self.place.store();
        let events = store
            .events(self.operation.token, 0)
            .await
            .expect("the store reads");
        held::events(&events, &self.operation);
        let reports = store
            .reports(self.operation.token)
            .await
            .expect("the store reads");
        held::reports(&reports, &events);
    }

    async fn found(&self) -> Operation {
        let found = self.place.store().get(self.operation.token).await;
        found.expect("the store reads").expect("it is kept")
    }

    /// Ends the operation whatever has become of it, as its deadline does, and
    /// forgets it.
    async fn end(mut self) {
        self.stops = false;
        if !self.operation.status.is_terminal() {
            let lease = self.operation.lease.map_or(self.now, |lease| lease.until);
            self.now = self.now.max(lease).max(self.operation.deadline);
            self.put(Input::DeadlinePassed).await;
            assert!(
                self.operation.status.is_terminal(),
                "no operation outlives its deadline"
            );
        }
        let store = self.place.store();
        let token = self.operation.token;
        let swept = store.sweep(self.now, 10).await.expect("the store reads");
        assert!(swept.is_empty(), "nothing is left to sweep");
        let reports = store.reports(token).await.expect("the store reads");
        for report in reports {
            let settled = store
                .settle(
                    token,
                    report.event.version,
                    Settlement::Delivered { at: self.now },
                )
                .await;
            settled.expect("the store writes");
        }
        store.forget(token).await.expect("it has ended");
        let gone = store.forget(token).await;
        assert!(
            matches!(gone, Err(ForgetError::Unknown { .. })),
            "forgotten is forgotten"
        );
    }
}

fn type_name() -> TypeName {
    "Formwork::Tests::Thing".parse().expect("a type name")
}

fn object(text: &str) -> JsonObject {
    JsonObject::parse(text).expect("an object")
}

fn new() -> NewOperation {
    NewOperation {
        scope: Scope::default(),
        type_name: type_name(),
        mutation: Mutation::Create,
        component: Digest::of(b"component"),
        deadline: START.after(HOURS),
        work: Work {
            desired_state: object(r#"{"Name":"a","Secret":"s"}"#),
            previous_state: None,
            callback_context: None,
            details: RequestDetails::default(),
            fault: None,
        },
        identifier: None,
        reporting: Some(ReportTarget {
            bearer_token: "bearer".parse().expect("a bearer token"),
            endpoint: None,
            region: None,
            credentials: None,
        }),
    }
}

/// Makes an answer of an event. Even numbers name the resource `a`, a few odd
/// ones `b`, the rest nothing.
fn answer(event: ProgressEvent, number: u32) -> Answer {
    let name = match number % 8 {
        0 | 2 | 4 | 6 => Some("a"),
        7 => Some("b"),
        _ => None,
    };
    let next = format!(r#"{{"Name":"a","Secret":"s","Step":{number}}}"#);
    Answer {
        next_state: matches!(event, ProgressEvent::InProgress { .. }).then(|| object(&next)),
        event,
        identifier: name.and_then(|name| PrimaryIdentifier::new(vec![name.to_owned()])),
        filled_in: number.is_multiple_of(5),
        warnings: Vec::new(),
    }
}

fn model(number: u32) -> JsonObject {
    object(&format!(r#"{{"Name":"a","Step":{number}}}"#))
}

fn in_progress(callback: Callback, number: u32) -> Answer {
    let event = ProgressEvent::InProgress {
        callback,
        callback_context: (!number.is_multiple_of(3)).then(|| model(number)),
        message: number.is_multiple_of(2).then(|| "on its way".to_owned()),
        model: Some(model(number)),
    };
    answer(event, number)
}

fn succeeded(number: u32) -> Answer {
    let event = ProgressEvent::Success {
        message: None,
        model: Some(model(number)),
    };
    answer(event, number)
}

fn failed(number: u32) -> Answer {
    let codes = HandlerErrorCode::ALL;
    let event = ProgressEvent::Failed {
        code: codes[number as usize % codes.len()],
        message: "no".to_owned(),
        model: number.is_multiple_of(2).then(|| model(number)),
    };
    answer(event, number)
}

fn recorded(answer: Answer) -> Input {
    Input::Recorded {
        answer,
        client_token: None,
    }
}

fn trap(number: u32) -> Trap {
    const KINDS: [TrapKind; 8] = [
        TrapKind::Panic,
        TrapKind::Memory,
        TrapKind::Stack,
        TrapKind::Limit,
        TrapKind::Cpu,
        TrapKind::Wall,
        TrapKind::AnswerSize,
        TrapKind::Answer,
    ];
    Trap {
        kind: KINDS[number as usize % KINDS.len()],
        message: "it broke".to_owned(),
    }
}
