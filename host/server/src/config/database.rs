//! The table `[database]`: what it takes to use the database that `data` names.

use std::path::Path;

use formwork_host::store::SealingKey;

use super::Outside;
use super::key::{Names, secret};
use super::table::Section;
use crate::data::Data;

const KEY: Names = Names {
    here: "key",
    file: "key_file",
    environment: "key_environment",
};

const PASSWORD: Names = Names {
    here: "password",
    file: "password_file",
    environment: "password_environment",
};

/// Reads the table, if it is there, into what `data` says.
pub(super) fn database(
    root: &mut Section<'_, '_>,
    folder: &Path,
    outside: &Outside<'_>,
    data: &mut Option<Data>,
) {
    let read = root.table("database", |section| {
        let (key, _) = secret(section, &KEY, folder, outside);
        if let Some(key) = &key
            && let Err(error) = SealingKey::parse(key.0.as_bytes())
        {
            section.wrong(format_args!("`key`: {error}"));
        }
        let (password, _) = secret(section, &PASSWORD, folder, outside);
        (key, password)
    });
    let Some((key, password)) = read else { return };
    match data {
        Some(Data::Database(place)) => {
            place.key = key;
            place.password = password;
        }
        Some(Data::Directory(_)) | None => root.wrong(
            "`database` is for a database, and `data` names none: give `data = \"postgres://...\"`",
        ),
    }
}
