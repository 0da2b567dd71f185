//! The cache against a real directory and a real engine.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

const MOST: usize = 1 << 30;

fn engine() -> Engine {
    Engine::default()
}

fn code(engine: &Engine) -> Vec<u8> {
    engine
        .precompile_component(b"\0asm\x0d\0\x01\0")
        .expect("a component")
}

#[test]
fn what_was_put_is_got_and_what_is_damaged_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine();
    let cache = Cache::open(&directory.path().join("a/b"), &engine, MOST).expect("a cache");
    let digest = Digest::of(b"component");
    assert!(cache.get(&engine, digest).is_none());
    cache.put(digest, &code(&engine));
    assert!(cache.get(&engine, digest).is_some());

    let path = cache.artefact(digest);
    let mut bytes = fs::read(&path).expect("the artefact");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    write(&path, &bytes).expect("the damage");
    assert!(cache.get(&engine, digest).is_none());
    write(&path, &bytes[..middle]).expect("the damage");
    assert!(cache.get(&engine, digest).is_none());

    cache.put(digest, &code(&engine));
    assert!(cache.get(&engine, digest).is_some());
}

#[test]
fn an_artefact_of_other_settings_is_not_used() {
    let directory = tempfile::tempdir().expect("a directory");
    let one = engine();
    let cache = Cache::open(directory.path(), &one, MOST).expect("a cache");
    let digest = Digest::of(b"component");
    cache.put(digest, &code(&one));
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let other = Engine::new(&config).expect("an engine");
    let cache = Cache::open(directory.path(), &other, MOST).expect("a cache");
    assert!(cache.get(&other, digest).is_none());
}

#[test]
fn the_directory_is_made_private_and_a_shared_one_is_refused() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("cache");
    let engine = engine();
    Cache::open(&directory, &engine, MOST).expect("a cache");
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("a directory")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&directory), 0o700);

    fs::set_permissions(&directory, fs::Permissions::from_mode(0o770)).expect("permissions");
    let refusal = Cache::open(&directory, &engine, MOST)
        .map(drop)
        .expect_err("others may write");
    assert!(
        matches!(refusal, SandboxError::CacheUnsafe { .. }),
        "{refusal:?}"
    );
    assert!(refusal.to_string().contains("chmod go-w"), "{refusal}");
}

#[test]
fn what_was_not_used_for_the_longest_time_makes_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine();
    let code = code(&engine);
    let three = 3 * (code.len() + 64);
    let cache = Cache::open(directory.path(), &engine, three).expect("a cache");
    let [first, second, third, fourth] =
        [b"1", b"2", b"3", b"4"].map(|component| Digest::of(component));
    let is_kept = |cache: &Cache, digest| cache.artefact(digest).exists();
    // Used an hour apart, the last one hours ago.
    for (digest, hour) in [(first, 1), (second, 2), (third, 3)] {
        cache.put(digest, &code);
        let path = cache.artefact(digest);
        for path in [digest_path(&path), path] {
            let file = File::open(path).expect("it is there");
            let used = UNIX_EPOCH + Duration::from_secs(hour * 3600);
            file.set_modified(used).expect("it is ours");
        }
    }
    fs::write(directory.path().join("notes.txt"), vec![0; three]).expect("a file");
    assert!(cache.get(&engine, first).is_some());

    cache.put(fourth, &code);
    let kept = [first, second, third, fourth].map(|digest| is_kept(&cache, digest));
    assert_eq!(kept, [true, false, true, true]);
    assert!(cache.get(&engine, second).is_none());
    assert!(cache.get(&engine, third).is_some());

    // Less is kept where the limit is lower, and nothing that is more by itself.
    let cache = Cache::open(directory.path(), &engine, code.len() + 64).expect("a cache");
    let kept = [first, third, fourth].map(|digest| is_kept(&cache, digest));
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 1);
    let cache = Cache::open(directory.path(), &engine, code.len() - 1).expect("a cache");
    cache.put(first, &code);
    assert!(!is_kept(&cache, first));
    assert!(directory.path().join("notes.txt").exists());
}
