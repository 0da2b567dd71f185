//! Callers with keys, as boto3 signs for them, unmodified.

use std::fs;
use std::process::Command;

use formwork_tests::guests;

use crate::official::process::Process;
use crate::official::served::program;
use crate::official::tools::{repository, tool};

#[test]
fn boto3_is_let_in_by_its_key_and_does_what_the_key_may() {
    drive(false);
}

#[test]
fn boto3_is_let_in_over_tls() {
    drive(true);
}

fn drive(over_tls: bool) {
    let place = tempfile::tempdir().expect("a directory");
    let file = |name: &str| place.path().join(name);
    fs::create_dir(file("granted")).expect("a directory");
    fs::write(file("reader"), "s3cr3t-of-the-reader\n").expect("a file");
    let mut certify = Command::new(tool("python"));
    certify.args(["-m", "trustme", "--quiet", "--dir"]);
    Process::start(certify.arg(place.path())).end().well();
    let (tls, address) = if over_tls {
        // Callers with keys may come from elsewhere.
        let files = "certificate = \"server.pem\"\n        key = \"server.key\"";
        (format!("[tls]\n        {files}"), "0.0.0.0:0")
    } else {
        (String::new(), "127.0.0.1:0")
    };
    let config = format!(
        r#"
        listen = "{address}"
        {tls}
        [[type]]
        component = "{}"
        grants = ["dir=granted"]
        [[key]]
        id = "AKIDWRITERWRITER"
        secret_environment = "WRITER_SECRET"
        account = "123456789012"
        [[key]]
        id = "AKIDOTHEROTHER01"
        secret = "s3cr3t-of-another"
        account = "123456789012"
        allow = [{{ types = ["Formwork::*::File"], actions = ["READ"] }}]
        [[key]]
        id = "AKIDREADERREADER"
        secret_file = "reader"
        session_token = "t0ken"
        allow = [{{ types = ["Formwork::*::File"], actions = ["READ"] }}]
        "#,
        guests::path("file").display()
    );
    fs::write(file("formwork.toml"), config).expect("a file");
    let mut command = program();
    command
        .args(["serve", "--config"])
        .arg(file("formwork.toml"))
        .env("WRITER_SECRET", "s3cr3t/of+the writer");
    let mut server = Process::start(&mut command);
    let url = server
        .until("Listening on ")
        .replace("0.0.0.0", "localhost");
    assert_eq!(url.starts_with("https://"), over_tls, "{url}");
    let mut client = Command::new(tool("python"));
    client
        .arg(repository("tests/clients/boto3_access.py"))
        .env_clear()
        .env("HOME", file("home"))
        .env("AWS_CA_BUNDLE", file("client.pem"))
        .env("SSL_CERT_FILE", file("client.pem"))
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let said = Process::start(&mut client).end().well();
    assert!(said.contains("\nOK"), "{said}");
}
