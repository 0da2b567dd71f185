//! The doors with real handlers behind them: requests in, answers out.

mod any_input;
mod cloud_control;
mod lambda;
mod races;
mod record;
mod registry;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::engine::{Engine, EngineBuilder};
use formwork_host::model::RequestToken;
use formwork_host::operation::Operation;
use formwork_host::registry::TypeSettings;
use formwork_host::store::Filter;
use formwork_tests::{guests, stage};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use url::form_urlencoded;

use super::{Configurations, Crowd, House, Registrations, Settings, router};
use crate::telemetry::{Metrics, Page};

/// A server without its sockets.
struct Door {
    router: Router,
    engine: Engine,
}

impl Door {
    /// Opens the doors to the handlers of these names.
    async fn open(names: &[&str]) -> Self {
        Self::open_with(names, Vec::new()).await
    }

    /// Opens them where components can be registered out of these folders.
    async fn open_with(names: &[&str], folders: Vec<PathBuf>) -> Self {
        let engine = Engine::builder(stage::sandbox());
        Self::open_on(engine, names, &TypeSettings::default(), folders).await
    }

    /// Opens them on an engine of these parts, the types with these settings.
    async fn open_on(
        engine: EngineBuilder,
        names: &[&str],
        settings: &TypeSettings,
        folders: Vec<PathBuf>,
    ) -> Self {
        let engine = engine.start();
        for name in names {
            engine
                .load(guests::component(name), settings.clone())
                .await
                .expect("a handler of the tests loads");
        }
        let clock = SystemClock::new();
        let page = Page::new(
            Arc::new(Metrics::new(None)),
            engine.clone(),
            stage::sandbox(),
            Arc::new(SystemClock::new()),
        );
        let house = House {
            engine: engine.clone(),
            configurations: Configurations::new(clock.now()),
            registrations: Registrations::new(clock.now(), folders),
            clock: Arc::new(clock),
            crowd: Crowd::default(),
            settings: Settings::default(),
            access: Arc::default(),
            page,
            stopping: tokio::sync::watch::channel(false).1,
        };
        Self {
            router: router(Arc::new(house)),
            engine,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await;
        let (head, body) = response.expect("every request is answered").into_parts();
        let body = body.collect().await.expect("an answer is whole").to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.into()).expect("an answer is UTF-8"),
        }
    }

    /// Invokes `TypeFunction`.
    async fn invoke(&self, invocation_type: &str, payload: impl ToString) -> Answer {
        let request = Request::post("/2015-03-31/functions/TypeFunction/invocations")
            .header("x-amz-invocation-type", invocation_type)
            .body(Body::from(payload.to_string()))
            .expect("a request");
        self.send(request).await
    }

    /// Makes a call of CloudFormation's Query protocol.
    async fn query(&self, parameters: &[(&str, &str)]) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let request = Request::post("/")
            .header(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .body(Body::from(form));
        self.send(request.expect("a request")).await
    }

    /// Waits until nothing runs, and gives the only operation.
    async fn operation(&self) -> Operation {
        self.engine.idle().await;
        let operations = self.engine.operations(&Filter::default()).await;
        let [operation] = &operations.expect("the store reads")[..] else {
            panic!("there is not one operation");
        };
        operation.clone()
    }

    async fn status(&self, token: RequestToken) -> Operation {
        self.engine.idle().await;
        let operation = self.engine.status(token).await.expect("the store reads");
        operation.expect("it is there")
    }
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.map_or("", |value| value.expect("a header is text"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// Gives the content of an element, as it is written.
    fn element(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    }

    /// Tells an answer in XML in a line, without its id: the status, and what
    /// the error says.
    fn told(&self) -> String {
        assert_eq!(self.header("content-type"), "text/xml");
        let id = self.header("x-amzn-requestid");
        assert_eq!(self.element("RequestId"), Some(id));
        let error = ["Type", "Code", "Message"].map(|name| {
            let said = self.element("Error").is_some();
            self.element(name).filter(|_| said)
        });
        let words: Vec<_> = std::iter::once(self.status.as_str())
            .chain(error.into_iter().flatten())
            .collect();
        words.join(" ") + "\n"
    }

    /// Tells the answer in a line: the status, the name of the error, the body.
    fn line(&self) -> String {
        let words = [
            self.status.as_str(),
            self.header("x-amzn-errortype"),
            &self.body,
        ];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ") + "\n"
    }
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let door = Door::open(&["file"]).await;
    let mut ids = Vec::new();
    for (method, path, status) in [
        ("GET", "/health", 200),
        ("POST", "/health", 404),
        ("GET", "/", 405),
        ("POST", "/", 400),
        ("GET", "/2015-03-31/functions/TypeFunction/invocations", 405),
        ("POST", "/2015-03-31/functions/TypeFunction", 404),
        ("GET", "/%00%ff/..", 404),
    ] {
        let request = Request::builder().method(method).uri(path);
        let answer = door
            .send(request.body(Body::empty()).expect("a request"))
            .await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(!answer.body.is_empty(), "{method} {path}");
        ids.push(answer.header("x-amzn-requestid").to_owned());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
}

#[tokio::test]
async fn web_pages_are_turned_away() {
    let door = Door::open(&["file"]).await;
    for path in ["/", "/2015-03-31/functions/TypeFunction/invocations"] {
        for origin in ["https://example.com", "http://127.0.0.1:3001", "null"] {
            let request = Request::post(path).header("origin", origin);
            let request = request.body(Body::from(r#"{"action":"LIST"}"#));
            let answer = door.send(request.expect("a request")).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {origin}");
        }
    }
}
