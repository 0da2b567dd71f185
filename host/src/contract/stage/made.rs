//! What the tests made: to be deleted when a test ends, whatever came of it.
//!
//! Nothing is deleted that may be another's: the account can be in use while the
//! tests run.

use serde_json::{Map, Value};

use crate::contract::walk::{Times, Walk};
use crate::contract::{ContractError, LeftBehind};
use crate::engine::Exchanged;
use crate::model::{
    Action, HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier, ProgressEvent,
};

use super::{End, Ended, Stage, Step, Stop};

impl Stage {
    /// Takes a resource that the test has made, to be deleted.
    pub(in crate::contract) fn adopt(&mut self, model: Map<String, Value>) {
        let identifier = self.identifier(&model);
        let is_known = identifier.is_some()
            && (self.alive.iter()).any(|alive| self.identifier(alive) == identifier);
        if !is_known {
            self.alive.push(model);
        }
    }

    /// Takes each resource that the events of an operation name, to be deleted.
    pub(in crate::contract) fn keep_made(&mut self, from: usize) {
        // The last model of each is the one that says most.
        for model in self.answered(from).into_iter().rev() {
            self.adopt(model);
        }
    }

    /// Takes over what a chain that was made by hand has done.
    pub(in crate::contract) fn walked(&mut self, walk: &Walk, ended: &Ended) {
        match walk.mutation {
            // What exists already is another's, unless a repeat met its own.
            Mutation::Create
                if walk.times == Times::Once
                    && ended.end.is_failed(HandlerErrorCode::AlreadyExists) => {}
            Mutation::Create => self.keep_made(ended.from),
            Mutation::Update => {}
            Mutation::Delete => self.keep_deleted(&walk.state, &ended.end),
        }
        self.note_costly(walk.mutation, &ended.end, ended.from);
    }

    /// Gives the models of events, oldest first, that name a resource.
    fn answered(&self, from: usize) -> Vec<Map<String, Value>> {
        let models = self.log.since(from).into_iter().filter_map(|entry| {
            let event = match &entry.exchange.outcome {
                Exchanged::Event(event) => event,
                Exchanged::Read(_) | Exchanged::Listed(_) | Exchanged::Trapped(_) => return None,
            };
            let model = match event {
                // What exists already is another's.
                ProgressEvent::Failed {
                    code: HandlerErrorCode::AlreadyExists,
                    ..
                } => return None,
                ProgressEvent::InProgress { model, .. }
                | ProgressEvent::Success { model, .. }
                | ProgressEvent::Failed { model, .. } => model.as_ref()?.to_map(),
            };
            self.identifier(&model).map(|_| model)
        });
        models.collect()
    }

    /// Gives what is listed, nothing where the type cannot be listed.
    pub(in crate::contract) async fn listed(&mut self) -> Step<Vec<Map<String, Value>>> {
        if self.schema().handles(Action::List) {
            Ok(self.list(None).await?.models)
        } else {
            Ok(Vec::new())
        }
    }

    /// Gives what is listed and was not before, each resource once.
    pub(in crate::contract) async fn new_since(
        &mut self,
        before: &[Map<String, Value>],
    ) -> Step<Vec<Map<String, Value>>> {
        let mut known: Vec<_> = before.iter().map(|model| self.identifier(model)).collect();
        let mut new = self.listed().await?;
        new.retain(|model| {
            let identifier = self.identifier(model);
            let is_new = !known.contains(&identifier);
            known.push(identifier);
            is_new
        });
        Ok(new)
    }

