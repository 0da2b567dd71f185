//! Those of the bugs that are in what the handler answers rather than in what it
//! does, and those that keep it from answering.

use std::fs;
use std::hint::black_box;
use std::io;
use std::thread;
use std::time::Duration;

use formwork_guest::Result;
use formwork_guest::bindings::formwork::handler::types as wit;
use serde_json::{Map, Value, json};

use crate::record::Record;
use crate::thing::{KEY, hash};
use crate::{Bug, Thing, root};

type Object = Map<String, Value>;

/// Does what keeps a create from answering.
pub(crate) fn create_itself(bug: Option<Bug>) {
    if bug == Some(Bug::SlowInvocation) {
        thread::sleep(Duration::from_secs(90));
    }
    while bug == Some(Bug::Loops) {
        black_box(());
    }
    let mut taken: Vec<Vec<u8>> = Vec::new();
    while bug == Some(Bug::EatsMemory) {
        taken.push(black_box(vec![1; 1 << 20]));
    }
}

/// Does what keeps a READ from answering.
pub(crate) fn read_itself(bug: Option<Bug>) {
    if bug == Some(Bug::SlowRead) {
        thread::sleep(Duration::from_secs(45));
    }
}

/// Does what keeps a delete from answering.
pub(crate) fn delete_itself(bug: Option<Bug>) {
    assert_ne!(bug, Some(Bug::PanicsOnDelete), "the handler has a bug");
}

/// Does what goes wrong when an invocation is made once more.
pub(crate) fn repeat(
    bug: Option<Bug>,
    request: &wit::Request,
    action: &str,
    context: Option<&str>,
) -> Option<wit::Failure> {
    if bug != Some(Bug::RepeatFails) && bug != Some(Bug::RepeatDoubles) {
        return None;
    }
    let token = &request.client_request_token;
    let mark = hash(action, &(token, context));
    match fs::File::create_new(root().join(format!("{mark:016x}.made"))) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            made.expect("the granted directory can be written");
            return None;
        }
    }
    if bug == Some(Bug::RepeatDoubles) {
        double(token).expect("the granted directory can be written");
        return None;
    }
    Some(wit::Failure {
        code: wit::ErrorCode::InternalFailure,
        message: "what this invocation makes is there already".to_owned(),
        model: None,
    })
}

/// Makes another thing like the one that an operation has made.
fn double(token: &str) -> Result<()> {
    for mut record in Record::all()? {
        if record.created_by == token {
            let id = hash("double", &record.thing.id);
            record.thing.rename(id);
            record.claim()?;
        }
    }
    Ok(())
}

/// Spoils what a create answers.
pub(crate) fn create(bug: Option<Bug>, ends_chain: bool, event: &mut wit::ProgressEvent) {
    match event {
        wit::ProgressEvent::Success(success) if ends_chain => {
            if bug == Some(Bug::ChangesIdentifier) {
                edit(&mut success.model, change_identifier);
            }
        }
        wit::ProgressEvent::Success(_) | wit::ProgressEvent::InProgress(_) => {}
        wit::ProgressEvent::Failed(failure) => {
            if bug == Some(Bug::AlreadyExistsWrongCode) {
                replace_code(
                    &mut failure.code,
                    wit::ErrorCode::AlreadyExists,
                    wit::ErrorCode::InvalidRequest,
                );
            }
            if bug == Some(Bug::LeavesRubbish) {
                failure.model = None;
            }
        }
    }
}

/// Spoils what an update answers.
pub(crate) fn update(bug: Option<Bug>, desired: &str, event: &mut wit::ProgressEvent) {
    match event {
        wit::ProgressEvent::Success(success) => {
            if bug == Some(Bug::ChangesIdentifierInUpdate) {
                edit(&mut success.model, change_identifier);
            }
        }
        wit::ProgressEvent::InProgress(_) => {}
        wit::ProgressEvent::Failed(failure) => {
            if bug == Some(Bug::CreateOnlyWrongCode) {
                replace_code(
                    &mut failure.code,
                    wit::ErrorCode::NotUpdatable,
                    wit::ErrorCode::InvalidRequest,
                );
            }
            if bug == Some(Bug::UpdateNotFoundOk) && failure.code == wit::ErrorCode::NotFound {
                let mut model = desired.to_owned();
                edit(&mut model, |model| {
                    model.shift_remove("Secret");
                    if let Some(Value::Object(settings)) = model.get_mut("Settings") {
                        settings.shift_remove("Password");
                    }
                });
                *event = wit::ProgressEvent::Success(wit::Success {
                    model,
                    message: None,
                });
            }
        }
    }
}

