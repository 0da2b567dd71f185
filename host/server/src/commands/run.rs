//! `formwork run`: one operation, its whole chain, live.

mod args;
mod follow;
mod input;
mod read;
mod report;
mod resume;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use formwork_host::engine::{Engine, OperationHandle, Request, SubmitError};
use formwork_host::model::{
    Action, Credentials, JsonObject, Mutation, RequestDetails, RequestToken, Scope,
};
use formwork_host::registry::{HandlerVersion, TypeSettings};
use formwork_host::sandbox::{Grants, SigningGrant};
use formwork_host::store::Filter;

use crate::data::Data;
use crate::environment::Environment;
use crate::grants::{self, Withheld};

use super::output::{Console, Output};
use super::text::quoted;
use super::{Exit, setup};

pub(super) use args::RunArgs;
pub(super) use input::object;
pub(super) use resume::UNFINISHED;

/// What the parts of this command share.
struct Session<'a> {
    args: &'a RunArgs,
    environment: &'a Environment,
    console: &'a Console,
}

pub(super) async fn run(
    args: &RunArgs,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let session = Session {
        args,
        environment,
        console,
    };
    match (args.resume, args.action, &args.component) {
        (Some(token), _, _) => resume::run(&session, token, output).await,
        (None, Some(action), Some(component)) => session.ask(action, component, output).await,
        (None, _, _) => bail!("ACTION and COMPONENT are needed, unless --resume is given"),
    }
}

