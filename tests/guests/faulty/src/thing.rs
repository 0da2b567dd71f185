//! The correct handler, and those of its bugs that are in what it does rather
//! than in what it answers.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use formwork_guest::{
    DeleteEvent, ErrorCode, HandlerError, ListRequest, Page, ProgressEvent, PropertyPath, Request,
    ResourceHandler, ResourceType, Result,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Bug;
use crate::record::Record;

/// The name of the property that is the primary identifier.
pub(crate) const KEY: &str = if cfg!(feature = "assigned") {
    "Id"
} else {
    "Name"
};

/// How large a thing is that does not say.
const DEFAULT_SIZE: u64 = 10;

/// How many events of an operation with a delay are in progress.
const PAUSES: u32 = 2;

/// The properties of the schema.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Thing {
    name: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) alias: Option<String>,
    kind: Option<String>,
    size: Option<u64>,
    comment: Option<String>,
    pub(crate) secret: Option<String>,
    labels: Option<Vec<String>>,
    steps: Option<Vec<String>>,
    pub(crate) settings: Option<Settings>,
    tags: Option<Vec<Tag>>,
    delay: Option<u64>,
    revision: Option<u64>,
}

/// A nested object of a [`Thing`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    level: Option<u64>,
    note: Option<String>,
    pub(crate) password: Option<String>,
}

/// A tag of a [`Thing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    key: String,
    value: String,
}

/// The callback context: how many events have been in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    pauses: u32,
}

/// The handler.
#[derive(Debug)]
pub struct Things;

// The attribute would export this handler; the component is the one that wraps it.
impl ResourceType for Things {
    const SCHEMA: &'static str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
    const OUTGOING_HOSTS: &'static [&'static str] = &[];
    const WRITE_ONLY: &'static [PropertyPath] = &[&["Secret"], &["Settings", "Password"]];
}

impl ResourceHandler for Things {
    type Model = Thing;
    type Identifier = Thing;
    type CallbackContext = Context;

    fn create(
        request: &Request,
        desired: Thing,
        context: Context,
    ) -> Result<ProgressEvent<Thing, Context>> {
        let record = if context.pauses == 0 {
            make(request, desired)?
        } else {
            Record::find(&desired)?
        };
        if Bug::NeverStabilizes.is_on() {
            let event = ProgressEvent::in_progress(record.thing).context(Context { pauses: 1 });
            return Ok(event.after(Duration::from_secs(60)).into());
        }
        Ok(settle(record.thing, context))
    }

    fn read(_: &Request, identifier: Thing) -> Result<Thing> {
        if Bug::ReadNeedsWholeModel.is_on() {
            needs_whole_model(&identifier)?;
        }
        if let Ok(gone) = Record::find_gone(&identifier)
            && (Bug::DeleteKeepsReadable.is_on()
                || (Bug::DeleteBeforeGone.is_on() && gone.unhide()?))
        {
            return Ok(gone.thing);
        }
        let record = Record::find(&identifier)?;
        if Bug::SuccessBeforeDone.is_on() && record.unhide()? {
            return Err(HandlerError::not_found("the thing has not been seen yet"));
        }
        Ok(record.thing)
    }

    fn update(
        request: &Request,
        desired: Thing,
        _: Option<Thing>,
        context: Context,
    ) -> Result<ProgressEvent<Thing, Context>> {
        let record = if context.pauses == 0 {
            match Record::find(&desired) {
                Err(error) if error.code() == ErrorCode::NotFound && Bug::Upsert.is_on() => {
                    make(request, desired)?
                }
                found => change(request, found?, desired)?,
            }
        } else {
            Record::find(&desired)?
        };
        Ok(settle(record.thing, context))
    }

    fn delete(
        request: &Request,
        identifier: Thing,
        context: Context,
    ) -> Result<DeleteEvent<Thing, Context>> {
        if Bug::DeleteNeedsWholeModel.is_on() {
            needs_whole_model(&identifier)?;
        }
        let token = &request.client_request_token;
        let record = match Record::find(&identifier) {
            // A repeat of the invocation that deleted it finds it gone.
            Err(error)
                if error.code() == ErrorCode::NotFound
                    && Record::find_gone(&identifier)
                        .is_ok_and(|gone| gone.changed_by == *token) =>
            {
                return Ok(DeleteEvent::deleted());
            }
            found => found?,
        };
        if let Some((delay, context)) = pause(&record.thing, context) {
            let event = DeleteEvent::in_progress().model(record.thing);
            return Ok(event.context(context).after(delay).into());
        }
        if Bug::DeleteBeforeGone.is_on() {
            record.hide()?;
        }
        if !Bug::DeleteKeeps.is_on() {
            record.remove(token)?;
        }
        Ok(DeleteEvent::deleted())
    }

