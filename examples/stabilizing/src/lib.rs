//! `Formwork::Examples::Archive`: a tar archive that takes several invocations.
//!
//! An archive is packed into `.ID.part`, one entry in each invocation, and gets
//! its name `ID.tar` when it is complete. Beside it stands `.ID.json` with the
//! desired state, which a read gives back. What is packed follows from the state
//! alone, so an invocation that is repeated writes the same bytes to the same place.

use std::fs;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use formwork_guest::{
    Chain, DeleteEvent, ErrorCode, Every, HandlerError, ListRequest, OrFail as _, Page,
    ProgressEvent, Request, ResourceHandler, Result, Stability, Steps, log,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The properties of the schema.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Model {
    archive_id: Option<String>,
    files: Option<Vec<File>>,
    delay: Option<u64>,
    status: Option<Status>,
    entries: Option<usize>,
    size: Option<u64>,
    sha256: Option<String>,
}

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct File {
    name: String,
    contents: String,
}

/// What an archive is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Entries are still missing.
    Packing,
    /// It is complete.
    Ready,
}

/// The handler.
#[derive(Debug)]
pub struct Archive;

#[formwork_guest::resource(schema = "schema.json")]
impl ResourceHandler for Archive {
    type Model = Model;

    fn create(request: &Request, desired: Model, steps: Steps) -> Result<ProgressEvent<Model>> {
        let id = id_from(&request.client_request_token);
        Chain::run(request, desired, steps, |chain| {
            chain.model.archive_id = Some(id.clone());
            chain.call("record", |model| record(&id, model))?;
            let delay = Every::seconds(chain.model.delay.unwrap_or(1));
            chain.wait("packed", delay, |model| pack_next(&id, model))?;
            chain.call("complete", |model| complete(&id, model))
        })
    }

    fn read(_: &Request, identifier: Model) -> Result<Model> {
        load(known_id(&identifier)?)
    }

    fn update(
        request: &Request,
        desired: Model,
        _: Option<Model>,
        steps: Steps,
    ) -> Result<ProgressEvent<Model>> {
        let id = known_id(&desired)?.to_owned();
        Chain::run(request, desired, steps, |chain| {
            chain.call("record", |model| {
                load(&id)?;
                record(&id, model)
            })?;
            let delay = Every::seconds(chain.model.delay.unwrap_or(1));
            chain.wait("packed", delay, |model| pack_next(&id, model))?;
            chain.call("complete", |model| complete(&id, model))
        })
    }

    fn delete(request: &Request, identifier: Model, steps: Steps) -> Result<DeleteEvent<Model>> {
        let id = known_id(&identifier)?.to_owned();
        Chain::run_delete(request, identifier, steps, |chain| {
            chain.call("find", |_| {
                fs::metadata(place(&id, ".json"))
                    .map(drop)
                    .map_err(|_| not_found(&id))
            })?;
            chain.call("remove archive", |_| {
                remove(place(&id, ".part"))?;
                remove(place(&id, ".tar"))
            })?;
            chain.checkpoint("archive removed", "removed the archive, its record is next")?;
            chain.call("remove record", |_| remove(place(&id, ".json")))
        })
    }

    fn list(_: &Request, page: ListRequest) -> Result<Page<Model>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(root())? {
            if let Some(id) = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.strip_prefix('.')?.strip_suffix(".json"))
            {
                ids.push(id.to_owned());
            }
        }
        page.page(ids, |id| match load(id) {
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            model => model.map(Some),
        })
    }
}

/// Makes the same id for the same operation, however often it is invoked.
fn id_from(token: &str) -> String {
    format!("ar-{}", &hex(Sha256::digest(token))[..16])
}

/// Keeps an id to one component of a path, whatever the caller has checked.
fn known_id(model: &Model) -> Result<&str> {
    model
        .archive_id
        .as_deref()
        .filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        .or_fail(
            ErrorCode::InvalidRequest,
            "ArchiveId is missing or no id; it looks like ar-0123456789abcdef",
        )
}

