//! Which grants of what the host puts on requests are none.

use super::*;

#[test]
fn grants_that_would_give_a_secret_away_are_refused() {
    let pattern = |text: &str| -> HttpPattern { text.parse().expect(text) };
    let secret = |requests, value| SecretGrant::new(pattern(requests), "X-Api-Key", value);
    for (requests, value) in [
        ("https://*", "a"),
        ("https://*.example.com", "a"),
        ("https://api.example.com:*", "a"),
        ("http://api.example.com", "a"),
        ("https://api.example.com", "a\nb: c"),
    ] {
        assert!(secret(requests, value).is_err(), "{requests} {value:?}");
    }
    let granted = secret("https://api.example.com", "s3cr3t").expect("a grant");
    assert!(!format!("{granted:?}").contains("s3cr3t"));
    for field in ["Host", "Connection", "Content-Length", "", "a b"] {
        let refused = SecretGrant::new(pattern("https://a.example"), field, "a");
        assert!(refused.is_err(), "{field}");
    }
    let sources = || vec![SigningSource::Caller];
    for (requests, service) in [
        ("https://*", "s3"),
        ("https://a.example", "S3"),
        ("http://*.a.example", "s3"),
        ("http://a.example:*", "s3"),
    ] {
        let refused = SigningGrant::new(pattern(requests), service, None, sources());
        assert!(refused.is_err(), "{requests} {service}");
    }
    for (requests, is_readable) in [
        ("http://minio:9000", true),
        ("http://10.0.0.1", true),
        ("http://localhost:4566", false),
        ("http://*.localhost:*", false),
        ("https://*.a.example", false),
    ] {
        let granted = SigningGrant::new(pattern(requests), "s3", None, sources());
        assert_eq!(
            granted.expect("a grant").is_readable(),
            is_readable,
            "{requests}"
        );
    }
    let nobody = SigningGrant::new(pattern("https://a.example"), "s3", None, Vec::new());
    assert!(nobody.is_err());
}
