//! The names and texts of input files.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::{InputError, InputWarning};

/// The texts that inputs are decided from, read and not yet understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputTexts {
    /// The files of the directory of inputs, by their names.
    pub inputs: BTreeMap<String, String>,
    /// The name and the text of the file of overrides.
    pub overrides: Option<(String, String)>,
}

impl InputTexts {
    /// Reads the directory `inputs` and the file `overrides.json` of a project,
    /// each if it is there.
    ///
    /// # Errors
    ///
    /// When one of them is there and cannot be read.
    pub fn of_project(directory: &Path) -> Result<Self, InputError> {
        let inputs = directory.join("inputs");
        let overrides = directory.join("overrides.json");
        Self::read(
            inputs.exists().then_some(&*inputs),
            overrides.exists().then_some(&*overrides),
        )
    }

    /// Reads a directory of inputs and a file of overrides.
    ///
    /// Directories within the one of inputs are passed over; of files that are
    /// no inputs the names alone are taken, for a warning.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read, or an input is not UTF-8.
    pub fn read(inputs: Option<&Path>, overrides: Option<&Path>) -> Result<Self, InputError> {
        let mut texts = Self::default();
        if let Some(directory) = inputs {
            let unreadable = |source| unreadable(directory, source);
            for entry in std::fs::read_dir(directory).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if path.is_dir() {
                    continue;
                }
                let name = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
                let text = match parse(&name) {
                    Some(_) => text(&path)?,
                    None => String::new(),
                };
                texts.inputs.insert(name, text);
            }
        }
        if let Some(file) = overrides {
            texts.overrides = Some((file.display().to_string(), text(file)?));
        }
        Ok(texts)
    }
}

fn text(path: &Path) -> Result<String, InputError> {
    let bytes = std::fs::read(path).map_err(|source| unreadable(path, source))?;
    String::from_utf8(bytes)
        .map_err(|source| unreadable(path, std::io::Error::new(ErrorKind::InvalidData, source)))
}

fn unreadable(path: &Path, source: std::io::Error) -> InputError {
    InputError::Unreadable {
        file: path.display().to_string(),
        source,
    }
}

/// What a file of inputs is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Create,
    Update,
    Invalid,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Invalid];

    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Invalid => "invalid",
        }
    }

    /// Gives the name of the file of this kind in a set.
    pub(super) fn file(self, number: u32) -> String {
        format!("inputs_{number}_{}.json", self.name())
    }
}

/// The files of one set.
#[derive(Debug)]
pub(super) struct Numbered<'t> {
    pub(super) number: u32,
    /// What each is for, its name and its text.
    pub(super) files: Vec<(Kind, &'t str, &'t str)>,
}

/// Sorts files into sets, from 1 until a number is missing.
///
/// Numbers are compared as such; the official tool takes `inputs_10_create.json`
/// for a file of set 1.
pub(super) fn sort(texts: &InputTexts) -> (Vec<Numbered<'_>>, Vec<InputWarning>) {
    let mut warnings = Vec::new();
    let mut numbered: BTreeMap<u32, Vec<(Kind, &str, &str)>> = BTreeMap::new();
    for (name, text) in &texts.inputs {
        match parse(name) {
            Some((number, kind)) => numbered.entry(number).or_default().push((kind, name, text)),
            None => warnings.push(InputWarning::UnknownFile { file: name.clone() }),
        }
    }
    let mut sets = Vec::new();
    let mut next = 1;
    for (number, files) in numbered {
        if number == next {
            sets.push(Numbered { number, files });
            next += 1;
        } else {
            warnings.extend(
                files
                    .into_iter()
                    .map(|(_, name, _)| InputWarning::BehindGap {
                        file: name.to_owned(),
                        missing: next,
                    }),
            );
        }
    }
    (sets, warnings)
}

/// Reads the number and the kind from the name of a file.
fn parse(name: &str) -> Option<(u32, Kind)> {
    let (number, kind) = name
        .strip_prefix("inputs_")?
        .strip_suffix(".json")?
        .split_once('_')?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
    let number: u32 = number.parse().ok()?;
    // `01` and `+1` are other names than the one that is looked for.
    (number > 0 && kind.file(number) == name).then_some((number, kind))
}

/// Finds the first `{{Name}}`, by which the official tool asks for the export of
/// a stack, and its line.
pub(super) fn placeholder(text: &str) -> Option<(usize, &str)> {
    let is_named =
        |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':' || c.is_ascii_whitespace();
    let mut from = 0;
    while let Some(found) = text[from..].find("{{") {
        let start = from + found + 2;
        let name = text[start..].split_once("}}").map(|(name, _)| name);
        match name {
            Some(name) if !name.trim().is_empty() && name.chars().all(is_named) => {
                let line = 1 + text[..start].matches('\n').count();
                return Some((line, name.trim()));
            }
            // Braces of JSON and of other languages can stand together as well.
            Some(_) | None => from = start - 1,
        }
    }
    None
}
