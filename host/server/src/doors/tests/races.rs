//! Cloud Control: requests that are sent again, and requests side by side.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use formwork_host::engine::{Engine, EngineBuilder, Exchange, Observer};
use formwork_host::model::{Action, Mutation};
use formwork_host::operation::Status;
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{DirectoryGrant, Grants};
use formwork_host::store::{Filter, SqliteStore, Store};
use formwork_tests::stage;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::cloud_control::{SCRIPTED, THING, ask};
use super::{Answer, Door};

const FILE: &str = "Formwork::Examples::File";

/// A door whose handlers have a directory.
struct Site {
    door: Arc<Door>,
    directory: tempfile::TempDir,
}

impl Site {
    async fn open(names: &[&str]) -> Self {
        Self::open_on(Engine::builder(stage::sandbox()), names).await
    }

    async fn open_on(engine: EngineBuilder, names: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let door = Door::open_on(engine, names, &granted(directory.path()), Vec::new()).await;
        Self {
            door: Arc::new(door),
            directory,
        }
    }

    async fn ask(&self, operation: &str, request: &Value) -> Answer {
        ask(&self.door, operation, request).await
    }

    /// Makes a resource.
    async fn create(&self, type_name: &str, state: &Value) {
        let request = json!({"TypeName": type_name, "DesiredState": state.to_string()});
        let event = event(&self.ask("CreateResource", &request).await);
        assert_eq!(event["OperationStatus"], "SUCCESS", "{event}");
    }

    async fn get(&self, type_name: &str, identifier: &str) -> Value {
        let request = json!({"TypeName": type_name, "Identifier": identifier});
        let answer = self.ask("GetResource", &request).await.json();
        let properties = answer["ResourceDescription"]["Properties"].as_str();
        serde_json::from_str(properties.expect("properties")).expect("JSON")
    }

    /// Sends requests at once, and gives the answers in no order.
    async fn ask_at_once(&self, operation: &'static str, requests: Vec<Value>) -> Vec<Answer> {
        let mut tasks = JoinSet::new();
        for request in requests {
            let door = Arc::clone(&self.door);
            tasks.spawn(async move { ask(&door, operation, &request).await });
        }
        tasks.join_all().await
    }

    /// Counts the operations that do this.
    async fn count(&self, mutation: Mutation) -> usize {
        let filter = Filter {
            mutations: vec![mutation],
            ..Filter::default()
        };
        let operations = self.door.engine.operations(&filter).await;
        operations.expect("the store reads").len()
    }
}

fn granted(directory: &Path) -> TypeSettings {
    TypeSettings {
        grants: Arc::new(Grants {
            directories: vec![DirectoryGrant::read_write(directory)],
            ..Grants::default()
        }),
        ..TypeSettings::default()
    }
}

/// Asks for the replacement of one property.
fn replace(type_name: &str, identifier: &str, name: &str, value: &Value) -> Value {
    let patch = json!([{"op": "replace", "path": format!("/{name}"), "value": value}]);
    json!({"TypeName": type_name, "Identifier": identifier, "PatchDocument": patch.to_string()})
}

fn with_token(mut request: Value, token: &str) -> Value {
    request["ClientToken"] = token.into();
    request
}

/// Gives the progress event of an answer that is one.
fn event(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["ProgressEvent"].take()
}

/// Gives the name of the exception, or the status of the operation.
fn verdict(answer: &Answer) -> String {
    if answer.status == 200 {
        let event = event(answer);
        let code = event["ErrorCode"].as_str().unwrap_or_default();
        let status = event["OperationStatus"].as_str().expect("a status");
        return format!("{status} {code}").trim().to_owned();
    }
    answer.header("x-amzn-errortype").to_owned()
}

fn count_of(answers: &[Answer], verdict: &str) -> usize {
    let verdicts = answers.iter().map(self::verdict);
    verdicts.filter(|it| it == verdict).count()
}

