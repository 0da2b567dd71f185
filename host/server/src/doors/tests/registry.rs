//! Registering handlers.

use std::fs;
use std::sync::Arc;

use expect_test::expect;
use formwork_host::operation::Status;
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::Grants;
use formwork_tests::guests;
use serde_json::json;
use tempfile::TempDir;

use super::{Answer, Door};

const SCRIPTED: &str = "Formwork::Tests::Scripted";

async fn call(door: &Door, action: &str, parameters: &[(&str, &str)]) -> Answer {
    let call = [("Action", action), ("Version", "2010-05-15")];
    door.query(&[&call, parameters].concat()).await
}

async fn register(door: &Door, type_name: &str, package: &str) -> Answer {
    let parameters = [("TypeName", type_name), ("SchemaHandlerPackage", package)];
    call(door, "RegisterType", &parameters).await
}

/// Makes a folder with the scripted guest as another version.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let component = guests::another_version("scripted-guest");
    fs::write(folder.path().join("next.wasm"), component).expect("a file");
    fs::write(folder.path().join("none.wasm"), "none").expect("a file");
    folder
}

#[tokio::test]
async fn a_registered_handler_replaces_another_and_leaves_its_operations_to_it() {
    let folder = folder();
    let door = Door::open_with(&["scripted-guest"], vec![folder.path().to_owned()]).await;
    let type_name = SCRIPTED.parse().expect("a name");
    let before = door.engine.version(&type_name).expect("it is served");
    let narrow = TypeSettings {
        concurrency: 3,
        ..TypeSettings::default()
    };
    let component = guests::component("scripted-guest");
    door.engine.load(component, narrow).await.expect("loaded");
    let payload = json!({
        "action": "CREATE",
        "bearerToken": "bearer",
        "requestData": {"resourceProperties": {"Name": "a!in-progress-no-callback"}}
    });
    assert_eq!(door.invoke("Event", payload).await.status, 202);

    let answer = register(&door, SCRIPTED, "next.wasm").await;
    assert_eq!(answer.told(), "200\n", "{}", answer.body);
    let token = answer.element("RegistrationToken").expect("a token");
    let told = call(
        &door,
        "DescribeTypeRegistration",
        &[("RegistrationToken", token)],
    )
    .await;
    assert_eq!(told.element("ProgressStatus"), Some("COMPLETE"));
    assert_eq!(
        told.element("TypeArn"),
        Some("arn:aws:cloudformation:us-east-1:000000000000:type/resource/Formwork-Tests-Scripted")
    );
    let after = door.engine.version(&type_name).expect("it is served");
    assert_ne!(after.handler().digest(), before.handler().digest());
    let settings = door.engine.settings(&type_name).expect("it is served");
    assert_eq!(*settings.grants, Grants::default());
    assert_eq!(settings.concurrency, 3, "the rest stays");

    let operation = door.operation().await;
    assert_eq!(operation.component, before.handler().digest());
    let progress = [("BearerToken", "bearer"), ("OperationStatus", "SUCCESS")];
    let recorded = call(&door, "RecordHandlerProgress", &progress).await;
    assert_eq!(recorded.told(), "200\n");
    assert_eq!(door.operation().await.status, Status::Success);
}

#[tokio::test]
async fn a_registration_with_the_same_token_is_made_once() {
    let folder = folder();
    let door = Door::open_with(&[], vec![folder.path().to_owned()]).await;
    let register = async |package: &str| {
        let parameters = [
            ("Type", "RESOURCE"),
            ("TypeName", SCRIPTED),
            ("SchemaHandlerPackage", package),
            ("ClientRequestToken", "once"),
        ];
        call(&door, "RegisterType", &parameters).await
    };
    let token = |answer: &Answer| answer.element("RegistrationToken").map(str::to_owned);
    let first = register("next.wasm").await;
    assert!(token(&first).is_some(), "{}", first.body);
    assert_eq!(token(&register("next.wasm").await), token(&first));
    assert_eq!(
        register("other.wasm").await.told(),
        "400 Sender CFNRegistryException The ClientRequestToken is that of another registration\n"
    );
    let listed = call(&door, "ListTypes", &[]).await;
    assert_eq!(listed.element("TypeName"), Some(SCRIPTED));
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_and_changes_nothing() {
    let folder = folder();
    let door = Door::open_with(&["file"], vec![folder.path().to_owned()]).await;
    let mut said = String::new();
    for (type_name, package) in [
        ("", ""),
        (SCRIPTED, "s3://bucket/next.wasm"),
        (SCRIPTED, "../next.wasm"),
        (SCRIPTED, "none.wasm"),
        ("Formwork::Examples::File", "next.wasm"),
    ] {
        said.push_str(&register(&door, type_name, package).await.told());
    }
    let hook = [
        ("Type", "HOOK"),
        ("TypeName", SCRIPTED),
        ("SchemaHandlerPackage", "next.wasm"),
    ];
    said.push_str(&call(&door, "RegisterType", &hook).await.told());
    let unknown = [("RegistrationToken", "a")];
    let described = call(&door, "DescribeTypeRegistration", &unknown).await;
    said.push_str(&described.told());
    let granted = TypeSettings {
        grants: Arc::new(Grants {
            credentials: true,
            ..Grants::default()
        }),
        ..TypeSettings::default()
    };
    let component = guests::component("scripted-guest");
    door.engine.load(component, granted).await.expect("loaded");
    said.push_str(&register(&door, SCRIPTED, "next.wasm").await.told());
    let closed = Door::open(&["file"]).await;
    said.push_str(&register(&closed, SCRIPTED, "next.wasm").await.told());
    expect![[r#"
        400 Sender ValidationError 2 validation errors detected: Value &apos;&apos; at &apos;typeName&apos; failed to satisfy constraint: Member must have length greater than or equal to 10; Value &apos;&apos; at &apos;schemaHandlerPackage&apos; failed to satisfy constraint: Member must have length greater than or equal to 1
        400 Sender CFNRegistryException `s3://bucket/next.wasm` is no component of this server: give the path or the `file://` URL of a file in a folder that the configuration names for components
        400 Sender CFNRegistryException `../next.wasm` is no component of this server: give the path or the `file://` URL of a file in a folder that the configuration names for components
        400 Sender CFNRegistryException `none.wasm` cannot be loaded: the component cannot be loaded: not a WebAssembly component: the file begins with `none`; give the `.wasm` file that the build for `wasm32-wasip2` wrote
        400 Sender CFNRegistryException `next.wasm` cannot be loaded: the component is the handler of Formwork::Tests::Scripted, not of Formwork::Examples::File
        400 Sender CFNRegistryException Only types of kind RESOURCE can be registered
        400 Sender CFNRegistryException The registration token is not one of this server
        400 Sender CFNRegistryException Formwork::Tests::Scripted has grants, which no handler gets that is registered: change its component where the configuration names it
        400 Sender CFNRegistryException No component can be registered: the configuration names no folder for them; name one in `folders` of `[register]`
    "#]].assert_eq(&said);
    let types = door.engine.types();
    assert_eq!(types.len(), 2, "{types:?}");
}
