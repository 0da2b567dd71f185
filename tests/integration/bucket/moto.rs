//! moto's server, with a user, a stranger and a role, and checking signatures.

use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use crate::official::process::Process;
use crate::official::tools::{repository, tool};

/// A key of AWS.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: String,
}

/// The running server.
pub(super) struct Moto {
    // Never locked; it is there until the test ends.
    _server: Mutex<Process>,
    address: String,
    owner: Key,
    stranger: Key,
    role: String,
}

impl Moto {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one that checks no signature: else it takes no request without one,
    /// and that for a web identity has none.
    pub(super) fn trusting() -> Self {
        Self::start_with(&["--trusting"])
    }

    fn start_with(arguments: &[&str]) -> Self {
        let mut command = Command::new(tool("moto_server"));
        command
            .args(["--host", "127.0.0.1", "--port", "0"])
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "1000000");
        let mut server = Process::start(&mut command);
        let address = server.until("Running on http://");
        let mut command = Command::new(tool("python"));
        command
            .arg(repository("tests/clients/moto_keys.py"))
            .args(arguments)
            .env_clear()
            .env("AWS_ENDPOINT_URL", format!("http://{address}"))
            .env("AWS_DEFAULT_REGION", "us-east-1");
        let keys = Process::start(&mut command).until("KEYS ");
        let keys: Value = serde_json::from_str(&keys).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let key = |name: &str| Key {
            id: text(&keys[name]["id"]),
            secret: text(&keys[name]["secret"]),
        };
        Self {
            owner: key("owner"),
            stranger: key("stranger"),
            role: text(&keys["role"]),
            address,
            _server: Mutex::new(server),
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives the key of who may do everything.
    pub(super) const fn owner(&self) -> &Key {
        &self.owner
    }

    /// Gives a key that may do nothing.
    pub(super) const fn stranger(&self) -> &Key {
        &self.stranger
    }

    /// Gives a key that nobody has made.
    pub(super) fn wrong(&self) -> Key {
        Key {
            id: "AKIANOBODYSKEY000000".to_owned(),
            secret: "n0b0dys-s3cr3t".to_owned(),
        }
    }

    /// Gives the ARN of a role that may do everything.
    pub(super) fn role(&self) -> &str {
        &self.role
    }
}