#[tokio::test]
async fn what_is_sent_again_is_one_request_whatever_it_changed() {
    let data = tempfile::tempdir().expect("a directory");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(data.path()).expect("opened"));
    let engine = || Engine::builder(stage::sandbox()).store(Arc::clone(&store));
    let mut site = Site::open_on(engine(), &["file", "faulty-guest"]).await;
    site.create(FILE, &json!({"Name": "a.txt", "Contents": "one"}))
        .await;
    site.create(THING, &json!({"Name": "a", "Size": 1})).await;
    let id = json!({"Id": site.get(THING, "a").await["Id"]}).to_string();
    let requests = [
        (
            "UpdateResource",
            replace(FILE, "a.txt", "Contents", &json!("longer")),
        ),
        ("UpdateResource", replace(THING, &id, "Size", &json!(2))),
        // Nothing is to be done, and still it is one request.
        ("UpdateResource", replace(THING, &id, "Size", &json!(2))),
        (
            "DeleteResource",
            json!({"TypeName": FILE, "Identifier": "a.txt"}),
        ),
        (
            "DeleteResource",
            json!({"TypeName": THING, "Identifier": id}),
        ),
    ];
    let mut first = Vec::new();
    for (number, (operation, request)) in requests.iter().enumerate() {
        let request = with_token(request.clone(), &number.to_string());
        let event = event(&site.ask(operation, &request).await);
        assert_eq!(event["OperationStatus"], "SUCCESS", "{event}");
        let again = site.ask(operation, &request).await;
        assert_eq!(self::event(&again), event);
        first.push((operation, request, event));
    }
    for restarted in [false, true] {
        if restarted {
            assert!(site.door.engine.shutdown(Duration::from_secs(60)).await);
            let settings = granted(site.directory.path());
            let names = ["file", "faulty-guest"];
            let door = Door::open_on(engine(), &names, &settings, Vec::new()).await;
            site.door = Arc::new(door);
        }
        for (operation, request, event) in &first {
            let again = site.ask(operation, request).await;
            assert_eq!(self::event(&again), *event);
        }
    }
    assert_eq!(site.count(Mutation::Update).await, 3);
    assert_eq!(site.count(Mutation::Delete).await, 2);

    // The same words, spaced differently, are the same request; others are not.
    let (_, mut request, event) = first.swap_remove(1);
    let patch = r#"[ {"value":2, "path":"/Size", "op":"replace"} ]"#;
    request["PatchDocument"] = patch.into();
    let again = site.ask("UpdateResource", &request).await;
    assert_eq!(self::event(&again), event);
    for (member, value) in [
        ("PatchDocument", json!(patch.replace('2', "3"))),
        ("Identifier", json!("a")),
    ] {
        let mut other = request.clone();
        other[member] = value;
        let other = site.ask("UpdateResource", &other).await;
        assert_eq!(verdict(&other), "ClientTokenConflictException");
        let said = other.json();
        let said = said["Message"].as_str().expect("a message");
        let holder = event["RequestToken"].as_str().expect("a token");
        assert_eq!(
            said,
            format!(
                "ClientToken 1 is already associated with an existing operation with RequestToken {holder}"
            )
        );
    }
    let delete =
        json!({"TypeName": THING, "Identifier": request["Identifier"], "ClientToken": "1"});
    let delete = site.ask("DeleteResource", &delete).await;
    assert_eq!(verdict(&delete), "ClientTokenConflictException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tries_side_by_side_are_one_request() {
    let site = Site::open(&["faulty-guest"]).await;
    site.create(THING, &json!({"Name": "a", "Size": 0})).await;
    for round in 0..10 {
        // Only the first try finds the state that it tests for.
        let patch = json!([
            {"op": "test", "path": "/Size", "value": round},
            {"op": "replace", "path": "/Size", "value": round + 1},
        ]);
        let request = json!({
            "TypeName": THING,
            "Identifier": "a",
            "PatchDocument": patch.to_string(),
            "ClientToken": format!("round-{round}"),
        });
        let answers = site.ask_at_once("UpdateResource", vec![request; 6]).await;
        let mut tokens: Vec<_> = answers
            .iter()
            .map(|answer| event(answer)["RequestToken"].to_string())
            .collect();
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        assert_eq!(site.count(Mutation::Update).await, round + 1);
    }
    let id = json!({"Id": site.get(THING, "a").await["Id"]}).to_string();
    let request = json!({"TypeName": THING, "Identifier": id, "ClientToken": "gone"});
    let answers = site.ask_at_once("DeleteResource", vec![request; 6]).await;
    assert_eq!(count_of(&answers, "SUCCESS"), 6);
    assert_eq!(site.count(Mutation::Delete).await, 1);
}

/// Holds the first READ that it is shown until it is let go.
struct HoldFirstRead {
    held: Mutex<Option<mpsc::Receiver<()>>>,
    reads: mpsc::Sender<()>,
}

