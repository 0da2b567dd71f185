//! `formwork backup`: a copy of a data directory that may be in use.

use std::path::PathBuf;

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Args;
use formwork_host::store::SqliteStore;

use super::Exit;
use super::output::Console;

const EXAMPLES: &str = "\
Examples:
  formwork backup --data ./state /backups/monday
  formwork backup --data ./state /backups/monday --with-key

To go on from a backup: put `key` into it if it is not there, and name it as
the data directory: `formwork serve --data /backups/monday`.";

/// Copies a data directory as it is at one moment, while an engine works in it
///
/// The copy holds the operations and the components. Secrets in it are sealed with
/// the key of the data directory, the file `key`. The key is left out, so that
/// whoever finds a backup reads none of them: keep it elsewhere, once, since a
/// backup cannot be opened without it. Compiled code is left out too; it is made
/// anew.
///
/// Operations that were running when the copy was made are run again by whoever
/// opens it: do that only once the engine of the original has ended for good.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_long_help = EXAMPLES)]
pub(super) struct BackupArgs {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the copy goes: a directory that is empty or not there
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Copies the key too: whoever can read the backup can read its secrets
    #[arg(long)]
    with_key: bool,
}

pub(super) async fn run(args: &BackupArgs, console: &Console) -> anyhow::Result<Exit> {
    let store = SqliteStore::attach(&args.data)?;
    let done = store.back_up(&args.to, args.with_key).await;
    let done = done.with_context(|| format!("there is no backup in `{}`", args.to.display()))?;
    console.say(format_args!(
        "Copied {} of operations and {} components to `{}`.",
        ByteSize(done.database_bytes),
        done.components,
        args.to.display()
    ));
    if !done.with_key {
        console.say(format_args!(
            "The key is left out: keep a copy of `{}` elsewhere, since the backup cannot be opened without it.",
            args.data.join("key").display()
        ));
    }
    Ok(Exit::Done)
}
