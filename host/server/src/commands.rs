//! The commands, and what they have in common: arguments, exit status, errors.

mod backup;
mod core_dumps;
mod inspect;
mod interrupts;
mod logging;
mod open_files;
mod operations;
mod output;
mod progress;
mod run;
mod serve;
mod setup;
mod test;
mod text;
mod wire;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use formwork_host::sandbox::{Limits, compile_for_parent};

use crate::config::{Log, LogFormat};
use crate::environment::Environment;
use crate::grants::Grant;
use crate::limits::{LimitSetting, SandboxLimits};
use logging::Logging;
use output::{Console, Output};

const EXAMPLES: &str = "\
Examples:
  formwork inspect file.wasm
  formwork run create file.wasm --model file.json --grant dir=./data
  formwork run read file.wasm --identifier hello.txt --grant dir=./data:ro
  formwork serve file.wasm --grant dir=./data --data ./state
  formwork test file.wasm --grant dir=./data
  formwork operations list --data ./state
  formwork backup --data ./state ./backup";

const EXIT_STATUS: &str = "\
Exit status:
  0    done: the answer is SUCCESS
  1    the answer is no: FAILED, CANCEL_COMPLETE, a resource that does not
       exist, a resource that is busy, an operation that has ended
  2    could not tell: wrong arguments, a model that does not fit the schema, a
       component that cannot be loaded, a store that cannot be used
  130  interrupted by Ctrl-C or SIGTERM before there was an answer";

const ENVIRONMENT: &str = "\
Environment:
  FORMWORK_BEARER_TOKEN  the bearer token for reports, in place of --bearer-token
  FORMWORK_CACHE_DIR     where compiled components are kept; else DIR/cache with
                         --data DIR, else $XDG_CACHE_HOME/formwork, else
                         ~/.cache/formwork
  FORMWORK_CORE_DUMPS    `keep` lets a crash leave a core dump, and debuggers
                         look into the process: both show secrets
  FORMWORK_DATABASE_KEY  the key that seals what is kept in a database, 64
                         hexadecimal digits; or FORMWORK_DATABASE_KEY_FILE, a
                         file that holds it
  FORMWORK_DATABASE_PASSWORD
                         the password of the database, if it is not in the URL
  FORMWORK_LOG           which log lines are shown, in place of --verbose, such
                         as `info` or `warn,formwork::guest=debug`
  NO_COLOR               no colours on a terminal
  OTEL_EXPORTER_OTLP_ENDPOINT
                         where `serve` sends traces and metrics, if its
                         configuration does not say; other OTEL_* variables are
                         heeded then";

/// Runs, inspects and operates CloudFormation resource-type handlers that are
/// WebAssembly components.
///
/// A handler is one `.wasm` file. It runs in a sandbox that reaches nothing
/// but what is granted; formwork calls it, waits and calls it again while it
/// answers `IN_PROGRESS`, and shows how that goes.
///
/// Results are on standard output, words on standard error.
#[derive(Debug, Parser)]
#[command(
    name = "formwork",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_long_help = EXAMPLES
)]
pub struct Cli {
    /// Shows the log of the handler and of the engine; twice shows more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Writes the log in this form [default: text]
    ///
    /// `json` is an object on each line, with the time, the level, the message and
    /// its fields; what concerns an operation has `request_token`, `type_name`,
    /// `action` and `invocation`.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// Reads the arguments of this process; where they are wrong, or ask for help, it
    /// says so and ends the process.
    #[must_use]
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| without_secret(error).exit())
    }
}

/// Takes the value of a grant out of an error, which says as much of it as can be no
/// secret.
fn without_secret(mut error: clap::Error) -> clap::Error {
    let of_grant = |context: &ContextValue| context.to_string().starts_with("--grant");
    if error.get(ContextKind::InvalidArg).is_some_and(of_grant) {
        let hidden = ContextValue::String("…".to_owned());
        error.insert(ContextKind::InvalidValue, hidden);
    }
    error
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::RunArgs>),
    Test(Box<test::TestArgs>),
    Serve(serve::ServeArgs),
    Inspect(inspect::InspectArgs),
    Operations(operations::OperationsArgs),
    Backup(backup::BackupArgs),
    /// Compiles a component for the process that started this one
    #[command(name = COMPILE, hide = true)]
    Compile,
}

/// The command that this program is started with to compile.
const COMPILE: &str = "compile-component";