impl Observer for HoldFirstRead {
    fn invoked(&self, exchange: &Exchange) {
        if exchange.invocation.call.action() != Action::Read {
            return;
        }
        let held = self.held.lock().expect("no panic").take();
        if let Some(held) = held {
            self.reads.send(()).expect("somebody waits for it");
            tokio::task::block_in_place(|| {
                held.recv_timeout(Duration::from_secs(60))
                    .expect("it is let go");
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_update_whose_state_was_overtaken_is_refused() {
    let (go, held) = mpsc::channel();
    let (reads, read) = mpsc::channel();
    let observer = HoldFirstRead {
        held: Mutex::new(Some(held)),
        reads,
    };
    let engine = Engine::builder(stage::sandbox()).observer(Arc::new(observer));
    let site = Site::open_on(engine, &["file"]).await;
    site.create(FILE, &json!({"Name": "a.txt", "Contents": "one"}))
        .await;
    let slow = replace(FILE, "a.txt", "Mode", &json!("0600"));
    let door = Arc::clone(&site.door);
    let asked = slow.clone();
    let slow_answer = tokio::spawn(async move { ask(&door, "UpdateResource", &asked).await });
    tokio::task::block_in_place(|| read.recv_timeout(Duration::from_secs(60)))
        .expect("the slow one reads");

    // It has read the old contents, and would write them back.
    let quick = replace(FILE, "a.txt", "Contents", &json!("new"));
    let quick = site.ask("UpdateResource", &quick).await;
    assert_eq!(verdict(&quick), "SUCCESS");
    go.send(()).expect("it is held");
    let refused = slow_answer.await.expect("it answers");
    assert_eq!(verdict(&refused), "ConcurrentOperationException");
    let again = site.ask("UpdateResource", &slow).await;
    assert_eq!(verdict(&again), "SUCCESS");
    let file = site.get(FILE, "a.txt").await;
    assert_eq!(
        (&file["Contents"], &file["Mode"]),
        (&json!("new"), &json!("0600"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_updates_side_by_side_none_is_lost() {
    let site = Site::open(&["faulty-guest"]).await;
    for thing in ["a", "b", "c", "d"] {
        site.create(THING, &json!({"Name": thing, "Labels": []}))
            .await;
        let add = |number: usize| {
            let patch = json!([{"op": "add", "path": "/Labels/-", "value": number.to_string()}]);
            json!({"TypeName": THING, "Identifier": thing, "PatchDocument": patch.to_string()})
        };
        let answers = site
            .ask_at_once("UpdateResource", (0..8).map(add).collect())
            .await;
        let well = count_of(&answers, "SUCCESS");
        assert_ne!(well, 0, "somebody is first");
        let refused = count_of(&answers, "ConcurrentOperationException");
        let bodies: Vec<_> = answers.iter().map(|answer| &answer.body).collect();
        assert_eq!(refused, 8 - well, "{bodies:?}");
        let labels = &site.get(THING, thing).await["Labels"];
        assert_eq!(labels.as_array().map(Vec::len), Some(well), "{labels}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_creates_side_by_side_one_wins() {
    let site = Site::open(&["scripted-guest", "file"]).await;
    let create = |type_name: &str, state: &Value| json!({"TypeName": type_name, "DesiredState": state.to_string()});
    let slow = create(
        SCRIPTED,
        &json!({"Name": "a", "Script": ["in-progress:3600"]}),
    );
    let answers = site.ask_at_once("CreateResource", vec![slow; 12]).await;
    let winners = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| event(answer)["Identifier"].clone());
    assert_eq!(winners.collect::<Vec<_>>(), ["a"]);
    assert_eq!(count_of(&answers, "ConcurrentOperationException"), 11);

    // Those that come when the first has ended are told by the handler.
    let quick = create(FILE, &json!({"Name": "a.txt", "Contents": "one"}));
    let answers = site.ask_at_once("CreateResource", vec![quick; 12]).await;
    assert_eq!(count_of(&answers, "SUCCESS"), 1);
    let too_late = count_of(&answers, "ConcurrentOperationException")
        + count_of(&answers, "FAILED AlreadyExists");
    assert_eq!(too_late, 11);
    let filter = Filter {
        statuses: vec![Status::Success],
        ..Filter::default()
    };
    let made = site.door.engine.operations(&filter).await;
    assert_eq!(made.expect("the store reads").len(), 1);
}

#[tokio::test]
async fn a_read_is_known_to_its_handler_by_the_id_of_the_request() {
    let site = Site::open(&["scripted-guest"]).await;
    let request = json!({"TypeName": SCRIPTED, "Identifier": "a!fail:Throttling"});
    let answer = site.ask("GetResource", &request).await;
    let said = answer.json();
    let said = said["Message"].as_str().expect("a message");
    let id = answer.header("x-amzn-requestid");
    assert!(said.contains(&format!("attempt=1 token={id}]")), "{said}");
    assert!(said.ends_with(&format!("RequestToken: {id})")), "{said}");
    let request = json!({"TypeName": SCRIPTED, "Identifier": r#"{"Note": "not found"}"#});
    let answer = site.ask("GetResource", &request).await;
    assert!(!answer.body.contains("not found"), "{}", answer.body);
}
