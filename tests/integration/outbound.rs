//! HTTP requests of a real guest, to a server on this machine.

pub(crate) mod server;

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use formwork_host::engine::{Engine, Request};
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{Grants, RootCertificate};
use formwork_tests::guests;
use formwork_tests::stage::{object, sandbox};
use serde_json::json;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::official::process::Process;
use crate::official::served::program;
use crate::official::tools::tool;
use server::Server;

const HERE: &str = "http://127.0.0.1:*";
const LOOPBACK: &[&str] = &["127.0.0.1"];

/// Grants requests and addresses.
fn granted(requests: &[&str], addresses: &[&str]) -> TypeSettings {
    let mut grants = Grants::default();
    let http = &mut grants.http;
    http.requests = requests
        .iter()
        .map(|text| text.parse().expect(text))
        .collect();
    http.addresses = addresses
        .iter()
        .map(|text| text.parse().expect(text))
        .collect();
    TypeSettings {
        grants: Arc::new(grants),
        ..TypeSettings::default()
    }
}

/// Grants all that the server of a test is reached by.
fn all_here() -> TypeSettings {
    granted(&[HERE], LOOPBACK)
}

const TYPE: &str = "Formwork::Tests::Outbound";
/// Of the same length.
const OTHER_TYPE: &str = "Formwork::Tests::Outbounx";

/// An engine with the guest as a type.
struct Asked {
    engine: Engine,
    type_name: &'static str,
}

impl Asked {
    async fn new(settings: TypeSettings) -> Self {
        Self::of(TYPE, guests::component("outbound-guest"), settings).await
    }

    async fn of(type_name: &'static str, component: Arc<[u8]>, settings: TypeSettings) -> Self {
        let engine = Engine::builder(sandbox()).start();
        engine
            .load(component, settings)
            .await
            .expect("the guest loads");
        Self { engine, type_name }
    }

    /// Has the guest make requests in one invocation, and gives what it tells of
    /// them.
    async fn ask<T: AsRef<str>>(&self, requests: &[T]) -> Vec<String> {
        let requests: Vec<&str> = requests.iter().map(AsRef::as_ref).collect();
        let state = object(&json!({"Name": "a", "Requests": requests}));
        let type_name = self.type_name.parse().expect("a type name");
        let operation = self
            .engine
            .submit(Request::create(type_name, state))
            .await
            .expect("accepted");
        let ended = operation.outcome().await.expect("it ends");
        let model = ended.model.as_ref();
        let model = model.unwrap_or_else(|| panic!("{:?}", ended.message));
        serde_json::from_value(model.to_map()["Answers"].clone()).expect("a list of texts")
    }
}

/// Makes one request under settings of its own.
async fn once(settings: TypeSettings, request: impl AsRef<str>) -> String {
    Asked::new(settings).await.ask(&[request]).await.remove(0)
}

#[tokio::test]
async fn what_is_granted_and_wished_for_is_reached() {
    let server = Server::start().await;
    let answer = once(all_here(), format!("GET {} x-a=1", server.url("/a?b=c"))).await;
    assert_eq!(answer, "200 x-answer=HTTP/1.1 hello");
    let seen = server.seen();
    let [request] = seen.requests.as_slice() else {
        panic!("{seen:?}");
    };
    assert_eq!(request.line, "GET /a?b=c");
    let host = format!("127.0.0.1:{}", server.port());
    assert_eq!(request.fields["host"], host.as_str());
    assert_eq!(request.fields["x-a"], "1");
}