#[derive(Debug, Args)]
struct GrantArgs {
    /// Lets the handler reach something; can be given several times
    ///
    /// `dir=PATH` is a directory, to read and write; `dir=PATH:ro` only to
    /// read. It may hold 1 GiB in 10,000 files, or what
    /// `dir=PATH:bytes=64MiB,files=100` says. The handler sees it as `/` and the
    /// last name of PATH, and the first one as `/` too. `credentials` passes on the credentials of the
    /// environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN`).
    ///
    /// `http=PATTERN` lets it make HTTP requests that it wishes for:
    /// `[METHOD ]SCHEME://HOST[:PORT][/PREFIX]`, such as `http=GET
    /// https://*.example.com/v1`. `address=ADDRESS` lets it reach an address that
    /// is not public, or a network such as `10.0.0.0/8`. `ca=FILE` has it trust
    /// servers by the certificates of a PEM file too.
    ///
    /// `sign=PATTERN as SERVICE [in REGION] [with SOURCE [or SOURCE]…]` lets it
    /// make requests to AWS, which are signed outside of it: `sign=https://
    /// s3.eu-central-1.amazonaws.com as s3 with caller or profile deploy`. A SOURCE
    /// is `caller` (the credentials of the environment), `profile NAME`, `role
    /// ARN` or `web-identity`. `secret=PATTERN as FIELD[: WORD] from file PATH`
    /// (or `from environment NAME`) puts a secret into a header field of requests
    /// to one server.
    ///
    /// Without any, a handler reaches nothing.
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<Grant>,
}

#[derive(Debug, Args)]
struct LimitArgs {
    /// Lets an invocation use more or less; can be given several times
    ///
    /// NAME is the name of a setting in `limits` of a type in `formwork.toml`,
    /// such as `memory=512MiB`, `cpu=30s` or `handles=5000`, or of one in `[load]` or
    /// `[http]`, such as `load.functions=300000` or `http.lookups=16`. `formwork inspect`
    /// lists those of an invocation and of what is loaded.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<LimitSetting>,
}

impl LimitArgs {
    /// Gives what an invocation may use.
    fn invocation(&self) -> Limits {
        LimitSetting::invocation(&self.limits)
    }

    /// Gives the limits that are not of one type.
    fn sandbox(&self) -> SandboxLimits {
        LimitSetting::sandbox(&self.limits)
    }
}

/// How a command ended that could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exit {
    Done,
    No,
    Interrupted,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Interrupted => 130,
        }
    }
}

/// The status of a command that could not be carried out.
const COULD_NOT_TELL: u8 = 2;

/// Carries out a command, and gives the status to exit with.
#[must_use]
pub fn run(cli: &Cli, environment: &Environment) -> ExitCode {
    if let Command::Compile = cli.command {
        return compile_for_parent();
    }
    let console = Console::new();
    let mut output = Output::new();
    let ended = carry_out(cli, environment, &console, &mut output).and_then(|exit| {
        output.finish().context("cannot write to standard output")?;
        Ok(exit)
    });
    match ended {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            console.error(&error);
            ExitCode::from(COULD_NOT_TELL)
        }
    }
}

fn carry_out(
    cli: &Cli,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let one = !matches!(cli.command, Command::Serve(_));
    // The tests say themselves what the engine would warn of.
    let quiet = matches!(cli.command, Command::Test(_)) && cli.verbose == 0;
    let of_config = match &cli.command {
        Command::Serve(args) => args.log(),
        Command::Run(_)
        | Command::Test(_)
        | Command::Inspect(_)
        | Command::Operations(_)
        | Command::Backup(_)
        | Command::Compile => Log::default(),
    };
    let said = of_config.filter.as_deref().filter(|_| cli.verbose == 0);
    let logging = Logging {
        verbose: cli.verbose,
        filter: environment
            .log
            .as_deref()
            .or(said)
            .or(quiet.then_some("error,formwork::guest=off")),
        format: cli
            .log_format
            .or(of_config.format)
            .unwrap_or(LogFormat::Text),
        one,
    };
    logging::start(&logging, console)?;
    if !environment.keeps_core_dumps {
        core_dumps::forbid();
    }
    open_files::allow();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the threads of this program")?;
    let ended = runtime.block_on(async {
        match &cli.command {
            Command::Run(args) => run::run(args, environment, console, output).await,
            Command::Serve(args) => serve::run(args, environment, console).await,
            Command::Test(args) => test::run(args, environment, console, output).await,
            Command::Inspect(args) => inspect::run(args, environment, console, output).await,
            Command::Backup(args) => backup::run(args, console).await,
            Command::Operations(args) => operations::run(args, environment, console, output).await,
            Command::Compile => unreachable!("it needs none of this"),
        }
    });
    // What is still running is a crash to it, which it must survive anyway.
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_secret_in_a_wrong_argument_is_not_repeated() {
        for command in [
            "run create a.wasm",
            "serve a.wasm",
            "test a.wasm",
            "inspect a.wasm",
        ] {
            let grant = "secret=https://a.example as X-Api-Key from s3cr3t";
            let words = ["formwork"].into_iter().chain(command.split(' '));
            let refusal = Cli::try_parse_from(words.chain(["--grant", grant]));
            let words = without_secret(refusal.expect_err("it is wrong")).to_string();
            assert!(words.contains("a secret is in a file"), "{words}");
            assert!(!words.contains("s3cr3t"), "{words}");
        }
    }

    #[test]
    fn exit_statuses_are_those_of_the_help() {
        for (code, words) in [
            (Exit::Done.code(), "done"),
            (Exit::No.code(), "the answer is no"),
            (COULD_NOT_TELL, "could not tell"),
            (Exit::Interrupted.code(), "interrupted"),
        ] {
            let line = format!("  {code:<5}{words}");
            assert!(EXIT_STATUS.contains(&line), "{line}");
        }
    }
}
