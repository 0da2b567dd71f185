//! What crosses the contract, seen from the host.

use std::time::Duration;

use formwork_guest::bindings::exports::formwork::handler::resource::Guest as _;
use formwork_guest::bindings::formwork::handler::types as wit;
use formwork_guest::testing::Driver;
use formwork_guest::{
    Component, DeleteEvent, HandlerError, ListRequest, Page, ProgressEvent, Request,
    ResourceHandler, Result,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Model {
    name: String,
    tags: Option<Vec<Option<String>>>,
    secret: Option<String>,
    act: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Name {
    name: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Context {
    round: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    endpoint: String,
}

struct Things;

#[formwork_guest::resource(
    schema_inline = r#"{
        "typeName": "Acme::Desk::Thing", "description": "A thing.",
        "properties": {
            "Name": {"type": "string"}, "Tags": {"type": "array"}, "Secret": {"type": "string"},
            "Act": {"type": "string"}
        },
        "primaryIdentifier": ["/properties/Name"], "writeOnlyProperties": ["/properties/Secret"],
        "additionalProperties": false,
        "handlers": {
            "create": {"permissions": []}, "read": {"permissions": []}, "delete": {"permissions": []},
            "list": {"permissions": []}
        }
    }"#,
    outgoing_hosts = ["POST https://*.example.com/v1"]
)]
impl ResourceHandler for Things {
    type Model = Model;
    type Identifier = Name;
    type CallbackContext = Context;

    fn create(
        request: &Request,
        desired: Model,
        context: Context,
    ) -> Result<ProgressEvent<Model, Context>> {
        let act = desired.act.clone().unwrap_or_default();
        match (act.as_str(), context.round) {
            ("configuration", _) => {
                let configuration: Configuration = request.type_configuration()?;
                let message = configuration.endpoint;
                Ok(ProgressEvent::success(desired).with_message(message))
            }
            ("wait", None) => Ok(ProgressEvent::in_progress(desired)
                .after(Duration::from_millis(1500))
                .context(Context { round: Some(1) })
                .into()),
            ("forever", _) => Ok(ProgressEvent::in_progress(desired).no_callback().into()),
            ("wait then exists" | "wait then fail", None) => {
                Ok(ProgressEvent::in_progress(desired)
                    .context(Context { round: Some(1) })
                    .into())
            }
            ("wait then exists", Some(_)) => Err(HandlerError::already_exists("it is there")),
            ("wait then fail", Some(_)) => Err(HandlerError::internal_failure("broken")),
            ("make then fail", _) => {
                request.created(&desired);
                Err(std::io::Error::from(std::io::ErrorKind::StorageFull))?
            }
            ("fail", _) => Err(HandlerError::access_denied("no")),
            _ => Ok(ProgressEvent::success(desired)),
        }
    }

    fn read(_: &Request, Name { name }: Name) -> Result<Model> {
        let (tags, secret) = (Some(vec![None, Some("a".to_owned())]), Some("s".to_owned()));
        Ok(Model {
            name,
            tags,
            secret,
            act: None,
        })
    }

    fn delete(_: &Request, _: Name, context: Context) -> Result<DeleteEvent<Name, Context>> {
        Ok(match context.round {
            Some(_) => DeleteEvent::deleted().with_message("gone"),
            None => DeleteEvent::in_progress()
                .context(Context { round: Some(1) })
                .into(),
        })
    }

    fn list(request: &Request, page: ListRequest) -> Result<Page<Model>> {
        let filter: Option<Name> = page.filter()?;
        let name = filter.map_or_else(|| "any".to_owned(), |filter| filter.name);
        Ok(Page::last(vec![Self::read(request, Name { name })?]))
    }
}

fn request(invocation: u32) -> wit::Request {
    let mut request = None;
    Driver::<Things>::new().request(|template| request = Some(template.clone()));
    wit::Request {
        invocation,
        ..request.unwrap()
    }
}

fn create(act: &str, invocation: u32, context: Option<&str>) -> wit::ProgressEvent {
    let desired = json!({"Name": "a", "Act": act, "Secret": "hunter2"}).to_string();
    Component::<Things>::create(request(invocation), desired, context.map(String::from))
}

