//! Which requests are let out, and whether what is told of a refusal would allow it.

use std::time::SystemTime;

use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::model::Credentials;

fn patterns(texts: &[&str]) -> Vec<HttpPattern> {
    let read = texts.iter().map(|text| text.parse().expect(text));
    read.collect()
}

/// Makes a policy of grants and of wishes. Grants are plain, or `sign=` or `secret=` and
/// a pattern; the secrets are in `x-key-0` and so on.
fn policy(grants: &[&str], wishes: &[&str]) -> Policy {
    let mut granted = HttpGrants::default();
    for text in grants {
        let (kind, pattern) = text.split_once('=').unwrap_or(("http", text));
        let requests: HttpPattern = pattern.parse().expect(text);
        let number = granted.secrets.len();
        match kind {
            "sign" => granted.signatures.push(
                SigningGrant::new(
                    requests,
                    "execute-api",
                    Some("eu-central-1".parse().expect("a region")),
                    vec![SigningSource::Caller],
                )
                .expect(text),
            ),
            "secret" => granted.secrets.push(
                SecretGrant::new(requests, &format!("X-Key-{number}"), "s3cr3t").expect(text),
            ),
            _ => granted.requests.push(requests),
        }
    }
    Policy::new(granted, patterns(wishes).into())
}

fn request(method: &str, url: &str, field: Option<&str>) -> Option<Parts> {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::from_bytes(method.as_bytes()).ok()?;
    head.uri = url.parse().ok()?;
    if let Some(field) = field {
        let field = HeaderName::from_bytes(field.as_bytes()).ok()?;
        head.headers.insert(field, HeaderValue::from_static("x"));
    }
    Some(head)
}

fn admit(policy: &Policy, method: &str, url: &str) -> Result<(), Refused> {
    let head = request(method, url, None).unwrap_or_else(|| panic!("{method} {url}"));
    policy.admit(head, None).map(drop)
}

/// Holds a refusal to its remedy: it is a grant and a wish as they are written, and with
/// them the request is sent, and none of another method, scheme, host or port.
fn is_remedied(policy: &Policy, method: &str, url: &str) -> bool {
    let Err(Refused::Lacking(destination, remedy)) = admit(policy, method, url) else {
        return false;
    };
    let grant = remedy.grant.map(|(_, grant)| grant.to_string());
    let wish = remedy.wish.map(|wish| wish.to_string());
    let mut wider = policy.grants.clone();
    wider.requests.extend(patterns(
        &grant.iter().map(String::as_str).collect::<Vec<_>>(),
    ));
    let mut wishes = policy.wishes.to_vec();
    wishes.extend(patterns(
        &wish.iter().map(String::as_str).collect::<Vec<_>>(),
    ));
    let wider = Policy::new(wider, wishes.into());
    admit(&wider, method, url)
        .unwrap_or_else(|refused| panic!("{method} {url} by {grant:?} {wish:?}: {refused:?}"));
    // What the grant stands for alone.
    let Some(grant) = &grant else { return true };
    let alone = Policy::new(
        HttpGrants {
            requests: patterns(&[grant]),
            ..HttpGrants::default()
        },
        patterns(&["http://*:*", "https://*:*"]).into(),
    );
    let is_named = method.bytes().all(|byte| !byte.is_ascii_lowercase())
        && !["TRACE", "TRACK"].contains(&method);
    let (scheme, host, port) = (destination.scheme, &destination.host, destination.port);
    for (method, url, is_allowed) in [
        (
            "REPORT",
            format!("{}://{host}:{port}/", scheme.as_str()),
            !is_named,
        ),
        (
            method,
            format!("{}://a.{host}:{port}/", scheme.as_str()),
            false,
        ),
        (
            method,
            format!("{}://other.test:{port}/", scheme.as_str()),
            false,
        ),
        (
            method,
            format!("{}://{host}:{}/", scheme.as_str(), port ^ 1),
            false,
        ),
    ] {
        let Some(head) = request(method, &url, None) else {
            continue;
        };
        assert_eq!(
            alone.admit(head, None).is_ok(),
            is_allowed,
            "{grant} {method} {url}"
        );
    }
    true
}

