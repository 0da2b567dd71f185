//! `Formwork::Examples::File`: a file in the directory that is granted to the handler.
//!
//! Beside each file `NAME` stands a note `.NAME.formwork` with what a file does
//! not hold: its mode, the hash of its secret, and the request token that made
//! it. Names never begin with a dot, so a note is never taken for a file. A note
//! is written aside and put in its place whole, so that a create that is cut off
//! at any moment goes on when it is repeated.

use std::fs;
use std::io;
use std::path::PathBuf;

use formwork_guest::{
    DeleteEvent, ErrorCode, HandlerError, ListRequest, Page, ProgressEvent, Request,
    ResourceHandler, Result, Steps,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const DEFAULT_MODE: &str = "0644";

/// The properties of the schema.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Model {
    name: String,
    contents: Option<String>,
    mode: Option<String>,
    secret: Option<String>,
    size: Option<usize>,
    sha256: Option<String>,
}

/// The handler.
#[derive(Debug)]
pub struct File;

#[formwork_guest::resource(schema = "schema.json")]
impl ResourceHandler for File {
    type Model = Model;

    fn create(request: &Request, desired: Model, _: Steps) -> Result<ProgressEvent<Model>> {
        let place = Place::of(&desired.name)?;
        // The note is written first and claims the name, so that a create that
        // was interrupted half-way goes on when it is repeated.
        let claimed = place.note()?.is_some_and(|note| note.is_of(request));
        if claimed {
            remove(&place.aside(&request.client_request_token))?;
        } else {
            if place.file.try_exists()? {
                return Err(already_exists(&desired.name));
            }
            let note = Note::new(&desired, &request.client_request_token);
            place.claim(&note, &desired.name)?;
        }
        request.created(&desired);
        fs::write(&place.file, desired.contents.unwrap_or_default())?;
        Ok(ProgressEvent::success(place.read(desired.name)?))
    }

    fn read(_: &Request, identifier: Model) -> Result<Model> {
        Place::of(&identifier.name)?.read(identifier.name)
    }

    fn update(
        _: &Request,
        desired: Model,
        _: Option<Model>,
        _: Steps,
    ) -> Result<ProgressEvent<Model>> {
        let place = Place::of(&desired.name)?;
        if !place.file.try_exists()? {
            return Err(not_found(&desired.name));
        }
        let created_by = place.note()?.map(|note| note.created_by);
        let note = Note::new(&desired, &created_by.unwrap_or_default());
        place.replace(&note)?;
        fs::write(&place.file, desired.contents.unwrap_or_default())?;
        Ok(ProgressEvent::success(place.read(desired.name)?))
    }

    fn delete(_: &Request, identifier: Model, _: Steps) -> Result<DeleteEvent<Model>> {
        let place = Place::of(&identifier.name)?;
        let had_file = remove(&place.file)?;
        let had_note = remove(&place.note)?;
        if had_file || had_note {
            Ok(DeleteEvent::deleted())
        } else {
            Err(not_found(&identifier.name))
        }
    }

    fn list(_: &Request, page: ListRequest) -> Result<Page<Model>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(root())? {
            let entry = entry?;
            let name = entry.file_name().into_string();
            if let Ok(name) = name
                && is_name(&name)
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        page.page(names, |name| match Place::of(name)?.read(name.to_owned()) {
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            model => model.map(Some),
        })
    }
}

/// What a file does not hold itself.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    mode: String,
    secret_sha256: Option<String>,
    created_by: String,
}

impl Note {
    fn new(desired: &Model, created_by: &str) -> Self {
        Self {
            mode: desired.mode.as_deref().unwrap_or(DEFAULT_MODE).to_owned(),
            secret_sha256: desired.secret.as_ref().map(sha256),
            created_by: created_by.to_owned(),
        }
    }

    fn is_of(&self, request: &Request) -> bool {
        self.created_by == request.client_request_token
    }
}

/// Where a file and its note are.
struct Place {
    file: PathBuf,
    note: PathBuf,
}

impl Place {
    fn of(name: &str) -> Result<Self> {
        if !is_name(name) {
            return Err(HandlerError::invalid_request(format!(
                "Name is {name:?}; use letters, digits, `_`, `-` and `.`, with no dot in front"
            )));
        }
        Ok(Self {
            file: root().join(name),
            note: root().join(format!(".{name}.formwork")),
        })
    }

    fn note(&self) -> Result<Option<Note>> {
        match fs::read(&self.note) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a first note in its place; of two that do so at once, one fails.
    fn claim(&self, note: &Note, name: &str) -> Result<()> {
        // A link, unlike a rename, takes the place of nothing.
        let draft = self.draft(note)?;
        let linked = fs::hard_link(&draft, &self.note);
        remove(&draft)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(already_exists(name)),
            linked => Ok(linked?),
        }
    }

    /// Puts a note in the place of the one before.
    fn replace(&self, note: &Note) -> Result<()> {
        Ok(fs::rename(self.draft(note)?, &self.note)?)
    }

    /// Writes a note aside.
    fn draft(&self, note: &Note) -> Result<PathBuf> {
        let draft = self.aside(&note.created_by);
        // What an interrupted attempt has left may be linked to the note.
        remove(&draft)?;
        fs::write(&draft, serde_json::to_vec(note)?)?;
        Ok(draft)
    }

    /// Gives where notes of one maker are written aside.
    fn aside(&self, created_by: &str) -> PathBuf {
        let maker = &sha256(created_by)[..16];
        self.note.with_extension(format!("formwork.{maker}"))
    }

    fn read(&self, name: String) -> Result<Model> {
        let contents = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found(&name)),
            contents => contents?,
        };
        let mode = self.note()?.map(|note| note.mode);
        Ok(Model {
            name,
            size: Some(contents.len()),
            sha256: Some(sha256(&contents)),
            contents: Some(contents),
            mode: Some(mode.unwrap_or_else(|| DEFAULT_MODE.to_owned())),
            secret: None,
        })
    }
}

/// The first directory that is granted is the root of a guest's file system.
#[cfg(not(test))]
fn root() -> PathBuf {
    PathBuf::from("/")
}

#[cfg(test)]
use tests::root;

/// Keeps a name to one component of a path, whatever the caller has checked.
fn is_name(name: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_safe)
}

fn sha256(text: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes a file, and says whether there was one.
fn remove(path: &PathBuf) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn already_exists(name: &str) -> HandlerError {
    HandlerError::already_exists(format!("there is a file named {name} already"))
}

fn not_found(name: &str) -> HandlerError {
    HandlerError::not_found(format!("there is no file named {name}"))
}

#[cfg(test)]
mod tests;
