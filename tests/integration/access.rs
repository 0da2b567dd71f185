//! Callers with keys, as boto3 signs for them, unmodified.

use std::fs;
use std::process::Command;

use formwork_tests::guests;

use crate::official::process::Process;
use crate::official::served::program;
use crate::official::tools::{repository, tool};

#[test]
fn boto3_is_let_in_by_its_key_and_does_what_the_key_may() {
    let place = tempfile::tempdir().expect("a directory");
    let file = |name: &str| place.path().join(name);
    fs::create_dir(file("granted")).expect("a directory");
    fs::write(file("reader"), "s3cr3t-of-the-reader\n").expect("a file");
    let config = format!(
        r#"
        listen = "127.0.0.1:0"
        [[type]]
        component = "{}"
        grants = ["dir=granted"]
        [[key]]
        id = "AKIDWRITERWRITER"
        secret_environment = "WRITER_SECRET"
        account = "123456789012"
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
    let url = format!("http://{}", server.until("Listening on http://"));
    let mut client = Command::new(tool("python"));
    client
        .arg(repository("tests/clients/boto3_access.py"))
        .env_clear()
        .env("HOME", file("home"))
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let said = Process::start(&mut client).end().well();
    assert!(said.contains("\nOK"), "{said}");
}