impl Session<'_> {
    fn settings(&self) -> anyhow::Result<TypeSettings> {
        let data = self.args.data.as_ref().and_then(Data::directory);
        let withheld = Withheld::new(self.environment, data);
        let mut settings = TypeSettings {
            grants: Arc::new(grants::resolve(&self.args.grants.grants, &withheld)?),
            limits: self.args.limits.invocation(),
            ..TypeSettings::default()
        };
        settings.policy.strict = self.args.strict;
        Ok(settings)
    }

    fn scope(&self) -> Scope {
        Scope {
            account: self.args.account.clone(),
            region: self.args.region.clone(),
        }
    }

    fn details(&self, settings: &TypeSettings) -> anyhow::Result<RequestDetails> {
        let args = self.args;
        let configuration = args.type_configuration.as_deref();
        Ok(RequestDetails {
            desired_tags: args.tags.iter().flatten().cloned().collect(),
            type_configuration: configuration
                .map(|path| object("type configuration", path))
                .transpose()?,
            credentials: credentials(&settings.grants, self.environment)?,
            ..RequestDetails::default()
        })
    }

    /// Does what is asked of a component.
    async fn ask(
        &self,
        action: Action,
        path: &std::path::Path,
        output: &mut Output,
    ) -> anyhow::Result<Exit> {
        let settings = self.settings()?;
        let details = self.details(&settings)?;
        args::check(self.args, action)?;
        let asked = input::Asked::read(self.args)?;
        let target = self.args.report.target(self.environment)?;
        let component = setup::component(path)?;
        let mutation = mutation(action);
        // A read keeps nothing, so it needs no store and waits for no other engine.
        let data = self.args.data.as_ref().filter(|_| mutation.is_some());
        let store = match data {
            Some(data) => Some(setup::open(data, self.environment).await?),
            None => None,
        };
        let sandbox = setup::sandbox(
            self.environment,
            data,
            setup::FEW,
            self.args.limits.sandbox(),
            self.console,
        )?;
        sandbox.check_grants(&settings.grants)?;
        let mut builder = Engine::builder(sandbox);
        if let Some(store) = store {
            builder = builder.store(store);
        }
        if target.is_some() {
            builder = builder.reporter(self.args.report.reporter(None).await?);
        }
        let engine = builder.start();
        let version = engine
            .load(component, settings)
            .await
            .with_context(|| format!("cannot run `{}`", path.display()))?;
        let schema = version.schema();
        if !schema.handles(action) {
            let actions: Vec<_> = schema.actions().map(|action| action.to_string()).collect();
            bail!(
                "`{}` does not support {action}: the `handlers` of its schema name {}",
                schema.type_name(),
                if actions.is_empty() {
                    "none".to_owned()
                } else {
                    actions.join(", ")
                }
            );
        }
        let Some(mutation) = mutation else {
            return read::run(self, &engine, schema, action, asked, details, output).await;
        };
        let state = asked.state(schema, action)?;
        let mut request = match mutation {
            Mutation::Create => Request::create(schema.type_name().clone(), state),
            Mutation::Delete => Request::delete(schema.type_name().clone(), state),
            Mutation::Update => {
                let previous = match asked.previous {
                    Some(previous) => Some(previous),
                    None => match read::current(self, &engine, schema, &state, &details).await? {
                        read::Current::State(state) => state,
                        read::Current::Failed(exit) => return Ok(exit),
                    },
                };
                Request::update(schema.type_name().clone(), state, previous)
            }
        };
        request.scope = self.scope();
        request.client_token = self.args.client_token.clone();
        request.reporting = target;
        request.details = details;
        let Some(handle) = self.submit(&engine, request).await? else {
            return Ok(Exit::No);
        };
        self.tell_of_others(&engine, &version, &handle).await?;
        follow::run(self, &engine, vec![handle], output).await
    }

    /// Submits a request; none if the answer is no.
    async fn submit(
        &self,
        engine: &Engine,
        request: Request,
    ) -> anyhow::Result<Option<OperationHandle>> {
        match engine.submit(request).await {
            Ok(handle) => Ok(Some(handle)),
            Err(error @ SubmitError::Busy { holder }) => {
                self.console.error(&error.into());
                self.console.say(format_args!(
                    "To go on with it:\n  {}",
                    self.resume_command(holder)
                ));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says what else goes on in the data directory.
    async fn tell_of_others(
        &self,
        engine: &Engine,
        version: &HandlerVersion,
        handle: &OperationHandle,
    ) -> anyhow::Result<()> {
        if self.args.data.is_none() {
            return Ok(());
        }
        let filter = Filter {
            statuses: UNFINISHED.to_vec(),
            type_name: Some(version.schema().type_name().clone()),
            ..Filter::default()
        };
        let operations = engine
            .store()
            .list(&filter)
            .await
            .context("cannot look for other operations")?;
        let others = operations
            .iter()
            .filter(|operation| operation.token != handle.token())
            .count();
        match others {
            0 => {}
            1 => self.console.say("Another unfinished operation of the type is in the data directory and goes on meanwhile."),
            _ => self.console.say(format_args!(
                "{others} other unfinished operations of the type are in the data directory and go on meanwhile."
            )),
        }
        Ok(())
    }

    /// Says what newcomers miss: a handler reaches nothing by itself.
    fn hint_at_grants(&self) {
        if self.args.grants.grants.is_empty() && !self.args.json {
            self.console.say(
                "The handler was granted nothing; if it needs files, give `--grant dir=PATH`, and for \
                 HTTP `--grant http=PATTERN`.",
            );
        }
    }

    /// Gives the arguments to go on with an operation.
    fn resume_command(&self, token: RequestToken) -> String {
        let mut command = format!("formwork run --resume {token}");
        if let Some(data) = &self.args.data {
            command.push_str(&format!(" --data {}", quoted(data.display())));
        }
        for grant in &self.args.grants.grants {
            command.push_str(&format!(" --grant {}", quoted(grant)));
        }
        for limit in &self.args.limits.limits {
            command.push_str(&format!(" --limit {}", quoted(limit)));
        }
        if self.args.strict {
            command.push_str(" --strict");
        }
        command
    }
}

/// Gives the credentials of the environment, if a grant is for them.
pub(super) fn credentials(
    grants: &Grants,
    environment: &Environment,
) -> anyhow::Result<Option<Credentials>> {
    let signatures = &grants.http.signatures;
    let needed = grants.credentials || signatures.iter().any(SigningGrant::needs_callers);
    let wanted = needed || signatures.iter().any(SigningGrant::takes_callers);
    match &environment.credentials {
        Some(credentials) if wanted => Ok(Some(credentials.clone())),
        None if needed => bail!(
            "there are no credentials to grant or to sign with: set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or leave `--grant credentials` out and sign `with profile NAME`"
        ),
        Some(_) | None => Ok(None),
    }
}

const fn mutation(action: Action) -> Option<Mutation> {
    match action {
        Action::Create => Some(Mutation::Create),
        Action::Update => Some(Mutation::Update),
        Action::Delete => Some(Mutation::Delete),
        Action::Read | Action::List => None,
    }
}

/// What every part of this command may be asked to show as the final model.
fn show_model(model: &JsonObject, output: &mut Output) {
    output.pretty(&model.to_map());
}
