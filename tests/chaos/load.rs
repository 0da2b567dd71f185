//! The callers: they ask for operations, again and again if they hear nothing,
//! follow them to their end, and write down what they were told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use formwork_tests::chaos::evidence::{Accepted, Asked, Seen};
use formwork_tests::chaos::schedule::{Dice, Door, Mutation, Plan, life};
use formwork_tests::cloudformation::CloudFormation;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{self, Failure, Progress, TYPE};

/// The pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// All callers of a campaign.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
    ending: watch::Sender<bool>,
}

/// Where callers find what they need.
pub(crate) struct Doors {
    /// Where the hosts listen.
    pub(crate) hosts: Vec<watch::Receiver<Option<SocketAddr>>>,
    /// Who is told of operations that have a bearer token.
    pub(crate) endpoint: Arc<CloudFormation>,
    /// Where the hosts find it.
    pub(crate) endpoint_url: String,
}

struct Shared {
    seed: u64,
    doors: Doors,
    lives: AtomicU64,
    asked: Mutex<BTreeMap<String, Asked>>,
}

impl Load {
    /// Starts so many callers.
    pub(crate) fn start(seed: u64, callers: u64, doors: Doors) -> Self {
        let shared = Arc::new(Shared {
            seed,
            doors,
            lives: AtomicU64::new(0),
            asked: Mutex::default(),
        });
        let ending = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (shared, ending) = (Arc::clone(&shared), ending.subscribe());
            tasks.spawn(async move {
                while !*ending.borrow() {
                    let number = shared.lives.fetch_add(1, Ordering::Relaxed);
                    live(&shared, number).await;
                }
            });
        }
        Self {
            shared,
            callers: tasks,
            ending,
        }
    }

    /// Says how many operations were asked for so far.
    pub(crate) fn operations(&self) -> usize {
        self.shared.asked().len()
    }

    /// Begins no more lives, and waits until those that go on have ended, or for
    /// so long. What has not ended by then is for the check to find.
    pub(crate) async fn end(&mut self, patience: Duration) {
        self.ending.send_replace(true);
        let all = async { while self.callers.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_err() {
            self.callers.shutdown().await;
        }
    }

    /// Asks once more how each operation ended.
    pub(crate) async fn look_again(&self) -> anyhow::Result<()> {
        let keys: Vec<String> = self.shared.asked().keys().cloned().collect();
        for (number, key) in keys.into_iter().enumerate() {
            let (door, token) = {
                let asked = self.shared.asked();
                let Some(asked) = asked.get(&key) else {
                    continue;
                };
                let token = asked
                    .accepted
                    .iter()
                    .find_map(|answer| answer.token.clone());
                (asked.plan.door, token)
            };
            match (door, token) {
                (Door::Event, _) => self.shared.see_report(&key),
                (Door::CloudControl, Some(token)) => {
                    let input = json!({"RequestToken": token});
                    let until = Instant::now() + Duration::from_secs(30);
                    let call = ("GetResourceRequestStatus", &input);
                    while !self.shared.see(&key, number, call).await {
                        if Instant::now() > until {
                            bail!("nobody says how {key} has ended");
                        }
                        sleep(PAUSE).await;
                    }
                }
                (Door::CloudControl, None) => {}
            }
        }
        Ok(())
    }

    /// Gives what callers have written down.
    pub(crate) fn asked(&self) -> BTreeMap<String, Asked> {
        self.shared.asked().clone()
    }
}

/// Takes one resource through its life.
async fn live(shared: &Shared, number: u64) {
    let mut dice = Dice::of(shared.seed, "caller", number);
    for plan in life(shared.seed, number) {
        let key = plan.key();
        let asked = Asked {
            plan: plan.clone(),
            sent: 0,
            accepted: Vec::new(),
            seen: Vec::new(),
            refused: Vec::new(),
        };
        shared.asked().insert(key.clone(), asked);
        let well = match plan.door {
            Door::CloudControl => through_cloud_control(shared, &mut dice, &plan, &key).await,
            Door::Event => through_event(shared, &mut dice, &plan, &key).await,
        };
        if !well {
            return;
        }
    }
}

