//! What many tests do.

use serde_json::{Map, Value};

use crate::contract::values::{another, put};
use crate::contract::{Rule, compare};
use crate::model::{
    Action, HandlerErrorCode, JsonObject, ListRequest, PropertyPath, RequestDetails,
};

use super::{End, Ended, Listing, Made, Stage, Step, Stop};

/// More pages than a list of a test account has.
const MOST_PAGES: usize = 1_000;

/// How many resources are made of which none can be deleted.
const MOST_STAYING: usize = 20;

impl Stage {
    /// Makes the resource of the inputs, or ends the test.
    pub(in crate::contract) async fn make(&mut self) -> Step<Made> {
        self.make_with(self.details.clone()).await
    }

    /// Makes the resource of the inputs with other details, or ends the test.
    pub(in crate::contract) async fn make_with(&mut self, details: RequestDetails) -> Step<Made> {
        let input = self.fresh_input()?;
        let ended = self.create_with(&input, details).await?;
        match &ended.end {
            End::Success(model) if self.identifier(model).is_some() => {
                self.ever_made = true;
                self.last_made = Some(model.clone());
                Ok(Made {
                    input,
                    model: model.clone(),
                    from: ended.from,
                })
            }
            End::Success(_) => {
                self.block(format!(
                    "a create does not name its resource, so nothing can be done with it; see {}",
                    self.test
                ));
                self.fail(
                    Rule::NamesResource,
                    ended.from,
                    "CREATE answered SUCCESS without the whole primary identifier in its model",
                )
            }
            _ => self.not_made(&input, &ended).await,
        }
    }

    /// Makes a resource of other inputs; what else came of it, and where it began,
    /// if it was not made.
    pub(in crate::contract) async fn make_from(
        &mut self,
        input: &Map<String, Value>,
    ) -> Step<Result<Made, Ended>> {
        if let Some(why) = &self.blocked {
            return self.skip(why.clone());
        }
        let ended = self.create(input).await?;
        Ok(match &ended.end {
            End::Success(model) if self.identifier(model).is_some() => Ok(Made {
                input: input.clone(),
                model: model.clone(),
                from: ended.from,
            }),
            _ => Err(ended),
        })
    }

    /// Gives what to create: the inputs, with another identifier once deleted
    /// resources turned out to stay.
    pub(in crate::contract) fn fresh_input(&mut self) -> Step<Map<String, Value>> {
        if let Some(why) = &self.blocked {
            return self.skip(why.clone());
        }
        let Some(nth) = self.stayed else {
            return Ok(self.inputs.create.clone());
        };
        let input = self.other_input(nth).filter(|_| nth <= MOST_STAYING);
        self.stayed = Some(nth + 1);
        match input {
            Some(input) => Ok(input),
            None => self.skip("deleted resources stay, and no more are made"),
        }
    }

    /// Notes that the resource of the inputs was not made, and what that means for
    /// other tests.
    async fn not_made<T>(&mut self, input: &Map<String, Value>, ended: &Ended) -> Step<T> {
        let what = "CREATE of the inputs";
        let exists = ended.end.is_failed(HandlerErrorCode::AlreadyExists);
        let deleted = self
            .identifier(input)
            .is_some_and(|identifier| self.deleted.contains(&identifier));
        if exists && deleted {
            self.stayed = Some(1);
            return self.stays(input, ended).await;
        }
        if !self.ever_made {
            self.block(format!(
                "the create of the inputs does not end with SUCCESS; see {}",
                self.test
            ));
        }
        if exists {
            let what = format!(
                "{what} {}; if the resource is left from elsewhere, remove it or change the inputs",
                ended.end
            );
            return self.fail(Rule::EndsWithSuccess, ended.from, what);
        }
        self.fail_end(Rule::EndsWithSuccess, what, ended)
    }

    /// Notes that what was deleted is in the way of a create.
    async fn stays<T>(&mut self, input: &Map<String, Value>, ended: &Ended) -> Step<T> {
        let name = self.name_of(input);
        let is_there = self.schema().handles(Action::Read)
            && matches!(self.read(&name).await?.end, End::Success(_));
        if is_there {
            return self.fail(
                Rule::AbsentIsNotFound,
                ended.from,
                format!(
                    "DELETE answered SUCCESS or FAILED NotFound, but the resource is still there: \
                     CREATE {}, and READ finds it",
                    ended.end
                ),
            );
        }
        let what = "CREATE of a resource whose DELETE answered SUCCESS or FAILED NotFound";
        self.fail_end(Rule::DeletedCanBeMadeAgain, what, ended)
    }