    fn list(_: &Request, page: ListRequest) -> Result<Page<Thing>> {
        let filter: Thing = page.filter()?.unwrap_or_default();
        let mut records = Record::all()?;
        if Bug::DeleteKeepsListed.is_on() {
            records.extend(Record::all_gone()?);
        }
        let mut things = Vec::new();
        for record in records {
            if record.thing.has_all(&filter)? {
                things.push(record.thing);
            }
        }
        let keys = things
            .iter()
            .filter_map(|thing| thing.key().map(str::to_owned));
        page.page(keys.collect::<Vec<_>>(), |key| {
            Ok(things
                .iter()
                .find(|thing| thing.key() == Some(key))
                .cloned())
        })
    }
}

impl Thing {
    /// Gives the value of the primary identifier.
    pub(crate) fn key(&self) -> Option<&str> {
        let key = if cfg!(feature = "assigned") {
            &self.id
        } else {
            &self.name
        };
        key.as_deref()
    }

    /// Gives the thing another identity.
    pub(crate) fn rename(&mut self, id: u64) {
        self.name = self
            .name
            .as_ref()
            .map(|name| format!("{name:.20}-{id:016x}"));
        self.id = Some(format!("th-{id:016x}"));
        self.alias = Some(format!("alias-{id:016x}"));
    }

    /// Says whether the thing has each property of a filter, write-only ones aside.
    fn has_all(&self, filter: &Self) -> Result<bool> {
        let (own, filter) = (self.readable()?, filter.readable()?);
        Ok(filter
            .iter()
            .all(|(name, value)| value.is_null() || own.get(name) == Some(value)))
    }