    /// Takes those of the resources that a LIST newly has which the request from
    /// `from` on made, to be deleted. The others are left, and named.
    pub(in crate::contract) async fn adopt_new(
        &mut self,
        new: Vec<Map<String, Value>>,
        input: &Map<String, Value>,
        from: usize,
    ) -> Step {
        let answered: Vec<_> = self
            .answered(from)
            .iter()
            .filter_map(|model| self.identifier(model))
            .collect();
        for model in new {
            if self.is_ours(&model, input, &answered).await? {
                self.adopt(model);
            } else {
                self.leave(
                    model,
                    "it appeared in LIST while the test ran, but neither was its identifier \
                     answered nor does it hold what was asked for: it may be another's"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    /// Tells whether a resource that appeared was made by a request: the handler
    /// has answered its identifier, or it holds the input.
    async fn is_ours(
        &mut self,
        model: &Map<String, Value>,
        input: &Map<String, Value>,
        answered: &[PrimaryIdentifier],
    ) -> Step<bool> {
        match self.identifier(model) {
            None => return Ok(false),
            Some(identifier) if answered.contains(&identifier) => return Ok(true),
            Some(_) => {}
        }
        // An input of nothing that could be compared is in every model.
        if self.unlike(input, &Map::new()).is_empty() {
            return Ok(false);
        }
        if self.unlike(input, model).is_empty() {
            return Ok(true);
        }
        // A LIST may give the identifier alone.
        if !self.schema().handles(Action::Read) {
            return Ok(false);
        }
        match self.read(&self.name_of(model)).await?.end {
            End::Success(whole) => Ok(self.unlike(input, &whole).is_empty()),
            End::Failed { .. }
            | End::Trapped(_)
            | End::GivenUp(_)
            | End::Overruled(_)
            | End::Refused(_) => Ok(false),
        }
    }

    /// Notes a resource that stays.
    fn leave(&mut self, mut model: Map<String, Value>, why: String) {
        self.schema().remove_write_only(&mut model);
        self.left_behind.push(LeftBehind {
            test: self.test,
            model: JsonObject::from_map(&model),
            why,
        });
    }

    /// Notes that the resource that `state` names, by whichever identifier, is gone.
    pub(super) fn keep_deleted(&mut self, state: &Map<String, Value>, end: &End) {
        if !end.is_failed(HandlerErrorCode::NotFound) && !matches!(end, End::Success(_)) {
            return;
        }
        let schema = self.version.schema();
        let names = |model: &Map<String, Value>| {
            schema.identifier(state).map_or_else(
                || {
                    state
                        .iter()
                        .all(|(name, value)| model.get(name) == Some(value))
                },
                |identifier| schema.identifier(model) == Some(identifier),
            )
        };
        let (gone, alive) = std::mem::take(&mut self.alive).into_iter().partition(names);
        self.alive = alive;
        self.deleted
            .extend(gone.iter().filter_map(|model| schema.identifier(model)));
    }

    /// Tells whether a resource is there, for all that is known.
    async fn is_there(&mut self, model: &Map<String, Value>) -> Result<bool, ContractError> {
        Ok(!self.schema().handles(Action::Read) || self.is_read(model).await?)
    }

    /// Tells whether READ finds a resource.
    async fn is_read(&mut self, model: &Map<String, Value>) -> Result<bool, ContractError> {
        if !self.schema().handles(Action::Read) {
            return Ok(false);
        }
        match self.read(&self.name_of(model)).await {
            Ok(ended) => Ok(matches!(ended.end, End::Success(_))),
            Err(Stop::Broken(error)) => Err(error),
            Err(Stop::Failed | Stop::Skip(_)) => Ok(false),
        }
    }

    /// Deletes what the test has made.
    pub(super) async fn clean(&mut self) -> Result<(), ContractError> {
        for model in self.alive.clone() {
            // A resource that stays although it was deleted is in the way of no
            // other: those get other identifiers.
            let mut stays = false;
            let why = if self.schema().handles(Action::Delete) {
                let found = self.findings.len();
                match self.delete(&model).await {
                    Ok(ended) => {
                        let is_gone = matches!(ended.end, End::Success(_))
                            || ended.end.is_failed(HandlerErrorCode::NotFound);
                        if is_gone && !self.is_read(&model).await? {
                            continue;
                        }
                        stays = is_gone;
                        let still = if is_gone { ", but READ finds it" } else { "" };
                        format!("DELETE {}{still}", ended.end)
                    }
                    Err(Stop::Skip(why)) => why,
                    Err(Stop::Failed) => {
                        self.findings.truncate(found);
                        "DELETE failed".to_owned()
                    }
                    Err(Stop::Broken(error)) => return Err(error),
                }
            } else {
                "the schema has no delete handler".to_owned()
            };
            if !stays && self.is_there(&model).await? {
                self.block(format!(
                    "what {} made could not be deleted, so no more is made: {why}",
                    self.test
                ));
            }
            self.leave(model, why);
        }
        self.alive.clear();
        Ok(())
    }
}
