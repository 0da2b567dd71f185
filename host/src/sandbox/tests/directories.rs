//! Guests that write into a granted directory, held to its quota.

use std::fs;

use super::*;

/// The code of an error of WASI's files, and of none.
const DONE: i32 = -1;
const TOO_MANY: i32 = 22;
const FULL: i32 = 23;
const NOT_PERMITTED: i32 = 31;
const CROSS_DEVICE: i32 = 36;

const WIT: &str = "package wasi:filesystem@0.2.6;
    interface types {
        use wasi:io/streams@0.2.6.{output-stream, error};
        flags path-flags { symlink-follow }
        flags open-flags { create, directory, exclusive, truncate }
        flags descriptor-flags {
            read, write, file-integrity-sync, data-integrity-sync,
            requested-write-sync, mutate-directory
        }
        enum error-code {
            access, would-block, already, bad-descriptor, busy, deadlock, quota, exist,
            file-too-large, illegal-byte-sequence, in-progress, interrupted, invalid, io,
            is-directory, loop, too-many-links, message-size, name-too-long, no-device,
            no-entry, no-lock, insufficient-memory, insufficient-space, not-directory,
            not-empty, not-recoverable, unsupported, no-tty, no-such-device, overflow,
            not-permitted, pipe, read-only, invalid-seek, text-file-busy, cross-device
        }
        resource descriptor {
            open-at: func(path-flags: path-flags, path: string, open-flags: open-flags,
                %flags: descriptor-flags) -> result<descriptor, error-code>;
            write: func(buffer: list<u8>, offset: u64) -> result<u64, error-code>;
            set-size: func(size: u64) -> result<_, error-code>;
            create-directory-at: func(path: string) -> result<_, error-code>;
            unlink-file-at: func(path: string) -> result<_, error-code>;
            rename-at: func(old: string, new: borrow<descriptor>, path: string)
                -> result<_, error-code>;
            link-at: func(path-flags: path-flags, old: string, new: borrow<descriptor>,
                path: string) -> result<_, error-code>;
            write-via-stream: func(offset: u64) -> result<output-stream, error-code>;
        }
        filesystem-error-code: func(err: borrow<error>) -> option<error-code>;
    }
    interface preopens {
        use types.{descriptor};
        get-directories: func() -> list<tuple<descriptor, string>>;
    }";

