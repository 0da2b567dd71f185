//! Attacks on what lies outside of a granted directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use formwork_host::sandbox::{Access, DirectoryGrant, Environment, Grants, Quota};
use tempfile::TempDir;

use super::attack::Attack;
use super::scene::Scene;

/// What nobody may read.
const SECRET: &str = "the secret outside";

/// How much may be in a directory that is granted.
const QUOTA: Quota = Quota {
    bytes: 1 << 20,
    files: 40,
};

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::play(
            "path-upwards",
            "to leave its directory by `..`",
            |scene| {
                Box::pin(try_all(
                    scene,
                    true,
                    &[
                        "read ../secret",
                        "read inside/../../secret",
                        "read ./inside/.././../secret",
                        "list ..",
                        "list inside/../..",
                        "stat ../secret",
                        "write ../secret",
                        "write ../new",
                        "truncate ../secret",
                        "make ../new",
                        "remove ../secret",
                        "touch-times ../secret",
                        "rename file ../new",
                        "rename ../secret mine",
                        "hard-link ../secret mine",
                        "hard-link file ../new",
                        "link file ../new",
                        "read-link ../link",
                    ],
                ))
            },
            &[],
            "all refused",
        ),
        Attack::play(
            "absolute-path",
            "to leave its directory by paths from the root",
            |scene| {
                Box::pin(try_all(
                    scene,
                    true,
                    &[
                        "read /etc/hostname",
                        "read //etc/hostname",
                        "list /",
                        "stat /proc/self/environ",
                        "read /proc/self/environ",
                        "write /new",
                        "link /etc/hostname mine",
                        "read mine",
                    ],
                ))
            },
            &[],
            "all refused",
        ),
        Attack::play(
            "planted-link",
            "to leave its directory by symbolic links that lie in it: upwards, absolute, into \
             /proc, by one another",
            |scene| {
                Box::pin(try_all(
                    scene,
                    true,
                    &[
                        "read out",
                        "read up/secret",
                        "read up/granted/../secret",
                        "read absolute",
                        "read twice",
                        "read deep/out",
                        "list up",
                        "list root",
                        "read root/etc/hostname",
                        "read process/environ",
                        "list process/root",
                        "list process/cwd",
                        "stat out",
                        "write out",
                        "write dangling",
                        "truncate out",
                        "make up/new",
                        "remove up/secret",
                        "touch-times out",
                        "rename file up/new",
                        "rename up/secret mine",
                        "hard-link up/secret mine",
                        "read-link absolute",
                    ],
                ))
            },
            &[],
            "all refused",
        ),
        Attack::play(
            "trailing-slash",
            "to leave its directory by links and paths that end in slashes and dots",
            |scene| {
                Box::pin(try_all(
                    scene,
                    true,
                    &[
                        "read out/",
                        "list up/",
                        "list up/.",
                        "list up//",
                        "list root/",
                        "stat up/",
                        "make ../new/",
                        "make up/new/",
                        "rename inside/ ../new/",
                        "rename inside/ up/new/",
                        "remove up/../secret",
                        "write dangling/",
                        "hard-link up/secret/ mine",
                        "link x up/new/",
                    ],
                ))
            },
            &[],
            "all refused",
        ),
        Attack::play(
            "made-link",
            "to make a link that leads out of its directory, or move one so that it does, and follow it",
            |scene| Box::pin(made_link(scene)),
            &[],
            "all refused",
        ),
        Attack::play(
            "link-for-a-grant",
            "to put a link in the place of a directory that another handler is granted",
            |scene| Box::pin(link_for_a_grant(scene)),
            &[],
            "is reached by a link",
        ),
        Attack::play(
            "link-race",
            "to read by a path while another invocation puts a link in its place, 2,000 times",
            |scene| Box::pin(race(scene)),
            &[],
            "found: swapped; found: decoy",
        ),
        Attack::play(
            "read-only",
            "to change a directory that is granted to be read",
            |scene| {
                Box::pin(try_all(
                    scene,
                    false,
                    &[
                        "write file",
                        "write new",
                        "truncate file",
                        "make new",
                        "remove file",
                        "remove inside",
                        "touch-times file",
                        "rename file new",
                        "hard-link file new",
                        "link file new",
                    ],
                ))
            },
            &[],
            "all refused",
        ),
        Attack::play(
            "silent-pipe",
            "to open a pipe that lies in its directory, to which nobody writes, and to set its times",
            |scene| Box::pin(pipe(scene)),
            &[],
            "refused each time: not-permitted",
        ),
        Attack::play(
            "pipe-race",
            "to open a file, and to set its times, while another invocation puts a pipe in its \
             place, 2,000 times",
            |scene| Box::pin(pipe_race(scene)),
            &[],
            "found: swapped; found: decoy; found: swapped; found: now and then",
        ),
        Attack::play(
            "many-files",
            "to have a thousand files open, and as many streams of one",
            |scene| Box::pin(hoard(scene, 64)),
            &[],
            "found: 64 are open, then insufficient-memory; found: 63 are open, then \
             insufficient-memory",
        ),
        Attack::play(
            "all-descriptors",
            "to take all 1,024 file descriptors of the process, where its operator lets it have \
             so many",
            |scene| Box::pin(hoard(scene, 2_000)),
            &[],
            "found: 120 are open, then insufficient-memory; found: all 1000 are open",
        ),
        Attack::play(
            "deep-directories",
            "to make directories in each other that no path reaches, so that nobody can measure them",
            |scene| Box::pin(dig(scene)),
            &[],
            "found: 20 deep; found: written, error: insufficient-space; found: done, written",
        ),
        Attack::play(
            "cut-while-writing",
            "to write more than it may by invocations that are cut off while they write and measure",
            |scene| Box::pin(overfill(scene)),
            &[],
            "never more than 1048576 bytes",
        ),
        Attack::play(
            "endless-measurements",
            "to have its directory measured for each of 200 refusals, while it keeps a removed \
             file open",
            |scene| Box::pin(pester(scene)),
            &[],
            "found: 200 times refused; found: written",
        ),
        Attack::play(
            "flood-of-directories",
            "to make more files than it may, over several invocations",
            |scene| Box::pin(flood(scene)),
            &[],
            "40 of 100 at most: the disk is full",
        ),
        Attack::play(
            "giant-file",
            "to make a file of a terabyte, all of it a hole",
            |scene| Box::pin(try_all(scene, true, &["grow file"])),
            &[],
            "all refused",
        ),
        Attack::guest(
            "no-directory",
            "to find a directory where none is granted",
            &["read /etc/hostname", "list /", "write new"],
            "refused each time: no directory",
        ),
    ]
}

