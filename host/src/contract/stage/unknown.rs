//! What never was: names that no resource has.
//!
//! A test asks to change and to delete what it names so. The account can hold
//! resources of others, and one of them may have the very name that comes first
//! to mind: each is looked for before it is taken.

use serde_json::{Map, Value};

use crate::model::{Action, HandlerErrorCode, PropertyPath};

use super::steps::take_over;
use super::{End, Stage, Step, Stop};

/// How many names are tried: where all of them are taken, so are likely others.
const MOST_NAMES: usize = 5;

impl Stage {
    /// Gives the name of a resource that never was.
    pub(in crate::contract) async fn unknown_name(&mut self) -> Step<Map<String, Value>> {
        let unknown = self.unknown().await?;
        Ok(self.name_of(&unknown))
    }

    /// Gives the desired state of an update of a resource that never was.
    pub(in crate::contract) async fn unknown_update(&mut self) -> Step<Map<String, Value>> {
        let unknown = self.unknown().await?;
        let Some(mut desired) = self.inputs.update.clone() else {
            return self.skip("there is no update input");
        };
        take_over(&mut desired, self.schema().primary_identifier(), &unknown);
        Ok(desired)
    }

    /// Gives a model that holds the identifier of a resource that never was.
    async fn unknown(&mut self) -> Step<Map<String, Value>> {
        let mut model = self.inputs.create.clone();
        if self.identifier(&model).is_none() {
            let made = self.make().await?;
            model = self.as_desired(&made);
        }
        let own = self.identifier(&model);
        let paths = self.schema().primary_identifier().to_vec();
        for _ in 0..MOST_NAMES {
            model = self.renamed(model, &paths)?;
            // Of few values the next one can be the first again.
            if self.identifier(&model) != own && !self.is_known(&model).await? {
                return Ok(model);
            }
        }
        self.skip(format!(
            "each of {MOST_NAMES} identifiers that were tried belongs to a resource, which is \
             left alone"
        ))
    }

    /// Gives another valid value to each part of the identifier.
    fn renamed(
        &self,
        mut model: Map<String, Value>,
        paths: &[PropertyPath],
    ) -> Step<Map<String, Value>> {
        for path in paths {
            match self.another(&model, path) {
                Some(other) => model = other,
                None => return self.skip(format!("there is no other valid value for `{path}`")),
            }
        }
        Ok(model)
    }

    /// Tells whether READ finds the resource that `model` names, or LIST has it
    /// where READ cannot tell. A type without both lets nobody look.
    async fn is_known(&mut self, model: &Map<String, Value>) -> Step<bool> {
        if self.schema().handles(Action::Read) {
            let read = self.read(&self.name_of(model)).await?.end;
            if matches!(read, End::Success(_)) {
                return Ok(true);
            }
            if read.is_failed(HandlerErrorCode::NotFound) {
                return Ok(false);
            }
        }
        if !self.schema().handles(Action::List) {
            return Ok(false);
        }
        // What is wrong with a LIST is for other tests to say.
        let found = self.findings.len();
        match self.list(None).await {
            Ok(listing) => Ok(self.times_listed(&listing, model) > 0),
            Err(stop @ Stop::Broken(_)) => Err(stop),
            Err(Stop::Failed | Stop::Skip(_)) => {
                self.findings.truncate(found);
                Ok(false)
            }
        }
    }
}
