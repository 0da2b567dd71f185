//! Which requests are let out, and whether what is told of a refusal would allow it.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn patterns(texts: &[&str]) -> Vec<HttpPattern> {
    let read = texts.iter().map(|text| text.parse().expect(text));
    read.collect()
}

/// Makes a policy of plain grants and of wishes.
fn policy(grants: &[&str], wishes: &[&str]) -> Policy {
    let grants = HttpGrants {
        requests: patterns(grants),
        ..HttpGrants::default()
    };
    Policy::new(grants, patterns(wishes).into())
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

fn admit(policy: &Policy, method: &str, url: &str, field: Option<&str>) -> Result<(), Refused> {
    let head = request(method, url, field).unwrap_or_else(|| panic!("{method} {url}"));
    policy.admit(head, None).map(drop)
}

/// Holds a refusal to its remedy: it is a grant and a wish as they are written, and with
/// them the request is sent, and none of another method, scheme, host or port.
fn is_remedied(policy: &Policy, method: &str, url: &str, field: Option<&str>) -> bool {
    let Err(Refused::Lacking(destination, remedy)) = admit(policy, method, url, field) else {
        return false;
    };
    let grant = remedy.grant.map(|(_, grant)| grant.to_string());
    let wish = remedy.wish.map(|wish| wish.to_string());
    let mut wider = HttpGrants {
        requests: policy.grants.requests.clone(),
        ..HttpGrants::default()
    };
    wider.requests.extend(patterns(
        &grant.iter().map(String::as_str).collect::<Vec<_>>(),
    ));
    let mut wishes = policy.wishes.to_vec();
    wishes.extend(patterns(
        &wish.iter().map(String::as_str).collect::<Vec<_>>(),
    ));
    let wider = Policy::new(wider, wishes.into());
    admit(&wider, method, url, field)
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
        && !["TRACE", "TRACK"].contains(&method)
        && field.is_none();
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
    for (grants, wishes, method, url, field) in [
        (NOTHING, NOTHING, "GET", "https://a.test/v1", None),
        (NOTHING, ANY, "GET", "https://a.test:8443/v1", None),
        (ANY, NOTHING, "GET", "http://127.1/v1", None),
        (NOTHING, ANY, "GET", "http://[::1]:8080/", None),
        (NOTHING, ANY, "GET", "https://xn--bcher-kva.example/", None),
        // Methods that no grant names.
        (NOTHING, NOTHING, "TRACE", "https://a.test/", None),
        (NOTHING, NOTHING, "TRACK", "https://a.test/", None),
        (NOTHING, NOTHING, "get", "https://a.test/", None),
        (NOTHING, NOTHING, "M-SEARCH", "https://a.test/", None),
        (NOTHING, NOTHING, "A|B'*", "https://a.test/", None),
        // Below, beside and above a prefix, in every spelling.
        (V1, ANY, "GET", "https://a.test/", None),
        (V1, ANY, "GET", "https://a.test/v2", None),
        (V1, ANY, "POST", "https://a.test/v1", None),
        (V1, V1, "GET", "https://a.test/%76%31", None),
        (V1, V1, "GET", "https://a.test/v1/%2e%2e/x", None),
        (V1, V1, "GET", "https://a.test/v1/..%2fx", None),
        (V1, V1, "GET", "https://a.test/v1/..%2Fx", None),
        (V1, V1, "GET", "https://a.test/v1/%252e%252E", None),
        (V1, V1, "GET", "https://a.test/v1/%u002e", None),
        (V1, V1, "GET", "https://a.test/v1/%FF", None),
        (V1, V1, "GET", "https://a.test/v1/%0a", None),
        (
            &["https://a.test/a%2fb"],
            ANY,
            "GET",
            "https://a.test/a%2Fb",
            None,
        ),
        (
            &["https://a.test/%C3%BC"],
            ANY,
            "GET",
            "https://a.test/%c3%bc",
            None,
        ),
        // A field that means another request.
        (V1, V1, "GET", "https://a.test/v1", Some("x-http-method")),
        (
            NOTHING,
            NOTHING,
            "GET",
            "https://a.test/v1",
            Some("x-rewrite-url"),
        ),
        (
            V1,
            NOTHING,
            "GET",
            "https://a.test/v1",
            Some("x-original-url"),
        ),
        (
            V1,
            ANY,
            "GET",
            "https://a.test/v1/%2e%2e%2f",
            Some("x-original-url"),
        ),
    ] {
        let policy = policy(grants, wishes);
        assert!(
            is_remedied(&policy, method, url, field),
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
        let Err(Refused::NoDestination(why)) = admit(&any, method, &url, None) else {
            panic!("{method} {url} is sent");
        };
        assert!(why.to_string().contains(words), "{why}");
    }
}

proptest! {
    #[test]
    fn what_is_told_of_any_refusal_allows_that_request(
        granted in "(GET |)https?://(\\*|\\*\\.test|a\\.test)(:\\*|)(/v1|/a%2fb|)",
        wished in "https?://(\\*|a\\.test)(:\\*|)(/v1|)",
        method in "GET|POST|TRACE|get|[A-Z*!'|-]{1,5}",
        host in "a\\.test|b\\.A\\.test\\.?|127\\.1|0x7f\\.1|\\[::1\\]|b%C3%BCcher\\.test|\\*\\.test|\\*",
        port in "|:80|:443|:8080",
        path in "(/(v1|a|\\.\\.|%2e|%2E%2e|%2f|%2F|%252e|%u002e|%ff|;|%5C|%)){0,4}",
        field in prop::option::of(Just("x-http-method-override")),
    ) {
        let policy = policy(&[&granted], &[&wished]);
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}{port}{path}");
            if request(&method, &url, field).is_some()
                && let Err(Refused::Lacking(..)) = admit(&policy, &method, &url, field)
            {
                prop_assert!(is_remedied(&policy, &method, &url, field));
            }
        }
    }
}
