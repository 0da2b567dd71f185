//! Requests as a signer of the AWS SDK makes them, and what others make of them.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue, Request, Uri};

use super::*;

const ID: &str = "AKIDAKIDAKIDAKID";
const SECRET: &str = "s3cr3t/s3cr3t+s3cr3t";
const SERVICES: [&str; 1] = ["lambda"];
const NOW: u64 = 1_790_000_000_000;

fn key(id: &str, token: Option<&str>, allow: Vec<Rule>) -> Key {
    Key {
        id: id.to_owned(),
        secret: Secret(SECRET.to_owned()),
        session_token: token.map(|token| Secret(token.to_owned())),
        account: "123456789012".parse().expect("an account"),
        allow,
    }
}

fn access() -> Access {
    Access::new(vec![
        key(ID, None, vec![Rule::usual()]),
        key("AKIDAKIDAKIDTOKEN", Some("t0ken"), vec![Rule::usual()]),
    ])
}

/// How a client signs.
#[derive(Clone)]
struct Client {
    id: &'static str,
    secret: &'static str,
    token: Option<&'static str>,
    /// Milliseconds after [`NOW`].
    at: i64,
    expires: Option<u64>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            id: ID,
            secret: SECRET,
            token: None,
            at: 0,
            expires: None,
        }
    }
}