/// Spoils what a create or an update answers.
pub(crate) fn progress(bug: Option<Bug>, event: &mut wit::ProgressEvent) {
    match event {
        wit::ProgressEvent::InProgress(event) => in_progress(bug, event),
        wit::ProgressEvent::Success(success) => edit(&mut success.model, |model| {
            let kept = kept(model);
            if bug == Some(Bug::LeaksWriteOnly) {
                leak_secret(model, kept.as_ref());
            }
            if bug == Some(Bug::LeaksNestedWriteOnly) {
                leak_password(model, kept.as_ref());
            }
            shown(bug, model);
            if bug == Some(Bug::AnswersIdentifierOnly) {
                model.retain(|name, _| name == KEY);
            }
            if bug == Some(Bug::NoIdentifier) {
                model.shift_remove(KEY);
            }
        }),
        wit::ProgressEvent::Failed(failure) => {
            failed(bug, &mut failure.code, &mut failure.message);
        }
    }
}

/// Spoils what a READ answers.
pub(crate) fn read(bug: Option<Bug>, answer: &mut Result<String, wit::ReadFailure>) {
    match answer {
        Ok(model) => edit(model, |model| {
            if bug == Some(Bug::LeaksWriteOnlyInRead) {
                let kept = kept(model);
                leak_secret(model, kept.as_ref());
            }
            if bug == Some(Bug::ReadDiffers) {
                let size = model.get("Size").and_then(Value::as_u64).unwrap_or(0);
                model.insert(
                    "Size".to_owned(),
                    json!(if size == 0 { 1 } else { size - 1 }),
                );
            }
            shown(bug, model);
        }),
        Err(failure) => failed(bug, &mut failure.code, &mut failure.message),
    }
}

/// Spoils what a delete answers.
pub(crate) fn delete(bug: Option<Bug>, event: &mut wit::DeleteEvent) {
    match event {
        wit::DeleteEvent::InProgress(event) => in_progress(bug, event),
        wit::DeleteEvent::Deleted(_) => {}
        wit::DeleteEvent::Failed(failure) => {
            failed(bug, &mut failure.code, &mut failure.message);
            if bug == Some(Bug::DeleteMissingOk) && failure.code == wit::ErrorCode::NotFound {
                *event = wit::DeleteEvent::Deleted(wit::Deleted { message: None });
            }
        }
    }
}

/// Spoils what a LIST answers.
pub(crate) fn list(
    bug: Option<Bug>,
    asked: &wit::ListRequest,
    answer: &mut Result<wit::Page, wit::ReadFailure>,
) {
    let page = match answer {
        Ok(page) => page,
        Err(failure) => return failed(bug, &mut failure.code, &mut failure.message),
    };
    if bug == Some(Bug::ListMissing) && asked.next_token.is_none() && !page.models.is_empty() {
        page.models.remove(0);
    }
    if bug == Some(Bug::ListRepeatsToken) {
        // Stands before every key.
        let first = asked.next_token.clone().unwrap_or_else(|| "0".to_owned());
        page.next_token = Some(first);
    }
    if bug == Some(Bug::ListLosesPages) {
        page.next_token = None;
    }
    if bug == Some(Bug::ListDuplicates) {
        page.models.extend_from_within(..);
    }
    for model in &mut page.models {
        edit(model, |model| {
            if bug == Some(Bug::LeaksWriteOnlyInList) {
                let kept = kept(model);
                leak_secret(model, kept.as_ref());
            }
            if bug == Some(Bug::ListModelsWithoutIdentifier) {
                model.shift_remove(KEY);
            }
        });
    }
    if bug == Some(Bug::ListEmptyFails) && page.models.is_empty() {
        *answer = Err(wit::ReadFailure {
            code: wit::ErrorCode::NotFound,
            message: "there are no things".to_owned(),
        });
    }
}

