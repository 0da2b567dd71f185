//! What a file says, and what is wrong with one.

use std::time::Duration;

use formwork_host::model::Action;
use formwork_host::sandbox::HttpLimits;

use super::*;
use crate::access::{Permission, Rule};

const FULL: &str = r#"
listen = ["127.0.0.1:0", "localhost:3002"]
data = "state"
concurrency = 32
lease = "10s"
account = "123456789012"
region = "eu-central-1"

[tls]
certificate = "tls/cert.pem"
key = "/etc/ssl/key.pem"

[register]
folders = ["handlers", "/opt/handlers"]

[http]
requests = 2_000
lookups = 64

[retention]
operations = "720h"
client_tokens = "1h"

[report]
endpoint = "https://cloudformation.example.com"
region = "eu-west-1"

[[type]]
component = "handlers/file.wasm"
grants = ["dir=data:ro", "credentials", "http=GET https://*.example.com", "address=10.0.0.0/8", "ca=ca.pem"]
strict = true
keep_write_only = true
concurrency = 4
configuration = { Endpoint = "https://example.com", Retries = 3, Tags = [{ Key = "a" }] }
limits = { memory = "64MiB", cpu = "500ms", mutation_wall = "1m 30s", log_lines = 10, listings = 5, http_requests = 7, http_connect = "1s" }

[type.policy]
attempts = 5
backoff = "2s"

[[type]]
component = "/opt/other.wasm"
"#;

fn variable(name: &str) -> Option<Secret> {
    (name == "CI_SECRET").then(|| Secret("s3cr3t".to_owned()))
}

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/formwork"), &variable).map_err(|faults| lines(&faults))
}

/// A document that is right but for what is added at its top.
fn with(top: &str) -> Result<Config, String> {
    parse(&format!("{top}\n[[type]]\ncomponent = \"a.wasm\"\n"))
}

#[test]
fn a_file_says_all_that_can_be_set() {
    let config = parse(FULL).expect("it is right");
    let addresses: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1:0", "127.0.0.1:3002"]);
    assert_eq!(
        config.data.as_ref().and_then(Data::directory),
        Some(Path::new("/etc/formwork/state"))
    );
    assert_eq!(config.concurrency, Some(32));
    assert_eq!(config.lease, Some(Duration::from_secs(10)));
    let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
    assert_eq!(config.retention.operations, hours(720));
    assert_eq!(config.retention.client_tokens, hours(1));
    let http = config.limits.http;
    let default = HttpLimits::default();
    assert_eq!((http.requests, http.lookups), (2_000, 64));
    assert_eq!(http.connections, default.connections);
    assert_eq!(config.account.as_str(), "123456789012");
    assert_eq!(config.region.as_str(), "eu-central-1");
    assert_eq!(
        config.report.endpoint.as_deref(),
        Some("https://cloudformation.example.com")
    );
    assert_eq!(
        config.report.region.as_ref().map(Region::as_str),
        Some("eu-west-1")
    );
    assert_eq!(
        config.register.folders,
        ["/etc/formwork/handlers", "/opt/handlers"].map(Path::new)
    );
    let tls = config.tls.as_ref().expect("there is one");
    assert_eq!(tls.certificate, Path::new("/etc/formwork/tls/cert.pem"));
    assert_eq!(tls.key, Path::new("/etc/ssl/key.pem"));
    let [file, other] = config.types.as_slice() else {
        panic!("two types: {:?}", config.types);
    };
    assert_eq!(
        file.component,
        Path::new("/etc/formwork/handlers/file.wasm")
    );
    assert_eq!(other.component, Path::new("/opt/other.wasm"));
    let grants: Vec<String> = file.grants.iter().map(ToString::to_string).collect();
    let expected = [
        "dir=/etc/formwork/data:ro",
        "credentials",
        "http=GET https://*.example.com",
        "address=10.0.0.0/8",
        "ca=/etc/formwork/ca.pem",
    ];
    assert_eq!(grants, expected);
    let settings = &file.settings;
    assert_eq!(settings.concurrency, 4);
    assert_eq!(settings.limits.memory_bytes, 64 << 20);
    assert_eq!(settings.limits.cpu, Duration::from_millis(500));
    assert_eq!(settings.limits.mutation_wall, Duration::from_secs(90));
    assert_eq!(settings.limits.log_lines, 10);
    assert_eq!(settings.limits.listings, 5);
    assert_eq!(settings.limits.http_requests, 7);
    assert_eq!(settings.limits.http_connect, Duration::from_secs(1));
    assert_eq!(settings.policy.attempts, 5);
    assert_eq!(settings.policy.backoff, Duration::from_secs(2));
    assert!(settings.policy.strict && settings.keep_write_only);
    let configuration = settings.type_configuration.as_ref().expect("there is one");
    assert_eq!(
        configuration.to_map(),
        serde_json::json!({
            "Endpoint": "https://example.com",
            "Retries": 3,
            "Tags": [{"Key": "a"}]
        })
        .as_object()
        .cloned()
        .expect("an object")
    );
    assert!(other.grants.is_empty() && other.settings.type_configuration.is_none());
}

