//! The granted directories, opened for one invocation.
//!
//! *Invariant*: what is opened lies at the very path that was granted. No link is
//! followed on the way, so whoever can write beside a directory, as a guest with
//! another grant may, does not decide which one is opened.
//!
//! *Invariant*: no directory is opened that contains, is or lies below the cache
//! directory, whose files are run as machine code.
//!
//! *Invariant*: none is opened to be written that contains another one of the same
//! guest, which would be counted by the quota of neither or both.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Access, DirectoryGrant, SandboxError};

/// A granted directory, and where the guest sees it.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    pub(super) grant: &'a DirectoryGrant,
    /// Its path from the root, without links, `.` and `..`.
    pub(super) real: PathBuf,
    pub(super) directory: File,
    pub(super) guest_path: String,
}

/// Opens what is granted, each as the guest's `/NAME`.
///
/// # Errors
///
/// When a directory is not there, is reached by a link, overlaps `cache` or another
/// one, or would share a path.
pub(super) fn mounts<'a>(
    grants: &'a [DirectoryGrant],
    cache: Option<&Path>,
) -> Result<Vec<Mount<'a>>, SandboxError> {
    let mut taken = BTreeSet::new();
    let mut mounts: Vec<Mount<'a>> = Vec::new();
    for grant in grants {
        let path = &grant.host_path;
        let name = path
            .file_name()
            .and_then(OsStr::to_str)
            .ok_or_else(|| SandboxError::DirectoryName { path: path.clone() })?;
        if !taken.insert(name) {
            return Err(SandboxError::DirectoryTwice {
                path: path.clone(),
                name: name.to_owned(),
            });
        }
        let (real, directory) = open(path)?;
        if let Some(cache) = cache
            && (real.starts_with(cache) || cache.starts_with(&real))
        {
            return Err(SandboxError::DirectoryCache {
                path: path.clone(),
                cache: cache.to_owned(),
            });
        }
        for other in &mounts {
            for (outer, outer_real, inner, inner_real) in [
                (other.grant, &other.real, grant, &real),
                (grant, &real, other.grant, &other.real),
            ] {
                if outer.access != Access::ReadOnly && inner_real.starts_with(outer_real) {
                    return Err(SandboxError::DirectoryWithin {
                        path: inner.host_path.clone(),
                        outer: outer.host_path.clone(),
                    });
                }
            }
        }
        mounts.push(Mount {
            grant,
            real,
            directory,
            guest_path: format!("/{name}"),
        });
    }
    Ok(mounts)
}

/// Opens a directory, and gives its real path.
fn open(path: &Path) -> Result<(PathBuf, File), SandboxError> {
    let absolute = std::path::absolute(path).map_err(|source| failed(path, source))?;
    let directory =
        open_without_links(&absolute).map_err(|source| match absolute.canonicalize() {
            Ok(real) if real != without_dots(&absolute) => SandboxError::DirectoryLink {
                path: path.to_owned(),
                real,
            },
            Ok(_) | Err(_) => failed(path, source),
        })?;
    Ok((without_dots(&absolute), directory))
}

fn failed(path: &Path, source: io::Error) -> SandboxError {
    SandboxError::Directory {
        path: path.to_owned(),
        source: source.into(),
    }
}

/// Takes `..` out of a path from the root that has no links.
fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut real, part| {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
        real
    })
}

