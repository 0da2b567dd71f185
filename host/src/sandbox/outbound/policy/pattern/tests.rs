//! Which requests match which patterns, and what is no pattern.

use proptest::prelude::*;

use super::path::decode;
use super::*;

fn pattern(text: &str) -> HttpPattern {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Reads a request as it comes from a guest: a method, and the parts of a URI.
fn destination(method: &str, url: &str) -> Option<Destination> {
    let method = Method::from_bytes(method.as_bytes()).expect(method);
    Destination::new(&method, &url.parse().ok()?).ok()
}

fn get(url: &str) -> Destination {
    destination("GET", url).unwrap_or_else(|| panic!("{url} cannot be sent to"))
}

#[test]
fn a_pattern_is_written_in_its_usual_spelling() {
    for (text, usual) in [
        ("https://example.com", "https://example.com"),
        ("https://EXAMPLE.com.:443/", "https://example.com"),
        ("http://example.com:443", "http://example.com:443"),
        (
            "GET https://*.Example.com/v1",
            "GET https://*.example.com/v1",
        ),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        (
            "https://*.bücher.example",
            "https://*.xn--bcher-kva.example",
        ),
        ("http://0x7f.1", "http://127.0.0.1"),
        ("http://2130706433", "http://127.0.0.1"),
        ("http://0177.0.0.01:8080", "http://127.0.0.1:8080"),
        ("http://[0:0::1]:80", "http://[::1]"),
        ("http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]"),
        ("https://*:*", "https://*:*"),
        ("PROPFIND https://*/dav/", "PROPFIND https://*/dav/"),
        (
            "https://example.com/a b".split(' ').next().expect("a part"),
            "https://example.com/a",
        ),
        ("https://example.com/ü", "https://example.com/%C3%BC"),
    ] {
        assert_eq!(pattern(text).to_string(), usual, "{text}");
        assert_eq!(pattern(usual), pattern(text), "{text}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_the_rule() {
    for (text, rule) in [
        ("", "names no scheme"),
        ("example.com", "names no scheme"),
        ("ftp://example.com", "`http` or `https`"),
        ("HTTPS://example.com", "`http` or `https`"),
        ("*://example.com", "`http` or `https`"),
        ("get https://example.com", "capital letters"),
        (" https://example.com", "capital letters"),
        ("GET  https://example.com", "scheme"),
        ("CONNECT https://example.com", "never sent"),
        ("G@T https://example.com", "method is none"),
        ("https://", "the host is a name"),
        ("https:///a", "the host is a name"),
        ("https://user@example.com", "no user"),
        ("https://user:pw@example.com", "no user"),
        ("https://exa*mple.com", "the host is a name"),
        ("https://*example.com", "a `*` is the whole host"),
        ("https://*.*.example.com", "the host is a name"),
        ("https://*.", "the host is a name"),
        ("https://*.10.0.0.1", "a `*` is the whole host"),
        ("https://*.1", "a `*` is the whole host"),
        ("https://a..example.com", "the host is a name"),
        ("https://[::1", "1 to 65535"),
        ("https://example.com:", "1 to 65535"),
        ("https://example.com:0", "1 to 65535"),
        ("https://example.com:65536", "1 to 65535"),
        ("https://example.com:+1", "1 to 65535"),
        ("https://example.com/*", "leave `*` out"),
        ("https://example.com/a?b", "no query"),
        ("https://example.com#a", "no query"),
        ("https://example.com\\a", "no query"),
        ("https://example.com/a b", "no query"),
        ("https://example.com/a%2f..%2fb", "no `.` and `..`"),
        ("https://example.com/a%00", "without controls"),
    ] {
        let refusal = text.parse::<HttpPattern>().expect_err(text).to_string();
        assert!(refusal.contains(rule), "{text}: {refusal}");
    }
}

#[test]
fn a_request_matches_in_every_part_or_not_at_all() {
    for (text, url, matches) in [
        ("https://example.com", "https://example.com/any?query", true),
        ("https://example.com", "https://example.com", true),
        ("https://example.com", "https://EXAMPLE.COM:443/", true),
        ("https://example.com", "https://example.com./", true),
        ("https://example.com", "http://example.com/", false),
        ("https://example.com", "https://example.com:8443/", false),
        ("https://example.com", "https://example.org/", false),
        ("https://example.com", "https://www.example.com/", false),
        (
            "https://example.com",
            "https://example.com.evil.test/",
            false,
        ),
        ("https://example.com:*", "https://example.com:8443/", true),
        ("http://example.com:443", "http://example.com:443/", true),
        ("http://example.com:443", "https://example.com/", false),
        ("https://*.example.com", "https://a.example.com/", true),
        ("https://*.example.com", "https://a.b.example.com./", true),
        ("https://*.example.com", "https://example.com/", false),
        ("https://*.example.com", "https://badexample.com/", false),
        (
            "https://*.example.com",
            "https://a.example.com.evil.test/",
            false,
        ),
        ("https://*", "https://anything.test/", true),
        ("https://*", "https://1.1.1.1/", true),
        ("https://*", "https://anything.test:8443/", false),
        (
            "https://bücher.example",
            "https://xn--bcher-kva.example/",
            true,
        ),
        (
            "https://*.bücher.example",
            "https://a.XN--bcher-KVA.example/",
            true,
        ),
        ("http://127.0.0.1", "http://2130706433/", true),
        ("http://127.0.0.1", "http://0x7f000001/", true),
        ("http://127.0.0.1", "http://0177.1/", true),
        ("http://127.0.0.1", "http://127.1/", true),
        ("http://127.0.0.1", "http://127.0.0.1./", true),
        ("http://127.0.0.1", "http://[::ffff:7f00:1]/", false),
        ("http://[::1]", "http://[0:0:0:0:0:0:0:1]/", true),
        ("http://*.0.0.1.example", "http://127.0.0.1/", false),
        ("http://10.0.0.1", "http://10.0.0.1.example/", false),
        ("https://example.com/v1", "https://example.com/v1", true),
        ("https://example.com/v1", "https://example.com/v1?a", true),
        ("https://example.com/v1", "https://example.com/v1/", true),
        ("https://example.com/v1", "https://example.com/v1/a", true),
        ("https://example.com/v1", "https://example.com/v10", false),
        ("https://example.com/v1", "https://example.com/V1", false),
        ("https://example.com/v1", "https://example.com/", false),
        ("https://example.com/v1", "https://example.com//v1", false),
        ("https://example.com/v1/", "https://example.com/v1/a", true),
        ("https://example.com/v1/", "https://example.com/v1", false),
        (
            "https://example.com/v1",
            "https://example.com/v1/../admin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/x/../v1/a",
            true,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/%2e%2e/admin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/..%2fadmin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/..%5Cadmin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/%252e%252e/admin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/%25252525252e",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/..;/admin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/a%2fb",
            true,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/..%20/a",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/..%ef%bc%8fa",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/%ef%bc%8e%ef%bc%8e/a",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/.well-known",
            true,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/...",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/%C3%BC",
            true,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/%c0%ae%c0%ae/admin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/%u002e%u002e/admin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/%25U002e",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/..%00/admin",
            false,
        ),
        (
            "https://example.com/v1",
            "https://example.com/v1/a%0d%0ab",
            false,
        ),
        ("https://example.com", "https://example.com/v1/%00", true),
        (
            "https://example.com/v1",
            "https://example.com/v1/100%",
            true,
        ),
        (
            "https://example.com",
            "https://example.com/v1/..%2fadmin",
            true,
        ),
    ] {
        assert_eq!(pattern(text).matches(&get(url)), matches, "{text} {url}");
    }
}

#[test]
fn a_method_is_compared_as_it_is() {
    let any = pattern("https://example.com");
    let only = pattern("GET https://example.com");
    for (method, matches) in [
        ("GET", true),
        ("POST", false),
        ("get", false),
        ("HEAD", false),
    ] {
        let destination = destination(method, "https://example.com/").expect("it can be sent");
        assert!(any.matches(&destination), "{method}");
        assert_eq!(only.matches(&destination), matches, "{method}");
    }
}

#[test]
fn what_cannot_be_sent_has_no_destination() {
    for url in [
        "https://user@example.com/",
        "https://user:pw@example.com/",
        "https://@example.com/",
        "https://example.com@evil.test/",
        "ftp://example.com/",
        "/only/a/path",
        "example.com:443",
        "https://a..b/",
        "https://./",
        "https://1.2.3.4.5/",
        "https://256.256.256.256/",
        "https://0x100000000/",
        "https://b%C3%BCcher.example/",
        "https://a%00b/",
        "https://a%2fb/",
        "https://xn--a/",
        "https://*/",
        "https://*.example.com/",
        "https://a*.example.com/",
        "https://%2a.example.com/",
        "https://example.com:0/",
    ] {
        assert!(destination("GET", url).is_none(), "{url}");
    }
    assert!(destination("CONNECT", "https://example.com/").is_none());
    let label = "a".repeat(63);
    let name = [label.as_str(); 4].join(".");
    for (method, url, is_sent) in [
        ("A".repeat(32), "https://example.com/".to_owned(), true),
        ("A".repeat(33), "https://example.com/".to_owned(), false),
        ("GET".to_owned(), format!("https://{}/", &name[..253]), true),
        (
            "GET".to_owned(),
            format!("https://{}/", &name[..254]),
            false,
        ),
        (
            "GET".to_owned(),
            format!("https://{}/", "%61".repeat(200)),
            false,
        ),
    ] {
        let destination = destination(&method, &url);
        assert_eq!(destination.is_some(), is_sent, "{method} {url}");
    }
}

#[test]
fn hosts_of_aws_that_anybody_can_rent_are_known() {
    for (text, rented) in [
        ("https://*.amazonaws.com", true),
        ("https://*.amazonaws.com.cn/v1", true),
        ("https://*.eu-central-1.amazonaws.com", true),
        ("https://*.cn-north-1.amazonaws.com.cn", true),
        ("https://*.s3.eu-central-1.amazonaws.com", false),
        ("https://*.s3.amazonaws.com", false),
        ("https://*.execute-api.eu-central-1.amazonaws.com", true),
        ("https://*.lambda-url.eu-central-1.on.aws", true),
        ("https://dynamodb.eu-central-1.amazonaws.com", false),
        ("https://*.notamazonaws.com", false),
        ("https://*.example.com", false),
    ] {
        assert_eq!(pattern(text).has_rented_hosts(), rented, "{text}");
    }
}

#[test]
fn what_is_sent_is_what_was_compared() {
    for (url, sent) in [
        ("https://EXAMPLE.com.:443/a", "https://example.com/a"),
        (
            "http://0x7f.1:8080/a/../b?c=%41",
            "http://127.0.0.1:8080/b?c=%41",
        ),
        ("https://[::FFFF:127.0.0.1]/", "https://[::ffff:7f00:1]/"),
        (
            "https://example.com//evil.test/a",
            "https://example.com//evil.test/a",
        ),
        (
            "https://example.com/https://evil.test/",
            "https://example.com/https://evil.test/",
        ),
        (
            "https://example.com/a@evil.test",
            "https://example.com/a@evil.test",
        ),
        (
            "https://example.com/a;b=c/%2F?d='e'|`f`",
            "https://example.com/a;b=c/%2F?d=%27e%27|`f`",
        ),
        ("https://example.com?a", "https://example.com/?a"),
    ] {
        assert_eq!(get(url).uri.to_string(), sent, "{url}");
    }
}

#[test]
fn an_origin_tells_no_path_and_is_a_pattern_of_its_request() {
    for (url, origin) in [
        (
            "https://Example.com/s3cr3t?s3cr3t",
            "GET https://example.com",
        ),
        ("http://[::1]:8080/", "GET http://[::1]:8080"),
    ] {
        let destination = get(url);
        assert_eq!(destination.to_string(), origin);
        assert!(pattern(origin).matches(&destination), "{url}");
    }
}

/// The rules once more, for parts that need no other spelling.
fn naive(pattern: &Parts, request: &Parts) -> bool {
    let port = |parts: &Parts| match (parts.port, parts.scheme) {
        (Some(port), _) => port,
        (None, "http") => 80,
        (None, _) => 443,
    };
    let labels = |host: &str| -> Vec<String> { host.split('.').map(str::to_owned).collect() };
    let (wanted, found) = (labels(pattern.host), labels(request.host));
    let host = match wanted.split_first() {
        Some((star, suffix)) if star == "*" && !suffix.is_empty() => {
            found.len() > suffix.len() && found[found.len() - suffix.len()..] == *suffix
        }
        Some(_) | None => pattern.host == "*" || wanted == found,
    };
    let segments = |path: &str| -> Vec<String> {
        let kept = path.split('/').filter(|segment| !segment.is_empty());
        kept.map(str::to_owned).collect()
    };
    let (prefix, path) = (segments(pattern.path), segments(request.path));
    pattern.scheme == request.scheme
        && port(pattern) == port(request)
        && host
        && path.len() >= prefix.len()
        && path[..prefix.len()] == *prefix
}

#[derive(Clone, Debug)]
struct Parts {
    scheme: &'static str,
    host: &'static str,
    port: Option<u16>,
    path: &'static str,
}

impl Parts {
    fn url(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}{}", self.scheme, self.host, self.path)
    }
}

fn parts(hosts: &'static [&'static str]) -> impl Strategy<Value = Parts> {
    (
        prop::sample::select(&["http", "https"][..]),
        prop::sample::select(hosts),
        prop::sample::select(&[None, Some(80), Some(443), Some(8080)][..]),
        prop::sample::select(&["", "/", "/a", "/a/b", "/ab", "/b", "/a/b/c"][..]),
    )
        .prop_map(|(scheme, host, port, path)| Parts {
            scheme,
            host,
            port,
            path,
        })
}

proptest! {
    #[test]
    fn matching_follows_the_naive_rules(
        wanted in parts(&["*", "x.test", "*.x.test", "y.x.test", "*.y.x.test", "10.0.0.1"]),
        found in parts(&["x.test", "y.x.test", "z.y.x.test", "yx.test", "10.0.0.1", "10.0.0.2"]),
    ) {
        let matches = pattern(&wanted.url()).matches(&get(&found.url()));
        prop_assert_eq!(matches, naive(&wanted, &found), "{} {}", wanted.url(), found.url());
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(text in ".{0,60}") {
        if let Ok(pattern) = text.parse::<HttpPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<HttpPattern>(), Ok(pattern));
        }
    }

    #[test]
    fn what_is_nearly_a_pattern_is_one_or_an_error(
        text in "(GET |)https?://(\\*\\.|\\*|)[a-z0-9.\\[\\]:%@]{0,12}(:\\*|:[0-9]{0,6}|)(/[a-z%.;0-9]{0,8}){0,3}",
    ) {
        if let Ok(pattern) = text.parse::<HttpPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<HttpPattern>(), Ok(pattern));
        }
    }

    /// However a path is spelled, what a server makes of it stays under the prefix.
    #[test]
    fn a_path_never_leaves_its_prefix(
        segments in prop::collection::vec("(a|\\.|\\.\\.|%2e|%2E|%252e|%2f|%5c|;|%3b){1,4}", 1..5),
    ) {
        let url = format!("https://x.test/v1/{}", segments.join("/"));
        let Some(destination) = destination("GET", &url) else { return Ok(()) };
        if pattern("https://x.test/v1").matches(&destination) {
            let mut path = destination.uri.path().to_owned();
            for _ in 0..3 {
                let decoded = decode(path.as_bytes());
                path = String::from_utf8(decoded).expect("text").replace('\\', "/");
                let depth = path.split('/').try_fold(0_i32, |depth, segment| match segment {
                    ".." => (depth > 2).then_some(depth - 1),
                    "." => Some(depth),
                    _ => Some(depth + 1),
                });
                prop_assert!(depth.is_some(), "{url}: {path}");
            }
        }
    }
}

#[test]
fn what_may_be_a_password_is_not_repeated() {
    for text in [
        "https://bob:hunter2@a.example",
        "GET https://hunter2@a.example/v1",
        "hunter2@a.example",
    ] {
        let refusal = text.parse::<HttpPattern>().expect_err(text).to_string();
        assert!(refusal.contains("@a.example"), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
}
