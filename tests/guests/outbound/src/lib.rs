//! `Formwork::Tests::Outbound`: a guest that makes the HTTP requests that its
//! desired state names, one after the other, and tells what came of each.
//!
//! A request is `METHOD URL`, followed by words: `body=BYTES` sends so many
//! bytes, `timeout=MILLISECONDS` waits so long, any other `NAME=VALUE` is a header
//! field. What came of it is the status, the header fields `location` and
//! `x-answer`, and the body if it is short; or the error.
//!
//! It wishes for any port of this machine, for names that end in `example.com`,
//! and for `GET` alone at `get.test`.

use std::fmt::Write as _;
use std::time::Duration;

use formwork_guest::http;
use formwork_guest::{DeleteEvent, ProgressEvent, Request, ResourceHandler, Result, Steps};

/// The longest body that is told whole.
const SHORT: usize = 200;

/// The model.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Errand {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requests: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answers: Vec<String>,
}

/// The guest.
#[derive(Debug)]
pub struct Outbound;

#[formwork_guest::resource(
    schema = "schema.json",
    outgoing_hosts = [
        "http://127.0.0.1:*",
        "http://localhost:*",
        "https://localhost:*",
        "http://[::1]:*",
        "http://*.example.com:*",
        "GET http://get.test:*",
    ]
)]
impl ResourceHandler for Outbound {
    type Model = Errand;

    fn create(_: &Request, mut desired: Errand, _: Steps) -> Result<ProgressEvent<Errand>> {
        desired.answers = desired
            .requests
            .iter()
            .map(|request| match make(request) {
                Ok(response) => told(&response),
                Err(error) => format!("error: {error}"),
            })
            .collect();
        Ok(ProgressEvent::success(desired))
    }

    fn read(_: &Request, found: Errand) -> Result<Errand> {
        Ok(found)
    }

    fn delete(_: &Request, _: Errand, _: Steps) -> Result<DeleteEvent<Errand>> {
        Ok(DeleteEvent::deleted())
    }
}

fn make(request: &str) -> Result<http::Response, http::Error> {
    let mut words = request.split(' ');
    let method = words.next().unwrap_or_default();
    let url = words.next().unwrap_or_default();
    let mut request = http::Request::new(method, url);
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        let number = || value.parse().unwrap_or(0);
        request = match name {
            "body" => request.body(vec![b'x'; number()]),
            "timeout" => request.timeout(Duration::from_millis(number() as u64)),
            _ => request.header(name, value),
        };
    }
    request.send()
}

fn told(response: &http::Response) -> String {
    let mut told = response.status().to_string();
    for name in ["location", "x-answer"] {
        if let Some(value) = response.header(name) {
            write!(told, " {name}={value}").expect("a string takes all that is written");
        }
    }
    match response.text() {
        Ok(text) if text.len() <= SHORT => told + " " + text,
        Ok(_) | Err(_) => format!("{told} {} bytes", response.body().len()),
    }
}