#[test]
fn what_is_told_of_a_refusal_allows_that_request_and_no_other_origin() {
    const NOTHING: &[&str] = &[];
    const ANY: &[&str] = &["http://*:*", "https://*:*"];
    const V1: &[&str] = &["GET https://a.test/v1"];
    for (grants, wishes, method, url) in [
        (NOTHING, NOTHING, "GET", "https://a.test/v1"),
        (NOTHING, ANY, "GET", "https://a.test:8443/v1"),
        (ANY, NOTHING, "GET", "http://127.1/v1"),
        (NOTHING, ANY, "GET", "http://[::1]:8080/"),
        (NOTHING, ANY, "GET", "https://xn--bcher-kva.example/"),
        // Methods that no grant names.
        (NOTHING, NOTHING, "TRACE", "https://a.test/"),
        (NOTHING, NOTHING, "TRACK", "https://a.test/"),
        (NOTHING, NOTHING, "get", "https://a.test/"),
        (NOTHING, NOTHING, "M-SEARCH", "https://a.test/"),
        (NOTHING, NOTHING, "A|B'*", "https://a.test/"),
        // Below, beside and above a prefix, in every spelling.
        (V1, ANY, "GET", "https://a.test/"),
        (V1, ANY, "GET", "https://a.test/v2"),
        (V1, ANY, "POST", "https://a.test/v1"),
        (V1, V1, "GET", "https://a.test/%76%31"),
        (V1, V1, "GET", "https://a.test/v1/%2e%2e/x"),
        (V1, V1, "GET", "https://a.test/v1/..%2fx"),
        (V1, V1, "GET", "https://a.test/v1/..%2Fx"),
        (V1, V1, "GET", "https://a.test/v1/%252e%252E"),
        (V1, V1, "GET", "https://a.test/v1/%u002e"),
        (V1, V1, "GET", "https://a.test/v1/%FF"),
        (V1, V1, "GET", "https://a.test/v1/%0a"),
        (
            &["https://a.test/a%2fb"],
            ANY,
            "GET",
            "https://a.test/a%2Fb",
        ),
        (
            &["https://a.test/%C3%BC"],
            ANY,
            "GET",
            "https://a.test/%c3%bc",
        ),
    ] {
        let policy = policy(grants, wishes);
        assert!(
            is_remedied(&policy, method, url),
            "{method} {url} under {grants:?}"
        );
    }
}

#[test]
fn what_goes_nowhere_is_told_with_the_rule() {
    let label = "a".repeat(63);
    let name = [label.as_str(); 4].join(".");
    let method = "A".repeat(33);
    for (method, url, words) in [
        (
            method.as_str(),
            "https://a.test/".to_owned(),
            "its method has 33 bytes, and no method has more than 32",
        ),
        (
            "GET",
            format!("https://{}/", &name[..254]),
            "its host has 254 bytes, and no name has more than 253 (RFC 1035)",
        ),
        (
            "CONNECT",
            "https://a.test/".to_owned(),
            "it would be a tunnel, which is never made",
        ),
        ("GET", "https://a.test:0/".to_owned(), "its port is 0"),
        ("GET", "https://u@a.test/".to_owned(), "no user"),
    ] {
        let any = policy(&["https://*:*"], &["https://*:*"]);
        let Err(Refused::NoDestination(why)) = admit(&any, method, &url) else {
            panic!("{method} {url} is sent");
        };
        assert!(why.to_string().contains(words), "{why}");
    }
}

/// Gives the number of the grant by which a request is signed, and the names of the
/// fields that it goes with; none where it does not go.
fn sent(policy: &Policy, head: Parts) -> Option<(Option<usize>, Vec<String>)> {
    let (signed_by, cleared) = match policy.admit(head, None).ok()?.request {
        Outward::Plain(cleared) => (None, cleared),
        Outward::Signed(signable) => {
            let caller = Credentials {
                access_key_id: "CALLER".to_owned(),
                secret_access_key: "s3cr3t".to_owned(),
                session_token: None,
            };
            let signed = signable.sign(b"", &caller, SystemTime::UNIX_EPOCH);
            let (number, _) = signable.site();
            (Some(*number), signed.expect("a signature"))
        }
    };
    let names = cleared.0.headers.keys().map(ToString::to_string);
    Some((signed_by, names.collect()))
}

#[test]
fn what_is_put_on_below_a_path_goes_with_no_field_that_names_another_place() {
    for (put_on, is_sent) in [
        ("secret=https://a.test/public", false),
        ("sign=https://a.test:*/public", false),
        ("secret=GET https://a.test", true),
        ("sign=https://a.test", true),
        ("https://a.test/public", true),
    ] {
        for field in [
            "x-amz-copy-source",
            "x_amz_copy_source",
            "X-Amz-Rename-Source",
            "x-goog-copy-source",
            "x-ms-copy-source",
            "x-copy-from",
            "Destination",
        ] {
            let policy = policy(&[put_on], &["https://*:*"]);
            let head = request("GET", "https://a.test/public/a", Some(field)).expect("a request");
            let admitted = policy.admit(head, None).map(drop);
            assert_eq!(admitted.is_ok(), is_sent, "{put_on} {field}: {admitted:?}");
            let unfit = matches!(admitted, Err(Refused::Unfit(_, Unfit::Elsewhere(_))));
            assert_eq!(unfit, !is_sent, "{put_on} {field}: {admitted:?}");
        }
    }
}

