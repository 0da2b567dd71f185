//! The arguments of `formwork serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use formwork_host::model::Region;
use formwork_host::registry::TypeSettings;

use crate::config::{Config, FILE_NAME, Log, ServedType, address};
use crate::data::Data;
use crate::grants::Grant;
use crate::limits::LimitSetting;

const EXAMPLES: &str = "\
Examples:
  Serve what a file says, or see whether it can be served:
    formwork serve --config formwork.toml
    formwork serve --config formwork.toml --check

  Serve a handler where the contract tests of the CloudFormation CLI look for it:
    formwork serve file.wasm --grant dir=./data
    cfn test

  Make one invocation, and accept an operation to be run and reported:
    aws lambda invoke --endpoint-url http://127.0.0.1:3001 --no-sign-request \\
      --function-name TypeFunction --payload fileb://request.json answer.json
    aws lambda invoke ... --invocation-type Event

  Create a resource, as with AWS's Cloud Control API:
    export AWS_ENDPOINT_URL=http://127.0.0.1:3001
    aws cloudcontrol create-resource --type-name Acme::Storage::File \\
      --desired-state '{\"Name\":\"a\"}'

  Complete an operation whose work is finished elsewhere:
    aws cloudformation record-handler-progress --endpoint-url http://127.0.0.1:3001 \\
      --bearer-token T --operation-status SUCCESS --resource-model '{\"Name\":\"a\"}'";

const STOPPING: &str = "\
Ctrl-C:
  No more requests are taken, and running invocations are waited for; with
  --data, operations go on when the directory is served again. A second Ctrl-C
  leaves at once, as a crash would.

SIGHUP:
  The configuration is read again, as it is when it, a component or the
  certificate has changed. One that cannot be served is told of and changes
  nothing. Without a configuration, SIGHUP is as Ctrl-C.

Exit status:
  0    stopped, and nothing was left running
  2    could not serve: wrong arguments, a component that cannot be loaded, an
       address or a data directory that is in use
  130  stopped by a second Ctrl-C, or before a running invocation had answered";

/// Serves handlers over HTTP, as Cloud Control, CloudFormation and Lambda do
///
/// `POST /` takes the calls of the Cloud Control API, those of CloudFormation's
/// registry and of STS that its clients need, and RecordHandlerProgress for
/// operations of this server. The region of a resource is the one that its
/// request is signed for, else us-east-1; the account is 000000000000.
///
/// `POST /2015-03-31/functions/NAME/invocations` invokes a handler. NAME is a
/// resource type name such as `Acme::Storage::File`, or `Acme-Storage-File`, or
/// `TypeFunction` where one type is served. A `RequestResponse` is one
/// invocation, answered by its progress event; an `Event` is a whole operation,
/// run here and reported by RecordHandlerProgress.
#[derive(Debug, Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{STOPPING}\n\n{}", super::super::ENVIRONMENT))]
pub(in crate::commands) struct ServeArgs {
    /// The handlers: `.wasm` components, each of another resource type
    ///
    /// Without any, `formwork.toml` of this folder says what is served.
    #[arg(value_name = "COMPONENT", conflicts_with = "config")]
    components: Vec<PathBuf>,

    /// Serves what this file says, such as `formwork.toml`
    ///
    /// Its paths are relative to the folder that it is in. `--listen`, `--data`
    /// and `--report-*` win over what it says.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Says what would be served, or what is wrong, and serves nothing
    #[arg(long)]
    pub(super) check: bool,

    /// Where to listen [default: 127.0.0.1:3001]; port 0 is any free port
    ///
    /// A loopback address, unless a configuration has keys for the callers.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,

    /// Keeps operations in this directory, made if it is missing, or in a
    /// PostgreSQL database
    ///
    /// Unfinished operations in it go on. A database is named by its URL,
    /// `postgres://USER@HOST/NAME`, and any number of hosts may serve it; see
    /// `FORMWORK_DATABASE_KEY_FILE`. Without it, operations are lost with the
    /// process.
    #[arg(long, value_name = "DIR|URL")]
    data: Option<Data>,

    /// Lets the handlers reach something; can be given several times
    ///
    /// `dir=PATH` is a directory, to read and write; `dir=PATH:ro` only to
    /// read. It may hold 1 GiB in 10,000 files, or what
    /// `dir=PATH:bytes=64MiB,files=100` says. A handler sees it as `/` and the last name of PATH, and the first
    /// one as `/` too. `credentials` passes on the caller's credentials of each
    /// request. `http=PATTERN`, `sign=PATTERN as SERVICE` and `secret=PATTERN as FIELD
    /// from file PATH` let it make HTTP requests; `formwork run --help` tells of
    /// them. Without any, a handler reaches nothing.
    #[arg(long = "grant", value_name = "GRANT", requires = "components")]
    grants: Vec<Grant>,

    /// Lets an invocation use more or less; can be given several times
    ///
    /// NAME is the name of a setting in `limits` of a type in `formwork.toml`, such
    /// as `memory=512MiB`, or of one in `[load]` or `[http]`, such as `load.size=256MiB`
    /// or `http.requests=2000`.
    #[arg(long = "limit", value_name = "NAME=VALUE", requires = "components")]
    limits: Vec<LimitSetting>,

    /// Fails a success that breaks the handler contract, in place of warning
    #[arg(long, requires = "components")]
    strict: bool,

    /// Reports operations whose request names no endpoint to this one
    ///
    /// Signed with the credentials of the request, or else with those that the
    /// AWS tools would use.
    #[arg(long, value_name = "URL", help_heading = "Reports")]
    report_endpoint: Option<String>,

    /// Signs reports of operations whose request names no region for this one
    /// [default: us-east-1]
    #[arg(long, value_name = "REGION", help_heading = "Reports")]
    report_region: Option<Region>,
}

impl ServeArgs {
    /// Gives what is to be served: what the components and flags say, or the
    /// file that is named, or that of this folder.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let mut config = match self.file() {
            Some(file) => Config::read(file)?,
            None if self.components.is_empty() => bail!(
                "a component or a configuration is required: give the path of a `.wasm` file, or \
                 `--config FILE`, or put a `{FILE_NAME}` here"
            ),
            None => self.named(),
        };
        if let Some(listen) = self.listen {
            config.listen = vec![listen];
        }
        if let Some(data) = &self.data {
            config.data = Some(data.clone());
        }
        if let Some(endpoint) = &self.report_endpoint {
            config.report.endpoint = Some(endpoint.clone());
        }
        if let Some(region) = &self.report_region {
            config.report.region = Some(region.clone());
        }
        Ok(config)
    }

    /// Gives how the log is to be written, so far as a file says it. What is wrong
    /// with that is said when it is read to be served.
    pub(in crate::commands) fn log(&self) -> Log {
        self.config().map(|config| config.log).unwrap_or_default()
    }

    /// Gives the file that says what is served, if one does.
    pub(super) fn file(&self) -> Option<&Path> {
        let here = Path::new(FILE_NAME);
        let found = || (self.components.is_empty() && here.is_file()).then_some(here);
        self.config.as_deref().or_else(found)
    }

    fn named(&self) -> Config {
        let mut settings = TypeSettings::default();
        settings.policy.strict = self.strict;
        settings.limits = LimitSetting::invocation(&self.limits);
        let types = self.components.iter().map(|component| ServedType {
            component: component.clone(),
            grants: self.grants.clone(),
            settings: settings.clone(),
        });
        Config {
            types: types.collect(),
            limits: LimitSetting::sandbox(&self.limits),
            ..Config::default()
        }
    }
}