#[tokio::test]
async fn what_is_not_granted_or_not_wished_for_is_refused() {
    let server = Server::start().await;
    let port = server.port();
    let here = format!("GET http://127.0.0.1:{port}/");
    for (requests, addresses, request) in [
        // Nothing is granted.
        (&[][..], &[][..], here.clone()),
        // An address is granted, and no request.
        (&[], LOOPBACK, here.clone()),
        // A request is granted, and no address.
        (&[HERE], &[], here.clone()),
        (&[HERE], &["127.0.0.2"], here.clone()),
        // Another method, another scheme, another port, another path.
        (&["POST http://127.0.0.1:*"], LOOPBACK, here.clone()),
        (&["https://127.0.0.1:*"], LOOPBACK, here.clone()),
        (&["http://127.0.0.1"], LOOPBACK, here.clone()),
        (&["http://127.0.0.1:*/other"], LOOPBACK, here.clone()),
        // Granted and not wished for.
        (
            &["http://*:*"],
            LOOPBACK,
            format!("GET http://127.0.0.2:{port}/"),
        ),
        (
            &["http://*:*"],
            LOOPBACK,
            format!("POST http://get.test:{port}/"),
        ),
        // Other spellings and other names of this machine.
        (&["http://*:*"], &[], format!("GET http://0x7f.1:{port}/")),
        (
            &["http://*:*"],
            &[],
            format!("GET http://2130706433:{port}/"),
        ),
        (
            &["http://*:*"],
            &[],
            format!("GET http://localhost:{port}/"),
        ),
        (
            &["http://*:*"],
            LOOPBACK,
            format!("GET http://[::ffff:127.0.0.1]:{port}/"),
        ),
    ] {
        let answer = once(granted(requests, addresses), &request).await;
        assert!(
            answer.starts_with("error: the host refuses "),
            "{request} under {requests:?} {addresses:?}: {answer}"
        );
    }
    assert_eq!(server.seen().connections, 0);
}

#[tokio::test]
async fn a_redirect_is_given_and_not_followed() {
    let server = Server::start().await;
    let settings = granted(&["http://*:*"], LOOPBACK);
    let answer = once(settings, format!("GET {}", server.url("/redirect"))).await;
    let location = "http://169.254.169.254/latest/meta-data/";
    assert_eq!(
        answer,
        format!("302 location={location} x-answer=HTTP/1.1 ")
    );
    assert_eq!(server.seen().requests.len(), 1);
}

#[tokio::test]
async fn fields_that_are_the_hosts_own_are_neither_sent_nor_given() {
    let server = Server::start().await;
    let asked = Asked::new(all_here()).await;
    for name in [
        "Host",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Proxy-Authorization",
    ] {
        let answers = asked
            .ask(&[format!("GET {} {name}=x", server.url("/"))])
            .await;
        let expected = format!("error: cannot send the header field `{name}`");
        assert!(answers[0].starts_with(&expected), "{answers:?}");
    }
    let answers = asked.ask(&[format!("GET {}", server.url("/hop"))]).await;
    assert_eq!(answers, ["200 x-answer=HTTP/1.1 hop"]);
}

#[tokio::test]
async fn bodies_are_sent_and_received_within_limits() {
    let server = Server::start().await;
    let mut settings = all_here();
    settings.limits.http_sent_bytes = 10_000;
    settings.limits.http_received_bytes = 20_000;
    settings.limits.http_field_bytes = 5_000;
    let asked = Asked::new(settings).await;
    let [bytes, fields, root] = ["/bytes/9000", "/fields/6000", "/"].map(|path| server.url(path));
    let answers = asked
        .ask(&[
            format!("POST {root} body=9000"),
            format!("POST {root} body=2000"),
            format!("GET {bytes}"),
            format!("GET {bytes}"),
            format!("GET {bytes}"),
            format!("GET {fields}"),
        ])
        .await;
    assert_eq!(answers[0], "200 x-answer=HTTP/1.1 hello");
    assert!(
        answers[1].contains("has sent all that it may"),
        "{answers:?}"
    );
    assert_eq!(answers[2], "200 x-answer=HTTP/1.1 9000 bytes");
    assert_eq!(answers[2], answers[3]);
    let too_much = "the response is more than the invocation may receive";
    assert!(answers[4].contains(too_much), "{answers:?}");
    assert!(answers[5].contains(too_much), "{answers:?}");
    assert_eq!(server.seen().requests[0].body, 9000);
    // Another invocation begins anew.
    let answers = asked.ask(&[format!("POST {root} body=9000")]).await;
    assert_eq!(answers, ["200 x-answer=HTTP/1.1 hello"]);
}