#[test]
fn names_of_this_machine_lead_nowhere_else_unencrypted() {
    const FOUND: [&str; 7] = [
        "127.0.0.1",
        "127.1.2.3",
        "::1",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "8.8.8.8",
        "64:ff9b::127.0.0.1",
    ];
    let found = FOUND.map(|text| text.parse::<IpAddr>().expect(text));
    let grants = HttpGrants {
        addresses: ["127.0.0.0/8", "::1", "10.0.0.1"]
            .map(|text| text.parse().expect(text))
            .into(),
        ..HttpGrants::default()
    };
    let policy = Policy::new(grants, Arc::default());
    for (url, expected) in [
        ("http://localhost", 4),
        ("http://localhost:4566", 4),
        ("http://b.s3.localhost", 4),
        ("https://localhost", 7),
        ("http://localhost.test", 7),
        ("http://notlocalhost", 7),
    ] {
        let server: Uri = url.parse().expect(url);
        let dialable = policy.dialable(&server, &found);
        let dialable: Vec<_> = dialable.iter().map(|it| it.ip()).collect();
        assert_eq!(dialable, found[..expected], "{url}");
    }
}

#[test]
fn fields_are_what_a_server_may_take_them_for() {
    for (grant, field, is_sent) in [
        ("https://a.test", "x-own", true),
        ("https://a.test", "x-key-0", true),
        ("https://a.test", "Keep-Alive", false),
        ("https://a.test", "proxy_authorization", false),
        ("https://a.test", "x-forwarded-host", false),
        ("https://a.test", "x_forwarded.host", false),
        ("https://a.test", "x-http-method-override", false),
        ("https://a.test", "x_http_method_override", false),
        ("https://a.test", "X.Original-URL", false),
        ("https://a.test", "x-forwarded-uri", false),
        ("https://a.test", "content_length", false),
        ("secret=https://a.test", "x-key", true),
        ("secret=https://a.test", "x_key_0", false),
        ("secret=https://a.test", "x.key-0", false),
        ("sign=https://a.test", "x-amz-meta", true),
        ("sign=https://a.test", "x_amz_security_token", false),
    ] {
        let policy = policy(&[grant], &["https://*"]);
        let head = request("GET", "https://a.test/", Some(field)).expect("a request");
        let (_, names) = sent(&policy, head).expect("it goes");
        let field = field.to_lowercase();
        assert_eq!(names.contains(&field), is_sent, "{grant} {field}");
        let has_secret = names.contains(&"x-key-0".to_owned());
        assert_eq!(
            has_secret,
            grant.starts_with("secret") || field == "x-key-0"
        );
    }
}

proptest! {
    #[test]
    fn what_is_told_of_any_refusal_allows_that_request(
        granted in "(GET |)https?://(\\*|\\*\\.test|a\\.test)(:\\*|)(/v1|/a%2fb|)",
        put_on in prop::option::of("(sign|secret)=(GET |)https://a\\.test(:8080|)(/v1|)"),
        wished in "https?://(\\*|a\\.test)(:\\*|)(/v1|)",
        method in "GET|POST|TRACE|get|[A-Z*!'|-]{1,5}",
        host in "a\\.test|a\\.test|b\\.A\\.test\\.?|127\\.1|0x7f\\.1|\\[::1\\]|b%C3%BCcher\\.test|\\*\\.test|\\*",
        port in "|:80|:443|:8080",
        path in "(/(v1|a|\\.\\.|%2e|%2E%2e|%2f|%2F|%252e|%u002e|%ff|;|%5C|%)){0,4}",
    ) {
        let granted: Vec<_> = [granted].into_iter().chain(put_on).collect();
        let granted: Vec<_> = granted.iter().map(String::as_str).collect();
        let policy = policy(&granted, &[&wished]);
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}{port}{path}");
            if request(&method, &url, None).is_some()
                && let Err(Refused::Lacking(..)) = admit(&policy, &method, &url)
            {
                prop_assert!(is_remedied(&policy, &method, &url));
            }
        }
    }
}
