//! The components that `make guests` builds.

use std::path::PathBuf;
use std::sync::Arc;

/// Reads a component of `target/guests`.
///
/// # Panics
///
/// When it has not been built: a test without its guest must not pass.
#[must_use]
pub fn component(name: &str) -> Arc<[u8]> {
    let path = path(name);
    match std::fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!(
            "cannot read {} ({error}); build it with `make guests`",
            path.display()
        ),
    }
}

/// Reads a component as another version of itself: with a custom section at its
/// end.
///
/// # Panics
///
/// As [`component`].
#[must_use]
pub fn another_version(name: &str) -> Arc<[u8]> {
    let mut component = component(name).to_vec();
    component.extend_from_slice(&[0, 5, 4, b'n', b'o', b't', b'e']);
    component.into()
}

/// Gives the place of a component.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests"))
        .join(format!("{name}.wasm"))
}
