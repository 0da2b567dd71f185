//! The official tools and what they need to run offline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::json;
use tempfile::TempDir;

use super::process::Process;

const REGION: &str = "us-east-1";

/// Gives a path of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Gives a tool that `make python` installs.
///
/// # Panics
///
/// When it is not installed: a test without its peer must not pass.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = repository("target/python/venv/bin").join(name);
    assert!(
        path.exists(),
        "there is no {}; install it with `make python`",
        path.display()
    );
    path
}

/// Gives the Node for which `make node` installs the AWS SDK for JavaScript, or
/// why there is none on this machine.
///
/// # Panics
///
/// When nobody has tried to install it: a test without its peer must not pass.
pub(crate) fn node() -> Result<PathBuf, String> {
    let place = repository("target/node");
    if let Ok(reason) = fs::read_to_string(place.join("skipped")) {
        return Err(reason.trim().to_owned());
    }
    let path = place.join("node");
    assert!(
        path.exists(),
        "there is no {}; install it with `make node`",
        path.display()
    );
    Ok(path)
}

/// STS behind a certificate of its own, and where the AWS libraries find both.
pub(crate) struct Tools {
    // Never locked; the tests share it.
    _sts: Mutex<Process>,
    place: TempDir,
}

impl Tools {
    /// Gives the tools that every test of this process shares while one needs them.
    pub(crate) fn get() -> Arc<Self> {
        static TOOLS: Mutex<Weak<Tools>> = Mutex::new(Weak::new());
        let mut shared = TOOLS.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let tools = Arc::new(Self::start());
            *shared = Arc::downgrade(&tools);
            tools
        })
    }

    fn start() -> Self {
        let place = TempDir::new().expect("a directory");
        let path = |name: &str| place.path().join(name);
        let certify = [
            "-m",
            "trustme",
            "--quiet",
            "--identities",
            "127.0.0.1",
            "--dir",
        ];
        let mut command = Command::new(tool("python"));
        command.args(certify).arg(place.path());
        Process::start(&mut command).end().well();
        let mut command = Command::new(tool("moto_server"));
        command.args(["--host", "127.0.0.1", "--port", "0", "--ssl-cert"]);
        command
            .arg(path("server.pem"))
            .arg("--ssl-key")
            .arg(path("server.key"));
        let mut sts = Process::start(&mut command);
        let host = sts.until("Running on https://");
        let models = path(".aws/models");
        fs::create_dir_all(&models).expect("a directory");
        fs::write(models.join("endpoints.json"), endpoints(&host)).expect("a file");
        Self {
            _sts: Mutex::new(sts),
            place,
        }
    }

    /// Prepares a tool, with no more of the caller's environment than it needs.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(tool(name));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.place.path())
            .env("AWS_CA_BUNDLE", self.place.path().join("client.pem"))
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "no-secret")
            .env("AWS_DEFAULT_REGION", REGION)
            .env("PYTHONPATH", repository("tests/official/language"));
        command
    }
}

/// Writes the table in which the AWS libraries look up where STS is.
fn endpoints(sts: &str) -> String {
    json!({
        "version": 3,
        "partitions": [{
            "partition": "aws",
            "partitionName": "this machine",
            "dnsSuffix": "localhost",
            "regionRegex": format!("^{REGION}$"),
            "defaults": {
                "hostname": "{service}.{region}.{dnsSuffix}",
                "protocols": ["https"],
                "signatureVersions": ["v4"],
            },
            "regions": {REGION: {"description": "this machine"}},
            "services": {"sts": {"endpoints": {REGION: {"hostname": sts}}}},
        }],
    })
    .to_string()
}