/// A directory that is granted, in one that is not.
struct Place {
    parent: TempDir,
}

impl Place {
    fn new() -> Self {
        let parent = tempfile::tempdir().expect("a directory");
        let at = |path: &str| parent.path().join(path);
        for directory in ["granted", "granted/inside", "granted/deep", "second"] {
            fs::create_dir(at(directory)).expect("a directory");
        }
        for (path, text) in [
            ("secret", SECRET),
            ("granted/file", "file"),
            ("granted/inside/secret", "decoy"),
        ] {
            fs::write(at(path), text).expect("a file");
        }
        let secret = at("secret");
        for (target, path) in [
            (Path::new("../secret"), "granted/out"),
            (Path::new(".."), "granted/up"),
            (&secret, "granted/absolute"),
            (Path::new("out"), "granted/twice"),
            (Path::new("../../secret"), "granted/deep/out"),
            (Path::new("/"), "granted/root"),
            (Path::new("/proc/self"), "granted/process"),
            (Path::new("../new"), "granted/dangling"),
            (Path::new("secret"), "link"),
        ] {
            symlink(target, at(path)).expect("a link");
        }
        Self { parent }
    }

    /// Grants the directory, and a second one.
    fn grant(&self, environment: &mut Environment, writable: bool) {
        let directories = ["granted", "second"].map(|name| DirectoryGrant {
            host_path: self.parent.path().join(name),
            access: if writable {
                Access::ReadWrite(QUOTA)
            } else {
                Access::ReadOnly
            },
        });
        environment.grants = Arc::new(Grants {
            directories: directories.into(),
            ..Grants::default()
        });
    }