impl Client {
    fn sign(&self, uri: &str, headers: &[(&'static str, &str)], body: &str) -> Parts {
        let mut settings = SigningSettings::default();
        settings.expires_in = self.expires.map(Duration::from_secs);
        if self.expires.is_some() {
            settings.signature_location = SignatureLocation::QueryParams;
        }
        let token = self.token.map(str::to_owned);
        let identity = Credentials::from_keys(self.id, self.secret, token).into();
        let at = NOW.saturating_add_signed(self.at);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("lambda")
            .time(SystemTime::UNIX_EPOCH + Duration::from_millis(at))
            .settings(settings)
            .build()
            .expect("all is given")
            .into();
        let signable = SignableRequest::new(
            "POST",
            format!("http://server:3001{uri}"),
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let signed = sign(signable.expect("a request"), &parameters).expect("it signs");
        let mut request = Request::post(format!("http://server:3001{uri}"))
            .header("host", "server:3001")
            .body(())
            .expect("a request");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a value");
            request
                .headers_mut()
                .append(HeaderName::from_static(name), value);
        }
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        let (mut head, ()) = request.into_parts();
        // As it comes over the wire.
        let target = head.uri.path_and_query().expect("a path").as_str();
        head.uri = target.parse().expect("a path");
        head
    }
}

fn identify(head: &Parts, body: &str) -> Result<Identity, Denial> {
    let access = access();
    let claim = access.claim(head, &SERVICES, Timestamp::from_millis(NOW))?;
    claim.identify(head, body.as_bytes())
}

#[test]
fn the_example_of_the_specification_has_its_signature() {
    // The case `get-vanilla` of the test suite of Signature Version 4.
    let access = Access::new(vec![Key {
        secret: Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        ..key("AKIDEXAMPLE", None, Vec::new())
    }]);
    let (head, ()) = Request::get("/")
        .header("host", "example.amazonaws.com")
        .header("x-amz-date", "20150830T123600Z")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        )
        .body(())
        .expect("a request")
        .into_parts();
    let now = Timestamp::from_millis(1_440_938_160_000);
    let claim = access
        .claim(&head, &["service"], now)
        .expect("it is of that moment");
    let identity = claim.identify(&head, b"").expect("it is right");
    assert_eq!(identity.key_id(), Some("AKIDEXAMPLE"));
    assert_eq!(identity.region().map(Region::as_str), Some("us-east-1"));
}

#[test]
fn a_signed_request_is_its_key_s_whatever_its_path_and_query() {
    for uri in [
        "/",
        "/?",
        "/?b=2&a=1&a=0",
        "/?X-Amz=a%20b&c=%2Fd+e",
        "/2015-03-31/functions/Acme::Storage::File/invocations",
        "/2015-03-31/functions/Acme%3A%3AStorage%3A%3AFile/invocations?Qualifier=%24LATEST",
        "/a//b/./c/../%C3%A9?%C3%A9=",
    ] {
        for expires in [None, Some(60)] {
            for token in [None, Some("t")] {
                let client = Client {
                    expires,
                    token,
                    ..Client::default()
                };
                let headers = [
                    ("content-type", "application/json"),
                    ("x-amz-target", "CloudApiService.  CreateResource "),
                    ("x-twice", "b"),
                    ("x-twice", "a"),
                ];
                let head = client.sign(uri, &headers, "{\"a\":1}");
                let identity = identify(&head, "{\"a\":1}").unwrap_or_else(|denial| {
                    panic!("{uri} {expires:?} {token:?}: {denial}: {head:?}")
                });
                assert_eq!(identity.key_id(), Some(ID));
                assert_eq!(identity.region().map(Region::as_str), Some("eu-west-1"));
            }
        }
    }
}

#[test]
fn what_was_changed_on_the_way_is_denied() {
    type Change = fn(&mut Parts);
    let changes: [(&str, Change); 7] = [
        ("the method", |head| head.method = http::Method::PUT),
        ("the path", |head| {
            let uri = head.uri.to_string().replacen("/p", "/q", 1);
            head.uri = uri.parse().expect("a path");
        }),
        ("the query", |head| {
            let uri = head.uri.to_string().replacen("a=1", "a=2", 1);
            head.uri = uri.parse().expect("a path");
        }),
        ("one more parameter", |head| {
            head.uri = format!("{}&b=1", head.uri).parse().expect("a path");
        }),
        ("the host", |head| {
            head.headers
                .insert("host", HeaderValue::from_static("other"));
        }),
        ("the target", |head| {
            head.headers
                .insert("x-amz-target", HeaderValue::from_static("b"));
        }),
        ("a header twice", |head| {
            head.headers
                .append("x-amz-target", HeaderValue::from_static("a"));
        }),
    ];
    for expires in [None, Some(60)] {
        let client = Client {
            expires,
            ..Client::default()
        };
        let head = client.sign("/p?a=1", &[("x-amz-target", "a")], "body");
        identify(&head, "body").expect("it is right as it is");
        let denial = identify(&head, "Body").expect_err("another body");
        assert_eq!(denial, Denial::Mismatch);
        for (name, change) in changes {
            let mut head = client.sign("/p?a=1", &[("x-amz-target", "a")], "body");
            change(&mut head);
            let denial = identify(&head, "body").expect_err(name);
            assert_eq!(denial, Denial::Mismatch, "{name}");
        }
    }
}

#[test]
fn who_signs_otherwise_is_denied() {
    let day = 24 * 60 * 60;
    let client = Client::default;
    #[rustfmt::skip]
    let cases = [
        (Client { secret: "other", ..client() }, "does not match"),
        (Client { id: "AKIDAKIDAKIDNONE", ..client() }, "has no such key"),
        (Client { at: -299_000, ..client() }, "good"),
        (Client { at: 299_000, ..client() }, "good"),
        (Client { at: -301_000, ..client() }, "set the clock"),
        (Client { at: 301_000, ..client() }, "set the clock"),
        (Client { at: -59_000, expires: Some(60), ..client() }, "good"),
        (Client { at: -61_000, expires: Some(60), ..client() }, "sign a new one"),
        (Client { at: 301_000, expires: Some(60), ..client() }, "set the clock"),
        (Client { expires: Some(7 * day), ..client() }, "good"),
        (Client { expires: Some(7 * day + 1), ..client() }, "from 1 to 604800"),
        (Client { expires: Some(0), ..client() }, "from 1 to 604800"),
        (Client { id: "AKIDAKIDAKIDTOKEN", token: Some("t0ken"), ..client() }, "good"),
        (Client { id: "AKIDAKIDAKIDTOKEN", token: Some("t0ken"), expires: Some(9), ..client() }, "good"),
        (Client { id: "AKIDAKIDAKIDTOKEN", token: Some("other"), ..client() }, "needs its session token"),
        (Client { id: "AKIDAKIDAKIDTOKEN", ..client() }, "needs its session token"),
        (Client { id: "AKIDAKIDAKIDTOKEN", expires: Some(9), ..client() }, "needs its session token"),
    ];
    for (client, words) in cases {
        let head = client.sign("/?a=1", &[], "");
        let said = match identify(&head, "") {
            Ok(_) => "good".to_owned(),
            Err(denial) => denial.to_string(),
        };
        assert!(said.contains(words), "{words}: {said}");
        assert!(
            !said.contains("t0ken") && !said.contains("s3cr3t"),
            "{said}"
        );
    }
}

#[test]
fn a_signature_that_leaves_something_open_is_denied() {
    let value = HeaderValue::from_static;
    let good = || Client::default().sign("/?a=1", &[], "");
    let authorization = good().headers["authorization"]
        .to_str()
        .expect("text")
        .to_owned();
    let with = |text: &str| {
        let mut head = good();
        let text = HeaderValue::from_str(text).expect("a value");
        head.headers.insert("authorization", text);
        head
    };
    let changed = |change: &dyn Fn(&mut Parts)| {
        let mut head = good();
        change(&mut head);
        head
    };
    let payload = |hash: &str| Client::default().sign("/", &[("x-amz-content-sha256", hash)], "");
    let url = |query: &str| {
        changed(&|head| {
            head.headers.remove("authorization");
            head.uri = Uri::try_from(format!("/?{query}")).expect("a path");
        })
    };
    for (head, words) in [
        (
            changed(&|head| {
                let _before = head.headers.remove("authorization");
            }),
            "missing Authentication Token",
        ),
        (
            changed(&|head| {
                let _before = head.headers.append("authorization", value("x"));
            }),
            "two headers `Authorization`",
        ),
        (
            changed(&|head| {
                let _before = head.headers.append("host", value("x"));
            }),
            "two headers `host`",
        ),
        (
            changed(&|head| {
                let _before = head.headers.append("x-amz-date", value("x"));
            }),
            "two headers `x-amz-date`",
        ),
        (
            changed(&|head| {
                let _before = head.headers.remove("x-amz-date");
            }),
            "`X-Amz-Date` is missing",
        ),
        (
            changed(&|head| {
                let _before = head.headers.insert("x-amz-date", value("today"));
            }),
            "such as 20261122T164229Z",
        ),
        (
            changed(&|head| {
                let _before = head.headers.remove("host");
            }),
            "`Host` must be there",
        ),
        (
            changed(&|head| {
                let _before = head.headers.insert("x-amz-target", value("x"));
            }),
            "`x-amz-target` is not signed",
        ),
        (
            changed(&|head| {
                head.uri = Uri::from_static("/?X-Amz-Signature=0");
            }),
            "both in the header",
        ),
        (
            changed(&|head| {
                head.uri = Uri::from_static("/?a=%FF");
            }),
            "percent-encoded UTF-8",
        ),
        (
            with(&authorization.replace("SignedHeaders=host;", "SignedHeaders=host;x-z;")),
            "in lower case, sorted, each once",
        ),
        (
            with(&authorization.replace("SignedHeaders=host;", "SignedHeaders=Host;")),
            "in lower case, sorted, each once",
        ),
        (
            with(&authorization.replace("SignedHeaders=host;", "SignedHeaders=host;host;")),
            "in lower case, sorted, each once",
        ),
        (
            with(&authorization.replace("SignedHeaders=host;", "SignedHeaders=a;host;")),
            "`a` is signed, and not there",
        ),
        (
            with(&authorization.replacen("/2026", "/2025", 1)),
            "of the day of `X-Amz-Date`",
        ),
        (with("Basic eDp5"), "must begin with `AWS4-HMAC-SHA256`"),
        (with("AWS4-HMAC-SHA256"), "must begin with"),
        (with("AWS4-HMAC-SHA256 x"), "a list of NAME=VALUE"),
        (with("AWS4-HMAC-SHA256 a=1"), "`Credential` is missing"),
        (
            with(&authorization.replace("SignedHeaders=host;", "SignedHeaders=")),
            "`Host` must be there, and be signed",
        ),
        (
            with(&authorization.replace("/aws4_request", "")),
            "KEY/DATE/REGION/SERVICE/aws4_request",
        ),
        (
            with(&format!("{authorization}, Signature=0")),
            "`Signature` twice",
        ),
        (payload("UNSIGNED-PAYLOAD"), "the payload is not signed"),
        (
            payload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            "chunk by chunk",
        ),
        (url("X-Amz-Algorithm=x"), "must be `AWS4-HMAC-SHA256`"),
        (url("X-Amz-Signature=0"), "`X-Amz-Algorithm` is missing"),
        (
            url("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Algorithm=AWS4-HMAC-SHA256"),
            "`X-Amz-Algorithm` twice",
        ),
        (
            url("X-Amz-Algorithm=AWS4-HMAC-SHA256"),
            "`X-Amz-Expires` is missing",
        ),
    ] {
        let denial = identify(&head, "").expect_err(words).to_string();
        assert!(denial.contains(words), "{words}: {denial}");
    }
    identify(&good(), "").expect("it is right as it is");
}

#[test]
fn a_key_may_do_what_a_rule_allows_on_the_types_of_the_rule() {
    let rule = |types: &str, permissions: &[Permission]| Rule {
        types: vec![Pattern::new(types).expect("a pattern")],
        permissions: permissions.to_vec(),
    };
    let read = Permission::Act(Action::Read);
    let create = Permission::Act(Action::Create);
    let allow = vec![
        rule("Acme::*", &[read]),
        rule("Acme::Storage::File", &[create, Permission::Cancel]),
    ];
    let identity = Identity {
        key: Some(Arc::new(key(ID, None, allow))),
        ..Identity::anybody()
    };
    let usual = Identity {
        key: Some(Arc::new(key(ID, None, vec![Rule::usual()]))),
        ..Identity::anybody()
    };
    let file: TypeName = "Acme::Storage::File".parse().expect("a name");
    let archive: TypeName = "Acme::Storage::Archive".parse().expect("a name");
    let other: TypeName = "Other::Storage::File".parse().expect("a name");
    for (permission, [on_file, on_archive, on_other], by_default) in [
        (read, [true, true, false], true),
        (create, [true, false, false], true),
        (Permission::Cancel, [true, false, false], true),
        (Permission::Record, [false, false, false], true),
        (Permission::Configure, [false, false, false], false),
        (Permission::Register, [false, false, false], false),
    ] {
        assert_eq!(identity.may(permission, &file), on_file, "{permission:?}");
        assert_eq!(identity.may(permission, &archive), on_archive);
        assert_eq!(identity.may(permission, &other), on_other);
        assert_eq!(usual.may(permission, &other), by_default, "{permission:?}");
        assert!(Identity::anybody().may(permission, &file));
    }
}

#[test]
fn a_session_does_what_its_key_may_until_it_is_over() {
    let reads = |types: &str| Rule {
        types: vec![Pattern::new(types).expect("a pattern")],
        permissions: vec![Permission::Act(Action::Read)],
    };
    let access = Access::new(vec![key(ID, None, vec![reads("A*")])]);
    let at = |seconds: u64| Timestamp::from_millis(NOW + seconds * 1_000);
    let caller = |session: &Session, token: Option<&Secret>, seconds: u64| {
        let client = Client {
            id: session.id.clone().leak(),
            secret: session.secret.0.clone().leak(),
            token: token.map(|token| &*token.0.clone().leak()),
            at: i64::try_from(seconds).expect("a number") * 1_000,
            ..Client::default()
        };
        let head = client.sign("/", &[], "");
        access
            .claim(&head, &SERVICES, at(seconds))?
            .identify(&head, b"")
    };
    let head = Client::default().sign("/", &[], "");
    let claimed = access.claim(&head, &SERVICES, at(0)).expect("a known key");
    let of_key = claimed.identify(&head, b"").expect("its caller");
    let session = access.begin(&of_key, at(100));
    let found = caller(&session, Some(&session.token), 99).expect("its caller");
    assert_eq!(found.key_id(), Some(session.id.as_str()));
    assert_eq!(found.account(), of_key.account());
    let name = |text: &str| text.parse::<TypeName>().expect("a name");
    let read = Permission::Act(Action::Read);
    assert!(found.may(read, &name("AA::Bb::Cc")) && !found.may(read, &name("Bb::Bb::Cc")));

    // A session of a session is one of the key, and ends with the first.
    let second = access.begin(&found, at(200));
    assert_eq!(second.until, at(100));
    access.replace(vec![key(ID, None, vec![reads("B*")])]);
    let found = caller(&second, Some(&second.token), 50).expect("its caller");
    assert!(found.may(read, &name("Bb::Bb::Cc")) && !found.may(read, &name("AA::Bb::Cc")));

    let denied = |session, token, seconds| caller(session, token, seconds).expect_err("denied");
    let (text, mac) = second.token.0.rsplit_once('.').expect("a token");
    let longer = Secret(format!(
        "{}.{mac}",
        text.replace(&at(100).as_millis().to_string(), "9999999999999")
    ));
    for token in [None, Some(&longer), Some(&session.token)] {
        assert_eq!(denied(&second, token, 50), Denial::UnknownKey);
    }
    assert_eq!(
        denied(&session, Some(&session.token), 100),
        Denial::SessionOver
    );
    let mut other = key(ID, None, vec![reads("*")]);
    other.secret = Secret("another".to_owned());
    for keys in [
        vec![other],
        vec![key("AKIDAKIDAKIDNEXT", None, vec![reads("*")])],
    ] {
        access.replace(keys);
        assert_eq!(denied(&second, Some(&second.token), 50), Denial::UnknownKey);
    }
}

#[test]
fn a_request_is_signed_for_the_service_that_it_is_sent_to() {
    let head = Client::default().sign("/", &[], "");
    let now = Timestamp::from_millis(NOW);
    assert!(access().claim(&head, &SERVICES, now).is_ok());
    let denial = access().claim(&head, &["sts", "cloudformation"], now);
    assert!(matches!(denial, Err(Denial::Scope { .. })));
}