async fn through_cloud_control(shared: &Shared, dice: &mut Dice, plan: &Plan, key: &str) -> bool {
    let (operation, input) = request(plan);
    let Some(token) = shared.submit(dice, key, (operation, &input)).await else {
        return false;
    };
    let cancel_at = plan
        .cancelled_after
        .map(|after| Instant::now() + Duration::from_millis(after));
    let mut cancelled = false;
    let by_token = json!({"RequestToken": token});
    loop {
        if !cancelled && cancel_at.is_some_and(|at| Instant::now() >= at) {
            // Whether it comes too late is not for the caller to know.
            let host = usize::try_from(dice.between(0..=1_000)).unwrap_or_default();
            let asked = shared
                .call(host, ("CancelResourceRequest", &by_token))
                .await;
            cancelled = matches!(asked, Ok(_) | Err(Failure::Refused { .. }));
        }
        let host = usize::try_from(dice.between(0..=1_000)).unwrap_or_default();
        if !shared
            .see(key, host, ("GetResourceRequestStatus", &by_token))
            .await
        {
            sleep(PAUSE).await;
        }
        match shared.heard(key) {
            Heard::Nothing => {}
            Heard::Refusal => return false,
            Heard::End { well } => {
                return shared.again(dice, plan, key, (operation, &input)).await && well;
            }
        }
    }
}

/// What a caller knows of its request.
enum Heard {
    Nothing,
    Refusal,
    End { well: bool },
}

async fn through_event(shared: &Shared, dice: &mut Dice, plan: &Plan, key: &str) -> bool {
    shared.doors.endpoint.issue(key);
    let payload = payload(plan, key, &shared.doors.endpoint_url);
    if !shared.take_over(dice, key, &payload).await {
        return false;
    }
    loop {
        let recorded = shared.doors.endpoint.recorded(key);
        if let Some(recorded) = recorded.filter(|recorded| has_ended(recorded.status)) {
            shared.see_report(key);
            if plan.asked_again && !shared.take_over(dice, key, &payload).await {
                return false;
            }
            return recorded.status == "SUCCESS";
        }
        sleep(PAUSE).await;
    }
}

fn has_ended(status: &str) -> bool {
    ["SUCCESS", "FAILED", "CANCEL_COMPLETE"].contains(&status)
}

/// What Cloud Control is asked.
fn request(plan: &Plan) -> (&'static str, Value) {
    let script = plan.script();
    let mut input = json!({"TypeName": TYPE, "ClientToken": plan.key()});
    match plan.mutation {
        Mutation::Create => {
            let state = json!({"Name": plan.name, "Script": script, "Secret": "s3cr3t"});
            input["DesiredState"] = json!(state.to_string());
            ("CreateResource", input)
        }
        Mutation::Update => {
            let patch = json!([
                {"op": "add", "path": "/Script", "value": script},
                {"op": "add", "path": "/Note", "value": "updated"},
            ]);
            input["Identifier"] = json!(plan.name);
            input["PatchDocument"] = json!(patch.to_string());
            ("UpdateResource", input)
        }
        Mutation::Delete => {
            input["Identifier"] = json!(plan.name);
            ("DeleteResource", input)
        }
    }
}

