//! Attacks on directories. They speak `wasi:filesystem` itself, so that no library
//! straightens a path before the host sees it. Paths are those of the first
//! directory that is granted.
//!
//! `read PATH`, `read-link PATH`, `list PATH`, `stat PATH`, `write PATH`,
//! `truncate PATH`, `grow PATH`, `make PATH`, `remove PATH`, `touch-times PATH`,
//! `link TARGET PATH` (symbolic), `hard-link PATH PATH`, `rename PATH PATH`,
//! `move-across PATH PATH` (into the second directory), `swap PATH PATH`,
//! `snatch PATH` and `snatch-times PATH` (over and over), `hoard PATH N` and
//! `hoard-streams PATH N` (open files and streams of one, kept), `dig DEPTH` (directories
//! in each other, with long names), `overfill PATH` (for ever) and `pester PATH N`
//! (growth that is refused while a removed file is open).

use std::collections::BTreeSet;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

type Found = Result<String, ErrorCode>;

/// How often `swap` and `snatch` try.
const TRIES: usize = 2_000;

/// How much is read of a file.
const READ: u64 = 4096;

const FOLLOW: PathFlags = PathFlags::SYMLINK_FOLLOW;

pub(crate) fn attack(verb: &str, argument: &str) -> Option<String> {
    let act: fn(&Descriptor, &str, &str) -> Found = match verb {
        "read" => |root, path, _| read(root, path),
        "read-link" => |root, path, _| root.readlink_at(path),
        "list" => |root, path, _| list(root, path),
        "stat" => |root, path, _| Ok(format!("{} bytes", root.stat_at(FOLLOW, path)?.size)),
        "write" => |root, path, _| write(root, path),
        "truncate" => |root, path, _| {
            let file = open(root, path, OpenFlags::TRUNCATE, DescriptorFlags::WRITE)?;
            file.set_size(0).map(|()| "truncated".to_owned())
        },
        "grow" => |root, path, _| {
            let file = open(root, path, OpenFlags::empty(), DescriptorFlags::WRITE)?;
            done(file.set_size(1 << 40))
        },
        "make" => |root, path, _| done(root.create_directory_at(path)),
        "remove" => |root, path, _| {
            done(
                root.unlink_file_at(path)
                    .or_else(|_| root.remove_directory_at(path)),
            )
        },
        "touch-times" => |root, path, _| {
            done(root.set_times_at(FOLLOW, path, NewTimestamp::Now, NewTimestamp::Now))
        },
        "link" => |root, target, path| done(root.symlink_at(target, path)),
        "hard-link" => |root, old, new| done(root.link_at(PathFlags::empty(), old, root, new)),
        "rename" => |root, old, new| done(root.rename_at(old, root, new)),
        "move-across" => |root, old, new| {
            let directories = get_directories();
            let (second, _) = directories.get(1).ok_or(ErrorCode::NoEntry)?;
            done(root.rename_at(old, second, new))
        },
        "swap" => swap,
        "snatch" => |root, path, _| snatch(root, path),
        "snatch-times" => |root, path, _| snatch_times(root, path),
        "hoard" => |root, path, number| {
            hoard(number, || {
                open(root, path, OpenFlags::empty(), DescriptorFlags::READ)
            })
        },
        "hoard-streams" => |root, path, number| {
            let file = open(root, path, OpenFlags::empty(), DescriptorFlags::READ)?;
            hoard(number, || file.read_via_stream(0))
        },
        "dig" => |root, depth, _| dig(root, depth),
        "overfill" => |root, path, _| overfill(root, path),
        "pester" => pester,
        _ => return None,
    };
    let (first, second) = argument.split_once(' ').unwrap_or((argument, ""));
    let directories = get_directories();
    let Some((root, _)) = directories.first() else {
        return Some("error: no directory".to_owned());
    };
    Some(act(root, first, second).unwrap_or_else(|error| format!("error: {}", error.name())))
}

fn done(outcome: Result<(), ErrorCode>) -> Found {
    outcome.map(|()| "done".to_owned())
}