    /// Tells what is not as it was outside of the granted directory.
    fn changed(&self) -> Option<String> {
        let mut names: Vec<_> = fs::read_dir(self.parent.path())
            .expect("the directory is there")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort_unstable();
        let secret = fs::read_to_string(self.parent.path().join("secret"));
        let same = names == ["granted", "link", "second", "secret"]
            && secret.as_ref().is_ok_and(|text| text == SECRET);
        (!same).then(|| format!("broken out: {names:?} {secret:?}"))
    }
}

/// Makes each attempt in an invocation of its own, and tells those that are not
/// refused.
async fn try_all(scene: &Scene, writable: bool, attempts: &[&str]) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    place.grant(&mut environment, writable);
    let mut successes = String::new();
    for attempt in attempts {
        let found = scene.attack(&[attempt], &environment).await;
        if !found.starts_with("refused each time: ") {
            successes.push_str(&format!("{attempt} {found}; "));
        }
    }
    if let Some(changed) = place.changed() {
        return format!("{changed}; {successes}");
    }
    if successes.is_empty() {
        "all refused".to_owned()
    } else {
        successes
    }
}

/// Makes links, moves links, and follows them.
async fn made_link(scene: &Scene) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    place.grant(&mut environment, true);
    let mut successes = String::new();
    for (preparation, attempt) in [
        ("link ../secret a", "read a"),
        ("link .. b", "read b/secret"),
        ("link inside/../../secret c", "read c"),
        ("link b/../.. d", "list d"),
        // Harmless where it lies, and not where it is moved to.
        ("link ../secret inside/e", "read inside/e/../../../secret"),
        ("rename deep/out f", "read f"),
        ("move-across out moved", "write ../second/moved"),
        ("hard-link up g", "list g"),
        ("hard-link absolute h", "read h"),
    ] {
        // Whether it can be prepared is not the point.
        scene.attack(&[preparation], &environment).await;
        let found = scene.attack(&[attempt], &environment).await;
        if !found.starts_with("refused each time: ") {
            successes.push_str(&format!("{preparation}, {attempt} {found}; "));
        }
    }
    match (place.changed(), successes.is_empty()) {
        (Some(changed), _) => changed,
        (None, true) => "all refused".to_owned(),
        (None, false) => successes,
    }
}

/// Has one handler put a link in the place of what the next one is granted.
async fn link_for_a_grant(scene: &Scene) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    place.grant(&mut environment, true);
    let inside = place.parent.path().join("granted/inside");
    let mut others = scene.environment();
    others.grants = Arc::new(Grants {
        directories: vec![DirectoryGrant::read_only(inside)],
        ..Grants::default()
    });
    let before = scene.attack(&["read secret"], &others).await;
    let moves = ["rename inside aside", "rename up inside"];
    let moved = scene.attack(&moves, &environment).await;
    if (before.as_str(), moved.as_str()) != ("found: decoy", "found: done") {
        return format!("it cannot be tried: {before}; {moved}");
    }
    scene.attack(&["read secret"], &others).await
}

/// Has one invocation swap a directory for a link, and another one read by it.
async fn race(scene: &Scene) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    place.grant(&mut environment, true);
    let (swapped, found) = tokio::join!(
        scene.attack(&["swap inside up"], &environment),
        scene.attack(&["snatch inside/secret"], &environment)
    );
    place
        .changed()
        .unwrap_or_else(|| format!("{swapped}; {found}"))
}