/// What CloudFormation sends.
fn payload(plan: &Plan, key: &str, endpoint: &str) -> Value {
    let state = json!({"Name": plan.name, "Script": plan.script(), "Secret": "s3cr3t"});
    let credentials = json!({
        "accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "no-secret", "sessionToken": "no-session"
    });
    json!({
        "action": plan.mutation.as_str(),
        "bearerToken": key,
        "region": "eu-central-1",
        "awsAccountId": "123456789012",
        "responseEndpoint": endpoint,
        "requestData": {
            "resourceProperties": state,
            "previousResourceProperties": {"Name": plan.name, "Script": []},
            "platformCredentials": credentials,
        },
    })
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, key: &str, note: impl FnOnce(&mut Asked)) {
        if let Some(asked) = self.asked().get_mut(key) {
            note(asked);
        }
    }

    /// Tells what the caller of a request knows.
    fn heard(&self, key: &str) -> Heard {
        let asked = self.asked();
        let Some(asked) = asked.get(key) else {
            return Heard::Refusal;
        };
        match asked.seen.last() {
            _ if !asked.refused.is_empty() => Heard::Refusal,
            Some(seen) if has_ended(&seen.status) => Heard::End {
                well: seen.status == "SUCCESS",
            },
            Some(_) | None => Heard::Nothing,
        }
    }

    /// Gives where a host listens; any, if that one does not.
    fn host(&self, number: usize) -> Option<SocketAddr> {
        let hosts = &self.doors.hosts;
        let from = number % hosts.len().max(1);
        let mut all = hosts[from..].iter().chain(&hosts[..from]);
        all.find_map(|host| *host.borrow())
    }

    async fn call(
        &self,
        host: usize,
        (operation, input): (&str, &Value),
    ) -> Result<Progress, Failure> {
        let address = self.host(host).ok_or(Failure::Unanswered)?;
        client::cloud_control(address, operation, input).await
    }

    /// Sends a request until it is accepted, and gives its token; none if it is
    /// refused.
    async fn submit(&self, dice: &mut Dice, key: &str, call: (&str, &Value)) -> Option<String> {
        loop {
            self.note(key, |asked| asked.sent += 1);
            let host = usize::try_from(dice.between(0..=1_000)).unwrap_or_default();
            match self.call(host, call).await {
                Ok(progress) => {
                    let token = progress.request_token.clone();
                    self.note(key, |asked| {
                        asked.accepted.push(Accepted {
                            at: now(),
                            token: Some(token.clone()),
                        });
                    });
                    return Some(token);
                }
                Err(Failure::Unanswered | Failure::Later) => sleep(PAUSE).await,
                Err(Failure::Refused { text, .. }) => {
                    self.note(key, |asked| asked.refused.push(text));
                    return None;
                }
            }
        }
    }

    /// Sends a request once more if the plan says so.
    async fn again(&self, dice: &mut Dice, plan: &Plan, key: &str, call: (&str, &Value)) -> bool {
        !plan.asked_again || self.submit(dice, key, call).await.is_some()
    }

    async fn take_over(&self, dice: &mut Dice, key: &str, payload: &Value) -> bool {
        loop {
            self.note(key, |asked| asked.sent += 1);
            let host = usize::try_from(dice.between(0..=1_000)).unwrap_or_default();
            let taken = match self.host(host) {
                Some(address) => client::invoke(address, payload).await,
                None => Err(Failure::Unanswered),
            };
            match taken {
                Ok(()) => {
                    let accepted = Accepted {
                        at: now(),
                        token: None,
                    };
                    self.note(key, |asked| asked.accepted.push(accepted));
                    return true;
                }
                Err(Failure::Unanswered | Failure::Later) => sleep(PAUSE).await,
                Err(Failure::Refused { text, .. }) => {
                    self.note(key, |asked| asked.refused.push(text));
                    return false;
                }
            }
        }
    }

    /// Asks how far a request is; tells whether there was an answer.
    async fn see(&self, key: &str, host: usize, call: (&str, &Value)) -> bool {
        match self.call(host, call).await {
            Ok(progress) => {
                let seen = Seen {
                    at: now(),
                    status: progress.operation_status,
                    code: progress.error_code,
                    message: progress.status_message,
                };
                self.note(key, |asked| asked.seen.push(seen));
                true
            }
            Err(Failure::Unanswered | Failure::Later) => false,
            Err(Failure::Refused { name, text }) => {
                self.note(key, |asked| asked.refused.push(format!("{name} {text}")));
                true
            }
        }
    }

    /// Writes down what the endpoint holds.
    fn see_report(&self, key: &str) {
        if let Some(recorded) = self.doors.endpoint.recorded(key) {
            let seen = Seen {
                at: now(),
                status: recorded.status.to_owned(),
                code: recorded.code,
                message: recorded.message,
            };
            self.note(key, |asked| asked.seen.push(seen));
        }
    }
}

/// Gives the time in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