fn open(
    root: &Descriptor,
    path: &str,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, ErrorCode> {
    root.open_at(FOLLOW, path, how, flags)
}

fn read(root: &Descriptor, path: &str) -> Found {
    let file = open(root, path, OpenFlags::empty(), DescriptorFlags::READ)?;
    let (bytes, _) = file.read(READ, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(root: &Descriptor, path: &str) -> Found {
    let file = open(root, path, OpenFlags::CREATE, DescriptorFlags::WRITE)?;
    file.write(b"broken in", 0).map(|_| "written".to_owned())
}

fn list(root: &Descriptor, path: &str) -> Found {
    let directory = open(root, path, OpenFlags::DIRECTORY, DescriptorFlags::READ)?;
    let entries = directory.read_directory()?;
    let mut names = Vec::new();
    while let Some(entry) = entries.read_directory_entry()? {
        names.push(entry.name);
    }
    names.sort_unstable();
    Ok(names.join(" "))
}

/// Puts a directory and a link that leads out of the root in each other's place.
fn swap(root: &Descriptor, path: &str, link: &str) -> Found {
    for _ in 0..TRIES {
        root.rename_at(path, root, "aside")?;
        root.rename_at(link, root, path)?;
        root.rename_at(path, root, link)?;
        root.rename_at("aside", root, path)?;
    }
    Ok("swapped".to_owned())
}

/// Reads a path over and over, and gives all the texts that it ever had.
fn snatch(root: &Descriptor, path: &str) -> Found {
    let seen: BTreeSet<String> = (0..TRIES).filter_map(|_| read(root, path).ok()).collect();
    Ok(seen.into_iter().collect::<Vec<_>>().join(" and "))
}

/// Sets the times of a path over and over, and tells how often that could be done.
fn snatch_times(root: &Descriptor, path: &str) -> Found {
    let set = |_: &usize| {
        root.set_times_at(FOLLOW, path, NewTimestamp::Now, NewTimestamp::Now)
            .is_ok()
    };
    match (0..TRIES).filter(set).count() {
        0 => Ok("never".to_owned()),
        _ => Ok("now and then".to_owned()),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

/// Takes so many, and keeps those that it gets.
fn hoard<T>(wanted: &str, take: impl Fn() -> Result<T, ErrorCode>) -> Found {
    let mut kept = Vec::new();
    for _ in 0..number(wanted) {
        match take() {
            Ok(one) => kept.push(one),
            Err(error) => return Ok(format!("{} are open, then {}", kept.len(), error.name())),
        }
    }
    Ok(format!("all {} are open", kept.len()))
}

/// Makes directories in each other, whose path is longer than any that can be opened.
fn dig(root: &Descriptor, depth: &str) -> Found {
    let name = "d".repeat(250);
    let mut below: Option<Descriptor> = None;
    for _ in 0..number(depth) {
        let here = below.as_ref().unwrap_or(root);
        here.create_directory_at(&name)?;
        let both = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
        below = Some(here.open_at(FOLLOW, &name, OpenFlags::DIRECTORY, both)?);
    }
    Ok(format!("{depth} deep"))
}

/// Appends to a file until it is refused, removes it, and begins again.
fn overfill(root: &Descriptor, path: &str) -> Found {
    const PIECE: usize = 4096;
    loop {
        let file = open(root, path, OpenFlags::CREATE, DescriptorFlags::WRITE)?;
        let stream = file.append_via_stream()?;
        while stream.blocking_write_and_flush(&[b'x'; PIECE]).is_ok() {}
        drop(stream);
        // Another one may have removed it.
        let _removed = root.unlink_file_at(path);
    }
}

/// Keeps a file open that it has removed, and asks for room that there is not.
fn pester(root: &Descriptor, path: &str, times: &str) -> Found {
    let file = open(root, path, OpenFlags::CREATE, DescriptorFlags::WRITE)?;
    file.set_size(1 << 19)?;
    root.unlink_file_at(path)?;
    let refused = (0..number(times)).filter(|_| file.set_size(1 << 30).is_err());
    Ok(format!("{} times refused", refused.count()))
}