const IMPORTS: &str = r#"
    (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $directories (param i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.open-at"
        (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.write"
        (func $write (param i32 i32 i32 i64 i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.set-size"
        (func $set_size (param i32 i64 i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.create-directory-at"
        (func $mkdir (param i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.unlink-file-at"
        (func $unlink (param i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.rename-at"
        (func $rename (param i32 i32 i32 i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.link-at"
        (func $link (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.write-via-stream"
        (func $stream (param i32 i64 i32)))
    (import "wasi:filesystem/types@0.2.6" "[resource-drop]descriptor" (func $close (param i32)))
    (import "wasi:filesystem/types@0.2.6" "filesystem-error-code" (func $code (param i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
        (func $flush (param i32 i32 i32 i32)))"#;

/// `$given N` is the Nth granted directory; the others give an error's code.
const ITEMS: &str = "
    (func $given (param $index i32) (result i32)
        (call $directories (i32.const 900))
        (i32.load (i32.add (i32.load (i32.const 900))
            (i32.mul (local.get $index) (i32.const 12)))))
    (func $done (result i32)
        (if (result i32) (i32.load8_u (i32.const 912))
            (then (i32.load8_u (i32.const 913))) (else (i32.const -1))))
    (func $opened (param $path i32) (result i32)
        (call $open (call $given (i32.const 0)) (i32.const 1)
            (local.get $path) (i32.const 1) (i32.const 1) (i32.const 3) (i32.const 912))
        (if (i32.load8_u (i32.const 912)) (then unreachable))
        (i32.load (i32.const 916)))
    (func $made (param $path i32) (result i32)
        (call $open (call $given (i32.const 0)) (i32.const 1)
            (local.get $path) (i32.const 1) (i32.const 1) (i32.const 3) (i32.const 912))
        (if (result i32) (i32.load8_u (i32.const 912))
            (then (i32.load8_u (i32.const 916))) (else (i32.const -1))))
    (func $closed (param $path i32) (result i32)
        (call $close (call $opened (local.get $path)))
        (i32.const -1))
    (func $wrote (param $path i32) (param $length i32) (param $offset i64) (result i32)
        (call $write (call $opened (local.get $path)) (i32.const 0) (local.get $length)
            (local.get $offset) (i32.const 912))
        (if (result i32) (i32.load8_u (i32.const 912))
            (then (i32.load8_u (i32.const 920))) (else (i32.const -1))))
    (func $streamed (param $path i32) (param $length i32) (param $offset i64) (result i32)
        (call $stream (call $opened (local.get $path)) (local.get $offset) (i32.const 912))
        (if (i32.load8_u (i32.const 912)) (then unreachable))
        (call $flush (i32.load (i32.const 916)) (i32.const 0) (local.get $length)
            (i32.const 912))
        (if (i32.eqz (i32.load8_u (i32.const 912))) (then (return (i32.const -1))))
        (call $code (i32.load (i32.const 920)) (i32.const 928))
        (i32.load8_u (i32.const 929)))
    (func $sized (param $path i32) (param $size i64) (result i32)
        (call $set_size (call $opened (local.get $path)) (local.get $size) (i32.const 912))
        (call $done))
    (func $directory (param $path i32) (result i32)
        (call $mkdir (call $given (i32.const 0)) (local.get $path) (i32.const 1)
            (i32.const 912))
        (call $done))
    (func $removed (param $path i32) (result i32)
        (call $unlink (call $given (i32.const 0)) (local.get $path) (i32.const 1)
            (i32.const 912))
        (call $done))
    (func $linked (param $old i32) (param $new i32) (param $to i32) (result i32)
        (call $link (call $given (i32.const 0)) (i32.const 0) (local.get $old) (i32.const 1)
            (call $given (local.get $to)) (local.get $new) (i32.const 1) (i32.const 912))
        (call $done))
    (func $moved (param $old i32) (param $new i32) (param $to i32) (result i32)
        (call $rename (call $given (i32.const 0)) (local.get $old) (i32.const 1)
            (call $given (local.get $to)) (local.get $new) (i32.const 1) (i32.const 912))
        (call $done))
    (func $expect (param $number i32) (param $code i32) (param $expected i32)
        (if (i32.ne (local.get $code) (local.get $expected)) (then
            ;; Which step it was can be read from what is printed of a trap.
            (i32.store (i32.const -4) (local.get $number)))))";

/// Gives a guest whose create takes the steps, each a call with the code that it
/// has to give, and panics at the first that gives another. Names are letters.
fn steps(steps: &[(&str, i32)]) -> Guest {
    let mut guest = Guest::new()
        .imports(
            "package wasi:io@0.2.6;
             interface error { resource error; }
             interface streams {
                use error.{error};
                variant stream-error { last-operation-failed(error), closed }
                resource output-stream {
                    blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                }
             }",
            "",
            "",
        )
        .imports(WIT, "import wasi:filesystem/preopens@0.2.6;", IMPORTS)
        .items(ITEMS)
        .succeeds("{}");
    let (names, _) = guest.text("abcdefgh");
    let mut code = String::new();
    for (number, (call, expected)) in steps.iter().enumerate() {
        let words = call.split_whitespace().map(|word| match word.as_bytes() {
            [letter @ b'a'..=b'h'] => {
                format!("(i32.const {})", names + usize::from(letter - b'a'))
            }
            _ if word.starts_with('$') => word.to_owned(),
            _ if word.ends_with('L') => format!("(i64.const {})", word.trim_end_matches('L')),
            _ => format!("(i32.const {word})"),
        });
        let call = words.collect::<Vec<_>>().join(" ");
        code.push_str(&format!(
            "(call $expect (i32.const {number}) (call {call}) (i32.const {expected}))"
        ));
    }
    code.push_str(" i32.const 64");
    guest.create(code)
}

fn within(directories: &[(&Path, Quota)]) -> Environment {
    let mut environment = environment();
    environment.grants = Arc::new(Grants {
        directories: directories
            .iter()
            .map(|(path, quota)| DirectoryGrant {
                host_path: path.to_path_buf(),
                access: Access::ReadWrite(*quota),
            })
            .collect(),
        ..Grants::default()
    });
    environment
}

async fn succeeds(guest: Guest, environment: &Environment) {
    let handler = load(guest).await;
    assert_eq!(model(&handler, create("{}"), environment).await, "{}");
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").len()
}

const QUOTA: Quota = Quota {
    bytes: 100,
    files: 3,
};

#[tokio::test]
async fn a_directory_takes_as_many_bytes_as_its_quota_says_whatever_writes_them() {
    let place = tempfile::tempdir().expect("a directory");
    let environment = within(&[(place.path(), QUOTA)]);
    let guest = steps(&[
        ("$wrote a 60 0L", DONE),
        ("$streamed a 40 60L", DONE),
        ("$streamed a 1 100L", FULL),
        ("$wrote a 1 100L", FULL),
        ("$wrote a 1 1000000000000L", FULL),
        ("$sized a 1000000000000L", FULL),
        ("$wrote a 100 0L", DONE),
        ("$sized a 50L", DONE),
        ("$streamed b 50 0L", DONE),
        ("$streamed b 60 0L", FULL),
    ]);
    succeeds(guest, &environment).await;
    assert_eq!(
        (size(&place.path().join("a")), size(&place.path().join("b"))),
        (50, 50)
    );
}

#[tokio::test]
async fn what_earlier_invocations_and_others_put_there_counts() {
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("h"), [0; 30]).expect("a file");
    let environment = within(&[(place.path(), QUOTA)]);
    succeeds(steps(&[("$wrote a 70 0L", DONE)]), &environment).await;
    succeeds(
        steps(&[
            ("$wrote a 71 0L", FULL),
            ("$removed h", DONE),
            ("$wrote a 71 0L", DONE),
        ]),
        &environment,
    )
    .await;
}

#[tokio::test]
async fn a_directory_takes_as_many_files_as_its_quota_says() {
    let place = tempfile::tempdir().expect("a directory");
    let environment = within(&[(place.path(), QUOTA)]);
    let guest = steps(&[
        ("$made a", DONE),
        ("$made a", DONE),
        ("$directory b", DONE),
        ("$linked a c 0", DONE),
        ("$directory d", FULL),
        ("$made d", FULL),
        ("$linked a d 0", FULL),
        ("$moved c a 0", DONE),
        ("$removed c", DONE),
        ("$made d", DONE),
        ("$made e", FULL),
    ]);
    succeeds(guest, &environment).await;
}

#[tokio::test]
async fn a_guest_has_as_many_files_open_as_its_limit_says_with_their_streams() {
    let place = tempfile::tempdir().expect("a directory");
    let mut environment = within(&[(place.path(), QUOTA)]);
    environment.limits.files = 3;
    // Each of these keeps what it has opened.
    let many = steps(&[
        ("$made a", DONE),
        ("$closed a", DONE),
        ("$made a", DONE),
        ("$closed a", DONE),
        ("$made a", DONE),
        ("$made a", TOO_MANY),
        ("$removed a", DONE),
    ]);
    succeeds(many, &environment).await;
    let streams = steps(&[
        ("$made a", DONE),
        ("$streamed a 1 0L", DONE),
        ("$made a", TOO_MANY),
    ]);
    succeeds(streams, &environment).await;
}

#[tokio::test]
async fn a_file_that_is_removed_and_open_still_counts() {
    let place = tempfile::tempdir().expect("a directory");
    let environment = within(&[(place.path(), QUOTA)]);
    // Each of these keeps the file that it has opened.
    let guest = steps(&[
        ("$wrote a 100 0L", DONE),
        ("$removed a", DONE),
        ("$wrote b 1 0L", FULL),
    ]);
    succeeds(guest, &environment).await;
    succeeds(steps(&[("$wrote b 100 0L", DONE)]), &environment).await;
}

#[tokio::test]
async fn nothing_is_removed_while_a_directory_is_measured() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("a");
    fs::write(&path, [0; 10]).expect("a file");
    let mut environment = within(&[(place.path(), QUOTA)]);
    environment.limits.mutation_wall = Duration::from_millis(200);
    let handler = load(steps(&[("$removed a", DONE)])).await;
    let measuring = SANDBOX.0.ledgers.of(place.path()).alone().await;
    let outcome = handler.mutate(create("{}"), &environment).await;
    let Ok(Outcome::Trapped(trap)) = outcome else {
        panic!("it does not wait: {outcome:?}");
    };
    assert_eq!((trap.kind, path.exists()), (TrapKind::Wall, true));
    drop(measuring);
    assert_eq!(model(&handler, create("{}"), &environment).await, "{}");
    assert!(!path.exists());
}

#[tokio::test]
async fn nothing_is_moved_past_a_quota_into_another_directory() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let environment = within(&[(one.path(), Quota::default()), (other.path(), QUOTA)]);
    let guest = steps(&[
        ("$wrote a 1000 0L", DONE),
        ("$moved a a 1", CROSS_DEVICE),
        ("$linked a a 1", CROSS_DEVICE),
        // The first directory is the root as well, which comes last.
        ("$moved a b 2", DONE),
    ]);
    succeeds(guest, &environment).await;
}

#[tokio::test]
async fn a_pipe_is_not_opened_since_that_could_wait_for_ever() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("a");
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
    let environment = within(&[(place.path(), QUOTA)]);
    succeeds(
        steps(&[("$made a", NOT_PERMITTED), ("$made b", DONE)]),
        &environment,
    )
    .await;
}
