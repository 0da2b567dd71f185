//! Where the inputs come from.

use std::path::{Path, PathBuf};

use anyhow::bail;
use formwork_host::contract::{InputSet, InputTexts, Inputs, Origin};
use formwork_host::model::TypeSchema;

use super::super::output::Console;
use super::TestArgs;

/// The inputs that were found.
pub(super) struct Found {
    pub(super) sets: Vec<InputSet>,
    /// The directory of inputs; none if they are made from the schema.
    pub(super) directory: Option<PathBuf>,
}

/// Finds the inputs, and says where.
pub(super) fn find(
    args: &TestArgs,
    component: &Path,
    schema: &TypeSchema,
    console: &Console,
) -> anyhow::Result<Found> {
    let directory = directory(args.inputs.as_deref(), component);
    let overrides = args.overrides.clone().or_else(|| {
        let here = PathBuf::from("overrides.json");
        here.is_file().then_some(here)
    });
    let texts = InputTexts::read(directory.as_deref(), overrides.as_deref())?;
    let inputs = Inputs::decide(schema, &texts, args.seed)?;
    if let (Some(asked), Some(_), Origin::Schema { .. }) =
        (&args.inputs, &directory, &inputs.origin)
    {
        bail!(
            "`{}` has no inputs: the first file must be `inputs_1_create.json`; for models made \
             from the schema give `--inputs none`",
            asked.display()
        );
    }
    for warning in &inputs.warnings {
        console.warn(warning);
    }
    let sets = match inputs.sets.len() {
        1 => "1 set".to_owned(),
        count => format!("{count} sets"),
    };
    let directory = match (inputs.origin, directory) {
        (Origin::Files, Some(directory)) => {
            console.say(format_args!(
                "Inputs: {sets} from `{}`",
                directory.display()
            ));
            Some(directory)
        }
        (Origin::Files, None) | (Origin::Schema { .. }, _) => {
            let seed = args.seed;
            let over = overrides.map(|path| format!(" and `{}`", path.display()));
            console.say(format_args!(
                "Inputs: made from the schema{} with seed {seed}; for your own give \
                 `--inputs DIR`",
                over.unwrap_or_default()
            ));
            None
        }
    };
    Ok(Found {
        sets: inputs.sets,
        directory,
    })
}

/// Chooses the directory of inputs: what is asked for, else that of the project
/// in the current directory, else one beside the component.
fn directory(asked: Option<&Path>, component: &Path) -> Option<PathBuf> {
    match asked {
        Some(none) if none == Path::new("none") => None,
        Some(asked) => Some(asked.to_owned()),
        None => {
            let beside = component
                .parent()
                .unwrap_or_else(|| Path::new(""))
                .join("inputs");
            [PathBuf::from("inputs"), beside]
                .into_iter()
                .find(|directory| directory.is_dir())
        }
    }
}