fn failure(act: &str, invocation: u32, context: Option<&str>) -> wit::Failure {
    match create(act, invocation, context) {
        wit::ProgressEvent::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_describes_itself() {
    let description = Component::<Things>::describe();
    assert!(description.schema.contains("Acme::Desk::Thing"));
    assert_eq!(
        description.outgoing_hosts,
        ["POST https://*.example.com/v1"]
    );
}

#[test]
fn an_in_progress_event_rounds_up_and_keeps_write_only_values() {
    let wit::ProgressEvent::InProgress(event) = create("wait", 1, None) else {
        panic!("not in progress");
    };
    assert_eq!(event.callback, wit::Callback::After(2));
    assert_eq!(event.callback_context.as_deref(), Some(r#"{"round":1}"#));
    assert_eq!(
        event.model.as_deref(),
        Some(r#"{"Name":"a","Secret":"hunter2","Act":"wait"}"#)
    );
}

#[test]
fn an_event_without_callback_waits_for_somebody_else() {
    let wit::ProgressEvent::InProgress(event) = create("forever", 1, None) else {
        panic!("not in progress");
    };
    assert_eq!(event.callback, wit::Callback::None);
    assert_eq!(event.callback_context, None);
}

#[test]
fn finished_models_have_no_null_and_no_write_only_value() {
    let success = wit::ProgressEvent::Success(wit::Success {
        model: r#"{"Name":"a","Act":""}"#.to_owned(),
        message: None,
    });
    assert_eq!(create("", 1, None), success);
    let read = Component::<Things>::read(request(1), r#"{"Name":"a"}"#.to_owned());
    assert_eq!(read.unwrap(), r#"{"Name":"a","Tags":["a"]}"#);
}

#[test]
fn reads_and_deletes_need_the_identifier_alone() {
    let state = r#"{"Name":"a","Tags":7}"#.to_owned();
    assert!(Component::<Things>::read(request(1), state.clone()).is_ok());
    let event = Component::<Things>::delete(request(1), state.clone(), None);
    assert!(matches!(event, wit::DeleteEvent::InProgress(_)));
    let event = Component::<Things>::delete(request(2), state, Some(r#"{"round":1}"#.to_owned()));
    let message = Some("gone".to_owned());
    assert_eq!(event, wit::DeleteEvent::Deleted(wit::Deleted { message }));
}

#[test]
fn a_desired_state_of_another_form_is_an_invalid_request() {
    let desired = r#"{"Name":"a","Tags":["x",3]}"#.to_owned();
    let wit::ProgressEvent::Failed(failure) =
        Component::<Things>::create(request(1), desired, None)
    else {
        panic!("not failed");
    };
    assert_eq!(failure.code, wit::ErrorCode::InvalidRequest);
    assert!(
        failure
            .message
            .starts_with("desired state: Tags[1]: invalid type")
    );
    assert_eq!(failure.model, None);
}

#[test]
fn a_context_of_another_form_is_the_handlers_own_fault() {
    let failure = failure("", 2, Some(r#"{"round":"x"}"#));
    assert_eq!(failure.code, wit::ErrorCode::InternalFailure);
}

#[test]
fn a_create_that_fails_names_what_it_has_noted_or_announced_but_nobody_elses() {
    let context = Some(r#"{"round":1}"#);
    let made = failure("make then fail", 1, None);
    assert_eq!(made.code, wit::ErrorCode::ServiceLimitExceeded);
    assert_eq!(
        made.model.as_deref(),
        Some(r#"{"Name":"a","Act":"make then fail"}"#)
    );
    let announced = failure("wait then fail", 2, context);
    assert_eq!(
        announced.model.as_deref(),
        Some(r#"{"Name":"a","Act":"wait then fail"}"#)
    );
    assert_eq!(failure("wait then exists", 2, context).model, None);
    assert_eq!(failure("fail", 1, None).model, None);
}

#[test]
fn a_list_gives_what_the_filter_asks_for() {
    let mut driver = Driver::<Things>::new();
    assert_eq!(driver.list(10).unwrap().property("Name"), ["any"]);
    let listed = driver.list_where(10, &json!({"Name": "b"})).unwrap();
    assert_eq!(listed.property("Name"), ["b"]);
    let error = driver.list_where(10, &json!({"Name": 3})).unwrap_err();
    assert_eq!(error.code(), formwork_guest::ErrorCode::InvalidRequest);
}

#[test]
fn a_type_configuration_is_typed_and_never_quoted() {
    let desired = json!({"Name": "a", "Act": "configuration"});
    let mut driver = Driver::<Things>::new();
    let run = driver.create(&desired);
    assert_eq!(
        run.failure().to_string(),
        "InvalidTypeConfiguration: Acme::Desk::Thing has no type configuration; set one"
    );
    driver.type_configuration(&json!({"Endpoint": ["hunter2"]}));
    let run = driver.create(&desired);
    assert!(!run.failure().message().contains("hunter2"));
    driver.type_configuration(&json!({"Endpoint": "https://api"}));
    assert_eq!(driver.create(&desired).messages(), ["https://api"]);
}

#[test]
fn an_action_without_a_function_says_so() {
    let update = Component::<Things>::update(request(1), r#"{"Name":"a"}"#.to_owned(), None, None);
    let wit::ProgressEvent::Failed(failure) = update else {
        panic!("not failed");
    };
    assert_eq!(failure.code, wit::ErrorCode::InternalFailure);
    assert!(failure.message.contains("no function `update`"));
}