    /// Gives the properties that are not write-only; null is one without a value.
    fn readable(&self) -> Result<Map<String, Value>> {
        let mut readable = self.clone();
        readable.secret = None;
        if let Some(settings) = &mut readable.settings {
            settings.password = None;
        }
        let text = serde_json::to_vec(&readable)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Checks what no schema can say.
    fn check(&self) -> Result<()> {
        if Bug::InvalidAccepted.is_on() || self.comment.as_deref() != Some("forbidden") {
            return Ok(());
        }
        Err(HandlerError::invalid_request(
            "Comment is \"forbidden\", which is forbidden; say something else",
        ))
    }
}

/// Makes the thing that a create asks for, or finds what this create has made.
fn make(request: &Request, mut desired: Thing) -> Result<Record> {
    if !Bug::LeavesRubbish.is_on() {
        desired.check()?;
    }
    let token = &request.client_request_token;
    // The same for the same operation, however often it is invoked.
    let mut id = hash("id", token);
    if Bug::CreateTwice.is_on() {
        id = RandomState::new().build_hasher().finish();
    }
    desired.id = Some(format!("th-{id:016x}"));
    desired.alias = Some(format!("alias-{:016x}", hash("alias", &id)));
    if !Bug::TakesReadOnly.is_on() {
        desired.revision = None;
    }
    desired.revision = desired.revision.or(Some(1));
    if !Bug::ForgetsDefault.is_on() {
        desired.size = desired.size.or(Some(DEFAULT_SIZE));
    }
    desired.tags = tags(request, desired.tags.take());
    if Bug::IgnoresTags.is_on() {
        desired.tags = None;
    }
    if Bug::DeleteBlocksName.is_on() && Record::find_gone(&desired).is_ok() {
        return Err(already_exists(&desired));
    }
    let record = Record {
        thing: desired,
        created_by: token.clone(),
        changed_by: token.clone(),
    };
    if record.claim()? {
        if Bug::SuccessBeforeDone.is_on() {
            record.hide()?;
        }
        if Bug::LeavesRubbish.is_on() {
            record.thing.check()?;
        }
        request.created(&record.thing);
        return Ok(record);
    }
    if Bug::AlreadyExistsOk.is_on() {
        record.save()?;
        return Ok(record);
    }
    let existing = Record::find(&record.thing)?;
    if existing.created_by == *token && !Bug::CreateTwice.is_on() {
        return Ok(existing);
    }
    Err(already_exists(&record.thing))
}

/// Makes a thing what an update asks for.
fn change(request: &Request, record: Record, mut desired: Thing) -> Result<Record> {
    desired.check()?;
    let Record {
        thing: old,
        created_by,
        changed_by,
    } = record;
    desired.name = keep("Name", old.name, desired.name.take())?;
    desired.kind = if Bug::IgnoresCreateOnly.is_on() {
        desired.kind.or(old.kind)
    } else if Bug::DropsCreateOnly.is_on() {
        old.kind
    } else {
        keep("Kind", old.kind, desired.kind.take())?
    };
    desired.id = old.id;
    desired.alias = old.alias;
    desired.size = desired.size.or(Some(DEFAULT_SIZE));
    desired.tags = tags(request, desired.tags.take());
    if Bug::TagsNotUpdatable.is_on() {
        desired.tags = old.tags;
    }
    if Bug::UpdateMergesCollections.is_on() {
        let mut labels = old.labels.unwrap_or_default();
        labels.extend(desired.labels.into_iter().flatten());
        desired.labels = Some(labels);
    }
    if Bug::LosesProperty.is_on() {
        desired.comment = None;
    }
    // A repeat of the invocation that wrote it does not count again.
    let token = &request.client_request_token;
    let writes = u64::from(changed_by != *token);
    desired.revision = old.revision.map(|revision| revision + writes);
    let record = Record {
        thing: desired,
        created_by,
        changed_by: token.clone(),
    };
    if !Bug::UpdateNotKept.is_on() {
        record.save()?;
    }
    Ok(record)
}

/// Keeps a create-only property; leaving it out asks for no change.
fn keep(name: &str, old: Option<String>, desired: Option<String>) -> Result<Option<String>> {
    match desired {
        Some(desired) if old.as_ref() != Some(&desired) => Err(HandlerError::not_updatable(
            format!("{name} cannot be changed to {desired:?}; it is create-only"),
        )),
        Some(_) | None => Ok(old),
    }
}

/// Adds to the tags of a model those of its stack that it does not have itself.
fn tags(request: &Request, own: Option<Vec<Tag>>) -> Option<Vec<Tag>> {
    if request.desired_tags.is_empty() || Bug::IgnoresStackTags.is_on() {
        return own;
    }
    let mut tags = own.unwrap_or_default();
    for (key, value) in &request.desired_tags {
        if !tags.iter().any(|tag| tag.key == *key) {
            let (key, value) = (key.clone(), value.clone());
            tags.push(Tag { key, value });
        }
    }
    Some(tags)
}

/// Ends a create or an update, after the pauses that the thing asks for.
fn settle(thing: Thing, context: Context) -> ProgressEvent<Thing, Context> {
    match pause(&thing, context) {
        Some((delay, context)) => ProgressEvent::in_progress(thing)
            .context(context)
            .after(delay)
            .message("the thing settles")
            .into(),
        None => ProgressEvent::success(thing),
    }
}

/// Gives how long to wait, and what to remember, before the operation ends.
fn pause(thing: &Thing, context: Context) -> Option<(Duration, Context)> {
    let delay = Duration::from_secs(thing.delay?);
    let pauses = context.pauses + 1;
    (pauses <= PAUSES).then_some((delay, Context { pauses }))
}

/// Fails where a model holds no more than what names the thing.
fn needs_whole_model(model: &Thing) -> Result<()> {
    match model.size {
        Some(_) => Ok(()),
        None => Err(HandlerError::invalid_request("the model has no Size")),
    }
}

fn already_exists(thing: &Thing) -> HandlerError {
    let key = thing.key().unwrap_or_default();
    HandlerError::already_exists(format!("there is a thing {key:?} already"))
}

/// Hashes what an identifier is made of.
pub(crate) fn hash(purpose: &str, text: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (purpose, text).hash(&mut hasher);
    hasher.finish()
}