    /// Updates a resource to the update inputs, or ends the test.
    pub(in crate::contract) async fn change(&mut self, made: &Made) -> Step<Made> {
        let desired = self.update_input(made)?;
        let ended = self.update(&desired, Some(&made.model)).await?;
        match &ended.end {
            End::Success(model) => Ok(Made {
                input: desired,
                model: model.clone(),
                from: ended.from,
            }),
            _ => self.fail_end(Rule::EndsWithSuccess, "UPDATE to the inputs", &ended),
        }
    }

    /// Ends a test of an unusual update that failed, unless a plain one of a new
    /// resource shows that it is the unusual that fails.
    pub(in crate::contract) async fn must_change(&mut self, made: &Made) -> Step {
        let plain = self.changes_plainly(made).await;
        self.forgive();
        match plain {
            Ok(true) => Ok(()),
            Err(stop @ Stop::Broken(_)) => Err(stop),
            Ok(false) | Err(Stop::Failed | Stop::Skip(_)) => {
                self.skip("the plain UPDATE fails already: see contract_update_read")
            }
        }
    }

    /// Tells whether an update to the update inputs applies all of them.
    async fn changes_plainly(&mut self, made: &Made) -> Step<bool> {
        if !self.schema().handles(Action::Delete) {
            return Ok(true);
        }
        self.unmake(made).await?;
        let made = self.make().await?;
        let changed = self.change(&made).await?;
        if !self.unlike(&changed.input, &changed.model).is_empty() {
            return Ok(false);
        }
        if !self.schema().handles(Action::Read) {
            return Ok(true);
        }
        let End::Success(read) = self.read(&changed.model).await?.end else {
            return Ok(false);
        };
        Ok(self.unlike(&changed.input, &read).is_empty())
    }

    /// Gives the desired state of an update: the update inputs, with the
    /// identifier and the read-only values of the resource.
    pub(in crate::contract) fn update_input(&self, made: &Made) -> Step<Map<String, Value>> {
        let Some(mut desired) = self.inputs.update.clone() else {
            return self.skip("there is no update input");
        };
        let schema = self.schema();
        take_over(&mut desired, schema.primary_identifier(), &made.model);
        let mut whole = desired.clone();
        take_over(&mut whole, schema.read_only(), &made.model);
        // A value that the handler should not have answered is not sent back.
        if schema.violations(&whole).is_empty() {
            desired = whole;
        }
        Ok(desired)
    }

    /// Deletes a resource, or ends the test.
    pub(in crate::contract) async fn unmake(&mut self, made: &Made) -> Step {
        let ended = self.delete(&made.model).await?;
        match ended.end {
            End::Success(_) => Ok(()),
            _ => self.fail_end(
                Rule::EndsWithSuccess,
                "DELETE of a resource that exists",
                &ended,
            ),
        }
    }

    /// Reads a resource that is there, or ends the test under `rule`.
    pub(in crate::contract) async fn must_read(
        &mut self,
        name: &Map<String, Value>,
        rule: Rule,
        when: &str,
    ) -> Step<(Map<String, Value>, usize)> {
        let ended = self.read(name).await?;
        match &ended.end {
            End::Success(model) => Ok((model.clone(), ended.from)),
            _ => self.fail_end(rule, &format!("READ {when}"), &ended),
        }
    }

    /// Gives a resource as READ shows it, or else as it was answered.
    pub(in crate::contract) async fn current(
        &mut self,
        made: &Made,
        when: &str,
    ) -> Step<(Map<String, Value>, usize)> {
        if self.schema().handles(Action::Read) {
            self.must_read(&made.model, Rule::CreatedIsReadable, when)
                .await
        } else {
            Ok((made.model.clone(), made.from))
        }
    }

    /// Gives the properties that a LIST of this type has to be given: those that
    /// the schema's `handlerSchema` names, if it demands any.
    pub(in crate::contract) fn list_filter(&self) -> Option<JsonObject> {
        let wanted = self.schema().list_schema()?;
        let demands = |name| {
            wanted
                .get(name)
                .and_then(Value::as_array)
                .is_some_and(|it| !it.is_empty())
        };
        if !["required", "allOf", "anyOf", "oneOf"]
            .into_iter()
            .any(demands)
        {
            return None;
        }
        let named = wanted.get("properties").and_then(Value::as_object)?;
        let filter: Map<String, Value> = named
            .keys()
            .filter_map(|name| {
                let made = self.last_made.as_ref().and_then(|made| made.get(name));
                let value = self.inputs.create.get(name).or(made)?;
                Some((name.clone(), value.clone()))
            })
            .collect();
        Some(JsonObject::from_map(&filter))
    }

