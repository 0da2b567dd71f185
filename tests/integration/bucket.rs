//! Buckets of a real S3, by a handler that holds no credentials: `examples/bucket`
//! before moto, which checks each signature.

mod memory;
mod moto;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use formwork_host::engine::{Engine, Request};
use formwork_host::model::{Credentials, HandlerErrorCode};
use formwork_host::operation::Status;
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{Grants, SigningGrant, SigningSource};
use formwork_tests::guests;
use formwork_tests::stage::{object, sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::official::process::{Ended, Process};
use crate::official::served::program;
use crate::official::tools::repository;
use moto::{Key, Moto};

/// `formwork`, with a folder of its own and an S3.
struct Bench<'m> {
    moto: &'m Moto,
    place: TempDir,
}

impl<'m> Bench<'m> {
    fn new(moto: &'m Moto) -> Self {
        let place = TempDir::new().expect("a directory");
        let endpoint = json!({"Endpoint": moto.url()});
        fs::write(place.path().join("type.json"), endpoint.to_string()).expect("a file");
        Self { moto, place }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.place.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    /// Prepares a command about the bucket, whose requests are signed `with` some
    /// credentials, and whose caller is `caller`.
    fn command(&self, words: &[&str], with: &str, caller: Option<&Key>) -> Command {
        let mut command = program();
        command
            .args(words)
            .args(["--region", "eu-central-1"])
            .args(["--grant", "address=127.0.0.1", "--grant"])
            .arg(format!("sign={} as s3{with}", self.moto.url()))
            .arg("--type-configuration")
            .arg(self.place.path().join("type.json"))
            .env("AWS_ENDPOINT_URL", self.moto.url())
            .env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some(key) = caller {
            command.env("AWS_ACCESS_KEY_ID", &key.id);
            command.env("AWS_SECRET_ACCESS_KEY", &key.secret);
        }
        command
    }

    fn run(&self, words: &[&str], with: &str, caller: Option<&Key>) -> Ended {
        let component = guests::path("bucket").display().to_string();
        let words: Vec<&str> = ["run", words[0], component.as_str()]
            .into_iter()
            .chain(words[1..].iter().copied())
            .collect();
        Process::start(&mut self.command(&words, with, caller)).end()
    }
}

/// Reads the JSON object that a command printed, among its words.
fn model(said: &str) -> Value {
    let (start, end) = (said.find('{'), said.rfind('}'));
    let text = &said[start.expect(said)..=end.expect(said)];
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn a_bucket_lives_and_dies_in_a_real_s3() {
    let moto = Moto::start();
    let bench = Bench::new(&moto);
    let owner = Some(moto.owner());
    let desired = bench.write(
        "bucket.json",
        r#"{"Name": "a-bucket", "Versioning": "Enabled", "Tags": [{"Key": "a", "Value": "<1> & 2"}]}"#,
    );
    let made = bench
        .run(&["create", "--model", &desired], "", owner)
        .answer();
    let made = model(&made);
    assert_eq!(made["Versioning"], "Enabled");
    assert_eq!(made["Tags"], json!([{"Key": "a", "Value": "<1> & 2"}]));
    let again = bench.run(&["create", "--model", &desired], "", owner);
    assert!(again.said.contains("AlreadyExists"), "{}", again.said);
    let read = bench.run(&["read", "--identifier", "a-bucket"], "", owner);
    assert_eq!(model(&read.answer()), made);
    let changed = bench.write("bucket.json", r#"{"Name": "a-bucket", "Tags": []}"#);
    let changed = bench
        .run(&["update", "--model", &changed], "", owner)
        .answer();
    assert_eq!(model(&changed).get("Tags"), None);
    let listed = bench.run(&["list"], "", owner).well();
    assert!(listed.contains("a-bucket"), "{listed}");
    // Who has no rights has credentials all the same.
    let stranger = bench.run(
        &["read", "--identifier", "a-bucket"],
        " with caller or profile none",
        Some(moto.stranger()),
    );
    assert!(stranger.said.contains("AccessDenied"), "{}", stranger.said);
    bench
        .run(&["delete", "--identifier", "a-bucket"], "", owner)
        .well();
    let gone = bench.run(&["read", "--identifier", "a-bucket"], "", owner);
    assert!(gone.said.contains("NotFound"), "{}", gone.said);
}

#[test]
fn refused_credentials_give_way_to_the_operators_or_fail_the_operation() {
    let moto = Moto::start();
    let bench = Bench::new(&moto);
    let list = &["list"][..];
    let wrong = moto.wrong();
    let refused = bench.run(list, "", Some(&wrong));
    assert!(
        refused.said.contains("InvalidCredentials"),
        "{}",
        refused.said
    );
    assert!(
        refused.said.contains("InvalidAccessKeyId"),
        "{}",
        refused.said
    );
    assert!(!refused.said.contains(&wrong.secret), "{}", refused.said);
    let half = Key {
        id: moto.owner().id.clone(),
        ..moto.wrong()
    };
    let refused = bench.run(list, "", Some(&half));
    assert!(
        refused.said.contains("SignatureDoesNotMatch"),
        "{}",
        refused.said
    );
    let missing = bench.run(list, "", None);
    assert!(
        missing.said.contains("AWS_ACCESS_KEY_ID"),
        "{}",
        missing.said
    );

    let Key { id, secret } = moto.owner();
    let credentials = bench.write(
        "credentials",
        &format!("[deploy]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
    );
    let component = guests::path("bucket").display().to_string();
    let words = ["run", "list", component.as_str()];
    let with_profile = " with caller or profile deploy";
    for caller in [Some(&wrong), None] {
        let mut command = bench.command(&words, with_profile, caller);
        command.env("AWS_SHARED_CREDENTIALS_FILE", &credentials);
        command.env("AWS_CONFIG_FILE", "/dev/null");
        Process::start(&mut command).end().well();
    }
    // A role is assumed with the credentials of the process.
    let with_role = format!(" with role {}", moto.role());
    let mut command = bench.command(&words, &with_role, Some(moto.owner()));
    Process::start(&mut command).end().well();
}

#[test]
fn a_web_identity_is_signed_with() {
    let moto = Moto::trusting();
    let bench = Bench::new(&moto);
    let component = guests::path("bucket").display().to_string();
    let words = ["run", "list", component.as_str()];
    let token = bench.write("token", "an.identity.token");
    let mut command = bench.command(&words, " with web-identity", None);
    command
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", token)
        .env("AWS_ROLE_ARN", moto.role());
    Process::start(&mut command).end().well();
    let mut command = bench.command(&words, " with web-identity", None);
    let failed = Process::start(&mut command).end();
    assert!(
        failed.said.contains("InvalidCredentials"),
        "{}",
        failed.said
    );
    assert!(failed.said.contains("web identity"), "{}", failed.said);
}

#[test]
fn the_bucket_keeps_the_handler_contract() {
    let moto = Moto::start();
    let bench = Bench::new(&moto);
    let component = guests::path("bucket").display().to_string();
    let inputs = repository("examples/bucket/inputs").display().to_string();
    let words = ["test", component.as_str(), "--inputs", inputs.as_str()];
    let said = Process::start(&mut bench.command(&words, "", Some(moto.owner()))).end();
    let said = said.well();
    for name in [
        "contract_create_create",
        "contract_create_list",
        "formwork_",
    ] {
        assert!(said.contains(name), "{said}");
    }
}

/// Has an engine of this process make a bucket by way of a relay that searches the
/// memory of guests for `needles` whenever a byte passes, and gives what it found.
async fn searched(credentials_are_granted: bool, needles: &[&str]) -> Vec<bool> {
    let moto = tokio::task::spawn_blocking(Moto::start)
        .await
        .expect("moto");
    let needles = needles.iter().map(|needle| match *needle {
        "SECRET" => moto.owner().secret.clone(),
        needle => needle.to_owned(),
    });
    let relay = memory::Relay::start(moto.address(), needles.collect()).await;
    let mut grants = Grants {
        credentials: credentials_are_granted,
        ..Grants::default()
    };
    let requests = relay.url().parse().expect("a pattern");
    let signing = SigningGrant::new(requests, "s3", None, vec![SigningSource::Caller]);
    grants.http.signatures.push(signing.expect("a grant"));
    grants
        .http
        .addresses
        .push("127.0.0.1".parse().expect("an address"));
    let engine = Engine::builder(sandbox()).start();
    let settings = TypeSettings {
        grants: Arc::new(grants),
        type_configuration: Some(object(&json!({"Endpoint": relay.url()}))),
        ..TypeSettings::default()
    };
    let component = guests::component("bucket");
    engine.load(component, settings).await.expect("it loads");
    let type_name = "Formwork::Examples::Bucket".parse().expect("a type name");
    let mut request = Request::create(type_name, object(&json!({"Name": "searched-for"})));
    request.scope.region = Some("eu-central-1".parse().expect("a region"));
    request.details.credentials = Some(Credentials {
        access_key_id: moto.owner().id.clone(),
        secret_access_key: moto.owner().secret.clone(),
        session_token: None,
    });
    let operation = engine.submit(request).await.expect("accepted");
    let ended = operation.outcome().await.expect("it ends");
    assert_eq!(ended.status, Status::Success, "{:?}", ended.message);
    relay.found()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_credentials_are_in_the_memory_of_the_guest() {
    let found = searched(false, &["searched-for", "SECRET", "AWS4-HMAC-SHA256"]).await;
    assert_eq!(found, [true, false, false], "the guest's own, and no more");
    // The search finds what is there.
    let found = searched(true, &["searched-for", "SECRET"]).await;
    assert_eq!(found, [true, true], "what is granted is in its hands");
}

#[tokio::test]
async fn an_operation_without_good_credentials_fails_for_that_reason() {
    let moto = tokio::task::spawn_blocking(Moto::start)
        .await
        .expect("moto");
    let mut grants = Grants::default();
    let requests = moto.url().parse().expect("a pattern");
    let signing = SigningGrant::new(requests, "s3", None, vec![SigningSource::Caller]);
    grants.http.signatures.push(signing.expect("a grant"));
    grants
        .http
        .addresses
        .push("127.0.0.1".parse().expect("an address"));
    let engine = Engine::builder(sandbox()).start();
    let settings = TypeSettings {
        grants: Arc::new(grants),
        type_configuration: Some(object(&json!({"Endpoint": moto.url()}))),
        ..TypeSettings::default()
    };
    let component = guests::component("bucket");
    engine.load(component, settings).await.expect("it loads");
    let type_name = "Formwork::Examples::Bucket".parse().expect("a type name");
    let mut request = Request::create(type_name, object(&json!({"Name": "never-made"})));
    request.scope.region = Some("eu-central-1".parse().expect("a region"));
    let operation = engine.submit(request).await.expect("accepted");
    let ended = operation.outcome().await.expect("it ends");
    assert_eq!(ended.code, Some(HandlerErrorCode::InvalidCredentials));
    let message = ended.message.clone().unwrap_or_default();
    assert!(
        message.starts_with("the request brings no credentials to sign with"),
        "{message}"
    );
}