#[tokio::test]
async fn an_invocation_makes_so_many_requests_and_no_more() {
    let server = Server::start().await;
    let mut settings = all_here();
    settings.limits.http_requests = 2;
    let request = format!("GET {}", server.url("/"));
    let answers = Asked::new(settings)
        .await
        .ask(&[&request, &request, &request])
        .await;
    assert!(
        answers[2].contains("all the requests that it may"),
        "{answers:?}"
    );
    assert_eq!(server.seen().requests.len(), 2);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Server::start().await;
    let mut settings = all_here();
    settings.limits.http_first_byte = Duration::from_millis(50);
    settings.limits.http_between_bytes = Duration::from_millis(50);
    let asked = Asked::new(settings).await;
    let [stall, drip] = ["/stall", "/drip"].map(|path| server.url(path));
    let answers = asked
        .ask(&[format!("GET {stall}"), format!("GET {drip}")])
        .await;
    for answer in answers {
        assert!(answer.ends_with("was not answered in time"), "{answer}");
    }
    // A guest can wait for less than it may.
    let answer = once(all_here(), format!("GET {stall} timeout=50")).await;
    assert!(answer.ends_with("was not answered in time"), "{answer}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_an_error_like_others() {
    let server = Server::start().await;
    let url = server.url("/");
    drop(server);
    let answer = once(all_here(), format!("GET {url}")).await;
    assert!(answer.ends_with("it refuses connections"), "{answer}");
}

#[tokio::test]
async fn connections_are_kept_for_the_type_and_policy_that_made_them() {
    let server = Server::start().await;
    let request = format!("GET {}", server.url("/"));
    let asked = Asked::new(all_here()).await;
    asked.ask(&[&request, &request]).await;
    asked.ask(&[&request]).await;
    assert_eq!(server.seen().connections, 1);

    // The same component as another type.
    let other = replaced(&guests::component("outbound-guest"), TYPE, OTHER_TYPE);
    let other = Asked::of(OTHER_TYPE, other, all_here()).await;
    other.ask(&[&request, &request]).await;
    assert_eq!(server.seen().connections, 2);
}

/// Puts one text in the place of another of its length, wherever it stands.
fn replaced(component: &[u8], text: &str, by: &str) -> Arc<[u8]> {
    assert_eq!(text.len(), by.len());
    let mut component = component.to_vec();
    let found: Vec<usize> = (0..component.len() - text.len())
        .filter(|&at| component[at..].starts_with(text.as_bytes()))
        .collect();
    for at in found {
        component[at..at + by.len()].copy_from_slice(by.as_bytes());
    }
    component.into()
}

#[tokio::test]
async fn a_component_that_wishes_for_what_cannot_be_is_not_loaded() {
    let component = guests::component("outbound-guest");
    let wrong = replaced(&component, "GET http://get.test:*", "GET http_//get.test:*");
    let refusal = sandbox().load(wrong).await.expect_err("refused");
    let cause = std::error::Error::source(&refusal).expect("a cause");
    let words = cause.to_string();
    assert!(
        words.starts_with(
            "`GET http_//get.test:*` is no pattern of HTTP requests: it names no scheme"
        ),
        "{words}"
    );
}

/// A certificate of `localhost`, and the file of who signed it.
struct Certified {
    place: tempfile::TempDir,
}

impl Certified {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let mut certify = Command::new(tool("python"));
        certify.args(["-m", "trustme", "--quiet", "--dir"]);
        Process::start(certify.arg(place.path())).end().well();
        Self { place }
    }

    fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let file = |name: &str| self.place.path().join(name);
        let chain = CertificateDer::pem_file_iter(file("server.pem"))
            .expect("a certificate")
            .collect::<Result<_, _>>()
            .expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .expect("a pair");
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    fn roots(&self) -> Vec<RootCertificate> {
        let pem = fs::read(self.place.path().join("client.pem")).expect("a file");
        RootCertificate::parse(&pem).expect("a certificate")
    }
}

