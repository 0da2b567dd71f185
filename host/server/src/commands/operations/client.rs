//! The client of a server's door for operators.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::model::{Credentials, RequestToken};
use formwork_host::operation::Operation;
use http::Request;
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use crate::access::sign_for;
use crate::http_client::{self, Client};
use crate::operations::read::{DetailsAnswer, ListAnswer, OperationAnswer};
use crate::operations::shapes::ListRequest;
use crate::operations::{Criteria, Details, Found, Reach};

/// What requests are signed for.
const SERVICE: &str = "formwork";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest answer, in bytes.
const ANSWER: usize = 256 << 20;

/// Where a server is.
#[derive(Clone, Debug)]
pub(super) struct ServerUrl(Url);

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).ok();
        url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .map(Self)
            .ok_or_else(|| {
                "it must be the URL of a server, such as `http://127.0.0.1:3001`".to_owned()
            })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// A server that is asked.
pub(super) struct Server {
    url: ServerUrl,
    client: Client,
    credentials: Option<Credentials>,
    clock: SystemClock,
}

/// Why a server did not do what it was asked.
#[derive(Debug, Deserialize)]
struct Refused {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

impl Server {
    pub(super) fn new(url: ServerUrl, credentials: Option<Credentials>) -> anyhow::Result<Self> {
        Ok(Self {
            url,
            client: http_client::new().context("cannot speak HTTP")?,
            credentials,
            clock: SystemClock::new(),
        })
    }

    pub(super) const fn url(&self) -> &ServerUrl {
        &self.url
    }

    pub(super) async fn list(&self, criteria: &Criteria, reach: Reach) -> anyhow::Result<Found> {
        let request = serde_json::to_value(ListRequest::new(criteria, reach))
            .expect("a shape with text for its keys prints");
        let answer: ListAnswer = self.ask("ListOperations", &request).await?;
        answer.read().with_context(|| self.strange())
    }

    pub(super) async fn find(&self, token: RequestToken) -> anyhow::Result<Option<Details>> {
        let request = json!({"requestToken": token.to_string()});
        match self.call::<DetailsAnswer>("GetOperation", &request).await? {
            Ok(answer) => Ok(Some(answer.read().with_context(|| self.strange())?)),
            Err(refused) if refused.kind.ends_with("RequestTokenNotFoundException") => Ok(None),
            Err(refused) => Err(self.refused(&refused)),
        }
    }

    /// Cancels an operation, and gives it as it is then, or none if there is none.
    pub(super) async fn cancel(&self, token: RequestToken) -> anyhow::Result<Option<Operation>> {
        let request = json!({"requestToken": token.to_string()});
        match self
            .call::<OperationAnswer>("CancelOperation", &request)
            .await?
        {
            Ok(answer) => Ok(Some(answer.read().with_context(|| self.strange())?)),
            Err(refused) if refused.kind.ends_with("RequestTokenNotFoundException") => Ok(None),
            Err(refused) => Err(self.refused(&refused)),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, call: &str, body: &Value) -> anyhow::Result<T> {
        let answer = self.call(call, body).await?;
        answer.map_err(|refused| self.refused(&refused))
    }

    fn refused(&self, refused: &Refused) -> anyhow::Error {
        let hint = if refused.kind.contains("MissingAuthenticationToken") {
            "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of the server"
        } else {
            ""
        };
        anyhow::anyhow!("{} refuses: {}{hint}", self.url, refused.message)
    }

    fn strange(&self) -> String {
        format!(
            "{} answers what this program does not understand: it may be of another version",
            self.url
        )
    }

    /// Makes a call, and gives its answer or its refusal.
    async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        body: &Value,
    ) -> anyhow::Result<Result<T, Refused>> {
        let request = self.request(call, body.to_string())?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
            anyhow::Ok((status, body))
        };
        let answered = tokio::select! {
            answered = exchange => answered,
            () = self.clock.sleep(PATIENCE) => {
                bail!("{} does not answer within {PATIENCE:?}", self.url)
            }
        };
        let (status, body) = answered.with_context(|| {
            format!(
                "cannot ask {}: give the URL at which `formwork serve` says that it is listening",
                self.url
            )
        })?;
        if status.is_success() {
            let answer = serde_json::from_slice(&body).with_context(|| self.strange())?;
            return Ok(Ok(answer));
        }
        match serde_json::from_slice(&body) {
            Ok(refused) => Ok(Err(refused)),
            Err(_) => bail!(
                "{} answers {status}, not as `formwork serve` would: give the URL at which it says that it is listening",
                self.url
            ),
        }
    }

    fn request(&self, call: &str, body: String) -> anyhow::Result<Request<Full<Bytes>>> {
        let url = &self.url.0;
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::post(url.as_str())
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", format!("Formwork.{call}"))
            .body(())
            .context("the URL of the server cannot be asked")?;
        if let Some(credentials) = &self.credentials {
            let now = self.clock.now();
            sign_for(SERVICE, &mut request, body.as_bytes(), credentials, now)?;
        }
        Ok(request.map(|()| Full::new(Bytes::from(body))))
    }
}