/// Makes directories in one invocation after the other.
async fn flood(scene: &Scene) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    place.grant(&mut environment, true);
    let mut last = String::new();
    for invocation in 0..10 {
        let attempts: Vec<_> = (0..10)
            .map(|number| format!("make new-{invocation}-{number}"))
            .collect();
        last = scene.attack(&attempts, &environment).await;
    }
    let there = fs::read_dir(place.parent.path().join("granted")).expect("it is there");
    let there = there.count();
    if there <= 40 && last.starts_with("refused each time") {
        "40 of 100 at most: the disk is full".to_owned()
    } else {
        format!("{there} files, and at last {last}")
    }
}

/// Makes a pipe below the granted directory.
fn make_pipe(place: &Place, path: &str) {
    let made = std::process::Command::new("mkfifo")
        .arg(place.parent.path().join("granted").join(path))
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "mkfifo makes a pipe"
    );
}

async fn pipe(scene: &Scene) -> String {
    let place = Place::new();
    make_pipe(&place, "pipe");
    let mut environment = scene.environment();
    environment.limits.mutation_wall = Duration::from_millis(300);
    place.grant(&mut environment, true);
    let attempts = [
        "read pipe",
        "write pipe",
        "truncate pipe",
        "touch-times pipe",
    ];
    scene.attack(&attempts, &environment).await
}

/// Has one invocation swap a directory for one with a pipe, and another one open what
/// is in it.
async fn pipe_race(scene: &Scene) -> String {
    let place = Place::new();
    make_pipe(&place, "deep/secret");
    let mut environment = scene.environment();
    place.grant(&mut environment, true);
    let mut endings = Vec::new();
    for attempt in [["snatch inside/secret"], ["snatch-times inside/secret"]] {
        let (swapped, found) = tokio::join!(
            scene.attack(&["swap inside deep"], &environment),
            scene.attack(&attempt, &environment)
        );
        endings.extend([swapped, found]);
    }
    endings.join("; ")
}

/// Has files opened, and streams of one, as many as may be.
async fn hoard(scene: &Scene, files: usize) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    environment.limits.files = files;
    environment.limits.handles = 2 * files.max(1_000);
    place.grant(&mut environment, false);
    let mut endings = Vec::new();
    for attempt in ["hoard file 1000", "hoard-streams file 1000"] {
        endings.push(scene.attack(&[attempt], &environment).await);
    }
    endings.join("; ")
}

/// Makes a deep directory, fills the one that it is in, and makes room again, each of
/// which has that one measured.
async fn dig(scene: &Scene) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    place.grant(&mut environment, true);
    let fill: Vec<_> = (0..20)
        .map(|number| format!("write new-{number}"))
        .collect();
    let mut endings = vec![scene.attack(&["dig 20"], &environment).await];
    endings.push(scene.attack(&fill, &environment).await);
    let attempts = ["remove new-0", "write new"];
    endings.push(scene.attack(&attempts, &environment).await);
    endings.join("; ")
}

/// Has invocations write without end, which are cut off, and looks for what is there.
async fn overfill(scene: &Scene) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    place.grant(&mut environment, true);
    let mut most = 0;
    // Most are cut off, and the last one is not.
    for wall in (1..40).chain([5_000]) {
        environment.limits.mutation_wall = Duration::from_millis(wall);
        tokio::join!(
            scene.attack(&["overfill one"], &environment),
            scene.attack(&["overfill other"], &environment)
        );
        let entries = fs::read_dir(place.parent.path().join("granted")).expect("it is there");
        let files = entries.filter_map(|entry| entry.ok()?.metadata().ok());
        let files = files.filter(fs::Metadata::is_file);
        most = most.max(files.map(|file| file.len()).sum());
    }
    if most > 0 && most <= QUOTA.bytes {
        format!("never more than {} bytes", QUOTA.bytes)
    } else {
        format!("{most} bytes at most")
    }
}

/// Asks for room over and over, and writes once the removed file is closed.
async fn pester(scene: &Scene) -> String {
    let place = Place::new();
    let mut environment = scene.environment();
    place.grant(&mut environment, true);
    let pestered = scene.attack(&["pester new 200"], &environment).await;
    let wrote = scene.attack(&["write new"], &environment).await;
    format!("{pestered}; {wrote}")
}