/// Writes down what is to be packed, and begins with an empty archive.
fn record(id: &str, model: &mut Model) -> Result<()> {
    model.delay = model.delay.or(Some(1));
    model.status = Some(Status::Packing);
    model.entries = Some(0);
    model.size = Some(0);
    model.sha256 = None;
    fs::write(place(id, ".json"), serde_json::to_vec(model)?)?;
    Ok(fs::write(place(id, ".part"), "")?)
}

/// Packs the entry after those that the model counts.
fn pack_next(id: &str, model: &mut Model) -> Result<Stability> {
    let files = model.files.as_deref().unwrap_or_default();
    let packed = model.entries.unwrap_or(0);
    let Some(file) = files.get(packed) else {
        return Ok(Stability::Stable);
    };
    let end = append(id, model.size.unwrap_or(0), &tar_entry(file))?;
    let (packed, all) = (packed + 1, files.len());
    log::info!("packed {} into {id}", file.name);
    model.size = Some(end);
    model.entries = Some(packed);
    // The last entry waits too: the archive is ended in an invocation that does
    // nothing else, or a repeat of it would miss the part that was renamed.
    Ok(Stability::Waiting(format!(
        "packed {packed} of {all} entries"
    )))
}

/// Ends the archive and gives it its name.
fn complete(id: &str, model: &mut Model) -> Result<()> {
    let (part, archive) = (place(id, ".part"), place(id, ".tar"));
    // An invocation that was interrupted after the rename finds it done.
    if part.try_exists()? {
        append(id, model.size.unwrap_or(0), &TAR_END)?;
        fs::rename(part, archive)?;
    }
    *model = load(id)?;
    Ok(())
}

/// Writes at `start`, dropping what an interrupted invocation left behind it,
/// and gives the new length.
fn append(id: &str, start: u64, bytes: &[u8]) -> Result<u64> {
    let mut part = fs::File::options().write(true).open(place(id, ".part"))?;
    part.set_len(start)?;
    part.seek(SeekFrom::Start(start))?;
    part.write_all(bytes)?;
    Ok(part.stream_position()?)
}

/// Reads the state of an archive from what there is.
fn load(id: &str) -> Result<Model> {
    let record = match fs::read(place(id, ".json")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found(id)),
        record => record?,
    };
    let mut model: Model = serde_json::from_slice(&record)?;
    let files = model.files.as_deref().unwrap_or_default();
    let part = place(id, ".part");
    if part.try_exists()? {
        let size = fs::metadata(part)?.len();
        let ends = files.iter().scan(0, |end, file| {
            *end += tar_entry(file).len() as u64;
            Some(*end)
        });
        model.entries = Some(ends.take_while(|end| *end <= size).count());
        model.size = Some(size);
    } else {
        let archive = fs::read(place(id, ".tar"))?;
        model.status = Some(Status::Ready);
        model.entries = Some(files.len());
        model.size = Some(archive.len() as u64);
        model.sha256 = Some(hex(Sha256::digest(archive)));
    }
    Ok(model)
}

/// Where the parts of an archive are; all but the archive itself are hidden.
fn place(id: &str, ending: &str) -> PathBuf {
    let dot = if ending == ".tar" { "" } else { "." };
    root().join(format!("{dot}{id}{ending}"))
}

/// The first directory that is granted is the root of a guest's file system.
#[cfg(not(test))]
fn root() -> PathBuf {
    PathBuf::from("/")
}

#[cfg(test)]
use tests::root;

/// Removes a file, if it is there.
fn remove(path: PathBuf) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Two empty blocks end an archive.
const TAR_END: [u8; 2 * TAR_BLOCK] = [0; 2 * TAR_BLOCK];
const TAR_BLOCK: usize = 512;

/// Writes a file as an entry in the POSIX `ustar` format: a header block, then
/// the contents, filled up to whole blocks.
fn tar_entry(file: &File) -> Vec<u8> {
    let mut header = [0; TAR_BLOCK];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &file.name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", file.contents.len()));
    put(136, "00000000000");
    // The checksum counts its own field as blanks.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut entry = header.to_vec();
    entry.extend_from_slice(file.contents.as_bytes());
    entry.resize(entry.len().next_multiple_of(TAR_BLOCK), 0);
    entry
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn not_found(id: &str) -> HandlerError {
    HandlerError::not_found(format!("there is no archive {id}"))
}

#[cfg(test)]
mod tests;