/// Spoils an event of any chain.
fn in_progress(bug: Option<Bug>, event: &mut wit::InProgress) {
    if bug == Some(Bug::NoModelInProgress) {
        event.model = None;
    }
    let Some(model) = &mut event.model else {
        return;
    };
    edit(model, |model| {
        if bug == Some(Bug::NoIdentifierInProgress) {
            model.shift_remove(KEY);
        }
        if bug == Some(Bug::EmptyIdentifierInProgress) {
            model.insert(KEY.to_owned(), json!(""));
        }
    });
}

/// Spoils the model of any success or READ.
fn shown(bug: Option<Bug>, model: &mut Object) {
    if bug == Some(Bug::NullProperty) {
        let names = ["Comment", "Labels", "Steps", "Kind"];
        let absent = names.into_iter().find(|name| !model.contains_key(*name));
        model.insert(absent.unwrap_or("Comment").to_owned(), Value::Null);
    }
    if bug == Some(Bug::NestedNull) {
        let settings = model.entry("Settings").or_insert_with(|| json!({}));
        if let Value::Object(settings) = settings {
            let absent = ["Note", "Level"]
                .into_iter()
                .find(|name| !settings.contains_key(*name));
            settings.insert(absent.unwrap_or("Note").to_owned(), Value::Null);
        }
    }
    if bug == Some(Bug::WrongType) {
        model.insert("Revision".to_owned(), json!("1"));
    }
    if bug == Some(Bug::OutOfBounds) {
        model.insert("Revision".to_owned(), json!(0));
    }
    if bug == Some(Bug::ExtraProperty) {
        model.insert("Extra".to_owned(), json!("extra"));
    }
    if bug == Some(Bug::ReordersOrderedList)
        && let Some(Value::Array(steps)) = model.get_mut("Steps")
    {
        steps.reverse();
    }
}

/// Spoils any failure.
fn failed(bug: Option<Bug>, code: &mut wit::ErrorCode, message: &mut String) {
    if bug == Some(Bug::EmptyMessage) {
        message.clear();
    }
    if bug == Some(Bug::NotFoundWrongCode) {
        replace_code(
            code,
            wit::ErrorCode::NotFound,
            wit::ErrorCode::InternalFailure,
        );
    }
    if bug == Some(Bug::InvalidWrongCode) {
        replace_code(
            code,
            wit::ErrorCode::InvalidRequest,
            wit::ErrorCode::InternalFailure,
        );
    }
}

fn replace_code(code: &mut wit::ErrorCode, right: wit::ErrorCode, wrong: wit::ErrorCode) {
    if *code == right {
        *code = wrong;
    }
}

/// Gives another identifier of the same form.
fn change_identifier(model: &mut Object) {
    if let Some(Value::String(key)) = model.get_mut(KEY) {
        let last = if key.pop() == Some('a') { 'b' } else { 'a' };
        key.push(last);
    }
}

/// Gives the thing of a model as it is kept, write-only properties included.
fn kept(model: &Object) -> Option<Thing> {
    let wanted = serde_json::from_value(Value::Object(model.clone())).ok()?;
    Record::find(&wanted).ok().map(|record| record.thing)
}

fn leak_secret(model: &mut Object, kept: Option<&Thing>) {
    if let Some(secret) = kept.and_then(|thing| thing.secret.as_ref()) {
        model.insert("Secret".to_owned(), json!(secret));
    }
}

fn leak_password(model: &mut Object, kept: Option<&Thing>) {
    let settings = kept.and_then(|thing| thing.settings.as_ref());
    if let Some(password) = settings.and_then(|settings| settings.password.as_ref())
        && let Some(Value::Object(settings)) = model.get_mut("Settings")
    {
        settings.insert("Password".to_owned(), json!(password));
    }
}

/// Changes the text of a model.
fn edit(text: &mut String, change: impl FnOnce(&mut Object)) {
    let mut model: Object = serde_json::from_str(text).expect("the SDK writes JSON objects");
    change(&mut model);
    *text = Value::Object(model).to_string();
}