#[test]
fn the_example_of_the_readme_is_right() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).expect("it is there");
    let (_, example) = readme.split_once("```toml\n").expect("there is one");
    let (example, _) = example.split_once("```").expect("it ends");
    let place = tempfile::tempdir().expect("a directory");
    fs::create_dir(place.path().join("keys")).expect("a directory");
    fs::write(place.path().join("keys/deploy"), "s3cr3t").expect("a file");
    let config = Config::parse(example, place.path(), &variable);
    let config = config.unwrap_or_else(|faults| panic!("{}", lines(&faults)));
    assert_eq!((config.types.len(), config.keys.len()), (1, 1));
}

#[test]
fn what_is_not_said_is_the_default() {
    let config = with("").expect("it is right");
    let default = Config::default();
    assert_eq!(config.listen, default.listen);
    assert_eq!(config.region, default.region);
    assert_eq!((config.data, config.concurrency), (None, None));
    let settings = &config.types[0].settings;
    let default = TypeSettings::default();
    assert_eq!(settings.limits, default.limits);
    assert_eq!(settings.policy, default.policy);
    assert_eq!(settings.concurrency, default.concurrency);
}

#[test]
fn what_is_wrong_is_said_with_line_key_value_rule_and_remedy() {
    for (top, words) in [
        (
            "lisen = \"127.0.0.1:1\"",
            "line 1: there is no setting `lisen`: did you mean `listen`?",
        ),
        (
            "\nzzz = 1",
            "line 2: there is no setting `zzz`: there are `listen`, `data`",
        ),
        (
            "listen = \"3001\"",
            "line 1: `listen` is `3001`: it must be an address and a port",
        ),
        ("listen = []", "it must name an address"),
        (
            "listen = 3001",
            "it must be a text in quotes, not a whole number",
        ),
        ("data = \"\"", "`data`"),
        (
            "concurrency = 0",
            "`concurrency` is `0`: it must be from 1 to 4096",
        ),
        ("concurrency = -1", "it must be from 1 to 4096"),
        (
            "concurrency = \"many\"",
            "it must be a whole number, not a text",
        ),
        ("region = \"EU\"", "lower-case letters"),
        ("report = \"url\"", "line 1: `report` must be a table"),
        (
            "[report]\nend_point = \"x\"",
            "line 2: there is no setting `report.end_point`: did you mean `endpoint`?",
        ),
        ("[[type]]", "line 1: `type 1.component` is missing"),
        (
            "[[type]]\ncomponent = \"b\"\ngrants = [\"dri=x\"]",
            "line 3: `type 1.grants`: `dri=…` is no grant",
        ),
        (
            "[[type]]\ncomponent = \"b\"\ngrant = [\"dir=x\"]",
            "did you mean `grants`?",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nlimits.memory = 256",
            "`type 1.limits.memory` is `256`: it must be a size in quotes",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nlimits.memory = \"256\"",
            "a size in quotes with its unit",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nlimits.memory = \"2GiB\"",
            "it must be from 1 B to 1.0 GiB",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nlimits.cpu = \"soon\"",
            "a time in quotes",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nlimits.cpu = \"-1s\"",
            "a time in quotes",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nlimits.cpu = \"0s\"",
            "it must be from 1ms",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nlimits.cpus = \"1s\"",
            "did you mean `cpu`?",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nstrict = \"yes\"",
            "true or false",
        ),
        (
            "[[type]]\ncomponent = \"b\"\nconfiguration = \"none.json\"",
            "/etc/formwork/none.json` cannot be read",
        ),
        ("a = ", "line 1: the text is no TOML"),
        ("data = \"a\"\ndata = \"b\"", "line 2: the text is no TOML"),
    ] {
        let refusal = with(top).expect_err(top);
        assert!(refusal.contains(words), "{top}: {refusal}");
    }
    for (text, words) in [
        ("", "no handler is named"),
        (
            "type = 1",
            "line 1: `type` must be a list of tables: write `[[type]]`",
        ),
        ("[type]\ncomponent = \"a\"", "write `[[type]]`"),
    ] {
        let refusal = parse(text).expect_err(text);
        assert!(refusal.contains(words), "{text}: {refusal}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let refusal = with("concurrency = 0\n[report]\nregion = \"EU\"\nend = 1").expect_err("three");
    let lines: Vec<&str> = refusal
        .lines()
        .map(|line| line.split(':').next().unwrap_or(""))
        .collect();
    assert_eq!(lines, ["", "  line 1", "  line 3", "  line 4"], "{refusal}");
}

#[test]
fn a_key_says_what_it_may_do() {
    let head = "[[key]]\nid = \"AKIDAKIDAKIDAKID\"\n";
    let config = with(&format!(
        "account = \"123456789012\"\n{head}secret_environment = \"CI_SECRET\"\n\
         [[key]]\nid = \"AKIDAKIDAKIDAKI2\"\nsecret = \"x\"\nsession_token = \"t\"\n\
         account = \"210987654321\"\n\
         allow = [{{ types = [\"Acme::*\"], actions = [\"read\", \"LIST\", \"register\"] }}]\n"
    ));
    let config = config.expect("it is right");
    let [all, some] = config.keys.as_slice() else {
        panic!("two keys: {:?}", config.keys);
    };
    assert_eq!(
        (all.secret.0.as_str(), some.secret.0.as_str()),
        ("s3cr3t", "x")
    );
    assert_eq!(all.account.as_str(), "123456789012");
    assert_eq!(some.account.as_str(), "210987654321");
    assert_eq!(
        some.session_token.as_ref().map(|it| it.0.as_str()),
        Some("t")
    );
    assert_eq!(all.allow, [Rule::usual()]);
    let [rule] = some.allow.as_slice() else {
        panic!("one rule: {:?}", some.allow);
    };
    assert_eq!(
        rule.permissions,
        [
            Permission::Act(Action::Read),
            Permission::Act(Action::List),
            Permission::Register
        ]
    );
    assert!(rule.types[0].matches("Acme::Storage::File"));
    assert!(!rule.types[0].matches("Other::Storage::File"));
    assert!(!format!("{config:?}").contains("s3cr3t"));

    for (rest, words) in [
        ("", "a key needs its secret"),
        ("secret = \"a\"\nsecret_file = \"b\"", "give one of them"),
        (
            "secret_file = \"none\"",
            "/etc/formwork/none` cannot be read",
        ),
        ("secret_environment = \"NONE\"", "`NONE` is not set"),
        ("secret = 1", "`key 1.secret`: it must be a text"),
        (
            "secret = \"a\"\nallow = [{ actions = [\"CRATE\"] }]",
            "did you mean `CREATE`?",
        ),
        (
            "secret = \"a\"\nallow = [{ action = [\"READ\"] }]",
            "did you mean `actions`?",
        ),
        (
            "secret = \"a\"\nallow = [{ types = [\"[\"] }]",
            "`key 1.allow 1.types`",
        ),
        ("secret = \"a\"\naccount = \"1\"", "12 digits"),
        (
            "secret = \"a\"\n[[key]]\nid = \"AKIDAKIDAKIDAKID\"\nsecret = \"b\"",
            "two keys have the id",
        ),
        (
            "secret = \"a\"\n[[key]]\nid = \"short\"\nsecret = \"b\"",
            "16 to 128 letters and digits",
        ),
    ] {
        let refusal = with(&format!("{head}{rest}")).expect_err(rest);
        assert!(refusal.contains(words), "{rest}: {refusal}");
    }
}

#[test]
fn a_configuration_of_a_type_is_not_repeated() {
    let refusal = with("[[type]]\ncomponent = \"b\"\nconfiguration = [\"s3cr3t\"]");
    let refusal = refusal.expect_err("it is no table");
    assert!(!refusal.contains("s3cr3t"), "{refusal}");
}

#[test]
fn a_secret_in_the_grants_of_a_type_is_in_no_error() {
    let grants = |text: &str| format!("[[type]]\ncomponent = \"b\"\ngrants = {text}");
    for text in [
        r#"["secret=https://a.example as X-Api-Key from s3cr3t"]"#,
        r#"["secret=https://a.example as X-Api-Key: s3cr3t"]"#,
        r#"["secret=s3cr3t"]"#,
        r#"["secert=s3cr3t"]"#,
        r#"["dri=x", "secret=https://a.example as X from file s3cr3t"]"#,
        r#"["secret=https://a.example as X from file s3cr3t", 1]"#,
        r#""secret=https://a.example as X from file s3cr3t""#,
        r#"{ secret = "s3cr3t" }"#,
        r#"["secret=https://a.example as X from file s3cr3t""#,
        "[\"secret=s3cr3t]",
        "[secret=s3cr3t]",
    ] {
        let refusal = with(&grants(text)).expect_err(text);
        assert!(!refusal.contains("s3cr3t"), "{text}: {refusal}");
    }
}

#[test]
fn what_operators_are_told_and_how_the_log_is_written_is_said() {
    let config = with(
        r#"
        [telemetry]
        listen = "0.0.0.0:9464"
        endpoint = "http://127.0.0.1:4318"
        sample = 0.25
        [log]
        format = "json"
        filter = "info,formwork::guest=debug"
        "#,
    )
    .expect("it is right");
    let listen = config.telemetry.listen.map(|address| address.to_string());
    assert_eq!(listen.as_deref(), Some("0.0.0.0:9464"));
    let endpoint = config.telemetry.endpoint.as_deref();
    assert_eq!(endpoint, Some("http://127.0.0.1:4318"));
    assert!((config.telemetry.sample - 0.25).abs() < f64::EPSILON);
    assert_eq!(config.log.format, Some(LogFormat::Json));
    let filter = config.log.filter.as_deref();
    assert_eq!(filter, Some("info,formwork::guest=debug"));
    let none = with("").expect("it is right");
    assert_eq!(none.telemetry, Telemetry::default());
    assert_eq!(none.log, Log::default());
    for (wrong, rule) in [
        ("[telemetry]\nlisten = \"9464\"", "an address and a port"),
        (
            "[telemetry]\nendpoint = \"collector:4318\"",
            "a URL with a host",
        ),
        ("[telemetry]\nsample = 1.5", "from 0 to 1"),
        ("[telemetry]\nsample = \"half\"", "a number from 0 to 1"),
        ("[log]\nformat = \"xml\"", "\"text\" or \"json\""),
        ("[log]\nfilter = \"a=loud\"", "a level such as"),
        ("[log]\nlevel = \"info\"", "there is no setting `log.level`"),
    ] {
        let refused = with(wrong).expect_err("it is wrong");
        assert!(refused.contains(rule), "{wrong}: {refused}");
    }
}
