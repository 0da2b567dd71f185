use super::*;

fn sealer(byte: u8) -> Sealer {
    Sealer::new(&SealingKey(Zeroizing::new([byte; 32])))
}

fn place<'a>(table: &'static str, token: &'a [u8; 16], version: u64) -> Place<'a> {
    Place {
        table,
        token,
        version,
    }
}

#[test]
fn a_blob_opens_only_where_it_belongs() {
    let (a, b) = ([1; 16], [2; 16]);
    let sealer = sealer(7);
    let blob = sealer.seal(place("event", &a, 3), b"secret");
    let opened = sealer.open(place("event", &a, 3), &blob);
    assert_eq!(opened.expect("opens").as_slice(), b"secret");
    for elsewhere in [
        place("operation", &a, 3),
        place("event", &b, 3),
        place("event", &a, 4),
    ] {
        let opened = sealer.open(elsewhere, &blob);
        assert_eq!(opened.expect_err("moved"), OpenSealError::Broken);
    }
}

#[test]
fn no_changed_or_shortened_blob_opens() {
    let token = [1; 16];
    let sealer = sealer(7);
    let blob = sealer.seal(place("event", &token, 3), b"secret");
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert!(sealer.open(place("event", &token, 3), &changed).is_err());
        let short = &blob[..at];
        assert!(sealer.open(place("event", &token, 3), short).is_err());
    }
}

#[test]
fn equal_texts_have_unequal_blobs() {
    let token = [1; 16];
    let sealer = sealer(7);
    let first = sealer.seal(place("event", &token, 3), b"secret");
    assert_ne!(first, sealer.seal(place("event", &token, 3), b"secret"));
    assert!(!first.windows(6).any(|window| window == b"secret"));
}

#[test]
fn a_wrong_key_is_named_with_the_right_one() {
    let token = [1; 16];
    let (right, wrong) = (sealer(7), sealer(8));
    let blob = right.seal(place("event", &token, 3), b"secret");
    let error = wrong
        .open(place("event", &token, 3), &blob)
        .expect_err("another key");
    let text = error.to_string();
    assert!(text.contains(&right.id().to_string()), "{text}");
    assert!(text.contains(&wrong.id().to_string()), "{text}");
}

#[test]
fn a_fingerprint_depends_on_the_key() {
    let of = |byte| sealer(byte).fingerprints().of(b"request");
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}

#[test]
fn a_key_file_is_made_once_and_private() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    let made = Sealer::new(&SealingKey::read_or_make(&path, None).expect("made"));
    let again = Sealer::new(&SealingKey::read_or_make(&path, Some(made.id())).expect("read"));
    assert_eq!(made.id(), again.id());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        let metadata = std::fs::metadata(&path).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        for exposed in [0o640, 0o604, 0o644] {
            std::fs::set_permissions(&path, mode(exposed)).expect("set");
            let refused = SealingKey::read_or_make(&path, None).expect_err("refused");
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }
}

#[test]
fn a_key_that_is_missing_short_or_another_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    let refusal = |expected| {
        let refused = SealingKey::read_or_make(&path, expected).expect_err("refused");
        refused.to_string()
    };
    let id = sealer(7).id();
    let text = refusal(Some(id));
    assert!(
        text.contains("missing") && text.contains(&id.to_string()),
        "{text}"
    );
    assert!(!path.exists(), "a lost key is not replaced");

    let made = Sealer::new(&SealingKey::read_or_make(&path, None).expect("made"));
    let text = refusal(Some(id));
    assert!(text.contains(&id.to_string()), "{text}");
    assert!(text.contains(&made.id().to_string()), "{text}");

    std::fs::write(&path, b"short").expect("written");
    assert!(refusal(None).contains("holds 5 bytes"));
}