    /// Lists all pages, each of at most so many models, or ends the test.
    pub(in crate::contract) async fn list(&mut self, max_results: Option<u32>) -> Step<Listing> {
        let from = self.log.len();
        let mut models = Vec::new();
        let mut tokens: Vec<String> = Vec::new();
        loop {
            let list = ListRequest {
                filter: self.list_filter(),
                next_token: tokens.last().cloned(),
                max_results,
            };
            let page = match self.list_page(list).await?.0 {
                Ok(page) => page,
                Err(end) => return self.fail_end(Rule::PagesJoin, "LIST", &Ended { end, from }),
            };
            models.extend(page.models.iter().map(JsonObject::to_map));
            let Some(token) = page.next_token else {
                return Ok(Listing {
                    models,
                    pages: tokens.len() + 1,
                    from,
                });
            };
            if tokens.contains(&token) {
                return self.fail(
                    Rule::PagesJoin,
                    from,
                    format!(
                        "LIST gave the same next token again after {} pages, so it never ends",
                        tokens.len() + 1
                    ),
                );
            }
            tokens.push(token);
            if tokens.len() > MOST_PAGES {
                return self.fail(
                    Rule::PagesJoin,
                    from,
                    format!(
                        "LIST gave a next token on each of {MOST_PAGES} pages and does not end"
                    ),
                );
            }
        }
    }

    /// Tells how often a listing has the resource of `model`.
    pub(in crate::contract) fn times_listed(
        &self,
        listing: &Listing,
        model: &Map<String, Value>,
    ) -> usize {
        let identifier = self.identifier(model);
        listing
            .models
            .iter()
            .filter(|listed| self.identifier(listed) == identifier)
            .count()
    }

    /// Says where a model differs from what it should hold, a place each.
    pub(in crate::contract) fn unlike(
        &self,
        wanted: &Map<String, Value>,
        found: &Map<String, Value>,
    ) -> Vec<String> {
        compare(self.schema(), wanted, found)
            .differences
            .iter()
            .map(|it| match &it.found {
                Some(found) => format!("`{}` is {found}, not {}", it.pointer, it.expected),
                None => format!("`{}` is missing; it was {}", it.pointer, it.expected),
            })
            .collect()
    }

    /// Gives a resource as the desired state of an update that changes nothing.
    pub(in crate::contract) fn as_desired(&self, made: &Made) -> Map<String, Value> {
        let mut desired = made.input.clone();
        take_over(
            &mut desired,
            self.schema().primary_identifier(),
            &made.model,
        );
        desired
    }

    /// Gives `model` another valid value at `path`, or none if none was found.
    pub(in crate::contract) fn another(
        &self,
        model: &Map<String, Value>,
        path: &PropertyPath,
    ) -> Option<Map<String, Value>> {
        another(self.schema(), model, path, self.seed)
    }

    /// Gives inputs for one more resource beside that of the inputs, the `nth`:
    /// with other identifiers where they can be chosen.
    ///
    /// What a LIST is filtered by stays, so that one LIST has them all.
    pub(in crate::contract) fn other_input(&self, nth: usize) -> Option<Map<String, Value>> {
        let schema = self.schema();
        let mut input = self.inputs.create.clone();
        let chosen: Vec<PropertyPath> = schema
            .primary_identifier()
            .iter()
            .chain(schema.additional_identifiers().iter().flatten())
            .filter(|path| path.get(&input).is_some())
            .cloned()
            .collect();
        let filter = self.list_filter().map(|filter| filter.to_map());
        let is_filter = |path: &PropertyPath| {
            let first = path.steps().first();
            first.is_some_and(|name| filter.as_ref().is_some_and(|it| it.contains_key(name)))
        };
        let any = !chosen.is_empty();
        let free: Vec<PropertyPath> = chosen.into_iter().filter(|it| !is_filter(it)).collect();
        if any && free.is_empty() {
            return None;
        }
        for path in free {
            for _ in 0..nth {
                input = self.another(&input, &path)?;
            }
        }
        Some(input)
    }
}

/// Takes over the values that paths lead to.
pub(in crate::contract) fn take_over(
    to: &mut Map<String, Value>,
    paths: &[PropertyPath],
    from: &Map<String, Value>,
) {
    for path in paths {
        if let Some(value) = path.get(from) {
            put(to, path.steps(), value.clone());
        }
    }
}