/// Opens each directory on the way from the one above it, so that nothing can be
/// put in its place meanwhile.
#[cfg(unix)]
pub(super) fn open_without_links(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open, openat};

    // What is opened like that can be opened from, and no more, as the library does.
    #[cfg(any(target_os = "android", target_os = "freebsd", target_os = "linux"))]
    const PLACE: OFlags = OFlags::PATH;
    #[cfg(not(any(target_os = "android", target_os = "freebsd", target_os = "linux")))]
    const PLACE: OFlags = OFlags::RDONLY;

    let flags = PLACE | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory = open("/", flags, Mode::empty())?;
    for part in path.components() {
        match part {
            Component::Normal(_) | Component::ParentDir => {
                directory = openat(&directory, part.as_os_str(), flags, Mode::empty())?;
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    Ok(directory.into())
}

/// Elsewhere what is opened is compared with what was granted before alone.
#[cfg(not(unix))]
fn open_without_links(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    /// Makes the directories, and grants them.
    fn grants(base: &Path, names: &[&str]) -> Vec<DirectoryGrant> {
        let grant = |name: &&str| {
            fs::create_dir_all(base.join(name)).expect("a directory");
            DirectoryGrant::read_only(base.join(name))
        };
        names.iter().map(grant).collect()
    }

    #[test]
    fn each_directory_is_under_its_name() {
        let base = tempfile::tempdir().expect("a directory");
        let grants = grants(base.path(), &["data", "more/cache"]);
        let paths: Vec<_> = mounts(&grants, None)
            .expect("mounts")
            .into_iter()
            .map(|mount| {
                let opened = mount.directory.metadata().expect("it is open").ino();
                let granted = fs::metadata(&mount.grant.host_path).expect("it is there");
                assert_eq!(opened, granted.ino());
                mount.guest_path
            })
            .collect();
        assert_eq!(paths, ["/data", "/cache"]);
    }

    #[test]
    fn directories_that_would_share_a_path_are_refused() {
        let base = tempfile::tempdir().expect("a directory");
        let root = DirectoryGrant::read_only("/");
        for grants in [grants(base.path(), &["a/x", "b/x"]), vec![root]] {
            assert!(mounts(&grants, None).is_err(), "{grants:?}");
        }
    }

    #[test]
    fn a_directory_that_a_link_was_put_in_the_place_of_is_not_opened() {
        let base = tempfile::tempdir().expect("a directory");
        let place = |name: &str| base.path().join(name);
        let granted = grants(base.path(), &["work/in/x"]);
        mounts(&granted, None).expect("it is there");
        fs::create_dir_all(place("data/x")).expect("a directory");
        for name in ["work/in/x", "work/in"] {
            fs::rename(place(name), place(&format!("{name}-aside"))).expect("it is there");
            symlink(place("data"), place(name)).expect("a link");
            let refusal = mounts(&granted, None).expect_err("a link").to_string();
            let real = granted[0].host_path.canonicalize().expect("it leads there");
            for path in [&granted[0].host_path, &real] {
                let named = format!("`{}`", path.display());
                assert!(refusal.contains(&named), "{refusal}");
            }
            fs::remove_file(place(name)).expect("a link");
            fs::rename(place(&format!("{name}-aside")), place(name)).expect("it is there");
        }
        let dots = DirectoryGrant::read_only(place("data/../work/in/x"));
        let opened = mounts(std::slice::from_ref(&dots), None).expect("no link");
        assert_eq!(opened[0].real, place("work/in/x"));
    }

    #[test]
    fn one_directory_in_another_that_may_be_written_is_refused() {
        let base = tempfile::tempdir().expect("a directory");
        grants(base.path(), &["work/x", "work-not"]);
        let at = |name: &str| base.path().join(name);
        let (read, write) = (DirectoryGrant::read_only, DirectoryGrant::read_write);
        for (grants, refused) in [
            ([write(at("work")), read(at("work/x"))], true),
            ([write(at("work/x")), write(at("work"))], true),
            ([read(at("work")), write(at("work/x"))], false),
            ([read(at("work/x")), read(at("work"))], false),
            ([write(at("work")), write(at("work-not"))], false),
        ] {
            match mounts(&grants, None) {
                Ok(_) => assert!(!refused, "{grants:?}"),
                Err(refusal) => {
                    let words = refusal.to_string();
                    assert!(refused && words.contains("may write"), "{words}");
                }
            }
        }
    }

    #[test]
    fn a_directory_that_overlaps_the_cache_is_refused() {
        let base = tempfile::tempdir().expect("a directory");
        let cache = base.path().join("home/cache");
        let all = grants(
            base.path(),
            &[
                "home",
                "home/cache",
                "home/cache/deeper",
                "home/cache-not",
                "data",
            ],
        );
        let cache = cache.canonicalize().expect("the cache");
        for grant in &all[..3] {
            let refusal = mounts(std::slice::from_ref(grant), Some(&cache)).expect_err("overlap");
            let words = refusal.to_string();
            for path in [&grant.host_path, &cache] {
                assert!(words.contains(&format!("`{}`", path.display())), "{words}");
            }
        }
        for grant in &all[3..] {
            mounts(std::slice::from_ref(grant), Some(&cache)).expect("apart from the cache");
        }
    }
}