#[tokio::test]
async fn tls_is_spoken_with_whom_a_granted_certificate_signed() {
    let certified = Certified::new();
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], "HTTP/2"),
        (&["http/1.1"], "HTTP/1.1"),
        (&[], "HTTP/1.1"),
    ] {
        let server = Server::start_tls(certified.acceptor(protocols)).await;
        let url = format!("https://localhost:{}/", server.port());
        let request = format!("POST {url} body=5000");
        let mut settings = granted(&["https://localhost:*"], LOOPBACK);
        let stranger = once(settings.clone(), &request).await;
        assert!(
            stranger.ends_with("its certificate is not trusted"),
            "{stranger}"
        );
        assert_eq!(server.seen().requests.len(), 0);
        Arc::make_mut(&mut settings.grants).http.roots = certified.roots();
        let asked = Asked::new(settings).await;
        let answers = asked.ask(&[&request, &request]).await;
        assert_eq!(answers[0], format!("200 x-answer={version} hello"));
        assert_eq!(answers[0], answers[1]);
        let seen = server.seen();
        assert_eq!(seen.requests[0].body, 5000);
        assert_eq!(seen.connections, 2, "one of them by whom was not trusted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_grants_and_tells_what_is_missing() {
    let server = Server::start().await;
    let model = json!({"Name": "a", "Requests": [format!("GET {}", server.url("/s3cr3t"))]});
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("model.json");
    fs::write(&file, model.to_string()).expect("a file");
    let origin = format!("GET http://127.0.0.1:{}", server.port());
    let run = |grants: &[&str]| {
        let mut command = program();
        command.args(["run", "create"]);
        command.arg(guests::path("outbound-guest"));
        command.arg("--model").arg(&file);
        for grant in grants {
            command.args(["--grant", grant]);
        }
        let output = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (text(output.stdout), text(output.stderr))
    };
    let http = format!("http={origin}");
    let (_, said) = run(&[]);
    assert!(said.contains(&format!("grant it with `{http}`")), "{said}");
    assert!(!said.contains("s3cr3t"), "{said}");
    let (_, said) = run(&[&http]);
    assert!(said.contains("grant it with `address=127.0.0.1`"), "{said}");
    assert_eq!(server.seen().requests.len(), 0);
    let (model, said) = run(&[&http, "address=127.0.0.1"]);
    assert!(
        model.contains("200 x-answer=HTTP/1.1 hello"),
        "{model} {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_gives_credentials_inherits_no_variables_of_the_host() {
    let server = Server::start().await;
    let place = tempfile::tempdir().expect("a directory");
    let file = |name: &str| place.path().join(name);
    let url = server.url("/");
    let model = json!({"Name": "a", "Requests": [format!("GET {url}")]});
    fs::write(file("model.json"), model.to_string()).expect("a file");
    let inherited = file("inherited");
    let keys = json!({"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "s3cr3t"});
    fs::write(file("keys.json"), keys.to_string()).expect("a file");
    let script = format!(
        "env > {}; cat {}",
        inherited.display(),
        file("keys.json").display()
    );
    fs::write(file("process"), script).expect("a file");
    let profile = format!(
        "[profile p]\ncredential_process = sh {}\n",
        file("process").display()
    );
    fs::write(file("config"), profile).expect("a file");
    let output = program()
        .args(["run", "create", "--region", "eu-central-1"])
        .arg(guests::path("outbound-guest"))
        .arg("--model")
        .arg(file("model.json"))
        .args(["--grant", &format!("sign={url} as s3 with profile p")])
        .args(["--grant", "address=127.0.0.1"])
        .env("AWS_CONFIG_FILE", file("config"))
        .env("FORMWORK_DATABASE_KEY", "hidden")
        .env("FORMWORK_OF_THE_CONFIGURATION", "hidden")
        .env("OTHER", "seen")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let inherited = fs::read_to_string(inherited).unwrap_or_else(|_| panic!("{said}"));
    assert!(inherited.contains("OTHER=seen"), "{inherited}");
    assert!(!inherited.contains("hidden"), "{inherited}");
    let seen = server.seen();
    let signature = seen.requests[0].fields["authorization"].to_str();
    let signature = signature.expect("text");
    assert!(signature.contains("Credential=AKID/"), "{signature}");
}
