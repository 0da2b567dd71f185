//! Where things are kept: a file for each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use formwork_guest::{HandlerError, Result};
use serde::{Deserialize, Serialize};

use crate::thing::hash;
use crate::{Bug, Thing, root};

/// A thing as it is kept, with what the handler must remember of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The thing, write-only properties included.
    pub(crate) thing: Thing,
    /// The client request token of the create.
    pub(crate) created_by: String,
    /// That of the operation which wrote it last.
    pub(crate) changed_by: String,
}

/// What stands behind the key in the name of a file.
const LIVE: &str = "json";
const GONE: &str = "gone";
/// Which the first READ after a create, and after a delete, has yet to see.
const UNSEEN: &str = "unseen";

impl Record {
    /// Finds what a model names, by the primary identifier or by another.
    ///
    /// # Errors
    ///
    /// `NotFound`, or `InvalidRequest` when the model names nothing.
    pub(crate) fn find(wanted: &Thing) -> Result<Self> {
        find(wanted, LIVE)
    }

    /// Finds what was deleted, as [`find`](Self::find) does.
    pub(crate) fn find_gone(wanted: &Thing) -> Result<Self> {
        find(wanted, GONE)
    }

    /// Gives every thing there is.
    pub(crate) fn all() -> Result<Vec<Self>> {
        all(LIVE)
    }

    /// Gives every thing that was deleted.
    pub(crate) fn all_gone() -> Result<Vec<Self>> {
        all(GONE)
    }

    /// Keeps a new thing, unless there is one; says whether it did.
    pub(crate) fn claim(&self) -> Result<bool> {
        // A link, unlike a rename, takes the place of nothing, and what is linked is whole.
        let draft = self.draft()?;
        let linked = fs::hard_link(&draft, self.place(LIVE)?);
        fs::remove_file(draft)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => Ok(linked.map(|()| true)?),
        }
    }

    /// Keeps a thing in the place of what it was.
    pub(crate) fn save(&self) -> Result<()> {
        Ok(fs::rename(self.draft()?, self.place(LIVE)?)?)
    }

    /// Deletes a thing, for the operation with a token.
    pub(crate) fn remove(mut self, token: &str) -> Result<()> {
        token.clone_into(&mut self.changed_by);
        fs::rename(self.draft()?, self.place(GONE)?)?;
        Ok(fs::remove_file(self.place(LIVE)?)?)
    }

    /// Notes that the next READ of this thing shall not see what it is now.
    pub(crate) fn hide(&self) -> Result<()> {
        Ok(fs::write(self.place(UNSEEN)?, "")?)
    }

    /// Takes that note away; says whether there was one.
    pub(crate) fn unhide(&self) -> Result<bool> {
        match fs::remove_file(self.place(UNSEEN)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => Ok(removed.map(|()| true)?),
        }
    }

    fn draft(&self) -> Result<PathBuf> {
        // Of its own for each operation: two may write the same thing at once.
        let draft = self.place(&format!("{:016x}.draft", hash("draft", &self.changed_by)))?;
        fs::write(&draft, serde_json::to_vec(self)?)?;
        Ok(draft)
    }

    fn place(&self, ending: &str) -> Result<PathBuf> {
        let key = self.thing.key().filter(|key| is_key(key));
        let key = key.ok_or_else(|| HandlerError::invalid_request("the thing has no key"))?;
        Ok(root().join(format!("{key}.{ending}")))
    }
}

fn find(wanted: &Thing, ending: &str) -> Result<Record> {
    if let Some(key) = wanted.key() {
        if !is_key(key) {
            return Err(not_found(key));
        }
        let place = root().join(format!("{key}.{ending}"));
        return read(&place)?.ok_or_else(|| not_found(key));
    }
    let Some(other) = wanted.id.as_ref().or(wanted.alias.as_ref()) else {
        return Err(HandlerError::invalid_request(
            "the model names no thing; give an identifier",
        ));
    };
    if Bug::IgnoresAdditionalIdentifier.is_on() {
        return Err(not_found(other));
    }
    let is_it = |Record { thing, .. }: &Record| {
        thing.id.as_ref() == Some(other) || thing.alias.as_ref() == Some(other)
    };
    let found = all(ending)?.into_iter().find(is_it);
    found.ok_or_else(|| not_found(other))
}

fn all(ending: &str) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(root())? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == ending) {
            records.extend(read(&path)?);
        }
    }
    Ok(records)
}

fn read(path: &Path) -> Result<Option<Record>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Keeps a key to one component of a path, whatever the caller has checked.
fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn not_found(name: &str) -> HandlerError {
    HandlerError::not_found(format!("there is no thing {name:?}"))
}
