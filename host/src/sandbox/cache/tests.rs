//! The cache against a real directory and a real engine.

use std::os::unix::fs::PermissionsExt;

use super::*;

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
    let cache = Cache::open(&directory.path().join("a/b"), &engine).expect("a cache");
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
    let cache = Cache::open(directory.path(), &one).expect("a cache");
    let digest = Digest::of(b"component");
    cache.put(digest, &code(&one));
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let other = Engine::new(&config).expect("an engine");
    let cache = Cache::open(directory.path(), &other).expect("a cache");
    assert!(cache.get(&other, digest).is_none());
}

#[test]
fn the_directory_is_made_private_and_a_shared_one_is_refused() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("cache");
    let engine = engine();
    Cache::open(&directory, &engine).expect("a cache");
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("a directory")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&directory), 0o700);

    fs::set_permissions(&directory, fs::Permissions::from_mode(0o770)).expect("permissions");
    let refusal = Cache::open(&directory, &engine)
        .map(drop)
        .expect_err("others may write");
    assert!(
        matches!(refusal, SandboxError::CacheUnsafe { .. }),
        "{refusal:?}"
    );
    assert!(refusal.to_string().contains("chmod go-w"), "{refusal}");
}
